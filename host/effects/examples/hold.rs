//! Holds a program until it may begin, as `skillhost` itself does. For the tests of this crate, which has no program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    ExitCode::from(skillhost_effects::process::hold(&words))
}
