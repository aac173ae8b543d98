//! A test of the test: bugs that are planted in the journal are noticed by the exam that is there for them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test, which speaks to whoever runs it"
)]

use skillhost_core::planted::{Bug, with};
use skillhost_storage::{Breadth, Exam, sit};

/// How many seeds a bug has to hide.
const CHANCES: u64 = 8;

/// Which exam notices which bug.
const NOTICED_BY: &[(Bug, Exam)] = &[
    (Bug::BarrierSkipped, Exam::Power),
    (Bug::SyncSkipped, Exam::Power),
    (Bug::CheckpointUnsynced, Exam::Power),
    (Bug::LogDeleted, Exam::Power),
    (Bug::AppendSplit, Exam::Power),
    (Bug::MigrationSplit, Exam::Upgrade),
    (Bug::FailureSwallowed, Exam::Trouble),
    (Bug::SealUnchecked, Exam::Lies),
    (Bug::BegunAnew, Exam::Trouble),
];

#[test]
fn every_bug_that_is_planted_in_the_journal_is_noticed() {
    let mut hidden = Vec::new();
    for (bug, exam) in NOTICED_BY {
        let noticed = with(*bug, || {
            (0..CHANCES).find_map(|seed| sit(*exam, seed, Breadth::Short).err().map(|broken| (seed, broken)))
        });
        match noticed {
            Some((seed, broken)) => eprintln!("{bug:?}: {} with seed {seed}: {broken}", exam.name()),
            None => hidden.push(*bug),
        }
    }
    assert_eq!(hidden, []);
}

#[test]
fn no_bug_of_the_disk_is_without_an_exam() {
    for bug in Bug::OF_DISK {
        assert!(NOTICED_BY.iter().any(|(of, _)| of == bug), "nobody looks for {bug:?}");
    }
}
