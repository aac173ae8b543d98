//! What plain standard-library code sees: guest time, durable timers, fixed randomness, and a world without files and sockets (rules G6 to G8).

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use skillhost_core::id::Digest;
use skillhost_core::machine::End;
use skillhost_core::outcome::Outcome;
use support::{Driven, probe, script};

#[tokio::test]
async fn g7_sleeping_with_std_is_a_durable_timer() {
    let mut guest = Driven::start("std-sleep 200").await;
    assert_eq!(guest.did(), [r#"start 0 clock.sleep {"duration_ns":200000000}"#]);
    assert_eq!(guest.end, End::Blocked);
    guest.answer_at(0, Outcome::done(), 1_200_001).await;
    assert_eq!(guest.seen(), ["slept 200001 us"]);
    assert_eq!(guest.did(), Vec::<String>::new(), "a timer that fired is not dropped");
}

#[tokio::test]
async fn g8_the_order_of_a_hash_map_is_the_seed_s() {
    let order = async |seed: u8, before: &str| {
        let mut start = script(&format!("{before};hashmap"));
        start.seed = Digest::from([seed; 32]);
        Driven::start_with(start).await.seen().pop().unwrap()
    };
    let first = order(1, "").await;
    assert_eq!(first, order(1, "").await);
    assert_eq!(
        first,
        order(1, "random").await,
        "what is drawn elsewhere does not change it"
    );
    assert_ne!(first, order(2, "").await);
}

#[tokio::test]
async fn g8_random_numbers_are_the_seed_s() {
    let drawn = Driven::start("random;random").await.seen();
    assert_eq!(drawn, Driven::start("random;random").await.seen());
    assert_ne!(drawn[0], drawn[1]);
}

#[tokio::test]
async fn g8_there_is_no_environment_no_input_no_file_and_no_network() {
    let guest = Driven::start("env").await;
    assert_eq!(guest.seen(), ["0 0 Ok(0) Err(NotFound) Err(PermissionDenied)"]);
    assert!(guest.calls.is_empty());
}

#[tokio::test]
async fn what_is_printed_becomes_lines() {
    let mut guest = Driven::start("print one;eprint two;print-open thr;print ee;print-open last").await;
    assert_eq!(guest.did(), ["out one", "err two", "out three", "out last"]);
}

#[tokio::test]
async fn the_run_knows_what_it_was_launched_with() {
    let info = Driven::start("info").await.seen().remove(0);
    for part in [
        "01jd0000000000000000000000",
        "Europe/Berlin",
        "offline",
        "1000000000",
        "skill",
    ] {
        assert!(info.contains(part), "{part} in {info}");
    }
}

#[tokio::test]
async fn g8_describe_is_the_same_each_time_whatever_the_run() {
    let described = probe().await.describe().await.unwrap().clone();
    assert_eq!(described.name.as_str(), "probe");
    assert_eq!(described.needs, ["tools"]);
    let again = support::loader()
        .load_bytes(support::probe_bytes().to_vec())
        .await
        .unwrap();
    assert_eq!(
        again.describe().await.unwrap(),
        &described,
        "its summary holds a random number and a time"
    );
}
