//! What a call is answered with.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::payload::Payload;

/// The answer to a call: the function's result, or a fault that the skill sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// What the function returns, in the shape that [`crate::calls`] gives it.
    Ok(Payload),
    /// Why it does not.
    Err(Box<Fault>),
}

impl Outcome {
    /// Returns the outcome of a function that returns nothing.
    pub fn done() -> Self {
        Self::Ok(Payload::null())
    }

    /// Returns a fault with a message.
    pub fn fault(code: &str, message: impl Into<String>) -> Self {
        Fault::new(code, message).into()
    }

    /// Returns the outcome of a call that the run's cancellation ended (rule C1).
    pub fn cancelled() -> Self {
        Self::fault(Fault::CANCELLED, "the run was cancelled")
    }

    /// Returns the fault's code, if it is one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Ok(_) => None,
            Self::Err(fault) => Some(&fault.code),
        }
    }
}

impl From<Fault> for Outcome {
    fn from(fault: Fault) -> Self {
        Self::Err(Box::new(fault))
    }
}

/// Why a call was not answered with a result. Every interface of the world has a variant for the codes it knows, and `other` for the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// A short word in kebab case.
    pub code: String,
    /// What happened, for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What else the variant carries, such as the bound of `too-large`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl Fault {
    /// The run was cancelled.
    pub const CANCELLED: &str = "cancelled";
    /// It took longer than it was given.
    pub const TIMEOUT: &str = "timeout";
    /// It would exceed the run's budget.
    pub const BUDGET: &str = "budget";
    /// It is not allowed.
    pub const DENIED: &str = "denied";
    /// The request cannot be carried out as it is.
    pub const INVALID: &str = "invalid";
    /// What it names is not there.
    pub const NOT_FOUND: &str = "not-found";
    /// It is more than may be moved at once; `data` holds the bound in bytes.
    pub const TOO_LARGE: &str = "too-large";
    /// The other side had no room, also after further attempts.
    pub const OVERLOADED: &str = "overloaded";
    /// It was tried and went wrong.
    pub const FAILED: &str = "failed";
    /// A person decided that a call in doubt is not to be performed (rule R4).
    pub const SKIPPED: &str = "skipped";

    /// Makes a fault.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            data: None,
        }
    }
}
