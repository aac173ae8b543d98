//! `logs`: what a run said while it ran.

use serde_json::json;
use skillhost_core::machine::{Level, Line};
use skillhost_journal::{Journal, LineRow, RunRow};

use super::args::LogsArgs;
use super::context::Context;
use super::drive;
use super::report::{Envelope, Report, Rows};
use super::waits::utc;
use crate::error::Result;
use crate::terminal::{plain, plain_line};
use crate::timeline::duration;

/// How many lines are read at a time.
const LINES_AT_ONCE: usize = 4_096;

pub(super) fn run(args: &LogsArgs, context: &Context) -> Result<Report> {
    let journal = context.journal()?;
    let row = context.find(journal.as_ref(), &args.run)?;
    let (lines, left_out) = last_lines(journal.as_ref(), &row, args.limit)?;
    let text: String = lines.iter().map(|line| for_people(line, &row)).collect();
    let values = lines.iter().map(|line| json!({"at": utc(line.at), "line": line.line}));
    let envelope = Envelope {
        rows: Some(Rows::Lines(values.collect())),
        more: left_out,
        ..drive::envelope(&row)
    };
    let mut report = Report::done(text, envelope);
    if lines.is_empty() {
        report.notes = format!("run {} logged nothing\n", row.run);
    } else if left_out > 0 {
        report.notes = format!(
            "{left_out} earlier lines are left out: `skillhost logs {} --limit {}`\n",
            row.run,
            left_out + lines.len()
        );
    }
    Ok(report)
}

/// Returns the last lines of the log, `most` at most, and how many there are before them.
pub(super) fn last_lines(journal: &dyn Journal, row: &RunRow, most: usize) -> Result<(Vec<LineRow>, usize)> {
    let mut lines = std::collections::VecDeque::new();
    let mut left_out = 0;
    let mut after = None;
    loop {
        let read = journal.lines(&row.run, after, LINES_AT_ONCE)?;
        let Some(last) = read.last() else { break };
        after = Some(last.key);
        lines.extend(read);
        let surplus = lines.len().saturating_sub(most);
        lines.drain(..surplus);
        left_out += surplus;
    }
    Ok((lines.into(), left_out))
}

fn for_people(row: &LineRow, run: &RunRow) -> String {
    let at = duration(row.at.since(run.created_at));
    let (kind, text) = match &row.line {
        Line::Message { level, message, place } => (level_word(*level), with_place(message, place.as_deref())),
        Line::Printed { stderr, text, place } => {
            let kind = if *stderr { "stderr" } else { "stdout" };
            (kind, with_place(text, place.as_deref()))
        }
        Line::Progress { label, done, total } => {
            let total = total.map_or_else(String::new, |total| format!(" of {total}"));
            ("progress", format!("{}: {done}{total}", plain_line(label)))
        }
    };
    format!(
        "{:>9}  {kind:<8}  {}\n",
        format!("+{at}"),
        text.trim_end().replace('\n', "\n                     ")
    )
}

/// Returns what was said, and from where in the source if that is known.
fn with_place(text: &str, place: Option<&str>) -> String {
    let place = place.map(|place| format!("  ({})", plain_line(place)));
    format!("{}{}", plain(text).trim_end(), place.unwrap_or_default())
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}
