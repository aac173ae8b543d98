//! A run that waits: events, answers, times, and being cancelled meanwhile (rules C1, C2, P1-P3).

#![allow(clippy::unwrap_used, reason = "a test")]

use serde_json::json;
use skillhost_core::machine::Command;
use skillhost_core::time::Timestamp;
use skillhost_it::{Place, result_of, told};
use skillhost_journal::Journal as _;

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");
const WAITING: Option<i32> = Some(40);
const CANCELLED: Option<i32> = Some(50);

fn launch_waiting(what: &str) -> Place {
    let place = Place::new(PROGRAM, &["waits"]);
    let output = place.run(&["launch", "--here", "waits", "--id", "it", "--what", what, "--json"]);
    assert_eq!(output.status.code(), WAITING, "{}", told(&output));
    place
}

#[test]
fn p1_an_event_wakes_a_run_that_nobody_drives() {
    let place = launch_waiting("event");
    let output = place.run(&["signal", "--here", "it", "go", "--input", r#"{"green":true}"#, "--json"]);
    assert!(output.status.success(), "{}", told(&output));
    let result = result_of(&place.run(&["resume", "--here", "it", "--json"]));
    assert_eq!(result["came"][0]["green"], true);
}

#[test]
fn p2_an_event_never_answers_a_question() {
    let place = launch_waiting("answer");
    place.run(&["signal", "--here", "it", "go", "--input", r#"{"approve":true}"#]);
    let output = place.run(&["resume", "--here", "it", "--json"]);
    assert_eq!(output.status.code(), WAITING, "{}", told(&output));
}

#[test]
fn p1_notes_are_kept_until_the_skill_reads_them_at_its_next_step() {
    let place = Place::new(PROGRAM, &["notes"]);
    let output = place.run(&["launch", "--here", "notes", "--id", "it", "--json"]);
    assert_eq!(output.status.code(), WAITING, "{}", told(&output));
    let run = place.run_of("it").unwrap();
    for message in ["mind the gap", "and the step"] {
        let note = Command::Note {
            message: message.to_owned(),
            by: Some("ada".to_owned()),
        };
        place.journal().post_mail(&run, Timestamp(1), &note).unwrap();
    }
    let output = place.run(&["signal", "--here", "it", "go", "--input", "true", "--json"]);
    assert!(output.status.success(), "{}", told(&output));
    let result = result_of(&place.run(&["resume", "--here", "it", "--json"]));
    assert_eq!(result["notes"], json!([["ada: mind the gap", "ada: and the step"]]));
}

#[test]
fn a_time_passes_while_nobody_watches() {
    let place = Place::new(PROGRAM, &["waits"]);
    let output = place.run(&["launch", "--here", "waits", "--id", "it", "--what", "time", "--json"]);
    assert_eq!(result_of(&output)["came"][0], "slept");
}

#[test]
fn c2_a_cancelled_run_tidies_up_in_its_cleanup_scope() {
    let place = Place::new(PROGRAM, &["cleanup"]);
    let output = place.run(&["launch", "--here", "cleanup", "--id", "it", "--json"]);
    assert_eq!(output.status.code(), WAITING, "{}", told(&output));
    let output = place.run(&["cancel", "--here", "it", "--reason", "no longer needed", "--json"]);
    let shown = told(&place.run(&["show", "it"]));
    assert!(shown.contains("cancelled"), "{} {shown}", told(&output));
    let again = place.run(&["launch", "--here", "cleanup", "--id", "it", "--json"]);
    assert_eq!(again.status.code(), CANCELLED, "{}", told(&again));
    let run = place.run_of("it").unwrap();
    let folder = place.home().join("runs").join(run.as_str());
    assert!(!folder.join("draft.md").exists());
    assert_eq!(std::fs::read_to_string(folder.join("tidied.md")).unwrap(), "cancelled");
}

#[tokio::test]
async fn c3_a_cancelled_guest_that_never_blocks_again_is_ended_by_the_host() {
    let place = Place::new(PROGRAM, &["spins"]);
    std::fs::create_dir_all(place.home()).unwrap();
    std::fs::write(place.home().join("config.toml"), "[limits]\ngrace_seconds = 0\n").unwrap();
    let launch = place.command(&[
        "launch",
        "--here",
        "spins",
        "--id",
        "it",
        "--after_calls",
        "1",
        "--json",
    ]);
    let mut child = tokio::process::Command::from(launch)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    place.server.wait_for_requests(1).await;
    place.run(&["cancel", "--here", "it"]);
    assert_eq!(child.wait().await.unwrap().code(), CANCELLED);
}
