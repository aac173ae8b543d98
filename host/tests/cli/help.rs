//! What the program says of itself.

use crate::machine::Machine;

const COMMANDS: [&str; 14] = [
    "launch", "resume", "list", "show", "result", "logs", "inbox", "dismiss", "signal", "answer", "cancel", "skills",
    "hook", "doctor",
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
        insta::assert_snapshot!(format!("help_{command}"), machine.see(&format!("{command} --help")));
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
