//! `model`: conversations with a language model.

use skillhost_core::budget::Cost;
use skillhost_core::calls::model::{self, Block, MAX_TOKENS_DEFAULT, Message, Reply, Request, Role, StopReason, Tool};
use skillhost_core::effect::Function;
use skillhost_core::machine::Asks;
use skillhost_core::outcome::Fault;
use wasmtime::component::Resource;

use super::tasks::Pending;
use super::{Draft, json, json_object, json_schema, other, text};
use crate::bindings::skillhost::skill::model::{self as wit, CallOptions, Error, Host};
use crate::guest::state::State;

impl Host for State {
    async fn complete(
        &mut self,
        request: wit::Request,
        options: CallOptions,
    ) -> wasmtime::Result<Result<wit::Reply, Error>> {
        let replied = self.call(draft(request).with(options)).await?;
        Ok(replied.map(reply).map_err(error))
    }

    fn start_complete(&mut self, request: wit::Request, options: CallOptions) -> wasmtime::Result<Resource<Pending>> {
        self.start(draft(request).with(options))
    }

    async fn finish_complete(&mut self, pending: Resource<Pending>) -> wasmtime::Result<Result<wit::Reply, Error>> {
        let replied = self.finish(pending, Function::MODEL_COMPLETE).await?;
        Ok(replied.map(reply).map_err(error))
    }
}

fn draft(request: wit::Request) -> Draft {
    let mut reader = Reader { refused: None };
    let request = reader.request(request);
    let (model, output) = asked(&request);
    let draft = Draft::new(Function::MODEL_COMPLETE, &request)
        .refuse(reader.refused)
        .bounded(Fault::INVALID);
    // No tokeniser makes more tokens of a text than it has bytes.
    let input = draft.request.as_str().len() as u64;
    Draft {
        bound: Some(Cost {
            calls: 1,
            tokens: input.saturating_add(output),
            microdollars: 0,
        }),
        asks: Some(Box::new(Asks { model, input, output })),
        ..draft
    }
}

/// What `extra` may say of how much a reply may cost. It is reserved before it is sent, so it has to be understood.
const COUNTS: [&str; 3] = ["max_tokens", "max_completion_tokens", "n"];

/// Says why what `extra` says of the model and the length cannot be reserved.
fn unclear(extra: &serde_json::Value) -> Option<Fault> {
    let said = |member: &str| extra.get(member);
    let wrong = |message: String| Some(Fault::new(Fault::INVALID, message));
    if said("model").is_some_and(|model| !model.is_string()) {
        return wrong("`model` in the request's `extra` is no text".to_owned());
    }
    let is_unclear = |member: &&str| said(member).is_some_and(|count| !count.is_u64());
    let member = COUNTS.into_iter().find(|member| is_unclear(member))?;
    wrong(format!(
        "`{member}` in the request's `extra` is no whole number, so nobody can say what it may cost"
    ))
}

/// Returns which model is asked, and how many tokens it may write. What `extra` says goes to the provider as it is, and before what the request says.
fn asked(request: &Request) -> (String, u64) {
    let extra = |member: &str| request.extra.as_ref().map(|extra| &extra[member]);
    let number = |member: &str| extra(member).and_then(serde_json::Value::as_u64);
    let model = extra("model").and_then(serde_json::Value::as_str);
    let said = u64::from(request.max_tokens.unwrap_or(MAX_TOKENS_DEFAULT));
    let [longest, longest_too, replies] = COUNTS;
    let longest = [longest, longest_too]
        .into_iter()
        .filter_map(number)
        .fold(said, u64::max);
    let replies = number(replies).unwrap_or(1).max(1);
    (
        model.unwrap_or(&request.model).to_owned(),
        longest.saturating_mul(replies),
    )
}

/// Reads a request, and keeps the first thing that is wrong with it.
struct Reader {
    refused: Option<Fault>,
}

impl Reader {
    fn request(&mut self, request: wit::Request) -> Request {
        if request.model.is_empty() {
            self.refuse(Some(Fault::new(
                Fault::INVALID,
                "the request names no model; say `haiku`, `sonnet`, `opus` or a model's id",
            )));
        }
        if request.messages.is_empty() {
            self.refuse(Some(Fault::new(Fault::INVALID, "the request has no message")));
        }
        if request.temperature.is_some_and(|temperature| !temperature.is_finite()) {
            self.refuse(Some(Fault::new(Fault::INVALID, "the temperature is not a number")));
        }
        let (output_schema, refused_schema) = json_schema("the output schema", request.output_schema);
        self.refuse(refused_schema);
        let (extra, refused_extra) = json_object("the request's `extra`", request.extra);
        self.refuse(refused_extra);
        self.refuse(extra.as_ref().and_then(unclear));
        Request {
            model: request.model,
            system: request.system,
            messages: request
                .messages
                .into_iter()
                .map(|message| self.message(message))
                .collect(),
            tools: request.tools.into_iter().map(|tool| self.tool(tool)).collect(),
            max_tokens: request.max_tokens,
            temperature: request.temperature,
            stop_sequences: request.stop_sequences,
            output_schema,
            extra,
        }
    }

    fn message(&mut self, message: wit::Message) -> Message {
        Message {
            role: match message.role {
                wit::Role::User => Role::User,
                wit::Role::Assistant => Role::Assistant,
            },
            content: message.content.into_iter().map(|block| self.block(block)).collect(),
        }
    }

    fn block(&mut self, block: wit::Block) -> Block {
        match block {
            wit::Block::Text(text) => Block::Text(text),
            wit::Block::ToolCall(call) => Block::ToolCall(model::ToolCall {
                id: call.id,
                name: call.name,
                input: self.json("the input of a tool call", call.input),
            }),
            wit::Block::ToolOutcome(outcome) => Block::ToolOutcome(model::ToolOutcome {
                id: outcome.id,
                content: outcome.content,
                is_error: outcome.is_error,
            }),
            wit::Block::Provider(text) => Block::Provider(self.json("a block of the provider's own", text)),
        }
    }

    fn tool(&mut self, tool: wit::Tool) -> Tool {
        match tool {
            wit::Tool::Function(function) => Tool::Function {
                input_schema: self.json(
                    &format!("the input schema of tool `{}`", function.name),
                    function.input_schema,
                ),
                name: function.name,
                description: function.description,
            },
            wit::Tool::Provider(text) => Tool::Provider(self.json("a tool of the provider's own", text)),
        }
    }

    fn json(&mut self, what: &str, text: String) -> serde_json::Value {
        let (value, refused) = json(what, text);
        self.refuse(refused);
        value
    }

    fn refuse(&mut self, fault: Option<Fault>) {
        self.refused = self.refused.take().or(fault);
    }
}

fn reply(reply: Reply) -> wit::Reply {
    let content = reply.content.into_iter().map(|block| match block {
        Block::Text(text) => wit::Block::Text(text),
        Block::ToolCall(call) => wit::Block::ToolCall(wit::ToolCall {
            id: call.id,
            name: call.name,
            input: text(call.input),
        }),
        Block::ToolOutcome(outcome) => wit::Block::ToolOutcome(wit::ToolOutcome {
            id: outcome.id,
            content: outcome.content,
            is_error: outcome.is_error,
        }),
        Block::Provider(value) => wit::Block::Provider(text(value)),
    });
    wit::Reply {
        content: content.collect(),
        stop_reason: match reply.stop_reason {
            StopReason::End => wit::StopReason::End,
            StopReason::MaxTokens => wit::StopReason::MaxTokens,
            StopReason::StopSequence => wit::StopReason::StopSequence,
            StopReason::ToolUse => wit::StopReason::ToolUse,
            StopReason::Paused => wit::StopReason::Paused,
            StopReason::Refused => wit::StopReason::Refused,
            StopReason::ContextFull => wit::StopReason::ContextFull,
            StopReason::Other(reason) => wit::StopReason::Other(reason),
        },
        model: reply.model,
        usage: wit::Usage {
            input: reply.usage.input,
            output: reply.usage.output,
            cache_read: reply.usage.cache_read,
            cache_write: reply.usage.cache_write,
        },
        extra: reply.extra.map(text),
    }
}

fn error(fault: Fault) -> Error {
    match fault.code.as_str() {
        Fault::CANCELLED => Error::Cancelled,
        Fault::DENIED => Error::Denied(fault.message),
        Fault::INVALID => Error::Invalid(fault.message),
        Fault::OVERLOADED => Error::Overloaded(fault.message),
        Fault::BUDGET => Error::Budget(fault.message),
        Fault::TIMEOUT => Error::Timeout(fault.message),
        Fault::FAILED => Error::Failed(fault.message),
        _ => Error::Other(other(fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> wit::Request {
        wit::Request {
            model: "haiku".to_owned(),
            system: None,
            messages: vec![wit::Message {
                role: wit::Role::User,
                content: vec![wit::Block::Text(text.to_owned())],
            }],
            tools: vec![],
            max_tokens: Some(10),
            temperature: None,
            stop_sequences: vec![],
            output_schema: None,
            extra: None,
        }
    }

    #[test]
    fn b1_a_request_is_bounded_by_its_bytes_and_the_longest_reply() {
        let draft = draft(request("hi"));
        let recorded = r#"{"model":"haiku","messages":[{"role":"user","content":[{"text":"hi"}]}],"max_tokens":10}"#;
        assert_eq!(draft.request.as_str(), recorded);
        let tokens = recorded.len() as u64 + 10;
        assert_eq!(draft.bound.map(|bound| (bound.calls, bound.tokens)), Some((1, tokens)));
        let asks = draft.asks.expect("a model is asked");
        assert_eq!((asks.model.as_str(), asks.output), ("haiku", 10));
        assert_eq!(draft.refused, None);
    }

    #[test]
    fn b1_what_extra_asks_of_the_provider_is_bounded_too() {
        let mut sly = request("hi");
        sly.extra = Some(r#"{"model":"opus","max_completion_tokens":5000,"n":3}"#.to_owned());
        let asks = draft(sly).asks.expect("a model is asked");
        assert_eq!((asks.model.as_str(), asks.output), ("opus", 15_000));
    }

    #[test]
    fn b1_what_extra_says_of_the_price_has_to_be_understood() {
        for extra in [
            r#"{"max_tokens":100000.0}"#,
            r#"{"max_completion_tokens":null}"#,
            r#"{"max_tokens":-1}"#,
            r#"{"n":"3"}"#,
            r#"{"n":1e3}"#,
            r#"{"model":7}"#,
        ] {
            let mut sly = request("hi");
            sly.extra = Some(extra.to_owned());
            let refused = draft(sly).refused;
            assert!(refused.is_some_and(|fault| fault.code == Fault::INVALID), "{extra}");
        }
    }

    #[test]
    fn what_is_malformed_is_recorded_and_refused_with_the_first_reason() {
        let mut bad = request("hi");
        bad.output_schema = Some("{".to_owned());
        bad.extra = Some("3".to_owned());
        let draft = draft(bad);
        assert!(draft.request.as_str().contains(r#""output_schema":"{""#));
        assert!(
            draft
                .refused
                .expect("a fault")
                .message
                .starts_with("the output schema is not JSON")
        );
    }

    #[test]
    fn a_request_beyond_the_bound_is_recorded_by_its_digest() {
        let draft = draft(request(&"x".repeat(9 << 20)));
        assert!(draft.request.as_str().len() < 200);
        assert!(draft.request.as_str().contains("sha256"));
        assert_eq!(draft.refused.expect("a fault").code, Fault::INVALID);
    }

    #[test]
    fn codes_the_interface_does_not_know_become_other() {
        let fault = error(Fault::new("no-key", "no key"));
        assert!(matches!(fault, Error::Other(other) if other.code == "no-key" && other.message == "no key"));
        assert!(matches!(error(Fault::new("timeout", "1 s")), Error::Timeout(message) if message == "1 s"));
    }
}
