//! `show`: what a run did and how it stands, told by the names that the skill gave its calls.

use serde_json::{Value, json};
use skillhost_core::entry::{Failure, How};
use skillhost_core::id::Number;
use skillhost_core::outcome::Outcome;
use skillhost_journal::{Journal, RunRow};

use super::args::ShowArgs;
use super::context::{Context, run_folder};
use super::list::standing;
use super::report::{Envelope, Report, Rows};
use super::{drive, waits};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::write_whole;
use crate::inbox_file::moment;
use crate::terminal::{cut, plain, plain_line};
use crate::timeline::{CallLine, Timeline, count, duration};

/// How many lines are shown altogether, unless all are asked for: the calls are folded until it is so.
const LINES_MAX: usize = 60;

/// The calls get no fewer lines than this.
const CALL_LINES_MIN: usize = 10;

/// The most things that a run waits for that are shown.
const WAITS_SHOWN_MAX: usize = 3;

/// How many lines of a result, an input or a backtrace are shown.
const TEXT_LINES_MAX: usize = 12;

/// A call that is longer as JSON, in bytes, goes to a file where a line is all that is printed.
const CALL_BYTES_MAX: usize = 3_000;

/// How much of such a call's answer is printed all the same, in characters.
const PREVIEW_CHARS: usize = 400;

pub(super) fn run(args: &ShowArgs, context: &Context) -> Result<Report> {
    let journal = context.journal()?;
    let row = context.find(journal.as_ref(), &args.run)?;
    let records = journal.all_records(&row.run)?;
    let Some(timeline) = Timeline::of(&records, row.held_from) else {
        let message = format!("the journal of run `{}` does not begin with `started`", row.run);
        return Err(CliError::new(Exit::Storage, "damaged", message).hint("`skillhost doctor` checks the database"));
    };
    match args.call {
        Some(number) => call(&row, &timeline, Number(number), context),
        None => whole(&row, &timeline, journal.as_ref(), args.all, context),
    }
}

fn whole(row: &RunRow, timeline: &Timeline, journal: &dyn Journal, all: bool, context: &Context) -> Result<Report> {
    let waits = match row.status.is_final() {
        true => Vec::new(),
        false => waits::members(journal, &row.run)?,
    };
    let mut text = heading(row, timeline, context);
    let mut rest = String::new();
    if !waits.is_empty() {
        let shown = if all { usize::MAX } else { WAITS_SHOWN_MAX };
        rest.push_str("\nwaits for\n");
        rest.extend(waits.iter().take(shown).map(waits::for_people));
        if waits.len() > shown {
            rest.push_str(&format!("  and {} more; `--all` shows them\n", waits.len() - shown));
        }
    }
    if let Some((_, finished)) = &timeline.finished {
        rest.push_str(&ending(&finished.how, context.terminal.width));
    }
    if !timeline.calls.is_empty() {
        // A blank line, the headings, and what tells of calls that are left out.
        let taken = text.lines().count() + rest.lines().count() + 3;
        let most = match all {
            true => usize::MAX,
            false => LINES_MAX.saturating_sub(taken).max(CALL_LINES_MIN),
        };
        text.push_str(&format!("\n{}", timeline.lines(most, context.terminal.width)));
    }
    text.push_str(&rest);
    let values = timeline.calls.iter().map(|call| value(call, timeline));
    let envelope = Envelope {
        rows: Some(Rows::Calls(values.collect())),
        waits,
        ..drive::envelope(row)
    };
    let mut report = Report::done(text, envelope);
    if standing(row, context) == "interrupted" {
        report.notes = format!(
            "hint: `skillhost resume {}` goes on where it was interrupted\n",
            row.run
        );
    }
    Ok(report)
}

fn heading(row: &RunRow, timeline: &Timeline, context: &Context) -> String {
    let mark = if row.simulated { ", SIMULATED" } else { "" };
    let last = timeline.finished.as_ref().map_or(row.updated_at, |(at, _)| *at);
    let mut text = format!(
        "{} {}: {} after {}{mark}\n",
        row.skill,
        row.run,
        standing(row, context),
        duration(timeline.since_start(last))
    );
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<9} {value}\n"));
    if row.launch.as_str() != row.run.as_str() {
        line("launch", row.launch.to_string());
    }
    line("launched", moment(row.created_at, &context.zone));
    if let Some(before) = &timeline.started.continues {
        line("continues", format!("run {before}"));
    }
    line(
        "input",
        cut(
            &plain_line(timeline.started.input.as_str()),
            context.terminal.width.saturating_sub(10),
        ),
    );
    line("calls", timeline.summary());
    if row.epoch.0 > 1 {
        line(
            "attempts",
            format!("{}: each went on where the one before had stopped", row.epoch),
        );
    }
    if let Some(reason) = &timeline.cancelled {
        line(
            "cancelled",
            reason
                .as_deref()
                .map_or_else(|| "without a reason".to_owned(), plain_line),
        );
    }
    if let Some(folder) = run_folder(context, &row.run) {
        line("files", folder);
    }
    text
}

fn ending(how: &How, width: usize) -> String {
    match how {
        How::Done(result) => format!("\nresult\n{}", indented(&drive::for_people(result), width)),
        How::Failed(failure) => failed(failure, width),
        How::Cancelled(Some(result)) => format!("\nreturned\n{}", indented(&drive::for_people(result), width)),
        How::Cancelled(None) => String::new(),
        How::Continued(next) => format!("\ngoes on as run {next}\n"),
    }
}

fn failed(failure: &Failure, width: usize) -> String {
    let mut text = format!(
        "\nfailed ({})\n{}",
        plain_line(&failure.code),
        indented(&plain(&failure.message), width)
    );
    if let Some(details) = &failure.details {
        text.push_str(&format!("details\n{}", indented(&drive::for_people(details), width)));
    }
    if let Some(backtrace) = &failure.backtrace {
        text.push_str(&format!("backtrace\n{}", indented(&plain(backtrace), width)));
    }
    text
}

fn indented(text: &str, width: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines
        .iter()
        .take(TEXT_LINES_MAX)
        .map(|line| format!("  {}\n", cut(line, width.saturating_sub(2))));
    let mut indented: String = shown.collect();
    if lines.len() > TEXT_LINES_MAX {
        indented.push_str(&format!(
            "  ... {}\n",
            count((lines.len() - TEXT_LINES_MAX) as u64, "further line")
        ));
    }
    indented
}

fn value(call: &CallLine, timeline: &Timeline) -> Value {
    let mut value = json!({
        "call": call.number,
        "label": call.label,
        "function": call.function,
        "at_ms": millis(timeline.since_start(call.started_at)),
        "attempts": call.attempts,
        "outcome": outcome_word(call),
        "replayed": call.replayed,
    });
    if let Some(took) = call.took() {
        value["took_ms"] = json!(millis(took));
    }
    if call.tokens > 0 {
        value["tokens"] = json!(call.tokens);
    }
    value
}

fn outcome_word(call: &CallLine) -> String {
    match &call.outcome {
        Some(Outcome::Ok(_)) => "ok".to_owned(),
        Some(Outcome::Err(fault)) => plain_line(&fault.code),
        None if call.dropped => "dropped".to_owned(),
        None => "open".to_owned(),
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn call(row: &RunRow, timeline: &Timeline, number: Number, context: &Context) -> Result<Report> {
    let Some(call) = timeline.call(number) else {
        let error = CliError::invalid("unknown_call", format!("run `{}` made no call {number}", row.run));
        return Err(match timeline.calls.len() {
            0 => error.hint("it made no calls"),
            calls => error.hint(format!(
                "its calls are 0 to {}: `skillhost show {} --all`",
                calls - 1,
                row.run
            )),
        });
    };
    let mut text = format!("call {number} of run {}: {}\n", row.run, call.label);
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<9} {value}\n"));
    line("function", call.function.to_string());
    if let Some(model) = call.model() {
        line("model", model);
    }
    line(
        "started",
        format!("+{}", duration(timeline.since_start(call.started_at))),
    );
    if let Some(took) = call.took() {
        line("took", duration(took));
    }
    if call.tokens > 0 {
        line("tokens", crate::timeline::grouped(call.tokens));
    }
    if call.microdollars > 0 {
        line("cost", skillhost_core::price::dollars(call.microdollars));
    }
    if let Some(tier) = &call.tier {
        line("tier", format!("{}, by the ladder of the budget", plain_line(tier)));
    }
    if call.attempts > 1 {
        line("performed", format!("{} times", call.attempts));
    }
    let remarks = call.remarks();
    if !remarks.is_empty() {
        line("remarks", remarks);
    }
    text.push_str(&format!("\nrequest\n{}\n", drive::for_people(&call.request)));
    let shown = call.shown();
    if let Some(Outcome::Ok(answer)) = &shown {
        text.push_str(&format!("\nanswer\n{}\n", drive::for_people(answer)));
    }
    let mut row_value = value(call, timeline);
    row_value["request"] = call.request.read().unwrap_or(Value::Null);
    if let Some(outcome) = &shown {
        row_value["answer"] = match outcome {
            Outcome::Ok(answer) => answer.read().unwrap_or(Value::Null),
            Outcome::Err(fault) => json!(fault),
        };
    }
    if let Some(members) = row_value.as_object_mut() {
        // A function that returns nothing answers null, which is left out as everywhere.
        members.retain(|_, value| !value.is_null());
    }
    let mut envelope = drive::envelope(row);
    let whole = row_value.to_string();
    if context.json && !context.terminal.stdout && whole.len() > CALL_BYTES_MAX {
        // Neither is cut: who asked for the call reads it from the file.
        let path = context
            .home
            .result(&row.run)
            .with_file_name(format!("{}-{}.json", row.run, call.number));
        write_whole(&path, whole.as_bytes()).map_err(|e| {
            CliError::new(
                Exit::Storage,
                "not_written",
                format!("could not write `{}`", path.display()),
            )
            .caused_by(&e)
        })?;
        envelope.result_path = Some(path);
        envelope.result_bytes = Some(whole.len());
        if let Some(members) = row_value.as_object_mut() {
            let answer = members.remove("answer").or_else(|| members.get("request").cloned());
            members.remove("request");
            envelope.preview = answer.map(|answer| answer.to_string().chars().take(PREVIEW_CHARS).collect());
        }
    }
    envelope.rows = Some(Rows::Calls(vec![row_value]));
    Ok(Report::done(text, envelope))
}
