//! The world's interfaces, one file each: what the guest asks becomes a core call, what is delivered becomes the guest's answer.
//!
//! Every call has the same three gestures, which are here: [`State::start`] notes it and returns a pending, [`State::finish`] waits for a pending and
//! takes its outcome, [`State::call`] is both. What the guest passes was chosen by an adversary: a request that cannot be carried out is recorded like any
//! other, with the fault that it is answered with ([`Draft::refuse`]).

pub(crate) mod clock;
pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod inbox;
pub(crate) mod log;
pub(crate) mod model;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod run;
pub(crate) mod signals;
pub(crate) mod skills;
pub(crate) mod tasks;
#[cfg(feature = "test-capability")]
pub(crate) mod test;

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use skillhost_core::budget::Cost;
use skillhost_core::calls::{CallOptions, Reuse};
use skillhost_core::effect::Function;
use skillhost_core::grants::{Denied, SecretName};
use skillhost_core::id::{SignalName, SkillName};
use skillhost_core::machine::Asks;
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_core::payload::Payload;
use skillhost_core::retry::ATTEMPTS_MAX;
use skillhost_core::secret;
use wasmtime::component::Resource;

use crate::bindings::skillhost::skill::types as wit;
use crate::guest::desk::Waiting;
use crate::guest::limits::{LABEL_BYTES_MAX, REQUEST_BYTES_MAX};
use crate::guest::lines::cut_to;
use crate::guest::state::State;
use crate::guest::stop::{Broken, Misuse};
use tasks::Pending;

/// A call that is about to be started.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) function: Function,
    pub(crate) request: Payload,
    pub(crate) options: CallOptions,
    pub(crate) bound: Option<Cost>,
    /// What is asked of a model.
    pub(crate) asks: Option<Box<Asks>>,
    /// Whether this request of a function that acts only reads, so that performing it twice is as once.
    pub(crate) only_reads: bool,
    pub(crate) lasts: Option<Duration>,
    pub(crate) signal: Option<SignalName>,
    pub(crate) refused: Option<Box<Fault>>,
}

impl Draft {
    pub(crate) fn new<T: Serialize + ?Sized>(function: Function, request: &T) -> Self {
        Self {
            function,
            request: Payload::of(request),
            options: CallOptions::default(),
            bound: None,
            asks: None,
            only_reads: false,
            lasts: None,
            signal: None,
            refused: None,
        }
    }

    /// Takes the guest's options.
    pub(crate) fn with(mut self, options: wit::CallOptions) -> Self {
        let (options, refused) = read_options(options);
        self.options = options;
        self.refuse(refused)
    }

    /// Notes why it cannot be carried out; the first reason counts.
    pub(crate) fn refuse(mut self, fault: Option<Fault>) -> Self {
        if self.refused.is_none() {
            self.refused = fault.map(Box::new);
        }
        self
    }

    /// Refuses a request that is larger than may be recorded, and keeps its digest in its place, so that a replay still compares it.
    pub(crate) fn bounded(mut self, code: &str) -> Self {
        let bytes = self.request.as_str().len();
        if bytes <= REQUEST_BYTES_MAX {
            return self;
        }
        let sha256 = skillhost_core::id::Digest::of(self.request.as_str().as_bytes());
        self.request = Payload::of(&serde_json::json!({ "bytes": bytes, "sha256": sha256 }));
        self.refuse(Some(too_large(code, bytes)))
    }
}

pub(crate) fn too_large(code: &str, bytes: usize) -> Fault {
    let message = format!("the request has {bytes} bytes; at most {REQUEST_BYTES_MAX} are passed on at once");
    Fault {
        data: (code == Fault::TOO_LARGE).then(|| Value::from(REQUEST_BYTES_MAX)),
        ..Fault::new(code, message)
    }
}

impl wit::Host for State {}

impl State {
    /// Starts a call (rule G2).
    pub(crate) fn start(&mut self, draft: Draft) -> wasmtime::Result<Resource<Pending>> {
        let number = self.desk.lock().start(draft)?;
        Ok(Resource::new_own(number))
    }

    /// Waits for the outcome of a pending and takes it. The outer error ends the guest, the inner one is the call's.
    pub(crate) async fn finish<T: DeserializeOwned>(
        &mut self,
        pending: Resource<Pending>,
        function: Function,
    ) -> wasmtime::Result<Result<T, Fault>> {
        let number = pending.rep();
        let started = self.desk.lock().function(number)?;
        if started != function {
            return Err(Misuse(format!(
                "it finished call {number} as `{function}`, and it is a `{started}`"
            ))
            .into());
        }
        self.outcome(number, function).await
    }

    /// Starts a call and waits for its outcome.
    pub(crate) async fn call<T: DeserializeOwned>(&mut self, draft: Draft) -> wasmtime::Result<Result<T, Fault>> {
        let function = draft.function;
        let number = self.desk.lock().start(draft)?;
        self.outcome(number, function).await
    }

    async fn outcome<T: DeserializeOwned>(
        &mut self,
        number: u32,
        function: Function,
    ) -> wasmtime::Result<Result<T, Fault>> {
        self.wait_for(Waiting::Call(number)).await;
        match self.desk.lock().take(number)? {
            Outcome::Err(fault) => Ok(Err(*fault)),
            Outcome::Ok(payload) => match payload.read() {
                Ok(answer) => Ok(Ok(answer)),
                // Never a wrong answer: what cannot be read ends the attempt.
                Err(error) => Err(Broken(format!(
                    "the recorded answer of call {number} (`{function}`) is not what that function returns: {error}"
                ))
                .into()),
            },
        }
    }
}

/// Reads the options, and says what is wrong with them if anything is.
fn read_options(options: wit::CallOptions) -> (CallOptions, Option<Fault>) {
    let (extra, refused) = json_object("the options' `extra`", options.extra);
    let read = CallOptions {
        label: options.label.map(|label| cut_to(label, LABEL_BYTES_MAX)),
        timeout_ns: options.timeout_ns,
        attempts: options.attempts.map(|attempts| attempts.clamp(1, ATTEMPTS_MAX)),
        reuse: match options.reuse {
            wit::Reuse::Auto => Reuse::Auto,
            wit::Reuse::Fresh => Reuse::Fresh,
            wit::Reuse::Pure => Reuse::Pure,
        },
        idempotent: options.idempotent,
        cleanup: options.cleanup,
        extra,
    };
    (read, refused)
}

/// Says that something was not granted, and what would grant it.
pub(crate) fn not_granted(denied: &Denied, skill: &SkillName) -> Fault {
    let message = format!(
        "{denied} to skill `{skill}`: `skillhost grant {skill}` shows what it asks for, and grants it to runs that are launched from then on"
    );
    Fault::new(Fault::DENIED, message)
}

/// Reads the secrets that texts name, and says what is wrong with the first that names one badly.
pub(crate) fn secrets<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<SecretName>, Fault> {
    let mut names = Vec::new();
    for text in texts {
        names.extend(secret::named(text).map_err(|why| Fault::new(Fault::INVALID, why))?);
    }
    Ok(names)
}

/// Reads JSON text. What is not JSON is kept as a text, so that it is recorded, and refused.
pub(crate) fn json(what: &str, text: String) -> (Value, Option<Fault>) {
    match serde_json::from_str(&text) {
        Ok(value) => (value, None),
        Err(error) => {
            let fault = Fault::new(Fault::INVALID, format!("{what} is not JSON: {error}"));
            (Value::String(text), Some(fault))
        }
    }
}

/// Reads the text of a JSON object, if there is one.
pub(crate) fn json_object(what: &str, text: Option<String>) -> (Option<Value>, Option<Fault>) {
    let Some(text) = text else {
        return (None, None);
    };
    let (value, refused) = json(what, text);
    let refused = refused
        .or_else(|| (!value.is_object()).then(|| Fault::new(Fault::INVALID, format!("{what} is not a JSON object"))));
    (Some(value), refused)
}

/// Reads the text of a JSON Schema, if there is one.
pub(crate) fn json_schema(what: &str, text: Option<String>) -> (Option<Value>, Option<Fault>) {
    let Some(text) = text else {
        return (None, None);
    };
    let (value, refused) = json(what, text);
    let refused = refused.or_else(|| {
        (!value.is_object() && !value.is_boolean()).then(|| {
            Fault::new(
                Fault::INVALID,
                format!("{what} is not a JSON Schema: it is neither an object nor a boolean"),
            )
        })
    });
    (Some(value), refused)
}

/// Writes a recorded value as the JSON text that the guest gets.
pub(crate) fn text(value: Value) -> String {
    value.to_string()
}

/// Makes an interface's `other` of a fault whose code it does not know.
pub(crate) fn other(fault: Fault) -> wit::OtherError {
    wit::OtherError {
        code: fault.code,
        message: fault.message,
    }
}
