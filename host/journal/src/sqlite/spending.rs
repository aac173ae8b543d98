//! What was spent on models, read from the columns and the bodies of entries: payloads stay where they are.

use rusqlite::{Connection, params};
use skillhost_core::id::SkillName;

use super::NotDone;
use super::form::{self, Columns};
use super::people::damaged;
use super::runs::stamp;
use crate::spending::{Ledger, Spending};

/// How many entries are read in one go: a longer transaction would keep the log from being written back (rule J6).
const PAGE: i64 = 20_000;

/// In the order in which they were written. An answer that does not say what was spent leaves what was reserved.
const ENTRIES: &str = "select id, run, at, resource, body, kind, number, function, class, label, after from entries
    where id > ?1 and id <= ?1 + ?2 and (?3 is null or run in (select key from runs where skill = ?3))
        and (kind in ('started', 'retried')
            or (kind in ('c', 'called') and function in ('m', 'model.complete'))
            or (kind in ('r', 'returned') and (substr(body, 1, 1) = '[' or instr(body, '\"spent\"'))))
    order by id";

pub(super) fn all(db: &Connection, skill: Option<&SkillName>, each: &mut dyn FnMut(Spending)) -> Result<(), NotDone> {
    let mut ledger = Ledger::new(each);
    let last: i64 = db.query_row("select coalesce(max(id), 0) from entries", [], |row| row.get(0))?;
    let mut find = db.prepare_cached(ENTRIES)?;
    let mut after = 0;
    while after < last {
        let mut rows = find.query(params![after, PAGE, skill.map(SkillName::as_str)])?;
        while let Some(row) = rows.next()? {
            let (id, run): (i64, i64) = (row.get(0)?, row.get(1)?);
            let body = row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?;
            let entry = form::entry(&Columns::read(row, 5)?, body)
                .map_err(|what| damaged(format!("the entry in row {id}"), what))?;
            ledger.take(run, stamp(row.get(2)?), entry, row.get(3)?);
        }
        after += PAGE;
    }
    ledger.end();
    Ok(())
}
