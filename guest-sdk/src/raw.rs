//! For interfaces that this SDK has no face for: the world's bindings, and a way to make calls of one's own.
//!
//! A crate that generates bindings for a further interface maps `skillhost:skill/tasks` and `skillhost:skill/types` to the modules here and
//! wraps the interface's `start-` and `finish-` functions in [`call`].

use crate::call::Call;
use crate::failure::Result;

pub use crate::bindings::skillhost::skill::{tasks, types};

/// Makes a call of a function's two halves.
#[cfg(target_family = "wasm")]
pub fn call<T>(
    start: impl FnOnce(&types::CallOptions) -> tasks::Pending + 'static,
    finish: impl FnOnce(tasks::Pending) -> Result<T> + 'static,
) -> Call<T> {
    Call::new(start, finish)
}

/// Fails: a further interface is there only in WebAssembly.
#[cfg(not(target_family = "wasm"))]
pub fn call<T>(
    _start: impl FnOnce(&types::CallOptions) -> tasks::Pending + 'static,
    _finish: impl FnOnce(tasks::Pending) -> Result<T> + 'static,
) -> Call<T> {
    use crate::failure::{Failure, code};
    Call::known(Err(Failure::new(
        code::FAILED,
        "there is no host outside of WebAssembly",
    )))
}
