//! What a command tells its user when it cannot do what it was asked.
//!
//! This is the one place where the errors of the other crates become the user's: which exit code, which word for programs, which hint.

use std::error::Error;
use std::fmt;

use skillhost_effects::model;
use skillhost_effects::stored::Unusable;
use skillhost_journal::{BundleError, FindError, JournalError, OpenError};

use crate::exit::Exit;

/// An error for whoever gave the command.
#[derive(Debug)]
pub struct CliError {
    /// The exit code.
    pub exit: Exit,
    /// A short word in snake case that a program can compare.
    pub code: &'static str,
    /// What was attempted and what is wrong with it.
    pub message: String,
    /// The causes, outermost first.
    pub causes: Vec<String>,
    /// What to do, in words that can be pasted.
    pub hint: Option<String>,
}

/// What a command comes to.
pub type Result<T, E = CliError> = std::result::Result<T, E>;

impl CliError {
    /// Makes an error without causes.
    pub fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
        }
    }

    /// Makes the error of an input that does not fit.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Exit::Invalid, code, message)
    }

    /// Makes one of an error and all that caused it.
    pub fn of(exit: Exit, code: &'static str, error: &dyn Error) -> Self {
        Self::new(exit, code, error.to_string()).because_of(error.source())
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what to do, if there is something.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// Adds the error that caused it, and what caused that.
    #[must_use]
    pub fn caused_by(self, cause: &dyn Error) -> Self {
        self.because_of(Some(cause))
    }

    fn because_of(mut self, mut cause: Option<&dyn Error>) -> Self {
        while let Some(error) = cause {
            let text = error.to_string();
            // Errors that pass on their source's own words would say them twice.
            if self.causes.last() != Some(&text) && self.message != text {
                self.causes.push(text);
            }
            cause = error.source();
        }
        self
    }

    /// Returns the message with its causes, as one sentence.
    pub fn sentence(&self) -> String {
        let mut sentence = self.message.clone();
        for cause in &self.causes {
            sentence.push_str(": ");
            sentence.push_str(cause);
        }
        sentence
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence())
    }
}

impl Error for CliError {}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        let code = match &error {
            OpenError::Newer { .. } => "journal_newer",
            OpenError::Locked { .. } => "journal_locked",
            OpenError::NotADatabase { .. } | OpenError::Foreign { .. } => "journal_foreign",
            OpenError::Folder { .. } | OpenError::NotWritable { .. } => "journal_not_writable",
            OpenError::Storage { .. } => "storage",
        };
        let hint = error.hint();
        Self::of(Exit::Storage, code, &error).hint(hint)
    }
}

impl From<JournalError> for CliError {
    fn from(error: JournalError) -> Self {
        let (exit, code, hint) = match &error {
            JournalError::UnknownRun { .. } => (
                Exit::Invalid,
                "unknown_run",
                Some("`skillhost list` shows the runs".to_owned()),
            ),
            JournalError::Over { run, .. } => (
                Exit::Invalid,
                "run_is_over",
                Some(format!("`skillhost show {run}` shows how it ended")),
            ),
            JournalError::NotOver { run, .. } => (
                Exit::Invalid,
                "run_is_not_over",
                Some(format!("`skillhost cancel {run}` ends it")),
            ),
            JournalError::Answered { run, .. } => (
                Exit::Held,
                "answered",
                Some(format!("`skillhost show {run}` tells what became of it")),
            ),
            JournalError::QuestionClosed { run, .. } => (
                Exit::Held,
                "question_closed",
                Some(format!("`skillhost show {run}` tells what the run waits for")),
            ),
            JournalError::LaunchMoved { launch, .. } => (
                Exit::Held,
                "launch_moved",
                Some(format!("`skillhost show {launch}` shows its newest run")),
            ),
            JournalError::NoBundle { .. } | JournalError::BadCopy { .. } | JournalError::Closed => {
                (Exit::Internal, "internal", Some(REPORT.to_owned()))
            }
            JournalError::Damaged { .. } | JournalError::DamagedRow { .. } => (Exit::Storage, "damaged", None),
            JournalError::Storage { .. } => (
                Exit::Storage,
                "storage",
                Some("`skillhost doctor` checks the disk and the database".to_owned()),
            ),
        };
        Self::of(exit, code, &error).maybe_hint(hint)
    }
}

impl From<FindError> for CliError {
    fn from(error: FindError) -> Self {
        let code = match error {
            FindError::Journal(error) => return error.into(),
            FindError::Unknown { .. } => "unknown_run",
            FindError::Ambiguous { .. } => "ambiguous_run",
            FindError::TooShort { .. } => "run_id_too_short",
        };
        Self::of(Exit::Invalid, code, &error).hint("`skillhost list` shows the runs")
    }
}

impl From<BundleError> for CliError {
    fn from(error: BundleError) -> Self {
        match error {
            BundleError::Journal(error) => error.into(),
            BundleError::Changed { .. } => Self::of(Exit::Host, "skill_changed", &error),
            other => Self::of(Exit::Invalid, "bad_skill", &other),
        }
    }
}

impl From<Unusable> for CliError {
    fn from(error: Unusable) -> Self {
        model::OpenError::from(error).into()
    }
}

impl From<model::OpenError> for CliError {
    fn from(error: model::OpenError) -> Self {
        let exit = match &error {
            model::OpenError::Unknown { .. } => Exit::Invalid,
            _ => Exit::Host,
        };
        let hint = error.hint();
        Self::of(exit, error.code(), &error).hint(hint)
    }
}

/// What to do about a fault of ours.
pub const REPORT: &str = "this is a fault of skillhost: please report it with the output of `skillhost doctor`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_only_repeats_its_effect_is_said_once() {
        let inner = std::io::Error::other("disk on fire");
        let error = CliError::new(Exit::Storage, "storage", "could not read `x`")
            .caused_by(&inner)
            .caused_by(&inner);
        assert_eq!(error.sentence(), "could not read `x`: disk on fire");
    }
}
