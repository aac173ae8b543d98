//! Knows the digests of files that did not change since they were read, so that a launch does not read a large component or its data again.
//!
//! A file is taken for unchanged when all that the filesystem says of it is as it was: its size, its number, and both of its times, of which nobody can set the second.
//! A change within the same tick of the filesystem's clock leaves the times as they are; so nothing is kept of a file that changed shortly before it was read, as in the
//! index of git (its "racily clean" entries). What is kept is no more than a saving: if it is gone or cannot be read, the files are.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use skillhost_core::id::Digest;
use skillhost_journal::SkillPlace;

use crate::home::write_derived;

/// For how long a file has to have been as it is, in seconds: the coarsest times that filesystems keep are 2 seconds apart (FAT).
const SETTLED_SECONDS: i64 = 2;

/// Of what form the file is. Another one is passed over.
const VERSION: u32 = 1;

/// What is known of the files of a skill.
#[derive(Debug, Default)]
pub struct DigestCache {
    /// Where it is kept, if it is.
    path: Option<PathBuf>,
    /// The folder of the skill, as it is called.
    skill: PathBuf,
    /// What is kept there; nothing if that is not believed.
    known: Option<Files>,
}

/// What was found of files, by their paths in the folder.
pub type Files = BTreeMap<String, Found>;

/// What was found of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds, as all times here.
    modified: (i64, i64),
    changed: (i64, i64),
    /// Of what it held.
    pub digest: Digest,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    skill: PathBuf,
    files: Files,
}

impl Found {
    /// Notes what a file held that the filesystem described so before it was read.
    pub fn new(metadata: &Metadata, digest: Digest) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            digest,
        }
    }

    /// Returns whether a change would show that came after this time, at which it was read or a little later.
    pub fn is_settled(&self, at: SystemTime) -> bool {
        let at = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let last = self.modified.0.max(self.changed.0);
        i64::try_from(at).is_ok_and(|at| last.saturating_add(SETTLED_SECONDS) < at)
    }
}

impl DigestCache {
    /// Reads what is kept in the folder `caches` of the files of a skill.
    pub fn open(caches: &Path, skill: &SkillPlace) -> Self {
        let empty = Self::anew(caches, skill);
        let kept = empty.path.as_ref().and_then(|path| fs::read(path).ok());
        let kept = kept.and_then(|text| serde_json::from_slice(&text).ok());
        let kept = kept.filter(|kept: &Kept| kept.version == VERSION && kept.skill == empty.skill);
        Self {
            known: Some(kept.map(|kept| kept.files).unwrap_or_default()),
            ..empty
        }
    }

    /// Believes nothing of what is kept there.
    pub fn anew(caches: &Path, skill: &SkillPlace) -> Self {
        let skill = skill.folder.join(skill.skill.as_str());
        let name = Digest::of(skill.as_os_str().as_encoded_bytes()).short();
        Self {
            path: Some(caches.join(format!("{name}.json"))),
            skill,
            known: None,
        }
    }

    /// Returns the digest of a file, if it is what it was when it was last read.
    pub fn digest(&self, path: &str, metadata: &Metadata) -> Option<Digest> {
        let known = self.known.as_ref()?.get(path)?;
        (Found::new(metadata, known.digest) == *known).then_some(known.digest)
    }

    /// Keeps what was found of files that were settled when they were read, if that is news.
    pub fn keep(&self, found: &Files) {
        let Some(path) = &self.path else { return };
        if self.known.as_ref() == Some(found) {
            return;
        }
        let kept = Kept {
            version: VERSION,
            skill: self.skill.clone(),
            files: found.clone(),
        };
        if let Err(error) = write(path, &kept) {
            tracing::debug!(path = %path.display(), "digests could not be kept: {error}");
        }
    }

    /// Keeps nothing more, as the skill is gone.
    pub fn forget(&self) {
        if let Some(path) = &self.path {
            // It may never have been there, and is in nobody's way.
            fs::remove_file(path).ok();
        }
    }
}

fn write(path: &Path, kept: &Kept) -> io::Result<()> {
    write_derived(path, &serde_json::to_vec(kept)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use std::time::Duration;

    use skillhost_core::id::SkillName;

    use super::*;

    const PATH: &str = "skill.wasm";

    struct Place {
        caches: tempfile::TempDir,
        folder: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let place = Self {
                caches: tempfile::tempdir().unwrap(),
                folder: tempfile::tempdir().unwrap(),
            };
            fs::create_dir(place.cache().skill).unwrap();
            fs::write(place.file(), "first").unwrap();
            place
        }

        fn file(&self) -> PathBuf {
            self.cache().skill.join(PATH)
        }

        fn cache(&self) -> DigestCache {
            DigestCache::open(self.caches.path(), &self.skill())
        }

        fn skill(&self) -> SkillPlace {
            SkillPlace {
                folder: self.folder.path().to_owned(),
                skill: SkillName::parse("it").unwrap(),
            }
        }

        /// Returns what is known of the file as it is.
        fn known(&self) -> Option<Digest> {
            self.cache().digest(PATH, &fs::metadata(self.file()).unwrap())
        }

        fn found(&self) -> Found {
            let digest = Digest::of(&fs::read(self.file()).unwrap());
            Found::new(&fs::metadata(self.file()).unwrap(), digest)
        }

        /// Keeps what the file is, as if nobody had touched it for long.
        fn keep(&self) {
            self.cache().keep(&[(PATH.to_owned(), self.found())].into());
        }
    }

    #[test]
    fn a_file_that_is_as_it_was_is_known_and_one_that_changed_is_not_however_its_times_are_set() {
        let place = Place::new();
        assert_eq!(place.known(), None);
        place.keep();
        assert_eq!(place.known(), Some(Digest::of(b"first")));
        let (before, times) = (place.found(), fs::metadata(place.file()).unwrap().modified().unwrap());
        // Until the clock of the filesystem has gone on.
        while place.found().changed == before.changed {
            fs::write(place.file(), "other").unwrap();
            let file = fs::File::options().write(true).open(place.file()).unwrap();
            file.set_modified(times).unwrap();
        }
        assert_eq!(place.found().modified, before.modified);
        assert_eq!(place.known(), None);
    }

    #[test]
    fn a_file_is_settled_when_its_last_change_is_some_seconds_behind_its_reading() {
        let place = Place::new();
        let found = place.found();
        let at = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(found.changed.0 + seconds).unwrap());
        for (seconds, is_settled) in [(-9, false), (0, false), (2, false), (3, true), (60, true)] {
            assert_eq!(found.is_settled(at(seconds)), is_settled, "{seconds}");
        }
    }

    #[test]
    fn what_nobody_can_read_is_as_if_it_were_not_there() {
        let place = Place::new();
        place.keep();
        let path = place.cache().path.unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        let of_another = whole.replace(place.folder.path().to_str().unwrap(), "/elsewhere");
        let later = whole.replace(r#""version":1"#, r#""version":2"#);
        for text in ["", "{}", "\0\0\0\0", &whole[..whole.len() / 2], &of_another, &later] {
            fs::write(&path, text).unwrap();
            assert_eq!(place.known(), None, "{text}");
        }
        fs::write(&path, whole).unwrap();
        assert!(place.known().is_some());
        place.cache().forget();
        assert_eq!(place.known(), None);
    }
}
