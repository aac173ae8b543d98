//! What `doctor` finds.

use crate::machine::Machine;
use crate::run;

/// Looks, and leaves out what differs from machine to machine.
fn examine(machine: &Machine, line: &str) -> String {
    let seen = machine.see(line);
    let time = |c: char| c.is_ascii_digit() || matches!(c, '-' | ':' | ' ');
    // Only Linux has a limit of these.
    let lines = seen
        .lines()
        .filter(|line| line.starts_with('{') || !line.contains("memory maps"));
    let lines = lines.map(|line| match line.split_once("clock") {
        Some((start, rest)) if !line.starts_with('{') => {
            format!("{start}clock {}", rest.trim_start().trim_start_matches(time))
        }
        _ => match line.split_once("a process may have ") {
            Some((start, _)) if !line.starts_with('{') => format!("{start}a process may have N open"),
            _ => line.to_owned(),
        },
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_machine_on_which_all_is_well_is_told_so() {
    let machine = Machine::new().with("ANTHROPIC_API_KEY", "k-not-to-be-shown");
    run::done(&machine);
    let seen = examine(&machine, "doctor");
    insta::assert_snapshot!(seen);
    assert!(!seen.contains("not-to-be-shown"));
}

#[test]
fn what_is_not_well_is_told_with_what_mends_it() {
    use std::os::unix::fs::PermissionsExt as _;

    let machine = Machine::new().with("OPENAI_BASE_URL", "not a url");
    machine.put("home/config.toml", "[limits]\nmemory_mib = 0\n");
    machine.put("home/journal.db", "no database".repeat(1_000));
    machine.put("skills/text/skill.wasm", "no component");
    std::fs::set_permissions(machine.path("home"), std::fs::Permissions::from_mode(0o755)).unwrap();
    insta::assert_snapshot!(examine(&machine, "doctor"));
}

#[test]
fn programs_are_told_the_same() {
    let machine = Machine::new();
    machine.put("skills/text/skill.wasm", "no component");
    let seen = machine.see("doctor --json");
    assert!(seen.contains(r#"{"check":"model provider","verdict":"WARN""#), "{seen}");
    assert!(
        seen.contains(r#"{"check":"skills","verdict":"WARN","message":"`text` cannot be launched"#),
        "{seen}"
    );
}

#[test]
fn the_hook_is_looked_at() {
    let machine = Machine::new();
    let line = |machine: &Machine| {
        let seen = machine.see("doctor");
        let mut lines = seen.lines().skip_while(|line| !line.contains("  hook "));
        let first = lines.next().unwrap();
        match lines.next().filter(|line| line.contains("hint: ")) {
            Some(hint) => format!("{first}\n{hint}"),
            None => first.to_owned(),
        }
    };
    let mut seen = vec![line(&machine)];
    let _ = machine.see("hook install");
    seen.push(line(&machine));
    machine.put("home/hook.log", "2025-11-21T11:20:00Z the disk was full\n");
    seen.push(line(&machine));
    machine.put(
        "user/.claude/settings.json",
        r#"{"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": "/old/skillhost hook session-start"}]}]}}"#,
    );
    seen.push(line(&machine));
    machine.put("user/.claude/settings.json", "{");
    seen.push(line(&machine));
    let seen = seen.join("\n\n").replace(|c: char| c.is_ascii_digit(), "N");
    insta::assert_snapshot!(seen);
}

#[test]
fn a_provider_that_does_not_answer_is_found_out_only_when_it_is_asked() {
    // Nothing listens there: the port is one that only the system may give away.
    let machine = Machine::new()
        .with("ANTHROPIC_API_KEY", "k-not-to-be-shown")
        .with("ANTHROPIC_BASE_URL", "http://127.0.0.1:1");
    assert!(!machine.see("doctor").contains("model answer"));
    let seen = machine.see("doctor --online");
    assert!(
        seen.contains("FAIL  model answer    provider `anthropic` gave none: "),
        "{seen}"
    );
    assert!(!seen.contains("not-to-be-shown"));
    let offline = Machine::new().see("doctor --online");
    assert!(
        offline.contains("OK    model answer    none is to be expected"),
        "{offline}"
    );
}
