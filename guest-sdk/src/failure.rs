//! What goes wrong in a skill.
//!
//! There is one error type. Its `code` is what programs compare, its message is for people. Whatever else is an error turns into it with `?`. What each call
//! can fail with stands in [`code`].

use std::any::Any;
use std::fmt;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::Value;

use crate::bindings::skillhost::skill::{clock, files, http, inbox, model, process, run, signals, skills, types};

/// The result of whatever can fail in a skill.
pub type Result<T, E = Failure> = core::result::Result<T, E>;

/// Why something failed: a single call, or the whole run when a skill returns it.
#[derive(Clone, PartialEq)]
pub struct Failure(Box<Parts>);

/// Behind a pointer, so that every result is not as large as this.
#[derive(Clone, PartialEq)]
struct Parts {
    code: String,
    message: String,
    details: Option<Value>,
    fatal: bool,
}

/// The codes of the failures that the SDK itself makes. A skill may use others of its own.
///
/// | of | fails with |
/// |---|---|
/// | every call | `cancelled`; whatever else the host calls it, such as `skipped` by a person |
/// | a model ([`model`](crate::model)) | `denied`, `invalid`, `overloaded`, `budget`, `timeout`, `failed`; `prompt` before it is asked; `refused`, `context-full`, `tool-use` of a reply that says nothing; `unusable-reply` |
/// | an [`Agent`](crate::Agent) | the same, `turn-limit`, and what a tool calls [fatal](Failure::fatal) |
/// | files ([`files`](crate::files)) | `denied`, `not-found`, `too-large`, `invalid`, `budget`, `timeout`, `failed` |
/// | a program ([`process`](crate::process)) | `denied`, `not-found`, `too-large`, `invalid`, `budget`, `timeout`, `failed`; `exit` when it is checked |
/// | a request ([`http`](crate::http)) | `denied`, `too-large`, `invalid`, `budget`, `timeout`, `failed`; `status` when it is checked; `json` |
/// | a message ([`inbox`](crate::inbox)) | `invalid`, `budget` |
/// | an event or an answer ([`signals`](crate::signals)) | `timeout`, `invalid`, `budget`; `json` of one that is not of its type |
/// | time ([`clock`](crate::clock)), notes ([`run`](crate::run)) | only the above |
/// | another skill ([`skills`](crate::skills)) | `denied`, `not-found`, `too-large`, `invalid`, `budget`, `timeout`; what it fails with itself; `json` of a result that is not of its type |
/// | [`Tasks`](crate::Tasks) | `invalid` if they do not fit together or one returns what is not valid; `left-out`; whatever a task fails with |
/// | [`continue_as`](crate::continue_as) | `invalid` |
/// | anything else with `?` | `json` of `serde_json`, else `error` |
///
/// ```
/// # use skillhost_sdk::prelude::*;
/// # async fn example() -> Result<String> {
/// match files::run().read_text("notes.md").await {
///     Ok(notes) => Ok(notes),
///     Err(failure) if failure.code() == code::NOT_FOUND => Ok(String::new()),
///     Err(failure) => Err(failure.context("the notes")),
/// }
/// # }
/// # assert_eq!(skillhost_sdk::example::run(example()), "");
/// ```
pub mod code {
    /// The run was cancelled.
    pub const CANCELLED: &str = "cancelled";
    /// It is not allowed.
    pub const DENIED: &str = "denied";
    /// What was asked cannot be used as it is.
    pub const INVALID: &str = "invalid";
    /// There is nothing of that name.
    pub const NOT_FOUND: &str = "not-found";
    /// It is more than may be read or written at once.
    pub const TOO_LARGE: &str = "too-large";
    /// The model provider had no room, also after further attempts.
    pub const OVERLOADED: &str = "overloaded";
    /// It would exceed the run's budget.
    pub const BUDGET: &str = "budget";
    /// It took too long, or nothing came in time.
    pub const TIMEOUT: &str = "timeout";
    /// A program did not end well.
    pub const EXIT: &str = "exit";
    /// A server answered with a status that is none of success.
    pub const STATUS: &str = "status";
    /// It went wrong in some other way.
    pub const FAILED: &str = "failed";
    /// A prompt's file or one of its variables is missing.
    pub const PROMPT: &str = "prompt";
    /// The model refused to answer.
    pub const REFUSED: &str = "refused";
    /// The conversation is longer than the model can take.
    pub const CONTEXT_FULL: &str = "context-full";
    /// The model asks for a tool where a final answer was expected.
    pub const TOOL_USE: &str = "tool-use";
    /// The model's reply does not have the form that was asked for, also after it was shown what was wrong.
    pub const UNUSABLE_REPLY: &str = "unusable-reply";
    /// An agent's turns were used up before it had an answer.
    pub const TURN_LIMIT: &str = "turn-limit";
    /// A task was not begun, because of what came of others.
    pub const LEFT_OUT: &str = "left-out";
    /// JSON that does not parse or does not fit its type.
    pub const JSON: &str = "json";
    /// An error of a library that the skill uses.
    pub const ERROR: &str = "error";
}

impl Failure {
    /// Makes a failure of a short code, such as `declined`, and a message for people.
    pub fn new(code: impl Into<String>, message: impl fmt::Display) -> Self {
        Self(Box::new(Parts {
            code: code.into(),
            message: message.to_string(),
            details: None,
            fatal: false,
        }))
    }

    /// Makes it one that nothing mends: where a failure is otherwise tried again or told to a model, this one is passed on at once.
    ///
    /// ```
    /// # use skillhost_sdk::prelude::*;
    /// # use skillhost_sdk::example;
    /// #[tool("Books the room")]
    /// async fn book(room: String) -> Result<()> {
    ///     if room == "the roof" {
    ///         return Err(Failure::new("refused", "nobody books the roof").fatal());
    ///     }
    ///     inbox::post(format!("Book {room}")).await
    /// }
    /// # async fn example() -> Result<()> {
    /// # example::model_says([r#"book({"room": "the roof"})"#]);
    /// # let failure = Agent::haiku("").tools(book).ask("Book the roof").text().await.unwrap_err();
    /// # assert_eq!(failure.code(), "refused");
    /// # Ok(())
    /// # }
    /// # example::run(example());
    /// ```
    #[must_use]
    pub fn fatal(mut self) -> Self {
        self.0.fatal = true;
        self
    }

    /// Adds whatever else a program may want to know.
    #[must_use]
    pub fn with_details(mut self, details: impl Serialize) -> Self {
        self.0.details = serde_json::to_value(details).ok();
        self
    }

    /// Puts words in front of the message: what was attempted.
    #[must_use]
    pub fn context(mut self, attempted: impl fmt::Display) -> Self {
        self.0.message = format!("{attempted}: {}", self.0.message);
        self
    }

    /// Puts words behind the message: what followed from it.
    #[must_use]
    pub(crate) fn and_then(mut self, followed: impl fmt::Display) -> Self {
        self.0.message = format!("{}; {followed}", self.0.message);
        self
    }

    /// Returns the short word that programs compare.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// Returns what happened, for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns what else is known.
    pub fn details(&self) -> Option<&Value> {
        self.0.details.as_ref()
    }

    /// Says whether it failed because the run was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.code == code::CANCELLED
    }

    /// Says whether nothing mends it ([`fatal`](Self::fatal)).
    pub fn is_fatal(&self) -> bool {
        self.0.fatal
    }

    fn cancelled() -> Self {
        Self::new(code::CANCELLED, "the run was cancelled")
    }

    fn other(error: types::OtherError) -> Self {
        Self::new(error.code, error.message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)?;
        match &self.0.details {
            Some(details) => write!(f, " {details}"),
            None => Ok(()),
        }
    }
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> core::result::Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Failure", 3)?;
        fields.serialize_field("code", &self.0.code)?;
        fields.serialize_field("message", &self.0.message)?;
        match &self.0.details {
            Some(details) => fields.serialize_field("details", details)?,
            None => fields.skip_field("details")?,
        }
        fields.end()
    }
}

/// Whatever is an error elsewhere becomes a failure with `?`. (For this to be possible, a failure is not itself a `std::error::Error`.)
impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let code = if (&error as &dyn Any).is::<serde_json::Error>() {
            code::JSON
        } else {
            code::ERROR
        };
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self::new(code, message)
    }
}

/// Turns an error of the world into a failure.
pub(crate) trait IntoFailure {
    fn into_failure(self) -> Failure;
}

impl IntoFailure for model::Error {
    fn into_failure(self) -> Failure {
        match self {
            Self::Cancelled => Failure::cancelled(),
            Self::Denied(message) => Failure::new(code::DENIED, message),
            Self::Invalid(message) => Failure::new(code::INVALID, message),
            Self::Overloaded(message) => Failure::new(code::OVERLOADED, message),
            Self::Budget(message) => Failure::new(code::BUDGET, message),
            Self::Timeout(message) => Failure::new(code::TIMEOUT, message),
            Self::Failed(message) => Failure::new(code::FAILED, message),
            Self::Other(error) => Failure::other(error),
        }
    }
}

impl IntoFailure for files::Error {
    fn into_failure(self) -> Failure {
        match self {
            Self::Cancelled => Failure::cancelled(),
            Self::Denied(message) => Failure::new(code::DENIED, message),
            Self::NotFound(message) => Failure::new(code::NOT_FOUND, message),
            Self::TooLarge(bytes_max) => Failure::new(
                code::TOO_LARGE,
                format!("more than the {bytes_max} bytes that one call may move"),
            ),
            Self::Invalid(message) => Failure::new(code::INVALID, message),
            Self::Budget(message) => Failure::new(code::BUDGET, message),
            Self::Timeout(message) => Failure::new(code::TIMEOUT, message),
            Self::Failed(message) => Failure::new(code::FAILED, message),
            Self::Other(error) => Failure::other(error),
        }
    }
}

impl IntoFailure for process::Error {
    fn into_failure(self) -> Failure {
        match self {
            Self::Cancelled => Failure::cancelled(),
            Self::Denied(message) => Failure::new(code::DENIED, message),
            Self::NotFound(message) => Failure::new(code::NOT_FOUND, message),
            Self::TooLarge(bytes_max) => Failure::new(
                code::TOO_LARGE,
                format!("more than the {bytes_max} bytes that a program may be given"),
            ),
            Self::Invalid(message) => Failure::new(code::INVALID, message),
            Self::Budget(message) => Failure::new(code::BUDGET, message),
            Self::Timeout(message) => Failure::new(code::TIMEOUT, message),
            Self::Failed(message) => Failure::new(code::FAILED, message),
            Self::Other(error) => Failure::other(error),
        }
    }
}

impl IntoFailure for http::Error {
    fn into_failure(self) -> Failure {
        match self {
            Self::Cancelled => Failure::cancelled(),
            Self::Denied(message) => Failure::new(code::DENIED, message),
            Self::TooLarge(bytes_max) => Failure::new(
                code::TOO_LARGE,
                format!("more than the {bytes_max} bytes that may be sent or received"),
            ),
            Self::Invalid(message) => Failure::new(code::INVALID, message),
            Self::Budget(message) => Failure::new(code::BUDGET, message),
            Self::Timeout(message) => Failure::new(code::TIMEOUT, message),
            Self::Failed(message) => Failure::new(code::FAILED, message),
            Self::Other(error) => Failure::other(error),
        }
    }
}

impl IntoFailure for inbox::Error {
    fn into_failure(self) -> Failure {
        match self {
            Self::Cancelled => Failure::cancelled(),
            Self::Invalid(message) => Failure::new(code::INVALID, message),
            Self::Budget(message) => Failure::new(code::BUDGET, message),
            Self::Other(error) => Failure::other(error),
        }
    }
}

impl IntoFailure for clock::Error {
    fn into_failure(self) -> Failure {
        match self {
            Self::Cancelled => Failure::cancelled(),
            Self::Other(error) => Failure::other(error),
        }
    }
}

impl IntoFailure for run::Error {
    fn into_failure(self) -> Failure {
        match self {
            Self::Cancelled => Failure::cancelled(),
            Self::Other(error) => Failure::other(error),
        }
    }
}

impl IntoFailure for signals::Error {
    fn into_failure(self) -> Failure {
        match self {
            Self::Cancelled => Failure::cancelled(),
            Self::Timeout => Failure::new(code::TIMEOUT, "nothing came in time"),
            Self::Invalid(message) => Failure::new(code::INVALID, message),
            Self::Budget(message) => Failure::new(code::BUDGET, message),
            Self::Other(error) => Failure::other(error),
        }
    }
}

impl IntoFailure for skills::Error {
    fn into_failure(self) -> Failure {
        match self {
            Self::Cancelled => Failure::cancelled(),
            Self::Denied(message) => Failure::new(code::DENIED, message),
            Self::NotFound(message) => Failure::new(code::NOT_FOUND, message),
            Self::TooLarge(bytes_max) => Failure::new(
                code::TOO_LARGE,
                format!("more than the {bytes_max} bytes that are passed between skills"),
            ),
            Self::Invalid(message) => Failure::new(code::INVALID, message),
            Self::Budget(message) => Failure::new(code::BUDGET, message),
            Self::Timeout(message) => Failure::new(code::TIMEOUT, message),
            Self::Failed(failure) => {
                let details = failure
                    .details
                    .and_then(|details| serde_json::from_str::<Value>(&details).ok());
                let made = Failure::new(failure.code, failure.message);
                match details {
                    Some(details) => made.with_details(details),
                    None => made,
                }
            }
            Self::Other(error) => Failure::other(error),
        }
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        let Parts {
            code, message, details, ..
        } = *failure.0;
        Self {
            code,
            message,
            details: details.map(|details| details.to_string()),
        }
    }
}
