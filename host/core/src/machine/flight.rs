//! One call on its way, from its start until nothing about it can happen any more.

use std::sync::Arc;

use super::action::{Ticket, Wait};
use super::budget::Reserved;
use super::event::Call;
use crate::budget::Cost;
use crate::calls::skills::Launched;
use crate::effect::{Class, Kind};
use crate::entry::Called;
use crate::id::{RunId, Seq, SignalName};
use crate::outcome::Fault;
use crate::payload::Payload;
use crate::recording::Take;
use crate::time::Timestamp;

/// How far a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Started by the guest; begins when the guest is blocked and the run is live.
    Started,
    /// A change to files that waits for those before it.
    InLine,
    /// Waits until this entry is durable (rule J1).
    Behind(Seq),
    /// Something is being measured for it.
    Measuring,
    /// Its effect is being performed.
    Performing,
    /// It failed in a way that may pass; it is performed again at this time.
    Pausing(Box<Pause>),
    /// It waits for a time, an event, an answer, or to be given the notes.
    Waiting,
    /// In doubt; a person decides (rule R4).
    Parked,
    /// Its outcome entry waits its turn.
    Answered,
    /// Nothing happens to it any more.
    Closed,
}

/// The time between two performances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    /// When it is over.
    pub(super) until: Timestamp,
    /// Why the last performance failed.
    pub(super) fault: Box<Fault>,
    /// What it spent, if known.
    pub(super) spent: Option<Cost>,
}

/// One call on its way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    /// As it is recorded, which is what recovery goes by (rule G2).
    pub(super) called: Arc<Called>,
    pub(super) bound: Option<Cost>,
    pub(super) signal: Option<SignalName>,
    /// Why it is not performed at all: malformed, or over the budget.
    pub(super) refused: Option<Box<Fault>>,
    /// Why no further performance of it can be paid for, which an earlier run could: no price is known.
    pub(super) unpriced: Option<Box<Fault>>,
    /// Its `called` entry, or the entry that its next performance is behind.
    pub(super) seq: Seq,
    pub(super) phase: Phase,
    /// Whether the guest still wants the outcome.
    pub(super) open: bool,
    /// Whether cancelling answers it, so that what is recorded for it is passed over (rule C1).
    pub(super) cancelled: bool,
    /// Whether an earlier attempt may have performed it: recorded, without an outcome, and not begun here (rule R1).
    pub(super) in_doubt: bool,
    /// Whether it is to be performed although the run that this one begins with a copy of has its outcome (rule F3).
    pub(super) anew: bool,
    /// How often it was performed, or may have been.
    pub(super) performances: u32,
    pub(super) measured: Option<Payload>,
    pub(super) reserved: Option<Reserved>,
    /// What an earlier run was answered, for a run in development.
    pub(super) take: Option<Arc<Take>>,
    pub(super) begun: Begun,
}

/// When the guest started a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    /// By the wall clock.
    pub(super) wall: Timestamp,
    /// By its own.
    pub(super) guest: Timestamp,
}

impl Flight {
    /// Begins with a call that the guest has made, recorded at `seq`.
    pub(super) fn new(call: Call, called: Arc<Called>, seq: Seq, now: Timestamp) -> Self {
        let begun = Begun {
            wall: now,
            guest: call.guest_time,
        };
        Self {
            called,
            bound: call.bound,
            signal: call.signal,
            refused: call.refused,
            unpriced: None,
            seq,
            phase: Phase::Started,
            open: true,
            cancelled: false,
            in_doubt: false,
            anew: false,
            performances: 0,
            measured: None,
            reserved: None,
            take: None,
            begun,
        }
    }

    /// Returns whether the shell is doing something for it, whose end will be told.
    pub(super) fn in_flight(&self) -> bool {
        matches!(self.phase, Phase::Measuring | Phase::Performing)
    }

    /// Returns whether something about it goes on without anybody's help, so that the run is not idle.
    pub(super) fn is_busy(&self) -> bool {
        match &self.phase {
            Phase::Started | Phase::Behind(_) | Phase::Pausing(_) => self.open,
            Phase::Measuring | Phase::Performing => true,
            // The first in line is on its way, or parked.
            Phase::InLine | Phase::Waiting | Phase::Parked | Phase::Answered | Phase::Closed => false,
        }
    }

    pub(super) fn changes_files(&self) -> bool {
        matches!(self.called.function.kind(), Kind::FileChange { .. })
    }

    /// Returns what has to be durable before a performance that is recorded at `seq`: looking at the world waits for nothing (rule J1).
    pub(super) fn behind(&self, seq: Seq) -> Phase {
        match self.called.class {
            Class::Observe => Phase::Behind(Seq(0)),
            Class::Local | Class::Retryable | Class::AtMostOnce => Phase::Behind(seq),
        }
    }

    /// Returns when something is due about it without anybody's help.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Waiting => self.called.due.map(|due| due.deadline),
            Phase::Pausing(pause) => Some(pause.until),
            _ => None,
        }
        .filter(|_| self.open && !self.cancelled)
    }

    /// Returns whether something has to be measured before its next performance.
    pub(super) fn wants_measuring(&self) -> bool {
        let kind = self.called.function.kind();
        self.measured.is_none() && matches!(kind, Kind::FileChange { measured: true } | Kind::Skill)
    }

    /// Returns the run that was launched for it, if that is recorded.
    pub(super) fn launched(&self) -> Option<Launched> {
        self.measured.as_ref().and_then(|measured| measured.read().ok())
    }

    /// Returns what it waits for, if it waits.
    pub(super) fn wait(&self) -> Option<Wait> {
        let signal = || {
            self.signal
                .clone()
                .expect("a wait for a signal has its name: checked when it was started")
        };
        match (&self.phase, self.called.function.kind()) {
            (Phase::Parked, _) => Some(Wait::Decision),
            (Phase::Waiting, Kind::Timer) => Some(Wait::Timer),
            (Phase::Waiting, Kind::Event) => Some(Wait::Event(signal())),
            (Phase::Waiting, Kind::Question) => Some(Wait::Question(signal())),
            (Phase::Waiting, Kind::Skill) => {
                let launched = self.launched().expect("a skill is waited for when its run is recorded");
                Some(Wait::Skill(launched.run))
            }
            _ => None,
        }
    }

    /// Writes the ticket for its next performance.
    pub(super) fn ticket(&self, run: &RunId, number: crate::id::Number) -> Ticket {
        Ticket {
            run: run.clone(),
            number,
            called: Arc::clone(&self.called),
            measured: self.measured.clone(),
            reserved: self.reserved.as_ref().map(|reserved| reserved.cost),
            attempt: self.performances + 1,
            in_doubt: self.performances > 0,
        }
    }
}
