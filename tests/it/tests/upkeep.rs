//! Upkeep of a state folder: old runs go with all that was theirs, whoever is killed meanwhile; and a backup that is taken while runs go on becomes a state folder in which they end as
//! they would have.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use skillhost_core::id::RunId;
use skillhost_core::machine::Status;
use skillhost_it::{Place, Seeded, result_of, told, was_killed};
use skillhost_journal::{Journal as _, RunFilter, SqliteJournal};
use skillhost_loopback::{Behaviour, Rule};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

/// How many backups are taken under load, and of how many runs.
const BACKUPS: usize = 4;
const RUNS: usize = 6;

fn run_id(envelope: &Value) -> RunId {
    RunId::parse(envelope["run_id"].as_str().unwrap()).unwrap()
}

fn launch_here(place: &Place, words: &[&str]) -> RunId {
    let output = place.run(&[&["launch", "--here", "--json", "--await"], words].concat());
    result_of(&output);
    run_id(&serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn what_is_pruned_leaves_the_disk_and_what_is_still_needed_stays() {
    let place = Place::new(PROGRAM, &["converses", "waits"]);
    let waiting = run_id(&place.any_json(&["launch", "--here", "waits"]));
    // What all of them say is another, or it would be kept once.
    for words in ["600", "601", "602"] {
        launch_here(&place, &["converses", "--turns", "40", "--words", words]);
    }
    let database = place.home().join("journal.db");
    place.journal().reclaim().unwrap();
    let full = std::fs::metadata(&database).unwrap().len();
    let pruned = place.json(&["prune", "--older-than", "0s", "--status", "done"]);
    assert_eq!(pruned["forgotten"].as_array().unwrap().len(), 3);
    let left = std::fs::metadata(&database).unwrap().len();
    // What is left is two components, as long as they may be about to be used.
    assert!(full - left > 300_000, "{full} bytes became {left}");
    assert_eq!(place.status_of(&waiting), "waiting");
    assert_eq!(place.journal().check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_prune_that_is_killed_anywhere_is_finished_by_the_next() {
    let points = [
        "journal.in-transaction:1",
        "journal.after-commit:1",
        "prune.forgotten",
        "prune.files-removed",
        "prune.removed",
    ];
    for point in points {
        let place = Place::new(PROGRAM, &["crash"]);
        let run = launch_here(&place, &["crash"]);
        let folder = place.home().join("runs").join(run.as_str());
        assert!(folder.join("notes.txt").exists());
        let words = ["prune", "--older-than", "0s"];
        let killed = place
            .command(&words)
            .env("SKILLHOST_FAILPOINT", point)
            .output()
            .unwrap();
        assert!(was_killed(&killed), "{point}: {}", told(&killed));
        let output = place.run(&words);
        assert!(output.status.success(), "{point}: {}", told(&output));
        assert!(!folder.exists(), "{point}: its files are gone");
        let journal = place.journal();
        assert!(journal.runs(&RunFilter::default()).unwrap().is_empty(), "{point}");
        assert!(journal.removed().unwrap().is_empty(), "{point}");
        assert_eq!(journal.check().unwrap(), Vec::<String>::new(), "{point}");
    }
}

/// A state folder beside that of the place.
struct Elsewhere<'a> {
    place: &'a Place,
    home: PathBuf,
}

impl Elsewhere<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.place.command(words);
        command.env("SKILLHOST_HOME", &self.home);
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn journal(&self) -> SqliteJournal {
        SqliteJournal::open(&self.home.join("journal.db")).unwrap()
    }
}

impl Drop for Elsewhere<'_> {
    fn drop(&mut self) {
        // A daemon that was started here must not outlive the test.
        drop(self.run(&["worker", "stop", "--force"]));
    }
}

/// Makes a state folder of a backup.
fn restore<'a>(place: &'a Place, backup: &Path, name: &str, options: &[&str]) -> (Elsewhere<'a>, Value) {
    let elsewhere = Elsewhere {
        place,
        home: place.user_folder().join(name),
    };
    let output = elsewhere.run(&[&["restore", backup.to_str().unwrap(), "--json"], options].concat());
    assert!(output.status.success(), "{}", told(&output));
    (elsewhere, serde_json::from_slice(&output.stdout).unwrap())
}

fn files(home: &Path, run: &RunId) -> Vec<(PathBuf, Vec<u8>)> {
    fn collect(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => collect(&path, files),
                false => files.push((path.clone(), std::fs::read(&path).unwrap())),
            }
        }
    }
    let folder = home.join("runs").join(run.as_str());
    let mut found = Vec::new();
    collect(&folder, &mut found);
    for (path, _) in &mut found {
        *path = path.strip_prefix(&folder).unwrap().to_owned();
    }
    found.sort();
    found
}

#[test]
fn a_backup_that_is_taken_while_the_daemon_works_becomes_a_state_in_which_every_run_ends_as_it_would_have() {
    let place = Place::new(PROGRAM, &["crash"]);
    let ids: Vec<String> = (0..RUNS).map(|n| format!("run-{n}")).collect();
    for (n, id) in ids.iter().enumerate() {
        place.json(&["launch", "crash", "--id", id, "--prefix", &format!("{n} ")]);
    }
    let backups: Vec<PathBuf> = (0..BACKUPS)
        .map(|n| {
            // Each when more of it is done.
            let asked = || place.server.counts().requests.values().sum::<u64>();
            place.until(|| asked() >= (n * 20) as u64);
            let file = place.user_folder().join(format!("{n}.backup"));
            let told = place.json(&["backup", file.to_str().unwrap()]);
            assert_eq!(told["path"], file.to_str().unwrap());
            file
        })
        .collect();
    let here: Vec<Value> = ids.iter().map(|id| place.json(&["wait", id])).collect();
    let mut unfinished = 0;
    for (n, backup) in backups.iter().enumerate() {
        let (elsewhere, restored) = restore(&place, backup, &format!("home-{n}"), &["--go-on"]);
        unfinished += restored["unfinished"].as_array().unwrap().len();
        assert_eq!(elsewhere.journal().check().unwrap(), Vec::<String>::new());
        for (id, here) in ids.iter().zip(&here) {
            let output = elsewhere.run(&["resume", id, "--await", "--json"]);
            let there = match output.status.success() {
                true => output,
                // It was over when the backup was taken.
                false => elsewhere.run(&["wait", id, "--json"]),
            };
            assert_eq!(
                result_of(&there),
                here["result"],
                "{id} of backup {n}: {}",
                told(&there)
            );
            let run = run_id(here);
            assert_eq!(
                files(&elsewhere.home, &run),
                files(&place.home(), &run),
                "{id} of backup {n}"
            );
        }
    }
    assert!(unfinished > 0, "some were not over when a backup was taken");
}

#[test]
fn r4_what_may_have_been_done_after_a_backup_is_not_done_again_before_a_person_says_so() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.server.rule(Rule::of(Behaviour::Echo).held());
    let run = run_id(&place.json(&["launch", "steps", "--n", "3"]));
    place.until(|| place.server.counts().requests.values().sum::<u64>() == 1);
    let file = place.user_folder().join("early.backup");
    place.json(&["backup", file.to_str().unwrap()]);
    place.server.clear_rules();
    place.server.release();
    let here = place.json(&["wait", run.as_str()]);
    let asked = || place.server.counts().requests.values().sum::<u64>();
    let before = asked();
    let (elsewhere, restored) = restore(&place, &file, "restored", &[]);
    assert_eq!(restored["unfinished"][0], run.as_str());
    assert_eq!(elsewhere.journal().run(&run).unwrap().status, Status::Paused);
    let status = String::from_utf8(elsewhere.run(&["doctor"]).stdout).unwrap();
    assert!(status.contains("restored from a backup"), "{status}");
    assert_eq!(asked(), before, "nothing was asked again");
    let again = elsewhere.run(&["resume", run.as_str(), "--await", "--json"]);
    assert_eq!(result_of(&again), here["result"]);
    let status = String::from_utf8(elsewhere.run(&["doctor"]).stdout).unwrap();
    assert!(!status.contains("restored from a backup"), "{status}");
}

#[test]
fn a_state_that_is_in_use_is_not_restored_over_and_one_that_was_cut_short_is_begun_anew() {
    let place = Place::new(PROGRAM, &["crash"]);
    let run = launch_here(&place, &["crash"]);
    std::fs::write(place.home().join("keys.toml"), "anthropic = \"not for everybody\"\n").unwrap();
    let file = place.user_folder().join("all.backup");
    let words = ["backup", file.to_str().unwrap()];
    place.json(&words);
    let twice = place.any_json(&words);
    assert_eq!(twice["error"]["code"], "backup_exists");
    let over = place.any_json(&["restore", file.to_str().unwrap()]);
    assert_eq!(over["error"]["code"], "state_in_use");
    for point in ["restore.before-files", "restore.before-database"] {
        let elsewhere = Elsewhere {
            place: &place,
            home: place.user_folder().join(point),
        };
        let words = ["restore", file.to_str().unwrap(), "--json"];
        let killed = elsewhere
            .command(&words)
            .env("SKILLHOST_FAILPOINT", point)
            .output()
            .unwrap();
        assert!(was_killed(&killed), "{point}: {}", told(&killed));
        assert!(
            !elsewhere.home.join("journal.db").exists(),
            "{point}: there is none before all of it is there"
        );
        let output = elsewhere.run(&words);
        assert!(output.status.success(), "{point}: {}", told(&output));
        assert_eq!(files(&elsewhere.home, &run), files(&place.home(), &run), "{point}");
        assert!(!elsewhere.home.join("keys.toml").exists(), "keys are not in it");
        assert!(!elsewhere.home.join("restoring").exists());
    }
    // A byte of it is another.
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let bad = place.user_folder().join("bad.backup");
    std::fs::write(&bad, bytes).unwrap();
    let elsewhere = Elsewhere {
        place: &place,
        home: place.user_folder().join("bad"),
    };
    let refused = elsewhere.run(&["restore", bad.to_str().unwrap(), "--json"]);
    let refused: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(refused["error"]["code"], "bad_backup", "{refused}");
    assert!(!elsewhere.home.join("journal.db").exists());
}

#[test]
fn a_backup_is_whole_or_not_there() {
    let place = Place::new(PROGRAM, &["crash"]);
    launch_here(&place, &["crash"]);
    let mut chance = Seeded::new(7);
    for n in 0..6 {
        let file = place.user_folder().join(format!("{n}.backup"));
        let mut child = place.command(&["backup", file.to_str().unwrap()]).spawn().unwrap();
        // At any moment of it: how far it is then, nobody asserts.
        for _ in 0..chance.below(400) {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if file.exists() {
            restore(&place, &file, &format!("whole-{n}"), &[]);
        }
    }
    let file = place.user_folder().join("last.backup");
    place.json(&["backup", file.to_str().unwrap()]);
    restore(&place, &file, "last", &[]);
}
