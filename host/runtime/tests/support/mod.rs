//! What the tests of this crate share: the probe guest, and a driver that answers it by hand.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test")]

pub mod wat;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use skillhost_core::entry::{Failure, Mount};
use skillhost_core::id::{Digest, Number, RunId, SkillName};
use skillhost_core::machine::{Act, Call, Delivery, End, Line, Slice};
use skillhost_core::outcome::Outcome;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_runtime::{BundleFiles, Engine, EngineConfig, Guest, GuestStart, Loaded, Loader, LoaderConfig, RunInfo};
use skillhost_toolchain::{Choice, Crate, Packages, Toolchain};

/// When the runs of the tests begin, in microseconds.
pub const STARTED_AT: u64 = 1_000_000;

/// Returns the probe, built once for all tests of a binary.
pub fn probe_bytes() -> &'static [u8] {
    static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
    BUILT.get_or_init(|| {
        let toolchain = Toolchain::find(Choice::from_environment().unwrap(), Packages::Expect).unwrap();
        let built = toolchain.build(&Crate {
            manifest: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guest/Cargo.toml").into(),
            packages: Vec::new(),
            examples: false,
            profile: "release".to_owned(),
            target_folder: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("probe"),
        });
        std::fs::read(&built.unwrap()[0].path).unwrap()
    })
}

/// Returns a loader that keeps the probe's code between test runs.
fn keeping_loader() -> Loader {
    let engine = Engine::new(&EngineConfig::default()).unwrap();
    let config = LoaderConfig {
        cache: Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("code")),
        ..LoaderConfig::default()
    };
    Loader::new(&engine, &config).unwrap()
}

/// Returns a loader that keeps nothing on disk.
pub fn loader() -> Loader {
    let engine = Engine::new(&EngineConfig::default()).unwrap();
    Loader::new(&engine, &LoaderConfig::default()).unwrap()
}

/// Returns the probe, loaded once for all tests of a binary.
pub async fn probe() -> Arc<Loaded> {
    static LOADER: OnceLock<Loader> = OnceLock::new();
    let loader = LOADER.get_or_init(keeping_loader);
    loader.load_bytes(probe_bytes().to_vec()).await.unwrap()
}

/// Returns the start of a run with this script.
pub fn script(statements: &str) -> GuestStart {
    let lines: Vec<&str> = statements.split(';').map(str::trim).collect();
    let bundle: BundleFiles = [("SKILL.md", "a skill"), ("prompts/plan.md", "a plan")]
        .into_iter()
        .map(|(path, contents)| (path.to_owned(), contents.as_bytes().to_vec()))
        .collect();
    GuestStart {
        input: Payload::of(&lines.join("\n")),
        seed: Digest::from([1; 32]),
        started_at: Timestamp(STARTED_AT),
        info: RunInfo {
            run: RunId::parse("01jd0000000000000000000000").unwrap(),
            skill: SkillName::parse("probe").unwrap(),
            mounts: ["run", "skill"]
                .into_iter()
                .map(|name| Mount::own(name, name == "run"))
                .collect(),
            zone: "Europe/Berlin".to_owned(),
            zone_offsets: Vec::new(),
            provider: "offline".to_owned(),
            features: vec!["tools".to_owned()],
        },
        memory_bytes_max: 64 << 20,
        computing_max: std::time::Duration::from_secs(60),
        holds: Default::default(),
        provider_acts: false,
        grants: Default::default(),
        depth: 0,
        bundle: Arc::new(bundle),
        component: None,
    }
}

/// A guest in the hands of a test.
pub struct Driven {
    pub guest: Guest,
    /// What it did since it was last asked, in words.
    pub acts: Vec<String>,
    /// The calls it started.
    pub calls: Vec<Call>,
    pub end: End,
    time: u64,
}

impl Driven {
    /// Starts the probe with this script.
    pub async fn start(statements: &str) -> Self {
        Self::start_with(script(statements)).await
    }

    pub async fn start_with(start: GuestStart) -> Self {
        Self::start_guest(probe().await.guest(start)).await
    }

    pub async fn start_guest(mut guest: Guest) -> Self {
        let slice = guest.start().await;
        let mut driven = Self {
            guest,
            acts: Vec::new(),
            calls: Vec::new(),
            end: End::Blocked,
            time: STARTED_AT,
        };
        driven.take(slice);
        driven
    }

    /// Answers a call with an outcome, a millisecond after the one before.
    pub async fn answer(&mut self, number: u64, outcome: Outcome) -> &mut Self {
        self.time += 1_000;
        self.answer_at(number, outcome, self.time).await
    }

    pub async fn answer_at(&mut self, number: u64, outcome: Outcome, micros: u64) -> &mut Self {
        let delivery = Delivery {
            number: Number(number),
            outcome,
            time: Timestamp(micros),
        };
        let slice = self.guest.deliver(delivery).await;
        self.take(slice);
        self
    }

    /// Answers a call that returns nothing.
    pub async fn done(&mut self, number: u64) -> &mut Self {
        self.answer(number, Outcome::done()).await
    }

    /// Returns what the script saw, once it is over.
    pub fn seen(&self) -> Vec<String> {
        match &self.end {
            End::Finished(Ok(result)) => result.read().unwrap(),
            other => panic!("the guest did not finish: {other:?}; it did {:?}", self.acts),
        }
    }

    pub fn trapped(&self) -> &Failure {
        match &self.end {
            End::Trapped(failure) | End::Exhausted(failure) => failure,
            other => panic!("the guest did not trap: {other:?}"),
        }
    }

    /// Returns what it did, and forgets it.
    pub fn did(&mut self) -> Vec<String> {
        std::mem::take(&mut self.acts)
    }

    fn take(&mut self, slice: Slice) {
        for act in slice.acts {
            self.acts.push(words(&act));
            if let Act::Start(call) = act {
                self.calls.push(*call);
            }
        }
        self.end = slice.end;
    }
}

fn words(act: &Act) -> String {
    match act {
        Act::Start(call) => format!("start {} {} {}", call.number, call.function, call.request),
        Act::Drop(number) => format!("drop {number}"),
        Act::Log(Line::Message { level, message, .. }) => format!("{level:?} {message}"),
        Act::Log(Line::Printed {
            stderr: false, text, ..
        }) => format!("out {text}"),
        Act::Log(Line::Printed { stderr: true, text, .. }) => format!("err {text}"),
        Act::Log(Line::Progress { label, done, total }) => format!("{label} {done}/{total:?}"),
    }
}

/// Returns a model's reply of one text.
pub fn reply(text: &str) -> Outcome {
    Outcome::Ok(
        Payload::parse(&format!(
            r#"{{"content":[{{"text":"{text}"}}],"stop_reason":"end","model":"m","usage":{{"input":1,"output":2}}}}"#
        ))
        .unwrap(),
    )
}
