//! One transaction after the other, each with all that has piled up (rule J3).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, FileControl, OptionalExtension as _};
use skillhost_core::budget::DayNews;
use skillhost_core::id::{Epoch, RunId, Seq};
use skillhost_core::machine::Local;
use skillhost_core::planted::{self, Bug};
use tokio::sync::watch;

use super::NotDone;
use super::apply::{apply, insert_entry_as};
use super::days::{Days, without_reservation};
use super::pack::{Change, Packed};
use super::queue::{Batch, Pending, Queue};
use super::schema::{WRITER_CACHE_KIB, log, wait_while_busy};
use crate::error::AppendError;
use crate::failpoint;
use crate::rows::Health;

/// The pause after the first failed commit; each is twice the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(10);

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long transactions may follow each other without a gap.
const PRESSED_MAX: Duration = Duration::from_millis(25);

/// How long the gap is: other processes look for one about every millisecond (rule J6).
const GAP: Duration = Duration::from_millis(1);

/// How many runs' states are remembered between transactions.
const KNOWN_MAX: usize = 10_000;

/// After so many commits the log is worth growing in one go.
const COMMITS_BEFORE_GROWTH: u64 = 200;

/// What the log is grown to: what it holds before it is written back. A commit into space that the file has already needs no change of the file's own record, which is one more
/// write to wait for.
const LOG_BYTES: u64 = 40 << 20;

/// A log larger than this is written back when the journal is closed: whoever opens it next would have to read it.
const LOG_BYTES_LEFT_MAX: u64 = 2 << 20;

/// Commits batches.
pub(super) struct Committer {
    db: Connection,
    path: PathBuf,
    busy: Duration,
    health: watch::Sender<Health>,
    bytes_max: Arc<AtomicU64>,
    bytes_max_set: u64,
    /// What is known of runs, as long as nobody else commits.
    known: HashMap<RunId, Known>,
    days: Days,
    data_version: i64,
    commits: u64,
    pressed_since: Instant,
}

struct Known {
    key: i64,
    epoch: u64,
    over: bool,
    next: u64,
}

/// Why a transaction did not hold.
enum Failure {
    /// Storage did not take it: it may the next time.
    Storage(rusqlite::Error),
    /// One of its appends was refused in the middle: without that one it may.
    Refusal,
}

impl Committer {
    pub(super) fn new(
        db: Connection,
        path: &Path,
        busy: Duration,
        health: watch::Sender<Health>,
        bytes_max: Arc<AtomicU64>,
    ) -> Self {
        Self {
            db,
            path: path.to_owned(),
            busy,
            health,
            bytes_max,
            bytes_max_set: u64::MAX,
            known: HashMap::new(),
            days: Days::default(),
            data_version: 0,
            commits: 0,
            pressed_since: Instant::now(),
        }
    }

    /// Commits a batch, however often it takes (rule J4). Returns it if the journal was closed meanwhile.
    pub(super) fn commit_until_it_holds(&mut self, mut batch: Batch, queue: &Queue) -> Option<Batch> {
        let mut pause = PAUSE_FIRST;
        let mut failures = 0;
        loop {
            let error = match self.commit(&mut batch) {
                Ok(()) => {
                    self.health
                        .send_if_modified(|health| std::mem::take(health) != Health::Good);
                    return None;
                }
                Err(error) => Arc::new(error),
            };
            failures += 1;
            let message = describe(&self.path, &error);
            tracing::warn!(failures, "a commit failed: {message}");
            let message = message.into();
            self.health.send_replace(Health::Failing { failures, message });
            // Whoever asked for another change can decide what to do; a run's entries cannot be decided anew.
            for job in batch.jobs.drain(..) {
                job.settle(Err(NotDone::Sql(Arc::clone(&error))));
            }
            let open = queue.pause(&mut batch, pause);
            pause = (pause * 2).min(PAUSE_MAX);
            if !open {
                return self.commit(&mut batch).is_err().then_some(batch);
            }
        }
    }

    /// Commits a batch without waiting for anybody who has the database locked. If it does not hold, all of it is still in the batch.
    pub(super) fn commit_at_once(&mut self, batch: &mut Batch) -> Result<(), rusqlite::Error> {
        self.db.busy_timeout(Duration::ZERO)?;
        let held = self.commit(batch);
        self.db.busy_handler(Some(wait_while_busy(self.busy)))?;
        held
    }

    fn commit(&mut self, batch: &mut Batch) -> Result<(), rusqlite::Error> {
        let fates = match self.transact(batch, false) {
            Err(Failure::Refusal) => match self.transact(batch, true) {
                Err(Failure::Refusal) => unreachable!("with savepoints a refusal is the fate of one append"),
                other => other,
            },
            other => other,
        };
        let fates = match fates {
            Ok(fates) => fates,
            Err(Failure::Refusal) => unreachable!("handled above"),
            Err(Failure::Storage(error)) => {
                self.known.clear();
                if !self.db.is_autocommit() {
                    // If it cannot be rolled back either, the next `begin` says so.
                    let _ = self.db.execute_batch("rollback");
                }
                if !planted::is(Bug::FailureSwallowed) {
                    return Err(error);
                }
                Fates::of_all(batch)
            }
        };
        self.commits += 1;
        failpoint::hit(failpoint::AFTER_COMMIT);
        for (pending, fate) in batch.appends.drain(..).zip(fates.appends) {
            failpoint::hit(failpoint::BEFORE_ANSWER);
            match fate {
                Ok(news) => pending.receipt.committed(news),
                Err(error) => pending.receipt.failed(error),
            }
        }
        for (job, fate) in batch.jobs.drain(..).zip(fates.jobs) {
            failpoint::hit(failpoint::BEFORE_ANSWER);
            job.settle(fate);
        }
        Ok(())
    }

    /// Makes one transaction of a batch. Without `savepoints` it is cheaper, and nothing may be refused half-way; nothing is in general, because
    /// what could be is looked at first.
    fn transact(&mut self, batch: &mut Batch, savepoints: bool) -> Result<Fates, Failure> {
        self.begin().map_err(Failure::Storage)?;
        self.days.clear();
        let mut fates = Fates::default();
        for pending in &batch.appends {
            let fate = match savepoints {
                false => self.append(pending),
                true => self.append_in_savepoint(pending),
            };
            match fate {
                Ok(fate) => fates.appends.push(fate),
                Err(error) if is_refusal(&error) => {
                    self.known.clear();
                    self.db.execute_batch("rollback").map_err(Failure::Storage)?;
                    return Err(Failure::Refusal);
                }
                Err(error) => return Err(Failure::Storage(error)),
            }
        }
        for job in &mut batch.jobs {
            match job.only_of() {
                Some(run) => drop(self.known.remove(run)),
                None => self.known.clear(),
            }
            self.db
                .prepare_cached("savepoint one")
                .and_then(|mut sql| sql.execute([]))
                .map_err(Failure::Storage)?;
            let fate = job.run(&self.db);
            if self.db.is_autocommit() {
                // SQLite itself gave the transaction up.
                return Err(Failure::Storage(storage_error(fate)));
            }
            if fate.is_err() {
                self.db.execute_batch("rollback to one").map_err(Failure::Storage)?;
            }
            self.db
                .prepare_cached("release one")
                .and_then(|mut sql| sql.execute([]))
                .map_err(Failure::Storage)?;
            fates.jobs.push(fate);
        }
        self.days.write(&self.db).map_err(Failure::Storage)?;
        failpoint::hit(failpoint::IN_TRANSACTION);
        self.is_still_there().map_err(Failure::Storage)?;
        if failpoint::is_full() {
            return Err(Failure::Storage(full()));
        }
        self.db
            .prepare_cached("commit")
            .and_then(|mut sql| sql.execute([]))
            .map_err(Failure::Storage)?;
        Ok(fates)
    }

    fn begin(&mut self) -> rusqlite::Result<()> {
        self.limit_pages()?;
        self.db.prepare_cached("begin immediate")?.execute([])?;
        let version = self
            .db
            .prepare_cached("pragma data_version")?
            .query_row([], |row| row.get(0))?;
        if version != self.data_version || self.known.len() > KNOWN_MAX {
            // Somebody else committed: leases may have changed.
            self.known.clear();
            self.data_version = version;
        }
        Ok(())
    }

    fn limit_pages(&mut self) -> rusqlite::Result<()> {
        let bytes_max = self.bytes_max.load(Ordering::Relaxed);
        if bytes_max == self.bytes_max_set {
            return Ok(());
        }
        let page: i64 = self.db.pragma_query_value(None, "page_size", |row| row.get(0))?;
        // SQLite takes 0 as no change, and what is there already as the least.
        let pages = (bytes_max / page.unsigned_abs()).clamp(1, u64::from(u32::MAX - 1));
        self.db
            .pragma_update_and_check(None, "max_page_count", i64::try_from(pages).unwrap_or(i64::MAX), |_| {
                Ok(())
            })?;
        self.bytes_max_set = bytes_max;
        Ok(())
    }

    fn append_in_savepoint(&mut self, pending: &Pending) -> rusqlite::Result<Fate> {
        self.db.execute_batch("savepoint one")?;
        let days = self.days.clone();
        let mut fate = self.append(pending);
        if let Err(error) = &fate
            && is_refusal(error)
        {
            self.known.clear();
            self.days = days;
            self.db.execute_batch("rollback to one")?;
            fate = Ok(Err(AppendError::Refused {
                run: pending.receipt.lane.run.clone(),
                reason: error.to_string().into(),
            }));
        }
        let fate = fate?;
        self.db.execute_batch("release one")?;
        Ok(fate)
    }

    /// Writes an append's rows, if the lease and the position are as it expects.
    fn append(&mut self, pending: &Pending) -> rusqlite::Result<Fate> {
        let lane = &pending.receipt.lane;
        if let Some(error) = lane.failure() {
            // What follows a failed append has no ground to stand on.
            return Ok(Err(error));
        }
        if !self.known.contains_key(&lane.run) {
            let Some(known) = look_up(&self.db, &lane.run)? else {
                return Ok(Err(AppendError::UnknownRun { run: lane.run.clone() }));
            };
            self.known.insert(lane.run.clone(), known);
        }
        let known = self.known.get_mut(&lane.run).expect("inserted above");
        if let Err(error) = known.check(pending) {
            return Ok(Err(error));
        }
        let mut news = Vec::new();
        let mut refused = None;
        for row in &pending.rows {
            match (row, refused.take()) {
                (Packed::Local(local @ (Local::Reserve { .. } | Local::Settle { .. })), _) => {
                    refused = self.days.apply(&self.db, local, &mut news)?;
                }
                (Packed::Entry(entry), Some(_)) => {
                    let (body, draft) = without_reservation(entry);
                    insert_entry_as(&self.db, known.key, entry, (&body, draft))?;
                }
                _ => apply(&self.db, known.key, row)?,
            }
            if planted::is(Bug::AppendSplit) {
                self.db.execute_batch("commit; begin immediate")?;
            }
            if let Packed::Entry(entry) = row {
                known.next += 1;
                known.over |= matches!(entry.change, Some(Change::Finished(_)));
            }
        }
        Ok(Ok(news))
    }

    /// Notices that the database's folder was deleted or moved: what is written to it then is lost with the last process that has it open.
    fn is_still_there(&self) -> rusqlite::Result<()> {
        let mut moved = 0;
        self.db.file_control(Some("main"), FileControl::HasMoved(&mut moved))?;
        match moved {
            0 => Ok(()),
            _ => Err(rusqlite::Error::InvalidPath(self.path.clone())),
        }
    }

    /// Lets other processes write, if transactions have followed each other without a gap for long.
    pub(super) fn leave_a_gap(&mut self, queue: &Queue) {
        if !queue.is_pressed() {
            self.pressed_since = Instant::now();
        } else if self.pressed_since.elapsed() > PRESSED_MAX {
            std::thread::sleep(GAP);
            self.pressed_since = Instant::now();
        }
    }

    /// Does what is to be done between two transactions.
    pub(super) fn tend(&mut self) {
        self.grow_log();
        if planted::is(Bug::CheckpointUnsynced) {
            let _ = self
                .db
                .execute_batch("pragma synchronous = off; pragma wal_checkpoint(passive); pragma synchronous = full");
        }
    }

    /// Makes the log as large as it will become, once it shows that this process commits often.
    fn grow_log(&mut self) {
        if self.commits != COMMITS_BEFORE_GROWTH || self.log_bytes() >= LOG_BYTES {
            return;
        }
        // Pages that do not fit the cache go to the log before their commit; after the rollback they mean nothing, and their space stays.
        let grown = self.db.execute_batch(&format!(
            "pragma cache_size = 16;
            begin immediate;
            create table scratch (content blob);
            insert into scratch values (zeroblob({LOG_BYTES}));
            rollback;"
        ));
        if let Err(error) = grown {
            tracing::debug!("could not grow the log: {error}");
            if !self.db.is_autocommit() {
                let _ = self.db.execute_batch("rollback");
            }
        }
        if let Err(error) = self.db.pragma_update(None, "cache_size", -WRITER_CACHE_KIB) {
            tracing::debug!("could not restore the cache: {error}");
        }
    }

    fn log_bytes(&self) -> u64 {
        std::fs::metadata(log(&self.path)).map_or(0, |metadata| metadata.len())
    }

    /// Writes the log back if it is large, because the journal is closed.
    pub(super) fn write_back_log(&self) {
        if self.log_bytes() > LOG_BYTES_LEFT_MAX {
            let truncated = self
                .db
                .query_row("pragma wal_checkpoint(truncate)", [], |row| row.get::<_, i64>(0));
            if let Err(error) = truncated {
                // It holds the same either way.
                tracing::debug!("could not write the log back: {error}");
            }
        }
    }
}

impl Known {
    fn check(&self, pending: &Pending) -> Result<(), AppendError> {
        let lane = &pending.receipt.lane;
        if self.epoch != lane.epoch.0 {
            return Err(AppendError::Fenced {
                run: lane.run.clone(),
                held: lane.epoch,
                found: Epoch(self.epoch),
            });
        }
        match pending.first {
            Some(first) if first != self.next => Err(AppendError::Stale {
                run: lane.run.clone(),
                seq: Seq(first),
                next: Seq(self.next),
            }),
            Some(_) if self.over => Err(AppendError::Over { run: lane.run.clone() }),
            _ => Ok(()),
        }
    }
}

/// What came of an append: what is to be told of days' accounts, or why it was refused.
type Fate = Result<Vec<DayNews>, AppendError>;

#[derive(Default)]
struct Fates {
    appends: Vec<Fate>,
    jobs: Vec<Result<(), NotDone>>,
}

impl Fates {
    /// Returns those of appends that held, and of changes that are asked for again.
    fn of_all(batch: &Batch) -> Self {
        let again = || Err(NotDone::Sql(Arc::new(full())));
        Self {
            appends: batch.appends.iter().map(|_| Ok(Vec::new())).collect(),
            jobs: batch.jobs.iter().map(|_| again()).collect(),
        }
    }
}

fn look_up(db: &Connection, run: &RunId) -> rusqlite::Result<Option<Known>> {
    let sql = "select key, epoch, status not in ('running', 'waiting', 'parked', 'paused'),
        (select coalesce(max(seq) + 1, 0) from entries where run = key) from runs where id = ?";
    let mut look = db.prepare_cached(sql)?;
    let known = look.query_row([run.as_str()], |row| {
        Ok(Known {
            key: row.get(0)?,
            epoch: row.get::<_, i64>(1)?.unsigned_abs(),
            over: row.get(2)?,
            next: row.get::<_, i64>(3)?.unsigned_abs(),
        })
    });
    known.optional()
}

/// Returns what SQLite says when the disk is full.
fn full() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL),
        Some("database or disk is full".to_owned()),
    )
}

/// Returns whether it is the rows that are refused, and not storage that fails.
fn is_refusal(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
    )
}

fn storage_error(fate: Result<(), NotDone>) -> rusqlite::Error {
    match fate {
        Err(NotDone::Sql(error)) => Arc::into_inner(error).unwrap_or(rusqlite::Error::InvalidQuery),
        _ => rusqlite::Error::InvalidQuery,
    }
}

/// Says what is wrong with storage, and what to do.
fn describe(path: &Path, error: &rusqlite::Error) -> String {
    let path = path.display();
    let advice = match (error, error.sqlite_error_code()) {
        (rusqlite::Error::InvalidPath(_), _) => {
            return format!("`{path}` was moved or deleted; put it back, or stop this process and launch again");
        }
        (_, Some(ErrorCode::DiskFull)) => "free some space: everything is kept in memory and written then",
        (_, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) => {
            "another program keeps it locked; everything is kept in memory and written when it lets go"
        }
        (_, Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen)) => {
            "look at the rights of the file and its folder; everything is kept in memory and written when they allow it"
        }
        _ => "everything is kept in memory and tried again",
    };
    format!("could not write to `{path}`: {error}; {advice}")
}
