//! The roster and the lookout in one process, without a socket and without a guest: a run that is driven here parks at once, as its component is none.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::HashMap;
use std::time::Duration;

use skillhost_core::entry::{Limits, Provider, SEMANTICS, Started};
use skillhost_core::id::{Digest, LaunchId, RunId, SkillName};
use skillhost_core::payload::Payload;
use skillhost_effects::model;
use skillhost_journal::{Bundle, BundleFile, MemoryJournal, NewRun, Taken};
use tempfile::TempDir;

use super::lookout::Seen;
use super::roster::Offered;
use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

struct Stage {
    home: Home,
    journal: Arc<dyn Journal>,
    roster: Arc<Roster>,
    _folder: TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment {
            home: Some(folder.path().to_owned()),
            ..Environment::current()
        };
        let home = Home::find(&environment).unwrap();
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
        let config = Config {
            notify: toml::from_str("desktop = false").unwrap(),
            ..Config::default()
        };
        let (notifier, _) = Notifier::new(&config, None);
        let room = Room {
            runs_max: 4,
            runs_max_of: HashMap::new(),
            waiting_bytes_max: 0,
            waiting_max: 0,
        };
        let roster = Roster::new(
            worker(&home, &journal),
            room,
            Herald::new(&home, notifier),
            model::Config::default(),
            home.keys(),
            model::Environment::of(|_| None),
        );
        Self {
            home,
            journal,
            roster,
            _folder: folder,
        }
    }

    /// Makes a run, and tells nobody.
    fn run(&self) -> RunId {
        let file = BundleFile {
            path: "skill.wasm".to_owned(),
            digest: Digest::of(b"no component"),
            size: 12,
        };
        let bundle = Bundle::new([file]).unwrap();
        let content = |_: &BundleFile| Ok(b"no component".to_vec());
        let now = driver::now();
        let bundle = self.journal.put_bundle(&bundle, now, &content).unwrap();
        let run = RunId::parse(&ulid::Ulid::generate().to_string().to_ascii_lowercase()).unwrap();
        let started = Started {
            launch: LaunchId::parse(run.as_str()).unwrap(),
            run: run.clone(),
            skill: SkillName::parse("greeter").unwrap(),
            input: Payload::of(&"Ada"),
            bundle,
            component: Digest::of(b"no component"),
            seed: Digest::of(b"seed"),
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
            engine: "test".to_owned(),
            semantics: SEMANTICS,
            parent: None,
            continues: None,
            caller: None,
            skills_folder: None,
            grants: Default::default(),
        };
        self.journal.create_run(NewRun::first(started, now, None)).unwrap();
        run
    }

    /// Has the component say what it is, so that an attempt gets as far as to take the lease.
    fn describe(&self) {
        let said =
            r#"{"name":"greeter","version":"1.0.0","summary":"Greets.","input_schema":true,"output_schema":true}"#;
        let component = Digest::of(b"no component");
        self.journal.put_description(&component, driver::now(), said).unwrap();
    }

    fn status(&self, run: &RunId) -> Standing {
        self.journal.run(run).unwrap().status
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    }
}

fn worker(home: &Home, journal: &Arc<dyn Journal>) -> Worker {
    let engine = Engine::new(&EngineConfig::one_run()).unwrap();
    let loader = Loader::new(&engine, &skillhost_runtime::LoaderConfig::default()).unwrap();
    Worker::open(home, Arc::clone(journal), loader).unwrap()
}

#[tokio::test]
async fn what_comes_while_the_daemon_drains_is_refused_and_left_to_the_next() {
    let stage = Stage::new();
    let run = stage.run();
    stage.roster.drain();
    assert!(!stage.roster.wake(&run));
    assert!(!stage.roster.drive(&run, model::Environment::of(|_| None)));
    stage.roster.offer(&run, None);
    assert_eq!((stage.roster.len(), stage.status(&run)), (0, Standing::Running));
    stage.roster.emptied().await;
}

#[tokio::test]
async fn l1_a_run_that_a_live_worker_holds_is_not_tried_again_before_that_is_gone() {
    let stage = Stage::new();
    let run = stage.run();
    stage.describe();
    let other = worker(&stage.home, &stage.journal);
    let seen = stage.journal.lease(&run).unwrap();
    assert!(matches!(
        stage.journal.claim(&run, other.id(), &seen).unwrap(),
        Taken::At(_)
    ));
    assert_eq!(stage.roster.offer(&run, None), Offered::Taken);
    stage.until(|| stage.roster.len() == 0).await;
    // As often as the lookout finds it.
    for _ in 0..3 {
        assert_eq!(stage.roster.offer(&run, None), Offered::Taken);
        assert_eq!(stage.roster.len(), 0, "it is waited for");
    }
    drop(other);
    stage.until(|| stage.status(&run) == Standing::Parked).await;
}

#[tokio::test]
async fn a_run_that_was_just_made_is_left_to_whoever_made_it_and_not_forgotten() {
    let stage = Stage::new();
    let run = stage.run();
    let mut seen = Seen::default();
    let version = stage.journal.data_version().unwrap();
    seen.search(&stage.roster, version, HOUR).unwrap();
    assert_eq!(stage.roster.len(), 0, "who made it is about to tell, with his keys");
    assert!(!seen.is_all_of(version), "it is searched for again");
    seen.search(&stage.roster, version, Duration::ZERO).unwrap();
    assert_eq!(stage.roster.len(), 1, "he did not");
    assert!(seen.is_all_of(version));
    stage.until(|| stage.status(&run) == Standing::Parked).await;
}

#[tokio::test]
async fn of_more_runs_than_there_is_room_for_the_rest_is_found_when_there_is() {
    const RUNS: usize = 3_000;
    let stage = Stage::new();
    let runs: Vec<RunId> = (0..RUNS).map(|_| stage.run()).collect();
    let mut seen = Seen::begin(&stage.roster).unwrap();
    assert!(stage.roster.len() < RUNS, "the others are in the journal");
    // Each look finds as many as there is room for, and none is left to a later search for being young: nobody is about to tell of it.
    for _ in 0..5 {
        stage.until(|| stage.roster.len() == 0).await;
        seen.look(&stage.roster).unwrap();
    }
    stage.until(|| stage.roster.len() == 0).await;
    assert!(runs.iter().all(|run| stage.status(run) == Standing::Parked));
}

#[tokio::test]
async fn a_run_whose_worker_died_and_that_fails_before_its_lease_is_taken_parks_too() {
    let stage = Stage::new();
    let run = stage.run();
    let other = worker(&stage.home, &stage.journal);
    let seen = stage.journal.lease(&run).unwrap();
    stage.journal.claim(&run, other.id(), &seen).unwrap();
    drop(other);
    stage.roster.offer(&run, None);
    stage.until(|| stage.roster.len() == 0).await;
    assert_eq!(stage.status(&run), Standing::Parked);
}
