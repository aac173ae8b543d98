//! A soak: wave after wave of tasks in one state folder, for as long as somebody likes.
//!
//! Two thirds of the time processes are killed every few seconds, components exchanged, prompts changed, runs paused and resumed, others looked at and old ones forgotten. In the last
//! third nobody is killed, and one daemon goes on with waves like those before: what it holds in memory and has open is looked at between them, when it has nothing to do, and may
//! not grow from one to the next. Every launch is judged at the end of its wave; at the end of all, the database is compared with what is in it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serde_json::{Value, json};
use skillhost_journal::{Journal as _, RunFilter};

use super::daemon::holder;
use super::{Ground, Kills, Kind, Ordeal, Plan, SHIPPED, SKILLS, Tally, Trouble, judge, killer};
use crate::{Seeded, guests, told};

/// Between two kills lie so many milliseconds at most.
const PAUSE_MS_MOST: u64 = 5_000;

/// A wave is disturbed for so long at most. A clock that was set back keeps a timer waiting until it is set forward again, which nobody else may do for hours.
const DISTURBED_MOST: Duration = Duration::from_secs(60);

/// How many variants of a component or prompt there are; after that, all are kept already.
const VARIANTS: u64 = 3;

/// How many skills are exchanged in the last third.
const QUIET_EXCHANGED: usize = 2;

/// How many waves are kept when older ones are forgotten.
const WAVES_KEPT: u64 = 2;

/// After so many waves, all runs that are over are forgotten.
const PRUNED_EVERY: u64 = 6;

/// The part of the quiet waves after which a daemon has everything that it keeps: connections, components, pages of the database.
const WARM_AFTER: usize = 2;

/// So many quiet waves are too few to say whether something grows.
const WAVES_MIN: usize = 12;

/// The growth that counts as none, of memory, in percent of what there is, over all quiet waves.
const MEMORY_GROWTH_PERCENT: f64 = 10.0;

/// The growth of open descriptors that counts as none: a connection that is about to close.
const DESCRIPTORS_GROWTH: f64 = 2.0;

/// What the database may take for each byte that it holds: indexes, and pages that are not full.
const BYTES_EACH_MOST: u64 = 4;

/// What it may take besides: its schema and the ends of its tables.
const BYTES_BESIDES: u64 = 1 << 20;

/// What its log may take: it is grown once, and written back.
const LOG_BYTES_MOST: u64 = 64 << 20;

/// How a daemon that rests stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Since the beginning, in seconds.
    pub second: u64,
    /// What it has in memory.
    pub resident_bytes: u64,
    /// What it has open.
    pub descriptors: u64,
    /// What its database takes.
    pub database_bytes: u64,
}

/// What came of a soak.
#[derive(Debug, Default)]
pub struct Soaked {
    /// Tasks, runs, kills, and what is not as it has to be.
    pub tally: Tally,
    /// How many waves there were.
    pub waves: u64,
    /// How often a component or a prompt was exchanged.
    pub exchanged: u64,
    /// How often a run was paused and resumed.
    pub paused: u64,
    /// How many runs were forgotten.
    pub forgotten: u64,
    /// How many commands only looked.
    pub looked: u64,
    /// What the daemon of the last third had open, by what it is, once it was warm and at the end.
    pub open: [BTreeMap<String, usize>; 2],
    /// The daemon of the last third, between its waves.
    pub samples: Vec<Sample>,
    /// By how much its memory grew, in percent, once it was warm.
    pub memory_growth_percent: f64,
    /// By how much its descriptors grew.
    pub descriptors_growth: f64,
    /// What the database uses of its file, in bytes.
    pub database_used: u64,
    /// What it holds, in bytes.
    pub database_holds: u64,
    /// What its log takes.
    pub log_bytes: u64,
}

impl Soaked {
    /// Returns it as people read it.
    pub fn text(&self, seed: u64) -> String {
        let Self { tally, samples, .. } = self;
        let mut text = format!(
            "seed {seed}: {} waves, {} launches, all accounted for unless it says otherwise; {} runs, {} of them forgotten since\n",
            self.waves, tally.tasks, tally.runs, self.forgotten
        );
        text += &format!(
            "{} kills, {:?}; {} components and prompts exchanged, {} runs paused, {} commands that look; {} performances made again, {} calls skipped\n",
            tally.kills.count,
            tally.kills.troubles,
            self.exchanged,
            self.paused,
            self.looked,
            tally.performed_again,
            tally.decisions
        );
        for sample in samples {
            text += &format!(
                "at {:4} s: {:4} MiB in memory, {:3} descriptors, database {} KiB\n",
                sample.second,
                sample.resident_bytes >> 20,
                sample.descriptors,
                sample.database_bytes >> 10
            );
        }
        text += &format!(
            "over the {} quiet waves, once warm: memory {:+.1} %, descriptors {:+.1}\n",
            samples.len(),
            self.memory_growth_percent,
            self.descriptors_growth
        );
        text += &format!(
            "open once warm {:?}\nopen at the end {:?}\n",
            self.open[0], self.open[1]
        );
        text + &format!(
            "the database uses {} bytes for {}; its log takes {}",
            self.database_used, self.database_holds, self.log_bytes
        )
    }

    /// Returns it as JSON.
    pub fn json(&self, seed: u64) -> Value {
        let sample = |sample: &Sample| json!({"second": sample.second, "resident_bytes": sample.resident_bytes, "descriptors": sample.descriptors, "database_bytes": sample.database_bytes});
        json!({
            "schema": "skillhost-soak/v1",
            "seed": seed,
            "waves": self.waves,
            "launches": self.tally.tasks,
            "runs": self.tally.runs,
            "kills": self.tally.kills.count,
            "troubles": self.tally.kills.troubles.iter().map(|(trouble, times)| (format!("{trouble:?}"), json!(times))).collect::<serde_json::Map<_, _>>(),
            "performed_again": self.tally.performed_again,
            "skipped": self.tally.decisions,
            "exchanged": self.exchanged,
            "paused": self.paused,
            "looked": self.looked,
            "forgotten": self.forgotten,
            "samples": self.samples.iter().map(sample).collect::<Vec<_>>(),
            "open": {"once_warm": self.open[0], "at_the_end": self.open[1]},
            "memory_growth_percent": self.memory_growth_percent,
            "descriptors_growth": self.descriptors_growth,
            "database": {"used_bytes": self.database_used, "holds_bytes": self.database_holds, "log_bytes": self.log_bytes},
            "violations": self.tally.violations,
        })
    }
}

/// One soak, as it goes.
struct Soak<'a> {
    ground: &'a Ground,
    random: Seeded,
    account: judge::Account,
    soaked: Soaked,
    begun: Instant,
    length: Duration,
}

impl Ground {
    /// Soaks for so long.
    pub fn soak(&self, seed: u64, length: Duration) -> Soaked {
        let plan = Plan {
            troubles: Trouble::USUAL,
            ..Plan::default()
        };
        let mut ordeal = self.prepare(&plan);
        let mut soak = Soak {
            ground: self,
            random: Seeded::new(seed),
            account: judge::Account::default(),
            soaked: Soaked::default(),
            begun: Instant::now(),
            length,
        };
        while soak.begun.elapsed() < length * 2 / 3 || soak.soaked.waves == 0 {
            soak.wave(&mut ordeal, true);
        }
        // The clock stays where it is from here on, so that no timer takes hours.
        ordeal.run(&["worker", "stop"]);
        ordeal.run(&["worker", "start"]);
        let pid = holder(&ordeal);
        while soak.begun.elapsed() < length || soak.soaked.samples.is_empty() {
            soak.wave(&mut ordeal, false);
            if holder(&ordeal) != pid {
                ordeal.violate("the daemon that nobody killed is another one".to_owned());
            }
            if let Some(pid) = holder(&ordeal) {
                soak.sample(&ordeal, pid);
            }
        }
        soak.end(ordeal, seed)
    }
}

impl Soak<'_> {
    /// Goes through a wave: kills and all, or only what a daemon has to bear without growing.
    fn wave(&mut self, ordeal: &mut Ordeal, kills_too: bool) {
        let name = format!("wave-{:04}", self.soaked.waves);
        let seed = self.random.below(u64::MAX >> 1);
        if kills_too {
            // The wave before ended at the latest time of all: timers begun then would outlast this one.
            ordeal.set_clock(0);
        }
        ordeal.begin(&name, Kind::ALL, &mut Seeded::new(seed));
        let mut random = Seeded::new(seed);
        let mut kills = Kills::default();
        // A daemon keeps the components that it has loaded, up to a bound: in the last third so few are exchanged that it soon has them all.
        let exchanged_of = if kills_too { SKILLS } else { &SKILLS[..QUIET_EXCHANGED] };
        let (exchanged, paused, looked) = (
            &mut self.soaked.exchanged,
            &mut self.soaked.paused,
            &mut self.soaked.looked,
        );
        let decided = ordeal.wave(seed, |ordeal| {
            let begun = Instant::now();
            let mut next_kill = begun + Duration::from_millis(random.below(PAUSE_MS_MOST));
            while !ordeal.is_over() && begun.elapsed() < DISTURBED_MOST {
                match random.below(4) {
                    0 => *exchanged += exchange(ordeal, &mut random, exchanged_of),
                    1 => *paused += pause(ordeal, &mut random),
                    _ => *looked += look(ordeal, &mut random),
                }
                if kills_too && Instant::now() >= next_kill {
                    killer::kill(ordeal, &mut random, 1, &mut kills);
                    next_kill = Instant::now() + Duration::from_millis(random.below(PAUSE_MS_MOST));
                }
                std::thread::sleep(Duration::from_millis(random.below(200)));
            }
        });
        kills.add(std::mem::take(&mut *ordeal.struck.lock().unwrap()));
        let tally = &mut self.soaked.tally;
        tally.kills.add(kills);
        tally.tasks += ordeal.tasks.len() as u64;
        judge::judge_runs(ordeal, self.ground.undisturbed(), decided, &mut self.account, tally);
        self.soaked.waves += 1;
        self.forget(ordeal);
    }

    /// Forgets the runs of older waves, which were judged already and are replayed before they go; now and then those of all.
    fn forget(&mut self, ordeal: &Ordeal) {
        let output = if self.soaked.waves.is_multiple_of(PRUNED_EVERY) {
            judge::judge_leaving(ordeal, |row| row.status.is_final());
            ordeal.run(&["prune", "--older-than", "0s", "--json"])
        } else {
            let Some(wave) = self.soaked.waves.checked_sub(WAVES_KEPT + 1) else {
                return;
            };
            let rows = ordeal.place.journal().runs(&RunFilter::default()).unwrap();
            // What they called is launched under their ids, and what that called under its.
            let mut launches = vec![format!("wave-{wave:04}")];
            let mut runs = Vec::new();
            while let Some(prefix) = launches.pop() {
                for row in rows.iter().filter(|row| row.launch.as_str().starts_with(&prefix)) {
                    runs.push(row.run.as_str());
                    launches.push(format!("{}.", row.run));
                }
            }
            if runs.is_empty() {
                return;
            }
            let leaving: Vec<String> = runs.iter().map(|run| (*run).to_owned()).collect();
            judge::judge_leaving(ordeal, move |row| leaving.iter().any(|run| run == row.run.as_str()));
            ordeal.run(&[&["discard"], runs.as_slice(), &["--json"]].concat())
        };
        if !output.status.success() {
            ordeal.violate(format!("runs that are over are not forgotten: {}", told(&output)));
            return;
        }
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        self.soaked.forgotten += said["forgotten"].as_array().map_or(0, |runs| runs.len() as u64);
    }

    fn sample(&mut self, ordeal: &Ordeal, pid: Pid) {
        let folder = format!("/proc/{}", pid.as_raw_nonzero());
        let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: Option<u64> = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
        let open = open_by_kind(&folder);
        // Nobody knows before the end which sample is the first of a warm daemon; the middle of the time is near enough.
        if self.soaked.open[0].is_empty() && self.begun.elapsed() >= self.length * 5 / 6 {
            self.soaked.open[0].clone_from(&open);
        }
        self.soaked.open[1].clone_from(&open);
        self.soaked.samples.push(Sample {
            second: self.begun.elapsed().as_secs(),
            resident_bytes: kib.unwrap_or(0) << 10,
            descriptors: open.values().sum::<usize>() as u64,
            database_bytes: fs::metadata(ordeal.journal_path()).map_or(0, |file| file.len()),
        });
    }

    fn end(mut self, ordeal: Ordeal, seed: u64) -> Soaked {
        judge::stop(&ordeal);
        judge::judge_home(&ordeal);
        self.weigh(&ordeal);
        self.judge_growth(&ordeal);
        let violations = ordeal.violations.lock().unwrap().clone();
        let is_good = violations.is_empty();
        self.soaked.tally.violations = violations;
        for note in ordeal.notes.lock().unwrap().iter() {
            eprintln!("seed {seed}: note: {note}");
        }
        self.ground.give_back(ordeal, is_good);
        self.soaked
    }

    /// Compares the pages that the database uses with what it holds.
    fn weigh(&mut self, ordeal: &Ordeal) {
        let journal = ordeal.place.journal();
        let mut holds = 0;
        for row in journal.runs(&RunFilter::default()).unwrap() {
            let records = journal.all_records(&row.run).unwrap();
            holds += records.iter().map(bytes_of).sum::<u64>();
            let lines = journal.lines(&row.run, None, usize::MAX).unwrap();
            holds += lines
                .iter()
                .map(|line| format!("{:?}", line.line).len() as u64)
                .sum::<u64>();
        }
        // Every variant of every file of a skill that was there is kept for an hour.
        let files = SKILLS.iter().map(|skill| guests().component(skill));
        let files = files.chain([guests().component(SHIPPED)]);
        holds += files
            .map(|file| fs::metadata(file).map_or(0, |file| file.len()))
            .sum::<u64>()
            * VARIANTS;
        drop(journal);
        let (used, log) = pages(ordeal);
        (
            self.soaked.database_used,
            self.soaked.database_holds,
            self.soaked.log_bytes,
        ) = (used, holds, log);
        if used > holds * BYTES_EACH_MOST + BYTES_BESIDES {
            ordeal.violate(format!("the database uses {used} bytes for {holds}"));
        }
        if log > LOG_BYTES_MOST {
            ordeal.violate(format!("the log of the database takes {log} bytes"));
        }
    }

    /// Says what grows, by the straight line that fits the samples best.
    fn judge_growth(&mut self, ordeal: &Ordeal) {
        let samples = &self.soaked.samples;
        let warm = &samples[samples.len() / WARM_AFTER..];
        let memory = growth(warm, |sample| sample.resident_bytes as f64);
        let mean = warm.iter().map(|sample| sample.resident_bytes as f64).sum::<f64>() / warm.len().max(1) as f64;
        self.soaked.memory_growth_percent = memory / mean.max(1.0) * 100.0;
        self.soaked.descriptors_growth = growth(warm, |sample| sample.descriptors as f64);
        if samples.len() < WAVES_MIN {
            return;
        }
        if self.soaked.memory_growth_percent > MEMORY_GROWTH_PERCENT {
            let percent = self.soaked.memory_growth_percent;
            ordeal.violate(format!(
                "the daemon's memory grew by {percent:.1} % over {} waves",
                warm.len()
            ));
        }
        if self.soaked.descriptors_growth > DESCRIPTORS_GROWTH {
            ordeal.violate(format!(
                "the daemon's descriptors grew by {:.1}",
                self.soaked.descriptors_growth
            ));
        }
    }
}

/// Returns by how much the straight line that fits samples best rises from the first to the last.
fn growth(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let count = samples.len() as f64;
    let middle = (count - 1.0) / 2.0;
    let mean = samples.iter().map(&of).sum::<f64>() / count;
    let products = samples.iter().enumerate().map(|(n, sample)| {
        let x = n as f64 - middle;
        (x * (of(sample) - mean), x * x)
    });
    let (rise, run) = products.fold((0.0, 0.0), |sum, product| (sum.0 + product.0, sum.1 + product.1));
    match run > 0.0 {
        true => rise / run * (count - 1.0),
        false => 0.0,
    }
}

/// Returns how many descriptors a process has of each kind: files by their names without what is drawn, and the others by what they are.
fn open_by_kind(folder: &str) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for descriptor in fs::read_dir(format!("{folder}/fd")).into_iter().flatten().flatten() {
        let Ok(target) = fs::read_link(descriptor.path()) else {
            continue;
        };
        let target = target.display().to_string();
        let kind = match (target.split_once(":["), target.rsplit_once('/')) {
            (Some((kind, _)), _) => kind.to_owned(),
            (None, Some((_, name))) => match name.split_once('.') {
                Some((_, ending)) if name.len() > 30 => format!("*.{ending}"),
                _ => name.to_owned(),
            },
            _ => target,
        };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

fn bytes_of(record: &skillhost_core::entry::Record) -> u64 {
    serde_json::to_string(record).map_or(0, |text| text.len() as u64)
}

/// Returns what the database uses of its file, by its own account at the head of the file, and what its log takes.
fn pages(ordeal: &Ordeal) -> (u64, u64) {
    let file = fs::read(ordeal.journal_path()).unwrap();
    let number = |at: usize, bytes: usize| {
        file[at..at + bytes]
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    // 1 stands for 65,536, which does not fit.
    let page = match number(16, 2) {
        1 => 1 << 16,
        page => page,
    };
    let log = fs::metadata(ordeal.journal_path().with_extension("db-wal")).map_or(0, |log| log.len());
    ((number(28, 4) - number(36, 4)) * page, log)
}

/// Exchanges the component of a skill by another of the same behaviour, or a prompt, as an editor does. Returns how many it were.
fn exchange(ordeal: &Ordeal, random: &mut Seeded, skills: &[&str]) -> u64 {
    let variant = random.below(VARIANTS) as u8;
    let (original, path, more) = match random.below(4) {
        0 => {
            let name = "prompts/plan.md";
            let original = guests().skills().join(SHIPPED).join(name);
            (
                original,
                ordeal.place.skills().join(SHIPPED).join(name),
                vec![b'\n'; usize::from(variant)],
            )
        }
        _ => {
            let skill = skills[random.below(skills.len() as u64) as usize];
            let folder = ordeal.place.skills().join(skill.replace('_', "-"));
            // A section that nobody reads.
            (
                guests().component(skill),
                folder.join("skill.wasm"),
                vec![0, 3, 1, b'v', variant],
            )
        }
    };
    let mut bytes = fs::read(original).unwrap();
    bytes.extend(more);
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).unwrap();
    fs::rename(beside, path).unwrap();
    1
}

/// Pauses a run, if one can be, and resumes it.
fn pause(ordeal: &Ordeal, random: &mut Seeded) -> u64 {
    let task = &ordeal.tasks[random.below(ordeal.tasks.len() as u64) as usize];
    // One that is cancelled or over, or not there yet, cannot be.
    if task.kind == Kind::Cancelled || !ordeal.run(&["pause", &task.id, "--json"]).status.success() {
        return 0;
    }
    std::thread::sleep(Duration::from_millis(random.below(100)));
    ordeal.run(&["resume", &task.id, "--json"]);
    let is_paused = || {
        let run = ordeal.place.run_of(&task.id);
        run.is_some_and(|run| ordeal.place.status_of(&run) == "paused")
    };
    while is_paused() {
        ordeal.run(&["resume", &task.id, "--json"]);
    }
    1
}

/// Looks, with several commands at once. Returns how many they were.
fn look(ordeal: &Ordeal, random: &mut Seeded) -> u64 {
    let task = &ordeal.tasks[random.below(ordeal.tasks.len() as u64) as usize];
    let commands: [&[&str]; 4] = [&["list"], &["inbox"], &["skills"], &["show", &task.id]];
    let most = 1 + random.below(commands.len() as u64) as usize;
    let children: Vec<_> = commands[..most]
        .iter()
        .map(|words| {
            ordeal
                .command(words)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for (child, words) in children.into_iter().zip(commands) {
        let output = child.wait_with_output().unwrap();
        // One that is not launched yet cannot be shown.
        if !output.status.success() && words[0] != "show" {
            ordeal.violate(format!("{words:?}: {}", told(&output)));
        }
    }
    most as u64
}
