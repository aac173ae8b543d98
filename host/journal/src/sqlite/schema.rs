//! Opens a database and brings it to the format that this skillhost writes.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use skillhost_core::planted::{self, Bug};

use super::Settings;
use crate::error::OpenError;

/// The changes of format, in order; the n-th leads to format n. A released one is never edited.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
];

/// Marks a database as ours: "SKLH".
const APPLICATION_ID: u32 = 0x534b_4c48;

/// As much of the database the writer keeps in memory, in KiB.
pub(super) const WRITER_CACHE_KIB: i32 = 16_384;

/// As much of the database a reading connection keeps in memory, in KiB: there are several.
pub(super) const READER_CACHE_KIB: i32 = 2_048;

/// The most statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 64;

/// Opens the database for the writer, and makes it if there is none.
pub(super) fn open_writer(path: &Path, settings: &Settings) -> Result<Connection, OpenError> {
    make_file(path)?;
    if planted::is(Bug::LogDeleted) {
        let _ = std::fs::remove_file(log(path));
    }
    let db = match open_prepared(path, settings) {
        Err(OpenError::Storage { .. }) if planted::is(Bug::BegunAnew) => {
            for file in [path, &log(path)] {
                let _ = std::fs::remove_file(file);
            }
            make_file(path)?;
            open_prepared(path, settings)?
        }
        opened => opened?,
    };
    // Only now is it known to be ours. SQLite gives the files beside it the same rights.
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(|source| OpenError::NotWritable {
        path: path.to_owned(),
        source: source.into(),
    })?;
    Ok(db)
}

fn open_prepared(path: &Path, settings: &Settings) -> Result<Connection, OpenError> {
    let mut db = connect(path, settings.busy, WRITER_CACHE_KIB).map_err(|error| open_error(path, error))?;
    prepare(&mut db, path, settings.checkpoint_pages).map_err(|error| match error {
        PrepareError::Open(error) => error,
        PrepareError::Sql(error) => open_error(path, error),
    })?;
    Ok(db)
}

/// Opens the database for reading.
pub(super) fn open_reader(path: &Path, busy: Duration) -> rusqlite::Result<Connection> {
    let db = connect(path, busy, READER_CACHE_KIB)?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}

/// Opens the database for one quick look, without the right to change anything.
pub(super) fn open_to_look(path: &Path, busy: Duration) -> rusqlite::Result<Connection> {
    let mut db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_handler(Some(wait_while_busy(busy)))?;
    Ok(db)
}

/// Returns where the log of a database is.
pub(super) fn log(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

fn make_file(path: &Path) -> Result<(), OpenError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| OpenError::Folder {
            path: folder.to_owned(),
            source,
        })?;
    }
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path);
    match file {
        Ok(_) => Ok(()),
        Err(source) => Err(OpenError::NotWritable {
            path: path.to_owned(),
            source: source.into(),
        }),
    }
}

pub(super) fn connect(path: &Path, busy: Duration, cache_kib: i32) -> rusqlite::Result<Connection> {
    // Not `SQLITE_OPEN_CREATE`: the file was made with its rights, and one that was deleted must not come back empty.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags)?;
    db.busy_handler(Some(wait_while_busy(busy)))?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Closing does not write the log back, which would cost every short command some syncs; `Committer` does it when there is much.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Otherwise a statement with a bound limit is compiled anew for every execution, in case the number made another plan better.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.pragma_update(None, "foreign_keys", false)?;
    // A daemon is to stay small however large its database gets, and the system keeps the file in memory anyway.
    db.pragma_update(None, "cache_size", -cache_kib)?;
    db.pragma_update(None, "temp_store", "memory")?;
    Ok(db)
}

/// Waits in short steps, because a busy writer leaves short gaps (rule J6); SQLite's own handler soon looks only ten times a second.
pub(super) fn wait_while_busy(longest: Duration) -> impl FnMut(i32) -> bool + Send + 'static {
    let mut since = Instant::now();
    move |count| {
        if count == 0 {
            since = Instant::now();
        }
        let step = Duration::from_micros(200 * (1 + u64::from(count.unsigned_abs()).min(9)));
        std::thread::sleep(step);
        since.elapsed() < longest
    }
}

enum PrepareError {
    Open(OpenError),
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for PrepareError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

fn prepare(db: &mut Connection, path: &Path, checkpoint_pages: u32) -> Result<(), PrepareError> {
    if check_format(db, path)? == 0 {
        // Only a database without tables takes this on: what is removed from it can be given back to the disk.
        db.pragma_update(None, "auto_vacuum", "incremental")?;
    }
    let mode = write_ahead(db)?;
    if mode != "wal" {
        let why = format!("its file system cannot share memory between processes (journal mode `{mode}`)");
        return Err(PrepareError::Open(OpenError::NotWritable {
            path: path.to_owned(),
            source: why.into(),
        }));
    }
    let synchronous = if planted::is(Bug::SyncSkipped) { "off" } else { "full" };
    db.pragma_update(None, "synchronous", synchronous)?;
    db.pragma_update(None, "fullfsync", true)?;
    db.pragma_update(None, "checkpoint_fullfsync", true)?;
    db.pragma_update(None, "wal_autocheckpoint", checkpoint_pages)?;
    if check_format(db, path)? == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have done it meanwhile.
    for (migration, format) in MIGRATIONS.iter().zip(1..).skip(check_format(&transaction, path)?) {
        transaction.execute_batch(migration)?;
        if planted::is(Bug::MigrationSplit) {
            transaction.execute_batch("commit; begin immediate")?;
        }
        transaction.pragma_update(None, "user_version", format)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.commit()?;
    Ok(())
}

/// Has the database write ahead, and returns the mode that it has then. The statement is gone through to its end: only there is the change made, and may fail. A log beside a database
/// that does not say that it has one is deleted by whoever opens it next.
fn write_ahead(db: &Connection) -> rusqlite::Result<String> {
    let mut change = db.prepare("pragma journal_mode = wal")?;
    let mut rows = change.query([])?;
    let mut mode = String::new();
    while let Some(row) = rows.next()? {
        mode = row.get(0)?;
    }
    Ok(mode)
}

/// Returns the format that the database has, unless it is not for us.
fn check_format(db: &Connection, path: &Path) -> Result<usize, PrepareError> {
    let format: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: u32 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: u32 = db.query_row("select count(*) from sqlite_schema", [], |row| row.get(0))?;
    let empty = format == 0 && application == 0 && tables == 0;
    if application != APPLICATION_ID && !empty {
        return Err(PrepareError::Open(OpenError::Foreign { path: path.to_owned() }));
    }
    if format as usize > MIGRATIONS.len() {
        return Err(PrepareError::Open(OpenError::Newer {
            path: path.to_owned(),
            found: format,
            known: MIGRATIONS.len() as u32,
        }));
    }
    Ok(format as usize)
}

fn open_error(path: &Path, error: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Locked { path },
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => OpenError::NotWritable {
            path,
            source: error.into(),
        },
        _ => OpenError::Storage { path, source: error },
    }
}

/// Returns how a database of ours goes about a statement, a line for each step.
#[cfg(test)]
pub(super) fn plan(sql: &str) -> Vec<String> {
    let work = || -> rusqlite::Result<Vec<String>> {
        let db = Connection::open_in_memory()?;
        MIGRATIONS
            .iter()
            .try_for_each(|migration| db.execute_batch(migration))?;
        let mut explain = db.prepare(&format!("explain query plan {sql}"))?;
        let mut steps = explain.raw_query();
        let mut plan = Vec::new();
        while let Some(step) = steps.next()? {
            plan.push(step.get(3)?);
        }
        Ok(plan)
    };
    work().expect("the statement is one of ours")
}
