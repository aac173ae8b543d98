//! What those who write skills meet. What takes a compiler is in the tests that cross crates.

use crate::failures::CORE_MODULE;
use crate::machine::Machine;

#[test]
fn a_new_skill_is_a_crate_and_takes_the_place_of_nothing() {
    let machine = Machine::new();
    let lines = [
        "new daily-summary",
        "new daily-summary",
        "new other --template approval --path deep/below/other --json",
        "new match",
        "new Big",
        "new x --template none",
    ];
    let seen: Vec<String> = lines.iter().map(|line| machine.see(line)).collect();
    insta::assert_snapshot!(seen.join("\n"));
    for file in [
        ".cargo/config.toml",
        ".gitignore",
        "Cargo.lock",
        "tests/summarises.toml",
        "src/lib.rs",
    ] {
        assert!(machine.path("daily-summary").join(file).is_file(), "{file}");
    }
    let manifest = std::fs::read_to_string(machine.path("daily-summary/Cargo.toml")).unwrap();
    assert!(
        manifest.contains("name = \"daily-summary\"") && manifest.contains("skillhost-sdk = \"0.1\""),
        "{manifest}"
    );
    let document = std::fs::read_to_string(machine.path("deep/below/other/SKILL.md")).unwrap();
    assert!(document.contains("\nname: other\n"), "{document}");
}

#[test]
fn a_crate_that_cannot_be_built_is_told_what_is_missing() {
    let machine = Machine::new()
        .with("CARGO", "/no/such/cargo")
        .with("SKILLHOST_GUEST_TOOLCHAIN", "gcc");
    machine.put(
        "skill/Cargo.toml",
        "[package]\nname = \"skill\"\n[dependencies]\nskillhost-sdk = \"9\"\n",
    );
    machine.put("workspace/Cargo.toml", "[workspace]\n");
    machine.put("torn/Cargo.toml", "[package");
    machine.put("plain/Cargo.toml", "[package]\nname = \"plain\"\n");
    let lines = [
        "build",
        "build none",
        "build skill",
        "build workspace",
        "build torn",
        "build plain",
        "build skill --json",
    ];
    let seen: Vec<String> = lines.iter().map(|line| machine.see(line)).collect();
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn what_does_not_load_is_told_in_parts_and_not_installed() {
    let machine = Machine::new();
    machine.put("core.wasm", CORE_MODULE);
    machine.put("text/skill.wasm", "not a component");
    machine.put("text/offline.toml", "[[reply]]\nlable = \"x\"\n");
    machine.put("text/tests/case.toml", "input = {}\n");
    machine.put("prose/SKILL.md", "# Prose\n");
    machine.put("skills/core/skill.wasm", CORE_MODULE);
    let lines = [
        "check core.wasm",
        "check ./text",
        "check core",
        "check core --json",
        "check prose",
        "check nothing",
        "check ./nothing.wasm",
        "install core.wasm",
        "install core.wasm --json",
        "install prose",
        "install text --name Big",
    ];
    let seen: Vec<String> = lines.iter().map(|line| machine.see(line)).collect();
    insta::assert_snapshot!(seen.join("\n"));
    let names = std::fs::read_dir(machine.path("skills")).unwrap().count();
    assert_eq!(names, 1, "something was installed");
}

#[test]
fn what_was_not_installed_by_us_is_removed_only_with_consent() {
    let machine = Machine::new();
    machine.put("skills/mine/skill.wasm", CORE_MODULE);
    machine.put("skills/several/a.wasm", CORE_MODULE);
    machine.put("skills/several/b.wasm", CORE_MODULE);
    machine.put("skills/prose/SKILL.md", "# Prose\n");
    let lines = [
        "uninstall mine",
        "uninstall mine --json",
        "uninstall prose --yes",
        "uninstall nothing",
        "uninstall ../skills/mine --yes",
        "uninstall mine --yes",
        "uninstall several --yes",
    ];
    let seen: Vec<String> = lines.iter().map(|line| machine.see(line)).collect();
    insta::assert_snapshot!(seen.join("\n"));
    assert!(machine.path("skills/prose/SKILL.md").exists());
    assert!(!machine.path("skills/mine").exists() && !machine.path("skills/several").exists());
}
