//! When a round is left, and when the next one begins: something was saved, or somebody has had enough.
//!
//! What a round is built of has to be what is run. So while one is under way, what counts is not that something was written but that the sources are no longer what the
//! round began with: a script that writes the same file at every build has no round left, and a save that nobody has heard of yet has.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use skillhost_core::id::Digest;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::watch_files::{Tree, Watch};

/// What of a crate is no source.
const NO_SOURCES: &[&str] = &["target"];

/// What cargo itself writes while it builds.
const LOCK: &str = "Cargo.lock";

/// So many files are looked at. Of what is beyond, a change begins a round and ends none.
const FILES_MAX: usize = 10_000;

/// Files up to this size are compared by what they hold, larger ones by when they were written, in bytes.
const CONTENT_BYTES_MAX: u64 = 1 << 20;

/// What is waited for between rounds, and in them.
pub(super) struct Watched {
    folder: PathBuf,
    changes: Watch,
    /// From the beginning, so that none is lost while something is built or shown.
    ends: [Signal; 3],
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The skill changed.
    Round,
    /// Somebody pressed Ctrl-C, or closed the terminal.
    End,
}

impl Watched {
    pub(super) fn begin(folder: &Path) -> Result<Self> {
        let listen = |kind| {
            signal(kind).map_err(|e| CliError::new(Exit::Host, "no_threads", "could not wait for Ctrl-C").caused_by(&e))
        };
        Ok(Self {
            folder: folder.to_owned(),
            changes: Watch::begin(vec![Tree::all_but(folder, NO_SOURCES)]),
            ends: [
                listen(SignalKind::interrupt())?,
                listen(SignalKind::terminate())?,
                listen(SignalKind::hangup())?,
            ],
        })
    }

    /// Waits for what follows a round that is over.
    pub(super) async fn next(&mut self) -> Next {
        let [interrupt, terminate, hangup] = &mut self.ends;
        tokio::select! {
            biased;
            _ = interrupt.recv() => Next::End,
            _ = terminate.recv() => Next::End,
            _ = hangup.recv() => Next::End,
            _ = self.changes.changed() => Next::Round,
        }
    }

    /// Begins a round of what the sources are now.
    pub(super) fn leave(&mut self) -> Leave<'_> {
        Leave {
            sources: sources(&self.folder),
            watched: Some(self),
            next: None,
        }
    }
}

/// Whether a round is to be left.
pub(super) struct Leave<'a> {
    watched: Option<&'a mut Watched>,
    sources: Sources,
    next: Option<Next>,
}

impl Leave<'_> {
    /// A round that nothing has left.
    pub(super) fn never() -> Self {
        Self {
            watched: None,
            sources: Sources::new(),
            next: None,
        }
    }

    /// Returns whether nothing has it left.
    pub(super) fn never_comes(&self) -> bool {
        self.watched.is_none()
    }

    /// Waits until the round is to be left. May be dropped and asked again.
    pub(super) async fn wanted(&mut self) {
        while self.next.is_none() {
            let Some(watched) = &mut self.watched else {
                return std::future::pending().await;
            };
            let next = watched.next().await;
            if next == Next::End || sources(&watched.folder) != self.sources {
                self.next = Some(next);
            }
        }
    }

    /// Looks whether the sources are others by now, also if nobody has told of that yet.
    pub(super) fn is_due(&mut self) -> bool {
        if let (Some(watched), None) = (&self.watched, self.next)
            && sources(&watched.folder) != self.sources
        {
            self.next = Some(Next::Round);
        }
        self.next.is_some()
    }

    /// Returns what follows, if the round is to be left.
    pub(super) fn next(self) -> Option<Next> {
        self.next
    }
}

/// What a skill is made of: its files, each with a digest.
type Sources = BTreeMap<PathBuf, Digest>;

fn sources(folder: &Path) -> Sources {
    let mut paths = Vec::new();
    collect(folder, &mut paths);
    let stamped = paths.into_iter().filter_map(|path| {
        let metadata = fs::metadata(&path).ok()?;
        let content = match metadata.len() {
            0..=CONTENT_BYTES_MAX => fs::read(&path).ok()?,
            bytes => format!("{bytes} {} {}", metadata.mtime(), metadata.mtime_nsec()).into_bytes(),
        };
        Some((path, Digest::of(&content)))
    });
    stamped.collect()
}

/// Collects the files of a folder, passing over what is passed over by whoever watches it.
fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") || paths.len() >= FILES_MAX {
            continue;
        }
        let path = entry.path();
        // A link to a folder may lead in a circle.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && !NO_SOURCES.iter().any(|other| name == *other) {
            collect(&path, paths);
        } else if !is_folder && name != LOCK && path.is_file() {
            paths.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn sources_are_others_if_one_is_and_not_because_it_was_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let write = |path: &str, content: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write("src/lib.rs", "one");
        let first = sources(root);
        write("src/lib.rs", "one");
        for passed_over in ["target/x", ".skillhost/journal.db", "src/.lib.rs.swp"] {
            write(passed_over, "x");
        }
        assert_eq!(sources(root), first);
        write("src/lib.rs", "two");
        assert_ne!(sources(root), first);
        write("src/lib.rs", "one");
        assert_eq!(sources(root), first);
        write("prompts/one.md", "");
        assert_ne!(sources(root), first);
        fs::rename(root.join("prompts/one.md"), root.join("prompts/two.md")).unwrap();
        assert_ne!(sources(root), first);
    }

    #[test]
    fn a_large_file_is_compared_without_being_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, vec![0; 2 << 20]).unwrap();
        let first = sources(folder.path());
        fs::write(&path, vec![0; (2 << 20) + 1]).unwrap();
        assert_ne!(sources(folder.path()), first);
    }
}
