//! Runs the journal of a run once more and performs nothing: what `skillhost replay` does, without a process for each.

use std::path::Path;
use std::sync::Arc;

use skillhost::driver::{self, Pinned, Replayed};
use skillhost_core::id::RunId;
use skillhost_core::machine::Machine;
use skillhost_journal::Journal;
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

async fn play(place: &Place, run: &RunId, component: Option<&Path>) -> Replayed {
    let journal: Arc<dyn Journal> = Arc::new(place.journal());
    let records = journal.all_records(run).unwrap();
    let engine = Engine::new(&EngineConfig::one_run()).unwrap();
    let cache = LoaderConfig {
        cache: Some(place.home().join("compiled")),
        ..LoaderConfig::default()
    };
    let loader = Loader::new(&engine, &cache).unwrap();
    let pin = Machine::pin(&records).unwrap();
    let mut pinned = Pinned::load(&journal, &loader, run, pin).await.unwrap();
    if let Some(path) = component {
        pinned.component = loader.load_bytes(std::fs::read(path).unwrap()).await.unwrap();
    }
    driver::replay(&records, &pinned, &|_| Ok(())).await.unwrap()
}
