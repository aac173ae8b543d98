//! One disk: it remembers what was done to it, in order, and fails when it is told to.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::ffi;

use crate::platter::Platter;
use crate::vfs::{Mounted, mount};

/// Something that is about to be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Open,
    Read,
    /// So many bytes.
    Write(usize),
    Truncate,
    Sync,
    Delete,
    /// The memory that connections share about the log is made larger. It is a file, too.
    Share,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Go,
    /// Nothing is done, and SQLite is told this.
    Fail(i32),
    /// So many bytes are written, and then SQLite is told this.
    Short(usize, i32),
}

/// Something that was done to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// It is there from now on, empty.
    Create(String),
    Write {
        file: String,
        offset: usize,
        bytes: Arc<[u8]>,
    },
    Truncate {
        file: String,
        size: usize,
    },
    /// What was written is durable; with `folder`, also which files there are.
    Sync {
        file: String,
        folder: bool,
    },
    /// What was written and not synced before is not made durable by any later sync: the system has told of the error and forgets that it still had to write.
    SyncFailed(String),
    /// What was written and not synced before is gone at once.
    Forget(String),
    Delete {
        file: String,
        folder: bool,
    },
}

/// How a disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// There is no space: nothing is written, and nothing made.
    Full,
    /// There is space for half of the first write.
    Short,
    /// Whatever is asked ends with an error.
    Error,
    /// As `Error`; of a sync, what was written before is gone at once, and who reads it finds what was there earlier.
    Forgets,
}

impl How {
    /// Every way.
    pub(crate) const ALL: [Self; 4] = [Self::Full, Self::Short, Self::Error, Self::Forgets];

    /// Returns what becomes of something, or `None` if that does not fail so.
    fn verdict(self, asked: Asked) -> Option<Verdict> {
        let is_full = matches!(self, Self::Full | Self::Short);
        let verdict = match asked {
            Asked::Write(bytes) if self == Self::Short => Verdict::Short(bytes / 2, ffi::SQLITE_FULL),
            Asked::Write(_) if is_full => Verdict::Fail(ffi::SQLITE_FULL),
            Asked::Share if is_full => Verdict::Fail(ffi::SQLITE_IOERR_SHMSIZE),
            // Many file systems find the space only when they write.
            Asked::Sync => Verdict::Fail(ffi::SQLITE_IOERR_FSYNC),
            _ if is_full => return None,
            Asked::Open => Verdict::Fail(ffi::SQLITE_CANTOPEN),
            Asked::Read => Verdict::Fail(ffi::SQLITE_IOERR_READ),
            Asked::Write(_) => Verdict::Fail(ffi::SQLITE_IOERR_WRITE),
            Asked::Truncate => Verdict::Fail(ffi::SQLITE_IOERR_TRUNCATE),
            Asked::Delete => Verdict::Fail(ffi::SQLITE_IOERR_DELETE),
            Asked::Share => Verdict::Fail(ffi::SQLITE_IOERR_SHMMAP),
        };
        Some(verdict)
    }
}

/// When a disk fails, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Of what can fail so, how much goes well before.
    pub(crate) after: usize,
    /// How much fails then.
    pub(crate) times: usize,
    pub(crate) how: How,
}

/// A folder whose files remember what is done to them.
pub(crate) struct Disk {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether nobody wants to know what is done.
    is_quiet: bool,
    ops: Vec<Op>,
    /// What is durable.
    platter: Platter,
    trouble: Option<Trouble>,
    /// How much was asked for that can fail as the trouble says.
    asked: usize,
    failed: usize,
    /// What failed first.
    first_failed: Option<String>,
}

impl Disk {
    /// Makes a disk of what lies in a folder, all of it durable.
    pub(crate) fn of(folder: &Path) -> (Arc<Self>, Mounted) {
        let disk = Arc::new(Self {
            folder: folder.to_owned(),
            state: Mutex::new(State {
                platter: Platter::of(&crate::image::read(folder)),
                ..State::default()
            }),
        });
        let mounted = mount(folder, &disk);
        (disk, mounted)
    }

    /// Makes a disk that remembers nothing: one of which only the syncs are to cost nothing.
    pub(crate) fn quiet(folder: &Path) -> Mounted {
        let state = Mutex::new(State {
            is_quiet: true,
            ..State::default()
        });
        let folder = folder.to_owned();
        mount(&folder.clone(), &Arc::new(Self { folder, state }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many things were done so far: a moment.
    pub(crate) fn now(&self) -> usize {
        self.state().ops.len()
    }

    /// Returns all that was done.
    pub(crate) fn ops(&self) -> Vec<Op> {
        self.state().ops.clone()
    }

    /// Begins to count, and fails when it is time.
    pub(crate) fn plan(&self, trouble: Trouble) {
        let mut state = self.state();
        state.trouble = Some(trouble);
        (state.asked, state.failed) = (0, 0);
    }

    /// Returns how much was asked for that can fail as it was planned.
    pub(crate) fn asked(&self) -> usize {
        self.state().asked
    }

    /// Does not fail any more. Returns how often it failed, and at what first.
    pub(crate) fn heal(&self) -> (usize, Option<String>) {
        let mut state = self.state();
        state.trouble = None;
        (state.failed, state.first_failed.take())
    }

    pub(crate) fn ask(&self, file: &str, asked: Asked) -> Verdict {
        let mut state = self.state();
        let Some(trouble) = state.trouble else {
            return Verdict::Go;
        };
        let Some(verdict) = trouble.how.verdict(asked) else {
            return Verdict::Go;
        };
        let nth = state.asked;
        state.asked += 1;
        if nth < trouble.after || nth >= trouble.after + trouble.times {
            return Verdict::Go;
        }
        state.failed += 1;
        state
            .first_failed
            .get_or_insert_with(|| format!("{asked:?} of `{file}`"));
        match verdict {
            // There was space for a part of the first only.
            Verdict::Short(_, code) if nth > trouble.after => Verdict::Fail(code),
            verdict => verdict,
        }
    }

    pub(crate) fn opened(&self, file: &str) {
        let mut state = self.state();
        if !state.is_quiet && !state.platter.has(file) {
            state.did(Op::Create(file.to_owned()));
        }
    }

    pub(crate) fn wrote(&self, file: &str, offset: u64, bytes: &[u8]) {
        let offset = usize::try_from(offset).expect("files here are small");
        let (file, bytes) = (file.to_owned(), bytes.into());
        self.state().did(Op::Write { file, offset, bytes });
    }

    pub(crate) fn truncated(&self, file: &str, size: u64) {
        let size = usize::try_from(size).expect("files here are small");
        self.state().did(Op::Truncate {
            file: file.to_owned(),
            size,
        });
    }

    pub(crate) fn synced(&self, file: &str, folder: bool) {
        self.state().did(Op::Sync {
            file: file.to_owned(),
            folder,
        });
    }

    pub(crate) fn sync_failed(&self, file: &str) {
        let mut state = self.state();
        state.did(Op::SyncFailed(file.to_owned()));
        if state.trouble.is_some_and(|trouble| trouble.how == How::Forgets) {
            state.did(Op::Forget(file.to_owned()));
            let durable = state.platter.content(file);
            std::fs::write(self.folder.join(file), durable).expect("the folder of a test can be written");
        }
    }

    pub(crate) fn deleted(&self, file: &str, folder: bool) {
        self.state().did(Op::Delete {
            file: file.to_owned(),
            folder,
        });
    }
}

impl State {
    fn did(&mut self, op: Op) {
        if self.is_quiet {
            return;
        }
        self.platter.take(&op);
        self.ops.push(op);
    }
}
