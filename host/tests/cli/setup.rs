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
    let refused = machine.see_with("setup --yes --hook --provider openai", "k-new\n");
    assert!(
        refused.contains("something else is stored for `openai` already"),
        "{refused}"
    );
    let _ = machine.see_with("setup --yes --hook --provider openai", "k-before\n");
    let _ = machine.see("setup --remove");
    assert!(machine.path("skills/prose/SKILL.md").exists());
    let keys = fs::read_to_string(machine.path("home/keys.toml")).unwrap();
    assert!(keys.contains("k-before"), "{keys}");
    let settings = fs::read_to_string(machine.path("user/.claude/settings.json")).unwrap();
    assert!(settings.contains("hook session-start"), "{settings}");
}

/// Returns every file and folder of the machine with what it holds, but for the state folder's locks and what is made anew whenever it is needed.
fn everything(machine: &Machine) -> Vec<(String, String)> {
    let (root, mut found) = (machine.path(""), Vec::new());
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            if path.is_dir() {
                folders.push(path.clone());
            }
            if !name.ends_with(".lock") {
                found.push((name, fs::read_to_string(path).unwrap_or_default()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn several_setups_are_undone_in_the_reverse_order() {
    let machine = Machine::new();
    fs::remove_dir(machine.path("skills")).unwrap();
    machine.put("project/settings.json", "{\"model\": \"opus\"}\n");
    // One that another skillhost left gives way to ours, and comes back.
    let old = r#"{"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": "/old/skillhost hook session-start", "timeout": 5}]}]}}"#;
    machine.put("other/settings.json", old);
    fs::create_dir(machine.path("home")).unwrap();
    let before = everything(&machine);
    let mut seen = vec![
        machine.see_with("setup --yes --hook --provider anthropic", "k-1\n"),
        machine.see_with(
            "setup --yes --hook --provider openai --settings project/settings.json",
            "k-2\n",
        ),
        machine.see("setup --yes --hook --settings other/settings.json"),
        machine.see("setup --yes --hook --settings made/for/it/settings.json"),
    ];
    let hooks = |path: &str| {
        fs::read_to_string(machine.path(path))
            .unwrap()
            .matches("skillhost hook session-start")
            .count()
    };
    assert_eq!(
        ["user/.claude", "project", "other", "made/for/it"].map(|folder| hooks(&format!("{folder}/settings.json"))),
        [1; 4]
    );
    assert!(
        !fs::read_to_string(machine.path("other/settings.json"))
            .unwrap()
            .contains("/old/")
    );
    seen.push(machine.see("setup --remove"));
    insta::assert_snapshot!(seen.join("\n"));
    let after = everything(&machine);
    let reformatted = |(name, text): (String, String)| (name, text.split_whitespace().collect::<String>());
    assert_eq!(
        after.into_iter().map(reformatted).collect::<Vec<_>>(),
        before.into_iter().map(reformatted).collect::<Vec<_>>()
    );
    assert_eq!(
        fs::read_to_string(machine.path("project/settings.json")).unwrap(),
        "{\"model\": \"opus\"}\n"
    );
}

#[test]
fn what_was_changed_since_setup_is_kept_and_what_cannot_be_undone_yet_stays_noted() {
    let machine = Machine::new();
    machine.put("user/.claude/settings.json", "{\"model\": \"opus\"}");
    let _ = machine.see_with("setup --yes --hook --provider anthropic", "k-1\n");
    let _ = machine.see_with("setup --yes --provider openai", "k-2\n");
    let _ = machine.see_with("auth set anthropic", "k-of-the-user\n");
    let settings = machine.path("user/.claude/settings.json");
    let sound = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, "{").unwrap();
    let mut seen = vec![machine.see("setup --remove"), machine.see("auth list")];
    fs::write(
        &settings,
        sound.replace("'", "").replace("skillhost hook", "skillhost-2 hook"),
    )
    .unwrap();
    seen.extend([machine.see("setup --remove"), machine.see("auth list")]);
    insta::assert_snapshot!(seen.join("\n"));
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
