//! `diff` and `compare`: runs beside each other, call by call or in a table.

use clap::Args;
use serde_json::{Value, json};
use skillhost_core::entry::How;
use skillhost_core::outcome::Outcome;
use skillhost_journal::RunRow;

use super::context::Context;
use super::list::standing;
use super::report::{Envelope, Report, Rows};
use crate::comparison::{Difference, Pair, pairs};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::readable::{difference, readable_payload};
use crate::terminal::{Table, cut, plain_line};
use crate::timeline::{CallLine, Timeline, count, duration, grouped};

/// How many lines of a difference are shown for each call, and of the result.
const LINES_MAX: usize = 20;

/// How many calls are shown whose request or answer differs.
const CALLS_MAX: usize = 10;

/// How much of a result a row shows, in characters.
const RESULT_CHARS: usize = 60;

/// `diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost diff nightly nightly-opus
  skillhost diff nightly nightly-opus --json")]
pub struct DiffArgs {
    /// One run: its id, its launch id, or the beginning or end of one
    pub first: String,
    /// The other
    pub second: String,
}

/// `compare`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  skillhost compare nightly nightly-opus nightly-haiku")]
pub struct CompareArgs {
    /// The runs: their ids, launch ids, or the beginning or end of one
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    pub runs: Vec<String>,
}

/// A run with what it did.
struct Read {
    row: RunRow,
    timeline: Timeline,
}

impl Read {
    fn of(word: &str, context: &Context) -> Result<Self> {
        let journal = context.journal()?;
        let row = context.find(journal.as_ref(), word)?;
        let timeline = Timeline::of(&journal.all_records(&row.run)?, row.held_from).ok_or_else(|| {
            let message = format!("the journal of run `{}` does not begin with `started`", row.run);
            CliError::new(Exit::Storage, "damaged", message).hint("`skillhost doctor` checks the database")
        })?;
        Ok(Self { row, timeline })
    }

    fn tokens(&self) -> u64 {
        self.timeline.calls.iter().map(|call| call.tokens).sum()
    }

    /// Returns how long it took until its end, or until now.
    fn took(&self) -> std::time::Duration {
        let last = self
            .timeline
            .finished
            .as_ref()
            .map_or(self.row.updated_at, |(at, _)| *at);
        last.since(self.row.created_at)
    }

    /// Returns the models that answered, each once.
    fn models(&self) -> Vec<String> {
        let mut models: Vec<String> = self.timeline.calls.iter().filter_map(CallLine::model).collect();
        models.sort();
        models.dedup();
        models
    }

    /// Returns its end as a person reads it.
    fn end(&self) -> String {
        match self.timeline.finished.as_ref().map(|(_, finished)| &finished.how) {
            None => String::new(),
            Some(How::Done(result) | How::Cancelled(Some(result))) => readable_payload(result),
            Some(How::Failed(failure)) => format!("{}: {}\n", failure.code, failure.message),
            Some(How::Cancelled(None)) => "cancelled\n".to_owned(),
            Some(How::Continued(run)) => format!("goes on as run {run}\n"),
        }
    }

    fn heading(&self, mark: &str, context: &Context) -> String {
        let row = &self.row;
        let simulated = if row.simulated { ", SIMULATED" } else { "" };
        format!(
            "{mark} {} {} ({}): {}, {}, {}{simulated}\n",
            row.skill,
            row.run,
            row.launch,
            standing(row, context),
            count(self.timeline.calls.len() as u64, "call"),
            count(self.tokens(), "token")
        )
    }
}

pub(super) fn diff(args: &DiffArgs, context: &Context) -> Result<Report> {
    let (first, second) = (Read::of(&args.first, context)?, Read::of(&args.second, context)?);
    let pairs = pairs(&first.timeline, &second.timeline);
    let differing: Vec<&Pair<'_>> = pairs
        .iter()
        .filter(|pair| pair.difference() != Difference::None)
        .collect();
    let mut text = first.heading("-", context) + &second.heading("+", context);
    if !differing.is_empty() {
        text.push_str(&format!("\n{}", table(&differing, context.terminal.width)));
    }
    let input = difference(
        &readable_payload(&first.timeline.started.input),
        &readable_payload(&second.timeline.started.input),
        LINES_MAX,
    );
    section(&mut text, "input", &input);
    for pair in differing.iter().take(CALLS_MAX) {
        if let (Some(old), Some(new)) = (pair.first, pair.second) {
            let request = difference(
                &readable_payload(&old.request),
                &readable_payload(&new.request),
                LINES_MAX,
            );
            section(
                &mut text,
                &format!("call {}, {}: request", new.number, new.label),
                &request,
            );
            let answer = difference(&answer(old), &answer(new), LINES_MAX);
            section(
                &mut text,
                &format!("call {}, {}: answer", new.number, new.label),
                &answer,
            );
        }
    }
    section(&mut text, "result", &difference(&first.end(), &second.end(), LINES_MAX));
    if differing.is_empty() && text.lines().count() == 2 {
        text.push_str("\nno difference\n");
    }
    let values = differing.iter().map(|pair| value(pair)).collect();
    Ok(Report::done(text, Envelope::of_rows(Rows::Differences(values))))
}

fn section(text: &mut String, name: &str, difference: &str) {
    if !difference.is_empty() {
        text.push_str(&format!("\n{name}\n{difference}"));
    }
}

fn answer(call: &CallLine) -> String {
    match call.shown() {
        None => "no answer\n".to_owned(),
        Some(Outcome::Ok(answer)) => readable_payload(&answer),
        Some(Outcome::Err(fault)) => format!("{}: {}\n", fault.code, fault.message),
    }
}

fn table(pairs: &[&Pair<'_>], width: usize) -> String {
    let mut table = Table::new(["-", "+", "WHAT", "DIFFERENCE"]).right(&[0, 1]);
    let number = |call: Option<&CallLine>| call.map_or_else(String::new, |call| call.number.to_string());
    for pair in pairs {
        let label = pair.call().map_or_else(String::new, |call| call.label.clone());
        let words = pair.difference().words().to_owned();
        table.row([number(pair.first), number(pair.second), label, words]);
    }
    table.render(width)
}

fn value(pair: &Pair<'_>) -> Value {
    let mut value = json!({
        "difference": pair.difference().as_str(),
        "label": pair.call().map(|call| &call.label),
    });
    for (name, call) in [("first", pair.first), ("second", pair.second)] {
        if let Some(call) = call {
            value[name] = json!(call.number);
        }
    }
    value
}

pub(super) fn compare(args: &CompareArgs, context: &Context) -> Result<Report> {
    let runs = args
        .runs
        .iter()
        .map(|word| Read::of(word, context))
        .collect::<Result<Vec<_>>>()?;
    let mut table = Table::new(["LAUNCH", "STATUS", "MODELS", "CALLS", "TOKENS", "TOOK", "RESULT"]).right(&[3, 4, 5]);
    let mut values = Vec::new();
    for read in &runs {
        let row = &read.row;
        let mark = if row.simulated { " SIMULATED" } else { "" };
        let end = read.end();
        table.row([
            row.launch.to_string(),
            format!("{}{mark}", standing(row, context)),
            read.models().join(" "),
            grouped(read.timeline.calls.len() as u64),
            grouped(read.tokens()),
            duration(read.took()),
            cut(&plain_line(&end), RESULT_CHARS),
        ]);
        let mut value = super::list::value(context, row);
        value["models"] = json!(read.models());
        value["calls"] = json!(read.timeline.calls.len());
        value["tokens"] = json!(read.tokens());
        value["took_ms"] = json!(u64::try_from(read.took().as_millis()).unwrap_or(u64::MAX));
        if let Some((_, finished)) = &read.timeline.finished
            && let How::Done(result) = &finished.how
        {
            value["result"] = result.read().unwrap_or(Value::Null);
        }
        values.push(value);
    }
    let text = table.render(context.terminal.width);
    Ok(Report::done(text, Envelope::of_rows(Rows::Compared(values))))
}
