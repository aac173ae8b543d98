//! What is launched in an ordeal: what it is told, what people do for it, and what has to come of it, worked out here and nowhere asked of a run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::Seeded;

/// What the system says when a disk is full.
pub(super) const NO_ROOM: &str = "No space left on device";

/// How many requests, acts, events or rounds a task has.
const TIMES: u64 = 3;

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Models, files, messages and lines, a little of each.
    Mixed,
    /// Models, one after the other.
    Steps,
    /// What must not be done twice.
    Acts,
    /// What says that twice is as once.
    IdempotentActs,
    /// Programs that append lines.
    Programs,
    /// Requests that must not be sent twice.
    Requests,
    /// Waits for events that people send.
    Events,
    /// Asks questions that people answer.
    Questions,
    /// Sleeps.
    Timers,
    /// Goes on in new runs.
    Continues,
    /// Calls other skills, all at once.
    Calls,
    /// Changes what its skill keeps for good, in a file of its own and in one that it shares.
    Data,
    /// Is cancelled, and tidies up.
    Cancelled,
    /// Fails, and undoes what it did.
    Saga,
    /// Logs and prints.
    Logs,
    /// Lets go of an act that takes too long.
    Dropped,
    /// Takes notes that people leave.
    Notes,
    /// A skill that ships, whose script answers.
    Research,
}

impl Kind {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::Mixed,
        Self::Steps,
        Self::Acts,
        Self::IdempotentActs,
        Self::Programs,
        Self::Requests,
        Self::Events,
        Self::Questions,
        Self::Timers,
        Self::Continues,
        Self::Calls,
        Self::Data,
        Self::Cancelled,
        Self::Saga,
        Self::Logs,
        Self::Dropped,
        Self::Notes,
        Self::Research,
    ];

    /// Those whose end is known on a disk that is full now and then: they change no file, or go on when one could not be changed and say which.
    pub const ON_A_FULL_DISK: &[Self] = &[
        Self::Data,
        Self::Steps,
        Self::Acts,
        Self::Data,
        Self::IdempotentActs,
        Self::Requests,
        Self::Data,
        Self::Events,
        Self::Questions,
        Self::Timers,
        Self::Logs,
        Self::Dropped,
        Self::Notes,
    ];

    fn skill(self) -> &'static str {
        match self {
            Self::Mixed => "crash",
            Self::Steps => "steps",
            Self::Acts | Self::IdempotentActs => "acts",
            Self::Programs => "process",
            Self::Requests => "http",
            Self::Events | Self::Questions | Self::Timers => "waits",
            Self::Continues => "continues",
            Self::Calls => "calls",
            Self::Data => "files",
            Self::Cancelled => "cleanup",
            Self::Saga => "saga",
            Self::Logs => "logs",
            Self::Dropped => "timeout-drop",
            Self::Notes => "notes",
            Self::Research => "deep-research",
        }
    }
}

/// Something that is launched once and has to come to one end.
#[derive(Clone, Debug)]
pub struct Task {
    /// What its launch is known by; everything that it leaves in the world bears this.
    pub id: String,
    /// What it does.
    pub kind: Kind,
    /// Its input.
    pub input: Value,
    /// Whether people send everything at once, before it is waited for.
    pub ahead: bool,
}

/// What a task left behind.
pub struct Came<'a> {
    /// How its last run ended, as journals say it: `done`, `failed`, `cancelled`.
    pub status: &'a str,
    /// Its result, or its failure.
    pub value: &'a Value,
    /// The files of its last run.
    pub files: &'a BTreeMap<String, String>,
    /// The titles of its messages.
    pub messages: &'a [String],
    /// What it logged.
    pub lines: &'a [String],
    /// How many calls of its run people had skipped.
    pub skipped: usize,
    /// The lines in the world that bear its id, each with how often it is there.
    pub world: &'a BTreeMap<String, usize>,
    /// What the model was asked, with what it answered.
    pub said: &'a BTreeMap<String, String>,
    /// The file of the skill's own that bears the task's id.
    pub data: Option<&'a str>,
    /// What the skill that ships comes to when nothing disturbs it.
    pub undisturbed: &'a Value,
    /// Whether the disk was full now and then.
    pub was_full: bool,
}

impl Task {
    /// Draws a task of this kind. `world` is the file that programs append to, `acts` where requests are sent.
    pub fn draw(kind: Kind, id: &str, random: &mut Seeded, world: &str, acts: &str) -> Self {
        let one_in = |random: &mut Seeded, chances| random.below(chances) == 0;
        let names: Vec<String> = (0..TIMES).map(|n| format!("{id}-{n}")).collect();
        let input = match kind {
            Kind::Mixed => json!({"prefix": prefix(id)}),
            Kind::Steps => json!({"prefix": prefix(id), "n": 5 + random.below(20)}),
            Kind::Acts => json!({"names": names, "parallel": one_in(random, 2), "ask": one_in(random, 2)}),
            Kind::IdempotentActs => json!({"names": names, "parallel": one_in(random, 2), "idempotent": true}),
            Kind::Programs => {
                let commands: Vec<Value> = (0..=TIMES).map(|n| program(id, n, world, n == TIMES)).collect();
                json!({"commands": commands, "parallel": one_in(random, 2)})
            }
            Kind::Requests => {
                let sent = |name: &String| json!({"method": "POST", "url": acts, "body": name});
                json!({"requests": names.iter().map(sent).collect::<Vec<_>>()})
            }
            Kind::Events => json!({"what": "event", "times": TIMES, "ask": true}),
            Kind::Questions => json!({"what": "answer", "times": TIMES}),
            Kind::Timers => json!({"what": "time", "times": TIMES, "ms": 20 + random.below(200)}),
            Kind::Continues => json!({"rounds": TIMES, "waits": one_in(random, 2)}),
            Kind::Calls => {
                let calls = [
                    json!({"skill": "fanout", "input": {"calls": 3}}),
                    json!({"skill": "files", "input": {"steps": data_steps(id)}}),
                    json!({"skill": "process", "input": {"commands": [program(id, 0, world, false)]}}),
                    json!({"skill": "waits", "input": {"what": "time", "ms": 20 + random.below(100)}}),
                    json!({"skill": "continues", "input": {"rounds": 2}}),
                    json!({"skill": "fails", "input": {"after_calls": 1}}),
                ];
                json!({"calls": calls, "parallel": true, "asks": 2})
            }
            Kind::Data => json!({"steps": data_steps(id)}),
            Kind::Cancelled => json!({"calls": 2}),
            Kind::Saga => json!({"fails": true}),
            Kind::Logs => json!({"lines": 2, "rounds": TIMES}),
            Kind::Dropped => json!({"name": format!("{id}-0"), "limit_ms": 1 + random.below(20)}),
            Kind::Notes => json!({"times": 1}),
            Kind::Research => json!({"question": "Should a team of four run its own Postgres?"}),
        };
        Self {
            id: id.to_owned(),
            kind,
            input,
            ahead: one_in(random, 3),
        }
    }

    /// Returns the words that launch it.
    pub fn words(&self) -> Vec<String> {
        let input = self.input.to_string();
        let words = [
            "launch",
            self.kind.skill(),
            "--id",
            &self.id,
            "--input",
            &input,
            "--json",
        ];
        let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        if self.kind == Kind::Research {
            words.push("--offline".to_owned());
        }
        words
    }

    /// Returns the events that people send it: their name and what they carry, in order.
    pub fn events(&self) -> Vec<(&'static str, Value)> {
        let events = match self.kind {
            Kind::Events => TIMES,
            Kind::Continues if self.input["waits"] == true => TIMES,
            Kind::Notes => 1,
            _ => 0,
        };
        (0..events).map(|n| ("go", json!(format!("{} {n}", self.id)))).collect()
    }

    /// Says what is not as it has to be.
    pub fn check(&self, came: &Came<'_>) -> Result<(), String> {
        let expected = match self.kind {
            Kind::Cancelled => "cancelled",
            Kind::Saga => "failed",
            _ => "done",
        };
        same("its end", came.status, expected)?;
        let value = came.value;
        match self.kind {
            Kind::Mixed => check_mixed(&self.id, came),
            Kind::Steps => same(
                "its result",
                value,
                &steps(&self.id, self.input["n"].as_u64().unwrap_or(0)),
            ),
            Kind::Acts | Kind::IdempotentActs | Kind::Requests => self.check_acts(came),
            Kind::Programs => check_programs(&self.id, texts(&value["answers"]), TIMES + 1, came),
            Kind::Events => {
                let sent: Vec<Value> = self.events().into_iter().map(|(_, value)| value).collect();
                let came = value["came"].as_array().cloned().unwrap_or_default();
                // Between them stands what the model was asked.
                same("the events", &came.into_iter().step_by(2).collect::<Vec<_>>(), &sent)
            }
            Kind::Questions => {
                let answers: Vec<Value> = (0..TIMES).map(|n| answer(&self.id, n)).collect();
                same("the answers", &value["came"], &Value::from(answers))
            }
            Kind::Timers => same("what came", &value["came"], &json!(["slept", "slept", "slept"])),
            Kind::Continues => check_continues(value, TIMES, came),
            Kind::Calls => check_calls(&self.id, came),
            Kind::Data if came.was_full => check_data_when_full(&self.id, &texts(&value["came"]), came),
            Kind::Data => check_data(&self.id, &texts(&value["came"]), came),
            Kind::Cancelled => {
                same("its files", &keys(came.files), &vec!["tidied.md"])?;
                same("its messages", &only(came.messages, "Tidied up"), &1)
            }
            Kind::Saga => {
                let text =
                    "booked room\nbooked train\nbooked guide\ngave guide back\ngave train back\ngave room back\n";
                same(
                    "its bookings",
                    &came.files.get("bookings.txt").map(String::as_str),
                    &Some(text),
                )
            }
            Kind::Logs => check_lines(came.lines),
            Kind::Dropped => {
                let act = value["act"].as_str().unwrap_or_default();
                // What a person skipped fails, and has the code that the fixture gives to any failure of it.
                let is_skipped = act == "act" && came.skipped > 0;
                match act == "timeout" || is_skipped || act == format!("acted: {}-0", self.id) {
                    true => Ok(()),
                    false => Err(format!("the act came to {act:?}")),
                }
            }
            Kind::Notes => same("the notes", &value["notes"], &json!([notes_told(&self.id)])),
            Kind::Research => same("its result", value, came.undisturbed),
        }
    }

    fn check_acts(&self, came: &Came<'_>) -> Result<(), String> {
        let answers = texts(&came.value["answers"]);
        let mut skipped = 0;
        for (n, answer) in answers.iter().enumerate() {
            let name = format!("{}-{n}", self.id);
            let is_done = [format!("acted: {name}"), format!("200 acted: {name}")].contains(answer);
            skipped += usize::from(answer.contains("skip"));
            if !is_done && !answer.contains("skip") {
                return Err(format!("act {n} came to {answer:?}"));
            }
        }
        same("how many acts there are", &(answers.len() as u64), &TIMES)?;
        same("how many were skipped", &skipped, &came.skipped)
    }
}

/// What a person answers to a task's question.
pub(super) fn answer(id: &str, n: u64) -> Value {
    json!({"approve": n.is_multiple_of(2), "comment": format!("{id} {n}")})
}

/// The notes that people leave for a task.
pub(super) fn notes(id: &str) -> [String; 2] {
    [format!("{id} first"), format!("{id} second")]
}

fn notes_told(id: &str) -> Vec<String> {
    notes(id).iter().map(|note| format!(": {note}")).collect()
}

/// Has the model answer with what follows it.
fn prefix(id: &str) -> String {
    format!("#reply {id} ")
}

fn program(id: &str, n: u64, world: &str, idempotent: bool) -> Value {
    // What it starts in the background must not outlive it.
    let script = format!("sleep 30 & echo '{id} {n}' >> '{world}'; sleep 0.05; echo done {n}; kill $!");
    json!({"program": "sh", "arguments": ["-c", script], "idempotent": idempotent})
}

/// Changes a file of the task's own and one that all share.
fn data_steps(id: &str) -> Value {
    let own = format!("{id}.txt");
    json!([
        {"deed": "write", "mount": "data", "path": own, "text": "one\n"},
        {"deed": "append", "mount": "data", "path": own, "text": "two\n"},
        {"deed": "append", "mount": "data", "path": "shared.txt", "text": format!("{id}\n")},
        {"deed": "append", "mount": "data", "path": own, "text": "three\n"},
        {"deed": "read", "mount": "data", "path": own},
    ])
}

fn same<T: PartialEq + std::fmt::Debug + ?Sized>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what}: found {found:?}, expected {expected:?}")),
    }
}

fn texts(value: &Value) -> Vec<String> {
    let texts = value.as_array().into_iter().flatten();
    texts.map(|text| text.as_str().unwrap_or_default().to_owned()).collect()
}

fn keys(files: &BTreeMap<String, String>) -> Vec<&str> {
    files.keys().map(String::as_str).collect()
}

fn only(messages: &[String], title: &str) -> usize {
    messages.iter().filter(|message| *message == title).count()
}

/// Adds to a digest of what a fixture saw, as the fixtures do (FNV-1a).
fn mix(digest: u64, seen: &str) -> u64 {
    seen.bytes().chain([0xff]).fold(digest, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

const NOTHING_SEEN: u64 = 0xcbf2_9ce4_8422_2325;

fn steps(id: &str, n: u64) -> Value {
    let answer = |step: u64| format!("{id} step {step}");
    let digest = (0..n).fold(NOTHING_SEEN, |digest, step| mix(digest, &answer(step)));
    json!({"steps": n, "digest": format!("{digest:016x}"), "last": answer(n - 1)})
}

fn check_mixed(id: &str, came: &Came<'_>) -> Result<(), String> {
    let mut answers: Vec<String> = (0..4).map(|step| format!("{id} first {step}")).collect();
    let notes: String = answers
        .iter()
        .enumerate()
        .map(|(n, answer)| format!("{n}: {answer}\n"))
        .collect();
    answers.extend((0..12).map(|part| format!("{id} part {part}")));
    answers.extend([format!("{id} left"), format!("{id} right")]);
    answers.extend((0..2).map(|step| format!("{id} last {step}")));
    let order = "one\ntwo\nthree\n";
    let digest = answers.iter().fold(NOTHING_SEEN, |digest, answer| mix(digest, answer));
    let digest = format!("{:016x}", mix(digest, order));
    same("its digest", &came.value["digest"], &Value::from(digest.as_str()))?;
    let odd = (1..12).step_by(2);
    let mut files: BTreeMap<String, String> = odd
        .map(|part| (format!("parts/{part:02}.txt"), format!("{id} part {part}")))
        .collect();
    files.insert("notes.txt".to_owned(), notes);
    files.insert("order.txt".to_owned(), order.to_owned());
    files.insert("result.txt".to_owned(), format!("{digest}\n"));
    same("its files", came.files, &files)?;
    for title in ["Noted", "Almost done", "Done"] {
        same(title, &only(came.messages, title), &1)?;
    }
    // Five that it logs, one warning, and a mark for each part.
    same("how much it logged", &came.lines.len(), &(6 + 13))
}

/// A program that was not skipped did what it is for at least once; that it did so at most as often as it was performed is said for all.
fn check_programs(id: &str, answers: Vec<String>, count: u64, came: &Came<'_>) -> Result<(), String> {
    same("how many programs there are", &(answers.len() as u64), &count)?;
    for (n, answer) in answers.iter().enumerate() {
        let done = came.world.get(&format!("{id} {n}")).copied().unwrap_or(0);
        let is_done = answer.starts_with(&format!("exited 0: \"done {n}\\n\""));
        if !is_done && !answer.contains("skip") {
            return Err(format!("program {n} came to {answer:?}"));
        }
        if is_done && done == 0 {
            return Err(format!("program {n} says that it was run, and was not"));
        }
    }
    Ok(())
}

fn check_continues(value: &Value, rounds: u64, came: &Came<'_>) -> Result<(), String> {
    let said = (0..rounds).map(|round| came.said.get(&format!("round {round}")).cloned());
    let said: Vec<Value> = said.map(Value::from).collect();
    same("what the rounds were answered", &value["seen"], &Value::from(said))?;
    same(
        "the files of the last run",
        &value["files"],
        &json!([format!("{}.md", rounds - 1)]),
    )
}

fn check_calls(id: &str, came: &Came<'_>) -> Result<(), String> {
    let answers = texts(&came.value["answers"]);
    same("how many answers there are", &answers.len(), &8)?;
    let read = |text: &String| serde_json::from_str::<Value>(text).map_err(|e| format!("{e}: {text}"));
    let fanned: BTreeSet<u64> = read(&answers[0])?["order"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_u64)
        .collect();
    same("what was fanned out", &fanned, &BTreeSet::from([0, 1, 2]))?;
    check_data(id, &texts(&read(&answers[1])?["came"]), came)?;
    check_programs(id, texts(&read(&answers[2])?["answers"]), 1, came)?;
    same("the time", &read(&answers[3])?["came"], &json!(["slept"]))?;
    check_continues(&read(&answers[4])?, 2, came)?;
    same("the failure", &answers[5].starts_with("declined"), &true)
}

fn check_data(id: &str, steps: &[String], came: &Came<'_>) -> Result<(), String> {
    let text = "one\ntwo\nthree\n";
    same("its own file", &came.data, &Some(text))?;
    same("how many steps there are", &steps.len(), &5)?;
    same("what was read", steps[4].as_str(), text)?;
    // People have it done again where it was not done, and say so where it was.
    let shared = came.world.get(id).copied().unwrap_or(0);
    same("its line in the shared file", &shared, &1)
}

/// What was told to be done is there, and what was told not to be is not: of an append all or nothing, of a whole file the old or the new (rule R3).
///
/// A file that was written before a crash, and could not be written once more after it, is the new one although its skill was told otherwise: a call in flight may be performed again.
fn check_data_when_full(id: &str, steps: &[String], came: &Came<'_>) -> Result<(), String> {
    same("how many steps there are", &steps.len(), &5)?;
    for step in &steps[..4] {
        if !["written", "appended"].contains(&step.as_str()) && !step.contains(NO_ROOM) {
            return Err(format!("a change came to {step:?}"));
        }
    }
    let text_of = |n: usize, text| if steps[n] == "appended" { text } else { "" };
    let appended = [text_of(1, "two\n"), text_of(3, "three\n")].concat();
    let data = came.data.unwrap_or_default();
    let behind = data.strip_prefix("one\n");
    let behind = if steps[0] == "written" {
        behind
    } else {
        behind.or(Some(data))
    };
    same(
        "its own file behind what was written whole",
        &behind,
        &Some(appended.as_str()),
    )?;
    if came.data.is_some() {
        same("what was read", steps[4].as_str(), data)?;
    }
    let shared = came.world.get(id).copied().unwrap_or(0);
    same(
        "its line in the shared file",
        &shared,
        &usize::from(steps[2] == "appended"),
    )
}

fn check_lines(lines: &[String]) -> Result<(), String> {
    let (kinds, lines_each, rounds) = (7, 2, TIMES as usize);
    same("how much it logged", &lines.len(), &(rounds * (kinds * lines_each + 1)))?;
    let printed = lines.iter().filter(|line| line.contains("printed 1.1")).count();
    same("how often it says one thing", &printed, &1)
}
