//! `retry`: a run that is over goes on in a new one, which begins with a copy of it (rules F1 to F6). What was answered is kept, and not paid for again.

use std::sync::Arc;

use clap::Args;
use skillhost_core::copy::{self, Plan, Redo};
use skillhost_core::entry::Record;
use skillhost_core::id::{Number, RunId};
use skillhost_core::machine::Status;
use skillhost_journal::{RunFilter, RunRow};

use super::args::Here;
use super::branch::{self, Begun, Branch};
use super::context::{Context, Session};
use super::drive::{self, Drive};
use super::list;
use super::report::{Envelope, Report, Rows};
use crate::driver;
use crate::error::{CliError, Result};
use crate::exit::Exit;

/// `retry`.
#[derive(Debug, Args)]
#[command(after_help = "\
The new run takes the place of the old one under its launch id. It goes on before the last call that failed and performs
that again; what was answered before is kept. Files that the skill changed outside of its own folder stay as they are.

Examples:
  skillhost retry nightly
  skillhost retry nightly --from 7
  skillhost retry --all-failed")]
pub struct RetryArgs {
    /// The run: its id, its launch id, or the beginning or end of one
    #[arg(required_unless_present = "all_failed", conflicts_with = "all_failed")]
    pub run: Option<String>,
    /// Go on before this call, and perform it again
    #[arg(long, value_name = "CALL", conflicts_with_all = ["upgrade", "all_failed"])]
    pub from: Option<u64>,
    /// Go on at the end, with the skill as it is installed now, if that does what the run recorded
    #[arg(long, conflicts_with = "all_failed")]
    pub upgrade: bool,
    /// Retry every run that failed, and go on with every one that is parked because attempts at it failed
    #[arg(long)]
    pub all_failed: bool,
    /// Wait until the run is over
    #[arg(long = "await", conflicts_with = "all_failed")]
    pub wait: bool,
    /// Where it is driven
    #[command(flatten)]
    pub here: Here,
}

pub(super) fn run(args: &RetryArgs, context: &Context) -> Result<Report> {
    let journal = context.journal()?;
    let session = context.session(Arc::clone(&journal));
    let how = Drive {
        command: "retry",
        wait: args.wait,
        here: args.here.here,
    };
    let Some(run) = &args.run else {
        return all_failed(&session, how);
    };
    let row = context.find(journal.as_ref(), run)?;
    let begun = begin(&session, &row, args.from.map(Number), args.upgrade)?;
    let mut report = drive::drive(&session, &begun.run, how)?;
    report.notes.insert_str(0, &begun.notes());
    Ok(report)
}

/// Retries all that failed, and goes on with all that is parked for a reason outside the skill.
fn all_failed(session: &Session<'_>, how: Drive) -> Result<Report> {
    let filter = RunFilter {
        status: vec![Status::Failed, Status::Parked],
        newest_of_launch: true,
        ..RunFilter::default()
    };
    let (mut values, mut text, mut notes) = (Vec::new(), String::new(), String::new());
    let mut exit = Exit::Done;
    let journal = &session.journal;
    for row in journal.runs(&filter)? {
        let run = match row.status {
            Status::Failed => match begin(session, &row, None, false) {
                Ok(begun) => begun.run,
                Err(error) => {
                    notes.push_str(&format!("left alone: {}\n", error.sentence()));
                    continue;
                }
            },
            _ if row.trouble.is_some() => row.run.clone(),
            _ => continue,
        };
        if let Err(error) = drive::drive(session, &run, how) {
            notes.push_str(&format!("run {run}: {}\n", error.sentence()));
            exit = error.exit;
        }
        text.push_str(&format!("run {run} of skill {} goes on\n", row.skill));
        values.push(list::value(session.context, &journal.run(&run)?));
    }
    if values.is_empty() {
        text = "nothing failed that can be retried".to_owned();
    }
    let mut report = Report::done(text, Envelope::of_rows(Rows::Runs(values)));
    report.notes = notes;
    report.exit = exit;
    Ok(report)
}

/// Makes the new run.
fn begin(session: &Session<'_>, row: &RunRow, from: Option<Number>, upgrade: bool) -> Result<Begun> {
    if !row.status.is_final() {
        let message = format!("run `{}` is not over ({})", row.run, row.status.as_str());
        return Err(CliError::invalid("run_is_not_over", message)
            .hint(format!("`skillhost resume {}` goes on with it", row.run)));
    }
    let journal = &session.journal;
    if row.superseded {
        let newest = newest_of(session, row)?;
        return Err(moved(row, &newest));
    }
    let records = journal.all_records(&row.run)?;
    let (cut, again) = cut(row, &records, from, upgrade)?;
    let branch = Branch {
        row,
        records: &records,
        plan: Plan {
            redo: Redo::Calls(again.into_iter().collect()),
            ..Plan::new(driver::new_run_id(), driver::now(), cut)
        },
        folder_as_it_is: upgrade,
        follows: true,
    };
    branch.begin(session, again.into_iter().collect(), |copy| {
        if upgrade {
            let pin = branch::installed(session, row)?;
            (copy.started.bundle, copy.started.component) = (pin.bundle, pin.component);
        }
        Ok(upgrade)
    })
}

/// Returns the newest run of a launch.
fn newest_of(session: &Session<'_>, row: &RunRow) -> Result<RunId> {
    Ok(session.journal.find_run(row.launch.as_str())?)
}

pub(super) fn moved(row: &RunRow, newest: &RunId) -> CliError {
    let message = format!("run `{}` was retried already: run `{newest}` took its place", row.run);
    CliError::new(Exit::Held, "launch_moved", message).hint(format!("`skillhost show {newest}` shows it"))
}

/// Says where to cut, and which call is performed again (rule F6).
fn cut(row: &RunRow, records: &[Record], from: Option<Number>, upgrade: bool) -> Result<(u64, Option<Number>)> {
    let run = &row.run;
    if upgrade {
        let outcomes = records.iter().filter(|record| record.entry.is_outcome()).count();
        return Ok((outcomes as u64, None));
    }
    if let Some(number) = from {
        let cut = copy::call_cut(records, number).ok_or_else(|| {
            CliError::invalid("unknown_call", format!("run `{run}` made no call {number}"))
                .hint(format!("`skillhost show {run} --all` lists its calls"))
        })?;
        return Ok((cut, Some(number)));
    }
    if row.status == Status::Cancelled
        && let Some(cut) = copy::cancel_cut(records)
    {
        return Ok((cut, None));
    }
    match copy::retry_cut(records) {
        Some((cut, number)) if row.status == Status::Failed => Ok((cut, Some(number))),
        _ => {
            let message = match row.status {
                Status::Failed => format!("run `{run}` failed though no call of it did: again it would fail again"),
                _ => format!("run `{run}` is {}, and has nothing to retry", row.status.as_str()),
            };
            Err(CliError::invalid("nothing_to_retry", message).hint(format!(
                "`skillhost retry {run} --from CALL` goes on before a call; `--upgrade` goes on with the skill as it is installed now"
            )))
        }
    }
}
