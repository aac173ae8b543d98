//! What a guest may hold beside its memory, and how much it may say (rule G9).
//!
//! It stands in `started`, so that what a guest can notice of a limit is the same at every replay, whatever the configuration says by then.

use serde::{Deserialize, Serialize};

/// What a guest may hold beside its memory, and how much it may say.
///
/// A persisted form: a journal that does not name a limit was begun under its default here, so the defaults of released versions stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Holdings {
    /// The most core instances that it is made of.
    pub instances: u32,
    /// The most memories.
    pub memories: u32,
    /// The most tables.
    pub tables: u32,
    /// The most elements of a table.
    pub table_elements: u32,
    /// The most bytes that one call of a host function carries.
    pub call_bytes: u64,
    /// The most calls that are open at once.
    pub open_calls: u32,
    /// The most handles: open calls, sets, streams, timers, and resources of its own.
    pub handles: u32,
    /// The most that it does between two outcomes: calls started and dropped, lines logged.
    pub acts: u32,
    /// The most bytes of requests and lines between two outcomes.
    pub act_bytes: u64,
    /// The most lines of its log that are kept, and as many again of what programs print for it.
    pub log_lines: u64,
    /// The most bytes of these lines.
    pub log_bytes: u64,
}

impl Holdings {
    /// Returns whether everything is as a journal has it that names nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Holdings {
    fn default() -> Self {
        Self {
            instances: 100,
            memories: 8,
            tables: 50,
            table_elements: 100_000,
            call_bytes: 24 << 20,
            open_calls: 10_000,
            handles: 25_000,
            acts: 100_000,
            act_bytes: 256 << 20,
            log_lines: 100_000,
            log_bytes: 64 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn what_a_journal_does_not_name_is_as_it_was_when_that_was_written() {
        let read: Holdings = serde_json::from_str(r#"{"log_lines":7}"#).unwrap();
        assert_eq!((read.log_lines, read.open_calls), (7, 10_000));
        // A change here would have runs that are under way meet other limits than they began under.
        let text = serde_json::to_string(&Holdings::default()).unwrap();
        assert_eq!(
            text,
            "{\"instances\":100,\"memories\":8,\"tables\":50,\"table_elements\":100000,\"call_bytes\":25165824,\"open_calls\":10000,\"handles\":25000,\
             \"acts\":100000,\"act_bytes\":268435456,\"log_lines\":100000,\"log_bytes\":67108864}"
        );
    }
}
