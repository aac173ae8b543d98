//! First figures: what a person waits for at the terminal, and how many durable steps a second one run and many runs make.
//!
//! `cargo xtask bench` runs this and prints beside it how fast the same disk commits single rows. Compare ratios of one run of it, not absolute times of two.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for a person at a terminal"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use skillhost::driver::{Alone, Bell, Drive, Driven, Silent, Until, Worker, now};
use skillhost::env::Environment;
use skillhost::home::Home;
use skillhost_core::entry::{Limits, Provider, SEMANTICS, Started};
use skillhost_core::id::{Digest, LaunchId, Number, RunId, Seq, SkillName, WorkerId};
use skillhost_core::machine::{Local, Source, Write};
use skillhost_core::payload::Payload;
use skillhost_effects::model;
use skillhost_it::guests;
use skillhost_journal::{Bundle, BundleFile, Journal, NewRun, SqliteJournal, Taken};
use skillhost_runtime::{Engine, EngineConfig, Loader, LoaderConfig};

const REPEATS: usize = 5;
const SCRIPT: &str = "[[reply]]\ntext = \"ok\"\nrepeat = true\n";

fn main() {
    let folder = tempfile::tempdir().unwrap();
    println!("medians of {REPEATS}");
    let launch = median(|_| {
        whole_process(
            folder.path(),
            &[
                "launch",
                "--here",
                "hello-world",
                "--name",
                "Ada",
                "--offline",
                "--json",
            ],
        )
    });
    let version = median(|_| whole_process(folder.path(), &["--version"]));
    println!(
        "{:<58} {:>9.1} ms",
        "hello-world, whole process, command to result",
        launch.as_secs_f64() * 1e3
    );
    println!(
        "{:<58} {:>9.1} ms",
        "the same program printing its version",
        version.as_secs_f64() * 1e3
    );

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let bench = runtime.block_on(Bench::new(folder.path()));
    let lone = median(|_| runtime.block_on(bench.runs(1, 1_000)));
    rate("1 run of 1,000 model calls, one after the other", 1_000, lone);
    let many = median(|_| runtime.block_on(bench.runs(200, 10)));
    rate("200 runs of 10 model calls", 2_000, many);
    let long = runtime.block_on(bench.make_long());
    let replay = median(|_| runtime.block_on(bench.replay(&long)));
    rate("replay of a journal of 10,000 entries, in entries", 10_000, replay);
    runtime.block_on(bench.fill_inbox(1_000));
    let hook = median(|_| process(folder.path(), "bench", &["hook", "session-start"]));
    println!(
        "{:<58} {:>9.1} ms",
        "the hook at the start of a session, 1,000 inbox entries",
        hook.as_secs_f64() * 1e3
    );
}

fn rate(what: &str, steps: u64, took: Duration) {
    println!(
        "{what:<58} {:>9.0} /s   ({:.1} ms)",
        steps as f64 / took.as_secs_f64(),
        took.as_secs_f64() * 1e3
    );
}

fn median(mut measure: impl FnMut(usize) -> Duration) -> Duration {
    measure(0);
    let mut taken: Vec<Duration> = (0..REPEATS).map(&mut measure).collect();
    taken.sort();
    taken[REPEATS / 2]
}

fn whole_process(folder: &Path, words: &[&str]) -> Duration {
    process(folder, "cli", words)
}

/// Measures a process whose state folder is `home` in `folder`.
fn process(folder: &Path, home: &str, words: &[&str]) -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skillhost-under-test"));
    command
        .args(words)
        .env_clear()
        .env("HOME", folder)
        .env("SKILLHOST_HOME", folder.join(home));
    command
        .env("SKILLHOST_SKILLS", guests().skills())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let began = Instant::now();
    assert!(command.status().unwrap().success(), "{words:?}");
    began.elapsed()
}

/// A worker with one skill and a script that answers everything.
#[derive(Clone)]
struct Bench {
    worker: Worker,
    journal: Arc<SqliteJournal>,
    settings: model::Settings,
    bundle: Digest,
    component: Digest,
    /// What the engine is called.
    engine: String,
}

impl Bench {
    async fn new(folder: &Path) -> Self {
        let home = folder.join("bench");
        let environment = Environment {
            home: Some(home.clone()),
            ..Environment::current()
        };
        let journal = Arc::new(SqliteJournal::open(&home.join("journal.db")).unwrap());
        let engine = Engine::new(&EngineConfig::many_runs(256)).unwrap();
        let cache = LoaderConfig {
            cache: Some(home.join("compiled")),
            ..LoaderConfig::default()
        };
        let loader = Loader::new(&engine, &cache).unwrap();
        let component = std::fs::read(guests().component("steps")).unwrap();
        loader.load_bytes(component.clone()).await.unwrap();
        let files = [
            ("skill.wasm", component.as_slice()),
            ("offline.toml", SCRIPT.as_bytes()),
        ];
        let bundle = Bundle::new(files.map(|(path, content)| BundleFile {
            path: path.to_owned(),
            digest: Digest::of(content),
            size: content.len() as u64,
        }));
        let contents = |file: &BundleFile| Ok(files.iter().find(|(path, _)| *path == file.path).unwrap().1.to_vec());
        Self {
            bundle: journal.put_bundle(&bundle.unwrap(), now(), &contents).unwrap(),
            component: Digest::of(&component),
            engine: loader.engine().profile().to_owned(),
            worker: Worker::open(
                &Home::find(&environment).unwrap(),
                Arc::clone(&journal) as Arc<_>,
                loader,
            )
            .unwrap(),
            journal,
            settings: model::Settings::new(model::Config::default(), model::Environment::of(|_| None)),
        }
    }

    fn create(&self, calls: u32) -> RunId {
        let run = new_run_id();
        let started = Started {
            run: run.clone(),
            launch: LaunchId::parse(run.as_str()).unwrap(),
            skill: SkillName::parse("steps").unwrap(),
            input: Payload::parse(&format!(r#"{{"n":{calls}}}"#)).unwrap(),
            bundle: self.bundle,
            component: self.component,
            seed: Digest::of(run.as_str().as_bytes()),
            zone: "UTC".to_owned(),
            zone_offsets: Vec::new(),
            mounts: Vec::new(),
            limits: Limits {
                budget: skillhost_core::budget::Cost {
                    calls: u64::MAX,
                    tokens: u64::MAX,
                    microdollars: 0,
                },
                ..Limits::default()
            },
            provider: Provider {
                name: "offline".to_owned(),
                models: BTreeMap::new(),
                features: Vec::new(),
                simulated: true,
                acts: false,
            },
            engine: self.engine.clone(),
            semantics: SEMANTICS,
            parent: None,
            continues: None,
            caller: None,
            skills_folder: None,
            grants: Default::default(),
        };
        self.journal.create_run(NewRun::first(started, now(), None)).unwrap();
        run
    }

    async fn drive(&self, run: &RunId) {
        let drive = Drive {
            settings: &self.settings,
            until: Until::Finished,
            bell: Bell::Absent,
            check_result: &|_: &Payload| Ok(()),
            observer: &mut Silent,
            kin: Arc::new(Alone),
            development: None,
        };
        assert!(matches!(
            self.worker.drive(run, drive).await.unwrap(),
            Driven::Finished(_)
        ));
    }

    /// Makes runs, then drives all of them, each on a task of its own.
    async fn runs(&self, runs: usize, calls: u32) -> Duration {
        let made: Vec<RunId> = (0..runs).map(|_| self.create(calls)).collect();
        let began = Instant::now();
        let driven = made.iter().map(|run| {
            let (bench, run) = (self.clone(), run.clone());
            tokio::spawn(async move { bench.drive(&run).await })
        });
        let tasks: Vec<_> = driven.collect();
        for task in tasks {
            task.await.unwrap();
        }
        began.elapsed()
    }

    /// Makes a run that has left so many entries in the inbox.
    async fn fill_inbox(&self, entries: u64) {
        let run = self.create(0);
        let worker = WorkerId::parse("bench").unwrap();
        let lease = self.journal.lease(&run).unwrap();
        let Taken::At(epoch) = self.journal.claim(&run, &worker, &lease).unwrap() else {
            unreachable!()
        };
        let mut writer = self.journal.writer(&run, epoch, Seq(1));
        let posts = (0..entries).map(|number| {
            Write::Local(Local::Post {
                source: Source::Message(Number(number)),
                at: now(),
                title: format!("Report {number} is ready"),
                body: "as it was asked for ".repeat(100),
                attachments: Vec::new(),
            })
        });
        writer.append(posts.collect()).unwrap();
        writer.flush().await.unwrap();
    }

    /// Makes a finished run of 10,000 entries.
    async fn make_long(&self) -> RunId {
        let run = self.create(4_999);
        self.drive(&run).await;
        run
    }

    /// Replays a finished run up to its end, in a copy.
    async fn replay(&self, long: &RunId) -> Duration {
        let mut records = self.journal.all_records(long).unwrap();
        records.pop();
        let skillhost_core::entry::Entry::Started(mut started) = records.remove(0).entry else {
            unreachable!()
        };
        let run = new_run_id();
        started.launch = LaunchId::parse(run.as_str()).unwrap();
        started.run = run.clone();
        let new = NewRun {
            copy: records,
            ..NewRun::first(*started, now(), None)
        };
        self.journal.create_run(new).unwrap();
        let began = Instant::now();
        self.drive(&run).await;
        began.elapsed()
    }
}

fn new_run_id() -> RunId {
    RunId::parse(&ulid::Ulid::generate().to_string().to_ascii_lowercase()).unwrap()
}
