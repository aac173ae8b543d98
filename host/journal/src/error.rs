//! What can go wrong, and who has to act.

use std::path::PathBuf;
use std::sync::Arc;

use skillhost_core::id::{Digest, Epoch, LaunchId, Number, RunId, Seq};
use skillhost_core::machine::Status;

/// Why a journal could not be opened. The user has to act; [`OpenError::hint`] says how.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its folder is not there and cannot be made.
    #[error("could not make the folder `{path}`")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It may not be read or written.
    #[error("the journal at `{path}` cannot be opened for writing")]
    NotWritable {
        /// The database.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is no database.
    #[error("`{path}` is not an SQLite database")]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// It is another program's database.
    #[error("`{path}` is a database of another program")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer skillhost wrote it.
    #[error("the journal at `{path}` has format {found}; this skillhost knows formats up to {known}")]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// Somebody else keeps it locked.
    #[error("the journal at `{path}` is locked by another program")]
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// It cannot be brought up to date, or not be used at all.
    #[error("could not prepare the journal at `{path}`")]
    Storage {
        /// The database.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// Returns what to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Folder { path, .. } => format!(
                "make it yourself (`mkdir -p {}`), or set SKILLHOST_HOME to a folder of yours",
                path.display()
            ),
            Self::NotWritable { path, .. } => {
                format!(
                    "`ls -l {}` shows its owner and rights; SKILLHOST_HOME names another folder",
                    path.display()
                )
            }
            Self::NotADatabase { path } | Self::Foreign { path } => format!(
                "if nothing else needs that file, move it away: `mv {0} {0}.bak`; a new journal is made in its place",
                path.display()
            ),
            Self::Newer { .. } => {
                "use the newer skillhost that wrote it, or point SKILLHOST_HOME to another folder".to_owned()
            }
            Self::Locked { path } => {
                format!(
                    "`fuser {}` shows who; backup programs and database browsers do this",
                    path.display()
                )
            }
            Self::Storage { path, .. } => {
                format!(
                    "`sqlite3 {} 'pragma integrity_check'` tells whether the file is sound",
                    path.display()
                )
            }
        }
    }
}

/// Why something asked of a journal was not done.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// There is no such run.
    #[error("there is no run `{run}`")]
    UnknownRun {
        /// What was asked for.
        run: RunId,
    },
    /// The run takes no more commands.
    #[error("run `{run}` is over ({})", status.as_str())]
    Over {
        /// The run.
        run: RunId,
        /// How it ended.
        status: Status,
    },
    /// An answer or a decision is about nothing that the run asks, or not any more.
    #[error("run `{run}` has no open question #{number}")]
    QuestionClosed {
        /// The run.
        run: RunId,
        /// The call that was named.
        number: Number,
    },
    /// Somebody else was faster; his answer is accepted, though the run may not have taken it yet.
    #[error("question #{number} of run `{run}` was answered already")]
    Answered {
        /// The run.
        run: RunId,
        /// The call that asked.
        number: Number,
    },
    /// The run is still needed.
    #[error("run `{run}` is not over ({})", status.as_str())]
    NotOver {
        /// The run.
        run: RunId,
        /// How it stands.
        status: Status,
    },
    /// A new run names a bundle that is not there.
    #[error("bundle `{}` of the new run is not in the journal", bundle.short())]
    NoBundle {
        /// The bundle.
        bundle: Digest,
    },
    /// The run that a new one was to follow is no longer the newest of its launch.
    #[error("launch `{launch}` went on with run `{newest}` in the meantime")]
    LaunchMoved {
        /// The launch.
        launch: LaunchId,
        /// Its newest run.
        newest: RunId,
    },
    /// The entries that a new run is to begin with are not a journal, which is a fault of ours.
    #[error("run `{run}` cannot begin with these entries: {what}")]
    BadCopy {
        /// The run.
        run: RunId,
        /// What is wrong with them.
        what: String,
    },
    /// An entry cannot be read.
    #[error(
        "entry {seq} of run `{run}` is damaged: {what}; `skillhost doctor` checks the database, and a backup of it has the entry"
    )]
    Damaged {
        /// The run.
        run: RunId,
        /// The entry.
        seq: Seq,
        /// What is wrong with it.
        what: String,
    },
    /// Something else cannot be read.
    #[error("{what} is damaged: {why}; `skillhost doctor` checks the database")]
    DamagedRow {
        /// Which row.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The database cannot be read or written now.
    #[error("could not {doing} the journal at `{path}`")]
    Storage {
        /// What was tried: `read` or `write to`.
        doing: &'static str,
        /// The database.
        path: PathBuf,
        /// Why.
        source: Arc<rusqlite::Error>,
    },
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

/// Why appending to a run's journal ended. The attempt is over: another begins by reading what is durable. Every variant leaves the journal as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Somebody else holds the run now (rule L1).
    #[error("lease on run `{run}` passed to another worker at epoch {found}; this one held epoch {held}")]
    Fenced {
        /// The run.
        run: RunId,
        /// The epoch of the append.
        held: Epoch,
        /// The epoch of the lease.
        found: Epoch,
    },
    /// The entry does not follow the last one.
    #[error("entry {seq} of run `{run}` does not follow its last one: {next} is next")]
    Stale {
        /// The run.
        run: RunId,
        /// Its position.
        seq: Seq,
        /// The position that is free.
        next: Seq,
    },
    /// The run has its last entry.
    #[error("run `{run}` is over: nothing follows its last entry")]
    Over {
        /// The run.
        run: RunId,
    },
    /// There is no such run.
    #[error("there is no run `{run}`")]
    UnknownRun {
        /// What was written to.
        run: RunId,
    },
    /// A barrier names an entry that was not appended, which is a fault of ours.
    #[error("a barrier of run `{run}` waits for entry {seq}, which was not appended")]
    NotAppended {
        /// The run.
        run: RunId,
        /// The position.
        seq: Seq,
    },
    /// The database took none of it, which is a fault of ours.
    #[error("entries of run `{run}` were refused by the database: {reason}")]
    Refused {
        /// The run.
        run: RunId,
        /// What it said.
        reason: Arc<str>,
    },
    /// Storage fails for so long, or the run writes so fast, that no more is kept in memory.
    #[error("run `{run}` has {bytes} bytes waiting for the disk, more than the {bytes_max} that are kept")]
    TooMuchQueued {
        /// The run.
        run: RunId,
        /// How much waits.
        bytes: usize,
        /// The bound ([`crate::QUEUED_BYTES_MAX`]).
        bytes_max: usize,
    },
    /// The journal was closed, and what was queued could not be written.
    #[error("the journal was closed before the entries of run `{run}` were written")]
    Closed {
        /// The run.
        run: RunId,
    },
}

/// Why a text names no run.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// No run is called so.
    #[error("there is no run `{text}`{}", did_you_mean(nearest.as_deref()))]
    Unknown {
        /// What was asked for.
        text: String,
        /// The id most like it.
        nearest: Option<String>,
    },
    /// Several are.
    #[error("`{text}` could be {}", list(matches, *more))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Some that it could be, newest first.
        matches: Vec<String>,
        /// How many others.
        more: usize,
    },
    /// It is too short to name one.
    #[error("`{text}` is too short to name a run: give at least {min} characters", min = FindError::LENGTH_MIN)]
    TooShort {
        /// What was asked for.
        text: String,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl FindError {
    /// The fewest characters of an id that are looked up.
    pub const LENGTH_MIN: usize = 4;
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |id| format!("; did you mean `{id}`?"))
}

fn list(matches: &[String], more: usize) -> String {
    let named = matches
        .iter()
        .map(|id| format!("`{id}`"))
        .collect::<Vec<_>>()
        .join(" or ");
    match more {
        0 => named,
        more => format!("{named} or {more} others"),
    }
}
