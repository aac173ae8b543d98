//! `status`: where a run is, on one screen, by the labels that the skill gave its calls.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use skillhost_core::effect::Function;
use skillhost_core::machine::Line;
use skillhost_core::price::{DOLLAR, dollars};
use skillhost_journal::{Journal, RunRow};

use super::args::RunArgs;
use super::context::Context;
use super::list::standing;
use super::report::{Envelope, Report, Rows};
use super::{drive, logs, waits};
use crate::driver;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::inbox_file::moment;
use crate::terminal::{Table, cut, plain_line};
use crate::timeline::{CallLine, Timeline, count, duration, grouped};

/// The most labels that are told one by one.
const LABELS_MAX: usize = 20;

/// The most things that a run waits for that are shown.
const WAITS_SHOWN_MAX: usize = 5;

/// How many of the last lines of the log are searched for progress.
const LINES_SEARCHED: usize = 1_000;

/// What became of the calls of one label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tally {
    label: String,
    done: u64,
    open: u64,
    failed: u64,
    tokens: u64,
}

pub(super) fn run(args: &RunArgs, context: &Context) -> Result<Report> {
    let journal = context.journal()?;
    let row = context.find(journal.as_ref(), &args.run)?;
    let records = journal.all_records(&row.run)?;
    let Some(timeline) = Timeline::of(&records, row.held_from) else {
        let message = format!("the journal of run `{}` does not begin with `started`", row.run);
        return Err(CliError::new(Exit::Storage, "damaged", message).hint("`skillhost doctor` checks the database"));
    };
    let waits = match row.status.is_final() {
        true => Vec::new(),
        false => waits::members(journal.as_ref(), &row.run)?,
    };
    let said = Said::last(journal.as_ref(), &row)?;
    let tallies = tallies(&timeline.calls);
    let mut text = heading(&row, &timeline, &said, context);
    if !tallies.is_empty() {
        text.push_str(&format!("\n{}", table(&tallies, context.terminal.width)));
    }
    if !waits.is_empty() {
        text.push_str("\nwaits for\n");
        text.extend(waits.iter().take(WAITS_SHOWN_MAX).map(waits::for_people));
        if waits.len() > WAITS_SHOWN_MAX {
            text.push_str(&format!("  and {} more\n", waits.len() - WAITS_SHOWN_MAX));
        }
    }
    let envelope = Envelope {
        rows: Some(Rows::Labels(tallies.iter().map(Tally::value).collect())),
        waits,
        standing: Some(standing_value(&row, &timeline, &said)),
        ..drive::envelope(&row)
    };
    let mut report = Report::done(text, envelope);
    report.envelope.status = Some(standing(&row, context).to_owned());
    report.notes = match standing(&row, context) {
        "interrupted" => format!(
            "hint: `skillhost resume {}` goes on where it was interrupted\n",
            row.run
        ),
        _ if row.status.is_final() => format!("hint: `skillhost result {}` prints how it ended\n", row.run),
        _ => waits::of_reboot(context, journal.as_ref(), &row.run)?.to_owned(),
    };
    Ok(report)
}

/// What the run said last.
#[derive(Debug, Default)]
struct Said {
    progress: Option<String>,
    line: Option<String>,
}

impl Said {
    fn last(journal: &dyn Journal, row: &RunRow) -> Result<Self> {
        let (lines, _) = logs::last_lines(journal, row, LINES_SEARCHED)?;
        let mut said = Self::default();
        for line in lines {
            match line.line {
                Line::Progress { label, done, total } => {
                    let total = total.map_or_else(String::new, |total| format!(" of {total}"));
                    said.progress = Some(format!("{}: {done}{total}", plain_line(&label)));
                }
                Line::Message { message: text, .. } | Line::Printed { text, .. } => said.line = Some(plain_line(&text)),
            }
        }
        Ok(said)
    }
}

fn heading(row: &RunRow, timeline: &Timeline, said: &Said, context: &Context) -> String {
    let mark = if row.simulated { ", SIMULATED" } else { "" };
    let end = timeline.finished.as_ref().map(|(at, _)| *at);
    let after = duration(timeline.since_start(end.unwrap_or_else(driver::now)));
    let standing = standing(row, context);
    let mut text = format!("{} {}: {standing} after {after}{mark}\n", row.skill, row.run);
    let width = context.terminal.width.saturating_sub(10);
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<9} {}\n", cut(&value, width)));
    if row.launch.as_str() != row.run.as_str() {
        line("launch", row.launch.to_string());
    }
    line("launched", moment(row.created_at, &context.zone));
    line("changed", context.ago(row.updated_at));
    if let Some(trouble) = &row.trouble {
        line(
            "trouble",
            format!("{}: {}", plain_line(&trouble.code), plain_line(&trouble.message)),
        );
        if let Some(hint) = &trouble.hint {
            line("hint", plain_line(hint));
        }
    }
    let (calls, tokens) = spent(timeline);
    let budget = timeline.started.limits.budget;
    line(
        "spent",
        format!(
            "{} of {}, {} of {}",
            grouped(calls),
            count(budget.calls, "model call"),
            grouped(tokens),
            count(budget.tokens, "token")
        ),
    );
    if let Some(money) = money(timeline) {
        line("cost", money);
    }
    if let Some(progress) = &said.progress {
        line("progress", progress.clone());
    }
    if let Some(said) = &said.line {
        line("said last", said.clone());
    }
    text
}

/// Returns how many performances of model calls there were, and the tokens that these are known to have taken.
fn spent(timeline: &Timeline) -> (u64, u64) {
    let models = timeline
        .calls
        .iter()
        .filter(|call| call.function == Function::MODEL_COMPLETE);
    models.fold((0, 0), |(calls, tokens), call| {
        (calls + u64::from(call.attempts), tokens + call.tokens)
    })
}

/// Returns the money that is known to be spent, of what may be: nothing where nothing has a price.
fn money(timeline: &Timeline) -> Option<String> {
    let limits = &timeline.started.limits;
    let spent = dollars(timeline.microdollars());
    let max = limits.microdollars_max.map(|max| format!(" of {}", dollars(max)));
    (!limits.prices.is_empty()).then(|| spent + &max.unwrap_or_default())
}

fn standing_value(row: &RunRow, timeline: &Timeline, said: &Said) -> Value {
    let (calls, tokens) = spent(timeline);
    let budget = timeline.started.limits.budget;
    let mut value = json!({
        "created": waits::utc(row.created_at),
        "updated": waits::utc(row.updated_at),
        "model_calls": calls,
        "model_calls_max": budget.calls,
        "tokens": tokens,
        "tokens_max": budget.tokens,
    });
    if !timeline.started.limits.prices.is_empty() {
        value["dollars"] = json!(timeline.microdollars() as f64 / DOLLAR as f64);
        if let Some(max) = timeline.started.limits.microdollars_max {
            value["dollars_max"] = json!(max as f64 / DOLLAR as f64);
        }
    }
    if let Some(progress) = &said.progress {
        value["progress"] = json!(progress);
    }
    if let Some(line) = &said.line {
        value["said_last"] = json!(cut(line, SAID_CHARS_MAX));
    }
    if let Some(trouble) = &row.trouble {
        value["trouble"] = json!({"code": trouble.code, "message": trouble.message});
        if let Some(hint) = &trouble.hint {
            value["trouble"]["hint"] = json!(hint);
        }
    }
    value
}

/// How much of a line of the log programs are shown, in characters.
const SAID_CHARS_MAX: usize = 200;

/// Counts calls by label; if these are too many, by what stands before the colon in it; what is still too much is counted together.
fn tallies(calls: &[CallLine]) -> Vec<Tally> {
    let whole = counted(calls, |call| &call.label);
    if whole.len() <= LABELS_MAX {
        return whole;
    }
    let mut kinds = counted(calls, |call| call.label.split(": ").next().unwrap_or(&call.label));
    if kinds.len() > LABELS_MAX {
        let rest = kinds.split_off(LABELS_MAX - 1);
        let together = rest.iter().fold(Tally::default(), |sum, tally| Tally {
            label: format!("{} others", rest.len()),
            done: sum.done + tally.done,
            open: sum.open + tally.open,
            failed: sum.failed + tally.failed,
            tokens: sum.tokens + tally.tokens,
        });
        kinds.push(together);
    }
    kinds
}

/// Counts, in the order in which the labels first occur.
fn counted<'a>(calls: &'a [CallLine], label: impl Fn(&'a CallLine) -> &'a str) -> Vec<Tally> {
    let mut tallies: Vec<Tally> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for call in calls {
        let label = label(call);
        let place = *places.entry(label).or_insert_with(|| {
            tallies.push(Tally {
                label: label.to_owned(),
                ..Tally::default()
            });
            tallies.len() - 1
        });
        let tally = &mut tallies[place];
        match (&call.outcome, call.fault()) {
            (_, Some(_)) => tally.failed += 1,
            (Some(_), None) => tally.done += 1,
            (None, None) if call.dropped => {}
            (None, None) => tally.open += 1,
        }
        tally.tokens += call.tokens;
    }
    tallies
}

impl Tally {
    fn value(&self) -> Value {
        json!({"label": self.label, "done": self.done, "open": self.open, "failed": self.failed, "tokens": self.tokens})
    }
}

fn table(tallies: &[Tally], width: usize) -> String {
    let mut table = Table::new(["DONE", "OPEN", "FAILED", "TOKENS", "WHAT"]).right(&[0, 1, 2, 3]);
    let number = |number: u64| if number == 0 { String::new() } else { grouped(number) };
    for tally in tallies {
        table.row([
            number(tally.done),
            number(tally.open),
            number(tally.failed),
            number(tally.tokens),
            tally.label.clone(),
        ]);
    }
    table.render(width)
}
