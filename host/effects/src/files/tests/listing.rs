//! A listing is in byte order of whole paths, the same however it is cut into pages.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use skillhost_core::calls::files::{Kind, List, Listing};
use skillhost_core::outcome::Fault;

use super::{World, check_refused};

fn whole(path: &str) -> List {
    List {
        path: path.to_owned(),
        glob: None,
        recursive: true,
        limit: None,
        after: None,
    }
}

fn matching(path: &str, glob: &str) -> List {
    List {
        glob: Some(glob.to_owned()),
        ..whole(path)
    }
}

impl World {
    fn list(&self, request: &List) -> Result<Listing, Fault> {
        self.mounts.table.list(request)
    }

    fn paths(&self, request: &List) -> Vec<String> {
        let listing = self.list(request).unwrap();
        listing.entries.into_iter().map(|entry| entry.path).collect()
    }
}

fn world_with(files: &[&str]) -> World {
    let world = World::new();
    for file in files {
        world.write(file, b"x").unwrap();
    }
    world
}

#[test]
fn entries_come_in_byte_order_of_their_whole_paths() {
    let world = world_with(&[
        "project/a/c",
        "project/a-b",
        "project/a.md",
        "project/B",
        "project/a/b/z",
        "project/ü",
    ]);
    let expected = ["B", "a", "a-b", "a.md", "a/b", "a/b/z", "a/c", "ü"].map(|path| format!("project/{path}"));
    assert_eq!(world.paths(&whole("project/")), expected);
    let flat = List {
        recursive: false,
        ..whole("project/a")
    };
    assert_eq!(world.paths(&flat), ["project/a/b", "project/a/c"]);
}

#[test]
fn pages_of_every_size_add_up_to_the_whole() {
    let world = world_with(&[
        "project/a/c",
        "project/a-b",
        "project/a/b/z",
        "project/a/b/y",
        "project/d/e",
        "project/f",
    ]);
    for (request, count) in [
        (whole("project"), 9),
        (matching("project", "**/[a-z]"), 8),
        (whole("project/a"), 4),
        (whole("skill"), 5),
    ] {
        let all = world.paths(&request);
        assert_eq!(all.len(), count, "{all:?}");
        for limit in 1..=10 {
            let mut paths = Vec::new();
            let mut page = List {
                limit: Some(limit),
                ..request.clone()
            };
            loop {
                let listing = world.list(&page).unwrap();
                assert!(listing.entries.len() <= limit as usize);
                paths.extend(listing.entries.into_iter().map(|entry| entry.path));
                match listing.next {
                    Some(next) => page.after = Some(next),
                    None => break,
                }
            }
            assert_eq!(paths, all, "{limit} a page");
        }
    }
}

#[test]
fn a_listing_that_just_fits_has_no_next() {
    let world = world_with(&["project/a", "project/b"]);
    let request = List {
        limit: Some(2),
        ..whole("project")
    };
    assert_eq!(world.list(&request).unwrap().next, None);
}

#[test]
fn a_glob_is_matched_below_the_listed_folder_and_a_star_stays_in_its_folder() {
    let world = world_with(&["project/docs/a.md", "project/docs/b.txt", "project/docs/deep/c.md"]);
    assert_eq!(world.paths(&matching("project/docs", "*.md")), ["project/docs/a.md"]);
    assert_eq!(
        world.paths(&matching("project/docs", "**/*.md")),
        ["project/docs/a.md", "project/docs/deep/c.md"]
    );
    assert_eq!(
        world.paths(&matching("project/docs", "{b,x}.*")),
        ["project/docs/b.txt"]
    );
    assert_eq!(
        world.paths(&matching("skill", "**/*.md")),
        ["skill/SKILL.md", "skill/prompts/a.md", "skill/prompts/deep/b.md"]
    );
    check_refused(&world, world.list(&matching("project", "[")), Fault::INVALID);
    check_refused(
        &world,
        world.list(&matching("project", &"a".repeat(2_000))),
        Fault::INVALID,
    );
}

#[test]
fn links_are_shown_as_what_they_lead_to_and_not_gone_into() {
    let world = world_with(&["project/real/a"]);
    symlink("real", world.host("project/folder")).unwrap();
    symlink("real/a", world.host("project/file")).unwrap();
    symlink("..", world.host("project/real/up")).unwrap();
    symlink(world.host("outside"), world.host("project/out")).unwrap();
    symlink("nothing", world.host("project/nowhere")).unwrap();
    let listing = world.list(&whole("project")).unwrap();
    let shown: Vec<_> = listing
        .entries
        .iter()
        .map(|entry| (entry.path.as_str(), entry.kind, entry.size))
        .collect();
    assert_eq!(
        shown,
        [
            ("project/file", Kind::File, 1),
            ("project/folder", Kind::Folder, 0),
            ("project/nowhere", Kind::Other, 0),
            ("project/out", Kind::Other, 0),
            ("project/real", Kind::Folder, 0),
            ("project/real/a", Kind::File, 1),
            ("project/real/up", Kind::Folder, 0),
        ]
    );
    check_refused(&world, world.list(&whole("project/out")), Fault::DENIED);
}

#[test]
fn what_a_guest_could_not_name_is_not_shown() {
    let world = world_with(&["project/a"]);
    fs::write(world.host("project/.skillhost-01jd-3.tmp"), "unfinished").unwrap();
    fs::write(world.host("project/two\nlines"), "").unwrap();
    // Some file systems take only UTF-8, which is as good.
    let _ = fs::write(world.host("project").join(OsStr::from_bytes(b"\xff")), "");
    assert_eq!(world.paths(&whole("project")), ["project/a"]);
}

#[test]
fn the_runs_folder_is_empty_before_it_is_made_and_other_folders_have_to_be_there() {
    let world = World::new();
    assert!(world.paths(&whole("run/")).is_empty());
    check_refused(&world, world.list(&whole("run/a")), Fault::NOT_FOUND);
    check_refused(&world, world.list(&whole("project/a")), Fault::NOT_FOUND);
    check_refused(&world, world.list(&whole("skill/a")), Fault::NOT_FOUND);
    check_refused(&world, world.list(&whole("skill/SKILL.md")), Fault::INVALID);
    world.write("project/a", b"x").unwrap();
    check_refused(&world, world.list(&whole("project/a")), Fault::INVALID);
}

#[test]
fn a_page_has_1_to_10000_entries_and_goes_on_in_the_listed_folder() {
    let world = World::new();
    for limit in [0, 10_001, u32::MAX] {
        let request = List {
            limit: Some(limit),
            ..whole("project")
        };
        check_refused(&world, world.list(&request), Fault::INVALID);
    }
    for after in ["a", "project", "projects/a", "\0"] {
        let request = List {
            after: Some(after.to_owned()),
            ..whole("project")
        };
        check_refused(&world, world.list(&request), Fault::INVALID);
    }
}
