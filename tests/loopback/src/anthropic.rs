//! The stream of the Messages API.

use serde_json::{Value, json};

use crate::reply::Reply;

/// How many characters of a text one event carries.
const PIECE_CHARS: usize = 12;

/// Returns the events of a reply, as they go over the wire.
pub(crate) fn events(reply: &Reply) -> Vec<String> {
    let message = json!({
        "id": "msg_loopback", "type": "message", "role": "assistant", "content": [], "model": reply.model,
        "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": reply.input_tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1},
    });
    let mut events = vec![
        event(&json!({"type": "message_start", "message": message})),
        event(&json!({"type": "ping"})),
    ];
    for (index, block) in reply.blocks.iter().enumerate() {
        let (opening, deltas) = split(block);
        events.push(event(
            &json!({"type": "content_block_start", "index": index, "content_block": opening}),
        ));
        let delta_event =
            |delta: &Value| event(&json!({"type": "content_block_delta", "index": index, "delta": delta}));
        events.extend(deltas.iter().map(delta_event));
        events.push(event(&json!({"type": "content_block_stop", "index": index})));
    }
    let delta = json!({"stop_reason": reply.stop_reason, "stop_sequence": null});
    events.push(event(
        &json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": reply.output_tokens}}),
    ));
    events.push(event(&json!({"type": "message_stop"})));
    events
}

/// Returns an error in the middle of a stream.
pub(crate) fn error(kind: &str, message: &str) -> String {
    event(&json!({"type": "error", "error": {"type": kind, "message": message}}))
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or(""))
}

/// Splits a block into what opens it and what it grows by.
fn split(block: &Value) -> (Value, Vec<Value>) {
    let mut opening = block.clone();
    let grow = |kind: &str, member: &str, text: &Value| -> Vec<Value> {
        pieces(text.as_str().unwrap_or(""))
            .map(|piece| json!({"type": kind, member: piece}))
            .collect()
    };
    match block["type"].as_str() {
        Some("text") => {
            opening["text"] = "".into();
            let mut deltas = grow("text_delta", "text", &block["text"]);
            if let Some(members) = opening.as_object_mut() {
                members.remove("citations");
            }
            let citations = block["citations"].as_array().into_iter().flatten();
            deltas.extend(citations.map(|citation| json!({"type": "citations_delta", "citation": citation})));
            (opening, deltas)
        }
        Some("thinking") => {
            opening["thinking"] = "".into();
            opening["signature"] = "".into();
            let mut deltas = grow("thinking_delta", "thinking", &block["thinking"]);
            deltas.push(json!({"type": "signature_delta", "signature": block["signature"]}));
            (opening, deltas)
        }
        Some("tool_use" | "server_tool_use") => {
            opening["input"] = json!({});
            let written = Value::String(block["input"].to_string());
            (opening, grow("input_json_delta", "partial_json", &written))
        }
        _ => (opening, Vec::new()),
    }
}

pub(crate) fn pieces(text: &str) -> impl Iterator<Item = String> {
    let characters: Vec<char> = text.chars().collect();
    let pieces: Vec<String> = characters
        .chunks(PIECE_CHARS)
        .map(|piece| piece.iter().collect())
        .collect();
    pieces.into_iter()
}
