//! R3: performing a change once more after a crash is as performing it once, or a person decides.

use std::fs;

use skillhost_core::outcome::Fault;

use super::{KEY, RUN, World, check_refused, named, names_in, writing};
use crate::files::change::Unsure;

/// What is left on disk, and how the append went.
fn append_again(path: &str, before: &[u8], length: Option<u64>, now: Option<&[u8]>) -> String {
    let world = World::new();
    world.write(path, before).unwrap();
    match now {
        Some(now) => world.write(path, now).unwrap(),
        None => world.remove(path).unwrap(),
    }
    let went = match world.append_again(path, b"two\n", length) {
        Ok(()) => "done".to_owned(),
        Err(Unsure::InDoubt(_)) => "in doubt".to_owned(),
        Err(Unsure::Fault(fault)) => fault.code,
    };
    let left = world.read(path).map(|bytes| String::from_utf8(bytes).unwrap());
    format!("{went}: {}", left.unwrap_or_else(|fault| fault.code))
}

#[test]
fn r3_an_append_whose_bytes_are_there_is_done() {
    let went = append_again("project/log", b"one\n", Some(4), Some(b"one\ntwo\n"));
    assert_eq!(went, "done: one\ntwo\n");
    let went = append_again("project/log", b"", None, Some(b"two\n"));
    assert_eq!(went, "done: two\n");
}

#[test]
fn r3_an_append_to_an_unchanged_file_is_made() {
    let went = append_again("project/log", b"one\n", Some(4), Some(b"one\n"));
    assert_eq!(went, "done: one\ntwo\n");
    let went = append_again("project/log", b"", None, None);
    assert_eq!(went, "done: two\n");
    let went = append_again("project/log", b"", None, Some(b""));
    assert_eq!(
        went, "done: two\n",
        "the file was made and the crash came before its bytes"
    );
}

#[test]
fn r3_an_append_to_a_file_that_somebody_changed_is_left_to_a_person() {
    for now in [
        &b"one\nthree\n"[..],
        b"one\ntwo\nthree\n",
        b"one\nthree\ntwo\n",
        b"on",
        b"",
    ] {
        let went = append_again("project/log", b"one\n", Some(4), Some(now));
        assert_eq!(went, format!("in doubt: {}", String::from_utf8_lossy(now)));
    }
    let went = append_again("project/log", b"one\n", Some(4), None);
    assert_eq!(went, "in doubt: not-found");
}

#[test]
fn r3_a_torn_append_is_completed_where_nobody_else_writes_and_left_to_a_person_elsewhere() {
    let went = append_again("run/log", b"one\n", Some(4), Some(b"one\ntw"));
    assert_eq!(went, "done: one\ntwo\n");
    let went = append_again("run/log", b"one\n", Some(4), Some(b"one\n\0\0"));
    assert_eq!(went, "in doubt: one\n\0\0");
    let went = append_again("project/log", b"one\n", Some(4), Some(b"one\ntw"));
    assert_eq!(went, "in doubt: one\ntw");
}

#[test]
fn r3_a_reason_for_doubt_names_the_file_as_the_guest_does() {
    let world = World::new();
    world.write("project/log", b"one\nthree\n").unwrap();
    let Err(Unsure::InDoubt(why)) = world.append_again("project/log", b"two\n", Some(4)) else {
        panic!("it is in doubt")
    };
    assert!(
        why.starts_with("`project/log` had 4 bytes before the append and has 10 now"),
        "{why}"
    );
}

#[test]
fn r3_a_write_is_made_again_over_what_a_crash_left_unfinished() {
    let world = World::new();
    world.write("project/a", b"old").unwrap();
    let unfinished = format!(".skillhost-{}.tmp", KEY.replace('/', "-"));
    fs::write(world.host("project").join(&unfinished), "ne").unwrap();
    check_refused(&world, world.read(&format!("project/{unfinished}")), Fault::DENIED);
    world
        .mounts
        .table
        .write(&writing("project/a", b"new"), KEY, true)
        .unwrap();
    assert_eq!(world.read("project/a").unwrap(), b"new");
    assert_eq!(names_in(&world.host("project")), ["a"]);
}

#[test]
fn r3_a_remove_that_finds_nothing_is_done_only_if_it_was_in_doubt() {
    let world = World::new();
    let again = |path| world.mounts.table.remove(&named(path), RUN, true);
    assert_eq!(again("project/a"), Ok(()));
    assert_eq!(again("project/gone/a"), Ok(()));
    assert_eq!(again("run/a"), Ok(()));
    check_refused(&world, world.remove("project/a"), Fault::NOT_FOUND);
    world.write("project/a", b"x").unwrap();
    assert_eq!(again("project/a"), Ok(()));
    assert!(!world.host("project/a").exists());
}

#[test]
fn r3_what_a_runs_own_crash_left_does_not_keep_a_folder_from_being_removed() {
    let world = World::new();
    fs::create_dir(world.host("project/a")).unwrap();
    fs::write(world.host(&format!("project/a/.skillhost-{RUN}-7.tmp")), "").unwrap();
    world.remove("project/a").unwrap();
    fs::create_dir(world.host("project/b")).unwrap();
    fs::write(world.host("project/b/.skillhost-01jd0000000000000000000001-7.tmp"), "").unwrap();
    check_refused(&world, world.remove("project/b"), Fault::INVALID);
}
