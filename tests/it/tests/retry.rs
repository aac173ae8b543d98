//! A run that failed goes on in a new one, which begins with a copy: what was answered is kept (rules F1 to F6).

#![allow(clippy::unwrap_used, reason = "a test")]

use serde_json::json;
use skillhost_core::id::{Number, RunId};
use skillhost_it::Place;
use skillhost_loopback::{Behaviour, Rule};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

const INVALID: i32 = 10;
const FAILED: i32 = 30;
const HELD: i32 = 70;

/// Launches six steps of which the fourth fails, and returns the run.
fn failed(place: &Place, launch: &str) -> RunId {
    place.server.rule(Rule::of(Behaviour::status(400)).containing("step 3"));
    let launched = place.any_json(&["launch", "steps", "--id", launch, "--n", "6", "--await"]);
    assert_eq!(launched["exit_code"], FAILED, "{launched}");
    place.server.clear_rules();
    RunId::parse(launched["run_id"].as_str().unwrap()).unwrap()
}

#[test]
fn f6_a_retry_performs_the_call_again_that_failed_and_keeps_what_was_answered() {
    let place = Place::new(PROGRAM, &["steps"]);
    let old = failed(&place, "it");
    let retried = place.json(&["retry", "it", "--await"]);
    let new = RunId::parse(retried["run_id"].as_str().unwrap()).unwrap();
    assert_eq!(retried["result"]["steps"], 6);
    let asked = |run: &RunId| (0..6).map(|n| place.asked(run, Number(n))).collect::<Vec<_>>();
    assert_eq!(asked(&old), [1, 1, 1, 1, 0, 0]);
    assert_eq!(asked(&new), [0, 0, 0, 1, 1, 1], "under the new run's keys (F1)");
    // The launch id follows its newest run, and the old one is as it was.
    assert_eq!(place.json(&["result", "it"])["run_id"], new.as_str());
    assert_eq!(place.any_json(&["result", old.as_str()])["exit_code"], FAILED);
}

#[test]
fn f6_a_retry_from_a_call_performs_that_one_again_and_what_follows_from_it() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.json(&["launch", "steps", "--id", "it", "--n", "4", "--await"]);
    let retried = place.json(&["retry", "it", "--from", "2", "--await"]);
    let new = RunId::parse(retried["run_id"].as_str().unwrap()).unwrap();
    let asked: Vec<u64> = (0..4).map(|n| place.asked(&new, Number(n))).collect();
    assert_eq!(asked, [0, 0, 1, 1]);
}

#[test]
fn f4_the_folder_of_the_new_run_holds_what_the_kept_calls_wrote_and_not_what_came_after() {
    let place = Place::new(PROGRAM, &["approval"]);
    let input = json!({"topic": "rivers"}).to_string();
    place
        .server
        .rule(Rule::of(Behaviour::status(400)).containing("Announce"));
    let launched = place.json(&["launch", "approval", "--id", "it", "--input", &input]);
    let old = launched["run_id"].as_str().unwrap().to_owned();
    place.run(&["wait", "it"]);
    place.json(&["answer", "it#2", "approve=true"]);
    assert_eq!(place.any_json(&["wait", "it"])["exit_code"], FAILED);
    place.server.clear_rules();
    let retried = place.json(&["retry", "it", "--await"]);
    assert_eq!(
        retried["result"]["published"], true,
        "the answer was kept: nobody is asked again"
    );
    let folder = |run: &str| place.home().join("runs").join(run).join("draft.md");
    let draft = |run: &str| std::fs::read_to_string(folder(run)).unwrap();
    assert_eq!(draft(&old), draft(retried["run_id"].as_str().unwrap()));
}

#[test]
fn all_that_failed_is_retried_at_once() {
    let place = Place::new(PROGRAM, &["steps"]);
    for launch in ["one", "two"] {
        failed(&place, launch);
    }
    let retried = place.json(&["retry", "--all-failed"]);
    assert_eq!(retried["runs"].as_array().unwrap().len(), 2);
    assert_eq!(place.json(&["wait", "one", "two"])["runs"].as_array().unwrap().len(), 2);
    assert_eq!(
        place.json(&["list", "--failed"])["runs"],
        json!([]),
        "what was retried is no failure any more"
    );
}

#[test]
fn what_cannot_be_retried_says_why() {
    let place = Place::new(PROGRAM, &["steps", "waits"]);
    place.json(&["launch", "steps", "--id", "done", "--n", "1", "--await"]);
    let done = place.any_json(&["retry", "done"]);
    assert_eq!(
        (&done["exit_code"], &done["error"]["code"]),
        (&json!(INVALID), &json!("nothing_to_retry"))
    );
    place.json(&["launch", "waits", "--id", "waiting"]);
    let waiting = place.any_json(&["retry", "waiting"]);
    assert_eq!(waiting["error"]["code"], "run_is_not_over");
    let old = failed(&place, "it");
    place.json(&["retry", "it"]);
    let again = place.any_json(&["retry", old.as_str()]);
    assert_eq!(
        (&again["exit_code"], &again["error"]["code"]),
        (&json!(HELD), &json!("launch_moved"))
    );
    let unknown = place.any_json(&["retry", "done", "--from", "9"]);
    assert_eq!(unknown["error"]["code"], "unknown_call");
}

#[test]
fn a_cancelled_run_goes_on_as_if_it_had_not_been() {
    let place = Place::new(PROGRAM, &["waits"]);
    place.json(&["launch", "waits", "--id", "it"]);
    place.json(&["cancel", "it"]);
    place.json(&["retry", "it"]);
    place.json(&["signal", "it", "go", "--input", "7"]);
    assert_eq!(place.json(&["wait", "it"])["result"]["came"], json!([7]));
}

#[test]
fn a_retry_that_is_refused_leaves_nothing_behind_and_a_run_that_cannot_go_on_can_be_discarded() {
    let place = Place::new(PROGRAM, &["steps"]);
    let old = failed(&place, "it");
    // The skill was changed, and does otherwise than the journal holds.
    place.install("steps", &skillhost_it::guests().component("steps_changed"));
    let upgraded = place.any_json(&["retry", "it", "--upgrade", "--await"]);
    assert_eq!(upgraded["error"]["code"], "mismatch", "{upgraded}");
    assert_eq!(place.json(&["list"])["runs"].as_array().unwrap().len(), 1);
    place.json(&["retry", "it", "--await"]);
    let folders = || std::fs::read_dir(place.home().join("runs")).map_or(0, Iterator::count);
    let before = folders();
    assert_eq!(place.any_json(&["retry", old.as_str()])["exit_code"], HELD);
    assert_eq!(folders(), before, "what was refused left no folder");
    place.json(&["discard", "it"]);
    assert_eq!(
        place.any_json(&["result", "it"])["run_id"],
        old.as_str(),
        "the launch is known by the run before"
    );
}

#[test]
fn a_long_call_is_shown_whole_in_a_file() {
    let place = Place::new(PROGRAM, &["steps"]);
    let prefix = "long ".repeat(2_000);
    place.json(&[
        "launch", "steps", "--id", "it", "--n", "1", "--prefix", &prefix, "--await",
    ]);
    let shown = place.json(&["show", "it", "--call", "0"]);
    assert_eq!(shown["calls"][0]["call"], 0, "{shown}");
    let whole = std::fs::read_to_string(shown["result_path"].as_str().unwrap()).unwrap();
    let whole: serde_json::Value = serde_json::from_str(&whole).unwrap();
    assert!(whole["request"].to_string().contains(&prefix));
    assert!(whole["answer"].is_object());
}
