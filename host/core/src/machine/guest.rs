//! What the guest did since it was last given something, compared with the journal (rule G2).

use std::sync::Arc;

use super::budget::Admission;
use super::ending::Refusal;
use super::event::{Act, Call, End, Slice};
use super::flight::{Flight, Phase};
use super::history::Recorded;
use super::mismatch::{Brief, Mismatch};
use super::{Action, Guest, Machine, Stop};
use crate::budget::refused_before;
use crate::effect::Kind;
use crate::entry::{Called, Due, Entry, Record};
use crate::id::{Number, Seq};
use crate::time::Timestamp;

impl Machine {
    /// Takes in what the guest did; first, the calls that it is compared with are read, and the one after them, which it may not have made.
    pub(super) fn hear_guest(&mut self, slice: Slice) {
        if self.ending.is_some() {
            return;
        }
        assert!(
            self.guest == Guest::Running && self.unheard.is_none(),
            "a guest that was given nothing does nothing"
        );
        let started = slice.acts.iter().filter(|act| matches!(act, Act::Start(_))).count();
        match self.past.unread() {
            Some(from) if !self.past.reaches(Number(self.number_next.0 + started as u64)) => {
                self.unheard = Some(slice);
                self.act(Action::Read(from));
            }
            _ => self.take_slice(slice),
        }
    }

    /// Takes in the next entries of the journal as it was.
    pub(super) fn take_in_past(&mut self, records: Vec<Record>) {
        if let Err(reason) = self.past.read(records) {
            return self.stop(Stop::Broken(format!("the journal could not be read again: {reason}")));
        }
        if let Some(slice) = self.unheard.take() {
            self.hear_guest(slice);
        }
    }

    fn take_slice(&mut self, slice: Slice) {
        for act in slice.acts {
            match act {
                Act::Log(line) => self.log(line),
                Act::Drop(number) => self.drop_call(number),
                Act::Start(call) => {
                    if let Err(mismatch) = self.start_call(*call) {
                        return self.stop_at(mismatch);
                    }
                }
            }
        }
        match slice.end {
            End::Blocked if !self.is_behind() && self.end_if_heedless() => self.guest = Guest::Over,
            End::Blocked => self.guest = Guest::Blocked,
            End::Finished(result) => {
                self.guest_ended("it returned its result", |machine| machine.guest_finished(result))
            }
            End::Continued(continued) => {
                let how = "it asked for a new run to go on in its place";
                self.guest_ended(how, |machine| machine.guest_continued(*continued));
            }
            End::Trapped(failure) => {
                let how = format!("it stopped abnormally: {}", failure.message);
                self.guest_ended(&how, |machine| machine.guest_failed(failure));
            }
            // It went further before, on this machine or another, so it can again.
            End::Exhausted(failure) if self.is_behind() => self.stop(Stop::Broken(failure.message)),
            End::Exhausted(failure) => self.guest_ended("it was stopped", |machine| machine.guest_failed(failure)),
            End::Broken(reason) => self.stop(Stop::Broken(reason)),
        }
    }

    /// Returns whether the journal holds something that the guest has yet to do or to be given.
    fn is_behind(&self) -> bool {
        let has_more = self.past.has_calls_from(self.number_next) || !self.past.is_consumed();
        !self.live && (has_more || !self.waiting.is_empty())
    }

    /// Takes the end of the guest, unless the journal holds calls that it did not make.
    fn guest_ended(&mut self, how: &str, end: impl FnOnce(&mut Self)) {
        self.guest = Guest::Over;
        match self.not_made(how) {
            None => {
                self.close_log();
                end(self);
            }
            Some(mismatch) => self.stop_at(mismatch),
        }
    }

    /// Returns the mismatch of a guest that goes no further, `how` says why, although the journal holds calls that it did not make.
    pub(super) fn not_made(&self, how: &str) -> Option<Mismatch> {
        let number = self.number_next;
        let recorded = self.past.call(number)?;
        Some(Mismatch::NotMade {
            number,
            recorded: brief(recorded),
            how: how.to_owned(),
        })
    }

    fn start_call(&mut self, mut call: Call) -> Result<(), Mismatch> {
        assert!(
            call.number == self.number_next,
            "calls are numbered without a gap: the guest's host counts them"
        );
        let number = call.number;
        self.number_next = number.next();
        let take = self
            .playback
            .as_mut()
            .and_then(|playback| playback.meet(call.function, &call.request));
        let mut flight = match self.past.take_call(number) {
            Some(recorded) => {
                compare(&recorded, &call, self.consumed)?;
                // What is recorded of it stands; it is not performed again without a price where there has to be one, as in a copy that was given a budget of money.
                let unpriced = self.price(&mut call, recorded.called.tier.as_deref()).err();
                let written = self.written_before(&call, &recorded.called, recorded.at);
                let mut flight = again(recorded, call, self.now);
                flight.unpriced = unpriced.map(Box::new);
                self.count_written(written);
                flight
            }
            None => self.start_new(call),
        };
        flight.take = take;
        let refusal = self.cancel.refuses(flight.called.function, &flight.called.options);
        self.flights.insert(number, flight);
        if refusal == Refusal::Refused {
            self.refuse(number);
        }
        Ok(())
    }

    /// Records a call that the journal does not hold.
    fn start_new(&mut self, mut call: Call) -> Flight {
        let due = call.lasts.map(|lasts| Due {
            deadline: self.now.after(lasts),
            guest: call.guest_time.after(lasts),
        });
        call.bound = call.bound.or_else(|| self.share_of(call.function, &call.request));
        let performed = call.refused.is_none() && self.cancel.refuses(call.function, &call.options) == Refusal::Allowed;
        let admission = match performed {
            true => self.admit(&mut call),
            false => Admission::default(),
        };
        let called = Arc::new(Called {
            number: call.number,
            function: call.function,
            request: call.request.clone(),
            options: std::mem::take(&mut call.options),
            class: call.class,
            after: self.consumed,
            reserved: admission.reserved.as_ref().map(|reserved| reserved.cost),
            reserved_day: admission.reserved.as_ref().and_then(|reserved| reserved.day),
            over: admission.over,
            tier: admission.tier,
            due,
        });
        let seq = self.append(Entry::Called(Arc::clone(&called)));
        let mut flight = Flight::new(call, called, seq, self.now);
        flight.reserved = admission.reserved;
        if let Some(fault) = admission.refused {
            flight.refused = Some(Box::new(fault));
        }
        flight
    }

    /// Stops the attempt before anything of this slice is written.
    pub(super) fn stop_at(&mut self, mismatch: Mismatch) {
        self.writes.clear();
        self.actions.clear();
        self.stop(Stop::Mismatch(Box::new(mismatch)));
    }

    pub(super) fn stop(&mut self, stop: Stop) {
        self.act(Action::Stop(stop));
        self.stopped = true;
    }

    /// Returns a recorded call for an error that shows it.
    pub(super) fn brief_of(&self, number: Number) -> Option<Brief> {
        self.past.call(number).map(brief)
    }
}

/// A call that the journal holds: started again by a replayed guest.
fn again(recorded: Recorded, call: Call, now: Timestamp) -> Flight {
    let call_is_metered = call.bound.is_some() || call.function.kind() == Kind::Skill;
    let (over, was_reserved) = (recorded.called.over, recorded.called.reserved.is_some());
    // Recovery goes by what was recorded, not by what the options say today (rule G2).
    let mut flight = Flight::new(call, recorded.called, recorded.seq, now);
    flight.measured = recorded.measured;
    flight.reserved = recorded.reserved;
    flight.performances = recorded.performances;
    flight.anew = recorded.anew;
    flight.in_doubt = !recorded.answered;
    if over.is_some() || (call_is_metered && !was_reserved) {
        // It was recorded as refused, or without a reservation, so it was never performed: a budget had no room, and a crash lost the answer that says so (rule B1).
        flight.refused.get_or_insert_with(|| Box::new(refused_before(over)));
    }
    if recorded.answered {
        flight.phase = Phase::Answered;
    }
    flight
}

fn compare(recorded: &Recorded, call: &Call, after: u64) -> Result<(), Mismatch> {
    let called = &recorded.called;
    if called.function == call.function && called.request == call.request && called.after == after {
        return Ok(());
    }
    Err(Mismatch::Call {
        seq: recorded.seq,
        number: call.number,
        recorded: brief(recorded),
        attempted: Brief {
            function: call.function,
            request: call.request.clone(),
            after,
        },
    })
}

fn brief(recorded: &Recorded) -> Brief {
    let called = &recorded.called;
    Brief {
        function: called.function,
        request: called.request.clone(),
        after: called.after,
    }
}

/// Returns the greater of a place and an optional one.
pub(super) fn later(seq: Seq, other: Option<Seq>) -> Seq {
    other.map_or(seq, |other| seq.max(other))
}
