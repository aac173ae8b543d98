//! The handle through which the holder of a run writes.
//!
//! [`RunWriter::append`] only queues. Whoever commits takes what has piled up for all runs and tells each run's *lane* what became of it: durable so far, or
//! failed for good. What commits is a [`Sink`]; each kind of journal has one.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use skillhost_core::budget::DayNews;
use skillhost_core::entry::Entry;
use skillhost_core::id::{Epoch, RunId, Seq};
use skillhost_core::machine::{Local, Write};
use skillhost_core::planted::{self, Bug};
use tokio::sync::watch;

use crate::error::AppendError;

/// The most bytes of one run that wait for the disk. A run that stops at its barriers never comes near; one that only logs would fill the memory.
pub const QUEUED_BYTES_MAX: usize = 256 << 20;

/// How many queued writes are committed without a barrier that asks for it.
pub(crate) const WRITES_PILED_MAX: usize = 4_096;

/// Writes one run's journal on behalf of the holder of its lease. The first error is final: every later call returns it again.
pub struct RunWriter {
    lane: Arc<Lane>,
    sink: Arc<dyn Sink>,
    next: Seq,
    tickets: u64,
}

impl RunWriter {
    pub(crate) fn new(sink: Arc<dyn Sink>, run: RunId, epoch: Epoch, next: Seq) -> Self {
        let progress = Progress {
            durable: next.0.checked_sub(1).map(Seq),
            tickets: 0,
            failed: None,
            news: Vec::new(),
        };
        let lane = Lane {
            run,
            epoch,
            queued_bytes: AtomicUsize::new(0),
            progress: watch::Sender::new(progress),
        };
        Self {
            lane: Arc::new(lane),
            sink,
            next,
            tickets: 0,
        }
    }

    /// Queues writes that become durable together or not at all, without waiting. Entries have to follow the last one appended.
    pub fn append(&mut self, writes: Vec<Write>) -> Result<(), AppendError> {
        if let Some(error) = self.lane.failure() {
            return Err(error);
        }
        if writes.is_empty() {
            return Ok(());
        }
        let mut next = self.next;
        let mut bytes = 0;
        for write in &writes {
            bytes += weight(write);
            if let Write::Entry(record) = write {
                if record.seq != next {
                    return Err(self.lane.fail(AppendError::Stale {
                        run: self.lane.run.clone(),
                        seq: record.seq,
                        next,
                    }));
                }
                next = next.next();
            }
        }
        let queued = self.lane.queued_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if queued > QUEUED_BYTES_MAX {
            return Err(self.lane.fail(AppendError::TooMuchQueued {
                run: self.lane.run.clone(),
                bytes: queued,
                bytes_max: QUEUED_BYTES_MAX,
            }));
        }
        let append = Append {
            lane: Arc::clone(&self.lane),
            first: (next > self.next).then_some(self.next),
            next,
            ticket: self.tickets + 1,
            bytes,
            writes,
        };
        self.next = next;
        self.tickets += 1;
        self.sink.enqueue(append);
        Ok(())
    }

    /// Asks for a commit, and returns when everything up to the entry at `seq` is durable. The asking is done by the call, not by the first poll.
    pub fn barrier(&self, seq: Seq) -> impl Future<Output = Result<(), AppendError>> + Send + use<> {
        let reachable = seq < self.next;
        let lane = Arc::clone(&self.lane);
        let is_skipped = planted::is(Bug::BarrierSkipped);
        let progress = self.wanted(self.durable() >= Some(seq));
        async move {
            if !reachable {
                let run = lane.run.clone();
                return Err(AppendError::NotAppended { run, seq });
            }
            settle(progress, |progress| progress.durable >= Some(seq) || is_skipped).await
        }
    }

    /// Asks for a commit, and returns when everything appended so far is durable, changes without an entry included.
    pub fn flush(&self) -> impl Future<Output = Result<(), AppendError>> + Send + use<> {
        let tickets = self.tickets;
        let committed = self.lane.progress.borrow().tickets;
        let progress = self.wanted(committed >= tickets);
        async move { settle(progress, |progress| progress.tickets >= tickets).await }
    }

    fn wanted(&self, already: bool) -> watch::Receiver<Progress> {
        let progress = self.lane.progress.subscribe();
        if !already {
            self.sink.wake();
        }
        progress
    }

    /// Takes what is to be told of days' accounts, of entries that are durable.
    pub fn take_day_news(&self) -> Vec<DayNews> {
        let mut news = Vec::new();
        self.lane.progress.send_if_modified(|progress| {
            news = std::mem::take(&mut progress.news);
            false
        });
        news
    }

    /// Returns the last entry that is durable.
    pub fn durable(&self) -> Option<Seq> {
        self.lane.progress.borrow().durable
    }

    /// Returns the position that the next entry has to have.
    pub fn next(&self) -> Seq {
        self.next
    }

    /// Returns the run.
    pub fn run(&self) -> &RunId {
        &self.lane.run
    }
}

async fn settle(
    mut progress: watch::Receiver<Progress>,
    reached: impl Fn(&Progress) -> bool,
) -> Result<(), AppendError> {
    let settled = progress
        .wait_for(|progress| reached(progress) || progress.failed.is_some())
        .await
        .expect("the writer's lane outlives its barriers: the queue holds it until it is settled");
    match &settled.failed {
        // What is durable stays so, whatever happened to what was appended after it.
        _ if reached(&settled) => Ok(()),
        Some(error) => Err(error.clone()),
        None => Ok(()),
    }
}

/// Takes appends, and commits them when it thinks fit or is asked to.
pub(crate) trait Sink: Send + Sync {
    /// Queues an append.
    fn enqueue(&self, append: Append);
    /// Asks for a commit of everything queued.
    fn wake(&self);
}

/// Writes that belong together.
pub(crate) struct Append {
    pub(crate) lane: Arc<Lane>,
    /// The position of the first entry, if there is one.
    pub(crate) first: Option<Seq>,
    /// The position after the last.
    pub(crate) next: Seq,
    /// The how-many-th append of its lane.
    pub(crate) ticket: u64,
    pub(crate) bytes: usize,
    pub(crate) writes: Vec<Write>,
}

impl Append {
    /// Returns the part that is left when the writes were taken out.
    pub(crate) fn receipt(&self) -> Receipt {
        Receipt {
            lane: Arc::clone(&self.lane),
            next: self.next,
            ticket: self.ticket,
            bytes: self.bytes,
        }
    }
}

/// What tells a lane of the fate of an append.
pub(crate) struct Receipt {
    pub(crate) lane: Arc<Lane>,
    next: Seq,
    ticket: u64,
    bytes: usize,
}

impl Receipt {
    /// Returns what tells its lane from others that live.
    pub(crate) fn lane_address(&self) -> usize {
        Arc::as_ptr(&self.lane).addr()
    }

    pub(crate) fn committed(&self, news: Vec<DayNews>) {
        self.lane.queued_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.lane.progress.send_modify(|progress| {
            progress.durable = self.next.0.checked_sub(1).map(Seq);
            progress.tickets = self.ticket;
            progress.news.extend(news);
        });
    }

    pub(crate) fn failed(&self, error: AppendError) {
        self.lane.queued_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.lane.fail(error);
    }
}

/// What a run's writer and whoever commits share.
pub(crate) struct Lane {
    pub(crate) run: RunId,
    pub(crate) epoch: Epoch,
    queued_bytes: AtomicUsize,
    progress: watch::Sender<Progress>,
}

impl Lane {
    /// Returns the error that ended it.
    pub(crate) fn failure(&self) -> Option<AppendError> {
        self.progress.borrow().failed.clone()
    }

    /// Ends it, unless it ended before, and returns the error that it ended with.
    pub(crate) fn fail(&self, error: AppendError) -> AppendError {
        self.progress.send_modify(|progress| {
            progress.failed.get_or_insert(error);
        });
        self.failure().expect("it was set above and is never cleared")
    }
}

struct Progress {
    durable: Option<Seq>,
    tickets: u64,
    failed: Option<AppendError>,
    /// What was committed of days' accounts, and nobody has taken.
    news: Vec<DayNews>,
}

/// Returns about how much memory a write holds.
fn weight(write: &Write) -> usize {
    const BASE: usize = 512;
    let text = match write {
        Write::Entry(record) => match &record.entry {
            Entry::Called(called) => called.request.as_str().len(),
            Entry::Returned(returned) => match &returned.outcome {
                skillhost_core::outcome::Outcome::Ok(payload) => payload.as_str().len(),
                skillhost_core::outcome::Outcome::Err(fault) => fault.message.len(),
            },
            _ => 0,
        },
        Write::Line { line, .. } => match line {
            skillhost_core::machine::Line::Message { message, .. } => message.len(),
            skillhost_core::machine::Line::Printed { text, .. } => text.len(),
            skillhost_core::machine::Line::Progress { label, .. } => label.len(),
        },
        Write::Local(Local::Post { body, .. }) => body.len(),
        Write::Local(Local::Continue(next)) => next.started.input.as_str().len(),
        Write::Local(_) => 0,
    };
    BASE + text
}
