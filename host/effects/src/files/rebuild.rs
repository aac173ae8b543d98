//! Makes the folder of a run that begins with a copy of another (rule F4).
//!
//! It is rebuilt from the changes that the copy says were made, in the order in which they were: [`rebuild`]. What a program wrote there nobody recorded, so where one
//! could have, that is refused; a run that changed nothing since the cut can be copied as it is instead ([`is_unchanged_since`]). A copy of everything that a finished run did goes on with
//! that run's folder as it is: [`copy_folder`]. What was changed in the user's own folders stays as it is there, and [`changed_elsewhere`] lists it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs as host_fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use skillhost_core::calls::{files as calls, process};
use skillhost_core::copy::Copy;
use skillhost_core::effect::{Function, Kind};
use skillhost_core::entry::{Called, Entry, Record};
use skillhost_core::id::{Number, idempotency_key};
use skillhost_core::outcome::{Fault, Outcome};

use super::change::Unsure;
use super::folder::{Folder, flush_folder, open_regular, way};
use super::path::{MountPath, is_nameable};
use super::{Mount, RUN, Table};

/// The rights that the folders of a run have.
const FOLDER_MODE: u32 = 0o700;

/// The errors of a program that was never begun.
const NEVER_BEGUN: [&str; 5] = [
    Fault::BUDGET,
    Fault::DENIED,
    Fault::INVALID,
    Fault::NOT_FOUND,
    Fault::TOO_LARGE,
];

/// Why the folder of a new run could not be made. What there is of it is of no use.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// A change could not be made again.
    #[error("call #{number} of the run that is copied changed a file, and that could not be done again: {why}")]
    Change {
        /// The call that made it.
        number: Number,
        /// Why not.
        why: String,
    },
    /// A program may have changed files, which nobody recorded.
    #[error(
        "call #{number} of the run that is copied ran the program `{program}` in the run's folder, and what that wrote is not recorded"
    )]
    Program {
        /// The call.
        number: Number,
        /// What it ran.
        program: String,
    },
    /// A folder could not be copied.
    #[error("could not copy the folder `{from}` to `{to}`")]
    Copy {
        /// The folder of the run that is copied.
        from: PathBuf,
        /// The new run's.
        to: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A change that a journal holds.
struct Change {
    number: Number,
    path: String,
    what: What,
}

enum What {
    Write(calls::Write),
    Append(calls::Write),
    Remove(calls::Path),
}

/// Makes in `folder`, which is not there yet, what the calls of a copy changed beneath `run/`, and returns how many changes that took.
pub fn rebuild(folder: &Path, copy: &Copy) -> Result<usize, RebuildError> {
    if let Some((number, program)) = programs(&copy.records, true).into_iter().next() {
        return Err(RebuildError::Program { number, program });
    }
    let own = Mount::Folder(Folder::of_run(folder.to_owned()));
    let table = Table {
        by_name: BTreeMap::from([(RUN.to_owned(), own)]),
    };
    let changes = changes(&copy.records, |outcome| {
        outcome.is_some_and(|outcome| outcome.code().is_none())
    });
    let own = changes.into_iter().filter(|change| is_own(&change.path));
    let needed = needed(own.collect());
    for change in &needed {
        let number = change.number;
        table
            .repeat(change, &idempotency_key(&copy.started.run, number))
            .map_err(|fault| RebuildError::Change {
                number,
                why: fault.message,
            })?;
    }
    Ok(needed.len())
}

/// Returns whether a run's own folder is today as it was at the cut of a copy: nothing was done in it that is not answered in the copy.
pub fn is_unchanged_since(records: &[Record], copy: &Copy) -> bool {
    let answered: BTreeSet<Number> = copy
        .records
        .iter()
        .filter_map(|record| match &record.entry {
            Entry::Returned(returned) => Some(returned.number),
            _ => None,
        })
        .collect();
    let changed = changes(records, |outcome| {
        outcome.is_none_or(|outcome| outcome.code().is_none())
    });
    let changed = changed.into_iter().filter(|change| is_own(&change.path));
    let numbers = changed.map(|change| change.number);
    let ran = programs(records, false).into_iter().map(|(number, _)| number);
    numbers.chain(ran).all(|number| answered.contains(&number))
}

/// Returns the files in the user's own folders that a run changed, or may have, each once.
pub fn changed_elsewhere(records: &[Record]) -> Vec<String> {
    let changed = changes(records, |outcome| {
        outcome.is_none_or(|outcome| outcome.code().is_none())
    });
    let changed = changed.into_iter().map(|change| change.path);
    let elsewhere: BTreeSet<String> = changed.filter(|path| !is_own(path)).collect();
    elsewhere.into_iter().collect()
}

/// Copies the folder of a run that is over, as it is, to a new run, whose folder is not there yet. A run that changed nothing has none. Left out is
/// what no guest can reach: unfinished writes, names that it cannot write, and what is neither a file, a folder nor a link.
pub fn copy_folder(from: &Path, to: &Path) -> Result<(), RebuildError> {
    copy_below(from, to).map_err(|source| RebuildError::Copy {
        from: from.to_owned(),
        to: to.to_owned(),
        source,
    })
}

impl Table {
    /// Makes a change that was made before, elsewhere.
    fn repeat(&self, change: &Change, key: &str) -> Result<(), Fault> {
        match &change.what {
            What::Write(request) => self.write(request, key, false),
            What::Append(request) => {
                let unmeasured = calls::Measured { length: None };
                self.append(request, unmeasured, false).map_err(|unsure| match unsure {
                    Unsure::Fault(fault) => fault,
                    Unsure::InDoubt(why) => Fault::new(Fault::FAILED, why),
                })
            }
            // Not there, if somebody else had put there what the call removed.
            What::Remove(request) => match self.remove(request, key, false) {
                Err(fault) if fault.code == Fault::NOT_FOUND => Ok(()),
                removed => removed,
            },
        }
    }
}

fn outcomes(records: &[Record]) -> BTreeMap<Number, &Outcome> {
    let returned = records.iter().filter_map(|record| match &record.entry {
        Entry::Returned(returned) => Some((returned.number, &returned.outcome)),
        _ => None,
    });
    returned.collect()
}

/// Returns the changes to files whose outcome is as wanted, in the order in which they were made: the order in which they were started (rule R3).
fn changes(records: &[Record], wanted: impl Fn(Option<&Outcome>) -> bool) -> Vec<Change> {
    let outcomes = outcomes(records);
    let calls = records.iter().filter_map(|record| match &record.entry {
        Entry::Called(called) if wanted(outcomes.get(&called.number).copied()) => change(called),
        _ => None,
    });
    calls.collect()
}

/// Returns the calls that ran a program in the run's own folder, or may have, with what they ran; if wanted, only those that were answered.
fn programs(records: &[Record], answered_only: bool) -> Vec<(Number, String)> {
    let outcomes = outcomes(records);
    let calls = records.iter().filter_map(|record| match &record.entry {
        Entry::Called(called) if called.function == Function::PROCESS_RUN => Some(called),
        _ => None,
    });
    let ran = calls.filter_map(|called| {
        let may_have_run = match outcomes.get(&called.number) {
            None => !answered_only,
            Some(outcome) => !outcome.code().is_some_and(|code| NEVER_BEGUN.contains(&code)),
        };
        let command: process::Command = called.request.read().ok().filter(|_| may_have_run)?;
        let is_here = command.folder.as_deref().is_none_or(is_own);
        is_here.then_some((called.number, command.program))
    });
    ran.collect()
}

/// Reads a call that changes a file. One that is malformed changed nothing.
fn change(called: &Called) -> Option<Change> {
    if !matches!(called.function.kind(), Kind::FileChange { .. }) {
        return None;
    }
    let what = match called.function.name() {
        "files.write" => What::Write(called.request.read().ok()?),
        "files.append" => What::Append(called.request.read().ok()?),
        _ => What::Remove(called.request.read().ok()?),
    };
    let path = match &what {
        What::Write(request) | What::Append(request) => &request.path,
        What::Remove(request) => &request.path,
    };
    let path = MountPath::parse(path).ok()?.text().to_owned();
    let number = called.number;
    Some(Change { number, path, what })
}

fn is_own(path: &str) -> bool {
    MountPath::parse(path).is_ok_and(|path| path.mount() == RUN)
}

/// Leaves out what a later write of the same file replaced, unless something was removed in between: that may have needed it.
fn needed(changes: Vec<Change>) -> Vec<Change> {
    let mut replaced = BTreeSet::new();
    let mut needed: Vec<Change> = Vec::new();
    for change in changes.into_iter().rev() {
        let is_replaced = replaced.contains(&change.path);
        match change.what {
            What::Remove(_) => replaced.clear(),
            What::Write(_) if !is_replaced => drop(replaced.insert(change.path.clone())),
            What::Write(_) | What::Append(_) => {}
        }
        if !is_replaced || matches!(change.what, What::Remove(_)) {
            needed.push(change);
        }
    }
    needed.reverse();
    needed
}

fn copy_below(from: &Path, to: &Path) -> io::Result<()> {
    let from = match Dir::open_ambient_dir(from, ambient_authority()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    host_fs::DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(to)?;
    let root = Dir::open_ambient_dir(to, ambient_authority())?;
    // Ways and not open folders: a run may nest them deeper than files may be open.
    let mut left = vec![String::new()];
    while let Some(below) = left.pop() {
        let (from, to) = (from.open_dir(way(&below))?, root.open_dir(way(&below))?);
        for entry in from.entries()? {
            let entry = entry?;
            let Some(name) = entry
                .file_name()
                .to_str()
                .filter(|name| is_nameable(name))
                .map(str::to_owned)
            else {
                continue;
            };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                to.create_dir(&name)?;
                left.push(if below.is_empty() {
                    name
                } else {
                    format!("{below}/{name}")
                });
            } else if kind.is_symlink() {
                to.symlink_contents(from.read_link_contents(&name)?, &name)?;
            } else if kind.is_file() {
                copy_file(&from, &to, &name)?;
            }
        }
        flush_folder(&to)?;
    }
    match to.parent() {
        Some(parent) => host_fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Copies what a file holds, and leaves its holes: a file that says it is larger than the disk takes no more of it as a copy than as it is.
fn copy_content(mut source: &host_fs::File, mut target: &host_fs::File, length: u64) -> io::Result<()> {
    target.set_len(length)?;
    let mut at = 0;
    loop {
        let data = match seek(source, SeekFrom::Data(at)) {
            Ok(data) => data,
            // From there on there is nothing but a hole.
            Err(Errno::NXIO) => return Ok(()),
            // This file system knows of no holes.
            Err(Errno::INVAL) if at == 0 => return io::copy(&mut source, &mut target).map(drop),
            Err(error) => return Err(error.into()),
        };
        at = seek(source, SeekFrom::Hole(data))?;
        seek(source, SeekFrom::Start(data))?;
        seek(target, SeekFrom::Start(data))?;
        // Between two files of the operating system, so that it may share the blocks.
        io::copy(&mut source.take(at - data), &mut target)?;
    }
}

fn copy_file(from: &Dir, to: &Dir, name: &str) -> io::Result<()> {
    let (source, metadata) = open_regular(from, name, OpenOptions::new().read(true), name)
        .map_err(|fault| io::Error::other(fault.message))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let target = to.open_with(name, &options)?.into_std();
    copy_content(&source.into_std(), &target, metadata.len())?;
    let mode = cap_std::fs::PermissionsExt::mode(&metadata.permissions());
    target.set_permissions(host_fs::Permissions::from_mode(mode & 0o777))?;
    target.sync_all()
}
