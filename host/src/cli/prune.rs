//! `prune` and `discard`: forget runs that are over, with their files and results.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use skillhost_core::id::{RunId, WorkerId};
use skillhost_core::machine::Status;
use skillhost_core::time::Timestamp;
use skillhost_journal::{Journal, RunFilter, SqliteJournal, Taken, failpoint};

use super::context::Context;
use super::list::status;
use super::report::{Envelope, Report, Rows};
use super::since;
use crate::digest_cache::DigestCache;
use crate::error::{CliError, Result};
use crate::terminal;
use crate::timeline::count;
use crate::{daemon, driver, failpoints, leftovers};

/// Every status of a run that is over.
const FINAL: [Status; 4] = [Status::Done, Status::Failed, Status::Cancelled, Status::Continued];

/// What a run was pinned to is kept for so long after it was put there, in microseconds: a launch that is under way may be about to use it.
const BUNDLE_AGE_MIN: u64 = 3_600 * 1_000_000;

/// Less than this is left in the database for what comes.
const FREE_BYTES_MIN: u64 = 256 * 1_024;

/// `prune`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost prune
  skillhost prune --older-than 7d --status done
  skillhost prune --older-than 90d --status parked")]
pub struct PruneArgs {
    /// Forget runs that ended so long ago: `30d`, or before a day such as `2026-11-20`
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub older_than: String,
    /// Forget runs that ended so only: done, failed, cancelled, continued; parked ones go only if they are named here
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
    let may_go = |status: &Status| status.is_final() || *status == Status::Parked;
    if let Some(open) = statuses.iter().find(|status| !may_go(status)) {
        let message = format!("a run that is {} is not over and cannot be forgotten", open.as_str());
        return Err(CliError::invalid("run_is_not_over", message)
            .hint("`skillhost cancel RUN` ends a run; `skillhost discard RUN` forgets one that is parked"));
    }
    let journal = context.database()?;
    let parked = match statuses.contains(&Status::Parked) {
        true => parked_before(&journal, before)?,
        false => Vec::new(),
    };
    for run in &parked {
        give_back(&journal, run, context)?;
    }
    let pruned = journal.prune(before, &statuses)?;
    let mut report = forgotten(&journal, &pruned.runs, context)?;
    if let Some(error) = pruned.stopped {
        let error = CliError::from(error);
        let message = format!("{} and then could not go on: {}", report.text, error.sentence());
        return Err(CliError::new(error.exit, error.code, message)
            .hint("the others are as they were; `skillhost doctor` checks the state folder"));
    }
    let used = parked.iter().filter(|run| !pruned.runs.contains(run)).count();
    if used > 0 {
        report.notes += &format!(
            "{} left: a worker holds it, or something was told or left since; `skillhost list --status parked` shows them\n",
            count(used as u64, "parked run")
        );
    }
    let swept = sweep(&journal, context)?;
    if swept > 0 {
        report.notes += &format!(
            "removed {} of runs that the journal does not have\n",
            count(swept, "leftover")
        );
    }
    report.notes += &reclaim(&journal, context)?;
    Ok(report)
}

/// Gives the room that is free in the database back to the disk, if there is much, and says so.
fn reclaim(journal: &SqliteJournal, context: &Context) -> Result<String> {
    let before = journal.space()?;
    if before.free_bytes < FREE_BYTES_MIN {
        return Ok(String::new());
    }
    match journal.is_reclaimable()? {
        true => journal.reclaim()?,
        // It was made before this could be done while others use it.
        false if daemon::is_there(&context.home) => {
            return Ok("the database keeps that for what comes; `skillhost worker stop`, and then `skillhost prune`, gives it back to the disk\n".to_owned());
        }
        false => journal.rewrite()?,
    }
    let given = before.bytes.saturating_sub(journal.space()?.bytes);
    Ok(format!("the database is smaller by {}\n", count(given, "byte")))
}

/// Returns the runs that are parked and have no entry since.
fn parked_before(journal: &dyn Journal, before: Timestamp) -> Result<Vec<RunId>> {
    let parked = RunFilter {
        status: vec![Status::Parked],
        ..RunFilter::default()
    };
    let old = journal.runs(&parked)?.into_iter().filter(|row| row.updated_at < before);
    Ok(old.map(|row| row.run).collect())
}

/// Removes what runs left behind that the journal does not have, and returns how much it was.
fn sweep(journal: &dyn Journal, context: &Context) -> Result<u64> {
    let mut swept = 0;
    for path in leftovers::find(&context.home, journal)? {
        let removed = match path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        swept += u64::from(removed.is_ok());
        warn(&path, removed, context);
    }
    Ok(swept)
}

pub(super) fn discard(args: &DiscardArgs, context: &Context) -> Result<Report> {
    let journal = context.database()?;
    // All are found, and may go, before any is forgotten.
    let mut runs: Vec<RunId> = Vec::new();
    for text in &args.runs {
        let row = context.find(&journal, text)?;
        if !row.status.is_final() && row.status != Status::Parked {
            let message = format!("run `{}` is not over ({})", row.run, row.status.as_str());
            return Err(
                CliError::invalid("run_is_not_over", message).hint(format!("`skillhost cancel {}` ends it", row.run))
            );
        }
        if !runs.contains(&row.run) {
            runs.push(row.run);
        }
    }
    let mut gone = Vec::new();
    let mut failed = Ok(());
    for run in runs {
        match remove(&journal, &run, context) {
            Ok(()) => gone.push(run),
            Err(error) => {
                failed = Err(error);
                break;
            }
        }
    }
    // What is left of those that went goes too, whatever became of the others.
    let report = forgotten(&journal, &gone, context)?;
    failed.map(|()| report)
}

/// Removes a run that is over, or that is parked and that nobody drives.
fn remove(journal: &dyn Journal, run: &RunId, context: &Context) -> Result<()> {
    give_back(journal, run, context)?;
    Ok(journal.remove_run(run)?)
}

/// Gives the lease of a run back whose worker died, as the worker would have done.
fn give_back(journal: &dyn Journal, run: &RunId, context: &Context) -> Result<()> {
    let lease = journal.lease(run)?;
    let is_dead = |holder: &WorkerId| !driver::is_alive(&context.home, holder);
    if lease.holder.as_ref().is_some_and(is_dead) {
        let nobody = WorkerId::parse("w-discard").expect("it is a worker id");
        if let Taken::At(epoch) = journal.claim(run, &nobody, &lease)? {
            journal.release(run, epoch)?;
        }
    }
    Ok(())
}

/// Returns the files that hold calls of a run which were too long to be shown on a line.
fn calls_shown(context: &Context, run: &RunId) -> Vec<PathBuf> {
    let result = context.home.result(run);
    let found = result.parent().and_then(|folder| fs::read_dir(folder).ok());
    let paths = found.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let prefix = format!("{run}-");
    let is_of_run = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(&prefix))
    };
    paths.filter(is_of_run).collect()
}

/// Removes what is left of runs that are no longer in the journal, and says so.
fn forgotten(journal: &SqliteJournal, runs: &[RunId], context: &Context) -> Result<Report> {
    failpoint::hit(failpoints::FORGOTTEN);
    // Those of whoever was killed before it came so far, too.
    let removed = journal.removed()?;
    for run in &removed {
        // The run is gone already, so that its files cannot be removed is told and fails nothing.
        let (folder, result) = (context.home.run(run), context.home.result(run));
        warn(&folder, fs::remove_dir_all(&folder), context);
        for path in std::iter::once(result).chain(calls_shown(context, run)) {
            let removed = fs::remove_file(&path);
            warn(&path, removed, context);
        }
        failpoint::hit(failpoints::FILES_REMOVED);
    }
    journal.forget_removed(&removed)?;
    failpoint::hit(failpoints::REMOVED);
    for row in journal.installed()? {
        if !row.place.folder.join(row.place.skill.as_str()).exists() {
            DigestCache::anew(&context.home.digests(), &row.place).forget();
            journal.uninstall(&row.place)?;
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
