//! The names of things, each a type of its own, so that two cannot be swapped.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::time::Timestamp;

/// A text that is not the id it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct IdError {
    text: String,
    expected: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses the text, which stays as it is.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let valid: fn(&str) -> bool = $valid;
                match valid(text) {
                    true => Ok(Self(text.into())),
                    false => Err(IdError { text: text.chars().take(200).collect(), expected: $expected }),
                }
            }

            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }
    };
}

fn is_word(text: &str, bytes_max: usize) -> bool {
    !text.is_empty()
        && text.len() <= bytes_max
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

text_id! {
    /// Names one journal. 26 characters of Crockford's base 32 in lower case (a ULID), so run ids sort by the time of their making.
    RunId, "a run id (26 letters and digits, as `skillhost list` shows them)",
    |t| t.len() == 26 && t.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
}

text_id! {
    /// Names a launch, and follows it through retries to its newest run. Given by whoever launches (`--id`), else the first run's id.
    LaunchId, "a launch id (1 to 100 letters, digits, `-`, `_`, `.`)", |t| is_word(t, 100)
}

impl LaunchId {
    /// Returns the id of the launch that a call of a skill is (rule K1): whoever launches for the call again finds what was launched.
    pub fn of_call(run: &RunId, number: Number) -> Self {
        Self(format!("{run}.{number}").into())
    }

    /// Returns whether it has the form of such an id.
    pub fn may_be_of_call(&self) -> bool {
        let parts = self.0.rsplit_once('.');
        parts.is_some_and(|(run, number)| RunId::parse(run).is_ok() && number.bytes().all(|b| b.is_ascii_digit()))
    }
}

text_id! {
    /// The name of a skill, which is the name of its folder.
    SkillName, "a skill's name (1 to 64 lower-case letters, digits and hyphens)",
    |t| {
        !t.is_empty()
            && t.len() <= 64
            && !t.starts_with('-')
            && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    }
}

text_id! {
    /// Names a process that drives runs. The operating-system lock that shows whether it lives is a file of this name.
    WorkerId, "a worker id (1 to 100 letters, digits, `-`, `_`, `.`)", |t| is_word(t, 100)
}

text_id! {
    /// The name of an event or a question.
    SignalName, "a signal's name (1 to 100 letters, digits, `-`, `_`, `.`)", |t| is_word(t, 100)
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// Returns the next one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// The number of a call: it is the n-th that the guest starts, from 0 (rule G1).
    Number
}

counter! {
    /// The position of an entry in its run's journal, dense from 0.
    Seq
}

counter! {
    /// How often a run's lease has passed to a worker. Appends carry it, so that a former holder's are refused.
    Epoch
}

counter! {
    /// A row of a run's mailbox.
    MailId
}

/// The digits of Crockford's base 32.
const BASE_32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// How many of a run id's digits are the time of its making, in milliseconds.
const TIME_DIGITS: usize = 10;

impl RunId {
    /// Returns the id of the run that goes on in the place of this one, made at `at`. It sorts behind this one, whatever the clock did.
    #[must_use]
    pub fn successor(&self, at: Timestamp) -> Self {
        let (time, _) = self.as_str().split_at(TIME_DIGITS);
        let digit = |byte: u8| BASE_32.iter().position(|digit| *digit == byte).unwrap_or(0) as u64;
        let made_ms = time.bytes().fold(0, |ms, byte| ms * 32 + digit(byte));
        let ms = (at.0 / 1_000).max(made_ms + 1);
        // Chance enough: nobody else makes ids of this one.
        let chance = Digest::of(format!("{self} goes on").as_bytes());
        let time = (0..TIME_DIGITS).rev().map(|place| (ms >> (5 * place)) as usize % 32);
        let rest = chance.as_bytes()[..26 - TIME_DIGITS]
            .iter()
            .map(|byte| usize::from(byte % 32));
        let text: String = time.chain(rest).map(|digit| char::from(BASE_32[digit])).collect();
        Self(text.into())
    }
}

/// The SHA-256 of some content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Returns the digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// Parses 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let mut bytes = [0; 32];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(IdError {
                text: text.chars().take(200).collect(),
                expected: "a SHA-256 in hexadecimal",
            }),
        }
    }

    /// Returns the 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first 12 hexadecimal digits, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl TryFrom<String> for Digest {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

/// Returns the key under which a call's effect is performed, however often: `<run>/<number>` (rule G1).
pub fn idempotency_key(run: &RunId, number: Number) -> String {
    format!("{run}/{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_take_what_they_name_and_nothing_else() {
        let run = "01jd0000000000000000000000";
        assert_eq!(RunId::parse(run).unwrap().as_str(), run);
        for text in [
            "",
            "01JD0000000000000000000000",
            "01jd",
            "01jd000000000000000000000/",
            &format!("{run}0"),
        ] {
            assert!(RunId::parse(text).is_err(), "{text}");
        }
        for text in ["hello-world", "a", "2nd"] {
            assert!(SkillName::parse(text).is_ok(), "{text}");
        }
        for text in ["", "-a", "Hello", "a_b", "a/b", "..", &"a".repeat(65)] {
            assert!(SkillName::parse(text).is_err(), "{text}");
        }
        for text in ["nightly.2026_01", &"x".repeat(100)] {
            assert!(LaunchId::parse(text).is_ok(), "{text}");
        }
        for text in ["", "a b", "a/b", "é", &"x".repeat(101)] {
            assert!(LaunchId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_id_of_a_successor_sorts_behind_whatever_the_clock_did() {
        let mut run = RunId::parse("01jd0000000000000000000000").unwrap();
        for at in [1_700_000_000_000_000, 1_800_000_000_000_000, 0, 1_800_000_000_000_000] {
            let next = run.successor(Timestamp(at));
            assert!(next > run && RunId::parse(next.as_str()).is_ok(), "{run} {next}");
            run = next;
        }
        let late = run.successor(Timestamp(1_900_000_000_000_000));
        assert!(late.as_str().starts_with("01q9"), "{late}");
    }

    #[test]
    fn an_id_that_is_read_back_is_checked_again_and_a_long_text_is_cut_in_the_error() {
        assert!(serde_json::from_str::<SkillName>(r#""Not One""#).is_err());
        assert_eq!(serde_json::from_str::<SkillName>(r#""one""#).unwrap().as_str(), "one");
        let error = SignalName::parse(&"é".repeat(10_000)).unwrap_err().to_string();
        assert!(error.len() < 600, "{error}");
    }

    #[test]
    fn a_digest_is_64_hexadecimal_digits_in_lower_case() {
        let digest = Digest::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text);
        assert_eq!(digest.short(), "ba7816bf8f01");
        assert_eq!(Digest::parse(text), Ok(digest));
        assert!(Digest::parse(&text[1..]).is_err());
        assert!(Digest::parse(&text.replace('b', "g")).is_err());
    }

    #[test]
    fn g1_the_key_of_a_call_is_its_run_and_its_number() {
        let run = RunId::parse("01jd0000000000000000000000").unwrap();
        assert_eq!(idempotency_key(&run, Number(7)), "01jd0000000000000000000000/7");
    }
}
