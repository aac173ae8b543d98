//! `result`: the result of a run, or a file that it wrote, and nothing else.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use clap::Args;
use skillhost_core::entry::{Entry, Finished, How};
use skillhost_core::id::Seq;
use skillhost_journal::{Journal, RunRow};

use super::context::Context;
use super::report::{Envelope, Report};
use super::{drive, waits};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::read_regular;
use crate::terminal::plain;

/// The largest file that is printed, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// How much of a file programs are shown, in characters.
const PREVIEW_CHARS: usize = 400;

/// `result`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost result nightly
  skillhost result nightly --file report.md > report.md
  ls $(skillhost result nightly --path)")]
pub struct ResultArgs {
    /// The run: its id, its launch id, or the beginning or end of one
    pub run: String,
    /// Print this file of the run's folder instead
    #[arg(long, value_name = "NAME", conflicts_with = "path")]
    pub file: Option<PathBuf>,
    /// Print where the run's folder is instead
    #[arg(long)]
    pub path: bool,
}

pub(super) fn run(args: &ResultArgs, context: &Context) -> Result<Report> {
    let journal = context.journal()?;
    let row = context.find(journal.as_ref(), &args.run)?;
    if args.path {
        return folder(&row, context);
    }
    if let Some(name) = &args.file {
        return file(name, &row, context);
    }
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
        report.notes = simulated(&row);
    }
    report.result_file = Some(context.home.result(&row.run));
    Ok(report)
}

fn simulated(row: &RunRow) -> String {
    if row.simulated {
        format!("{}\n", drive::SIMULATED)
    } else {
        String::new()
    }
}

fn folder(row: &RunRow, context: &Context) -> Result<Report> {
    let folder = context.home.run(&row.run);
    if !folder.is_dir() {
        return Err(no_files(row));
    }
    let envelope = Envelope {
        result_path: Some(folder.clone()),
        ..drive::envelope(row)
    };
    // Not shortened with `~`: it is for other programs.
    Ok(Report::done(folder.display().to_string(), envelope))
}

fn file(name: &Path, row: &RunRow, context: &Context) -> Result<Report> {
    let folder = context.home.run(&row.run);
    if !folder.is_dir() {
        return Err(no_files(row));
    }
    // As the skill itself calls it, too.
    let below = name.strip_prefix("run").unwrap_or(name);
    let stays = below
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let path = folder.join(below);
    let shown = name.display();
    let listed = format!("`ls $(skillhost result {} --path)` lists its files", row.run);
    let real = stays.then(|| path.canonicalize().ok()).flatten();
    let inside = real.filter(|real| folder.canonicalize().is_ok_and(|folder| real.starts_with(folder)));
    let Some(real) = inside else {
        return Err(CliError::invalid("unknown_file", format!("run `{}` has no file `{shown}`", row.run)).hint(listed));
    };
    let unreadable = |e: &dyn std::error::Error| {
        CliError::invalid(
            "unreadable_file",
            format!("file `{shown}` of run `{}` cannot be printed", row.run),
        )
        .caused_by(e)
        .hint(format!("it is `{}`", path.display()))
    };
    let bytes = read_regular(&real, FILE_BYTES_MAX).map_err(|e| unreadable(&e))?;
    let text = String::from_utf8_lossy(&bytes);
    if context.terminal.stdout && !context.json && matches!(text, Cow::Owned(_)) {
        return Err(CliError::invalid(
            "unreadable_file",
            format!("file `{shown}` of run `{}` is no text", row.run),
        )
        .hint(format!("it is `{}`", path.display())));
    }
    let envelope = Envelope {
        result_path: Some(path.clone()),
        result_bytes: Some(bytes.len()),
        preview: Some(plain(&text).chars().take(PREVIEW_CHARS).collect()),
        ..drive::envelope(row)
    };
    // A file that goes to another file stays as it is; a person's terminal is not to be steered by it.
    let mut report = Report::done(plain(&text), envelope);
    report.raw = Some(bytes);
    report.notes = simulated(row);
    Ok(report)
}

fn no_files(row: &RunRow) -> CliError {
    CliError::invalid("no_files", format!("run `{}` has written no files", row.run))
        .hint(format!("`skillhost result {}` prints its result", row.run))
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
