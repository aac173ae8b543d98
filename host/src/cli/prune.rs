//! `prune` and `discard`: forget runs that are over, with their files and results.

use std::fs;
use std::io;
use std::path::Path;

use clap::Args;
use serde_json::json;
use skillhost_core::id::RunId;
use skillhost_core::machine::Status;
use skillhost_core::time::Timestamp;
use skillhost_journal::Journal;

use super::context::Context;
use super::list::status;
use super::report::{Envelope, Report, Rows};
use super::since;
use crate::driver;
use crate::error::{CliError, Result};
use crate::terminal;
use crate::timeline::count;

/// Every status of a run that is over.
const FINAL: [Status; 4] = [Status::Done, Status::Failed, Status::Cancelled, Status::Continued];

/// What a run was pinned to is kept for so long after it was put there, in microseconds: a launch that is under way may be about to use it.
const BUNDLE_AGE_MIN: u64 = 3_600 * 1_000_000;

/// `prune`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost prune
  skillhost prune --older-than 7d --status done")]
pub struct PruneArgs {
    /// Forget runs that ended so long ago: `30d`, or before a day such as `2026-11-20`
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub older_than: String,
    /// Forget runs that ended so only: done, failed, cancelled, continued
    #[arg(long, value_name = "STATUS")]
    pub status: Vec<String>,
}

/// `discard`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  skillhost discard nightly 01kf2q")]
pub struct DiscardArgs {
    /// The runs: their ids, launch ids, or the beginning or end of one
    #[arg(required = true)]
    pub runs: Vec<String>,
}

pub(super) fn prune(args: &PruneArgs, context: &Context) -> Result<Report> {
    let before = since::parse(&args.older_than, driver::now(), &context.zone)?;
    let statuses: Vec<Status> = match &args.status[..] {
        [] => FINAL.to_vec(),
        words => words.iter().map(|word| status(word)).collect::<Result<_>>()?,
    };
    if let Some(open) = statuses.iter().find(|status| !status.is_final()) {
        let message = format!("a run that is {} is not over and cannot be forgotten", open.as_str());
        return Err(CliError::invalid("run_is_not_over", message).hint("`skillhost cancel RUN` ends a run"));
    }
    let journal = context.journal()?;
    let runs = journal.prune(before, &statuses)?;
    forgotten(journal.as_ref(), &runs, context)
}

pub(super) fn discard(args: &DiscardArgs, context: &Context) -> Result<Report> {
    let journal = context.journal()?;
    // All are found, and are over, before any is forgotten.
    let mut runs: Vec<RunId> = Vec::new();
    for text in &args.runs {
        let row = context.find(journal.as_ref(), text)?;
        if !row.status.is_final() {
            let message = format!("run `{}` is not over ({})", row.run, row.status.as_str());
            return Err(
                CliError::invalid("run_is_not_over", message).hint(format!("`skillhost cancel {}` ends it", row.run))
            );
        }
        if !runs.contains(&row.run) {
            runs.push(row.run);
        }
    }
    for run in &runs {
        journal.remove_run(run)?;
    }
    forgotten(journal.as_ref(), &runs, context)
}

/// Removes what is left of runs that are no longer in the journal, and says so.
fn forgotten(journal: &dyn Journal, runs: &[RunId], context: &Context) -> Result<Report> {
    for run in runs {
        // The run is gone already, so that its files cannot be removed is told and fails nothing.
        let (folder, result) = (context.home.run(run), context.home.result(run));
        for (path, removed) in [
            (&folder, fs::remove_dir_all(&folder)),
            (&result, fs::remove_file(&result)),
        ] {
            warn(path, removed, context);
        }
    }
    let before = Timestamp(driver::now().0.saturating_sub(BUNDLE_AGE_MIN));
    let collected = journal.collect(before)?;
    context.refresh_inbox(journal);
    let text = format!("forgot {}", count(runs.len() as u64, "run"));
    let values = runs.iter().map(|run| json!(run)).collect();
    let mut report = Report::done(text, Envelope::of_rows(Rows::Forgotten(values)));
    if collected.bytes > 0 {
        report.notes = format!("{} of what only they needed are free\n", count(collected.bytes, "byte"));
    }
    Ok(report)
}

fn warn(path: &Path, removed: io::Result<()>, context: &Context) {
    if let Err(e) = removed
        && e.kind() != io::ErrorKind::NotFound
    {
        terminal::note(&format!("warning: could not remove `{}`: {e}", context.path(path)));
    }
}
