//! Where skillhost keeps what it keeps: one folder of the user's own, which nobody else may look into.

use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use skillhost_core::id::{RunId, SkillName};

use crate::env::{self, Environment};
use crate::error::{CliError, Result};
use crate::exit::Exit;

/// The rights of a folder here.
const FOLDER_MODE: u32 = 0o700;

/// The rights of a file here.
pub const FILE_MODE: u32 = 0o600;

/// The state folder, and the paths in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
    /// Where what belongs to the user is, and to all of his state folders: configuration, keys, compiled code.
    user: PathBuf,
}

impl Home {
    /// Finds the folder; makes nothing.
    pub fn find(environment: &Environment) -> Result<Self> {
        let root = match (&environment.home, &environment.user_folder) {
            (Some(root), _) => root.clone(),
            (None, Some(user)) => user.join(".skillhost"),
            (None, None) => {
                let message = "no folder to keep runs in: neither SKILLHOST_HOME nor HOME names one";
                return Err(CliError::new(Exit::Host, "no_home", message)
                    .hint(format!("`export {}=/path/to/a/folder`", env::HOME)));
            }
        };
        let root = std::path::absolute(&root).map_err(|e| Self::unusable(&root, &e))?;
        let user = root.clone();
        Ok(Self { root, user })
    }

    /// Returns a state folder of its own, with the user's configuration, keys and compiled code: what is run in it is in nobody's inbox, and no daemon sees it.
    #[must_use]
    pub fn apart(&self, root: PathBuf) -> Self {
        let user = self.user.clone();
        Self { root, user }
    }

    /// Makes the folder if it is not there, open to its owner alone.
    pub fn make(&self) -> Result<()> {
        make_folder(&self.root).map_err(|e| Self::unusable(&self.root, &e))
    }

    fn unusable(root: &Path, error: &io::Error) -> CliError {
        CliError::new(
            Exit::Storage,
            "home_not_writable",
            format!("could not make the folder `{}`", root.display()),
        )
        .caused_by(error)
        .hint(format!("`{}` names another folder to keep runs in", env::HOME))
    }

    /// Returns the folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns whether it is a state folder of its own, and not the user's.
    pub fn is_apart(&self) -> bool {
        self.root != self.user
    }

    /// Returns the folder of what belongs to the user, and to all of his state folders.
    pub fn user(&self) -> &Path {
        &self.user
    }

    /// Returns the user's configuration.
    pub fn config(&self) -> PathBuf {
        self.user.join("config.toml")
    }

    /// Returns the file of stored keys.
    pub fn keys(&self) -> PathBuf {
        self.user.join("keys.toml")
    }

    /// Returns the file of stored secrets.
    pub fn secrets(&self) -> PathBuf {
        self.user.join("secrets.toml")
    }

    /// Returns the file of what skills are granted.
    pub fn grants(&self) -> PathBuf {
        self.user.join("grants.toml")
    }

    /// Returns the note of what `setup` did.
    pub fn setup(&self) -> PathBuf {
        self.root.join("setup.json")
    }

    /// Returns the database.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.db")
    }

    /// Returns the note of what this state folder was restored from, if it was.
    pub fn restored(&self) -> PathBuf {
        self.root.join("restored.json")
    }

    /// Returns the inbox as a file for people.
    pub fn inbox(&self) -> PathBuf {
        self.root.join("INBOX.md")
    }

    /// Returns the folder of compiled components.
    pub fn compiled(&self) -> PathBuf {
        self.user.join("compiled")
    }

    /// Returns the folder of what is known of files that did not change.
    pub fn digests(&self) -> PathBuf {
        self.user.join("digests")
    }

    /// Returns the folder of the SDKs that were unpacked for those who write skills.
    pub fn sdks(&self) -> PathBuf {
        self.user.join("sdk")
    }

    /// Returns the folder of the locks that show which workers live.
    pub fn workers(&self) -> PathBuf {
        self.root.join("workers")
    }

    /// Returns the file whose lock shows that the daemon lives.
    pub fn daemon_lock(&self) -> PathBuf {
        self.root.join("daemon.lock")
    }

    /// Returns the daemon's socket, unless that path is too long for one.
    pub fn daemon_socket(&self) -> PathBuf {
        self.root.join("daemon.sock")
    }

    /// Returns the folder of the daemon's logs.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Returns the file in which panics are written down.
    pub fn faults(&self) -> PathBuf {
        self.logs().join("faults.log")
    }

    /// Returns the folder of what sessions of the agent were shown.
    pub fn sessions(&self) -> PathBuf {
        self.root.join("sessions")
    }

    /// Returns where our hook writes what went wrong in it.
    pub fn hook_log(&self) -> PathBuf {
        self.root.join("hook.log")
    }

    /// Returns where the folders of runs are.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// Returns the folder of a run: its mount `run/`.
    pub fn run(&self, run: &RunId) -> PathBuf {
        self.runs().join(run.as_str())
    }

    /// Returns where the folders are that the runs of a skill share.
    pub fn all_data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Returns the folder that the runs of a skill share: their mount `data/`.
    pub fn data(&self, skill: &SkillName) -> PathBuf {
        self.all_data().join(skill.as_str())
    }

    /// Returns where it is noted which programs run for a run.
    pub fn programs(&self, run: &RunId) -> PathBuf {
        self.root.join("programs").join(run.as_str())
    }

    /// Returns where results are that are too long for a line of JSON.
    pub fn results(&self) -> PathBuf {
        self.root.join("results")
    }

    /// Returns where the result of a run is put when it is too long for a line of JSON.
    pub fn result(&self, run: &RunId) -> PathBuf {
        self.results().join(format!("{run}.json"))
    }
}

/// Makes a folder and those above it, each open to its owner alone. One that is there keeps its rights.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

/// Takes the lock that belongs to a file, and waits for whoever holds it; it is free again when what is returned is dropped. Whoever reads a file and writes it
/// anew holds it meanwhile: of two who do so at once, neither's change is lost.
pub fn lock(path: &Path) -> io::Result<File> {
    let mut lock = File::options();
    lock.create(true).truncate(false).write(true).mode(FILE_MODE);
    let file = lock.open(path.with_added_extension("lock"))?;
    file.lock()?;
    Ok(file)
}

/// Replaces a file so that nobody ever sees half of it, even after a power cut, readable by its owner alone.
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, None)
}

fn folder_of(path: &Path) -> io::Result<&Path> {
    path.parent()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

fn replace(path: &Path, content: &[u8], rights: Option<Permissions>) -> io::Result<()> {
    let folder = folder_of(path)?;
    make_folder(folder)?;
    // `tempfile` makes files with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    if let Some(rights) = rights {
        file.as_file().set_permissions(rights)?;
    }
    // The name must not reach the disk before the content does.
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

/// Replaces a file that is made of something else, so that nobody ever sees half of it, readable by its owner alone. Nothing waits for the disk: after a power cut
/// the file may be empty or gone, and is made again.
pub fn write_derived(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(path)?;
    make_folder(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.persist(path)?;
    Ok(())
}

/// Replaces a file that is the user's and not ours: where it really is, if the path is a link, and with the rights that it has; a new one may be read by others.
/// A link that leads nowhere is refused: what it is to lead to may be elsewhere for now.
pub fn rewrite(path: &Path, content: &[u8]) -> io::Result<()> {
    const NEW_MODE: u32 = 0o644;
    let real = match std::fs::canonicalize(path) {
        Ok(real) => real,
        Err(_) if path.is_symlink() => return Err(io::Error::other("it is a link that leads nowhere")),
        Err(_) => path.to_owned(),
    };
    let rights = match std::fs::metadata(&real) {
        Ok(metadata) => metadata.permissions(),
        Err(_) => Permissions::from_mode(NEW_MODE),
    };
    replace(&real, content, Some(rights))
}

/// Reads a regular file of at most `bytes_max`. Anything else, such as a pipe that never ends, is refused before it is read.
pub fn read_regular(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let (file, metadata) = open_regular(path, bytes_max)?;
    read_whole(&file, &metadata, bytes_max)
}

/// Opens a regular file of at most `bytes_max`, and returns how it was then.
pub fn open_regular(path: &Path, bytes_max: u64) -> io::Result<(File, Metadata)> {
    // Opening a pipe without a writer would wait for one.
    let file = File::options()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    match metadata.len() > bytes_max {
        true => Err(too_large(bytes_max)),
        false => Ok((file, metadata)),
    }
}

/// Reads such a file, which may have grown since.
pub fn read_whole(file: &File, metadata: &Metadata, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.take(bytes_max + 1).read_to_end(&mut content)?;
    match content.len() as u64 > bytes_max {
        true => Err(too_large(bytes_max)),
        false => Ok(content),
    }
}

fn too_large(bytes_max: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("it is larger than {bytes_max} bytes"),
    )
}

/// Returns the rights of what is at `path` that others than its owner have.
pub fn open_to_others(path: &Path) -> io::Result<u32> {
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o077)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn what_is_kept_is_open_to_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/INBOX.md");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(open_to_others(&path).unwrap(), 0);
        assert_eq!(open_to_others(path.parent().unwrap()).unwrap(), 0);
    }

    #[test]
    fn only_regular_files_up_to_a_bound_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_regular(&path, 5).unwrap(), b"12345");
        assert_eq!(read_regular(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(read_regular(folder.path(), 5).is_err());
        assert!(read_regular(Path::new("/dev/zero"), 5).is_err());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("settings.json");
        std::os::unix::fs::symlink("not-there/settings.json", &link).unwrap();
        let error = rewrite(&link, b"{}").unwrap_err();
        assert!(error.to_string().contains("leads nowhere"), "{error}");
        assert!(link.is_symlink());
    }
}
