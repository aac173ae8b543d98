//! What a skill for skillhost is written with.
//!
//! A skill is a plain async function. What it learns about the world it learns through calls, whose answers the host records, so that after a
//! crash the skill runs again from the start and goes on where it was. There is nothing to register and no step to wrap.
//!
//! ```no_run
//! use skillhost_sdk::prelude::*;
//!
//! #[data]
//! struct Input {
//!     /// Who is greeted.
//!     name: String,
//! }
//!
//! #[data]
//! struct Greeting {
//!     text: String,
//! }
//!
//! /// Greets somebody.
//! #[skill]
//! async fn run(input: Input) -> Result<Greeting> {
//!     model::haiku(prompt!("greeter.user", name = input.name)).json().await
//! }
//! ```
//!
//! - [`macro@skill`] makes a function a skill, [`macro@data`] a type its input or output, [`prompt!`] takes a text from `prompts/`.
//! - [`model`], [`files`], [`inbox`], [`signals`], [`clock`], [`random`], [`run`], [`log`] are what the host offers.
//! - [`map`], [`join_all`], [`join!`], [`first`], [`either`], [`timeout`] do several things at once, [`cleanup`] tidies up after a cancellation.
//! - [`Failure`] is what goes wrong.
//!
//! A type that is not `#[data]` cannot cross the boundary:
//!
//! ```compile_fail
//! # use skillhost_sdk::prelude::*;
//! struct Input {
//!     name: String,
//! }
//!
//! #[skill]
//! async fn run(input: Input) -> Result<()> {
//!     Ok(())
//! }
//! ```

// The macros' expansions name this crate, also in its own tests.
#[cfg(test)]
extern crate self as skillhost_sdk;

pub mod agent;
#[doc(hidden)]
pub mod bindings;
mod call;
pub mod clock;
mod continuing;
#[doc(hidden)]
pub mod describe;
mod executor;
mod failure;
#[cfg(test)]
mod fake;
pub mod files;
mod host;
pub mod inbox;
pub mod log;
mod map;
pub mod model;
mod prompt;
pub mod random;
// In this crate's tests calls are the fake host's.
#[cfg(not(test))]
pub mod raw;
pub mod run;
mod saga;
pub mod signals;
pub mod tasks;
#[cfg(test)]
mod tests;
mod together;

pub use agent::{Agent, OnLimit};
pub use call::{Call, cleanup};
pub use continuing::{Never, continue_as};
pub use failure::{Failure, Result, code};
pub use map::{Map, Missed, Outcomes, map};
pub use prompt::Prompt;
pub use saga::{Undo, saga};
pub use schemars;
pub use serde;
pub use serde_json;
pub use signals::{Approval, Ask, Wait};
pub use skillhost_sdk_macros::{data, prompt, skill, tool};
pub use tasks::{Past, Task, Tasks, task};
pub use together::{Either, either, first, join_all, timeout};

/// Renders a value as JSON with indentation, for a prompt.
pub fn json(value: &(impl serde::Serialize + ?Sized)) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("(no JSON: {error})"))
}

/// What a skill usually needs: `use skillhost_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::agent::OnLimit::{Fail, Summarise};
    pub use crate::clock::{days, hours, mins, now, secs, sleep, sleep_until, tomorrow_at};
    pub use crate::log::progress;
    pub use crate::signals::ask;
    pub use crate::{
        Agent, Approval, Either, Failure, Missed, Never, Outcomes, Past, Prompt, Result, Tasks, Undo, agent, cleanup,
        clock, code, continue_as, data, either, files, first, inbox, join, join_all, json, log, map, model, prompt,
        random, run, saga, signals, skill, task, timeout, tool,
    };
}

/// What the macros' expansions name.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::Guest;
    pub use crate::bindings::skillhost::skill::types::{Description, Failure};
    pub use crate::describe::{About, Input, Nothing, Output, Request, describe, execute};
    pub use futures::join;

    /// A result, for the macros: they have its whole type and want the value's.
    pub trait Fallible {
        /// What it is if nothing failed.
        type Value;
    }

    impl<T> Fallible for crate::Result<T> {
        type Value = T;
    }
}
