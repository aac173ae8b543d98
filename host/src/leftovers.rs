//! What runs left behind that the journal does not have: their folders and results, where removing them was cut short.
//!
//! Only looks: `prune` removes, `doctor` tells.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use skillhost_core::id::RunId;
use skillhost_journal::{Journal, JournalError};

use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::Home;

/// What was changed within this time may be of a run that is about to be made.
const AGE_MIN: Duration = Duration::from_secs(86_400);

/// How many characters a run's id has, with which the names of its files begin.
const ID_CHARS: usize = 26;

/// Returns the folders and files of runs that the journal does not have, if they have not been changed for a day.
pub fn find(home: &Home, journal: &dyn Journal) -> Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    for folder in [home.runs(), home.results()] {
        for (run, path) in of_runs(&folder).map_err(|e| unreadable(&folder, &e))? {
            // Looked for only after it was found, so that a run which is just being made is there by now.
            match journal.run(&run) {
                Err(JournalError::UnknownRun { .. }) if is_old(&path) => left.push(path),
                Ok(_) | Err(JournalError::UnknownRun { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    left.sort();
    Ok(left)
}

/// Returns what is in a folder whose name begins with the id of a run.
fn of_runs(folder: &Path) -> io::Result<Vec<(RunId, PathBuf)>> {
    let found = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        found => found?,
    };
    let mut of_runs = Vec::new();
    for entry in found {
        let entry = entry?;
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.get(..ID_CHARS));
        if let Some(run) = id.and_then(|id| RunId::parse(id).ok()) {
            of_runs.push((run, entry.path()));
        }
    }
    Ok(of_runs)
}

/// One that is younger, of a time to come, or cannot be looked at is left.
fn is_old(path: &Path) -> bool {
    let changed = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    let age = changed
        .ok()
        .and_then(|changed| SystemTime::now().duration_since(changed).ok());
    age.is_some_and(|age| age >= AGE_MIN)
}

fn unreadable(folder: &Path, error: &io::Error) -> CliError {
    let message = format!("could not look into `{}`", folder.display());
    CliError::new(Exit::Storage, "unreadable", message)
        .caused_by(error)
        .hint("`skillhost doctor` checks the state folder")
}
