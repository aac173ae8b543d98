//! The mount `skill/`: the files that a skill was installed with, as they were when the run was launched.

use std::collections::BTreeMap;
use std::io;

use skillhost_core::calls::files::BYTES_MAX;
use skillhost_core::calls::files::Kind;
use skillhost_core::outcome::Fault;

use super::fault::{of_io, too_large};
use super::list::{Child, Found, Tree};
use super::path::MountPath;
use rustix::io::Errno;

/// The files of a bundle, wherever they are kept. Folders are implied by the paths.
pub trait Bundle: Send + Sync + 'static {
    /// Returns every file with its size in bytes, by path: `prompts/greeter.md`.
    fn sizes(&self) -> BTreeMap<String, u64>;

    /// Reads one of them.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
}

impl Bundle for BTreeMap<String, Vec<u8>> {
    fn sizes(&self) -> BTreeMap<String, u64> {
        self.iter()
            .map(|(path, bytes)| (path.clone(), bytes.len() as u64))
            .collect()
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.get(path).cloned().ok_or_else(|| Errno::NOENT.into())
    }
}

/// Reads a whole file of a bundle.
pub(super) fn read(bundle: &dyn Bundle, path: &MountPath) -> Result<Vec<u8>, Fault> {
    let fault = |error: io::Error| of_io(path.text(), &error);
    let files = Files(bundle.sizes());
    let found = files.look(path.below())?.ok_or_else(|| fault(Errno::NOENT.into()))?;
    if found.kind == Kind::Folder {
        return Err(fault(Errno::ISDIR.into()));
    }
    if found.size > BYTES_MAX {
        return Err(too_large(format!(
            "`{}` has {} bytes; at most {BYTES_MAX} are read at once",
            path.text(),
            found.size
        )));
    }
    bundle.read(path.below()).map_err(fault)
}

/// What a bundle holds, to be listed.
pub(super) struct Files(pub(super) BTreeMap<String, u64>);

impl Tree for Files {
    fn children(&self, below: &str) -> Result<Vec<Child>, Fault> {
        let start = match below {
            "" => String::new(),
            below => format!("{below}/"),
        };
        let mut children: Vec<Child> = Vec::new();
        for path in self.0.range(start.clone()..).map(|(path, _)| path) {
            let Some(rest) = path.strip_prefix(&start) else { break };
            let (name, is_folder) = match rest.split_once('/') {
                Some((name, _)) => (name, true),
                None => (rest, false),
            };
            if children.last().is_none_or(|last| last.name != name) {
                children.push(Child {
                    name: name.to_owned(),
                    is_folder,
                });
            }
        }
        Ok(children)
    }

    fn look(&self, below: &str) -> Result<Option<Found>, Fault> {
        let folder = Found {
            kind: Kind::Folder,
            size: 0,
            modified_ns: None,
        };
        if let Some(&size) = self.0.get(below) {
            return Ok(Some(Found {
                kind: Kind::File,
                size,
                ..folder
            }));
        }
        let start = format!("{below}/");
        let is_folder = below.is_empty()
            || self
                .0
                .range(start.clone()..)
                .next()
                .is_some_and(|(path, _)| path.starts_with(&start));
        Ok(is_folder.then_some(folder))
    }
}
