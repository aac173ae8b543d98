//! Known holes in what this is made of: asked of `cargo deny` or `cargo audit`, where one is installed. Neither is built here, which would take longer than all the tests.
//!
//! Only a hole that is known to concern this fails. A database that cannot be had, because the machine is offline, is told and passed over.

use crate::step::{announce, cargo};

/// What may be asked, the first that is there.
const TOOLS: [(&str, &[&str]); 2] = [("deny", &["check", "advisories"]), ("audit", &[])];

/// What each known hole is named by.
const MARK: &str = "RUSTSEC-";

/// Asks for known holes.
pub(crate) fn check() -> Result<(), String> {
    announce("known holes");
    let is_there = |tool: &str| {
        cargo([tool, "--version"])
            .output()
            .is_ok_and(|told| told.status.success())
    };
    let Some((tool, words)) = TOOLS.into_iter().find(|(tool, _)| is_there(tool)) else {
        println!("not asked for: neither `cargo deny` nor `cargo audit` is installed");
        return Ok(());
    };
    let told = cargo([&[tool], words].concat())
        .output()
        .map_err(|error| error.to_string())?;
    let text = [told.stdout, told.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    judge(told.status.success(), &text).map(|note| println!("{note}"))
}

/// Decides about what a tool says.
fn judge(is_well: bool, text: &str) -> Result<String, String> {
    match (is_well, text.contains(MARK)) {
        (true, _) => Ok("none".to_owned()),
        (false, true) => Err(format!("there are known holes:\n{text}")),
        (false, false) => Ok(format!("nobody can say: {}", text.lines().last().unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_hole_fails() {
        assert!(judge(true, "advisories ok").is_ok());
        assert!(judge(false, "error: failed to fetch the advisory database").is_ok());
        assert!(judge(false, "error[vulnerability]: a hole\n  ID: RUSTSEC-2026-0001").is_err());
    }
}
