//! The entries of a journal (the table at the head of the rules).
//!
//! A persisted form: entries are only ever extended, by members that may be absent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::budget::{Account, Budget, Cost};
use crate::calls::CallOptions;
use crate::effect::{Class, Function};
use crate::grants::Grants;
use crate::holdings::Holdings;
use crate::id::{Digest, LaunchId, Number, RunId, Seq, SkillName};
use crate::outcome::{Fault, Outcome};
use crate::payload::Payload;
use crate::price::{DOLLAR, Prices};
use crate::time::Timestamp;

/// The version of the rules that a run was started under (rule G8). This host keeps every version that an unfinished run may have.
pub const SEMANTICS: u32 = 1;

/// An entry with its place and the time at which it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its position in the run's journal, dense from 0.
    pub seq: Seq,
    /// The wall clock, or for an outcome the time that the guest is to see (rules G6, G7).
    pub at: Timestamp,
    /// What happened.
    pub entry: Entry,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The run begins.
    Started(Box<Started>),
    /// The guest started a call.
    Called(#[serde(with = "shared")] Arc<Called>),
    /// What had to be measured before a call could be performed was measured.
    Prepared {
        /// Which call.
        number: Number,
        /// What was found, in the shape the function gives it.
        measured: Payload,
    },
    /// A call is performed once more.
    Retried(Retried),
    /// A call was answered.
    Returned(Returned),
    /// The run is cancelled.
    Cancelled {
        /// Why, in the words of whoever did it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The time for cleaning up is over.
    Expired,
    /// The run goes on with another bundle, whose replay was identical.
    Repinned {
        /// The new bundle.
        bundle: Digest,
        /// Its component.
        component: Digest,
    },
    /// The run is over.
    Finished(Finished),
}

impl Entry {
    /// Returns the name of its kind, as journals spell it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Started(_) => "started",
            Self::Called(_) => "called",
            Self::Prepared { .. } => "prepared",
            Self::Retried(_) => "retried",
            Self::Returned(_) => "returned",
            Self::Cancelled { .. } => "cancelled",
            Self::Expired => "expired",
            Self::Repinned { .. } => "repinned",
            Self::Finished(_) => "finished",
        }
    }

    /// Returns the call it is about, if it is about one.
    pub fn number(&self) -> Option<Number> {
        match self {
            Self::Called(called) => Some(called.number),
            Self::Retried(retried) => Some(retried.number),
            Self::Returned(returned) => Some(returned.number),
            Self::Prepared { number, .. } => Some(*number),
            _ => None,
        }
    }

    /// Returns whether the guest consumes it, in its turn.
    pub fn is_outcome(&self) -> bool {
        matches!(self, Self::Returned(_) | Self::Cancelled { .. } | Self::Expired)
    }
}

/// Everything that a guest can observe without a call (rule G8), and what the host needs to drive it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// The run.
    pub run: RunId,
    /// What the launch is known by.
    pub launch: LaunchId,
    /// The skill.
    pub skill: SkillName,
    /// What `run` is called with.
    pub input: Payload,
    /// The bundle that the run is pinned to.
    pub bundle: Digest,
    /// The component in it.
    pub component: Digest,
    /// Where the guest's randomness comes from: 32 bytes in hexadecimal.
    pub seed: Digest,
    /// The user's time zone, as an IANA name.
    pub zone: String,
    /// How far the clocks of that zone are from UTC, from the launch on. None in journals that were begun before this was recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zone_offsets: Vec<ZoneOffset>,
    /// The folders the guest may use.
    pub mounts: Vec<Mount>,
    /// What the user lets the skill do beyond its own folder.
    #[serde(default, skip_serializing_if = "Grants::is_empty")]
    pub grants: Grants,
    /// What the run may spend and hold.
    pub limits: Limits,
    /// The model provider that the run keeps.
    pub provider: Provider,
    /// Names the engine configuration that the guest was first run under.
    pub engine: String,
    /// The version of the rules ([`SEMANTICS`]).
    pub semantics: u32,
    /// The run that this one begins with a copy of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The run that ended so that this one goes on in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<RunId>,
    /// The call of another run that this one was launched for, and that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
    /// The folder of skills that it was launched from, in which those are that it calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skills_folder: Option<String>,
}

/// The call that a run was launched for (rule K1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The run that made it.
    pub run: RunId,
    /// The call.
    pub number: Number,
    /// How deep the calls of skills are nested here: 1 where the caller was launched by a person.
    pub depth: u32,
    /// What was spent by the runs in whose place this one goes on: its caller pays for them, too.
    #[serde(default)]
    pub before: Cost,
}

/// How far the clocks of a zone are from UTC, from a time on.
///
/// Recorded as a pair: there are some twenty in every journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Timestamp, i32)", into = "(Timestamp, i32)")]
pub struct ZoneOffset {
    /// From when on; 0 for the first.
    pub from: Timestamp,
    /// How many seconds they are ahead.
    pub ahead_s: i32,
}

impl From<(Timestamp, i32)> for ZoneOffset {
    fn from((from, ahead_s): (Timestamp, i32)) -> Self {
        Self { from, ahead_s }
    }
}

impl From<ZoneOffset> for (Timestamp, i32) {
    fn from(offset: ZoneOffset) -> Self {
        (offset.from, offset.ahead_s)
    }
}

/// What a run is pinned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pin {
    /// The bundle.
    pub bundle: Digest,
    /// The component in it.
    pub component: Digest,
}

impl Started {
    /// Returns what the run is pinned to at first.
    pub fn pin(&self) -> Pin {
        Pin {
            bundle: self.bundle,
            component: self.component,
        }
    }

    /// Returns the run's id as its guest sees it.
    pub fn seen_run(&self) -> &RunId {
        self.parent.as_ref().map_or(&self.run, |parent| &parent.origin)
    }

    /// Returns when the run was launched as its guest sees it; `at` is the time of this entry.
    pub fn seen_at(&self, at: Timestamp) -> Timestamp {
        self.parent.as_ref().map_or(at, |parent| parent.origin_at)
    }
}

/// A folder the guest may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The first part of its paths.
    pub name: String,
    /// Whether it may be written.
    pub writable: bool,
    /// Where it lies, if the user gave the run a folder or a file of his. No guest sees that. Absent for the mounts that every run has, and in journals that were
    /// begun before this was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

impl Mount {
    /// Returns a mount that every run has.
    pub fn own(name: &str, writable: bool) -> Self {
        Self {
            name: name.to_owned(),
            writable,
            source: None,
        }
    }

    /// Returns it as a guest may see it: without where it lies.
    #[must_use]
    pub fn for_guest(&self) -> Self {
        Self::own(&self.name, self.writable)
    }
}

/// Where a mount lies that the user gave a run, and why it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The folder: absolute, and with no link in it when the run was launched.
    pub folder: String,
    /// The one file in it that the mount shows; absent if it shows them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Why it was given.
    pub given: Giving,
}

/// Why a run was given a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Giving {
    /// Its launch named the folder.
    Launch,
    /// A person named the folder when the launch asked for it.
    Answer,
    /// A path in its input leads there.
    Input,
    /// The user granted it to the skill, for every run.
    Grant,
}

/// What a run may spend and hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Model calls and tokens.
    pub budget: Cost,
    /// How long a cancelled run may clean up, in milliseconds of time driven (rule C3).
    pub grace_ms: u64,
    /// The most memory that the guest may have, in bytes.
    pub memory_bytes_max: u64,
    /// How long the guest may compute between two outcomes, in milliseconds. Journals that were begun before this was recorded have none, and are given the default.
    #[serde(default = "computing_ms")]
    pub computing_ms: u64,
    /// What else the guest may hold, and how much it may say.
    #[serde(default, skip_serializing_if = "Holdings::is_default")]
    pub holds: Holdings,
    /// The most money, in millionths of a dollar. `budget` has none: in journals that were begun before prices were known, its absence would be a budget of nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microdollars_max: Option<u64>,
    /// Whether a model without a price is refused: a budget of money was set, and nobody knows what such a model takes of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub priced_only: bool,
    /// What models cost. The run keeps these prices, so that a change of the table does not change its account.
    #[serde(default, skip_serializing_if = "Prices::is_empty")]
    pub prices: Prices,
    /// How long after its launch the run may still start calls, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_ms_max: Option<u64>,
    /// How long the guest may compute in all, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub computing_ms_max: Option<u64>,
    /// How many bytes the run may write to files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_bytes_max: Option<u64>,
    /// How many bytes the journal may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_bytes_max: Option<u64>,
    /// At how much of the budget which tier answers at most, by rising marks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<Rung>,
}

/// From a mark of the budget on, calls that ask for a stronger tier are answered by this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// From how much of the budget on, in percent.
    pub percent: u64,
    /// The tier.
    pub tier: String,
}

/// How long a guest may compute between two outcomes, unless something else is said: long for a skill, which mostly waits, and short for somebody who waits for one that
/// has lost its way.
fn computing_ms() -> u64 {
    60_000
}

impl Limits {
    /// Returns how long a cancelled run may clean up.
    pub fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }

    /// Opens the account of a run with nothing spent.
    pub fn account(&self) -> Account {
        Account::new(Cost {
            microdollars: self.microdollars_max.unwrap_or(u64::MAX),
            ..self.budget
        })
    }

    /// Returns how long the guest may compute between two outcomes.
    pub fn computing(&self) -> Duration {
        Duration::from_millis(self.computing_ms)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            budget: Cost {
                calls: 1_000,
                tokens: 5_000_000,
                microdollars: 0,
            },
            grace_ms: 30_000,
            memory_bytes_max: 512 << 20,
            computing_ms: computing_ms(),
            holds: Holdings::default(),
            microdollars_max: Some(25 * DOLLAR),
            priced_only: false,
            prices: Prices::default(),
            wall_ms_max: None,
            computing_ms_max: None,
            written_bytes_max: None,
            journal_bytes_max: None,
            ladder: Vec::new(),
        }
    }
}

/// The model provider that a run keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// `anthropic`, `openai`, `claude-cli` or `offline`.
    pub name: String,
    /// The model id of each tier.
    #[serde(default)]
    pub models: BTreeMap<String, String>,
    /// What it can do: `tools`, `web-search`, `schema`.
    #[serde(default)]
    pub features: Vec<String>,
    /// Whether it answers from a script.
    #[serde(default)]
    pub simulated: bool,
    /// Whether it acts by itself, which makes its calls at-most-once.
    #[serde(default)]
    pub acts: bool,
}

/// Where a retry or a fork begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The run that was copied.
    pub run: RunId,
    /// How many of its outcome entries were (rule F2).
    pub cut: u64,
    /// The first run of the line. The guest goes on seeing its id: it may have seen it before the cut (rule G8).
    pub origin: RunId,
    /// When that was launched, as the guest goes on seeing.
    pub origin_at: Timestamp,
}

/// The guest started a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Called {
    /// Which (rule G1).
    pub number: Number,
    /// What is asked of the host.
    pub function: Function,
    /// With what, in the shape of [`crate::calls`].
    pub request: Payload,
    /// How it is to be made: recorded, not compared.
    #[serde(default)]
    pub options: CallOptions,
    /// How it is recovered.
    pub class: Class,
    /// How many outcome entries the guest had consumed when it started the call (rule G2).
    pub after: u64,
    /// The upper bound of its first performance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Cost>,
    /// The day of whose account it is reserved, too, so that whoever learns the outcome settles it there: days after 1 January 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_day: Option<u32>,
    /// The budget that had no room for it: it is not performed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Budget>,
    /// The tier that answers, where the budget does not let the one answer that the request names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// When a timer or a wait is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Due>,
}

/// When a timer or a wait is over (rule G7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// In real time.
    pub deadline: Timestamp,
    /// The guest's time at the start plus the duration, which its outcome's time is not before.
    pub guest: Timestamp,
}

/// Why a call is performed once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// A crash left it in doubt.
    Recovery,
    /// It failed in a way that may pass.
    Failure,
    /// A person said so (rule R4).
    Redo,
    /// A mark in a copy: a person wants this call performed again although the run that was copied has its outcome (rules F3, F6). The performance itself
    /// has an entry of its own.
    Anew,
}

/// A call is performed once more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retried {
    /// Which.
    pub number: Number,
    /// Why.
    pub why: Why,
    /// The fault that made it necessary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Box<Fault>>,
    /// What the performance before it spent, if that is known; it replaces what was reserved for that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Cost>,
    /// The upper bound of this performance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Cost>,
    /// The day of whose account it is reserved, too, as in [`Called`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_day: Option<u32>,
}

/// Who answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The effect itself.
    #[default]
    Effect,
    /// A person, by name if it is known.
    Person(Option<String>),
    /// An earlier run's journal: the run is in development, and this call of that run was the same.
    Record {
        /// The run.
        run: RunId,
        /// Its call.
        number: Number,
    },
}

/// A call was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Returned {
    /// Which.
    pub number: Number,
    /// With what.
    pub outcome: Outcome,
    /// What its last performance spent, which replaces what was reserved for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Cost>,
    /// Who answered.
    #[serde(default, skip_serializing_if = "is_effect")]
    pub by: By,
}

/// An entry that is shared is stored as what it holds.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(shared: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
        shared.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Arc<T>, D::Error> {
        T::deserialize(from).map(Arc::new)
    }
}

fn is_effect(by: &By) -> bool {
    *by == By::Effect
}

/// The run is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// How.
    pub how: How,
    /// What was spent, or reserved and never settled.
    #[serde(default)]
    pub spent: Cost,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// With a result.
    Done(Payload),
    /// With a failure: the skill's own, or a trap.
    Failed(Failure),
    /// It was cancelled; what the skill returned then, if it did.
    Cancelled(Option<Payload>),
    /// Another run goes on in its place.
    Continued(RunId),
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A short word; `trap` if the guest stopped abnormally.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What the skill said further, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Payload>,
    /// Where in the guest, one frame a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backtrace: Option<String>,
}
