//! The shape that each function's request and answer have in a journal.
//!
//! These are persisted forms: they are only ever extended, by members that may be absent. One file per interface of the world; a function that
//! returns nothing answers `null`.

pub mod clock;
pub mod files;
pub mod http;
pub mod inbox;
pub mod model;
pub mod process;
pub mod run;
pub mod signals;
pub mod skills;
#[cfg(feature = "test-capability")]
pub mod test;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::effect::{Function, Kind};
use crate::payload::Payload;

/// Whether a development run may answer a call from an earlier record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reuse {
    /// As the function's class says.
    #[default]
    Auto,
    /// Never.
    Fresh,
    /// Always.
    Pure,
}

/// How a call is to be made: recorded, never compared (rule G2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallOptions {
    /// What the timeline shows instead of the function's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The longest it may take, in nanoseconds of time driven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ns: Option<u64>,
    /// How often it may be performed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Whether a recorded answer may be reused in development.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reuse: Reuse,
    /// Whether performing it twice is as once although its class says otherwise.
    #[serde(default, skip_serializing_if = "is_default")]
    pub idempotent: bool,
    /// Whether it is made to clean up after a cancellation (rule C2).
    #[serde(default, skip_serializing_if = "is_default")]
    pub cleanup: bool,
    /// What later versions of the world add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
}

impl CallOptions {
    /// Returns the longest it may take.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_ns.map(Duration::from_nanos)
    }
}

/// Makes the answer of a call that a person gives by hand: the words of a model, of a program that went well or of a server as a text, what answers a question as its value, everything else in the shape that
/// the function's answers have.
///
/// # Errors
/// In words, if it has another shape.
pub fn by_hand(function: Function, value: Value, by: Option<String>) -> Result<Payload, String> {
    fn shaped<T: Serialize + serde::de::DeserializeOwned>(value: Value) -> Result<Payload, String> {
        let answer: T = serde_json::from_value(value).map_err(|error| error.to_string())?;
        Ok(Payload::of(&answer))
    }
    match function.kind() {
        Kind::Question | Kind::Event => Ok(Payload::of(&signals::Answer { value, by })),
        Kind::FileChange { .. } | Kind::Post | Kind::Tick | Kind::Timer => match value {
            Value::Null => Ok(Payload::null()),
            _ => Err(format!("{function} returns nothing, which is `null`")),
        },
        Kind::Notes => shaped::<Vec<run::Note>>(value),
        // What a skill returns is its own affair.
        Kind::Skill => Ok(Payload::of(&value)),
        Kind::Effect if function == Function::MODEL_COMPLETE => match value {
            Value::String(text) => Ok(Payload::of(&model::Reply::said(text))),
            value => shaped::<model::Reply>(value),
        },
        Kind::Effect if [Function::FILES_READ, Function::FILES_READ_RANGE].contains(&function) => match value {
            Value::String(text) => Ok(Payload::of(&files::Bytes(text.into_bytes()))),
            value => shaped::<files::Bytes>(value),
        },
        Kind::Effect if function == Function::PROCESS_RUN => match value {
            Value::String(text) => Ok(Payload::of(&process::Ended::said(text))),
            value => shaped::<process::Ended>(value),
        },
        Kind::Effect if function == Function::HTTP_SEND => match value {
            Value::String(text) => Ok(Payload::of(&http::Response::said(text))),
            value => shaped::<http::Response>(value),
        },
        Kind::Effect if function == Function::FILES_LIST => shaped::<files::Listing>(value),
        Kind::Effect if function == Function::FILES_STAT => shaped::<files::Entry>(value),
        Kind::Effect => Ok(Payload::of(&value)),
    }
}

/// Returns an answer as people and programs are shown it: with the members that its record leaves out.
pub fn shown(function: Function, answer: &Payload) -> Payload {
    if function != Function::MODEL_COMPLETE {
        return answer.clone();
    }
    match answer.read::<Value>() {
        Ok(mut reply) => {
            model::shown(&mut reply);
            Payload::of(&reply)
        }
        Err(_) => answer.clone(),
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use serde_json::json;

    use super::*;

    fn hand(function: Function, value: Value) -> Result<String, String> {
        by_hand(function, value, Some("ada".to_owned())).map(|payload| payload.as_str().to_owned())
    }

    #[test]
    fn what_a_person_says_for_a_call_gets_the_shape_of_its_answers() {
        assert_eq!(
            hand(Function::MODEL_COMPLETE, json!("Hello")).unwrap(),
            r#"{"content":[{"text":"Hello"}],"model":"by hand","usage":{"input":0,"output":0}}"#
        );
        assert_eq!(
            hand(Function::SIGNALS_ASK, json!({"approve": true})).unwrap(),
            r#"{"value":{"approve":true},"by":"ada"}"#
        );
        assert_eq!(hand(Function::FILES_READ, json!("text")).unwrap(), r#"{"text":"text"}"#);
        assert_eq!(
            hand(Function::PROCESS_RUN, json!("3 passed")).unwrap(),
            r#"{"end":{"exited":0},"stdout":{"kept":{"text":"3 passed"}}}"#
        );
        assert_eq!(
            hand(
                Function::PROCESS_RUN,
                json!({"end": {"signalled": 9}, "stdout": {"kept": {"text": ""}}})
            )
            .unwrap(),
            r#"{"end":{"signalled":9},"stdout":{"kept":{"text":""}}}"#
        );
        assert_eq!(
            hand(Function::HTTP_SEND, json!("hello")).unwrap(),
            r#"{"status":200,"url":"by hand","body":{"text":"hello"}}"#
        );
        assert_eq!(hand(Function::FILES_WRITE, json!(null)).unwrap(), "null");
    }

    #[test]
    fn a_reply_leaves_out_what_is_nearly_always_so_and_is_shown_with_it() {
        let whole = r#"{"content":[{"text":"Hello"}],"stop_reason":"end","model":"m","usage":{"input":1,"output":2,"cache_read":0,"cache_write":0}}"#;
        let short = r#"{"content":[{"text":"Hello"}],"model":"m","usage":{"input":1,"output":2}}"#;
        let reply: model::Reply = Payload::parse(whole).unwrap().read().unwrap();
        assert_eq!(Payload::of(&reply).as_str(), short);
        assert_eq!(Payload::parse(short).unwrap().read::<model::Reply>().unwrap(), reply);
        let shown = |text: &str| shown(Function::MODEL_COMPLETE, &Payload::parse(text).unwrap()).to_string();
        assert_eq!(shown(short), whole);
        assert_eq!(shown(whole), whole);
        let other = r#"{"content":[],"stop_reason":"max-tokens","model":"m","usage":{"input":1,"output":2,"cache_read":3,"cache_write":4}}"#;
        let reply: model::Reply = Payload::parse(other).unwrap().read().unwrap();
        assert_eq!(Payload::of(&reply).as_str(), other);
        assert_eq!(shown(other), other);
    }

    #[test]
    fn what_no_answer_of_the_function_looks_like_is_refused_in_words() {
        assert!(
            hand(Function::MODEL_COMPLETE, json!({"text": "x"}))
                .unwrap_err()
                .contains("content")
        );
        assert!(
            hand(Function::FILES_WRITE, json!(1))
                .unwrap_err()
                .contains("returns nothing")
        );
        assert!(hand(Function::FILES_LIST, json!([])).is_err());
    }
}
