//! The seal of an entry: by it whoever reads knows that the row is the one that was written, at its place, with its payload.
//!
//! SQLite's database file has no checksums, so a bit that flips there, a page of before, or one in the place of another may give a row that reads well. What contents and messages
//! hold is named by digest anyway; the seal binds the entry to those names.

use sha2::{Digest as _, Sha256};
use skillhost_core::id::Digest;

/// All of an entry's row that is read back.
pub(super) struct Sealed<'a> {
    /// The run's key.
    pub(super) run: i64,
    pub(super) seq: i64,
    pub(super) at: i64,
    pub(super) kind: &'a str,
    pub(super) number: Option<i64>,
    pub(super) body: &'a str,
    pub(super) payload: Payload<'a>,
    /// The last message, and where in the payload the messages are.
    pub(super) messages: Option<(&'a Digest, i64)>,
}

/// The payload, as the row has it.
pub(super) enum Payload<'a> {
    None,
    /// In the row.
    Inline(&'a str),
    /// Elsewhere.
    Content(&'a Digest),
}

impl Sealed<'_> {
    /// Returns the seal: eight bytes of a digest, so that one in 2^64 changes is not noticed.
    pub(super) fn seal(&self) -> i64 {
        let mut hasher = Sha256::new();
        let mut number = |number: i64| hasher.update(number.to_le_bytes());
        number(self.run);
        number(self.seq);
        number(self.at);
        number(self.number.unwrap_or(-1));
        // How long a text is goes before it, so that nothing moves from one to the next.
        let mut text = |text: &[u8]| {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        };
        text(self.kind.as_bytes());
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
