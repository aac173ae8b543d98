//! A database of each format that a skillhost wrote is kept, and every later skillhost opens it, finds it sound, replays its runs on the components that are in it, and goes on with those
//! that were not over.
//!
//! `golden/format-N.db.zst` is such a database, every table of it filled by commands of the skillhost that wrote it. `cargo xtask golden` makes the one of the format of the day, while it is
//! not released; one of a former format is never made again. Formats 1 and 3 were of nobody but their authors.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::Stdio;

use skillhost_core::id::RunId;
use skillhost_core::machine::Status;
use skillhost_it::{Place, told, workspace};
use skillhost_journal::{Journal as _, RunFilter, SqliteJournal};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

/// Formats of which there is no file: nobody else had them.
const NEVER_USED: &[usize] = &[1, 3];

/// Has the file of the newest format made, by the program that this names; empty for the one under test.
const MAKE: &str = "SKILLHOST_GOLDEN_BY";

/// The tables that only later formats have.
const TABLES_SINCE: &[(&str, usize)] = &[("removed", 4)];

fn golden(format: usize) -> PathBuf {
    workspace().join(format!("tests/it/golden/format-{format}.db.zst"))
}

fn format_of(database: &Path) -> usize {
    // The header of an SQLite file has it at 60, in four bytes.
    let header = std::fs::read(database).unwrap();
    u32::from_be_bytes(header[60..64].try_into().unwrap()) as usize
}

fn place() -> Place {
    let program = std::env::var(MAKE).unwrap_or_default();
    let program = if program.is_empty() { PROGRAM } else { &program };
    let place = Place::new(program, &["waits"]);
    std::fs::create_dir_all(place.home()).unwrap();
    std::fs::write(place.home().join("config.toml"), "[budget.day]\ncalls = 100\n").unwrap();
    place
}

/// Uses a state folder until no table of its database is empty.
fn use_it(place: &Place) {
    let run = |words: &[&str]| {
        let output = place.run(words);
        assert!(
            [0, 40].contains(&output.status.code().unwrap()),
            "{words:?}: {}",
            told(&output)
        );
        output
    };
    let long = serde_json::to_string(&"a long story ".repeat(300)).unwrap();
    // One that is over: it was told a long story, asked a model about it, and used up its budget with that.
    run(&["launch", "--here", "waits", "--id", "over", "--ask", "--max-calls", "1"]);
    run(&["signal", "over", "go", "--input", &long]);
    run(&["wait", "over"]);
    // One that has a part of its way behind it, and mail that it does not take while it is paused; and one that asks.
    run(&["launch", "--here", "waits", "--id", "open", "--ask", "--times", "2"]);
    run(&["signal", "open", "go", "--input", &long]);
    // Asked of the program: to look into the journal here would bring it to the format of the day.
    let asked = || place.server.counts().requests.values().sum::<u64>();
    place.until(|| asked() == 2 && place.any_json(&["status", "open"])["status"] == "waiting");
    run(&["pause", "open"]);
    run(&["signal", "open", "go", "--input", "\"again\""]);
    run(&["worker", "stop"]);
    run(&["launch", "--here", "waits", "--id", "asks", "--what", "answer"]);
    // One that is gone, and whose files are not.
    run(&["launch", "--here", "waits", "--id", "gone", "--what", "time", "--await"]);
    let killed = place
        .command(&["discard", "gone"])
        .env("SKILLHOST_FAILPOINT", "prune.forgotten")
        .stdout(Stdio::null())
        .output();
    drop(killed.unwrap());
}

fn empty_tables(database: &Path) -> Vec<String> {
    let sql = "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%' order by name";
    let shell = |sql: &str| {
        let output = std::process::Command::new("python3")
            .args([
                "-c",
                "import sqlite3, sys\nfor row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]): print(row[0])",
            ])
            .arg(database)
            .arg(sql)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let tables = shell(sql);
    let is_empty = |table: &&str| shell(&format!("select count(*) from {table}")).trim() == "0";
    tables.lines().filter(is_empty).map(str::to_owned).collect()
}

/// Makes the file of the newest format, if it is asked for.
fn make_if_asked() {
    if std::env::var_os(MAKE).is_none() {
        return;
    }
    let place = place();
    use_it(&place);
    drop(place.run(&["worker", "stop"]));
    let database = place.home().join("journal.db");
    let copy = place.user_folder().join("copy.db");
    // Its log belongs to it.
    let output = std::process::Command::new("python3")
        .args([
            "-c",
            "import sqlite3, sys\nsqlite3.connect(sys.argv[1]).execute('vacuum into ?', (sys.argv[2],))",
        ])
        .args([&database, &copy])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(empty_tables(&copy), Vec::<String>::new(), "every table is filled");
    let bytes = zstd::encode_all(&*std::fs::read(&copy).unwrap(), 19).unwrap();
    let path = golden(format_of(&copy));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    // What a program of another day wrote is looked at by the test, not when the place is left.
    std::fs::remove_file(&database).unwrap();
}

#[test]
fn a_database_of_each_former_format_is_opened_and_its_runs_go_on() {
    make_if_asked();
    // Raising the format takes a file of the one before: it is made by a skillhost that writes it.
    for format in (1..=SqliteJournal::format()).filter(|format| !NEVER_USED.contains(format)) {
        let path = golden(format);
        let bytes = std::fs::read(&path).unwrap_or_else(|error| {
            panic!("there is no database of format {format} ({error}): `cargo xtask golden` makes it")
        });
        let place = Place::new(PROGRAM, &["waits"]);
        std::fs::create_dir_all(place.home()).unwrap();
        let database = place.home().join("journal.db");
        std::fs::write(&database, zstd::decode_all(&*bytes).unwrap()).unwrap();
        assert_eq!(format_of(&database), format);
        let empty = empty_tables(&database);
        assert_eq!(empty, Vec::<String>::new(), "format {format}");
        check(&place, format);
    }
}

fn check(place: &Place, format: usize) {
    let journal = place.journal();
    assert_eq!(journal.check().unwrap(), Vec::<String>::new(), "format {format}");
    let has_removed = TABLES_SINCE.iter().all(|(_, since)| format >= *since);
    assert_eq!(journal.removed().unwrap().len(), usize::from(has_removed));
    let rows = journal.runs(&RunFilter::default()).unwrap();
    assert!(rows.len() >= 3, "format {format}");
    for row in &rows {
        let replayed = place.json(&["replay", row.run.as_str()]);
        assert_eq!(
            replayed["replays"][0]["verdict"], "identical",
            "format {format}, run {}",
            row.launch
        );
    }
    let (open, asks) = (place.run_of("open").unwrap(), place.run_of("asks").unwrap());
    assert_eq!(journal.run(&open).unwrap().status, Status::Paused);
    // What was left in the mailbox is taken, and what was answered is not asked again.
    let before = place.answered(&open);
    assert!(before.len() >= 2, "format {format}");
    let resumed = place.run(&["resume", "open", "--await", "--json"]);
    assert!(resumed.status.success(), "format {format}: {}", told(&resumed));
    assert_eq!(place.answered(&open).len(), 4, "format {format}");
    assert_eq!(asked_of(place, &open, &before), 0, "format {format}");
    let answered = place.run(&["answer", "asks#0", "approve=true"]);
    assert!(answered.status.success(), "format {format}: {}", told(&answered));
    place.json(&["wait", asks.as_str()]);
    place.json(&["prune", "--older-than", "0s"]);
    assert!(journal.removed().unwrap().is_empty());
    assert!(place.run_of("over").is_none());
}

fn asked_of(place: &Place, run: &RunId, numbers: &[skillhost_core::id::Number]) -> u64 {
    numbers.iter().map(|number| place.asked(run, *number)).sum()
}
