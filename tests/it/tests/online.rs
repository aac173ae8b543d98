//! `doctor --online` really asks.

#![allow(clippy::unwrap_used, reason = "a test")]

use skillhost_it::Place;

#[test]
fn a_provider_that_answers_is_told_with_its_model() {
    let place = Place::new(env!("CARGO_BIN_EXE_skillhost-under-test"), &[]);
    let checks = place.json(&["doctor", "--online"])["checks"].clone();
    let answer = checks
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["check"] == "model answer")
        .unwrap()
        .clone();
    assert_eq!(answer["verdict"], "OK");
    assert!(
        answer["message"].as_str().unwrap().contains(" answered after "),
        "{answer}"
    );
}
