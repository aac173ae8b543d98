//! Runs, their launches and their leases.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use skillhost_core::entry::{Entry, Record};
use skillhost_core::id::{Digest, Epoch, IdError, LaunchId, RunId, Seq, SkillName, WorkerId};
use skillhost_core::lease::Lease;
use skillhost_core::machine::Status;
use skillhost_core::time::Timestamp;

use super::NotDone;
use super::apply::{insert_entry, time};
use super::pack::{EntryRow, pack_entry};
use crate::error::JournalError;
use crate::rows::{
    Created, NewRun, RunFilter, RunRow, RunningRun, Taken, Trouble, check_copy, may_be_pruned, may_be_removed,
};

/// A run to be made, in the form of its rows.
pub(super) struct Prepared {
    new: NewRun,
    entries: Vec<EntryRow>,
}

/// Checks a new run, and turns it into its rows outside the transaction.
pub(super) fn prepare(new: NewRun) -> Result<Prepared, JournalError> {
    check_copy(&new.started.run, &new.copy)?;
    let first = Record {
        seq: Seq(0),
        at: new.at,
        entry: Entry::Started(Box::new(new.started.clone())),
    };
    let entries = std::iter::once(first)
        .chain(new.copy.iter().cloned())
        .map(pack_entry)
        .collect();
    Ok(Prepared { new, entries })
}

pub(super) fn create(db: &Connection, prepared: &Prepared) -> Result<Created, NotDone> {
    let Prepared { new, entries } = prepared;
    let started = &new.started;
    let sql = "select runs.id from launches join runs on runs.key = launches.run where launches.id = ?";
    let newest = db
        .prepare_cached(sql)?
        .query_row([started.launch.as_str()], |row| row.get::<_, String>(0))
        .optional()?;
    let newest = newest.map(|id| parse("a run", RunId::parse(&id))).transpose()?;
    match (newest, &new.follows) {
        (Some(newest), Some(follows)) if newest == *follows => {}
        (Some(newest), None) => return Ok(Created::Existing(Box::new(row(db, &newest)?))),
        (None, None) => {}
        (newest, Some(follows)) => {
            return Err(NotDone::Journal(JournalError::LaunchMoved {
                launch: started.launch.clone(),
                newest: newest.unwrap_or_else(|| follows.clone()),
            }));
        }
    }
    let bundle = started.bundle.to_string();
    if !db
        .prepare_cached("select 1 from bundles where digest = ?")?
        .exists([&bundle])?
    {
        return Err(NotDone::Journal(JournalError::NoBundle { bundle: started.bundle }));
    }
    if db
        .prepare_cached("select 1 from runs where id = ?")?
        .exists([started.run.as_str()])?
    {
        return Ok(Created::Existing(Box::new(row(db, &started.run)?)));
    }
    let sql = "insert into runs (id, launch, skill, status, bundle, component, created_at, epoch, held_from, simulated, caller_folder, silent, parent)
        values (?, ?, ?, 'running', ?, ?, ?, 0, 0, ?, ?, ?, ?)";
    let key = db.prepare_cached(sql)?.insert(params![
        started.run.as_str(),
        started.launch.as_str(),
        started.skill.as_str(),
        bundle,
        started.component.to_string(),
        time(new.at),
        started.provider.simulated,
        new.caller_folder.as_deref().map(path_to_sql),
        new.silent,
        started.parent.as_ref().map(|parent| parent.run.as_str()),
    ])?;
    let sql = "insert into launches (id, run) values (?1, ?2) on conflict (id) do update set run = ?2";
    db.prepare_cached(sql)?.execute(params![started.launch.as_str(), key])?;
    for entry in entries {
        insert_entry(db, key, entry)?;
    }
    Ok(Created::New)
}

/// The columns of a run's row, as [`read_row`] takes them.
const ROW: &str = "select runs.id, launch, launches.run <> key, skill, status, bundle, component, created_at,
        (select at from entries where entries.run = key order by seq desc limit 1),
        (select coalesce(max(seq) + 1, 0) from entries where entries.run = key),
        holder, epoch, simulated, caller_folder, parent, held_from, trouble, silent
    from runs join launches on launches.id = runs.launch";

pub(super) fn row(db: &Connection, run: &RunId) -> Result<RunRow, NotDone> {
    let mut find = db.prepare_cached(&format!("{ROW} where runs.id = ?"))?;
    let mut rows = find.query([run.as_str()])?;
    match rows.next()? {
        Some(row) => read_row(row),
        None => Err(unknown(run)),
    }
}

pub(super) fn launched(db: &Connection, launch: &LaunchId) -> Result<Option<RunId>, NotDone> {
    let sql = "select runs.id from launches join runs on runs.key = launches.run where launches.id = ?";
    let mut find = db.prepare_cached(sql)?;
    let id: Option<String> = find.query_row([launch.as_str()], |row| row.get(0)).optional()?;
    id.map(|id| parse("a run", RunId::parse(&id))).transpose()
}

pub(super) fn rows(db: &Connection, filter: &RunFilter) -> Result<Vec<RunRow>, NotDone> {
    let mut find = db.prepare_cached(&rows_sql(!filter.status.is_empty()))?;
    let statuses: Vec<&str> = filter.status.iter().map(|status| status.as_str()).collect();
    let statuses = (!statuses.is_empty()).then(|| serde_json::to_string(&statuses).expect("words serialise"));
    let mut rows = find.query(params![
        statuses,
        filter.skill.as_ref().map(SkillName::as_str),
        filter.caller_folder.as_deref().map(path_to_sql),
        filter.since.map(time),
        filter.newest_of_launch,
        filter.without_continued,
        limit(filter.most.unwrap_or(usize::MAX)),
    ])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read_row(row)?);
    }
    Ok(found)
}

/// Returns the statement that lists runs, of some statuses or of any.
fn rows_sql(by_status: bool) -> String {
    // Not an `or`: with it, no index would help to find the few that run among the many that are over.
    let status = match by_status {
        true => "status in (select value from json_each(?1))",
        false => "?1 is null",
    };
    // The keys first, so that the columns are looked up for the rows that are wanted alone.
    format!(
        "{ROW} where key in (
            select key from runs where {status} and (?2 is null or skill = ?2) and (?3 is null or caller_folder = ?3)
                and (?4 is null or created_at >= ?4) and not (?5 and key <> (select launches.run from launches where launches.id = runs.launch))
                and not (?6 and status = 'continued')
            order by id desc limit ?7)
        order by runs.id desc"
    )
}

fn read_row(row: &Row<'_>) -> Result<RunRow, NotDone> {
    let run: String = row.get(0)?;
    let text = |index| -> Result<String, NotDone> { Ok(row.get::<_, String>(index)?) };
    let what = format!("the row of run `{run}`");
    let status = text(4)?;
    let created_at = stamp(row.get(7)?);
    let updated_at: Option<i64> = row.get(8)?;
    let (Some(status), Some(updated_at)) = (status_from_text(&status), updated_at) else {
        let why = format!("its status is `{status}`, its last entry {updated_at:?}");
        return Err(NotDone::Journal(JournalError::DamagedRow { what, why }));
    };
    Ok(RunRow {
        launch: parse(&what, LaunchId::parse(&text(1)?))?,
        superseded: row.get(2)?,
        skill: parse(&what, SkillName::parse(&text(3)?))?,
        status,
        bundle: parse(&what, Digest::parse(&text(5)?))?,
        component: parse(&what, Digest::parse(&text(6)?))?,
        created_at,
        // A copy's entries are older than the run.
        updated_at: stamp(updated_at).max(created_at),
        entries: row.get::<_, i64>(9)?.unsigned_abs(),
        holder: read_holder(&what, row.get(10)?)?,
        epoch: Epoch(row.get::<_, i64>(11)?.unsigned_abs()),
        simulated: row.get(12)?,
        caller_folder: path_from_sql(row.get_ref(13)?),
        parent: row
            .get::<_, Option<String>>(14)?
            .map(|id| parse(&what, RunId::parse(&id)))
            .transpose()?,
        held_from: Seq(row.get::<_, i64>(15)?.unsigned_abs()),
        trouble: row
            .get::<_, Option<String>>(16)?
            .map(|trouble| read_trouble(&what, &trouble))
            .transpose()?,
        silent: row.get(17)?,
        run: parse("a run", RunId::parse(&run))?,
    })
}

fn read_trouble(what: &str, text: &str) -> Result<Trouble, NotDone> {
    serde_json::from_str(text).map_err(|error| {
        NotDone::Journal(JournalError::DamagedRow {
            what: what.to_owned(),
            why: format!("what it says about trouble does not parse: {error}"),
        })
    })
}

const RUNNING: &str =
    "select id, skill, created_at, holder, epoch from runs where status = 'running' and id > ? order by id limit ?";

pub(super) fn running(db: &Connection, after: Option<&RunId>, most: usize) -> Result<Vec<RunningRun>, NotDone> {
    let mut find = db.prepare_cached(RUNNING)?;
    // Every id is greater than the empty text.
    let mut rows = find.query(params![after.map_or("", RunId::as_str), limit(most)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let run = parse("a run", RunId::parse(&row.get::<_, String>(0)?))?;
        let what = format!("the row of run `{run}`");
        found.push(RunningRun {
            skill: parse(&what, SkillName::parse(&row.get::<_, String>(1)?))?,
            created_at: stamp(row.get(2)?),
            holder: read_holder(&what, row.get(3)?)?,
            epoch: Epoch(row.get::<_, i64>(4)?.unsigned_abs()),
            run,
        });
    }
    Ok(found)
}

fn read_holder(what: &str, holder: Option<String>) -> Result<Option<WorkerId>, NotDone> {
    holder.map(|id| parse(what, WorkerId::parse(&id))).transpose()
}

/// Returns all runs with their launches, newest first.
pub(super) fn names(db: &Connection) -> Result<Vec<(RunId, String)>, NotDone> {
    let mut find = db.prepare_cached("select id, launch from runs order by id desc")?;
    let mut rows = find.query([])?;
    let mut names = Vec::new();
    while let Some(row) = rows.next()? {
        names.push((parse("a run", RunId::parse(&row.get::<_, String>(0)?))?, row.get(1)?));
    }
    Ok(names)
}

pub(super) fn remove(db: &Connection, run: &RunId) -> Result<(), NotDone> {
    let row = row(db, run)?;
    if !may_be_removed(row.status, row.holder.as_ref()) {
        let (run, status) = (run.clone(), row.status);
        return Err(NotDone::Journal(JournalError::NotOver { run, status }));
    }
    let key = key(db, run)?;
    for table in ["entries", "lines", "waits", "mail", "inbox"] {
        db.prepare_cached(&format!("delete from {table} where run = ?"))?
            .execute([key])?;
    }
    db.prepare_cached("delete from runs where key = ?")?.execute([key])?;
    // Its files go next, and somebody has to know of them if that is cut short.
    db.prepare_cached("insert or ignore into removed (run) values (?)")?
        .execute([run.as_str()])?;
    if !row.superseded {
        // What is left of the launch is known by its newest run.
        let launch = row.launch.as_str();
        let sql = "select key from runs where launch = ? order by id desc limit 1";
        let left = db
            .prepare_cached(sql)?
            .query_row([launch], |row| row.get::<_, i64>(0))
            .optional()?;
        match left {
            Some(newest) => db
                .prepare_cached("update launches set run = ? where id = ?")?
                .execute(params![newest, launch])?,
            None => db
                .prepare_cached("delete from launches where id = ?")?
                .execute([launch])?,
        };
    }
    Ok(())
}

/// Which runs are forgotten for their age.
pub(super) struct Prunable {
    before: i64,
    /// As JSON.
    statuses: String,
}

impl Prunable {
    const SQL: &str = "select id from runs where status in (select value from json_each(?1))
        and (select at from entries where entries.run = key order by seq desc limit 1) < ?2
        and not exists (select 1 from inbox where inbox.run = key and at >= ?2)
        and (status <> 'parked' or (holder is null and not exists (select 1 from mail where mail.run = key)))";

    pub(super) fn new(before: Timestamp, statuses: &[Status]) -> Self {
        let statuses = statuses.iter().filter(|status| may_be_pruned(**status));
        let statuses: Vec<&str> = statuses.map(|status| status.as_str()).collect();
        Self {
            before: time(before),
            statuses: serde_json::to_string(&statuses).expect("words serialise"),
        }
    }

    /// Returns all of them.
    pub(super) fn all(&self, db: &Connection) -> Result<Vec<RunId>, NotDone> {
        let mut find = db.prepare_cached(&format!("{} order by id", Self::SQL))?;
        let mut rows = find.query(params![self.statuses, self.before])?;
        let mut old = Vec::new();
        while let Some(row) = rows.next()? {
            old.push(parse("a run", RunId::parse(&row.get::<_, String>(0)?))?);
        }
        Ok(old)
    }

    /// Removes those of `runs` that still are, and returns them: somebody may go on with one that is parked.
    pub(super) fn remove(&self, db: &Connection, runs: &[RunId]) -> Result<Vec<RunId>, NotDone> {
        let mut look = db.prepare_cached(&format!("{} and id = ?3", Self::SQL))?;
        let mut removed = Vec::new();
        for run in runs {
            if look.exists(params![self.statuses, self.before, run.as_str()])? {
                remove(db, run)?;
                removed.push(run.clone());
            }
        }
        Ok(removed)
    }
}

pub(super) fn lease(db: &Connection, run: &RunId) -> Result<Lease, NotDone> {
    let sql = "select holder, epoch from runs where id = ?";
    let lease = db.prepare_cached(sql)?.query_row([run.as_str()], |row| {
        Ok((row.get::<_, Option<String>>(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
    });
    let Some((holder, epoch)) = lease.optional()? else {
        return Err(unknown(run));
    };
    let what = format!("the lease of run `{run}`");
    Ok(Lease {
        holder: read_holder(&what, holder)?,
        epoch: Epoch(epoch),
    })
}

pub(super) fn claim(db: &Connection, run: &RunId, worker: &WorkerId, seen: &Lease) -> Result<Taken, NotDone> {
    let lease = lease(db, run)?;
    if lease != *seen {
        return Ok(Taken::Changed(lease));
    }
    let epoch = lease.epoch.next();
    let sql = "update runs set holder = ?, epoch = ?, held_from = (select coalesce(max(seq) + 1, 0) from entries where entries.run = key) where id = ?";
    db.prepare_cached(sql)?
        .execute(params![worker.as_str(), super::apply::count(epoch.0), run.as_str()])?;
    Ok(Taken::At(epoch))
}

pub(super) fn release(db: &Connection, run: &RunId, epoch: Epoch) -> Result<(), NotDone> {
    key(db, run)?;
    let sql = "update runs set holder = null where id = ? and epoch = ?";
    db.prepare_cached(sql)?
        .execute(params![run.as_str(), super::apply::count(epoch.0)])?;
    Ok(())
}

/// Returns the key of a run's row.
pub(super) fn key(db: &Connection, run: &RunId) -> Result<i64, NotDone> {
    let key = db
        .prepare_cached("select key from runs where id = ?")?
        .query_row([run.as_str()], |row| row.get(0));
    key.optional()?.ok_or_else(|| unknown(run))
}

fn unknown(run: &RunId) -> NotDone {
    NotDone::Journal(JournalError::UnknownRun { run: run.clone() })
}

/// Passes on what was parsed, or says which row it was in.
pub(super) fn parse<T>(what: &str, parsed: Result<T, IdError>) -> Result<T, NotDone> {
    parsed.map_err(|error| {
        NotDone::Journal(JournalError::DamagedRow {
            what: what.to_owned(),
            why: error.to_string(),
        })
    })
}

/// Returns a time as the rest of the host holds it.
pub(super) fn stamp(at: i64) -> Timestamp {
    Timestamp(at.unsigned_abs())
}

/// Returns a limit as SQLite takes it.
pub(super) fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(-1)
}

pub(super) fn status_from_text(text: &str) -> Option<Status> {
    let all = [
        Status::Running,
        Status::Waiting,
        Status::Parked,
        Status::Paused,
        Status::Done,
        Status::Failed,
        Status::Cancelled,
        Status::Continued,
    ];
    all.into_iter().find(|status| status.as_str() == text)
}

pub(super) fn path_to_sql(path: &Path) -> ToSqlOutput<'static> {
    ToSqlOutput::Owned(match path.to_str() {
        Some(text) => Value::Text(text.to_owned()),
        None => Value::Blob(path.as_os_str().as_bytes().to_vec()),
    })
}

pub(super) fn path_from_sql(value: ValueRef<'_>) -> Option<PathBuf> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(PathBuf::from(OsString::from_vec(bytes.to_vec()))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema::plan;

    #[test]
    fn runs_of_a_status_are_found_without_reading_all_others() {
        let plan = plan(&rows_sql(true));
        let by_status = plan.iter().any(|step| step.contains("runs_by_status (status=?)"));
        let scans: Vec<_> = plan.iter().filter(|step| step.starts_with("SCAN runs")).collect();
        assert!(by_status && scans.is_empty(), "{plan:#?}");
    }

    #[test]
    fn those_that_run_are_found_in_parts_without_sorting() {
        let plan = plan(RUNNING);
        assert_eq!(plan, ["SEARCH runs USING INDEX runs_by_status (status=? AND id>?)"]);
    }

    #[test]
    fn the_newest_runs_are_found_without_sorting_all() {
        let plan = plan(&rows_sql(false));
        let sorts = plan.iter().filter(|step| step.contains("TEMP B-TREE")).count();
        // The few that were found.
        assert_eq!(sorts, 1, "{plan:#?}");
    }
}
