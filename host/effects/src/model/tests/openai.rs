//! Chat completions.

use serde_json::{Value, json};
use skillhost_core::calls::model::{StopReason, Tool, ToolCall, ToolOutcome};
use skillhost_loopback::{Behaviour, Rule};

use super::*;

fn start() -> (Loopback, Provider) {
    let server = Loopback::start().unwrap();
    let provider = open(Name::OpenAi, &server, &[("SKILLHOST_STALL_SECONDS", "0.2")]);
    (server, provider)
}

#[tokio::test]
async fn a_streamed_reply_is_put_together_and_counted() {
    let (server, provider) = start();
    let reply = ask(&provider, "#reply Hello, Ada, nice of you to wait!").await.unwrap();
    assert_eq!(text(&reply), "Hello, Ada, nice of you to wait!");
    assert_eq!((reply.stop_reason, reply.model.as_str()), (StopReason::End, "tiny"));
    assert!(reply.usage.input > 0 && reply.usage.output > 1, "{:?}", reply.usage);
    let seen = server.requests().remove(0);
    assert_eq!(seen.path, "/v1/chat/completions");
    assert_eq!(
        seen.headers.get("authorization").map(String::as_str),
        Some("Bearer sk-planted-secret")
    );
    assert_eq!(seen.headers.get("idempotency-key").map(String::as_str), Some(KEY));
}

#[tokio::test]
async fn what_is_asked_goes_out_in_the_words_of_the_api() {
    let (server, provider) = start();
    let mut request = request("Look it up.");
    request.model = "qwen3".to_owned();
    request.system = Some("Be brief.".to_owned());
    request.temperature = Some(0.7);
    request.stop_sequences = vec!["END".to_owned()];
    request.max_tokens = Some(99);
    request.tools = vec![Tool::Function {
        name: "read".to_owned(),
        description: "Reads.".to_owned(),
        input_schema: json!({"type": "object"}),
    }];
    request.output_schema = Some(json!({"type": "object"}));
    request.messages.push(Message {
        role: Role::Assistant,
        content: vec![Block::ToolCall(ToolCall {
            id: "t1".to_owned(),
            name: "read".to_owned(),
            input: json!({"path": "a"}),
        })],
    });
    request.messages.push(Message {
        role: Role::User,
        content: vec![
            Block::ToolOutcome(ToolOutcome {
                id: "t1".to_owned(),
                content: "found".to_owned(),
                is_error: false,
            }),
            Block::Text("Go on.".to_owned()),
        ],
    });
    request.extra = Some(json!({"seed": 7}));
    complete(&provider, &request, Made::default()).await.unwrap();
    assert_eq!(
        server.requests().remove(0).body,
        json!({
            "model": "qwen3",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Look it up."},
                {"role": "assistant", "content": null, "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "read", "arguments": "{\"path\":\"a\"}"}}]},
                {"role": "tool", "tool_call_id": "t1", "content": "found"},
                {"role": "user", "content": "Go on."},
            ],
            "stream_options": {"include_usage": true},
            "max_tokens": 99,
            "temperature": 0.7,
            "stop": ["END"],
            "tools": [{"type": "function", "function": {"name": "read", "description": "Reads.", "parameters": {"type": "object"}}}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "reply", "schema": {"type": "object"}}},
            "seed": 7,
            "stream": true,
        })
    );
}

#[tokio::test]
async fn tool_calls_are_put_together_in_their_order() {
    let (server, provider) = start();
    let blocks = vec![
        json!({"type": "text", "text": "Looking."}),
        json!({"type": "tool_use", "id": "c1", "name": "read", "input": {"path": "a long enough path to be cut"}}),
        json!({"type": "tool_use", "id": "c2", "name": "list", "input": {"deep": [1, null]}}),
    ];
    server.rule(Rule::of(Behaviour::Blocks {
        blocks,
        stop_reason: "tool_use".to_owned(),
    }));
    let reply = ask(&provider, "Go").await.unwrap();
    let call = |id: &str, name: &str, input: Value| {
        Block::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            input,
        })
    };
    let expected = [
        Block::Text("Looking.".to_owned()),
        call("c1", "read", json!({"path": "a long enough path to be cut"})),
        call("c2", "list", json!({"deep": [1, null]})),
    ];
    assert_eq!(
        (reply.content.as_slice(), reply.stop_reason),
        (&expected[..], StopReason::ToolUse)
    );
}

#[tokio::test]
async fn failures_are_sorted() {
    let (server, provider) = start();
    let overloaded = again(FaultKind::Overloaded, Some(2));
    let network = again(FaultKind::Network, None);
    let quota = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
    let cases = [
        (
            Behaviour::status(429).with_header("retry-after-ms", "2000"),
            "overloaded",
            overloaded,
            "(429)",
        ),
        (Behaviour::status(429).with_body(quota), "denied", None, "quota"),
        (Behaviour::status(401), "denied", None, "OPENAI_API_KEY"),
        (Behaviour::status(404), "invalid", None, "OPENAI_BASE_URL"),
        (Behaviour::BreakAfter(3), "failed", network, "broke off"),
        (Behaviour::EndAfter(3), "failed", network, "ended before"),
        (Behaviour::Garbage("{".to_owned()), "failed", network, "not JSON"),
        (Behaviour::Hang, "failed", network, "no byte"),
        (Behaviour::HangAfter(3), "failed", network, "no byte"),
        (
            Behaviour::Plain {
                kind: "text/html".to_owned(),
                body: "<html>".to_owned(),
            },
            "failed",
            None,
            "not its protocol",
        ),
    ];
    for (behaviour, code, expected, says) in cases {
        server.rule(Rule::of(behaviour).times(1));
        assert_miss(ask(&provider, "hello").await, code, expected, &[says]);
    }
    let error = Behaviour::ErrorAfter {
        events: 2,
        kind: "server_error".to_owned(),
        message: "tired".to_owned(),
    };
    server.rule(Rule::of(error).times(1));
    assert_miss(
        ask(&provider, "hello").await,
        "overloaded",
        again(FaultKind::Overloaded, None),
        &["tired"],
    );
}

#[tokio::test]
async fn a_tier_without_a_model_and_a_search_are_refused_before_anything_is_sent() {
    let server = Loopback::start().unwrap();
    let provider = open(Name::OpenAi, &server, &[("OPENAI_MODEL", "")]);
    assert_miss(
        ask(&provider, "hello").await,
        "invalid",
        None,
        &["`haiku`", "OPENAI_MODEL"],
    );
    let mut searching = request("hello");
    searching.model = "tiny".to_owned();
    searching.tools = vec![Tool::Provider(json!({"type": "web_search"}))];
    assert_miss(
        complete(&provider, &searching, Made::default()).await,
        "invalid",
        None,
        &["no web search"],
    );
    assert_eq!(server.requests(), []);
}

#[tokio::test]
async fn a_schema_that_the_server_does_not_know_is_left_out() {
    let (server, provider) = start();
    server.rule(
        Rule::of(Behaviour::status(400).with_body(r#"{"error":"unknown field response_format"}"#))
            .containing("response_format"),
    );
    let mut request = request("Plan.");
    request.output_schema = Some(json!({"type": "object"}));
    let miss = complete(&provider, &request, Made::default()).await.unwrap_err();
    assert_eq!(miss.again, again(FaultKind::Form, None));
    assert_eq!(server.requests().len(), 1);
    complete(&provider, &request, Made::default()).await.unwrap();
    assert_eq!(server.requests().len(), 2);
}
