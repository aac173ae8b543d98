//! The form in which entries are stored, and back.
//!
//! An entry has at most one payload. It is taken out of the entry, so that a row can be read by a person, and stored beside it: as text if it is short,
//! else compressed in a table of contents by digest, where the same content is kept once. The messages of a conversation are taken out of the payload in
//! turn and kept once each, however many requests repeat them: without that, an agent loop would cost quadratic space.
//!
//! Whatever the form, reading gives the payload's text back byte for byte: that text is what a replay compares.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use skillhost_core::effect::Function;
use skillhost_core::entry::{Called, Entry, How, Record};
use skillhost_core::id::{Digest, Seq};
use skillhost_core::machine::{Line, Local, Status, Successor, Write};
use skillhost_core::outcome::Outcome;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use std::borrow::Cow;

use super::apply::{count, time};
use super::form::{self, Columns, PLACEHOLDER};
use super::seal::{self, Draft, Sealed};
use crate::rows::status_of;

/// Payloads up to this length stay in their row, where a person can read them. Beyond, compression halves the text, and a row no longer fits a page of 4 KiB
/// several times; below, the row of a content, its digest and its index cost what compression gains.
pub(super) const INLINE_BYTES_MAX: usize = 1_024;

/// Messages up to this length are not compressed: they would not become shorter.
const PLAIN_BYTES_MAX: usize = 256;

/// The fastest level: at the next ones the writer spends twice the time on a tenth less space.
const ZSTD_LEVEL: i32 = 1;

/// The most bytes of one content; what claims more is damaged. SQLite's own bound for a value is a little less.
const CONTENT_BYTES_MAX: usize = 1 << 30;

/// A write in the form of its rows.
pub(super) enum Packed {
    Entry(EntryRow),
    Line {
        after: u64,
        ordinal: u64,
        at: Timestamp,
        line: String,
    },
    Local(Local),
    /// The run that goes on in the place of this one.
    Continue(Box<Next>),
}

/// A run that goes on in the place of another, in the form of its rows.
pub(super) struct Next {
    pub(super) successor: Successor,
    pub(super) first: EntryRow,
}

/// An entry in the form of its row.
pub(super) struct EntryRow {
    pub(super) seq: Seq,
    pub(super) at: Timestamp,
    pub(super) kind: &'static str,
    pub(super) number: Option<u64>,
    /// The call that it is the entry of.
    pub(super) called: Option<Arc<Called>>,
    pub(super) resource: Option<String>,
    pub(super) body: String,
    pub(super) payload: Stored,
    pub(super) draft: Draft,
    pub(super) change: Option<Change>,
}

impl EntryRow {
    /// Returns what the columns say of the entry.
    pub(super) fn columns(&self) -> Columns<'_> {
        let called = self.called.as_deref();
        Columns {
            kind: self.kind,
            number: self.number.map(count),
            function: called.map(|called| called.function.name()),
            class: called.and_then(form::class),
            label: called.and_then(|called| called.options.label.as_deref()),
            after: called.map(|called| count(called.after)),
        }
    }

    /// Returns what the seal of the row is made of, but for the run, if its body is this one.
    pub(super) fn draft_with(&self, body: &str) -> Draft {
        let (text, messages) = self.payload.parts();
        let sealed = Sealed {
            seq: count(self.seq.0),
            at: time(self.at),
            columns: self.columns(),
            body,
            payload: match text {
                None => seal::Payload::None,
                Some(Text::Inline(text)) => seal::Payload::Inline(text.as_str()),
                Some(Text::Envelope(text)) => seal::Payload::Inline(text),
                Some(Text::Content(content)) => seal::Payload::Content(&content.digest),
            },
            messages: messages.map(|messages| (messages.last(), count(messages.at() as u64))),
        };
        sealed.draft()
    }
}

/// What an entry changes about its run.
pub(super) enum Change {
    Finished(Status),
    Repinned { bundle: Digest, component: Digest },
}

/// A payload in the form of its rows.
pub(super) enum Stored {
    None,
    Whole(Text),
    Conversation { envelope: Text, messages: Messages },
}

impl Stored {
    /// Returns what the row has or refers to, and the messages that belong into it.
    pub(super) fn parts(&self) -> (Option<&Text>, Option<&Messages>) {
        match self {
            Self::None => (None, None),
            Self::Whole(text) => (Some(text), None),
            Self::Conversation { envelope, messages } => (Some(envelope), Some(messages)),
        }
    }
}

/// A text in its row or beside it.
pub(super) enum Text {
    Inline(Payload),
    Envelope(String),
    Content(Content),
}

/// A content and its name.
pub(super) struct Content {
    pub(super) digest: Digest,
    pub(super) squeezed: Squeezed,
}

/// Bytes, compressed if that makes them shorter.
pub(super) struct Squeezed {
    pub(super) bytes: usize,
    pub(super) form: &'static str,
    pub(super) content: Vec<u8>,
}

/// The messages of a conversation within a payload's text.
pub(super) struct Messages {
    payload: Payload,
    /// Where each is, and the digest of it and all before it.
    links: Vec<(Range<usize>, Digest)>,
}

impl Messages {
    /// Returns where in the payload they begin.
    pub(super) fn at(&self) -> usize {
        self.links.first().map_or(0, |(range, _)| range.start)
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// Returns the digest of a message and all before it.
    pub(super) fn digest(&self, index: usize) -> &Digest {
        &self.links[index].1
    }

    /// Returns the digest of the last message and all before it.
    pub(super) fn last(&self) -> &Digest {
        let (_, digest) = self
            .links
            .last()
            .expect("a conversation is split only if it has a message");
        digest
    }

    /// Returns the text of a message.
    pub(super) fn text(&self, index: usize) -> &str {
        &self.payload.as_str()[self.links[index].0.clone()]
    }
}

/// Turns a write into its rows.
pub(super) fn pack(write: Write) -> Packed {
    match write {
        Write::Entry(record) => Packed::Entry(pack_entry(record)),
        Write::Line {
            after,
            ordinal,
            at,
            line,
        } => Packed::Line {
            after,
            ordinal,
            at,
            line: line_to_json(&line),
        },
        Write::Local(Local::Continue(successor)) => Packed::Continue(Box::new(Next {
            first: pack_entry(first_record(&successor)),
            successor: *successor,
        })),
        Write::Local(local) => Packed::Local(local),
    }
}

/// Returns the first entry of a run that goes on in the place of another.
fn first_record(successor: &Successor) -> Record {
    Record {
        seq: Seq(0),
        at: successor.at,
        entry: Entry::Started(Box::new(successor.started.clone())),
    }
}

fn line_to_json(line: &Line) -> String {
    serde_json::to_string(line).expect("a line serialises")
}

/// Turns an entry into its row.
pub(super) fn pack_entry(record: Record) -> EntryRow {
    let Record { seq, at, mut entry } = record;
    let payload = match &entry {
        // The body of a call does not hold its request, and the machine has the call, too.
        Entry::Called(called) => Some(called.request.clone()),
        _ => payload_mut(&mut entry).map(|place| std::mem::replace(place, PLACEHOLDER.clone())),
    };
    let body = form::body(&entry);
    let change = match &entry {
        Entry::Finished(finished) => Some(Change::Finished(status_of(&finished.how))),
        Entry::Repinned { bundle, component } => Some(Change::Repinned {
            bundle: *bundle,
            component: *component,
        }),
        _ => None,
    };
    let (kind, number) = (entry.kind(), entry.number());
    let called = match entry {
        Entry::Called(called) => Some(called),
        _ => None,
    };
    let is_conversation = |called: &Arc<Called>| called.function == Function::MODEL_COMPLETE;
    let mut row = EntryRow {
        seq,
        at,
        kind,
        number: number.map(|number| number.0),
        resource: called.as_ref().and_then(|called| resource(&called.request)),
        body,
        payload: match payload {
            None => Stored::None,
            Some(payload) => store(payload, called.as_ref().is_some_and(is_conversation)),
        },
        called,
        draft: Draft::default(),
        change,
    };
    row.draft = row.draft_with(&row.body);
    row
}

/// Returns the place of the payload in an entry that has one.
pub(super) fn payload_mut(entry: &mut Entry) -> Option<&mut Payload> {
    match entry {
        Entry::Started(started) => Some(&mut started.input),
        Entry::Called(called) => Some(&mut Arc::make_mut(called).request),
        Entry::Prepared { measured, .. } => Some(measured),
        Entry::Returned(returned) => match &mut returned.outcome {
            Outcome::Ok(payload) => Some(payload),
            Outcome::Err(_) => None,
        },
        Entry::Finished(finished) => match &mut finished.how {
            How::Done(payload) => Some(payload),
            How::Failed(failure) => failure.details.as_mut(),
            How::Cancelled(payload) => payload.as_mut(),
            How::Continued(_) => None,
        },
        Entry::Retried(_) | Entry::Cancelled { .. } | Entry::Expired | Entry::Repinned { .. } => None,
    }
}

/// Returns what a request touches, as far as its members say so.
fn resource(request: &Payload) -> Option<String> {
    let mut found = None;
    let mut request = serde_json::Deserializer::from_str(request.as_str());
    // That nothing is read behind it comes back as an error, and a request that is not of this shape touches nothing that is known.
    request.deserialize_map(Named(&mut found)).ok();
    found
}

/// Looks for the member that names what a request touches. It stands at the head of requests, and a conversation that follows it is long.
struct Named<'a>(&'a mut Option<String>);

impl<'de> Visitor<'de> for Named<'_> {
    type Value = ();

    fn expecting(&self, words: &mut fmt::Formatter<'_>) -> fmt::Result {
        words.write_str("a request")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<(), M::Error> {
        while let Some(member) = members.next_key::<Cow<'_, str>>()? {
            if ["path", "model", "name"].contains(&member.as_ref()) {
                *self.0 = members.next_value()?;
                return Ok(());
            }
            members.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

fn store(payload: Payload, conversation: bool) -> Stored {
    if payload.as_str().len() <= INLINE_BYTES_MAX {
        return Stored::Whole(Text::Inline(payload));
    }
    match conversation.then(|| split(&payload)).flatten() {
        None => Stored::Whole(Text::Content(content_of(payload.as_str().as_bytes()))),
        Some((envelope, messages)) => {
            let envelope = match envelope.len() <= INLINE_BYTES_MAX {
                true => Text::Envelope(envelope),
                false => Text::Content(content_of(envelope.as_bytes())),
            };
            Stored::Conversation { envelope, messages }
        }
    }
}

/// Names a content and makes it shorter.
pub(super) fn content_of(bytes: &[u8]) -> Content {
    Content {
        digest: Digest::of(bytes),
        squeezed: squeeze(bytes),
    }
}

/// Splits a request into its messages and what is around them. `None` if the text is not as our own types write it: then it is stored whole.
fn split(payload: &Payload) -> Option<(String, Messages)> {
    #[derive(Deserialize)]
    struct Conversation<'a> {
        #[serde(borrow)]
        messages: Vec<&'a RawValue>,
    }
    let text = payload.as_str();
    let conversation: Conversation<'_> = serde_json::from_str(text).ok()?;
    let mut links: Vec<(Range<usize>, Digest)> = Vec::with_capacity(conversation.messages.len());
    for message in conversation.messages {
        // A borrowed value lies within the text that it was read from.
        let start = message.get().as_ptr() as usize - text.as_ptr() as usize;
        let range = start..start + message.get().len();
        let previous = links.last();
        if previous.is_some_and(|(before, _)| text.get(before.end..start) != Some(",")) {
            return None;
        }
        let digest = link(previous.map(|(_, digest)| digest), message.get());
        links.push((range, digest));
    }
    let (start, end) = (links.first()?.0.start, links.last()?.0.end);
    let envelope = [&text[..start], &text[end..]].concat();
    let payload = payload.clone();
    Some((envelope, Messages { payload, links }))
}

/// Returns the digest of a message and all before it.
pub(super) fn link(previous: Option<&Digest>, text: &str) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(previous.map_or(&[0; 32], Digest::as_bytes));
    hasher.update(text.as_bytes());
    Digest::from(<[u8; 32]>::from(hasher.finalize()))
}

/// Puts messages back into what was around them.
pub(super) fn join(envelope: &str, at: usize, messages: &[&str]) -> Option<String> {
    let (before, after) = (envelope.get(..at)?, envelope.get(at..)?);
    let messages_bytes: usize = messages.iter().map(|message| message.len() + 1).sum();
    let mut text = String::with_capacity(envelope.len() + messages_bytes);
    text.push_str(before);
    for (index, message) in messages.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(message);
    }
    text.push_str(after);
    Some(text)
}

/// Compresses bytes, if that makes them shorter.
pub(super) fn squeeze(bytes: &[u8]) -> Squeezed {
    thread_local! {
        // A compressor's tables are large, and filling them anew for each entry costs more than the compression.
        static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    }
    let compressed = (bytes.len() > PLAIN_BYTES_MAX).then(|| {
        COMPRESSOR.with_borrow_mut(|compressor| {
            if compressor.is_none() {
                *compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
            }
            compressor.as_mut()?.compress(bytes).ok()
        })
    });
    match compressed.flatten().filter(|compressed| compressed.len() < bytes.len()) {
        Some(content) => Squeezed {
            bytes: bytes.len(),
            form: "zstd",
            content,
        },
        None => Squeezed {
            bytes: bytes.len(),
            form: "plain",
            content: bytes.to_vec(),
        },
    }
}

/// Returns the bytes of a stored content.
pub(super) fn expand(form: &str, bytes: i64, content: &[u8]) -> Result<Vec<u8>, String> {
    let length = usize::try_from(bytes).ok().filter(|bytes| *bytes <= CONTENT_BYTES_MAX);
    let length = length.ok_or_else(|| format!("a content cannot have {bytes} bytes"))?;
    let expanded = match form {
        "plain" => content.to_vec(),
        "zstd" => {
            zstd::bulk::decompress(content, length).map_err(|error| format!("its content is no zstd: {error}"))?
        }
        other => return Err(format!("its content has the unknown form `{other}`")),
    };
    match expanded.len() == length {
        true => Ok(expanded),
        false => Err(format!("its content has {} bytes instead of {length}", expanded.len())),
    }
}
