//! Skills that are called: a run is launched for the call, recorded, and waited for; and a run that was launched for a call answers it (rule K1).
//!
//! A child is a run like any other, with a journal of its own. It is made by the shell when its call is durable, under a launch id that is made of the caller and the call; so
//! whoever makes it again finds it. Its answer comes by the mailbox, left there in the append of its last entry. Nobody else holds on to it: when the caller no
//! longer wants the answer it leaves a cancellation in the child's mailbox, at every replay anew (rule G5).

use serde_json::json;

use super::event::Ended;
use super::flight::Phase;
use super::{Local, Machine};
use crate::budget::Cost;
use crate::calls::skills::{Call, Launched};
use crate::effect::{Function, Kind};
use crate::entry::{By, Entry, Failure, How, Why};
use crate::id::Number;
use crate::outcome::{Fault, Outcome};
use crate::payload::Payload;
use crate::planted::{self, Bug};

impl Machine {
    /// Begins a call of a skill: has it launched, or goes on waiting for what was.
    pub(super) fn begin_skill(&mut self, number: Number) {
        let Some(flight) = self.flights.get(number) else {
            return;
        };
        let (is_launched, in_doubt) = (flight.launched().is_some(), flight.in_doubt);
        match (is_launched, in_doubt) {
            (true, _) => self.open_wait(number),
            (false, true) => self.launch_again(number),
            (false, false) => {
                let behind = flight.behind(flight.seq);
                self.flights.set_phase(number, behind);
            }
        }
    }

    /// Has a run launched for a call for which an earlier attempt may have launched it; then that is found.
    ///
    /// However often it is tried it is one run: what was reserved for it first stays reserved, in the day's account too, and no more is. In a copy nothing was (rule F5), and
    /// nothing launched; then it is reserved as for a first performance.
    fn launch_again(&mut self, number: Number) {
        let is_copy = self.started.parent.is_some();
        let reserved = self.flights.change(number, |flight| {
            flight.measured = None;
            let reserved = flight.reserved.take();
            reserved.filter(|reserved| !is_copy || reserved.cost != Cost::ZERO)
        });
        let Some(reserved) = reserved.flatten() else {
            return self.perform_again(number, Why::Recovery, None, Some(Cost::ZERO));
        };
        match self.check_again(number) {
            Ok(()) => self.retry(number, Why::Recovery, None, Some(Cost::ZERO), Some(reserved)),
            Err(fault) => {
                // What was launched may have spent all that it had, and is told that nobody waits for it.
                self.flights.change(number, |flight| flight.reserved = Some(reserved));
                self.cancel_child(number);
                self.answer(number, Outcome::from(fault), None, By::Effect);
            }
        }
    }

    /// Returns whether a call of a skill is on its way to being waited for: then its answer may be there already, after a crash, and is kept.
    pub(super) fn is_being_launched(&self, number: Number) -> bool {
        let flight = self.flights.get(number).filter(|_| !planted::is(Bug::AnswerUnexpected));
        flight.is_some_and(|flight| flight.open && !flight.cancelled && flight.wait().is_none())
    }

    /// Takes in that a run was launched for a call, or why none was.
    pub(super) fn launched(&mut self, number: Number, result: Result<Payload, Ended>) {
        let Some(flight) = self.flights.get(number) else {
            return;
        };
        let wanted = flight.open && !flight.cancelled;
        match result {
            Ok(launched) if wanted => {
                assert!(
                    launched.read::<Launched>().is_ok(),
                    "what is measured for a call of a skill is the run that was launched"
                );
                self.append(Entry::Prepared {
                    number,
                    measured: launched.clone(),
                });
                self.flights.change(number, |flight| flight.measured = Some(launched));
                self.open_wait(number);
            }
            Err(Ended::Returned { outcome, .. }) if wanted => {
                self.answer(number, outcome, Some(Cost::ZERO), By::Effect)
            }
            Ok(_) => {
                self.cancel_child(number);
                self.close(number);
            }
            Err(_) => self.close(number),
        }
    }

    /// Ends what is still going on about a call of a skill whose answer nobody wants any more.
    pub(super) fn abandon_skill(&mut self, number: Number) {
        let Some(flight) = self.flights.get(number) else {
            return;
        };
        match flight.phase {
            // Whatever is launched is cancelled when that is told.
            Phase::Measuring => {}
            Phase::Answered => self.forget(number),
            _ => {
                // In this attempt it is only waited for when it was launched; an earlier one may have launched it and died.
                if flight.phase == Phase::Waiting || flight.performances > 0 {
                    self.local(Local::CloseWait { number });
                    self.cancel_child(number);
                }
                self.close(number);
            }
        }
    }

    /// Has the run that was launched for a call cancelled, if there is one.
    pub(super) fn cancel_child(&mut self, number: Number) {
        let is_untold = planted::is(Bug::ToldLate) && self.ending.is_none();
        if !planted::is(Bug::CalledGoesOn) && !is_untold {
            self.local(Local::CancelChild { number, at: self.now });
        }
    }

    /// Returns what a call may spend if it is one of a skill: what it asks for, and else a part of what is left.
    pub(super) fn share_of(&self, function: Function, request: &Payload) -> Option<Cost> {
        if function.kind() != Kind::Skill {
            return None;
        }
        let asked = request.read::<Call>().map(|call| call.allowance);
        Some(asked.unwrap_or_default().or(self.account.share()))
    }

    /// Answers the call that this run was launched for, beside its last entry. What goes on in another run is answered by that one.
    pub(super) fn answer_caller(&mut self) {
        if planted::is(Bug::ToldLate) {
            (0..self.number_next.0).for_each(|number| self.cancel_child(Number(number)));
        }
        let (Some(caller), Some(ending)) = (self.started.caller.clone(), &self.ending) else {
            return;
        };
        if planted::is(Bug::AnswerUnsent) {
            return;
        }
        let outcome = match &ending.how {
            How::Done(result) => Outcome::Ok(result.clone()),
            How::Failed(failure) => self.failed(failure),
            How::Cancelled(_) => {
                let message = format!("skill `{}` was cancelled, in run {}", self.skill, self.run);
                self.fault(message, "cancelled", None)
            }
            How::Continued(_) => return,
        };
        self.local(Local::AnswerCaller {
            run: caller.run,
            number: caller.number,
            at: self.now,
            outcome,
            spent: self.account.spent().plus(caller.before),
        });
    }

    fn failed(&self, failure: &Failure) -> Outcome {
        let message = format!(
            "skill `{}` failed, in run {}: {}",
            self.skill, self.run, failure.message
        );
        let code = match planted::is(Bug::FailureMisnamed) {
            true => "failed",
            false => &failure.code,
        };
        self.fault(message, code, failure.details.as_ref())
    }

    fn fault(&self, message: String, code: &str, details: Option<&Payload>) -> Outcome {
        let details = details.and_then(|details| details.read::<serde_json::Value>().ok());
        Outcome::from(Fault {
            data: Some(json!({"run": self.run, "code": code, "details": details})),
            ..Fault::new(Fault::FAILED, message)
        })
    }
}
