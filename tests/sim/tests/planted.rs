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

/// Bugs that hardly show here: what a run ends with is told when its lease was given back, and that waits for everything that was appended before, unless storage fails just
/// then. The exhaustive tests notice them.
const HIDDEN: &[Bug] = &[Bug::ShownEarly];

/// How many simulations are run for a bug that hardly shows.
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
fn every_planted_bug_is_noticed_but_one_that_hardly_shows() {
    let mut hidden = Vec::new();
    for bug in Bug::ALL {
        let chances = match HIDDEN.contains(bug) {
            true => IN_VAIN,
            false => CHANCES,
        };
        match noticed(*bug, chances) {
            Some((case, what)) => eprintln!("{bug:?}: case {case}: {what}"),
            None if HIDDEN.contains(bug) => {}
            None => hidden.push(*bug),
        }
    }
    assert_eq!(hidden, []);
}
