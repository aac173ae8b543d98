//! An ordeal: many runs of all kinds at once, driven by the real daemon, whose process is killed again and again until all of them are over; and the judge of what is left then.
//!
//! A [`Ground`] keeps what is the same for all ordeals (compiled components, grants), [`Ground::ordeal`] goes through one: the tasks ([`task`]), the people who launch them and see to
//! them ([`people`]), whoever kills ([`killer`]), and the [`judge`]. Numbers decide what is launched and when it is killed; when what happens is the machine's, so a number that was seen to
//! fail repeats the attempt and not the execution.

#![allow(clippy::print_stderr, reason = "it speaks to whoever runs the tests")]

mod aim;
mod daemon;
mod judge;
mod killer;
mod people;
mod plan;
mod soak;
mod task;
mod watch;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use skillhost_core::id::{Epoch, RunId};
use skillhost_loopback::Rule;

use crate::{Place, Seeded, guests, told};
pub use aim::{Aim, Kills, Trouble};
use people::{Decided, People};
use plan::Plan;
pub use plan::{PLANTED, Planted};
pub use soak::{Sample, Soaked};
pub use task::{Kind, Task};

/// The file in the user's folder that programs append lines to.
const WORLD: &str = "world.log";

/// How many runs are launched at once, at least; calls of skills are launched by them.
const TASKS_MIN: u64 = 8;

/// How many more there may be.
const TASKS_MORE: u64 = 10;

/// How long an act of an ordeal takes; a model's answer takes a third of that.
const EFFECT_LASTS: Duration = Duration::from_millis(60);

/// The fixtures that are installed.
const SKILLS: &[&str] = &[
    "acts",
    "calls",
    "cleanup",
    "continues",
    "crash",
    "fails",
    "fanout",
    "files",
    "http",
    "logs",
    "notes",
    "process",
    "saga",
    "steps",
    "timeout_drop",
    "waits",
];

/// The fixtures that ask for something that has to be granted.
const GRANTED: &[&str] = &["calls", "http", "process"];

/// How many ordeals may be needed until somebody has come to every point.
const ORDEALS_MOST: u64 = 24;

/// In the end, every so many looks are a command's.
const LOOKS_OF_A_COMMAND: u64 = 100;

/// By how much the clock is set at last, in microseconds: more than ever before.
const CLOCK_AT_LAST: i64 = 10 * 3_600_000_000;

/// On a small disk, one in so many things that happen is that it is full.
const FULL_EVERY: u64 = 3;

/// How many kills an ordeal has at most whose processes have a bug.
const KILLS_PLANTED: u64 = 12;

/// How long one may go on after that. A bug that keeps runs from their end is to be noticed by what is wrong, not by time.
const PLANTED_FOR: Duration = Duration::from_secs(8);

/// The skill that ships and is tried too.
const SHIPPED: &str = "deep-research";

/// Returns the names of all points at which a process can be killed, as the code itself lists them.
pub fn points() -> impl Iterator<Item = &'static str> {
    let listed = [skillhost::failpoints::POINTS, skillhost_journal::failpoint::POINTS];
    listed.into_iter().flatten().map(|point| point.name())
}

/// What is the same for all ordeals.
pub struct Ground {
    program: String,
    kinds: &'static [Kind],
    plan: Plan,
    /// The place of the last ordeal, whose compiled components and grants the next one takes over.
    kept: Mutex<Option<tempfile::TempDir>>,
    /// What the skill that ships comes to when nothing disturbs it.
    undisturbed: OnceLock<Value>,
}

/// One ordeal.
pub struct Ordeal {
    place: Place,
    tasks: Vec<Task>,
    /// What happens to it.
    plan: Plan,
    /// Processes that people started, and that drive their runs themselves, by their launch.
    here: Mutex<BTreeMap<String, Child>>,
    /// The leases whose holder was killed.
    lost: Mutex<BTreeSet<(RunId, Epoch)>>,
    /// Processes that people started and that killed themselves.
    struck: Mutex<Kills>,
    over: AtomicBool,
    /// Nobody waits for the end any more, because something is wrong.
    given_up: AtomicBool,
    violations: Mutex<Vec<String>>,
    notes: Mutex<Vec<String>>,
}

/// What came of ordeals.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many there were.
    pub ordeals: u64,
    /// How many tasks they had.
    pub tasks: u64,
    /// How many runs there were, those included that were called, and that went on in the place of others.
    pub runs: u64,
    /// How many processes were killed, and what they were doing.
    pub kills: Kills,
    /// How many performances there were that a kill had made necessary.
    pub performed_again: u64,
    /// How many calls a person had to decide about.
    pub decisions: u64,
    /// How many changes to files were not made because the disk was full, and their skills told so.
    pub no_room: u64,
    /// What is not as it has to be, each with the seed of its ordeal.
    pub violations: Vec<String>,
}

impl Ground {
    /// Makes the ground for ordeals. `program` is `env!("CARGO_BIN_EXE_skillhost-under-test")`.
    pub fn new(program: &str) -> Self {
        Self {
            program: program.to_owned(),
            kinds: Kind::ALL,
            plan: Plan::default(),
            kept: Mutex::new(None),
            undisturbed: OnceLock::new(),
        }
    }

    /// Has this happen beside kills.
    #[must_use]
    pub fn with(mut self, troubles: &'static [Trouble]) -> Self {
        self.plan.troubles = troubles;
        self
    }

    /// Has the disk be full now and then, on which nothing else may lie; and lets nothing be done but what goes on when a file could not be changed.
    #[must_use]
    pub fn on_a_small_disk(mut self) -> Self {
        self.plan.troubles = &[Trouble::FullDisk];
        self.plan.trouble_every = FULL_EVERY;
        self.kinds = Kind::ON_A_FULL_DISK;
        self
    }

    /// Goes through an ordeal of at most so many kills, and adds to the tally what came of it.
    pub fn ordeal(&self, seed: u64, kills_most: u64, tally: &mut Tally) {
        let mut random = Seeded::new(seed);
        let tasks = TASKS_MIN + random.below(TASKS_MORE);
        let all = self.kinds.len() as u64;
        let offset = random.below(all);
        // Every kind has its turn, whatever is drawn.
        let kind = |n| self.kinds[((offset + n) % all) as usize];
        let kinds: Vec<Kind> = (0..tasks).map(kind).collect();
        self.go_through(seed, &kinds, tally, |ordeal, kills| {
            killer::kill(ordeal, &mut random, kills_most, kills);
        });
    }

    /// Goes through an ordeal in which daemons are stopped, and so often taken over by force.
    pub fn takeovers(&self, seed: u64, times: u64, tally: &mut Tally) {
        let mut random = Seeded::new(seed);
        self.go_through(seed, Kind::ALL, tally, |ordeal, kills| {
            killer::take_over_often(ordeal, times, &mut random, kills);
        });
    }

    /// Has processes killed at every point that the code lists, each by itself, and returns those that nobody came to.
    pub fn every_point(&self, seed: u64, tally: &mut Tally) -> BTreeSet<&'static str> {
        let mut left: BTreeSet<&'static str> = points().collect();
        for seed in seed..seed + ORDEALS_MOST {
            let struck = |kills: &Kills| kills.by_aim.keys().filter_map(Aim::point).collect::<Vec<_>>();
            self.go_through(seed, Kind::ALL, tally, |ordeal, kills| {
                killer::kill_at_points(ordeal, &left, kills)
            });
            for point in struck(&tally.kills) {
                left.remove(point);
            }
            if left.is_empty() {
                break;
            }
        }
        left
    }

    fn go_through(&self, seed: u64, kinds: &[Kind], tally: &mut Tally, kill: impl FnOnce(&Ordeal, &mut Kills)) {
        let mut ordeal = self.prepare(&self.plan);
        ordeal.begin("task", kinds, &mut Seeded::new(seed));
        let mut kills = Kills::default();
        let decided = ordeal.wave(seed, |ordeal| kill(ordeal, &mut kills));
        kills.add(std::mem::take(&mut *ordeal.struck.lock().unwrap()));
        tally.kills.add(kills);
        tally.ordeals += 1;
        tally.tasks += kinds.len() as u64;
        judge::judge(&ordeal, self.undisturbed(), decided, tally);
        let violations = ordeal.violations.lock().unwrap().clone();
        let is_good = violations.is_empty();
        let told = violations
            .into_iter()
            .map(|violation| format!("seed {seed}: {violation}"));
        tally.violations.extend(told);
        for note in ordeal.notes.lock().unwrap().iter() {
            eprintln!("seed {seed}: note: {note}");
        }
        self.give_back(ordeal, is_good);
    }

    /// Goes through ordeals with a bug planted until somebody notices it. Returns the seed, and what was said.
    ///
    /// Nothing is kept of them, and nobody is told: what is wrong is what was planted.
    pub fn notice(&self, planted: &Planted, seeds: impl IntoIterator<Item = u64>) -> Option<(u64, String)> {
        seeds.into_iter().find_map(|seed| {
            let mut ordeal = self.prepare(&planted.plan());
            let mut random = Seeded::new(seed);
            ordeal.begin("task", planted.kinds, &mut random);
            let mut kills = Kills::default();
            let decided = ordeal.wave(seed, |ordeal| {
                killer::kill(ordeal, &mut random, KILLS_PLANTED, &mut kills);
            });
            if !ordeal.is_noticed() && !ordeal.given_up.load(Ordering::SeqCst) {
                // None of them is of the skill that ships.
                judge::judge(&ordeal, &Value::Null, decided, &mut Tally::default());
            }
            drop(ordeal.place.command(&["worker", "stop", "--force"]).output());
            let noticed = ordeal.violations.lock().unwrap().first().cloned();
            self.give_back(ordeal, true);
            noticed.map(|what| (seed, what))
        })
    }

    /// Makes the place of an ordeal.
    fn prepare(&self, plan: &Plan) -> Ordeal {
        let place = Place::new(&self.program, SKILLS);
        place.install_folder(&guests().skills().join(SHIPPED));
        // So that many calls are under way when something is killed.
        place.server.slow_acts(EFFECT_LASTS);
        place.server.rule(Rule {
            delay_ms: EFFECT_LASTS.as_millis() as u64 / 3,
            ..Rule::default()
        });
        let ordeal = Ordeal::of(place, plan.clone());
        let home = ordeal.place.home();
        ordeal.place.state().make().unwrap();
        std::fs::write(home.join("config.toml"), "agents_may_grant = true\n").unwrap();
        match self.kept.lock().unwrap().take() {
            Some(kept) => {
                for name in ["compiled", "grants.toml"] {
                    let (from, to) = (kept.path().join(name), home.join(name));
                    std::fs::remove_dir(&to).ok();
                    std::fs::rename(from, to).unwrap();
                }
            }
            None => {
                for skill in GRANTED {
                    let granted = ordeal.run(&["grant", skill]);
                    assert!(granted.status.success(), "{}", told(&granted));
                }
            }
        }
        ordeal
    }

    /// Returns what the skill that ships comes to in a place of its own.
    fn undisturbed(&self) -> &Value {
        self.undisturbed.get_or_init(|| {
            let apart = Place::new(&self.program, &[]);
            apart.install_folder(&guests().skills().join(SHIPPED));
            let task = Task::draw(Kind::Research, "apart", &mut Seeded::new(0), "", "");
            let words = task.words();
            let words: Vec<&str> = words.iter().map(String::as_str).chain(["--here", "--await"]).collect();
            crate::result_of(&apart.run(&words))
        })
    }

    /// Keeps what the next ordeal takes over; of one that failed, everything stays where it can be looked at.
    fn give_back(&self, ordeal: Ordeal, is_good: bool) {
        let home = ordeal.place.home();
        let kept = tempfile::tempdir().unwrap();
        if !is_good {
            let shown = ordeal.place.keep();
            eprintln!("what is left of it is in {}", shown.display());
            return;
        }
        for name in ["compiled", "grants.toml"] {
            std::fs::rename(home.join(name), kept.path().join(name)).unwrap();
        }
        if ordeal.plan.planted.is_some() {
            ordeal.place.forget();
        }
        *self.kept.lock().unwrap() = Some(kept);
    }
}

/// Lets people go when whoever disturbs them panics: else the test would wait for them for ever.
struct GivingUp<'a>(&'a AtomicBool);

impl Drop for GivingUp<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Ordeal {
    fn of(place: Place, plan: Plan) -> Self {
        Self {
            place,
            tasks: Vec::new(),
            plan,
            here: Mutex::default(),
            lost: Mutex::default(),
            struck: Mutex::default(),
            over: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            violations: Mutex::default(),
            notes: Mutex::default(),
        }
    }

    /// Draws the next tasks, whose ids begin so.
    fn begin(&mut self, name: &str, kinds: &[Kind], random: &mut Seeded) {
        let world = self.place.user_folder().join(WORLD);
        let acts = self.place.server.acts_url();
        let tasks = kinds.iter().enumerate().map(|(n, kind)| {
            // Ids of the same length, none of which begins like another.
            Task::draw(*kind, &format!("{name}-{n:03}"), random, world.to_str().unwrap(), &acts)
        });
        self.tasks = tasks.collect();
        self.over.store(false, Ordering::SeqCst);
        self.given_up.store(false, Ordering::SeqCst);
    }

    /// Lets people see to the tasks until all is over, while something is done to their processes. Returns what they decided.
    fn wave(&self, seed: u64, disturb: impl FnOnce(&Self)) -> Decided {
        std::thread::scope(|scope| {
            let people = scope.spawn(|| {
                let mut people = People::new(self, seed);
                while !self.given_up.load(Ordering::SeqCst) && !people.look() {
                    std::thread::sleep(Duration::from_millis(3));
                }
                self.over.store(true, Ordering::SeqCst);
                people.decided()
            });
            let giving_up = GivingUp(&self.given_up);
            disturb(self);
            self.until_over();
            std::mem::forget(giving_up);
            people.join().unwrap()
        })
    }

    /// Returns a command of the program, with what its skills' programs are found by.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.place.command(words);
        command
            .env("PATH", "/usr/bin:/bin")
            .env("SKILLHOST_FAILPOINT_CLOCK", self.clock())
            .env("SKILLHOST_FAILPOINT_FULL", self.full());
        let mut held = std::ffi::OsString::from("journal.before-commit:");
        held.push(self.hold());
        command.env("SKILLHOST_FAILPOINT_HOLD", held);
        command.envs(self.plan.planted.map(|bug| ("SKILLHOST_PLANTED", format!("{bug:?}"))));
        command
    }

    /// Runs a command to its end.
    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn task_of(&self, launch: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.id == launch)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Returns whether what was planted was noticed.
    fn is_noticed(&self) -> bool {
        self.plan.planted.is_some() && !self.violations.lock().unwrap().is_empty()
    }

    /// Ends an ordeal in which a bug is planted: when it was noticed, or when it takes too long. Returns whether it does.
    fn gives_up(&self, since: Instant) -> bool {
        let gives_up = self.is_noticed() || (self.plan.planted.is_some() && since.elapsed() > PLANTED_FOR);
        if gives_up {
            self.given_up.store(true, Ordering::SeqCst);
        }
        gives_up
    }

    /// The file that says by how much the clock is set.
    fn clock(&self) -> PathBuf {
        self.place.user_folder().join("clock")
    }

    /// The file in whose presence nothing is committed.
    fn hold(&self) -> PathBuf {
        self.place.user_folder().join("hold")
    }

    /// The file in whose presence every commit fails.
    fn full(&self) -> PathBuf {
        self.place.user_folder().join("full")
    }

    /// Sets the clock of all processes that begin from now on, and of those that are there.
    fn set_clock(&self, by: i64) {
        // At once, as nobody must read half of it.
        let beside = self.clock().with_extension("new");
        std::fs::write(&beside, by.to_string()).unwrap();
        std::fs::rename(beside, self.clock()).unwrap();
    }

    /// Waits until all runs are over, now that nothing is killed.
    fn until_over(&self) {
        // What was to be waited for when the clock was at its latest is over then.
        self.set_clock(CLOCK_AT_LAST);
        // Whoever looks starts a daemon, if nobody did, or if the last one killed itself after all.
        let looks = Cell::new(0_u64);
        let begun = Instant::now();
        self.place.until(|| {
            if self.gives_up(begun) {
                return true;
            }
            if looks.get().is_multiple_of(LOOKS_OF_A_COMMAND) {
                self.run(&["list"]);
            }
            looks.set(looks.get() + 1);
            self.is_over()
        });
    }

    /// Notes that something is not as it has to be.
    fn violate(&self, violation: String) {
        let mut violations = self.violations.lock().unwrap();
        if !violations.contains(&violation) {
            violations.push(violation);
        }
    }

    /// Notes something for whoever looks for a cause.
    fn note(&self, note: String) {
        self.notes.lock().unwrap().push(note);
    }

    fn journal_path(&self) -> PathBuf {
        self.place.home().join("journal.db")
    }
}
