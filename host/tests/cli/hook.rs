//! The hook in the agent's settings, and what it tells a session.

use std::fs;

use crate::machine::Machine;
use crate::run::{self, WAITING};

/// Leaves out where the program is that is tested.
fn without_program(text: &str) -> String {
    text.replace(env!("CARGO_BIN_EXE_skillhost"), "[PROGRAM]")
}

fn session(machine: &Machine, source: &str) -> String {
    let input = format!(r#"{{"session_id": "s-1", "cwd": "/", "source": "{source}"}}"#);
    let seen = machine.see_with("hook session-start", &input);
    let quiet = "$ skillhost hook session-start\nexit 0\n";
    assert!(seen.starts_with(quiet), "{seen}");
    seen[quiet.len()..].trim_start_matches("--- stdout\n").to_owned()
}

fn is_silent(machine: &Machine, line: &str, stdin: &str) {
    assert_eq!(machine.see_with(line, stdin), format!("$ skillhost {line}\nexit 0\n"));
}

#[test]
fn the_hook_is_put_into_the_settings_and_taken_out_again() {
    let machine = Machine::new();
    let before = "{\n  \"permissions\": {\"allow\": [\"Bash(ls:*)\"]},\n  \"cleanupPeriodDays\": 1e2\n}\n";
    machine.put("user/.claude/settings.json", before);
    let settings = || fs::read_to_string(machine.path("user/.claude/settings.json")).unwrap();
    let mut seen = vec![
        machine.see("hook install"),
        settings(),
        machine.see("hook install --json"),
    ];
    seen.extend([machine.see("hook uninstall"), machine.see("hook uninstall")]);
    assert_eq!(settings(), before);
    let seen = seen.join("\n").replace(&*machine.path("").to_string_lossy(), "[DIR]/");
    insta::assert_snapshot!(without_program(&seen));
}

#[test]
fn settings_that_cannot_be_changed_are_left_as_they_are() {
    let machine = Machine::new();
    machine.put("user/.claude/settings.json", "{\n  \"a\": 1,\n}\n");
    machine.put("other.json", "[]");
    let lines = [
        "hook install",
        "hook uninstall --json",
        "hook install --settings other.json",
        "hook install --settings skills",
        "hook",
        "hook frobnicate",
    ];
    let seen: Vec<String> = lines.iter().map(|line| machine.see(line)).collect();
    insta::assert_snapshot!(seen.join("\n"));
    assert!(!machine.path("user/.claude/settings.json.before-skillhost").exists());
}

#[test]
fn a_session_is_told_what_waits_and_one_that_goes_on_only_what_is_new() {
    let machine = Machine::new();
    run::done(&machine);
    run::waiting(&machine);
    let started = session(&machine, "startup");
    insta::assert_snapshot!(started);
    assert_eq!(session(&machine, "clear"), started);
    // The question is open still.
    let resumed = session(&machine, "resume");
    assert!(
        resumed.contains("Publish the report?") && !resumed.contains("The sky is blue"),
        "{resumed}"
    );
    run::failed(&machine);
    assert_eq!(session(&machine, "compact"), resumed);
    let _ = machine.see("dismiss --all");
    // What was dismissed is told no more, but the question is open still.
    let told = session(&machine, "startup");
    assert!(
        told.contains("Publish the report?") && !told.contains("The sky is blue"),
        "{told}"
    );
    run::withdraw_question(&machine);
    assert_eq!(session(&machine, "startup"), "");
}

#[test]
fn an_answered_question_is_told_no_more() {
    let machine = Machine::new();
    run::waiting(&machine);
    assert!(session(&machine, "startup").contains(&format!("skillhost answer {WAITING}#0")));
    run::withdraw_question(&machine);
    assert_eq!(session(&machine, "resume"), "");
}

#[test]
fn the_hook_makes_nothing_where_nothing_is() {
    let machine = Machine::new();
    is_silent(&machine, "hook session-start", "{}");
    assert!(!machine.path("home").exists());
}

#[test]
fn the_hook_never_fails_whatever_it_meets() {
    let machine = Machine::new();
    run::waiting(&machine);
    is_silent(&machine, "hook session-start", "this is not JSON");
    let log = fs::read_to_string(machine.path("home/hook.log")).unwrap();
    assert!(log.contains("standard input is not what a hook is given"), "{log}");
    assert!(
        machine
            .see_with("hook session-start --of-another-version", "")
            .contains("Publish the report?")
    );
    let machine = Machine::new();
    machine.put("home/journal.db", "no database".repeat(1_000));
    is_silent(&machine, "hook session-start", "{}");
    let log = fs::read_to_string(machine.path("home/hook.log")).unwrap();
    assert!(log.contains("not a database"), "{log}");
    let machine = machine.with("SKILLHOST_HOME", "").with("HOME", "relative");
    is_silent(&machine, "hook session-start", "{}");
}

#[test]
fn the_hook_is_silent_inside_a_model_call_of_ours() {
    let machine = Machine::new().with("SKILLHOST_CHILD", "1");
    run::waiting(&machine);
    is_silent(&machine, "hook session-start", "{}");
}
