//! What is installed changes while the daemon lives: the next run uses it, runs in progress stay on theirs, and what cannot be used leaves the last that could be in use.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use skillhost::digest_cache::Found;
use skillhost_core::entry::Entry;
use skillhost_core::id::{Digest, LaunchId, RunId, Seq, SignalName};
use skillhost_core::machine::{Command as Told, Machine, Status};
use skillhost_core::payload::Payload;
use skillhost_it::{Place, guests, told};
use skillhost_journal::{Journal as _, NewRun, RunFilter, RunRow};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

const INVALID: i32 = 10;

/// A component of the same behaviour and another digest: it has a section that nobody reads.
fn variant(component: &str, number: u8) -> Vec<u8> {
    let mut bytes = fs::read(guests().component(component)).unwrap();
    bytes.extend([0, 3, 1, b'v', number]);
    bytes
}

fn component_of(place: &Place, skill: &str) -> PathBuf {
    place.skills().join(skill).join("skill.wasm")
}

/// Puts a component there at once, as an editor or `skillhost install` does.
fn drop_in(place: &Place, skill: &str, bytes: &[u8]) {
    let path = component_of(place, skill);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).unwrap();
    fs::rename(beside, path).unwrap();
}

/// `skills --watch --json`, and what it says.
struct Follower {
    child: Child,
    lines: BufReader<ChildStdout>,
    _notes: BufReader<ChildStderr>,
}

impl Follower {
    fn of(place: &Place) -> Self {
        let mut command = place.command(&["skills", "--watch", "--json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut notes = BufReader::new(child.stderr.take().unwrap());
        let mut note = String::new();
        notes.read_line(&mut note).unwrap();
        assert!(note.starts_with("following "), "{note}");
        Self {
            lines: BufReader::new(child.stdout.take().unwrap()),
            child,
            _notes: notes,
        }
    }

    /// Waits for what is told next.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }

    /// Waits for a change of a skill, and says that it is of this kind.
    fn expect(&mut self, change: &str, skill: &str) -> Value {
        let next = self.next();
        assert_eq!(
            (&next["change"], &next["skill"]),
            (&change.into(), &skill.into()),
            "{next}"
        );
        next
    }

    /// Waits until a skill is told to be installed with this component, whatever else is told until then.
    fn until(&mut self, place: &Place, component: &[u8]) {
        let digest = Digest::of(component);
        let journal = place.journal();
        loop {
            let next = self.next();
            let Some(bundle) = next["bundle"].as_str() else {
                continue;
            };
            let bundle = journal.bundle(&Digest::parse(bundle).unwrap()).unwrap().unwrap();
            if bundle.file("skill.wasm").unwrap().digest == digest {
                return;
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn launched(place: &Place, words: &[&str]) -> RunRow {
    let launched = place.any_json(&[&["launch"], words].concat());
    let run = launched["run_id"].as_str().unwrap_or_else(|| panic!("{launched}"));
    place.journal().run(&RunId::parse(run).unwrap()).unwrap()
}

#[test]
fn every_kind_of_change_is_told_and_used_by_the_next_run() {
    let place = Place::new(PROGRAM, &["steps"]);
    let mut follower = Follower::of(&place);
    let launch = || launched(&place, &["steps", "--n", "0", "--await"]);
    let before = launch();

    drop_in(&place, "steps", &variant("steps", 1));
    let renamed_over = follower.expect("changed", "steps");
    let row = launch();
    assert_ne!(row.component, before.component);
    assert_eq!(renamed_over["bundle"], row.bundle.to_string());

    // Written in place, in pieces, with time to look in between.
    let second = variant("steps", 2);
    fs::write(component_of(&place, "steps"), &second[..second.len() / 2]).unwrap();
    let half_written = follower.expect("broken", "steps");
    assert_eq!(half_written["used_instead"], row.bundle.to_string());
    let output = place.run(&["launch", "steps", "--n", "0", "--await"]);
    assert!(output.status.success(), "{}", told(&output));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot be used"), "{said}");
    assert_eq!(launch().bundle, row.bundle, "the last that could be used");
    let listed = &place.json(&["skills"])["skills"][0];
    assert_eq!(listed["ok"], false);
    assert!(listed["used_instead_since"].is_string(), "{listed}");
    let status = &place.json(&["worker", "status"])["daemon"]["following"];
    assert_eq!(status["broken"][0], "steps", "{status}");
    fs::write(component_of(&place, "steps"), &second).unwrap();
    follower.expect("mended", "steps");
    let row = launch();
    assert_eq!(row.component, Digest::of(&second));

    fs::create_dir(place.skills().join("steps/prompts")).unwrap();
    fs::write(place.skills().join("steps/prompts/a.md"), "one").unwrap();
    let prompt_only = follower.expect("changed", "steps");
    let other = launch();
    assert_eq!(prompt_only["bundle"], other.bundle.to_string());
    assert_eq!((row.component, row.bundle == other.bundle), (other.component, false));
    fs::write(place.skills().join("steps/prompts/a.md"), "two").unwrap();
    follower.expect("changed", "steps");

    fs::rename(place.skills().join("steps"), place.skills().join("strides")).unwrap();
    let mut moved = [follower.next(), follower.next()];
    moved.sort_by_key(|change| change["skill"].as_str().unwrap().to_owned());
    assert_eq!(
        (&moved[0]["change"], &moved[1]["change"]),
        (&"removed".into(), &"added".into())
    );
    assert_eq!(place.run(&["launch", "steps"]).status.code(), Some(INVALID));
    launched(&place, &["strides", "--n", "0", "--await"]);

    fs::remove_dir_all(place.skills().join("strides")).unwrap();
    follower.expect("removed", "strides");

    drop_in(&place, "fresh", b"no component");
    let never_good = follower.expect("broken", "fresh");
    assert_eq!(never_good["used_instead"], Value::Null);
    drop_in(&place, "fresh", &variant("steps", 3));
    follower.expect("mended", "fresh");
}

#[test]
fn a_folder_of_skills_that_comes_later_among_a_thousand_other_files_is_followed() {
    let place = Place::new(PROGRAM, &[]);
    let mut follower = Follower::of(&place);
    fs::create_dir(place.skills()).unwrap();
    for number in 0..1_000 {
        match number % 2 {
            0 => fs::write(place.skills().join(format!("{number}.txt")), "x").unwrap(),
            _ => {
                let folder = place.skills().join(format!("prose-{number}"));
                fs::create_dir(&folder).unwrap();
                fs::write(folder.join("SKILL.md"), "# prose").unwrap();
            }
        }
    }
    drop_in(&place, "steps", &variant("steps", 0));
    follower.expect("added", "steps");
    fs::remove_dir_all(place.skills()).unwrap();
    follower.expect("removed", "steps");
    drop_in(&place, "steps", &variant("steps", 0));
    follower.expect("added", "steps");
}

#[test]
fn what_changes_while_no_daemon_is_there_is_seen_by_a_launch_and_by_the_next_daemon() {
    let place = Place::new(PROGRAM, &["steps"]);
    let first = launched(&place, &["steps", "--here", "--n", "0"]);
    drop_in(&place, "steps", &variant("steps", 1));
    let second = launched(&place, &["steps", "--here", "--n", "0"]);
    assert_ne!(first.bundle, second.bundle);
    fs::write(component_of(&place, "steps"), "junk").unwrap();
    assert_eq!(launched(&place, &["steps", "--here", "--n", "0"]).bundle, second.bundle);
    place.json(&["worker", "start"]);
    place.until(|| place.json(&["worker", "status"])["daemon"]["following"]["broken"][0] == "steps");
    // The daemon dies under a follower: the next one tells what changed meanwhile.
    let mut follower = Follower::of(&place);
    place.kill_daemon();
    drop_in(&place, "steps", &variant("steps", 2));
    follower.expect("mended", "steps");
}

#[test]
fn a_component_that_is_as_it_was_is_not_read_and_what_is_not_true_of_it_is_found_out() {
    let place = Place::new(PROGRAM, &["steps"]);
    let launched = || launched(&place, &["steps", "--here", "--n", "0"]).component;
    let first = launched();
    drop_in(&place, "steps", &variant("steps", 1));
    let second = launched();
    assert_ne!(first, second);
    let folder = place.skills().join("steps");
    let name = Digest::of(folder.as_os_str().as_encoded_bytes()).short();
    let kept = place.state().digests().join(format!("{name}.json"));
    let believe = |digest: Digest| {
        let metadata = fs::metadata(component_of(&place, "steps")).unwrap();
        let files = json!({"skill.wasm": Found::new(&metadata, digest)});
        fs::create_dir_all(place.state().digests()).unwrap();
        fs::write(
            &kept,
            json!({"version": 1, "skill": folder, "files": files}).to_string(),
        )
        .unwrap();
    };
    // If it were read, it would be seen to be the second.
    believe(first);
    assert_eq!(launched(), first);
    believe(Digest::of(b"what nobody has"));
    assert_eq!(launched(), second);
    assert_eq!(launched(), second);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(place.run(&["launch", "steps", "--here"]).status.code(), Some(INVALID));
    assert!(!kept.exists());
}

#[test]
fn a_run_in_progress_goes_on_when_its_skill_is_removed() {
    let place = Place::new(PROGRAM, &["waits"]);
    let row = launched(&place, &["waits", "--id", "it"]);
    place.until(|| place.status_of(&row.run) == "waiting");
    fs::remove_dir_all(place.skills().join("waits")).unwrap();
    let output = place.run(&["launch", "waits"]);
    assert_eq!(output.status.code(), Some(INVALID), "{}", told(&output));
    // Also by a daemon that has to load it anew.
    place.kill_daemon();
    place.json(&["signal", "it", "go", "--input", "1"]);
    assert_eq!(place.json(&["wait", "it"])["result"]["came"][0], 1);
}

#[test]
fn bundles_that_are_installed_or_needed_outlive_a_prune_and_others_do_not() {
    let place = Place::new(PROGRAM, &["waits"]);
    let first = launched(&place, &["waits", "--here"]);
    drop_in(&place, "waits", &variant("waits", 1));
    let journal = place.journal();
    place.json(&["skills"]);
    let rows = journal.installed().unwrap();
    let second = rows[0].bundle;
    assert_ne!(first.bundle, second);
    fs::write(component_of(&place, "waits"), "junk").unwrap();
    place.json(&["skills"]);
    // As if all of it had been put there long ago.
    journal.collect(skillhost::driver::now()).unwrap();
    for bundle in [&first.bundle, &second] {
        assert!(journal.bundle(bundle).unwrap().is_some());
    }
    fs::remove_dir_all(place.skills().join("waits")).unwrap();
    place.json(&["prune"]);
    assert_eq!(journal.installed().unwrap(), []);
    journal.collect(skillhost::driver::now()).unwrap();
    assert!(journal.bundle(&second).unwrap().is_none());
    assert!(journal.bundle(&first.bundle).unwrap().is_some(), "the run needs it");
}

/// Makes more runs like one that was launched.
fn copies(place: &Place, row: &RunRow, count: usize) {
    let journal = place.journal();
    let records = journal.records(&row.run, Seq(0), 1).unwrap();
    let Entry::Started(started) = &records[0].entry else {
        panic!("a journal begins with `started`");
    };
    for _ in 0..count {
        let run = RunId::parse(&ulid::Ulid::generate().to_string().to_ascii_lowercase()).unwrap();
        let mut started = (**started).clone();
        started.launch = LaunchId::parse(run.as_str()).unwrap();
        started.run = run;
        journal.create_run(NewRun::first(started, records[0].at, None)).unwrap();
    }
}

#[test]
fn five_hundred_runs_in_progress_stay_on_their_component_while_it_is_replaced_twenty_times() {
    const VERSIONS: u8 = 20;
    const RUNS_OF_EACH: usize = 25;
    let place = Place::new(PROGRAM, &["waits"]);
    let mut follower = Follower::of(&place);
    let journal = place.journal();
    let mut components = Vec::new();
    for version in 0..VERSIONS {
        let bytes = variant("waits", version);
        drop_in(&place, "waits", &bytes);
        follower.until(&place, &bytes);
        let row = launched(&place, &["waits"]);
        assert_eq!(row.component, Digest::of(&bytes), "the newest");
        components.push(row.component);
        copies(&place, &row, RUNS_OF_EACH - 1);
    }
    let all = || journal.runs(&RunFilter::default()).unwrap();
    let count = |status| all().iter().filter(|row| row.status == status).count();
    let runs = usize::from(VERSIONS) * RUNS_OF_EACH;
    place.until(|| count(Status::Waiting) == runs);
    for row in all() {
        let event = Told::Event {
            name: SignalName::parse("go").unwrap(),
            value: Payload::of(&row.run.as_str()),
            by: None,
        };
        journal.post_mail(&row.run, skillhost::driver::now(), &event).unwrap();
    }
    place.until(|| count(Status::Done) == runs);
    for component in components {
        let of_it = all().iter().filter(|row| row.component == component).count();
        assert_eq!(of_it, RUNS_OF_EACH);
    }
    for row in all() {
        let records = journal.all_records(&row.run).unwrap();
        let pin = Machine::pin(&records).unwrap();
        assert_eq!((pin.bundle, pin.component), (row.bundle, row.component));
    }
    let replayed = place.run(&["replay", "--all-of", "waits"]);
    let said = String::from_utf8_lossy(&replayed.stdout).into_owned();
    assert!(
        said.ends_with(&format!("{runs} runs replayed, {runs} identical\n")),
        "{}",
        told(&replayed)
    );
}

#[test]
fn from_drop_to_serving_a_component_that_is_compiled_already() {
    let place = Place::new(PROGRAM, &["steps"]);
    let mut follower = Follower::of(&place);
    let versions = [variant("steps", 1), variant("steps", 2)];
    for bytes in &versions {
        drop_in(&place, "steps", bytes);
        follower.until(&place, bytes);
    }
    let mut took = Vec::new();
    for round in 0..10 {
        let bytes = &versions[round % 2];
        let begun = Instant::now();
        drop_in(&place, "steps", bytes);
        follower.until(&place, bytes);
        took.push(begun.elapsed());
    }
    took.sort();
    println!(
        "from the drop of {} bytes to serving them: median {:?}, longest {:?}",
        versions[0].len(),
        took[took.len() / 2],
        took[took.len() - 1]
    );
    assert!(Path::new(&place.skills()).exists());
}
