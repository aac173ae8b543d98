//! Simulations in short form, and as long as one likes: `cargo xtask sim` says how long, and with which seed.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test, which speaks to whoever runs it"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use skillhost_core::planted::{Bug, with};
use skillhost_sim::{Case, Fault, Ran, run, shrink};

/// How long to go on, in seconds; without it, for so many simulations as the short form has.
const SECONDS: &str = "SKILLHOST_SIM_SECONDS";
/// The seed to begin with.
const SEED: &str = "SKILLHOST_SIM_SEED";
/// One case to run alone, with all that happens in it.
const CASE: &str = "SKILLHOST_SIM_CASE";

/// A bug that is planted meanwhile, by its name in `planted::Bug`.
const PLANT: &str = "SKILLHOST_SIM_PLANT";

/// How many simulations the short form has.
const SHORT: u64 = 2_000;

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds.txt")
}

/// Makes a case that fails smaller, keeps it, and says how to repeat it.
fn keep(case: &Case, ran: &Ran) -> String {
    let least = shrink(case);
    let why = run(&least, false).violation.unwrap_or_default();
    let line = format!("{least} # {}\n", why.lines().next().unwrap_or_default());
    let kept = std::fs::OpenOptions::new().append(true).open(kept());
    let kept = kept.and_then(|mut file| file.write_all(line.as_bytes()));
    let kept = match kept {
        Ok(()) => "it is kept in `tests/sim/seeds.txt`".to_owned(),
        Err(error) => format!("it could not be kept: {error}"),
    };
    format!(
        "case {case}: {}\nmade smaller: {least}: {why}\n{kept}; `cargo xtask sim --case '{least}'` shows all that happens",
        ran.violation.as_deref().unwrap_or_default()
    )
}

#[derive(Default)]
struct Total {
    simulations: u64,
    runs: usize,
    steps: u64,
    injected: BTreeMap<Fault, usize>,
    failed: Option<String>,
}

impl Total {
    fn add(&mut self, ran: &Ran) {
        self.simulations += 1;
        self.runs += ran.runs;
        self.steps += ran.steps;
        for (fault, times) in &ran.injected {
            *self.injected.entry(*fault).or_default() += times;
        }
    }

    fn words(&self) -> String {
        let injected = self
            .injected
            .iter()
            .map(|(fault, times)| format!("{} {times}", fault.name()));
        let injected = injected.collect::<Vec<_>>().join(", ");
        format!(
            "{} simulations, {} runs, {} steps; faults: {injected}",
            self.simulations, self.runs, self.steps
        )
    }
}

/// Does something with the bug planted that the environment names.
fn planted<T>(work: impl FnOnce() -> T) -> T {
    let named = std::env::var(PLANT).ok();
    let bug = Bug::ALL
        .iter()
        .find(|bug| named.as_deref() == Some(&format!("{bug:?}")));
    match bug {
        Some(bug) => with(*bug, work),
        None => work(),
    }
}

/// Runs simulations on as many threads as there are processors, until there were so many, or so long.
fn run_all(first: u64, count: u64, time: Option<Duration>, threads: usize) -> Total {
    let (next, total, began) = (AtomicU64::new(0), Mutex::new(Total::default()), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                planted(|| {
                    loop {
                        let nth = next.fetch_add(1, Ordering::Relaxed);
                        let is_over = time.map_or(nth >= count, |time| began.elapsed() >= time);
                        if is_over || total.lock().unwrap().failed.is_some() {
                            return;
                        }
                        let case = Case::of(first.wrapping_add(nth));
                        let ran = run(&case, false);
                        let mut total = total.lock().unwrap();
                        total.add(&ran);
                        if ran.violation.is_some() && total.failed.is_none() {
                            total.failed = Some(keep(&case, &ran));
                        }
                    }
                })
            });
        }
    });
    total.into_inner().unwrap()
}

#[test]
fn every_promise_holds_in_every_simulation() {
    if std::env::var_os(CASE).is_some() {
        return;
    }
    let time = variable(SECONDS).map(Duration::from_secs);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let first = variable(SEED).unwrap_or(if time.is_some() { now.as_micros() as u64 } else { 0 });
    let threads = match time {
        Some(_) => std::thread::available_parallelism().map_or(1, usize::from),
        None => 1,
    };
    let total = run_all(first, SHORT, time, threads);
    eprintln!("from seed {first}: {}", total.words());
    if let Some(failed) = total.failed {
        panic!("{failed}");
    }
    if time.is_none() {
        for fault in Fault::ALL {
            assert!(
                total.injected.contains_key(fault),
                "`{}` is never injected",
                fault.name()
            );
        }
    }
}

#[test]
fn cases_that_failed_once_keep_every_promise_now() {
    let text = std::fs::read_to_string(kept()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let case = line.split('#').next().unwrap();
        let ran = run(&case.parse().unwrap(), false);
        assert_eq!(ran.violation, None, "{line}");
    }
}

#[test]
fn a_seed_that_is_run_twice_gives_the_same_trace_byte_by_byte() {
    for seed in 0..60 {
        let case = Case::of(seed);
        let [one, other] = [run(&case, true), run(&case, true)];
        assert!(one == other, "seed {seed} is not one execution");
        assert_eq!(run(&case, false).steps, one.steps, "a trace changes nothing");
    }
}

#[test]
fn a_case_is_written_and_read_the_same() {
    let text = "17 faults=3 runs=1 -crash -late-lock";
    let case: Case = text.parse().unwrap();
    assert_eq!(case.to_string(), text);
}

/// Shows all that happens in the case that the environment names.
#[test]
fn one_case_is_shown() {
    let Ok(text) = std::env::var(CASE) else { return };
    let ran = run(&text.parse().unwrap(), true);
    eprintln!("{}", ran.trace.unwrap_or_default());
    assert_eq!(ran.violation, None);
}
