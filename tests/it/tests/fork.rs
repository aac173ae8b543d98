//! Another run begins with a copy of one and goes on by itself: with another model, another answer, another build (rules F1 to F5).

#![allow(clippy::unwrap_used, reason = "a test")]

use serde_json::{Value, json};
use skillhost_core::id::{Number, RunId};
use skillhost_it::{Place, guests, told};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

const INVALID: i32 = 10;
const FAILED: i32 = 30;

fn run_of(envelope: &Value) -> RunId {
    RunId::parse(envelope["run_id"].as_str().unwrap()).unwrap()
}

fn asked(place: &Place, run: &RunId, calls: u64) -> Vec<u64> {
    (0..calls).map(|n| place.asked(run, Number(n))).collect()
}

#[test]
fn f2_a_fork_shares_the_journal_up_to_a_call_and_goes_on_live() {
    let place = Place::new(PROGRAM, &["steps"]);
    let first = place.json(&["launch", "steps", "--id", "it", "--n", "5", "--await"]);
    let fork = place.json(&["fork", "it", "--at", "3", "--id", "other", "--await"]);
    assert_eq!(asked(&place, &run_of(&fork), 5), [0, 0, 0, 1, 1]);
    assert_eq!(fork["launch_id"], "other");
    assert_eq!(
        place.json(&["result", "it"])["run_id"],
        first["run_id"],
        "the launch id stays with the first"
    );
    let taken = place.any_json(&["fork", "it", "--at", "3", "--id", "it"]);
    assert_eq!(taken["error"]["code"], "launch_taken", "{taken}");
}

#[test]
fn a_fork_asks_another_model_and_the_two_are_compared() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.json(&["launch", "steps", "--id", "it", "--n", "3", "--await"]);
    place.json(&[
        "fork",
        "it",
        "--at",
        "1",
        "--set",
        "model=other-model",
        "--id",
        "other",
        "--await",
    ]);
    let compared = place.json(&["compare", "it", "other"]);
    let models = |row: usize| compared["compared"][row]["models"].to_string();
    assert!(!models(0).contains("other-model"), "{compared}");
    assert!(models(1).contains("other-model"), "{compared}");
    let differences = place.json(&["diff", "it", "other"]);
    let of: Vec<_> = differences["differences"].as_array().unwrap().iter().collect();
    assert_eq!(of[0]["first"], 1, "what was shared does not differ: {differences}");
    let shown = told(&place.run(&["diff", "it", "other"]));
    assert!(
        shown.contains("step 1: answer") && shown.contains("+ model: other-model"),
        "{shown}"
    );
}

#[test]
fn f3_a_call_is_answered_by_hand_and_nobody_is_asked_for_it() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.json(&["launch", "steps", "--id", "it", "--n", "3", "--await"]);
    let file = place.home().join("reply.txt");
    std::fs::write(&file, "the words of a person").unwrap();
    let answer = format!("2=@{}", file.display());
    let fork = place.json(&["fork", "it", "--answer", &answer, "--await"]);
    assert_eq!(fork["result"]["last"], "the words of a person");
    assert_eq!(asked(&place, &run_of(&fork), 3), [0, 0, 0]);
    let shown = told(&place.run(&["show", run_of(&fork).as_str()]));
    assert!(shown.contains("answered by"), "recorded as such: {shown}");
}

#[test]
fn a_question_is_answered_otherwise_in_a_fork() {
    let place = Place::new(PROGRAM, &["approval"]);
    let input = json!({"topic": "rivers"}).to_string();
    place.json(&["launch", "approval", "--id", "it", "--input", &input]);
    place.run(&["wait", "it"]);
    place.json(&["answer", "it#2", "approve=false"]);
    assert_eq!(place.any_json(&["wait", "it"])["result"]["published"], false);
    let fork = place.json(&["fork", "it", "--answer", r#"2={"approve":true}"#, "--await"]);
    assert_eq!(fork["result"]["published"], true);
    let draft =
        |run: &RunId| std::fs::read_to_string(place.home().join("runs").join(run.as_str()).join("draft.md")).unwrap();
    assert_eq!(
        draft(&run_of(&fork)),
        draft(&place.run_of("it").unwrap()),
        "f4: its folder is rebuilt"
    );
}

#[test]
fn what_a_skill_does_otherwise_with_another_build_or_input_is_told_before_a_run_is_made() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.json(&["launch", "steps", "--id", "it", "--n", "3", "--await"]);
    place.install("steps", &guests().component("steps_changed"));
    let before = place.json(&["list"])["runs"].as_array().unwrap().len();
    let upgraded = place.any_json(&["fork", "it", "--at", "2", "--upgrade"]);
    assert_eq!(
        (&upgraded["exit_code"], &upgraded["error"]["code"]),
        (&json!(FAILED), &json!("mismatch"))
    );
    let other = place.any_json(&["fork", "it", "--at", "2", "--input", r#"{"n":3,"prefix":"other "}"#]);
    assert_eq!(other["error"]["code"], "mismatch", "{other}");
    assert_eq!(place.json(&["list"])["runs"].as_array().unwrap().len(), before);
    // From its start, another input is another run of the same skill.
    let other = place.json(&["fork", "it", "--input", r#"{"n":1,"prefix":"other "}"#, "--await"]);
    assert_eq!(other["result"]["steps"], 1);
}

#[test]
fn an_input_that_asks_for_more_goes_on_after_what_was_asked() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.json(&["launch", "steps", "--id", "it", "--n", "2", "--await"]);
    let longer = place.json(&["fork", "it", "--at", "1", "--input", r#"{"n":4}"#, "--await"]);
    assert_eq!(longer["result"]["steps"], 4);
    assert_eq!(asked(&place, &run_of(&longer), 4), [0, 1, 1, 1]);
}

#[test]
fn what_cannot_be_forked_says_why() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.json(&["launch", "steps", "--id", "it", "--n", "1", "--await"]);
    for (words, code) in [
        (vec!["fork", "it", "--at", "9"], "unknown_call"),
        (vec!["fork", "it", "--answer", "9=1"], "unknown_call"),
        (vec!["fork", "it", "--answer", "first"], "bad_answer"),
        (vec!["fork", "it", "--answer", r#"0={"text":1}"#], "bad_answer"),
        (vec!["fork", "it", "--at", "0", "--set", "haiku"], "bad_setting"),
        (vec!["fork", "nobody", "--at", "0"], "unknown_run"),
    ] {
        let refused = place.any_json(&words);
        assert_eq!(
            (&refused["exit_code"], &refused["error"]["code"]),
            (&json!(INVALID), &json!(code)),
            "{words:?}: {refused}"
        );
    }
}

#[test]
fn f4_a_fork_whose_folder_cannot_be_made_again_is_refused_and_makes_no_run() {
    let place = Place::new(PROGRAM, &["crash"]);
    let words = ["launch", "crash", "--here", "--id", "it", "--await"];
    let launched = place.json(&words);
    // Where the folders of runs belong, there is something else now.
    let runs = place.home().join("runs");
    std::fs::rename(&runs, place.home().join("moved")).unwrap();
    std::fs::write(&runs, "").unwrap();
    let shown = place.json(&["show", launched["run_id"].as_str().unwrap()]);
    let last = shown["calls"].as_array().unwrap().last().unwrap()["call"].to_string();
    let refused = place.any_json(&["fork", "it", "--at", &last]);
    assert_eq!(refused["error"]["code"], "folder_not_made", "{refused}");
    assert_eq!(place.json(&["list"])["runs"].as_array().map(Vec::len), Some(1));
}
