//! Secrets are stored, listed with whom they may be told, and never shown.

use std::os::unix::fs::PermissionsExt as _;

use crate::machine::Machine;

const SECRET: &str = "not-to-be-shown-at-all";

fn machine() -> Machine {
    let machine = Machine::new();
    machine.put("home/config.toml", "agents_may_grant = true\n");
    machine
}

#[test]
fn a_secret_is_stored_listed_and_never_shown() {
    let machine = machine();
    let mut seen = vec![
        machine.see("secret list"),
        machine.see_with("secret set github-token", &format!("{SECRET}\n")),
        machine.see("secret set npm -- pass show npm"),
    ];
    let grants = "[skills.triage]\nprocess = [{ program = \"npm\", secrets = [\"npm\", \"missing\"] }]\n\
        http = [{ host = \"api.github.com\", methods = [\"GET\"], secrets = [\"github-token\"] }]\n";
    machine.put("home/grants.toml", grants);
    let owners = |path: &str| {
        std::fs::set_permissions(machine.path(path), std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    owners("home/grants.toml");
    let rights = std::fs::metadata(machine.path("home/secrets.toml"))
        .unwrap()
        .permissions();
    assert_eq!(rights.mode() & 0o777, 0o600);
    for line in [
        "secret list",
        "secret list --json",
        "grants",
        "grants --json",
        "secret remove github-token",
        "secret remove github-token",
        "secret list",
    ] {
        seen.push(machine.see(line));
    }
    let seen = seen.join("\n");
    assert!(!seen.contains(SECRET), "{seen}");
    insta::assert_snapshot!(seen);
}

#[test]
fn what_is_no_secret_is_not_stored_and_nobody_but_a_person_stores_one() {
    let machine = machine();
    let mut seen = vec![
        machine.see_with("secret set short", "1234567\n"),
        machine.see_with("secret set a/b", &format!("{SECRET}\n")),
        machine.see_with("secret set two", "two\tparts-of-it\n"),
        machine.see("secret"),
    ];
    machine.put("home/config.toml", "");
    seen.push(machine.see_with("secret set name", &format!("{SECRET}\n")));
    seen.push(machine.see_with("secret set name --json", &format!("{SECRET}\n")));
    assert!(!machine.path("home/secrets.toml").exists());
    machine.put("home/secrets.toml", format!("[name]\nkey = {SECRET}\n"));
    seen.push(machine.see("secret list"));
    std::fs::set_permissions(
        machine.path("home/secrets.toml"),
        std::fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    seen.push(machine.see("secret list"));
    let seen = seen.join("\n");
    assert!(!seen.contains(SECRET), "{seen}");
    insta::assert_snapshot!(seen);
}
