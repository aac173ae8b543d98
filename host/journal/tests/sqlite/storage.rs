//! Storage that fails, and other processes that want it too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::executor::block_on;
use skillhost_core::id::{Epoch, Seq};
use skillhost_core::machine::{Command, Status};
use skillhost_core::payload::Payload;
use skillhost_journal::{AppendError, Health, Journal, JournalError, RunFilter, Settings, SqliteJournal, Taken};

use crate::support::{Stage, append, at, called, done, entry, json, put_bundle, returned, run_id, worker};
use crate::{database, open_again, shell};

/// A journal that notices at once when others lock it, with a run in it.
fn hasty() -> (Stage, SqliteJournal) {
    let mut stage = Stage::sqlite();
    let settings = Settings {
        busy: Duration::from_millis(5),
        ..Settings::default()
    };
    let journal = SqliteJournal::open_with(&database(&stage), settings).unwrap();
    stage.journal = Arc::new(journal.clone());
    (stage, journal)
}

fn wait_for(journal: &SqliteJournal, wanted: impl Fn(&Health) -> bool) -> Health {
    block_on(journal.health().wait_for(|health| wanted(health)))
        .unwrap()
        .clone()
}

fn fails(health: &Health) -> bool {
    matches!(health, Health::Failing { .. })
}

/// A payload that compression does not make shorter than the room that is left.
fn large() -> Payload {
    let noise = (0..40_000).map(|n| skillhost_core::retry::chance("noise", n).to_string());
    json(&format!("\"{}\"", noise.collect::<String>()))
}

#[test]
fn j4_what_a_full_disk_refuses_is_kept_and_written_when_there_is_room() {
    let (stage, journal) = hasty();
    let (run, mut writer) = stage.run(1);
    journal.limit_bytes(1);
    writer.append(vec![entry(1, called(0, large()))]).unwrap();
    let mut barrier = Box::pin(writer.barrier(Seq(1)));
    let Health::Failing { message, .. } = wait_for(&journal, fails) else {
        panic!("it fails")
    };
    assert!(
        message.contains("database or disk is full; free some space"),
        "{message}"
    );
    assert_eq!(barrier.as_mut().now_or_never(), None);
    writer.append(vec![entry(2, done())]).unwrap();
    // Whoever only asks for something is told, and can ask again.
    let refused = put_bundle_error(&journal);
    assert!(matches!(refused, JournalError::Storage { .. }), "{refused}");

    journal.limit_bytes(1 << 30);
    block_on(barrier).unwrap();
    block_on(writer.barrier(Seq(2))).unwrap();
    assert_eq!(wait_for(&journal, |health| !fails(health)), Health::Good);
    assert_eq!(journal.all_records(&run).unwrap().len(), 3);
}

fn put_bundle_error(journal: &SqliteJournal) -> JournalError {
    let text = large();
    let bundle = crate::support::bundle(&[("large", text.as_str())]);
    match journal.put_bundle(&bundle, at(1), &|_| Ok(text.as_str().as_bytes().to_vec())) {
        Err(skillhost_journal::BundleError::Journal(error)) => error,
        other => panic!("there is no room for it: {other:?}"),
    }
}

#[test]
fn j4_what_another_program_locks_out_is_kept_and_written_when_it_lets_go() {
    let (stage, journal) = hasty();
    let (_, mut writer) = stage.run(1);
    let browser = shell(&database(&stage));
    browser.execute_batch("begin immediate").unwrap();
    writer.append(vec![entry(1, called(0, json("1")))]).unwrap();
    let barrier = writer.barrier(Seq(1));
    let Health::Failing { message, .. } = wait_for(&journal, fails) else {
        panic!("it fails")
    };
    assert!(message.contains("another program keeps it locked"), "{message}");
    let refused = journal
        .post_mail(&run_id(1), at(1), &Command::Cancel { reason: None })
        .unwrap_err();
    assert!(
        refused.to_string().starts_with("could not write to the journal at"),
        "{refused}"
    );
    browser.execute_batch("rollback").unwrap();
    block_on(barrier).unwrap();
}

#[test]
fn j4_if_the_lease_is_lost_while_storage_fails_what_was_kept_is_dropped() {
    let (stage, journal) = hasty();
    let (run, mut writer) = stage.run(1);
    journal.limit_bytes(1);
    writer.append(vec![entry(1, called(0, large()))]).unwrap();
    let barrier = writer.barrier(Seq(1));
    wait_for(&journal, fails);
    // Another process, for which there is room.
    let other = open_again(&stage);
    let seen = other.lease(&run).unwrap();
    assert_eq!(other.claim(&run, &worker("other"), &seen).unwrap(), Taken::At(Epoch(2)));
    let fenced = AppendError::Fenced {
        run: run.clone(),
        held: Epoch(1),
        found: Epoch(2),
    };
    assert_eq!(block_on(barrier), Err(fenced));
    assert_eq!(wait_for(&journal, |health| !fails(health)), Health::Good);
    assert_eq!(other.all_records(&run).unwrap().len(), 1);
}

#[test]
fn j4_one_run_that_storage_will_never_take_does_not_stop_the_others() {
    let stage = Stage::sqlite();
    let (run, mut writer) = stage.run(1);
    let (_, mut other) = stage.run(2);
    // A row that the table refuses can only come from a fault of ours or another program's: here, from an index that somebody added.
    shell(&database(&stage))
        .execute_batch("create unique index one_of_each on entries (run, kind)")
        .unwrap();
    writer
        .append(vec![
            entry(1, called(0, json("1"))),
            entry(2, returned(0, json("1"))),
            entry(3, called(1, json("1"))),
        ])
        .unwrap();
    append(&mut other, [entry(1, called(0, json("1")))]).unwrap();
    let refused = block_on(writer.flush()).unwrap_err();
    assert!(
        matches!(&refused, AppendError::Refused { reason, .. } if reason.contains("UNIQUE")),
        "{refused}"
    );
    assert_eq!(
        stage.journal.run(&run).unwrap().entries,
        1,
        "all of an append or nothing"
    );
    append(&mut other, [entry(2, returned(0, json("1")))]).unwrap();
}

#[test]
fn a_database_that_was_deleted_is_not_written_to_as_if_it_were_there() {
    let (stage, journal) = hasty();
    let (_, mut writer) = stage.run(1);
    std::fs::remove_file(database(&stage)).unwrap();
    writer.append(vec![entry(1, called(0, json("1")))]).unwrap();
    let barrier = writer.barrier(Seq(1));
    let Health::Failing { message, .. } = wait_for(&journal, fails) else {
        panic!("it fails")
    };
    assert!(message.contains("was moved or deleted"), "{message}");
    drop((journal, stage.journal));
    assert_eq!(block_on(barrier), Err(AppendError::Closed { run: run_id(1) }));
    assert_eq!(
        writer.append(vec![entry(2, done())]),
        Err(AppendError::Closed { run: run_id(1) })
    );
}

#[test]
fn j6_another_process_gets_its_turn_while_runs_write_as_fast_as_they_can() {
    let stage = Stage::sqlite();
    let other = open_again(&stage);
    let mailed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for n in 1..=4 {
            let (_, mut writer) = stage.run(n);
            let mailed = &mailed;
            scope.spawn(move || {
                for number in 0.. {
                    append(&mut writer, [entry(number + 1, called(number, json("1")))]).unwrap();
                    if mailed.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        for _ in 0..20 {
            other
                .post_mail(&run_id(1), at(1), &Command::Cancel { reason: None })
                .unwrap();
        }
        mailed.store(true, Ordering::Relaxed);
    });
    assert_eq!(stage.journal.mail(&run_id(1)).unwrap().len(), 20);
}

#[test]
fn j1_what_nobody_waits_for_is_written_after_a_while() {
    let stage = Stage::sqlite();
    let (run, mut writer) = stage.run(1);
    let version = || stage.journal.data_version().unwrap();
    let before = version();
    writer.append(vec![entry(1, called(0, json("1")))]).unwrap();
    while stage.journal.run(&run).unwrap().entries == 1 {
        std::thread::yield_now();
    }
    assert_ne!(version(), before);
    // Others see it a moment before its writer is told.
    block_on(writer.barrier(Seq(1))).unwrap();
}

#[test]
fn j1_many_writes_that_nobody_waits_for_do_not_pile_up() {
    let stage = Stage::sqlite();
    let (run, mut writer) = stage.run(1);
    for n in 0..20_000 {
        writer.append(vec![entry(n + 1, called(n, json("1")))]).unwrap();
    }
    block_on(writer.flush()).unwrap();
    assert_eq!(stage.journal.run(&run).unwrap().entries, 20_001);
    assert_eq!(stage.journal.records(&run, Seq(19_990), usize::MAX).unwrap().len(), 11);
}

#[test]
fn put_bundles_survive_a_second_process_putting_the_same() {
    let stage = Stage::sqlite();
    let journals = [open_again(&stage), open_again(&stage)];
    let files = [("skill.wasm", "the same code"), ("SKILL.md", "the same words")];
    let digests = std::thread::scope(|scope| {
        let puts = journals
            .each_ref()
            .map(|journal| scope.spawn(|| put_bundle(journal, &files, at(1))));
        puts.map(|put| put.join().unwrap())
    });
    assert_eq!(digests[0], digests[1]);
    assert_eq!(stage.journal.bundle(&digests[0]).unwrap().unwrap().files().len(), 2);
}

#[test]
fn pruning_that_storage_stops_half_way_says_what_is_gone_and_why_the_rest_is_not() {
    const RUNS: u64 = 45;
    let stage = Stage::sqlite();
    for n in 1..=RUNS {
        append(&mut stage.run(n).1, [entry(1, done())]).unwrap();
    }
    shell(&database(&stage))
        .execute_batch(&format!(
            "create trigger guard before delete on runs when old.id = '{}' begin select raise(abort, 'not this one'); end",
            run_id(30)
        ))
        .unwrap();
    let pruned = stage.journal.prune(at(1_000_000), &[Status::Done]).unwrap();
    assert_eq!(pruned.runs.len(), 20, "the first transaction's");
    let stopped = pruned.stopped.unwrap();
    let JournalError::Storage { source, .. } = &stopped else {
        panic!("{stopped}")
    };
    assert!(source.to_string().contains("not this one"), "{source}");
    let left = stage.journal.runs(&RunFilter::default()).unwrap();
    assert_eq!(left.len(), 25, "of the second, none");
}
