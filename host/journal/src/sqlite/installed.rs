//! What is installed, as it was last found in folders of skills.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use skillhost_core::id::{Digest, SkillName};

use super::NotDone;
use super::apply::time;
use super::runs::{parse, path_from_sql, path_to_sql};
use crate::error::JournalError;
use crate::installed::{InstalledRow, Problem, SkillPlace};

const COLUMNS: &str = "library, skill, bundle, component, at, problem";

pub(super) fn put(db: &Connection, row: &InstalledRow) -> Result<(), NotDone> {
    let sql = format!("insert or replace into installed ({COLUMNS}) values (?, ?, ?, ?, ?, null)");
    db.prepare_cached(&sql)?.execute(params![
        path_to_sql(&row.place.folder),
        row.place.skill.as_str(),
        row.bundle.to_string(),
        row.component.to_string(),
        time(row.at)
    ])?;
    Ok(())
}

pub(super) fn note_problem(db: &Connection, place: &SkillPlace, problem: &Problem) -> Result<(), NotDone> {
    let problem = serde_json::to_string(problem).expect("texts serialise");
    let sql = "update installed set problem = ? where library = ? and skill = ?";
    db.prepare_cached(sql)?
        .execute(params![problem, path_to_sql(&place.folder), place.skill.as_str()])?;
    Ok(())
}

pub(super) fn remove(db: &Connection, place: &SkillPlace) -> Result<(), NotDone> {
    let sql = "delete from installed where library = ? and skill = ?";
    db.prepare_cached(sql)?
        .execute(params![path_to_sql(&place.folder), place.skill.as_str()])?;
    Ok(())
}

pub(super) fn get(db: &Connection, place: &SkillPlace) -> Result<Option<InstalledRow>, NotDone> {
    let sql = format!("select {COLUMNS} from installed where library = ? and skill = ?");
    let mut find = db.prepare_cached(&sql)?;
    let folder = path_to_sql(&place.folder);
    let found = find.query_row(params![folder, place.skill.as_str()], |row| Ok(read(row)));
    found.optional()?.transpose()
}

pub(super) fn all(db: &Connection) -> Result<Vec<InstalledRow>, NotDone> {
    let sql = format!("select {COLUMNS} from installed order by library, skill");
    let mut find = db.prepare_cached(&sql)?;
    let rows = find.query_map([], |row| Ok(read(row)))?;
    rows.map(|row| row?).collect()
}

fn read(row: &Row<'_>) -> Result<InstalledRow, NotDone> {
    let skill: String = row.get(1)?;
    let what = format!("installed skill {skill}");
    let damaged = |why: String| JournalError::DamagedRow {
        what: what.clone(),
        why,
    };
    let problem: Option<String> = row.get(5)?;
    let problem = problem.map(|text| serde_json::from_str::<Problem>(&text));
    Ok(InstalledRow {
        place: SkillPlace {
            folder: path_from_sql(row.get_ref(0)?).ok_or_else(|| damaged("its folder is no path".to_owned()))?,
            skill: parse(&what, SkillName::parse(&skill))?,
        },
        bundle: parse(&what, Digest::parse(&row.get::<_, String>(2)?))?,
        component: parse(&what, Digest::parse(&row.get::<_, String>(3)?))?,
        at: skillhost_core::time::Timestamp(row.get::<_, i64>(4)?.unsigned_abs()),
        problem: problem.transpose().map_err(|e| damaged(e.to_string()))?,
    })
}
