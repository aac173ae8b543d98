//! What the programs are run with that skills start: our own program, which holds them until they may begin, and the user's environment.

use std::ffi::OsString;

use skillhost_effects::process::{Ground, Holder, hold};

use crate::env;

/// The first word of a command line that holds a program. It is nobody's to type, so it stands in no help.
const HOLD: &str = "hold-program";

/// Returns what programs are run with in this process.
pub(super) fn ground() -> Ground {
    let program = env::own_program();
    let words = vec![OsString::from(HOLD)];
    Ground::new(Holder { program, words }, env::search_path(), env::variable)
}

/// Becomes the program that a command line holds, if it holds one; then this returns only if that could not begin, with the exit code that says so.
pub fn held(words: &[OsString]) -> Option<u8> {
    match words {
        [_, word, rest @ ..] if word == HOLD => Some(hold(rest)),
        _ => None,
    }
}
