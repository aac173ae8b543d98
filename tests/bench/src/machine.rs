//! The machine itself: what its disk, its processes and the engine do when nothing of ours is in the way.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rusqlite::Connection;
use serde_json::Value;

use crate::Setting;
use crate::report::{Bar, Durability, Line, Report, Unit, median};

/// The rate of single-row commits that the bars are stated for.
const COMMITS_OF_THE_BARS: f64 = 6_700.0;

/// How many rows a grouped commit has.
const GROUP: usize = 100;

/// What this machine does.
pub(crate) struct Machine {
    /// Single rows committed in a second.
    pub(crate) commits: f64,
    /// How long a process of the program takes that prints its version, in milliseconds.
    pub(crate) version_ms: f64,
}

impl Machine {
    /// Measures all of it.
    pub(crate) fn measure(setting: &Setting, report: &mut Report) -> Self {
        let folder = tempfile::Builder::new().prefix("skillhost-bench-").tempdir().unwrap();
        let repeat =
            |measure: &mut dyn FnMut(usize) -> f64| -> Vec<f64> { (0..setting.repeats).map(measure).collect() };
        let line = |what: &str, unit, durability| Line::new("the machine itself", what, unit, durability);

        let syncs = repeat(&mut |_| syncs(folder.path()));
        report.add(
            line(
                "a page appended to a file, and fdatasync",
                Unit::PerSecond,
                Durability::EachCall,
            ),
            syncs,
        );
        let commits = repeat(&mut |n| Raw::open(&folder.path().join(format!("{n}.db"))).commits(1_000, 1));
        let commits = report.add(
            line(
                "SQLite: one row a commit, synchronous=FULL",
                Unit::PerSecond,
                Durability::EachCall,
            ),
            commits,
        );
        let rows = repeat(&mut |n| Raw::open(&folder.path().join(format!("{n}.db"))).commits(300, GROUP));
        report.add(
            line(
                "SQLite: rows, a hundred a commit",
                Unit::PerSecond,
                Durability::EachCall,
            ),
            rows,
        );
        let version = repeat(&mut |_| {
            let begun = Instant::now();
            for _ in 0..10 {
                let mut command = Command::new(&setting.program);
                command.arg("--version").stdout(Stdio::null());
                assert!(command.status().unwrap().success());
            }
            begun.elapsed().as_secs_f64() * 100.0
        });
        let version_ms = report.add(
            line("`skillhost --version`, whole process", Unit::Ms, Durability::None),
            version,
        );
        for (name, what) in [
            (
                "instantiate_us",
                "wasmtime: a component made, a function called, dropped",
            ),
            ("call_us", "wasmtime: a call of a host function and back"),
        ] {
            let measured = repeat(&mut |_| engine(setting, name));
            report.add(line(what, Unit::Us, Durability::None), measured);
        }
        Self { commits, version_ms }
    }

    /// Returns a bar for a rate of what waits for the disk, scaled to this one. It is not raised: a faster disk makes no faster processor, which bounds it then.
    pub(crate) fn at_least(&self, rate: f64) -> Bar {
        let by = self.commits / COMMITS_OF_THE_BARS;
        if by < 1.0 {
            Bar::Scaled { rate, by }
        } else {
            Bar::AtLeast(rate)
        }
    }

    /// Returns how long a commit takes, in milliseconds.
    pub(crate) fn commit_ms(&self) -> f64 {
        1e3 / self.commits
    }
}

/// A database with the journal's settings and rows like its own, and nothing else of it.
pub(crate) struct Raw {
    db: Connection,
}

impl Raw {
    /// Opens one, in a log that has the size that it will have.
    pub(crate) fn open(path: &Path) -> Self {
        let db = Connection::open(path).unwrap();
        db.execute_batch(
            "pragma journal_mode = wal; pragma synchronous = full; pragma wal_autocheckpoint = 10000; pragma cache_size = 16;
            create table if not exists entries (id integer primary key, run integer, seq integer, body text, payload text);
            begin immediate; create table scratch (content blob); insert into scratch values (zeroblob(16777216)); rollback;
            pragma cache_size = -65536;",
        )
        .unwrap();
        let raw = Self { db };
        raw.commits(200, 1);
        raw
    }

    /// Makes so many commits of so many rows, and returns rows a second.
    pub(crate) fn commits(&self, commits: usize, rows: usize) -> f64 {
        let text = "x".repeat(150);
        let sql = "insert into entries (run, seq, body, payload) values (1, ?, ?, ?)";
        let mut insert = self.db.prepare_cached(sql).unwrap();
        let begun = Instant::now();
        for commit in 0..commits {
            let transaction = (rows > 1).then(|| self.db.unchecked_transaction().unwrap());
            for row in 0..rows {
                let seq = i64::try_from(commit * rows + row).unwrap();
                insert.execute((seq, &text, &text)).unwrap();
            }
            if let Some(transaction) = transaction {
                transaction.commit().unwrap();
            }
        }
        (commits * rows) as f64 / begun.elapsed().as_secs_f64()
    }
}

/// Returns how often a second a page can be appended to a file that has its size, and synced.
fn syncs(folder: &Path) -> f64 {
    const SYNCS: usize = 500;
    const PAGE: [u8; 4_096] = [7; 4_096];
    let path = folder.join("synced");
    let mut file = File::create(&path).unwrap();
    (0..SYNCS).for_each(|_| file.write_all(&[0; 4_096]).unwrap());
    file.sync_all().unwrap();
    let mut file = File::options().write(true).open(&path).unwrap();
    let begun = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&PAGE).unwrap();
        file.sync_data().unwrap();
    }
    SYNCS as f64 / begun.elapsed().as_secs_f64()
}

/// Measures the engine alone, in a process of its own.
fn engine(setting: &Setting, name: &str) -> f64 {
    let output = Command::new(&setting.engine).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    told[name].as_f64().unwrap()
}

/// Returns ratios of figures that were measured in turns.
pub(crate) fn ratios(figures: &[f64], beside: &[f64]) -> Vec<f64> {
    figures
        .iter()
        .zip(beside)
        .map(|(figure, beside)| figure / beside)
        .collect()
}

/// Returns the median of figures that are in no order.
pub(crate) fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    median(&figures)
}
