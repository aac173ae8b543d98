//! Processes that are killed at every place of the writer: what was told to be durable is there, and exactly a prefix of the rest.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use futures::executor::block_on;
use skillhost_core::id::{LaunchId, Number, Seq};
use skillhost_core::machine::{Local, Source, Write};
use skillhost_journal::{Created, InboxFilter, Journal, NewRun, SqliteJournal, failpoint};

use crate::support::{at, called, done, entry, json, put_bundle, run_id, started, worker};

const FOLDER: &str = "SKILLHOST_JOURNAL_CRASH_TEST";
const CALLS: u64 = 6;

/// The process that is killed. As a test of its own it does nothing.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    drive(Path::new(&folder));
}

/// Drives the run to its end from wherever it stands, and notes each entry that was told to be durable.
fn drive(folder: &Path) {
    let journal = SqliteJournal::open(&folder.join("journal.db")).unwrap();
    let bundle = put_bundle(&journal, &[("skill.wasm", "code")], at(0));
    let run = run_id(1);
    let created = journal
        .create_run(NewRun::first(started(1, bundle), at(1), None))
        .unwrap();
    assert!(
        created == Created::New
            || journal
                .find_run(LaunchId::parse(run.as_str()).unwrap().as_str())
                .is_ok()
    );
    // One letter for each: a file that is written anew could be met empty.
    let mut told = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("told"))
        .unwrap();
    let seen = journal.lease(&run).unwrap();
    journal.claim(&run, &worker("w"), &seen).unwrap();
    let next = Seq(journal.run(&run).unwrap().entries);
    let mut writer = journal.writer(&run, seen.epoch.next(), next);
    for seq in next.0..=CALLS {
        let number = Number(seq);
        let post = Local::Post {
            source: Source::Message(number),
            at: at(seq),
            title: seq.to_string(),
            body: String::new(),
            attachments: Vec::new(),
        };
        let long = json(&format!("\"{}\"", "x".repeat(1_000 * seq as usize)));
        writer
            .append(vec![entry(seq, called(seq, long)), Write::Local(post)])
            .unwrap();
        block_on(writer.barrier(Seq(seq))).unwrap();
        told.write_all(b".").unwrap();
    }
    if next.0 <= CALLS + 1 {
        writer.append(vec![entry(CALLS + 1, done())]).unwrap();
        block_on(writer.flush()).unwrap();
    }
}

fn run_child(folder: &Path, failpoint: Option<&str>) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "crash::child", "--nocapture"])
        .env(FOLDER, folder);
    child.env("SKILLHOST_FAILPOINT_LOG", folder.join("passed"));
    if let Some(failpoint) = failpoint {
        child.env("SKILLHOST_FAILPOINT", failpoint);
    }
    child.output().unwrap().status.success()
}

#[test]
fn a_process_killed_at_any_place_loses_nothing_that_was_told_and_the_next_goes_on() {
    let undisturbed = tempfile::tempdir().unwrap();
    assert!(run_child(undisturbed.path(), None));
    let passed = fs::read_to_string(undisturbed.path().join("passed")).unwrap();
    for point in failpoint::POINTS.iter().map(|place| place.name()) {
        let times = passed.lines().filter(|name| *name == point).count();
        assert!(times as u64 >= CALLS, "`{point}` is passed {times} times");
        for hit in 1..=times {
            killed_at(&format!("{point}:{hit}"));
        }
    }
}

fn killed_at(failpoint: &str) {
    let folder = tempfile::tempdir().unwrap();
    let survived = run_child(folder.path(), Some(failpoint));
    // The thread may pile two commits of before into one, so that the last hit is not reached.
    let told = fs::metadata(folder.path().join("told")).map(|file| file.len());
    let journal = SqliteJournal::open(&folder.path().join("journal.db")).unwrap();
    if let Ok(told) = told {
        let records = journal.all_records(&run_id(1)).unwrap();
        assert!(
            records.len() as u64 > told,
            "{failpoint}: entry {told} was told to be durable"
        );
        let calls = records.iter().filter(|record| record.entry.kind() == "called").count();
        let posted = journal.inbox(&InboxFilter::default()).unwrap().len();
        assert_eq!(posted, calls, "{failpoint}: a post is in the transaction of its entry");
    }
    drop(journal);
    assert!(
        survived || run_child(folder.path(), None),
        "{failpoint}: the next process goes on"
    );
    let journal = SqliteJournal::open(&folder.path().join("journal.db")).unwrap();
    let kinds: Vec<_> = journal
        .all_records(&run_id(1))
        .unwrap()
        .iter()
        .map(|record| record.entry.kind())
        .collect();
    assert_eq!(kinds.len() as u64, CALLS + 2, "{failpoint}");
    assert_eq!(kinds.last(), Some(&"finished"), "{failpoint}");
    assert_eq!(
        journal.inbox(&InboxFilter::default()).unwrap().len() as u64,
        CALLS,
        "{failpoint}"
    );
}
