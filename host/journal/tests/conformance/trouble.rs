//! Runs that are parked because attempts fail for a reason outside the skill.

use skillhost_core::id::{Epoch, Number, RunId};
use skillhost_core::machine::{Local, Source, Status, Wait, Write};
use skillhost_journal::{InboxFilter, InboxRow, JournalError, Trouble};

use crate::support::{Stage, append, at, done, entry, run_id};

stories! {
    a_parked_run_says_why_in_its_row_and_in_the_inbox,
    a_run_that_goes_on_has_no_trouble_any_more,
    a_run_that_is_over_has_no_trouble_any_more,
    trouble_of_another_kind_replaces_what_was_said_before,
    l1_a_lease_that_passed_on_parks_nothing,
    a_run_that_is_over_or_unknown_is_not_parked,
    a_parked_run_that_nobody_holds_can_be_forgotten,
}

fn no_key() -> Trouble {
    Trouble {
        code: "no_key".to_owned(),
        message: "the provider has no key".to_owned(),
        hint: Some("`skillhost auth anthropic` stores one".to_owned()),
        at: at(7),
        attempts: 3,
    }
}

fn inbox(stage: &Stage) -> Vec<InboxRow> {
    stage.journal.inbox(&InboxFilter::default()).unwrap()
}

/// Makes a run, takes it, and parks it.
fn parked(stage: &Stage, n: u64) -> RunId {
    let (run, _) = stage.run(n);
    stage.journal.park(&run, Epoch(1), &no_key()).unwrap();
    run
}

fn a_parked_run_says_why_in_its_row_and_in_the_inbox(stage: &Stage) {
    let run = parked(stage, 1);
    let row = stage.journal.run(&run).unwrap();
    assert_eq!((row.status, row.trouble), (Status::Parked, Some(no_key())));
    let inbox = inbox(stage);
    assert_eq!(inbox.len(), 1);
    assert_eq!(
        (&inbox[0].run, inbox[0].source, inbox[0].at),
        (&run, Source::Trouble, at(7))
    );
    assert_eq!(inbox[0].title, "greeter is parked: no_key");
    assert_eq!(
        inbox[0].body,
        "the provider has no key\n\n`skillhost auth anthropic` stores one"
    );
}

fn a_run_that_goes_on_has_no_trouble_any_more(stage: &Stage) {
    for (n, status) in (1..).zip([Status::Running, Status::Waiting, Status::Parked, Status::Paused]) {
        let run = parked(stage, n);
        let mut writer = stage.take(&run, "another");
        append(&mut writer, [Write::Local(Local::SetStatus(status))]).unwrap();
        let row = stage.journal.run(&run).unwrap();
        assert_eq!((row.status, row.trouble), (status, None));
        assert_eq!(inbox(stage), []);
    }
}

fn a_run_that_is_over_has_no_trouble_any_more(stage: &Stage) {
    let run = parked(stage, 1);
    append(&mut stage.take(&run, "another"), [entry(1, done())]).unwrap();
    let row = stage.journal.run(&run).unwrap();
    assert_eq!((row.status, row.trouble), (Status::Done, None));
    assert_eq!(inbox(stage), []);
}

fn trouble_of_another_kind_replaces_what_was_said_before(stage: &Stage) {
    let run = parked(stage, 1);
    stage.journal.dismiss(None, at(8)).unwrap();
    let broken = Trouble {
        code: "broken".to_owned(),
        message: "out of memory".to_owned(),
        hint: None,
        at: at(9),
        attempts: 4,
    };
    stage.journal.park(&run, Epoch(1), &broken).unwrap();
    assert_eq!(stage.journal.run(&run).unwrap().trouble, Some(broken));
    let inbox = inbox(stage);
    let said: Vec<_> = inbox
        .iter()
        .map(|row| (row.title.as_str(), row.body.as_str()))
        .collect();
    assert_eq!(said, [("greeter is parked: broken", "out of memory")]);
}

fn l1_a_lease_that_passed_on_parks_nothing(stage: &Stage) {
    let (run, _former) = stage.run(1);
    stage.claim(&run, "other");
    stage.journal.park(&run, Epoch(1), &no_key()).unwrap();
    let row = stage.journal.run(&run).unwrap();
    assert_eq!((row.status, row.trouble), (Status::Running, None));
    assert_eq!(inbox(stage), []);
}

fn a_run_that_is_over_or_unknown_is_not_parked(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    append(&mut writer, [entry(1, done())]).unwrap();
    stage.journal.park(&run, Epoch(1), &no_key()).unwrap();
    assert_eq!(stage.journal.run(&run).unwrap().status, Status::Done);
    assert_eq!(inbox(stage), []);
    let unknown = stage.journal.park(&run_id(2), Epoch(1), &no_key());
    assert!(matches!(unknown, Err(JournalError::UnknownRun { .. })));
}

fn a_parked_run_that_nobody_holds_can_be_forgotten(stage: &Stage) {
    let run = parked(stage, 1);
    let held = stage.journal.remove_run(&run);
    assert!(matches!(
        held,
        Err(JournalError::NotOver {
            status: Status::Parked,
            ..
        })
    ));
    let mut writer = stage.take(&run, "another");
    let doubt = Local::OpenWait {
        number: Number(0),
        wait: Wait::Decision,
        deadline: None,
    };
    let status = Local::SetStatus(Status::Parked);
    append(&mut writer, [Write::Local(doubt), Write::Local(status)]).unwrap();
    stage.journal.release(&run, Epoch(2)).unwrap();
    stage.journal.remove_run(&run).unwrap();
    assert!(matches!(stage.journal.run(&run), Err(JournalError::UnknownRun { .. })));
    stage.create(1);
    assert_eq!(stage.journal.waits(&run).unwrap(), []);
}
