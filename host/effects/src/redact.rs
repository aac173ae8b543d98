//! Finds secrets in what a server or a program says, and puts their names in their place.
//!
//! A secret is found as it is, and as it is written in JSON, in a URL and in base64, also in the middle of a longer text. Whoever means to hide one can write it in other
//! ways: this is against servers and programs that repeat what they were told, not against those that are up to something.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use skillhost_core::grants::SecretName;
use skillhost_core::secret;

/// What is searched for. By default nothing.
#[derive(Debug, Default)]
pub(crate) struct Redactor {
    /// The longest first, so that of two that begin at one place the longer one goes.
    forms: Vec<Form>,
    /// Which bytes one of them begins with, a bit for each: all are ASCII.
    begins: u128,
    longest: usize,
}

/// A way in which a secret is written.
struct Form {
    bytes: Vec<u8>,
    name: String,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Redactor {
    /// Searches for these secrets.
    pub(crate) fn of(secrets: &BTreeSet<(SecretName, String)>) -> Self {
        let mut forms: Vec<Form> = Vec::new();
        for (name, value) in secrets {
            let name = secret::placeholder(name);
            let written = forms_of(value).into_iter();
            forms.extend(written.map(|bytes| Form {
                bytes,
                name: name.clone(),
            }));
        }
        forms.sort_by_key(|form| std::cmp::Reverse(form.bytes.len()));
        Self {
            begins: forms.iter().fold(0, |begins, form| begins | bit(form.bytes[0])),
            longest: forms.first().map_or(0, |form| form.bytes.len()),
            forms,
        }
    }

    /// Returns whether there is nothing to search for.
    pub(crate) fn is_idle(&self) -> bool {
        self.forms.is_empty()
    }

    /// Puts names in the place of secrets.
    pub(crate) fn bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        if self.is_idle() {
            return bytes;
        }
        let mut redacted = Vec::with_capacity(bytes.len());
        self.pass(&bytes, bytes.len(), &mut redacted);
        redacted
    }

    /// Puts names in the place of secrets.
    pub(crate) fn text(&self, text: String) -> String {
        // What is searched for and what is put in its place is ASCII, so it remains text.
        String::from_utf8_lossy(&self.bytes(text.into_bytes())).into_owned()
    }

    /// Begins with something that comes in pieces.
    pub(crate) fn stream(&self) -> Stream<'_> {
        let held = Vec::new();
        Stream { redactor: self, held }
    }

    /// Passes on what begins before a place, and returns how much that was.
    fn pass(&self, bytes: &[u8], until: usize, to: &mut Vec<u8>) -> usize {
        let mut at = 0;
        while at < until {
            let begins = self.begins & bit(bytes[at]) != 0;
            let found = self.forms.iter().filter(|_| begins);
            match found.into_iter().find(|form| bytes[at..].starts_with(&form.bytes)) {
                Some(form) => {
                    to.extend_from_slice(form.name.as_bytes());
                    at += form.bytes.len();
                }
                None => {
                    to.push(bytes[at]);
                    at += 1;
                }
            }
        }
        at
    }
}

/// What comes in pieces, of which a secret may be in several.
pub(crate) struct Stream<'a> {
    redactor: &'a Redactor,
    /// What may be the beginning of a secret.
    held: Vec<u8>,
}

impl Stream<'_> {
    /// Takes a piece, and returns what can be passed on. No secret has a line end in it, so whole lines always are.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        if self.redactor.is_idle() {
            return piece.to_vec();
        }
        self.held.extend_from_slice(piece);
        let whole_lines = self
            .held
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let surely_none = (self.held.len() + 1).saturating_sub(self.redactor.longest);
        let mut passed = Vec::with_capacity(self.held.len());
        let until = self
            .redactor
            .pass(&self.held, whole_lines.max(surely_none), &mut passed);
        self.held.drain(..until);
        passed
    }

    /// Returns what is left when nothing more comes.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        self.redactor.bytes(std::mem::take(&mut self.held))
    }
}

fn bit(byte: u8) -> u128 {
    1_u128.checked_shl(byte.into()).unwrap_or(0)
}

/// Returns the ways in which a secret is searched for.
fn forms_of(value: &str) -> BTreeSet<Vec<u8>> {
    let json = serde_json::Value::from(value).to_string();
    let mut forms = BTreeSet::from([value.to_owned(), json[1..json.len() - 1].to_owned()]);
    forms.extend([in_url(value, true), in_url(value, false)]);
    // What stands before it in the text that was encoded decides how its bytes fall into groups of three.
    for before in 0..3 {
        let bytes = [&b"\0\0"[..before], value.as_bytes()].concat();
        let (from, until) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            forms.insert(encoded[from..until].to_owned());
        }
    }
    forms.into_iter().map(String::into_bytes).collect()
}

fn in_url(value: &str, upper: bool) -> String {
    let byte = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ if upper => format!("%{byte:02X}"),
        _ => format!("%{byte:02x}"),
    };
    value.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const VALUE: &str = "s3cr\"t/+ value";

    fn redactor(values: &[(&str, &str)]) -> Redactor {
        let known = values
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), (*value).to_owned()));
        Redactor::of(&known.collect())
    }

    #[test]
    fn a_secret_is_found_in_every_usual_way_of_writing_it() {
        let redactor = redactor(&[("one", VALUE)]);
        for said in [
            format!("token={VALUE};"),
            serde_json::json!({ "token": VALUE }).to_string(),
            "?token=s3cr%22t%2F%2B%20value&".to_owned(),
            "?token=s3cr%22t%2f%2b%20value&".to_owned(),
            VALUE.to_owned(),
            format!("{VALUE}{VALUE}"),
        ] {
            let redacted = redactor.text(said.clone());
            assert!(
                redacted.contains("{{secret:one}}") && !redacted.contains("s3cr"),
                "{said} {redacted}"
            );
        }
        for before in ["", "u", "us", "user:"] {
            for after in ["", "x", "xy", "xyz"] {
                let encoded = STANDARD.encode(format!("{before}{VALUE}{after}"));
                let redacted = redactor.text(format!("Basic {encoded}"));
                assert!(redacted.contains("{{secret:one}}"), "{before:?} {after:?}: {redacted}");
                // A few bits of the first and of the last byte stand beside it.
                assert!(redacted.len() < "Basic {{secret:one}}".len() + before.len() * 4 / 3 + after.len() * 4 / 3 + 8);
            }
        }
        assert_eq!(redactor.text("s3cr\"t/+ valu".to_owned()), "s3cr\"t/+ valu");
    }

    #[test]
    fn of_two_secrets_the_longer_one_is_found() {
        let redactor = redactor(&[("short", "abcdefgh"), ("long", "abcdefghij")]);
        assert_eq!(
            redactor.text("abcdefghij abcdefghi".to_owned()),
            "{{secret:long}} {{secret:short}}i"
        );
    }

    #[test]
    fn a_secret_is_found_however_it_falls_into_pieces_and_whole_lines_are_passed_on_at_once() {
        let redactor = redactor(&[("one", "abcabcabd")]);
        let said = b"x abcabcabcabd y\nabcabcab\n\nabcabcabd".to_vec();
        let expected = b"x abc{{secret:one}} y\nabcabcab\n\n{{secret:one}}".to_vec();
        assert_eq!(redactor.bytes(said.clone()), expected);
        for size in 1..said.len() {
            let mut stream = redactor.stream();
            let mut passed: Vec<u8> = said.chunks(size).flat_map(|piece| stream.push(piece)).collect();
            passed.extend(stream.end());
            assert_eq!(passed, expected, "{size}");
        }
        let mut stream = redactor.stream();
        assert_eq!(stream.push(b"ready?\nabc"), b"ready?\n");
        let idle = Redactor::default();
        assert!(idle.is_idle());
        assert_eq!(idle.stream().push(b"abc"), b"abc");
    }

    #[test]
    fn nothing_that_is_searched_for_is_shown() {
        assert!(!format!("{:?}", redactor(&[("one", VALUE)])).contains("s3cr"));
    }
}
