//! Whose turn it is: outcome entries are consumed one at a time, in recorded order, while the guest is blocked; when none is left, the run goes live (rules G3, R1).

use super::mismatch::Mismatch;
use super::{Action, Delivery, Guest, Machine};
use crate::entry::{Entry, Record, Returned};
use crate::id::{Number, Seq};
use crate::outcome::Outcome;

impl Machine {
    /// Goes on until the guest runs, or nothing is left to do before something happens.
    pub(super) fn take_turns(&mut self) {
        while self.guest == Guest::Blocked && !self.stopped && !self.is_held() && self.ending.is_none() {
            if let Some(number) = self.refusals.pop_front() {
                self.deliver_refusal(number);
            } else if let Some(record) = self.past.take_outcome() {
                self.consume(record);
            } else if let Some(from) = self.past.unread() {
                return self.act(Action::Read(from));
            } else if let Some(record) = self.waiting.pop_front() {
                self.consume(record);
            } else if let Some(mismatch) = self.not_made("it waits for what has no outcome yet") {
                self.stop_at(mismatch);
            } else {
                self.go_live();
                self.begin_started();
                if self.waiting.is_empty() && !self.take_notes() && !self.take_one_mail() {
                    break;
                }
            }
        }
    }

    fn go_live(&mut self) {
        if !std::mem::replace(&mut self.live, true) {
            self.cancel.restart();
        }
    }

    fn consume(&mut self, record: Record) {
        self.consumed += 1;
        self.ordinal = 0;
        self.time = self.time.max(record.at);
        match record.entry {
            Entry::Returned(returned) => self.consume_outcome(record.seq, returned),
            Entry::Cancelled { .. } => self.consume_cancelled(),
            Entry::Expired => self.consume_expired(),
            other => unreachable!("a {} entry is no outcome: only outcomes wait their turn", other.kind()),
        }
    }

    fn consume_outcome(&mut self, seq: Seq, returned: Returned) {
        let number = returned.number;
        if number >= self.number_next {
            let recorded = self.brief_of(number);
            return self.stop_at(Mismatch::NotStarted { seq, number, recorded });
        }
        // Dropped, or answered by the cancellation, whose refusals come first: recorded and passed over; its time counted (rules G5, C1).
        let wanted = self.flights.get(number).is_some_and(|flight| flight.open);
        match wanted {
            true => self.deliver(number, returned.outcome),
            false => self.forget(number),
        }
    }

    fn deliver_refusal(&mut self, number: Number) {
        // It may have been dropped since.
        if self.flights.get(number).is_some_and(|flight| flight.open) {
            self.deliver(number, Outcome::cancelled());
        }
    }

    fn deliver(&mut self, number: Number, outcome: Outcome) {
        self.flights.change(number, |flight| flight.open = false);
        self.forget(number);
        self.guest = Guest::Running;
        self.say_that_it_runs();
        if !self.live {
            self.cancel.restart();
        }
        self.act(Action::Deliver(Delivery {
            number,
            outcome,
            time: self.time,
        }));
    }

    /// Forgets a call that the guest no longer wants, unless its effect is still under way or its outcome still waits its turn.
    pub(super) fn forget(&mut self, number: Number) {
        let Some(flight) = self.flights.get(number) else {
            return;
        };
        if flight.open || flight.in_flight() {
            return;
        }
        self.flights.remove(number);
    }
}
