//! A test of the test: bugs that are planted are noticed by the simulation. Which the exhaustive tests notice, they say themselves.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test, which speaks to whoever runs it"
)]

use skillhost_core::planted::{Bug, with};
use skillhost_sim::{Case, run};

/// How many simulations a bug has to hide.
const CHANCES: u64 = 3_000;

/// Bugs that cannot show here: what a run ends with is told when its lease was given back, and that waits for everything that was appended before. The exhaustive tests
/// notice it.
const HIDDEN: &[Bug] = &[Bug::ShownEarly];

/// How many simulations are run in vain for a bug that cannot show.
const IN_VAIN: u64 = 100;

/// Returns the first case that notices a bug, and what it says: those first that once did.
fn noticed(bug: Bug, chances: u64) -> Option<(Case, String)> {
    let mut cases: Vec<Case> = kept();
    cases.extend((0..chances).map(Case::of));
    with(bug, || {
        cases
            .into_iter()
            .find_map(|case| run(&case, false).violation.map(|what| (case, what)))
    })
}

/// Returns the cases that once failed.
fn kept() -> Vec<Case> {
    let lines = include_str!("../seeds.txt")
        .lines()
        .filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.split('#').next().unwrap().parse().unwrap())
        .collect()
}

#[test]
fn every_planted_bug_is_noticed_but_one_that_cannot_show() {
    let mut hidden = Vec::new();
    for bug in Bug::ALL {
        let chances = match HIDDEN.contains(bug) {
            true => IN_VAIN,
            false => CHANCES,
        };
        match noticed(*bug, chances) {
            Some((case, what)) => eprintln!("{bug:?}: case {case}: {what}"),
            None => hidden.push(*bug),
        }
    }
    assert_eq!(hidden, HIDDEN);
}
