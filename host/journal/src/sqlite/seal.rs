//! The seal of an entry: by it whoever reads knows that the row is the one that was written, at its place, with its payload.
//!
//! SQLite's database file has no checksums, so a bit that flips there, a page of before, or one in the place of another may give a row that reads well. What contents and messages
//! hold is named by digest anyway; the seal binds the entry to those names.
//!
//! It is for accidents, and keeps nobody out: whoever can write the file can write seals, too, whatever they are made of. So it is made by XXH3, whose results are specified, and which
//! costs less than the SHA-256 that the seals of formats 3 and 4 are made of. All but the run's key is known where an entry is packed, in the thread of whoever appends; the writer, whose
//! one thread all runs share, adds the key to the [`Draft`].

use sha2::{Digest as _, Sha256};
use skillhost_core::id::Digest;
use twox_hash::XxHash3_64;

use super::form::Columns;

/// All of an entry's row that a replay reads, but the run.
pub(super) struct Sealed<'a> {
    pub(super) seq: i64,
    pub(super) at: i64,
    pub(super) columns: Columns<'a>,
    pub(super) body: &'a str,
    pub(super) payload: Payload<'a>,
    /// The last message, and where in the payload the messages are.
    pub(super) messages: Option<(&'a Digest, i64)>,
}

/// The payload, as the row has it.
#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
    None,
    /// In the row.
    Inline(&'a str),
    /// Elsewhere.
    Content(&'a Digest),
}

/// A seal that still lacks the run.
#[derive(Clone, Copy, Default)]
pub(super) struct Draft(u64);

impl Draft {
    /// Returns the seal of the row in the run with this key: eight bytes, so that one in 2^64 changes is not noticed.
    pub(super) fn of_run(self, key: i64) -> i64 {
        XxHash3_64::oneshot_with_seed(self.0, &key.to_le_bytes()).cast_signed()
    }
}

impl Sealed<'_> {
    /// Returns the seal but for the run.
    pub(super) fn draft(&self) -> Draft {
        let Columns {
            kind,
            number,
            function,
            class,
            label,
            after,
        } = self.columns;
        let (payload_kind, payload): (i64, &[u8]) = match self.payload {
            Payload::None => (0, b""),
            Payload::Inline(text) => (1, text.as_bytes()),
            Payload::Content(digest) => (2, digest.as_bytes()),
        };
        let (last, message_at): (&[u8], _) = match self.messages {
            Some((last, at)) => (last.as_bytes(), Some(at)),
            None => (b"", None),
        };
        // Which are there is bound, too: an empty label is not the same as none.
        let absent = [
            number.is_none(),
            after.is_none(),
            function.is_none(),
            class.is_none(),
            label.is_none(),
            message_at.is_none(),
        ];
        let absent = absent
            .iter()
            .fold(0, |bits, is_absent| bits << 1 | i64::from(*is_absent));
        let numbers = [
            self.seq,
            self.at,
            number.unwrap_or(0),
            after.unwrap_or(0),
            message_at.unwrap_or(0),
            absent,
            payload_kind,
        ];
        let mut bytes = [0; 7 * 8];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        // Each begins with what came of those before it, and binds its own length: so nothing moves from one to the next.
        let texts = [
            kind.as_bytes(),
            function.unwrap_or("").as_bytes(),
            class.unwrap_or("").as_bytes(),
            label.unwrap_or("").as_bytes(),
            self.body.as_bytes(),
            payload,
            last,
        ];
        let of_numbers = XxHash3_64::oneshot(&bytes);
        Draft(texts.into_iter().fold(of_numbers, XxHash3_64::oneshot_with_seed))
    }

    /// Returns the seal as formats 3 and 4 made it. Their body is the whole entry, so not all columns are bound.
    pub(super) fn former(&self, run: i64) -> i64 {
        let mut hasher = Sha256::new();
        let mut number = |number: i64| hasher.update(number.to_le_bytes());
        number(run);
        number(self.seq);
        number(self.at);
        number(self.columns.number.unwrap_or(-1));
        // How long a text is goes before it, so that nothing moves from one to the next.
        let mut text = |text: &[u8]| {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        };
        text(self.columns.kind.as_bytes());
        text(self.body.as_bytes());
        match self.payload {
            Payload::None => text(b"none"),
            Payload::Inline(payload) => {
                text(b"inline");
                text(payload.as_bytes());
            }
            Payload::Content(digest) => {
                text(b"content");
                text(digest.as_bytes());
            }
        }
        if let Some((last, at)) = self.messages {
            text(last.as_bytes());
            text(&at.to_le_bytes());
        }
        let digest: [u8; 32] = hasher.finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        i64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}
