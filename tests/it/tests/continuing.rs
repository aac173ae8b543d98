//! A skill that goes on in run after run: each has a journal of its own, and whoever knows the launch does not notice.

#![allow(clippy::unwrap_used, reason = "a test")]

use serde_json::{Value, json};
use skillhost_core::entry::{Entry, How};
use skillhost_core::id::RunId;
use skillhost_it::{Place, result_of, told, was_killed};
use skillhost_journal::{Journal as _, RunFilter};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

fn here(words: &[&'static str]) -> Vec<&'static str> {
    [
        &["launch", "--here", "continues", "--id", "it", "--await", "--json"],
        words,
    ]
    .concat()
}

/// Returns the runs of the place, the first first.
fn runs(place: &Place) -> Vec<RunId> {
    let mut runs: Vec<RunId> = place
        .journal()
        .runs(&RunFilter::default())
        .unwrap()
        .into_iter()
        .map(|row| row.run)
        .collect();
    runs.reverse();
    runs
}

/// Checks that each run goes on in the next, with a journal that does not grow.
fn check_chain(place: &Place, length: usize) {
    let runs = runs(place);
    assert_eq!(runs.len(), length);
    for (index, run) in runs.iter().enumerate() {
        let records = place.records(run);
        let Entry::Started(started) = &records[0].entry else {
            panic!("{records:?}")
        };
        assert_eq!(
            started.continues.as_ref(),
            index.checked_sub(1).map(|before| &runs[before])
        );
        assert_eq!(started.launch.as_str(), "it");
        assert!(records.len() <= 10, "{} entries", records.len());
        if let Some(next) = runs.get(index + 1) {
            let Entry::Finished(finished) = &records.last().unwrap().entry else {
                panic!("{records:?}")
            };
            assert_eq!(finished.how, How::Continued(next.clone()));
        }
    }
}

#[test]
fn whoever_awaits_the_launch_gets_the_result_of_its_last_run() {
    for words in [vec!["launch"], vec!["launch", "--here"]] {
        let place = Place::new(PROGRAM, &["continues"]);
        let launch = [
            words,
            vec!["continues", "--id", "it", "--rounds", "4", "--await", "--json"],
        ]
        .concat();
        let result = result_of(&place.run(&launch));
        assert_eq!(result["seen"].as_array().unwrap().len(), 4);
        assert_eq!(result["files"], json!(["3.md"]), "each run has a folder of its own");
        check_chain(&place, 4);
        let shown = |words: &[&str]| place.json(words);
        assert_eq!(shown(&["result", "it"])["result"], result);
        assert_eq!(shown(&["wait", "it"])["result"], result);
        assert_eq!(shown(&["show", "it"])["run_id"], runs(&place)[3].as_str());
        assert_eq!(shown(&["list"])["runs"].as_array().unwrap().len(), 1);
        assert_eq!(
            shown(&["list", "--status", "continued"])["runs"]
                .as_array()
                .unwrap()
                .len(),
            3
        );
        let inbox = shown(&["inbox"]);
        assert_eq!(
            inbox["entries"].as_array().unwrap().len(),
            1,
            "only the last end is news: {inbox}"
        );
        let runs = runs(&place);
        assert_eq!(shown(&["show", runs[0].as_str()])["status"], "continued");
        let first = told(&place.run(&["show", runs[0].as_str()]));
        assert!(first.contains(&format!("goes on as run {}", runs[1])), "{first}");
        let second = told(&place.run(&["show", runs[1].as_str()]));
        assert!(second.contains(&format!("continues run {}", runs[0])), "{second}");
    }
}

#[test]
fn killed_at_every_kind_of_place_the_line_of_runs_ends_as_if_undisturbed() {
    let place = Place::new(PROGRAM, &["continues"]);
    let launch = here(&["--rounds", "3"]);
    let expected = result_of(&place.run(&launch));
    let log = place.home().with_extension("points");
    place.forget_runs();
    let output = place
        .command(&launch)
        .env("SKILLHOST_FAILPOINT_LOG", &log)
        .output()
        .unwrap();
    assert_eq!(result_of(&output), expected);
    let log = std::fs::read_to_string(log).unwrap();
    let mut points: Vec<&str> = log.lines().collect();
    points.sort_unstable();
    let mut killed = 0;
    for point in points.chunk_by(|one, other| one == other) {
        // About the middle, and near the end: somewhere between two runs.
        for hit in [point.len().div_ceil(2), point.len().saturating_sub(2).max(1)] {
            place.forget_runs();
            let aim = format!("{}:{hit}", point[0]);
            let output = place
                .command(&launch)
                .env("SKILLHOST_FAILPOINT", &aim)
                .output()
                .unwrap();
            killed += usize::from(was_killed(&output));
            assert_eq!(result_of(&place.run(&launch)), expected, "{aim}");
            check_chain(&place, 3);
        }
    }
    assert!(killed >= 10, "killed at {killed} points only");
}

#[test]
fn a_daemon_that_dies_between_two_runs_is_followed_by_one_that_goes_on() {
    let place = Place::new(PROGRAM, &["continues"]);
    place.json(&["launch", "continues", "--id", "it", "--rounds", "3", "--waits", "true"]);
    for round in 0..3 {
        place.run(&["wait", "it"]);
        place.kill_daemon();
        place.json(&["signal", "it", "go", "--input", &round.to_string()]);
    }
    let result = place.json(&["wait", "it"])["result"].clone();
    assert_eq!(result["seen"].as_array().unwrap().len(), 3);
    check_chain(&place, 3);
}

#[test]
fn an_event_that_was_not_consumed_is_the_next_runs() {
    let place = Place::new(PROGRAM, &["continues"]);
    place.server.rule(skillhost_loopback::Rule::default().held().times(1));
    place.json(&["launch", "continues", "--id", "it", "--rounds", "3", "--waits", "true"]);
    // All for the first run, which takes one.
    for round in 0..3 {
        place.json(&["signal", "it", "go", "--input", &round.to_string()]);
    }
    place.server.release();
    assert_eq!(place.json(&["wait", "it"])["status"], "done");
    check_chain(&place, 3);
}

#[test]
fn a_cancellation_of_the_launch_reaches_its_newest_run() {
    let place = Place::new(PROGRAM, &["continues"]);
    let first = place.json(&["launch", "continues", "--id", "it", "--waits", "true"]);
    place.run(&["wait", "it"]);
    place.json(&["signal", "it", "go"]);
    let is_next = || place.run_of("it").unwrap().as_str() != first["run_id"];
    place.until(is_next);
    let cancelled = place.json(&["cancel", "it"]);
    assert_eq!(cancelled["status"], "cancelled");
    assert_ne!(cancelled["run_id"], first["run_id"]);
    let statuses: Vec<&str> = runs(&place).iter().map(|run| place.status_of(run)).collect();
    assert_eq!(statuses, ["continued", "cancelled"]);
}

#[test]
fn a_command_for_a_run_that_has_gone_on_reaches_the_one_that_did() {
    let place = Place::new(PROGRAM, &["continues"]);
    place.json(&["launch", "continues", "--id", "it", "--rounds", "2", "--waits", "true"]);
    place.run(&["wait", "it"]);
    place.json(&["signal", "it", "go"]);
    place.until(|| runs(&place).len() == 2);
    let first = runs(&place).remove(0);
    // Somebody who still has the first run in mind.
    place.json(&["signal", first.as_str(), "go"]);
    let over = place.json(&["wait", first.as_str()]);
    assert_eq!(
        (&over["status"], &over["run_id"]),
        (&Value::from("done"), &Value::from(runs(&place)[1].as_str()))
    );
}
