//! `skills`: calls of other skills.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::budget::Cost;
use crate::id::RunId;

/// How deep calls of skills may nest: a run that a person launched is 0 deep. Enough for skills that are made of skills, and an end for one that calls itself.
pub const DEPTH_MAX: u32 = 8;

/// The most bytes of an input, and of a result that is passed on.
pub const VALUE_BYTES_MAX: usize = 8 << 20;

/// `skills.call`; answers the result of the other skill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The name of the skill.
    pub skill: String,
    /// Its input.
    pub input: Value,
    /// What it may spend of what the caller may.
    #[serde(default, skip_serializing_if = "Allowance::is_silent")]
    pub allowance: Allowance,
    /// What later versions of the world add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
}

/// What a skill that is called may spend; a part of what its caller has left, of what is not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// How many performances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// How many tokens, read and written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Millionths of a dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microdollars: Option<u64>,
}

impl Allowance {
    fn is_silent(&self) -> bool {
        *self == Self::default()
    }

    /// Returns what is allowed, where nothing else is said so much.
    #[must_use]
    pub fn or(&self, share: Cost) -> Cost {
        Cost {
            calls: self.calls.unwrap_or(share.calls),
            tokens: self.tokens.unwrap_or(share.tokens),
            microdollars: self.microdollars.unwrap_or(share.microdollars),
        }
    }
}

/// What is recorded before a skill that is called is waited for: that it was launched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launched {
    /// The run that was made for the call.
    pub run: RunId,
}
