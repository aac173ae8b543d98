//! The shape that each function's request and answer have in a journal.
//!
//! These are persisted forms: they are only ever extended, by members that may be absent. One file per interface of the world; a function that
//! returns nothing answers `null`.

pub mod clock;
pub mod files;
pub mod inbox;
pub mod model;
pub mod run;
pub mod signals;
#[cfg(feature = "test-capability")]
pub mod test;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Whether a development run may answer a call from an earlier record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reuse {
    /// As the function's class says.
    #[default]
    Auto,
    /// Never.
    Fresh,
    /// Always.
    Pure,
}

/// How a call is to be made: recorded, never compared (rule G2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallOptions {
    /// What the timeline shows instead of the function's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The longest it may take, in nanoseconds of time driven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ns: Option<u64>,
    /// How often it may be performed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Whether a recorded answer may be reused in development.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reuse: Reuse,
    /// Whether performing it twice is as once although its class says otherwise.
    #[serde(default, skip_serializing_if = "is_default")]
    pub idempotent: bool,
    /// Whether it is made to clean up after a cancellation (rule C2).
    #[serde(default, skip_serializing_if = "is_default")]
    pub cleanup: bool,
    /// What later versions of the world add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
}

impl CallOptions {
    /// Returns the longest it may take.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_ns.map(Duration::from_nanos)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
