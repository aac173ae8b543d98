//! How many things a worker does at once, and how many of them for one run.
//!
//! What a skill starts costs the host a connection or a process each, and a skill may start thousands: so they take turns. No run has all turns, so that one whose server
//! never answers, or whose programs take an hour, does not keep all others waiting.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

/// The turns of all runs of a worker.
#[derive(Debug)]
pub(crate) struct Slots {
    all: Arc<Semaphore>,
    of_run_max: usize,
}

/// The turns of one run. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
}

/// Leave to do one thing, for as long as it is kept.
pub(crate) struct Turn<'a> {
    _all: SemaphorePermit<'a>,
    _own: SemaphorePermit<'a>,
}

impl Slots {
    /// Makes it out of how much is done at once, and how much of that for one run.
    pub(crate) fn new(at_once_max: usize, of_run_max: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(at_once_max)),
            of_run_max,
        }
    }

    /// Returns the share of a run.
    pub(crate) fn share(&self) -> Share {
        Share {
            all: Arc::clone(&self.all),
            own: Arc::new(Semaphore::new(self.of_run_max)),
        }
    }
}

impl Share {
    /// Waits for a turn.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        // Its own first: what one run has too many of does not stand in the line of all.
        let own = self.own.acquire().await.expect("the semaphore is never closed");
        let all = self.all.acquire().await.expect("the semaphore is never closed");
        Turn { _all: all, _own: own }
    }
}
