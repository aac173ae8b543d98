//! A journal in memory, which passes the same suite as the one on disk.
//!
//! It is for simulations and tests, so it has no thread and no clock: what is appended stays queued until a barrier, a flush, a change of another kind, or
//! [`MemoryJournal::commit`]. [`MemoryJournal::crash`] loses what is queued, as a power cut would, and [`MemoryJournal::set_failing`] makes commits fail.
//!
//! Several processes share one by [`MemoryJournal::beside`]. A simulation says itself when the disk is done ([`MemoryJournal::set_slow`],
//! [`MemoryJournal::commit_next`]), and may ask what is queued and at which epoch each entry was appended, which no product has a use for.

mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skillhost_core::budget::{DayAccount, DaySpent};
use skillhost_core::entry::Record;
use skillhost_core::id::{Digest, Epoch, LaunchId, MailId, RunId, Seq, SkillName, WorkerId};
use skillhost_core::lease::Lease;
use skillhost_core::machine::{Command, Mail, Status, Write};
use skillhost_core::planted::{self, Bug};
use skillhost_core::time::Timestamp;
use tokio::sync::watch;

use self::state::State;
use crate::bundle::{self, Bundle, BundleError};
use crate::error::{AppendError, FindError, JournalError};
use crate::find::find;
use crate::installed::{InstalledRow, Problem, SkillPlace};
use crate::journal::{Contents, Journal};
use crate::rows::{
    Collected, Created, DueRun, Health, InboxFilter, InboxId, InboxRow, LineKey, LineRow, NewRun, Pruned, RunFilter,
    RunRow, RunningRun, Taken, Trouble, WaitRow,
};
use crate::spending::Spending;
use crate::writer::{Append, RunWriter, Sink, WRITES_PILED_MAX};

/// A journal in memory. Clones share it.
#[derive(Clone)]
pub struct MemoryJournal {
    shared: Arc<Shared>,
}

/// What one process has of it.
struct Shared {
    /// What is durable, for all processes. Locked after `inner`.
    state: Arc<Mutex<State>>,
    inner: Mutex<Inner>,
    health: watch::Sender<Health>,
}

#[derive(Default)]
struct Inner {
    queue: Vec<Append>,
    queued_writes: usize,
    /// A barrier or a flush waits for what is queued.
    is_wanted: bool,
    failing: bool,
    slow: bool,
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryJournal {
    /// Makes an empty one.
    pub fn new() -> Self {
        Self::of(Arc::default())
    }

    /// Returns what another process has of the same journal: what it appends is queued apart, and its disk fails apart.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self::of(Arc::clone(&self.shared.state))
    }

    fn of(state: Arc<Mutex<State>>) -> Self {
        let shared = Shared {
            state,
            inner: Mutex::default(),
            health: watch::Sender::new(Health::Good),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Commits what is queued.
    pub fn commit(&self) {
        self.shared.commit(&mut self.shared.lock());
    }

    /// Loses what is queued: its writers fail, and what was durable stays.
    pub fn crash(&self) {
        let mut inner = self.shared.lock();
        inner.queued_writes = 0;
        inner.is_wanted = false;
        for append in std::mem::take(&mut inner.queue) {
            let run = append.lane.run.clone();
            append.receipt().failed(AppendError::Closed { run });
        }
    }

    /// Makes commits of appends fail, or go through again. Nothing queued is lost (rule J4).
    pub fn set_failing(&self, failing: bool) {
        let mut inner = self.shared.lock();
        inner.failing = failing;
        if !inner.slow {
            self.shared.commit(&mut inner);
        }
    }

    /// Returns whether commits fail.
    pub fn is_failing(&self) -> bool {
        self.shared.lock().failing
    }

    /// Has barriers wait until [`MemoryJournal::commit_next`] is called, or no longer.
    pub fn set_slow(&self, slow: bool) {
        self.shared.lock().slow = slow;
    }

    /// Returns how many appends are queued.
    pub fn queued(&self) -> usize {
        self.shared.lock().queue.len()
    }

    /// Returns whether somebody waits for what is queued.
    pub fn is_wanted(&self) -> bool {
        let inner = self.shared.lock();
        inner.is_wanted && !inner.queue.is_empty()
    }

    /// Commits the first so many of the appends that are queued.
    pub fn commit_next(&self, appends: usize) {
        self.shared.commit_next(&mut self.shared.lock(), appends);
    }

    /// Returns the entries of a run that are queued.
    pub fn queued_records(&self, run: &RunId) -> Vec<Record> {
        let inner = self.shared.lock();
        let of_run = inner.queue.iter().filter(|append| append.lane.run == *run);
        let writes = of_run.flat_map(|append| &append.writes);
        let records = writes.filter_map(|write| match write {
            Write::Entry(record) => Some(record.clone()),
            Write::Line { .. } | Write::Local(_) => None,
        });
        records.collect()
    }

    /// Returns of each entry of a run that was appended the epoch of who appended it, and the one at which the run was held then.
    pub fn epochs(&self, run: &RunId) -> Vec<Appended> {
        self.read(|state| state.run(run).map_or_else(|_| Vec::new(), |run| run.appended.clone()))
    }

    /// Returns what is said of a storage that cannot be read (`read`) or written (`write to`).
    pub fn storage_error(doing: &'static str) -> JournalError {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
        JournalError::Storage {
            doing,
            path: "memory".into(),
            source: Arc::new(rusqlite::Error::SqliteFailure(code, None)),
        }
    }
}

/// Which epochs met in an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The position of the entry.
    pub seq: Seq,
    /// The epoch of whoever appended it.
    pub by: Epoch,
    /// The epoch of the lease.
    pub at: Epoch,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock is held is a failed assertion of a test; what it left is of no use to anybody.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self, inner: &mut Inner) {
        self.commit_next(inner, usize::MAX);
    }

    fn commit_next(&self, inner: &mut Inner, appends: usize) {
        if inner.failing && planted::is(Bug::FailureSwallowed) {
            for append in inner.queue.drain(..) {
                append.receipt().committed(Vec::new());
            }
            inner.queued_writes = 0;
            return;
        }
        if inner.failing {
            self.health.send_modify(|health| {
                let failures = match health {
                    Health::Good => 1,
                    Health::Failing { failures, .. } => *failures + 1,
                };
                let message = "a test makes storage fail".into();
                *health = Health::Failing { failures, message };
            });
            return;
        }
        self.health
            .send_if_modified(|health| std::mem::take(health) != Health::Good);
        let appends = appends.min(inner.queue.len());
        let committed: Vec<Append> = inner.queue.drain(..appends).collect();
        inner.queued_writes -= committed.iter().map(|append| append.writes.len()).sum::<usize>();
        inner.is_wanted &= !inner.queue.is_empty();
        for append in committed {
            let receipt = append.receipt();
            if append.lane.failure().is_some() {
                continue;
            }
            let appended = self.state().append(append);
            match appended {
                Ok(news) => receipt.committed(news),
                Err(error) => receipt.failed(error),
            }
        }
    }
}

impl Sink for Shared {
    fn enqueue(&self, append: Append) {
        let mut inner = self.lock();
        inner.queued_writes += append.writes.len();
        inner.queue.push(append);
        if inner.queued_writes >= WRITES_PILED_MAX {
            self.commit(&mut inner);
        }
    }

    fn wake(&self) {
        let mut inner = self.lock();
        match inner.slow {
            true => inner.is_wanted = true,
            false => self.commit(&mut inner),
        }
    }
}

impl MemoryJournal {
    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.shared.state())
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.shared.commit(&mut self.shared.lock());
        change(&mut self.shared.state())
    }
}

impl MemoryJournal {
    /// Reads the contents of a bundle that are not there yet.
    fn missing(&self, bundle: &Bundle, contents: &Contents<'_>) -> Result<BTreeMap<Digest, Vec<u8>>, BundleError> {
        let mut missing = BTreeMap::new();
        let known: Vec<Digest> = self.read(|state| state.blobs.keys().copied().collect());
        for file in bundle.files() {
            if !known.contains(&file.digest) && !missing.contains_key(&file.digest) {
                missing.insert(file.digest, bundle::read(file, contents)?);
            }
        }
        Ok(missing)
    }
}

impl Journal for MemoryJournal {
    fn writer(&self, run: &RunId, epoch: Epoch, next: Seq) -> RunWriter {
        RunWriter::new(Arc::clone(&self.shared) as Arc<dyn Sink>, run.clone(), epoch, next)
    }

    fn records(&self, run: &RunId, from: Seq, most: usize) -> Result<Vec<Record>, JournalError> {
        self.read(|state| {
            let records = state.run(run)?.records.iter();
            let from = usize::try_from(from.0).unwrap_or(usize::MAX);
            Ok(records.skip(from).take(most).cloned().collect())
        })
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    fn create_run(&self, new: NewRun) -> Result<Created, JournalError> {
        self.change(|state| state.create_run(new))
    }

    fn run(&self, run: &RunId) -> Result<RunRow, JournalError> {
        self.read(|state| Ok(state.row(state.run(run)?)))
    }

    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, JournalError> {
        Ok(self.read(|state| state.runs(filter)))
    }

    fn running(&self, after: Option<&RunId>, most: usize) -> Result<Vec<RunningRun>, JournalError> {
        Ok(self.read(|state| state.running(after, most)))
    }

    fn find_run(&self, text: &str) -> Result<RunId, FindError> {
        find(text, &self.read(State::names))
    }

    fn launched(&self, launch: &LaunchId) -> Result<Option<RunId>, JournalError> {
        Ok(self.read(|state| state.launched(launch)))
    }

    fn lines(&self, run: &RunId, after: Option<LineKey>, most: usize) -> Result<Vec<LineRow>, JournalError> {
        self.read(|state| {
            let lines = state.run(run)?.lines.values();
            Ok(lines
                .filter(|line| Some(line.key) > after)
                .take(most)
                .cloned()
                .collect())
        })
    }

    fn waits(&self, run: &RunId) -> Result<Vec<WaitRow>, JournalError> {
        self.read(|state| Ok(state.run(run)?.waits.values().cloned().collect()))
    }

    fn due(&self, until: Timestamp) -> Result<Vec<DueRun>, JournalError> {
        let mut due = self.read(State::deadlines);
        due.retain(|run| run.deadline <= until);
        due.sort_by(|one, other| (one.deadline, &one.run).cmp(&(other.deadline, &other.run)));
        Ok(due)
    }

    fn next_deadline(&self, after: Timestamp) -> Result<Option<Timestamp>, JournalError> {
        Ok(self.read(|state| state.next_deadline(after)))
    }

    fn remove_run(&self, run: &RunId) -> Result<(), JournalError> {
        self.change(|state| state.remove_run(run))
    }

    fn prune(&self, before: Timestamp, statuses: &[Status]) -> Result<Pruned, JournalError> {
        self.change(|state| state.prune(before, statuses))
    }

    fn lease(&self, run: &RunId) -> Result<Lease, JournalError> {
        self.read(|state| Ok(state.run(run)?.lease.clone()))
    }

    fn claim(&self, run: &RunId, worker: &WorkerId, seen: &Lease) -> Result<Taken, JournalError> {
        self.change(|state| state.claim(run, worker, seen))
    }

    fn release(&self, run: &RunId, epoch: Epoch) -> Result<(), JournalError> {
        self.change(|state| state.release(run, epoch))
    }

    fn park(&self, run: &RunId, epoch: Epoch, trouble: &Trouble) -> Result<(), JournalError> {
        self.change(|state| state.park(run, epoch, trouble))
    }

    fn post_mail(&self, run: &RunId, at: Timestamp, command: &Command) -> Result<MailId, JournalError> {
        self.change(|state| state.post_mail(run, at, command))
    }

    fn mail(&self, run: &RunId) -> Result<Vec<Mail>, JournalError> {
        self.read(|state| Ok(state.run(run)?.mail.values().cloned().collect()))
    }

    fn mail_since(&self, after: MailId) -> Result<Vec<(RunId, MailId)>, JournalError> {
        Ok(self.read(|state| state.mail_since(after)))
    }

    fn day_spent(&self, account: &DayAccount) -> Result<DaySpent, JournalError> {
        Ok(self.read(|state| state.days.get(account).copied().unwrap_or_default()))
    }

    fn spending(&self, skill: Option<&SkillName>, each: &mut dyn FnMut(Spending)) -> Result<(), JournalError> {
        self.read(|state| state.spending(skill, each));
        Ok(())
    }

    fn data_version(&self) -> Result<u64, JournalError> {
        Ok(self.read(|state| state.version))
    }

    fn inbox(&self, filter: &InboxFilter) -> Result<Vec<InboxRow>, JournalError> {
        Ok(self.read(|state| state.inbox(filter)))
    }

    fn dismiss(&self, entries: Option<&[InboxId]>, at: Timestamp) -> Result<u64, JournalError> {
        Ok(self.change(|state| state.dismiss(entries, at)))
    }

    fn put_bundle(&self, bundle: &Bundle, at: Timestamp, contents: &Contents<'_>) -> Result<Digest, BundleError> {
        let missing = self.missing(bundle, contents)?;
        self.change(|state| state.put_bundle(bundle, at, missing));
        Ok(bundle.digest())
    }

    fn bundle(&self, digest: &Digest) -> Result<Option<Bundle>, JournalError> {
        Ok(self.read(|state| state.bundles.get(digest).map(|(bundle, _)| bundle.clone())))
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, JournalError> {
        Ok(self.read(|state| state.blobs.get(digest).cloned()))
    }

    fn put_description(&self, component: &Digest, at: Timestamp, description: &str) -> Result<(), JournalError> {
        self.change(|state| {
            state.version += 1;
            state.descriptions.insert(*component, (description.to_owned(), at));
        });
        Ok(())
    }

    fn description(&self, component: &Digest) -> Result<Option<String>, JournalError> {
        Ok(self.read(|state| state.descriptions.get(component).map(|(text, _)| text.clone())))
    }

    fn install(
        &self,
        place: &SkillPlace,
        bundle: &Bundle,
        component: &Digest,
        at: Timestamp,
        contents: &Contents<'_>,
    ) -> Result<Digest, BundleError> {
        let missing = self.missing(bundle, contents)?;
        self.change(|state| {
            state.put_bundle(bundle, at, missing);
            let row = InstalledRow {
                place: place.clone(),
                bundle: bundle.digest(),
                component: *component,
                at,
                problem: None,
            };
            state.installed.insert(place.clone(), row);
        });
        Ok(bundle.digest())
    }

    fn note_problem(&self, place: &SkillPlace, problem: &Problem) -> Result<(), JournalError> {
        self.change(|state| {
            state.version += 1;
            if let Some(row) = state.installed.get_mut(place) {
                row.problem = Some(problem.clone());
            }
        });
        Ok(())
    }

    fn uninstall(&self, place: &SkillPlace) -> Result<(), JournalError> {
        self.change(|state| {
            state.version += 1;
            state.installed.remove(place);
        });
        Ok(())
    }

    fn installed_in(&self, place: &SkillPlace) -> Result<Option<InstalledRow>, JournalError> {
        Ok(self.read(|state| state.installed.get(place).cloned()))
    }

    fn installed(&self) -> Result<Vec<InstalledRow>, JournalError> {
        Ok(self.read(|state| state.installed.values().cloned().collect()))
    }

    fn collect(&self, before: Timestamp) -> Result<Collected, JournalError> {
        Ok(self.change(|state| state.collect(before)))
    }
}
