//! The one place where the SDK meets the host: the world's functions, or, where there is no host because nothing here is WebAssembly, a fake that answers as
//! tests and examples script it.
//!
//! Types are always the world's own; only functions and resources are exchanged.

#[cfg(target_family = "wasm")]
pub(crate) use crate::bindings::skillhost::skill::{
    clock, files, http, inbox, log, model, process, random, run, signals, skills, tasks,
};

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::fake::{clock, files, http, inbox, log, model, process, random, run, signals, skills, tasks};
