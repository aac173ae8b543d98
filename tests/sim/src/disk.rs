//! The journal as one process has it: what it asks may fail, and others may go on before it is done and after.

use skillhost_core::budget::{DayAccount, DaySpent};
use skillhost_core::entry::Record;
use skillhost_core::id::{Digest, Epoch, LaunchId, MailId, RunId, Seq, SkillName, WorkerId};
use skillhost_core::lease::Lease;
use skillhost_core::machine::{Command, Mail, Status};
use skillhost_core::time::Timestamp;
use skillhost_journal::{
    Bundle, BundleError, Collected, Contents, Created, DueRun, FindError, Health, InboxFilter, InboxId, InboxRow,
    InstalledRow, Journal, JournalError, LineKey, LineRow, MemoryJournal, NewRun, Problem, Pruned, RunFilter, RunRow,
    RunWriter, RunningRun, SkillPlace, Spending, Taken, Trouble, WaitRow,
};
use std::sync::Arc;
use tokio::sync::watch;

use crate::plan::Fault;
use crate::sim::{Pid, Sim};

/// One process's handle on the journal.
pub(crate) struct Disk {
    sim: Sim,
    pid: Pid,
    inner: MemoryJournal,
}

impl Disk {
    pub(crate) fn of(sim: &Sim, pid: Pid) -> Arc<dyn Journal> {
        Arc::new(Self {
            sim: sim.clone(),
            pid,
            inner: sim.disk(pid),
        })
    }

    fn reads<T>(&self, what: &str, read: impl FnOnce() -> Result<T, JournalError>) -> Result<T, JournalError> {
        self.sim.gate(self.pid, what);
        let rarely = match what {
            // What is missed here is told by nobody a second time.
            "mail" => 8,
            _ => 50,
        };
        if self.sim.goes_wrong(Fault::ReadError, rarely) {
            return Err(MemoryJournal::storage_error("read"));
        }
        read()
    }

    /// A change waits for its commit, behind all that was queued before it. One that fails is not done.
    fn changes<T>(&self, what: &str, change: impl FnOnce() -> Result<T, JournalError>) -> Result<T, JournalError> {
        self.sim.gate(self.pid, what);
        if self.inner.is_failing() {
            return Err(MemoryJournal::storage_error("write to"));
        }
        let changed = change();
        self.sim.gate(self.pid, what);
        changed
    }
}

impl Journal for Disk {
    fn writer(&self, run: &RunId, epoch: Epoch, next: Seq) -> RunWriter {
        self.inner.writer(run, epoch, next)
    }

    fn records(&self, run: &RunId, from: Seq, most: usize) -> Result<Vec<Record>, JournalError> {
        self.reads("records", || self.inner.records(run, from, most))
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.inner.health()
    }

    fn create_run(&self, new: NewRun) -> Result<Created, JournalError> {
        self.changes("create_run", || self.inner.create_run(new))
    }

    fn run(&self, run: &RunId) -> Result<RunRow, JournalError> {
        self.reads("run", || self.inner.run(run))
    }

    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, JournalError> {
        self.reads("runs", || self.inner.runs(filter))
    }

    fn running(&self, after: Option<&RunId>, most: usize) -> Result<Vec<RunningRun>, JournalError> {
        self.reads("running", || self.inner.running(after, most))
    }

    fn find_run(&self, text: &str) -> Result<RunId, FindError> {
        self.inner.find_run(text)
    }

    fn launched(&self, launch: &LaunchId) -> Result<Option<RunId>, JournalError> {
        self.reads("launched", || self.inner.launched(launch))
    }

    fn lines(&self, run: &RunId, after: Option<LineKey>, most: usize) -> Result<Vec<LineRow>, JournalError> {
        self.reads("lines", || self.inner.lines(run, after, most))
    }

    fn waits(&self, run: &RunId) -> Result<Vec<WaitRow>, JournalError> {
        self.reads("waits", || self.inner.waits(run))
    }

    fn due(&self, until: Timestamp) -> Result<Vec<DueRun>, JournalError> {
        self.reads("due", || self.inner.due(until))
    }

    fn next_deadline(&self, after: Timestamp) -> Result<Option<Timestamp>, JournalError> {
        self.reads("next_deadline", || self.inner.next_deadline(after))
    }

    fn remove_run(&self, run: &RunId) -> Result<(), JournalError> {
        self.changes("remove_run", || self.inner.remove_run(run))
    }

    fn prune(&self, before: Timestamp, statuses: &[Status]) -> Result<Pruned, JournalError> {
        self.changes("prune", || self.inner.prune(before, statuses))
    }

    fn lease(&self, run: &RunId) -> Result<Lease, JournalError> {
        self.reads("lease", || self.inner.lease(run))
    }

    fn claim(&self, run: &RunId, worker: &WorkerId, seen: &Lease) -> Result<Taken, JournalError> {
        self.changes("claim", || self.inner.claim(run, worker, seen))
    }

    fn release(&self, run: &RunId, epoch: Epoch) -> Result<(), JournalError> {
        self.changes("release", || self.inner.release(run, epoch))
    }

    fn park(&self, run: &RunId, epoch: Epoch, trouble: &Trouble) -> Result<(), JournalError> {
        self.changes("park", || self.inner.park(run, epoch, trouble))
    }

    fn post_mail(&self, run: &RunId, at: Timestamp, command: &Command) -> Result<MailId, JournalError> {
        self.changes("post_mail", || self.inner.post_mail(run, at, command))
    }

    fn mail(&self, run: &RunId) -> Result<Vec<Mail>, JournalError> {
        let mail = self.reads("mail", || self.inner.mail(run));
        self.sim
            .note(|| format!("p{} looks into the mailbox of {run}: {mail:?}", self.pid.0));
        mail
    }

    fn mail_since(&self, after: MailId) -> Result<Vec<(RunId, MailId)>, JournalError> {
        self.reads("mail_since", || self.inner.mail_since(after))
    }

    fn data_version(&self) -> Result<u64, JournalError> {
        self.reads("data_version", || self.inner.data_version())
    }

    fn day_spent(&self, account: &DayAccount) -> Result<DaySpent, JournalError> {
        self.reads("day_spent", || self.inner.day_spent(account))
    }

    fn spending(&self, skill: Option<&SkillName>, each: &mut dyn FnMut(Spending)) -> Result<(), JournalError> {
        self.inner.spending(skill, each)
    }

    fn inbox(&self, filter: &InboxFilter) -> Result<Vec<InboxRow>, JournalError> {
        self.reads("inbox", || self.inner.inbox(filter))
    }

    fn dismiss(&self, entries: Option<&[InboxId]>, at: Timestamp) -> Result<u64, JournalError> {
        self.changes("dismiss", || self.inner.dismiss(entries, at))
    }

    fn put_bundle(&self, bundle: &Bundle, at: Timestamp, contents: &Contents<'_>) -> Result<Digest, BundleError> {
        self.inner.put_bundle(bundle, at, contents)
    }

    fn bundle(&self, digest: &Digest) -> Result<Option<Bundle>, JournalError> {
        self.reads("bundle", || self.inner.bundle(digest))
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, JournalError> {
        self.reads("blob", || self.inner.blob(digest))
    }

    fn put_description(&self, component: &Digest, at: Timestamp, description: &str) -> Result<(), JournalError> {
        self.changes("put_description", || {
            self.inner.put_description(component, at, description)
        })
    }

    fn description(&self, component: &Digest) -> Result<Option<String>, JournalError> {
        self.reads("description", || self.inner.description(component))
    }

    fn install(
        &self,
        place: &SkillPlace,
        bundle: &Bundle,
        component: &Digest,
        at: Timestamp,
        contents: &Contents<'_>,
    ) -> Result<Digest, BundleError> {
        self.inner.install(place, bundle, component, at, contents)
    }

    fn note_problem(&self, place: &SkillPlace, problem: &Problem) -> Result<(), JournalError> {
        self.changes("note_problem", || self.inner.note_problem(place, problem))
    }

    fn uninstall(&self, place: &SkillPlace) -> Result<(), JournalError> {
        self.changes("uninstall", || self.inner.uninstall(place))
    }

    fn installed_in(&self, place: &SkillPlace) -> Result<Option<InstalledRow>, JournalError> {
        self.reads("installed_in", || self.inner.installed_in(place))
    }

    fn installed(&self) -> Result<Vec<InstalledRow>, JournalError> {
        self.reads("installed", || self.inner.installed())
    }

    fn collect(&self, before: Timestamp) -> Result<Collected, JournalError> {
        self.changes("collect", || self.inner.collect(before))
    }
}
