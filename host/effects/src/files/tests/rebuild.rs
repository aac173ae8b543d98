//! F4: the folder of a run that begins with a copy of another.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;

use skillhost_core::calls::files::{self as calls, Bytes};
use skillhost_core::copy::Copy;
use skillhost_core::effect::{Class, Function};
use skillhost_core::entry::{By, Called, Entry, Limits, Provider, Record, Returned, SEMANTICS, Started};
use skillhost_core::id::{Digest, LaunchId, Number, RunId, Seq, SkillName};
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use tempfile::TempDir;

use super::RUN;
use crate::files::{RebuildError, changed_elsewhere, copy_folder, rebuild};

fn started() -> Started {
    Started {
        run: RunId::parse(RUN).unwrap(),
        launch: LaunchId::parse("nightly").unwrap(),
        skill: SkillName::parse("writer").unwrap(),
        input: Payload::null(),
        bundle: Digest::of(b"bundle"),
        component: Digest::of(b"component"),
        seed: Digest::of(b"seed"),
        zone: "UTC".to_owned(),
        zone_offsets: Vec::new(),
        mounts: Vec::new(),
        limits: Limits::default(),
        provider: Provider {
            name: "offline".to_owned(),
            models: BTreeMap::new(),
            features: Vec::new(),
            simulated: true,
            acts: false,
        },
        engine: "none".to_owned(),
        semantics: SEMANTICS,
        parent: None,
        continues: None,
        caller: None,
        skills_folder: None,
        grants: Default::default(),
    }
}

/// A journal of changes, one a row: `write run/a text`, `append run/a text`, `remove run/a`; each done, unless the row begins with `failed` or `open`.
fn records(rows: &str) -> Vec<Record> {
    let mut entries = Vec::new();
    for (row, number) in rows.lines().map(str::trim).filter(|row| !row.is_empty()).zip(0..) {
        let words: Vec<&str> = row.split(' ').collect();
        let (fate, words) = match words[0] {
            "failed" | "open" => (words[0], &words[1..]),
            _ => ("done", &words[..]),
        };
        let path = words[1].to_owned();
        let (function, request) = match words[0] {
            "remove" => (Function::FILES_REMOVE, Payload::of(&calls::Path { path })),
            verb => {
                let contents = Bytes(words[2].as_bytes().to_vec());
                let function = if verb == "write" {
                    Function::FILES_WRITE
                } else {
                    Function::FILES_APPEND
                };
                (function, Payload::of(&calls::Write { path, contents }))
            }
        };
        entries.push(Entry::Called(Arc::new(Called {
            number: Number(number),
            function,
            request,
            options: Default::default(),
            class: Class::Retryable,
            after: 0,
            reserved: None,
            reserved_day: None,
            over: None,
            tier: None,
            due: None,
        })));
        let outcome = match fate {
            "open" => continue,
            "failed" => Outcome::fault(Fault::FAILED, "the disk is full"),
            _ => Outcome::done(),
        };
        entries.push(Entry::Returned(Returned {
            number: Number(number),
            outcome,
            spent: None,
            by: By::Effect,
        }));
    }
    let record = |(entry, seq)| Record {
        seq: Seq(seq),
        at: Timestamp(seq),
        entry,
    };
    entries.into_iter().zip(1..).map(record).collect()
}

fn copy_of(rows: &str) -> Copy {
    Copy {
        started: started(),
        records: records(rows),
        kept: Vec::new(),
        anew: Vec::new(),
        asks: Vec::new(),
    }
}

/// Lists what is below a folder, with what it holds: `a=text`, `deep/`, `link->a`.
fn left(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(below) = folders.pop() {
        for entry in fs::read_dir(&below).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            found.push(if kind.is_symlink() {
                format!("{name}->{}", fs::read_link(&path).unwrap().display())
            } else if kind.is_dir() {
                folders.push(path);
                format!("{name}/")
            } else {
                format!("{name}={}", fs::read_to_string(&path).unwrap())
            });
        }
    }
    found.sort();
    found
}

/// Returns what is rebuilt of some changes, and how many it took.
fn rebuilt(rows: &str) -> (Vec<String>, usize) {
    let home = TempDir::new().unwrap();
    let folder = home.path().join("runs/2");
    let changes = rebuild(&folder, &copy_of(rows)).unwrap();
    let left = if folder.exists() {
        left(&folder)
    } else {
        vec!["nothing".to_owned()]
    };
    (left, changes)
}

#[test]
fn f4_the_folder_holds_what_the_copied_changes_left_in_it() {
    let (left, changes) = rebuilt(
        "write run/a one
         append run/a two
         write run/deep/down/b three
         write run/gone four
         remove run/gone
         append run/log five",
    );
    assert_eq!(
        left,
        ["a=onetwo", "deep/", "deep/down/", "deep/down/b=three", "log=five"]
    );
    assert_eq!(changes, 6);
}

#[test]
fn f4_what_failed_what_has_no_outcome_and_what_lies_elsewhere_is_not_made() {
    let rows = "failed write run/a one
         open append run/a two
         write project/c three
         open remove project/b
         failed write project/d four";
    assert_eq!(rebuilt(rows), (vec!["nothing".to_owned()], 0));
    assert_eq!(changed_elsewhere(&records(rows)), ["project/b", "project/c"]);
}

#[test]
fn f4_what_was_replaced_later_is_not_written_first() {
    let (left, changes) = rebuilt(
        "write run/a one
         append run/a two
         write run/b three
         write run/a four
         append run/a five",
    );
    assert_eq!(
        (left, changes),
        (vec!["a=fourfive".to_owned(), "b=three".to_owned()], 3)
    );
}

#[test]
fn f4_folders_are_removed_in_their_turn() {
    let (left, changes) = rebuilt(
        "write run/deep/a one
         remove run/deep/a
         remove run/deep
         write run/deep two
         remove run/put-there-by-hand",
    );
    assert_eq!((left, changes), (vec!["deep=two".to_owned()], 5));
}

#[test]
fn f4_a_change_that_cannot_be_made_again_says_which() {
    let home = TempDir::new().unwrap();
    let folder = home.path().join("runs/2");
    let copy = copy_of("write run/a one\nwrite run/a/b two");
    let error = rebuild(&folder, &copy).unwrap_err();
    assert!(matches!(error, RebuildError::Change { number: Number(1), .. }));
    assert_eq!(
        error.to_string(),
        "call #1 of the run that is copied changed a file, and that could not be done again: \
         `run/a/b` leads through something that is no folder"
    );
}

#[test]
fn f4_the_folder_of_a_run_that_is_over_is_copied_as_it_is() {
    let home = TempDir::new().unwrap();
    let (from, to) = (home.path().join("runs/1"), home.path().join("runs/2"));
    fs::create_dir_all(from.join("deep/down")).unwrap();
    for (name, text) in [
        ("a", "one"),
        ("deep/b", "two"),
        (".skillhost-x.tmp", "half"),
        ("tool", "run"),
    ] {
        fs::write(from.join(name), text).unwrap();
    }
    fs::set_permissions(from.join("tool"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("../outside", from.join("deep/link")).unwrap();
    copy_folder(&from, &to).unwrap();
    assert_eq!(
        left(&to),
        [
            "a=one",
            "deep/",
            "deep/b=two",
            "deep/down/",
            "deep/link->../outside",
            "tool=run"
        ]
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&to), mode(&to.join("tool"))), (0o700, 0o750));
    assert!(
        matches!(copy_folder(&from, &to), Err(RebuildError::Copy { .. })),
        "it is there already"
    );
}

#[test]
fn f4_a_run_that_changed_nothing_has_no_folder_to_copy() {
    let home = TempDir::new().unwrap();
    let (from, to) = (home.path().join("runs/1"), home.path().join("runs/2"));
    copy_folder(&from, &to).unwrap();
    assert!(!to.exists());
}

#[test]
fn f4_a_file_that_says_it_is_larger_than_the_disk_takes_no_more_of_it_as_a_copy() {
    let home = tempfile::tempdir().unwrap();
    let (from, to) = (home.path().join("from"), home.path().join("to"));
    fs::create_dir(&from).unwrap();
    let length = 4 << 30;
    let sparse = fs::File::create(from.join("sparse")).unwrap();
    sparse.set_len(length).unwrap();
    sparse.write_all_at(b"far", length - 3).unwrap();
    sparse.write_all_at(b"middle", length / 2).unwrap();
    copy_folder(&from, &to).unwrap();
    let copy = fs::File::open(to.join("sparse")).unwrap();
    let metadata = copy.metadata().unwrap();
    assert_eq!(metadata.len(), length);
    assert!(metadata.blocks() * 512 < 1 << 20, "{} blocks", metadata.blocks());
    let read = |at, expected: &[u8]| {
        let mut found = vec![0; expected.len()];
        copy.read_exact_at(&mut found, at).unwrap();
        assert_eq!(found, expected, "at {at}");
    };
    read(0, &[0; 9]);
    read(length / 2, b"middle");
    read(length - 3, b"far");
}
