//! Runs a journal once more and performs nothing: whether a component does today what it did then.
//!
//! The guest is given the recorded outcomes by the same machine that drives live runs; what that would write or have performed is what the journal does not hold,
//! and nothing of it is carried out. So no lease is needed, and nobody notices.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use skillhost_core::entry::{Called, Entry, How, Record};
use skillhost_core::id::Seq;
use skillhost_core::machine::{Action, Delivery, End, Event, LoadError, Machine, Mismatch, Slice, Stop, Write};
use skillhost_core::payload::Payload;
use skillhost_journal::Journal;
use skillhost_runtime::GuestStart;

use super::clock::now;
use super::outside::Player;
use super::pinned::Pinned;
use super::shell::check_result;

/// What came of a replay.
#[derive(Clone, Debug, PartialEq)]
pub enum Replayed {
    /// The guest did all that the journal holds; of a run that is over, nothing else.
    Identical,
    /// It asked for something else than the journal holds.
    Mismatch(Box<Mismatch>),
    /// It did all that the journal holds, and then a further call, although the run was over.
    Further(Box<Called>),
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
    let start = GuestStart::of(started, records[0].at, Arc::clone(&pinned.files));
    let mut guest = pinned.component.guest(start);
    let sleep = |time| -> BoxFuture<'static, ()> { Box::pin(tokio::time::sleep(time)) };
    replay_with(records, &mut guest, next, check, &sleep).await
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
    let finished = Machine::finished(records).map(|finished| &finished.how);
    let body = match finished {
        Some(_) => &records[..records.len() - 1],
        None => records,
    };
    let started = Machine::started(records)?;
    let mut machine = Machine::new(body.to_vec())?;
    // A guest that was cancelled and did not block was ended by the host; nothing recorded says when.
    let may_hang = matches!(finished, Some(How::Cancelled(None)));
    let patience = may_hang.then(|| started.limits.grace());
    let patience = || patience.map(sleep);
    let Some(mut slice) = within(patience(), guest.start()).await else {
        return Ok(Replayed::Identical);
    };
    loop {
        check_result(check, &mut slice);
        let end = slice.end.clone();
        let continues = continues_otherwise(&end, next);
        let delivery = match heard(machine.handle(now(), Event::Guest(slice)), finished) {
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
    let How::Continued(next) = &Machine::finished(records)?.how else {
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
    Verdict(Replayed),
    /// The journal is at its end.
    Nothing,
}

fn heard(actions: Vec<Action>, finished: Option<&How>) -> Heard {
    for action in actions {
        match action {
            Action::Deliver(delivery) => return Heard::Deliver(delivery),
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
