//! Opens what is left of a disk with the real journal, and holds it against what was said.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher as _;
use std::path::Path;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use skillhost_core::entry::{Entry, Record};
use skillhost_core::id::{Digest, RunId};
use skillhost_core::machine::Machine;
use skillhost_journal::{Journal, JournalError, SqliteJournal};
use tempfile::TempDir;

use crate::crew::{Broken, Crew};
use crate::disk::Disk;
use crate::image::{self, Image};
use crate::ledger::{Fact, Ledger};
use crate::vfs::Mounted;
use crate::workload::{DATABASE, Played, settings};

/// What the tables held, one state after the other, and at which moment each could be seen first.
pub(crate) type States = Vec<(usize, u64)>;

/// A folder in which images are looked at.
pub(crate) struct Bench {
    folder: TempDir,
    _mounted: Mounted,
}

/// What has to be there.
pub(crate) struct Owed<'a> {
    pub(crate) played: &'a Played,
    pub(crate) states: &'a States,
    /// When the power went.
    pub(crate) moment: usize,
    /// The state that has to be there, if only one may be.
    pub(crate) exactly: Option<u64>,
    /// Whether runs are driven to their end on what is left.
    pub(crate) goes_on: bool,
    /// Whether the journal's own check is asked.
    pub(crate) is_checked: bool,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("the folder of a test can be made");
        let mounted = Disk::quiet(folder.path());
        Self {
            folder,
            _mounted: mounted,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns what the tables of an image hold, in one number.
    pub(crate) fn state_of(&self, image: &Image) -> Result<u64, Broken> {
        image::write(self.path(), image);
        match image.contains_key(DATABASE) {
            true => state(&self.path().join(DATABASE)).map_err(|error| error.to_string()),
            false => Ok(0),
        }
    }

    /// Judges what an honest disk holds after it lost power.
    pub(crate) fn judge(&self, image: &Image, owed: &Owed<'_>) -> Result<(), Broken> {
        image::write(self.path(), image);
        self.judge_folder(owed)
    }

    /// Judges what lies in the folder.
    pub(crate) fn judge_folder(&self, owed: &Owed<'_>) -> Result<(), Broken> {
        judge_at(self.path(), owed)
    }

    /// Judges what a disk holds that lies: what is there is right, or told as damage.
    pub(crate) fn judge_lie(&self, image: &Image, played: &Played) -> Result<Told, Broken> {
        image::write(self.path(), image);
        judge_lie_at(self.path(), played)
    }
}

/// Judges what lies in a folder after an honest disk lost power.
pub(crate) fn judge_at(folder: &Path, owed: &Owed<'_>) -> Result<(), Broken> {
    let path = folder.join(DATABASE);
    let before = match path.exists() {
        true => state(&path).map_err(|error| format!("the tables cannot be read: {error}"))?,
        false => 0,
    };
    let journal =
        SqliteJournal::open_with(&path, settings()).map_err(|error| format!("it does not open: {error:?}"))?;
    if owed.is_checked {
        check_sound(&journal)?;
    }
    check_state(before, owed)?;
    let ledger = &owed.played.ledger;
    match owed.exactly {
        None => check_facts(&journal, ledger, owed.moment)?,
        // What was told went with what was cut off.
        Some(_) => drop(entries(&journal, ledger)?),
    }
    if !owed.goes_on {
        return Ok(());
    }
    let found = entries(&journal, ledger)?;
    let mut crew = Crew::new(
        journal,
        Ledger::default(),
        &owed.played.programs,
        Digest::of(b""),
        "after",
    );
    crew.finish_all()
        .map_err(|broken| format!("the runs do not go on: {broken}"))?;
    for (run, records) in found {
        let now = crew.journal.all_records(&run).map_err(|error| error.to_string())?;
        if !now.starts_with(&records) {
            return Err(format!("run {run} has other entries when it went on"));
        }
        if Machine::finished(&now).is_none() {
            return Err(format!("run {run} has no end"));
        }
    }
    Ok(())
}

/// The journal's own check finds nothing.
fn check_sound(journal: &SqliteJournal) -> Result<(), Broken> {
    match journal.check() {
        Ok(faults) if faults.is_empty() => Ok(()),
        Ok(faults) => Err(format!("its check says {faults:?}")),
        Err(error) => Err(format!("it cannot be checked: {error}")),
    }
}

/// What is there is what was there after some commit: not before the last that was told, and none that was not begun.
fn check_state(found: u64, owed: &Owed<'_>) -> Result<(), Broken> {
    if let Some(exactly) = owed.exactly {
        return match exactly == found {
            true => Ok(()),
            false => Err("the tables do not hold what they did at that commit".to_owned()),
        };
    }
    if owed.states.is_empty() {
        return Ok(());
    }
    let told = owed.played.ledger.last_before(owed.moment);
    let least = told.and_then(|told| owed.states.iter().rposition(|(first, _)| *first <= told));
    let mut possible = owed.states.iter().skip(least.unwrap_or(0));
    // An empty folder, and a database without a table, are before everything.
    let is_nothing = least.is_none() && found == 0;
    match is_nothing || possible.any(|(first, state)| *first <= owed.moment && *state == found) {
        true => Ok(()),
        false => Err(match owed.states.iter().position(|(_, state)| *state == found) {
            Some(at) => format!("the tables hold state {at}; state {least:?} was told"),
            None => "the tables hold what they never held after a commit".to_owned(),
        }),
    }
}

/// Everything that the journal said is there.
fn check_facts(journal: &SqliteJournal, ledger: &Ledger, moment: usize) -> Result<(), Broken> {
    let found = entries(journal, ledger)?;
    for (run, records) in &found {
        if !ledger.ends[run].contains(&records.len()) {
            return Err(format!(
                "run {run} has {} entries: what was appended together is not there together",
                records.len()
            ));
        }
    }
    let unwanted = ledger.unwanted.iter().filter(|(at, _)| *at <= moment);
    let unwanted: Vec<&RunId> = unwanted.map(|(_, run)| run).collect();
    for fact in ledger.before(moment) {
        let broken = |why: String| Err(format!("{fact:?} was told, and {why}"));
        match fact {
            Fact::Open | Fact::Change => {}
            Fact::Entries(run, count) => {
                let there = found.get(run).map_or(0, Vec::len);
                if (there as u64) < *count && !unwanted.contains(&run) {
                    return broken(format!("there are {there}"));
                }
            }
            Fact::Held(run, epoch) => match journal.run(run) {
                Ok(row) if row.epoch < *epoch => return broken(format!("the epoch is {}", row.epoch)),
                Ok(_) => {}
                Err(_) if unwanted.contains(&run) => {}
                Err(error) => return broken(error.to_string()),
            },
            Fact::Mail(run, id) => {
                let is_there = journal
                    .mail_since(skillhost_core::id::MailId(0))
                    .map_err(|error| error.to_string())?;
                let mut of_runs = is_there.iter().map(|(run, _)| run);
                let lies = of_runs.any(|run| {
                    let mail = journal.mail(run).unwrap_or_default();
                    mail.iter().any(|mail| mail.id == *id)
                });
                let over = journal.run(run).map_or(true, |row| row.status.is_final());
                if !lies && !over && !ledger.taken.contains(id) {
                    return broken("it is not there".to_owned());
                }
            }
            Fact::Bundle(digest) => match journal.bundle(digest) {
                Ok(Some(_)) => {}
                _ if ledger.collected.is_some_and(|at| at <= moment) => {}
                other => return broken(format!("it is {other:?}")),
            },
            Fact::Gone(run) => {
                if found.contains_key(run) {
                    return broken("it is there".to_owned());
                }
            }
        }
    }
    Ok(())
}

/// Returns the entries of every run, each a prefix of what was appended.
fn entries(journal: &SqliteJournal, ledger: &Ledger) -> Result<BTreeMap<RunId, Vec<Record>>, Broken> {
    let mut found = BTreeMap::new();
    for (run, appended) in &ledger.appended {
        match journal.all_records(run) {
            Ok(records) => {
                check_prefix(run, &records, appended)?;
                found.insert(run.clone(), records);
            }
            Err(JournalError::UnknownRun { .. }) => {}
            Err(error) => return Err(format!("run {run} cannot be read: {error}")),
        }
    }
    Ok(found)
}

/// Returns an entry as it is recorded if its day has no room for what it reserves: whoever commits decides that.
fn without_reservation(record: &Record) -> Record {
    let mut record = record.clone();
    match &mut record.entry {
        Entry::Called(called) => {
            let called = Arc::make_mut(called);
            (called.reserved, called.reserved_day) = (None, None);
        }
        Entry::Retried(retried) => (retried.reserved, retried.reserved_day) = (None, None),
        _ => {}
    }
    record
}

fn check_prefix(run: &RunId, records: &[Record], appended: &[Record]) -> Result<(), Broken> {
    let is_another = |(found, given): (&Record, &Record)| found != given && *found != without_reservation(given);
    match records.iter().zip(appended).position(is_another) {
        Some(at) => Err(format!(
            "entry {at} of run {run} is {:?}, and {:?} was appended",
            records[at], appended[at]
        )),
        None if records.len() > appended.len() => Err(format!(
            "run {run} has {} entries, and {} were appended",
            records.len(),
            appended.len()
        )),
        None => Ok(()),
    }
}

/// How a disk was found that lied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    /// All that can be read is right.
    Sound,
    /// Damage was told, and all that could be read is right.
    Damaged,
    /// It did not open, with an error.
    Closed,
}

fn judge_lie_at(folder: &Path, played: &Played) -> Result<Told, Broken> {
    let Ok(journal) = SqliteJournal::open_with(&folder.join(DATABASE), settings()) else {
        return Ok(Told::Closed);
    };
    let mut told = match journal.check() {
        Ok(faults) if faults.is_empty() => Told::Sound,
        _ => Told::Damaged,
    };
    for (run, appended) in &played.ledger.appended {
        match journal.all_records(run) {
            Ok(records) => check_prefix(run, &records, appended)?,
            Err(JournalError::UnknownRun { .. }) => {}
            Err(_) => told = Told::Damaged,
        }
    }
    Ok(told)
}

/// Returns what all tables hold, in one number; zero if there are none.
fn state(path: &Path) -> rusqlite::Result<u64> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let mut find = db.prepare("select name from sqlite_schema where type = 'table' order by name")?;
    let tables: Vec<String> = find.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    if tables.is_empty() {
        return Ok(0);
    }
    let mut hasher = DefaultHasher::new();
    for table in tables {
        hasher.write(table.as_bytes());
        let mut all = db.prepare(&format!("select * from {table}"))?;
        let columns = all.column_count();
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                match row.get_ref(column)? {
                    ValueRef::Null => hasher.write_u8(0),
                    ValueRef::Integer(number) => hasher.write_i64(number),
                    ValueRef::Real(number) => hasher.write_u64(number.to_bits()),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                        hasher.write_usize(bytes.len());
                        hasher.write(bytes);
                    }
                }
            }
        }
    }
    Ok(hasher.finish())
}
