//! `inbox`: messages for the user.

use skillhost_core::calls::inbox::Message;
use skillhost_core::effect::Function;
use skillhost_core::outcome::Fault;
use wasmtime::component::Resource;

use super::tasks::Pending;
use super::{Draft, json_object, other};
use crate::bindings::skillhost::skill::inbox::{self as wit, CallOptions, Error, Host};
use crate::guest::state::State;

/// The longest title, in bytes.
const TITLE_BYTES_MAX: usize = 200;
/// The longest body, in bytes.
const BODY_BYTES_MAX: usize = 64 << 10;
/// The most attachments.
const ATTACHMENTS_MAX: usize = 100;

impl Host for State {
    async fn post(&mut self, message: wit::Message, options: CallOptions) -> wasmtime::Result<Result<(), Error>> {
        let posted = self.call(draft(message).with(options)).await?;
        Ok(posted.map_err(error))
    }

    fn start_post(&mut self, message: wit::Message, options: CallOptions) -> wasmtime::Result<Resource<Pending>> {
        self.start(draft(message).with(options))
    }

    async fn finish_post(&mut self, pending: Resource<Pending>) -> wasmtime::Result<Result<(), Error>> {
        let posted = self.finish(pending, Function::INBOX_POST).await?;
        Ok(posted.map_err(error))
    }
}

fn draft(message: wit::Message) -> Draft {
    let refused = check(&message).map(|why| Fault::new(Fault::INVALID, why));
    let (extra, refused_extra) = json_object("the message's `extra`", message.extra);
    let message = Message {
        title: message.title,
        body: message.body,
        attachments: message.attachments,
        extra,
    };
    Draft::new(Function::INBOX_POST, &message)
        .refuse(refused)
        .refuse(refused_extra)
        .bounded(Fault::INVALID)
}

fn check(message: &wit::Message) -> Option<String> {
    if message.title.is_empty() || message.title.len() > TITLE_BYTES_MAX || message.title.contains(['\n', '\r']) {
        return Some(format!("the title is not one line of 1 to {TITLE_BYTES_MAX} bytes"));
    }
    if message.body.len() > BODY_BYTES_MAX {
        return Some(format!(
            "the body has {} bytes; at most {BODY_BYTES_MAX} are posted, and longer texts are attached as files",
            message.body.len()
        ));
    }
    if message.attachments.len() > ATTACHMENTS_MAX {
        return Some(format!("more than {ATTACHMENTS_MAX} attachments"));
    }
    None
}

fn error(fault: Fault) -> Error {
    match fault.code.as_str() {
        Fault::CANCELLED => Error::Cancelled,
        Fault::INVALID => Error::Invalid(fault.message),
        Fault::BUDGET => Error::Budget(fault.message),
        _ => Error::Other(other(fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(title: &str, body: &str) -> wit::Message {
        wit::Message {
            title: title.to_owned(),
            body: body.to_owned(),
            attachments: vec![],
            extra: None,
        }
    }

    #[test]
    fn a_message_is_recorded_as_it_is() {
        let draft = draft(message("Done", "two\nlines"));
        assert_eq!(draft.request.as_str(), r#"{"title":"Done","body":"two\nlines"}"#);
        assert_eq!(draft.refused, None);
    }

    #[test]
    fn a_message_that_cannot_be_posted_is_recorded_with_the_reason() {
        let long = "x".repeat(BODY_BYTES_MAX + 1);
        for bad in [message("", ""), message("two\nlines", ""), message("t", &long)] {
            assert_eq!(draft(bad).refused.expect("a fault").code, Fault::INVALID);
        }
        let mut extra = message("t", "");
        extra.extra = Some("[".to_owned());
        let draft = draft(extra);
        assert_eq!(draft.request.as_str(), r#"{"title":"t","extra":"["}"#);
        assert!(draft.refused.expect("a fault").message.contains("is not JSON"));
    }
}
