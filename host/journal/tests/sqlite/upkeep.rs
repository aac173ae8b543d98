//! Upkeep: space is given back, contents that are needed stay, and a copy is of one moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use skillhost_core::entry::Entry;
use skillhost_core::id::{Epoch, Seq};
use skillhost_core::machine::Status;
use skillhost_core::payload::Payload;
use skillhost_journal::{Journal, JournalError, NewRun, RunFilter, SqliteJournal, Taken};

use crate::support::{Stage, append, at, called, done, entry, json, put_bundle, returned, run_id, started, worker};
use crate::{database, open_again, shell};

/// A payload that compression hardly makes shorter, another for each number.
fn noise(number: u64) -> Payload {
    let noise = (0..3_000).map(|n| skillhost_core::retry::chance(&format!("noise {number}"), n).to_string());
    json(&format!("\"{}\"", noise.collect::<String>()))
}

fn file_bytes(stage: &Stage) -> u64 {
    std::fs::metadata(database(stage)).unwrap().len()
}

/// Makes runs that are over, with so much in each.
fn fill(stage: &Stage, runs: std::ops::RangeInclusive<u64>) {
    for n in runs {
        let (_, mut writer) = stage.run(n);
        let entries = [called(0, noise(n)), returned(0, noise(n + 1_000)), done()];
        append(
            &mut writer,
            entries.into_iter().zip(1..).map(|(one, seq)| entry(seq, one)),
        )
        .unwrap();
    }
}

#[test]
fn what_was_removed_is_given_back_to_the_disk_while_others_write() {
    let stage = Stage::sqlite();
    fill(&stage, 1..=40);
    let journal = open_again(&stage);
    journal.reclaim().unwrap();
    let (full, space) = (file_bytes(&stage), journal.space().unwrap());
    assert_eq!(space.bytes, full, "the log is written back");
    // Another process has something to write all the while.
    let (run, mut writer) = stage.run(41);
    let pruned = journal.prune(at(1 << 30), &[Status::Done]).unwrap();
    assert_eq!(pruned.runs.len(), 40);
    assert_eq!(journal.removed().unwrap(), pruned.runs);
    journal.collect(at(0)).unwrap();
    append(&mut writer, [entry(1, called(0, noise(0)))]).unwrap();
    journal.reclaim().unwrap();
    append(&mut writer, [entry(2, returned(0, json("1")))]).unwrap();
    let left = file_bytes(&stage);
    assert!(left * 4 < full, "{full} bytes became {left}");
    assert!(journal.space().unwrap().free_bytes < 64 * 1_024);
    assert_eq!(journal.check().unwrap(), Vec::<String>::new());
    assert_eq!(journal.all_records(&run).unwrap().len(), 3);
    journal.forget_removed(&pruned.runs).unwrap();
    assert!(journal.removed().unwrap().is_empty());
}

#[test]
fn a_database_that_cannot_give_space_back_is_written_anew() {
    let stage = Stage::sqlite();
    // As they were made before.
    shell(&database(&stage))
        .execute_batch("pragma auto_vacuum = none; vacuum")
        .unwrap();
    fill(&stage, 1..=20);
    let journal = open_again(&stage);
    assert!(!journal.is_reclaimable().unwrap());
    journal.prune(at(1 << 30), &[Status::Done]).unwrap();
    journal.collect(at(0)).unwrap();
    let full = journal.space().unwrap();
    assert!(full.free_bytes > full.bytes / 2, "{full:?}");
    journal.rewrite().unwrap();
    assert!(file_bytes(&stage) * 2 < full.bytes);
    assert_eq!(journal.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_content_that_a_run_begins_with_at_that_moment_is_not_collected() {
    let stage = Stage::sqlite();
    let collecting = open_again(&stage);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    // Everything that nobody needs goes at once, by another process.
    let collector = std::thread::spawn(move || {
        let mut rounds = 0;
        while !stopped.load(Ordering::Relaxed) {
            collecting.prune(at(1 << 30), &[Status::Done]).unwrap();
            collecting.collect(at(1 << 30)).unwrap();
            rounds += 1;
        }
        rounds
    });
    let conversation = |n: u64| json(&format!("{{\"messages\":[{},{}]}}", noise(7), noise(n % 3)));
    let mut kept = Vec::new();
    for n in 1..=60 {
        // What the bundle consists of may be gone as soon as it is put: then it is put again.
        let new = loop {
            let bundle = put_bundle(stage.journal.as_ref(), &[("skill.wasm", "code")], at(n));
            let new = NewRun::first(started(n, bundle), at(1), None);
            match stage.journal.create_run(new.clone()) {
                Ok(_) => break new,
                Err(JournalError::NoBundle { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        };
        let run = new.started.run;
        let seen = stage.journal.lease(&run).unwrap();
        assert_eq!(
            stage.journal.claim(&run, &worker("w"), &seen).unwrap(),
            Taken::At(Epoch(1))
        );
        let mut writer = stage.journal.writer(&run, Epoch(1), Seq(1));
        // The same contents again and again, each time of a run that may be forgotten at once.
        let entries = [called(0, conversation(n)), returned(0, noise(n % 3))];
        append(
            &mut writer,
            entries.into_iter().zip(1..).map(|(one, seq)| entry(seq, one)),
        )
        .unwrap();
        match n % 2 {
            0 => append(&mut writer, [entry(3, done())]).unwrap(),
            _ => kept.push((run, n)),
        }
    }
    stop.store(true, Ordering::Relaxed);
    assert!(collector.join().unwrap() > 1);
    for (run, n) in kept {
        let records = stage.journal.all_records(&run).unwrap();
        let Entry::Called(call) = &records[1].entry else {
            panic!()
        };
        assert_eq!(call.request, conversation(n));
        let Entry::Started(started) = &records[0].entry else {
            panic!()
        };
        assert!(stage.journal.bundle(&started.bundle).unwrap().is_some());
    }
    assert_eq!(open_again(&stage).check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_copy_is_of_one_moment_whoever_writes_meanwhile() {
    let stage = Stage::sqlite();
    fill(&stage, 1..=20);
    let (stop, stopped) = mpsc::channel::<()>();
    let writing = open_again(&stage);
    let (run, _) = stage.run(100);
    let seen = writing.lease(&run).unwrap();
    let Taken::At(epoch) = writing.claim(&run, &worker("other"), &seen).unwrap() else {
        panic!("nobody holds it")
    };
    let copied = run.clone();
    let thread = std::thread::spawn(move || {
        let mut writer = writing.writer(&run, epoch, Seq(1));
        let mut number = 0;
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            // Both or none are in a copy.
            let two = [called(number, noise(number)), returned(number, json("1"))];
            append(
                &mut writer,
                two.into_iter().zip(2 * number + 1..).map(|(one, seq)| entry(seq, one)),
            )
            .unwrap();
            number += 1;
        }
        number
    });
    let folder = tempfile::tempdir().unwrap();
    let journal = open_again(&stage);
    let mut lengths = Vec::new();
    for n in 0..10 {
        let path = folder.path().join(format!("{n}.db"));
        let mut told = (0, 0);
        journal.copy_to(&path, &mut |done, all| told = (done, all)).unwrap();
        assert_eq!(told.0, told.1, "all of it was copied");
        let copy = SqliteJournal::open(&path).unwrap();
        assert_eq!(copy.check().unwrap(), Vec::<String>::new());
        assert_eq!(copy.runs(&RunFilter::default()).unwrap().len(), 21);
        let records = copy.all_records(&copied).unwrap();
        assert_eq!(records.len() % 2, 1, "{} entries", records.len());
        lengths.push(records.len());
        copy.settle_copy(true).unwrap();
        let row = copy.run(&copied).unwrap();
        assert_eq!((row.status, row.holder), (Status::Paused, None));
        assert_eq!(copy.run(&run_id(1)).unwrap().status, Status::Done);
    }
    stop.send(()).unwrap();
    let written = thread.join().unwrap();
    assert!(lengths.is_sorted());
    assert!(written > 10, "it was written to all the while: {lengths:?}");
}
