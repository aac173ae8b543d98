//! A look at the inbox by somebody who is in a hurry and must change nothing: no file is made, no format is brought up to date, nobody is waited for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, params};
use skillhost_core::id::{RunId, SkillName};
use skillhost_core::machine::Source;

use super::people::{damaged, source_from_text};
use super::runs::{limit, parse};
use super::{NotDone, schema};
use crate::error::JournalError;
use crate::rows::InboxId;

/// A look at the inbox of a database that is there.
pub struct Glance {
    db: Connection,
    path: PathBuf,
}

/// What is seen of an inbox entry at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlanceRow {
    /// Names it.
    pub id: InboxId,
    /// The run it is from.
    pub run: RunId,
    /// The skill.
    pub skill: SkillName,
    /// Whether the run's models answer from a script.
    pub simulated: bool,
    /// What of the run it is from.
    pub source: Source,
    /// One line.
    pub title: String,
}

/// Found by what runs wait for and by what is unread, so that dismissed entries, which may be many, are not read: `cross join` keeps SQLite to that
/// order.
const ASKING: &str = "inbox.id in (
    select id from inbox where dismissed_at is null and source = 'trouble'
    union select inbox.id from waits cross join inbox on inbox.run = waits.run and inbox.source = waits.kind || ' ' || waits.number
        where waits.kind in ('question', 'decision'))";

impl Glance {
    /// Opens the database at `path` for reading, and waits `busy` at most for others that have it locked.
    pub fn open(path: &Path, busy: Duration) -> Result<Self, JournalError> {
        let trouble = |error: rusqlite::Error| NotDone::from(error).at(path, "open");
        Ok(Self {
            db: schema::open_to_look(path, busy).map_err(trouble)?,
            path: path.to_owned(),
        })
    }

    /// Returns how many entries nobody has seen to.
    pub fn unread(&self) -> Result<u64, JournalError> {
        let sql = "select count(*) from inbox where dismissed_at is null";
        let count = self.db.query_row(sql, [], |row| row.get::<_, i64>(0));
        Ok(count
            .map_err(|error| NotDone::from(error).at(&self.path, "read"))?
            .unsigned_abs())
    }

    /// Returns the entries that ask for something, newest first: unread trouble, and what runs wait for although it was dismissed. They go away by themselves
    /// when nothing is asked any more.
    pub fn asking(&self, most: usize) -> Result<Vec<GlanceRow>, JournalError> {
        self.rows(ASKING, most)
    }

    /// Returns the other unread entries, newest first.
    pub fn telling(&self, most: usize) -> Result<Vec<GlanceRow>, JournalError> {
        self.rows(
            "dismissed_at is null
                and not (source = 'trouble' or source like 'question %' or source like 'decision %')",
            most,
        )
    }

    fn rows(&self, which: &str, most: usize) -> Result<Vec<GlanceRow>, JournalError> {
        rows(&self.db, which, most).map_err(|trouble| trouble.at(&self.path, "read"))
    }
}

fn sql(which: &str) -> String {
    format!(
        "select inbox.id, runs.id, skill, simulated, source, title from inbox join runs on runs.key = inbox.run
        where {which} order by inbox.id desc limit ?"
    )
}

fn rows(db: &Connection, which: &str, most: usize) -> Result<Vec<GlanceRow>, NotDone> {
    let mut find = db.prepare(&sql(which))?;
    let mut rows = find.query(params![limit(most)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id = InboxId(row.get::<_, i64>(0)?.unsigned_abs());
        let what = format!("inbox entry {id}");
        let source: String = row.get(4)?;
        found.push(GlanceRow {
            id,
            run: parse(&what, RunId::parse(&row.get::<_, String>(1)?))?,
            skill: parse(&what, SkillName::parse(&row.get::<_, String>(2)?))?,
            simulated: row.get(3)?,
            source: source_from_text(&source).ok_or_else(|| damaged(what, format!("its source is `{source}`")))?,
            title: row.get(5)?,
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema::plan;

    #[test]
    fn what_asks_is_found_without_reading_what_was_dismissed() {
        let plan = plan(&sql(ASKING));
        let reads_all = plan
            .iter()
            .any(|step| step.starts_with("SCAN inbox") && !step.contains("inbox_unseen"));
        assert!(!reads_all, "{plan:#?}");
    }
}
