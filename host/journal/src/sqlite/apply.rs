//! The rows of an append. Everything here runs in a transaction of the writer.

use rusqlite::{Connection, OptionalExtension as _, params};
use skillhost_core::id::{Digest, LaunchId, Number, RunId};
use skillhost_core::machine::{Command, Local, Source, Successor, Wait};
use skillhost_core::time::Timestamp;

use super::pack::{Change, Content, EntryRow, Messages, Next, Packed, Squeezed, Text, squeeze};
use super::seal::Draft;
use super::words;

/// Returns a time as SQLite's integers hold it. Later ones than they reach become the last.
pub(super) fn time(at: Timestamp) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

/// Returns a count as SQLite's integers hold it.
pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number).expect("calls, entries and lines are counted, and nobody counts that far")
}

/// Writes the rows of one write of the run with this key.
pub(super) fn apply(db: &Connection, run: i64, packed: &Packed) -> rusqlite::Result<()> {
    match packed {
        Packed::Entry(entry) => insert_entry(db, run, entry),
        Packed::Line {
            after,
            ordinal,
            at,
            line,
        } => {
            let sql = "insert or ignore into lines (run, after, ordinal, at, line) values (?, ?, ?, ?, ?)";
            let row = params![run, count(*after), count(*ordinal), time(*at), line];
            db.prepare_cached(sql)?.execute(row).map(drop)
        }
        Packed::Local(local) => apply_local(db, run, local),
        Packed::Continue(next) => begin_next(db, run, next),
    }
}

/// Makes the run that goes on in the place of another: its row, its first entry, and what is left of the other's mailbox. The launch is known by it from here on.
fn begin_next(db: &Connection, run: i64, next: &Next) -> rusqlite::Result<()> {
    let Successor { started, at, paused } = &next.successor;
    let sql = "insert into runs (id, launch, skill, status, bundle, component, created_at, epoch, held_from, simulated, caller_folder, silent)
        select ?, launch, skill, ?, bundle, component, ?, 0, 0, simulated, caller_folder, silent from runs where key = ?";
    let status = if *paused { "paused" } else { "running" };
    let key = db
        .prepare_cached(sql)?
        .insert(params![started.run.as_str(), status, time(*at), run])?;
    let sql = "update launches set run = ? where id = ? and run = ?";
    db.prepare_cached(sql)?
        .execute(params![key, started.launch.as_str(), run])?;
    // An answer names a call of the other run.
    let sql = "delete from mail where run = ? and coalesce(command ->> '$.answer', command ->> '$.decide', command ->> '$.child') is not null";
    db.prepare_cached(sql)?.execute([run])?;
    db.prepare_cached("update mail set run = ? where run = ?")?
        .execute([key, run])?;
    insert_entry(db, key, &next.first)
}

pub(super) fn insert_entry(db: &Connection, run: i64, entry: &EntryRow) -> rusqlite::Result<()> {
    insert_entry_as(db, run, entry, (&entry.body, entry.draft))
}

/// Inserts an entry with another body than it was packed with, and so another seal.
pub(super) fn insert_entry_as(
    db: &Connection,
    run: i64,
    entry: &EntryRow,
    (body, draft): (&str, Draft),
) -> rusqlite::Result<()> {
    let (text, messages) = entry.payload.parts();
    let (payload, blob) = match text {
        None => (None, None),
        Some(Text::Inline(text)) => (Some(text.as_str()), None),
        Some(Text::Envelope(text)) => (Some(text.as_str()), None),
        Some(Text::Content(content)) => (None, Some(put_blob(db, content)?)),
    };
    let message = messages.map(|messages| put_messages(db, messages)).transpose()?;
    let message_at = messages.map(|messages| count(messages.at() as u64));
    let columns = entry.columns();
    let sql = "insert into entries (run, seq, at, kind, number, function, class, label, resource, after, body, payload, blob, message, message_at, seal)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    db.prepare_cached(sql)?.execute(params![
        run,
        count(entry.seq.0),
        time(entry.at),
        words::short(columns.kind),
        columns.number,
        columns.function.map(words::short),
        columns.class,
        columns.label,
        entry.resource,
        columns.after,
        body,
        payload,
        blob,
        message,
        message_at,
        draft.of_run(run),
    ])?;
    match &entry.change {
        None => Ok(()),
        Some(Change::Repinned { bundle, component }) => {
            let sql = "update runs set bundle = ?, component = ? where key = ?";
            db.prepare_cached(sql)?
                .execute(params![bundle.to_string(), component.to_string(), run])
                .map(drop)
        }
        Some(Change::Finished(status)) => {
            let sql = "update runs set status = ?, trouble = null, holder = null where key = ?";
            db.prepare_cached(sql)?.execute(params![status.as_str(), run])?;
            // Nothing waits for an answer any more.
            db.prepare_cached("delete from waits where run = ?")?.execute([run])?;
            let sql = "delete from inbox where run = ? and (source like 'question %' or source like 'decision %' or source = 'trouble')";
            db.prepare_cached(sql)?.execute([run]).map(drop)
        }
    }
}

/// Keeps a content, if it is not there, and returns its row.
pub(super) fn put_blob(db: &Connection, content: &Content) -> rusqlite::Result<i64> {
    let mut find = db.prepare_cached("select key from blobs where digest = ?")?;
    if let Some(key) = find
        .query_row([content.digest.as_bytes()], |row| row.get(0))
        .optional()?
    {
        return Ok(key);
    }
    let Squeezed {
        bytes,
        form,
        content: squeezed,
    } = &content.squeezed;
    let sql = "insert into blobs (digest, bytes, form, content) values (?, ?, ?, ?)";
    db.prepare_cached(sql)?
        .insert(params![content.digest.as_bytes(), count(*bytes as u64), form, squeezed])
}

/// Keeps the messages that are not there, and returns the row of the last.
fn put_messages(db: &Connection, messages: &Messages) -> rusqlite::Result<i64> {
    // A message that is there has all before it: so the search begins at the end, and in a conversation that goes on it ends soon.
    let mut find = db.prepare_cached("select key from messages where digest = ?")?;
    let mut found = None;
    let mut next = messages.len();
    while found.is_none() && next > 0 {
        next -= 1;
        let digest: &Digest = messages.digest(next);
        found = find
            .query_row([digest.as_bytes()], |row| row.get::<_, i64>(0))
            .optional()?;
    }
    let first_absent = if found.is_some() { next + 1 } else { 0 };
    let sql = "insert into messages (digest, previous, bytes, form, content) values (?, ?, ?, ?, ?)";
    let mut insert = db.prepare_cached(sql)?;
    for index in first_absent..messages.len() {
        let Squeezed { bytes, form, content } = squeeze(messages.text(index).as_bytes());
        let row = params![
            messages.digest(index).as_bytes(),
            found,
            count(bytes as u64),
            form,
            content
        ];
        found = Some(insert.insert(row)?);
    }
    Ok(found.expect("a conversation is split only if it has a message"))
}

pub(super) fn apply_local(db: &Connection, run: i64, local: &Local) -> rusqlite::Result<()> {
    match local {
        Local::Post {
            source,
            at,
            title,
            body,
            attachments,
        } => {
            let sql =
                "insert or ignore into inbox (run, source, at, title, body, attachments) values (?, ?, ?, ?, ?, ?)";
            let attachments = serde_json::to_string(attachments).expect("paths serialise");
            let row = params![run, source_to_text(*source), time(*at), title, body, attachments];
            db.prepare_cached(sql)?.execute(row).map(drop)
        }
        Local::OpenWait { number, wait, deadline } => {
            let sql = "insert or replace into waits (run, number, kind, name, deadline) values (?, ?, ?, ?, ?)";
            let (kind, name) = wait_to_text(wait);
            let row = params![run, count(number.0), kind, name, deadline.map(time)];
            db.prepare_cached(sql)?.execute(row).map(drop)
        }
        Local::CloseWait { number } => {
            let sql = "delete from waits where run = ? and number = ?";
            db.prepare_cached(sql)?.execute(params![run, count(number.0)])?;
            let sql = "delete from inbox where run = ? and source in (?, ?)";
            let question = source_to_text(Source::Question(*number));
            let decision = source_to_text(Source::Decision(*number));
            db.prepare_cached(sql)?
                .execute(params![run, question, decision])
                .map(drop)
        }
        Local::CancelChild { number, at } => cancel_child(db, run, *number, *at),
        Local::AnswerCaller {
            run: caller,
            number,
            at,
            outcome,
            spent,
        } => {
            let command = Command::Child {
                number: *number,
                outcome: outcome.clone(),
                spent: *spent,
            };
            leave_mail(db, "select key from runs where id = ?1", caller.as_str(), *at, &command)
        }
        Local::TakeMail(mail) => {
            let sql = "delete from mail where id = ? and run = ?";
            db.prepare_cached(sql)?.execute(params![count(mail.0), run]).map(drop)
        }
        Local::Reserve { .. } | Local::Settle { .. } => unreachable!("accounts are kept by the transaction: `Days`"),
        Local::Continue(_) => unreachable!("it has rows of its own: `Packed::Continue`"),
        // How a run ended is said by its last entry alone.
        Local::SetStatus(status) if status.is_final() => Ok(()),
        Local::SetStatus(status) => {
            let sql = "update runs set status = ?, trouble = null where key = ? and status in ('running', 'waiting', 'parked', 'paused')";
            db.prepare_cached(sql)?.execute(params![status.as_str(), run])?;
            forget_trouble(db, run)
        }
    }
}

/// Has the run cancelled that was launched for a call, or whatever goes on in its place.
fn cancel_child(db: &Connection, run: i64, number: Number, at: Timestamp) -> rusqlite::Result<()> {
    let caller: String = db
        .prepare_cached("select id from runs where key = ?")?
        .query_row([run], |row| row.get(0))?;
    let Ok(caller) = RunId::parse(&caller) else {
        return Ok(());
    };
    let launch = LaunchId::of_call(&caller, number);
    let child = "select runs.key from launches join runs on runs.key = launches.run where launches.id = ?1";
    let command = Command::Cancel {
        reason: Some(format!("run {caller}, which called it, no longer waits for it")),
    };
    leave_mail(db, child, launch.as_str(), at, &command)
}

/// Leaves something in the mailbox of another run, unless that is not there or over, or has just that already.
fn leave_mail(db: &Connection, which: &str, id: &str, at: Timestamp, command: &Command) -> rusqlite::Result<()> {
    let command = serde_json::to_string(command).expect("a command serialises");
    let sql = format!(
        "insert into mail (run, at, command) select key, ?2, ?3 from runs
        where key = ({which}) and status in ('running', 'waiting', 'parked', 'paused')
        and not exists (select 1 from mail where run = runs.key and command = ?3)"
    );
    db.prepare_cached(&sql)?
        .execute(params![id, time(at), command])
        .map(drop)
}

/// Takes out of the inbox that attempts at a run fail.
pub(super) fn forget_trouble(db: &Connection, run: i64) -> rusqlite::Result<()> {
    let sql = "delete from inbox where run = ? and source = ?";
    db.prepare_cached(sql)?
        .execute(params![run, source_to_text(Source::Trouble)])
        .map(drop)
}

/// Returns a source as the table spells it.
pub(super) fn source_to_text(source: Source) -> String {
    match source {
        Source::Message(number) => format!("message {number}"),
        Source::Question(number) => format!("question {number}"),
        Source::Decision(number) => format!("decision {number}"),
        Source::Trouble => "trouble".to_owned(),
        Source::Budget => "budget".to_owned(),
        Source::Finished => "finished".to_owned(),
    }
}

fn wait_to_text(wait: &Wait) -> (&'static str, Option<&str>) {
    match wait {
        Wait::Timer => ("timer", None),
        Wait::Event(name) => ("event", Some(name.as_str())),
        Wait::Question(name) => ("question", Some(name.as_str())),
        Wait::Decision => ("decision", None),
        Wait::Skill(run) => ("skill", Some(run.as_str())),
    }
}
