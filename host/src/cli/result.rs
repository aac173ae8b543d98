//! `result`: the result of a run and nothing else.

use skillhost_core::entry::{Entry, Finished, How};
use skillhost_core::id::Seq;
use skillhost_journal::{Journal, RunRow};

use super::args::RunArgs;
use super::context::Context;
use super::report::Report;
use super::{drive, waits};
use crate::error::{CliError, Result};
use crate::exit::Exit;

pub(super) fn run(args: &RunArgs, context: &Context) -> Result<Report> {
    let journal = context.journal()?;
    let row = context.find(journal.as_ref(), &args.run)?;
    if !row.status.is_final() {
        return waits::report(context, journal.as_ref(), &row);
    }
    let finished = finished(journal.as_ref(), &row)?;
    let result = match &finished.how {
        How::Done(result) => Some(drive::for_people(result)),
        _ => None,
    };
    let mut report = drive::of_finished(&row, finished);
    if let Some(result) = result {
        report.text = result;
        report.notes = if row.simulated {
            format!("{}\n", drive::SIMULATED)
        } else {
            String::new()
        };
    }
    report.result_file = Some(context.home.result(&row.run));
    Ok(report)
}

/// Returns the last entry of a run that is over.
pub(super) fn finished(journal: &dyn Journal, row: &RunRow) -> Result<Finished> {
    let last = Seq(row.entries.saturating_sub(1));
    match journal.records(&row.run, last, 1)?.pop().map(|record| record.entry) {
        Some(Entry::Finished(finished)) => Ok(finished),
        _ => {
            let message = format!(
                "run `{}` is {}, and its journal does not end so",
                row.run,
                row.status.as_str()
            );
            Err(CliError::new(Exit::Storage, "damaged", message).hint("`skillhost doctor` checks the database"))
        }
    }
}
