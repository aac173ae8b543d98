//! What the engine and what is ours around it take for a guest: loaded from compiled code, and run from its beginning to its end. `cargo bench --package skillhost-runtime`.
//!
//! What the engine alone takes, `cargo run --release --example engine` shows.

#![allow(clippy::unwrap_used, reason = "a bench")]

use std::sync::Arc;

use divan::Bencher;
use futures::executor::block_on;
use skillhost_core::entry::Mount;
use skillhost_core::id::{Digest, RunId, SkillName};
use skillhost_core::machine::End;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_runtime::{Engine, EngineConfig, GuestStart, Loaded, Loader, LoaderConfig, RunInfo};

#[path = "../tests/support/wat.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests use the rest")]
mod wat;

fn main() {
    divan::main();
}

/// A guest that does nothing, in a process that drives many: made, run and dropped.
#[divan::bench]
fn from_slots(bencher: Bencher<'_, '_>) {
    run(bencher, &EngineConfig::many_runs(16));
}

/// The same in a process that drives one.
#[divan::bench]
fn on_demand(bencher: Bencher<'_, '_>) {
    run(bencher, &EngineConfig::one_run());
}

/// A component whose native code is kept on disk, as a process that just began loads it.
#[divan::bench]
fn loaded_from_the_cache(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().unwrap();
    let config = LoaderConfig {
        cache: Some(folder.path().to_owned()),
        ..LoaderConfig::default()
    };
    let engine = Engine::new(&EngineConfig::one_run()).unwrap();
    let component = component();
    tokio()
        .block_on(Loader::new(&engine, &config).unwrap().load_bytes(component.clone()))
        .unwrap();
    bencher
        .with_inputs(|| (Loader::new(&engine, &config).unwrap(), component.clone()))
        .bench_local_values(|(loader, component)| tokio().block_on(loader.load_bytes(component)).unwrap());
}

fn run(bencher: Bencher<'_, '_>, config: &EngineConfig) {
    let loader = Loader::new(&Engine::new(config).unwrap(), &LoaderConfig::default()).unwrap();
    let loaded: Arc<Loaded> = tokio().block_on(loader.load_bytes(component())).unwrap();
    bencher.with_inputs(start).bench_local_values(|start| {
        let mut guest = loaded.guest(start);
        let slice = block_on(guest.start());
        assert!(matches!(slice.end, End::Finished(Ok(_))));
    });
}

fn component() -> Vec<u8> {
    wat::skill("", "1")
}

fn tokio() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn start() -> GuestStart {
    GuestStart {
        input: Payload::null(),
        seed: Digest::from([1; 32]),
        started_at: Timestamp(1_000_000),
        info: RunInfo {
            run: RunId::parse("01jd0000000000000000000000").unwrap(),
            skill: SkillName::parse("wat").unwrap(),
            mounts: vec![Mount::own("run", true)],
            zone: "UTC".to_owned(),
            zone_offsets: Vec::new(),
            provider: "offline".to_owned(),
            features: Vec::new(),
        },
        memory_bytes_max: 64 << 20,
        computing_max: std::time::Duration::from_secs(60),
        holds: Default::default(),
        provider_acts: false,
        bundle: Arc::default(),
        component: None,
        grants: Default::default(),
        depth: 0,
    }
}
