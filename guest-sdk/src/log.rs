//! Tells whoever watches the run, and from where in the source. What a skill prints and what it panics with go to the same log, with their places.
//!
//! ```
//! # use skillhost_sdk::prelude::*;
//! # let (done, total) = (3, 8);
//! log::info!("read {done} files");
//! progress("files", done, total);
//! ```

use std::fmt::Display;
use std::panic::Location;

use crate::host;

pub use crate::bindings::skillhost::skill::log::Level;
#[doc(inline)]
pub use crate::{__debug as debug, __error as error, __info as info, __warn as warn};

/// Adds a line to the run's log, with the place in the source that this was called at. `debug!`, `info!`, `warn!` and `error!` take a format instead.
#[track_caller]
pub fn write(level: Level, message: impl Display) {
    let at = Location::caller();
    host::log::write_at(level, &message.to_string(), &format!("{}:{}", at.file(), at.line()));
}

/// Says how far some piece of work is; the latest mark of a label counts. Without a total, nobody knows how much there is to do.
pub fn progress(label: impl AsRef<str>, done: u64, total: impl Into<Option<u64>>) {
    host::log::progress(label.as_ref(), done, total.into());
}

/// Adds a line to the log that only a skill's author looks for.
#[doc(hidden)]
#[macro_export]
macro_rules! __debug {
    ($($message:tt)*) => { $crate::log::write($crate::log::Level::Debug, ::std::format_args!($($message)*)) };
}

/// Adds a line to the log.
#[doc(hidden)]
#[macro_export]
macro_rules! __info {
    ($($message:tt)*) => { $crate::log::write($crate::log::Level::Info, ::std::format_args!($($message)*)) };
}

/// Adds a line to the log that says what is not as it should be.
#[doc(hidden)]
#[macro_export]
macro_rules! __warn {
    ($($message:tt)*) => { $crate::log::write($crate::log::Level::Warn, ::std::format_args!($($message)*)) };
}

/// Adds a line to the log that says what went wrong.
#[doc(hidden)]
#[macro_export]
macro_rules! __error {
    ($($message:tt)*) => { $crate::log::write($crate::log::Level::Error, ::std::format_args!($($message)*)) };
}
