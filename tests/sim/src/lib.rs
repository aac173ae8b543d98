//! Nothing lost: simulated processes, disk, time and people around the real driver, roster and lookout.
//!
//! # The fault model
//!
//! What may fail, and what is owed after it. The suite named last shows it; those of storage and of real processes stand beside this one.
//!
//! | what fails | how | what is owed | shown by |
//! |---|---|---|---|
//! | a process | is killed between any two steps, or in the middle of one | what was durable stays, a prefix of what was queued may be; the run goes on in whoever drives next, and no answer that was recorded is asked for again (R5) | here; `it::crash` and `it::kills` with SIGKILL |
//! | a process | is stopped, and goes on later | nothing is taken from it by time (L1) | here; `it::faults`, `it::kills` |
//! | a process | is killed while a program of it runs | the program is ended before anything of its run is done again; that is asked for first (R4) | `it::kills`, `it::process` |
//! | a process | is given too few descriptors, or too little memory | it is said; what was launched goes on when there is more | `it::faults` |
//! | a process | panics by a fault of ours | the run is parked with the reason, all others go on | `it::trouble` |
//! | the machine | loses power | as for a process: a commit that was acknowledged is on the disk, and of the rest a prefix | here, as a kill; `tests/storage` with the disk itself |
//! | the disk | is full, for a while | outcomes in memory are kept and committed later; nothing that needs a commit is done meanwhile (J4) | here; `it::trouble`; `it::faults` on a real one; `tests/storage` |
//! | a folder of the user | has no room in the middle of a change to a file | the change is made wholly or not at all, and its skill is told which; so if its process is killed then (R3) | `it::faults` |
//! | the state folder | becomes read-only, is removed, or moved away and put back | it is said; nothing is begun anew by itself; what is put back goes on | `it::trouble`, `it::faults` |
//! | the disk | fails a read, a write, a sync or anything else | who asked is told, and asks again: the attempt is tried again, and then left to a person | here; `tests/storage` |
//! | the disk | tears the end of its log | the commits that are whole in it are kept | `tests/storage`, at every byte |
//! | the disk | loses what it said is durable, flips a bit, gives an old page or another's | what was told may be lost; an entry that is not what was written is told as damage and never replayed | `tests/storage`; `journal`, `sqlite::damage` |
//! | the disk | is lost, and there is a backup that was taken while runs went on | every run of it ends as it would have; what was done after it asks first (R4) | `it::upkeep` |
//! | upkeep | is killed in the middle of forgetting, backing up or restoring | the next one finishes; a backup is whole or not there; nothing that is needed goes | `it::upkeep`; `journal`, `sqlite` tests |
//! | skillhost | is a later one than that which wrote the database | it opens every format that was released, and its runs go on | `it::golden` |
//! | a provider | answers with an error, stalls, or nobody knows what it did | tried again under the same key, at most as often as allowed; at-most-once asks a person (R2, R4) | here |
//! | the clock | is set, forwards or back | waits take the time that the clock shows (G7); the guest's time never goes back (G6) | here; `it::faults`, `it::kills` |
//! | another process | holds the run, or takes it over by force | one drives at a time; what a former holder still had queued is refused (L1, J3) | here; `it::daemon`; `it::faults` |
//! | a lock of another worker | cannot be looked at; it is told late that it is free | who cannot be asked counts as alive | here |
//! | people | say a thing twice, late, or ring at no door | of two answers one is taken; mail is found without a ring (P1 to P3) | here |
//! | a skill that calls another | is killed between the call and its answer, or drops it | one run is launched for the call, and spends what was reserved for it once; its answer is its end; what nobody wants is told so (B1, G5, K1) | here |
//! | a component | is exchanged while runs go on | they stay on what they were launched with | here; `it::reload` |
//! | an attempt | cannot be made ready | tried again, and then left to a person, who can have it go on | here |
//!
//! Here a lease is not renewed: a holder is seen to live by the operating system's lock, never by a clock. So there is no renewal to lose; what may go wrong instead are the lock's
//! own troubles above.
//!
//! Not covered: a disk that changes rows beside the entries (`tests/storage` says which), or an entry and its seal; a kernel that frees a lock of a live process; two state folders on one network file
//! system; somebody who edits the database by hand.
//!
//! # What is real here, and what is played
//!
//! Real: the run machine, the driver (`driver::Worker` and all below it, and `driver::Here`, by which commands drive), the mailbox, residency, backlog, roster, lookout and the fate of failed attempts, replay, and the queue and
//! rules of the journal in memory, which passes the same conformance suite as SQLite's. Played: guests (scripts, which do what they do by what they saw, and call each other), effects and the world they
//! change, how what a call of a skill needs is looked up, the locks of processes, time, people, and when the disk is done. The socket, the notices and the command line are not part of it: a ring at the daemon's door stands
//! for a connection.
//!
//! A simulation is drawn from one number ([`Case`]): the programs, how many runs, who drives, what goes wrong how often, which task is polled next. It is one thread with an executor of
//! its own, so the same case is the same execution, byte by byte. That rests on: no task of tokio's, no clock and no chance but the simulated; no map whose order differs
//! from process to process is gone through where order matters; `select!` in what is driven is `biased`.
//!
//! Of real processes, bugs are planted by the environment of the program under test; `it::kills` shows that its ordeals notice them.
//!
//! A case that fails is made smaller ([`shrink()`]), printed, and added to `seeds.txt`, which every later run of the tests tries.

mod chance;
mod check;
mod disk;
#[cfg(test)]
mod leaving;
mod outside;
mod people;
mod plan;
#[path = "../../../host/core/tests/exhaustive/program.rs"]
#[allow(
    clippy::unwrap_used,
    dead_code,
    reason = "it is a test's, and this crate uses a part of it"
)]
mod program;
mod shrink;
mod sim;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

pub use plan::{Case, Fault};
pub use shrink::shrink;

use check::{Checker, check_end};
use people::People;
use plan::Plan;
use sim::Sim;

/// How many steps a simulation may take while things go wrong.
const TROUBLED_STEPS_MAX: u64 = 20_000;

/// How many steps it may take from then on, until all runs are over. A command that stays with runs that sleep looks into their mailboxes ten times a second.
const QUIET_STEPS_MAX: u64 = 1_000_000;

/// How long it may take from then on, in virtual time.
const QUIET_MAX: Duration = Duration::from_secs(4 * 3_600);

/// What came of a simulation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// The promise that was broken, if one was.
    pub violation: Option<String>,
    /// How often what went wrong.
    pub injected: BTreeMap<Fault, usize>,
    /// How many runs there were, those included that went on in the place of others.
    pub runs: usize,
    /// How many things happened.
    pub steps: u64,
    /// All that happened, if it was asked for.
    pub trace: Option<String>,
}

/// Runs a case to its end, or to the first promise that is broken.
pub fn run(case: &Case, traced: bool) -> Ran {
    let sim = Sim::new(case.seed, Plan::of(case), traced);
    let people = People::new(&sim);
    people.begin();
    let mut checker = Checker::default();
    let mut quiet_since = None;
    loop {
        let steps = sim.core().steps;
        let elapsed = sim.elapsed();
        let is_news = checker.look(&sim, &people);
        if sim.core().violation.is_some() {
            break;
        }
        if is_news && sim.draw(|chance| chance.one_in(6)) {
            people.answer_at_once();
        }
        if is_news && people.is_over() {
            check_end(&sim, &people);
            break;
        }
        match quiet_since {
            None if elapsed >= sim.plan().troubled || steps >= TROUBLED_STEPS_MAX => {
                sim.calm();
                quiet_since = Some((steps, elapsed));
            }
            Some((since, at)) if steps - since > QUIET_STEPS_MAX || elapsed - at > QUIET_MAX => {
                let rows = people.rows();
                let open = rows.iter().filter(|row| !row.status.is_final());
                let open: Vec<String> = open
                    .map(|row| format!("{} {:?} {:?}", row.run, row.status, row.trouble))
                    .collect();
                sim.violate(format!("what was launched does not end: {open:?}"));
            }
            _ => {}
        }
        disturb(&sim, &people);
        if !sim.step() {
            sim.violate("nothing can happen any more");
        }
    }
    let runs = people.rows().len();
    let (violation, injected, steps) = {
        let core = sim.core();
        (core.violation.clone(), core.injected.clone(), core.steps)
    };
    let trace = sim.take_trace();
    sim.end();
    Ran {
        violation,
        injected,
        runs,
        steps,
        trace,
    }
}

/// Has something happen to a process, or to the clock of all.
fn disturb(sim: &Sim, people: &People) {
    let kinds = [
        Fault::Crash,
        Fault::Stop,
        Fault::Takeover,
        Fault::FullDisk,
        Fault::Clock,
    ];
    let kind = sim.draw(|chance| *chance.of(&kinds));
    let every = sim.plan().fault_every;
    let workers = sim.workers();
    if workers.is_empty() || !sim.goes_wrong(kind, every) {
        return;
    }
    let pid = sim.draw(|chance| *chance.of(&workers));
    match kind {
        Fault::Crash => sim.kill(pid),
        Fault::Takeover => {
            sim.kill(pid);
            people.begin_daemon();
        }
        Fault::Stop => sim.stop(pid, sim.draw(|chance| chance.time(Duration::from_secs(300)))),
        Fault::FullDisk => sim.fill_disk(pid, sim.draw(|chance| chance.time(Duration::from_secs(300)))),
        _ => {
            // Set back by much, every timer would take as much longer.
            let (is_forward, longest) = match sim.draw(|chance| chance.one_in(2)) {
                true => (1, Duration::from_secs(86_400)),
                false => (-1, Duration::from_secs(120)),
            };
            let by = sim.draw(|chance| chance.time(longest));
            sim.shift_clock(is_forward * i64::try_from(by.as_micros()).unwrap_or(i64::MAX));
        }
    }
}
