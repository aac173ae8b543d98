//! The run that goes on in the place of one that ended as continued: what waits for a launch follows it there.

use skillhost_core::entry::How;
use skillhost_core::id::RunId;
use skillhost_core::machine::Status;
use skillhost_journal::{Journal, JournalError, RunRow};

use super::result::finished;
use crate::error::Result;

/// Returns a run as it stands now, or the newest of those that went on in its place.
pub(super) fn newest(journal: &dyn Journal, run: &RunId) -> Result<RunRow> {
    let mut row = journal.run(run)?;
    while row.status == Status::Continued {
        let How::Continued(next) = finished(journal, &row)?.how else {
            break;
        };
        row = match journal.run(&next) {
            Ok(next) => next,
            // Somebody has it forgotten; what is left is the end of this one.
            Err(JournalError::UnknownRun { .. }) => break,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(row)
}
