//! Appending: order, durability, fencing, and what is changed beside entries.

use futures::executor::block_on;
use skillhost_core::entry::{Entry, Failure, How, Retried, Why};
use skillhost_core::id::{Digest, Epoch, Number, RunId, Seq};
use skillhost_core::machine::{Level, Line, Local, Source, Status, Wait, Write};
use skillhost_core::outcome::Fault;
use skillhost_core::payload::Payload;
use skillhost_journal::{AppendError, InboxFilter, LineKey};

use crate::support::{Stage, append, at, called, done, entry, finished, json, put_bundle, record, returned, run_id};

stories! {
    what_was_appended_is_read_back_in_order_and_in_parts,
    every_kind_of_entry_is_read_back_as_it_was,
    j1_a_barrier_tells_when_an_entry_and_all_before_it_are_durable,
    j3_a_stale_append_fails_alone,
    j3_a_gap_in_the_sequence_is_refused_before_it_is_queued,
    j3_entries_and_the_changes_beside_them_are_one_transaction,
    l1_a_former_holder_is_fenced_and_what_it_still_had_queued_is_lost,
    after_a_failure_the_writer_says_why_for_ever,
    nothing_follows_the_last_entry,
    j5_a_line_is_kept_once_however_often_it_is_said,
    a_barrier_for_an_entry_that_was_not_appended_is_an_error,
    appends_of_an_unknown_run_are_refused,
    what_runs_write_is_kept_apart,
    a_repinned_run_shows_its_new_bundle,
}

fn what_was_appended_is_read_back_in_order_and_in_parts(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    for n in 0..50 {
        let request = json(&format!("{{\"n\":{n}}}"));
        writer
            .append(vec![
                entry(2 * n + 1, called(n, request)),
                entry(2 * n + 2, returned(n, Payload::null())),
            ])
            .unwrap();
    }
    assert_eq!(writer.next(), Seq(101));
    block_on(writer.barrier(Seq(100))).unwrap();
    let all = stage.journal.all_records(&run).unwrap();
    assert_eq!(
        all.iter().map(|record| record.seq.0).collect::<Vec<_>>(),
        (0..101).collect::<Vec<_>>()
    );
    assert_eq!(all[1], record(1, called(0, json("{\"n\":0}"))));
    assert_eq!(stage.journal.records(&run, Seq(40), 20).unwrap(), all[40..60]);
    assert_eq!(stage.journal.records(&run, Seq(101), 20).unwrap(), []);
    assert_eq!(stage.journal.records(&run, Seq(0), 0).unwrap(), []);
}

fn every_kind_of_entry_is_read_back_as_it_was(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    let bundle = put_bundle(stage.journal.as_ref(), &[("skill.wasm", "new code")], at(1));
    let failure = Failure {
        code: "trap".to_owned(),
        message: "unreachable".to_owned(),
        details: Some(Payload::null()),
        backtrace: Some("a\nb".to_owned()),
    };
    let entries = [
        called(0, json("null")),
        Entry::Prepared {
            number: Number(0),
            measured: json("{\"length\":3}"),
        },
        Entry::Retried(Retried {
            number: Number(0),
            why: Why::Failure,
            fault: Some(Box::new(Fault::new(Fault::OVERLOADED, "busy"))),
            spent: None,
            reserved: None,
            reserved_day: None,
        }),
        returned(0, json("[1.50, \"\\u00e9\"]")),
        Entry::Cancelled { reason: None },
        Entry::Expired,
        Entry::Repinned {
            bundle,
            component: Digest::of(b"new code"),
        },
        finished(How::Failed(failure)),
    ];
    let writes = entries.iter().zip(1..).map(|(one, seq)| entry(seq, one.clone()));
    append(&mut writer, writes).unwrap();
    let read = stage.journal.records(&run, Seq(1), 100).unwrap();
    assert_eq!(read.into_iter().map(|record| record.entry).collect::<Vec<_>>(), entries);
}

fn j1_a_barrier_tells_when_an_entry_and_all_before_it_are_durable(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    assert_eq!(writer.durable(), Some(Seq(0)));
    writer.append(vec![entry(1, called(0, json("1")))]).unwrap();
    writer.append(vec![entry(2, called(1, json("2")))]).unwrap();
    block_on(writer.barrier(Seq(2))).unwrap();
    assert_eq!(writer.durable(), Some(Seq(2)));
    assert_eq!(stage.journal.run(&run).unwrap().entries, 3);
    // What is durable already does not wait.
    block_on(writer.barrier(Seq(0))).unwrap();
}

fn j3_a_stale_append_fails_alone(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    let epoch = stage.journal.lease(&run).unwrap().epoch;
    let (other, mut other_writer) = stage.run(2);
    append(&mut writer, [entry(1, called(0, json("1")))]).unwrap();

    // A second writer that believes the journal to be shorter, between two that are right.
    let mut stale = stage.journal.writer(&run, epoch, Seq(1));
    other_writer.append(vec![entry(1, called(0, json("1")))]).unwrap();
    stale.append(vec![entry(1, done())]).unwrap();
    writer.append(vec![entry(2, returned(0, json("2")))]).unwrap();

    let refused = block_on(stale.barrier(Seq(1)));
    let next = Seq(2);
    assert_eq!(
        refused,
        Err(AppendError::Stale {
            run: run.clone(),
            seq: Seq(1),
            next
        })
    );
    block_on(writer.barrier(Seq(2))).unwrap();
    block_on(other_writer.barrier(Seq(1))).unwrap();
    assert_eq!(stage.journal.run(&run).unwrap().entries, 3);
    assert_eq!(stage.journal.run(&other).unwrap().entries, 2);
    assert_eq!(stage.journal.run(&run).unwrap().status, Status::Running);
}

fn j3_a_gap_in_the_sequence_is_refused_before_it_is_queued(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    let stale = AppendError::Stale {
        run: run.clone(),
        seq: Seq(2),
        next: Seq(1),
    };
    assert_eq!(writer.append(vec![entry(2, called(0, json("1")))]), Err(stale));
    // The one that believes the journal to be longer is found out by the journal.
    let mut ahead = stage.journal.writer(&run, Epoch(1), Seq(7));
    ahead.append(vec![entry(7, called(0, json("1")))]).unwrap();
    assert!(matches!(
        block_on(ahead.flush()),
        Err(AppendError::Stale { next: Seq(1), .. })
    ));
    assert_eq!(stage.journal.run(&run).unwrap().entries, 1);
}

fn j3_entries_and_the_changes_beside_them_are_one_transaction(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    let wait = Local::OpenWait {
        number: Number(0),
        wait: Wait::Timer,
        deadline: Some(at(9)),
    };
    let beside = [Write::Local(post(Source::Message(Number(0)))), Write::Local(wait)];
    append(
        &mut writer,
        [entry(1, called(0, json("1")))].into_iter().chain(beside.clone()),
    )
    .unwrap();
    assert_eq!(stage.journal.inbox(&InboxFilter::default()).unwrap().len(), 1);
    assert_eq!(stage.journal.waits(&run).unwrap().len(), 1);

    let mut stale = stage.journal.writer(&run, Epoch(1), Seq(1));
    let lost = Write::Local(post(Source::Message(Number(1))));
    assert!(append(&mut stale, [entry(1, called(0, json("1"))), lost]).is_err());
    assert_eq!(stage.journal.inbox(&InboxFilter::default()).unwrap().len(), 1);
}

fn l1_a_former_holder_is_fenced_and_what_it_still_had_queued_is_lost(stage: &Stage) {
    let (run, mut former) = stage.run(1);
    let mut present = stage.take(&run, "other");
    former.append(vec![entry(1, called(0, json("\"former\"")))]).unwrap();
    append(&mut present, [entry(1, called(0, json("\"present\"")))]).unwrap();
    let fenced = AppendError::Fenced {
        run: run.clone(),
        held: Epoch(1),
        found: Epoch(2),
    };
    assert_eq!(block_on(former.flush()), Err(fenced));
    let records = stage.journal.records(&run, Seq(1), 10).unwrap();
    assert_eq!(records, [record(1, called(0, json("\"present\"")))]);
}

fn after_a_failure_the_writer_says_why_for_ever(stage: &Stage) {
    let (run, mut former) = stage.run(1);
    append(&mut former, [entry(1, called(0, json("1")))]).unwrap();
    stage.take(&run, "other");
    former.append(vec![entry(2, called(1, json("2")))]).unwrap();
    former.append(vec![entry(3, called(2, json("3")))]).unwrap();
    let error = block_on(former.barrier(Seq(2))).unwrap_err();
    assert_eq!(block_on(former.barrier(Seq(3))), Err(error.clone()));
    assert_eq!(former.append(vec![entry(4, called(3, json("4")))]), Err(error));
    // What had become durable stays so.
    block_on(former.barrier(Seq(1))).unwrap();
    assert_eq!(former.durable(), Some(Seq(1)));
}

fn nothing_follows_the_last_entry(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    append(&mut writer, [entry(1, done())]).unwrap();
    append(&mut writer, [line(0, 0, "a last word")]).unwrap();
    assert_eq!(
        append(&mut writer, [entry(2, called(0, json("1")))]),
        Err(AppendError::Over { run: run.clone() })
    );
    assert_eq!(stage.journal.run(&run).unwrap().entries, 2);
    assert_eq!(stage.journal.lines(&run, None, 10).unwrap().len(), 1);
}

fn j5_a_line_is_kept_once_however_often_it_is_said(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    let lines = [
        line(0, 0, "first"),
        line(0, 1, "second"),
        line(0, 0, "first again"),
        line(2, 0, "third"),
    ];
    append(&mut writer, lines).unwrap();
    let mut replayed = stage.take(&run, "other");
    append(&mut replayed, [line(0, 1, "second"), line(1, 0, "between")]).unwrap();
    let said = |after| -> Vec<String> {
        let lines = stage.journal.lines(&run, after, 10).unwrap().into_iter();
        lines
            .map(|row| format!("{}.{} {}", row.key.after, row.key.ordinal, text(&row.line)))
            .collect()
    };
    assert_eq!(said(None), ["0.0 first", "0.1 second", "1.0 between", "2.0 third"]);
    assert_eq!(
        said(Some(LineKey { after: 0, ordinal: 1 })),
        ["1.0 between", "2.0 third"]
    );
    assert_eq!(stage.journal.lines(&run, None, 2).unwrap().len(), 2);
}

fn a_barrier_for_an_entry_that_was_not_appended_is_an_error(stage: &Stage) {
    let (run, writer) = stage.run(1);
    let error = AppendError::NotAppended { run, seq: Seq(1) };
    assert_eq!(block_on(writer.barrier(Seq(1))), Err(error));
}

fn appends_of_an_unknown_run_are_refused(stage: &Stage) {
    let run: RunId = run_id(9);
    let mut writer = stage.journal.writer(&run, Epoch(1), Seq(1));
    assert_eq!(
        append(&mut writer, [entry(1, done())]),
        Err(AppendError::UnknownRun { run })
    );
}

fn what_runs_write_is_kept_apart(stage: &Stage) {
    let mut runs: Vec<_> = (1..=20).map(|n| stage.run(n)).collect();
    for n in 0..10 {
        for (run, writer) in &mut runs {
            let request = json(&format!("[\"{run}\",{n}]"));
            writer
                .append(vec![entry(n + 1, called(n, request)), line(0, n, run.as_str())])
                .unwrap();
        }
    }
    for (run, writer) in &runs {
        block_on(writer.flush()).unwrap();
        let records = stage.journal.records(run, Seq(1), 100).unwrap();
        let expected = (0..10).map(|n| record(n + 1, called(n, json(&format!("[\"{run}\",{n}]")))));
        assert_eq!(records, expected.collect::<Vec<_>>());
        assert!(
            stage
                .journal
                .lines(run, None, 100)
                .unwrap()
                .iter()
                .all(|row| text(&row.line) == run.as_str())
        );
    }
}

fn a_repinned_run_shows_its_new_bundle(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    let bundle = put_bundle(stage.journal.as_ref(), &[("skill.wasm", "new code")], at(1));
    let component = Digest::of(b"new code");
    append(&mut writer, [entry(1, Entry::Repinned { bundle, component })]).unwrap();
    let row = stage.journal.run(&run).unwrap();
    assert_eq!((row.bundle, row.component), (bundle, component));
}

fn post(source: Source) -> Local {
    Local::Post {
        source,
        at: at(5),
        title: "Greeted".to_owned(),
        body: "two\nlines".to_owned(),
        attachments: vec!["run/report.md".to_owned()],
    }
}

fn line(after: u64, ordinal: u64, message: &str) -> Write {
    Write::Line {
        after,
        ordinal,
        at: at(3),
        line: Line::Message {
            level: Level::Info,
            message: message.to_owned(),
            place: None,
        },
    }
}

fn text(line: &Line) -> &str {
    match line {
        Line::Message { message, .. } => message,
        other => panic!("only messages are said here: {other:?}"),
    }
}
