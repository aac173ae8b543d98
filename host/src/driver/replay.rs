//! Runs a journal once more and performs nothing: whether a component does today what it did then.
//!
//! The guest is given the recorded outcomes by the same machine that drives live runs; what that would write or have performed is what the journal does not hold,
//! and nothing of it is carried out. So no lease is needed, and nobody notices.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use skillhost_core::entry::{Called, Entry, Finished, How, Record, Started};
use skillhost_core::id::{RunId, Seq};
use skillhost_core::machine::{Action, Delivery, End, Event, LoadError, Machine, Mismatch, Slice, Stop, Survey, Write};
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_journal::{Cursor, Journal, JournalError};
use skillhost_runtime::{Guest, GuestStart};

use super::clock::now;
use super::outside::Player;
use super::pinned::Pinned;
use super::shell::check_result;
use super::{DriveError, survey};

/// What came of a replay.
#[derive(Clone, Debug, PartialEq)]
pub enum Replayed {
    /// The guest did all that the journal holds; of a run that is over, nothing else.
    Identical,
    /// It asked for something else than the journal holds.
    Mismatch(Box<Mismatch>),
    /// It did all that the journal holds, and then a further call, although the run was over.
    Further(Arc<Called>),
    /// It did all that the journal holds, and ended otherwise.
    EndsOtherwise {
        /// How the run ended.
        recorded: Box<How>,
        /// How the guest ended now; `None` if it waits for something.
        now: Option<Box<How>>,
    },
    /// It did all that the journal holds, and lets the next run begin with another input.
    ContinuesOtherwise {
        /// What the next run began with.
        recorded: Payload,
        /// What it would begin with now.
        now: Payload,
    },
    /// The host could not go on with it.
    Broken(String),
}

/// Replays a run, over or not. `next` is the input of the run that goes on in its place, if one does and that is known.
///
/// # Errors
/// If its journal is not sound.
pub async fn replay(
    records: &[Record],
    pinned: &Pinned,
    next: Option<&Payload>,
    check: &(dyn Fn(&Payload) -> Result<(), String> + Sync),
) -> Result<Replayed, LoadError> {
    let started = Machine::started(records)?;
    let mut guest = guest(started, records[0].at, pinned);
    replay_with(records, &mut guest, next, check, &asleep).await
}

/// The journal of a run that is to be replayed, gone through once. It is read on while it is replayed, so it may be as long as it likes.
pub struct History<'a> {
    journal: &'a dyn Journal,
    run: &'a RunId,
    survey: Survey,
    past: Cursor,
}

impl<'a> History<'a> {
    /// Goes through the journal of a run.
    ///
    /// # Errors
    /// If it cannot be read, or is not sound.
    pub fn read(journal: &'a dyn Journal, run: &'a RunId) -> Result<Self, DriveError> {
        let mut past = Cursor::default();
        let survey = survey(journal, run, &mut past)?;
        let survey = survey.map_err(|source| DriveError::History {
            run: run.clone(),
            source,
        })?;
        Ok(Self {
            journal,
            run,
            survey,
            past,
        })
    }

    /// Returns what the journal comes to.
    pub fn survey(&self) -> &Survey {
        &self.survey
    }

    /// Replays the run, over or not, as [`replay`] does.
    ///
    /// # Errors
    /// If its journal is not sound.
    pub async fn replay(
        mut self,
        pinned: &Pinned,
        check: &(dyn Fn(&Payload) -> Result<(), String> + Sync),
    ) -> Result<Replayed, LoadError> {
        let next = self.survey.finished().and_then(|end| input_after(self.journal, end));
        let (started, at) = self.survey.started()?;
        let mut guest = guest(started, at, pinned);
        let mut read = |from| {
            self.past.go_to(from);
            self.journal.page(self.run, &mut self.past)
        };
        go_through(self.survey, &mut read, &mut guest, next.as_ref(), check, &asleep).await
    }
}

fn guest(started: &Started, at: Timestamp, pinned: &Pinned) -> Guest {
    pinned
        .component
        .guest(GuestStart::of(started, at, Arc::clone(&pinned.files)))
}

fn asleep(time: Duration) -> BoxFuture<'static, ()> {
    Box::pin(tokio::time::sleep(time))
}

/// Replays a run with this guest, which was not started. `sleep` is how long a guest is waited for that may never block again.
///
/// # Errors
/// If its journal is not sound.
pub async fn replay_with(
    records: &[Record],
    guest: &mut dyn Player,
    next: Option<&Payload>,
    check: &(dyn Fn(&Payload) -> Result<(), String> + Sync),
    sleep: &(dyn Fn(Duration) -> BoxFuture<'static, ()> + Sync),
) -> Result<Replayed, LoadError> {
    let survey = Survey::of(records.to_vec())?;
    let mut read = |_| Ok(Vec::new());
    go_through(survey, &mut read, guest, next, check, sleep).await
}

async fn go_through(
    survey: Survey,
    read: &mut (dyn FnMut(Seq) -> Result<Vec<Record>, JournalError> + Send),
    guest: &mut dyn Player,
    next: Option<&Payload>,
    check: &(dyn Fn(&Payload) -> Result<(), String> + Sync),
    sleep: &(dyn Fn(Duration) -> BoxFuture<'static, ()> + Sync),
) -> Result<Replayed, LoadError> {
    let finished = survey.finished().map(|finished| finished.how.clone());
    let finished = finished.as_ref();
    let grace = survey.started()?.0.limits.grace();
    let mut machine = survey.replay()?;
    // A guest that was cancelled and did not block was ended by the host; nothing recorded says when.
    let may_hang = matches!(finished, Some(How::Cancelled(None)));
    let patience = may_hang.then_some(grace);
    let patience = || patience.map(sleep);
    let Some(mut slice) = within(patience(), guest.start()).await else {
        return Ok(Replayed::Identical);
    };
    loop {
        check_result(check, &mut slice);
        let end = slice.end.clone();
        let continues = continues_otherwise(&end, next);
        let mut heard_now = tell(&mut machine, Event::Guest(slice), finished);
        while let Heard::Read(from) = heard_now {
            match read(from) {
                Ok(records) => heard_now = tell(&mut machine, Event::Read(records), finished),
                Err(error) => return Ok(Replayed::Broken(format!("its journal could not be read: {error}"))),
            }
        }
        let delivery = match heard_now {
            Heard::Read(_) => unreachable!("all that was asked for was read"),
            Heard::Deliver(delivery) => delivery,
            Heard::Verdict(Replayed::Identical) => return Ok(continues.unwrap_or(Replayed::Identical)),
            Heard::Verdict(verdict) => return Ok(verdict),
            Heard::Nothing => return Ok(rests(end, finished)),
        };
        match within(patience(), guest.deliver(delivery)).await {
            Some(next) => slice = next,
            None => return Ok(Replayed::Identical),
        }
    }
}

/// Returns the input of the run that goes on in the place of the one with this journal, if one does and is still there.
pub fn next_input(journal: &dyn Journal, records: &[Record]) -> Option<Payload> {
    input_after(journal, Machine::finished(records)?)
}

fn input_after(journal: &dyn Journal, end: &Finished) -> Option<Payload> {
    let How::Continued(next) = &end.how else {
        return None;
    };
    let records = journal.records(next, Seq(0), 1).ok()?;
    Some(Machine::started(&records).ok()?.input.clone())
}

/// Compares what the next run is to begin with.
fn continues_otherwise(end: &End, next: Option<&Payload>) -> Option<Replayed> {
    let (End::Continued(now), Some(recorded)) = (end, next) else {
        return None;
    };
    (now.input != *recorded).then(|| Replayed::ContinuesOtherwise {
        recorded: recorded.clone(),
        now: now.input.clone(),
    })
}

async fn within(patience: Option<BoxFuture<'static, ()>>, guest: impl Future<Output = Slice>) -> Option<Slice> {
    match patience {
        None => Some(guest.await),
        Some(patience) => tokio::select! {
            biased;
            slice = guest => Some(slice),
            () = patience => None,
        },
    }
}

/// What the machine wants done about a replay.
enum Heard {
    Deliver(Delivery),
    /// More of the journal has to be read first.
    Read(Seq),
    Verdict(Replayed),
    /// The journal is at its end.
    Nothing,
}

/// Tells the machine what happened, and returns what it wants.
fn tell(machine: &mut Machine, event: Event, finished: Option<&How>) -> Heard {
    let mut actions = machine.handle(now(), event);
    let heard = heard(&mut actions, finished);
    machine.take_back(actions);
    heard
}

fn heard(actions: &mut Vec<Action>, finished: Option<&How>) -> Heard {
    for action in actions.drain(..) {
        match action {
            Action::Deliver(delivery) => return Heard::Deliver(delivery),
            Action::Read(from) => return Heard::Read(from),
            Action::Stop(Stop::Mismatch(mismatch)) => return Heard::Verdict(Replayed::Mismatch(mismatch)),
            Action::Stop(Stop::Broken(reason)) => return Heard::Verdict(Replayed::Broken(reason)),
            Action::Write(writes) => {
                if let Some(verdict) = writes.into_iter().find_map(|write| added(write, finished)) {
                    return Heard::Verdict(verdict);
                }
            }
            _ => {}
        }
    }
    Heard::Nothing
}

/// Returns what an entry means that the journal does not hold.
fn added(write: Write, finished: Option<&How>) -> Option<Replayed> {
    let Write::Entry(record) = write else { return None };
    match (record.entry, finished) {
        (Entry::Called(called), Some(_)) => Some(Replayed::Further(called)),
        (Entry::Finished(now), Some(recorded)) => Some(match same_end(recorded, &now.how) {
            true => Replayed::Identical,
            false => Replayed::EndsOtherwise {
                recorded: Box::new(recorded.clone()),
                now: Some(Box::new(now.how)),
            },
        }),
        _ => None,
    }
}

/// Says what it means that nothing is left to be given to the guest.
fn rests(end: End, finished: Option<&How>) -> Replayed {
    match (finished, end) {
        // It would go on.
        (None, _) => Replayed::Identical,
        // It was ended from outside: a guest that cleans up too long.
        (Some(How::Cancelled(None)), End::Blocked) => Replayed::Identical,
        (Some(recorded), _) => Replayed::EndsOtherwise {
            recorded: Box::new(recorded.clone()),
            now: None,
        },
    }
}

/// Compares ends as a user sees them: where in the guest a failure arose may differ, and a run that another goes on for names that one.
pub(crate) fn same_end(recorded: &How, now: &How) -> bool {
    match (recorded, now) {
        (How::Failed(recorded), How::Failed(now)) => {
            (&recorded.code, &recorded.message, &recorded.details) == (&now.code, &now.message, &now.details)
        }
        (How::Continued(_), How::Continued(_)) => true,
        (recorded, now) => recorded == now,
    }
}
