//! What a run is pinned to: a list of files by content.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skillhost_core::id::Digest;

use crate::error::JournalError;

/// A file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleFile {
    /// Relative to the skill's folder, with `/` between its parts.
    pub path: String,
    /// Of its content.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
}

/// The files of a skill that a run is pinned to, in byte order of their paths. Two bundles are the same if they hold the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bundle {
    files: Vec<BundleFile>,
}

impl Bundle {
    /// The most files that a bundle may have.
    pub const FILES_MAX: usize = 10_000;
    /// The most bytes that its files may have together.
    pub const BYTES_MAX: u64 = 256 << 20;
    /// The longest path of a file, in bytes.
    pub const PATH_BYTES_MAX: usize = 1_024;

    /// Checks and sorts the files.
    pub fn new(files: impl IntoIterator<Item = BundleFile>) -> Result<Self, BundleError> {
        let mut sorted = BTreeMap::new();
        let mut bytes = 0_u64;
        for file in files {
            if !is_inside(&file.path) {
                return Err(BundleError::Path { path: file.path });
            }
            bytes = bytes.saturating_add(file.size);
            if sorted.len() == Self::FILES_MAX || bytes > Self::BYTES_MAX {
                return Err(BundleError::TooLarge);
            }
            if let Some(twice) = sorted.insert(file.path.clone(), file) {
                return Err(BundleError::Twice { path: twice.path });
            }
        }
        Ok(Self {
            files: sorted.into_values().collect(),
        })
    }

    /// Returns its files, in byte order of their paths.
    pub fn files(&self) -> &[BundleFile] {
        &self.files
    }

    /// Returns the file at `path`.
    pub fn file(&self, path: &str) -> Option<&BundleFile> {
        let found = self.files.binary_search_by(|file| file.path.as_str().cmp(path));
        found.ok().map(|index| &self.files[index])
    }

    /// Returns what names it: the digest of its list of files as JSON.
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_json().as_bytes())
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("paths, digests and sizes serialise")
    }
}

fn is_inside(path: &str) -> bool {
    path.len() <= Bundle::PATH_BYTES_MAX
        && !path.contains(['\\', '\0'])
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

/// Checks that what was read is what the bundle names.
pub(crate) fn read(file: &BundleFile, contents: &crate::journal::Contents<'_>) -> Result<Vec<u8>, BundleError> {
    let content = contents(file).map_err(|source| BundleError::Unreadable {
        path: file.path.clone(),
        source,
    })?;
    if content.len() as u64 != file.size || Digest::of(&content) != file.digest {
        return Err(BundleError::Changed {
            path: file.path.clone(),
        });
    }
    Ok(content)
}

/// Why a bundle was not made or kept. The author of the skill or its user has to act.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A path does not stay inside the skill's folder.
    #[error("`{path}` is not a path inside a skill's folder")]
    Path {
        /// The path.
        path: String,
    },
    /// A path occurs twice.
    #[error("`{path}` is in the bundle twice")]
    Twice {
        /// The path.
        path: String,
    },
    /// There is too much.
    #[error(
        "the skill's files are more than a bundle may hold: at most {files} files and {bytes} bytes; keep what it does not need outside its folder",
        files = Bundle::FILES_MAX,
        bytes = Bundle::BYTES_MAX
    )]
    TooLarge,
    /// A file cannot be read.
    #[error("could not read `{path}` of the skill")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file changed while the bundle was made.
    #[error("`{path}` of the skill changed while it was read; launch again")]
    Changed {
        /// The file.
        path: String,
    },
    /// The journal did not take it.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> BundleFile {
        BundleFile {
            path: path.to_owned(),
            digest: Digest::of(b"x"),
            size: 1,
        }
    }

    #[test]
    fn a_bundle_is_the_same_however_its_files_were_listed() {
        let one = Bundle::new([file("b"), file("a/c")]).expect("valid");
        let other = Bundle::new([file("a/c"), file("b")]).expect("valid");
        assert_eq!(one.digest(), other.digest());
        assert_eq!(one.file("a/c"), Some(&file("a/c")));
        assert_eq!(one.file("a"), None);
    }

    #[test]
    fn paths_that_leave_the_folder_or_come_twice_are_refused() {
        for path in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a\\b", "a/"] {
            assert!(
                matches!(Bundle::new([file(path)]), Err(BundleError::Path { .. })),
                "{path}"
            );
        }
        assert!(matches!(
            Bundle::new([file("a"), file("a")]),
            Err(BundleError::Twice { .. })
        ));
    }
}
