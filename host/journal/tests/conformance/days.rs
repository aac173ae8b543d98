//! What a skill may spend in a day, all its runs together (rule B1): decided by the commit.

use std::sync::Arc;

use futures::executor::block_on;
use skillhost_core::budget::{Budget, Cost, DayAccount, DayNews};
use skillhost_core::entry::{Called, Entry, Retried, Why};
use skillhost_core::id::{Number, Seq, SkillName};
use skillhost_core::machine::{Local, Write};
use skillhost_journal::{AppendError, RunWriter};

use crate::support::{Stage, append, called, entry, json, returned};

stories! {
    b1_what_fits_is_counted_and_what_does_not_is_recorded_without_a_reservation,
    b1_runs_of_one_batch_share_the_account,
    b1_what_is_settled_makes_room_and_what_is_not_stays_counted,
    b1_a_further_performance_without_room_is_recorded_without_a_reservation,
    b1_a_stale_append_counts_nothing,
    b1_an_append_that_is_refused_half_way_counts_nothing,
    b1_each_skill_and_each_day_has_an_account_of_its_own,
    b1_that_a_day_has_no_room_is_told_once_of_all_runs_and_marks_are_told_nevertheless,
    b1_marks_are_told_once,
}

fn tokens(tokens: u64) -> Cost {
    Cost {
        calls: 1,
        tokens,
        microdollars: tokens * 2,
    }
}

fn limit(tokens: u64) -> Cost {
    Cost {
        tokens,
        ..Cost::UNBOUNDED
    }
}

fn account(day: u32) -> DayAccount {
    DayAccount {
        skill: SkillName::parse("greeter").unwrap(),
        day,
    }
}

/// A call that reserves 60 tokens of 100 for the 7th day.
fn asks(seq: u64, number: u64) -> [Write; 2] {
    let reserve = Local::Reserve {
        account: account(7),
        number: Number(number),
        bound: tokens(60),
        limit: limit(100),
    };
    [Write::Local(reserve), entry(seq, reserved(number))]
}

fn reserved(number: u64) -> Entry {
    match called(number, json("\"ask\"")) {
        Entry::Called(called) => Entry::Called(Arc::new(Called {
            reserved: Some(tokens(60)),
            reserved_day: Some(7),
            ..Called::clone(&called)
        })),
        other => other,
    }
}

fn settle(spent: u64) -> Write {
    Write::Local(Local::Settle {
        account: account(7),
        reserved: tokens(60),
        spent: tokens(spent),
        limit: limit(100),
    })
}

fn spent(stage: &Stage) -> u64 {
    stage.journal.day_spent(&account(7)).unwrap().spent.tokens
}

fn refused(writer: &RunWriter) -> Vec<Number> {
    let news = writer.take_day_news().into_iter();
    let number = |news| match news {
        DayNews::Refused { number, over } => {
            assert_eq!((over.budget, over.limit, over.wanted), (Budget::Tokens, 100, 60));
            Some(number)
        }
        DayNews::Full(_) | DayNews::Mark { .. } => None,
    };
    news.filter_map(number).collect()
}

fn reservation(stage: &Stage, writer: &RunWriter, seq: u64) -> (Option<Cost>, Option<Budget>) {
    let mut records = stage.journal.records(writer.run(), Seq(seq), 1).unwrap();
    let (reserved, day, over) = match records.remove(0).entry {
        Entry::Called(called) => (called.reserved, called.reserved_day, called.over),
        Entry::Retried(retried) => (retried.reserved, retried.reserved_day, None),
        other => panic!("{other:?} reserves nothing"),
    };
    assert_eq!(reserved.is_some(), day.is_some(), "nothing is reserved in a day alone");
    (reserved, over)
}

fn b1_what_fits_is_counted_and_what_does_not_is_recorded_without_a_reservation(stage: &Stage) {
    let (_, mut first) = stage.run(1);
    let (_, mut second) = stage.run(2);
    append(&mut first, asks(1, 0)).unwrap();
    assert_eq!(refused(&first), []);
    append(&mut second, asks(1, 0)).unwrap();
    assert_eq!(refused(&second), [Number(0)]);
    assert_eq!(refused(&second), [], "it is told once");
    assert_eq!(spent(stage), 60);
    assert_eq!(reservation(stage, &first, 1), (Some(tokens(60)), None));
    assert_eq!(
        reservation(stage, &second, 1),
        (None, None),
        "the run's own budget has room"
    );
}

fn b1_runs_of_one_batch_share_the_account(stage: &Stage) {
    let mut writers: Vec<RunWriter> = (1..=5).map(|n| stage.run(n).1).collect();
    for writer in &mut writers {
        writer.append(asks(1, 0).into()).unwrap();
    }
    for writer in &writers {
        block_on(writer.flush()).unwrap();
    }
    let refused: Vec<usize> = writers.iter().map(|writer| refused(writer).len()).collect();
    assert_eq!(refused, [0, 1, 1, 1, 1]);
    assert_eq!(spent(stage), 60);
}

fn b1_what_is_settled_makes_room_and_what_is_not_stays_counted(stage: &Stage) {
    let (_, mut writer) = stage.run(1);
    append(&mut writer, asks(1, 0)).unwrap();
    append(&mut writer, [settle(10), entry(2, returned(0, json("1")))]).unwrap();
    assert_eq!(spent(stage), 10);
    append(&mut writer, asks(3, 1)).unwrap();
    assert_eq!(refused(&writer), []);
    // It is never answered: nobody knows what it spent.
    append(&mut writer, [entry(4, returned(1, json("1")))]).unwrap();
    assert_eq!(spent(stage), 70);
    append(&mut writer, asks(5, 2)).unwrap();
    assert_eq!(refused(&writer), [Number(2)]);
}

fn b1_a_further_performance_without_room_is_recorded_without_a_reservation(stage: &Stage) {
    let (_, mut writer) = stage.run(1);
    append(&mut writer, asks(1, 0)).unwrap();
    let [reserve, _] = asks(2, 0);
    let again = Entry::Retried(Retried {
        number: Number(0),
        why: Why::Recovery,
        fault: None,
        spent: None,
        reserved: Some(tokens(60)),
        reserved_day: Some(7),
    });
    append(&mut writer, [reserve, entry(2, again)]).unwrap();
    assert_eq!(refused(&writer), [Number(0)]);
    assert_eq!(reservation(stage, &writer, 2), (None, None));
}

fn b1_a_stale_append_counts_nothing(stage: &Stage) {
    let (run, mut old) = stage.run(1);
    let mut new = stage.take(&run, "other");
    let fenced = append(&mut old, asks(1, 0));
    assert!(matches!(fenced, Err(AppendError::Fenced { .. })), "{fenced:?}");
    assert_eq!(spent(stage), 0);
    append(&mut new, asks(1, 0)).unwrap();
    assert_eq!(spent(stage), 60);
}

fn b1_an_append_that_is_refused_half_way_counts_nothing(stage: &Stage) {
    let (_, mut good) = stage.run(1);
    let (run, mut bad) = stage.run(2);
    let mut ahead = stage
        .journal
        .writer(&run, stage.journal.lease(&run).unwrap().epoch, Seq(1));
    // Both claim the same place: the second is not one that follows.
    bad.append(asks(1, 0).into()).unwrap();
    ahead.append(asks(1, 0).into()).unwrap();
    good.append(asks(1, 0).into()).unwrap();
    block_on(good.flush()).unwrap();
    block_on(bad.flush()).unwrap();
    assert!(block_on(ahead.flush()).is_err());
    assert_eq!(spent(stage), 60);
    assert_eq!((refused(&bad), refused(&good)), (vec![], vec![Number(0)]));
}

fn b1_each_skill_and_each_day_has_an_account_of_its_own(stage: &Stage) {
    let (_, mut writer) = stage.run(1);
    append(&mut writer, asks(1, 0)).unwrap();
    let tomorrow = Local::Reserve {
        account: account(8),
        number: Number(1),
        bound: tokens(60),
        limit: limit(100),
    };
    append(&mut writer, [Write::Local(tomorrow), entry(2, reserved(1))]).unwrap();
    assert_eq!(refused(&writer), []);
    let other = DayAccount {
        skill: SkillName::parse("other").unwrap(),
        day: 7,
    };
    let of = |account| stage.journal.day_spent(account).unwrap().spent;
    assert_eq!(
        (of(&account(7)), of(&account(8)), of(&other)),
        (tokens(60), tokens(60), Cost::ZERO)
    );
}

fn b1_that_a_day_has_no_room_is_told_once_of_all_runs_and_marks_are_told_nevertheless(stage: &Stage) {
    let (_, mut first) = stage.run(1);
    let (_, mut second) = stage.run(2);
    let told = |writer: &RunWriter| -> Vec<u64> {
        let told = |news| match news {
            DayNews::Full(over) => Some(over.used),
            DayNews::Mark { percent, .. } => Some(percent),
            DayNews::Refused { .. } => None,
        };
        writer.take_day_news().into_iter().filter_map(told).collect()
    };
    append(&mut first, asks(1, 0)).unwrap();
    append(&mut second, asks(1, 0)).unwrap();
    assert_eq!(told(&second), [60], "what is reserved takes room, too");
    append(&mut second, asks(2, 1)).unwrap();
    assert_eq!(told(&second), [0_u64; 0]);
    append(&mut first, [settle(50), entry(2, returned(0, json("1")))]).unwrap();
    assert_eq!(told(&first), [50]);
}

fn b1_marks_are_told_once(stage: &Stage) {
    let (_, mut writer) = stage.run(1);
    let marks = |writer: &RunWriter| -> Vec<u64> {
        let mark = |news| match news {
            DayNews::Mark { percent, spent } => {
                assert_eq!(spent.budget, Budget::Tokens);
                Some(percent)
            }
            DayNews::Refused { .. } | DayNews::Full(_) => None,
        };
        writer.take_day_news().into_iter().filter_map(mark).collect()
    };
    append(&mut writer, asks(1, 0)).unwrap();
    assert_eq!(
        marks(&writer),
        [0_u64; 0],
        "what is only reserved may turn out to be little"
    );
    append(&mut writer, [settle(30), entry(2, returned(0, json("1")))]).unwrap();
    assert_eq!(marks(&writer), [0_u64; 0]);
    append(&mut writer, asks(3, 1)).unwrap();
    append(&mut writer, [settle(25), entry(4, returned(1, json("1")))]).unwrap();
    assert_eq!(marks(&writer), [50]);
    let mut later = stage.take(&writer.run().clone(), "other");
    append(&mut later, [settle(0), entry(5, called(2, json("1")))]).unwrap();
    assert_eq!(marks(&later), [0_u64; 0]);
}
