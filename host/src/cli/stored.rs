//! What `auth` and `secret` share: a value is read without being shown, kept in a file that is the user's alone, and never shown again.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::path::Path;

use serde_json::{Value, json};
use skillhost_effects::stored::{Store, Stored, StoredBy, VALUE_BYTES_MAX};

use super::context::Context;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home;
use crate::terminal::{self, plain_line};

/// Changes what is stored in a file, and nobody else does meanwhile. A file of nothing is removed.
pub(super) fn change<N: StoredBy, T>(
    path: &Path,
    context: &Context,
    change: impl FnOnce(&mut Store<N>) -> T,
) -> Result<T> {
    let unwritable = |e: io::Error| {
        let message = format!("could not write `{}`", context.path(path));
        CliError::new(Exit::Storage, "not_written", message).caused_by(&e)
    };
    let _alone = home::lock(path).map_err(unwritable)?;
    let before = Store::load(path)?;
    let mut store = before.clone();
    let changed = change(&mut store);
    match store.is_empty() {
        _ if store == before => {}
        true => std::fs::remove_file(path).map_err(unwritable)?,
        false => home::write_whole(path, store.reveal().as_bytes()).map_err(unwritable)?,
    }
    Ok(changed)
}

/// Asks for a value on a terminal, without showing it, or reads the first line of standard input.
pub(super) fn read<N: StoredBy>(name: &N) -> Result<String> {
    let what = N::WHAT;
    let failed =
        |e: io::Error| CliError::new(Exit::Host, "no_input", format!("could not read the {what}")).caused_by(&e);
    if io::stdin().is_terminal() {
        terminal::note(&format!("the {what} of {name}, which is not shown:"));
        return console::Term::stderr().read_secure_line().map_err(failed);
    }
    let mut line = String::new();
    let mut input = io::stdin().lock().take(VALUE_BYTES_MAX as u64 + 2);
    input.read_line(&mut line).map_err(failed)?;
    Ok(line)
}

/// Says what is stored, and not which value it is: in words, and as the members of a row.
pub(super) fn told(stored: &Stored, what: &str, mut row: Value) -> (String, Value) {
    match stored {
        Stored::Value(_) => {
            row["stored"] = json!(what);
            (format!("a {what}"), row)
        }
        Stored::Command(words) => {
            row["stored"] = json!("command");
            row["command"] = json!(words);
            (format!("the command `{}`", plain_line(&words.join(" "))), row)
        }
    }
}
