//! What a new run begins with when it retries or forks another: a copy of that one's journal up to a cut (rules F1-F5), and where to cut (rule F6).
//!
//! A journal is never rewound: the copy is the beginning of a run of its own, with keys and a budget of its own. This module decides what is in it; who makes the run,
//! and rebuilds its folder, is another's business. Start with [`copy`].
//!
//! Of a call without an outcome in the copy only its `called` entry is there, so the machine recovers it as after a crash: by its class, under the new run's key. That
//! is right for what the copied run may have done already, and it has an at-most-once call ask first. A call that a person wants performed again bears a mark
//! ([`Why::Anew`]) and is performed without asking.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::budget::Cost;
use crate::effect::{Class, Function, Kind};
use crate::entry::{By, Called, Due, Entry, Parent, Record, Retried, Returned, Started, Why};
use crate::id::{Number, RunId, Seq};
use crate::machine::{LoadError, Machine};
use crate::outcome::Outcome;
use crate::time::Timestamp;

/// What to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The new run.
    pub run: RunId,
    /// When it is made: waits that begin anew have their time from then.
    pub at: Timestamp,
    /// How many outcome entries it begins with (rule F2).
    pub cut: u64,
    /// Which outcomes of calls open at the cut it does not keep (rule F3).
    pub redo: Redo,
    /// What calls open at the cut are answered by hand.
    pub answers: BTreeMap<Number, Outcome>,
    /// Who answers them.
    pub by: Option<String>,
}

impl Plan {
    /// Returns a plan that keeps every outcome.
    pub fn new(run: RunId, at: Timestamp, cut: u64) -> Self {
        Self {
            run,
            at,
            cut,
            redo: Redo::Calls(BTreeSet::new()),
            answers: BTreeMap::new(),
            by: None,
        }
    }
}

/// Which calls that are open at the cut are performed again, though the copied run has their outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redo {
    /// These.
    Calls(BTreeSet<Number>),
    /// All.
    All,
}

/// What a new run begins with.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    /// Its first entry: the copied run's, under the new run's id. The limits may be changed before the run is made, and what the guest does not see of the rest.
    pub started: Started,
    /// The entries after the first.
    pub records: Vec<Record>,
    /// Calls open at the cut whose later outcome waits its turn.
    pub kept: Vec<Number>,
    /// Calls open at the cut that are performed in the new run.
    pub anew: Vec<Number>,
    /// Those of them about which a person is asked first: nobody can say whether the copied run did them (rule R4).
    pub asks: Vec<Number>,
}

/// Why a run cannot be copied so.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CopyError {
    /// Its journal is not sound.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The cut lies behind the end.
    #[error("a cut after {cut} outcomes lies behind the end: the run has {outcomes}")]
    Beyond {
        /// The cut.
        cut: u64,
        /// How many outcome entries there are.
        outcomes: u64,
    },
    /// A call that is to be performed again, or answered by hand, is not open at the cut.
    #[error(
        "call #{number} is not open after {cut} outcomes, so it can neither be performed again nor be answered there"
    )]
    NotOpen {
        /// The call.
        number: Number,
        /// The cut.
        cut: u64,
    },
}

/// Copies a run, which may be over or not.
///
/// # Errors
/// If its journal is not sound, the cut lies behind its end, or a call to be performed again is not open there.
pub fn copy(records: &[Record], plan: &Plan) -> Result<Copy, CopyError> {
    Machine::check(records)?;
    let outcomes = outcomes(records).count() as u64;
    if plan.cut > outcomes {
        let cut = plan.cut;
        return Err(CopyError::Beyond { cut, outcomes });
    }
    let scope = Scope::of(records, plan)?;
    let mut copy = Copy {
        started: started(records, plan)?,
        records: Vec::new(),
        kept: scope.kept.iter().copied().collect(),
        anew: Vec::new(),
        asks: Vec::new(),
    };
    let mut outcome_index = 0;
    for record in records {
        let index = outcome_index;
        outcome_index += u64::from(record.entry.is_outcome());
        let Some(entry) = scope.entry(&record.entry, index) else {
            continue;
        };
        let entry = match entry {
            Entry::Called(called)
                if !scope.answered.contains(&called.number) && !plan.answers.contains_key(&called.number) =>
            {
                copy.begin_anew(&scope, record.at, Arc::unwrap_or_clone(called), plan.at);
                continue;
            }
            entry => entry,
        };
        copy.push(record.at, entry);
    }
    for (number, outcome) in &plan.answers {
        let answer = Returned {
            number: *number,
            outcome: outcome.clone(),
            spent: None,
            by: By::Person(plan.by.clone()),
        };
        copy.push(plan.at, Entry::Returned(answer));
    }
    for number in &scope.redone {
        let mark = Retried {
            number: *number,
            why: Why::Anew,
            fault: None,
            spent: None,
            reserved: None,
            reserved_day: None,
        };
        copy.push(plan.at, Entry::Retried(mark));
    }
    Ok(copy)
}

/// Returns where a retry of a failed run cuts (rule F6): before the last outcome that was an error, and which call that was. `None` if no outcome was one: then the
/// skill failed by itself, and a retry has to name a call.
pub fn retry_cut(records: &[Record]) -> Option<(u64, Number)> {
    let before_cancelling = cancel_cut(records).unwrap_or(u64::MAX);
    let errors = (0..).zip(outcomes(records)).filter_map(|(cut, entry)| match entry {
        Entry::Returned(Returned { number, outcome, .. }) if outcome.code().is_some() => Some((cut, *number)),
        _ => None,
    });
    errors.take_while(|(cut, _)| *cut < before_cancelling).last()
}

/// Returns where to cut so that a call is open: before its outcome, or before the cancellation that took one's place, else at the end. `None` if there is no such call.
pub fn call_cut(records: &[Record], number: Number) -> Option<u64> {
    let called = records.iter().find_map(|record| match &record.entry {
        Entry::Called(called) if called.number == number => Some(called.after),
        _ => None,
    })?;
    let answers = |entry: &Entry| match entry {
        Entry::Returned(returned) => returned.number == number,
        _ => false,
    };
    let answered = (0..).zip(outcomes(records)).find(|(_, entry)| answers(entry));
    let cancelled = cancel_cut(records).filter(|cut| *cut >= called);
    let end = outcomes(records).count() as u64;
    Some(answered.map_or(end, |(cut, _)| cut).min(cancelled.unwrap_or(end)))
}

/// Returns where to cut so that a call has not been made: before the last outcome that its guest had been given when it made it. That outcome is then open at the cut
/// and kept, as is what else was answered. `None` if the guest made it before it was given anything: then nothing can be copied.
pub fn before_call(records: &[Record], number: Number) -> Option<u64> {
    let after = records.iter().find_map(|record| match &record.entry {
        Entry::Called(called) if called.number == number => Some(called.after),
        _ => None,
    })?;
    after.checked_sub(1)
}

/// Returns where a run that was cancelled goes on as if it had not been.
pub fn cancel_cut(records: &[Record]) -> Option<u64> {
    let cancelled = (0..)
        .zip(outcomes(records))
        .find(|(_, entry)| matches!(entry, Entry::Cancelled { .. }));
    cancelled.map(|(cut, _)| cut)
}

fn outcomes(records: &[Record]) -> impl Iterator<Item = &Entry> {
    records
        .iter()
        .map(|record| &record.entry)
        .filter(|entry| entry.is_outcome())
}

/// Returns the first entry of the new run. What its guest sees stays as it was (rule G8).
fn started(records: &[Record], plan: &Plan) -> Result<Started, CopyError> {
    let parent = Machine::started(records)?;
    let mut started = parent.clone();
    started.run = plan.run.clone();
    // Whoever called the copied run was answered by that one, or will be.
    started.caller = None;
    started.parent = Some(Parent {
        run: parent.run.clone(),
        cut: plan.cut,
        origin: parent.seen_run().clone(),
        origin_at: parent.seen_at(records[0].at),
    });
    let pin = Machine::pin(records)?;
    (started.bundle, started.component) = (pin.bundle, pin.component);
    Ok(started)
}

/// What of a run is copied.
struct Scope {
    cut: u64,
    /// The calls that the copy has (rule F2).
    calls: BTreeSet<Number>,
    /// The calls that have an outcome in the copy.
    answered: BTreeSet<Number>,
    /// Those of them that were open at the cut.
    kept: BTreeSet<Number>,
    /// The calls whose outcome is left out, so that they are performed again.
    redone: BTreeSet<Number>,
    /// The calls of other skills.
    skills: BTreeSet<Number>,
    /// Where the guest of the copy consumes a cancellation, if it does.
    cancelled: Option<u64>,
    expired: bool,
}

impl Scope {
    fn of(records: &[Record], plan: &Plan) -> Result<Self, CopyError> {
        let mut scope = Self {
            cut: plan.cut,
            calls: BTreeSet::new(),
            answered: BTreeSet::new(),
            kept: BTreeSet::new(),
            redone: BTreeSet::new(),
            skills: BTreeSet::new(),
            cancelled: cancel_cut(records).filter(|at| *at < plan.cut),
            expired: false,
        };
        scope.calls = records
            .iter()
            .filter_map(|record| scope.called(&record.entry))
            .collect();
        let calls = records.iter().filter_map(|record| match &record.entry {
            Entry::Called(called) if called.function.kind() == Kind::Skill => Some(called.number),
            _ => None,
        });
        scope.skills = calls.collect();
        let mut open = scope.calls.clone();
        for (index, entry) in (0..).zip(outcomes(records)) {
            match entry {
                Entry::Returned(returned) if index < plan.cut => {
                    open.remove(&returned.number);
                    scope.answered.insert(returned.number);
                }
                Entry::Returned(returned) if open.contains(&returned.number) => {
                    let number = returned.number;
                    if plan.answers.contains_key(&number) {
                        continue;
                    }
                    match plan.redo.asks_for(number) {
                        true => scope.redone.insert(number),
                        false => scope.answered.insert(number) && scope.kept.insert(number),
                    };
                }
                Entry::Expired => scope.expired |= index < plan.cut,
                _ => {}
            }
        }
        let named: BTreeSet<Number> = match &plan.redo {
            Redo::Calls(calls) => calls.clone(),
            Redo::All => BTreeSet::new(),
        };
        let cut = plan.cut;
        if let Some(number) = named
            .iter()
            .chain(plan.answers.keys())
            .find(|number| !open.contains(number))
            .copied()
        {
            return Err(CopyError::NotOpen { number, cut });
        }
        // Also one whose outcome nobody knows: a person has decided.
        scope.redone.extend(named);
        Ok(scope)
    }

    /// Returns whether the copy's own cancellation answers a call, so that nothing is done about it (rules C1-C3).
    fn is_cancelled(&self, called: &Called) -> bool {
        let refused = !called.options.cleanup || self.expired;
        let is_tick = called.function == Function::CLOCK_TICK;
        self.cancelled.is_some_and(|at| called.after <= at || refused) && !is_tick
    }

    /// Returns the call that an entry starts, if the copy has it (rule F2).
    fn called(&self, entry: &Entry) -> Option<Number> {
        match entry {
            Entry::Called(called) if called.after <= self.cut => Some(called.number),
            _ => None,
        }
    }

    /// Returns an entry as it stands in the copy, if it does. `index` is how many outcomes come before it. Costs are the copied run's (rule F5).
    fn entry(&self, entry: &Entry, index: u64) -> Option<Entry> {
        match entry {
            Entry::Called(called) => self.called(entry).map(|_| {
                Entry::Called(Arc::new(Called {
                    // Not `None`, which would say that the budget had no room for it.
                    reserved: called.function.spec().metered.then_some(Cost::ZERO),
                    reserved_day: None,
                    over: None,
                    ..called.as_ref().clone()
                }))
            }),
            Entry::Returned(returned) if self.answered.contains(&returned.number) => Some(Entry::Returned(Returned {
                spent: None,
                ..returned.clone()
            })),
            // Of what was done about a call that begins anew, only what was measured still matters: an append that took place is found by it (rule R3).
            Entry::Prepared { number, .. } => {
                let begins_anew = self.redone.contains(number);
                // A skill that was called answers the copied run, and is launched once more for this one.
                let is_of_the_other = self.skills.contains(number) && !self.answered.contains(number);
                let matters = self.calls.contains(number) && !begins_anew && !is_of_the_other;
                matters.then(|| entry.clone())
            }
            Entry::Retried(retried) if self.answered.contains(&retried.number) => Some(Entry::Retried(Retried {
                spent: None,
                reserved: None,
                reserved_day: None,
                ..retried.clone()
            })),
            Entry::Cancelled { .. } | Entry::Expired if index < self.cut => Some(entry.clone()),
            _ => None,
        }
    }
}

impl Redo {
    fn asks_for(&self, number: Number) -> bool {
        match self {
            Self::Calls(calls) => calls.contains(&number),
            Self::All => true,
        }
    }
}

impl Copy {
    /// Takes out all but the start.
    pub fn empty(&mut self) {
        self.records.clear();
        self.kept.clear();
        self.anew.clear();
        self.asks.clear();
    }

    fn push(&mut self, at: Timestamp, entry: Entry) {
        let seq = Seq(self.records.len() as u64 + 1);
        self.records.push(Record { seq, at, entry });
    }

    /// Takes over a call that has no outcome here. What waits for a time or for people waits as long as it would have, from now on.
    fn begin_anew(&mut self, scope: &Scope, at: Timestamp, mut called: Called, now: Timestamp) {
        let number = called.number;
        let lasts = called.due.map(|due| due.deadline.since(at));
        called.due = called.due.map(|due| Due {
            deadline: now.after(lasts.unwrap_or_default()),
            ..due
        });
        if !scope.is_cancelled(&called) {
            self.anew.push(number);
            if called.class == Class::AtMostOnce && !scope.redone.contains(&number) {
                self.asks.push(number);
            }
        }
        // A time from which a further copy can tell how long it was to last.
        let at = if called.due.is_some() { now } else { at };
        self.push(at, Entry::Called(Arc::new(called)));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use crate::calls::CallOptions;
    use crate::entry::{Failure, Finished, How, Limits, Provider, SEMANTICS};
    use crate::id::{Digest, LaunchId, SkillName};
    use crate::outcome::Fault;
    use crate::payload::Payload;

    fn run(n: u64) -> RunId {
        RunId::parse(&format!("01jd{n:022}")).unwrap()
    }

    fn started() -> Entry {
        Entry::Started(Box::new(Started {
            run: run(0),
            launch: LaunchId::parse("nightly").unwrap(),
            skill: SkillName::parse("copied").unwrap(),
            input: Payload::null(),
            bundle: Digest::of(b"bundle"),
            component: Digest::of(b"component"),
            seed: Digest::of(b"seed"),
            zone: "UTC".to_owned(),
            zone_offsets: Vec::new(),
            mounts: Vec::new(),
            limits: Limits::default(),
            provider: Provider {
                name: "offline".to_owned(),
                models: Default::default(),
                features: Vec::new(),
                simulated: true,
                acts: false,
            },
            engine: "none".to_owned(),
            semantics: SEMANTICS,
            parent: None,
            continues: None,
            caller: None,
            skills_folder: None,
            grants: Default::default(),
        }))
    }

    fn called(number: u64, after: u64) -> Entry {
        Entry::Called(Arc::new(Called {
            number: Number(number),
            function: Function::MODEL_COMPLETE,
            request: Payload::null(),
            options: CallOptions::default(),
            class: Class::Retryable,
            after,
            reserved: None,
            reserved_day: None,
            over: None,
            tier: None,
            due: None,
        }))
    }

    fn returned(number: u64, outcome: Outcome) -> Entry {
        Entry::Returned(Returned {
            number: Number(number),
            outcome,
            spent: None,
            by: By::Effect,
        })
    }

    fn failed() -> Entry {
        let how = How::Failed(Failure {
            code: "own".to_owned(),
            message: "it failed".to_owned(),
            details: None,
            backtrace: None,
        });
        let spent = Cost::ZERO;
        Entry::Finished(Finished { how, spent })
    }

    fn journal(entries: impl IntoIterator<Item = Entry>) -> Vec<Record> {
        let entries = std::iter::once(started()).chain(entries).zip(0..);
        entries
            .map(|(entry, seq)| Record {
                seq: Seq(seq),
                at: Timestamp(100 + seq),
                entry,
            })
            .collect()
    }

    fn error() -> Outcome {
        Outcome::fault(Fault::OVERLOADED, "busy")
    }

    #[test]
    fn f6_a_retry_cuts_before_the_last_outcome_that_was_an_error() {
        let records = journal([
            called(0, 0),
            returned(0, error()),
            called(1, 1),
            called(2, 1),
            returned(2, error()),
            returned(1, Outcome::done()),
            failed(),
        ]);
        assert_eq!(retry_cut(&records), Some((1, Number(2))));
        let fine = journal([called(0, 0), returned(0, Outcome::done()), failed()]);
        assert_eq!(retry_cut(&fine), None);
    }

    #[test]
    fn f6_a_retry_names_a_call_and_cuts_where_it_was_open() {
        let records = journal([
            called(0, 0),
            called(1, 0),
            returned(1, Outcome::done()),
            returned(0, Outcome::done()),
            called(2, 2),
        ]);
        let cuts = [0, 1, 2, 3].map(|number| call_cut(&records, Number(number)));
        assert_eq!(cuts, [Some(1), Some(0), Some(2), None]);
    }

    #[test]
    fn f6_no_retry_cuts_behind_a_cancellation() {
        let records = journal([
            called(0, 0),
            returned(0, error()),
            called(1, 1),
            Entry::Cancelled { reason: None },
            called(2, 2),
            returned(2, error()),
            failed(),
        ]);
        assert_eq!(cancel_cut(&records), Some(1));
        assert_eq!(retry_cut(&records), Some((0, Number(0))));
        assert_eq!(
            call_cut(&records, Number(1)),
            Some(1),
            "it was open when the run was cancelled"
        );
        assert_eq!(call_cut(&records, Number(2)), Some(2));
    }

    #[test]
    fn g8_the_guest_of_a_copy_sees_the_id_and_the_time_of_the_first_run_of_the_line() {
        let pinned = Entry::Repinned {
            bundle: Digest::of(b"new bundle"),
            component: Digest::of(b"new component"),
        };
        let records = journal([called(0, 0), returned(0, error()), pinned]);
        let plan = |n| Plan {
            redo: Redo::All,
            ..Plan::new(run(n), Timestamp(900), 0)
        };
        let first = copy(&records, &plan(1)).unwrap();
        assert_eq!(first.started.bundle, Digest::of(b"new bundle"));
        let parent = first.started.parent.clone().unwrap();
        assert_eq!((parent.run, parent.cut), (run(0), 0));
        let head = Record {
            seq: Seq(0),
            at: Timestamp(900),
            entry: Entry::Started(Box::new(first.started)),
        };
        let records: Vec<Record> = std::iter::once(head).chain(first.records).collect();
        let second = copy(&records, &plan(2)).unwrap().started;
        assert_eq!(
            (second.run.clone(), second.parent.clone().unwrap().run),
            (run(2), run(1))
        );
        assert_eq!(
            (second.seen_run(), second.seen_at(Timestamp(950))),
            (&run(0), Timestamp(100))
        );
    }
}
