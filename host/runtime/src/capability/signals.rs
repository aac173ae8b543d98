//! `signals`: events and questions.

use std::time::Duration;

use serde_json::{Map, Value};
use skillhost_core::calls::signals::{self, Audience};
use skillhost_core::effect::Function;
use skillhost_core::id::SignalName;
use skillhost_core::outcome::Fault;
use wasmtime::component::Resource;

use super::tasks::Pending;
use super::{Draft, json_object, json_schema, other, text};
use crate::bindings::skillhost::skill::signals::{self as wit, Answer, CallOptions, Error, Host};
use crate::guest::state::State;

/// The longest text of a question, prompt and details each, in bytes.
const TEXT_BYTES_MAX: usize = 64 << 10;

impl Host for State {
    async fn wait(&mut self, event: wit::Event, options: CallOptions) -> wasmtime::Result<Result<Answer, Error>> {
        let came = self.call(event_draft(event).with(options)).await?;
        Ok(came.map(answer).map_err(error))
    }

    fn start_wait(&mut self, event: wit::Event, options: CallOptions) -> wasmtime::Result<Resource<Pending>> {
        self.start(event_draft(event).with(options))
    }

    async fn finish_wait(&mut self, pending: Resource<Pending>) -> wasmtime::Result<Result<Answer, Error>> {
        let came = self.finish(pending, Function::SIGNALS_WAIT).await?;
        Ok(came.map(answer).map_err(error))
    }

    async fn ask(&mut self, question: wit::Question, options: CallOptions) -> wasmtime::Result<Result<Answer, Error>> {
        let answered = self.call(question_draft(question).with(options)).await?;
        Ok(answered.map(answer).map_err(error))
    }

    fn start_ask(&mut self, question: wit::Question, options: CallOptions) -> wasmtime::Result<Resource<Pending>> {
        self.start(question_draft(question).with(options))
    }

    async fn finish_ask(&mut self, pending: Resource<Pending>) -> wasmtime::Result<Result<Answer, Error>> {
        let answered = self.finish(pending, Function::SIGNALS_ASK).await?;
        Ok(answered.map(answer).map_err(error))
    }
}

fn event_draft(event: wit::Event) -> Draft {
    let (schema, refused_schema) = json_schema("the event's schema", event.schema);
    let (extra, refused_extra) = json_object("the event's `extra`", event.extra);
    let timeout_ns = event.timeout_ns;
    named(Function::SIGNALS_WAIT, &event.name, timeout_ns, |name| signals::Event {
        name,
        schema,
        timeout_ns,
        extra,
    })
    .refuse(refused_schema)
    .refuse(refused_extra)
    .bounded(Fault::INVALID)
}

fn question_draft(question: wit::Question) -> Draft {
    let (schema, refused_schema) = json_schema("the question's schema", question.schema);
    let (extra, refused_extra) = json_object("the question's `extra`", question.extra);
    let details_bytes = question.details.as_ref().map_or(0, String::len);
    let refused = if question.prompt.trim().is_empty() {
        Some("the question has no prompt".to_owned())
    } else if question.prompt.len().max(details_bytes) > TEXT_BYTES_MAX {
        Some(format!(
            "prompt and details may have {TEXT_BYTES_MAX} bytes each; attach longer texts as files"
        ))
    } else {
        None
    };
    let timeout_ns = question.timeout_ns;
    named(Function::SIGNALS_ASK, &question.name, timeout_ns, |name| {
        signals::Question {
            name,
            prompt: question.prompt,
            schema,
            audience: match question.audience {
                wit::Audience::User => Audience::User,
                wit::Audience::Agent => Audience::Agent,
                wit::Audience::System => Audience::System,
            },
            details: question.details,
            attachments: question.attachments,
            timeout_ns,
            extra,
        }
    })
    .refuse(refused.map(|why| Fault::new(Fault::INVALID, why)))
    .refuse(refused_schema)
    .refuse(refused_extra)
    .bounded(Fault::INVALID)
}

/// Drafts a wait under a name. One that is no signal's name is recorded as it stands, and refused.
fn named<T: serde::Serialize>(
    function: Function,
    name: &str,
    timeout_ns: Option<u64>,
    request: impl FnOnce(SignalName) -> T,
) -> Draft {
    match SignalName::parse(name) {
        Ok(name) => Draft {
            lasts: timeout_ns.map(Duration::from_nanos),
            signal: Some(name.clone()),
            ..Draft::new(function, &request(name))
        },
        Err(error) => {
            let mut recorded = Map::new();
            recorded.insert("name".to_owned(), Value::from(name));
            Draft::new(function, &recorded).refuse(Some(Fault::new(Fault::INVALID, error.to_string())))
        }
    }
}

fn answer(answer: signals::Answer) -> Answer {
    Answer {
        value: text(answer.value),
        by: answer.by,
    }
}

fn error(fault: Fault) -> Error {
    match fault.code.as_str() {
        Fault::CANCELLED => Error::Cancelled,
        Fault::TIMEOUT => Error::Timeout,
        Fault::INVALID => Error::Invalid(fault.message),
        Fault::BUDGET => Error::Budget(fault.message),
        _ => Error::Other(other(fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, schema: Option<&str>) -> wit::Event {
        wit::Event {
            name: name.to_owned(),
            schema: schema.map(str::to_owned),
            timeout_ns: Some(5),
            extra: None,
        }
    }

    #[test]
    fn an_event_is_recorded_with_its_name_and_its_timeout() {
        let draft = event_draft(event("deployed", Some(r#"{"type":"object"}"#)));
        assert_eq!(
            draft.request.as_str(),
            r#"{"name":"deployed","schema":{"type":"object"},"timeout_ns":5}"#
        );
        assert_eq!(draft.lasts, Some(Duration::from_nanos(5)));
        assert_eq!(draft.signal.map(|name| name.to_string()).as_deref(), Some("deployed"));
        assert_eq!(draft.refused, None);
    }

    #[test]
    fn bad_names_and_schemas_are_recorded_and_refused() {
        let bad = event_draft(event("not a name", None));
        assert_eq!(bad.request.as_str(), r#"{"name":"not a name"}"#);
        assert_eq!(bad.refused.expect("a fault").code, Fault::INVALID);
        for schema in ["{", "3"] {
            let fault = event_draft(event("deployed", Some(schema))).refused.expect("a fault");
            assert!(
                fault.message.starts_with("the event's schema is not"),
                "{}",
                fault.message
            );
        }
    }
}
