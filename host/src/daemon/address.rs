//! Where the daemon is found, and how it is seen that it lives.
//!
//! The daemon holds the operating system's record lock on a file for as long as it lives. Unlike a file of process ids the lock cannot be stale, and it names the
//! process that holds it, also one that is stopped and answers nothing (rule L1).

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::process::{Flock, FlockType, Pid};
use skillhost_core::id::Digest;
use skillhost_core::planted::{self, Bug};

use crate::home::{self, Home};

/// The longest path that every system takes for a socket, in bytes.
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// The daemon's lock, held until it is dropped or the process ends. A process must open the file only once: closing it again anywhere would free the lock.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, unless another process holds it.
    pub(super) fn take(home: &Home) -> io::Result<Option<Self>> {
        let file = open(home)?;
        if planted::is(Bug::DaemonUnlocked) {
            return Ok(Some(Self { _file: file }));
        }
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns the process that holds the lock, asked of the lock itself.
pub(super) fn holder(home: &Home) -> io::Result<Option<Pid>> {
    if !home.daemon_lock().exists() {
        return Ok(None);
    }
    let asked = Flock::from(FlockType::WriteLock);
    let found = rustix::process::fcntl_getlk(open(home)?, &asked)?;
    Ok(found.and_then(|lock| lock.pid))
}

fn open(home: &Home) -> io::Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(home::FILE_MODE)
        .open(home.daemon_lock())
}

/// Returns the path of the daemon's socket: in the state folder, or, where that path is too long for a socket, in a folder of the user's own among the
/// temporary files.
pub(super) fn socket(home: &Home) -> io::Result<PathBuf> {
    let path = home.daemon_socket();
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return Ok(path);
    }
    let user = rustix::process::geteuid().as_raw();
    let folder = std::env::temp_dir().join(format!("skillhost-{user}"));
    home::make_folder(&folder)?;
    check_own(&folder)?;
    let name = Digest::of(path.as_os_str().as_bytes()).to_string();
    Ok(folder.join(&name[..32]))
}

/// Somebody else must not have made the folder, as it would be his socket that keys are sent to.
fn check_own(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::symlink_metadata(folder)?;
    let own = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o077 == 0;
    match own {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("the folder `{}` is not this user's alone", folder.display()),
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use crate::env::Environment;

    fn home(root: &Path) -> Home {
        let environment = Environment {
            home: Some(root.to_owned()),
            ..Environment::current()
        };
        let home = Home::find(&environment).unwrap();
        home.make().unwrap();
        home
    }

    #[test]
    fn a_lock_that_nobody_holds_names_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let home = home(folder.path());
        assert_eq!(holder(&home).unwrap(), None);
        let lock = Lock::take(&home).unwrap();
        assert!(lock.is_some());
        drop(lock);
        assert_eq!(holder(&home).unwrap(), None);
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_replaced_by_a_short_one_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        assert!(socket(&home(folder.path())).unwrap().starts_with(folder.path()));
        let long = |name: &str| home(&folder.path().join(name.repeat(60)));
        let sockets = [socket(&long("ab")).unwrap(), socket(&long("cd")).unwrap()];
        assert!(sockets[0].as_os_str().len() <= SOCKET_PATH_BYTES_MAX);
        assert_ne!(sockets[0], sockets[1]);
    }
}
