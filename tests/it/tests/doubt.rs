//! What must not be done twice is done once: a call in doubt waits for a person (rules R1, R4), and one that was dropped is nobody's business any more (rule G5).

#![allow(clippy::unwrap_used, reason = "a test")]

use serde_json::Value;
use skillhost_it::{Place, result_of, told, was_killed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");
const WAITING: i32 = 40;

/// Launches `acts`, and has it killed when the first act was done but not recorded.
fn killed_in_doubt() -> Place {
    let place = Place::new(PROGRAM, &["acts"]);
    let launch = ["launch", "--here", "acts", "--id", "victim", "--json"];
    let output = place
        .command(&launch)
        .env("SKILLHOST_FAILPOINT", "driver.effect-ended")
        .output()
        .unwrap();
    assert!(was_killed(&output), "{}", told(&output));
    assert_eq!(acts(&place), 1);
    let output = place.run(&launch);
    assert_eq!(output.status.code(), Some(WAITING), "{}", told(&output));
    assert_eq!(acts(&place), 1, "in doubt, it is not done again");
    place
}

fn acts(place: &Place) -> u64 {
    place.server.counts().acts.values().sum()
}

fn answers(place: &Place, decision: &[&str]) -> Vec<Value> {
    let output = place.run(&[&["resume", "--here", "victim", "--json"], decision].concat());
    result_of(&output)["answers"].as_array().unwrap().clone()
}

#[test]
fn r4_a_call_in_doubt_is_done_again_if_a_person_says_so() {
    let place = killed_in_doubt();
    let answers = answers(&place, &["--redo", "0"]);
    assert_eq!(answers.len(), 2);
    assert_eq!(acts(&place), 3, "the first twice, as decided, and the second once");
}

#[test]
fn r4_a_call_in_doubt_can_be_skipped_and_the_skill_sees_that() {
    let place = killed_in_doubt();
    let answers = answers(&place, &["--skip", "0"]);
    assert!(answers[0].as_str().unwrap().contains("failed"), "{answers:?}");
    assert_eq!(acts(&place), 2);
}

#[test]
fn r4_a_call_in_doubt_can_be_answered_by_hand() {
    let place = killed_in_doubt();
    let answers = answers(&place, &["--answer", "0", "--input", "\"by hand\""]);
    assert_eq!(answers[0], "by hand");
    assert_eq!(acts(&place), 2);
}

#[test]
fn r4_a_call_in_doubt_is_in_the_inbox_with_what_to_do() {
    let place = killed_in_doubt();
    let inbox = std::fs::read_to_string(place.home().join("INBOX.md")).unwrap();
    assert!(inbox.contains("in doubt"), "{inbox}");
}

#[test]
fn g5_a_dropped_at_most_once_call_neither_parks_the_run_nor_runs_again() {
    let place = Place::new(PROGRAM, &["timeout_drop"]);
    place.server.hold_acts();
    let launch = ["launch", "--here", "timeout-drop", "--id", "victim", "--json"];
    // It dies when the act has lost against its timeout and the first model call after that was answered.
    let output = place
        .command(&launch)
        .env("SKILLHOST_FAILPOINT", "driver.effect-ended:2")
        .output()
        .unwrap();
    assert!(was_killed(&output), "{}", told(&output));
    let result = result_of(&place.run(&launch));
    assert_eq!(result["act"], "timeout");
    assert_eq!(acts(&place), 1, "it was asked for once");
}
