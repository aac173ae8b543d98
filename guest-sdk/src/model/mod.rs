//! Asks a language model. Which provider answers is the user's choice.
//!
//! ```
//! # use skillhost_sdk::prelude::*;
//! # use skillhost_sdk::example;
//! # #[data] struct Plan { parts: Vec<String> }
//! # async fn example(question: &str) -> Result<String> {
//! # example::model_says([r#"{"parts": ["rivers"]}"#, "Many."]);
//! let plan: Plan = model::opus(format!("Plan how to answer: {question}")).label("plan").json().await?;
//! model::opus(format!("Answer {question} as planned: {}", json(&plan))).max_tokens(16_000).text().await
//! # }
//! # assert_eq!(example::run(example("How many rivers?")), "Many.");
//! ```
//!
//! A request is answered as text, as a value of a type ([`Request::json`]), or as it is ([`Request::reply`]). The provider is asked again by itself when it fails
//! in a way that may pass; how often and for how long can be said of each call, and what is left is a failure with a [`code`]:
//!
//! ```
//! # use skillhost_sdk::prelude::*;
//! # async fn example(text: &str) -> Result<String> {
//! let fixed = model::haiku(format!("Correct this: {text}")).attempts(6).timeout(mins(3)).text().await;
//! match fixed {
//!     Err(failure) if [code::OVERLOADED, code::TIMEOUT].contains(&failure.code()) => Ok(text.to_owned()),
//!     fixed => fixed,
//! }
//! # }
//! # assert_eq!(skillhost_sdk::example::run(example("teh")), "Correct this: teh");
//! ```

mod reply;
pub(crate) mod structured;

use std::rc::Rc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::skillhost::skill::model as world;
use crate::bindings::skillhost::skill::types::Reuse;
use crate::call::{Call, Options};
use crate::describe::input_schema;
use crate::failure::{Failure, IntoFailure as _, Result, code};
use crate::host;
use crate::prompt::Prompt;
use crate::run;

pub use reply::Reply;
pub use world::{Block, FunctionTool, Message, Role, StopReason, ToolCall, ToolOutcome, Usage};

/// How often a reply that the provider paused is continued.
const CONTINUATIONS_MAX: usize = 10;

/// How much of an unusable reply a failure carries, in bytes.
const SHOWN_BYTES_MAX: usize = 2_000;

/// Asks the user's small, fast model.
pub fn haiku(prompt: impl Into<Prompt>) -> Request {
    named("haiku", prompt)
}

/// Asks the user's model for everyday work.
pub fn sonnet(prompt: impl Into<Prompt>) -> Request {
    named("sonnet", prompt)
}

/// Asks the user's strongest model.
pub fn opus(prompt: impl Into<Prompt>) -> Request {
    named("opus", prompt)
}

/// Asks a model by its full id, or by a tier of the user's configuration.
pub fn named(model: impl Into<String>, prompt: impl Into<Prompt>) -> Request {
    Request {
        model: model.into(),
        prompt: prompt.into(),
        system: None,
        history: Vec::new(),
        tools: Vec::new(),
        max_tokens: None,
        temperature: None,
        stop_sequences: Vec::new(),
        extra: None,
        options: Options::default(),
    }
}

/// What is asked of a model. Nothing is sent before one of [`text`](Self::text), [`json`](Self::json), [`reply`](Self::reply) is awaited.
#[must_use = "a model is asked by `.text()`, `.json()` or `.reply()`"]
#[derive(Clone, Debug)]
pub struct Request {
    model: String,
    prompt: Prompt,
    system: Option<Prompt>,
    history: Vec<Message>,
    tools: Vec<world::Tool>,
    max_tokens: Option<u32>,
    temperature: Option<f32>,
    stop_sequences: Vec<String>,
    extra: Option<Value>,
    options: Options,
}

impl Request {
    /// Sets the system prompt.
    pub fn system(mut self, prompt: impl Into<Prompt>) -> Self {
        self.system = Some(prompt.into());
        self
    }

    /// Says what the timeline shows for the call.
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.options.set_label(label.as_ref());
        self
    }

    /// Says how often the call may be performed when it fails in a way that may pass; five times unless said.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.options.attempts = Some(attempts);
        self
    }

    /// Limits how long the call may take; then it fails with the code `timeout`.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.options.timeout = Some(limit);
        self
    }

    /// Limits the reply; 8,192 tokens unless said.
    pub fn max_tokens(mut self, tokens: u32) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Sets the temperature.
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Stops the reply before this text.
    pub fn stop(mut self, text: impl Into<String>) -> Self {
        self.stop_sequences.push(text.into());
        self
    }

    /// Puts earlier turns of a conversation before the prompt.
    pub fn history(mut self, messages: impl IntoIterator<Item = Message>) -> Self {
        self.history.extend(messages);
        self
    }

    /// Offers tools that the skill answers itself. The model's use of them is in [`Reply::tool_calls`].
    pub fn tools(mut self, tools: impl IntoIterator<Item = FunctionTool>) -> Self {
        self.tools.extend(tools.into_iter().map(world::Tool::Function));
        self
    }

    /// Lets the model search the web at most so often, where the provider can (`run::info().has("web-search")`).
    pub fn web_search(self, uses_max: u32) -> Self {
        self.provider_tool(serde_json::json!({"type": "web_search", "max_uses": uses_max}))
    }

    /// Offers a tool that the provider runs, as its own JSON.
    pub fn provider_tool(mut self, tool: Value) -> Self {
        self.tools.push(world::Tool::Provider(tool.to_string()));
        self
    }

    /// Merges members into the provider's own request.
    pub fn extra(mut self, members: Value) -> Self {
        self.extra = Some(members);
        self
    }

    /// Never takes the answer from an earlier execution while developing.
    pub fn fresh(mut self) -> Self {
        self.options.reuse = Some(Reuse::Fresh);
        self
    }

    /// States that the answer depends on the request alone, so that it may be reused while developing.
    pub fn pure(mut self) -> Self {
        self.options.reuse = Some(Reuse::Pure);
        self
    }

    /// Asks, and returns what the model says as text.
    pub async fn text(self) -> Result<String> {
        let reply = self.reply().await?;
        reply.finished()?;
        if reply.stop_reason == StopReason::MaxTokens {
            crate::log::warn!("a reply of {} was cut off at its longest", reply.model);
        }
        Ok(reply.text())
    }

    /// Asks, and returns the reply as it is: blocks, stop reason, tokens. A turn that the provider paused is continued.
    pub async fn reply(self) -> Result<Reply> {
        let (request, options) = self.render(None)?;
        send(request.into(), options).await.map(|(reply, _)| reply)
    }

    /// Asks for a value of a type, whose schema the model is shown.
    ///
    /// The value may be the whole reply, in a fenced block, in a `STRUCTURED_OUTPUT_START` block of `KEY|value` lines, or between the outermost
    /// braces. If it is not there or does not fit, the model is told what is wrong, once; after that it is the failure `unusable-reply`.
    pub async fn json<T: DeserializeOwned + JsonSchema>(self) -> Result<T> {
        let schema = input_schema::<T>();
        let schema = schema.as_value();
        let (request, mut options) = self.render(Some(schema))?;
        let (reply, request) = send(request.into(), options.clone()).await?;
        let wrong = match read(&reply, schema) {
            Ok(value) => return Ok(value),
            Err(Unusable::Ended(failure)) => return Err(failure),
            Err(Unusable::Form(wrong)) => wrong,
        };
        let repair = repaired(Rc::unwrap_or_clone(request), &reply, &wrong, schema);
        options.set_label(&format!("{}: repair", options.label.as_deref().unwrap_or("reply")));
        let (reply, _) = send(repair.into(), options).await?;
        read(&reply, schema).map_err(|unusable| given_up(unusable, &reply))
    }

    /// Sets what is asked.
    pub(crate) fn prompt(mut self, prompt: impl Into<Prompt>) -> Self {
        self.prompt = prompt.into();
        self
    }

    /// Renders the request for the world, asking for a value of a schema if there is one, and says how its calls are to be made.
    pub(crate) fn render(self, schema: Option<&Value>) -> Result<(world::Request, Options)> {
        let mut content = vec![Block::Text(self.prompt.into_text()?)];
        let mut output_schema = None;
        if let Some(schema) = schema {
            // A provider that searches cites what it read, which it cannot do in a reply that is held to a schema.
            let searches = self.tools.iter().any(|tool| matches!(tool, world::Tool::Provider(_)));
            if run::info().has("schema") && !searches {
                output_schema = Some(schema.to_string());
            } else {
                content.push(Block::Text(structured::instructions(schema)));
            }
        }
        let mut messages = self.history;
        messages.push(Message {
            role: Role::User,
            content,
        });
        let request = world::Request {
            model: self.model,
            system: self.system.map(Prompt::into_text).transpose()?,
            messages,
            tools: self.tools,
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            stop_sequences: self.stop_sequences,
            output_schema,
            extra: self.extra.as_ref().map(Value::to_string),
        };
        Ok((request, self.options))
    }
}

/// Sends a request, and goes on while the provider pauses. Returns the whole reply and the conversation up to its last part.
pub(crate) async fn send(mut request: Rc<world::Request>, options: Options) -> Result<(Reply, Rc<world::Request>)> {
    let mut whole: Option<Reply> = None;
    for _ in 0..=CONTINUATIONS_MAX {
        let part = complete(Rc::clone(&request), options.clone()).await?;
        let paused = part.stop_reason == StopReason::Paused;
        if paused {
            Rc::make_mut(&mut request).messages.push(Message {
                role: Role::Assistant,
                content: part.content.clone(),
            });
        }
        let so_far = match whole.take() {
            None => part,
            Some(earlier) => earlier.continued(part),
        };
        if !paused {
            return Ok((so_far, request));
        }
        whole = Some(so_far);
    }
    Err(Failure::new(
        code::FAILED,
        format!("the provider paused its reply more than {CONTINUATIONS_MAX} times"),
    ))
}

async fn complete(request: Rc<world::Request>, options: Options) -> Result<Reply> {
    let call = Call::new(
        move |options| host::model::start_complete(&request, options),
        |pending| host::model::finish_complete(pending).map_err(|error| error.into_failure()),
    );
    call.with_options(options).await.map(Reply::from)
}

/// Why a reply holds no value.
pub(crate) enum Unusable {
    /// The model stopped in a way that asking again does not mend.
    Ended(Failure),
    /// It has not the form that was asked for; the model may be told so.
    Form(String),
}

/// Reads the value that a reply holds.
pub(crate) fn read<T: DeserializeOwned>(reply: &Reply, schema: &Value) -> Result<T, Unusable> {
    reply.finished().map_err(Unusable::Ended)?;
    structured::value(&reply.text(), schema).map_err(|wrong| {
        Unusable::Form(match reply.stop_reason {
            StopReason::MaxTokens => format!("it was cut off at its longest; {wrong}"),
            _ => wrong,
        })
    })
}

/// Makes the request that shows the model what is wrong with its reply.
pub(crate) fn repaired(mut request: world::Request, reply: &Reply, wrong: &str, schema: &Value) -> world::Request {
    let said = match reply.text() {
        // No provider takes an empty message.
        text if text.trim().is_empty() => "(nothing)".to_owned(),
        text => text,
    };
    request.messages.push(Message {
        role: Role::Assistant,
        content: vec![Block::Text(said)],
    });
    let again = format!(
        "That reply cannot be used: {wrong}.\n\nGive the whole reply again, corrected.\n\n{}",
        structured::instructions(schema)
    );
    request.messages.push(Message {
        role: Role::User,
        content: vec![Block::Text(again)],
    });
    request
}

/// Returns the failure of a reply that was repaired already.
pub(crate) fn given_up(unusable: Unusable, reply: &Reply) -> Failure {
    let wrong = match unusable {
        Unusable::Ended(failure) => return failure,
        Unusable::Form(wrong) => wrong,
    };
    let message = format!(
        "the reply of {} is not of the form that was asked for: {wrong}",
        reply.model
    );
    Failure::new(code::UNUSABLE_REPLY, message)
        .with_details(serde_json::json!({"wrong": wrong, "reply": cut(&reply.text())}))
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)]
}
