//! The form of a backup: one compressed file with the database, the files of runs and what the user set, and a digest at its end.
//!
//! It is a list of lines of text, of which those of files are followed by their contents in pieces: a file may change its length while it is read. [`Packer`] writes one and [`unpack`]
//! reads it; what is in one, and what becomes of it, is for `backup` and `restore` to say. Nothing in a backup is believed: its paths lead nowhere but beneath the folder it is
//! unpacked into, and what does not end with its own digest was never whole.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use skillhost_core::time::Timestamp;

use crate::home::{FILE_MODE, make_folder};

/// The form that is written here. A later one is refused.
const FORM: u32 = 1;

/// What a backup begins with, compressed.
const HEAD: &str = "skillhost backup";

/// The fastest level: most of what is in the database is compressed already.
const COMPRESSION_LEVEL: i32 = 1;

/// The longest piece of a file.
const PIECE_BYTES_MAX: usize = 1 << 20;

/// The longest line: a path has at most 4 KiB, and a few times as many as JSON.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// The rights that a file keeps.
const RIGHTS: u32 = 0o777;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its form.
    form: u32,
    /// The version of skillhost that made it.
    pub version: String,
    /// The moment of which it is.
    pub at: Timestamp,
}

impl About {
    /// Describes a backup of this moment, made by this skillhost.
    pub fn new(at: Timestamp) -> Self {
        Self {
            form: FORM,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at,
        }
    }
}

/// A line of a backup.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    About(About),
    Folder(String),
    Link {
        path: String,
        to: String,
    },
    File {
        path: String,
        rights: u32,
    },
    /// Everything before it has this digest.
    End(String),
}

/// Why a backup cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It is none, or is damaged.
    #[error("it is no whole backup: {0}")]
    Bad(String),
    /// It was made by a later skillhost.
    #[error("it has the form {found}; this skillhost knows forms up to {FORM}")]
    Newer {
        /// The form that it has.
        found: u32,
    },
    /// It could not be read, or what is in it could not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes a backup.
pub struct Packer<W: Write> {
    to: zstd::stream::write::Encoder<'static, BufWriter<W>>,
    digest: Sha256,
    /// Paths that could not be taken: they are no UTF-8, or are neither files, folders nor links.
    pub left_out: u64,
}

impl<W: Write> Packer<W> {
    /// Begins a backup.
    pub fn new(to: W, about: &About) -> io::Result<Self> {
        let mut packer = Self {
            to: zstd::stream::write::Encoder::new(BufWriter::new(to), COMPRESSION_LEVEL)?,
            digest: Sha256::new(),
            left_out: 0,
        };
        packer.write(format!("{HEAD}\n").as_bytes())?;
        packer.line(&Line::About(about.clone()))?;
        Ok(packer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.to.write_all(bytes)
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_string(line).expect("a line serialises");
        text.push('\n');
        self.write(text.as_bytes())
    }

    /// Adds what is at a path, under a name; a folder with all that is in it. What is not there, or goes meanwhile, is left out.
    pub fn add(&mut self, from: &Path, name: &str) -> io::Result<()> {
        match self.add_one(from, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            added => added,
        }
    }

    fn add_one(&mut self, from: &Path, name: &str) -> io::Result<()> {
        let metadata = fs::symlink_metadata(from)?;
        if metadata.is_symlink() {
            let to = fs::read_link(from)?;
            return match to.to_str() {
                Some(to) => self.line(&Line::Link {
                    path: name.to_owned(),
                    to: to.to_owned(),
                }),
                None => self.leave_out(),
            };
        }
        if metadata.is_dir() {
            self.line(&Line::Folder(name.to_owned()))?;
            let mut inside = fs::read_dir(from)?.collect::<io::Result<Vec<_>>>()?;
            inside.sort_by_key(fs::DirEntry::file_name);
            for entry in inside {
                match entry.file_name().to_str() {
                    Some(inner) => self.add(&entry.path(), &format!("{name}/{inner}"))?,
                    None => self.leave_out()?,
                }
            }
            return Ok(());
        }
        if !metadata.is_file() {
            return self.leave_out();
        }
        let mut file = File::open(from)?;
        self.line(&Line::File {
            path: name.to_owned(),
            rights: metadata.permissions().mode() & RIGHTS,
        })?;
        let mut piece = vec![0; PIECE_BYTES_MAX];
        loop {
            let length = file.read(&mut piece)?;
            self.write(format!("{length}\n").as_bytes())?;
            if length == 0 {
                return Ok(());
            }
            self.write(&piece[..length])?;
        }
    }

    /// Adds a folder without what is in it.
    pub fn add_folder(&mut self, name: &str) -> io::Result<()> {
        self.line(&Line::Folder(name.to_owned()))
    }

    fn leave_out(&mut self) -> io::Result<()> {
        self.left_out += 1;
        Ok(())
    }

    /// Ends the backup, and returns what it was written to.
    pub fn finish(mut self) -> io::Result<W> {
        let digest = hex(&self.digest.finalize_reset());
        self.line(&Line::End(digest))?;
        self.to.finish()?.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// Unpacks a backup into a folder that is empty.
pub fn unpack(from: &Path, folder: &Path) -> Result<About, UnpackError> {
    let mut unpacker = Unpacker {
        from: BufReader::new(zstd::stream::read::Decoder::new(File::open(from)?)?),
        digest: Sha256::new(),
        folder: folder.to_owned(),
    };
    if unpacker.text()? != HEAD {
        return Err(bad("it does not begin as one"));
    }
    let Line::About(about) = unpacker.line()? else {
        return Err(bad("it does not say what it is of"));
    };
    if about.form > FORM {
        return Err(UnpackError::Newer { found: about.form });
    }
    loop {
        let before = hex(&unpacker.digest.clone().finalize());
        match unpacker.line()? {
            Line::About(_) => return Err(bad("it begins twice")),
            Line::Folder(path) => make_folder(&unpacker.place(&path)?)?,
            Line::Link { path, to } => symlink(to, unpacker.place(&path)?)?,
            Line::File { path, rights } => unpacker.file(&path, rights)?,
            Line::End(digest) if digest == before => return Ok(about),
            Line::End(_) => return Err(bad("it is not as it was written")),
        }
    }
}

struct Unpacker<R> {
    from: R,
    digest: Sha256,
    folder: PathBuf,
}

impl<R: BufRead> Unpacker<R> {
    fn text(&mut self) -> Result<String, UnpackError> {
        let mut line = Vec::new();
        let read = (&mut self.from).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        read.map_err(damaged)?;
        self.digest.update(&line);
        match line.pop() {
            Some(b'\n') => String::from_utf8(line).map_err(|_| bad("a line of it is not UTF-8")),
            _ => Err(bad("it ends in the middle")),
        }
    }

    fn line(&mut self) -> Result<Line, UnpackError> {
        let text = self.text()?;
        serde_json::from_str(&text).map_err(|error| bad(&error.to_string()))
    }

    /// Returns where something is put. No link leads there: what is beneath one is refused.
    fn place(&self, path: &str) -> Result<PathBuf, UnpackError> {
        let path = Path::new(path);
        let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if !is_plain || path.as_os_str().is_empty() {
            return Err(bad(&format!("it holds the path `{}`", path.display())));
        }
        let mut place = self.folder.clone();
        for part in path.parent().into_iter().flat_map(Path::components) {
            place.push(part);
            if !fs::symlink_metadata(&place)?.is_dir() {
                return Err(bad(&format!("`{}` is no folder", place.display())));
            }
        }
        Ok(self.folder.join(path))
    }

    fn file(&mut self, path: &str, rights: u32) -> Result<(), UnpackError> {
        let place = self.place(path)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&place)?;
        let mut piece = Vec::new();
        loop {
            let length: usize = self
                .text()?
                .parse()
                .map_err(|_| bad("a piece of a file has no length"))?;
            if length == 0 {
                break;
            }
            if length > PIECE_BYTES_MAX {
                return Err(bad("a piece of a file is too long"));
            }
            piece.resize(length, 0);
            self.from.read_exact(&mut piece).map_err(damaged)?;
            self.digest.update(&piece);
            file.write_all(&piece)?;
        }
        file.set_permissions(Permissions::from_mode(rights & RIGHTS))?;
        file.sync_all()?;
        Ok(())
    }
}

fn bad(what: &str) -> UnpackError {
    UnpackError::Bad(what.to_owned())
}

/// Says that the compressed bytes cannot be read.
fn damaged(error: io::Error) -> UnpackError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => bad("it ends in the middle"),
        _ => bad(&error.to_string()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn packed(from: &Path) -> Vec<u8> {
        let mut packer = Packer::new(Vec::new(), &About::new(Timestamp(7))).unwrap();
        packer.add(from, "runs").unwrap();
        packer.add(&from.join("not there"), "data").unwrap();
        packer.finish().unwrap()
    }

    fn example() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/empty")).unwrap();
        fs::write(folder.path().join("a/long"), vec![7; 3 * PIECE_BYTES_MAX / 2]).unwrap();
        fs::write(folder.path().join("run.sh"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(folder.path().join("run.sh"), Permissions::from_mode(0o755)).unwrap();
        symlink("a/long", folder.path().join("link")).unwrap();
        folder
    }

    #[test]
    fn what_is_packed_is_unpacked_as_it_was() {
        let (from, to) = (example(), tempfile::tempdir().unwrap());
        let file = to.path().join("backup");
        fs::write(&file, packed(from.path())).unwrap();
        let folder = to.path().join("in");
        fs::create_dir(&folder).unwrap();
        assert_eq!(unpack(&file, &folder).unwrap(), About::new(Timestamp(7)));
        let runs = folder.join("runs");
        assert_eq!(fs::read(runs.join("a/long")).unwrap().len(), 3 * PIECE_BYTES_MAX / 2);
        assert!(runs.join("a/empty").is_dir());
        assert_eq!(
            fs::metadata(runs.join("run.sh")).unwrap().permissions().mode() & RIGHTS,
            0o755
        );
        assert_eq!(fs::read_link(runs.join("link")).unwrap(), Path::new("a/long"));
    }

    #[test]
    fn a_backup_that_was_cut_or_changed_anywhere_is_refused() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(from.path().join("small"), "some words").unwrap();
        let whole = packed(from.path());
        let file = to.path().join("backup");
        for length in 0..whole.len() {
            fs::write(&file, &whole[..length]).unwrap();
            let folder = to.path().join(format!("cut{length}"));
            fs::create_dir(&folder).unwrap();
            assert!(unpack(&file, &folder).is_err(), "cut after {length} bytes");
        }
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 1;
            fs::write(&file, &other).unwrap();
            let folder = to.path().join(format!("changed{at}"));
            fs::create_dir(&folder).unwrap();
            // A bit that means nothing to the compression may be another: then all of it is as it was.
            if unpack(&file, &folder).is_ok() {
                assert_eq!(fs::read(folder.join("runs/small")).unwrap(), b"some words");
            }
        }
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        let to = tempfile::tempdir().unwrap();
        let file = to.path().join("backup");
        for lines in [
            vec![Line::Folder("../out".to_owned())],
            vec![Line::Folder("/out".to_owned())],
            vec![
                Line::Link {
                    path: "link".to_owned(),
                    to: to.path().display().to_string(),
                },
                Line::Folder("link/out".to_owned()),
            ],
        ] {
            let mut packer = Packer::new(Vec::new(), &About::new(Timestamp(7))).unwrap();
            lines.iter().for_each(|line| packer.line(line).unwrap());
            fs::write(&file, packer.finish().unwrap()).unwrap();
            let folder = to.path().join("in");
            fs::create_dir(&folder).unwrap();
            let error = unpack(&file, &folder).unwrap_err();
            assert!(matches!(error, UnpackError::Bad(_)), "{error}");
            assert!(!to.path().join("out").exists());
            fs::remove_dir_all(&folder).unwrap();
        }
    }
}
