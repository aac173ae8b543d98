//! What has to be so when a run is over, however it came there.

use std::collections::BTreeMap;

use skillhost_core::effect::Kind;
use skillhost_core::entry::{Entry, Finished, How};
use skillhost_core::outcome::Outcome;

use crate::program::Program;
use crate::world::{Child, Lasting};

/// The result is what was recorded; each append and each post is there exactly once.
pub(crate) fn check_end(program: &Program, lasting: &Lasting, finished: &Finished, choices: &str) {
    let ended = match &finished.how {
        How::Done(_) => {
            !lasting.cancelled
                || !lasting
                    .records
                    .iter()
                    .any(|r| matches!(r.entry, Entry::Cancelled { .. }))
        }
        How::Cancelled(_) => lasting.cancelled,
        _ => false,
    };
    let consumed_late = matches!(finished.how, How::Done(_)) && lasting.cancelled;
    assert!(
        ended || consumed_late,
        "ended as {:?} {program:?} choices {choices}",
        finished.how
    );
    let mut answered = BTreeMap::new();
    for record in &lasting.records {
        if let Entry::Returned(returned) = &record.entry {
            assert!(
                answered.insert(returned.number.0, returned.outcome.clone()).is_none(),
                "a call is answered once"
            );
        }
    }
    check_children(lasting, &answered, program, choices);
    assert_eq!(
        finished.spent, lasting.day.spent,
        "b1: the account of the run and that of the day say the same: {program:?} choices {choices}"
    );
    for record in &lasting.records {
        let Entry::Called(called) = &record.entry else { continue };
        let number = called.number.0;
        let by_effect = matches!(answered.get(&number), Some(Outcome::Ok(p)) if p.as_str().contains("performed"));
        match called.function.name() {
            "files.append" if by_effect => {
                let times = lasting.file.iter().filter(|n| **n == number).count();
                assert_eq!(times, 1, "an append is there once: {program:?} choices {choices}");
            }
            "inbox.post" => {
                assert_eq!(
                    lasting.posts.contains(&number),
                    answered.contains_key(&number),
                    "a post is there if it was answered"
                );
            }
            _ => {}
        }
    }
}

/// No run that was launched for a call is left to itself, and what the guest was told of one is what it said (rule K1).
fn check_children(lasting: &Lasting, answered: &BTreeMap<u64, Outcome>, program: &Program, choices: &str) {
    for (number, child) in &lasting.children {
        assert_ne!(
            *child,
            Child::Running,
            "k1: call {number} was launched, and nobody waits for it any more: {program:?} choices {choices}"
        );
    }
    for record in &lasting.records {
        let Entry::Called(called) = &record.entry else { continue };
        let number = called.number.0;
        if called.function.kind() == Kind::Skill && answered.contains_key(&number) {
            assert_eq!(
                lasting.children.get(&number),
                Some(&Child::Over),
                "k1: an answer is that of a run which is over: {program:?} choices {choices}"
            );
        }
    }
}
