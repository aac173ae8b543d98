//! What a skill sees is the same at every replay (rules G2-G8): a run that is killed and brought back makes the calls that it would have made, and a
//! finished run replays to the same calls and the same result.

#![allow(clippy::unwrap_used, reason = "a test")]

use skillhost::driver::Replayed;
use skillhost_it::{Place, Seeded, kill_after_requests, replay, result_of};
use skillhost_loopback::{Behaviour, Rule};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

/// So many executions of each fixture, each with another order of arrival and other moments of death.
const SEEDS: u64 = 50;

/// Kills a run twice, lets it end, and replays it. `calls` are texts that each stand in one request: their answers arrive in another order each time.
async fn kill_and_replay(skill: &str, input: &str, calls: &[String]) {
    let place = Place::new(PROGRAM, &[skill]);
    for seed in 0..SEEDS {
        let mut random = Seeded::new(seed);
        place.server.clear_rules();
        for call in calls {
            let rule = Rule {
                delay_ms: random.below(10),
                ..Rule::of(Behaviour::Echo)
            };
            place.server.rule(rule.containing(call));
        }
        let launch = [
            "launch", "--here", skill, "--id", "victim", "--input", input, "--await", "--json",
        ];
        for _ in 0..2 {
            kill_after_requests(&place, place.command(&launch), 1 + random.below(calls.len() as u64)).await;
        }
        result_of(&place.command(&launch).output().unwrap());
        let run = place.run_of("victim").unwrap();
        let replayed = replay(&place, &run).await;
        assert_eq!(
            replayed,
            Replayed::Identical,
            "seed {seed}: the same calls, and the same result"
        );
        place.forget_runs();
    }
}

#[tokio::test]
async fn g8_time_chance_hashing_and_sleep_are_the_same_at_every_replay() {
    let calls: Vec<String> = (0..3).map(|round| format!("\"round {round}:")).collect();
    kill_and_replay("determinism", "{}", &calls).await;
}

#[tokio::test]
async fn g3_answers_of_a_fan_out_of_200_calls_are_given_in_the_recorded_order() {
    let calls: Vec<String> = (0..200).map(|call| format!("\"branch {call}\"")).collect();
    kill_and_replay("fanout", r#"{"follow_up":true}"#, &calls).await;
}
