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
//! | to | |
//! |---|---|
//! | be a skill | [`macro@skill`] on the function, [`macro@data`] on its types, [`prompt!`] for texts of `prompts/` |
//! | ask a model | [`model`]; with tools, an [`Agent`] of [`macro@tool`]s |
//! | use what the host offers | [`files`], [`inbox`], [`signals`] (events, and [`ask`](signals::ask) for people), [`clock`], [`random`], [`run`], [`log`] |
//! | reach what is outside | [`process`]: programs of the user's machine, [`http`]: hosts, [`skills`]: other skills, all of them as far as the user granted them |
//! | do several things | [`map`] over many, [`join!`] and [`join_all`], [`first`] and [`either`], [`timeout`], [`Tasks`] that depend on each other |
//! | survive what goes wrong | [`Failure`] and its [`code`]s, `attempts` and `timeout` of every call, [`saga`] to undo, [`cleanup`] after a cancellation |
//! | go on for ever | [`continue_as`] in a new run |
//!
//! A call is made when it is awaited, and can say a `label` for the timeline, a `timeout`, how many `attempts`, and for development whether its answer is never reused
//! (`fresh`) or always (`pure`). What is printed, logged or panicked with is in `skillhost logs`. [`examples`] has skills, whole.
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
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
pub mod example;
pub mod examples;
mod executor;
mod failure;
#[cfg(not(target_family = "wasm"))]
mod fake;
pub mod files;
mod host;
pub mod http;
pub mod inbox;
pub mod log;
mod map;
pub mod model;
pub mod process;
mod prompt;
pub mod random;
pub mod raw;
pub mod run;
mod saga;
pub mod signals;
pub mod skills;
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

/// Names a secret of the user's, for the value of a header or of a program's variable: the host fills it in, and the skill never sees it.
///
/// It is asked for with the host or program that is to be told it: `#[skill(http("api.example.org", read, secret("example-token"), reason = ".."))]`. The user stores it
/// with `skillhost secret set example-token`, and grants it. Anywhere else, in a body, a URL or an argument, nothing is filled in.
///
/// ```
/// # use skillhost_sdk::prelude::*;
/// assert_eq!(format!("Bearer {}", secret("example-token")), "Bearer {{secret:example-token}}");
/// ```
pub fn secret(name: impl AsRef<str>) -> String {
    format!("{{{{secret:{}}}}}", name.as_ref())
}

/// What a skill usually needs: `use skillhost_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::agent::OnLimit::{Fail, Summarise};
    pub use crate::clock::{days, hours, mins, now, secs, sleep, sleep_until, tomorrow_at};
    pub use crate::files::{InputPath, Path};
    pub use crate::log::progress;
    pub use crate::signals::ask;
    pub use crate::{
        Agent, Approval, Either, Failure, Missed, Never, Outcomes, Past, Prompt, Result, Tasks, Undo, agent, cleanup,
        clock, code, continue_as, data, either, files, first, http, inbox, join, join_all, json, log, map, model,
        process, prompt, random, run, saga, secret, signals, skill, skills, task, timeout, tool,
    };
    // The macro; the function of that name reads what it writes.
    pub use serde_json::json;
}

/// What the macros' expansions name.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::Guest;
    pub use crate::bindings::skillhost::skill::types::{Description, Failure};
    pub use crate::describe::{About, Input, Nothing, Output, Request, describe, execute};
    pub use futures::join;

    /// A result, for the macros: they have its whole type and want the value's.
    #[diagnostic::on_unimplemented(
        message = "a tool returns a `Result` of what the model is told, not `{Self}`",
        note = "write `-> Result<String>`, or `-> Result<Answer>` with `#[data]` above `Answer`"
    )]
    pub trait Fallible {
        /// What it is if nothing failed.
        type Value;
    }

    impl<T> Fallible for crate::Result<T> {
        type Value = T;
    }
}
