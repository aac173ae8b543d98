//! Nothing lost: the daemon is killed again and again while runs of all kinds go on, and what they leave is what they would have left undisturbed.
//!
//! The short form is a test; `cargo xtask kills` goes on for as long as it is told.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::process::Command;
use std::time::{Duration, Instant};

use skillhost_core::planted::Bug;
use skillhost_it::ordeal::{Ground, PLANTED, Tally, Trouble};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

/// How many kills one ordeal has at most; then all is let go on.
const KILLS_OF_ORDEAL: u64 = 25;

/// How many kills there are in the short form.
const KILLS: u64 = 30;

/// The number that the short form begins with.
const SEED: u64 = 1;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn r5_killed_again_and_again_all_runs_end_as_if_undisturbed() {
    let count = variable("SKILLHOST_KILLS");
    let seconds = variable("SKILLHOST_KILLS_SECONDS");
    let first = variable("SKILLHOST_KILLS_SEED").unwrap_or(SEED);
    let most = count.unwrap_or(if seconds.is_some() { u64::MAX } else { KILLS });
    let begun = Instant::now();
    let ground = Ground::new(PROGRAM).with(Trouble::USUAL);
    let mut tally = Tally::default();
    let mut seed = first;
    while tally.kills.count < most && seconds.is_none_or(|seconds| begun.elapsed() < Duration::from_secs(seconds)) {
        let before = tally.violations.len();
        ground.ordeal(seed, KILLS_OF_ORDEAL.min(most - tally.kills.count), &mut tally);
        for violation in &tally.violations[before..] {
            println!(
                "VIOLATION {violation}\n  repeat it with `cargo xtask kills --count {KILLS_OF_ORDEAL} --seed {seed}`"
            );
        }
        println!("seed {seed}: {} kills, {} runs so far", tally.kills.count, tally.runs);
        seed += 1;
    }
    println!(
        "{} kills in {} ordeals from seed {first} on, with {} tasks and {} runs; {} performances were made again, {} calls skipped by people",
        tally.kills.count, tally.ordeals, tally.tasks, tally.runs, tally.performed_again, tally.decisions
    );
    println!("where they hit: {:#?}", tally.kills);
    assert!(tally.violations.is_empty(), "{:#?}", tally.violations);
}

#[test]
fn r5_killed_at_every_point_that_the_code_lists_all_runs_end_as_if_undisturbed() {
    let mut tally = Tally::default();
    let left = Ground::new(PROGRAM).every_point(SEED, &mut tally);
    println!(
        "{} kills in {} ordeals: {:#?}",
        tally.kills.count, tally.ordeals, tally.kills.by_aim
    );
    assert!(left.is_empty(), "nobody came to {left:?}");
    assert!(tally.violations.is_empty(), "{:#?}", tally.violations);
}

/// How many ordeals a planted bug has to hide.
const CHANCES: u64 = 10;

/// A test of the test.
#[test]
fn every_bug_that_is_planted_in_real_processes_is_noticed() {
    let mut program = Command::new(PROGRAM);
    let can_be = program
        .env("SKILLHOST_PLANTED", "DoneTwice")
        .arg("--version")
        .output()
        .unwrap();
    assert!(
        can_be.status.success(),
        "nothing can be planted in what was built of this package alone: `cargo xtask test` builds them all"
    );
    let ground = Ground::new(PROGRAM);
    // One alone, for whoever works on its ordeal.
    let only = std::env::var("SKILLHOST_KILLS_PLANTED").ok();
    let mut hidden = Vec::new();
    for planted in PLANTED {
        let bug = planted.bug;
        if only.as_ref().is_some_and(|only| *only != format!("{bug:?}")) {
            continue;
        }
        let begun = Instant::now();
        match ground.notice(planted, SEED..SEED + CHANCES) {
            Some((seed, what)) => println!("{bug:?}: seed {seed}: {what} ({:?})", begun.elapsed()),
            None => hidden.push(bug),
        }
    }
    assert_eq!(hidden, []);
}

#[test]
fn no_bug_of_processes_is_without_an_ordeal() {
    for bug in Bug::OF_PROCESS {
        assert!(
            PLANTED.iter().any(|planted| planted.bug == *bug),
            "nobody looks for {bug:?}"
        );
    }
}

/// How long the short form of a soak is.
const SOAK: Duration = Duration::from_secs(6);

#[test]
fn a_soak_accounts_for_every_launch_and_nothing_grows() {
    let length = variable("SKILLHOST_SOAK_SECONDS").map_or(SOAK, Duration::from_secs);
    let seed = variable("SKILLHOST_SOAK_SEED").unwrap_or(SEED);
    let soaked = Ground::new(PROGRAM).soak(seed, length);
    if std::env::var_os("SKILLHOST_SOAK_JSON").is_some() {
        println!("{}", soaked.json(seed));
    } else {
        println!("{}", soaked.text(seed));
    }
    assert!(soaked.tally.violations.is_empty(), "{:#?}", soaked.tally.violations);
}
