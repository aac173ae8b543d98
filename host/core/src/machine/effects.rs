//! Calls that are performed: what has to be durable first, how often, and what becomes of one in doubt (rules J1, R1, R2).

use super::budget::Reserved;
use super::event::{Again, Ended};
use super::flight::{Pause, Phase};
use super::waits::Doubt;
use super::{Action, Local, Machine, Source};
use crate::budget::Cost;
use crate::calls::inbox;
use crate::effect::{Class, Kind};
use crate::entry::{By, Entry, Retried, Returned, Why};
use crate::id::Number;
use crate::outcome::{Fault, Outcome};
use crate::planted::{self, Bug};
use crate::retry;
use crate::time::Timestamp;

impl Machine {
    /// Begins every call that the guest has started and still wants; the run is live and the guest blocked.
    pub(super) fn begin_started(&mut self) {
        self.reuse();
        for number in self.flights.started() {
            self.begin(number);
        }
        self.advance_line();
    }

    fn begin(&mut self, number: Number) {
        let Some(flight) = self.flights.get(number) else {
            return;
        };
        if let Some(fault) = flight.refused.clone() {
            return self.answer(number, Outcome::Err(fault), Some(Cost::ZERO), By::Effect);
        }
        match flight.called.function.kind() {
            Kind::FileChange { .. } if !planted::is(Bug::LineSkipped) => {
                self.flights.set_phase(number, Phase::InLine);
                self.line.join(number);
            }
            Kind::Post => self.post(number),
            Kind::Tick => self.answer(number, Outcome::done(), None, By::Effect),
            Kind::Timer | Kind::Event | Kind::Question => self.open_wait(number),
            // Answered when nothing waits its turn, so that no note is taken and then passed over (rule P3).
            Kind::Notes => self.flights.set_phase(number, Phase::Waiting),
            Kind::Skill => self.begin_skill(number),
            Kind::Effect | Kind::FileChange { .. } if flight.in_doubt => self.recover(number),
            Kind::Effect if self.asks_first(flight) => self.park(number, Doubt::Unbegun),
            Kind::Effect | Kind::FileChange { .. } => {
                let behind = flight.behind(flight.seq);
                self.flights.set_phase(number, behind);
            }
        }
    }

    /// Goes on with a call that a crash left in doubt: by its class, unless a person has decided about it already (rules R1, R4).
    pub(super) fn recover(&mut self, number: Number) {
        let Some(flight) = self.flights.get(number) else {
            return;
        };
        if flight.anew {
            // Decided when the run was copied.
            return self.perform_again(number, Why::Redo, None, None);
        }
        let must_ask = flight.called.class == Class::AtMostOnce && !planted::is(Bug::DoneTwice);
        if must_ask || self.is_decided(number) {
            let reason = "the host ended while this was being done, and nobody can say whether it was";
            self.park(number, Doubt::Begun(reason.to_owned()));
        } else {
            // It may have been parked before the crash.
            self.local(Local::CloseWait { number });
            self.perform_again(number, Why::Recovery, None, None);
        }
    }

    fn post(&mut self, number: Number) {
        let Some(flight) = self.flights.get(number) else {
            return;
        };
        match flight.called.request.read::<inbox::Message>() {
            Err(error) => {
                let fault = Fault::new(Fault::INVALID, format!("not a message for the inbox: {error}"));
                self.answer(number, Outcome::from(fault), None, By::Effect);
            }
            Ok(message) => {
                self.answer(number, Outcome::done(), None, By::Effect);
                self.local(Local::Post {
                    source: Source::Message(number),
                    at: self.now,
                    title: message.title,
                    body: message.body,
                    attachments: message.attachments,
                });
            }
        }
    }

    /// Records a further performance of a call; it takes place once that is durable (rule R2). `spent` is what the one before spent, if known.
    pub(super) fn perform_again(&mut self, number: Number, why: Why, fault: Option<Box<Fault>>, spent: Option<Cost>) {
        let Some(reserved) = self.flights.change(number, |flight| flight.reserved.take()) else {
            return;
        };
        self.settle(reserved, spent);
        match self.reserve_again(number) {
            Err(fault) => self.answer(number, Outcome::from(fault), spent, By::Effect),
            Ok(reserved) => self.retry(number, why, fault, spent, reserved),
        }
    }

    /// Writes the entry of a further performance, for which this is reserved.
    pub(super) fn retry(
        &mut self,
        number: Number,
        why: Why,
        fault: Option<Box<Fault>>,
        spent: Option<Cost>,
        reserved: Option<Reserved>,
    ) {
        let seq = self.append(Entry::Retried(Retried {
            number,
            why,
            fault,
            spent,
            reserved: reserved.as_ref().map(|reserved| reserved.cost),
            reserved_day: reserved.as_ref().and_then(|reserved| reserved.day),
        }));
        let barrier = match planted::is(Bug::RetriedBeforeDurable) {
            true => self.durable,
            false => self.line.behind(number, seq),
        };
        let anew = why == Why::Recovery && planted::is(Bug::MeasuredAnew);
        self.flights.change(number, |flight| {
            flight.in_doubt = false;
            flight.anew = false;
            flight.reserved = reserved;
            flight.seq = seq;
            flight.measured = flight.measured.take().filter(|_| !anew);
            flight.phase = flight.behind(barrier);
        });
    }

    /// Performs what is no longer behind its barrier (rule J1).
    pub(super) fn release(&mut self) {
        if self.ending.is_some() || !self.live || self.is_held() {
            return;
        }
        let durable = match planted::is(Bug::PerformedBeforeDurable) {
            true => self.last(),
            false => self.durable,
        };
        for number in self.flights.free(durable) {
            let run = self.run.clone();
            let ticket = self.flights.change(number, |flight| {
                let ticket = flight.ticket(&run, number);
                match flight.wants_measuring() {
                    true => flight.phase = Phase::Measuring,
                    false => {
                        flight.phase = Phase::Performing;
                        flight.performances += 1;
                    }
                }
                (ticket, flight.phase == Phase::Measuring)
            });
            match ticket.expect("a call on the agenda is on its way") {
                (ticket, true) => self.act(Action::Measure(ticket)),
                (ticket, false) => self.act(Action::Perform(ticket)),
            }
        }
    }

    pub(super) fn ended(&mut self, number: Number, ended: Ended) {
        let Some(flight) = self.flights.get(number) else {
            return;
        };
        assert!(
            flight.phase == Phase::Performing,
            "only what is being performed ends: the machine wrote its ticket"
        );
        match ended {
            Ended::Returned { outcome, spent, again } => self.returned(number, outcome, spent, again),
            Ended::InDoubt(reason) if flight.open && !flight.cancelled => self.park(number, Doubt::Begun(reason)),
            Ended::InDoubt(_) | Ended::Aborted => self.close(number),
        }
    }

    fn returned(&mut self, number: Number, outcome: Outcome, spent: Option<Cost>, again: Option<Again>) {
        let Some(flight) = self.flights.get(number) else {
            return;
        };
        let wanted = flight.open && !flight.cancelled && self.ending.is_none();
        if let (Outcome::Err(fault), Some(again), true) =
            (&outcome, again, wanted && flight.called.class != Class::AtMostOnce)
        {
            let key = crate::id::idempotency_key(&self.run, number);
            let attempt = flight.performances;
            let chance = retry::chance(&key, attempt);
            let policy = retry::RetryPolicy::of(again.kind);
            if let Some(pause) = policy.pause(attempt, flight.called.options.attempts, again.after, chance) {
                let until = self.now.after(pause);
                let fault = fault.clone();
                return self
                    .flights
                    .set_phase(number, Phase::Pausing(Box::new(Pause { until, fault, spent })));
            }
        }
        self.answer(number, outcome, spent, By::Effect);
    }

    /// Records the outcome of a call; its turn comes when those before it have had theirs.
    pub(super) fn answer(&mut self, number: Number, outcome: Outcome, spent: Option<Cost>, by: By) {
        let at = self.time_of_answer(number);
        self.answer_at(at, number, outcome, spent, by);
    }

    pub(super) fn answer_at(&mut self, at: Timestamp, number: Number, outcome: Outcome, spent: Option<Cost>, by: By) {
        let before = self.flights.change(number, |flight| {
            let was_waiting = flight.wait().is_some();
            flight.phase = Phase::Answered;
            (was_waiting, flight.reserved.take())
        });
        let Some((was_waiting, reserved)) = before else {
            return;
        };
        if let Some(reserved) = reserved {
            // Where nobody knows what it spent, what was reserved stays spent.
            let spent = spent.unwrap_or(reserved.cost);
            self.settle(Some(reserved), Some(spent));
        }
        self.note_answer();
        let seq = self.append_at(
            at,
            Entry::Returned(Returned {
                number,
                outcome,
                spent,
                by,
            }),
        );
        if was_waiting {
            self.local(Local::CloseWait { number });
        }
        self.leave_line(number, Some(seq));
    }

    /// The guest dropped a pending (rule G5): its call is cancelled, as far as it can be.
    pub(super) fn drop_call(&mut self, number: Number) {
        let dropped = self.flights.change(number, |flight| {
            let was_open = std::mem::replace(&mut flight.open, false);
            was_open.then_some(flight.cancelled)
        });
        match dropped.flatten() {
            Some(true) => self.forget(number),
            Some(false) => self.abandon(number),
            None => {}
        }
    }

    /// Ends what is still going on about a call that nobody wants the outcome of any more.
    pub(super) fn abandon(&mut self, number: Number) {
        let Some(flight) = self.flights.get(number) else {
            return;
        };
        if flight.called.function.kind() == Kind::Skill {
            return self.abandon_skill(number);
        }
        match flight.phase {
            // A change to files is not cut short: the next one waits until it has really ended (rule R3).
            Phase::Measuring | Phase::Performing if flight.changes_files() => {}
            Phase::Measuring | Phase::Performing => self.act(Action::Abort(number)),
            // Its entry stands; its turn will pass it over.
            Phase::Answered => self.forget(number),
            Phase::Parked | Phase::Waiting => {
                self.local(Local::CloseWait { number });
                self.close(number);
            }
            // Begun in an earlier attempt, whose changes to stored state are repeated if they are missing (rule G5).
            Phase::Started if flight.in_doubt => {
                self.local(Local::CloseWait { number });
                self.close(number);
            }
            _ => self.close(number),
        }
    }

    /// Nothing happens to this call any more.
    pub(super) fn close(&mut self, number: Number) {
        self.flights.set_phase(number, Phase::Closed);
        self.leave_line(number, None);
        self.forget(number);
    }
}
