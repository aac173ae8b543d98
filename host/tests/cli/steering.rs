//! What is done to runs that go on in the daemon, and to the daemon.

use crate::machine::Machine;
use crate::run::{self, BROKEN, FAILED, RUNNING, WAITING};

fn all(machine: &Machine, lines: &[&str]) -> String {
    let seen: Vec<String> = lines.iter().map(|line| machine.see(line)).collect();
    seen.join("\n")
}

/// Leaves out what is different at every run of the test after these words: a number, or an id.
fn without(seen: &str, words: &[&str]) -> String {
    words.iter().fold(seen.to_owned(), |seen, word| {
        let mut parts = seen.split(word);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| {
            let rest = part.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
            let left_out = if rest.len() < part.len() { "[..]" } else { "" };
            format!("{text}{word}{left_out}{rest}")
        })
    })
}

#[test]
fn p4_a_run_is_paused_by_whoever_drives_it() {
    let machine = Machine::new();
    run::done(&machine);
    let _alive = run::held(&machine);
    let pausing = run::pause_when_told(&machine);
    let paused = machine.see(&format!("pause {WAITING}"));
    pausing.join().unwrap();
    let again = format!("pause {WAITING} --json");
    let rest = all(
        &machine,
        &[
            &again,
            "pause nightly",
            "pause zzzzzzzz",
            "pause zzzzzzzz --json",
            "pause",
        ],
    );
    insta::assert_snapshot!(format!("{paused}\n{rest}"));
}

#[test]
fn a_note_is_left_for_a_run_that_is_not_over() {
    let machine = Machine::new();
    run::done(&machine);
    let _alive = run::held(&machine);
    let long = "x".repeat((64 << 10) + 1);
    let lines = [
        format!("inject {WAITING} -m Hurry"),
        format!("inject {WAITING} --message Hurry --json"),
        format!("inject {WAITING} -m {long}"),
        format!("inject {WAITING}"),
        "inject nightly -m Hurry".to_owned(),
        "inject nightly -m Hurry --json".to_owned(),
        "inject zzzzzzzz -m Hurry".to_owned(),
    ];
    let seen = all(&machine, &lines.each_ref().map(String::as_str));
    insta::assert_snapshot!(seen.replace(&long, "[65537 characters]"));
}

#[test]
fn whoever_waits_is_told_how_runs_stand() {
    let machine = Machine::new();
    run::done(&machine);
    run::failed(&machine);
    run::waiting(&machine);
    run::parked(&machine);
    run::running(&machine);
    let lines = [
        "wait nightly".to_owned(),
        "wait nightly --json".to_owned(),
        format!("wait {FAILED}"),
        format!("wait {WAITING}"),
        "wait parked".to_owned(),
        "wait parked --json".to_owned(),
        format!("wait nightly {FAILED}"),
        format!("wait {RUNNING} {FAILED} --any --json"),
        format!("wait {RUNNING} --for 0s"),
        format!("wait {RUNNING} --for 0s --json"),
        format!("wait {RUNNING} nightly --for 0s"),
        "wait nightly --for soon".to_owned(),
        "wait nightly --for=-1s".to_owned(),
        "wait zzzzzzzz".to_owned(),
        "wait".to_owned(),
    ];
    insta::assert_snapshot!(all(&machine, &lines.each_ref().map(String::as_str)));
}

#[test]
fn the_daemon_is_started_seen_and_ended() {
    let machine = Machine::new();
    let lines = [
        "worker status",
        "worker stop",
        "worker stop --force",
        "worker start",
        "worker start --json",
        "worker stop",
        "worker status --json",
        "worker start",
        "worker stop --force",
        "worker uninstall",
    ];
    let seen = all(&machine, &lines);
    insta::assert_snapshot!(without(
        &seen,
        &["process ", "up for ", "\"pid\":", "\"worker\":\"", "\"up_seconds\":"]
    ));
}

#[test]
fn a_daemon_that_cannot_be_had_is_told_with_the_reason() {
    let machine = Machine::new();
    let mut seen = all(
        &machine,
        &["worker", "worker frobnicate", "worker install", "worker install --json"],
    );
    machine.put("home/config.toml", "[worker]\nruns = 0\n");
    seen.push_str(&format!(
        "\n{}",
        all(&machine, &["worker start", "worker start --json", "worker run"])
    ));
    insta::assert_snapshot!(seen);
}

#[test]
fn f6_a_run_that_failed_goes_on_in_a_new_one_or_it_is_said_why_not() {
    let machine = Machine::new();
    run::done(&machine);
    run::failed(&machine);
    run::waiting(&machine);
    run::broken(&machine);
    let lines = [
        "retry broken".to_owned(),
        format!("retry {BROKEN}"),
        format!("retry {BROKEN} --json"),
        format!("retry {FAILED}"),
        format!("retry {FAILED} --from 99"),
        format!("retry {FAILED} --upgrade"),
        format!("retry {WAITING}"),
        "retry nightly".to_owned(),
        "retry nightly --from 3 --upgrade".to_owned(),
        "retry zzzzzzzz --json".to_owned(),
        "retry".to_owned(),
    ];
    let seen = all(&machine, &lines.each_ref().map(String::as_str));
    let made = seen
        .split(|c: char| !c.is_ascii_alphanumeric())
        .find(|word| word.len() == BROKEN.len() && !word.contains("aaaa"))
        .unwrap();
    insta::assert_snapshot!(seen.replace(made, "[NEW]"));
    let none = Machine::new();
    run::failed(&none);
    insta::assert_snapshot!(
        "nothing_that_failed_can_be_retried",
        all(&none, &["retry --all-failed", "retry --all-failed --json"])
    );
}
