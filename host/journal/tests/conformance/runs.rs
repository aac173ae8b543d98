//! Making runs, finding them, and forgetting them.

use std::path::PathBuf;

use skillhost_core::entry::{Entry, How, Parent, Retried, Why};
use skillhost_core::id::{Digest, LaunchId, Number, RunId, Seq, SignalName, SkillName};
use skillhost_core::machine::{Command, Level, Line, Local, Status, Wait, Write};
use skillhost_journal::{Created, FindError, InboxFilter, JournalError, NewRun, RunFilter, Trouble};

use crate::support::{Stage, append, at, called, done, entry, finished, json, record, returned, run_id};

stories! {
    a_new_run_has_its_row_its_launch_and_its_first_entry,
    a_launch_that_exists_is_returned_as_it_is,
    a_run_needs_its_bundle,
    f1_a_retry_takes_the_place_of_the_run_before_under_the_same_launch,
    f1_two_retries_of_one_run_do_not_both_take_its_place,
    f2_a_copy_begins_where_the_first_entry_ends,
    f3_a_copy_has_its_outcomes_and_marks_and_nothing_else_of_the_run_that_is_copied,
    lists_are_newest_first_and_filtered,
    those_that_run_are_listed_in_parts_oldest_first,
    the_last_entry_says_how_a_run_stands,
    g1_calls_are_found_by_their_numbers_wherever_they_stand,
    a_run_is_found_by_what_a_person_types,
    a_run_that_is_not_there_is_an_error_that_names_the_nearest,
    a_run_that_is_over_can_be_forgotten_and_one_that_is_not_cannot,
    the_launch_of_a_forgotten_run_falls_back_to_the_run_before,
    runs_that_ended_long_ago_are_forgotten_together,
    parked_runs_are_forgotten_for_their_age_only_if_that_is_asked_for_and_nobody_uses_them,
}

fn a_new_run_has_its_row_its_launch_and_its_first_entry(stage: &Stage) {
    let folder = Some(PathBuf::from("/home/ada/project"));
    let new = NewRun {
        silent: true,
        ..NewRun::first(stage.started(1), at(1), folder.clone())
    };
    assert_eq!(stage.journal.create_run(new).unwrap(), Created::New);
    let row = stage.journal.run(&run_id(1)).unwrap();
    assert_eq!(
        (row.status, row.entries, row.created_at, row.updated_at),
        (Status::Running, 1, at(1), at(1))
    );
    assert_eq!(
        (row.caller_folder, row.silent, row.simulated, row.superseded, row.holder),
        (folder, true, true, false, None)
    );
    let records = stage.journal.all_records(&run_id(1)).unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].seq, records[0].at), (Seq(0), at(1)));
    assert_eq!(records[0].entry, Entry::Started(Box::new(stage.started(1))));
}

fn a_launch_that_exists_is_returned_as_it_is(stage: &Stage) {
    let run = stage.create(1);
    let mut again = stage.started(2);
    again.launch = LaunchId::parse(run.as_str()).unwrap();
    again.input = json("\"other\"");
    let created = stage.journal.create_run(NewRun::first(again, at(2), None)).unwrap();
    let Created::Existing(row) = created else {
        panic!("the launch id is taken")
    };
    assert_eq!(row.run, run);
    assert!(matches!(
        stage.journal.run(&run_id(2)),
        Err(JournalError::UnknownRun { .. })
    ));
}

fn a_run_needs_its_bundle(stage: &Stage) {
    let mut started = stage.started(1);
    started.bundle = Digest::of(b"nobody put this");
    let refused = stage.journal.create_run(NewRun::first(started, at(1), None));
    assert!(matches!(refused, Err(JournalError::NoBundle { .. })));
    assert!(stage.journal.runs(&RunFilter::default()).unwrap().is_empty());
}

/// Returns a retry of the run `before` as the run `n`.
fn retry(stage: &Stage, n: u64, before: u64) -> NewRun {
    let mut started = stage.started(n);
    started.launch = LaunchId::parse(run_id(1).as_str()).unwrap();
    started.parent = Some(Parent {
        run: run_id(before),
        cut: 0,
        origin: run_id(1),
        origin_at: at(1),
    });
    NewRun {
        follows: Some(run_id(before)),
        ..NewRun::first(started, at(n), None)
    }
}

fn f1_a_retry_takes_the_place_of_the_run_before_under_the_same_launch(stage: &Stage) {
    stage.create(1);
    assert_eq!(stage.journal.create_run(retry(stage, 2, 1)).unwrap(), Created::New);
    assert!(stage.journal.run(&run_id(1)).unwrap().superseded);
    assert!(!stage.journal.run(&run_id(2)).unwrap().superseded);
    assert_eq!(stage.journal.run(&run_id(2)).unwrap().parent, Some(run_id(1)));
    assert_eq!(
        stage.journal.find_run(run_id(1).as_str()).unwrap(),
        run_id(2),
        "the launch id follows"
    );
    let launch = stage.journal.run(&run_id(1)).unwrap().launch;
    assert_eq!(stage.journal.launched(&launch).unwrap(), Some(run_id(2)));
    // What a person may shorten, a program may not.
    let beginning = LaunchId::parse(&launch.as_str()[..launch.as_str().len() - 1]).unwrap();
    assert_eq!(stage.journal.launched(&beginning).unwrap(), None);
    let newest = RunFilter {
        newest_of_launch: true,
        ..RunFilter::default()
    };
    assert_eq!(names(stage, &newest), [run_id(2)]);
}

fn f1_two_retries_of_one_run_do_not_both_take_its_place(stage: &Stage) {
    stage.create(1);
    stage.journal.create_run(retry(stage, 2, 1)).unwrap();
    let second = stage.journal.create_run(retry(stage, 3, 1));
    assert!(matches!(second, Err(JournalError::LaunchMoved { newest, .. }) if newest == run_id(2)));
}

fn f2_a_copy_begins_where_the_first_entry_ends(stage: &Stage) {
    stage.create(1);
    let copy = vec![record(1, called(0, json("1"))), record(2, returned(0, json("2")))];
    let mut new = retry(stage, 2, 1);
    new.copy = copy.clone();
    assert_eq!(stage.journal.create_run(new).unwrap(), Created::New);
    assert_eq!(stage.journal.records(&run_id(2), Seq(1), 10).unwrap(), copy);

    for bad in [vec![record(2, called(0, json("1")))], vec![record(1, done())]] {
        let mut new = retry(stage, 3, 2);
        new.copy = bad;
        assert!(matches!(
            stage.journal.create_run(new),
            Err(JournalError::BadCopy { .. })
        ));
    }
}

fn f3_a_copy_has_its_outcomes_and_marks_and_nothing_else_of_the_run_that_is_copied(stage: &Stage) {
    let (parent, mut writer) = stage.run(1);
    let calls = [entry(1, called(0, json("1"))), entry(2, called(1, json("2")))];
    append(&mut writer, calls).unwrap();
    let wait = Local::OpenWait {
        number: Number(0),
        wait: Wait::Timer,
        deadline: Some(at(5_000)),
    };
    append(&mut writer, [Write::Local(wait), line("said by the first")]).unwrap();
    let go = Command::Event {
        name: SignalName::parse("go").unwrap(),
        value: json("1"),
        by: None,
    };
    stage.journal.post_mail(&parent, at(2), &go).unwrap();

    let mark = Entry::Retried(Retried {
        number: Number(1),
        why: Why::Anew,
        fault: None,
        spent: None,
        reserved: None,
        reserved_day: None,
    });
    let copy = [called(0, json("1")), called(1, json("2")), returned(0, json("3")), mark];
    let copy: Vec<_> = (1..).zip(copy).map(|(seq, entry)| record(seq, entry)).collect();
    let mut new = retry(stage, 2, 1);
    (new.at, new.copy) = (at(9_000), copy.clone());
    assert_eq!(stage.journal.create_run(new).unwrap(), Created::New);

    let run = run_id(2);
    assert_eq!(stage.journal.records(&run, Seq(1), 10).unwrap(), copy);
    let row = stage.journal.run(&run).unwrap();
    assert_eq!((row.status, row.entries), (Status::Running, 5));
    assert_eq!(row.updated_at, at(9_000), "its entries are older than it is");
    assert!(stage.journal.waits(&run).unwrap().is_empty());
    assert!(stage.journal.lines(&run, None, 10).unwrap().is_empty());
    assert!(stage.journal.mail(&run).unwrap().is_empty());
    assert_eq!(
        stage.journal.mail(&parent).unwrap().len(),
        1,
        "f5: what it has not consumed stays its own"
    );

    // It is said again when the copy is replayed (rule J5), and waited for when it is live.
    let mut writer = stage.take(&run, "worker");
    append(&mut writer, [line("said by the first"), entry(5, done())]).unwrap();
    assert_eq!(stage.journal.lines(&run, None, 10).unwrap().len(), 1);
}

fn line(message: &str) -> Write {
    Write::Line {
        after: 0,
        ordinal: 0,
        at: at(3),
        line: Line::Message {
            level: Level::Info,
            message: message.to_owned(),
            place: None,
        },
    }
}

fn names(stage: &Stage, filter: &RunFilter) -> Vec<RunId> {
    stage
        .journal
        .runs(filter)
        .unwrap()
        .into_iter()
        .map(|row| row.run)
        .collect()
}

fn those_that_run_are_listed_in_parts_oldest_first(stage: &Stage) {
    let (first, mut writer) = stage.run(1);
    append(&mut writer, [entry(1, done())]).unwrap();
    let others: Vec<RunId> = (2..=6).map(|n| stage.create(n)).collect();
    stage.claim(&others[0], "worker");
    let ids = |after: Option<&RunId>, most| -> Vec<RunId> {
        let found = stage.journal.running(after, most).unwrap().into_iter();
        found.map(|found| found.run).collect()
    };
    assert_eq!(ids(None, 2), others[..2]);
    assert_eq!(ids(Some(&others[1]), 2), others[2..4]);
    assert_eq!(ids(Some(&others[3]), 2), others[4..]);
    assert!(!ids(None, usize::MAX).contains(&first), "it is over");
    let held = stage.journal.running(None, 1).unwrap().remove(0);
    let row = stage.journal.run(&others[0]).unwrap();
    assert_eq!(
        (held.skill, held.created_at, held.holder, held.epoch),
        (row.skill, row.created_at, row.holder, row.epoch)
    );
}

fn lists_are_newest_first_and_filtered(stage: &Stage) {
    for n in 1..=4 {
        let mut started = stage.started(n);
        if n == 3 {
            started.skill = SkillName::parse("other").unwrap();
        }
        let folder = (n == 4).then(|| PathBuf::from("/here"));
        stage.journal.create_run(NewRun::first(started, at(n), folder)).unwrap();
    }
    append(&mut stage.take(&run_id(2), "worker"), [entry(1, done())]).unwrap();
    let all = RunFilter::default();
    assert_eq!(names(stage, &all), [run_id(4), run_id(3), run_id(2), run_id(1)]);
    let status = vec![Status::Done, Status::Failed];
    assert_eq!(names(stage, &RunFilter { status, ..all.clone() }), [run_id(2)]);
    let skill = SkillName::parse("other").ok();
    assert_eq!(names(stage, &RunFilter { skill, ..all.clone() }), [run_id(3)]);
    let since = Some(at(3));
    assert_eq!(
        names(stage, &RunFilter { since, ..all.clone() }),
        [run_id(4), run_id(3)]
    );
    let caller_folder = Some(PathBuf::from("/here"));
    assert_eq!(
        names(
            stage,
            &RunFilter {
                caller_folder,
                ..all.clone()
            }
        ),
        [run_id(4)]
    );
    assert_eq!(
        names(stage, &RunFilter { most: Some(2), ..all }),
        [run_id(4), run_id(3)]
    );
}

fn the_last_entry_says_how_a_run_stands(stage: &Stage) {
    let ends = [
        (done(), Status::Done),
        (finished(How::Cancelled(None)), Status::Cancelled),
        (finished(How::Continued(run_id(9))), Status::Continued),
    ];
    for ((end, status), n) in ends.into_iter().zip(1..) {
        let (run, mut writer) = stage.run(n);
        append(&mut writer, [Write::Local(Local::SetStatus(Status::Waiting))]).unwrap();
        assert_eq!(stage.journal.run(&run).unwrap().status, Status::Waiting);
        let late = Write::Local(Local::SetStatus(Status::Running));
        append(&mut writer, [entry(1, end), late.clone()]).unwrap();
        append(&mut writer, [late]).unwrap();
        assert_eq!(
            stage.journal.run(&run).unwrap().status,
            status,
            "it is over, whatever was said after"
        );
    }
}

fn g1_calls_are_found_by_their_numbers_wherever_they_stand(stage: &Stage) {
    // More than are read at a time, so that the first and the last stand in different parts.
    const CALLS: u64 = 5_000;
    let (run, mut writer) = stage.run(1);
    let entries = (0..CALLS).map(|n| entry(1 + n, called(n, json(&n.to_string()))));
    append(&mut writer, entries).unwrap();
    let asked = [0, 7, CALLS - 1, CALLS].map(Number);
    let found = stage.journal.calls(&run, &asked.into()).unwrap();
    let requests: Vec<(u64, &str)> = found
        .iter()
        .map(|(number, call)| (number.0, call.request.as_str()))
        .collect();
    assert_eq!(
        requests,
        [(0, "0"), (7, "7"), (CALLS - 1, "4999")],
        "the last was never made"
    );
    assert!(stage.journal.calls(&run, &[].into()).unwrap().is_empty());
}

fn a_run_is_found_by_what_a_person_types(stage: &Stage) {
    let mut started = stage.started(1);
    started.launch = LaunchId::parse("Nightly.Audit").unwrap();
    stage.journal.create_run(NewRun::first(started, at(1), None)).unwrap();
    stage.create(2);
    let find = |text: &str| stage.journal.find_run(text);
    assert_eq!(find(run_id(2).as_str()).unwrap(), run_id(2));
    assert_eq!(find(&run_id(2).as_str().to_uppercase()).unwrap(), run_id(2));
    assert_eq!(find("Nightly.Audit").unwrap(), run_id(1));
    assert_eq!(find("Nightly").unwrap(), run_id(1));
    assert_eq!(find("Audit").unwrap(), run_id(1));
    assert_eq!(find("0002").unwrap(), run_id(2));
    assert!(matches!(find("002"), Err(FindError::TooShort { .. })));
    let ambiguous = find("01jd").unwrap_err();
    assert_eq!(
        ambiguous.to_string(),
        format!("`01jd` could be `{0}` or `Nightly.Audit ({1})`", run_id(2), run_id(1))
    );
}

fn a_run_that_is_not_there_is_an_error_that_names_the_nearest(stage: &Stage) {
    let mut started = stage.started(1);
    started.launch = LaunchId::parse("audit-monday").unwrap();
    stage.journal.create_run(NewRun::first(started, at(1), None)).unwrap();
    let unknown = stage.journal.find_run("audit-munday").unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "there is no run `audit-munday`; did you mean `audit-monday`?"
    );
    let unlike = stage.journal.find_run("zzzzzz").unwrap_err();
    assert_eq!(unlike.to_string(), "there is no run `zzzzzz`");
    let unknown = stage.journal.records(&run_id(7), Seq(0), 1).unwrap_err();
    assert_eq!(unknown.to_string(), format!("there is no run `{}`", run_id(7)));
    assert!(stage.journal.lines(&run_id(7), None, 1).is_err());
    assert!(stage.journal.waits(&run_id(7)).is_err());
    assert!(stage.journal.mail(&run_id(7)).is_err());
    assert!(stage.journal.lease(&run_id(7)).is_err());
    assert!(stage.journal.remove_run(&run_id(7)).is_err());
}

fn a_run_that_is_over_can_be_forgotten_and_one_that_is_not_cannot(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    let status = Status::Running;
    let refused = stage.journal.remove_run(&run);
    assert!(matches!(refused, Err(JournalError::NotOver { status: s, .. }) if s == status));
    let post = Local::Post {
        source: skillhost_core::machine::Source::Finished,
        at: at(2),
        title: "done".to_owned(),
        body: String::new(),
        attachments: Vec::new(),
    };
    append(&mut writer, [entry(1, done()), Write::Local(post)]).unwrap();
    stage.journal.remove_run(&run).unwrap();
    assert!(matches!(stage.journal.run(&run), Err(JournalError::UnknownRun { .. })));
    assert!(stage.journal.inbox(&InboxFilter::default()).unwrap().is_empty());
    stage.create(1);
}

fn the_launch_of_a_forgotten_run_falls_back_to_the_run_before(stage: &Stage) {
    stage.create(1);
    stage.journal.create_run(retry(stage, 2, 1)).unwrap();
    append(&mut stage.take(&run_id(2), "worker"), [entry(1, done())]).unwrap();
    stage.journal.remove_run(&run_id(2)).unwrap();
    assert!(!stage.journal.run(&run_id(1)).unwrap().superseded);
    assert_eq!(stage.journal.find_run(run_id(1).as_str()).unwrap(), run_id(1));
}

fn runs_that_ended_long_ago_are_forgotten_together(stage: &Stage) {
    // More than one transaction's worth.
    const LONG_AGO: u64 = 45;
    for n in 1..=LONG_AGO {
        append(&mut stage.run(n).1, [entry(1, done())]).unwrap();
    }
    append(&mut stage.run(51).1, [entry(1, finished(How::Cancelled(None)))]).unwrap();
    append(&mut stage.run(52).1, [Write::Local(Local::SetStatus(Status::Waiting))]).unwrap();
    let (_, mut recent) = stage.run(53);
    append(&mut recent, [entry(1, called(0, json("1"))), entry(2, done())]).unwrap();

    let statuses = [Status::Done, Status::Failed, Status::Waiting];
    assert_eq!(stage.journal.prune(at(1_001), &statuses).unwrap().runs, []);
    let pruned = stage.journal.prune(at(1_002), &statuses).unwrap().runs;
    assert_eq!(pruned, (1..=LONG_AGO).map(run_id).collect::<Vec<_>>());
    let left = names(stage, &RunFilter::default());
    assert_eq!(left, [run_id(53), run_id(52), run_id(51)]);
    assert_eq!(stage.journal.prune(at(1_002), &statuses).unwrap().runs, []);
}

fn parked_runs_are_forgotten_for_their_age_only_if_that_is_asked_for_and_nobody_uses_them(stage: &Stage) {
    let park = |n| {
        let run = stage.create(n);
        let epoch = stage.claim(&run, "worker");
        let trouble = Trouble {
            code: "no_key".to_owned(),
            message: "no key".to_owned(),
            hint: None,
            at: at(n),
            attempts: 1,
        };
        stage.journal.park(&run, epoch, &trouble).unwrap();
        stage.journal.release(&run, epoch).unwrap();
        run
    };
    let old = park(1);
    let held = park(2);
    stage.claim(&held, "worker");
    let told = park(3);
    let go = Command::Cancel { reason: None };
    stage.journal.post_mail(&told, at(4), &go).unwrap();
    let parked_lately = park(500);
    let pruned = |statuses: &[Status]| stage.journal.prune(at(400), statuses).unwrap().runs;
    assert_eq!(pruned(&[Status::Done, Status::Failed, Status::Cancelled]), []);
    assert_eq!(pruned(&[Status::Parked, Status::Running]), [old]);
    for left in [held, told, parked_lately] {
        assert_eq!(stage.journal.run(&left).unwrap().status, Status::Parked);
    }
}
