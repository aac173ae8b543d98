//! Storage is put to the test: in short form, and as long as one likes; `cargo xtask storage` says how long, and with which seed.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test, which speaks to whoever runs it"
)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use skillhost_storage::{Breadth, Exam, Failure, Findings, sit};

/// How long to go on, in seconds; without it, each exam is sat once.
const SECONDS: &str = "SKILLHOST_STORAGE_SECONDS";
/// The seed to begin with.
const SEED: &str = "SKILLHOST_STORAGE_SEED";
/// The one exam that is meant, by its name.
const ONLY: &str = "SKILLHOST_STORAGE_ONLY";

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Keeps what a disk held that failed, and says how to see it again.
fn tell(exam: Exam, seed: u64, breadth: Breadth, broken: &Failure) -> String {
    let name = exam.name();
    let folder = std::env::temp_dir().join(format!("skillhost-storage-{name}-{seed}"));
    let kept = match broken.keep(&folder) {
        Ok(()) => format!("its files are kept in `{}`", folder.display()),
        Err(error) => format!("its files could not be kept: {error}"),
    };
    let long = match breadth {
        Breadth::Short => "",
        Breadth::Long => " --for 1s",
    };
    format!("{broken}\n{kept}\n`cargo xtask storage --only {name} --seed {seed}{long}` tries it again")
}

fn short(exam: Exam) -> Findings {
    let found =
        sit(exam, 0, Breadth::Short).unwrap_or_else(|broken| panic!("{}", tell(exam, 0, Breadth::Short, &broken)));
    eprintln!("{}: {found}", exam.name());
    found
}

#[test]
fn what_was_told_survives_a_loss_of_power_at_every_step_of_everything() {
    let found = short(Exam::Power);
    assert!(found.of("commits") > 30 && found.of("images") > 1_500, "{found}");
}

#[test]
fn a_database_of_the_first_format_survives_a_loss_of_power_while_it_is_brought_up_to_date() {
    assert!(short(Exam::Upgrade).of("images") > 200);
}

#[test]
fn a_log_survives_a_loss_of_power_while_it_is_grown_and_while_it_is_written_back() {
    assert!(short(Exam::Growth).of("images") > 40);
}

#[test]
fn a_log_that_is_cut_at_any_byte_gives_what_was_there_after_the_last_whole_commit() {
    let found = short(Exam::Cut);
    assert!(found.of("commits") > 1 && found.of("images") > 2_000, "{found}");
}

#[test]
fn j4_whatever_fails_of_the_disk_once_it_is_well_everything_that_was_told_is_there() {
    let found = short(Exam::Trouble);
    assert!(found.of("failures of the disk") > 200, "{found}");
}

#[test]
fn a_disk_that_lies_has_no_run_go_on_from_what_was_not_written() {
    let found = short(Exam::Lies);
    assert!(
        found.of("told as damage") > 20 && found.of("that did not open") > 20,
        "{found}"
    );
}

/// Sits the exams at length, with one seed after the other, for as long as the environment says.
#[test]
fn storage_keeps_its_promises_for_as_long_as_is_asked() {
    let seconds: Option<u64> = variable(SECONDS);
    let only: Option<String> = variable(ONLY);
    if seconds.is_none() && only.is_none() && std::env::var_os(SEED).is_none() {
        return;
    }
    let exams: Vec<Exam> = Exam::ALL
        .into_iter()
        .filter(|exam| only.as_ref().is_none_or(|only| exam.name() == only))
        .collect();
    assert!(!exams.is_empty(), "there is no exam of that name");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let first = variable(SEED).unwrap_or(now.as_secs() % 1_000_000);
    let breadth = if seconds.is_some() {
        Breadth::Long
    } else {
        Breadth::Short
    };
    let total = sit_all(&exams, first, breadth, Duration::from_secs(seconds.unwrap_or(0)));
    if let Some(broken) = total.broken {
        panic!("{broken}");
    }
}

#[derive(Default)]
struct Total {
    found: Findings,
    sat: u64,
    broken: Option<String>,
}

/// Sits exams on as many threads as there are processors; each at least once.
fn sit_all(exams: &[Exam], first: u64, breadth: Breadth, time: Duration) -> Total {
    let (next, total, began) = (AtomicU64::new(0), Mutex::new(Total::default()), Instant::now());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    let is_over = nth >= exams.len() as u64 && began.elapsed() >= time;
                    if is_over || total.lock().unwrap().broken.is_some() {
                        return;
                    }
                    let (exam, seed) = (exams[nth as usize % exams.len()], first + nth / exams.len() as u64);
                    let sat = sit(exam, seed, breadth);
                    let mut total = total.lock().unwrap();
                    match sat {
                        Ok(found) => {
                            eprintln!("{} with seed {seed}: {found}", exam.name());
                            total.found.extend(&found);
                            total.sat += 1;
                        }
                        Err(broken) => drop(total.broken.get_or_insert(tell(exam, seed, breadth, &broken))),
                    }
                }
            });
        }
    });
    let total = total.into_inner().unwrap();
    eprintln!("from seed {first}, {} exams: {}", total.sat, total.found);
    total
}
