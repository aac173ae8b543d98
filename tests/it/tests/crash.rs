//! A run that is killed at any point and launched again ends as if nothing had happened (rule R5: a call whose answer was recorded is never made again).

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::collections::BTreeMap;
use std::process::Output;

use skillhost_core::id::{Number, RunId};
use skillhost_it::{Left, Place, Seeded, kill_after_requests, result_of, was_killed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");
const LAUNCH: &[&str] = &["launch", "--here", "crash", "--id", "victim", "--await", "--json"];

/// How many hits of one place are tried.
const HITS_MAX: usize = 8;

fn undisturbed(place: &Place) -> (Left, BTreeMap<String, usize>) {
    let log = place.home().with_extension("points");
    let output = place
        .command(LAUNCH)
        .env("SKILLHOST_FAILPOINT_LOG", &log)
        .output()
        .unwrap();
    let result = result_of(&output);
    let run = place.run_of("victim").unwrap();
    let mut hits: BTreeMap<String, usize> = BTreeMap::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        *hits.entry(line.to_owned()).or_default() += 1;
    }
    (place.left(&run, result), hits)
}

/// What was recorded when the process died: which calls were answered, and how often each had been made.
fn recorded(place: &Place) -> Option<(RunId, Vec<(Number, u64)>)> {
    let run = place.run_of("victim")?;
    let answered = place
        .answered(&run)
        .into_iter()
        .map(|number| (number, place.asked(&run, number)))
        .collect();
    Some((run, answered))
}

fn relaunch(place: &Place) -> Output {
    place.command(LAUNCH).output().unwrap()
}

fn check_recovery(place: &Place, expected: &Left, what: &str) {
    let before = recorded(place);
    let result = result_of(&relaunch(place));
    let run = place.run_of("victim").unwrap();
    assert_eq!(place.left(&run, result), *expected, "{what}");
    let Some((same, answered)) = before else { return };
    assert_eq!(run, same, "{what}");
    for (number, asked) in answered {
        assert_eq!(
            place.asked(&run, number),
            asked,
            "{what}: call {number} was answered, and made again"
        );
    }
}

#[test]
fn r5_killed_at_every_kind_of_place_a_run_ends_as_if_undisturbed() {
    let place = Place::new(PROGRAM, &["crash"]);
    let (expected, hits) = undisturbed(&place);
    let mut killed = 0;
    for (point, count) in &hits {
        let tries = HITS_MAX.min(*count);
        for try_ in 0..tries {
            // Evenly from the first hit to the last.
            let hit = 1 + try_ * (count - 1) / (tries - 1).max(1);
            place.forget_runs();
            let aim = format!("{point}:{hit}");
            let output = place.command(LAUNCH).env("SKILLHOST_FAILPOINT", &aim).output().unwrap();
            // How commits are batched differs between executions, so the last hits of a place may not be reached.
            killed += usize::from(was_killed(&output));
            check_recovery(&place, &expected, &aim);
        }
    }
    println!("killed at {killed} points in {} places", hits.len());
    assert!(killed >= 40, "killed at {killed} points only: {hits:?}");
}

#[tokio::test]
async fn r5_killed_again_and_again_at_random_a_run_ends_as_if_undisturbed() {
    let place = Place::new(PROGRAM, &["crash"]);
    let (expected, _) = undisturbed(&place);
    for seed in 0..12 {
        place.forget_runs();
        let mut random = Seeded::new(seed);
        for _ in 0..3 {
            kill_after_requests(&place, place.command(LAUNCH), 1 + random.below(8)).await;
        }
        check_recovery(&place, &expected, &format!("seed {seed}"));
    }
}

#[test]
fn what_a_skill_logs_and_prints_is_told_with_its_place_in_the_source() {
    let place = Place::new(PROGRAM, &["logs"]);
    place.run(&["launch", "--here", "logs", "--id", "it", "--await"]);
    let logs = place.json(&["logs", "it", "--limit", "1000"]);
    let mut lines = logs["lines"].as_array().unwrap().iter().map(|line| &line["line"]);
    for (level, word) in [
        ("debug", "debug!"),
        ("info", "info!"),
        ("warn", "warn!"),
        ("error", "error!"),
    ] {
        let message = lines.clone().find(|line| line["message"]["level"] == level).unwrap();
        assert!(source_at(&message["message"]["place"]).contains(word), "{message}");
    }
    for (stderr, word) in [(false, "println!"), (true, "eprintln!")] {
        let printed = lines.find(|line| line["printed"]["stderr"] == stderr).unwrap();
        assert!(source_at(&printed["printed"]["place"]).starts_with(word), "{printed}");
    }
    let shown = String::from_utf8(place.run(&["logs", "it"]).stdout).unwrap();
    assert!(shown.contains("examples/logs.rs:"), "{shown}");
}

#[test]
fn what_is_printed_in_pieces_is_a_line_with_the_place_of_its_end() {
    let place = Place::new(PROGRAM, &["logs"]);
    let input = r#"{"rounds": 0, "pieces": true}"#;
    place.run(&["launch", "--here", "logs", "--id", "it", "--input", input, "--await"]);
    let logs = place.json(&["logs", "it"]);
    let lines = logs["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| &line["line"]["printed"]);
    let told: Vec<_> = lines
        .map(|line| (line["text"].as_str().unwrap(), source_at(&line["place"])))
        .collect();
    let pieces = r#"println!(" three\nfour");"#;
    let called_by_the_library = r#"Some(()).iter().for_each(|()| println!("five"));"#;
    assert_eq!(
        told,
        [
            ("one two three", pieces),
            ("four", pieces),
            ("five", called_by_the_library)
        ]
    );
}

/// Returns the line of the skill `logs` that something was said at.
fn source_at(place: &serde_json::Value) -> &'static str {
    let (file, line) = place.as_str().unwrap().rsplit_once(':').unwrap();
    assert!(file.ends_with("examples/logs.rs"), "{place}");
    let mut source = include_str!("../../guests/examples/logs.rs").lines();
    source.nth(line.parse::<usize>().unwrap() - 1).unwrap().trim()
}

#[test]
fn j5_a_crash_right_after_a_log_line_neither_loses_nor_doubles_one() {
    let place = Place::new(PROGRAM, &["logs"]);
    let launch = ["launch", "--here", "logs", "--id", "victim", "--await", "--json"];
    let undisturbed = place.command(&launch).output().unwrap();
    let run = place.run_of("victim").unwrap();
    let expected = place.left(&run, result_of(&undisturbed)).lines;
    assert!(expected.len() > 30, "{expected:?}");
    for aim in [
        "driver.before-write:2",
        "journal.after-commit:2",
        "journal.after-commit:3",
        "driver.before-deliver:2",
    ] {
        place.forget_runs();
        let output = place.command(&launch).env("SKILLHOST_FAILPOINT", aim).output().unwrap();
        assert!(was_killed(&output), "{aim} is reached");
        let result = result_of(&place.command(&launch).output().unwrap());
        let run = place.run_of("victim").unwrap();
        assert_eq!(place.left(&run, result).lines, expected, "{aim}");
    }
}
