//! Bundles, descriptions, and what is collected.

use std::cell::Cell;
use std::io;

use skillhost_core::id::{Digest, SkillName};
use skillhost_journal::{BundleError, BundleFile, InstalledRow, NewRun, Problem, SkillPlace};

use crate::support::{Stage, append, at, bundle, done, entry, put_bundle, run_id};

stories! {
    a_bundle_is_read_back_with_its_contents,
    a_bundle_that_is_there_is_not_read_again,
    a_file_that_changed_while_it_was_read_is_refused,
    a_description_is_kept_for_its_component,
    a_bundle_is_kept_while_a_run_needs_it,
    a_bundle_that_was_just_put_is_not_collected,
    what_is_installed_is_the_last_bundle_that_could_be_used,
    a_bundle_is_kept_while_it_is_installed_and_while_a_run_in_progress_has_it,
    a_bundle_that_was_put_again_is_not_collected_though_it_was_there_for_long,
}

fn a_bundle_is_read_back_with_its_contents(stage: &Stage) {
    let files = [
        ("skill.wasm", "\0asm"),
        ("prompts/a.md", "Dear $name"),
        ("prompts/b.md", "Dear $name"),
        ("empty", ""),
    ];
    let digest = put_bundle(stage.journal.as_ref(), &files, at(1));
    let read = stage.journal.bundle(&digest).unwrap().unwrap();
    assert_eq!(read, bundle(&files));
    for (path, content) in files {
        let file = read.file(path).unwrap();
        assert_eq!(stage.journal.blob(&file.digest).unwrap().unwrap(), content.as_bytes());
    }
    assert_eq!(stage.journal.bundle(&Digest::of(b"?")).unwrap(), None);
    assert_eq!(stage.journal.blob(&Digest::of(b"?")).unwrap(), None);
}

fn a_bundle_that_is_there_is_not_read_again(stage: &Stage) {
    let files = [("skill.wasm", "code"), ("new.md", "new")];
    let read = Cell::new(0);
    let contents = |file: &BundleFile| {
        read.set(read.get() + 1);
        assert_eq!(file.path, "new.md", "the code is in the bundle of the stage");
        Ok(b"new".to_vec())
    };
    for _ in 0..3 {
        stage.journal.put_bundle(&bundle(&files), at(1), &contents).unwrap();
    }
    assert_eq!(read.get(), 1);
}

fn a_file_that_changed_while_it_was_read_is_refused(stage: &Stage) {
    let listed = bundle(&[("prompts/a.md", "before")]);
    let changed = stage
        .journal
        .put_bundle(&listed, at(1), &|_| Ok(b"after!".to_vec()))
        .unwrap_err();
    assert_eq!(
        changed.to_string(),
        "`prompts/a.md` of the skill changed while it was read; launch again"
    );
    let gone = stage
        .journal
        .put_bundle(&listed, at(1), &|_| Err(io::ErrorKind::NotFound.into()));
    assert!(matches!(gone, Err(BundleError::Unreadable { .. })));
    assert_eq!(stage.journal.bundle(&listed.digest()).unwrap(), None);
}

fn a_description_is_kept_for_its_component(stage: &Stage) {
    let component = Digest::of(b"code");
    assert_eq!(stage.journal.description(&component).unwrap(), None);
    stage.journal.put_description(&component, at(1), "{}").unwrap();
    stage
        .journal
        .put_description(&component, at(2), "{\"name\":\"greeter\"}")
        .unwrap();
    assert_eq!(
        stage.journal.description(&component).unwrap().as_deref(),
        Some("{\"name\":\"greeter\"}")
    );
}

fn a_bundle_is_kept_while_a_run_needs_it(stage: &Stage) {
    let needed = put_bundle(
        stage.journal.as_ref(),
        &[("skill.wasm", "needed"), ("shared", "both")],
        at(1),
    );
    let unneeded = put_bundle(
        stage.journal.as_ref(),
        &[("skill.wasm", "unneeded"), ("shared", "both")],
        at(1),
    );
    let mut started = stage.started(1);
    started.bundle = needed;
    stage.journal.create_run(NewRun::first(started, at(2), None)).unwrap();
    for component in [b"needed".as_slice(), b"unneeded"] {
        stage
            .journal
            .put_description(&Digest::of(component), at(1), "{}")
            .unwrap();
    }

    // The bundle of the stage goes as well: two bundles, with three contents of their own.
    let collected = stage.journal.collect(at(10)).unwrap();
    assert_eq!((collected.bundles, collected.blobs, collected.descriptions), (2, 3, 1));
    assert_eq!(stage.journal.bundle(&unneeded).unwrap(), None);
    assert_eq!(stage.journal.blob(&Digest::of(b"unneeded")).unwrap(), None);
    assert_eq!(stage.journal.bundle(&needed).unwrap().unwrap().files().len(), 2);
    assert_eq!(stage.journal.blob(&Digest::of(b"both")).unwrap().unwrap(), b"both");

    append(&mut stage.take(&run_id(1), "worker"), [entry(1, done())]).unwrap();
    assert_eq!(
        stage.journal.collect(at(10)).unwrap().bundles,
        0,
        "a run that is over can still be shown"
    );
    stage.journal.remove_run(&run_id(1)).unwrap();
    assert_eq!(stage.journal.collect(at(10)).unwrap().blobs, 2);
    assert_eq!(stage.journal.description(&Digest::of(b"needed")).unwrap(), None);
}

fn a_bundle_that_was_just_put_is_not_collected(stage: &Stage) {
    let collected = stage.journal.collect(at(0)).unwrap();
    assert_eq!(collected.bundles, 0);
    assert!(stage.journal.bundle(&stage.bundle).unwrap().is_some());
}

fn place(folder: &str) -> SkillPlace {
    SkillPlace {
        folder: folder.into(),
        skill: SkillName::parse("greeter").unwrap(),
    }
}

fn install(stage: &Stage, place: &SkillPlace, component: &str, seconds: u64) -> InstalledRow {
    let files = [("skill.wasm", component)];
    let contents = |_: &BundleFile| Ok(component.as_bytes().to_vec());
    let digest = Digest::of(component.as_bytes());
    let installed = stage
        .journal
        .install(place, &bundle(&files), &digest, at(seconds), &contents);
    InstalledRow {
        place: place.clone(),
        bundle: installed.unwrap(),
        component: digest,
        at: at(seconds),
        problem: None,
    }
}

fn what_is_installed_is_the_last_bundle_that_could_be_used(stage: &Stage) {
    let (here, there) = (place("/here"), place("/there"));
    assert_eq!(stage.journal.installed_in(&here).unwrap(), None);
    let problem = Problem {
        code: "does_not_load".to_owned(),
        message: "it is damaged".to_owned(),
        hint: "build it again".to_owned(),
    };
    stage.journal.note_problem(&here, &problem).unwrap();
    assert_eq!(stage.journal.installed().unwrap(), [], "nothing could be used yet");
    let first = install(stage, &here, "first", 1);
    let other = install(stage, &there, "other", 2);
    stage.journal.note_problem(&here, &problem).unwrap();
    let broken = InstalledRow {
        problem: Some(problem),
        ..first
    };
    assert_eq!(stage.journal.installed().unwrap(), [broken, other.clone()]);
    let second = install(stage, &here, "second", 3);
    assert_eq!(stage.journal.installed_in(&here).unwrap(), Some(second));
    stage.journal.uninstall(&here).unwrap();
    assert_eq!(stage.journal.installed().unwrap(), [other]);
}

fn a_bundle_is_kept_while_it_is_installed_and_while_a_run_in_progress_has_it(stage: &Stage) {
    let here = place("/here");
    let first = install(stage, &here, "first", 1);
    let mut started = stage.started(1);
    started.bundle = first.bundle;
    stage.journal.create_run(NewRun::first(started, at(2), None)).unwrap();
    let second = install(stage, &here, "second", 3);
    let is_there = |row: &InstalledRow| stage.journal.bundle(&row.bundle).unwrap().is_some();
    stage.journal.collect(at(10)).unwrap();
    assert!(is_there(&first) && is_there(&second));
    let third = install(stage, &here, "third", 4);
    stage.journal.collect(at(10)).unwrap();
    assert!(is_there(&first), "the run has it");
    assert!(!is_there(&second), "nobody has it");
    assert!(is_there(&third), "the next run has it");
    stage.journal.uninstall(&here).unwrap();
    stage.journal.collect(at(10)).unwrap();
    assert!(!is_there(&third));
}

fn a_bundle_that_was_put_again_is_not_collected_though_it_was_there_for_long(stage: &Stage) {
    const HOUR: u64 = 3_600_000_000;
    let again = put_bundle(
        stage.journal.as_ref(),
        &[("skill.wasm", "code"), ("SKILL.md", "words")],
        at(2 * HOUR),
    );
    assert_eq!(again, stage.bundle);
    assert_eq!(stage.journal.collect(at(HOUR)).unwrap().bundles, 0);
    // The run that it was put for.
    stage.create(1);
}
