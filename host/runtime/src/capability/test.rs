//! The at-most-once capability that exists for tests only.

use skillhost_core::calls::test::Act;
use skillhost_core::effect::Function;
use skillhost_core::outcome::Fault;
use wasmtime::component::Resource;

use super::Draft;
use super::tasks::Pending;
use crate::bindings::skillhost::skill::types::CallOptions;
use crate::guest::state::State;
use crate::test_bindings::skillhost::test::acts::Host;

impl Host for State {
    async fn act(&mut self, name: String, options: CallOptions) -> wasmtime::Result<Result<String, String>> {
        let acted = self.call(draft(name).with(options)).await?;
        Ok(acted.map_err(error))
    }

    fn start_act(&mut self, name: String, options: CallOptions) -> wasmtime::Result<Resource<Pending>> {
        self.start(draft(name).with(options))
    }

    async fn finish_act(&mut self, pending: Resource<Pending>) -> wasmtime::Result<Result<String, String>> {
        let acted = self.finish(pending, Function::TEST_ACT).await?;
        Ok(acted.map_err(error))
    }
}

fn draft(name: String) -> Draft {
    Draft::new(Function::TEST_ACT, &Act { name })
}

fn error(fault: Fault) -> String {
    format!("{}: {}", fault.code, fault.message)
}
