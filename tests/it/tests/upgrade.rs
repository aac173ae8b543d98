//! Runs in progress go on with what is installed now, where that would have done the same so far.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::process::{Child, Stdio};

use serde_json::Value;
use skillhost_core::entry::Entry;
use skillhost_core::id::{Digest, RunId};
use skillhost_it::{Place, guests, told, was_killed};
use skillhost_journal::{Journal as _, RunRow};
use skillhost_loopback::{Behaviour, Rule};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

const INVALID: i32 = 10;
const FAILED: i32 = 30;
const HELD: i32 = 70;

/// Installs a component of the same behaviour and another digest, and returns that.
fn rebuild(place: &Place, skill: &str, number: u8) -> Digest {
    let mut bytes = fs::read(guests().component(skill)).unwrap();
    bytes.extend([0, 3, 1, b'v', number]);
    fs::write(place.skills().join(skill).join("skill.wasm"), &bytes).unwrap();
    Digest::of(&bytes)
}

fn launched(place: &Place, words: &[&str]) -> RunRow {
    let launched = place.any_json(&[&["launch"], words].concat());
    let run = launched["run_id"].as_str().unwrap_or_else(|| panic!("{launched}"));
    row(place, &RunId::parse(run).unwrap())
}

fn row(place: &Place, run: &RunId) -> RunRow {
    place.journal().run(run).unwrap()
}

fn repins(place: &Place, run: &RunId) -> usize {
    let records = place.records(run);
    records
        .iter()
        .filter(|record| matches!(record.entry, Entry::Repinned { .. }))
        .count()
}

fn start(place: &Place, words: &[&str]) -> Child {
    let mut command = place.command(words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn wait_for_requests(place: &Place, requests: u64) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
    tokio.unwrap().block_on(place.server.wait_for_requests(requests));
}

#[test]
fn a_run_that_the_daemon_has_in_memory_goes_on_with_the_new_component() {
    let place = Place::new(PROGRAM, &["waits"]);
    let run = launched(&place, &["waits", "--id", "it"]).run;
    place.until(|| place.status_of(&run) == "waiting");
    let component = rebuild(&place, "waits", 1);
    let upgraded = place.json(&["upgrade", "it"]);
    assert_eq!(upgraded["replays"][0]["verdict"], "identical", "{upgraded}");
    assert_eq!(row(&place, &run).component, component);
    assert_eq!(repins(&place, &run), 1);
    let again = place.json(&["upgrade", "it"]);
    assert_eq!(again["replays"][0]["verdict"], "already");
    assert_eq!(repins(&place, &run), 1);
    place.json(&["signal", "it", "go", "--input", "1"]);
    assert_eq!(place.json(&["wait", "it"])["result"]["came"][0], 1);
    assert_eq!(place.json(&["replay", "it"])["replays"][0]["verdict"], "identical");
}

#[test]
fn a_run_that_would_have_done_otherwise_stays_as_it_is_and_it_is_shown_where() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.server.rule(Rule::of(Behaviour::Echo).held());
    let before = launched(&place, &["steps", "--id", "it", "--n", "3"]);
    wait_for_requests(&place, 1);
    place.install("steps", &guests().component("steps_changed"));
    let output = place.run(&["upgrade", "it"]);
    assert_eq!(output.status.code(), Some(FAILED), "{}", told(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("call 0 is asked otherwise"), "{said}");
    place.server.clear_rules();
    place.server.release();
    assert_eq!(place.json(&["wait", "it"])["result"]["steps"], 3);
    assert_eq!(row(&place, &before.run).component, before.component);
    assert_eq!(repins(&place, &before.run), 0);
    assert_eq!(
        place.server.counts().requests.values().sum::<u64>(),
        3,
        "it was not disturbed"
    );
}

#[test]
fn all_runs_of_a_skill_are_upgraded_and_each_says_what_became_of_it() {
    let place = Place::new(PROGRAM, &["waits"]);
    let over = launched(&place, &["waits", "--here", "--what", "time"]).run;
    let runs: Vec<RunId> = (0..3).map(|_| launched(&place, &["waits"]).run).collect();
    let component = rebuild(&place, "waits", 1);
    let newest = launched(&place, &["waits"]).run;
    let output = place.run(&["upgrade", "--all-of", "waits"]);
    assert!(output.status.success(), "{}", told(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains(&format!("run {newest} has what is installed now already")),
        "{said}"
    );
    assert!(said.ends_with("3 of 4 runs upgraded\n"), "{said}");
    assert!(!said.contains(over.as_str()), "{said}");
    for run in &runs {
        assert_eq!(row(&place, run).component, component);
    }
    // Those that were not in memory, too.
    place.kill_daemon();
    rebuild(&place, "waits", 2);
    let output = place.run(&["upgrade", "--all-of", "waits"]);
    assert!(output.status.success(), "{}", told(&output));
    for run in &runs {
        assert_eq!(repins(&place, run), 2);
        place.json(&["signal", run.as_str(), "go"]);
        place.json(&["wait", run.as_str()]);
    }
}

#[test]
fn what_cannot_be_upgraded_is_said_in_words() {
    let place = Place::new(PROGRAM, &["steps"]);
    let unknown = place.run(&["upgrade", "--all-of", "nothing"]);
    assert_eq!(unknown.status.code(), Some(INVALID), "{}", told(&unknown));
    launched(&place, &["steps", "--here", "--id", "over", "--n", "0"]);
    let over = place.run(&["upgrade", "over"]);
    assert_eq!(over.status.code(), Some(INVALID));
    assert!(told(&over).contains("is over (done)"), "{}", told(&over));
    let none = place.run(&["upgrade", "--all-of", "steps"]);
    assert!(
        told(&none).contains("no run of skill steps is in progress"),
        "{}",
        told(&none)
    );

    place.server.rule(Rule::of(Behaviour::Echo).held());
    let mut here = start(&place, &["launch", "--here", "steps", "--id", "held", "--n", "1"]);
    wait_for_requests(&place, 1);
    rebuild(&place, "steps", 1);
    let held = place.run(&["upgrade", "held"]);
    assert_eq!(held.status.code(), Some(HELD), "{}", told(&held));
    place.server.clear_rules();
    place.server.release();
    assert!(here.wait().unwrap().success());
}

#[test]
fn a_run_with_a_call_under_way_is_upgraded_when_that_is_recorded_and_goes_on_at_once() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.server.rule(Rule::of(Behaviour::Echo).held());
    let run = launched(&place, &["steps", "--id", "it", "--n", "3"]).run;
    wait_for_requests(&place, 1);
    let component = rebuild(&place, "steps", 1);
    let upgrading = start(&place, &["upgrade", "it", "--json"]);
    place.until(|| place.journal().installed().unwrap()[0].component == component);
    place.server.clear_rules();
    place.server.release();
    let output = upgrading.wait_with_output().unwrap();
    let upgraded: Value = serde_json::from_slice(&output.stdout).unwrap();
    // It may have ended before it was taken.
    assert!(["identical", "over"].contains(&upgraded["replays"][0]["verdict"].as_str().unwrap()));
    assert_eq!(place.json(&["wait", "it"])["result"]["steps"], 3);
    assert_eq!(
        place.server.counts().requests.values().sum::<u64>(),
        3,
        "nothing was asked twice"
    );
    assert!(repins(&place, &run) <= 1);
}

#[test]
fn a_run_whose_upgrade_is_killed_at_any_point_loses_nothing_and_is_taken_back() {
    let place = Place::new(PROGRAM, &["waits"]);
    let run = launched(&place, &["waits", "--id", "it", "--times", "2"]).run;
    place.until(|| place.status_of(&run) == "waiting");
    let log = place.home().with_extension("points");
    rebuild(&place, "waits", 0);
    let output = place
        .command(&["upgrade", "it"])
        .env("SKILLHOST_FAILPOINT_LOG", &log)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let points: Vec<String> = fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect();
    let (mut killed, mut number) = (0, 0);
    for (index, point) in points.iter().enumerate() {
        number += 1;
        rebuild(&place, "waits", number);
        let hit = points[..=index].iter().filter(|other| *other == point).count();
        let before = repins(&place, &run);
        let output = place
            .command(&["upgrade", "it"])
            .env("SKILLHOST_FAILPOINT", format!("{point}:{hit}"))
            .output()
            .unwrap();
        killed += usize::from(was_killed(&output));
        let after = repins(&place, &run);
        assert!(after == before || after == before + 1, "{point}:{hit}");
        assert_eq!(place.status_of(&run), "waiting", "{point}:{hit}");
    }
    assert!(killed >= 5, "killed at {killed} of {points:?}");
    for _ in 0..2 {
        place.json(&["signal", "it", "go"]);
    }
    assert_eq!(place.json(&["wait", "it"])["status"], "done");
    assert_eq!(place.json(&["replay", "it"])["replays"][0]["verdict"], "identical");
}

#[test]
fn a_daemon_that_is_killed_while_it_lets_go_of_a_run_loses_nothing() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.server.rule(Rule::of(Behaviour::Echo).held());
    let run = launched(&place, &["steps", "--id", "it", "--n", "2"]).run;
    wait_for_requests(&place, 1);
    rebuild(&place, "steps", 1);
    let mut command = place.command(&["upgrade", "it"]);
    let mut upgrading = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut notes = std::io::BufReader::new(upgrading.stderr.take().unwrap());
    let mut note = String::new();
    std::io::BufRead::read_line(&mut notes, &mut note).unwrap();
    assert!(note.contains("is taken as soon as"), "{note}");
    assert!(place.kill_daemon());
    let output = upgrading.wait_with_output().unwrap();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut notes, &mut rest).unwrap();
    assert!(output.status.success(), "{}{rest}", told(&output));
    assert_eq!(repins(&place, &run), 1);
    place.server.clear_rules();
    place.server.release();
    place.run(&["list"]);
    assert_eq!(place.json(&["wait", "it"])["result"]["steps"], 2);
}
