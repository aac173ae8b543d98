//! Puts a skill into the skills directory, and takes it out again, so that whoever looks meanwhile sees the one or the other and never half of it.
//!
//! A folder is made beside those of the skills, under a name that readers pass over, and then put into place by a rename; where there is one already, both are exchanged in one
//! step, as far as the file system can do that. What is put there bears a note, by which it is told from what a person put there. Start with [`install`].

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use skillhost_core::id::{Digest, SkillName};
use tempfile::TempDir;

use crate::bundle::{FILE_BYTES_MAX, Scan};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::read_regular;
use crate::skills::{COMPONENT, Found, Installed, Library};

/// The note in the folder of a skill that was put there by us. It begins with a dot, so it is in no bundle.
const NOTE: &str = ".skillhost.json";

/// The largest note that is read, in bytes.
const NOTE_BYTES_MAX: u64 = 64 << 10;

/// What folders are called that are on their way in or out.
const COMING: &str = ".installing-";
const GOING: &str = ".removing-";

/// What is older was left behind by a process that died.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// How often a rename is tried again because somebody else was faster.
const RACES_MAX: usize = 8;

/// What is to be installed.
#[derive(Debug)]
pub struct Parcel<'a> {
    /// What it is launched by.
    pub name: &'a SkillName,
    /// Its files.
    pub scan: &'a Scan,
    /// Its `SKILL.md`, which tells how to run it as it is.
    pub document: &'a str,
    /// Whether it may take the place of something that was not put there by us, or was changed since.
    pub replace: bool,
}

/// Who put what is in the place of a skill there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nothing is there.
    Nobody,
    /// We did.
    Us,
    /// We did, and somebody changed it since.
    Changed,
    /// It was put there otherwise, or is a link to somewhere else.
    Somebody,
}

#[derive(Deserialize, Serialize)]
struct Note {
    version: u32,
    /// The bundle that was installed.
    bundle: Digest,
    /// By which program.
    skillhost: String,
}

/// Returns whether a skill's folder was put there by us, and so is replaced as a whole.
pub fn is_ours(folder: &Path) -> bool {
    folder.join(NOTE).is_file()
}

/// Returns who put there what is in the place of a skill.
pub fn owner(library: &Library, name: &SkillName) -> Owner {
    let folder = library.root().join(name.as_str());
    match fs::symlink_metadata(&folder) {
        Err(_) => return Owner::Nobody,
        Ok(metadata) if !metadata.is_dir() => return Owner::Somebody,
        Ok(_) => {}
    }
    let note = read_regular(&folder.join(NOTE), NOTE_BYTES_MAX).ok();
    let Some(note) = note.and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok()) else {
        return Owner::Somebody;
    };
    let now = match library.look(name.as_str()) {
        Found::Skill(skill) => Scan::of(&skill).ok().map(|scan| scan.bundle().digest()),
        _ => None,
    };
    match now == Some(note.bundle) {
        true => Owner::Us,
        false => Owner::Changed,
    }
}

/// Installs a skill, and returns whether it took the place of another.
pub fn install(library: &Library, parcel: &Parcel<'_>) -> Result<bool> {
    let root = library.root();
    fs::create_dir_all(root).map_err(|e| not_done("make the folder of skills", root, &e))?;
    sweep(root);
    let coming = gather(root, parcel)?;
    for _ in 0..RACES_MAX {
        let owner = owner(library, parcel.name);
        refuse(owner, parcel, root)?;
        let put = match owner {
            Owner::Nobody => put(coming.path(), &root.join(parcel.name.as_str())),
            _ => exchange(coming.path(), &root.join(parcel.name.as_str()), root),
        };
        match put {
            Ok(()) => return Ok(owner != Owner::Nobody),
            // It came or went between the look and the rename.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
                ) => {}
            Err(e) => return Err(not_done("put the skill into", root, &e)),
        }
    }
    let message = format!("others install or remove skill `{}` all the time", parcel.name);
    Err(CliError::new(Exit::Held, "taken", message))
}

/// Takes a skill out. Runs in progress have their own copy of it.
pub fn uninstall(library: &Library, name: &SkillName) -> Result<()> {
    let root = library.root();
    let folder = root.join(name.as_str());
    let is_link = fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_symlink());
    let removed = match is_link {
        // What it leads to is its owner's.
        true => fs::remove_file(&folder),
        false => remove(&folder, root),
    };
    removed.map_err(|e| not_done("remove the skill from", root, &e))
}

fn refuse(owner: Owner, parcel: &Parcel<'_>, root: &Path) -> Result<()> {
    let name = parcel.name;
    let (message, code) = match owner {
        Owner::Nobody | Owner::Us => return Ok(()),
        _ if parcel.replace => return Ok(()),
        Owner::Changed => ("was changed since it was installed", "changed"),
        Owner::Somebody => ("was not put there by `skillhost install`", "name_taken"),
    };
    let place = root.join(name.as_str());
    let message = format!("`{}` is there, and {message}", place.display());
    Err(CliError::invalid(code, message).hint("`--replace` puts this in its place, `--name OTHER` beside it"))
}

/// Makes the folder of a skill beside those that are installed.
fn gather(root: &Path, parcel: &Parcel<'_>) -> Result<TempDir> {
    let cannot = |e: &io::Error| not_done("write into", root, e);
    let folder = tempfile::Builder::new()
        .prefix(COMING)
        .tempdir_in(root)
        .map_err(|e| cannot(&e))?;
    let path = folder.path();
    for file in parcel.scan.bundle().files() {
        let unreadable = |e: &io::Error| {
            let message = format!("could not read `{}` of skill `{}`", file.path, parcel.name);
            CliError::new(Exit::Host, "skill_changed", message).caused_by(e)
        };
        let content = parcel.scan.read(file).map_err(|e| unreadable(&e))?;
        if Digest::of(&content) != file.digest {
            return Err(unreadable(&io::Error::other("it was changed while it was read")).hint("try again"));
        }
        let to = match file.digest == parcel.scan.component() && file.path.ends_with(".wasm") {
            true => COMPONENT,
            false => file.path.as_str(),
        };
        write(&path.join(to), &content).map_err(|e| cannot(&e))?;
    }
    write(&path.join(super::document::DOCUMENT), parcel.document.as_bytes()).map_err(|e| cannot(&e))?;
    // What is there now is what the note tells of.
    let there = Scan::of(&Installed {
        name: parcel.name.clone(),
        folder: fs::canonicalize(path).map_err(|e| cannot(&e))?,
        component: COMPONENT.to_owned(),
    })?;
    let note = Note {
        version: 1,
        bundle: there.bundle().digest(),
        skillhost: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let note = serde_json::to_vec(&note).expect("a note serialises");
    write(&path.join(NOTE), &note).map_err(|e| cannot(&e))?;
    // Temporary folders are open to their owner alone, skills are not.
    let rights = fs::metadata(root).map_err(|e| cannot(&e))?.permissions();
    fs::set_permissions(path, rights).map_err(|e| cannot(&e))?;
    Ok(folder)
}

/// Writes a file, so that its content is on the disk before its folder gets its name.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    debug_assert!(
        content.len() as u64 <= FILE_BYTES_MAX.max(crate::bundle::COMPONENT_BYTES_MAX),
        "a scan is bounded"
    );
    fs::create_dir_all(path.parent().expect("it is below the folder"))?;
    let mut file = fs::File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Puts a folder where nothing is.
fn put(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => sync(to),
        // A rename replaces an empty folder at most, which nobody misses.
        Err(e) if cannot_at_all(e) => fs::rename(from, to).and_then(|()| sync(to)),
        Err(e) => Err(e.into()),
    }
}

/// Puts a folder in the place of another, which goes.
fn exchange(from: &Path, to: &Path, root: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
        // What was there is where the new one came from, and goes with it.
        Ok(()) => {
            if fs::symlink_metadata(from)?.is_symlink() {
                fs::remove_file(from)?;
            }
            sync(to)
        }
        // Then there is a moment without the skill, which a launch would be told.
        Err(e) if cannot_at_all(e) => {
            remove(to, root)?;
            put(from, to)
        }
        Err(e) => Err(e.into()),
    }
}

/// Says whether the file system cannot do this kind of rename, whatever is there: some do not exchange, and a layered one does not rename what is in a layer below (`EXDEV`).
fn cannot_at_all(error: Errno) -> bool {
    [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::XDEV].contains(&error)
}

/// Removes a folder, or a link: by another name, so that nobody finds half of it, or on the spot where it cannot be renamed.
fn remove(folder: &Path, root: &Path) -> io::Result<()> {
    let going = tempfile::Builder::new().prefix(GOING).tempdir_in(root)?;
    match fs::rename(folder, going.path().join("skill")) {
        Ok(()) => going.close(),
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices => fs::remove_dir_all(folder),
        Err(e) => Err(e),
    }
}

/// Sees to it that a name is on the disk.
fn sync(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Removes what processes that died left on their way. What cannot be removed is in nobody's way.
fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
        if [COMING, GOING].iter().any(|prefix| name.starts_with(prefix)) && age.is_ok_and(|age| age > ABANDONED) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

fn not_done(what: &str, root: &Path, error: &io::Error) -> CliError {
    let message = format!("could not {what} `{}`", root.display());
    CliError::new(Exit::Storage, "skills_not_writable", message)
        .caused_by(error)
        .hint("`--skills-dir DIR` names another folder of skills")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use std::os::unix::fs::symlink;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A folder of skills, and the folder of a skill that is to be installed there.
    struct Place {
        root: TempDir,
        source: TempDir,
    }

    impl Place {
        fn new() -> Self {
            Self::below(&std::env::temp_dir())
        }

        fn below(folder: &Path) -> Self {
            let place = Self {
                root: tempfile::tempdir_in(folder).unwrap(),
                source: tempfile::tempdir().unwrap(),
            };
            place.edit("prompts/a.md", "hello");
            place.edit("src/lib.rs", "");
            place
        }

        fn edit(&self, path: &str, text: &str) {
            let path = self.source.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn skills(&self) -> Library {
            Library::at(&self.root.path().join("skills"))
        }

        fn folder(&self) -> PathBuf {
            self.skills().root().join("greeter")
        }

        fn install(&self, component: &str, replace: bool) -> Result<bool> {
            let name = SkillName::parse("greeter").unwrap();
            let source = fs::canonicalize(self.source.path()).unwrap();
            let scan = Scan::with_component(&name, &source, component.into()).unwrap();
            let parcel = Parcel {
                name: &name,
                scan: &scan,
                document: "# Greeter\n",
                replace,
            };
            install(&self.skills(), &parcel)
        }

        fn owner(&self) -> Owner {
            owner(&self.skills(), &SkillName::parse("greeter").unwrap())
        }

        fn uninstall(&self) {
            uninstall(&self.skills(), &SkillName::parse("greeter").unwrap()).unwrap();
        }

        /// Everything in the folder of skills, what is hidden too.
        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.skills().root()).unwrap();
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect()
        }
    }

    #[test]
    fn a_skill_is_put_there_with_what_it_needs_and_taken_out_again() {
        let place = Place::new();
        assert_eq!(place.owner(), Owner::Nobody);
        assert!(!place.install("one", false).unwrap());
        assert_eq!(place.owner(), Owner::Us);
        assert_eq!(
            fs::read_to_string(place.folder().join("prompts/a.md")).unwrap(),
            "hello"
        );
        assert_eq!(
            fs::read_to_string(place.folder().join("SKILL.md")).unwrap(),
            "# Greeter\n"
        );
        assert!(!place.folder().join("src").exists());
        assert!(place.install("two", false).unwrap());
        assert_eq!(fs::read_to_string(place.folder().join(COMPONENT)).unwrap(), "two");
        place.uninstall();
        assert_eq!(place.names(), Vec::<String>::new());
    }

    #[test]
    fn what_somebody_put_there_or_changed_is_replaced_only_if_that_is_wanted() {
        let place = Place::new();
        fs::create_dir_all(place.folder()).unwrap();
        let refused = |code: &str| assert_eq!(place.install("one", false).unwrap_err().code, code);
        refused("name_taken");
        assert!(place.install("one", true).unwrap());
        fs::write(place.folder().join("prompts/a.md"), "edited on the spot").unwrap();
        assert_eq!(place.owner(), Owner::Changed);
        refused("changed");
        place.uninstall();
        fs::write(place.folder(), "a file").unwrap();
        refused("name_taken");
        assert_eq!(place.names(), ["greeter"]);
    }

    #[test]
    fn a_link_is_replaced_or_removed_and_what_it_leads_to_is_left_alone() {
        let place = Place::new();
        let work = place.root.path().join("work");
        fs::create_dir_all(&work).unwrap();
        fs::write(work.join("skill.wasm"), "mine").unwrap();
        fs::create_dir_all(place.skills().root()).unwrap();
        symlink(&work, place.folder()).unwrap();
        assert_eq!(place.install("one", false).unwrap_err().code, "name_taken");
        assert!(place.install("one", true).unwrap());
        assert!(!place.folder().is_symlink());
        place.uninstall();
        symlink(&work, place.folder()).unwrap();
        place.uninstall();
        assert_eq!(fs::read_to_string(work.join("skill.wasm")).unwrap(), "mine");
        assert_eq!(place.names(), Vec::<String>::new());
    }

    #[test]
    fn whoever_looks_while_a_skill_is_replaced_sees_the_one_or_the_other() {
        let place = Place::new();
        place.install("0", false).unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let looking = scope.spawn(|| {
                let mut looks = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let Found::Skill(skill) = place.skills().look("greeter") else {
                        panic!("there was a moment without it");
                    };
                    let scan = Scan::of(&skill).unwrap();
                    assert!(scan.bundle().file("prompts/a.md").is_some(), "half of it was seen");
                    looks += 1;
                }
                looks
            });
            for component in 1..100 {
                place.install(&component.to_string(), false).unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
            assert!(looking.join().unwrap() > 0);
        });
        assert_eq!(place.names(), ["greeter"]);
    }

    #[test]
    fn where_a_file_system_cannot_exchange_the_old_one_goes_first() {
        let place = Place::new();
        place.install("old", false).unwrap();
        let root = place.skills().root().to_owned();
        let coming = root.join(format!("{COMING}x"));
        fs::create_dir(&coming).unwrap();
        fs::write(coming.join(COMPONENT), "new").unwrap();
        remove(&place.folder(), &root).unwrap();
        put(&coming, &place.folder()).unwrap();
        assert_eq!(fs::read_to_string(place.folder().join(COMPONENT)).unwrap(), "new");
        assert!(cannot_at_all(Errno::XDEV) && !cannot_at_all(Errno::EXIST));
    }

    #[test]
    fn skills_may_lie_on_another_file_system_among_a_thousand_other_files() {
        let memory = Path::new("/dev/shm");
        let place = match memory.is_dir() {
            true => Place::below(memory),
            false => Place::new(),
        };
        fs::create_dir_all(place.skills().root()).unwrap();
        for number in 0..1_000 {
            fs::write(place.skills().root().join(format!("note-{number}.txt")), "").unwrap();
        }
        place.install("one", false).unwrap();
        place.install("two", false).unwrap();
        let (skills, broken) = place.skills().list().unwrap();
        assert_eq!((skills.len(), broken.len()), (1, 0));
        assert_eq!(place.names().len(), 1_001);
    }

    #[test]
    fn what_a_process_that_died_left_behind_is_swept_out_in_time() {
        let place = Place::new();
        let root = place.skills().root().to_owned();
        for name in [".installing-old", ".removing-old", ".installing-new", ".mine"] {
            fs::create_dir_all(root.join(name)).unwrap();
            if !name.ends_with("new") {
                let long_ago = SystemTime::now() - 2 * ABANDONED;
                fs::File::open(root.join(name)).unwrap().set_modified(long_ago).unwrap();
            }
        }
        place.install("one", false).unwrap();
        let mut names = place.names();
        names.sort();
        assert_eq!(names, [".installing-new", ".mine", "greeter"]);
    }

    #[test]
    fn a_component_that_is_swapped_while_it_is_read_is_not_installed() {
        let place = Place::new();
        let name = SkillName::parse("greeter").unwrap();
        let source = fs::canonicalize(place.source.path()).unwrap();
        place.edit("skill.wasm", "one");
        let scan = Scan::of(&Installed {
            name: name.clone(),
            folder: source,
            component: COMPONENT.to_owned(),
        });
        place.edit("skill.wasm", "two");
        let parcel = Parcel {
            name: &name,
            scan: &scan.unwrap(),
            document: "",
            replace: false,
        };
        assert_eq!(install(&place.skills(), &parcel).unwrap_err().code, "skill_changed");
        assert_eq!(place.names(), Vec::<String>::new());
    }
}
