//! The Messages API.

use std::sync::{Arc, Mutex};

use serde_json::json;
use skillhost_core::budget::Cost;
use skillhost_core::calls::CallOptions;
use skillhost_core::calls::model::{StopReason, Tool, ToolCall, ToolOutcome, Usage};
use skillhost_core::effect::Function;
use skillhost_core::entry::{Limits, Rung};
use skillhost_core::machine::Asks;
use skillhost_loopback::{Behaviour, Rule};

use super::*;
use crate::tests::{RUN, ticket_of_run};
use crate::watch::Progress;

fn start() -> (Loopback, Provider) {
    start_with(&[])
}

fn start_with(more: &[(&str, &str)]) -> (Loopback, Provider) {
    let server = Loopback::start().unwrap();
    let provider = open(Name::Anthropic, &server, more);
    (server, provider)
}

#[tokio::test]
async fn a_streamed_reply_is_put_together_and_counted() {
    let (server, provider) = start();
    let progress = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&progress);
    let made = Made {
        watch: Watch::new(move |number, progress| kept.lock().unwrap().push((number, progress))),
        ..Made::default()
    };
    let reply = complete(
        &provider,
        &request("Say hello to Ada, who is waiting.\n#reply Hello, Ada, nice of you to wait!"),
        made,
    )
    .await
    .unwrap();
    assert_eq!(text(&reply), "Hello, Ada, nice of you to wait!");
    assert_eq!(
        (reply.stop_reason, reply.model.as_str(), reply.simulated),
        (StopReason::End, "claude-haiku-4-5-20251001", false)
    );
    assert_eq!(reply.extra, Some(json!({"id": "msg_loopback"})));
    assert!(reply.usage.input > 0 && reply.usage.output > 1, "{:?}", reply.usage);
    let progress = progress.lock().unwrap();
    assert_eq!(
        progress[..2],
        [
            (Number(7), Progress::Queued),
            (Number(7), Progress::Started { attempt: 1 })
        ]
    );
    assert!(matches!(
        progress.last(),
        Some((_, Progress::Streamed { bytes: 1.., .. }))
    ));
    assert_eq!(server.counts().answered, [(KEY.to_owned(), 1)].into());
}

#[tokio::test]
async fn what_is_asked_goes_out_in_the_words_of_the_api() {
    let (server, provider) = start_with(&[("ANTHROPIC_CUSTOM_HEADERS", "x-team: blue\nx-cost: 7")]);
    let mut request = request("Look it up.");
    request.model = "opus".to_owned();
    request.system = Some("Be brief.".to_owned());
    request.temperature = Some(0.2);
    request.stop_sequences = vec!["END".to_owned()];
    request.tools = vec![
        Tool::Function {
            name: "read".to_owned(),
            description: "Reads.".to_owned(),
            input_schema: json!({"type": "object"}),
        },
        Tool::Provider(json!({"type": "web_search", "max_uses": 5})),
        Tool::Provider(json!({"type": "code_execution_20250825", "name": "code_execution"})),
    ];
    let thought = json!({"type": "thinking", "thinking": "hm", "signature": "sig"});
    request.messages.push(Message {
        role: Role::Assistant,
        content: vec![
            Block::Provider(thought.clone()),
            Block::Text(String::new()),
            Block::ToolCall(ToolCall {
                id: "t1".to_owned(),
                name: "read".to_owned(),
                input: json!({"path": "a"}),
            }),
        ],
    });
    request.messages.push(Message {
        role: Role::User,
        content: vec![Block::ToolOutcome(ToolOutcome {
            id: "t1".to_owned(),
            content: "no".to_owned(),
            is_error: true,
        })],
    });
    request.extra =
        Some(json!({"thinking": {"type": "enabled", "budget_tokens": 1024}, "stream": false, "model": "dear"}));
    complete(&provider, &request, Made::default()).await.unwrap();
    let seen = server.requests().remove(0);
    assert_eq!(
        seen.body,
        json!({
            "model": "claude-opus-4-7",
            "max_tokens": 8192,
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Look it up."}]},
                {"role": "assistant", "content": [thought, {"type": "tool_use", "id": "t1", "name": "read", "input": {"path": "a"}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": true}]},
            ],
            "system": "Be brief.",
            "temperature": 0.2,
            "stop_sequences": ["END"],
            "tools": [
                {"name": "read", "description": "Reads.", "input_schema": {"type": "object"}},
                {"type": "web_search_20250305", "max_uses": 5, "name": "web_search"},
                {"type": "code_execution_20250825", "name": "code_execution"},
            ],
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "stream": true,
        })
    );
    let header = |name: &str| seen.headers.get(name).map(String::as_str);
    assert_eq!(header("x-api-key"), Some("sk-planted-secret"));
    assert_eq!(header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(header("idempotency-key"), Some(KEY));
    assert_eq!(
        (header("x-team"), header("x-cost"), header("authorization")),
        (Some("blue"), Some("7"), None)
    );
}

#[tokio::test]
async fn a_bearer_token_goes_before_a_key() {
    let (server, provider) = start_with(&[("ANTHROPIC_AUTH_TOKEN", "planted-token")]);
    ask(&provider, "hello").await.unwrap();
    let seen = server.requests().remove(0);
    assert_eq!(
        seen.headers.get("authorization").map(String::as_str),
        Some("Bearer planted-token")
    );
    assert_eq!(seen.headers.get("x-api-key"), None);
}

#[tokio::test]
async fn tools_thoughts_searches_and_citations_come_back_as_what_they_are() {
    let (server, provider) = start();
    let thought = json!({"type": "thinking", "thinking": "Let me look that up at once.", "signature": "EqQBCgIYAhIM"});
    let search =
        json!({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "who was Ada"}});
    let found = json!({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"type": "web_search_result", "url": "https://a.example", "encrypted_content": "x"}]});
    let citation = json!({"type": "web_search_result_location", "url": "https://a.example", "title": "Ada", "cited_text": "She wrote."});
    let blocks = vec![
        thought.clone(),
        search.clone(),
        found.clone(),
        json!({"type": "text", "text": "She wrote the first program.", "citations": [citation]}),
        json!({"type": "tool_use", "id": "toolu_1", "name": "note", "input": {"lines": ["ä", 2], "deep": {"er": null}}}),
        json!({"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}}),
    ];
    server.rule(Rule::of(Behaviour::Blocks {
        blocks,
        stop_reason: "tool_use".to_owned(),
    }));
    let reply = ask(&provider, "Who was Ada?").await.unwrap();
    let call = |id: &str, name: &str, input| {
        Block::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            input,
        })
    };
    assert_eq!(
        reply.content,
        [
            Block::Provider(thought),
            Block::Provider(search),
            Block::Provider(found),
            Block::Text("She wrote the first program.".to_owned()),
            call("toolu_1", "note", json!({"lines": ["ä", 2], "deep": {"er": null}})),
            call("toolu_2", "now", json!({})),
        ]
    );
    assert_eq!(reply.stop_reason, StopReason::ToolUse);
    assert_eq!(
        reply.extra,
        Some(json!({"id": "msg_loopback", "citations": [citation]}))
    );
}

#[tokio::test]
async fn every_reason_to_stop_has_its_name() {
    let (server, provider) = start();
    let reasons = [
        ("end_turn", StopReason::End),
        ("max_tokens", StopReason::MaxTokens),
        ("stop_sequence", StopReason::StopSequence),
        ("pause_turn", StopReason::Paused),
        ("refusal", StopReason::Refused),
        ("model_context_window_exceeded", StopReason::ContextFull),
        ("novel", StopReason::Other("novel".to_owned())),
    ];
    for (reason, expected) in reasons {
        server.rule(
            Rule::of(Behaviour::Blocks {
                blocks: Vec::new(),
                stop_reason: reason.to_owned(),
            })
            .times(1),
        );
        assert_eq!(ask(&provider, "hello").await.unwrap().stop_reason, expected);
    }
}

#[tokio::test]
async fn a_schema_is_followed_where_the_provider_can_be_held_to_it_and_ignored_where_it_cannot() {
    let (server, provider) = start();
    let mut request = request("Plan.");
    request.output_schema = Some(json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 0}}}));
    complete(&provider, &request, Made::default()).await.unwrap();
    let refusal = Behaviour::status(400).with_body(
        r#"{"error":{"type":"invalid_request_error","message":"output_config.format is not supported by this model"}}"#,
    );
    server.rule(Rule::of(refusal).containing("output_config"));
    let miss = complete(&provider, &request, Made::default()).await.unwrap_err();
    assert_eq!(
        miss.again,
        again(FaultKind::Form, None),
        "the machine performs it again, on an account"
    );
    complete(&provider, &request, Made::default()).await.unwrap();
    complete(&provider, &request, Made::default()).await.unwrap();
    let sent: Vec<_> = server
        .requests()
        .iter()
        .map(|seen| seen.body["output_config"].clone())
        .collect();
    let held = json!({"format": {"type": "json_schema", "schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": false}}});
    let without = serde_json::Value::Null;
    assert_eq!(sent, [held.clone(), held, without.clone(), without]);
}

#[tokio::test]
async fn a_gateway_that_does_not_stream_is_understood() {
    let (server, provider) = start();
    let body = json!({"id": "m", "type": "message", "model": "claude-x", "content": [{"type": "text", "text": "whole"}], "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 4}});
    server.rule(Rule::of(Behaviour::Plain {
        kind: "application/json".to_owned(),
        body: body.to_string(),
    }));
    let reply = ask(&provider, "hello").await.unwrap();
    assert_eq!(
        (text(&reply).as_str(), reply.usage),
        (
            "whole",
            Usage {
                input: 3,
                output: 4,
                ..Usage::default()
            }
        )
    );
}

#[tokio::test]
async fn refusals_are_sorted_by_who_must_act() {
    let (server, provider) = start();
    let overloaded = |seconds| again(FaultKind::Overloaded, seconds);
    let cases = [
        (
            Behaviour::status(429).with_header("retry-after", "17"),
            "overloaded",
            overloaded(Some(17)),
            vec!["(429)", "rate_limit_error"],
        ),
        (
            Behaviour::status(529),
            "overloaded",
            overloaded(None),
            vec!["(529)", "overloaded_error"],
        ),
        (
            Behaviour::status(503).with_body("<html>down</html>"),
            "overloaded",
            overloaded(None),
            vec!["<html>down"],
        ),
        (Behaviour::status(500), "overloaded", overloaded(None), vec!["(500)"]),
        (
            Behaviour::status(500).with_header("x-should-retry", "false"),
            "invalid",
            None,
            vec![],
        ),
        (
            Behaviour::status(401),
            "denied",
            None,
            vec!["ANTHROPIC_API_KEY", "skillhost doctor"],
        ),
        (Behaviour::status(403), "denied", None, vec!["(403)"]),
        (Behaviour::status(400), "invalid", None, vec!["told to answer 400"]),
        (Behaviour::status(404), "invalid", None, vec!["ANTHROPIC_BASE_URL"]),
        (Behaviour::status(413), "invalid", None, vec!["(413)"]),
        (
            Behaviour::status(307).with_header("location", "http://elsewhere.example"),
            "failed",
            None,
            vec!["redirects"],
        ),
        (Behaviour::status(402), "denied", None, vec!["credit"]),
        (
            Behaviour::status(400)
                .with_body(r#"{"error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#),
            "denied",
            None,
            vec!["credit or quota"],
        ),
        (
            Behaviour::status(401).with_body(r#"{"error":{"message":"bad key sk-planted-secret"}}"#),
            "denied",
            None,
            vec!["bad key [secret]"],
        ),
    ];
    for (behaviour, code, expected, says) in cases {
        server.rule(Rule::of(behaviour).times(1));
        let answer = ask(&provider, "hello").await;
        assert_eq!(
            answer.as_ref().unwrap_err().spent,
            Some(Cost { calls: 1, ..Cost::ZERO })
        );
        assert_miss(answer, code, expected, &says);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_or_ends_early_or_is_not_json_may_be_tried_again() {
    let (server, provider) = start();
    let network = again(FaultKind::Network, None);
    let cases = [
        (Behaviour::BreakAfter(4), "broke off"),
        (Behaviour::BreakAfter(0), "broke off"),
        (Behaviour::EndAfter(4), "ended before"),
        (Behaviour::EndAfter(0), "ended before"),
        (Behaviour::Garbage("{\"type\": \"messa".to_owned()), "not JSON"),
    ];
    for (behaviour, says) in cases {
        server.rule(Rule::of(behaviour).times(1));
        let answer = ask(&provider, "hello").await;
        // Nobody knows what it cost, so what was reserved stays spent.
        assert_eq!(answer.as_ref().unwrap_err().spent, None);
        assert_miss(answer, "failed", network, &[says]);
    }
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_stream_is_sorted_as_its_status_would_be() {
    let (server, provider) = start();
    let error = |kind: &str| Behaviour::ErrorAfter {
        events: 5,
        kind: kind.to_owned(),
        message: "so it is".to_owned(),
    };
    server.rule(Rule::of(error("overloaded_error")).times(1));
    assert_miss(
        ask(&provider, "hello").await,
        "overloaded",
        again(FaultKind::Overloaded, None),
        &["overloaded_error", "so it is"],
    );
    server.rule(Rule::of(error("invalid_request_error")).times(1));
    assert_miss(ask(&provider, "hello").await, "invalid", None, &["so it is"]);
}

#[tokio::test]
async fn something_that_is_not_the_protocol_is_said_to_be_so() {
    let (server, provider) = start();
    for kind in ["text/html", "application/json"] {
        server.rule(
            Rule::of(Behaviour::Plain {
                kind: kind.to_owned(),
                body: "<html>Log in to the network".to_owned(),
            })
            .times(1),
        );
        assert_miss(
            ask(&provider, "hello").await,
            "failed",
            None,
            &["not its protocol", "ANTHROPIC_BASE_URL", "Log in to the network"],
        );
    }
    server.rule(Rule::of(Behaviour::Plain {
        kind: "application/json".to_owned(),
        body: "{\"hello\": 1}".to_owned(),
    }));
    assert_miss(ask(&provider, "hello").await, "failed", None, &["not its protocol"]);
}

#[tokio::test]
async fn silence_is_a_failure_that_may_pass_before_the_answer_and_in_its_middle() {
    let (server, provider) = start_with(&[("SKILLHOST_STALL_SECONDS", "0.2")]);
    for behaviour in [Behaviour::Hang, Behaviour::HangAfter(4)] {
        server.rule(Rule::of(behaviour).times(1));
        assert_miss(
            ask(&provider, "hello").await,
            "failed",
            again(FaultKind::Network, None),
            &["no byte for 0.2 s", "SKILLHOST_STALL_SECONDS"],
        );
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_may_come_back() {
    let (server, provider) = start();
    drop(server);
    assert_miss(
        ask(&provider, "hello").await,
        "failed",
        again(FaultKind::Network, None),
        &["could not reach", "ANTHROPIC_BASE_URL"],
    );
}

#[tokio::test]
async fn a_provider_that_acts_is_never_tried_again() {
    let (server, provider) = start();
    server.rule(Rule::of(Behaviour::status(529)));
    let made = Made {
        class: Class::AtMostOnce,
        ..Made::default()
    };
    assert_miss(
        complete(&provider, &request("hello"), made).await,
        "overloaded",
        None,
        &[],
    );
}

#[tokio::test]
async fn no_more_calls_are_in_flight_than_the_limit_allows() {
    let (server, provider) = start_with(&[("SKILLHOST_PARALLEL", "3")]);
    server.rule(Rule {
        delay_ms: 20,
        ..Rule::default()
    });
    let calls = (0..12).map(|_| ask(&provider, "hello"));
    for answer in futures::future::join_all(calls).await {
        answer.unwrap();
    }
    assert_eq!(server.counts().parallel_max, 3);
}

#[tokio::test]
async fn dropping_a_call_ends_its_request_and_frees_its_slot() {
    let (server, provider) = start_with(&[("SKILLHOST_PARALLEL", "1")]);
    server.rule(Rule::of(Behaviour::Hang).times(1));
    let dropped = tokio::spawn({
        let provider = provider.clone();
        async move { ask(&provider, "hello").await }
    });
    server.wait_for_requests(1).await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    ask(&provider, "again").await.unwrap();
}

#[tokio::test]
async fn b1_who_answers_is_what_the_ladder_says_and_then_what_extra_says() {
    let (server, provider) = start();
    let mut request = request("hello");
    request.extra = Some(json!({"model": "opus"}));
    let ladder = vec![Rung {
        percent: 0,
        tier: "haiku".to_owned(),
    }];
    for ladder in [Vec::new(), ladder] {
        let asks = Asks {
            model: "opus".to_owned(),
            input: 1,
            output: 1,
        };
        let limits = Limits {
            ladder,
            ..Limits::default()
        };
        let (payload, options) = (Payload::of(&request), CallOptions::default());
        let (function, class) = (Function::MODEL_COMPLETE, Class::Retryable);
        let ticket = ticket_of_run(
            RUN,
            function,
            class,
            payload,
            options,
            provider.describe(),
            limits,
            Some(asks),
        );
        provider.perform(&ticket, &Watch::silent()).await;
    }
    let models = provider.describe().models;
    let asked: Vec<_> = server
        .requests()
        .iter()
        .map(|seen| seen.body["model"].clone())
        .collect();
    assert_eq!(asked, [models["opus"].as_str(), models["haiku"].as_str()]);
}
