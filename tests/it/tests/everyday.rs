//! What a launch says and takes beside the skill's input.

#![allow(clippy::unwrap_used, reason = "a test")]

use serde_json::{Value, json};
use skillhost_core::id::RunId;
use skillhost_it::Place;
use skillhost_journal::Journal as _;

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

fn run_id(envelope: &Value) -> RunId {
    RunId::parse(envelope["run_id"].as_str().unwrap()).unwrap()
}

#[test]
fn of_a_run_that_is_to_be_silent_nobody_is_told_not_even_by_a_later_daemon() {
    let place = Place::new(PROGRAM, &["waits", "steps"]);
    let told = place.user_folder().join("told");
    let config = format!(
        "[notify]\ndesktop = false\ncommand = ['sh', '-c', 'cat >> {}']\n",
        told.display()
    );
    place.state().make().unwrap();
    std::fs::write(place.home().join("config.toml"), config).unwrap();
    let input = json!({"what": "answer", "times": 2}).to_string();
    let silent = run_id(&place.json(&["launch", "waits", "--no-notify", "--id", "it", "--input", &input]));
    let asks = |call| {
        place
            .journal()
            .waits(&silent)
            .unwrap()
            .iter()
            .any(|wait| wait.number.0 == call)
    };
    place.until(|| asks(0));
    assert!(place.kill_daemon());
    place.json(&["answer", "it#0", "approve=true"]);
    place.until(|| asks(1));
    place.json(&["answer", "it#1", "approve=true"]);
    place.until(|| place.status_of(&silent) == "done");
    // Notices are told one after the other: when this one is, those before it were.
    let loud = run_id(&place.json(&["launch", "steps", "--n", "1"]));
    let said = || std::fs::read_to_string(&told).unwrap_or_default();
    place.until(|| said().contains(loud.as_str()));
    assert!(!said().contains(silent.as_str()), "{}", said());
    assert!(
        String::from_utf8(place.run(&["inbox", "--all"]).stdout)
            .unwrap()
            .contains("waits"),
        "the inbox has it"
    );
}
