//! Measures what driving a guest costs: `cargo run --release --example measure -- <probe.wasm>`, with the guest of this crate's tests.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use skillhost_core::entry::Mount;
use skillhost_core::id::{Digest, Number, RunId, SkillName};
use skillhost_core::machine::{Delivery, End};
use skillhost_core::outcome::Outcome;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_runtime::{Engine, EngineConfig, GuestStart, Loaded, Loader, LoaderConfig, RunInfo};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let bytes = std::fs::read(std::env::args().nth(1).expect("the path of the probe")).unwrap();
    for (name, config) in [
        ("on demand", EngineConfig::one_run()),
        ("pooled", EngineConfig::many_runs(2_000)),
    ] {
        let began = Instant::now();
        let engine = Engine::new(&config).unwrap();
        println!("{name}: engine in {:?}", began.elapsed());
        let cache = Some(std::env::temp_dir().join("skillhost-measure"));
        for _ in 0..2 {
            let config = LoaderConfig {
                cache: cache.clone(),
                ..LoaderConfig::default()
            };
            let loader = Loader::new(&engine, &config).unwrap();
            let loaded = loader.load_bytes(bytes.clone()).await.unwrap();
            println!("  loaded {:?}", loaded.origin());
        }
        let loader = Loader::new(
            &engine,
            &LoaderConfig {
                cache,
                ..LoaderConfig::default()
            },
        )
        .unwrap();
        let loaded = loader.load_bytes(bytes.clone()).await.unwrap();
        instances(&loaded).await;
        calls(&loaded).await;
        fan_out(&loaded).await;
        waiting(&loaded).await;
    }
}

async fn instances(loaded: &Arc<Loaded>) {
    const ROUNDS: u32 = 1_000;
    let began = Instant::now();
    for _ in 0..ROUNDS {
        let mut guest = loaded.guest(start("now"));
        assert!(matches!(guest.start().await.end, End::Finished(Ok(_))));
    }
    println!("  a whole guest that makes no call: {:?}", began.elapsed() / ROUNDS);
}

async fn calls(loaded: &Arc<Loaded>) {
    const CALLS: u32 = 10_000;
    let mut guest = loaded.guest(start(&vec!["sleep 5"; CALLS as usize].join("\n")));
    guest.start().await;
    let began = Instant::now();
    for number in 0..CALLS {
        guest.deliver(done(number)).await;
    }
    println!(
        "  a call, delivered and the next one started: {:?}",
        began.elapsed() / CALLS
    );
}

async fn fan_out(loaded: &Arc<Loaded>) {
    const CALLS: u32 = 1_000;
    let mut statements = vec!["set s".to_owned()];
    statements.extend((0..CALLS).map(|n| format!("start p{n} sleep 5\nadd s p{n}")));
    statements.extend((0..CALLS).map(|_| "wait s".to_owned()));
    let mut guest = loaded.guest(start(&statements.join("\n")));
    guest.start().await;
    let began = Instant::now();
    for number in (0..CALLS).rev() {
        guest.deliver(done(number)).await;
    }
    println!(
        "  a member of a set of 1,000, delivered and waited for: {:?}",
        began.elapsed() / CALLS
    );
}

async fn waiting(loaded: &Arc<Loaded>) {
    const GUESTS: usize = 1_000;
    let before = resident_kib();
    let mut guests = Vec::new();
    let mut took = Duration::ZERO;
    for _ in 0..GUESTS {
        let mut guest = loaded.guest(start("sleep 5"));
        let began = Instant::now();
        guest.start().await;
        took += began.elapsed();
        guests.push(guest);
    }
    println!(
        "  a waiting guest: {} KiB, started in {:?}",
        (resident_kib().saturating_sub(before)) / GUESTS as u64,
        took / GUESTS as u32
    );
}

fn done(number: u32) -> Delivery {
    Delivery {
        number: Number(u64::from(number)),
        outcome: Outcome::done(),
        time: Timestamp(2_000_000 + u64::from(number)),
    }
}

fn start(statements: &str) -> GuestStart {
    GuestStart {
        input: Payload::of(statements),
        seed: Digest::from([1; 32]),
        started_at: Timestamp(1_000_000),
        info: RunInfo {
            run: RunId::parse("01jd0000000000000000000000").unwrap(),
            skill: SkillName::parse("probe").unwrap(),
            mounts: vec![Mount {
                name: "run".to_owned(),
                writable: true,
            }],
            zone: "UTC".to_owned(),
            zone_offsets: Vec::new(),
            provider: "offline".to_owned(),
            features: vec![],
        },
        memory_bytes_max: 64 << 20,
        provider_acts: false,
        bundle: Arc::default(),
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
