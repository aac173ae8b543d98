//! Cancelling (rules C1-C4), and the end of a run.

use super::{Action, Guest, Local, Machine, Source, Status, Stop};
use crate::calls::CallOptions;
use crate::effect::{Function, Kind};
use crate::entry::{Entry, Failure, Finished, How};
use crate::id::{Number, Seq};
use crate::payload::Payload;
use crate::planted::{self, Bug};

/// How far a cancellation is.
#[derive(Debug)]
pub(super) struct Cancel {
    /// Its entry is in the journal, or queued.
    noted: bool,
    /// The guest has consumed it: calls are refused, but for cleaning up.
    consumed: bool,
    /// The `expired` entry is in the journal, or queued.
    expiry_noted: bool,
    /// The guest has consumed that: cleaning up is refused as well.
    expired: bool,
    /// The time runs in which the guest has to block; after that, in which it may clean up; after that, in which it has to end (rule C3).
    grace: bool,
}

/// The end of a run, on its way into the journal.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) how: How,
    /// Its entry, once it is queued.
    pub(super) written: Option<Seq>,
}

impl Ending {
    pub(super) fn is_continued(&self) -> bool {
        matches!(self.how, How::Continued(_))
    }
}

/// What a cancelled run does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Refused,
    Allowed,
}

impl Cancel {
    pub(super) fn new(noted: bool, expiry_noted: bool) -> Self {
        Self {
            noted,
            consumed: false,
            expiry_noted,
            expired: false,
            grace: false,
        }
    }

    /// Notes that the run is to be cancelled, and returns whether that is new.
    pub(super) fn note(&mut self) -> bool {
        !std::mem::replace(&mut self.noted, true)
    }

    /// Returns whether the run is cancelled, though the guest may not have heard of it.
    pub(super) fn is_noted(&self) -> bool {
        self.noted
    }

    /// Lets the time begin anew, when the guest is given something.
    pub(super) fn restart(&mut self) {
        self.grace = false;
    }

    /// Returns whether the time runs that a cancelled run has.
    pub(super) fn in_grace(&self) -> bool {
        self.grace
    }

    /// Decides about a call that the guest starts now (rule C2). A reading of the clock is always answered (rule G6).
    pub(super) fn refuses(&self, function: Function, options: &CallOptions) -> Refusal {
        let refused = self.expired || (self.consumed && !options.cleanup);
        match refused && function.kind() != Kind::Tick {
            true => Refusal::Refused,
            false => Refusal::Allowed,
        }
    }
}

impl Machine {
    /// Every call then open returns `cancelled`, in the order started (rule C1).
    pub(super) fn consume_cancelled(&mut self) {
        self.cancel.consumed = true;
        self.cancel.restart();
        self.refuse_open();
    }

    /// The time for cleaning up is over (rule C3).
    pub(super) fn consume_expired(&mut self) {
        self.cancel.expired = true;
        self.refuse_open();
    }

    fn refuse_open(&mut self) {
        let open: Vec<Number> = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.open && !flight.cancelled && flight.called.function.kind() != Kind::Tick)
            .map(|(number, _)| number)
            .collect();
        for number in open {
            self.refuse(number);
        }
    }

    /// Answers a call with `cancelled`, without an entry.
    pub(super) fn refuse(&mut self, number: Number) {
        self.flights.change(number, |flight| flight.cancelled = true);
        self.refusals.push_back(number);
        self.abandon(number);
    }

    /// Lets the time that a cancelled run has begin. It counts time driven: not before the guest has made every call that the journal holds (rule C3), and
    /// not while the computer sleeps, so the shell measures it, and not by the wall clock.
    pub(super) fn start_grace(&mut self) {
        let caught_up = self.live || !self.past.has_calls_from(self.number_next);
        if caught_up && self.cancel.noted && !self.cancel.grace && self.ending.is_none() {
            self.cancel.grace = true;
            self.act(Action::Grace(self.limits.grace()));
        }
    }

    /// Ends the time for cleaning up; the second time, the run.
    pub(super) fn end_grace(&mut self) {
        if !std::mem::take(&mut self.cancel.grace) || self.ending.is_some() {
            return;
        }
        if !self.cancel.consumed || self.cancel.expiry_noted {
            // It does not block to hear of the cancellation, or was told that the time is over and is still not done: the host ends the run itself.
            self.guest = Guest::Over;
            return self.finish(How::Cancelled(None));
        }
        self.cancel.expiry_noted = true;
        self.append(Entry::Expired);
    }

    pub(super) fn guest_finished(&mut self, result: Result<Payload, Failure>) {
        let how = match (result, self.cancel.consumed) {
            (Ok(result), false) => How::Done(result),
            (Ok(result), true) => How::Cancelled(Some(result)),
            (Err(failure), false) => How::Failed(failure),
            (Err(_), true) => How::Cancelled(None),
        };
        self.finish(how);
    }

    pub(super) fn guest_failed(&mut self, failure: Failure) {
        self.finish(How::Failed(failure));
    }

    /// Ends the run once nothing is under way any more: a change to files is not cut short.
    pub(super) fn finish(&mut self, how: How) {
        self.cancel.restart();
        self.ending = Some(Ending { how, written: None });
        let flights: Vec<Number> = self.flights.iter().map(|(number, _)| number).collect();
        for number in flights {
            self.drop_call(number);
        }
    }

    /// Writes the last entry when nothing is under way, and stops when it is durable (rule J2).
    pub(super) fn end_if_over(&mut self) {
        let Some(ending) = &self.ending else { return };
        if self.flights.any_in_flight() {
            return;
        }
        let finished = Finished {
            how: ending.how.clone(),
            spent: self.account.spent(),
        };
        match ending.written {
            None if planted::is(Bug::ShownEarly) => {
                self.write_end(finished.clone());
                self.stop(Stop::Finished(finished));
            }
            None => self.write_end(finished),
            Some(seq) if self.durable >= seq => self.stop(Stop::Finished(finished)),
            Some(_) => {}
        }
    }

    fn write_end(&mut self, finished: Finished) {
        let (status, news) = self.announce(&finished.how);
        let seq = self.append(Entry::Finished(finished));
        self.set_status(status);
        if let Some((title, body)) = news {
            self.local(Local::Post {
                source: Source::Finished,
                at: self.now,
                title,
                body,
                attachments: Vec::new(),
            });
        }
        self.begin_successor();
        self.answer_caller();
        if let Some(ending) = &mut self.ending {
            ending.written = Some(seq);
        }
    }

    /// Puts the end of a run into words for the inbox, if it is news: what goes on in a new run has no end, and what was called by a skill is its affair.
    fn announce(&self, how: &How) -> (Status, Option<(String, String)>) {
        let skill = &self.skill;
        let (status, news) = match how {
            How::Done(result) => (
                Status::Done,
                Some((format!("{skill} is done"), result.as_str().to_owned())),
            ),
            How::Failed(failure) => (
                Status::Failed,
                Some((format!("{skill} failed: {}", failure.code), failure.message.clone())),
            ),
            How::Cancelled(result) => {
                let body = result
                    .as_ref()
                    .map(|result| result.as_str().to_owned())
                    .unwrap_or_default();
                (Status::Cancelled, Some((format!("{skill} was cancelled"), body)))
            }
            How::Continued(_) => (Status::Continued, None),
        };
        // What was called by another skill answers that, and nobody else.
        (status, news.filter(|_| self.started.caller.is_none()))
    }
}
