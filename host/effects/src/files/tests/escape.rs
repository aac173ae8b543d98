//! Nothing outside a mount is read or changed, whatever lies in it, and nothing that is opened can hold the host up.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use skillhost_core::calls::files::Kind;
use skillhost_core::outcome::Fault;

use super::{World, check_refused, names_in};
use crate::files::change::Unsure;

fn append_fault(result: Result<(), Unsure>) -> Result<(), Fault> {
    result.map_err(|unsure| match unsure {
        Unsure::Fault(fault) => fault,
        Unsure::InDoubt(why) => panic!("{why}"),
    })
}

#[test]
fn a_link_that_leads_out_is_neither_read_nor_written_and_may_be_removed() {
    let world = World::new();
    let outside = world.host("outside");
    symlink(outside.join("secret"), world.host("project/absolute")).unwrap();
    symlink("../outside/secret", world.host("project/relative")).unwrap();
    for path in ["project/absolute", "project/relative"] {
        check_refused(&world, world.read(path), Fault::DENIED);
        check_refused(&world, world.read_range(path, 0, 1), Fault::DENIED);
        check_refused(&world, world.stat(path), Fault::DENIED);
        check_refused(&world, world.write(path, b"x"), Fault::DENIED);
        check_refused(&world, world.measure(path), Fault::DENIED);
        check_refused(
            &world,
            append_fault(world.append_again(path, b"x", Some(6))),
            Fault::DENIED,
        );
        world.remove(path).unwrap();
    }
    assert_eq!(fs::read(outside.join("secret")).unwrap(), b"secret");
    assert_eq!(names_in(&outside), ["secret"]);
}

#[test]
fn a_folder_that_is_a_link_out_is_not_entered() {
    let world = World::new();
    symlink(world.host("outside"), world.host("project/folder")).unwrap();
    check_refused(&world, world.read("project/folder/secret"), Fault::DENIED);
    check_refused(&world, world.write("project/folder/new", b"x"), Fault::DENIED);
    check_refused(&world, world.write("project/folder/new/er", b"x"), Fault::DENIED);
    check_refused(&world, world.remove("project/folder/secret"), Fault::DENIED);
    check_refused(&world, world.measure("project/folder/secret"), Fault::DENIED);
    assert_eq!(names_in(&world.host("outside")), ["secret"]);
}

#[test]
fn a_link_that_stays_in_the_mount_is_followed_and_stays_a_link() {
    let world = World::new();
    world.write("project/real/a", b"old").unwrap();
    symlink("real/a", world.host("project/link")).unwrap();
    symlink("../real", world.host("project/real/again")).unwrap();
    world.write("project/link", b"new").unwrap();
    world.append("project/link", b"er").unwrap();
    assert_eq!(world.read("project/real/again/a").unwrap(), b"newer");
    assert!(fs::symlink_metadata(world.host("project/link")).unwrap().is_symlink());
    symlink("nothing", world.host("project/dangling")).unwrap();
    check_refused(&world, world.write("project/dangling", b"x"), Fault::INVALID);
    symlink("loop", world.host("project/loop")).unwrap();
    check_refused(&world, world.read("project/loop"), Fault::INVALID);
}

#[test]
fn paths_through_the_process_file_system_lead_nowhere() {
    let world = World::new();
    symlink("/proc/self/root", world.host("project/root")).unwrap();
    check_refused(&world, world.read("project/root/etc/hostname"), Fault::DENIED);
}

#[test]
fn a_parent_that_is_swapped_for_a_link_never_leads_out() {
    let world = World::new();
    world.write("project/real/secret", b"inside").unwrap();
    fs::write(world.host("outside/beside"), "").unwrap();
    symlink("real", world.host("project/sub")).unwrap();
    let done = AtomicBool::new(false);
    let mut rounds = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let next = world.host("project/next");
            for _ in 0..1_000 {
                for leads_to in [world.host("outside"), "real".into()] {
                    symlink(leads_to, &next).unwrap();
                    fs::rename(&next, world.host("project/sub")).unwrap();
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) || rounds < 50 {
            rounds += 1;
            // Each by itself: between the two it may have been swapped.
            let secret = super::named("project/sub/secret");
            let table = &world.mounts.table;
            for read in [table.read(&secret).ok(), table.read_at_hand(&secret)] {
                assert!(read.is_none_or(|read| read.0 == b"inside"));
            }
            assert!(world.stat("project/sub/beside").is_err());
            for listed in super::given::listed(&world, "project/sub").unwrap_or_default() {
                assert!(!listed.ends_with("beside"), "{listed}");
            }
            let _ = world.write("project/sub/new", b"x");
            let _ = world.append("project/sub/secret", b"");
            let _ = world.remove("project/sub/new");
        }
    });
    assert_eq!(names_in(&world.host("outside")), ["beside", "secret"]);
    assert_eq!(fs::read(world.host("outside/secret")).unwrap(), b"secret");
}

#[test]
fn a_pipe_and_a_socket_are_not_opened_and_hold_nothing_up() {
    let world = World::new();
    let pipe = world.host("project/pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _socket = UnixListener::bind(world.host("project/socket")).unwrap();
    for path in ["project/pipe", "project/socket"] {
        check_refused(&world, world.read(path), Fault::INVALID);
        check_refused(&world, world.read_range(path, 0, 1), Fault::INVALID);
        check_refused(&world, world.write(path, b"x"), Fault::INVALID);
        check_refused(&world, world.measure(path), Fault::INVALID);
        check_refused(
            &world,
            append_fault(world.append_again(path, b"x", None)),
            Fault::INVALID,
        );
        check_refused(&world, world.remove(path), Fault::INVALID);
        assert_eq!(world.stat(path).unwrap().kind, Kind::Other);
    }
}

#[test]
fn a_device_is_not_read() {
    let world = World::new();
    let mounts = world.mounts.clone().grant("dev", "/dev".into(), true).unwrap();
    let world = World { mounts, ..world };
    check_refused(&world, world.read("dev/zero"), Fault::INVALID);
    check_refused(&world, world.write("dev/null", b"x"), Fault::INVALID);
    check_refused(&world, world.remove("dev/null"), Fault::INVALID);
    assert_eq!(world.stat("dev/zero").unwrap().kind, Kind::Other);
}
