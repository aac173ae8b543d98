//! Who commits: a thread, or a run that is alone.
//!
//! The thread takes all that has piled up while it was at the last transaction, so the more runs there are the fewer commits each of them costs. With one run there is nothing to
//! pile up, and waking the thread and being woken by it takes longer than the disk does. A run that was alone at the last commits therefore makes the next one itself.
//! Whoever commits has the connection first and takes what is queued then, so what is committed stays in order.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::committer::Committer;
use super::queue::{Batch, Job, Queue};
use crate::failpoint;
use crate::writer::{Append, Sink};

/// The queue, and the connection that its content is committed with.
pub(super) struct Hand {
    queue: Queue,
    /// There until the journal is closed and all that was queued is committed.
    committer: Mutex<Option<Committer>>,
}

impl Hand {
    pub(super) fn new(committer: Committer) -> Self {
        Self {
            queue: Queue::default(),
            committer: Mutex::new(Some(committer)),
        }
    }

    /// Commits what is queued until the journal is closed: what the thread does.
    pub(super) fn run(&self) {
        // Whatever ends this thread, nobody waits for it in vain.
        let last = CloseOnDrop(&self.queue);
        while self.queue.wait() {
            let mut committer = self.lock();
            let Some(committer) = committer.as_mut() else { break };
            let Some(batch) = self.queue.take() else { continue };
            failpoint::hit(failpoint::BEFORE_COMMIT);
            if let Some(left) = committer.commit_until_it_holds(batch, &self.queue) {
                self.queue.abandon(left);
                break;
            }
            failpoint::hit(failpoint::BETWEEN_BATCHES);
            committer.leave_a_gap(&self.queue);
            committer.tend();
        }
        if let Some(committer) = self.lock().take() {
            committer.write_back_log();
        }
        drop(last);
    }

    /// Queues a change, or gives it back if the journal is closed.
    pub(super) fn submit(&self, job: Box<dyn Job>) -> Result<(), Box<dyn Job>> {
        self.queue.submit(job)
    }

    /// Has the thread commit what is queued and end.
    pub(super) fn close(&self) {
        self.queue.close();
    }

    /// Commits what is queued here and now, if it is of a run that is alone and the connection is free. What does not hold at once is left to the thread.
    fn commit_alone(&self) -> bool {
        let Ok(mut committer) = self.committer.try_lock() else {
            return false;
        };
        let Some(committer) = committer.as_mut() else {
            return false;
        };
        let Some(mut batch) = self.queue.take_alone() else {
            return false;
        };
        let on_panic = CloseOnDrop(&self.queue);
        failpoint::hit(failpoint::BEFORE_COMMIT);
        if let Err(error) = committer.commit_at_once(&mut batch) {
            tracing::debug!("a commit is left to the journal's thread: {error}");
            self.queue.give_back(batch);
        } else {
            failpoint::hit(failpoint::BETWEEN_BATCHES);
            committer.tend();
        }
        std::mem::forget(on_panic);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Option<Committer>> {
        // Whoever panicked while he had it closed the queue; what is left of it is not used any more.
        self.committer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Hand {
    fn enqueue(&self, append: Append) {
        self.queue.enqueue(append);
    }

    fn wake(&self) {
        if !self.commit_alone() {
            self.queue.wake();
        }
    }
}

struct CloseOnDrop<'a>(&'a Queue);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.abandon(Batch::default());
    }
}
