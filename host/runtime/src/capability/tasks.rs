//! `tasks`: pendings and sets of them (rules G4, G5). The handles are the calls' numbers, so nothing else has to be kept in step with the desk.

use wasmtime::component::Resource;

use crate::bindings::skillhost::skill::tasks::{Host, HostPending, HostPendingSet};
use crate::guest::desk::Waiting;
use crate::guest::state::State;

/// A call in flight; its handle is the call's number.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum Pending {}

/// A set of calls in flight.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum PendingSet {}

impl Host for State {}

impl HostPending for State {
    fn id(&mut self, pending: Resource<Pending>) -> wasmtime::Result<u64> {
        Ok(u64::from(pending.rep()))
    }

    fn drop(&mut self, pending: Resource<Pending>) -> wasmtime::Result<()> {
        Ok(self.desk.lock().drop_call(pending.rep())?)
    }
}

impl HostPendingSet for State {
    fn new(&mut self) -> wasmtime::Result<Resource<PendingSet>> {
        Ok(Resource::new_own(self.desk.lock().new_set()?))
    }

    fn add(&mut self, set: Resource<PendingSet>, pending: Resource<Pending>) -> wasmtime::Result<u32> {
        Ok(self.desk.lock().add(set.rep(), pending.rep())?)
    }

    async fn wait(&mut self, set: Resource<PendingSet>) -> wasmtime::Result<u32> {
        loop {
            if let Some(token) = self.desk.lock().next_member(set.rep())? {
                return Ok(token);
            }
            self.wait_for(Waiting::Set(set.rep())).await;
        }
    }

    fn drop(&mut self, set: Resource<PendingSet>) -> wasmtime::Result<()> {
        self.desk.lock().drop_set(set.rep());
        Ok(())
    }
}
