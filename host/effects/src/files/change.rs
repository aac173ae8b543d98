//! Changes files: `files.write`, `files.append`, `files.remove`, each so that doing it twice is as once (rule R3).
//!
//! A change is durable when its function returns: the file's bytes, and the names in its folder.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt as _, Permissions, PermissionsExt as _};
use rustix::fs::OFlags;
use skillhost_core::calls::files as calls;
use skillhost_core::calls::files::{BYTES_MAX, Measured};
use skillhost_core::outcome::Fault;
use skillhost_core::planted::{self, Bug};

use super::Table;
use super::fault::{denied, not_regular, of_io, too_large};
use super::folder::{Parents, Target, check_regular, flush_folder, open_regular};
use super::path::{MountPath, RESERVED};

/// Why a change was not made, or why nobody can say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsure {
    /// It was not made.
    Fault(Fault),
    /// A person has to decide.
    InDoubt(String),
}

impl From<Fault> for Unsure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Table {
    /// Performs `files.write`: the new contents are written beside the file and take its place in one step.
    ///
    /// `key` names the call, and so the unfinished file: one that a crash left is overwritten when the call is performed again.
    pub(super) fn write(&self, request: &calls::Write, key: &str, in_doubt: bool) -> Result<(), Fault> {
        let path = MountPath::parse(&request.path)?;
        let folder = self.to_change(&path)?;
        check_size(request)?;
        let target = folder.target(&path, parents(in_doubt))?;
        let permissions = existing(&target, path.text())?;
        let unfinished = format!("{}.tmp", unfinished_of(key));
        let written = write_beside(&target, &unfinished, &request.contents.0, permissions)
            .and_then(|()| target.folder.rename(&unfinished, &target.folder, &target.name));
        if let Err(error) = written {
            // What is left if this fails too is hidden from guests and overwritten by the next performance.
            let _ = target.folder.remove_file(&unfinished);
            return Err(of_io(path.text(), &error));
        }
        flush_folder(&target.folder).map_err(|error| of_io(path.text(), &error))
    }

    /// Measures the file that an append is going to change.
    pub(super) fn measure_append(&self, request: &calls::Write) -> Result<Measured, Fault> {
        let path = MountPath::parse(&request.path)?;
        self.to_change(&path)?;
        check_size(request)?;
        let found = self.stat(&calls::Path {
            path: request.path.clone(),
        });
        match found {
            Ok(entry) if entry.kind == calls::Kind::File => Ok(Measured {
                length: Some(entry.size),
            }),
            Ok(entry) if entry.kind == calls::Kind::Folder => Err(super::fault::invalid(format!(
                "`{}` is a folder, not a file",
                path.text()
            ))),
            Ok(_) => Err(not_regular(path.text())),
            Err(fault) if fault.code == Fault::NOT_FOUND => Ok(Measured { length: None }),
            Err(fault) => Err(fault),
        }
    }

    /// Performs `files.append`. `measured` is what the file was before the call was first performed.
    pub(super) fn append(&self, request: &calls::Write, measured: Measured, in_doubt: bool) -> Result<(), Unsure> {
        let path = MountPath::parse(&request.path)?;
        let folder = self.to_change(&path)?;
        check_size(request)?;
        let target = folder.target(&path, parents(in_doubt))?;
        let is_new = existing(&target, path.text())?.is_none();
        if in_doubt
            && is_new
            && let Some(length) = measured.length
        {
            return Err(Unsure::InDoubt(format!(
                "`{}` had {length} bytes before the append and is gone now: somebody else removed it",
                path.text()
            )));
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let (file, metadata) = open_regular(&target.folder, &target.name, &mut options, path.text())?;
        let fault = |error: io::Error| of_io(path.text(), &error);
        let bytes = &request.contents.0;
        let missing = match in_doubt && !planted::is(Bug::AppendedBlindly) {
            false => bytes.as_slice(),
            true => {
                let before = measured.length.unwrap_or(0);
                let added = added_since(&file, before, metadata.len(), bytes.len() as u64).map_err(fault)?;
                let missing = added.as_deref().and_then(|added| bytes.strip_prefix(added));
                match missing {
                    Some(missing) if missing.is_empty() || missing.len() == bytes.len() || folder.is_own() => missing,
                    _ => return Err(Unsure::InDoubt(changed_meanwhile(&path, before, metadata.len()))),
                }
            }
        };
        add(&file, metadata.len(), missing).map_err(fault)?;
        file.sync_all().map_err(fault)?;
        if is_new || in_doubt {
            flush_folder(&target.folder).map_err(fault)?;
        }
        Ok(())
    }

    /// Performs `files.remove`. `run` names the run, whose unfinished writes do not keep a folder from being empty.
    pub(super) fn remove(&self, request: &calls::Path, run: &str, in_doubt: bool) -> Result<(), Fault> {
        let path = MountPath::parse(&request.path)?;
        let folder = self.to_change(&path)?;
        let removed = folder.target(&path, Parents::Expect).and_then(|target| {
            remove_named(&target, run, path.text())?;
            Ok(target)
        });
        match removed {
            Ok(target) => flush_folder(&target.folder).map_err(|error| of_io(path.text(), &error)),
            Err(fault) if in_doubt && fault.code == Fault::NOT_FOUND => {
                // An earlier performance may have removed it and got no further, so make that durable.
                match folder.target(&path, Parents::Expect) {
                    Ok(target) => flush_folder(&target.folder).map_err(|error| of_io(path.text(), &error)),
                    Err(_) => Ok(()),
                }
            }
            Err(fault) => Err(fault),
        }
    }
}

fn parents(in_doubt: bool) -> Parents {
    match in_doubt {
        true => Parents::MakeAgain,
        false => Parents::Make,
    }
}

fn check_size(request: &calls::Write) -> Result<(), Fault> {
    match request.contents.0.len() as u64 {
        length if length > BYTES_MAX => Err(too_large(format!(
            "{length} bytes were to be written to `{}`; at most {BYTES_MAX} are at once",
            request.path
        ))),
        _ => Ok(()),
    }
}

/// Returns the permissions of the file that is to be changed, if it is there.
fn existing(target: &Target, shown: &str) -> Result<Option<Permissions>, Fault> {
    match target.folder.symlink_metadata(&target.name) {
        Ok(found) => {
            check_regular(&found, shown)?;
            // Taking a file's place needs no leave from the file, so its protection is honoured here.
            match found.permissions().mode() & 0o222 {
                0 => Err(denied(format!("`{shown}` is write-protected"))),
                _ => Ok(Some(found.permissions())),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(of_io(shown, &error)),
    }
}

/// Returns how the names of a run's or a call's unfinished writes begin.
fn unfinished_of(key: &str) -> String {
    format!("{RESERVED}{}", key.replace('/', "-"))
}

fn write_beside(target: &Target, name: &str, bytes: &[u8], permissions: Option<Permissions>) -> io::Result<()> {
    match target.folder.remove_file(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    options.custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).expect("open flags are an int"));
    let mut file = target.folder.open_with(name, &options)?;
    file.write_all(bytes)?;
    if let Some(permissions) = permissions {
        file.set_permissions(permissions)?;
    }
    file.sync_all()
}

/// Returns what a file holds from `before` to its end, if that is not more than was to be added.
fn added_since(mut file: &File, before: u64, length: u64, added_max: u64) -> io::Result<Option<Vec<u8>>> {
    if length < before || length - before > added_max {
        return Ok(None);
    }
    let mut added = Vec::new();
    file.seek(SeekFrom::Start(before))?;
    // One byte more than can be ours shows a file that grows meanwhile.
    file.take(added_max + 1).read_to_end(&mut added)?;
    Ok(Some(added))
}

/// Adds bytes to the end, all or none: what a full disk let through is taken back, unless somebody else wrote behind it.
fn add(mut file: &File, length: u64, bytes: &[u8]) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                if file.metadata()?.len() == length + written as u64 {
                    file.set_len(length)?;
                }
                return Err(error);
            }
        }
    }
    Ok(())
}

fn changed_meanwhile(path: &MountPath, before: u64, now: u64) -> String {
    format!(
        "`{}` had {before} bytes before the append and has {now} now, and what is there is not what was to be added: \
         somebody else changed the file, or a part of the append reached the disk",
        path.text()
    )
}

fn remove_named(target: &Target, run: &str, shown: &str) -> Result<(), Fault> {
    let fault = |error: io::Error| of_io(shown, &error);
    let found = target.folder.symlink_metadata(&target.name).map_err(fault)?;
    if found.is_dir() {
        let folder = target.folder.open_dir(&target.name).map_err(fault)?;
        remove_unfinished(&folder, run).map_err(fault)?;
        return target.folder.remove_dir(&target.name).map_err(fault);
    }
    if !found.is_file() && !found.is_symlink() {
        return Err(not_regular(shown));
    }
    target.folder.remove_file(&target.name).map_err(fault)
}

/// Removes the unfinished writes that crashes of this run left in a folder. None is under way: the run's changes are made one at a time.
fn remove_unfinished(folder: &Dir, run: &str) -> io::Result<()> {
    let start = format!("{}-", unfinished_of(run));
    for entry in folder.entries()? {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(&start)) {
            folder.remove_file(&name)?;
        }
    }
    Ok(())
}
