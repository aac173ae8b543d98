//! Stories about files in mounts, told on a temporary folder: what leads out ([`escape`]), what the user gives ([`given`]), what is done once more ([`redo`]), listing
//! ([`listing`]), and the folder of a run that begins with a copy ([`rebuild`]).

mod escape;
mod fuzz;
mod given;
mod listing;
mod rebuild;
mod redo;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skillhost_core::calls::files as calls;
use skillhost_core::calls::files::{BYTES_MAX, Bytes, Kind, Measured};
use skillhost_core::outcome::Fault;
use tempfile::TempDir;

use super::change::Unsure;
use super::{MountError, Mounts};

/// The key of the call that is performed.
const KEY: &str = "01jd0000000000000000000000/3";
const RUN: &str = "01jd0000000000000000000000";

/// A run with the mounts `run/` (not made yet), `skill/`, `project/` and `manual/` (read-only), and a folder outside that is none of its business.
struct World {
    home: TempDir,
    mounts: Mounts,
}

impl World {
    fn new() -> Self {
        let home = TempDir::with_prefix_in("skillhost", fs::canonicalize(std::env::temp_dir()).unwrap()).unwrap();
        for folder in ["project", "manual", "outside"] {
            fs::create_dir(home.path().join(folder)).unwrap();
        }
        fs::write(home.path().join("outside/secret"), "secret").unwrap();
        let skill = BTreeMap::from([
            ("SKILL.md".to_owned(), b"# Greets".to_vec()),
            ("prompts/a.md".to_owned(), b"hello".to_vec()),
            ("prompts/deep/b.md".to_owned(), vec![0xff, 0]),
        ]);
        let mounts = Mounts::new(home.path().join("runs/1"), Arc::new(skill))
            .grant("project", home.path().join("project"), true)
            .unwrap()
            .grant("manual", home.path().join("manual"), false)
            .unwrap();
        Self { home, mounts }
    }

    /// Returns a path on the host.
    fn host(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, Fault> {
        let read = self.mounts.table.read(&named(path)).map(|bytes| bytes.0);
        // What can be read on the spot is the same, and nothing is read there that is refused here.
        if let Some(at_hand) = self.mounts.table.read_at_hand(&named(path)) {
            assert_eq!(read.as_ref(), Ok(&at_hand.0), "{path}");
        }
        read
    }

    fn read_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, Fault> {
        let request = calls::ReadRange {
            path: path.to_owned(),
            offset,
            length,
        };
        self.mounts.table.read_range(&request).map(|bytes| bytes.0)
    }

    fn stat(&self, path: &str) -> Result<calls::Entry, Fault> {
        self.mounts.table.stat(&named(path))
    }

    fn write(&self, path: &str, contents: &[u8]) -> Result<(), Fault> {
        self.mounts.table.write(&writing(path, contents), KEY, false)
    }

    fn measure(&self, path: &str) -> Result<Option<u64>, Fault> {
        let measured = self.mounts.table.measure_append(&writing(path, b""));
        measured.map(|measured| measured.length)
    }

    /// Measures, then appends for the first time.
    fn append(&self, path: &str, contents: &[u8]) -> Result<(), Unsure> {
        let length = self.measure(path)?;
        let request = writing(path, contents);
        self.mounts.table.append(&request, Measured { length }, false)
    }

    /// Appends once more, after a crash, what was measured as `length` the first time.
    fn append_again(&self, path: &str, contents: &[u8], length: Option<u64>) -> Result<(), Unsure> {
        let request = writing(path, contents);
        self.mounts.table.append(&request, Measured { length }, true)
    }

    fn remove(&self, path: &str) -> Result<(), Fault> {
        self.mounts.table.remove(&named(path), RUN, false)
    }
}

fn named(path: &str) -> calls::Path {
    calls::Path { path: path.to_owned() }
}

fn writing(path: &str, contents: &[u8]) -> calls::Write {
    calls::Write {
        path: path.to_owned(),
        contents: Bytes(contents.to_vec()),
    }
}

/// Asserts that something was refused with this code, in words that do not say where it lies on the host.
fn check_refused<T: std::fmt::Debug>(world: &World, result: Result<T, Fault>, code: &str) -> String {
    let fault = result.expect_err("it is refused");
    assert_eq!(fault.code, code, "{}", fault.message);
    assert!(
        !fault.message.contains(world.home.path().to_str().unwrap()),
        "{}",
        fault.message
    );
    fault.message
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_runs_folder_is_made_when_it_is_first_written_for_its_user_only() {
    let world = World::new();
    check_refused(&world, world.read("run/a"), Fault::NOT_FOUND);
    check_refused(&world, world.remove("run/a"), Fault::NOT_FOUND);
    assert_eq!(world.stat("run/").unwrap().kind, Kind::Folder);
    assert!(!world.host("runs").exists());
    world.write("run/deep/er/a.md", b"x").unwrap();
    assert_eq!(world.read("run/deep/er/a.md").unwrap(), b"x");
    for folder in ["runs", "runs/1"] {
        let mode = fs::metadata(world.host(folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{folder}");
    }
}

#[test]
fn a_write_replaces_the_whole_file_keeps_its_permissions_and_leaves_nothing_beside_it() {
    let world = World::new();
    let script = world.host("project/run.sh");
    fs::write(&script, "old and longer").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o750)).unwrap();
    world.write("project/run.sh", b"new").unwrap();
    assert_eq!(fs::read(&script).unwrap(), b"new");
    assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o777, 0o750);
    assert_eq!(names_in(&world.host("project")), ["run.sh"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_small_file_that_was_just_written_is_read_on_the_spot() {
    let world = World::new();
    world.write("run/small", b"small").unwrap();
    world.write("run/large", &[0; 100_000]).unwrap();
    let at_hand = |path: &str| world.mounts.table.read_at_hand(&named(path));
    assert_eq!(at_hand("run/small").unwrap().0, b"small");
    assert_eq!(at_hand("skill/prompts/a.md").unwrap().0, b"hello");
    for path in ["run/large", "run", "run/nothing", "run/../project", "nowhere/small"] {
        assert!(at_hand(path).is_none(), "{path}");
    }
}

#[test]
fn what_reads_the_old_file_goes_on_reading_the_old_file() {
    let world = World::new();
    world.write("project/a", b"old").unwrap();
    let mut reader = fs::File::open(world.host("project/a")).unwrap();
    world.write("project/a", b"new").unwrap();
    assert_eq!(std::io::read_to_string(&mut reader).unwrap(), "old");
}

#[test]
fn an_append_adds_to_the_end_and_makes_what_is_missing() {
    let world = World::new();
    assert_eq!(world.measure("run/log/a"), Ok(None));
    world.append("run/log/a", b"one\n").unwrap();
    world.append("run/log/a", b"two\n").unwrap();
    assert_eq!(world.measure("run/log/a"), Ok(Some(8)));
    assert_eq!(world.read("run/log/a").unwrap(), b"one\ntwo\n");
}

#[test]
fn an_append_that_does_not_fit_is_taken_back_whole() {
    let world = World::new();
    let file = fs::File::create(world.host("project/huge")).unwrap();
    // The longest file that this file system can hold has no room for ten bytes more.
    let (mut fits, mut too_long) = (1_u64 << 20, i64::MAX as u64);
    if file.set_len(too_long).is_ok() {
        fits = too_long;
    }
    while too_long - fits > 1 {
        let middle = fits + (too_long - fits) / 2;
        match file.set_len(middle) {
            Ok(()) => fits = middle,
            Err(_) => too_long = middle,
        }
    }
    file.set_len(fits - 4).unwrap();
    match world.append("project/huge", b"0123456789") {
        Err(Unsure::Fault(fault)) => assert_eq!(fault.code, Fault::FAILED, "{}", fault.message),
        other => panic!("{other:?}"),
    }
    assert_eq!(file.metadata().unwrap().len(), fits - 4);
}

#[test]
fn files_and_empty_folders_are_removed_and_full_ones_are_not() {
    let world = World::new();
    world.write("project/a/b", b"x").unwrap();
    check_refused(&world, world.remove("project/a"), Fault::INVALID);
    world.remove("project/a/b").unwrap();
    world.remove("project/a/").unwrap();
    check_refused(&world, world.remove("project/a"), Fault::NOT_FOUND);
    check_refused(&world, world.remove("project"), Fault::INVALID);
    assert!(world.host("project").exists());
}

#[test]
fn sizes_are_bounded_also_of_a_file_that_is_mostly_hole() {
    let world = World::new();
    let file = fs::File::create(world.host("project/hole")).unwrap();
    file.set_len(1 << 40).unwrap();
    let fault = world.read("project/hole").expect_err("it is refused");
    assert_eq!(fault.code, Fault::TOO_LARGE);
    assert_eq!(fault.data, Some(BYTES_MAX.into()));
    assert_eq!(
        world.read_range("project/hole", 1 << 39, BYTES_MAX).unwrap().len() as u64,
        BYTES_MAX
    );
    check_refused(&world, world.read_range("project/hole", 0, u64::MAX), Fault::TOO_LARGE);
    let most = usize::try_from(BYTES_MAX).unwrap();
    world.write("project/most", &vec![b'a'; most]).unwrap();
    assert_eq!(world.read("project/most").unwrap().len(), most);
    check_refused(
        &world,
        world.write("project/more", &vec![b'a'; most + 1]),
        Fault::TOO_LARGE,
    );
    assert!(!world.host("project/more").exists());
}

#[test]
fn a_range_ends_where_the_file_does() {
    let world = World::new();
    world.write("project/a", b"0123456789").unwrap();
    for (offset, length, expected) in [
        (0, 4, "0123"),
        (8, 4, "89"),
        (10, 1, ""),
        (3, 0, ""),
        (7, u64::MAX, "789"),
        (u64::MAX, u64::MAX, ""),
        (1 << 62, 1, ""),
    ] {
        let read = world.read_range("project/a", offset, length).unwrap();
        assert_eq!(read, expected.as_bytes(), "{offset} {length}");
    }
}

#[test]
fn the_skills_own_files_are_read_as_they_were_installed_and_never_changed() {
    let world = World::new();
    assert_eq!(world.read("skill/prompts/a.md").unwrap(), b"hello");
    assert_eq!(world.read_range("skill/SKILL.md", 2, 100).unwrap(), b"Greets");
    assert_eq!(world.stat("skill/prompts").unwrap().kind, Kind::Folder);
    assert_eq!(world.stat("skill/SKILL.md").unwrap().size, 8);
    check_refused(&world, world.read("skill/prompts"), Fault::INVALID);
    check_refused(&world, world.read("skill/prompt"), Fault::NOT_FOUND);
    check_refused(&world, world.write("skill/SKILL.md", b""), Fault::DENIED);
    check_refused(&world, world.remove("skill/SKILL.md"), Fault::DENIED);
}

#[test]
fn what_may_not_be_written_is_not() {
    let world = World::new();
    fs::write(world.host("manual/a"), "kept").unwrap();
    check_refused(&world, world.write("manual/a", b"x"), Fault::DENIED);
    check_refused(&world, world.measure("manual/a"), Fault::DENIED);
    check_refused(&world, world.remove("manual/a"), Fault::DENIED);
    assert_eq!(world.read("manual/a").unwrap(), b"kept");
    let protected = world.host("project/protected");
    fs::write(&protected, "kept").unwrap();
    fs::set_permissions(&protected, fs::Permissions::from_mode(0o444)).unwrap();
    check_refused(&world, world.write("project/protected", b"x"), Fault::DENIED);
    assert_eq!(fs::read(&protected).unwrap(), b"kept");
}

#[test]
fn a_mount_that_is_not_there_is_denied_with_the_names_of_those_that_are() {
    let world = World::new();
    let message = check_refused(&world, world.read("home/a"), Fault::DENIED);
    assert!(
        message.contains("`manual/`, `project/`, `run/` and `skill/`"),
        "{message}"
    );
    fs::remove_dir(world.host("project")).unwrap();
    let message = check_refused(&world, world.write("project/a", b""), Fault::NOT_FOUND);
    assert!(message.contains("behind the mount `project/`"), "{message}");
}

#[test]
fn a_folder_in_the_place_of_a_file_and_a_file_in_the_place_of_a_folder_are_invalid() {
    let world = World::new();
    world.write("project/folder/file", b"x").unwrap();
    check_refused(&world, world.read("project/folder"), Fault::INVALID);
    check_refused(&world, world.read("project"), Fault::INVALID);
    check_refused(&world, world.write("project/folder", b"x"), Fault::INVALID);
    check_refused(&world, world.measure("project/folder"), Fault::INVALID);
    check_refused(&world, world.read("project/folder/file/x"), Fault::INVALID);
    check_refused(&world, world.write("project/folder/file/x", b""), Fault::INVALID);
    let long = format!("project/{}", "a".repeat(300));
    check_refused(&world, world.write(&long, b""), Fault::INVALID);
}

#[test]
fn a_mount_needs_a_name_that_is_free_and_an_absolute_folder() {
    let mounts = || World::new().mounts;
    let grant = |name: &str, folder: &str| mounts().grant(name, folder.into(), true);
    for name in ["", "a/b", "..", ".hidden", "ü", "a b"] {
        assert!(matches!(grant(name, "/x"), Err(MountError::Name { .. })), "{name}");
    }
    for name in ["run", "skill", "project"] {
        assert!(matches!(grant(name, "/x"), Err(MountError::Taken { .. })), "{name}");
    }
    assert!(matches!(grant("x", "relative"), Err(MountError::Relative { .. })));
    let described: Vec<_> = mounts().described().into_iter().map(|m| (m.name, m.writable)).collect();
    let expected = [("manual", false), ("project", true), ("run", true), ("skill", false)];
    assert_eq!(described, expected.map(|(name, writable)| (name.to_owned(), writable)));
}
