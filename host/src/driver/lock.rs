//! The lock by which a worker is seen to live (rule L1).
//!
//! Each worker holds the operating system's lock on a file of its own, which is free the moment the process is gone, however it went. The file is there and locked before
//! the worker takes any lease, so a lease whose holder has no such file, or a free one, belongs to nobody.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use skillhost_core::id::WorkerId;
use skillhost_core::lease::Holder;
use skillhost_core::planted::{self, Bug};

use crate::home;

/// A worker's lock, held until it is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock of a new worker.
    pub(super) fn take(folder: &Path, worker: &WorkerId) -> io::Result<Self> {
        home::make_folder(folder)?;
        sweep(folder)?;
        let path = file_of(folder, worker);
        loop {
            let mut options = File::options();
            options.create(true).truncate(false).write(true).mode(home::FILE_MODE);
            let file = options.open(&path)?;
            file.lock()?;
            // Somebody who sweeps may have removed the file before it was locked; a lock on a file without a name shows nobody anything.
            if is_still(&file, &path) {
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A file that stays behind is swept by the next worker.
        fs::remove_file(&self.path).ok();
    }
}

/// Asks the lock of a worker whether it lives.
pub(super) fn holder(folder: &Path, worker: &WorkerId) -> io::Result<Holder> {
    match File::options().write(true).open(file_of(folder, worker)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Holder::Gone),
        Err(error) => Err(error),
        // Shared, so that several who ask at once do not take each other for the holder.
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => Ok(Holder::Gone),
            Err(TryLockError::WouldBlock) if planted::is(Bug::TakenByTime) && is_old(&file)? => Ok(Holder::Gone),
            Err(TryLockError::WouldBlock) => Ok(Holder::Alive),
            Err(TryLockError::Error(error)) => Err(error),
        },
    }
}

/// Returns whether a lock was made a while ago, which says nothing of its holder: for the bug that takes it to.
fn is_old(file: &File) -> io::Result<bool> {
    let made = file.metadata()?.modified()?;
    Ok(made.elapsed().is_ok_and(|age| age.as_millis() > 50))
}

/// Waits until a worker is gone, however long that takes.
pub(super) fn wait_until_gone(folder: &Path, worker: &WorkerId) -> io::Result<()> {
    match File::options().write(true).open(file_of(folder, worker)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(file) => file.lock_shared(),
    }
}

/// Removes the files of workers that are gone.
fn sweep(folder: &Path) -> io::Result<()> {
    for found in fs::read_dir(folder)? {
        let path = found?.path();
        let Ok(file) = File::options().write(true).open(&path) else {
            continue;
        };
        if file.try_lock_shared().is_ok() {
            fs::remove_file(&path).ok();
        }
    }
    Ok(())
}

fn is_still(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(named)) => held.ino() == named.ino() && held.dev() == named.dev(),
        _ => false,
    }
}

fn file_of(folder: &Path, worker: &WorkerId) -> PathBuf {
    folder.join(format!("{worker}.lock"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn l1_a_worker_lives_as_long_as_its_lock_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let worker = WorkerId::parse("w1").unwrap();
        assert_eq!(holder(folder.path(), &worker).unwrap(), Holder::Gone);
        let lock = Lock::take(folder.path(), &worker).unwrap();
        assert_eq!(holder(folder.path(), &worker).unwrap(), Holder::Alive);
        drop(lock);
        assert_eq!(holder(folder.path(), &worker).unwrap(), Holder::Gone);
    }

    #[test]
    fn l1_of_several_who_ask_at_once_none_is_taken_for_the_worker() {
        let folder = tempfile::tempdir().unwrap();
        let worker = WorkerId::parse("w1").unwrap();
        fs::write(file_of(folder.path(), &worker), "").unwrap();
        let asks = File::open(file_of(folder.path(), &worker)).unwrap();
        asks.try_lock_shared().unwrap();
        assert_eq!(holder(folder.path(), &worker).unwrap(), Holder::Gone);
        wait_until_gone(folder.path(), &worker).unwrap();
    }

    #[test]
    fn the_files_of_dead_workers_are_swept_and_those_of_live_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("w0.lock"), "").unwrap();
        let first = WorkerId::parse("w1").unwrap();
        let _first = Lock::take(folder.path(), &first).unwrap();
        let _second = Lock::take(folder.path(), &WorkerId::parse("w2").unwrap()).unwrap();
        assert!(!folder.path().join("w0.lock").exists());
        assert_eq!(holder(folder.path(), &first).unwrap(), Holder::Alive);
    }
}
