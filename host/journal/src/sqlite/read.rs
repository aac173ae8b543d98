//! Reads entries and lines back, and believes nothing that it reads, unless a seal vouches for it.

use std::borrow::Cow;
use std::collections::HashMap;

use rusqlite::{Connection, Row, params};
use skillhost_core::entry::{Entry, Record};
use skillhost_core::id::{Digest, RunId, Seq};
use skillhost_core::payload::Payload;
use skillhost_core::planted::{self, Bug};

use super::NotDone;
use super::apply::count;
use super::form::{self, Columns};
use super::pack::{expand, join, link, payload_mut};
use super::runs::{key, limit, stamp};
use super::seal::{self, Sealed};
use crate::error::JournalError;
use crate::journal::Cursor;
use crate::rows::{LineKey, LineRow};

/// How many entries are read in one go: a longer transaction would keep the log from being written back (rule J6).
const PAGE: usize = 1_000;

/// How many bytes of payloads are in memory of what is read in parts: one request of a long conversation may have a million.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// How many bytes of messages are kept at hand for the requests that follow, beside those of the last: most belong to the conversation that goes on.
const MESSAGES_BYTES_MAX: usize = 8 << 20;

pub(super) fn records(db: &Connection, run: &RunId, from: Seq, most: usize) -> Result<Vec<Record>, NotDone> {
    let key = key(db, run)?;
    let mut conversations = Conversations::default();
    let mut records: Vec<Record> = Vec::new();
    loop {
        let wanted = PAGE.min(most - records.len());
        let next = Seq(from.0.saturating_add(records.len() as u64));
        let part = Part {
            from: next,
            most: wanted,
            bytes_max: usize::MAX,
        };
        let found = read_part(db, run, key, &part, &mut conversations, &mut records)?;
        if found < wanted || records.len() == most {
            return Ok(records);
        }
    }
}

/// Returns the next entries: not more than there is room for in memory, and one at least, unless there is none.
pub(super) fn page(db: &Connection, run: &RunId, cursor: &mut Cursor) -> Result<Vec<Record>, NotDone> {
    let key = key(db, run)?;
    let part = Part {
        from: cursor.next,
        most: PAGE,
        bytes_max: PAGE_BYTES_MAX,
    };
    let mut records = Vec::new();
    read_part(db, run, key, &part, &mut cursor.conversations, &mut records)?;
    Ok(records)
}

/// Which entries are read in one go.
struct Part {
    from: Seq,
    most: usize,
    /// Nothing more is read when the payloads have so many bytes.
    bytes_max: usize,
}

fn read_part(
    db: &Connection,
    run: &RunId,
    key: i64,
    part: &Part,
    conversations: &mut Conversations,
    records: &mut Vec<Record>,
) -> Result<usize, NotDone> {
    let sql = "select seq, at, kind, number, function, class, label, after, body, payload, blob, message, message_at, seal from entries
        where run = ? and seq >= ? order by seq limit ?";
    let mut find = db.prepare_cached(sql)?;
    let from = i64::try_from(part.from.0).unwrap_or(i64::MAX);
    let mut rows = find.query(params![key, from, limit(part.most)])?;
    let mut seq = part.from;
    let (mut found, mut bytes) = (0, 0);
    if part.from > Seq(0) {
        // The run is a long one. What grows step by step is copied at each into new memory, which the system clears first.
        records.reserve(part.most.min(PAGE));
    }
    while let Some(row) = rows.next()? {
        let record = read_entry(db, row, seq, (run, key), conversations).map(|(record, length)| {
            bytes += length;
            record
        });
        records.push(record.map_err(|error| match error {
            Bad::NotDone(not_done) => not_done,
            Bad::Entry(what) => NotDone::Journal(JournalError::Damaged {
                run: run.clone(),
                seq,
                what,
            }),
        })?);
        seq = seq.next();
        found += 1;
        if bytes >= part.bytes_max {
            break;
        }
    }
    Ok(found)
}

/// What is wrong with an entry, or with reading at all.
enum Bad {
    Entry(String),
    NotDone(NotDone),
}

impl From<rusqlite::Error> for Bad {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(..) => Self::NotDone(error.into()),
            // The value is not of the column's type, or no UTF-8.
            other => Self::Entry(other.to_string()),
        }
    }
}

impl From<String> for Bad {
    fn from(what: String) -> Self {
        Self::Entry(what)
    }
}

/// The row of an entry. Each column is read once: that costs as much as finding the row.
struct FoundRow<'a> {
    seq: i64,
    at: i64,
    columns: Columns<'a>,
    body: &'a str,
    /// The payload, or what is around its messages, if it is short.
    text: Option<&'a str>,
    /// Where it is if it is long.
    blob: Option<i64>,
    message: Option<i64>,
    message_at: Option<i64>,
    seal: Option<i64>,
}

impl<'a> FoundRow<'a> {
    fn read(row: &'a Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            at: row.get(1)?,
            columns: Columns::read(row, 2)?,
            body: row.get_ref(8)?.as_str()?,
            text: row.get_ref(9)?.as_str_or_null()?,
            blob: row.get(10)?,
            message: row.get(11)?,
            message_at: row.get(12)?,
            seal: row.get(13)?,
        })
    }
}

/// A content that was found to be the one of its digest.
struct FoundContent {
    digest: Digest,
    text: String,
}

fn read_entry(
    db: &Connection,
    row: &Row<'_>,
    expected: Seq,
    (run, key): (&RunId, i64),
    conversations: &mut Conversations,
) -> Result<(Record, usize), Bad> {
    let row = FoundRow::read(row)?;
    if row.seq != count(expected.0) {
        return Err(Bad::Entry("it is missing".to_owned()));
    }
    let mut entry = form::entry(&row.columns, row.body)?;
    match &entry {
        Entry::Started(started) if expected != Seq(0) || started.run != *run => {
            return Err(Bad::Entry(format!("it begins run `{}`", started.run)));
        }
        Entry::Started(_) => {}
        _ if expected == Seq(0) => return Err(Bad::Entry("a journal does not begin with it".to_owned())),
        _ => {}
    }
    let content = row.blob.map(|blob| content(db, blob)).transpose()?;
    if let Some(last) = row.message {
        conversations.fetch(db, last)?;
    }
    let text = payload_text(&row, content.as_ref(), conversations)?;
    let length = text.as_ref().map_or(0, |text| text.len());
    let sealed = check_seal(&row, key, content.as_ref(), conversations);
    let payload = match (text, &sealed) {
        (None, _) => None,
        // What is as it was written is JSON, as it was then.
        (Some(text), Ok(true)) => Some(Payload::restored(&text)),
        (Some(text), _) => Some(Payload::parse(&text).map_err(|error| format!("its payload is not JSON: {error}"))?),
    };
    match (payload_mut(&mut entry), payload) {
        (Some(place), Some(payload)) => *place = payload,
        (None, None) => {}
        (Some(_), None) => return Err(Bad::Entry("its payload is missing".to_owned())),
        (None, Some(_)) => return Err(Bad::Entry("it has a payload that does not belong to it".to_owned())),
    }
    sealed?;
    let record = Record {
        seq: expected,
        at: stamp(row.at),
        entry,
    };
    Ok((record, length))
}

/// Checks that the row is the one that was written for this run, and returns whether its seal says so: rows of before format 3 have none. Its contents and messages were found to be those
/// of their digests.
fn check_seal(
    row: &FoundRow<'_>,
    run: i64,
    content: Option<&FoundContent>,
    conversations: &Conversations,
) -> Result<bool, Bad> {
    // Rows of formats 1 to 4 have such a body, and so may those of today: of kinds that stayed as they were.
    let may_be_former = || form::is_whole(row.columns.kind, row.body);
    let Some(seal) = row.seal else {
        return match may_be_former() {
            true => Ok(false),
            false => Err(Bad::Entry("it has no seal".to_owned())),
        };
    };
    let last = row.message.and_then(|last| conversations.read.get(&last));
    let sealed = Sealed {
        seq: row.seq,
        at: row.at,
        columns: row.columns,
        body: row.body,
        payload: match (row.text, content) {
            (Some(text), _) => seal::Payload::Inline(text),
            (None, Some(content)) => seal::Payload::Content(&content.digest),
            (None, None) => seal::Payload::None,
        },
        messages: last.map(|last| &last.digest).zip(row.message_at),
    };
    let is_right = sealed.draft().of_run(run) == seal || (may_be_former() && sealed.former(run) == seal);
    match is_right || planted::is(Bug::SealUnchecked) {
        true => Ok(is_right),
        false => Err(Bad::Entry("it is not what was written".to_owned())),
    }
}

/// Returns the text of the payload, if the row has one.
fn payload_text<'a>(
    row: &FoundRow<'a>,
    content: Option<&'a FoundContent>,
    conversations: &mut Conversations,
) -> Result<Option<Cow<'a, str>>, Bad> {
    let envelope = match (row.text, content) {
        (Some(_), Some(_)) => return Err(Bad::Entry("it has two payloads".to_owned())),
        (text, content) => text.or(content.map(|content| content.text.as_str())),
    };
    match (envelope, row.message, row.message_at) {
        (_, Some(_), None) | (_, None, Some(_)) => Err(Bad::Entry("its messages have no place in it".to_owned())),
        (None, Some(_), Some(_)) => Err(Bad::Entry("its payload is missing".to_owned())),
        (envelope, None, None) => Ok(envelope.map(Cow::Borrowed)),
        (Some(envelope), Some(last), Some(at)) => {
            let messages = conversations.messages_up_to(last);
            let at = usize::try_from(at).ok();
            let text = at.and_then(|at| join(envelope, at, &messages));
            let text = text.ok_or_else(|| "its messages have no place in it".to_owned())?;
            Ok(Some(Cow::Owned(text)))
        }
    }
}

fn content(db: &Connection, key: i64) -> Result<FoundContent, Bad> {
    let mut find = db.prepare_cached("select digest, bytes, form, content from blobs where key = ?")?;
    let mut rows = find.query([key])?;
    let Some(row) = rows.next()? else {
        return Err(Bad::Entry("the content that it refers to is missing".to_owned()));
    };
    let digest = Digest::from(row.get::<_, [u8; 32]>(0)?);
    let form = row.get_ref(2)?.as_str().map_err(|error| error.to_string())?;
    let squeezed = row.get_ref(3)?.as_blob().map_err(|error| error.to_string())?;
    let text = verified_text(&digest, form, row.get(1)?, squeezed)?;
    Ok(FoundContent { digest, text })
}

/// Returns a stored text, if it is the one of this digest.
fn verified_text(digest: &Digest, form: &str, bytes: i64, content: &[u8]) -> Result<String, String> {
    let expanded = expand(form, bytes, content)?;
    if Digest::of(&expanded) != *digest {
        return Err(format!("its content is not the one of digest {}", digest.short()));
    }
    String::from_utf8(expanded).map_err(|_| "its content is not UTF-8".to_owned())
}

/// Messages that were read and found to be right.
#[derive(Debug, Default)]
pub(crate) struct Conversations {
    read: HashMap<i64, Message>,
    bytes: usize,
}

#[derive(Debug)]
struct Message {
    previous: Option<i64>,
    digest: Digest,
    text: String,
}

impl Conversations {
    /// Returns the texts of a message, which was fetched, and all before it.
    fn messages_up_to(&mut self, last: i64) -> Vec<&str> {
        self.forget_others(last);
        let mut texts = Vec::new();
        let mut at = Some(last);
        while let Some(message) = at.map(|key| &self.read[&key]) {
            texts.push(message.text.as_str());
            at = message.previous;
        }
        texts.reverse();
        texts
    }

    /// Keeps the memory bounded in which the messages of a run are that has many conversations.
    fn forget_others(&mut self, last: i64) {
        if self.bytes <= MESSAGES_BYTES_MAX {
            return;
        }
        let mut kept = HashMap::new();
        let mut at = Some(last);
        while let Some((key, message)) = at.and_then(|key| self.read.remove_entry(&key)) {
            at = message.previous;
            kept.insert(key, message);
        }
        self.bytes = kept.values().map(|message| message.text.len()).sum();
        self.read = kept;
    }

    /// Reads a message and all before it, as far as they are not at hand.
    fn fetch(&mut self, db: &Connection, last: i64) -> Result<(), Bad> {
        let sql = "select digest, previous, bytes, form, content from messages where key = ?";
        let mut find = db.prepare_cached(sql)?;
        let mut unverified = Vec::new();
        let mut at = Some(last);
        while let Some(key) = at.filter(|key| !self.read.contains_key(key)) {
            let mut rows = find.query([key])?;
            let Some(row) = rows.next()? else {
                return Err(Bad::Entry(format!("message {key} of its conversation is missing")));
            };
            at = row.get(1)?;
            if at.is_some_and(|previous| previous >= key) {
                return Err(Bad::Entry(format!(
                    "message {key} of its conversation follows a later one"
                )));
            }
            let form = row.get_ref(3)?.as_str().map_err(|error| error.to_string())?;
            let squeezed = row.get_ref(4)?.as_blob().map_err(|error| error.to_string())?;
            let text = String::from_utf8(expand(form, row.get(2)?, squeezed)?);
            let message = Message {
                previous: at,
                digest: Digest::from(row.get::<_, [u8; 32]>(0)?),
                text: text.map_err(|_| format!("message {key} of its conversation is not UTF-8"))?,
            };
            unverified.push((key, message));
        }
        for (key, message) in unverified.into_iter().rev() {
            let before = message.previous.map(|previous| &self.read[&previous].digest);
            if link(before, &message.text) != message.digest {
                return Err(Bad::Entry(format!(
                    "message {key} of its conversation is not the one of its digest"
                )));
            }
            self.bytes += message.text.len();
            self.read.insert(key, message);
        }
        Ok(())
    }
}

pub(super) fn lines(
    db: &Connection,
    run: &RunId,
    after: Option<LineKey>,
    most: usize,
) -> Result<Vec<LineRow>, NotDone> {
    let key = key(db, run)?;
    let sql = "select after, ordinal, at, line from lines where run = ?1 and (?2 is null or (after, ordinal) > (?2, ?3)) order by after, ordinal limit ?4";
    let mut find = db.prepare_cached(sql)?;
    let (outcomes, ordinal) = (after.map(|key| count(key.after)), after.map(|key| count(key.ordinal)));
    let mut rows = find.query(params![key, outcomes, ordinal, limit(most)])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let key = LineKey {
            after: row.get::<_, i64>(0)?.unsigned_abs(),
            ordinal: row.get::<_, i64>(1)?.unsigned_abs(),
        };
        let line = serde_json::from_str(row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?);
        let line = line.map_err(|error| JournalError::DamagedRow {
            what: format!("line {}.{} of run `{run}`", key.after, key.ordinal),
            why: error.to_string(),
        })?;
        let at = stamp(row.get(2)?);
        lines.push(LineRow { key, at, line });
    }
    Ok(lines)
}
