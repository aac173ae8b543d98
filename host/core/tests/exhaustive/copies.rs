//! Copies a run that is over at every cut, and drives each copy to its end: its guest must make the calls that the copy holds, or the attempt stops (rules F2, F3).

use std::collections::BTreeSet;

use skillhost_core::copy::{Copy, Plan, Redo, copy};
use skillhost_core::entry::{Entry, Record, Returned};
use skillhost_core::id::{Number, RunId, Seq};
use skillhost_core::outcome::Outcome;
use skillhost_core::time::Timestamp;

use crate::choices::Choices;
use crate::program::Program;
use crate::world::{Child, Lasting, Limits, drive_to_end};

const UNDISTURBED: Limits = Limits {
    crashes: 0,
    choose_after_crash: false,
    cancel: false,
    pause: false,
    copy: false,
};

/// Tries every cut, with the outcomes that came later and without them.
pub(crate) fn check_all(program: &Program, parent: &Lasting) {
    let outcomes = parent.records.iter().filter(|record| record.entry.is_outcome()).count() as u64;
    for cut in 0..=outcomes {
        for redo in [Redo::Calls(BTreeSet::new()), Redo::All] {
            check(program, &parent.records, cut, redo);
        }
    }
}

fn check(program: &Program, parent: &[Record], cut: u64, redo: Redo) {
    let plan = Plan {
        redo,
        ..Plan::new(
            RunId::parse("01jd0000000000000000000001").unwrap(),
            Timestamp(1_000),
            cut,
        )
    };
    let copy = copy(parent, &plan).unwrap();
    let copied = copy.records.len();
    let (kept, mut lasting) = (copy.kept.clone(), settled(copy, plan.at));
    let begun = lasting.records.clone();
    let mut choices = Choices::default();
    choices.next();
    drive_to_end(program, &mut lasting, &mut choices, UNDISTURBED);

    assert_eq!(
        lasting.records[..=copied],
        begun,
        "a copy is the beginning of the new run"
    );
    let consumed = |records: &[Record]| -> Vec<Entry> {
        let entries = records.iter().map(|record| &record.entry);
        let outcomes = entries.filter(|entry| entry.is_outcome()).take(cut as usize);
        // Costs are not copied (rule F5).
        let without_costs = outcomes.map(|entry| match entry {
            Entry::Returned(returned) => Entry::Returned(Returned {
                spent: None,
                ..returned.clone()
            }),
            other => other.clone(),
        });
        without_costs.collect()
    };
    assert_eq!(
        consumed(&lasting.records),
        consumed(parent),
        "f2: the outcomes up to the cut are the same"
    );
    for number in kept {
        assert_eq!(
            lasting.performed.get(&number.0),
            None,
            "f3: a call that keeps its outcome is not performed"
        );
    }
}

/// The world as it is for the new run: its folder rebuilt from the changes that have an outcome, the messages of the run before in the inbox.
fn settled(copy: Copy, at: Timestamp) -> Lasting {
    let first = Record {
        seq: Seq(0),
        at,
        entry: Entry::Started(Box::new(copy.started)),
    };
    let records: Vec<Record> = std::iter::once(first).chain(copy.records).collect();
    let answered = |number: Number| {
        records.iter().find_map(|record| match &record.entry {
            Entry::Returned(returned) if returned.number == number => Some(&returned.outcome),
            _ => None,
        })
    };
    let done = |name: &'static str| {
        let answered = &answered;
        records.iter().filter_map(move |record| match &record.entry {
            Entry::Called(called) if called.function.name() == name => match answered(called.number) {
                Some(Outcome::Ok(_)) => Some(called.number.0),
                _ => None,
            },
            _ => None,
        })
    };
    let cancelled = records
        .iter()
        .any(|record| matches!(record.entry, Entry::Cancelled { .. }));
    let children = done("skills.call").map(|number| (number, Child::Over)).collect();
    let (posts, file) = (done("inbox.post").collect(), done("files.append").collect());
    Lasting {
        posts,
        children,
        file,
        cancelled,
        asks: copy.asks.iter().map(|number| number.0).collect(),
        records,
        ..Lasting::default()
    }
}
