//! JSON text in the form in which it is recorded and compared.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A JSON text. Two payloads are equal if their texts are, so both have to come from the same types of [`crate::calls`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Payload(Arc<str>);

impl Payload {
    /// Serialises a value.
    ///
    /// # Panics
    /// If the value has a map whose keys are no strings or a serialiser that fails: the recorded types have neither.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        Self(serde_json::to_string(value).expect("a recorded type serialises").into())
    }

    /// Takes a text that is checked to be JSON.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<&RawValue>(text).map(|raw| Self(raw.get().into()))
    }

    /// Takes back the text of a payload that is known to be as it was written.
    pub fn restored(text: &str) -> Self {
        debug_assert!(Self::parse(text).is_ok(), "a payload is JSON: {text}");
        Self(text.into())
    }

    /// Returns `null`, the answer of a function that returns nothing.
    pub fn null() -> Self {
        Self("null".into())
    }

    /// Reads the value back.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// Returns the JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(raw.get().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_as_it_came() {
        for text in [
            r#"{"b":1,"a":[1.50,1e2]}"#,
            "null",
            r#""\u00e4""#,
            "18446744073709551616",
        ] {
            let payload = Payload::parse(text).unwrap();
            assert_eq!(payload.as_str(), text);
            let recorded = serde_json::to_string(&payload).unwrap();
            assert_eq!(recorded, text);
            assert_eq!(serde_json::from_str::<Payload>(&recorded).unwrap(), payload);
        }
    }

    #[test]
    fn what_is_no_json_is_no_payload() {
        for text in ["", "{", "nul", "1 2", r#"{"a":}"#, "\"\u{1}\""] {
            assert!(Payload::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn payloads_are_equal_if_their_texts_are() {
        assert_eq!(Payload::of(&(1, "a")), Payload::parse(r#"[1,"a"]"#).unwrap());
        assert_ne!(Payload::parse("1.0").unwrap(), Payload::parse("1").unwrap());
        assert_eq!(Payload::of(&()), Payload::null());
        assert_eq!(Payload::of("text").read::<String>().unwrap(), "text");
        assert!(Payload::null().read::<u32>().is_err());
    }
}
