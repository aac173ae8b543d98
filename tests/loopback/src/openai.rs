//! The stream of chat completions.

use serde_json::{Value, json};

use crate::anthropic::pieces;
use crate::reply::Reply;

/// Returns the events of a reply, as they go over the wire.
pub(crate) fn events(reply: &Reply) -> Vec<String> {
    let mut events = vec![chunk(reply, &json!({"role": "assistant", "content": ""}), Value::Null)];
    let mut calls = 0;
    for block in &reply.blocks {
        match block["type"].as_str() {
            Some("text") => {
                let text = block["text"].as_str().unwrap_or("");
                events.extend(pieces(text).map(|piece| chunk(reply, &json!({"content": piece}), Value::Null)));
            }
            Some("tool_use") => {
                let call = |id: &Value, function: Value| json!({"tool_calls": [{"index": calls, "id": id, "type": "function", "function": function}]});
                let opening = call(&block["id"], json!({"name": block["name"], "arguments": ""}));
                events.push(chunk(reply, &opening, Value::Null));
                for piece in pieces(&block["input"].to_string()) {
                    events.push(chunk(
                        reply,
                        &call(&Value::Null, json!({"arguments": piece})),
                        Value::Null,
                    ));
                }
                calls += 1;
            }
            _ => {}
        }
    }
    let reason = match reply.stop_reason.as_str() {
        "end_turn" => "stop",
        "max_tokens" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        other => other,
    };
    events.push(chunk(reply, &json!({}), reason.into()));
    let usage = json!({
        "prompt_tokens": reply.input_tokens, "completion_tokens": reply.output_tokens, "total_tokens": reply.input_tokens + reply.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    });
    events.push(event(&json!({"id": "chatcmpl-loopback", "object": "chat.completion.chunk", "model": reply.model, "choices": [], "usage": usage})));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

/// Returns an error in the middle of a stream.
pub(crate) fn error(kind: &str, message: &str) -> String {
    event(&json!({"error": {"type": kind, "code": null, "message": message}}))
}

fn chunk(reply: &Reply, delta: &Value, finish_reason: Value) -> String {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish_reason});
    event(
        &json!({"id": "chatcmpl-loopback", "object": "chat.completion.chunk", "model": reply.model, "choices": [choice], "usage": null}),
    )
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}
