//! Plays a run: the real machine and the real guest, in a world that is made up.
//!
//! A journal is a list here, models answer from a script, people say what they are to say, and time passes only when nothing else can happen. So a run that sleeps for
//! a day is played in milliseconds, the same scenario gives the same journal, and the run can be killed at each [`Moment`] at which something could be lost or done
//! twice. The files of `run/` are real, in a folder of their own.
//!
//! [`Stage::play`] goes through attempts (`attempt`) until one is over; what outlives an attempt is in `world`.

mod attempt;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use skillhost_core::entry::{How, Record, Started};
use skillhost_core::id::{Number, Seq, SignalName};
use skillhost_core::machine::{Line, LoadError, Machine, Mismatch, Wait};
use skillhost_core::outcome::Fault;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_effects::model::{self, Hub, Settings};

use crate::driver::Pinned;
use attempt::Attempt;
use world::World;

/// The most entries that a played run may have: one that waits for ever in ever new ways has no end.
const RECORDS_MAX: usize = 50_000;

/// How long a performance takes, if nothing else is said.
const PERFORMANCE: Duration = Duration::from_millis(1);

/// The error of a call that nothing in the scenario answers.
pub const UNPLAYED: &str = "unplayed";

/// The error of a call whose answer in the scenario is no answer of its function.
pub const MISPLAYED: &str = "misplayed";

/// What a run is played with.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its first entry. The provider in it is a script's.
    pub started: Started,
    /// When it begins.
    pub at: Timestamp,
    /// What models answer, as `offline.toml` says it.
    pub script: Option<String>,
    /// The texts that lie in its mounts when it begins, by path.
    pub files: BTreeMap<String, String>,
    /// Notes that are left for it.
    pub notes: Vec<Note>,
    /// Events that are sent to it.
    pub events: Vec<Sent>,
    /// What people answer, each the next question of its name.
    pub answers: Vec<Answer>,
    /// What other effects answer, each to the next call that it fits.
    pub effects: Vec<Effect>,
}

/// A note that somebody leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it says.
    pub message: String,
    /// How long after the beginning of the run.
    pub delay: Duration,
}

/// An event that another program sends.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// What it is called.
    pub name: SignalName,
    /// What it brings.
    pub value: Value,
    /// How long after the beginning of the run.
    pub delay: Duration,
}

/// What somebody says to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The question's name.
    pub name: SignalName,
    /// What is said; `None` lets the question's time pass.
    pub value: Option<Value>,
    /// How long after the question was asked.
    pub delay: Duration,
}

/// What a call is answered instead of being performed.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// The label of the call, as a pattern, or its function.
    pub call: String,
    /// What it is answered.
    pub outcome: Result<Value, Fault>,
    /// After how long.
    pub delay: Duration,
}

/// What runs are played on.
pub struct Stage<'a> {
    /// The component, and the files that it sees.
    pub pinned: &'a Pinned,
    /// Opens the script.
    pub hub: &'a Hub,
    /// What model providers are configured with; a script needs little of it.
    pub settings: &'a Settings,
    /// Checks a result before it becomes the run's.
    pub check_result: &'a (dyn Fn(&Payload) -> Result<(), String> + Sync),
}

/// A moment at which a run may be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// When everything up to an entry was written, and nothing after it was done.
    Written(Seq),
    /// Before a call is performed.
    Before(Number),
    /// After it was, and before anybody knows.
    After(Number),
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(seq) => write!(f, "when entry {seq} was written"),
            Self::Before(number) => write!(f, "before call {number} was performed"),
            Self::After(number) => write!(f, "after call {number} was performed, before its answer was written"),
        }
    }
}

/// How a play ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Curtain {
    /// The run is over.
    Over(How),
    /// It waits for what nobody says, without end.
    Stuck(Vec<(Number, Wait)>),
    /// It goes on and on.
    Endless,
    /// After a kill, the guest asked for something else than before.
    Mismatch(Box<Mismatch>),
    /// The host could not go on with it.
    Broken(String),
}

/// A message that was posted to the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// By which call.
    pub number: Number,
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
}

/// What came of a play.
#[derive(Debug)]
pub struct Played {
    /// How it ended.
    pub curtain: Curtain,
    /// The journal.
    pub records: Vec<Record>,
    /// The messages of the skill, in the order posted.
    pub posts: Vec<Post>,
    /// What was printed and logged, in order.
    pub lines: Vec<Line>,
    /// The input of the run that goes on in its place, if one does.
    pub next: Option<Payload>,
    /// What was not needed of the scenario.
    pub unused: Unused,
    /// What was done that must not be: an answered call performed again, something done twice that is done once. In words.
    pub violations: Vec<String>,
    /// The moments at which it could have been killed.
    pub moments: Vec<Moment>,
    /// Where it was killed.
    pub killed: Option<Moment>,
    /// The answers that do not fit their questions, by place in the scenario, with the reason in words.
    pub misfits: Vec<(usize, String)>,
}

/// What of a scenario nobody asked for, by place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unused {
    /// Answers.
    pub answers: Vec<usize>,
    /// Events.
    pub events: Vec<usize>,
    /// Notes.
    pub notes: Vec<usize>,
    /// Other effects.
    pub effects: Vec<usize>,
}

/// Why nothing can be played.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The script cannot be used.
    #[error(transparent)]
    Script(#[from] model::OpenError),
    /// What was journaled cannot be replayed: a fault of ours.
    #[error("the played journal cannot be replayed")]
    Journal(#[from] LoadError),
}

impl Stage<'_> {
    /// Plays a run to its end. What it does to files it does in a folder that has one for each of its mounts. If `kill_at` is given, it is killed at the so-many-th moment, from 0, and begun again on what is left.
    pub async fn play(&self, scenario: &Scenario, folder: &Path, kill_at: Option<usize>) -> Result<Played, StageError> {
        let mut world = World::new(scenario, kill_at);
        let curtain = loop {
            // It may have been killed at the very end.
            if let Some(finished) = Machine::finished(&world.records) {
                break Curtain::Over(finished.how.clone());
            }
            if let Some(curtain) = Attempt::new(self, scenario, folder, &mut world)?.run().await {
                break curtain;
            }
        };
        Ok(world.played(scenario, curtain))
    }
}
