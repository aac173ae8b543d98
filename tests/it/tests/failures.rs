//! What goes wrong ends with a message that says what happened and what to do, and nothing in the journal is lost.

#![allow(clippy::unwrap_used, reason = "a test")]

use serde_json::Value;
use skillhost_it::{Place, told};
use skillhost_loopback::{Behaviour, Rule};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");
const FAILED: i64 = 30;
const INVALID: i64 = 10;

/// Launches a skill that does not end well, and returns its envelope.
fn launch(place: &Place, skill: &str, words: &[&str]) -> Value {
    place.any_json(&[&["launch", "--here", skill, "--id", "it"], words].concat())
}

fn check_error(envelope: &Value, exit_code: i64, parts: &[&str]) {
    assert_eq!(envelope["ok"], false, "{envelope}");
    assert_eq!(envelope["exit_code"], exit_code, "{envelope}");
    let error = envelope["error"].to_string();
    for part in parts {
        assert!(error.contains(part), "`{part}` is missing in {error}");
    }
    assert!(envelope["error"]["hint"].is_string(), "it says what to do: {error}");
}

#[test]
fn a_panic_fails_the_run_with_its_message_and_show_tells_where() {
    let place = Place::new(PROGRAM, &["panics"]);
    let envelope = launch(&place, "panics", &["--after_calls", "2", "--message", "not like this"]);
    check_error(&envelope, FAILED, &["not like this"]);
    let shown = place.run(&["show", "it"]);
    let text = told(&shown);
    assert!(text.contains("not like this") && text.contains("panics.rs"), "{text}");
    assert_eq!(
        place.answered(&place.run_of("it").unwrap()).len(),
        2,
        "what was answered is kept"
    );
}

#[test]
fn every_kind_of_trap_fails_the_run_and_says_which() {
    for (how, said) in [
        ("unreachable", "unreachable"),
        ("stack-overflow", "stack"),
        ("out-of-memory", "memory"),
        ("exit", "exit"),
    ] {
        let place = Place::new(PROGRAM, &["traps"]);
        let envelope = launch(&place, "traps", &["--how", how, "--after_calls", "1"]);
        check_error(&envelope, FAILED, &[said]);
    }
}

#[test]
fn a_failure_of_the_skills_own_is_shown_as_it_said_it() {
    let place = Place::new(PROGRAM, &["fails"]);
    let envelope = launch(
        &place,
        "fails",
        &["--code", "declined", "--message", "the reviewer said no"],
    );
    check_error(&envelope, FAILED, &["declined", "the reviewer said no"]);
}

#[test]
fn a_finished_run_shows_how_it_ended_however_often_it_is_launched() {
    let place = Place::new(PROGRAM, &["fails"]);
    let first = launch(&place, "fails", &["--after_calls", "1"]);
    let second = launch(&place, "fails", &["--after_calls", "1"]);
    assert_eq!(first["error"], second["error"]);
    let total: u64 = place.server.counts().requests.values().sum();
    assert_eq!(total, 1);
}

#[test]
fn a_launch_id_with_another_input_is_refused() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.json(&["launch", "--here", "steps", "--id", "it", "--n", "1"]);
    let envelope = launch(&place, "steps", &["--n", "2"]);
    check_error(&envelope, INVALID, &["it"]);
}

#[test]
fn an_input_that_does_not_fit_the_schema_is_refused_before_anything_is_recorded() {
    let place = Place::new(PROGRAM, &["steps"]);
    check_error(&launch(&place, "steps", &["--n", "many"]), INVALID, &["n"]);
    check_error(&launch(&place, "steps", &["--steps", "2"]), INVALID, &["steps"]);
    assert!(place.run_of("it").is_none());
}

#[test]
fn what_is_no_skill_of_this_world_is_refused_in_words() {
    let place = Place::new(PROGRAM, &["steps"]);
    let component = std::fs::read(skillhost_it::guests().component("steps")).unwrap();
    let core_module = b"\0asm\x01\0\0\0".to_vec();
    for (name, bytes, said) in [
        ("text", b"not wasm at all".to_vec(), "WebAssembly"),
        ("module", core_module, "module"),
        ("cut", component[..component.len() / 2].to_vec(), "component"),
    ] {
        let folder = place.skills().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("skill.wasm"), bytes).unwrap();
        let envelope = launch(&place, name, &[]);
        assert_eq!(envelope["ok"], false, "{name}: {envelope}");
        assert!(envelope["error"].to_string().contains(said), "{name}: {envelope}");
    }
    let listed = place.json(&["skills"]).to_string();
    assert!(listed.contains("steps") && listed.contains("cut"), "{listed}");
}

#[test]
fn an_unknown_skill_or_run_is_named_with_the_nearest() {
    let place = Place::new(PROGRAM, &["steps"]);
    check_error(&launch(&place, "step", &[]), INVALID, &["steps"]);
    place.json(&["launch", "--here", "steps", "--id", "morning", "--n", "0"]);
    let envelope = place.any_json(&["show", "mornign"]);
    assert!(envelope["error"].to_string().contains("morning"), "{envelope}");
}

#[test]
fn a_provider_that_has_no_room_is_asked_again_with_the_same_key() {
    let place = Place::new(PROGRAM, &["steps"]);
    let busy = Behaviour::status(529).with_header("retry-after", "0");
    place.server.rule(Rule::of(busy).times(2));
    place.json(&["launch", "--here", "steps", "--id", "it", "--n", "1"]);
    let run = place.run_of("it").unwrap();
    assert_eq!(place.asked(&run, skillhost_core::id::Number(0)), 3);
    let shown = told(&place.run(&["show", "it"]));
    assert!(shown.contains('3'), "the attempts are in the timeline: {shown}");
}

#[test]
fn a_key_that_is_refused_fails_the_call_at_once() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.server.rule(Rule::of(Behaviour::status(401)));
    let envelope = launch(&place, "steps", &["--n", "1"]);
    check_error(&envelope, FAILED, &["ANTHROPIC_API_KEY"]);
    let total: u64 = place.server.counts().requests.values().sum();
    assert_eq!(total, 1);
}

#[test]
fn a_skill_that_cannot_describe_itself_is_refused_in_words() {
    let place = Place::new(PROGRAM, &["bad_describe", "describe_calls"]);
    let envelope = launch(&place, "bad-describe", &[]);
    assert!(envelope["error"].to_string().contains("Bad Describe!"), "{envelope}");
    let envelope = launch(&place, "describe-calls", &[]);
    assert!(envelope["error"].to_string().contains("describe"), "{envelope}");
    let listed = place.run(&["skills"]);
    assert!(told(&listed).contains("bad-describe"), "{}", told(&listed));
}

#[test]
fn changes_to_files_and_what_was_read_are_as_the_skill_asked() {
    let place = Place::new(PROGRAM, &["files"]);
    let steps = r#"{"steps":[
        {"deed":"write","path":"a/b.txt","text":"one"},
        {"deed":"append","path":"a/b.txt","text":" two"},
        {"deed":"read","path":"a/b.txt"},
        {"deed":"read","path":"../../journal.db"},
        {"deed":"remove","path":"a/b.txt"},
        {"deed":"stat","path":"a/b.txt"}
    ]}"#;
    let result = place.json(&["launch", "--here", "files", "--id", "it", "--input", steps])["result"].to_string();
    assert!(result.contains("one two"), "{result}");
    assert!(
        result.contains("denied") || result.contains("invalid"),
        "the journal is not the skill's: {result}"
    );
    assert!(result.contains("not-found") || result.contains("not found"), "{result}");
}

#[test]
fn g9_a_skill_that_computes_without_end_fails_with_its_place_and_others_go_on() {
    let place = Place::new(PROGRAM, &["spins", "steps"]);
    std::fs::create_dir_all(place.home()).unwrap();
    let config = "[limits]\ncomputing_seconds = 1\n[worker]\nruns = 2\n";
    std::fs::write(place.home().join("config.toml"), config).unwrap();
    place.json(&["launch", "spins", "--after_calls", "2", "--id", "it"]);
    let done = place.json(&["launch", "steps", "--n", "20", "--await"]);
    assert_eq!(done["result"]["steps"], Value::from(20), "{done}");
    let ended = place.any_json(&["wait", "it", "--for", "100s"]);
    check_error(
        &ended,
        FAILED,
        &["runaway", "computed for 1 seconds", "limits.computing_seconds"],
    );
    assert_eq!(place.answered(&place.run_of("it").unwrap()).len(), 2);
    let shown = told(&place.run(&["show", "it"]));
    assert!(shown.contains("spins.rs"), "{shown}");
}
