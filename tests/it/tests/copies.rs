//! A run that begins with a copy of another goes on from the cut, with real components, models and files (rules F2-F4, R5).

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;

use skillhost_core::copy::{Copy, Plan, Redo, copy};
use skillhost_core::entry::{Entry, Record};
use skillhost_core::id::{LaunchId, Number, RunId};
use skillhost_core::time::Timestamp;
use skillhost_effects::files::rebuild;
use skillhost_it::{Left, Place, result_of};
use skillhost_journal::{Created, Journal as _, NewRun};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

/// Every how many outcomes the run is cut.
const STEP: usize = 3;

/// Makes a run that begins with a copy of another, under a launch of its own.
fn make(place: &Place, parent: &[Record], run: &RunId, cut: u64, redo: Redo) -> Copy {
    let plan = Plan {
        redo,
        ..Plan::new(run.clone(), Timestamp(1_900_000_000_000_000), cut)
    };
    let mut copy = copy(parent, &plan).unwrap();
    copy.started.launch = LaunchId::parse(run.as_str()).unwrap();
    rebuild(&place.home().join("runs").join(run.as_str()), &copy).unwrap();
    let new = NewRun {
        copy: copy.records.clone(),
        ..NewRun::first(copy.started.clone(), plan.at, None)
    };
    assert_eq!(place.journal().create_run(new).unwrap(), Created::New);
    copy
}

/// Returns the calls that ask a model, and whether a journal has their outcome.
fn model_calls(records: &[Record]) -> Vec<(Number, bool)> {
    let answered = |number| {
        let answers = |record: &Record| matches!(&record.entry, Entry::Returned(returned) if returned.number == number);
        records.iter().any(answers)
    };
    let calls = records.iter().filter_map(|record| match &record.entry {
        Entry::Called(called) if called.function.spec().metered => Some((called.number, answered(called.number))),
        _ => None,
    });
    calls.collect()
}

#[test]
fn f2_a_run_can_be_cut_anywhere_and_goes_on_to_the_same_end_without_asking_again() {
    let place = Place::new(PROGRAM, &["crash"]);
    let launch = ["launch", "--here", "crash", "--id", "first", "--await", "--json"];
    let result = result_of(&place.run(&launch));
    let first = place.run_of("first").unwrap();
    let parent = place.records(&first);
    let expected: Left = place.left(&first, result);
    let outcomes = parent.iter().filter(|record| record.entry.is_outcome()).count();
    for cut in (0..outcomes).step_by(STEP) {
        let run = RunId::parse(&format!("01jd{cut:022}")).unwrap();
        let redo = match cut % 2 {
            0 => Redo::All,
            _ => Redo::Calls(BTreeSet::new()),
        };
        let copied = model_calls(&make(&place, &parent, &run, cut as u64, redo).records);
        let output = place.run(&["resume", "--here", run.as_str(), "--json"]);
        let left = place.left(&run, result_of(&output));
        assert_eq!(
            (&left.result, &left.files),
            (&expected.result, &expected.files),
            "cut {cut}"
        );
        assert_eq!(
            left.lines, expected.lines,
            "j5: what was said before the cut is said again, cut {cut}"
        );
        for (number, answered) in model_calls(&place.records(&run)) {
            let kept = copied.contains(&(number, true));
            assert!(answered, "cut {cut}");
            assert_eq!(place.asked(&run, number), u64::from(!kept), "cut {cut}, call {number}");
        }
    }
}
