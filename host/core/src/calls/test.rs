//! `test`: the at-most-once capability that exists for tests only.

use serde::{Deserialize, Serialize};

/// `test.act`; its answer is a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// Names the act in the tests' record of what was done.
    pub name: String,
}
