//! Upkeep: what is left of runs that were removed, the space that nothing is in, and a copy of the database while it is used.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use skillhost_core::id::RunId;

use super::runs::parse;
use super::schema::{self, connect};
use super::{NotDone, SqliteJournal};
use crate::error::JournalError;

/// How many pages one transaction gives back, so that it does not keep runs waiting (rule J6).
const RECLAIMED_AT_ONCE: i64 = 500;

/// How many pages are copied between two looks at how far it is: 4 MB.
const COPIED_AT_ONCE: i32 = 1_000;

/// How long to wait before a page that somebody else holds is copied.
const COPY_PAUSE: Duration = Duration::from_millis(5);

/// How large the database is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// How many bytes it has.
    pub bytes: u64,
    /// How many of them nothing is in.
    pub free_bytes: u64,
}

impl SqliteJournal {
    /// Returns how large the database is, without its log.
    pub fn space(&self) -> Result<Space, JournalError> {
        self.shared.read(|db| Ok(space(db)?))
    }

    /// Returns the runs that were removed and whose files may still be there.
    pub fn removed(&self) -> Result<Vec<RunId>, JournalError> {
        self.shared.read(|db| {
            let mut find = db.prepare_cached("select run from removed order by run")?;
            let mut rows = find.query([])?;
            let mut removed = Vec::new();
            while let Some(row) = rows.next()? {
                removed.push(parse(
                    "a run that was removed",
                    RunId::parse(&row.get::<_, String>(0)?),
                )?);
            }
            Ok(removed)
        })
    }

    /// Notes that nothing is left of runs that were removed.
    pub fn forget_removed(&self, runs: &[RunId]) -> Result<(), JournalError> {
        let runs = runs.to_vec();
        self.shared.write(move |db| {
            let mut forget = db.prepare_cached("delete from removed where run = ?")?;
            for run in &runs {
                forget.execute([run.as_str()])?;
            }
            Ok(())
        })
    }

    /// Gives the space that nothing is in back to the disk, some at a time, while others use the database, too. A database that was made before this was possible keeps it,
    /// until it is written anew ([`SqliteJournal::rewrite`]).
    pub fn reclaim(&self) -> Result<(), JournalError> {
        while self.shared.write(|db| Ok(reclaim_some(db)?))? {}
        self.write_back()
    }

    /// Returns whether space that nothing is in can be given back while others use the database.
    pub fn is_reclaimable(&self) -> Result<bool, JournalError> {
        /// `pragma auto_vacuum`: pages that nothing is in are given back when that is asked for.
        const INCREMENTAL: i64 = 2;
        self.shared.read(|db| {
            let mode: i64 = db.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
            Ok(mode == INCREMENTAL)
        })
    }

    /// Writes the database anew, with nothing in it that is free. Nobody else can write meanwhile, and it takes as much room again.
    pub fn rewrite(&self) -> Result<(), JournalError> {
        let shared = &self.shared;
        // It stays as it is in that respect: a process that has it open goes by what it found when it opened it.
        let rewritten = connect(&shared.path, shared.settings.busy, schema::READER_CACHE_KIB)
            .and_then(|db| db.execute_batch("vacuum"));
        rewritten.map_err(|error| NotDone::from(error).at(&shared.path, "write to"))?;
        self.write_back()
    }

    /// Writes the log back into the database, as far as nobody reads what was before; the file is as long as its content then.
    fn write_back(&self) -> Result<(), JournalError> {
        let shared = &self.shared;
        let db = connect(&shared.path, shared.settings.busy, schema::READER_CACHE_KIB);
        // Whether all of it could be: what is left is written back by whoever closes the database last.
        let written = db.and_then(|db| db.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get::<_, i64>(0)));
        written
            .map(drop)
            .map_err(|error| NotDone::from(error).at(&shared.path, "write to"))
    }

    /// Copies the database as it is at one moment, whoever uses it, to a file that is not there. `progress` hears how many pages are copied, of how many.
    pub fn copy_to(&self, path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(), JournalError> {
        let shared = &self.shared;
        let from = schema::open_reader(&shared.path, shared.settings.busy)
            .map_err(|error| NotDone::from(error).at(&shared.path, "read"))?;
        copy(&from, path, progress).map_err(|error| NotDone::from(error).at(path, "copy the journal to"))
    }

    /// Makes a copy a database of its own, in one file: whoever held runs where it was copied does not hold them here. With `paused`, no run goes on by itself that is not over.
    pub fn settle_copy(&self, paused: bool) -> Result<(), JournalError> {
        self.shared.write(move |db| {
            db.execute("update runs set holder = null", [])?;
            // Those that were being removed there have no files here.
            db.execute("delete from removed", [])?;
            if paused {
                // One that is parked asks first anyway.
                db.execute(
                    "update runs set status = 'paused' where status in ('running', 'waiting')",
                    [],
                )?;
            }
            Ok(())
        })?;
        self.write_back()
    }
}

fn space(db: &Connection) -> rusqlite::Result<Space> {
    let number = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0).map(i64::unsigned_abs));
    let page = number("page_size")?;
    Ok(Space {
        bytes: number("page_count")? * page,
        free_bytes: number("freelist_count")? * page,
    })
}

/// Gives some pages back, and returns whether there are more.
fn reclaim_some(db: &Connection) -> rusqlite::Result<bool> {
    let free = || db.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
    let before = free()?;
    // Each step gives one page back.
    let mut reclaim = db.prepare(&format!("pragma incremental_vacuum({RECLAIMED_AT_ONCE})"))?;
    let mut steps = reclaim.raw_query();
    while steps.next()?.is_some() {}
    drop(steps);
    let after = free()?;
    Ok(after > 0 && after < before)
}

fn copy(from: &Connection, path: &Path, progress: &mut dyn FnMut(u64, u64)) -> rusqlite::Result<()> {
    let mut to = Connection::open(path)?;
    // Within a transaction that reads, all of it is of one moment, and what others write meanwhile does not have it begin anew.
    from.execute_batch("begin")?;
    from.query_row("select count(*) from sqlite_schema", [], |_| Ok(()))?;
    let backup = Backup::new(from, &mut to)?;
    loop {
        let step = backup.step(COPIED_AT_ONCE)?;
        let at = backup.progress();
        let (all, left) = (at.pagecount.unsigned_abs(), at.remaining.unsigned_abs());
        progress(u64::from(all - left.min(all)), u64::from(all));
        match step {
            StepResult::Done => break,
            StepResult::More => {}
            // Busy or locked.
            _ => std::thread::sleep(COPY_PAUSE),
        }
    }
    drop(backup);
    from.execute_batch("commit")
}
