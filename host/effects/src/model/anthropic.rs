//! `anthropic`: the Messages API, streamed.
//!
//! What a skill cannot use but has to send back (thinking, searches and what they found) is kept as the provider's own blocks. Citations of a text go into
//! the reply's `extra`, because a text is a text.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use skillhost_core::calls::model::{
    Block, MAX_TOKENS_DEFAULT, Message, Reply, Request, Role, StopReason, Tool, ToolCall, Usage,
};

use super::http::{Answer, Endpoint, NamedError};
use super::sse::Event;
use super::{Asked, Clients, Miss, Name, OpenError, merge_extra, schema};
use crate::model::settings::Server;

/// The header that holds a key.
const KEY_HEADER: &str = "x-api-key";
/// The version of the API that is spoken.
const VERSION: &str = "2023-06-01";
/// The provider's name for what a skill calls `web_search`.
const WEB_SEARCH: &str = "web_search_20250305";

/// Asks the Messages API.
#[derive(Debug)]
pub(super) struct Anthropic {
    endpoint: Endpoint,
    refused_schemas: Arc<schema::Refused>,
}

impl Anthropic {
    pub(super) fn new(mut server: Server, clients: &Clients) -> Result<Self, OpenError> {
        let has_version = server
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("anthropic-version"));
        if !has_version {
            server
                .headers
                .push(("anthropic-version".to_owned(), super::Secret::new(VERSION)));
        }
        let endpoint = Endpoint::new(Name::Anthropic, server, KEY_HEADER, clients)?;
        let refused_schemas = Arc::clone(&clients.refused_schemas);
        Ok(Self {
            endpoint,
            refused_schemas,
        })
    }

    pub(super) fn place(&self) -> &str {
        self.endpoint.base_url()
    }

    pub(super) async fn complete(&self, asked: &Asked<'_>) -> Result<Reply, Miss> {
        // A schema is followed where the provider can be held to one, and ignored where it cannot: by an older model, or because the schema is too much for it.
        let refused = &self.refused_schemas;
        let held = refused.without(&self.endpoint, asked, held_to(asked.request));
        let answered = self.ask(&body(asked, held.as_ref()), asked).await;
        answered.map_err(|miss| match held {
            Some(_) => refused.blame(&self.endpoint, asked, miss),
            None => miss,
        })
    }

    async fn ask(&self, body: &Value, asked: &Asked<'_>) -> Result<Reply, Miss> {
        let mut answer = self.endpoint.ask("/v1/messages", body, asked).await?;
        if let Some(message) = answer.whole().await? {
            return whole(&message).ok_or_else(|| self.endpoint.foreign(&message.to_string()));
        }
        let mut assembly = Assembly::default();
        while !assembly.stopped {
            let Some(event) = answer.next_event().await? else {
                return Err(self.endpoint.truncated("ended before it was complete"));
            };
            self.take(&event, &mut assembly, &mut answer)?;
        }
        assembly.finish().map_err(|reason| self.endpoint.truncated(&reason))
    }

    fn take(&self, event: &Event, assembly: &mut Assembly, answer: &mut Answer<'_>) -> Result<(), Miss> {
        let data: Value = match serde_json::from_str(&event.data) {
            Ok(data) => data,
            Err(e) => return Err(self.endpoint.truncated(&format!("has an event that is not JSON: {e}"))),
        };
        if data["type"] == "error" {
            return Err(self
                .endpoint
                .sort(&NamedError::of_body(&data), None)
                .with_cost_unknown());
        }
        assembly
            .take(&data)
            .map_err(|reason| self.endpoint.truncated(&reason))?;
        if data["type"] == "message_delta" {
            answer.count_tokens(assembly.usage.output);
        }
        Ok(())
    }
}

/// Returns the schema that the provider can be held to. Answers that cite what a search found cannot be held to one.
fn held_to(request: &Request) -> Option<Value> {
    let searches = request.tools.iter().any(|tool| matches!(tool, Tool::Provider(_)));
    let schema = request.output_schema.as_ref().filter(|_| !searches)?;
    schema::closed(schema)
}

fn body(asked: &Asked<'_>, schema: Option<&Value>) -> Value {
    let request = asked.request;
    let mut body = json!({
        "model": asked.model,
        "max_tokens": request.max_tokens.unwrap_or(MAX_TOKENS_DEFAULT),
        "messages": request.messages.iter().map(message).collect::<Vec<_>>(),
    });
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body[name] = value;
        }
    };
    set(
        "system",
        request
            .system
            .as_deref()
            .filter(|text| !text.is_empty())
            .map(Value::from),
    );
    set("temperature", request.temperature.map(super::short_float));
    set(
        "stop_sequences",
        (!request.stop_sequences.is_empty()).then(|| json!(request.stop_sequences)),
    );
    set(
        "tools",
        (!request.tools.is_empty()).then(|| request.tools.iter().map(tool).collect()),
    );
    set(
        "output_config",
        schema.map(|schema| json!({"format": {"type": "json_schema", "schema": schema}})),
    );
    merge_extra(&mut body, asked);
    body["stream"] = true.into();
    body
}

fn message(message: &Message) -> Value {
    let role = match message.role {
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    json!({"role": role, "content": message.content.iter().filter_map(block).collect::<Vec<_>>()})
}

fn block(block: &Block) -> Option<Value> {
    Some(match block {
        // The API refuses empty texts, and models write them.
        Block::Text(text) if text.is_empty() => return None,
        Block::Text(text) => json!({"type": "text", "text": text}),
        Block::ToolCall(call) => json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}),
        Block::ToolOutcome(outcome) => {
            let mut value = json!({"type": "tool_result", "tool_use_id": outcome.id, "content": outcome.content});
            if outcome.is_error {
                value["is_error"] = true.into();
            }
            value
        }
        Block::Provider(value) => value.clone(),
    })
}

fn tool(tool: &Tool) -> Value {
    match tool {
        Tool::Function {
            name,
            description,
            input_schema,
        } => json!({"name": name, "description": description, "input_schema": input_schema}),
        Tool::Provider(value) if value["type"] == "web_search" => {
            let mut value = value.clone();
            value["type"] = WEB_SEARCH.into();
            value["name"] = "web_search".into();
            value
        }
        Tool::Provider(value) => value.clone(),
    }
}

/// A reply in the making.
#[derive(Debug, Default)]
struct Assembly {
    blocks: Vec<Value>,
    /// The arguments of the block that is open, as they come.
    arguments: String,
    id: Value,
    model: String,
    usage: Usage,
    server_tools: Value,
    stop_reason: Option<String>,
    stop_sequence: Value,
    stopped: bool,
}

impl Assembly {
    fn take(&mut self, event: &Value) -> Result<(), String> {
        match event["type"].as_str().unwrap_or("") {
            "message_start" => {
                let message = &event["message"];
                self.id = message["id"].clone();
                self.model = message["model"].as_str().unwrap_or("").to_owned();
                self.count(&message["usage"]);
            }
            "content_block_start" => {
                self.expect_index(event, self.blocks.len())?;
                let block = &event["content_block"];
                if !block.is_object() {
                    return Err("has a block that is no object".to_owned());
                }
                self.blocks.push(block.clone());
                self.arguments.clear();
            }
            "content_block_delta" => {
                self.expect_index(event, self.blocks.len().wrapping_sub(1))?;
                self.grow(&event["delta"]);
            }
            "content_block_stop" => self.close()?,
            "message_delta" => {
                let reason = event["delta"]["stop_reason"].as_str();
                self.stop_reason = reason.map(str::to_owned).or(self.stop_reason.take());
                self.stop_sequence = event["delta"]["stop_sequence"].clone();
                self.count(&event["usage"]);
            }
            "message_stop" => self.stopped = true,
            // `ping`, and whatever is added later.
            _ => {}
        }
        Ok(())
    }

    /// Blocks come one after the other; anything else would be put together wrongly.
    fn expect_index(&self, event: &Value, expected: usize) -> Result<(), String> {
        match event["index"].as_u64() {
            Some(index) if index != expected as u64 => Err(format!("has block {index} where {expected} was due")),
            _ => Ok(()),
        }
    }

    fn grow(&mut self, delta: &Value) {
        let Some(open) = self.blocks.last_mut() else { return };
        let append = |open: &mut Value, member: &str| {
            let mut text = open[member].as_str().unwrap_or("").to_owned();
            text.push_str(delta[member].as_str().unwrap_or(""));
            open[member] = text.into();
        };
        match delta["type"].as_str().unwrap_or("") {
            "text_delta" => append(open, "text"),
            "thinking_delta" => append(open, "thinking"),
            "signature_delta" => append(open, "signature"),
            "input_json_delta" => self.arguments.push_str(delta["partial_json"].as_str().unwrap_or("")),
            "citations_delta" => match open["citations"].as_array_mut() {
                Some(citations) => citations.push(delta["citation"].clone()),
                None => open["citations"] = json!([delta["citation"]]),
            },
            other => tracing::debug!(kind = other, "a delta of an unknown kind was passed over"),
        }
    }

    fn close(&mut self) -> Result<(), String> {
        let arguments = std::mem::take(&mut self.arguments);
        if let (Some(open), false) = (self.blocks.last_mut(), arguments.is_empty()) {
            open["input"] =
                serde_json::from_str(&arguments).map_err(|e| format!("has tool arguments that are not JSON: {e}"))?;
        }
        Ok(())
    }

    /// Counts are totals, and later ones take the place of earlier ones.
    fn count(&mut self, usage: &Value) {
        let update = |count: &mut u64, member: &str| *count = usage[member].as_u64().unwrap_or(*count);
        update(&mut self.usage.input, "input_tokens");
        update(&mut self.usage.output, "output_tokens");
        update(&mut self.usage.cache_read, "cache_read_input_tokens");
        update(&mut self.usage.cache_write, "cache_creation_input_tokens");
        if usage["server_tool_use"].is_object() {
            self.server_tools = usage["server_tool_use"].clone();
        }
    }

    fn finish(mut self) -> Result<Reply, String> {
        let reason = self.stop_reason.ok_or("does not say why the model stopped")?;
        let citations: Vec<Value> = self
            .blocks
            .iter_mut()
            .filter(|block| block["type"] == "text")
            .filter_map(|block| block.get_mut("citations")?.as_array_mut())
            .flat_map(std::mem::take)
            .collect();
        let mut extra = Map::new();
        let said = [
            ("id", self.id),
            ("stop_sequence", self.stop_sequence),
            ("server_tool_use", self.server_tools),
        ];
        extra.extend(
            said.into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.to_owned(), value)),
        );
        if !citations.is_empty() {
            extra.insert("citations".to_owned(), citations.into());
        }
        Ok(Reply {
            content: self.blocks.into_iter().map(received).collect(),
            stop_reason: stop_reason(&reason),
            model: self.model,
            usage: self.usage,
            simulated: false,
            extra: (!extra.is_empty()).then_some(Value::Object(extra)),
        })
    }
}

fn received(block: Value) -> Block {
    let text = |member: &str| block[member].as_str().unwrap_or("").to_owned();
    match block["type"].as_str() {
        Some("text") => Block::Text(text("text")),
        Some("tool_use") => Block::ToolCall(ToolCall {
            id: text("id"),
            name: text("name"),
            input: if block["input"].is_null() {
                json!({})
            } else {
                block["input"].clone()
            },
        }),
        _ => Block::Provider(block),
    }
}

fn stop_reason(reason: &str) -> StopReason {
    match reason {
        "end_turn" => StopReason::End,
        "max_tokens" => StopReason::MaxTokens,
        "stop_sequence" => StopReason::StopSequence,
        "tool_use" => StopReason::ToolUse,
        "pause_turn" => StopReason::Paused,
        "refusal" => StopReason::Refused,
        "model_context_window_exceeded" => StopReason::ContextFull,
        other => StopReason::Other(other.to_owned()),
    }
}

/// Reads a message that came whole, from a gateway that does not stream.
fn whole(message: &Value) -> Option<Reply> {
    let mut assembly = Assembly {
        blocks: message["content"].as_array()?.clone(),
        id: message["id"].clone(),
        model: message["model"].as_str()?.to_owned(),
        stop_reason: message["stop_reason"].as_str().map(str::to_owned),
        stop_sequence: message["stop_sequence"].clone(),
        ..Assembly::default()
    };
    assembly.count(&message["usage"]);
    assembly.finish().ok()
}
