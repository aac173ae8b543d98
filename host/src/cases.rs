//! The cases that a skill is tested with: the form of `tests/*.toml`. What runs them is elsewhere; here they are read and checked.
//!
//! ```toml
//! about = "a draft that is approved is announced"   # what the case shows; its file's name if absent
//! input = { topic = "rivers" }                      # what the skill is launched with
//! at = "2026-01-05T09:00:00Z"                       # when, and in which zone; a time and UTC if absent
//! zone = "Europe/Berlin"
//! files = { "project/a.txt" = "one" }               # what lies in `data/` and in the folders that the skill is given, of which there is one for every
//!                                                   # mount that it asks for, or that begins a path in the input
//! notes = ["be brief"]                              # what is left for the run, or `{ message = "be brief", delay_ms = 5000 }`
//!
//! [[reply]]                                         # as in `offline.toml`, which answers instead where a case has none
//! label = "draft"
//! text = "All about rivers."
//!
//! [[answer]]                                        # what people say: the next answer to a question of that name
//! question = "publish"
//! value = { approve = true, comment = "" }
//! delay_ms = 3_600_000                              # how long after it was asked; at once if absent
//!
//! [[event]]                                         # what other programs send, in this order
//! name = "build-finished"
//! value = { passed = true }
//! delay_ms = 5000                                   # how long after the beginning; ahead if absent
//!
//! [[effect]]                                        # what is answered instead of being done: the next call of that label, or else function
//! call = "announce"
//! answer = { status = 200 }                         # in the shape of its answers, or `error = { code = "failed", message = "no room" }`
//! delay_ms = 2000                                   # after how long; at once if absent
//!
//! [expect]
//! output = { published = true }                     # the whole result; `output_has` names some members of it
//! calls = ["draft", "publish", "announce"]          # the calls in the order started, by label or else by function; `*` is any text
//!
//! [expect.files]                                    # files of `run/`: the whole text, or parts of it, or that there is none
//! "draft.md" = "All about rivers."
//! "log.md" = { contains = ["rivers", "approved"] }
//! "error.md" = { absent = true }
//!
//! [[expect.inbox]]                                  # messages in the order posted; what is not named may be anything
//! title = "Published: rivers"
//! ```
//!
//! What `expect` does not name is not looked at; as TOML has no null, a member that is null is as one that is absent. A case that is to fail has `status = "failed"` and may
//! have `failure = { code = "declined" }`; one that lets another run go on has `status = "continued"`, and its output is the input of that one. A question that
//! nobody answers lets its time pass; an answer with `nobody = true` and no value says so for one of several. A case that was recorded says by `run` and `seed` which
//! id and which randomness the skill saw.
//!
//! [`play`] plays a case and judges what came of it; [`record`](record::record) makes a case of a run.

pub mod judge;
pub mod lines;
pub mod play;
pub mod record;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use skillhost_core::id::{Digest, RunId, SignalName};
use skillhost_core::outcome::Fault;
use skillhost_core::time::Timestamp;
use skillhost_effects::model::offline::Script;
use toml::{Spanned, Table};

use crate::stage::{Answer, Effect, Note, Sent};
use lines::{LineStarts, Lines};

/// The version of the form that this host writes and the newest it reads.
const VERSION: u32 = 1;

/// The longest case, in bytes: as much as a script of replies may have.
const CASE_BYTES_MAX: usize = 4 << 20;

/// When a case is played that does not say: 2026-01-05, 09:00 UTC, a Monday.
const AT: Timestamp = Timestamp(1_767_603_600_000_000);

/// What a script can say that its provider can do.
const FEATURES: [&str; 3] = ["tools", "web-search", "schema"];

/// The id of a run that does not say which.
const RUN: &str = "00000000000000000000000000";

/// A case that was read and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What it shows.
    pub about: Option<String>,
    /// What the skill is launched with.
    pub input: Value,
    /// When it is launched.
    pub at: Timestamp,
    /// In which time zone, by its IANA name.
    pub zone: String,
    /// The id of the run.
    pub run: RunId,
    /// Its randomness.
    pub seed: Digest,
    /// The texts that lie in its mounts when it begins, by path.
    pub files: BTreeMap<String, String>,
    /// What is left for the run.
    pub notes: Vec<Note>,
    /// What the script's provider can do; everything if absent.
    pub features: Option<Vec<String>>,
    /// The script of replies, in the form of `offline.toml`; the skill's own answers if it is absent.
    pub script: Option<String>,
    /// What people say, in order.
    pub answers: Vec<Answer>,
    /// What other programs send, in order.
    pub events: Vec<Sent>,
    /// What is answered instead of being done, in order.
    pub effects: Vec<Effect>,
    /// What has to come of it.
    pub expect: Expect,
    /// Where in its file everything stands.
    pub lines: Lines,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an answer: `question = \"...\"` and a `value`")]
struct RawAnswer {
    question: SignalName,
    value: Option<Value>,
    nobody: Option<True>,
    #[serde(default)]
    delay_ms: u64,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an event: `name = \"...\"`, and a `value` if it brings something"
)]
struct RawEvent {
    name: SignalName,
    #[serde(default)]
    value: Value,
    #[serde(default)]
    delay_ms: u64,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a note: a text, or `{ message = \"...\", delay_ms = 1000 }`")]
enum RawNote {
    Ahead(String),
    At(RawLateNote),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLateNote {
    message: String,
    #[serde(default)]
    delay_ms: u64,
}

impl From<RawAnswer> for Answer {
    fn from(raw: RawAnswer) -> Self {
        Self {
            name: raw.question,
            value: match raw.nobody {
                Some(True) => None,
                None => Some(raw.value.unwrap_or_default()),
            },
            delay: Duration::from_millis(raw.delay_ms),
        }
    }
}

impl From<RawEvent> for Sent {
    fn from(raw: RawEvent) -> Self {
        Self {
            name: raw.name,
            value: raw.value,
            delay: Duration::from_millis(raw.delay_ms),
        }
    }
}

impl From<RawNote> for Note {
    fn from(raw: RawNote) -> Self {
        let (message, delay_ms) = match raw {
            RawNote::Ahead(message) => (message, 0),
            RawNote::At(late) => (late.message, late.delay_ms),
        };
        Self {
            message,
            delay: Duration::from_millis(delay_ms),
        }
    }
}

impl<'de> Deserialize<'de> for Effect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            call: String,
            answer: Option<Value>,
            error: Option<RawFault>,
            #[serde(default)]
            delay_ms: u64,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct RawFault {
            code: String,
            #[serde(default)]
            message: String,
        }
        let raw = Raw::deserialize(deserializer)?;
        let outcome = match (raw.answer, raw.error) {
            (Some(_), Some(_)) => {
                return Err(serde::de::Error::custom(
                    "an effect has either `answer` or `error`, not both",
                ));
            }
            (answer, None) => Ok(answer.unwrap_or(Value::Null)),
            (None, Some(fault)) => Err(Fault::new(&fault.code, fault.message)),
        };
        Ok(Self {
            call: raw.call,
            outcome,
            delay: Duration::from_millis(raw.delay_ms),
        })
    }
}

/// How a run ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// The skill returned a result.
    #[default]
    Done,
    /// It returned a failure.
    Failed,
    /// It lets another run go on in its place.
    Continued,
}

impl Ending {
    /// Returns the word that cases use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Continued => "continued",
        }
    }
}

/// What has to come of a case.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// How the run ends.
    #[serde(default)]
    pub status: Ending,
    /// The whole result.
    pub output: Option<Value>,
    /// Some members of the result, each with its whole value.
    pub output_has: Option<serde_json::Map<String, Value>>,
    /// The failure of one that fails.
    pub failure: Option<ExpectedFailure>,
    /// The calls in the order started, by label or else by function, as patterns.
    pub calls: Option<Vec<String>>,
    /// The files of `run/`.
    #[serde(default)]
    pub files: BTreeMap<String, ExpectedFile>,
    /// The messages in the inbox, in the order posted.
    pub inbox: Option<Vec<ExpectedMessage>>,
}

/// A failure that has to come.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a failure: `{ code = \"...\" }`, also with `contains = \"...\"`"
)]
pub struct ExpectedFailure {
    /// Its code.
    pub code: String,
    /// What its message contains.
    #[serde(default)]
    pub contains: Texts,
}

/// A file that has to be there, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedFile {
    /// This text and no other.
    Text(String),
    /// Something with these parts.
    Contains(Texts),
    /// No file.
    Absent,
}

impl<'de> Deserialize<'de> for ExpectedFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Parts {
            contains: Option<Texts>,
            absent: Option<True>,
        }
        const FORMS: &str =
            "a file is expected as its whole text, as `{ contains = [\"...\"] }` or as `{ absent = true }`";
        let wrong = |reason: String| serde::de::Error::custom(format!("{reason}; {FORMS}"));
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self::Text(text)),
            parts @ Value::Object(_) => {
                let parts: Parts = serde_json::from_value(parts).map_err(|e| wrong(e.to_string()))?;
                match (parts.contains, parts.absent) {
                    (Some(texts), None) => Ok(Self::Contains(texts)),
                    (None, Some(True)) => Ok(Self::Absent),
                    _ => Err(wrong("this says neither or both".to_owned())),
                }
            }
            other => Err(wrong(format!("this is {other}"))),
        }
    }
}

/// A message that has to be in the inbox.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a message: `{ title = \"...\" }`, also with `contains = \"...\"`"
)]
pub struct ExpectedMessage {
    /// Its title.
    pub title: Option<String>,
    /// What its body contains.
    #[serde(default)]
    pub contains: Texts,
}

/// One text or several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "OneOrMore")]
pub struct Texts(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl From<OneOrMore> for Texts {
    fn from(texts: OneOrMore) -> Self {
        Self(match texts {
            OneOrMore::One(text) => vec![text],
            OneOrMore::More(texts) => texts,
        })
    }
}

/// `true`: the contrary is said by leaving it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "bool")]
pub struct True;

impl TryFrom<bool> for True {
    type Error = &'static str;

    fn try_from(is_so: bool) -> Result<Self, Self::Error> {
        is_so.then_some(Self).ok_or("leave it out instead of `false`")
    }
}

/// Why a case cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct CaseError {
    /// Where, from 1.
    pub line: usize,
    /// Why.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Option<u32>,
    about: Option<String>,
    #[serde(default = "nothing")]
    input: Value,
    at: Option<At>,
    zone: Option<String>,
    run: Option<RunId>,
    seed: Option<Digest>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    notes: Vec<RawNote>,
    features: Option<Vec<String>>,
    #[serde(default)]
    reply: Vec<Spanned<Table>>,
    #[serde(default)]
    answer: Vec<RawAnswer>,
    #[serde(default)]
    event: Vec<RawEvent>,
    #[serde(default)]
    effect: Vec<Effect>,
    expect: Expect,
}

/// A time as TOML has it, or as a text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a time: 2026-01-05T09:00:00Z")]
enum At {
    Date(toml::value::Datetime),
    Text(String),
}

fn nothing() -> Value {
    Value::Object(serde_json::Map::new())
}

impl Case {
    /// Reads a case and checks all of it.
    pub fn parse(text: &str) -> Result<Self, CaseError> {
        if text.len() > CASE_BYTES_MAX {
            return Err(CaseError {
                line: 1,
                reason: format!("a case may have {CASE_BYTES_MAX} bytes, this has {}", text.len()),
            });
        }
        let starts = LineStarts::of(text);
        let file: File = toml::from_str(text).map_err(|e| CaseError {
            line: starts.line(e.span().map_or(0, |span| span.start)),
            reason: in_words(e.message()),
        })?;
        let lines = Lines::of(text);
        let mistake = |path: &[&str], reason: String| CaseError {
            line: lines.at(path),
            reason,
        };
        if let Some((line, what)) = lines.unsayable() {
            return Err(CaseError {
                line: *line,
                reason: format!("{what} cannot be given to a skill; write a text or a number"),
            });
        }
        if let Some(version) = file.version.filter(|version| *version != VERSION) {
            let reason = format!("version {version} is not known, this host reads version {VERSION}");
            return Err(mistake(&["version"], reason));
        }
        // One by one, so that a mistake is told with its line.
        for reply in &file.reply {
            Script::parse(&script(None, [reply.get_ref()])).map_err(|e| CaseError {
                line: starts.line(reply.span().start),
                reason: format!("this reply cannot be used: {}", e.reason),
            })?;
        }
        for (index, answer) in file.answer.iter().enumerate() {
            if answer.value.is_some() && answer.nobody.is_some() {
                let reason = "an answer has a `value` or `nobody = true`, not both".to_owned();
                return Err(mistake(&["answer", &index.to_string()], reason));
            }
        }
        if file.expect.failure.is_some() && file.expect.status != Ending::Failed {
            let reason = "a case with a `failure` has `status = \"failed\"`".to_owned();
            return Err(mistake(&["expect", "failure"], reason));
        }
        if file.expect.status == Ending::Failed && (file.expect.output.is_some() || file.expect.output_has.is_some()) {
            let reason = "a case that fails has no output; `failure = { code = \"...\" }` says how it fails".to_owned();
            return Err(mistake(&["expect", "output"], reason));
        }
        let features = file.features.iter().flatten();
        if let Some(unknown) = features.clone().find(|feature| !FEATURES.contains(&feature.as_str())) {
            let reason = format!(
                "`{unknown}` is no feature of a model provider; there are {}",
                FEATURES.join(", ")
            );
            return Err(mistake(&["features"], reason));
        }
        let at = file.at.map(|at| match at {
            At::Date(date) => date.to_string(),
            At::Text(text) => text,
        });
        let at = at.as_deref().map(time).transpose();
        let at = at.map_err(|reason| mistake(&["at"], reason))?.unwrap_or(AT);
        let replies = file.reply.iter().map(Spanned::get_ref);
        Ok(Self {
            about: file.about,
            input: file.input,
            at,
            zone: file.zone.unwrap_or_else(|| "UTC".to_owned()),
            run: file.run.unwrap_or_else(|| RunId::parse(RUN).expect("it is a run id")),
            seed: file.seed.unwrap_or_else(|| Digest::of(RUN.as_bytes())),
            files: file.files,
            notes: file.notes.into_iter().map(Note::from).collect(),
            features: file.features.clone(),
            script: (!file.reply.is_empty()).then(|| script(file.features.as_deref(), replies)),
            answers: file.answer.into_iter().map(Answer::from).collect(),
            events: file.event.into_iter().map(Sent::from).collect(),
            effects: file.effect,
            expect: file.expect,
            lines,
        })
    }
}

/// Makes words of what a deserialiser says.
fn in_words(said: &str) -> String {
    match said.strip_prefix("invalid type: map, expected a sequence") {
        Some(_) => "there may be several of these: each begins with two brackets, as `[[reply]]` does".to_owned(),
        None => said.to_owned(),
    }
}

/// Reads a time as cases write it.
fn time(text: &str) -> Result<Timestamp, String> {
    let at: jiff::Timestamp = text.parse().map_err(|e| format!("`{text}` is no time: {e}"))?;
    u64::try_from(at.as_microsecond())
        .map(Timestamp)
        .map_err(|_| format!("`{text}` is before 1970"))
}

/// Returns replies as a script of their own.
fn script<'a>(features: Option<&[String]>, replies: impl IntoIterator<Item = &'a Table>) -> String {
    let replies = replies.into_iter().map(|reply| toml::Value::Table(reply.clone()));
    let mut script = Table::from_iter([("reply".to_owned(), toml::Value::Array(replies.collect()))]);
    if let Some(features) = features {
        script.insert("features".to_owned(), features.to_vec().into());
    }
    toml::to_string(&script).expect("a table can be written")
}

#[cfg(test)]
mod tests;
