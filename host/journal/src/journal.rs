//! What a host sees of a journal.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;

use skillhost_core::budget::{DayAccount, DaySpent};
use skillhost_core::entry::{Called, Entry, Record};
use skillhost_core::id::{Digest, Epoch, LaunchId, MailId, Number, RunId, Seq, SkillName, WorkerId};
use skillhost_core::lease::Lease;
use skillhost_core::machine::{Command, Mail, Status};
use skillhost_core::time::Timestamp;
use tokio::sync::watch;

use crate::bundle::{Bundle, BundleError, BundleFile};
use crate::error::{FindError, JournalError};
use crate::installed::{InstalledRow, Problem, SkillPlace};
use crate::rows::{
    Collected, Created, DueRun, Health, InboxFilter, InboxId, InboxRow, LineKey, LineRow, Look, NewRun, Pruned,
    RunFilter, RunRow, RunningRun, Taken, Trouble, WaitRow,
};
use crate::spending::Spending;
use crate::sqlite::read::Conversations;
use crate::writer::RunWriter;

/// What comes of a change, when it is durable.
pub type Writing<T> = Pin<Box<dyn Future<Output = Result<T, JournalError>> + Send>>;

/// Reads a file of a bundle, when the journal has to have its content.
pub type Contents<'a> = dyn Fn(&BundleFile) -> std::io::Result<Vec<u8>> + 'a;

/// How many entries are read at a time when calls are looked for.
const ENTRIES_AT_ONCE: usize = 4_096;

/// Where somebody is who goes through a journal in parts, and what he has at hand of its conversations.
#[derive(Debug, Default)]
pub struct Cursor {
    pub(crate) next: Seq,
    pub(crate) conversations: Conversations,
}

impl Cursor {
    /// Goes to an entry, in either direction.
    pub fn go_to(&mut self, seq: Seq) {
        self.next = seq;
    }

    /// Returns whether a journal of so many entries was gone through.
    pub fn is_past(&self, entries: u64) -> bool {
        self.next.0 >= entries
    }

    pub(crate) fn pass(&mut self, records: &[Record]) {
        if let Some(last) = records.last() {
            self.next = last.seq.next();
        }
    }
}

/// All journals of one host. Methods block for as long as the disk needs; those that change something return when the change is durable.
pub trait Journal: Send + Sync + 'static {
    // Driving a run.

    /// Returns the handle through which the holder of the lease at `epoch` writes, beginning with the entry at `next`.
    fn writer(&self, run: &RunId, epoch: Epoch, next: Seq) -> RunWriter;

    /// Returns the entries from `from` on, `most` at most, in order. An end that is still queued is not among them.
    fn records(&self, run: &RunId, from: Seq, most: usize) -> Result<Vec<Record>, JournalError>;

    /// Returns every entry. For a journal that may be long, [`Journal::records`] in parts needs less memory.
    fn all_records(&self, run: &RunId) -> Result<Vec<Record>, JournalError> {
        self.records(run, Seq(0), usize::MAX)
    }

    /// Returns the next entries for whoever goes through a whole journal, and has the cursor pass them; none at its end. However long it is and whatever is in it, a bounded
    /// part is in memory, beside the messages of one conversation.
    fn page(&self, run: &RunId, cursor: &mut Cursor) -> Result<Vec<Record>, JournalError> {
        let records = self.records(run, cursor.next, ENTRIES_AT_ONCE)?;
        cursor.pass(&records);
        Ok(records)
    }

    /// Looks at a run that is to be driven, and has a cursor at its beginning pass the entries that are returned. Cheaper than each look by itself.
    fn look(&self, run: &RunId, cursor: &mut Cursor) -> Result<Look, JournalError> {
        Ok(Look {
            row: self.run(run)?,
            waits: self.waits(run)?,
            mail: self.mail(run)?,
            records: self.page(run, cursor)?,
        })
    }

    /// Returns the calls of these numbers; one that is not recorded is left out. They are looked for from the end: what a run waits for was mostly asked lately.
    fn calls(&self, run: &RunId, numbers: &BTreeSet<Number>) -> Result<BTreeMap<Number, Called>, JournalError> {
        let mut found = BTreeMap::new();
        let mut end = if numbers.is_empty() { 0 } else { self.run(run)?.entries };
        while end > 0 && found.len() < numbers.len() {
            let begin = end.saturating_sub(ENTRIES_AT_ONCE as u64);
            let most = usize::try_from(end - begin).unwrap_or(ENTRIES_AT_ONCE);
            for record in self.records(run, Seq(begin), most)? {
                if let Entry::Called(called) = record.entry
                    && numbers.contains(&called.number)
                {
                    found.insert(called.number, Arc::unwrap_or_clone(called));
                }
            }
            end = begin;
        }
        Ok(found)
    }

    /// Returns how storage fares (rule J4): appends are kept while it fails.
    fn health(&self) -> watch::Receiver<Health>;

    // Runs.

    /// Makes a run: its row, its launch and its first entries, in one durable commit. A launch that exists is left as it is and returned.
    fn create_run(&self, new: NewRun) -> Result<Created, JournalError>;

    /// Returns what is known of a run.
    fn run(&self, run: &RunId) -> Result<RunRow, JournalError>;

    /// Returns the runs that pass, newest first.
    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, JournalError>;

    /// Returns runs that were doing something when they were last driven, or are, oldest first: those after `after`, `most` at most. Cheap however many there
    /// are, as whoever wants all asks in parts.
    fn running(&self, after: Option<&RunId>, most: usize) -> Result<Vec<RunningRun>, JournalError>;

    /// Returns the run that a person means: by run id, launch id, or the beginning or end of one, of at least [`FindError::LENGTH_MIN`] characters.
    fn find_run(&self, text: &str) -> Result<RunId, FindError>;

    /// Returns the run that a launch is known by, by its very id; of runs that took each other's place, the newest.
    fn launched(&self, launch: &LaunchId) -> Result<Option<RunId>, JournalError>;

    /// Returns lines of the run's log after `after` in the order in which they were said, `most` at most.
    fn lines(&self, run: &RunId, after: Option<LineKey>, most: usize) -> Result<Vec<LineRow>, JournalError>;

    /// Returns what the run waits for, in the order of the calls.
    fn waits(&self, run: &RunId) -> Result<Vec<WaitRow>, JournalError>;

    /// Returns the runs that wait for a time not after `until`, the most overdue first.
    fn due(&self, until: Timestamp) -> Result<Vec<DueRun>, JournalError>;

    /// Returns the earliest time after `after` that a run waits for.
    fn next_deadline(&self, after: Timestamp) -> Result<Option<Timestamp>, JournalError>;

    /// Forgets a run that is over, or that is parked and that nobody holds. What it alone needed goes with the next [`Journal::collect`].
    fn remove_run(&self, run: &RunId) -> Result<(), JournalError>;

    /// Forgets runs that stand so, if their last entry and all that the inbox says of them is older than `before`. They are over; or, if `statuses` names it, parked: held by
    /// nobody, and with nothing in their mailbox. Other statuses are passed over.
    ///
    /// # Errors
    /// If storage fails before any is gone. If it fails later, [`Pruned::stopped`] says so.
    fn prune(&self, before: Timestamp, statuses: &[Status]) -> Result<Pruned, JournalError>;

    // Leases (rule L1): `core::lease` decides, here the decision is carried out if nothing changed in between.

    /// Returns the lease as it stands.
    fn lease(&self, run: &RunId) -> Result<Lease, JournalError>;

    /// Takes the lease for `worker` at the epoch after `seen`, provided that it still stands as it was seen.
    fn claim(&self, run: &RunId, worker: &WorkerId, seen: &Lease) -> Result<Taken, JournalError>;

    /// Does the same without keeping a thread waiting, so that many who ask share a commit. The asking is done by the call, not by the first poll.
    fn claiming(&self, run: &RunId, worker: &WorkerId, seen: &Lease) -> Writing<Taken> {
        Box::pin(std::future::ready(self.claim(run, worker, seen)))
    }

    /// Gives the lease back, if it is still held at `epoch`. What was appended before is durable first. The end of a run gives its lease back by itself.
    fn release(&self, run: &RunId, epoch: Epoch) -> Result<(), JournalError>;

    /// Does the same without keeping a thread waiting, as [`Journal::claiming`] does.
    fn releasing(&self, run: &RunId, epoch: Epoch) -> Writing<()> {
        Box::pin(std::future::ready(self.release(run, epoch)))
    }

    /// Parks the run if its lease is still held at `epoch`: attempts fail for a reason outside the skill, and the inbox says so. The run stands so until
    /// an attempt gets far enough to say how it stands, or to end it.
    fn park(&self, run: &RunId, epoch: Epoch, trouble: &Trouble) -> Result<(), JournalError>;

    // The mailbox (rule P1).

    /// Leaves a command for the holder of a run that is not over. An answer or a decision is refused unless what it names is open at `at` and nobody else
    /// answered it: of many that race, one is taken (rule P2).
    fn post_mail(&self, run: &RunId, at: Timestamp, command: &Command) -> Result<MailId, JournalError>;

    /// Returns what the run's mailbox holds, oldest first. A row goes away by [`skillhost_core::machine::Local::TakeMail`].
    fn mail(&self, run: &RunId) -> Result<Vec<Mail>, JournalError>;

    /// Returns the newest mail of each run that has any newer than `after`, oldest first.
    fn mail_since(&self, after: MailId) -> Result<Vec<(RunId, MailId)>, JournalError>;

    /// Returns a number that differs from the last one if anything was committed in between, by whomever.
    fn data_version(&self) -> Result<u64, JournalError>;

    // Accounts.

    /// Returns what is spent of a skill's account for a day: by runs that had a budget for it.
    fn day_spent(&self, account: &DayAccount) -> Result<DaySpent, JournalError>;

    /// Tells of each performance of a model call what it spent, or what is reserved for it: of all skills or of one, in no particular order. Reads every run of theirs.
    fn spending(&self, skill: Option<&SkillName>, each: &mut dyn FnMut(Spending)) -> Result<(), JournalError>;

    // The inbox.

    /// Returns the entries that pass, newest first.
    fn inbox(&self, filter: &InboxFilter) -> Result<Vec<InboxRow>, JournalError>;

    /// Marks entries as seen to, or with `None` all of them, and returns how many were not yet. They keep their source, so none is posted again.
    fn dismiss(&self, entries: Option<&[InboxId]>, at: Timestamp) -> Result<u64, JournalError>;

    // Bundles.

    /// Keeps a bundle for the runs that will be pinned to it. `contents` is asked only for what is not there yet. One that is there counts as put at `at`, or up to ten minutes
    /// earlier.
    fn put_bundle(&self, bundle: &Bundle, at: Timestamp, contents: &Contents<'_>) -> Result<Digest, BundleError>;

    /// Returns the bundle of this digest, if it is there.
    fn bundle(&self, digest: &Digest) -> Result<Option<Bundle>, JournalError>;

    /// Returns the content of this digest, if it is there.
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, JournalError>;

    /// Keeps what a component says of itself.
    fn put_description(&self, component: &Digest, at: Timestamp, description: &str) -> Result<(), JournalError>;

    /// Returns what the component said of itself, if it was kept.
    fn description(&self, component: &Digest) -> Result<Option<String>, JournalError>;

    // What is installed.

    /// Keeps a bundle as what is installed in a place, and forgets what was wrong there. `contents` is asked only for what is not there yet.
    fn install(
        &self,
        place: &SkillPlace,
        bundle: &Bundle,
        component: &Digest,
        at: Timestamp,
        contents: &Contents<'_>,
    ) -> Result<Digest, BundleError>;

    /// Notes that what lies in a place cannot be used, if anything is installed there: the last bundle stays.
    fn note_problem(&self, place: &SkillPlace, problem: &Problem) -> Result<(), JournalError>;

    /// Forgets what is installed in a place.
    fn uninstall(&self, place: &SkillPlace) -> Result<(), JournalError>;

    /// Returns what is installed in a place.
    fn installed_in(&self, place: &SkillPlace) -> Result<Option<InstalledRow>, JournalError>;

    /// Returns what is installed anywhere, by place.
    fn installed(&self) -> Result<Vec<InstalledRow>, JournalError>;

    /// Removes contents that nothing refers to, bundles put before `before` that no run is pinned to and that are not installed, and descriptions kept
    /// before then of components that are in no bundle.
    fn collect(&self, before: Timestamp) -> Result<Collected, JournalError>;
}
