//! What a command's exit code says.

use std::process::ExitCode;

/// How a command ended, as its exit code. Scripts and agents branch on these, so a number never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what it was asked.
    Done = 0,
    /// What was given does not fit: an unknown run, a field that the skill does not have, a word that is no option.
    Invalid = 10,
    /// The host could not: no provider, no home folder, a worker that broke off.
    Host = 20,
    /// The skill failed.
    Failed = 30,
    /// The run waits for somebody or for a time.
    Waiting = 40,
    /// The time is over, and the run goes on.
    GoesOn = 45,
    /// The run was cancelled.
    Cancelled = 50,
    /// The disk or the database could not.
    Storage = 60,
    /// Somebody else holds the run.
    Held = 70,
    /// This host does not have what the skill needs.
    Unsupported = 80,
    /// A fault of skillhost itself.
    Internal = 90,
}

impl Exit {
    /// Returns the number.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
