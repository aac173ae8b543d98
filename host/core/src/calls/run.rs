//! `run`: what people tell a run on its way. The request of `run.notes` is `null`.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The longest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 64 << 10;

/// The most notes of one answer; further ones come with the next.
pub const NOTES_MAX: usize = 100;

/// A remark that somebody left; `run.notes` answers a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The remark.
    pub message: String,
    /// When it was left.
    pub at: Timestamp,
    /// Who left it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}
