//! `log`: lines and progress marks. Nothing comes back; whoever drives the guest finds them in its slices.

use skillhost_core::machine::{Level, Line};

use crate::bindings::skillhost::skill::log::{self, Host};
use crate::guest::limits::{LABEL_BYTES_MAX, LINE_BYTES_MAX};
use crate::guest::lines::cut_to;
use crate::guest::state::State;

impl Host for State {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        let message = cut_to(message, LINE_BYTES_MAX);
        Ok(self.desk.lock().log(Line::Message { level, message })?)
    }

    fn progress(&mut self, label: String, done: u64, total: Option<u64>) -> wasmtime::Result<()> {
        let label = cut_to(label, LABEL_BYTES_MAX);
        Ok(self.desk.lock().log(Line::Progress { label, done, total })?)
    }
}
