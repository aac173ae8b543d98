//! What goes wrong around the daemon: a disk that is full, a state folder that is gone or may not be written, a clock that was set back. Nothing is lost, somebody says what is
//! wrong, and everything goes on when it is over.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use skillhost_core::entry::Entry;
use skillhost_core::id::{LaunchId, RunId, Seq};
use skillhost_core::time::Timestamp;
use skillhost_it::{Place, told};
use skillhost_journal::{Journal as _, NewRun};
use skillhost_loopback::{Behaviour, Rule};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

const STORAGE: i32 = 60;

/// As who a test runs that must not be allowed everything.
const NOBODY: u32 = 65_534;

fn run_id(envelope: &Value) -> RunId {
    RunId::parse(envelope["run_id"].as_str().unwrap()).unwrap()
}

fn asked(place: &Place) -> u64 {
    place.server.counts().requests.values().sum()
}

/// Returns what the daemon wrote into its logs.
fn logged(place: &Place) -> String {
    let logs = std::fs::read_dir(place.home().join("logs")).unwrap();
    logs.map(|log| std::fs::read_to_string(log.unwrap().path()).unwrap())
        .collect()
}

/// Starts a daemon that is in trouble while the file is there that this returns.
fn daemon_in_trouble(place: &Place, which: &str) -> PathBuf {
    let trouble = place.home().with_extension("trouble");
    let mut start = place.command(&["worker", "start"]);
    let started = start.env(which, &trouble).output().unwrap();
    assert!(started.status.success(), "{}", told(&started));
    trouble
}

/// The disk is full.
const FULL: &str = "SKILLHOST_FAILPOINT_FULL";

/// No mailbox can be read.
const UNREADABLE: &str = "SKILLHOST_FAILPOINT_UNREADABLE";

#[test]
fn j4_a_run_whose_disk_is_full_loses_nothing_and_goes_on_when_there_is_room() {
    let place = Place::new(PROGRAM, &["steps"]);
    let full = daemon_in_trouble(&place, FULL);
    place.server.rule(Rule::of(Behaviour::Echo).held());
    let run = run_id(&place.json(&["launch", "steps", "--id", "it", "--n", "3"]));
    place.until(|| asked(&place) == 1);
    std::fs::write(&full, "").unwrap();
    place.server.clear_rules();
    place.server.release();
    // The answer came, and cannot be written down.
    place.until(|| logged(&place).contains("database or disk is full; free some space"));
    assert_eq!(asked(&place), 1, "nothing is done whose call is not durable (J1)");
    assert_eq!(place.status_of(&run), "running");
    std::fs::remove_file(&full).unwrap();
    assert_eq!(place.json(&["wait", "it"])["result"]["steps"], 3);
    assert_eq!(
        asked(&place),
        3,
        "what was answered while the disk was full is not asked again"
    );
}

#[test]
fn a_run_that_cannot_even_be_parked_is_tried_again_until_there_is_room() {
    let place = Place::new(PROGRAM, &["steps"]);
    let full = daemon_in_trouble(&place, FULL);
    std::fs::write(&full, "").unwrap();
    let run = run_id(&place.json(&["launch", "steps", "--id", "it", "--n", "1"]));
    place.until(|| logged(&place).contains("could not be parked"));
    assert_eq!(place.status_of(&run), "running");
    std::fs::remove_file(&full).unwrap();
    // Nothing else is asked of the daemon, and nothing else changes the journal.
    place.until(|| place.status_of(&run) == "done");
}

#[test]
fn a_state_folder_that_is_removed_under_a_run_ends_its_daemon() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.server.rule(Rule::of(Behaviour::Echo).held());
    place.json(&["launch", "steps", "--n", "2"]);
    place.until(|| asked(&place) == 1);
    let pid = place.daemon_pid().unwrap();
    std::fs::remove_dir_all(place.home()).unwrap();
    place.server.clear_rules();
    place.server.release();
    place.until(|| rustix::process::test_kill_process(pid).is_err());
    assert!(!place.home().join("journal.db").exists(), "it does not come back empty");
}

#[test]
fn a_run_of_a_time_to_come_is_driven_although_the_clock_was_set_back() {
    const DAY: u64 = 86_400_000_000;
    let place = Place::new(PROGRAM, &["steps"]);
    let first = run_id(&place.json(&["launch", "steps", "--n", "1", "--await"]));
    let journal = place.journal();
    let Entry::Started(started) = &journal.records(&first, Seq(0), 1).unwrap()[0].entry else {
        panic!("a journal begins with `started`")
    };
    // The clock showed tomorrow when it was launched, and whoever launched it died before he told the daemon.
    let run = RunId::parse(&ulid::Ulid::generate().to_string().to_ascii_lowercase()).unwrap();
    let mut started = (**started).clone();
    started.launch = LaunchId::parse(run.as_str()).unwrap();
    started.run = run.clone();
    let tomorrow = Timestamp(skillhost::driver::now().0 + DAY);
    journal.create_run(NewRun::first(started, tomorrow, None)).unwrap();
    place.until(|| place.status_of(&run) == "done");
    let times: Vec<Timestamp> = place.records(&run).iter().map(|record| record.at).collect();
    let doctor = place.any_json(&["doctor"]);
    assert!(
        doctor.to_string().contains("it is behind: a run was launched at"),
        "{doctor}"
    );
    assert!(times.len() > 2);
}

/// Runs a command as somebody who is bound by the rights of files, which root is not.
fn as_anybody(place: &Place, words: &[&str]) -> std::process::Output {
    let mut command = place.command(words);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.output().unwrap()
}

fn give_away(path: &Path) {
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

#[test]
fn a_state_folder_that_may_not_be_written_is_told_of_and_used_again_when_it_may() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.state().make().unwrap();
    give_away(&place.home());
    let rights = |mode| std::fs::set_permissions(place.home(), std::fs::Permissions::from_mode(mode)).unwrap();
    rights(0o500);
    for words in [
        &["worker", "start", "--json"][..],
        &["launch", "steps", "--n", "1", "--json"],
    ] {
        let refused = as_anybody(&place, words);
        let envelope: Value = serde_json::from_slice(&refused.stdout).unwrap();
        assert_eq!(envelope["exit_code"], STORAGE, "{envelope}");
        assert!(envelope["error"].to_string().contains("ermission denied"), "{envelope}");
        assert!(envelope["error"]["hint"].is_string(), "{envelope}");
    }
    rights(0o700);
    let done = as_anybody(&place, &["launch", "steps", "--n", "1", "--await", "--json"]);
    assert!(done.status.success(), "{}", told(&done));
    let stopped = as_anybody(&place, &["worker", "stop"]);
    assert!(stopped.status.success(), "{}", told(&stopped));
}

#[test]
fn a_mailbox_that_cannot_be_read_is_looked_into_again_and_ends_no_attempt() {
    let place = Place::new(PROGRAM, &["waits"]);
    let unreadable = daemon_in_trouble(&place, UNREADABLE);
    let run = run_id(&place.json(&["launch", "waits", "--id", "it"]));
    place.until(|| place.status_of(&run) == "waiting");
    let epoch = place.journal().run(&run).unwrap().epoch;
    std::fs::write(&unreadable, "").unwrap();
    place.json(&["signal", "it", "go"]);
    place.until(|| logged(&place).contains("could not look into a mailbox"));
    std::fs::remove_file(&unreadable).unwrap();
    place.until(|| place.status_of(&run) == "done");
    assert_eq!(place.journal().run(&run).unwrap().epoch, epoch, "it is one attempt");
}
