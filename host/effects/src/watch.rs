//! What is seen of a performance while it lasts. Nothing here is recorded: it is for whoever watches.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use skillhost_core::id::Number;

/// Receives the progress of a run's performances. Cheap to clone.
#[derive(Clone, Default)]
pub struct Watch(Option<Arc<Sink>>);

type Sink = dyn Fn(Number, Progress) + Send + Sync;

/// How far a performance is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It waits for one of the provider's slots.
    Queued,
    /// It began; this is the how-many-th performance of the call, from 1.
    Started {
        /// From 1.
        attempt: u32,
    },
    /// An answer is streaming in.
    Streamed {
        /// Bytes of it so far.
        bytes: u64,
        /// Tokens written so far, where the provider has said.
        tokens: Option<u64>,
    },
    /// A program printed a line.
    Printed {
        /// Whether on standard error.
        stderr: bool,
        /// The line, without its end.
        text: String,
    },
}

impl Watch {
    /// Hands each progress to `sink`, which must not block.
    pub fn new(sink: impl Fn(Number, Progress) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(sink)))
    }

    /// Watches nothing.
    pub fn silent() -> Self {
        Self(None)
    }

    pub(crate) fn report(&self, number: Number, progress: Progress) {
        if let Some(sink) = &self.0 {
            sink(number, progress);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Watch(..)" } else { "Watch(silent)" })
    }
}
