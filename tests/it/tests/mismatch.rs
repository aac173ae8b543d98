//! A skill that was rebuilt with another prompt does not get old answers: its replay of an old journal stops with both calls shown (rule G2).

#![allow(clippy::unwrap_used, reason = "a test")]

use skillhost::driver::{DriveError, Driven};
use skillhost_it::{Place, guests, replay, replay_on, result_of};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

#[tokio::test]
async fn g2_a_changed_prompt_stops_the_replay_and_shows_both_calls() {
    let place = Place::new(PROGRAM, &["steps"]);
    result_of(&place.run(&["launch", "--here", "steps", "--id", "old", "--n", "3", "--json"]));
    let run = place.run_of("old").unwrap();
    let (driven, new_entries) = replay_on(&place, &run, &guests().component("steps_changed")).await;
    let error = driven.unwrap_err();
    assert!(matches!(error, DriveError::Mismatch { changed: true, .. }), "{error}");
    let message = error.to_string();
    for part in [
        "call #0 is not the one that the journal holds",
        "recorded",
        "attempted",
        "step 0",
        "not the one that the run was started with",
    ] {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
    assert_eq!(new_entries, 0, "nothing was written");
}

#[tokio::test]
async fn g2_the_same_component_replays_to_the_same_result() {
    let place = Place::new(PROGRAM, &["steps"]);
    let result = result_of(&place.run(&["launch", "--here", "steps", "--id", "old", "--n", "3", "--json"]));
    let run = place.run_of("old").unwrap();
    let replayed = replay(&place, &run).await;
    assert_eq!((replayed.result, replayed.new_entries), (result, 0));
    let (driven, new_entries) = replay_on(&place, &run, &guests().component("steps")).await;
    assert!(matches!(driven.unwrap(), Driven::Finished(_)));
    assert_eq!(new_entries, 1, "its last entry");
}
