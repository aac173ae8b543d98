//! Opening: what is refused, and what it says.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use skillhost_core::machine::Status;
use skillhost_journal::{Journal, OpenError, RunFilter, Settings, SqliteJournal};

use crate::support::{Stage, append, at, called, done, entry, json, put_bundle, run_id};
use crate::{database, open_again, shell};

fn refused(path: &Path) -> OpenError {
    let settings = Settings {
        busy: Duration::from_millis(20),
        ..Settings::default()
    };
    SqliteJournal::open_with(path, settings).err().unwrap()
}

#[test]
fn what_was_durable_is_there_after_closing_and_opening() {
    let stage = Stage::sqlite();
    let (run, mut writer) = stage.run(1);
    append(&mut writer, [entry(1, called(0, json("1")))]).unwrap();
    writer.append(vec![entry(2, done())]).unwrap();
    let path = database(&stage);
    let Stage { journal, folder, .. } = stage;
    let before = journal.records(&run, Default::default(), 2).unwrap();
    drop(journal);

    let journal = SqliteJournal::open(&path).unwrap();
    let records = journal.all_records(&run).unwrap();
    assert_eq!(records[..2], before);
    assert_eq!(records.len(), 3, "closing commits what is queued");
    assert_eq!(journal.run(&run).unwrap().status, Status::Done);
    drop(folder);
}

#[test]
fn a_database_of_a_newer_skillhost_is_refused() {
    let stage = Stage::sqlite();
    shell(&database(&stage)).pragma_update(None, "user_version", 7).unwrap();
    let error = refused(&database(&stage));
    let path = database(&stage);
    let said = format!(
        "the journal at `{}` has format 7; this skillhost knows formats up to 6",
        path.display()
    );
    assert_eq!(error.to_string(), said);
    assert!(error.hint().contains("newer skillhost"), "{}", error.hint());
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let text = "dear diary, ".repeat(1_000);
    fs::write(&path, &text).unwrap();
    assert!(matches!(refused(&path), OpenError::NotADatabase { .. }));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn another_programs_database_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    shell(&path).execute_batch("create table songs (title text)").unwrap();
    assert!(matches!(refused(&path), OpenError::Foreign { .. }));
    let mode: String = shell(&path)
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "delete");
}

#[test]
fn a_locked_database_is_refused_after_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let browser = shell(&path);
    browser.execute_batch("begin exclusive").unwrap();
    let error = refused(&path);
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(error.hint().contains("fuser"), "{}", error.hint());
}

#[test]
fn a_folder_that_cannot_be_made_and_a_file_that_cannot_be_written_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = refused(&folder.path().join("file/state/journal.db"));
    assert!(matches!(error, OpenError::Folder { .. }), "{error}");
    fs::create_dir(folder.path().join("journal.db")).unwrap();
    let error = refused(&folder.path().join("journal.db"));
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
    assert!(error.hint().contains("SKILLHOST_HOME"), "{}", error.hint());
}

#[test]
fn a_folder_that_is_read_only_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    // Rights do not bind the superuser, as whom tests may run; the kernel's own folders do.
    let binds = fs::write(folder.path().join("probe"), "").is_err();
    let path = if binds { folder.path() } else { Path::new("/proc") };
    let error = refused(&path.join("journal.db"));
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
}

#[test]
fn what_is_made_is_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/journal.db");
    let journal = SqliteJournal::open(&path).unwrap();
    put_bundle(&journal, &[("a", "b")], at(1));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("state")), 0o700);
    let files = fs::read_dir(folder.path().join("state"))
        .unwrap()
        .map(|file| file.unwrap().path());
    let modes: Vec<u32> = files.map(|file| mode(&file)).collect();
    assert_eq!(
        modes,
        [0o600, 0o600, 0o600],
        "the database, its log and the log's index"
    );
}

#[test]
fn many_processes_may_make_the_database_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    std::thread::scope(|scope| {
        let opened: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| SqliteJournal::open(&path).unwrap()))
            .collect();
        for journal in opened {
            assert!(journal.join().unwrap().runs(&RunFilter::default()).unwrap().is_empty());
        }
    });
}

#[test]
fn a_second_process_sees_what_the_first_committed_and_its_version_changes() {
    let stage = Stage::sqlite();
    let other = open_again(&stage);
    let before = other.data_version().unwrap();
    stage.create(1);
    assert_ne!(other.data_version().unwrap(), before);
    assert_eq!(other.run(&run_id(1)).unwrap().entries, 1);
}

#[test]
fn the_database_is_sound_and_its_references_hold() {
    let stage = Stage::sqlite();
    let (_, mut writer) = stage.run(1);
    let long = json(&format!("\"{}\"", "x".repeat(5_000)));
    append(&mut writer, [entry(1, called(0, long)), entry(2, done())]).unwrap();
    let shell = shell(&database(&stage));
    let sound: String = shell.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    assert!(!shell.prepare("pragma foreign_key_check").unwrap().exists([]).unwrap());
}

#[test]
fn a_database_of_before_there_were_accounts_gains_them_and_keeps_its_runs() {
    let stage = Stage::sqlite();
    stage.run(1);
    let db = shell(&database(&stage));
    let as_it_was =
        "drop view journal; create view journal as select 1; drop table words; drop table days; drop table removed;
        alter table entries drop column seal";
    db.execute_batch(as_it_was).unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
    let journal = open_again(&stage);
    let account = skillhost_core::budget::DayAccount {
        skill: stage.started(1).skill,
        day: 7,
    };
    assert_eq!(journal.day_spent(&account).unwrap(), Default::default());
    assert_eq!(journal.run(&run_id(1)).unwrap().entries, 1);
}
