//! What a run waits for, and the commands that give it that.

use std::collections::BTreeMap;

use serde_json::Value;
use skillhost_core::calls::signals::{Audience, Event, Question};
use skillhost_core::calls::skills;
use skillhost_core::effect::Class;
use skillhost_core::entry::{By, Called, Entry};
use skillhost_core::id::{Number, RunId};
use skillhost_core::machine::{Source, Status, Wait};
use skillhost_core::time::Timestamp;
use skillhost_journal::{InboxFilter, Journal, RunRow, WaitRow};

use super::context::Context;
use super::drive;
use super::report::{Envelope, ErrorMember, Report, WaitMember};
use crate::error::Result;
use crate::exit::Exit;
use crate::fault;
use crate::inbox_file::moment;
use crate::service;
use crate::terminal::{plain, plain_line};

/// The most lines of a prompt that people are shown beside what else a run waits for.
const PROMPT_LINES_MAX: usize = 6;

/// Says what a run waits for that is not over.
pub(super) fn report(context: &Context, journal: &dyn Journal, row: &RunRow) -> Result<Report> {
    if let Some(trouble) = &row.trouble {
        let error = ErrorMember::new(
            &trouble.code,
            format!("run {} of skill {} is parked: {}", row.run, row.skill, trouble.message),
            trouble.hint.clone(),
        );
        let exit = match trouble.code.as_str() {
            fault::CODE => Exit::Internal,
            _ => Exit::Host,
        };
        return Ok(Report::failed(exit, error, drive::envelope(row)));
    }
    let waits = members(journal, &row.run)?;
    let mut text = match row.status {
        Status::Paused => format!("run {} of skill {} is paused\n", row.run, row.skill),
        Status::Parked => format!("run {} of skill {} waits for a decision\n", row.run, row.skill),
        _ if waits.is_empty() => format!(
            "run {} of skill {} is not over: {}\n",
            row.run,
            row.skill,
            row.status.as_str()
        ),
        _ => format!("run {} of skill {} waits\n", row.run, row.skill),
    };
    if row.simulated {
        text.insert_str(0, &format!("{}\n", drive::SIMULATED));
    }
    for wait in &waits {
        text.push_str(&for_people(wait));
    }
    let hint = match row.status {
        Status::Paused => format!("skillhost resume {}", row.run),
        _ => format!("skillhost wait {}", row.run),
    };
    let mut report = Report::done(
        text,
        Envelope {
            waits,
            ..drive::envelope(row)
        },
    );
    report.exit = Exit::Waiting;
    report.notes = match row.status {
        Status::Paused => format!("hint: `{hint}` goes on\n"),
        _ => format!("hint: `{hint}` waits until it is over, or needs somebody again\n"),
    };
    report.notes.push_str(of_reboot(context, journal, &row.run)?);
    // A program finds the next command where it looks for one.
    if context.json {
        report.envelope.error = Some(ErrorMember::new(
            row.status.as_str(),
            "the run is not over",
            Some(format!("`{hint}`")),
        ));
    }
    Ok(report)
}

/// Says that a reboot delays what a run waits for, if that is a time and the system does not start the daemon by itself; else nothing.
pub(super) fn of_reboot(context: &Context, journal: &dyn Journal, run: &RunId) -> Result<&'static str> {
    let waits_for_a_time = journal.waits(run)?.iter().any(|wait| wait.deadline.is_some());
    match waits_for_a_time && !service::is_installed(&context.home, context.environment.user_folder.as_deref()) {
        true => Ok(
            "note: after a reboot the time counts on, and the next command notices it; `skillhost worker install` has the system do that at login\n",
        ),
        false => Ok(""),
    }
}

/// Returns what a run waits for, with the commands that answer.
pub(super) fn members(journal: &dyn Journal, run: &RunId) -> Result<Vec<WaitMember>> {
    let waits = journal.waits(run)?;
    let calls = calls(journal, run, &waits)?;
    let member = |wait: &WaitRow| {
        let called = calls.get(&wait.number);
        let mut member = member(run, wait, called);
        // What may be done again waits for a person only for a reason of its own.
        let is_special = wait.wait == Wait::Decision && called.is_some_and(|called| called.class != Class::AtMostOnce);
        if is_special && let Some(reason) = reason(journal, run, wait.number)? {
            member.prompt = Some(format!("{}; redo it, skip it, or give its answer", plain_line(&reason)));
        }
        Ok(member)
    };
    waits.iter().map(member).collect()
}

/// Returns why a person is asked about a call, as the inbox tells it.
fn reason(journal: &dyn Journal, run: &RunId, number: Number) -> Result<Option<String>> {
    let filter = InboxFilter {
        dismissed: true,
        run: Some(run.clone()),
        most: None,
    };
    let rows = journal.inbox(&filter)?;
    let row = rows.into_iter().find(|row| row.source == Source::Decision(number));
    Ok(row.map(|row| row.body))
}

/// Returns the question of this number, if the run waits for its answer.
pub(super) fn question(journal: &dyn Journal, run: &RunId, number: Number) -> Result<Option<Question>> {
    let waits = journal.waits(run)?;
    let open = waits
        .iter()
        .filter(|wait| wait.number == number && matches!(wait.wait, Wait::Question(_)));
    let open: Vec<WaitRow> = open.cloned().collect();
    let calls = calls(journal, run, &open)?;
    Ok(calls.get(&number).and_then(|called| called.request.read().ok()))
}

/// Returns whether a person answered a call.
pub(super) fn was_answered(journal: &dyn Journal, run: &RunId, number: Number) -> Result<bool> {
    let records = journal.all_records(run)?;
    let answers = records.iter().filter_map(|record| match &record.entry {
        Entry::Returned(returned) if returned.number == number => Some(&returned.by),
        _ => None,
    });
    Ok(answers.into_iter().any(|by| matches!(by, By::Person(_))))
}

/// Returns the events of this name that the run waits for.
pub(super) fn events(journal: &dyn Journal, run: &RunId, name: &str) -> Result<Vec<Event>> {
    let waits = journal.waits(run)?;
    let open: Vec<WaitRow> = waits
        .into_iter()
        .filter(|wait| matches!(&wait.wait, Wait::Event(event) if event.as_str() == name))
        .collect();
    let calls = calls(journal, run, &open)?;
    Ok(calls.values().filter_map(|called| called.request.read().ok()).collect())
}

/// Returns what a person calls a call.
pub(super) fn label(journal: &dyn Journal, run: &RunId, number: Number) -> Result<String> {
    let calls = journal.calls(run, &[number].into())?;
    let label = calls.get(&number).map(|called| match &called.options.label {
        Some(label) => plain_line(label),
        None => called.function.to_string(),
    });
    Ok(label.unwrap_or_else(|| format!("call {number}")))
}

fn calls(journal: &dyn Journal, run: &RunId, waits: &[WaitRow]) -> Result<BTreeMap<Number, Called>> {
    Ok(journal.calls(run, &waits.iter().map(|wait| wait.number).collect())?)
}

fn member(run: &RunId, wait: &WaitRow, called: Option<&Called>) -> WaitMember {
    let call = wait.number;
    let mut member = WaitMember {
        call: call.0,
        kind: "timer",
        name: None,
        prompt: None,
        schema: None,
        audience: None,
        until: wait.deadline.map(utc),
        answer_command: None,
    };
    match &wait.wait {
        Wait::Timer => {}
        Wait::Event(name) => {
            member.kind = "event";
            member.name = Some(name.to_string());
            let event: Option<Event> = called.and_then(|called| called.request.read().ok());
            member.schema = event.and_then(|event| event.schema);
            member.answer_command = Some(format!("skillhost signal {run} {name} --input JSON"));
        }
        Wait::Question(name) => {
            member.kind = "question";
            member.name = Some(name.to_string());
            member.answer_command = Some(format!("skillhost answer {run}#{call} --input JSON"));
            if let Some(question) = called.and_then(|called| called.request.read::<Question>().ok()) {
                member.prompt = Some(plain(&question.prompt));
                member.audience = Some(audience(question.audience).to_owned());
                member.answer_command = Some(answer_command(run, call, question.schema.as_ref()));
                member.schema = question.schema;
            }
        }
        Wait::Skill(child) => {
            member.kind = "skill";
            member.name = called
                .and_then(|called| called.request.read::<skills::Call>().ok())
                .map(|call| call.skill);
            member.prompt = Some(format!(
                "it goes on in run {child}: `skillhost status {child}` tells how far it is"
            ));
        }
        Wait::Decision => {
            member.kind = "decision";
            member.name = called.map(|called| called.function.to_string());
            member.prompt = Some(format!(
                "call {call} may have been carried out before a crash: redo it, skip it, or give its answer"
            ));
            member.answer_command = Some(format!("skillhost resume {run} --redo {call}"));
        }
    }
    member
}

/// Returns the command that answers a question, with the fields that its schema asks for.
fn answer_command(run: &RunId, call: Number, schema: Option<&Value>) -> String {
    const FIELDS_MAX: usize = 5;
    const FIELD_BYTES_MAX: usize = 200;
    let properties = schema
        .and_then(|schema| schema.get("properties"))
        .and_then(Value::as_object);
    match properties.filter(|fields| (1..=FIELDS_MAX).contains(&fields.len())) {
        Some(fields) if fields.keys().map(String::len).sum::<usize>() <= FIELD_BYTES_MAX => {
            let fields: Vec<String> = fields.keys().map(|name| format!("{}=...", plain_line(name))).collect();
            format!("skillhost answer {run}#{call} {}", fields.join(" "))
        }
        _ => format!("skillhost answer {run}#{call} --input JSON"),
    }
}

fn audience(audience: Audience) -> &'static str {
    match audience {
        Audience::User => "user",
        Audience::Agent => "agent",
        Audience::System => "system",
    }
}

pub(super) fn for_people(wait: &WaitMember) -> String {
    let name = wait.name.as_deref().map(plain_line).unwrap_or_default();
    let until = wait
        .until
        .as_ref()
        .map_or_else(String::new, |until| format!(", until {until}"));
    let mut text = match wait.kind {
        "timer" => format!("  call {}: a timer{until}\n", wait.call),
        "skill" => format!("  call {}: the skill `{name}`{until}\n", wait.call),
        "event" => format!("  call {}: the event `{name}`{until}\n", wait.call),
        "question" => format!("  call {}: an answer to `{name}`{until}\n", wait.call),
        _ => format!("  call {}: `{name}`\n", wait.call),
    };
    let mut lines = wait.prompt.iter().flat_map(|prompt| prompt.lines());
    for line in lines.by_ref().take(PROMPT_LINES_MAX) {
        text.push_str(&format!("    {line}\n"));
    }
    if lines.next().is_some() {
        text.push_str("    ...\n");
    }
    if let Some(command) = &wait.answer_command {
        text.push_str(&format!("    {command}\n"));
    }
    text
}

/// Returns a point in time in UTC, as programs read it.
pub(super) fn utc(at: Timestamp) -> String {
    let micros = i64::try_from(at.0)
        .ok()
        .and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    micros.map_or_else(
        || moment(at, &jiff::tz::TimeZone::UTC),
        |timestamp| timestamp.to_string(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use serde_json::json;

    use super::*;

    #[test]
    fn people_are_shown_how_a_long_prompt_begins() {
        let run = RunId::parse("01jd3k6v8m4t9qwertzuiopas1").unwrap();
        let wait = WaitRow {
            number: Number(3),
            wait: Wait::Decision,
            deadline: None,
        };
        let mut member = member(&run, &wait, None);
        member.prompt = Some("1\n2\n3\n4\n5\n6".to_owned());
        assert!(
            for_people(&member).contains("    6\n    skillhost"),
            "{}",
            for_people(&member)
        );
        member.prompt = Some("1\n2\n3\n4\n5\n6\n7".to_owned());
        assert!(
            for_people(&member).contains("    6\n    ...\n    skillhost"),
            "{}",
            for_people(&member)
        );
    }

    #[test]
    fn fields_with_long_names_are_not_told_in_the_command() {
        let run = RunId::parse("01jd3k6v8m4t9qwertzuiopas1").unwrap();
        let schema = json!({"properties": {"x".repeat(5_000): {}}});
        let command = answer_command(&run, Number(3), Some(&schema));
        assert!(command.ends_with("--input JSON"), "{command}");
    }
}
