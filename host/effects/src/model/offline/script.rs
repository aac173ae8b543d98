//! Scripted replies: the form of `offline.toml`, and of what tests and recordings keep.
//!
//! ```toml
//! [[reply]]                                  # for every call that fits: all conditions that are given hold
//! label = "part *"                           # the call's label; `*` is any text
//! model = "sonnet"                           # the tier or model that the skill asked for
//! contains = ["Question: $topic", "briefly"] # texts in what was said to the model; `$topic` is whatever stands there, up to what follows or to the end of the line
//! text = "Much is known about $topic."       # the answer
//!
//! [[reply]]
//! label = "agent"
//! turns = [                                  # one for each call that fits, in the order of the calls; the last goes on, unless `repeat = false`
//!     { blocks = [{ tool_call = { id = "t1", name = "read", input = { path = "a.md" } } }] },
//!     { json = { done = true }, usage = { input = 900, output = 12 }, delay_ms = 300 },
//! ]
//!
//! [[reply]]                                  # no condition: whatever is left
//! error = { code = "overloaded", times = 2 } # the first two performances fail, then comes the text
//! text = "At last."
//! ```
//!
//! Further conditions: `last` (texts in the last message alone), `system` (in the system prompt), `request` (the first 12 or more digits of the SHA-256 of the recorded
//! request, for recordings). The first reply of the file whose conditions hold is the call's; so the file goes from the special to the general. Which of its turns
//! the call gets is the number of earlier *calls*, by their numbers, that the same reply answers. Neither depends on the order in which answers
//! arrive, nor on what is performed again after a crash.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use skillhost_core::calls::model::{Block, Message, Request, Role, StopReason, Usage};
use skillhost_core::id::Digest;
use skillhost_core::payload::Payload;
use toml::Spanned;

use super::template::{Captures, Template, glob_matches};

/// The version of the form that this host writes and the newest it reads.
const VERSION: u32 = 1;
/// The longest script, in bytes.
const SCRIPT_BYTES_MAX: usize = 4 << 20;

/// A script that was read and checked.
#[derive(Debug, Default)]
pub struct Script {
    pub(super) rules: Vec<Rule>,
    features: Option<Vec<String>>,
}

/// Why a script cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ScriptError {
    /// Where, from 1.
    pub line: usize,
    /// Why.
    pub reason: String,
}

/// Which calls, and what they are answered.
#[derive(Debug)]
pub(super) struct Rule {
    label: Option<String>,
    model: Option<String>,
    contains: Vec<Template>,
    last: Vec<Template>,
    system: Vec<Template>,
    request: Option<String>,
    turns: Vec<Turn>,
    repeat: bool,
}

/// How far a reply was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// How many calls it answered.
    pub calls: usize,
    /// How many different answers it has.
    pub turns: usize,
}

/// One answer.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) error: Option<ScriptedError>,
    pub(super) said: Option<Said>,
    pub(super) stop_reason: Option<StopReason>,
    pub(super) usage: Option<Usage>,
    pub(super) delay_ms: u64,
}

/// What is said in it.
#[derive(Clone, Debug)]
pub(super) enum Said {
    Text(String),
    Json(Value),
    Blocks(Vec<Block>),
}

/// An error that a script plays.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScriptedError {
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: Option<String>,
    /// How many performances of the call fail; all of them if absent.
    #[serde(default)]
    pub(super) times: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Option<u32>,
    features: Option<Vec<String>>,
    #[serde(default)]
    reply: Vec<Spanned<RawReply>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReply {
    label: Option<String>,
    model: Option<String>,
    contains: Option<Texts>,
    last: Option<Texts>,
    system: Option<Texts>,
    request: Option<String>,
    turns: Option<Vec<RawTurn>>,
    repeat: Option<bool>,
    // The members of a turn, for replies of one.
    text: Option<String>,
    json: Option<Value>,
    blocks: Option<Vec<Block>>,
    error: Option<ScriptedError>,
    stop_reason: Option<StopReason>,
    usage: Option<Usage>,
    delay_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTurn {
    text: Option<String>,
    json: Option<Value>,
    blocks: Option<Vec<Block>>,
    error: Option<ScriptedError>,
    stop_reason: Option<StopReason>,
    usage: Option<Usage>,
    delay_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    All(Vec<String>),
}

impl Script {
    /// Reads a script and checks all of it.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        if text.len() > SCRIPT_BYTES_MAX {
            return Err(ScriptError {
                line: 1,
                reason: format!("a script may have {SCRIPT_BYTES_MAX} bytes, this has {}", text.len()),
            });
        }
        let line_at = |offset: usize| 1 + text.bytes().take(offset).filter(|b| *b == b'\n').count();
        let file: File = toml::from_str(text).map_err(|e| ScriptError {
            line: line_at(e.span().map_or(0, |span| span.start)),
            reason: e.message().to_owned(),
        })?;
        if let Some(version) = file.version.filter(|version| *version != VERSION) {
            return Err(ScriptError {
                line: 1,
                reason: format!("version {version} is not known, this host reads version {VERSION}"),
            });
        }
        let rule_of = |spanned: Spanned<RawReply>| {
            let line = line_at(spanned.span().start);
            rule(spanned.into_inner()).map_err(|reason| ScriptError { line, reason })
        };
        Ok(Self {
            rules: file.reply.into_iter().map(rule_of).collect::<Result<_, _>>()?,
            features: file.features,
        })
    }

    /// Returns what the script says it plays: whatever a provider can do, unless it names less.
    pub(super) fn features(&self) -> Vec<String> {
        let all = || ["tools", "web-search", "schema"].map(str::to_owned).to_vec();
        self.features.clone().unwrap_or_else(all)
    }

    /// Returns whether the answer to a call may depend on the calls before it.
    pub(super) fn counts(&self) -> bool {
        self.rules.iter().any(Rule::counts)
    }

    /// Counts the calls that each reply answers, in the order of the file. The calls come in the order of their numbers, with their labels.
    pub fn uses<'a>(&self, calls: impl IntoIterator<Item = (&'a Payload, Option<&'a str>)>) -> Vec<Use> {
        let mut uses: Vec<Use> = self
            .rules
            .iter()
            .map(|rule| Use {
                calls: 0,
                turns: rule.turns(),
            })
            .collect();
        for (payload, label) in calls {
            let Ok(request) = payload.read::<Request>() else {
                continue;
            };
            if let Some((rule, _)) = self.find(&Heard::new(&request, payload, label)) {
                uses[rule].calls += 1;
            }
        }
        uses
    }

    /// Finds the reply that answers a call, by what is asked alone, with what its templates captured.
    pub(super) fn find(&self, asked: &Heard<'_>) -> Option<(usize, Captures)> {
        self.rules
            .iter()
            .enumerate()
            .find_map(|(index, rule)| rule.matches(asked).map(|captures| (index, captures)))
    }
}

impl Rule {
    /// Returns the answer to the `occurrence`-th call (from 0) that this rule answers, if there is one left.
    pub(super) fn turn(&self, occurrence: usize) -> Option<&Turn> {
        let last = self.turns.last().filter(|_| self.repeat);
        self.turns.get(occurrence).or(last)
    }

    pub(super) fn turns(&self) -> usize {
        self.turns.len()
    }

    /// Returns whether its answer depends on how many calls it answered before.
    pub(super) fn counts(&self) -> bool {
        self.turns.len() > 1 || !self.repeat
    }

    fn matches(&self, asked: &Heard<'_>) -> Option<Captures> {
        let label_fits = self
            .label
            .as_deref()
            .is_none_or(|l| glob_matches(l, asked.label.unwrap_or("")));
        let model_fits = self
            .model
            .as_deref()
            .is_none_or(|m| glob_matches(m, &asked.request.model));
        let request_fits = self.request.as_deref().is_none_or(|r| asked.digest().starts_with(r));
        if !(label_fits && model_fits && request_fits) {
            return None;
        }
        let mut captures = Captures::new();
        let system = asked.request.system.as_deref().unwrap_or("");
        for template in &self.contains {
            captures.extend(template.find(asked.said())?);
        }
        for template in &self.last {
            captures.extend(template.find(asked.last())?);
        }
        for template in &self.system {
            captures.extend(template.find(system)?);
        }
        Some(captures)
    }
}

/// A call as the conditions see it.
pub(super) struct Heard<'a> {
    pub(super) request: &'a Request,
    pub(super) label: Option<&'a str>,
    payload: &'a Payload,
    /// Made when a condition asks for it, as the texts are.
    digest: OnceCell<String>,
    said: OnceCell<String>,
    last: OnceCell<String>,
}

impl<'a> Heard<'a> {
    pub(super) fn new(request: &'a Request, payload: &'a Payload, label: Option<&'a str>) -> Self {
        Self {
            request,
            label,
            payload,
            digest: OnceCell::new(),
            said: OnceCell::new(),
            last: OnceCell::new(),
        }
    }

    fn digest(&self) -> &str {
        self.digest.get_or_init(|| request_digest(self.payload))
    }

    /// Returns all that was said to the model.
    fn said(&self) -> &str {
        let from_user = self
            .request
            .messages
            .iter()
            .filter(|message| message.role == Role::User);
        self.said
            .get_or_init(|| from_user.map(text_of).collect::<Vec<_>>().join("\n"))
    }

    /// Returns the last message.
    pub(super) fn last(&self) -> &str {
        self.last
            .get_or_init(|| self.request.messages.last().map(text_of).unwrap_or_default())
    }
}

/// Returns what the condition `request` compares: the SHA-256 of a request as it is recorded, in hexadecimal.
pub fn request_digest(request: &Payload) -> String {
    Digest::of(request.as_str().as_bytes()).to_string()
}

fn text_of(message: &Message) -> String {
    let texts = message.content.iter().filter_map(|block| match block {
        Block::Text(text) => Some(text.as_str()),
        Block::ToolOutcome(outcome) => Some(outcome.content.as_str()),
        Block::ToolCall(_) | Block::Provider(_) => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

fn rule(raw: RawReply) -> Result<Rule, String> {
    let single = RawTurn {
        text: raw.text,
        json: raw.json,
        blocks: raw.blocks,
        error: raw.error,
        stop_reason: raw.stop_reason,
        usage: raw.usage,
        delay_ms: raw.delay_ms,
    };
    let turns = match raw.turns {
        None => vec![turn(single)?],
        Some(_) if single.says_something() => {
            return Err("a reply has either `turns` or an answer of its own, not both".to_owned());
        }
        Some(turns) if turns.is_empty() => return Err("`turns` is empty".to_owned()),
        Some(turns) => turns.into_iter().map(turn).collect::<Result<_, _>>()?,
    };
    if let Some(digits) = &raw.request
        && (digits.len() < 12 || digits.len() > 64 || !digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
    {
        return Err("`request` is not 12 to 64 hexadecimal digits in lower case".to_owned());
    }
    Ok(Rule {
        label: raw.label,
        model: raw.model,
        contains: templates("contains", raw.contains)?,
        last: templates("last", raw.last)?,
        system: templates("system", raw.system)?,
        request: raw.request,
        turns,
        repeat: raw.repeat.unwrap_or(true),
    })
}

fn templates(member: &str, texts: Option<Texts>) -> Result<Vec<Template>, String> {
    let texts = match texts {
        None => Vec::new(),
        Some(Texts::One(text)) => vec![text],
        Some(Texts::All(texts)) => texts,
    };
    let parse = |text: &String| Template::parse(text).map_err(|reason| format!("`{member}` {reason}"));
    texts.iter().map(parse).collect()
}

impl RawTurn {
    fn says_something(&self) -> bool {
        self.text.is_some() || self.json.is_some() || self.blocks.is_some() || self.error.is_some()
    }
}

fn turn(raw: RawTurn) -> Result<Turn, String> {
    let said = match (raw.text, raw.json, raw.blocks) {
        (Some(text), None, None) => Some(Said::Text(text)),
        (None, Some(json), None) => Some(Said::Json(json)),
        (None, None, Some(blocks)) => Some(Said::Blocks(blocks)),
        (None, None, None) => None,
        _ => return Err("an answer is one of `text`, `json` and `blocks`, not several".to_owned()),
    };
    match (&said, &raw.error) {
        (None, None) => return Err("it has no answer: give `text`, `json`, `blocks`, `error` or `turns`".to_owned()),
        (Some(_), Some(error)) if error.times.is_none() => {
            return Err(
                "an `error` beside an answer needs `times`, the number of performances that fail first".to_owned(),
            );
        }
        (None, Some(error)) if error.times.is_some() => {
            return Err("an `error` with `times` needs an answer for the performances after it".to_owned());
        }
        _ => {}
    }
    Ok(Turn {
        error: raw.error,
        said,
        stop_reason: raw.stop_reason,
        usage: raw.usage,
        delay_ms: raw.delay_ms.unwrap_or(0),
    })
}

impl Said {
    /// Returns the blocks of a reply, with what was captured put in.
    pub(super) fn blocks(&self, captures: &BTreeMap<String, String>) -> Vec<Block> {
        match self {
            Self::Text(text) => vec![Block::Text(Template::fill(text, captures))],
            Self::Json(json) => vec![Block::Text(filled(json, captures).to_string())],
            Self::Blocks(blocks) => {
                let value = serde_json::to_value(blocks).expect("blocks serialise: they were read from a script");
                serde_json::from_value(filled(&value, captures))
                    .expect("filling changes texts only, so blocks stay blocks")
            }
        }
    }
}

fn filled(value: &Value, captures: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => Value::String(Template::fill(text, captures)),
        Value::Array(items) => items.iter().map(|item| filled(item, captures)).collect(),
        Value::Object(members) => {
            let filled_members = members
                .iter()
                .map(|(name, member)| (name.clone(), filled(member, captures)));
            Value::Object(filled_members.collect())
        }
        other => other.clone(),
    }
}
