//! What a run did, call by call, made of its journal alone.
//!
//! [`Timeline::of`] reads the entries; [`Timeline::lines`] shows them by the names that the skill gave its calls, folded until they fit a screen.

mod fold;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use skillhost_core::budget::Cost;
use skillhost_core::calls::{self, model};
use skillhost_core::effect::{Function, Kind};
use skillhost_core::entry::{By, Called, Entry, Finished, Record, Retried, Returned, Started, Why};
use skillhost_core::id::{Number, Seq};
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;

use crate::terminal::plain_line;

/// What a run did.
#[derive(Debug)]
pub struct Timeline {
    /// Its first entry.
    pub started: Started,
    /// When that was made.
    pub started_at: Timestamp,
    /// Its calls, by number.
    pub calls: Vec<CallLine>,
    /// How it ended, and when, if it did.
    pub finished: Option<(Timestamp, Finished)>,
    /// Why it was cancelled, if it was.
    pub cancelled: Option<Option<String>>,
}

/// One call.
#[derive(Clone, Debug)]
pub struct CallLine {
    /// Its number.
    pub number: Number,
    /// What was asked of the host.
    pub function: Function,
    /// What a person calls it: the skill's own label, else the function with what it was about.
    pub label: String,
    /// Whether the label is the skill's own.
    pub is_labelled: bool,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it was answered.
    pub ended_at: Option<Timestamp>,
    /// The entry that answered it.
    pub outcome: Option<Outcome>,
    /// Who answered.
    pub by: By,
    /// How often it was performed.
    pub attempts: u32,
    /// Why it was performed again, in order.
    pub again: Vec<(Why, Option<Box<Fault>>)>,
    /// The tokens that were spent on it, as far as they are known.
    pub tokens: u64,
    /// The money that was, in millionths of a dollar, as far as prices are known.
    pub microdollars: u64,
    /// The tier that answered, where the budget did not let the one answer that was asked.
    pub tier: Option<String>,
    /// With what it was asked.
    pub request: Payload,
    /// Whether the run ended, or was cancelled, before it was answered.
    pub dropped: bool,
    /// Whether the last attempt was given its outcome by the journal, and did not make it.
    pub replayed: bool,
}

impl Timeline {
    /// Reads the entries of a run, the last attempt at which began when its journal ended at `held_from`; `None` if they do not begin with `started`.
    pub fn of(records: &[Record], held_from: Seq) -> Option<Self> {
        let (first, rest) = records.split_first()?;
        let Entry::Started(started) = &first.entry else {
            return None;
        };
        let mut timeline = Self {
            started: (**started).clone(),
            started_at: first.at,
            calls: Vec::new(),
            finished: None,
            cancelled: None,
        };
        let mut index: BTreeMap<Number, usize> = BTreeMap::new();
        for record in rest {
            let call = record.entry.number().and_then(|number| index.get(&number).copied());
            match &record.entry {
                Entry::Called(called) => {
                    index.insert(called.number, timeline.calls.len());
                    timeline.calls.push(CallLine::of(called, record.at));
                }
                Entry::Retried(retried) => {
                    if let Some(call) = call {
                        timeline.calls[call].performed_again(retried);
                    }
                }
                Entry::Returned(returned) => {
                    if let Some(call) = call {
                        timeline.calls[call].answered(returned, record.at);
                        timeline.calls[call].replayed = record.seq < held_from;
                    }
                }
                Entry::Cancelled { reason } => timeline.cancelled = Some(reason.clone()),
                Entry::Finished(finished) => timeline.finished = Some((record.at, finished.clone())),
                Entry::Started(_) | Entry::Prepared { .. } | Entry::Expired | Entry::Repinned { .. } => {}
            }
        }
        if timeline.finished.is_some() {
            let open = timeline.calls.iter_mut().filter(|call| call.outcome.is_none());
            open.for_each(|call| call.dropped = true);
        }
        timeline.calls.sort_by_key(|call| call.number);
        Some(timeline)
    }

    /// Returns the timeline of a run that has done nothing yet, and otherwise is as another.
    pub fn empty(like: &Self) -> Self {
        Self {
            started: like.started.clone(),
            started_at: like.started_at,
            calls: Vec::new(),
            finished: None,
            cancelled: None,
        }
    }

    /// Returns the call of this number.
    pub fn call(&self, number: Number) -> Option<&CallLine> {
        self.calls.iter().find(|call| call.number == number)
    }

    /// Returns how long after the start of the run a time is.
    pub fn since_start(&self, at: Timestamp) -> Duration {
        at.since(self.started_at)
    }

    /// Returns the calls as lines, at most about `most` of them, with headings.
    pub fn lines(&self, most: usize, width: usize) -> String {
        fold::render(self, most, width)
    }

    /// Returns the money that is known to be spent, in millionths of a dollar.
    pub fn microdollars(&self) -> u64 {
        self.calls
            .iter()
            .map(|call| call.microdollars)
            .fold(0, u64::saturating_add)
    }

    /// Returns in words what was done altogether.
    pub fn summary(&self) -> String {
        let models: Vec<&CallLine> = self
            .calls
            .iter()
            .filter(|call| call.function == Function::MODEL_COMPLETE)
            .collect();
        let tokens: u64 = models.iter().map(|call| call.tokens).sum();
        let again: u32 = self.calls.iter().map(|call| call.attempts.saturating_sub(1)).sum();
        let failed = self.calls.iter().filter(|call| call.fault().is_some()).count();
        let mut parts = vec![count(self.calls.len() as u64, "call")];
        if !models.is_empty() {
            parts.push(format!("{} of a model, {}", models.len(), count(tokens, "token")));
        }
        if again > 0 {
            parts.push(format!("{again} performed again"));
        }
        let replayed = self.calls.iter().filter(|call| call.replayed).count();
        if replayed > 0 {
            parts.push(format!("{replayed} replayed from the journal by the last attempt"));
        }
        if failed > 0 {
            parts.push(format!("{failed} answered with an error"));
        }
        parts.join("; ")
    }
}

impl CallLine {
    fn of(called: &Called, at: Timestamp) -> Self {
        let label = called
            .options
            .label
            .as_deref()
            .map(plain_line)
            .filter(|label| !label.is_empty());
        Self {
            number: called.number,
            function: called.function,
            is_labelled: label.is_some(),
            label: label.unwrap_or_else(|| described(called.function, &called.request)),
            started_at: at,
            ended_at: None,
            outcome: None,
            by: By::Effect,
            attempts: 1,
            again: Vec::new(),
            tokens: 0,
            microdollars: 0,
            tier: called.tier.clone(),
            request: called.request.clone(),
            dropped: false,
            replayed: false,
        }
    }

    fn performed_again(&mut self, retried: &Retried) {
        self.attempts += 1;
        self.spent(retried.spent);
        self.again.push((retried.why, retried.fault.clone()));
    }

    fn answered(&mut self, returned: &Returned, at: Timestamp) {
        self.ended_at = Some(at);
        self.outcome = Some(returned.outcome.clone());
        self.by = returned.by.clone();
        self.spent(returned.spent);
    }

    fn spent(&mut self, spent: Option<Cost>) {
        let spent = spent.unwrap_or_default();
        self.tokens = self.tokens.saturating_add(spent.tokens);
        self.microdollars = self.microdollars.saturating_add(spent.microdollars);
    }

    /// Returns its outcome as people and programs are shown it: an answer has the members that its record leaves out.
    pub fn shown(&self) -> Option<Outcome> {
        self.outcome.as_ref().map(|outcome| match outcome {
            Outcome::Ok(answer) => Outcome::Ok(calls::shown(self.function, answer)),
            Outcome::Err(fault) => Outcome::Err(fault.clone()),
        })
    }

    /// Returns the error that it was answered with.
    pub fn fault(&self) -> Option<&Fault> {
        match &self.outcome {
            Some(Outcome::Err(fault)) => Some(fault),
            _ => None,
        }
    }

    /// Returns how long it took.
    pub fn took(&self) -> Option<Duration> {
        self.ended_at.map(|ended| ended.since(self.started_at))
    }

    /// Returns the tokens that its answer tells of, whoever was asked for it and when.
    pub fn usage(&self) -> u64 {
        match &self.outcome {
            Some(Outcome::Ok(payload)) if self.function == Function::MODEL_COMPLETE => {
                payload.read::<model::Reply>().map_or(0, |reply| reply.usage.total())
            }
            _ => 0,
        }
    }

    /// Returns the model that answered.
    pub fn model(&self) -> Option<String> {
        match &self.outcome {
            Some(Outcome::Ok(payload)) if self.function == Function::MODEL_COMPLETE => payload
                .read::<model::Reply>()
                .ok()
                .map(|reply| plain_line(&reply.model)),
            _ => None,
        }
    }

    /// Returns in words what is remarkable about it; usually nothing.
    pub fn remarks(&self) -> String {
        let mut remarks = Vec::new();
        for (why, fault) in &self.again {
            remarks.push(match (why, fault) {
                (Why::Failure, Some(fault)) => format!("again after {}", plain_line(&fault.code)),
                (Why::Failure, None) => "again after a failure".to_owned(),
                (Why::Recovery, _) => "again after a crash".to_owned(),
                (Why::Redo | Why::Anew, _) => "again as a person decided".to_owned(),
            });
        }
        remarks.dedup();
        match &self.outcome {
            Some(Outcome::Err(fault)) => remarks.push(match fault.message.is_empty() {
                true => plain_line(&fault.code),
                false => format!("{}: {}", plain_line(&fault.code), plain_line(&fault.message)),
            }),
            Some(Outcome::Ok(_)) => {}
            None if self.dropped => remarks.push("not needed any more".to_owned()),
            None => remarks.push(self.open().to_owned()),
        }
        match &self.by {
            By::Person(Some(name)) => remarks.push(format!("answered by {}", plain_line(name))),
            By::Person(None) => remarks.push("answered by a person".to_owned()),
            By::Record { number, .. } => remarks.push(format!("as call {number} before")),
            By::Effect => {}
        }
        remarks.join("; ")
    }

    fn open(&self) -> &'static str {
        match self.function.kind() {
            Kind::Timer => "waits for its time",
            Kind::Event => "waits for an event",
            Kind::Question => "waits for an answer",
            _ => "in flight",
        }
    }
}

/// Says what a call without a label is about: its function, and what of its request names something.
fn described(function: Function, request: &Payload) -> String {
    const CHARS_MAX: usize = 80;
    let request: Value = request.read().unwrap_or(Value::Null);
    let text = |member: &str| request.get(member).and_then(Value::as_str).map(plain_line);
    let about = if function == Function::CLOCK_SLEEP {
        let nanos = request.get("duration_ns").and_then(Value::as_u64);
        nanos.map(|nanos| duration(Duration::from_nanos(nanos)))
    } else {
        // At most one of them occurs in a request.
        ["model", "title", "path", "name"].into_iter().find_map(text)
    };
    match about {
        Some(about) => format!("{function} {}", crate::terminal::cut(&about, CHARS_MAX)),
        None => function.to_string(),
    }
}

/// Returns a number with its unit, in the plural where that is right.
pub fn count(number: u64, unit: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {unit}{plural}", grouped(number))
}

/// Returns a number with its digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a length of time as a person says it.
pub fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = duration.as_secs();
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600_000..172_800_000 => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
