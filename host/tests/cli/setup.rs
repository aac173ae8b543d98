//! A machine is made ready, and as it was before.

use std::fs;

use crate::machine::Machine;

#[test]
fn what_setup_did_is_undone_exactly() {
    let machine = Machine::new();
    let before = "{\n  \"model\": \"opus\"\n}\n";
    machine.put("user/.claude/settings.json", before);
    fs::remove_dir(machine.path("skills")).unwrap();
    let mut seen = vec![
        machine.see("setup"),
        machine.see_with("setup --yes --hook --provider anthropic", "k-not-to-be-shown\n"),
        machine.see("setup --yes --hook --json"),
    ];
    assert!(machine.path("skills").is_dir());
    assert!(machine.see("auth list").contains("anthropic"));
    seen.extend([machine.see("setup --remove"), machine.see("setup --remove")]);
    assert!(!machine.path("skills").exists());
    assert!(machine.see("auth list").contains("nothing is stored"));
    assert_eq!(
        fs::read_to_string(machine.path("user/.claude/settings.json")).unwrap(),
        before
    );
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn what_was_there_before_setup_is_there_after_it_is_undone() {
    let machine = Machine::new();
    machine.put("skills/prose/SKILL.md", "# Prose");
    let _ = machine.see("hook install");
    let _ = machine.see_with("auth set openai", "k-before\n");
    let _ = machine.see_with("setup --yes --hook --provider openai", "k-new\n");
    let _ = machine.see("setup --remove");
    assert!(machine.path("skills/prose/SKILL.md").exists());
    assert!(machine.see("auth list").contains("openai"));
    let settings = fs::read_to_string(machine.path("user/.claude/settings.json")).unwrap();
    assert!(settings.contains("hook session-start"), "{settings}");
}

#[test]
fn settings_that_setup_made_are_gone_again_and_setup_that_cannot_be_done_says_so() {
    let machine = Machine::new();
    let _ = machine.see("setup --yes --hook");
    assert!(machine.path("user/.claude/settings.json").exists());
    let _ = machine.see("setup --remove");
    assert!(!machine.path("user/.claude/settings.json").exists());
    machine.put("user/.claude/settings.json", "{");
    let mut seen = vec![
        machine.see("setup --yes --hook"),
        machine.see("setup --yes --provider offline"),
        machine.see("setup --yes --provider anthropic"),
        machine.see("setup --hook"),
    ];
    machine.put("home/setup.json", "{");
    seen.push(machine.see("setup --remove"));
    insta::assert_snapshot!(seen.join("\n"));
}
