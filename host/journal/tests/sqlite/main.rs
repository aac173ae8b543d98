//! What is particular to a journal in a database.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

mod alone;
#[cfg(feature = "failpoints")]
mod crash;
mod damage;
mod days;
mod forms;
mod open;
mod payloads;
mod storage;
mod upkeep;

use std::path::{Path, PathBuf};

use skillhost_journal::SqliteJournal;
use support::Stage;

/// Returns where the stage's database is.
fn database(stage: &Stage) -> PathBuf {
    stage.folder.as_ref().unwrap().path().join("journal.db")
}

/// Opens the stage's database as another process would.
fn open_again(stage: &Stage) -> SqliteJournal {
    SqliteJournal::open(&database(stage)).unwrap()
}

/// Opens a database as the sqlite3 shell would.
fn shell(path: &Path) -> rusqlite::Connection {
    let shell = rusqlite::Connection::open(path).unwrap();
    shell.pragma_update(None, "foreign_keys", false).unwrap();
    shell
}
