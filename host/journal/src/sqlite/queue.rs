//! What waits for the writer's thread.
//!
//! An append does not wake it: the outcome that a run was given and the calls that it led to are to be one commit (rule J1), so it is the barrier that does. Writes
//! that nobody waits for are taken along, or after a while.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use skillhost_core::id::RunId;

use super::NotDone;
use super::pack::{Packed, pack};
use crate::error::{AppendError, JournalError};
use crate::writer::{Append, Receipt, WRITES_PILED_MAX};

/// How long writes wait at most if nobody asks for a commit.
const LINGER: Duration = Duration::from_millis(5);

/// After so many turns with nothing to do the thread sleeps until it is woken.
const IDLE_TURNS_MAX: u32 = 20;

/// The most writes of one transaction, so that it does not keep other processes waiting for long (rule J6).
const BATCH_WRITES_MAX: usize = 8_192;

/// After so many commits that had one run's writes and nothing else, that run is taken to be alone.
const ALONE_AFTER: u32 = 2;

/// The most writes that a run commits itself: the task that does it does nothing else meanwhile.
const ALONE_WRITES_MAX: usize = 64;

/// An append in the form of its rows.
pub(super) struct Pending {
    pub(super) receipt: Receipt,
    pub(super) first: Option<u64>,
    pub(super) rows: Vec<Packed>,
}

/// A change of another kind, made in a transaction of the writer.
pub(super) trait Job: Send {
    /// Makes the change. May be asked again if the transaction did not hold; an error is of this change alone.
    fn run(&mut self, db: &Connection) -> Result<(), NotDone>;
    /// Returns the run whose lease and entries it may change; `None` if it may be any.
    fn only_of(&self) -> Option<&RunId>;
    /// Takes the fate of the transaction.
    fn settle(self: Box<Self>, fate: Result<(), NotDone>);
}

/// What one transaction takes.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) appends: VecDeque<Pending>,
    pub(super) jobs: Vec<Box<dyn Job>>,
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Default)]
struct State {
    appends: VecDeque<Pending>,
    jobs: Vec<Box<dyn Job>>,
    writes: usize,
    wanted: bool,
    asleep: bool,
    closed: bool,
    /// How often something was taken.
    taken: u64,
    /// Whose writes alone the last commits had, by the address of its lane, and how many such commits there were.
    alone: (usize, u32),
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock leaves it half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an append.
    pub(super) fn enqueue(&self, append: Append) {
        let receipt = append.receipt();
        let pending = Pending {
            receipt,
            first: append.first.map(|seq| seq.0),
            // Here and not by the writer: runs share the work of it that way.
            rows: append.writes.into_iter().map(pack).collect(),
        };
        let mut state = self.lock();
        if state.closed {
            drop(state);
            let run = pending.receipt.lane.run.clone();
            return pending.receipt.failed(AppendError::Closed { run });
        }
        state.writes += pending.rows.len();
        state.appends.push_back(pending);
        let wake = state.asleep || state.writes >= WRITES_PILED_MAX;
        drop(state);
        if wake {
            self.ready.notify_one();
        }
    }

    /// Asks for a commit of everything queued.
    pub(super) fn wake(&self) {
        self.lock().wanted = true;
        self.ready.notify_one();
    }

    /// Queues a change, or gives it back if the journal is closed.
    pub(super) fn submit(&self, job: Box<dyn Job>) -> Result<(), Box<dyn Job>> {
        let mut state = self.lock();
        if state.closed {
            return Err(job);
        }
        state.jobs.push(job);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Has the thread commit what is queued and end.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
    }

    /// Waits until there is something to commit. Returns `false` when the journal is closed and nothing is left.
    pub(super) fn wait(&self) -> bool {
        let mut state = self.lock();
        let mut idle_turns = 0;
        loop {
            let asked = state.wanted || state.closed || !state.jobs.is_empty() || state.writes >= WRITES_PILED_MAX;
            if asked && !state.is_empty() {
                return true;
            }
            if state.closed {
                return false;
            }
            state.wanted = false;
            let taken = state.taken;
            if idle_turns < IDLE_TURNS_MAX {
                let (woken, turn) = self
                    .ready
                    .wait_timeout(state, LINGER)
                    .unwrap_or_else(PoisonError::into_inner);
                state = woken;
                if turn.timed_out() && !state.is_empty() && state.taken == taken {
                    return true;
                }
                idle_turns += u32::from(turn.timed_out());
            } else {
                state.asleep = true;
                state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.asleep = false;
                idle_turns = 0;
            }
        }
    }

    /// Takes what one transaction can hold of what is queued, if anything is: a run that is alone may have been faster.
    pub(super) fn take(&self) -> Option<Batch> {
        let mut state = self.lock();
        (!state.is_empty()).then(|| state.take())
    }

    /// Takes what is queued if all of it is of one run, which is alone.
    pub(super) fn take_alone(&self) -> Option<Batch> {
        let mut state = self.lock();
        let (lane, commits) = state.alone;
        let is_alone = commits >= ALONE_AFTER
            && !state.closed
            && !state.appends.is_empty()
            && state.writes <= ALONE_WRITES_MAX
            && state.one_lane() == Some(lane);
        is_alone.then(|| state.take())
    }

    /// Takes a batch of appends back that could not be committed, and has the thread see to it.
    pub(super) fn give_back(&self, mut batch: Batch) {
        let mut state = self.lock();
        state.writes += batch.appends.iter().map(|pending| pending.rows.len()).sum::<usize>();
        batch.appends.append(&mut state.appends);
        state.appends = batch.appends;
        state.alone = (0, 0);
        state.wanted = true;
        drop(state);
        self.ready.notify_one();
    }

    /// Adds what has come since to a batch that could not be committed, after waiting for `pause` or until somebody wants a change of another kind.
    pub(super) fn pause(&self, batch: &mut Batch, pause: Duration) -> bool {
        let quiet = |state: &mut State| state.jobs.is_empty() && !state.closed;
        let waited = self.ready.wait_timeout_while(self.lock(), pause, quiet);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        batch.jobs.append(&mut state.jobs);
        !state.closed
    }

    /// Returns whether more is asked for already.
    pub(super) fn is_pressed(&self) -> bool {
        let state = self.lock();
        state.wanted || !state.jobs.is_empty()
    }

    /// Tells everybody who still waits that nothing more is written.
    pub(super) fn abandon(&self, batch: Batch) {
        let mut state = self.lock();
        state.closed = true;
        let queued = std::mem::take(&mut state.appends);
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        for pending in batch.appends.into_iter().chain(queued) {
            let run = pending.receipt.lane.run.clone();
            pending.receipt.failed(AppendError::Closed { run });
        }
        for job in batch.jobs.into_iter().chain(jobs) {
            job.settle(Err(JournalError::Closed.into()));
        }
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.jobs.is_empty()
    }

    /// Returns the lane of all that is queued, if it is one and there are appends alone.
    fn one_lane(&self) -> Option<usize> {
        let mut lanes = self.appends.iter().map(|pending| pending.receipt.lane_address());
        let first = lanes.next()?;
        (self.jobs.is_empty() && lanes.all(|lane| lane == first)).then_some(first)
    }

    fn take(&mut self) -> Batch {
        self.taken += 1;
        self.alone = match self.one_lane() {
            Some(lane) if lane == self.alone.0 => (lane, self.alone.1.saturating_add(1)),
            Some(lane) => (lane, 1),
            None => (0, 0),
        };
        let mut batch = Batch {
            appends: VecDeque::new(),
            jobs: std::mem::take(&mut self.jobs),
        };
        if self.writes <= BATCH_WRITES_MAX {
            batch.appends = std::mem::take(&mut self.appends);
            self.writes = 0;
            self.wanted = false;
            return batch;
        }
        let mut taken = 0;
        while let Some(pending) = self
            .appends
            .pop_front_if(|pending| taken == 0 || taken + pending.rows.len() <= BATCH_WRITES_MAX)
        {
            taken += pending.rows.len();
            batch.appends.push_back(pending);
        }
        // What is left is asked for as before, and a job may count on what was appended before it.
        self.writes -= taken;
        self.wanted = true;
        self.jobs = std::mem::take(&mut batch.jobs);
        batch
    }
}
