//! Opens what lies in a mount's folder, and nothing else.
//!
//! Whatever a path goes through is resolved beneath the folder (`openat2` with `RESOLVE_BENEATH` where there is one), so neither a link nor a parent that is swapped
//! meanwhile leads out. What is opened is checked to be a regular file after it was opened, and opened without waiting, so a pipe cannot hold the host up.

use std::fs as host_fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, Metadata, OpenOptions, OpenOptionsExt as _};
use rustix::fs::OFlags;
use rustix::io::Errno;
use skillhost_core::outcome::Fault;

use super::fault::{invalid, not_regular, of_io};
use super::path::{MountPath, split};
use crate::granted::Granted;

/// A folder of the host, as a mount shows it.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    name: String,
    path: PathBuf,
    writable: bool,
    whose: Whose,
    /// The one file that is shown; absent if all are.
    only: Option<String>,
    /// What tells whether it is still granted; absent if it was given to the run itself.
    granted: Option<Granted>,
}

/// Who else may change what is in a folder, and who makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The run's own: made when it is first written, and changed by nobody else.
    Run,
    /// The skill's, which its runs share: made when it is first written.
    Skill,
    /// The user's: there, or the user took it away.
    User,
}

/// A folder that is held open for a program to be run in.
#[derive(Debug)]
pub struct WorkingFolder(std::fs::File);

impl WorkingFolder {
    /// Returns a path that leads to the very folder that was opened, as long as this is held.
    pub(crate) fn path(&self) -> PathBuf {
        use std::os::fd::AsRawFd as _;
        let number = self.0.as_raw_fd();
        // A program that is being started has the same open files until it begins.
        match cfg!(target_os = "linux") {
            true => format!("/proc/self/fd/{number}").into(),
            false => format!("/dev/fd/{number}").into(),
        }
    }
}

/// Where a change takes place: a folder that is held open, and a name in it that is no link.
pub(super) struct Target {
    pub(super) folder: Dir,
    pub(super) name: String,
}

/// What to do about the folders that a changed file lies in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Parents {
    /// They have to be there.
    Expect,
    /// Make those that are missing, each durable before something is put into it.
    Make,
    /// Likewise, and make durable also those that are there: an earlier performance may have made them and got no further.
    MakeAgain,
}

impl Folder {
    /// Returns the run's own folder, which need not be there yet.
    pub(super) fn of_run(path: PathBuf) -> Self {
        Self {
            name: super::RUN.to_owned(),
            path,
            writable: true,
            whose: Whose::Run,
            only: None,
            granted: None,
        }
    }

    /// Returns the folder that the runs of a skill share, which need not be there yet.
    pub(super) fn of_skill(path: PathBuf) -> Self {
        Self {
            name: super::DATA.to_owned(),
            path,
            writable: true,
            whose: Whose::Skill,
            only: None,
            granted: None,
        }
    }

    /// Returns a folder that the user gave the run.
    pub(super) fn granted(name: &str, path: PathBuf, writable: bool) -> Self {
        Self {
            name: name.to_owned(),
            path,
            writable,
            whose: Whose::User,
            only: None,
            granted: None,
        }
    }

    /// Returns a folder that the user gave the run, of which it shows one file.
    pub(super) fn granted_file(name: &str, path: PathBuf, file: &str) -> Self {
        Self {
            only: Some(file.to_owned()),
            ..Self::granted(name, path, false)
        }
    }

    /// Returns the same, as long as it is granted.
    pub(super) fn while_granted(self, granted: Granted) -> Self {
        Self {
            granted: Some(granted),
            ..self
        }
    }

    /// Asks whether it is granted today.
    pub(super) fn check_granted(&self) -> Result<(), Fault> {
        match &self.granted {
            None => Ok(()),
            Some(granted) => granted.folder(&self.name, &self.path.to_string_lossy(), self.writable),
        }
    }

    pub(super) fn root_path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_writable(&self) -> bool {
        self.writable
    }

    /// Returns whether nobody but this run changes what is in it.
    pub(super) fn is_own(&self) -> bool {
        self.whose == Whose::Run
    }

    /// Returns the one file that the folder shows, if it does not show them all.
    pub(super) fn only(&self) -> Option<&str> {
        self.only.as_deref()
    }

    /// Returns whether the folder shows what is at a way below it.
    pub(super) fn shows(&self, below: &str) -> bool {
        self.only
            .as_deref()
            .is_none_or(|only| below.is_empty() || below == only)
    }

    /// Opens the folder itself; `None` if it is one that we make and was not made yet.
    pub(super) fn root(&self) -> Result<Option<Dir>, Fault> {
        match self.open_root() {
            Ok(root) => Ok(Some(root)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.whose != Whose::User => Ok(None),
            Err(error) => Err(self.root_fault(&error)),
        }
    }

    fn open_root(&self) -> io::Result<Dir> {
        match self.whose {
            Whose::Run | Whose::Skill => Dir::open_ambient_dir(&self.path, ambient_authority()),
            // The user named what lies there, and not what somebody has a link lead to since.
            Whose::User => open_without_links(&self.path),
        }
    }

    /// Says for its user why a folder of his cannot be opened any more; `None` if it can.
    pub(super) fn gone(&self) -> Option<String> {
        if self.whose != Whose::User {
            return None;
        }
        let error = self.open_root().err()?;
        let why = match Errno::from_io_error(&error) {
            Some(Errno::NOENT) => "it is not there".to_owned(),
            Some(Errno::NOTDIR) => "it is no folder any more".to_owned(),
            Some(Errno::LOOP) => "a link leads to it now".to_owned(),
            _ => error.to_string(),
        };
        Some(format!(
            "the folder `{}` behind the mount `{}/` cannot be opened: {why}; put it back, and have this done",
            self.path.display(),
            self.name
        ))
    }

    fn root_or_make(&self) -> Result<Dir, Fault> {
        if let Some(root) = self.root()? {
            return Ok(root);
        }
        // The user's own folders are never made: `root` returns one, or says why not.
        make_private_folder(&self.path).map_err(|error| self.root_fault(&error))?;
        Dir::open_ambient_dir(&self.path, ambient_authority()).map_err(|error| self.root_fault(&error))
    }

    /// Opens a folder for a program to be run in. The run's own is made if it is not there yet.
    pub(super) fn working_folder(&self, path: &MountPath) -> Result<WorkingFolder, Fault> {
        let root = match self.whose {
            Whose::Run | Whose::Skill => self.root_or_make()?,
            Whose::User => self.root()?.ok_or_else(|| of_io(path.text(), &Errno::NOENT.into()))?,
        };
        let folder = root.open_dir(way(path.below()));
        let folder = folder.map_err(|error| of_io(path.text(), &error))?;
        Ok(WorkingFolder(folder.into_std_file()))
    }

    fn root_fault(&self, error: &io::Error) -> Fault {
        match error.kind() {
            io::ErrorKind::NotFound => Fault::new(
                Fault::NOT_FOUND,
                format!("the folder behind the mount `{}/` is not there", self.name),
            ),
            _ => Fault::new(
                Fault::FAILED,
                format!("the folder behind the mount `{}/` cannot be opened: {error}", self.name),
            ),
        }
    }

    /// Opens a regular file for reading.
    pub(super) fn open_file(&self, path: &MountPath) -> Result<(File, Metadata), Fault> {
        let not_there = || of_io(path.text(), &Errno::NOENT.into());
        let root = self.root()?.ok_or_else(not_there)?;
        let links = match &self.only {
            None => Links::Follow,
            Some(_) if !self.shows(path.below()) => return Err(not_there()),
            // A link beside it would show another file of the same folder.
            Some(_) => Links::Refuse,
        };
        let mut options = OpenOptions::new();
        open_regular_as(&root, way(path.below()), options.read(true), links, path.text())
    }

    /// Reads a regular file of at most so many bytes, if the system has it in memory and no one is to be asked whether it may be read.
    #[cfg(target_os = "linux")]
    pub(super) fn read_at_hand(&self, below: &str, bytes_max: u64) -> Option<Vec<u8>> {
        use std::io::IoSliceMut;

        use rustix::fs::{CWD, FileType, Mode, ResolveFlags, fstat, openat2};
        use rustix::io::{ReadWriteFlags, preadv2};

        // The list of grants is a file that may have to be waited for.
        if self.granted.is_some() || self.only.is_some() || below.is_empty() {
            return None;
        }
        let root = match self.whose {
            Whose::Run | Whose::Skill => ResolveFlags::CACHED,
            Whose::User => ResolveFlags::CACHED | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat2(CWD, &self.path, flags, Mode::empty(), root).ok()?;
        let beneath = ResolveFlags::CACHED | ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let small_file = |flags: OFlags| {
            let file = openat2(&root, below, flags | OFlags::CLOEXEC, Mode::empty(), beneath).ok()?;
            let found = fstat(&file).ok()?;
            let size = u64::try_from(found.st_size).ok().filter(|size| *size <= bytes_max)?;
            (FileType::from_raw_mode(found.st_mode) == FileType::RegularFile).then_some((file, size))
        };
        // As in `open_regular_as`: opening can act on a device.
        small_file(OFlags::PATH)?;
        let (file, size) = small_file(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        // A byte more, to see whether it grew.
        let mut bytes = vec![0; usize::try_from(size).ok()? + 1];
        let read = preadv2(&file, &mut [IoSliceMut::new(&mut bytes)], 0, ReadWriteFlags::NOWAIT).ok()?;
        bytes.truncate(read);
        (read as u64 == size).then_some(bytes)
    }

    /// Elsewhere nobody can ask for what needs no waiting.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn read_at_hand(&self, _: &str, _: u64) -> Option<Vec<u8>> {
        None
    }

    /// Finds where a path is to be changed. A link at its end that stays in the mount is followed.
    pub(super) fn target(&self, path: &MountPath, parents: Parents) -> Result<Target, Fault> {
        let fault = |error: io::Error| of_io(path.text(), &error);
        let (folder_way, name) = split(path.below());
        let (root, folder) = match parents {
            Parents::Expect => {
                let root = self.root()?.ok_or_else(|| fault(Errno::NOENT.into()))?;
                let folder = root.open_dir(way(folder_way)).map_err(fault)?;
                // What is named is changed here, and not what a link leads to.
                return Ok(Target {
                    folder,
                    name: name.to_owned(),
                });
            }
            Parents::Make | Parents::MakeAgain => {
                let root = self.root_or_make()?;
                let folder = make_folders(&root, folder_way, parents == Parents::MakeAgain).map_err(fault)?;
                (root, folder)
            }
        };
        match folder.symlink_metadata(name) {
            Ok(found) if found.is_symlink() => {}
            Ok(_) => {
                return Ok(Target {
                    folder,
                    name: name.to_owned(),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Target {
                    folder,
                    name: name.to_owned(),
                });
            }
            Err(error) => return Err(fault(error)),
        }
        let real = root.canonicalize(path.below()).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => invalid(format!("`{}` is a link that leads to nothing", path.text())),
            _ => fault(error),
        })?;
        let real = real
            .to_str()
            .ok_or_else(|| invalid(format!("`{}` is a link to a file whose name is not UTF-8", path.text())))?;
        let (folder_way, name) = split(real);
        Ok(Target {
            folder: root.open_dir(way(folder_way)).map_err(fault)?,
            name: name.to_owned(),
        })
    }
}

/// What to do about a link at the end of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    /// Follow it, as far as it stays in the mount.
    Follow,
    /// Open nothing.
    Refuse,
}

/// Opens a regular file beneath `folder` as `options` say, without waiting for it.
pub(super) fn open_regular(
    folder: &Dir,
    way: &str,
    options: &mut OpenOptions,
    shown: &str,
) -> Result<(File, Metadata), Fault> {
    open_regular_as(folder, way, options, Links::Follow, shown)
}

fn open_regular_as(
    folder: &Dir,
    way: &str,
    options: &mut OpenOptions,
    links: Links,
    shown: &str,
) -> Result<(File, Metadata), Fault> {
    let fault = |error: io::Error| of_io(shown, &error);
    let (found, flags) = match links {
        Links::Follow => (folder.metadata(way), OFlags::empty()),
        Links::Refuse => (folder.symlink_metadata(way), OFlags::NOFOLLOW),
    };
    // Opening can act on a device or a pipe, so look first; it may be swapped then, so look again at what was opened.
    match found {
        Ok(found) => check_regular(&found, shown)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(fault(error)),
    }
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    options.custom_flags(i32::try_from(flags.bits()).expect("open flags are an int"));
    let file = folder
        .open_with(way, options)
        .map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::NXIO) => not_regular(shown),
            _ => fault(error),
        })?;
    let metadata = file.metadata().map_err(fault)?;
    check_regular(&metadata, shown)?;
    Ok((file, metadata))
}

/// Refuses everything but a regular file.
pub(super) fn check_regular(metadata: &Metadata, shown: &str) -> Result<(), Fault> {
    match metadata {
        found if found.is_file() => Ok(()),
        found if found.is_dir() => Err(of_io(shown, &Errno::ISDIR.into())),
        _ => Err(not_regular(shown)),
    }
}

/// Makes durable which names a folder holds.
pub(super) fn flush_folder(folder: &Dir) -> io::Result<()> {
    match folder.open(".")?.sync_all() {
        // Some file systems of other machines have no such thing, and say so.
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::NOTSUP)) => Ok(()),
        result => result,
    }
}

/// Returns the way below a folder as the kernel takes it: the folder itself is `.`.
pub(super) fn way(below: &str) -> &str {
    match below {
        "" => ".",
        below => below,
    }
}

/// Opens a folder by an absolute path in which nothing is a link.
fn open_without_links(path: &Path) -> io::Result<Dir> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, Mode, ResolveFlags, openat2};

        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match openat2(CWD, path, flags, Mode::empty(), resolve) {
            Ok(folder) => return Ok(Dir::from_std_file(folder.into())),
            // An older kernel, or a sandbox that does not know the call.
            Err(Errno::NOSYS | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Somebody may swap a part of the path in between; only the kernel can rule that out.
    if host_fs::canonicalize(path)? != path {
        return Err(Errno::LOOP.into());
    }
    Dir::open_ambient_dir(path, ambient_authority())
}

fn make_folders(root: &Dir, folder_way: &str, flush_all: bool) -> io::Result<Dir> {
    if !flush_all && let Ok(folder) = root.open_dir(way(folder_way)) {
        return Ok(folder);
    }
    let mut folder = root.open_dir(".")?;
    let mut end = 0;
    for name in folder_way.split('/').filter(|name| !name.is_empty()) {
        end += name.len();
        let so_far = &folder_way[..end];
        end += 1;
        let below = match root.open_dir(so_far) {
            Ok(below) => {
                if flush_all {
                    flush_folder(&folder)?;
                }
                below
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match folder.create_dir(name) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => flush_folder(&folder)?,
                }
                root.open_dir(so_far)?
            }
            Err(error) => return Err(error),
        };
        folder = below;
    }
    Ok(folder)
}

/// Makes a folder of the host, and those it lies in, that only its user can enter; durable when it returns.
fn make_private_folder(path: &Path) -> io::Result<()> {
    let parent = path.parent().ok_or(Errno::NOENT)?;
    if !parent.is_dir() {
        make_private_folder(parent)?;
    }
    match host_fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    host_fs::File::open(parent)?.sync_all()
}
