//! `claude -p`, played by a shell script.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use skillhost_core::calls::model::{StopReason, Tool, Usage};
use tempfile::TempDir;

use super::*;
use crate::model::ClaudeConfig;

/// Makes a `claude` that runs this, in a folder where it can leave notes.
fn play(script: &str) -> (TempDir, Provider) {
    play_with(script, &[], "30")
}

fn play_with(script: &str, tools: &[&str], stall: &str) -> (TempDir, Provider) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("claude");
    fs::write(
        &program,
        format!("#!/bin/sh\nnotes={}\n{script}\n", folder.path().display()),
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let config = Config {
        claude_cli: ClaudeConfig {
            tools: tools.iter().map(|tool| (*tool).to_owned()).collect(),
            ..ClaudeConfig::default()
        },
        ..Config::default()
    };
    let variables = [
        ("SKILLHOST_CLAUDE", program.to_str().unwrap()),
        ("SKILLHOST_STALL_SECONDS", stall),
    ];
    let settings = Settings::new(config, environment(&variables));
    let provider = Hub::new().open(Name::ClaudeCli, &settings, None).unwrap();
    (folder, provider)
}

fn note(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap().trim().to_owned()
}

const ANSWER: &str = r#"cat > "$notes/prompt"
echo '{"type":"system","subtype":"init"}'
echo '{"type":"result","subtype":"success","is_error":false,"result":"Hello, Ada!","total_cost_usd":0.01,"usage":{"input_tokens":9,"output_tokens":4,"cache_read_input_tokens":2,"cache_creation_input_tokens":1},"modelUsage":{"claude-haiku-4-5":{}}}'"#;

#[tokio::test]
async fn the_program_is_asked_in_an_empty_folder_without_settings_and_tools() {
    let script = format!(
        r#"for a in "$@"; do echo "[$a]"; done > "$notes/args"
ls -A | wc -l > "$notes/files"
while [ "$1" != --system-prompt-file ]; do shift; done
cat "$2" > "$notes/system"
echo "$CLAUDECODE-$CLAUDE_CODE_ENTRYPOINT-$SKILLHOST_CHILD" > "$notes/marks"
{ANSWER}"#
    );
    let (folder, provider) = play(&script);
    let mut request = request("Greet Ada.");
    request.system = Some("Be brief.".to_owned());
    let reply = complete(&provider, &request, Made::default()).await.unwrap();
    assert_eq!(
        (text(&reply).as_str(), reply.model.as_str(), reply.stop_reason),
        ("Hello, Ada!", "claude-haiku-4-5", StopReason::End)
    );
    let usage = Usage {
        input: 9,
        output: 4,
        cache_read: 2,
        cache_write: 1,
    };
    assert_eq!(
        (reply.usage, reply.extra),
        (usage, Some(json!({"total_cost_usd": 0.01})))
    );
    assert_eq!(note(&folder, "prompt"), "Greet Ada.");
    assert_eq!(note(&folder, "system"), "Be brief.");
    assert_eq!(note(&folder, "files"), "0");
    assert_eq!(note(&folder, "marks"), "--1");
    let arguments = note(&folder, "args").replace('\n', " ");
    for expected in [
        "[-p] [--output-format] [stream-json]",
        "[--model] [haiku]",
        "[--setting-sources] []",
        "[--strict-mcp-config]",
        "[--no-session-persistence]",
        "[--tools] []",
    ] {
        assert!(arguments.contains(expected), "`{expected}` is not in: {arguments}");
    }
    assert!(!arguments.contains("--allowedTools"));
}

#[tokio::test]
async fn tools_are_only_those_that_were_granted_and_say_whether_it_acts() {
    let script = format!(r#"for a in "$@"; do echo "[$a]"; done > "$notes/args"{}{ANSWER}"#, "\n");
    let (folder, provider) = play_with(&script, &["WebSearch"], "30");
    let described = provider.describe();
    assert_eq!(
        (described.features, described.acts),
        (vec!["web-search".to_owned()], false)
    );
    let mut request = request("Who won?");
    request.tools = vec![Tool::Provider(json!({"type": "web_search", "max_uses": 2}))];
    complete(&provider, &request, Made::default()).await.unwrap();
    assert!(note(&folder, "args").contains("[--tools]\n[WebSearch]\n[--allowedTools]\n[WebSearch]"));
    let (_folder, acting) = play_with(&script, &["WebSearch", "Bash"], "30");
    assert!(acting.describe().acts);
}

#[tokio::test]
async fn a_conversation_becomes_one_prompt() {
    let (folder, provider) = play(ANSWER);
    let mut request = request("One?");
    request.messages.push(message(Role::Assistant, "Two."));
    request.messages.push(message(Role::User, "Three?"));
    complete(&provider, &request, Made::default()).await.unwrap();
    let prompt = note(&folder, "prompt");
    assert!(
        prompt.starts_with("<user>\nOne?\n</user>\n<assistant>\nTwo.\n</assistant>\n<user>\nThree?\n</user>"),
        "{prompt}"
    );
}

#[tokio::test]
async fn what_it_cannot_do_is_refused_before_it_is_started() {
    let (folder, provider) = play(ANSWER);
    let mut request = request("hello");
    request.tools = vec![Tool::Function {
        name: "read".to_owned(),
        description: String::new(),
        input_schema: json!({}),
    }];
    assert_miss(
        complete(&provider, &request, Made::default()).await,
        "invalid",
        None,
        &["no tools that a skill defines"],
    );
    request.tools = vec![Tool::Provider(json!({"type": "web_search"}))];
    assert_miss(
        complete(&provider, &request, Made::default()).await,
        "invalid",
        None,
        &["not granted"],
    );
    assert!(!folder.path().join("prompt").exists());
}

#[tokio::test]
async fn failures_are_sorted_by_what_the_program_says() {
    let overloaded = again(FaultKind::Overloaded, None);
    let network = again(FaultKind::Network, None);
    let result = |text: &str| {
        format!(
            r#"cat > /dev/null; echo '{{"type":"result","subtype":"success","is_error":true,"result":"{text}"}}'; exit 1"#
        )
    };
    let cases = [
        (
            "cat > /dev/null".to_owned(),
            "failed",
            None,
            vec!["answered nothing", "claude -p"],
        ),
        (
            r#"cat > /dev/null; echo '{"type":"result","is_error":false,"result":""}'"#.to_owned(),
            "failed",
            None,
            vec!["empty answer"],
        ),
        (
            "cat > /dev/null; echo no such flag >&2; exit 3".to_owned(),
            "failed",
            None,
            vec!["exit status: 3", "no such flag"],
        ),
        ("exit 1".to_owned(), "failed", None, vec!["it said nothing"]),
        (
            "cat > /dev/null; echo Hello".to_owned(),
            "failed",
            None,
            vec!["not JSON", "Hello"],
        ),
        (
            result("API Error: 529 overloaded_error"),
            "overloaded",
            overloaded,
            vec!["529"],
        ),
        (
            result("Claude AI usage limit reached"),
            "denied",
            None,
            vec!["launch again later"],
        ),
        (
            result("Invalid API key · Please run /login"),
            "denied",
            None,
            vec!["log in"],
        ),
        (result("Connection error."), "failed", network, vec![]),
        (
            r#"cat > /dev/null; echo '{"type":"result","subtype":"error_max_turns","is_error":false}'"#.to_owned(),
            "failed",
            None,
            vec!["error_max_turns"],
        ),
    ];
    for (script, code, expected, says) in cases {
        let (_folder, provider) = play(&script);
        assert_miss(ask(&provider, "hello").await, code, expected, &says);
    }
}

#[tokio::test]
async fn a_program_that_falls_silent_is_ended_with_all_that_it_started() {
    let script = r#"sleep 1000 > "$notes/held" & wait"#;
    let (folder, provider) = play_with(script, &[], "1");
    let held = folder.path().join("held");
    std::process::Command::new("mkfifo").arg(&held).status().unwrap();
    // Ends when the last process that holds the other end does.
    let ended = tokio::task::spawn_blocking(move || fs::read(held));
    assert_miss(
        ask(&provider, "hello").await,
        "failed",
        again(FaultKind::Network, None),
        &["printed nothing for 1 s"],
    );
    assert_eq!(ended.await.unwrap().unwrap(), b"");
}
