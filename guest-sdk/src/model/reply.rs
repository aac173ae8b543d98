//! What a model answered.

use crate::bindings::skillhost::skill::model as world;
use crate::failure::{Failure, Result, code};

use super::{Block, Message, Role, StopReason, ToolCall, Usage};

/// What a model answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// What it said.
    pub content: Vec<Block>,
    /// Why it stopped.
    pub stop_reason: StopReason,
    /// The full id of the model that answered.
    pub model: String,
    /// What was counted, over all parts of a reply that was paused.
    pub usage: Usage,
    /// Whatever else the provider said, as JSON.
    pub extra: Option<String>,
}

impl Reply {
    /// Returns what it said as text, without tool calls and the provider's own blocks.
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter_map(|block| match block {
            Block::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// Returns the tools that it asks for.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.content.iter().filter_map(|block| match block {
            Block::ToolCall(call) => Some(call),
            _ => None,
        })
    }

    /// Returns it as a turn of the conversation, to be sent back with what follows.
    pub fn message(&self) -> Message {
        Message {
            role: Role::Assistant,
            content: self.content.clone(),
        }
    }

    /// Fails if it ended in a way that leaves nothing to read.
    pub(crate) fn finished(&self) -> Result<()> {
        let model = &self.model;
        match &self.stop_reason {
            StopReason::Refused => Err(Failure::new(code::REFUSED, format!("{model} refused to answer"))),
            StopReason::ContextFull => Err(Failure::new(
                code::CONTEXT_FULL,
                format!("the conversation is longer than {model} can take"),
            )),
            StopReason::ToolUse => Err(Failure::new(
                code::TOOL_USE,
                format!("{model} asks for a tool; `.reply()` shows which"),
            )),
            _ => Ok(()),
        }
    }

    /// Adds a further part of a reply that was paused.
    pub(super) fn continued(mut self, part: Self) -> Self {
        self.content.extend(part.content);
        let sum = |a: u64, b: u64| a.saturating_add(b);
        Self {
            content: self.content,
            usage: Usage {
                input: sum(self.usage.input, part.usage.input),
                output: sum(self.usage.output, part.usage.output),
                cache_read: sum(self.usage.cache_read, part.usage.cache_read),
                cache_write: sum(self.usage.cache_write, part.usage.cache_write),
            },
            ..part
        }
    }
}

impl From<world::Reply> for Reply {
    fn from(reply: world::Reply) -> Self {
        Self {
            content: reply.content,
            stop_reason: reply.stop_reason,
            model: reply.model,
            usage: reply.usage,
            extra: reply.extra,
        }
    }
}
