//! `openai`: the chat completions of any compatible server, streamed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use skillhost_core::calls::model::{
    Block, MAX_TOKENS_DEFAULT, Message, Reply, Role, StopReason, Tool, ToolCall, Usage,
};
use skillhost_core::outcome::Fault;

use super::http::{Endpoint, NamedError};
use super::settings::{Server, TIERS};
use super::{Asked, Clients, Miss, Name, OpenError, merge_extra, schema};

/// Asks a chat completions server.
#[derive(Debug)]
pub(super) struct OpenAi {
    endpoint: Endpoint,
    refused_schemas: Arc<schema::Refused>,
    /// The member that bounds the reply: the newer name is not known to every server, and the older not to the newest models.
    length_member: &'static str,
}

impl OpenAi {
    pub(super) fn new(server: Server, clients: &Clients) -> Result<Self, OpenError> {
        let endpoint = Endpoint::new(Name::OpenAi, server, "authorization", clients)?;
        let is_original = endpoint.base_url().starts_with("https://api.openai.com/");
        Ok(Self {
            endpoint,
            refused_schemas: Arc::clone(&clients.refused_schemas),
            length_member: if is_original {
                "max_completion_tokens"
            } else {
                "max_tokens"
            },
        })
    }

    pub(super) fn place(&self) -> &str {
        self.endpoint.base_url()
    }

    pub(super) async fn complete(&self, asked: &Asked<'_>) -> Result<Reply, Miss> {
        check(asked)?;
        let refused = &self.refused_schemas;
        let schema = refused.without(&self.endpoint, asked, asked.request.output_schema.as_ref());
        let answered = self.ask(&self.body(asked, schema), asked).await;
        answered.map_err(|miss| match schema {
            Some(_) => refused.blame(&self.endpoint, asked, miss),
            None => miss,
        })
    }

    async fn ask(&self, body: &Value, asked: &Asked<'_>) -> Result<Reply, Miss> {
        let mut answer = self.endpoint.ask("/chat/completions", body, asked).await?;
        let mut assembly = Assembly::default();
        if let Some(completion) = answer.whole().await? {
            let choice = &completion["choices"][0];
            if !choice["message"].is_object() {
                return Err(self.endpoint.foreign(&completion.to_string()));
            }
            assembly.take_whole(&completion);
            return self.finish(assembly, asked);
        }
        while let Some(event) = answer.next_event().await? {
            if event.data.trim() == "[DONE]" {
                return self.finish(assembly, asked);
            }
            let data: Value = match serde_json::from_str(&event.data) {
                Ok(data) => data,
                Err(e) => return Err(self.endpoint.truncated(&format!("has an event that is not JSON: {e}"))),
            };
            if data.get("error").is_some_and(|error| !error.is_null()) {
                return Err(self
                    .endpoint
                    .sort(&NamedError::of_body(&data), None)
                    .with_cost_unknown());
            }
            assembly.take(&data);
        }
        // Some servers end the stream without saying so; what was said is complete if the reason was.
        match assembly.finish_reason {
            Some(_) => self.finish(assembly, asked),
            None => Err(self.endpoint.truncated("ended before it was complete")),
        }
    }

    fn finish(&self, assembly: Assembly, asked: &Asked<'_>) -> Result<Reply, Miss> {
        assembly
            .finish(asked)
            .map_err(|reason| self.endpoint.truncated(&reason))
    }

    fn body(&self, asked: &Asked<'_>, schema: Option<&Value>) -> Value {
        let request = asked.request;
        let system = request.system.as_deref().filter(|text| !text.is_empty());
        let system = system.map(|text| json!({"role": "system", "content": text}));
        let messages: Vec<Value> = system
            .into_iter()
            .chain(request.messages.iter().flat_map(messages))
            .collect();
        let mut body = json!({
            "model": asked.model,
            "messages": messages,
            "stream_options": {"include_usage": true},
        });
        body[self.length_member] = request.max_tokens.unwrap_or(MAX_TOKENS_DEFAULT).into();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body[name] = value;
            }
        };
        set("temperature", request.temperature.map(super::short_float));
        set(
            "stop",
            (!request.stop_sequences.is_empty()).then(|| json!(request.stop_sequences)),
        );
        set(
            "tools",
            (!request.tools.is_empty()).then(|| request.tools.iter().map(tool).collect()),
        );
        let format =
            |schema: &Value| json!({"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}});
        set("response_format", schema.map(format));
        merge_extra(&mut body, asked);
        body["stream"] = true.into();
        body
    }
}

/// Refuses what the server would misunderstand.
fn check(asked: &Asked<'_>) -> Result<(), Miss> {
    if TIERS.contains(&asked.model) {
        let message = format!(
            "no model is configured for the tier `{tier}` of provider `openai`: `export OPENAI_MODEL=...`, or `[model.openai.tiers]` in the configuration",
            tier = asked.model
        );
        return Err(Miss::never(Fault::new(Fault::INVALID, message)));
    }
    let searches = |tool: &Tool| matches!(tool, Tool::Provider(value) if value["type"] == "web_search");
    if asked.request.tools.iter().any(searches) {
        let message = "provider `openai` has no web search: `run.info` lists what a provider can do, and `SKILLHOST_PROVIDER=anthropic` has one";
        return Err(Miss::never(Fault::new(Fault::INVALID, message)));
    }
    Ok(())
}

fn tool(tool: &Tool) -> Value {
    match tool {
        Tool::Function {
            name,
            description,
            input_schema,
        } => {
            json!({"type": "function", "function": {"name": name, "description": description, "parameters": input_schema}})
        }
        Tool::Provider(value) => value.clone(),
    }
}

/// What a tool answered is a message of its own here.
fn messages(message: &Message) -> Vec<Value> {
    let mut messages = Vec::new();
    let mut parts = Vec::new();
    let mut calls = Vec::new();
    for block in &message.content {
        match block {
            Block::Text(text) => parts.push(json!({"type": "text", "text": text})),
            Block::ToolCall(call) => {
                let function = json!({"name": call.name, "arguments": call.input.to_string()});
                calls.push(json!({"id": call.id, "type": "function", "function": function}));
            }
            Block::ToolOutcome(outcome) => {
                messages.push(json!({"role": "tool", "tool_call_id": outcome.id, "content": outcome.content}));
            }
            // A part of the server's own, such as an image. Servers take none from the assistant.
            Block::Provider(part) if message.role == Role::User => parts.push(part.clone()),
            Block::Provider(_) => {}
        }
    }
    let content = match parts.as_slice() {
        [] => Value::Null,
        // The plain form is the one that every server knows.
        parts if parts.iter().all(|part| part["type"] == "text") => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join("\n").into()
        }
        parts => json!(parts),
    };
    match message.role {
        Role::User if content.is_null() => {}
        Role::User => messages.push(json!({"role": "user", "content": content})),
        Role::Assistant if calls.is_empty() => messages.push(json!({"role": "assistant", "content": content})),
        Role::Assistant => messages.push(json!({"role": "assistant", "content": content, "tool_calls": calls})),
    }
    messages
}

/// A reply in the making.
#[derive(Debug, Default)]
struct Assembly {
    id: Value,
    model: String,
    text: String,
    refusal: String,
    /// By their index.
    calls: BTreeMap<u64, PartialCall>,
    finish_reason: Option<String>,
    usage: Value,
}

#[derive(Debug, Default)]
struct PartialCall {
    id: String,
    name: String,
    arguments: String,
}

impl Assembly {
    fn take(&mut self, chunk: &Value) {
        let choice = &chunk["choices"][0];
        self.take_frame(chunk, choice);
        self.take_said(&choice["delta"]);
    }

    fn take_whole(&mut self, completion: &Value) {
        let choice = &completion["choices"][0];
        self.take_frame(completion, choice);
        self.take_said(&choice["message"]);
    }

    fn take_frame(&mut self, frame: &Value, choice: &Value) {
        if !frame["id"].is_null() {
            self.id = frame["id"].clone();
        }
        if let Some(model) = frame["model"].as_str() {
            self.model = model.to_owned();
        }
        if frame["usage"].is_object() {
            self.usage = frame["usage"].clone();
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.finish_reason = Some(reason.to_owned());
        }
    }

    fn take_said(&mut self, said: &Value) {
        self.text.push_str(said["content"].as_str().unwrap_or(""));
        self.refusal.push_str(said["refusal"].as_str().unwrap_or(""));
        for (place, part) in said["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let call = self
                .calls
                .entry(part["index"].as_u64().unwrap_or(place as u64))
                .or_default();
            let grow = |text: &mut String, value: &Value| text.push_str(value.as_str().unwrap_or(""));
            grow(&mut call.id, &part["id"]);
            grow(&mut call.name, &part["function"]["name"]);
            grow(&mut call.arguments, &part["function"]["arguments"]);
        }
    }

    fn finish(self, asked: &Asked<'_>) -> Result<Reply, String> {
        let refused = !self.refusal.is_empty();
        let mut content = Vec::new();
        for text in [self.text, self.refusal] {
            if !text.is_empty() {
                content.push(Block::Text(text));
            }
        }
        for call in self.calls.into_values() {
            let arguments = if call.arguments.trim().is_empty() {
                "{}"
            } else {
                &call.arguments
            };
            content.push(Block::ToolCall(ToolCall {
                id: call.id,
                name: call.name,
                input: serde_json::from_str(arguments)
                    .map_err(|e| format!("has tool arguments that are not JSON: {e}"))?,
            }));
        }
        let mut extra = Map::new();
        if !self.id.is_null() {
            extra.insert("id".to_owned(), self.id);
        }
        let usage = counted(&self.usage).unwrap_or_else(|| {
            extra.insert("usage".to_owned(), "estimated".into());
            super::estimate(asked.payload, &content)
        });
        let reason = self.finish_reason.as_deref().unwrap_or("stop");
        Ok(Reply {
            content,
            stop_reason: if refused {
                StopReason::Refused
            } else {
                stop_reason(reason)
            },
            model: if self.model.is_empty() {
                asked.model.to_owned()
            } else {
                self.model
            },
            usage,
            simulated: false,
            extra: (!extra.is_empty()).then_some(Value::Object(extra)),
        })
    }
}

fn counted(usage: &Value) -> Option<Usage> {
    let prompt = usage["prompt_tokens"].as_u64()?;
    let cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0);
    Some(Usage {
        input: prompt.saturating_sub(cached),
        output: usage["completion_tokens"].as_u64().unwrap_or(0),
        cache_read: cached,
        cache_write: 0,
    })
}

fn stop_reason(reason: &str) -> StopReason {
    match reason {
        "stop" => StopReason::End,
        "length" => StopReason::MaxTokens,
        "tool_calls" | "function_call" => StopReason::ToolUse,
        "content_filter" => StopReason::Refused,
        other => StopReason::Other(other.to_owned()),
    }
}
