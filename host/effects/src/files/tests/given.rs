//! What the user gives a run beyond its own folder: one file of a folder, folders that go away, and the folder that the runs of a skill share.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skillhost_core::calls::files as calls;
use skillhost_core::calls::files::Kind;
use skillhost_core::outcome::Fault;

use super::{RUN, World, check_refused, named, names_in};
use crate::files::change::Unsure;
use crate::files::{MountError, Mounts};

fn world(more: impl FnOnce(&World, Mounts) -> Mounts) -> World {
    let world = World::new();
    let mounts = more(&world, world.mounts.clone());
    World { mounts, ..world }
}

fn with_notes() -> World {
    world(|world, mounts| {
        fs::write(world.host("manual/notes.md"), "shown").unwrap();
        fs::write(world.host("manual/secret"), "secret").unwrap();
        mounts.grant_file("notes", world.host("manual"), "notes.md").unwrap()
    })
}

pub(super) fn listed(world: &World, path: &str) -> Result<Vec<String>, Fault> {
    let request = calls::List {
        path: path.to_owned(),
        glob: None,
        recursive: true,
        limit: None,
        after: None,
    };
    let listing = world.mounts.table.list(&request)?;
    Ok(listing.entries.into_iter().map(|entry| entry.path).collect())
}

#[test]
fn a_mount_of_one_file_shows_that_file_and_nothing_beside_it() {
    let world = with_notes();
    assert_eq!(world.read("notes/notes.md").unwrap(), b"shown");
    assert_eq!(world.read_range("notes/notes.md", 1, 2).unwrap(), b"ho");
    assert_eq!(world.stat("notes/notes.md").unwrap().size, 5);
    assert_eq!(world.stat("notes").unwrap().kind, Kind::Folder);
    assert_eq!(world.stat("notes").unwrap().modified_ns, None);
    assert_eq!(listed(&world, "notes").unwrap(), ["notes/notes.md"]);
    for path in ["notes/secret", "notes/notes.md/x", "notes/deep/er"] {
        check_refused(&world, world.read(path), Fault::NOT_FOUND);
        check_refused(&world, world.read_range(path, 0, 1), Fault::NOT_FOUND);
        check_refused(&world, world.stat(path), Fault::NOT_FOUND);
        check_refused(&world, listed(&world, path), Fault::NOT_FOUND);
        check_refused(&world, world.write(path, b"x"), Fault::DENIED);
        check_refused(&world, world.remove(path), Fault::DENIED);
    }
    check_refused(&world, world.write("notes/notes.md", b"x"), Fault::DENIED);
    check_refused(&world, listed(&world, "notes/notes.md"), Fault::INVALID);
    fs::remove_file(world.host("manual/notes.md")).unwrap();
    assert_eq!(listed(&world, "notes").unwrap(), [""; 0]);
    check_refused(&world, world.read("notes/notes.md"), Fault::NOT_FOUND);
}

#[test]
fn a_file_that_is_swapped_for_a_link_to_the_one_beside_it_is_not_followed() {
    let world = with_notes();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let next = world.host("next");
            for _ in 0..5_000 {
                symlink("secret", &next).unwrap();
                fs::rename(&next, world.host("manual/notes.md")).unwrap();
                fs::write(&next, "shown").unwrap();
                fs::rename(&next, world.host("manual/notes.md")).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            let reads = [world.read("notes/notes.md"), world.read_range("notes/notes.md", 0, 9)];
            for read in reads.into_iter().flatten() {
                assert_eq!(read, b"shown");
            }
        }
    });
}

#[test]
fn what_the_runs_of_a_skill_share_is_made_when_it_is_written_and_read_by_the_next() {
    let first = world(|world, mounts| mounts.with_data(world.host("data/greeter")));
    check_refused(&first, first.read("data/seen"), Fault::NOT_FOUND);
    assert_eq!(listed(&first, "data").unwrap(), [""; 0]);
    assert!(!first.host("data").exists());
    first.append("data/seen", b"one\n").unwrap();
    let mode = fs::metadata(first.host("data/greeter")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let second = Mounts::new(first.host("runs/2"), Arc::new(std::collections::BTreeMap::new()));
    let second = second.with_data(first.host("data/greeter"));
    assert_eq!(second.table.read(&named("data/seen")).unwrap().0, b"one\n");
}

/// Of the run's own folder alone it is known that nobody else wrote there (rule R3).
#[test]
fn r3_an_append_of_which_a_part_is_there_is_in_doubt_in_what_runs_share() {
    let world = world(|world, mounts| mounts.with_data(world.host("data/greeter")));
    world.write("data/log", b"one\ntw").unwrap();
    let again = world.append_again("data/log", b"two\n", Some(4));
    assert!(matches!(again, Err(Unsure::InDoubt(_))), "{again:?}");
    world.write("run/log", b"one\ntw").unwrap();
    world.append_again("run/log", b"two\n", Some(4)).unwrap();
    assert_eq!(world.read("run/log").unwrap(), b"one\ntwo\n");
}

#[test]
fn unfinished_writes_of_one_run_are_left_alone_by_another() {
    let world = world(|world, mounts| mounts.with_data(world.host("data/greeter")));
    world.write("data/box/a", b"x").unwrap();
    let others = world.host("data/greeter/box/.skillhost-01jd9999999999999999999999-4.tmp");
    fs::write(&others, "half").unwrap();
    world.remove("data/box/a").unwrap();
    check_refused(
        &world,
        world.mounts.table.remove(&named("data/box"), RUN, false),
        Fault::INVALID,
    );
    assert!(others.exists());
}

#[test]
fn a_folder_that_is_gone_or_that_a_link_leads_to_now_is_told_to_its_user_and_not_to_the_guest() {
    let world = World::new();
    let folder = |name: &str| match world.mounts.table.by_name.get(name).unwrap() {
        crate::files::Mount::Folder(folder) => folder.gone(),
        crate::files::Mount::Bundle(_) => None,
    };
    assert_eq!((folder("run"), folder("project")), (None, None));
    fs::rename(world.host("project"), world.host("elsewhere")).unwrap();
    let gone = folder("project").unwrap();
    assert!(gone.contains(world.host("project").to_str().unwrap()), "{gone}");
    assert!(gone.contains("it is not there"), "{gone}");
    check_refused(&world, world.read("project/a"), Fault::NOT_FOUND);
    symlink(world.host("outside"), world.host("project")).unwrap();
    assert!(folder("project").unwrap().contains("a link leads to it"));
    check_refused(&world, world.read("project/secret"), Fault::FAILED);
    check_refused(&world, world.write("project/new", b"x"), Fault::FAILED);
    check_refused(&world, listed(&world, "project"), Fault::FAILED);
    assert_eq!(names_in(&world.host("outside")), ["secret"]);
    fs::remove_file(world.host("project")).unwrap();
    fs::write(world.host("project"), "a file").unwrap();
    assert!(folder("project").unwrap().contains("it is no folder"));
}

#[test]
fn a_hard_link_is_the_file_itself_and_a_write_parts_them() {
    let world = World::new();
    fs::hard_link(world.host("outside/secret"), world.host("project/hard")).unwrap();
    assert_eq!(world.read("project/hard").unwrap(), b"secret");
    world.write("project/hard", b"new").unwrap();
    assert_eq!(fs::read(world.host("outside/secret")).unwrap(), b"secret");
}

#[test]
fn what_every_run_has_is_not_the_users_to_name() {
    let grant = |name: &str| World::new().mounts.grant_file(name, "/x".into(), "a");
    for name in ["run", "skill", "data"] {
        assert!(matches!(grant(name), Err(MountError::Taken { .. })), "{name}");
    }
}
