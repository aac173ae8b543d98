//! The run machine: events in, actions out.
//!
//! One [`Machine`] is one attempt at advancing one run. It is told what happened ([`Event`]) and says what to do ([`Action`]); it performs nothing itself,
//! and everything that it knows of time and chance stands in what it is told. Its files, in the order in which a call meets them:
//!
//! - `history`: the journal as it was when the attempt began;
//! - `guest`: what the guest did, compared with the journal;
//! - `budget`: what a run may spend;
//! - `flight`, `flights`: one call on its way; all of them, and which is next for what;
//! - `turns`: outcome entries, one at a time, in order; between them, going live;
//! - `effects`: calls that are performed: barriers, attempts, doubt;
//! - `line`: changes to files, which stand in line;
//! - `waits`: timers, events, questions, decisions, and the mailbox they come from;
//! - `ending`: cancelling, and the end of the run;
//! - `continuing`: the run that goes on in its place;
//! - `reuse`: answers of earlier runs, for a run in development.
//!
//! Invariants: an entry is written before anything that follows from it is done; nothing is performed while replaying; a ticket is made only behind its
//! barrier; only a blocked guest is given anything.

mod action;
mod budget;
mod continuing;
mod day;
mod effects;
mod ending;
mod event;
mod flight;
mod flights;
mod guest;
mod history;
mod line;
mod log;
mod mismatch;
mod reuse;
mod skills;
mod turns;
mod waits;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::budget::{Account, Cost};
use crate::entry::{Entry, Finished, Limits, Pin, Record, Started};
use crate::id::{MailId, Number, RunId, Seq};
use crate::payload::Payload;
use crate::planted::{self, Bug};
use crate::recording::Playback;
use crate::time::Timestamp;

pub use action::{Action, Delivery, Idle, Local, Source, Status, Stop, Successor, Ticket, Wait, Write};
pub use event::{Act, Again, Asks, Call, Command, Continued, Decision, End, Ended, Event, Level, Line, Mail, Slice};
pub use history::{LoadError, Survey};
pub use mismatch::{Brief, Mismatch};

use ending::{Cancel, Ending};
use flights::Flights;
use history::Past;

/// What the guest is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guest {
    /// It has not been heard of since it was started or last given something.
    Running,
    /// It waits for an outcome.
    Blocked,
    /// It is over.
    Over,
}

/// What an attempt begins with.
struct Origin {
    started: Box<Started>,
    account: Account,
    meters: budget::Meters,
    cancelled: bool,
    expired: bool,
    last_at: Timestamp,
    past: Past,
}

/// One attempt at advancing one run.
#[derive(Debug)]
pub struct Machine {
    run: RunId,
    limits: Limits,
    skill: String,
    /// What the run was started with, but for its input: a run that goes on in its place is started with the same.
    started: Box<Started>,

    /// Both heads of the journal as it was.
    past: Past,
    /// Outcome entries that arrived since: their turn comes when those of the journal had theirs.
    waiting: VecDeque<Record>,
    /// What the guest did, and what of the journal it is compared with is being read.
    unheard: Option<Slice>,
    /// Calls that cancelling answers, without an entry, before anything else (rules C1, C2).
    refusals: VecDeque<Number>,

    guest: Guest,
    live: bool,
    number_next: Number,
    flights: Flights,
    consumed: u64,
    ordinal: u64,
    /// The ordinal of the last line that came from something performed.
    said: u64,
    /// How much the guest said, and what programs printed for it.
    logged: log::Volume,
    printed: log::Volume,
    time: Timestamp,

    line: line::Line,
    account: Account,
    meters: budget::Meters,
    mail: BTreeMap<MailId, Mail>,
    mail_taken: BTreeSet<MailId>,
    cancel: Cancel,
    playback: Option<Playback>,
    paused: bool,
    draining: bool,
    ending: Option<Ending>,
    successor: Option<Box<Successor>>,

    seq_next: Seq,
    durable: Seq,
    barrier: Seq,
    alarm: Option<Timestamp>,
    idle: bool,
    status: Option<Status>,
    stopped: bool,
    now: Timestamp,
    writes: Vec<Write>,
    actions: Vec<Action>,
}

impl Machine {
    /// Begins an attempt on a journal that is in memory as a whole, and of which every entry is durable. A long one is gone through by a [`Survey`].
    ///
    /// # Errors
    /// If the journal cannot be replayed, or says that the run is over.
    pub fn new(records: Vec<Record>) -> Result<Self, LoadError> {
        Survey::of(records)?.attempt()
    }

    fn at_the_beginning(origin: Origin) -> Self {
        let durable = Seq(origin.past.end().0 - 1);
        let mut machine = Self {
            run: origin.started.run.clone(),
            limits: origin.started.limits.clone(),
            skill: origin.started.skill.to_string(),
            started: Box::new(Started {
                input: Payload::null(),
                ..*origin.started
            }),
            waiting: VecDeque::new(),
            unheard: None,
            refusals: VecDeque::new(),
            guest: Guest::Running,
            live: false,
            number_next: Number(0),
            flights: Flights::default(),
            consumed: 0,
            ordinal: 0,
            said: log::SAID_FIRST,
            logged: log::Volume::default(),
            printed: log::Volume::default(),
            time: Timestamp(0),
            line: line::Line::default(),
            account: origin.account,
            meters: origin.meters,
            mail: BTreeMap::new(),
            mail_taken: BTreeSet::new(),
            cancel: Cancel::new(origin.cancelled, origin.expired),
            playback: None,
            paused: false,
            draining: false,
            ending: None,
            successor: None,
            seq_next: origin.past.end(),
            past: origin.past,
            durable,
            barrier: durable,
            alarm: None,
            idle: false,
            status: None,
            stopped: false,
            now: Timestamp(0),
            writes: Vec::new(),
            actions: Vec::new(),
        };
        machine.begin_meters(origin.last_at);
        machine
    }

    /// Says whether the run is paused as the attempt begins, as its row has it: a pause has no entry (rule P4), and a cancelled run has none (rule C4).
    #[must_use]
    pub fn paused(mut self, paused: bool) -> Self {
        self.paused = paused && !self.cancel.is_noted();
        self.status = self.paused.then_some(Status::Paused);
        self
    }

    /// Reads the `started` entry that a journal begins with.
    pub fn started(records: &[Record]) -> Result<&Started, LoadError> {
        match records.first() {
            Some(Record {
                seq: Seq(0),
                entry: Entry::Started(started),
                ..
            }) => Ok(started),
            _ => Err(LoadError::NotStarted),
        }
    }

    /// Returns what a run is pinned to: what it was started with, or the last that it was pinned to since.
    pub fn pin(records: &[Record]) -> Result<Pin, LoadError> {
        let started = Self::started(records)?.pin();
        let repinned = records.iter().rev().find_map(|record| match record.entry {
            Entry::Repinned { bundle, component } => Some(Pin { bundle, component }),
            _ => None,
        });
        Ok(repinned.unwrap_or(started))
    }

    /// Checks that a journal is sound, whether or not the run is over.
    pub fn check(records: &[Record]) -> Result<(), LoadError> {
        Survey::of(records.to_vec()).map(drop)
    }

    /// Returns how the run ended, if the journal says so; then there is nothing to drive.
    pub fn finished(records: &[Record]) -> Option<&Finished> {
        match records.last() {
            Some(Record {
                entry: Entry::Finished(finished),
                ..
            }) => Some(finished),
            _ => None,
        }
    }

    /// Takes in what happened, at this time by the wall clock, and says what to do, in order.
    pub fn handle(&mut self, now: Timestamp, event: Event) -> Vec<Action> {
        self.now = now;
        if self.stopped {
            return Vec::new();
        }
        match event {
            Event::Guest(slice) => self.hear_guest(slice),
            Event::Read(records) => self.take_in_past(records),
            Event::Durable(seq) => self.durable = self.durable.max(seq),
            Event::Measured(number, result) => self.measured(number, result),
            Event::Ended(number, ended) => self.ended(number, ended),
            Event::Said(line) => self.said(line),
            Event::Alarm => self.pass_deadlines(),
            Event::GraceOver => self.end_grace(),
            Event::Drain => {
                self.draining = true;
                // A run that only waits says so again, so that it is left.
                self.idle = false;
            }
            Event::Mail(mail) => self.take_in_mail(mail),
            Event::Day(news) => self.take_day_news(news),
        }
        if !self.stopped {
            self.take_turns();
        }
        if !self.stopped {
            self.start_grace();
            self.release();
            self.end_if_over();
        }
        if !self.stopped {
            self.rest();
        }
        self.flush();
        std::mem::take(&mut self.actions)
    }

    /// Takes back a list of actions that were all carried out, so that the next are listed in it: there is one for each event, and the memory of a new one costs more than what is in it.
    pub fn take_back(&mut self, mut carried_out: Vec<Action>) {
        carried_out.clear();
        self.actions = carried_out;
    }

    /// Returns whether the guest does something for the first time, not again.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Returns whether the run only waits, as the last [`Action::Idle`] said.
    pub fn is_at_rest(&self) -> bool {
        self.idle
    }

    /// Returns what is spent or reserved.
    pub fn spent(&self) -> Cost {
        self.account.spent()
    }

    /// Queues an entry and returns its place.
    fn append(&mut self, entry: Entry) -> Seq {
        self.append_at(self.now, entry)
    }

    fn append_at(&mut self, at: Timestamp, entry: Entry) -> Seq {
        let seq = self.seq_next;
        let record = Record { seq, at, entry };
        if matches!(record.entry, Entry::Returned(_)) && planted::is(Bug::GivenUnrecorded) {
            self.waiting.push_back(record);
            return self.last();
        }
        self.seq_next = seq.next();
        if record.entry.is_outcome() {
            self.waiting.push_back(record.clone());
        }
        self.meters.wrote(&record);
        self.writes.push(Write::Entry(record));
        self.tell_of_marks();
        seq
    }

    fn local(&mut self, local: Local) {
        self.writes.push(Write::Local(local));
    }

    /// Puts an action behind everything that is written so far.
    fn act(&mut self, action: Action) {
        self.flush();
        self.actions.push(action);
    }

    fn flush(&mut self) {
        if !self.writes.is_empty() {
            self.actions.push(Action::Write(std::mem::take(&mut self.writes)));
        }
    }

    fn set_status(&mut self, status: Status) {
        if self.status != Some(status) {
            self.status = Some(status);
            self.local(Local::SetStatus(status));
        }
    }

    /// Returns the last entry queued so far.
    fn last(&self) -> Seq {
        Seq(self.seq_next.0 - 1)
    }

    /// Leaves the machine: asks for the barrier that something waits for, sets the alarm, and says so if the run only waits.
    fn rest(&mut self) {
        if !self.is_idle() {
            self.say_that_it_runs();
        }
        let performed = self.flights.barrier().filter(|_| !self.is_held());
        let wanted = performed
            .into_iter()
            .chain(self.ending.as_ref().and_then(|ending| ending.written))
            .max();
        if let Some(seq) = wanted.filter(|seq| *seq > self.barrier.max(self.durable)) {
            self.barrier = seq;
            self.act(Action::Barrier(seq));
        }
        let deadline = self.next_deadline();
        if let Some(at) = deadline.filter(|at| self.alarm != Some(*at)) {
            self.alarm = Some(at);
            self.act(Action::Alarm(at));
        }
        self.rest_if_idle();
    }

    /// Returns whether nothing is to be begun, delivered or taken: because a person paused the run, or because the attempt is to end.
    fn is_held(&self) -> bool {
        self.paused || self.draining
    }

    /// Returns whether nothing happens before somebody else does something: held, as soon as nothing is in flight.
    fn is_idle(&self) -> bool {
        if self.is_held() {
            return self.guest == Guest::Blocked && !self.flights.any_in_flight();
        }
        self.live
            && self.guest == Guest::Blocked
            && self.past.is_consumed()
            && self.waiting.is_empty()
            && self.refusals.is_empty()
            // Leaving memory would restart the time that a cancelled run has (rule C3).
            && !self.cancel.in_grace()
            && !self.flights.any_busy()
    }

    /// Says that the run goes on, in the append of whatever it goes on with: a crash must not leave a run that waits for nothing and that nobody wakes.
    fn say_that_it_runs(&mut self) {
        if self.live && self.ending.is_none() && !self.paused && !planted::is(Bug::StandsStill) {
            self.set_status(Status::Running);
        }
    }

    fn rest_if_idle(&mut self) {
        if !self.is_idle() {
            self.idle = false;
            return;
        }
        if std::mem::replace(&mut self.idle, true) {
            return;
        }
        let waits: Vec<_> = self
            .flights
            .waits()
            .filter_map(|(number, flight)| flight.wait().map(|wait| (number, wait)))
            .collect();
        let parked = waits.iter().any(|(_, wait)| *wait == Wait::Decision);
        match (self.paused, self.draining, parked) {
            (true, _, _) => self.set_status(Status::Paused),
            // The next attempt goes on: the run stands as it did.
            (false, true, _) => {}
            (false, false, true) => self.set_status(Status::Parked),
            (false, false, false) => self.set_status(Status::Waiting),
        }
        let (paused, deadline) = (self.paused, self.next_deadline());
        self.act(Action::Idle(Idle {
            paused,
            deadline,
            waits,
        }));
    }
}

/// Leaves outcomes in the order in which they are consumed: that of the journal.
fn in_turn(outcomes: &mut VecDeque<Record>) {
    if planted::is(Bug::ReplayedOutOfOrder) {
        outcomes.make_contiguous().sort_by_key(|record| record.entry.number());
    }
}
