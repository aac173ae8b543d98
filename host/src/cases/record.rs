//! Makes a case of a run that is over: what it was given becomes the case's, what came of it is expected.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use skillhost_core::calls::inbox::Message;
use skillhost_core::calls::model::{Block, Reply, StopReason};
use skillhost_core::calls::run::Note;
use skillhost_core::calls::signals::{Answer, Event, Question};
use skillhost_core::effect::{Function, Kind};
use skillhost_core::entry::{Entry, How, Record};
use skillhost_core::id::{Number, Seq};
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_effects::model::offline::request_digest;
use toml::Table;

use super::judge::Files;
use crate::timeline::{CallLine, Timeline};

/// The longest file that is expected as it is, in bytes. Of a longer one it is its beginning.
const FILE_BYTES_MAX: usize = 32 << 10;

/// How much of the beginning of a longer file is expected, in characters.
const BEGINNING_CHARS: usize = 1_000;

/// The longest delay of a reply, in milliseconds; one that was not answered has it.
const DELAY_MS_MAX: u64 = 366 * 86_400_000;

/// A run as it is recorded.
#[derive(Debug)]
pub struct Recorded<'a> {
    /// Its journal.
    pub records: &'a [Record],
    /// What lies in its folder.
    pub files: &'a Files,
    /// The input of the run that goes on in its place, if one does.
    pub next: Option<Payload>,
}

/// Makes the text of a case.
///
/// # Errors
/// In words, if what was said in the run cannot be written down.
pub fn record(recorded: &Recorded<'_>) -> Result<String, String> {
    let timeline = Timeline::of(recorded.records, Seq(0)).ok_or("its journal has no beginning")?;
    let timeline = &timeline;
    let started = &timeline.started;
    let Some((_, finished)) = &timeline.finished else {
        return Err("it is not over".to_owned());
    };
    let input: Value = started.input.read().map_err(|e| e.to_string())?;
    let mut file = Text::default();
    file.member("about", &Value::from(format!("as run {} went", started.run)))?;
    file.member("input", &input)
        .map_err(|reason| format!("its input {reason}"))?;
    // What a fork began with it saw at the time of the first run of its line.
    let at = started.seen_at(timeline.started_at);
    let at = jiff::Timestamp::from_microsecond(i64::try_from(at.0).unwrap_or(0));
    file.member("at", &Value::from(at.map_err(|e| e.to_string())?.to_string()))?;
    file.member("zone", &Value::from(started.zone.as_str()))?;
    file.member("run", &Value::from(started.seen_run().as_str()))?;
    file.member("seed", &Value::from(started.seed.to_string()))?;
    let notes = notes(timeline);
    if !notes.is_empty() {
        file.lines("notes", &notes)?;
    }
    if timeline
        .calls
        .iter()
        .any(|call| call.function == Function::MODEL_COMPLETE)
    {
        file.member("features", &Value::from(started.provider.features.clone()))?;
    }
    let delays = delays(recorded.records);
    replies(timeline, &delays, &mut file)?;
    signals(timeline, &delays, &mut file)?;
    effects(timeline, &delays, &mut file)?;
    file.heading("[expect]");
    match &finished.how {
        How::Done(result) => {
            let result: Value = result.read().map_err(|e| e.to_string())?;
            file.output(&result);
        }
        How::Failed(failure) => {
            file.member("status", &Value::from("failed"))?;
            file.member("failure", &serde_json::json!({"code": failure.code}))?;
        }
        How::Continued(_) => {
            file.member("status", &Value::from("continued"))?;
            if let Some(next) = &recorded.next {
                file.output(&next.read().map_err(|e| e.to_string())?);
            }
        }
        How::Cancelled(_) => return Err("it was cancelled, and nobody cancels a case".to_owned()),
    }
    let calls: Vec<Value> = timeline
        .calls
        .iter()
        .map(|call| Value::from(call.label.as_str()))
        .collect();
    file.lines("calls", &calls)?;
    let posts = posts(timeline);
    if posts.is_empty() {
        file.member("inbox", &Value::Array(Vec::new()))?;
    }
    files(recorded.files, &mut file)?;
    for post in posts {
        file.heading("[[expect.inbox]]");
        file.member("title", &Value::from(post.title))?;
        if !post.body.is_empty() {
            file.member("contains", &Value::from(post.body))?;
        }
    }
    Ok(file.0)
}

/// Returns the notes that the skill read, each left when it is known to have been there.
fn notes(timeline: &Timeline) -> Vec<Value> {
    let asked = timeline
        .calls
        .iter()
        .filter(|call| call.function == Function::RUN_NOTES);
    let notes = asked.filter_map(|call| match &call.outcome {
        Some(Outcome::Ok(notes)) => notes.read::<Vec<Note>>().ok(),
        _ => None,
    });
    let note = |note: Note| match millis(note.at.since(timeline.started_at)) {
        0 => Value::from(note.message),
        delay => serde_json::json!({"message": note.message, "delay_ms": delay}),
    };
    notes.flatten().map(note).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Returns what was posted to the inbox, in order.
fn posts(timeline: &Timeline) -> Vec<Message> {
    let posted = timeline.calls.iter().filter(|call| {
        let was_posted = matches!(call.outcome, Some(Outcome::Ok(_)));
        was_posted && call.function.kind() == Kind::Post
    });
    posted.filter_map(|call| call.request.read().ok()).collect()
}

/// Writes what models answered: by label, and where there is none by the request. Calls of one label take their turns.
fn replies(timeline: &Timeline, delays: &BTreeMap<Number, u64>, file: &mut Text) -> Result<(), String> {
    let mut order: Vec<(&str, String)> = Vec::new();
    let mut turns: BTreeMap<(&str, String), Vec<Table>> = BTreeMap::new();
    for call in timeline
        .calls
        .iter()
        .filter(|call| call.function == Function::MODEL_COMPLETE)
    {
        let key = match call.is_labelled {
            true => ("label", call.label.clone()),
            false => ("request", request_digest(&call.request)[..16].to_owned()),
        };
        let delay = delays.get(&call.number).copied().unwrap_or(DELAY_MS_MAX);
        let turn = turn(call, delay).map_err(|reason| format!("the reply to call {} {reason}", call.number))?;
        let of_key = turns.entry(key.clone()).or_default();
        if of_key.is_empty() {
            order.push(key);
        }
        of_key.push(turn);
    }
    for key in order {
        let mut said = turns.remove(&key).unwrap_or_default();
        file.heading("[[reply]]");
        file.member(key.0, &Value::from(key.1))?;
        match said.len() {
            1 => file.members(said.remove(0)),
            _ => {
                file.0.push_str("turns = [\n");
                for turn in said {
                    file.0.push_str(&format!("    {},\n", toml::Value::Table(turn)));
                }
                file.0.push_str("]\n");
            }
        }
    }
    Ok(())
}

/// Returns after how many milliseconds each call is to be answered, so that the answers come in the order in which they came. A call is begun when the outcome before it is
/// taken; answers that came in one millisecond come in one each.
fn delays(records: &[Record]) -> BTreeMap<Number, u64> {
    let started_at = records.first().map_or(Timestamp(0), |record| record.at);
    let since_start = |at: Timestamp| u64::try_from(at.since(started_at).as_millis()).unwrap_or(u64::MAX);
    // When the outcomes come, by how many were there before.
    let mut comes: Vec<u64> = Vec::new();
    let mut begun: BTreeMap<Number, u64> = BTreeMap::new();
    let mut delays = BTreeMap::new();
    for record in records {
        match &record.entry {
            Entry::Called(called) => drop(begun.insert(called.number, called.after)),
            entry if entry.is_outcome() => {
                let at = since_start(record.at).max(comes.last().map_or(0, |last| last + 1));
                comes.push(at);
                let Some(number) = entry.number() else { continue };
                let after = begun.get(&number).copied().unwrap_or(0);
                let before = after
                    .checked_sub(1)
                    .and_then(|last| comes.get(usize::try_from(last).ok()?));
                let delay = at.saturating_sub(before.copied().unwrap_or(0));
                delays.insert(number, delay.clamp(1, DELAY_MS_MAX));
            }
            _ => {}
        }
    }
    delays
}

fn turn(call: &CallLine, delay_ms: u64) -> Result<Table, String> {
    let mut turn = Table::new();
    match &call.outcome {
        Some(Outcome::Ok(reply)) => {
            let reply: Reply = reply.read().map_err(|e| format!("is none: {e}"))?;
            let asks_for_tools = reply.content.iter().any(|block| matches!(block, Block::ToolCall(_)));
            let natural = if asks_for_tools {
                StopReason::ToolUse
            } else {
                StopReason::End
            };
            match reply.content.as_slice() {
                [Block::Text(text)] => drop(turn.insert("text".to_owned(), text.as_str().into())),
                blocks => drop(turn.insert("blocks".to_owned(), toml_of(&json_of(&blocks))?)),
            }
            turn.insert("usage".to_owned(), toml_of(&json_of(&reply.usage))?);
            if reply.stop_reason != natural {
                turn.insert("stop_reason".to_owned(), toml_of(&json_of(&reply.stop_reason))?);
            }
        }
        Some(Outcome::Err(fault)) => drop(turn.insert("error".to_owned(), error(fault))),
        // Nobody waited for it.
        None => drop(turn.insert(
            "error".to_owned(),
            error(&Fault::new(Fault::FAILED, "it was not answered")),
        )),
    }
    turn.insert(
        "delay_ms".to_owned(),
        i64::try_from(delay_ms).unwrap_or(i64::MAX).into(),
    );
    Ok(turn)
}

fn error(fault: &Fault) -> toml::Value {
    let members = [("code", &fault.code), ("message", &fault.message)];
    let members = members.map(|(name, text)| (name.to_owned(), text.as_str().into()));
    toml::Value::Table(Table::from_iter(members))
}

/// Writes what people and other programs said, and when.
fn signals(timeline: &Timeline, delays: &BTreeMap<Number, u64>, file: &mut Text) -> Result<(), String> {
    for call in &timeline.calls {
        match (call.function.kind(), &call.outcome) {
            (Kind::Question, Some(outcome)) => {
                let question: Question = call.request.read().map_err(|e| e.to_string())?;
                file.heading("[[answer]]");
                file.member("question", &Value::from(question.name.as_str()))?;
                match outcome {
                    Outcome::Ok(answer) => {
                        said(call, answer, file)?;
                        let delay = delays.get(&call.number).copied().unwrap_or_default();
                        file.member("delay_ms", &Value::from(delay))?;
                    }
                    Outcome::Err(_) => file.member("nobody", &Value::Bool(true))?,
                }
            }
            (Kind::Event, Some(Outcome::Ok(answer))) => {
                let event: Event = call.request.read().map_err(|e| e.to_string())?;
                file.heading("[[event]]");
                file.member("name", &Value::from(event.name.as_str()))?;
                said(call, answer, file)?;
                // When it came nobody knows; when it was taken is known, and earlier is as good for a run that waited for it.
                let taken = call.ended_at.map(|at| millis(at.since(timeline.started_at)));
                file.member("delay_ms", &Value::from(taken.unwrap_or_default()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes the value of an answer or an event; without one it is null.
fn said(call: &CallLine, answer: &Payload, file: &mut Text) -> Result<(), String> {
    let answer: Answer = answer.read().map_err(|e| e.to_string())?;
    if answer.value.is_null() {
        return Ok(());
    }
    let said = file.member("value", &answer.value);
    said.map_err(|reason| format!("what was said to call {} {reason}", call.number))
}

/// Writes what other effects answered, which a case does not perform.
fn effects(timeline: &Timeline, delays: &BTreeMap<Number, u64>, file: &mut Text) -> Result<(), String> {
    let is_performed = |call: &&CallLine| {
        let is_played = call.function == Function::MODEL_COMPLETE || call.function.name().starts_with("files.");
        matches!(call.function.kind(), Kind::Effect | Kind::Skill) && !is_played
    };
    for call in timeline.calls.iter().filter(is_performed) {
        let Some(outcome) = &call.outcome else { continue };
        let known_as = if call.is_labelled {
            call.label.as_str()
        } else {
            call.function.name()
        };
        file.heading("[[effect]]");
        file.member("call", &Value::from(known_as))?;
        match outcome {
            Outcome::Ok(answer) => {
                let answer: Value = answer.read().map_err(|e| e.to_string())?;
                if !answer.is_null() {
                    let said = file.member("answer", &answer);
                    said.map_err(|reason| format!("the answer to call {} {reason}", call.number))?;
                }
            }
            Outcome::Err(fault) => file.members(Table::from_iter([("error".to_owned(), error(fault))])),
        }
        let delay = delays.get(&call.number).copied().unwrap_or(DELAY_MS_MAX);
        file.member("delay_ms", &Value::from(delay))?;
    }
    Ok(())
}

/// Writes what the files of the run have to be. One that is no text is left out.
fn files(files: &Files, file: &mut Text) -> Result<(), String> {
    let texts = files
        .iter()
        .filter_map(|(path, bytes)| Some((path, std::str::from_utf8(bytes).ok()?)));
    let texts: Vec<_> = texts.collect();
    if texts.is_empty() {
        return Ok(());
    }
    file.heading("[expect.files]");
    for (path, text) in texts {
        // A JSON text is a TOML key.
        let name = Value::from(path.as_str()).to_string();
        match text.len() <= FILE_BYTES_MAX {
            true => file.member(&name, &Value::from(text))?,
            false => {
                let beginning: String = text.chars().take(BEGINNING_CHARS).collect();
                file.member(&name, &serde_json::json!({"contains": beginning}))?;
            }
        }
    }
    Ok(())
}

/// The text of a case, as it grows.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn heading(&mut self, heading: &str) {
        self.0.push_str(&format!("\n{heading}\n"));
    }

    fn member(&mut self, name: &str, value: &Value) -> Result<(), String> {
        self.0.push_str(&format!("{name} = {}\n", toml_of(value)?));
        Ok(())
    }

    /// Writes what has to come of it, if TOML can say that.
    fn output(&mut self, output: &Value) {
        if let Err(reason) = self.member("output", output) {
            self.0.push_str(&format!("# the output is not expected: it {reason}\n"));
        }
    }

    fn members(&mut self, members: Table) {
        for (name, value) in members {
            self.0.push_str(&format!("{name} = {value}\n"));
        }
    }

    /// Writes a list, an item a line.
    fn lines(&mut self, name: &str, items: &[Value]) -> Result<(), String> {
        let items: Result<Vec<_>, _> = items.iter().map(toml_of).collect();
        let items: String = items?.iter().map(|item| format!("    {item},\n")).collect();
        self.0.push_str(&format!("{name} = [\n{items}]\n"));
        Ok(())
    }
}

fn json_of(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("a recorded type serialises")
}

/// Writes a value in TOML, which has no null: a member that is null is left out, which is the same to a case.
fn toml_of(value: &Value) -> Result<toml::Value, String> {
    Ok(match value {
        Value::Null => return Err("holds a null, which TOML cannot say".to_owned()),
        Value::Bool(bool) => (*bool).into(),
        Value::String(text) => text.as_str().into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => integer.into(),
            (None, Some(float)) if number.is_f64() => float.into(),
            _ => return Err(format!("holds the number {number}, which TOML cannot say")),
        },
        Value::Array(items) => toml::Value::Array(items.iter().map(toml_of).collect::<Result<_, _>>()?),
        Value::Object(members) => {
            let members = members.iter().filter(|(_, member)| !member.is_null());
            let members = members.map(|(name, member)| Ok((name.clone(), toml_of(member)?)));
            toml::Value::Table(members.collect::<Result<_, String>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use serde_json::json;

    use super::*;

    #[test]
    fn what_toml_can_say_is_written_and_the_rest_is_refused_in_words() {
        let value = json!({"b": [1, 2.5, true], "a": {"text": "two\nlines \"\"\" and $x", "none": null}});
        let text = format!("x = {}\n", toml_of(&value).unwrap());
        let back: Table = text.parse().unwrap();
        let back: Value = serde_json::to_value(&back["x"]).unwrap();
        assert!(super::super::judge::same(&back, &value), "{text}");
        assert!(toml_of(&json!([null])).unwrap_err().contains("null"));
        assert!(toml_of(&json!(u64::MAX)).unwrap_err().contains("18446744073709551615"));
    }
}
