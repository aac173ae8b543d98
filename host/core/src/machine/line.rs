//! A run's changes to files stand in line (rule R3): one at a time, in the order started; the next is performed when the one before has really ended and its outcome is durable.

use std::collections::BTreeSet;

use super::Machine;
use super::event::Ended;
use super::flight::Phase;
use super::guest::later;
use super::waits::Doubt;
use crate::effect::Kind;
use crate::entry::{By, Entry};
use crate::id::{Number, Seq};
use crate::payload::Payload;

/// The line.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// By number, which is the order started; the first is the one whose turn it is.
    waiting: BTreeSet<Number>,
    /// What has to be durable before the next is performed: the outcome of the last one, or what was delivered before it was dropped.
    clear: Option<Seq>,
}

impl Line {
    pub(super) fn join(&mut self, number: Number) {
        self.waiting.insert(number);
    }

    /// Returns what has to be durable before a call is performed that is itself recorded at `seq`.
    pub(super) fn behind(&self, number: Number, seq: Seq) -> Seq {
        later(seq, self.clear.filter(|_| self.waiting.contains(&number)))
    }
}

impl Machine {
    /// Lets the first in line go behind its barrier.
    pub(super) fn advance_line(&mut self) {
        let Some(number) = self.line.waiting.first().copied() else {
            return;
        };
        let Some(flight) = self.flights.get(number) else {
            return;
        };
        if flight.phase != Phase::InLine || !self.live || self.is_held() || self.ending.is_some() {
            return;
        }
        match flight.in_doubt {
            true => self.recover(number),
            false => {
                let behind = flight.behind(later(flight.seq, self.line.clear));
                self.flights.set_phase(number, behind);
            }
        }
    }

    pub(super) fn measured(&mut self, number: Number, result: Result<Payload, Ended>) {
        let Some(flight) = self.flights.get(number) else {
            return;
        };
        assert!(
            flight.phase == Phase::Measuring,
            "only what is being measured was measured"
        );
        if flight.called.function.kind() == Kind::Skill {
            return self.launched(number, result);
        }
        if !flight.open || flight.cancelled {
            return self.close(number);
        }
        match result {
            Err(Ended::Returned { outcome, .. }) => self.answer(number, outcome, None, By::Effect),
            Err(Ended::InDoubt(reason)) => self.park(number, Doubt::Begun(reason)),
            Err(Ended::Aborted) => self.close(number),
            Ok(measured) => {
                let seq = self.append(Entry::Prepared {
                    number,
                    measured: measured.clone(),
                });
                self.flights.change(number, |flight| {
                    flight.measured = Some(measured);
                    flight.phase = flight.behind(seq);
                });
            }
        }
    }

    /// Takes a call out of the line, if it stands there: behind its outcome, or behind everything delivered before it was dropped.
    pub(super) fn leave_line(&mut self, number: Number, outcome: Option<Seq>) {
        if !self.line.waiting.remove(&number) {
            return;
        }
        self.line.clear = Some(later(outcome.unwrap_or_else(|| self.last()), self.line.clear));
        self.advance_line();
    }
}
