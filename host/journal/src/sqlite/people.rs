//! What people and other processes see and leave: waits, the mailbox, the inbox.

use rusqlite::{Connection, params};
use skillhost_core::id::{Epoch, LaunchId, MailId, Number, RunId, SignalName, SkillName};
use skillhost_core::machine::{Command, Local, Mail, Source, Wait};
use skillhost_core::time::Timestamp;

use super::NotDone;
use super::apply::{apply_local, count, forget_trouble, time};
use super::runs::{key, limit, parse, row, stamp, status_from_text};
use crate::error::JournalError;
use crate::failpoint;
use crate::rows::{DueRun, InboxFilter, InboxId, InboxRow, Trouble, WaitRow, asked_by, check_asked};

pub(super) fn waits(db: &Connection, run: &RunId) -> Result<Vec<WaitRow>, NotDone> {
    let key = key(db, run)?;
    let mut find = db.prepare_cached("select number, kind, name, deadline from waits where run = ? order by number")?;
    let mut rows = find.query([key])?;
    let mut waits = Vec::new();
    while let Some(row) = rows.next()? {
        let number = Number(row.get::<_, i64>(0)?.unsigned_abs());
        let kind: String = row.get(1)?;
        let name: Option<String> = row.get(2)?;
        let damaged = || {
            damaged(
                format!("the wait of call {number} of run `{run}`"),
                format!("it is for `{kind}` {name:?}"),
            )
        };
        let signal = name.as_deref().and_then(|name| SignalName::parse(name).ok());
        let child = name.as_deref().and_then(|name| RunId::parse(name).ok());
        let wait = match (kind.as_str(), signal) {
            ("skill", _) => Wait::Skill(child.ok_or_else(damaged)?),
            ("timer", None) => Wait::Timer,
            ("event", Some(name)) => Wait::Event(name),
            ("question", Some(name)) => Wait::Question(name),
            ("decision", None) => Wait::Decision,
            _ => return Err(damaged()),
        };
        let deadline = row.get::<_, Option<i64>>(3)?.map(stamp);
        waits.push(WaitRow { number, wait, deadline });
    }
    Ok(waits)
}

pub(super) fn due(db: &Connection, until: Timestamp) -> Result<Vec<DueRun>, NotDone> {
    let sql = "select runs.id, min(deadline), status from waits join runs on runs.key = waits.run
        where deadline <= ? group by runs.key order by min(deadline), runs.id";
    let mut find = db.prepare_cached(sql)?;
    let mut rows = find.query([time(until)])?;
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        let run = parse("a run", RunId::parse(&row.get::<_, String>(0)?))?;
        let status: String = row.get(2)?;
        let status = status_from_text(&status)
            .ok_or_else(|| damaged(format!("the row of run `{run}`"), format!("its status is `{status}`")))?;
        let deadline = stamp(row.get(1)?);
        due.push(DueRun { run, deadline, status });
    }
    Ok(due)
}

pub(super) fn next_deadline(db: &Connection, after: Timestamp) -> Result<Option<Timestamp>, NotDone> {
    let sql = "select min(deadline) from waits where deadline > ?";
    let earliest = db
        .prepare_cached(sql)?
        .query_row([time(after)], |row| row.get::<_, Option<i64>>(0))?;
    Ok(earliest.map(stamp))
}

/// Says that attempts at a run fail, in its row and in the inbox, unless its lease passed on.
pub(super) fn park(db: &Connection, run: &RunId, epoch: Epoch, trouble: &Trouble) -> Result<(), NotDone> {
    let row = row(db, run)?;
    if row.epoch != epoch || row.status.is_final() {
        return Ok(());
    }
    let key = key(db, run)?;
    let why = serde_json::to_string(trouble).expect("a trouble serialises");
    let sql = "update runs set status = 'parked', trouble = ? where key = ?";
    db.prepare_cached(sql)?.execute(params![why, key])?;
    // What was said before is not true any more, or not news.
    forget_trouble(db, key)?;
    let (title, body) = trouble.announce(&row.skill);
    let post = Local::Post {
        source: Source::Trouble,
        at: trouble.at,
        title,
        body,
        attachments: Vec::new(),
    };
    Ok(apply_local(db, key, &post)?)
}

pub(super) fn post_mail(db: &Connection, run: &RunId, at: Timestamp, command: &Command) -> Result<MailId, NotDone> {
    let status = row(db, run)?.status;
    if status.is_final() {
        let run = run.clone();
        return Err(NotDone::Journal(JournalError::Over { run, status }));
    }
    if let Some((number, asked)) = asked_by(command) {
        let open = waits(db, run)?.into_iter().find(|wait| wait.number == number);
        let open = open.filter(|wait| asked.fits(&wait.wait) && wait.deadline.is_none_or(|deadline| deadline > at));
        let waiting = mail(db, run)?;
        let waiting = waiting.iter().filter_map(|mail| asked_by(&mail.command));
        check_asked(run, number, open.is_some(), waiting.map(|(number, _)| number))?;
    }
    let command = serde_json::to_string(command).expect("a command serialises");
    let sql = "insert into mail (run, at, command) values (?, ?, ?)";
    let id = db
        .prepare_cached(sql)?
        .insert(params![key(db, run)?, time(at), command])?;
    Ok(MailId(id.unsigned_abs()))
}

pub(super) fn mail(db: &Connection, run: &RunId) -> Result<Vec<Mail>, NotDone> {
    if failpoint::is_unreadable() {
        return Err(damaged(
            format!("the mailbox of run `{run}`"),
            "a test wants that".to_owned(),
        ));
    }
    let key = key(db, run)?;
    let mut find = db.prepare_cached("select id, at, command from mail where run = ? order by id")?;
    let mut rows = find.query([key])?;
    let mut mail = Vec::new();
    while let Some(row) = rows.next()? {
        let id = MailId(row.get::<_, i64>(0)?.unsigned_abs());
        let at = stamp(row.get(1)?);
        let command: String = row.get(2)?;
        let command = serde_json::from_str(&command)
            .map_err(|error| damaged(format!("row {id} of the mailbox of run `{run}`"), error.to_string()))?;
        mail.push(Mail { id, at, command });
    }
    Ok(mail)
}

/// With the `+`, rows are found by what is new about them and not by their run: those that wait for long are not read.
const MAIL_SINCE: &str = "select runs.id, max(mail.id) from mail join runs on runs.key = mail.run
    where mail.id > ? group by +mail.run order by max(mail.id)";

pub(super) fn mail_since(db: &Connection, after: MailId) -> Result<Vec<(RunId, MailId)>, NotDone> {
    let mut find = db.prepare_cached(MAIL_SINCE)?;
    let mut rows = find.query([count(after.0)])?;
    let mut newest = Vec::new();
    while let Some(row) = rows.next()? {
        let run = parse("a run", RunId::parse(&row.get::<_, String>(0)?))?;
        newest.push((run, MailId(row.get::<_, i64>(1)?.unsigned_abs())));
    }
    Ok(newest)
}

pub(super) fn inbox(db: &Connection, filter: &InboxFilter) -> Result<Vec<InboxRow>, NotDone> {
    // Two statements, because one with `or` would not use the index of unseen entries.
    let which = if filter.dismissed {
        "true"
    } else {
        "dismissed_at is null"
    };
    let mut find = db.prepare_cached(&format!(
        "select inbox.id, runs.id, launch, skill, simulated, source, at, title, body, attachments, dismissed_at
        from inbox join runs on runs.key = inbox.run where {which} and (?1 is null or runs.id = ?1) order by inbox.id desc limit ?2"
    ))?;
    let run = filter.run.as_ref().map(RunId::as_str);
    let mut rows = find.query(params![run, limit(filter.most.unwrap_or(usize::MAX))])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id = InboxId(row.get::<_, i64>(0)?.unsigned_abs());
        let what = format!("inbox entry {id}");
        let source: String = row.get(5)?;
        let attachments: String = row.get(9)?;
        found.push(InboxRow {
            id,
            run: parse(&what, RunId::parse(&row.get::<_, String>(1)?))?,
            launch: parse(&what, LaunchId::parse(&row.get::<_, String>(2)?))?,
            skill: parse(&what, SkillName::parse(&row.get::<_, String>(3)?))?,
            simulated: row.get(4)?,
            source: source_from_text(&source)
                .ok_or_else(|| damaged(what.clone(), format!("its source is `{source}`")))?,
            at: stamp(row.get(6)?),
            title: row.get(7)?,
            body: row.get(8)?,
            attachments: serde_json::from_str(&attachments)
                .map_err(|error| damaged(what.clone(), error.to_string()))?,
            dismissed_at: row.get::<_, Option<i64>>(10)?.map(stamp),
        });
    }
    Ok(found)
}

pub(super) fn source_from_text(text: &str) -> Option<Source> {
    match text {
        "finished" => return Some(Source::Finished),
        "trouble" => return Some(Source::Trouble),
        "budget" => return Some(Source::Budget),
        _ => {}
    }
    let (kind, number) = text.split_once(' ')?;
    let number = Number(number.parse().ok()?);
    match kind {
        "message" => Some(Source::Message(number)),
        "question" => Some(Source::Question(number)),
        "decision" => Some(Source::Decision(number)),
        _ => None,
    }
}

pub(super) fn dismiss(db: &Connection, entries: Option<&[InboxId]>, at: Timestamp) -> Result<u64, NotDone> {
    let Some(entries) = entries else {
        let sql = "update inbox set dismissed_at = ? where dismissed_at is null";
        return Ok(db.prepare_cached(sql)?.execute([time(at)])? as u64);
    };
    let mut update = db.prepare_cached("update inbox set dismissed_at = ? where id = ? and dismissed_at is null")?;
    let mut dismissed = 0;
    for entry in entries {
        dismissed += update.execute(params![time(at), count(entry.0)])? as u64;
    }
    Ok(dismissed)
}

pub(super) fn damaged(what: String, why: String) -> NotDone {
    NotDone::Journal(JournalError::DamagedRow { what, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema::plan;

    #[test]
    fn new_mail_is_found_without_reading_what_was_there() {
        let plan = plan(MAIL_SINCE);
        let by_age = plan
            .iter()
            .any(|step| step == "SEARCH mail USING INTEGER PRIMARY KEY (rowid>?)");
        assert!(by_age, "{plan:#?}");
    }
}
