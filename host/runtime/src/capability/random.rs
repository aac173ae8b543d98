//! `random`: immediate, from the run's seed (rule G8).

use crate::bindings::skillhost::skill::random::Host;
use crate::guest::state::State;

impl Host for State {
    fn next(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random.next())
    }

    fn bytes(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        Ok(self.random.bytes(u64::from(length))?)
    }
}
