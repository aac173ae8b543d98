//! `model`: conversations with a language model.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::is_default;

/// The longest reply where a request does not say, in tokens.
pub const MAX_TOKENS_DEFAULT: u32 = 8_192;

/// The tiers that a skill may ask for instead of a model, from the weakest to the strongest.
pub const TIERS: [&str; 3] = ["haiku", "sonnet", "opus"];

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The skill.
    User,
    /// The model.
    Assistant,
}

/// The model asks for a function tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's name for this use.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Its arguments.
    pub input: Value,
}

/// What a tool answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolOutcome {
    /// The tool call that this answers.
    pub id: String,
    /// As text.
    pub content: String,
    /// Whether it failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// Text.
    Text(String),
    /// The model asks for a tool.
    ToolCall(ToolCall),
    /// The skill answers.
    ToolOutcome(ToolOutcome),
    /// The provider's own JSON, which goes back as it came.
    Provider(Value),
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Vec<Block>,
}

/// A tool that the model may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    /// One that the skill answers.
    Function {
        /// Its name.
        name: String,
        /// What it does, for the model.
        description: String,
        /// The JSON Schema of its arguments.
        input_schema: Value,
    },
    /// One that the provider runs. `{"type": "web_search", "max_uses": n}` is translated for every provider that can search; the rest is passed on.
    Provider(Value),
}

/// `model.complete`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// A tier or a full id.
    pub model: String,
    /// The system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The conversation.
    pub messages: Vec<Message>,
    /// What the model may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// The longest reply, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Where to stop.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop_sequences: Vec<String>,
    /// What the reply is to fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// Merged into the provider's own request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
}

/// Why the model stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// It had said what it had to say.
    #[default]
    End,
    /// The reply was as long as it may be.
    MaxTokens,
    /// A stop sequence came.
    StopSequence,
    /// It asks for tools.
    ToolUse,
    /// The provider paused; sending the reply back goes on.
    Paused,
    /// It refused.
    Refused,
    /// The conversation is as long as it may be.
    ContextFull,
    /// Something this host does not know.
    Other(String),
}

/// Tokens, as the provider counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Read, not from a cache.
    #[serde(default)]
    pub input: u64,
    /// Written.
    #[serde(default)]
    pub output: u64,
    /// Read from the provider's cache. Absent from the record if it is 0, as most often.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cache_read: u64,
    /// Written to the provider's cache. Absent from the record if it is 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cache_write: u64,
}

impl Usage {
    /// Returns all four together.
    pub fn total(&self) -> u64 {
        [self.output, self.cache_read, self.cache_write]
            .iter()
            .fold(self.input, |sum, n| sum.saturating_add(*n))
    }
}

/// What the model answered.
///
/// There is one in every journal for each call of a model, so what is nearly always the same is left out of the record; [`super::shown`] puts it back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// What it said.
    pub content: Vec<Block>,
    /// Why it stopped. Absent from the record if it had said what it had to say.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stop_reason: StopReason,
    /// The full id of the model.
    pub model: String,
    /// What was counted.
    #[serde(default)]
    pub usage: Usage,
    /// Whether no model answered but a script.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// What else the provider said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
}

impl Reply {
    /// Returns the reply of a person who answers in a model's place.
    pub fn said(text: String) -> Self {
        Self {
            content: vec![Block::Text(text)],
            stop_reason: StopReason::End,
            model: "by hand".to_owned(),
            usage: Usage::default(),
            simulated: false,
            extra: None,
        }
    }
}

/// Puts into a recorded reply what the record leaves out, so that whoever reads answers finds the same members in each, whatever skillhost recorded it.
pub(super) fn shown(reply: &mut Value) {
    let Value::Object(members) = reply else { return };
    if !members.contains_key("stop_reason") {
        let place = usize::from(members.contains_key("content"));
        members.shift_insert(place, "stop_reason".to_owned(), "end".into());
    }
    if let Some(Value::Object(usage)) = members.get_mut("usage") {
        for absent in ["cache_read", "cache_write"] {
            usage.entry(absent).or_insert_with(|| 0.into());
        }
    }
}
