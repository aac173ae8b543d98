//! What the program says of itself.

use crate::machine::Machine;

const COMMANDS: &[&str] = &[
    "launch",
    "resume",
    "list",
    "show",
    "result",
    "status",
    "logs",
    "inbox",
    "dismiss",
    "signal",
    "answer",
    "retry",
    "fork",
    "replay",
    "upgrade",
    "diff",
    "compare",
    "cancel",
    "pause",
    "inject",
    "wait",
    "worker",
    "skills",
    "new",
    "build",
    "check",
    "dev",
    "test",
    "install",
    "uninstall",
    "hook",
    "setup",
    "auth",
    "grant",
    "grants",
    "cost",
    "prune",
    "discard",
    "backup",
    "restore",
    "completions",
    "man",
    "doctor",
    "explain",
];

#[test]
fn the_program_lists_its_commands() {
    let seen = Machine::new().see("--help");
    insta::assert_snapshot!(seen);
    for command in COMMANDS {
        assert!(seen.contains(&format!("\n  {command} ")), "{command}");
    }
}

#[test]
fn every_command_says_how_it_is_used() {
    let machine = Machine::new();
    for command in COMMANDS {
        let seen = machine.see(&format!("{command} --help"));
        assert!(
            seen.contains("\nExample") || seen.contains("  skillhost "),
            "{command} shows no example"
        );
        insta::assert_snapshot!(format!("help_{command}"), seen);
    }
}

#[test]
fn the_version_is_told() {
    let seen = Machine::new().see("--version");
    assert_eq!(
        seen,
        format!(
            "$ skillhost --version\nexit 0\n--- stdout\nskillhost {}\n",
            env!("CARGO_PKG_VERSION")
        )
    );
}

#[test]
fn every_command_has_a_page_and_is_completed() {
    let machine = Machine::new();
    let folder = machine.path("pages").display().to_string();
    let seen = machine.see(&format!("man --to {folder}"));
    assert!(seen.contains("pages in [DIR]/pages"), "{seen}");
    let page = |name: &str| std::fs::read_to_string(machine.path("pages").join(format!("{name}.1"))).unwrap();
    assert!(
        page("skillhost").contains("skillhost\\-launch"),
        "{}",
        page("skillhost")
    );
    for command in COMMANDS {
        let page = page(&format!("skillhost-{command}"));
        assert!(
            page.contains(".SH SYNOPSIS") && page.contains("\n  skillhost "),
            "{page}"
        );
    }
    assert!(page("skillhost-hook-install").contains("settings"));
    assert!(machine.see("completions bash --json").contains("\"result_path\""));
    for shell in ["bash", "zsh", "fish"] {
        let seen = machine.see(&format!("completions {shell}"));
        assert!(seen.contains("exit 0\n") && seen.contains("dismiss"), "{seen}");
    }
    let lines = ["man lauch", "man x --to y", "completions tcsh"];
    let seen: Vec<String> = lines.iter().map(|line| machine.see(line)).collect();
    insta::assert_snapshot!(seen.join("\n"));
}
