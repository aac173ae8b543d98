//! A journal in an SQLite database.
//!
//! One at a time writes ([`hand`], [`committer`]); everybody else queues ([`queue`]) or reads through a connection of his own. No transaction, reading or writing, spans
//! anything but its own statements (rule J6).

mod apply;
mod bundles;
mod check;
mod committer;
mod days;
mod form;
mod glance;
mod hand;
mod installed;
mod pack;
mod people;
mod queue;
pub(crate) mod read;
mod runs;
mod schema;
mod seal;
mod spending;
mod upkeep;
mod words;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use skillhost_core::budget::{DayAccount, DaySpent};
use skillhost_core::entry::Record;
use skillhost_core::id::{Digest, Epoch, LaunchId, MailId, RunId, Seq, SkillName, WorkerId};
use skillhost_core::lease::Lease;
use skillhost_core::machine::{Command, Mail, Status};
use skillhost_core::planted;
use skillhost_core::time::Timestamp;
use tokio::sync::{oneshot, watch};

use self::committer::Committer;
pub(crate) use self::days::refuse;
pub use self::glance::{Glance, GlanceRow};
use self::hand::Hand;
use self::queue::Job;
pub use self::upkeep::Space;
use crate::bundle::{Bundle, BundleError};
use crate::error::{FindError, JournalError, OpenError};
use crate::find::find;
use crate::installed::{InstalledRow, Problem, SkillPlace};
use crate::journal::{Contents, Cursor, Journal, Writing};
use crate::rows::{
    Collected, Created, DueRun, Health, InboxFilter, InboxId, InboxRow, LineKey, LineRow, Look, NewRun, Pruned,
    RunFilter, RunRow, RunningRun, Taken, Trouble, WaitRow,
};
use crate::spending::Spending;
use crate::writer::{RunWriter, Sink};

/// How many reading connections are kept for the next who needs one: opening takes a quarter of a millisecond.
const READERS_KEPT_MAX: usize = 4;

/// The most runs that one transaction removes, so that it does not keep other processes waiting for long (rule J6).
const REMOVED_AT_ONCE_MAX: usize = 20;

/// How many pages the write-ahead log grows to before it is written back: 40 MB.
const CHECKPOINT_PAGES: u32 = 10_000;

/// A bundle that was put longer ago is put anew. Not each time, as that would cost every launch a commit.
const REFRESHED_AFTER: Duration = Duration::from_secs(600);

/// What can be set about a journal.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long to wait for other processes that write, before that counts as a failure.
    pub busy: Duration,
    /// How many pages the log grows to before it is written back.
    pub checkpoint_pages: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            busy: Duration::from_secs(5),
            checkpoint_pages: CHECKPOINT_PAGES,
        }
    }
}

/// A journal in an SQLite database. Clones share it; the last one to go commits what is queued. Other processes may have the same database open.
#[derive(Clone)]
pub struct SqliteJournal {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    settings: Settings,
    hand: Arc<Hand>,
    health: watch::Receiver<Health>,
    bytes_max: Arc<AtomicU64>,
    readers: Mutex<Vec<Connection>>,
    /// Always the same connection, because versions are compared.
    version: Mutex<Option<Connection>>,
    writer: Option<JoinHandle<()>>,
}

impl SqliteJournal {
    /// Opens the database at `path`, and makes it and its folder if they are not there.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, Settings::default())
    }

    /// Opens with settings.
    pub fn open_with(path: &Path, settings: Settings) -> Result<Self, OpenError> {
        let db = schema::open_writer(path, &settings)?;
        let (health_sender, health) = watch::channel(Health::Good);
        let bytes_max = Arc::new(AtomicU64::new(u64::MAX));
        let committer = Committer::new(db, path, settings.busy, health_sender, Arc::clone(&bytes_max));
        let hand = Arc::new(Hand::new(committer));
        let writer = std::thread::Builder::new().name("journal".to_owned());
        let commits = Arc::clone(&hand);
        let writer = writer
            .spawn(planted::carried(move || commits.run()))
            .expect("the system gives a process one more thread");
        let shared = Shared {
            path: path.to_owned(),
            settings,
            hand,
            health,
            bytes_max,
            readers: Mutex::default(),
            version: Mutex::default(),
            writer: Some(writer),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Returns where the database is.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Bounds the size of the database as far as this process makes it grow, from the next commit on. One that would exceed it fails like a full disk
    /// (rule J4).
    pub fn limit_bytes(&self, bytes: u64) {
        self.shared.bytes_max.store(bytes, Ordering::Relaxed);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.hand.close();
        if let Some(writer) = self.writer.take() {
            // Its panic, if that is how it ended, was reported where it happened.
            let _ = writer.join();
        }
    }
}

/// Why something was not done, before it is known where.
pub(crate) enum NotDone {
    Journal(JournalError),
    Sql(Arc<rusqlite::Error>),
}

impl From<JournalError> for NotDone {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl From<rusqlite::Error> for NotDone {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(Arc::new(error))
    }
}

impl NotDone {
    fn at(self, path: &Path, doing: &'static str) -> JournalError {
        match self {
            Self::Journal(error) => error,
            Self::Sql(source) => JournalError::Storage {
                doing,
                path: path.to_owned(),
                source,
            },
        }
    }
}

struct Change<T, F, A> {
    run: Option<RunId>,
    change: F,
    value: Option<T>,
    answer: A,
}

impl<T, F, A> Job for Change<T, F, A>
where
    T: Send,
    F: FnMut(&Connection) -> Result<T, NotDone> + Send,
    A: FnOnce(Result<T, NotDone>) + Send,
{
    fn run(&mut self, db: &Connection) -> Result<(), NotDone> {
        self.value = Some((self.change)(db)?);
        Ok(())
    }

    fn only_of(&self) -> Option<&RunId> {
        self.run.as_ref()
    }

    fn settle(mut self: Box<Self>, fate: Result<(), NotDone>) {
        let value = fate.map(|()| self.value.take().expect("a job that held has run"));
        (self.answer)(value);
    }
}

impl Shared {
    /// Makes a change, and waits for it.
    fn write<T, F>(&self, change: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, NotDone> + Send + 'static,
    {
        self.write_of(None, change)
    }

    /// Makes a change that concerns no other run than this one.
    fn write_of<T, F>(&self, run: Option<&RunId>, change: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, NotDone> + Send + 'static,
    {
        let (answer, fate) = mpsc::sync_channel(1);
        // If nobody waits any more, nobody wants to know.
        self.submit(run, change, move |value| drop(answer.send(value)))?;
        let fate = fate.recv().map_err(|_| JournalError::Closed)?;
        fate.map_err(|not_done| not_done.at(&self.path, "write to"))
    }

    /// Makes a change that concerns no other run than this one, and keeps no thread waiting for it.
    fn writing_of<T, F>(&self, run: &RunId, change: F) -> Writing<T>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, NotDone> + Send + 'static,
    {
        let (answer, fate) = oneshot::channel();
        let submitted = self.submit(Some(run), change, move |value| drop(answer.send(value)));
        let path = self.path.clone();
        Box::pin(async move {
            submitted?;
            let fate = fate.await.map_err(|_| JournalError::Closed)?;
            fate.map_err(|not_done| not_done.at(&path, "write to"))
        })
    }

    fn submit<T, F, A>(&self, run: Option<&RunId>, change: F, answer: A) -> Result<(), JournalError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, NotDone> + Send + 'static,
        A: FnOnce(Result<T, NotDone>) + Send + 'static,
    {
        let job = Change {
            run: run.cloned(),
            change,
            value: None,
            answer,
        };
        self.hand.submit(Box::new(job)).map_err(|_| JournalError::Closed)
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, NotDone>) -> Result<T, JournalError> {
        let kept = lock(&self.readers).pop();
        let db = match kept {
            Some(db) => Ok(db),
            None => schema::open_reader(&self.path, self.settings.busy).map_err(NotDone::from),
        };
        let db = db.map_err(|not_done| not_done.at(&self.path, "read"))?;
        let value = read(&db);
        let mut readers = lock(&self.readers);
        // One that met an error may be unusable.
        if !matches!(value, Err(NotDone::Sql(_))) && readers.len() < READERS_KEPT_MAX {
            readers.push(db);
        }
        drop(readers);
        value.map_err(|not_done| not_done.at(&self.path, "read"))
    }

    fn data_version(&self) -> Result<u64, NotDone> {
        let mut version = lock(&self.version);
        let db = match version.take() {
            Some(db) => db,
            None => schema::open_reader(&self.path, self.settings.busy)?,
        };
        let number: i64 = db
            .prepare_cached("pragma data_version")?
            .query_row([], |row| row.get(0))?;
        *version = Some(db);
        Ok(number.unsigned_abs())
    }
}

fn claim(
    run: &RunId,
    worker: &WorkerId,
    seen: &Lease,
) -> impl FnMut(&Connection) -> Result<Taken, NotDone> + Send + use<> {
    let (run, worker, seen) = (run.clone(), worker.clone(), seen.clone());
    move |db| runs::claim(db, &run, &worker, &seen)
}

fn release(run: &RunId, epoch: Epoch) -> impl FnMut(&Connection) -> Result<(), NotDone> + Send + use<> {
    let run = run.clone();
    move |db| runs::release(db, &run, epoch)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each holder only takes or puts whole values.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journal for SqliteJournal {
    fn writer(&self, run: &RunId, epoch: Epoch, next: Seq) -> RunWriter {
        let sink = Arc::clone(&self.shared.hand) as Arc<dyn Sink>;
        RunWriter::new(sink, run.clone(), epoch, next)
    }

    fn records(&self, run: &RunId, from: Seq, most: usize) -> Result<Vec<Record>, JournalError> {
        self.shared.read(|db| read::records(db, run, from, most))
    }

    fn page(&self, run: &RunId, cursor: &mut Cursor) -> Result<Vec<Record>, JournalError> {
        let records = self.shared.read(|db| read::page(db, run, cursor))?;
        cursor.pass(&records);
        Ok(records)
    }

    fn look(&self, run: &RunId, cursor: &mut Cursor) -> Result<Look, JournalError> {
        let look = self.shared.read(|db| {
            // One transaction, so that the pages that all of it needs are read once.
            let reading = db.unchecked_transaction()?;
            let look = Look {
                row: runs::row(db, run)?,
                waits: people::waits(db, run)?,
                mail: people::mail(db, run)?,
                records: read::page(db, run, cursor)?,
            };
            reading.finish()?;
            Ok(look)
        })?;
        cursor.pass(&look.records);
        Ok(look)
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.clone()
    }

    fn create_run(&self, new: NewRun) -> Result<Created, JournalError> {
        let new = runs::prepare(new)?;
        self.shared.write(move |db| runs::create(db, &new))
    }

    fn run(&self, run: &RunId) -> Result<RunRow, JournalError> {
        self.shared.read(|db| runs::row(db, run))
    }

    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, JournalError> {
        self.shared.read(|db| runs::rows(db, filter))
    }

    fn running(&self, after: Option<&RunId>, most: usize) -> Result<Vec<RunningRun>, JournalError> {
        self.shared.read(|db| runs::running(db, after, most))
    }

    fn find_run(&self, text: &str) -> Result<RunId, FindError> {
        find(text, &self.shared.read(runs::names)?)
    }

    fn launched(&self, launch: &LaunchId) -> Result<Option<RunId>, JournalError> {
        self.shared.read(|db| runs::launched(db, launch))
    }

    fn lines(&self, run: &RunId, after: Option<LineKey>, most: usize) -> Result<Vec<LineRow>, JournalError> {
        self.shared.read(|db| read::lines(db, run, after, most))
    }

    fn waits(&self, run: &RunId) -> Result<Vec<WaitRow>, JournalError> {
        self.shared.read(|db| people::waits(db, run))
    }

    fn due(&self, until: Timestamp) -> Result<Vec<DueRun>, JournalError> {
        self.shared.read(|db| people::due(db, until))
    }

    fn next_deadline(&self, after: Timestamp) -> Result<Option<Timestamp>, JournalError> {
        self.shared.read(|db| people::next_deadline(db, after))
    }

    fn remove_run(&self, run: &RunId) -> Result<(), JournalError> {
        let run = run.clone();
        self.shared.write(move |db| runs::remove(db, &run))
    }

    fn prune(&self, before: Timestamp, statuses: &[Status]) -> Result<Pruned, JournalError> {
        let which = Arc::new(runs::Prunable::new(before, statuses));
        let old = self.shared.read(|db| which.all(db))?;
        let mut pruned = Pruned::default();
        for some in old.chunks(REMOVED_AT_ONCE_MAX) {
            let (some, which) = (some.to_vec(), Arc::clone(&which));
            match self.shared.write(move |db| which.remove(db, &some)) {
                Ok(gone) => pruned.runs.extend(gone),
                Err(error) if pruned.runs.is_empty() => return Err(error),
                Err(error) => {
                    pruned.stopped = Some(error);
                    break;
                }
            }
        }
        Ok(pruned)
    }

    fn lease(&self, run: &RunId) -> Result<Lease, JournalError> {
        self.shared.read(|db| runs::lease(db, run))
    }

    fn claim(&self, run: &RunId, worker: &WorkerId, seen: &Lease) -> Result<Taken, JournalError> {
        self.shared.write_of(Some(run), claim(run, worker, seen))
    }

    fn claiming(&self, run: &RunId, worker: &WorkerId, seen: &Lease) -> Writing<Taken> {
        self.shared.writing_of(run, claim(run, worker, seen))
    }

    fn release(&self, run: &RunId, epoch: Epoch) -> Result<(), JournalError> {
        self.shared.write_of(Some(run), release(run, epoch))
    }

    fn releasing(&self, run: &RunId, epoch: Epoch) -> Writing<()> {
        self.shared.writing_of(run, release(run, epoch))
    }

    fn park(&self, run: &RunId, epoch: Epoch, trouble: &Trouble) -> Result<(), JournalError> {
        let (which, trouble) = (run.clone(), trouble.clone());
        self.shared
            .write_of(Some(run), move |db| people::park(db, &which, epoch, &trouble))
    }

    fn post_mail(&self, run: &RunId, at: Timestamp, command: &Command) -> Result<MailId, JournalError> {
        let (which, command) = (run.clone(), command.clone());
        self.shared
            .write_of(Some(run), move |db| people::post_mail(db, &which, at, &command))
    }

    fn mail(&self, run: &RunId) -> Result<Vec<Mail>, JournalError> {
        self.shared.read(|db| people::mail(db, run))
    }

    fn mail_since(&self, after: MailId) -> Result<Vec<(RunId, MailId)>, JournalError> {
        self.shared.read(|db| people::mail_since(db, after))
    }

    fn day_spent(&self, account: &DayAccount) -> Result<DaySpent, JournalError> {
        self.shared.read(|db| Ok(days::read(db, account)?))
    }

    fn spending(&self, skill: Option<&SkillName>, each: &mut dyn FnMut(Spending)) -> Result<(), JournalError> {
        self.shared.read(|db| spending::all(db, skill, each))
    }

    fn data_version(&self) -> Result<u64, JournalError> {
        self.shared
            .data_version()
            .map_err(|not_done| not_done.at(&self.shared.path, "read"))
    }

    fn inbox(&self, filter: &InboxFilter) -> Result<Vec<InboxRow>, JournalError> {
        self.shared.read(|db| people::inbox(db, filter))
    }

    fn dismiss(&self, entries: Option<&[InboxId]>, at: Timestamp) -> Result<u64, JournalError> {
        let entries = entries.map(<[InboxId]>::to_vec);
        self.shared.write(move |db| people::dismiss(db, entries.as_deref(), at))
    }

    fn put_bundle(&self, bundle: &Bundle, at: Timestamp, contents: &Contents<'_>) -> Result<Digest, BundleError> {
        let digest = bundle.digest();
        match self.shared.read(|db| bundles::put_at(db, &digest))? {
            Some(put) if at.since(put) < REFRESHED_AFTER => return Ok(digest),
            // A collection may come between this and the run that needs it.
            Some(_) if self.shared.write(move |db| bundles::refresh(db, &digest, at))? => return Ok(digest),
            _ => {}
        }
        self.shared.put_bundle(bundle, at, contents, |_| Ok(()))
    }

    fn bundle(&self, digest: &Digest) -> Result<Option<Bundle>, JournalError> {
        self.shared.read(|db| bundles::get(db, digest))
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, JournalError> {
        self.shared.read(|db| bundles::blob(db, digest))
    }

    fn put_description(&self, component: &Digest, at: Timestamp, description: &str) -> Result<(), JournalError> {
        let (component, description) = (*component, description.to_owned());
        self.shared
            .write(move |db| bundles::put_description(db, &component, at, &description))
    }

    fn description(&self, component: &Digest) -> Result<Option<String>, JournalError> {
        self.shared.read(|db| bundles::description(db, component))
    }

    fn install(
        &self,
        place: &SkillPlace,
        bundle: &Bundle,
        component: &Digest,
        at: Timestamp,
        contents: &Contents<'_>,
    ) -> Result<Digest, BundleError> {
        let row = InstalledRow {
            place: place.clone(),
            bundle: bundle.digest(),
            component: *component,
            at,
            problem: None,
        };
        self.shared
            .put_bundle(bundle, at, contents, move |db| installed::put(db, &row))
    }

    fn note_problem(&self, place: &SkillPlace, problem: &Problem) -> Result<(), JournalError> {
        let (place, problem) = (place.clone(), problem.clone());
        self.shared
            .write(move |db| installed::note_problem(db, &place, &problem))
    }

    fn uninstall(&self, place: &SkillPlace) -> Result<(), JournalError> {
        let place = place.clone();
        self.shared.write(move |db| installed::remove(db, &place))
    }

    fn installed_in(&self, place: &SkillPlace) -> Result<Option<InstalledRow>, JournalError> {
        self.shared.read(|db| installed::get(db, place))
    }

    fn installed(&self) -> Result<Vec<InstalledRow>, JournalError> {
        self.shared.read(installed::all)
    }

    fn collect(&self, before: Timestamp) -> Result<Collected, JournalError> {
        self.shared.collect(before)
    }
}
