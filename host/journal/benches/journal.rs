//! What the journal takes for an entry: written with a barrier for each, written without, and read back. `cargo bench --package skillhost-journal`.
//!
//! What it takes beside a bare database on the same disk, `cargo run --release --example commit_rate` shows.

#![allow(clippy::unwrap_used, reason = "a bench")]

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use skillhost_core::budget::Cost;
use skillhost_core::calls::CallOptions;
use skillhost_core::effect::{Class, Function};
use skillhost_core::entry::{By, Called, Entry, Limits, Provider, Record, Returned, SEMANTICS, Started};
use skillhost_core::id::{Digest, LaunchId, Number, RunId, Seq, SkillName, WorkerId};
use skillhost_core::machine::Write;
use skillhost_core::outcome::Outcome;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_journal::{Bundle, Cursor, Journal as _, NewRun, RunWriter, SqliteJournal, Taken};
use tempfile::TempDir;

/// How many calls a run of the benches makes.
const CALLS: u64 = 10_000;

/// How many of them where each waits for the disk.
const CALLS_WITH_BARRIER: u64 = 200;

fn main() {
    divan::main();
}

/// Calls that nobody waits for, durable at the end.
#[divan::bench]
fn written(bencher: Bencher<'_, '_>) {
    let stage = Stage::new();
    bencher
        .counter(ItemsCount::new(CALLS))
        .with_inputs(|| stage.run())
        .bench_local_values(|mut writer| {
            for n in 0..CALLS {
                writer.append(call(n)).unwrap();
            }
            futures::executor::block_on(writer.flush()).unwrap();
        });
}

/// Calls of which each is durable before the next is made.
#[divan::bench]
fn written_with_a_barrier_each(bencher: Bencher<'_, '_>) {
    let stage = Stage::new();
    bencher
        .counter(ItemsCount::new(CALLS_WITH_BARRIER))
        .with_inputs(|| stage.run())
        .bench_local_values(|mut writer| {
            for n in 0..CALLS_WITH_BARRIER {
                writer.append(call(n)).unwrap();
                futures::executor::block_on(writer.barrier(Seq(2 * n + 1))).unwrap();
            }
        });
}

/// A journal that is read from its beginning to its end, as a replay does.
#[divan::bench]
fn read(bencher: Bencher<'_, '_>) {
    let stage = Stage::new();
    let mut writer = stage.run();
    for n in 0..CALLS {
        writer.append(call(n)).unwrap();
    }
    futures::executor::block_on(writer.flush()).unwrap();
    bencher.counter(ItemsCount::new(CALLS)).bench_local(|| {
        let mut cursor = Cursor::default();
        while !stage.journal.page(writer.run(), &mut cursor).unwrap().is_empty() {}
    });
}

struct Stage {
    journal: SqliteJournal,
    bundle: Digest,
    runs: std::cell::Cell<u64>,
    _folder: TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(&folder.path().join("journal.db")).unwrap();
        let nothing = Bundle::new([]).unwrap();
        let bundle = journal.put_bundle(&nothing, Timestamp(0), &|_| unreachable!("it has no files"));
        Self {
            bundle: bundle.unwrap(),
            journal,
            runs: std::cell::Cell::default(),
            _folder: folder,
        }
    }

    /// Makes a run, and returns who writes it.
    fn run(&self) -> RunWriter {
        let number = self.runs.replace(self.runs.get() + 1);
        let run = RunId::parse(&format!("01jd{number:022}")).unwrap();
        let started = started(&run, self.bundle);
        self.journal
            .create_run(NewRun::first(started, Timestamp(0), None))
            .unwrap();
        let seen = self.journal.lease(&run).unwrap();
        let taken = self
            .journal
            .claim(&run, &WorkerId::parse("bench").unwrap(), &seen)
            .unwrap();
        let Taken::At(epoch) = taken else {
            unreachable!("nobody else wants it")
        };
        self.journal.writer(&run, epoch, Seq(1))
    }
}

/// Returns a call and the outcome of the one before: what a run appends at a time.
fn call(n: u64) -> Vec<Write> {
    let request = r#"{"model":"haiku","messages":[{"role":"user","content":[{"text":"a step"}]}]}"#;
    let called = Entry::Called(Arc::new(Called {
        number: Number(n),
        function: Function::MODEL_COMPLETE,
        request: Payload::parse(request).unwrap(),
        options: CallOptions::default(),
        class: Class::Retryable,
        after: n,
        reserved: Some(Cost {
            calls: 1,
            tokens: 100,
            microdollars: 0,
        }),
        reserved_day: None,
        over: None,
        tier: None,
        due: None,
    }));
    let returned = n.checked_sub(1).map(|before| {
        Entry::Returned(Returned {
            number: Number(before),
            outcome: Outcome::Ok(Payload::parse(r#"{"content":[{"text":"an answer"}]}"#).unwrap()),
            spent: None,
            by: By::Effect,
        })
    });
    let first = if n == 0 { 1 } else { 2 * n };
    let entries = returned.into_iter().chain([called]).zip(first..);
    let record = |(entry, seq)| {
        Write::Entry(Record {
            seq: Seq(seq),
            at: Timestamp(seq),
            entry,
        })
    };
    entries.map(record).collect()
}

fn started(run: &RunId, bundle: Digest) -> Started {
    Started {
        run: run.clone(),
        launch: LaunchId::parse(run.as_str()).unwrap(),
        skill: SkillName::parse("measured").unwrap(),
        input: Payload::null(),
        bundle,
        component: bundle,
        seed: bundle,
        zone: "UTC".to_owned(),
        zone_offsets: Vec::new(),
        mounts: Vec::new(),
        limits: Limits::default(),
        provider: Provider {
            name: "offline".to_owned(),
            models: Default::default(),
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
