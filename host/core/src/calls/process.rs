//! `process`: programs of the user's machine.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::Bytes;

/// The most arguments.
pub const ARGUMENTS_MAX: usize = 4_096;
/// The most bytes of a program's name, its arguments and its variables together.
pub const COMMAND_BYTES_MAX: usize = 1 << 20;
/// The most bytes that a program is given to read.
pub const INPUT_BYTES_MAX: usize = 8 << 20;
/// How much of each output is kept where the command does not say.
pub const KEEP_BYTES_DEFAULT: u32 = 256 << 10;
/// The most of each output that is kept.
pub const KEEP_BYTES_MAX: u32 = 4 << 20;
/// How long a program may take where the call does not say.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(3_600);

/// `process.run`; answers [`Ended`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// A name, or an absolute path.
    pub program: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// The folder it is run in, with its mount; `run/` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// What it reads.
    #[serde(default = "nothing", skip_serializing_if = "is_nothing")]
    pub input: Bytes,
    /// Variables with values other than the user's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// How much of each output is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_bytes: Option<u32>,
    /// Whether both outputs are one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merged: bool,
    /// What later versions of the world add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

/// What a program printed on one of its outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The end of it.
    pub kept: Bytes,
    /// How many bytes came before that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut_bytes: u64,
}

/// What came of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How it ended.
    pub end: End,
    /// What it printed.
    pub stdout: Output,
    /// What it printed on standard error, unless the outputs were merged.
    #[serde(default = "Output::empty", skip_serializing_if = "Output::is_empty")]
    pub stderr: Output,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
}

impl Output {
    /// Returns that of a program that printed nothing.
    pub fn empty() -> Self {
        Self {
            kept: nothing(),
            cut_bytes: 0,
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::empty()
    }
}

impl Ended {
    /// Returns what a person says in a program's place: that all went well, with these words.
    pub fn said(text: String) -> Self {
        Self {
            end: End::Exited(0),
            stdout: Output {
                kept: Bytes(text.into_bytes()),
                cut_bytes: 0,
            },
            stderr: Output::empty(),
            extra: None,
        }
    }
}

fn nothing() -> Bytes {
    Bytes(Vec::new())
}

fn is_nothing(bytes: &Bytes) -> bool {
    bytes.0.is_empty()
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
