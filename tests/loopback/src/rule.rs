//! How requests are answered, if not by an echo.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which requests, and how they are answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// A text that the request's body contains.
    pub contains: String,
    /// For so many requests, then the rule is used up.
    pub times: Option<u64>,
    /// Wait so long before anything is answered.
    pub delay_ms: u64,
    /// Wait until `release` before anything is answered.
    pub hold: bool,
    /// What is answered.
    pub behaviour: Behaviour,
}

/// What a request is answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// A text that is a function of the request.
    #[default]
    Echo,
    /// This text.
    Text(String),
    /// Blocks in the form of the Messages API, and why the model stopped.
    Blocks {
        /// The blocks.
        blocks: Vec<Value>,
        /// In the words of the Messages API.
        stop_reason: String,
    },
    /// A status, with headers and a body.
    Status {
        /// The status.
        status: u16,
        /// Headers.
        headers: BTreeMap<String, String>,
        /// The body.
        body: String,
    },
    /// Nothing, for ever.
    Hang,
    /// An echo that falls silent after so many events.
    HangAfter(usize),
    /// An echo that breaks off after so many events.
    BreakAfter(usize),
    /// An echo that ends after so many events, as if that were all.
    EndAfter(usize),
    /// An echo that turns into an error after so many events.
    ErrorAfter {
        /// So many.
        events: usize,
        /// Such as `overloaded_error`.
        kind: String,
        /// In words.
        message: String,
    },
    /// A stream of one event, with this for its data.
    Garbage(String),
    /// A body that is no stream, of this content type.
    Plain {
        /// The content type.
        kind: String,
        /// The body.
        body: String,
    },
}

impl Behaviour {
    /// Answers with a status and an error in the form that both protocols share.
    pub fn status(status: u16) -> Self {
        let kind = match status {
            400 => "invalid_request_error",
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            529 => "overloaded_error",
            _ => "api_error",
        };
        let error = serde_json::json!({"type": "error", "error": {"type": kind, "message": format!("the server was told to answer {status}")}});
        Self::Status {
            status,
            headers: BTreeMap::new(),
            body: error.to_string(),
        }
    }

    /// Adds a header to a status.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.insert(name.to_owned(), value.to_owned());
        }
        self
    }

    /// Replaces the body of a status.
    #[must_use]
    pub fn with_body(mut self, text: &str) -> Self {
        if let Self::Status { body, .. } = &mut self {
            text.clone_into(body);
        }
        self
    }
}

impl Rule {
    /// Answers every request so.
    pub fn of(behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            ..Self::default()
        }
    }

    /// Answers requests so whose body contains this.
    #[must_use]
    pub fn containing(mut self, text: &str) -> Self {
        text.clone_into(&mut self.contains);
        self
    }

    /// Answers so many requests so.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Answers only when released.
    #[must_use]
    pub fn held(mut self) -> Self {
        self.hold = true;
        self
    }

    /// Takes the rule for a request, if it fits and is not used up.
    pub(crate) fn take(&mut self, body: &str) -> Option<Self> {
        if !body.contains(&self.contains) {
            return None;
        }
        match &mut self.times {
            Some(0) => return None,
            Some(times) => *times -= 1,
            None => {}
        }
        Some(self.clone())
    }
}
