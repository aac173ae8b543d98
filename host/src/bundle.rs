//! Makes the bundle of a skill out of its folder: what a run is pinned to when it is launched.
//!
//! Taken are the component, `SKILL.md`, `offline.toml`, and everything under `prompts/`, `assets/`, `data/` and `references/`; sources, build folders and whatever else lies
//! there are not. A link that leads out of the folder is refused rather than followed. Names that begin with a dot are passed over, as editors leave such files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use skillhost_core::id::{Digest, SkillName};
use skillhost_journal::{Bundle, BundleFile};

use crate::digest_cache::{DigestCache, Files, Found};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::{open_regular, read_regular, read_whole};
use crate::skills::{COMPONENT, Installed, steadily};

/// The largest component, in bytes.
pub const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// The largest other file, in bytes: what one call of `files.read` may read.
pub const FILE_BYTES_MAX: u64 = skillhost_core::calls::files::BYTES_MAX;

/// How deep folders may be nested.
const DEPTH_MAX: usize = 16;

/// The replies that are scripted for use without a provider.
pub const SCRIPT: &str = "offline.toml";

/// Files at the top of a skill's folder that belong to its bundle, beside the component.
const FILES: [&str; 2] = ["SKILL.md", SCRIPT];

/// Folders that do, with everything in them.
const FOLDERS: [&str; 4] = ["prompts", "assets", "data", "references"];

/// Returns whether a folder, by its path in a skill's folder, belongs to the bundle with everything in it.
pub fn takes_folder(path: &Path) -> bool {
    let first = path.components().next();
    first.is_some_and(|first| FOLDERS.iter().any(|folder| first.as_os_str() == *folder))
}

/// A skill's folder as it was found.
#[derive(Debug)]
pub struct Scan {
    folder: PathBuf,
    component: String,
    /// The component, if it was built and is not in the folder.
    built: Option<Vec<u8>>,
    bundle: Bundle,
    /// Of the files that were settled.
    found: Files,
}

impl Scan {
    /// Reads the folder of a skill.
    pub fn of(skill: &Installed) -> Result<Self> {
        Self::but_for(skill, &DigestCache::default())
    }

    /// Reads what of the folder of a skill is not known yet.
    pub fn but_for(skill: &Installed, known: &DigestCache) -> Result<Self> {
        steadily(&skill.folder, || Self::once(skill, known))
    }

    fn once(skill: &Installed, known: &DigestCache) -> Result<Self> {
        let mut walk = Walk::of(skill, known);
        walk.file(&skill.component, COMPONENT_BYTES_MAX)?;
        Self::rest(walk, None)
    }

    /// Reads the folder of a skill's source, of which this is the component. Where the folder holds components of its own, they are passed over.
    pub fn with_component(name: &SkillName, folder: &Path, built: Vec<u8>) -> Result<Self> {
        let skill = Installed {
            name: name.clone(),
            folder: folder.to_owned(),
            component: COMPONENT.to_owned(),
        };
        let known = DigestCache::default();
        let mut walk = Walk::of(&skill, &known);
        walk.push(COMPONENT, Digest::of(&built), built.len() as u64);
        Self::rest(walk, Some(built))
    }

    /// Makes the scan of a component that comes alone.
    pub fn alone(built: Vec<u8>) -> Result<Self> {
        let file = BundleFile {
            path: COMPONENT.to_owned(),
            digest: Digest::of(&built),
            size: built.len() as u64,
        };
        Ok(Self {
            folder: PathBuf::new(),
            component: COMPONENT.to_owned(),
            built: Some(built),
            bundle: Bundle::new([file])?,
            found: Files::new(),
        })
    }

    /// Reads what belongs to a bundle beside the component.
    fn rest(mut walk: Walk<'_>, built: Option<Vec<u8>>) -> Result<Self> {
        let skill = walk.skill;
        for name in FILES {
            if exists(&skill.folder.join(name)) {
                walk.file(name, FILE_BYTES_MAX)?;
            }
        }
        for name in FOLDERS {
            if exists(&skill.folder.join(name)) {
                walk.folder(name, 1)?;
            }
        }
        let bundle = Bundle::new(walk.files)?;
        Ok(Self {
            folder: skill.folder.clone(),
            component: skill.component.clone(),
            built,
            bundle,
            found: walk.found,
        })
    }

    /// Has it known what was found, as it could be used: the next look need not read what is as it was.
    pub fn keep_in(&self, known: &DigestCache) {
        known.keep(&self.found);
    }

    /// Returns the list of files.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Returns the digest of the component.
    pub fn component(&self) -> Digest {
        self.bundle
            .file(&self.component)
            .expect("a scan begins with the component")
            .digest
    }

    /// Reads the component.
    pub fn read_component(&self) -> io::Result<Vec<u8>> {
        if let Some(built) = &self.built {
            return Ok(built.clone());
        }
        read_regular(&self.folder.join(&self.component), COMPONENT_BYTES_MAX)
    }

    /// Reads a file of the bundle, for the journal, which checks that it is still the same.
    pub fn read(&self, file: &BundleFile) -> io::Result<Vec<u8>> {
        if file.path == self.component {
            return self.read_component();
        }
        read_regular(&self.folder.join(&file.path), COMPONENT_BYTES_MAX)
    }

    /// Reads the script of replies, if the skill has one.
    pub fn script(&self) -> Result<Option<String>> {
        if self.bundle.file(SCRIPT).is_none() {
            return Ok(None);
        }
        let path = self.folder.join(SCRIPT);
        let unreadable = |e: io::Error| {
            CliError::new(
                Exit::Host,
                "bad_script",
                format!("could not read `{SCRIPT}` of the skill"),
            )
            .caused_by(&e)
        };
        let bytes = read_regular(&path, FILE_BYTES_MAX).map_err(unreadable)?;
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|e| unreadable(io::Error::other(e)))
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

struct Walk<'a> {
    skill: &'a Installed,
    known: &'a DigestCache,
    files: Vec<BundleFile>,
    found: Files,
}

impl<'a> Walk<'a> {
    fn of(skill: &'a Installed, known: &'a DigestCache) -> Self {
        Self {
            skill,
            known,
            files: Vec::new(),
            found: Files::new(),
        }
    }

    fn folder(&mut self, path: &str, depth: usize) -> Result<()> {
        let full = self.inside(path)?;
        if !full.is_dir() {
            return Err(self.refused(format!("`{path}` is not a folder")));
        }
        if depth > DEPTH_MAX {
            return Err(self.refused(format!("`{path}` is nested more than {DEPTH_MAX} folders deep")));
        }
        for entry in fs::read_dir(&full).map_err(|e| self.unreadable(path, &e))? {
            let entry = entry.map_err(|e| self.unreadable(path, &e))?;
            let Ok(name) = entry.file_name().into_string() else {
                return Err(self.refused(format!("`{path}` holds a file whose name is not UTF-8")));
            };
            if name.starts_with('.') {
                continue;
            }
            let below = format!("{path}/{name}");
            match self.inside(&below)?.is_dir() {
                true => self.folder(&below, depth + 1)?,
                false => self.file(&below, FILE_BYTES_MAX)?,
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &str, bytes_max: u64) -> Result<()> {
        if self.files.len() == Bundle::FILES_MAX {
            return Err(self.refused(format!("it has more than {} files", Bundle::FILES_MAX)));
        }
        let full = self.inside(path)?;
        self.look(path, &full, bytes_max).map_err(|e| self.unreadable(path, &e))
    }

    fn push(&mut self, path: &str, digest: Digest, size: u64) {
        let path = path.to_owned();
        self.files.push(BundleFile { path, digest, size });
    }

    /// Reads a file, unless it is known what it holds.
    fn look(&mut self, path: &str, full: &Path, bytes_max: u64) -> io::Result<()> {
        let at = SystemTime::now();
        let (file, metadata) = open_regular(full, bytes_max)?;
        let (digest, size) = match self.known.digest(path, &metadata) {
            Some(digest) => (digest, metadata.len()),
            None => {
                let content = read_whole(&file, &metadata, bytes_max)?;
                (Digest::of(&content), content.len() as u64)
            }
        };
        let found = Found::new(&metadata, digest);
        if found.is_settled(at) {
            self.found.insert(path.to_owned(), found);
        }
        self.push(path, digest, size);
        Ok(())
    }

    /// Returns where a path really leads, which has to be inside the folder.
    fn inside(&self, path: &str) -> Result<PathBuf> {
        let full = self.skill.folder.join(path);
        let real = fs::canonicalize(&full).map_err(|e| self.unreadable(path, &e))?;
        match real.starts_with(&self.skill.folder) {
            true => Ok(real),
            false => Err(self.refused(format!("`{path}` is a link that leads out of its folder"))),
        }
    }

    fn refused(&self, reason: String) -> CliError {
        let message = format!("skill `{}` cannot be launched: {reason}", self.skill.name);
        CliError::new(Exit::Unsupported, "broken_skill", message)
            .hint(format!("`{}` is its folder", self.skill.folder.display()))
    }

    fn unreadable(&self, path: &str, error: &io::Error) -> CliError {
        self.refused(format!("`{path}` cannot be read")).caused_by(error)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn with(files: &[(&str, &str)]) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            for (path, content) in files {
                folder.put(path, content);
            }
            folder
        }

        fn path(&self) -> PathBuf {
            fs::canonicalize(self.0.path()).unwrap()
        }

        fn put(&self, path: &str, content: &str) {
            let path = self.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }

        fn scan(&self) -> Result<Scan> {
            Scan::of(&Installed {
                name: SkillName::parse("x").unwrap(),
                folder: self.path(),
                component: "skill.wasm".to_owned(),
            })
        }

        fn paths(&self) -> Vec<String> {
            self.scan()
                .unwrap()
                .bundle()
                .files()
                .iter()
                .map(|file| file.path.clone())
                .collect()
        }
    }

    const SKILL: &[(&str, &str)] = &[
        ("skill.wasm", "\0asm"),
        ("SKILL.md", "# x"),
        ("prompts/a/b.md", "hi"),
        ("offline.toml", ""),
    ];

    #[test]
    fn a_bundle_holds_what_a_run_needs_and_nothing_else() {
        let folder = Folder::with(SKILL);
        folder.put("src/lib.rs", "");
        folder.put("target/debug/big", "");
        folder.put("prompts/.b.md.swp", "");
        folder.put("assets/table.csv", "1");
        assert_eq!(
            folder.paths(),
            [
                "SKILL.md",
                "assets/table.csv",
                "offline.toml",
                "prompts/a/b.md",
                "skill.wasm"
            ]
        );
        assert_eq!(folder.scan().unwrap().script().unwrap(), Some(String::new()));
    }

    #[test]
    fn a_component_that_was_built_takes_the_place_of_what_lies_in_the_folder() {
        let folder = Folder::with(SKILL);
        folder.put("src/lib.rs", "");
        let name = SkillName::parse("x").unwrap();
        let scan = Scan::with_component(&name, &folder.path(), b"built".to_vec()).unwrap();
        assert_eq!(scan.component(), Digest::of(b"built"));
        assert_eq!(scan.read_component().unwrap(), b"built");
        let component = scan.bundle().file("skill.wasm").unwrap();
        assert_eq!(scan.read(component).unwrap(), b"built");
        assert_eq!(scan.bundle().files().len(), folder.paths().len());
    }

    #[test]
    fn an_edited_prompt_makes_another_bundle_of_the_same_component() {
        let folder = Folder::with(SKILL);
        let before = folder.scan().unwrap();
        folder.put("prompts/a/b.md", "ho");
        let after = folder.scan().unwrap();
        assert_ne!(before.bundle().digest(), after.bundle().digest());
        assert_eq!(before.component(), after.component());
    }

    #[test]
    fn a_link_is_followed_inside_the_folder_and_refused_where_it_leads_out() {
        let folder = Folder::with(SKILL);
        symlink("a/b.md", folder.path().join("prompts/c.md")).unwrap();
        assert!(folder.paths().contains(&"prompts/c.md".to_owned()));
        symlink("/etc/passwd", folder.path().join("prompts/d.md")).unwrap();
        let error = folder.scan().unwrap_err().sentence();
        assert_eq!(
            error,
            "skill `x` cannot be launched: `prompts/d.md` is a link that leads out of its folder"
        );
    }

    #[test]
    fn a_folder_that_holds_itself_ends() {
        let folder = Folder::with(SKILL);
        symlink(".", folder.path().join("prompts/again")).unwrap();
        assert!(
            folder
                .scan()
                .unwrap_err()
                .sentence()
                .contains("nested more than 16 folders deep")
        );
    }

    #[test]
    fn what_is_no_file_or_too_large_is_refused() {
        let folder = Folder::with(SKILL);
        fs::create_dir(folder.path().join("assets")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            folder.path().join("assets/pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert!(
            folder
                .scan()
                .unwrap_err()
                .sentence()
                .ends_with("`assets/pipe` cannot be read: it is not a regular file")
        );
        fs::remove_file(folder.path().join("assets/pipe")).unwrap();
        let large = fs::File::create(folder.path().join("assets/large")).unwrap();
        large.set_len(FILE_BYTES_MAX + 1).unwrap();
        assert!(
            folder
                .scan()
                .unwrap_err()
                .sentence()
                .ends_with("it is larger than 8388608 bytes")
        );
    }

    #[test]
    fn nothing_is_believed_of_a_file_that_was_just_written() {
        let folder = Folder::with(&[("skill.wasm", "wasm")]);
        let file = fs::File::options()
            .write(true)
            .open(folder.path().join("skill.wasm"))
            .unwrap();
        // However slow the machine is.
        file.set_modified(SystemTime::now() + Duration::from_secs(3_600))
            .unwrap();
        assert!(folder.scan().unwrap().found.is_empty());
    }
}
