//! Runs the journal of a run once more and performs nothing: what `skillhost replay` does, without a process for each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;

use skillhost::describe::output_schema;
use skillhost::driver::{self, Pinned, Replayed};
use skillhost::schema::{Schema, check_result};
use skillhost_core::id::{Digest, RunId};
use skillhost_core::machine::Machine;
use skillhost_core::payload::Payload;
use skillhost_journal::{Journal, RunFilter, RunRow, SqliteJournal};
use skillhost_runtime::{Engine, EngineConfig, Loader, LoaderConfig};

use crate::Place;

/// Replays a run on the component that it is pinned to.
pub async fn replay(place: &Place, run: &RunId) -> Replayed {
    play(place, run, None).await
}

/// Replays a run on another component.
pub async fn replay_on(place: &Place, run: &RunId, component: &Path) -> Replayed {
    play(place, run, Some(component)).await
}

/// Replays every run of a state folder that is wanted, on the component that it is pinned to, and returns how many there are and those that did otherwise than their journals say.
pub(crate) async fn replay_those(
    home: &Path,
    is_wanted: &(dyn Fn(&RunRow) -> bool + Sync),
) -> (usize, Vec<(RunId, Replayed)>) {
    let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::open(&home.join("journal.db")).unwrap());
    let loader = loader(home);
    let mut rows = journal.runs(&RunFilter::default()).unwrap();
    rows.retain(is_wanted);
    let mut others = Vec::new();
    // What most runs have is loaded once.
    let mut kept: HashMap<Digest, (Pinned, Option<Schema>)> = HashMap::new();
    for row in &rows {
        let records = journal.all_records(&row.run).unwrap();
        let pin = Machine::pin(&records).unwrap();
        let (pinned, schema) = match kept.entry(pin.bundle) {
            Entry::Occupied(kept) => kept.into_mut(),
            Entry::Vacant(new) => {
                let pinned = Pinned::load(&journal, &loader, &row.run, pin).await.unwrap();
                let description = pinned.component.describe().await.ok();
                let schema = description.and_then(|description| output_schema(&row.skill, description).ok());
                new.insert((pinned, schema))
            }
        };
        let check = |result: &Payload| schema.as_ref().map_or(Ok(()), |schema| check_result(schema, result));
        let next = driver::next_input(journal.as_ref(), &records);
        match driver::replay(&records, pinned, next.as_ref(), &check).await.unwrap() {
            Replayed::Identical => {}
            other => others.push((row.run.clone(), other)),
        }
    }
    (rows.len(), others)
}

async fn play(place: &Place, run: &RunId, component: Option<&Path>) -> Replayed {
    let journal: Arc<dyn Journal> = Arc::new(place.journal());
    let records = journal.all_records(run).unwrap();
    let loader = loader(&place.home());
    let pin = Machine::pin(&records).unwrap();
    let mut pinned = Pinned::load(&journal, &loader, run, pin).await.unwrap();
    if let Some(path) = component {
        pinned.component = loader.load_bytes(std::fs::read(path).unwrap()).await.unwrap();
    }
    let next = driver::next_input(journal.as_ref(), &records);
    driver::replay(&records, &pinned, next.as_ref(), &|_| Ok(()))
        .await
        .unwrap()
}

fn loader(home: &Path) -> Loader {
    let engine = Engine::new(&EngineConfig::one_run()).unwrap();
    let cache = LoaderConfig {
        cache: Some(home.join("compiled")),
        ..LoaderConfig::default()
    };
    Loader::new(&engine, &cache).unwrap()
}
