//! A skill that was rebuilt with another prompt does not get old answers: a replay of an old journal on it stops with both calls shown (rule G2).

#![allow(clippy::unwrap_used, reason = "a test")]

use skillhost::driver::Replayed;
use skillhost_core::id::Number;
use skillhost_core::machine::Mismatch;
use skillhost_it::{Place, guests, replay, replay_on, result_of};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

const FAILED: i32 = 30;

fn launched() -> Place {
    let place = Place::new(PROGRAM, &["steps"]);
    result_of(&place.run(&["launch", "--here", "steps", "--id", "old", "--n", "3", "--json"]));
    place
}

#[tokio::test]
async fn g2_a_changed_prompt_stops_the_replay_and_shows_both_calls() {
    let place = launched();
    let run = place.run_of("old").unwrap();
    let before = place.records(&run);
    let Replayed::Mismatch(mismatch) = replay_on(&place, &run, &guests().component("steps_changed")).await else {
        panic!("another prompt is another call");
    };
    let Mismatch::Call { number, .. } = mismatch.as_ref() else {
        panic!("{mismatch}")
    };
    assert_eq!(*number, Number(0));

    let changed = guests().component("steps_changed");
    let output = place.run(&["replay", "old", "--component", changed.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(FAILED));
    let shown = String::from_utf8(output.stdout).unwrap();
    for part in ["call 0 is asked otherwise", "- ", "+ ", "step 0"] {
        assert!(shown.contains(part), "`{part}` is missing in: {shown}");
    }
    assert_eq!(place.records(&run), before, "nothing was written");
}

#[tokio::test]
async fn g2_the_same_component_replays_to_the_same_calls_and_the_same_end() {
    let place = launched();
    let run = place.run_of("old").unwrap();
    assert_eq!(replay(&place, &run).await, Replayed::Identical);
    assert_eq!(
        replay_on(&place, &run, &guests().component("steps")).await,
        Replayed::Identical
    );
    let replayed = place.json(&["replay", "--all-of", "steps", "--installed"]);
    assert_eq!(replayed["replays"][0]["verdict"], "identical", "{replayed}");
    assert_eq!(
        place.server.counts().requests.len(),
        3,
        "nothing was asked a second time"
    );
}

#[tokio::test]
async fn a_run_that_waits_replays_as_far_as_it_is() {
    let place = Place::new(PROGRAM, &["waits"]);
    place.any_json(&["launch", "--here", "waits", "--id", "it"]);
    assert_eq!(place.json(&["replay", "it"])["replays"][0]["verdict"], "identical");
}

#[tokio::test]
async fn a_cancelled_run_replays() {
    let place = Place::new(PROGRAM, &["waits", "cleanup"]);
    for skill in ["waits", "cleanup"] {
        place.any_json(&["launch", "--here", skill, "--id", skill]);
        place.any_json(&["cancel", "--here", skill]);
        assert_eq!(place.json(&["replay", skill])["replays"][0]["verdict"], "identical");
    }
}
