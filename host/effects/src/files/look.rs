//! Looks at files without changing them: `files.read`, `files.read-range`, `files.stat`. Each may be done again at any time.

use std::io::{Read, Seek, SeekFrom};
use std::time::UNIX_EPOCH;

use cap_std::fs::Metadata;
use skillhost_core::calls::files as calls;
use skillhost_core::calls::files::{BYTES_MAX, Bytes, Kind};
use skillhost_core::outcome::Fault;

use super::fault::{of_io, too_large};
use super::list::{Found, Tree as _, look_at_only};
use super::path::MountPath;
use super::{Mount, Table, bundle};
use rustix::io::Errno;

impl Table {
    /// Performs `files.read`.
    pub(super) fn read(&self, request: &calls::Path) -> Result<Bytes, Fault> {
        let path = MountPath::parse(&request.path)?;
        let folder = match self.mount(&path)? {
            Mount::Bundle(skill) => return bundle::read(skill.as_ref(), &path).map(Bytes),
            Mount::Folder(folder) => folder,
        };
        let (file, metadata) = folder.open_file(&path)?;
        if metadata.len() > BYTES_MAX {
            return Err(too_large_to_read(&path, metadata.len()));
        }
        read_at_most(file.into_std(), BYTES_MAX, &path).map(Bytes)
    }

    /// Performs `files.read-range`.
    pub(super) fn read_range(&self, request: &calls::ReadRange) -> Result<Bytes, Fault> {
        let path = MountPath::parse(&request.path)?;
        let folder = match self.mount(&path)? {
            Mount::Bundle(skill) => {
                let mut bytes = bundle::read(skill.as_ref(), &path)?;
                let start = usize::try_from(request.offset).unwrap_or(usize::MAX).min(bytes.len());
                let length = usize::try_from(request.length).unwrap_or(usize::MAX);
                bytes.drain(..start);
                bytes.truncate(length);
                return Ok(Bytes(bytes));
            }
            Mount::Folder(folder) => folder,
        };
        let (file, metadata) = folder.open_file(&path)?;
        // Also spares the kernel an offset beyond what its files can have.
        if request.offset > 0 && request.offset >= metadata.len() {
            return Ok(Bytes(Vec::new()));
        }
        let mut file = file.into_std();
        file.seek(SeekFrom::Start(request.offset))
            .map_err(|error| of_io(path.text(), &error))?;
        match request.length {
            length if length <= BYTES_MAX => {
                let mut bytes = Vec::new();
                file.take(length)
                    .read_to_end(&mut bytes)
                    .map_err(|error| of_io(path.text(), &error))?;
                Ok(Bytes(bytes))
            }
            // More may be asked for than there is, but never less given than there is without saying so.
            _ => read_at_most(file, BYTES_MAX, &path).map(Bytes),
        }
    }

    /// Performs `files.stat`.
    pub(super) fn stat(&self, request: &calls::Path) -> Result<calls::Entry, Fault> {
        let path = MountPath::parse(&request.path)?;
        let not_there = || of_io(path.text(), &Errno::NOENT.into());
        let found = match self.mount(&path)? {
            Mount::Bundle(skill) => bundle::Files(skill.sizes()).look(path.below())?,
            Mount::Folder(folder) => match folder.root()? {
                Some(root) if folder.only().is_some() => look_at_only(folder, &root, path.below(), &path)?,
                Some(root) => {
                    let metadata = root.metadata(super::folder::way(path.below()));
                    Some(Found::of(&metadata.map_err(|error| of_io(path.text(), &error))?))
                }
                None => path.below().is_empty().then_some(Found::FOLDER),
            },
        };
        Ok(found.ok_or_else(not_there)?.entry(path.text().to_owned()))
    }
}

impl Found {
    /// A folder of which nothing more is known.
    pub(super) const FOLDER: Self = Self {
        kind: Kind::Folder,
        size: 0,
        modified_ns: None,
    };

    /// Returns what there is to say about a file or folder.
    pub(super) fn of(metadata: &Metadata) -> Self {
        let kind = match metadata {
            found if found.is_file() => Kind::File,
            found if found.is_dir() => Kind::Folder,
            _ => Kind::Other,
        };
        let modified = metadata.modified().ok().map(cap_std::time::SystemTime::into_std);
        Self {
            kind,
            size: if kind == Kind::File { metadata.len() } else { 0 },
            modified_ns: modified
                .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
                .and_then(|since| u64::try_from(since.as_nanos()).ok()),
        }
    }

    /// Returns the entry for it at a path.
    pub(super) fn entry(self, path: String) -> calls::Entry {
        calls::Entry {
            path,
            kind: self.kind,
            size: self.size,
            modified_ns: self.modified_ns,
        }
    }
}

/// Reads to the end, which may move away meanwhile: more than `bytes_max` is refused, and never more is held.
fn read_at_most(file: impl Read, bytes_max: u64, path: &MountPath) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    file.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| of_io(path.text(), &error))?;
    match bytes.len() as u64 {
        length if length > bytes_max => Err(too_large_to_read(path, length)),
        _ => Ok(bytes),
    }
}

fn too_large_to_read(path: &MountPath, bytes: u64) -> Fault {
    too_large(format!(
        "`{}` has {bytes} bytes or more; at most {BYTES_MAX} are read at once, and `read-range` reads a part",
        path.text()
    ))
}
