//! The run's log (rule J5), and how much of it is kept.
//!
//! What comes after the last line that is kept is counted. That the log is full is said once, when it is, and how much was left out when the guest is over. The guest's own
//! lines and what programs print for it are counted apart: no replay prints the latter, and which of its own lines a guest finds kept must not depend on them.

use super::event::{Level, Line};
use super::{Machine, Write};
use crate::holdings::Holdings;

/// The first ordinal of lines that no replay says again. A guest that logged so often between two outcomes would be stopped long before.
pub(super) const SAID_FIRST: u64 = 1 << 62;

/// How much was said.
#[derive(Debug, Default)]
pub(super) struct Volume {
    lines: u64,
    bytes: u64,
    /// How many lines were left out, and their bytes.
    left_out: (u64, u64),
}

/// What becomes of a line.
enum Place {
    Kept,
    /// It is the first that is left out.
    First,
    LeftOut,
}

impl Volume {
    fn take(&mut self, line: &Line, max: &Holdings) -> Place {
        let bytes = match line {
            Line::Message { message, .. } => message.len(),
            Line::Printed { text, .. } => text.len(),
            Line::Progress { label, .. } => label.len(),
        } as u64;
        if self.left_out.0 == 0 && self.lines < max.log_lines && self.bytes.saturating_add(bytes) <= max.log_bytes {
            self.lines += 1;
            self.bytes += bytes;
            return Place::Kept;
        }
        self.left_out = (self.left_out.0 + 1, self.left_out.1.saturating_add(bytes));
        match self.left_out.0 {
            1 => Place::First,
            _ => Place::LeftOut,
        }
    }
}

impl Machine {
    /// Adds what the guest said to the log.
    pub(super) fn log(&mut self, line: Line) {
        let place = self.logged.take(&line, &self.limits.holds);
        let kept = match place {
            Place::Kept => Some(line),
            Place::First => Some(self.is_full("what the skill says from here on")),
            Place::LeftOut => None,
        };
        if let Some(line) = kept {
            self.write_line(self.ordinal, line);
        }
        self.ordinal += 1;
    }

    /// Adds what a program printed to the log.
    ///
    /// No replay says it again, so its key need not be one that a replay finds, but must be one that no later attempt uses: it is made of the time (rule J5).
    pub(super) fn said(&mut self, line: Line) {
        let place = self.printed.take(&line, &self.limits.holds);
        let kept = match place {
            Place::Kept => Some(line),
            Place::First => Some(self.is_full("what programs print from here on")),
            Place::LeftOut => None,
        };
        if let Some(line) = kept {
            self.said = SAID_FIRST.saturating_add(self.now.0).max(self.said.saturating_add(1));
            self.write_line(self.said, line);
        }
    }

    /// Says how much of what the guest said was left out, now that it is over.
    pub(super) fn close_log(&mut self) {
        let (lines, bytes) = self.logged.left_out;
        if lines > 0 {
            let message = format!("{lines} lines of the skill, with {bytes} bytes, were left out of this log");
            self.write_line(self.ordinal, warning(message));
            self.ordinal += 1;
        }
    }

    fn is_full(&self, what: &str) -> Line {
        let Holdings {
            log_lines, log_bytes, ..
        } = self.limits.holds;
        warning(format!(
            "this log is full: {what} is counted, and not kept; `limits.log_lines` ({log_lines}) and `limits.log_mib` ({}) in the configuration keep more",
            log_bytes >> 20
        ))
    }

    fn write_line(&mut self, ordinal: u64, line: Line) {
        self.writes.push(Write::Line {
            after: self.consumed,
            ordinal,
            at: self.now,
            line,
        });
    }
}

fn warning(message: String) -> Line {
    Line::Message {
        level: Level::Warn,
        message,
        place: None,
    }
}
