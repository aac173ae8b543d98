//! What outlives an attempt: the journal with what belongs to it, the clock, and the memory of everybody outside.

use std::collections::{BTreeMap, BTreeSet};

use skillhost_core::budget::Cost;
use skillhost_core::entry::{Entry, Record};
use skillhost_core::id::{MailId, Number};
use skillhost_core::machine::{Command, Line, Local, Mail, Source, Ticket, Write};
use skillhost_core::outcome::Outcome;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_effects::model::offline::glob_matches;

use super::{Curtain, Moment, Played, Post, Scenario, Unused};
use skillhost_core::effect::Class;
use skillhost_core::id::SignalName;

/// What outlives an attempt.
#[derive(Debug)]
pub(super) struct World {
    /// The journal, all of it durable.
    pub(super) records: Vec<Record>,
    pub(super) now: Timestamp,
    mail: BTreeMap<MailId, Mail>,
    /// How many pieces of mail there ever were.
    posted: u64,
    posts: Vec<Post>,
    lines: BTreeMap<(u64, u64), Line>,
    next: Option<Payload>,
    /// When the answers come that are on their way, which a kill of the host does not change.
    arrivals: BTreeMap<Number, Timestamp>,
    /// How many answers to a call were heard.
    heard: BTreeMap<Number, u32>,
    /// What performances were answered, whether or not anybody heard it.
    done: BTreeMap<Number, Outcome>,
    /// What is going to be left in the mailbox, by its time and then in order.
    coming: BTreeMap<(Timestamp, u64), Command>,
    /// The answer that a question gets, and the effect that answers a call, by place in the scenario.
    answers: BTreeMap<Number, usize>,
    effects: BTreeMap<Number, usize>,
    /// The calls for which another skill was launched.
    called: BTreeSet<Number>,
    misfits: Vec<(usize, String)>,
    moments: Vec<Moment>,
    kill_at: Option<usize>,
    killed: Option<Moment>,
    violations: Vec<String>,
}

impl World {
    pub(super) fn new(scenario: &Scenario, kill_at: Option<usize>) -> Self {
        let record = Record {
            seq: skillhost_core::id::Seq(0),
            at: scenario.at,
            entry: Entry::Started(Box::new(scenario.started.clone())),
        };
        let mut world = Self {
            records: vec![record],
            now: scenario.at,
            mail: BTreeMap::new(),
            posted: 0,
            posts: Vec::new(),
            lines: BTreeMap::new(),
            next: None,
            arrivals: BTreeMap::new(),
            heard: BTreeMap::new(),
            done: BTreeMap::new(),
            coming: BTreeMap::new(),
            answers: BTreeMap::new(),
            effects: BTreeMap::new(),
            called: BTreeSet::new(),
            misfits: Vec::new(),
            moments: Vec::new(),
            kill_at,
            killed: None,
            violations: Vec::new(),
        };
        for event in &scenario.events {
            let command = Command::Event {
                name: event.name.clone(),
                value: Payload::of(&event.value),
                by: None,
            };
            world.comes(scenario.at.after(event.delay), command);
        }
        for note in &scenario.notes {
            let command = Command::Note {
                message: note.message.clone(),
                by: None,
            };
            world.comes(scenario.at.after(note.delay), command);
        }
        world.take_in(scenario.at);
        world
    }

    /// Has something left in the mailbox at its time. The order in which this is said is that of the mail.
    pub(super) fn comes(&mut self, at: Timestamp, command: Command) {
        self.coming.insert((at, self.posted), command);
        self.posted += 1;
    }

    /// Has another skill answer a call, in its time; once, however often it is launched for the call.
    pub(super) fn calls_skill(&mut self, number: Number, at: Timestamp, outcome: Outcome) {
        if self.called.insert(number) {
            let spent = Cost::ZERO;
            self.comes(at, Command::Child { number, outcome, spent });
        }
    }

    /// Returns when something comes next.
    pub(super) fn next_mail(&self) -> Option<Timestamp> {
        self.coming.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes in what has come by now.
    pub(super) fn take_in(&mut self, now: Timestamp) {
        while let Some(entry) = self.coming.first_entry()
            && entry.key().0 <= now
        {
            let (at, number) = *entry.key();
            let (id, command) = (MailId(number), entry.remove());
            self.mail.insert(id, Mail { id, at, command });
        }
    }

    pub(super) fn mail(&self) -> Vec<Mail> {
        self.mail.values().cloned().collect()
    }

    /// Makes something durable.
    pub(super) fn keep(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Entry(record) => self.records.push(record),
                Write::Line {
                    after, ordinal, line, ..
                } => {
                    self.lines.entry((after, ordinal)).or_insert(line);
                }
                Write::Local(Local::TakeMail(id)) => {
                    self.mail.remove(&id);
                }
                Write::Local(Local::Post {
                    source: Source::Message(number),
                    title,
                    body,
                    ..
                }) => {
                    // Each is posted once.
                    if self.posts.iter().all(|post| post.number != number) {
                        self.posts.push(Post { number, title, body });
                    }
                }
                Write::Local(Local::Continue(next)) => self.next = Some(next.started.input),
                Write::Local(_) => {}
            }
        }
    }

    /// Passes a moment, and returns whether the run is killed at it.
    pub(super) fn is_killed_at(&mut self, moment: Moment) -> bool {
        self.moments.push(moment);
        let is_killed = self.killed.is_none() && self.kill_at == Some(self.moments.len() - 1);
        if is_killed {
            self.killed = Some(moment);
        }
        is_killed
    }

    /// Returns when the answer to a performance comes that would take until `at`; one that was under way when the host was killed comes when it would have come.
    pub(super) fn arrival(&mut self, number: Number, at: Timestamp) -> Timestamp {
        *self.arrivals.entry(number).or_insert(at)
    }

    /// Notes that an answer came, or that nobody wants it any more.
    pub(super) fn arrived(&mut self, number: Number) {
        self.arrivals.remove(&number);
        *self.heard.entry(number).or_default() += 1;
    }

    /// Forgets an answer that was on its way, as whoever decided about the call knows better.
    pub(super) fn forget_arrival(&mut self, number: Number) {
        self.arrivals.remove(&number);
    }

    /// Returns the how-many-th answer to a call comes next, from 1.
    pub(super) fn attempt(&self, number: Number) -> u32 {
        self.heard.get(&number).copied().unwrap_or(0) + 1
    }

    /// Notes that a performance begins, and what about that must not be.
    pub(super) fn begin(&mut self, ticket: &Ticket) {
        let number = ticket.number();
        let is_answered =
            |record: &Record| matches!(&record.entry, Entry::Returned(returned) if returned.number == number);
        if self.records.iter().any(is_answered) {
            self.violations
                .push(format!("call {number} was performed although its answer was written"));
        }
        let is_done = matches!(self.done.get(&number), Some(Outcome::Ok(_)));
        if ticket.class() == Class::AtMostOnce && is_done {
            self.violations.push(format!(
                "call {number} was performed twice, which must be done at most once"
            ));
        }
    }

    /// Notes what a performance was answered.
    pub(super) fn end(&mut self, number: Number, outcome: &Outcome) {
        self.done.insert(number, outcome.clone());
    }

    /// Returns what a call was answered, as whoever answered remembers it.
    pub(super) fn done(&self, number: Number) -> Option<&Outcome> {
        self.done.get(&number)
    }

    /// Returns the answer of the scenario that a question gets, by its place.
    pub(super) fn answer(&mut self, scenario: &Scenario, number: Number, name: &SignalName) -> Option<usize> {
        let taken: BTreeSet<usize> = self.answers.values().copied().collect();
        let mut free = (0..scenario.answers.len()).filter(|place| !taken.contains(place));
        let place = match self.answers.get(&number) {
            Some(place) => *place,
            None => free.find(|place| scenario.answers[*place].name == *name)?,
        };
        self.answers.insert(number, place);
        Some(place)
    }

    /// Returns whether a question was answered already.
    pub(super) fn is_answered(&self, number: Number) -> bool {
        self.answers.contains_key(&number)
    }

    pub(super) fn misfit(&mut self, place: usize, reason: String) {
        self.misfits.push((place, reason));
    }

    /// Returns the effect of the scenario that answers a call, by its place.
    pub(super) fn effect(&mut self, scenario: &Scenario, ticket: &Ticket) -> Option<usize> {
        let function = ticket.function().name();
        let known_as = ticket.options().label.as_deref().unwrap_or(function);
        let fits = |pattern: &str| glob_matches(pattern, known_as) || pattern == function;
        let taken: BTreeSet<usize> = self.effects.values().copied().collect();
        let mut free = (0..scenario.effects.len()).filter(|place| !taken.contains(place));
        let place = match self.effects.get(&ticket.number()) {
            Some(place) => *place,
            None => free.find(|place| fits(&scenario.effects[*place].call))?,
        };
        self.effects.insert(ticket.number(), place);
        Some(place)
    }

    /// Returns what came of it.
    pub(super) fn played(self, scenario: &Scenario, curtain: Curtain) -> Played {
        let rest = |taken: &BTreeMap<Number, usize>, count: usize| {
            let taken: BTreeSet<usize> = taken.values().copied().collect();
            (0..count).filter(|place| !taken.contains(place)).collect::<Vec<_>>()
        };
        // The first pieces of mail are the events, then come the notes.
        let events = scenario.events.len();
        let left = |from: usize, count: usize| {
            let is_coming = |number: u64| self.coming.keys().any(|(_, coming)| *coming == number);
            let is_left = |place: &usize| {
                let number = (from + place) as u64;
                self.mail.contains_key(&MailId(number)) || is_coming(number)
            };
            (0..count).filter(is_left).collect::<Vec<_>>()
        };
        let unused = Unused {
            answers: rest(&self.answers, scenario.answers.len()),
            effects: rest(&self.effects, scenario.effects.len()),
            events: left(0, events),
            notes: left(events, scenario.notes.len()),
        };
        Played {
            curtain,
            posts: self.posts,
            records: self.records,
            lines: self.lines.into_values().collect(),
            next: self.next,
            unused,
            violations: self.violations,
            moments: self.moments,
            killed: self.killed,
            misfits: self.misfits,
        }
    }
}
