//! The program `skillhost`, built with what tests need.
//!
//! `SKILLHOST_PLANTED=<name>` plants a bug in it, of those that [`planted::Bug`] lists, to see which suite notices. That needs a build of the whole workspace, whose tests have bugs
//! planted: nothing that a release is made of turns the feature on.

#![allow(clippy::print_stderr, reason = "it speaks to whoever runs the tests")]

use std::process::ExitCode;

use skillhost_core::planted::{self, Bug};

/// What names the bug that is to be planted.
const PLANTED: &str = "SKILLHOST_PLANTED";

/// The exit code if it cannot be.
const NOT_PLANTED: u8 = 99;

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(PLANTED)
        && !Bug::named(&name).is_some_and(planted::everywhere)
    {
        eprintln!("error: `{name}` cannot be planted in this build");
        return ExitCode::from(NOT_PLANTED);
    }
    skillhost::cli::main(std::env::args_os().collect()).into()
}
