//! What is answered, before it takes the form of a protocol.

use serde_json::{Value, json};

/// A reply in the form of the Messages API.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The blocks.
    pub blocks: Vec<Value>,
    /// In the words of the Messages API.
    pub stop_reason: String,
    /// The model that was asked for.
    pub model: String,
    /// Tokens read: a quarter of the request's bytes.
    pub input_tokens: u64,
    /// Tokens written: a quarter of the reply's.
    pub output_tokens: u64,
}

impl Reply {
    /// Makes a reply to a request.
    pub fn new(request: &Value, blocks: Vec<Value>, stop_reason: &str) -> Self {
        let quarter = |bytes: usize| bytes.div_ceil(4) as u64;
        Self {
            output_tokens: quarter(blocks.iter().map(|block| block.to_string().len()).sum()),
            blocks,
            stop_reason: stop_reason.to_owned(),
            model: request["model"].as_str().unwrap_or("").to_owned(),
            input_tokens: quarter(request["messages"].to_string().len()),
        }
    }

    /// Makes a reply of one text.
    pub fn text(request: &Value, text: &str) -> Self {
        Self::new(request, vec![json!({"type": "text", "text": text})], "end_turn")
    }
}

/// Returns the text that answers a request: what the last line of its last message that begins with `#reply ` asks for, else `echo`, a fingerprint of the conversation, and how the last
/// message begins. The same request always gets the same text.
pub fn echo(request: &Value) -> String {
    let last = last_text(request);
    if let Some(asked) = last
        .lines()
        .rev()
        .find_map(|line| line.trim_start().strip_prefix("#reply "))
    {
        return asked.trim().to_owned();
    }
    let heard = json!([request["model"], request["system"], request["messages"]]).to_string();
    let opening: String = last.lines().next().unwrap_or("").chars().take(60).collect();
    format!("echo {:016x}: {opening}", fingerprint(heard.as_bytes()))
}

/// Returns the text of the last message.
fn last_text(request: &Value) -> String {
    let last = request["messages"].as_array().and_then(|messages| messages.last());
    let content = last.map_or(&Value::Null, |message| &message["content"]);
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts
                .iter()
                .filter_map(|part| part["text"].as_str().or(part["content"].as_str()));
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// FNV-1a: short, and the same everywhere.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
