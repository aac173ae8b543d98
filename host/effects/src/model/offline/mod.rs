//! `offline`: answers from the script that the skill brings along, `offline.toml`. No model is asked; every reply is marked as simulated.

mod script;
mod template;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use skillhost_core::calls::model::{Block, Reply, Request, StopReason};
use skillhost_core::id::Number;
use skillhost_core::outcome::Fault;
use skillhost_core::payload::Payload;
use skillhost_core::retry::FaultKind;

use super::{Asked, Miss, estimate};
use crate::watch::Progress;
use script::{Heard, ScriptedError, Turn};
use template::Captures;

pub use script::{Script, ScriptError, Use, request_digest};
pub use template::glob_matches;

/// The script has no reply for the call.
pub const UNSCRIPTED: &str = "unscripted";

/// The longest delay that a script plays in real time.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// The scripts of the runs that are there: runs of one skill have the same, which is read once.
#[derive(Debug, Default)]
pub(super) struct Scripts(Mutex<Vec<(String, Weak<Script>)>>);

impl Scripts {
    /// Reads a script, unless some run has it.
    pub(super) fn read(&self, text: &str) -> Result<Arc<Script>, ScriptError> {
        // Nothing that runs under the lock leaves it half done.
        let mut scripts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = scripts.iter().find(|(other, _)| other == text);
        if let Some(script) = known.and_then(|(_, script)| script.upgrade()) {
            return Ok(script);
        }
        let script = Arc::new(Script::parse(text)?);
        scripts.retain(|(_, script)| script.strong_count() > 0);
        scripts.push((text.to_owned(), Arc::downgrade(&script)));
        Ok(script)
    }
}

/// Answers the calls of one run from a script.
#[derive(Debug)]
pub(super) struct Offline {
    script: Option<Arc<Script>>,
    /// For each reply of the script the calls that it answers, by their numbers, ascending.
    answered: Mutex<Vec<Vec<Number>>>,
}

impl Offline {
    pub(super) fn new(script: Option<Arc<Script>>) -> Self {
        let rules = script.as_deref().map_or(0, |script| script.rules.len());
        Self {
            script,
            answered: Mutex::new(vec![Vec::new(); rules]),
        }
    }

    pub(super) fn features(&self) -> Vec<String> {
        self.script.as_deref().map(Script::features).unwrap_or_default()
    }

    /// Takes note of a call, so that those after it know whether they are the first, second or third of their kind.
    pub(super) fn note(&self, number: Number, request: &Payload, label: Option<&str>) {
        let Some(script) = self.script.as_deref().filter(|script| script.counts()) else {
            return;
        };
        // A malformed request is answered with a fault when it is performed; it is no occurrence of anything.
        let Ok(parsed) = request.read::<Request>() else { return };
        if let Some((rule, _)) = script.find(&Heard::new(&parsed, request, label)) {
            self.occurrence(rule, number);
        }
    }

    pub(super) async fn complete(&self, asked: &Asked<'_>) -> Result<Reply, Miss> {
        let (answer, delay) = self.answer(asked, asked.attempt);
        if !delay.is_zero() {
            let started = Progress::Started { attempt: asked.attempt };
            asked.watch.report(asked.number, started);
            tokio::time::sleep(delay.min(DELAY_MAX)).await;
        }
        answer
    }

    /// Returns what the script answers to the so-many-th attempt, and after how long.
    pub(super) fn answer(&self, asked: &Asked<'_>, attempt: u32) -> (Result<Reply, Miss>, Duration) {
        let (turn, captures) = match self.turn(asked) {
            Ok(found) => found,
            Err(fault) => return (Err(Miss::never(fault)), Duration::ZERO),
        };
        let answer = match &turn.error {
            Some(error) if error.times.is_none_or(|times| attempt <= times) => Err(played(error)),
            _ => {
                let said = turn
                    .said
                    .as_ref()
                    .expect("a turn without an error says something: checked when it was read");
                Ok(reply(asked, turn, said.blocks(&captures)))
            }
        };
        (answer, Duration::from_millis(turn.delay_ms))
    }

    /// Finds the turn of the script that answers a call.
    fn turn(&self, asked: &Asked<'_>) -> Result<(&Turn, Captures), Fault> {
        let Some(script) = &self.script else {
            return Err(Fault::new(
                UNSCRIPTED,
                "no model provider is configured, and the skill has no `offline.toml` to answer from; `export ANTHROPIC_API_KEY=...` and launch again, \
                 or see `skillhost doctor`",
            ));
        };
        let heard = Heard::new(asked.request, asked.payload, asked.label);
        let Some((rule, captures)) = script.find(&heard) else {
            return Err(unscripted(&heard));
        };
        let occurrence = match script.rules[rule].counts() {
            true => self.occurrence(rule, asked.number),
            false => 0,
        };
        let turn = script.rules[rule].turn(occurrence).ok_or_else(|| {
            let message = format!(
                "`offline.toml` has {} answers for calls like this one, and this is the call after; add one to its `turns`, or leave out `repeat = false`",
                script.rules[rule].turns()
            );
            Fault::new(UNSCRIPTED, message)
        })?;
        Ok((turn, captures))
    }

    /// Returns how many calls before this one the rule answers. The number decides, so the order in which calls are performed does not.
    fn occurrence(&self, rule: usize, number: Number) -> usize {
        let mut answered = self.answered.lock().expect("nothing panics while it holds the lock");
        match answered[rule].binary_search(&number) {
            Ok(place) => place,
            Err(place) => {
                answered[rule].insert(place, number);
                place
            }
        }
    }
}

fn reply(asked: &Asked<'_>, turn: &Turn, content: Vec<Block>) -> Reply {
    let asks_for_tools = content.iter().any(|block| matches!(block, Block::ToolCall(_)));
    let natural = if asks_for_tools {
        StopReason::ToolUse
    } else {
        StopReason::End
    };
    Reply {
        stop_reason: turn.stop_reason.clone().unwrap_or(natural),
        model: format!("offline/{}", asked.request.model),
        usage: turn.usage.unwrap_or_else(|| estimate(asked.payload, &content)),
        content,
        simulated: true,
        extra: None,
    }
}

fn played(error: &ScriptedError) -> Miss {
    let message = error
        .message
        .clone()
        .unwrap_or_else(|| format!("`offline.toml` plays the error `{}`", error.code));
    match error.code.as_str() {
        Fault::OVERLOADED => Miss::maybe(FaultKind::Overloaded, None, Fault::new(Fault::OVERLOADED, message)),
        "network" => Miss::maybe(FaultKind::Network, None, Fault::new(Fault::FAILED, message)),
        code => Miss::never(Fault::new(code, message)),
    }
}

fn unscripted(heard: &Heard<'_>) -> Fault {
    let label = heard
        .label
        .map(|label| format!(", labelled `{label}`"))
        .unwrap_or_default();
    let message = format!(
        "`offline.toml` has no reply for a call of `{}`{label}, whose last message begins `{}`; add one:\n{}",
        heard.request.model,
        beginning(heard),
        missing(heard)
    );
    Fault::new(UNSCRIPTED, message)
}

/// Returns a reply for a script that has none for this request: the condition that it is met by, and a text to be replaced.
pub fn missing_reply(request: &Payload, label: Option<&str>) -> Option<String> {
    let parsed = request.read::<Request>().ok()?;
    Some(missing(&Heard::new(&parsed, request, label)))
}

fn missing(heard: &Heard<'_>) -> String {
    let condition = match heard.label {
        Some(label) => format!("label = {}", toml::Value::from(label)),
        None => format!(
            "contains = {}",
            toml::Value::from(beginning(heard).replace('$', "").as_str())
        ),
    };
    format!("[[reply]]\n{condition}\ntext = \"...\"")
}

/// Returns how the last message begins.
fn beginning(heard: &Heard<'_>) -> String {
    let first_line = heard.last().lines().find(|line| !line.trim().is_empty()).unwrap_or("");
    first_line.trim().chars().take(80).collect()
}
