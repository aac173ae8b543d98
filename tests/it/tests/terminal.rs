//! What a person is asked at a terminal: by a run that he awaits, and by the commands that make a machine ready.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::Output;

use skillhost_it::{Place, told};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

const SECRET: &str = "k-not-to-be-shown";

/// Runs a command at a terminal where no provider is configured.
fn without_provider(place: &Place, dialogue: &[&str], words: &[&str]) -> Output {
    let mut command = place.at_a_terminal(dialogue, words);
    command.env_remove("ANTHROPIC_API_KEY").env_remove("ANTHROPIC_BASE_URL");
    command.output().unwrap()
}

fn shown(output: &Output) -> String {
    assert!(output.status.success(), "{}", told(output));
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!shown.contains(SECRET), "the key was shown: {shown}");
    shown
}

fn keys(place: &Place) -> String {
    std::fs::read_to_string(place.home().join("keys.toml")).unwrap_or_default()
}

#[test]
fn setup_asks_for_a_provider_its_key_and_the_hook_and_does_nothing_before_all_is_answered() {
    let place = Place::new(PROGRAM, &[]);
    let settings = place.user_folder().join(".claude/settings.json");
    let asked = [
        "or nothing:",
        "anthropic",
        "[Y/n]",
        "y",
        "which is not shown:",
        &format!("secret:{SECRET}"),
    ];
    let broken_off = without_provider(&place, &["or nothing:", "anthropic", "[Y/n]", "^D"], &["setup"]);
    assert_eq!(broken_off.status.code(), Some(10), "{}", told(&broken_off));
    assert!(
        !settings.exists() && !place.home().join("setup.json").exists(),
        "{}",
        told(&broken_off)
    );
    let shown = shown(&without_provider(&place, &asked, &["setup"]));
    assert!(shown.contains("the key of anthropic is stored"), "{shown}");
    assert!(keys(&place).contains(SECRET));
    assert!(
        std::fs::read_to_string(&settings)
            .unwrap()
            .contains("hook session-start")
    );
    place.run(&["setup", "--remove"]);
    assert!(!settings.exists() && keys(&place).is_empty());
}

#[test]
fn setup_at_a_terminal_takes_no_for_an_answer() {
    let place = Place::new(PROGRAM, &[]);
    let shown = shown(&without_provider(
        &place,
        &["or nothing:", "", "[Y/n]", "n"],
        &["setup"],
    ));
    assert!(
        shown.contains("skills are looked for in") || shown.contains("was made"),
        "{shown}"
    );
    assert!(keys(&place).is_empty());
    assert!(!place.user_folder().join(".claude").exists());
}

#[test]
fn setup_asks_for_no_key_where_a_provider_is_configured() {
    let place = Place::new(PROGRAM, &[]);
    let shown = shown(&place.at_a_terminal(&["[Y/n]", ""], &["setup"]).output().unwrap());
    assert!(shown.contains("model provider: anthropic"), "{shown}");
    assert!(place.user_folder().join(".claude/settings.json").exists());
}

#[test]
fn a_key_that_is_typed_is_not_shown_and_one_that_cannot_be_is_refused() {
    let place = Place::new(PROGRAM, &[]);
    let prompt = "the key of openai, which is not shown:";
    let typed = format!("secret:{SECRET}");
    let stored = shown(&without_provider(&place, &[prompt, &typed], &["auth", "set", "openai"]));
    assert!(stored.contains("stored for openai"), "{stored}");
    assert!(keys(&place).contains(SECRET));
    let refused = without_provider(&place, &[prompt, "secret:two words"], &["auth", "set", "openai"]);
    assert_eq!(refused.status.code(), Some(10), "{}", told(&refused));
    assert!(keys(&place).contains(SECRET), "what was stored is still there");
}

#[test]
fn who_awaits_a_run_at_a_terminal_is_asked_there() {
    let place = Place::new(PROGRAM, &["approval"]);
    let words = ["launch", "approval", "--topic", "rivers", "--id", "it", "--await"];
    let dialogue = ["approve [y/n]: ", "y", "comment: ", "Go ahead"];
    let output = place.at_a_terminal(&dialogue, &words).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", told(&output));
    assert!(
        shown.contains("Publish the draft?") && shown.contains("see run/draft.md"),
        "{shown}"
    );
    assert_eq!(place.json(&["result", "it"])["result"]["comment"], "Go ahead");
}

#[test]
fn a_question_that_is_put_off_at_the_terminal_can_be_answered_elsewhere_meanwhile() {
    let place = Place::new(PROGRAM, &["approval"]);
    let words = ["launch", "approval", "--topic", "rivers", "--id", "it", "--await"];
    let answered = std::thread::scope(|scope| {
        let awaited = scope.spawn(|| place.at_a_terminal(&["approve [y/n]: ", ""], &words).output().unwrap());
        place.until(|| place.run_of("it").is_some_and(|run| place.status_of(&run) == "waiting"));
        place.json(&["answer", "it#2", "approve=false"]);
        awaited.join().unwrap()
    });
    assert!(answered.status.success(), "{}", told(&answered));
    assert_eq!(place.json(&["result", "it"])["result"]["published"], false);
}
