//! For interfaces that this SDK has no face for: the world's bindings, and a way to make calls of one's own.
//!
//! A crate that generates bindings for a further interface maps `skillhost:skill/tasks` and `skillhost:skill/types` to the modules here and
//! wraps the interface's `start-` and `finish-` functions in [`call`].

use crate::call::Call;
use crate::failure::Result;

pub use crate::bindings::skillhost::skill::{tasks, types};

/// Makes a call of a function's two halves.
pub fn call<T>(
    start: impl FnOnce(&types::CallOptions) -> tasks::Pending + 'static,
    finish: impl FnOnce(tasks::Pending) -> Result<T> + 'static,
) -> Call<T> {
    Call::new(start, finish)
}
