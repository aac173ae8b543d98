//! Runs the journal of a finished run once more, in memory, without its last entry: an identical replay ends with that entry and adds nothing else.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use skillhost::driver::{Bell, Drive, DriveError, Driven, Replacement, Silent, Until, Worker};
use skillhost::env::Environment;
use skillhost::home::Home;
use skillhost_core::entry::{Entry, How};
use skillhost_core::id::RunId;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_effects::model;
use skillhost_journal::{Created, Journal, MemoryJournal, NewRun};
use skillhost_runtime::{BundleFiles, Engine, EngineConfig, Loader, LoaderConfig};

use crate::Place;

/// What a replay came to.
#[derive(Debug)]
pub struct Replayed {
    /// The result.
    pub result: Value,
    /// How many entries it added beside the last.
    pub new_entries: usize,
}

/// Replays a finished run on the component that it ran on.
pub async fn replay(place: &Place, run: &RunId) -> Replayed {
    let before = place.records(run).len();
    let (journal, driven) = drive(place, run, None).await;
    let Driven::Finished(finished) = driven.unwrap() else {
        panic!("the replay waits for something")
    };
    let How::Done(result) = finished.how else {
        panic!("the replay ended as {:?}", finished.how)
    };
    Replayed {
        result: result.read().unwrap(),
        new_entries: journal.all_records(run).unwrap().len() - before,
    }
}

/// Replays a run on another component, and returns what came of it and how many entries it added.
pub async fn replay_on(place: &Place, run: &RunId, component: &Path) -> (Result<Driven, DriveError>, usize) {
    let records = place.records(run);
    let before = records
        .iter()
        .filter(|record| !matches!(record.entry, Entry::Finished(_)))
        .count();
    let (journal, driven) = drive(place, run, Some(component)).await;
    (driven, journal.all_records(run).unwrap().len() - before)
}

async fn drive(
    place: &Place,
    run: &RunId,
    component: Option<&Path>,
) -> (Arc<MemoryJournal>, Result<Driven, DriveError>) {
    let journal = Arc::new(copy(place, run));
    let home = place.home().with_extension("replay");
    let environment = Environment {
        home: Some(home),
        ..Environment::current()
    };
    let engine = Engine::new(&EngineConfig::one_run()).unwrap();
    let cache = LoaderConfig {
        cache: Some(place.home().join("compiled")),
        ..LoaderConfig::default()
    };
    let loader = Loader::new(&engine, &cache).unwrap();
    let replacement = match component {
        None => None,
        Some(path) => Some(Replacement {
            component: loader.load_bytes(std::fs::read(path).unwrap()).await.unwrap(),
            files: Arc::new(BundleFiles::new()),
        }),
    };
    let worker = Worker::open(
        &Home::find(&environment).unwrap(),
        Arc::clone(&journal) as Arc<_>,
        loader,
    )
    .unwrap();
    // A key that opens the provider; nothing is asked of it.
    let key = |name: &str| (name == "ANTHROPIC_API_KEY").then(|| "none".to_owned());
    let settings = model::Settings::new(model::Config::default(), model::Environment::of(key));
    let drive = Drive {
        settings: &settings,
        until: Until::Finished,
        bell: Bell::Absent,
        check_result: &|_: &Payload| Ok(()),
        observer: &mut Silent,
    };
    let driven = worker.drive_with(run, drive, replacement).await;
    (journal, driven)
}

/// Copies a run into memory, without its last entry if it is over.
fn copy(place: &Place, run: &RunId) -> MemoryJournal {
    let from = place.journal();
    let journal = MemoryJournal::new();
    let mut records = from.all_records(run).unwrap();
    if matches!(records.last().unwrap().entry, Entry::Finished(_)) {
        records.pop();
    }
    let first = records.remove(0);
    let Entry::Started(started) = first.entry else {
        panic!("a journal begins with `started`")
    };
    let bundle = from.bundle(&started.bundle).unwrap().unwrap();
    let contents = |file: &skillhost_journal::BundleFile| Ok(from.blob(&file.digest).unwrap().unwrap());
    journal.put_bundle(&bundle, Timestamp(0), &contents).unwrap();
    let new = NewRun {
        copy: records,
        ..NewRun::first(*started, first.at, None)
    };
    assert_eq!(journal.create_run(new).unwrap(), Created::New);
    journal
}
