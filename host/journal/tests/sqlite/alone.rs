//! A run that is alone commits its own writes; nobody else notices.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::executor::block_on;
use skillhost_core::id::{RunId, Seq};
use skillhost_journal::{Health, Journal, RunWriter, Settings, SqliteJournal};

use crate::support::{Stage, called, done, entry, json, returned};
use crate::{database, shell};

/// After so many commits it is known that a run is alone.
const COMMITS: u64 = 10;

/// A run that was alone for a while, and the place of its next entry.
fn alone(stage: &Stage) -> (RunId, RunWriter, u64) {
    let (run, mut writer) = stage.run(1);
    for number in 0..COMMITS {
        call(&mut writer, number);
        block_on(writer.barrier(Seq(1 + 2 * number))).unwrap();
    }
    (run, writer, 1 + 2 * COMMITS)
}

/// Appends a call, and its outcome behind it.
fn call(writer: &mut RunWriter, number: u64) {
    let seq = 1 + 2 * number;
    writer.append(vec![entry(seq, called(number, json("1")))]).unwrap();
    writer
        .append(vec![entry(seq + 1, returned(number, json("2")))])
        .unwrap();
}

/// A journal that waits for others for as long as it takes.
fn patient() -> (Stage, SqliteJournal) {
    let mut stage = Stage::sqlite();
    let settings = Settings {
        busy: Duration::from_secs(3_600),
        ..Settings::default()
    };
    let journal = SqliteJournal::open_with(&database(&stage), settings).unwrap();
    stage.journal = Arc::new(journal.clone());
    (stage, journal)
}

#[test]
fn what_a_run_writes_that_is_alone_is_durable_when_it_has_asked() {
    let stage = Stage::sqlite();
    let (run, mut writer, next) = alone(&stage);
    // The thread takes what lay there for long, and a slow machine may let it.
    let at_once = (0..100).filter(|more| {
        writer
            .append(vec![entry(next + more, called(COMMITS + more, json("1")))])
            .unwrap();
        let barrier = writer.barrier(Seq(next + more));
        let is_durable = writer.durable() == Some(Seq(next + more));
        block_on(barrier).unwrap();
        is_durable
    });
    assert_ne!(at_once.count(), 0);
    assert_eq!(stage.journal.all_records(&run).unwrap().len() as u64, next + 100);
}

#[test]
fn runs_that_come_and_go_all_have_what_they_wrote() {
    let stage = Stage::sqlite();
    let writers: Vec<_> = (1..=4).map(|n| stage.run(n)).collect();
    std::thread::scope(|scope| {
        for (_, mut writer) in writers {
            scope.spawn(move || {
                for number in 0..200 {
                    call(&mut writer, number);
                    block_on(writer.barrier(Seq(1 + 2 * number))).unwrap();
                }
                block_on(writer.flush()).unwrap();
            });
        }
    });
    for n in 1..=4 {
        let records = stage.journal.all_records(&crate::support::run_id(n)).unwrap();
        assert_eq!(records.len(), 401);
    }
}

#[test]
fn j4_a_run_that_is_alone_does_not_wait_itself_for_a_program_that_locks_the_database() {
    let (stage, _) = patient();
    let (run, mut writer, next) = alone(&stage);
    let browser = shell(&database(&stage));
    browser.execute_batch("begin immediate").unwrap();
    writer.append(vec![entry(next, called(COMMITS, json("1")))]).unwrap();
    // Whoever waited here would keep the lock from ever being let go.
    let mut barrier = Box::pin(writer.barrier(Seq(next)));
    assert_eq!(barrier.as_mut().now_or_never(), None);
    browser.execute_batch("rollback").unwrap();
    block_on(barrier).unwrap();
    assert_eq!(stage.journal.all_records(&run).unwrap().len() as u64, next + 1);
}

#[test]
fn j4_what_a_full_disk_refuses_a_run_that_is_alone_is_kept_and_written_in_order() {
    let (stage, journal) = patient();
    let (run, mut writer, next) = alone(&stage);
    journal.limit_bytes(1);
    let noise = (0..40_000).map(|n| skillhost_core::retry::chance("noise", n).to_string());
    let large = json(&format!("\"{}\"", noise.collect::<String>()));
    writer.append(vec![entry(next, called(COMMITS, large))]).unwrap();
    let barrier = writer.barrier(Seq(next));
    let is_failing = |health: &Health| matches!(health, Health::Failing { .. });
    block_on(journal.health().wait_for(is_failing)).unwrap();
    writer.append(vec![entry(next + 1, done())]).unwrap();
    journal.limit_bytes(1 << 30);
    block_on(barrier).unwrap();
    block_on(writer.barrier(Seq(next + 1))).unwrap();
    assert_eq!(stage.journal.all_records(&run).unwrap().len() as u64, next + 2);
}
