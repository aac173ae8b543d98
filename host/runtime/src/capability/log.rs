//! `log`: lines and progress marks. Nothing comes back; whoever drives the guest finds them in its slices.

use skillhost_core::machine::{Level, Line};

use crate::bindings::skillhost::skill::log::{self, Host};
use crate::guest::limits::{LABEL_BYTES_MAX, LINE_BYTES_MAX, PLACE_BYTES_MAX};
use crate::guest::lines::cut_to;
use crate::guest::shortened;
use crate::guest::state::State;

impl Host for State {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.say(level, message, None)
    }

    fn write_at(&mut self, level: log::Level, message: String, place: String) -> wasmtime::Result<()> {
        let place = cut_to(shortened(&place, None).to_owned(), PLACE_BYTES_MAX);
        self.say(level, message, Some(place))
    }

    fn progress(&mut self, label: String, done: u64, total: Option<u64>) -> wasmtime::Result<()> {
        let label = cut_to(label, LABEL_BYTES_MAX);
        Ok(self.desk.lock().log(Line::Progress { label, done, total })?)
    }
}

impl State {
    fn say(&mut self, level: log::Level, message: String, place: Option<String>) -> wasmtime::Result<()> {
        let line = Line::Message {
            level: match level {
                log::Level::Debug => Level::Debug,
                log::Level::Info => Level::Info,
                log::Level::Warn => Level::Warn,
                log::Level::Error => Level::Error,
            },
            message: cut_to(message, LINE_BYTES_MAX),
            place,
        };
        Ok(self.desk.lock().log(line)?)
    }
}
