//! What a simulation is made of: a seed, and what was taken away from what the seed would have.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use skillhost_core::id::SignalName;

use crate::chance::Chance;
use crate::program::{Call, Program, Step};

/// One simulation. The same case makes the same trace, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What everything is drawn from.
    pub seed: u64,
    /// The most faults that are injected; `None` for as many as the seed says.
    pub faults_max: Option<usize>,
    /// The kinds of fault that are not injected.
    pub without: BTreeSet<Fault>,
    /// The most runs that are launched; `None` for as many as the seed says.
    pub runs_max: Option<usize>,
}

impl Case {
    /// Returns the case of a seed, with nothing taken away.
    pub fn of(seed: u64) -> Self {
        Self {
            seed,
            faults_max: None,
            without: BTreeSet::new(),
            runs_max: None,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seed)?;
        if let Some(faults) = self.faults_max {
            write!(f, " faults={faults}")?;
        }
        if let Some(runs) = self.runs_max {
            write!(f, " runs={runs}")?;
        }
        for fault in &self.without {
            write!(f, " -{}", fault.name())?;
        }
        Ok(())
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number"));
        let seed = words.next().ok_or("a case begins with its seed")?;
        let mut case = Self::of(seed.parse().map_err(|_| format!("`{seed}` is no seed"))?);
        for word in words {
            match (word.split_once('='), word.strip_prefix('-')) {
                (Some(("faults", faults)), _) => case.faults_max = Some(number(faults)?),
                (Some(("runs", runs)), _) => case.runs_max = Some(number(runs)?),
                (_, Some(name)) => {
                    let fault = Fault::ALL.iter().find(|fault| fault.name() == name);
                    case.without
                        .insert(*fault.ok_or_else(|| format!("there is no fault `{name}`"))?);
                }
                _ => return Err(format!("`{word}` says nothing of a case")),
            }
        }
        Ok(case)
    }
}

/// A kind of thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A process is killed between two steps, or in the middle of one; some of what it had queued is durable.
    Crash,
    /// A process is stopped and goes on later; it holds what it holds.
    Stop,
    /// A stopped or working process is killed by somebody who takes over from it.
    Takeover,
    /// Commits of a process fail for a while.
    FullDisk,
    /// A read of the journal fails.
    ReadError,
    /// The lock of another worker cannot be looked at.
    LockError,
    /// It is told late that another worker is gone.
    LateLock,
    /// The wall clock is set, forwards or back.
    Clock,
    /// A provider answers with an error that may pass, or with one that does not.
    ProviderError,
    /// A provider does not answer for minutes.
    Stall,
    /// What a call did is known to nobody, not even to whoever performed it.
    Doubt,
    /// What an attempt needs cannot be made ready.
    Unready,
    /// Somebody says a thing twice.
    Twice,
    /// Somebody leaves mail or launches a run, and rings at no door.
    NoRing,
    /// What is installed changes: later runs are pinned to another component.
    Swap,
}

impl Fault {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::Crash,
        Self::Stop,
        Self::Takeover,
        Self::FullDisk,
        Self::ReadError,
        Self::LockError,
        Self::LateLock,
        Self::Clock,
        Self::ProviderError,
        Self::Stall,
        Self::Doubt,
        Self::Unready,
        Self::Twice,
        Self::NoRing,
        Self::Swap,
    ];

    /// Returns the word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Stop => "stop",
            Self::Takeover => "takeover",
            Self::FullDisk => "full-disk",
            Self::ReadError => "read-error",
            Self::LockError => "lock-error",
            Self::LateLock => "late-lock",
            Self::Clock => "clock",
            Self::ProviderError => "provider-error",
            Self::Stall => "stall",
            Self::Doubt => "doubt",
            Self::Unready => "unready",
            Self::Twice => "twice",
            Self::NoRing => "no-ring",
            Self::Swap => "swap",
        }
    }
}

/// What a seed says, less what the case takes away.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) programs: Vec<Arc<Program>>,
    pub(crate) runs: usize,
    /// Whether there is a daemon while things go wrong; else commands drive, and nobody notices what none was told of.
    pub(crate) has_daemon: bool,
    /// How many commands may drive a run themselves.
    pub(crate) commands: usize,
    pub(crate) faults: BTreeSet<Fault>,
    pub(crate) faults_max: usize,
    /// Of how many occasions one is used for a fault.
    pub(crate) fault_every: usize,
    /// How long faults are injected at most, in virtual time.
    pub(crate) troubled: Duration,
    /// How often people do something about a run.
    pub(crate) people: usize,
    pub(crate) may_cancel: bool,
    pub(crate) may_pause: bool,
    pub(crate) runs_max: usize,
    pub(crate) waiting_max: usize,
}

impl Plan {
    pub(crate) fn of(case: &Case) -> Self {
        let mut chance = Chance::new(case.seed, "plan");
        let programs = (0..2).map(|n| Arc::new(program(&mut Chance::new(case.seed, &format!("program {n}")))));
        let enabled = Fault::ALL.iter().copied().filter(|_| !chance.one_in(3));
        let faults: BTreeSet<Fault> = enabled.collect();
        let runs = 1 + chance.below(3);
        let faults_max = 1 << chance.below(8);
        Self {
            programs: programs.collect(),
            runs: runs.min(case.runs_max.unwrap_or(runs)),
            has_daemon: !chance.one_in(5),
            commands: chance.below(4),
            faults: &faults - &case.without,
            faults_max: case.faults_max.unwrap_or(faults_max),
            fault_every: *chance.of(&[10, 30, 100]),
            troubled: Duration::from_secs(1 + chance.below(200) as u64),
            people: chance.below(12),
            may_cancel: chance.one_in(3),
            may_pause: chance.one_in(2),
            runs_max: 1 + chance.below(3),
            waiting_max: chance.below(3),
        }
    }
}

/// Draws a program of a few calls.
fn program(chance: &mut Chance) -> Program {
    const CALLS: &[Call] = &[
        Call::Read,
        Call::Ask,
        Call::Ask,
        Call::Act,
        Call::Write,
        Call::Append,
        Call::Append,
        Call::Post,
        Call::Sleep,
        Call::Wait,
        Call::WaitAWhile,
        Call::Question,
        Call::Notes,
        Call::Skill,
    ];
    let mut steps = Vec::new();
    let mut started = 0;
    for _ in 0..2 + chance.below(12) {
        match chance.below(12) {
            0 if started > 0 => steps.push(Step::First(started)),
            1 if started > 0 => steps.push(Step::Drop(chance.below(started as usize) as u64)),
            2 => steps.push(Step::SkipIfOdd(1 + chance.below(3))),
            3 | 4 if started > 0 => steps.push(Step::Finish(chance.below(started as usize) as u64)),
            5 if started > 0 && chance.one_in(6) => steps.push(Step::Continue),
            6 if chance.one_in(12) => steps.push(Step::Fail),
            _ => {
                steps.push(Step::Start(*chance.of(CALLS)));
                if chance.one_in(2) {
                    steps.push(Step::Finish(started));
                }
                started += 1;
            }
        }
        if chance.one_in(6) {
            steps.push(Step::CleanUp(*chance.of(&[Call::Append, Call::Write, Call::Sleep])));
        }
    }
    // What is still open is waited for, in any order, or not at all.
    if !chance.one_in(4) {
        let mut open: Vec<u64> = (0..started).collect();
        while !open.is_empty() {
            steps.push(Step::Finish(open.swap_remove(chance.below(open.len()))));
        }
    }
    let names = ["go", "stop"].map(|name| SignalName::parse(name).expect("a name"));
    Program {
        steps,
        lasts: (0..6).map(|_| chance.time(Duration::from_secs(600))).collect(),
        signals: (0..4).map(|_| chance.of(&names).clone()).collect(),
    }
}
