//! Replies from `offline.toml`.

use skillhost_core::calls::model::{StopReason, ToolCall, Usage};

use super::*;
use crate::model::OpenError;

fn open_script(script: &str) -> Provider {
    Hub::new()
        .open(Name::Offline, &Settings::default(), Some(script))
        .unwrap()
}

fn note(provider: &Provider, number: u64, text: &str) {
    provider.note(Number(number), &Payload::of(&request(text)), None);
}

async fn ask_as(provider: &Provider, number: u64, content: &str) -> String {
    let made = Made {
        number,
        ..Made::default()
    };
    text(&complete(provider, &request(content), made).await.unwrap())
}

#[tokio::test]
async fn the_first_reply_whose_conditions_hold_is_the_calls_and_is_marked_as_simulated() {
    let provider = open_script(
        r#"
        [[reply]]
        label = "part *"
        text = "by label"

        [[reply]]
        contains = ["Greet $name.", "warmly"]
        text = "Hello, $name, it costs $5!"

        [[reply]]
        model = "opus"
        json = { plan = ["a", "b"] }
        usage = { input = 3, output = 4 }

        [[reply]]
        text = "whatever is left"
        "#,
    );
    let labelled = Made {
        label: Some("part one"),
        ..Made::default()
    };
    assert_eq!(
        text(
            &complete(&provider, &request("Greet Ada. warmly"), labelled)
                .await
                .unwrap()
        ),
        "by label"
    );
    let greeting = ask(&provider, "Please, Greet Ada Lovelace. And warmly.").await.unwrap();
    assert_eq!(text(&greeting), "Hello, Ada Lovelace, it costs $5!");
    assert!(greeting.simulated && greeting.usage.output > 0);
    assert_eq!(
        (greeting.model.as_str(), greeting.stop_reason),
        ("offline/haiku", StopReason::End)
    );
    let mut plan = request("Plan.");
    plan.model = "opus".to_owned();
    let plan = complete(&provider, &plan, Made::default()).await.unwrap();
    assert_eq!(
        (text(&plan).as_str(), plan.usage),
        (
            r#"{"plan":["a","b"]}"#,
            Usage {
                input: 3,
                output: 4,
                ..Usage::default()
            }
        )
    );
    assert_eq!(ask_as(&provider, 9, "Anything").await, "whatever is left");
}

const TURNS: &str = r#"
    [[reply]]
    contains = "again"
    turns = [{ text = "first" }, { text = "second" }, { text = "third" }]
    [[reply]]
    contains = "other"
    text = "other"
"#;

#[tokio::test]
async fn turns_go_by_the_numbers_of_the_calls_not_by_the_order_in_which_they_are_performed() {
    // In parallel: all were started, in order, before any was performed; answers are asked for in any order.
    let provider = open_script(TURNS);
    for (number, text) in [(2, "again"), (3, "other"), (5, "again"), (8, "again"), (9, "again")] {
        note(&provider, number, text);
    }
    assert_eq!(ask_as(&provider, 8, "again").await, "third");
    assert_eq!(ask_as(&provider, 2, "again").await, "first");
    assert_eq!(ask_as(&provider, 9, "again").await, "third");
    assert_eq!(ask_as(&provider, 5, "again").await, "second");
    assert_eq!(ask_as(&provider, 5, "again").await, "second");
}

#[tokio::test]
async fn r5_after_a_crash_a_call_gets_the_turn_it_had_although_those_before_it_are_not_performed() {
    for crash_after in 0..4 {
        let mut heard = Vec::new();
        let mut provider = open_script(TURNS);
        for (at, number) in [1, 4, 6, 7].into_iter().enumerate() {
            if at == crash_after {
                provider = open_script(TURNS);
                // What the shell finds in the journal.
                [1, 4, 6, 7][..at]
                    .iter()
                    .for_each(|number| note(&provider, *number, "again"));
            }
            note(&provider, number, "again");
            heard.push(ask_as(&provider, number, "again").await);
        }
        assert_eq!(
            heard,
            ["first", "second", "third", "third"],
            "crash before the call at {crash_after}"
        );
    }
}

#[tokio::test]
async fn a_script_may_end() {
    let provider = open_script("[[reply]]\nturns = [{ text = \"once\" }]\nrepeat = false");
    assert_eq!(ask_as(&provider, 0, "hello").await, "once");
    let made = Made {
        number: 1,
        ..Made::default()
    };
    assert_miss(
        complete(&provider, &request("hello"), made).await,
        "unscripted",
        None,
        &["1 answers", "repeat = false"],
    );
}

#[tokio::test]
async fn errors_are_played_for_so_many_performances() {
    let provider = open_script(
        r#"
        [[reply]]
        contains = "flaky"
        error = { code = "overloaded", times = 2 }
        text = "at last"

        [[reply]]
        contains = "down"
        error = { code = "network", message = "no route" }

        [[reply]]
        error = { code = "denied", message = "not you" }
        "#,
    );
    for attempt in [1, 2] {
        let made = Made {
            attempt,
            ..Made::default()
        };
        assert_miss(
            complete(&provider, &request("flaky"), made).await,
            "overloaded",
            again(FaultKind::Overloaded, None),
            &[],
        );
    }
    let made = Made {
        attempt: 3,
        ..Made::default()
    };
    assert_eq!(
        text(&complete(&provider, &request("flaky"), made).await.unwrap()),
        "at last"
    );
    assert_miss(
        ask(&provider, "down").await,
        "failed",
        again(FaultKind::Network, None),
        &["no route"],
    );
    assert_miss(ask(&provider, "hello").await, "denied", None, &["not you"]);
}

#[tokio::test]
async fn blocks_are_said_as_they_are() {
    let provider = open_script(
        r#"
        [[reply]]
        contains = "read $path please"
        blocks = [{ text = "Reading." }, { tool_call = { id = "t1", name = "read", input = { path = "$path" } } }]
        "#,
    );
    let reply = ask(&provider, "read a.md please").await.unwrap();
    let call = ToolCall {
        id: "t1".to_owned(),
        name: "read".to_owned(),
        input: serde_json::json!({"path": "a.md"}),
    };
    assert_eq!(
        reply.content,
        [Block::Text("Reading.".to_owned()), Block::ToolCall(call)]
    );
    assert_eq!(reply.stop_reason, StopReason::ToolUse);
}

#[tokio::test]
async fn a_recording_names_a_request_by_its_digest() {
    let digest = crate::model::offline::request_digest(&Payload::of(&request("hello")));
    let provider = open_script(&format!(
        "[[reply]]\nrequest = \"{}\"\ntext = \"recorded\"",
        &digest[..16]
    ));
    assert_eq!(ask_as(&provider, 0, "hello").await, "recorded");
    assert_miss(ask(&provider, "hello!").await, "unscripted", None, &[]);
}

#[tokio::test]
async fn a_call_without_a_reply_says_what_was_asked_and_how_to_add_one() {
    let provider = open_script("[[reply]]\ncontains = \"something else\"\ntext = \"x\"");
    assert_miss(
        ask(&provider, "\nGreet \"Ada\".\nMore.").await,
        "unscripted",
        None,
        &["`haiku`", "begins `Greet \"Ada\".`", "[[reply]]\ncontains = "],
    );
    let made = Made {
        label: Some("plan"),
        ..Made::default()
    };
    assert_miss(
        complete(&provider, &request("hello"), made).await,
        "unscripted",
        None,
        &["labelled `plan`", "label = \"plan\""],
    );
    let without = Hub::new().open(Name::Offline, &Settings::default(), None).unwrap();
    assert_miss(
        ask(&without, "hello").await,
        "unscripted",
        None,
        &["no `offline.toml`", "ANTHROPIC_API_KEY"],
    );
}

#[test]
fn a_malformed_script_is_refused_with_its_line_and_the_reason() {
    let cases = [
        ("[[reply]]\ntext = \"a\"\n\n[[reply]\ntext = \"b\"", 4, ""),
        (
            "[[reply]]\ntext = \"a\"\n[[reply]]\ntxet = \"b\"",
            4,
            "unknown field `txet`",
        ),
        ("[[reply]]\ntext = \"a\"\n[[reply]]\nlabel = \"b\"", 3, "no answer"),
        ("\n[[reply]]\ntext = \"a\"\njson = 1", 2, "not several"),
        ("[[reply]]\ntext = 7", 2, "invalid type"),
        ("[[reply]]\nturns = []", 1, "`turns` is empty"),
        ("[[reply]]\ntext = \"a\"\nturns = [{ text = \"b\" }]", 1, "not both"),
        (
            "[[reply]]\ncontains = \"$a$b\"\ntext = \"c\"",
            1,
            "nothing between them",
        ),
        ("[[reply]]\nrequest = \"xyz\"\ntext = \"c\"", 1, "hexadecimal"),
        (
            "[[reply]]\nerror = { code = \"overloaded\" }\ntext = \"c\"",
            1,
            "`times`",
        ),
        ("version = 2", 1, "version 2"),
    ];
    for (script, line, reason) in cases {
        match Hub::new().open(Name::Offline, &Settings::default(), Some(script)) {
            Err(OpenError::Script(error)) => {
                assert_eq!(error.line, line, "{script}: {error}");
                assert!(error.reason.contains(reason), "{script}: {error}");
            }
            other => panic!("{script}: {other:?}"),
        }
    }
}
