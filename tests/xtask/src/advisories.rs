//! What is known of the crates that this is made of: licences and sources, by what stands in `.cargo/deny.toml`, and holes.
//!
//! `cargo deny` is asked, where it is installed; `.ci/run` installs it, and the command for everyday use does not, as that takes minutes. Of holes, only one that is known to
//! concern this fails: a database that cannot be had, because the machine is offline, is told and passed over.

use std::process::Output;

use crate::step::{announce, cargo};

/// What each known hole is named by.
const MARK: &str = "RUSTSEC-";

/// Asks for all of it.
pub(crate) fn check() -> Result<(), String> {
    announce("dependencies");
    let is_there = cargo(["deny", "--version"])
        .output()
        .is_ok_and(|told| told.status.success());
    if !is_there {
        println!("not asked for: `cargo deny` is not installed (`cargo install --locked cargo-deny`)");
        return Ok(());
    }
    let told = ask(&["bans", "licenses", "sources"])?;
    if !told.status.success() {
        return Err(format!(
            "not every dependency is as `.cargo/deny.toml` says:\n{}",
            text(told)
        ));
    }
    println!("licences and sources: as `.cargo/deny.toml` says");
    let told = ask(&["advisories"])?;
    judge(told.status.success(), &text(told)).map(|note| println!("known holes: {note}"))
}

fn ask(what: &[&str]) -> Result<Output, String> {
    cargo([&["deny", "check"], what].concat())
        .output()
        .map_err(|error| format!("`cargo deny` could not be started: {error}"))
}

fn text(told: Output) -> String {
    [told.stdout, told.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat()
}

/// Decides about what is said of holes.
fn judge(is_well: bool, text: &str) -> Result<String, String> {
    match (is_well, text.contains(MARK)) {
        (true, _) => Ok("none".to_owned()),
        (false, true) => Err(format!("there are known holes:\n{text}")),
        (false, false) => {
            let why = text.lines().rfind(|line| !line.trim().is_empty());
            Ok(format!("nobody can say: {}", why.unwrap_or_default()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_hole_fails() {
        assert!(judge(true, "advisories ok").is_ok());
        let offline = judge(false, "error: failed to fetch the advisory database\n\n");
        assert_eq!(
            offline.unwrap_or_default(),
            "nobody can say: error: failed to fetch the advisory database"
        );
        assert!(judge(false, "error[vulnerability]: a hole\n  ID: RUSTSEC-2026-0001").is_err());
    }
}
