//! What is shown of an execution: what was reused and what is new, what became different by the change, and what it cost.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use skillhost_core::entry::{By, How};
use skillhost_core::machine::Source;
use skillhost_journal::{InboxFilter, Journal};

use super::workshop::Execution;
use crate::comparison::{Difference, pairs};
use crate::error::Result;
use crate::readable::{difference, readable_payload};
use crate::terminal::{Table, plain_line};
use crate::timeline::{CallLine, Timeline, count, duration, grouped};

/// How many lines of a difference are shown.
const LINES_MAX: usize = 40;

/// How many calls are shown one by one.
const CALLS_MAX: usize = 40;

/// The longest file whose difference is shown, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// How long the parts of a round took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    /// The compiler.
    pub(super) build: Duration,
    /// From the built component to the end of the execution.
    pub(super) run: Duration,
}

/// What an execution came to, for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Development {
    /// How long the compiler took, in milliseconds.
    pub build_ms: u64,
    /// How long it took from the built component to the end of the execution.
    pub run_ms: u64,
    /// How many calls were answered by an earlier execution.
    pub calls_reused: usize,
    /// How many were made.
    pub calls_made: usize,
    /// The tokens that were spent.
    pub tokens: u64,
    /// The tokens that had been spent on what was reused.
    pub tokens_reused: u64,
    /// Whether the end is as it was in the execution before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_before: Option<bool>,
    /// What would have been posted to the inbox.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub posts: Vec<String>,
    /// The files that became different, or all there are if there was no execution before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// An execution beside the one before.
pub(super) struct Look<'a> {
    now: &'a Execution,
    timeline: Timeline,
    before: Option<Timeline>,
    posts: Vec<String>,
    files: Vec<(String, String)>,
    times: Times,
}

impl<'a> Look<'a> {
    /// Looks at an execution; `None` if its journal cannot be read.
    pub(super) fn at(
        journal: &dyn Journal,
        now: &'a Execution,
        before: Option<&Execution>,
        folders: (&Path, Option<&Path>),
        times: Times,
    ) -> Result<Option<Self>> {
        let timeline = |execution: &Execution| Timeline::of(&execution.records, execution.row.held_from);
        let Some(timeline_now) = timeline(now) else {
            return Ok(None);
        };
        let filter = InboxFilter {
            run: Some(now.row.run.clone()),
            ..InboxFilter::default()
        };
        let mut rows = journal.inbox(&filter)?;
        rows.retain(|row| matches!(row.source, Source::Message(_)));
        rows.sort_by_key(|row| row.id);
        Ok(Some(Self {
            now,
            timeline: timeline_now,
            before: before.and_then(timeline),
            posts: rows.iter().map(|row| plain_line(&row.title)).collect(),
            files: changed_files(folders.0, folders.1),
            times,
        }))
    }

    /// Returns what programs are told.
    pub(super) fn development(&self) -> Development {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let reused: Vec<&CallLine> = self.timeline.calls.iter().filter(|call| is_reused(call)).collect();
        Development {
            build_ms: millis(self.times.build),
            run_ms: millis(self.times.run),
            calls_reused: reused.len(),
            calls_made: self.timeline.calls.len() - reused.len(),
            tokens: self.timeline.calls.iter().map(|call| call.tokens).sum(),
            tokens_reused: reused.iter().map(|call| call.usage()).sum(),
            as_before: self.before.as_ref().map(|before| end(before) == end(&self.timeline)),
            posts: self.posts.clone(),
            files: self.files.iter().map(|(path, _)| path.clone()).collect(),
        }
    }

    /// Returns the calls as programs read them.
    pub(super) fn calls(&self) -> Vec<Value> {
        let call = |call: &CallLine| {
            json!({
                "call": call.number,
                "label": call.label,
                "function": call.function,
                "reused": is_reused(call),
                "tokens": call.tokens,
            })
        };
        self.timeline.calls.iter().map(call).collect()
    }

    /// Returns what people are shown.
    pub(super) fn text(&self, width: usize) -> String {
        let told = self.development();
        let row = &self.now.row;
        let mark = if row.simulated { ", SIMULATED" } else { "" };
        let mut text = format!(
            "{} {}: {}, built in {}, run in {}{mark}\n",
            row.skill,
            row.run,
            row.status.as_str(),
            duration(self.times.build),
            duration(self.times.run)
        );
        let calls = count(self.timeline.calls.len() as u64, "call");
        let made = format!(
            "{} made, {} tokens",
            grouped(told.calls_made as u64),
            grouped(told.tokens)
        );
        let reused = format!(
            "{} reused, {} tokens",
            grouped(told.calls_reused as u64),
            grouped(told.tokens_reused)
        );
        text.push_str(&format!("{calls}: {reused}; {made}\n"));
        text.push_str(&self.changed_calls(width));
        if !self.posts.is_empty() {
            text.push_str(&format!(
                "\nwould be posted to the inbox\n  {}\n",
                self.posts.join("\n  ")
            ));
        }
        for (path, difference) in &self.files {
            text.push_str(&format!("\n{path}\n{difference}"));
        }
        text.push_str(&self.end());
        text
    }

    /// Shows the calls that were made, and what became of those of the execution before.
    fn changed_calls(&self, width: usize) -> String {
        let none = Timeline::empty(&self.timeline);
        let pairs = pairs(self.before.as_ref().unwrap_or(&none), &self.timeline);
        let shown: Vec<_> = pairs
            .iter()
            .filter(|pair| match (pair.difference(), pair.second) {
                (Difference::OnlyFirst, _) => true,
                (Difference::None, Some(call)) => !is_reused(call) && self.before.is_none(),
                (_, Some(call)) => !is_reused(call),
                _ => false,
            })
            .collect();
        if shown.is_empty() {
            return String::new();
        }
        let mut table = Table::new(["CALL", "TOOK", "TOKENS", "WHAT", ""]).right(&[0, 1, 2]);
        for pair in shown.iter().take(CALLS_MAX) {
            let Some(call) = pair.call() else { continue };
            let words = match self.before {
                None => call.remarks(),
                Some(_) => pair.difference().words().to_owned(),
            };
            let (number, took) = match pair.second {
                Some(call) => (call.number.to_string(), call.took().map_or_else(String::new, duration)),
                None => (String::new(), String::new()),
            };
            let tokens = if call.tokens > 0 {
                grouped(call.tokens)
            } else {
                String::new()
            };
            table.row([number, took, tokens, call.label.clone(), words]);
        }
        let further = shown.len().saturating_sub(CALLS_MAX);
        let more = match further {
            0 => String::new(),
            further => format!("and {further} more\n"),
        };
        format!("\n{}{more}", table.render(width))
    }

    /// Shows the end, or how it differs from that of the execution before.
    fn end(&self) -> String {
        let now = end(&self.timeline);
        match &self.before {
            _ if now.is_empty() => String::new(),
            None => format!("\nresult\n{now}"),
            Some(before) => match difference(&end(before), &now, LINES_MAX) {
                same if same.is_empty() => "\nresult as before\n".to_owned(),
                differs => format!("\nresult\n{differs}"),
            },
        }
    }
}

fn is_reused(call: &CallLine) -> bool {
    matches!(call.by, By::Record { .. })
}

/// Returns how a run ended, as a person reads it.
fn end(timeline: &Timeline) -> String {
    match timeline.finished.as_ref().map(|(_, finished)| &finished.how) {
        None => String::new(),
        Some(How::Done(result) | How::Cancelled(Some(result))) => readable_payload(result),
        Some(How::Failed(failure)) => {
            let place = failure.backtrace.as_deref().unwrap_or_default();
            format!(
                "failed: {}: {}\n{}",
                failure.code,
                plain_line(&failure.message),
                crate::terminal::plain(place)
            )
        }
        Some(How::Cancelled(None)) => "cancelled\n".to_owned(),
        Some(How::Continued(_)) => "continued by another run\n".to_owned(),
    }
}

/// Returns the files that an execution left otherwise than the one before, with how they differ.
fn changed_files(now: &Path, before: Option<&Path>) -> Vec<(String, String)> {
    let (mut files, mut old) = (BTreeMap::new(), BTreeMap::new());
    collect(now, "", &mut files);
    if let Some(before) = before {
        collect(before, "", &mut old);
    }
    let paths: Vec<String> = files.keys().chain(old.keys()).cloned().collect();
    let mut changed: BTreeMap<String, String> = BTreeMap::new();
    for path in paths {
        let (then, now) = (old.get(&path), files.get(&path));
        if then == now {
            continue;
        }
        let text = |content: Option<&Vec<u8>>| content.and_then(|bytes| String::from_utf8(bytes.clone()).ok());
        let shown = match (before, text(then), text(now)) {
            (None, _, _) => String::new(),
            (Some(_), then, now) => difference(&then.unwrap_or_default(), &now.unwrap_or_default(), LINES_MAX),
        };
        changed.insert(path, shown);
    }
    changed.into_iter().collect()
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = format!("{prefix}{name}");
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => collect(&entry.path(), &format!("{path}/"), files),
            Ok(metadata) if metadata.len() <= FILE_BYTES_MAX => {
                if let Ok(content) = fs::read(entry.path()) {
                    files.insert(path, content);
                }
            }
            _ => {}
        }
    }
}
