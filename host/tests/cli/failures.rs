//! What cannot be done, and what is said then.

use crate::machine::Machine;
use crate::run;

/// A core WebAssembly module, not a component: the magic number and version 1.
pub(crate) const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

#[test]
fn words_that_make_no_command_are_invalid_input() {
    let machine = Machine::new();
    let lines = [
        "",
        "lauch x",
        "show",
        "list --sttus done",
        "resume x --redo 1 --skip 1",
        "launch x --arg y",
        "answer x",
        "--json",
        "frobnicate --json",
    ];
    let seen: Vec<String> = lines.iter().map(|line| machine.see(line)).collect();
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn a_skill_that_cannot_be_launched_is_told_with_what_to_do() {
    let machine = Machine::new();
    machine.put("skills/text/skill.wasm", "not a component");
    machine.put("skills/core/skill.wasm", CORE_MODULE);
    machine.put("skills/several/a.wasm", CORE_MODULE);
    machine.put("skills/several/b.wasm", CORE_MODULE);
    machine.put("skills/prose/SKILL.md", "# Prose");
    machine.put("skills/linked/skill.wasm", CORE_MODULE);
    std::fs::create_dir(machine.path("skills/linked/prompts")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", machine.path("skills/linked/prompts/secret.md")).unwrap();
    let names = [
        "text", "core", "several", "prose", "linked", "severl", "nothing", "../text",
    ];
    let seen: Vec<String> = names
        .iter()
        .map(|name| machine.see(&format!("launch {name} --offline")))
        .collect();
    insta::assert_snapshot!(seen.join("\n"));
    insta::assert_snapshot!(
        "a_skill_that_cannot_be_launched_for_programs",
        machine.see("launch core --offline --json")
    );
    let documents = ["core", "severl", "prose"].map(|name| machine.see(&format!("skills --write-doc {name}")));
    insta::assert_snapshot!("a_skill_that_cannot_be_documented", documents.join("\n"));
    insta::assert_snapshot!("skills_that_cannot_be_launched", machine.see("skills"));
    insta::assert_snapshot!(
        "skills_that_cannot_be_launched_for_programs",
        machine.see("skills --json")
    );
}

#[test]
fn a_document_that_is_elsewhere_is_not_written() {
    let machine = Machine::new();
    machine.put("skills/x/skill.wasm", CORE_MODULE);
    machine.put("notes.md", "# Mine\n");
    let link = machine.path("skills/x/SKILL.md");
    for (target, why) in [
        ("../../notes.md", "leads out of its folder"),
        ("../../not-there.md", "cannot be read"),
    ] {
        std::os::unix::fs::symlink(target, &link).unwrap();
        let seen = machine.see("skills --write-doc x");
        assert!(seen.contains(why), "{seen}");
        std::fs::remove_file(&link).unwrap();
    }
}

#[test]
fn a_run_that_is_not_there_is_answered_with_the_nearest() {
    let machine = Machine::new();
    run::done(&machine);
    let lines = [
        "show nigthly",
        "show xyz",
        "show zzzzzzzz",
        "result 01kdone",
        "logs zzzzzzzz",
        "cancel zzzzzzzz",
        "signal zzzzzzzz go",
        "answer zzzzzzzz#1 a=b",
        "resume zzzzzzzz",
        "show nightly --call 99",
        "dismiss 99",
        "inbox 99",
        "list --status dnoe",
        "show zzzzzzzz --json",
    ];
    let seen: Vec<String> = lines.iter().map(|line| machine.see(line)).collect();
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn a_run_that_is_over_takes_nothing_more() {
    let machine = Machine::new();
    run::done(&machine);
    let lines = [
        "cancel nightly",
        "signal nightly go",
        "answer nightly#1 a=b",
        "resume nightly --redo 1",
    ];
    let seen: Vec<String> = lines.iter().map(|line| machine.see(line)).collect();
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn what_cannot_be_upgraded_is_said_in_words() {
    let machine = Machine::new();
    run::done(&machine);
    let lines = [
        "upgrade nightly",
        "upgrade nobody",
        "upgrade --all-of nothing",
        "upgrade",
    ];
    let seen: Vec<String> = lines.iter().map(|line| machine.see(line)).collect();
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn a_mistake_in_the_configuration_is_shown_with_its_line() {
    let machine = Machine::new();
    machine.put(
        "home/config.toml",
        "[model]\nprovider = \"anthropic\"\n\n[limits]\ncals = 3\n",
    );
    machine.put("skills/core/skill.wasm", CORE_MODULE);
    insta::assert_snapshot!(machine.see("launch core"));
}

#[test]
fn a_state_folder_that_cannot_be_used_is_a_storage_error() {
    let machine = Machine::new();
    machine.put("file", "");
    let folder = machine.path("file/home").display().to_string();
    let machine = machine.with("SKILLHOST_HOME", folder);
    insta::assert_snapshot!(machine.see("list"));
}

#[test]
fn a_database_that_is_none_is_a_storage_error() {
    let machine = Machine::new();
    machine.put(
        "home/journal.db",
        "this is not a database, whatever its name says".repeat(100),
    );
    insta::assert_snapshot!(format!("{}\n{}", machine.see("list"), machine.see("list --json")));
}

#[test]
fn without_a_home_nothing_is_guessed() {
    let machine = Machine::new().with("SKILLHOST_HOME", "").with("HOME", "relative");
    insta::assert_snapshot!(machine.see("list"));
}
