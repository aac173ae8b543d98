//! The one place where the SDK meets the host: the world's functions, or in this crate's own tests a fake that answers as scripted.
//!
//! Types are always the world's own; only functions and resources are exchanged.

#[cfg(not(test))]
pub(crate) use crate::bindings::skillhost::skill::{clock, files, inbox, log, model, random, run, signals, tasks};

#[cfg(test)]
pub(crate) use crate::fake::{clock, files, inbox, log, model, random, run, signals, tasks};
