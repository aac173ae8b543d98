//! Every small run, every order of arrival, every crash: the machine against a scripted guest and a world that remembers what was done to it.
//!
//! Programs have up to four calls of every kind of function, in every shape: one after the other, all at once, raced with the losers dropped. An
//! execution is a list of choices (which effect ends next, when a commit is acknowledged, when the process dies and how much of what was queued
//! survives); all lists are tried. What is checked stands in `world.rs`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod choices;
mod copies;
mod end;
#[allow(dead_code, reason = "the simulation uses the rest of it")]
mod program;
mod world;

use choices::Choices;
use program::{Call, Program, Shape};
use world::{Limits, execute};

/// Tries every execution of a program and returns how many there were.
fn exhaust(program: &Program, limits: Limits) -> u64 {
    let mut choices = Choices::default();
    let mut executions = 0;
    while choices.next() {
        execute(program, &mut choices, limits);
        executions += 1;
    }
    executions
}

fn exhaust_all(programs: impl IntoIterator<Item = Program>, limits: Limits) -> u64 {
    programs.into_iter().map(|program| exhaust(&program, limits)).sum()
}

/// Every sequence of `len` kinds of call; with `sorted`, every multiset.
fn sequences(kinds: &[Call], len: usize, sorted: bool) -> Vec<Vec<Call>> {
    let mut all = vec![Vec::new()];
    for _ in 0..len {
        let mut longer = Vec::new();
        for sequence in &all {
            for (rank, kind) in kinds.iter().enumerate() {
                let last = sequence.last().and_then(|last| kinds.iter().position(|k| k == last));
                if !sorted || last.is_none_or(|last| last <= rank) {
                    longer.push([sequence.as_slice(), &[*kind]].concat());
                }
            }
        }
        all = longer;
    }
    all
}

fn programs(kinds: &[Call], len: usize, sorted: bool) -> Vec<Program> {
    let sequences = sequences(kinds, len, sorted);
    sequences
        .iter()
        .flat_map(|calls| Shape::ALL.iter().map(|shape| Program::new(*shape, calls)))
        .collect()
}

#[test]
fn every_run_of_one_call_survives_three_crashes() {
    let limits = Limits {
        crashes: 3,
        choose_after_crash: true,
        cancel: false,
        pause: false,
        copy: false,
    };
    let executions = exhaust_all(programs(&Call::ALL, 1, false), limits);
    println!("{executions} executions");
    assert!(executions > 100);
}

#[test]
fn every_run_of_two_calls_survives_two_crashes_in_every_order_of_arrival() {
    let limits = Limits {
        crashes: 2,
        choose_after_crash: true,
        cancel: false,
        pause: false,
        copy: false,
    };
    let executions = exhaust_all(programs(&Call::ALL, 2, false), limits);
    println!("{executions} executions");
    assert!(executions > 10_000);
}

#[test]
fn every_run_of_three_calls_survives_a_crash_at_every_point() {
    let limits = Limits {
        crashes: 1,
        choose_after_crash: false,
        cancel: false,
        pause: false,
        copy: false,
    };
    let executions = exhaust_all(programs(&Call::ALL, 3, false), limits);
    println!("{executions} executions");
    assert!(executions > 50_000);
}

#[test]
fn every_run_of_four_calls_survives_a_crash_at_every_point() {
    let kinds = [Call::Read, Call::Ask, Call::Act, Call::Append, Call::Post];
    let limits = Limits {
        crashes: 1,
        choose_after_crash: false,
        cancel: false,
        pause: false,
        copy: false,
    };
    let executions = exhaust_all(programs(&kinds, 4, true), limits);
    println!("{executions} executions");
    assert!(executions > 50_000);
}

#[test]
fn c1_every_run_of_two_calls_can_be_cancelled_at_every_point_and_crash_as_well() {
    let limits = Limits {
        crashes: 1,
        choose_after_crash: false,
        cancel: true,
        pause: false,
        copy: false,
    };
    let executions = exhaust_all(programs(&Call::ALL, 2, false), limits);
    println!("{executions} executions");
    assert!(executions > 10_000);
}

#[test]
fn p4_every_run_of_two_calls_can_be_paused_at_every_point_and_crash_as_well() {
    let limits = Limits {
        crashes: 1,
        choose_after_crash: false,
        cancel: false,
        pause: true,
        copy: false,
    };
    let executions = exhaust_all(programs(&Call::ALL, 2, false), limits);
    println!("{executions} executions");
    assert!(executions > 10_000);
}

#[test]
fn c4_every_run_of_one_call_can_be_paused_and_cancelled_at_every_point_and_crash_as_well() {
    let limits = Limits {
        crashes: 1,
        choose_after_crash: true,
        cancel: true,
        pause: true,
        copy: false,
    };
    let executions = exhaust_all(programs(&Call::ALL, 1, false), limits);
    println!("{executions} executions");
    assert!(executions > 1_000);
}

#[test]
fn f2_every_run_of_two_calls_can_be_copied_at_every_cut_after_a_crash_as_well() {
    let limits = Limits {
        crashes: 1,
        choose_after_crash: false,
        cancel: false,
        pause: false,
        copy: true,
    };
    let executions = exhaust_all(programs(&Call::ALL, 2, false), limits);
    println!("{executions} executions, each copied at every cut");
    assert!(executions > 5_000);
}

#[test]
fn f3_every_run_of_three_calls_can_be_copied_at_every_cut_in_every_order_of_arrival() {
    let limits = Limits {
        crashes: 0,
        choose_after_crash: false,
        cancel: false,
        pause: false,
        copy: true,
    };
    let executions = exhaust_all(programs(&Call::ALL, 3, false), limits);
    println!("{executions} executions, each copied at every cut");
    assert!(executions > 5_000);
}

#[test]
fn f2_every_cancelled_run_of_two_calls_can_be_copied_at_every_cut() {
    let limits = Limits {
        crashes: 0,
        choose_after_crash: false,
        cancel: true,
        pause: false,
        copy: true,
    };
    let executions = exhaust_all(programs(&Call::ALL, 2, false), limits);
    println!("{executions} executions, each copied at every cut");
    assert!(executions > 1_000);
}

#[cfg(feature = "planted")]
mod planted {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use skillhost_core::planted::{Bug, with};

    use super::*;

    /// Returns whether any execution of two calls fails with a bug.
    fn is_noticed(bug: Bug) -> bool {
        let limits = Limits {
            crashes: 1,
            choose_after_crash: false,
            cancel: false,
            pause: false,
            copy: false,
        };
        let all = AssertUnwindSafe(|| with(bug, || exhaust_all(programs(&Call::ALL, 2, false), limits)));
        catch_unwind(all).is_err()
    }

    #[test]
    fn every_bug_planted_in_the_machine_is_noticed_but_those_that_only_a_driver_shows() {
        let noticed: Vec<Bug> = Bug::ALL.iter().copied().filter(|bug| is_noticed(*bug)).collect();
        println!("{noticed:?}");
        assert_eq!(
            noticed,
            [
                Bug::PerformedBeforeDurable,
                Bug::RetriedBeforeDurable,
                Bug::DoneTwice,
                Bug::GivenUnrecorded,
                Bug::MeasuredAnew,
                Bug::ShownEarly,
                Bug::ReplayedOutOfOrder,
                Bug::LineSkipped,
                Bug::CalledGoesOn,
                Bug::AnswerUnexpected,
            ]
        );
    }
}
