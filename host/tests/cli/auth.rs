//! Keys are stored, used and never shown.

use std::os::unix::fs::PermissionsExt as _;

use crate::machine::Machine;

const SECRET: &str = "k-not-to-be-shown";

#[test]
fn a_key_is_stored_used_and_never_shown() {
    let machine = Machine::new();
    let mut seen = vec![
        machine.see("auth list"),
        machine.see_with("auth set anthropic", &format!("{SECRET}\n")),
        machine.see("auth set openai -- pass show openai"),
        machine.see("auth list"),
        machine.see("auth list --json"),
    ];
    let rights = std::fs::metadata(machine.path("home/keys.toml")).unwrap().permissions();
    assert_eq!(rights.mode() & 0o777, 0o600);
    let doctor = machine.see("doctor --json");
    assert!(doctor.contains("anthropic: a key of it is stored"), "{doctor}");
    seen.extend(["auth remove anthropic", "auth remove anthropic --json", "auth list"].map(|line| machine.see(line)));
    let seen = seen.join("\n");
    assert!(!seen.contains(SECRET) && !doctor.contains(SECRET), "{seen}");
    insta::assert_snapshot!(seen);
}

#[test]
fn what_is_no_key_is_not_stored() {
    let machine = Machine::new();
    let seen = [
        machine.see_with("auth set anthropic", ""),
        machine.see_with("auth set anthropic", "two words\n"),
        machine.see_with("auth set offline", "k\n"),
        machine.see_with("auth set antropic", "k\n"),
        machine.see("auth"),
    ];
    assert!(!machine.path("home/keys.toml").exists());
    machine.put("home/keys.toml", format!("[anthropic]\nkey = {SECRET}\n"));
    let open = machine.see("auth list");
    std::fs::set_permissions(machine.path("home/keys.toml"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let seen = format!("{}\n{open}\n{}", seen.join("\n"), machine.see("auth list"));
    assert!(!seen.contains(SECRET), "{seen}");
    insta::assert_snapshot!(seen);
}
