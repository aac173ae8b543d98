//! What goes into a journal beside entries, and what is read from it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use skillhost_core::entry::{Entry, How, Record, Started};
use skillhost_core::id::{Digest, Epoch, LaunchId, Number, RunId, Seq, SkillName, WorkerId};
use skillhost_core::lease::Lease;
use skillhost_core::machine::{Command, Line, Mail, Source, Status, Wait};
use skillhost_core::time::Timestamp;

use crate::error::JournalError;

/// A run to be made.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its first entry, which names it.
    pub started: Started,
    /// When.
    pub at: Timestamp,
    /// The folder it was launched from. Never shown to the guest.
    pub caller_folder: Option<PathBuf>,
    /// Whether nobody is told of it, but by the inbox.
    pub silent: bool,
    /// The entries after the first, of a run that begins with a copy (rule F2). Dense from 1.
    pub copy: Vec<Record>,
    /// The run whose place it takes under the same launch id (rule F1). `None` for a first launch.
    pub follows: Option<RunId>,
}

impl NewRun {
    /// Returns a first launch.
    pub fn first(started: Started, at: Timestamp, caller_folder: Option<PathBuf>) -> Self {
        Self {
            started,
            at,
            caller_folder,
            silent: false,
            copy: Vec::new(),
            follows: None,
        }
    }
}

/// What came of making a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    /// It is there.
    New,
    /// Nothing was done: the launch id is known by this run, its newest.
    Existing(Box<RunRow>),
}

/// What an attempt at a run begins with, as it stood at one moment.
#[derive(Clone, Debug)]
pub struct Look {
    /// Its row.
    pub row: RunRow,
    /// What it waits for, in the order of the calls.
    pub waits: Vec<WaitRow>,
    /// What its mailbox holds, oldest first.
    pub mail: Vec<Mail>,
    /// Its first entries, as [`crate::Journal::page`] returns them: all of them, if there are as many as the row says.
    pub records: Vec<Record>,
}

impl Look {
    /// Returns the lease as it stood.
    pub fn lease(&self) -> Lease {
        Lease {
            holder: self.row.holder.clone(),
            epoch: self.row.epoch,
        }
    }
}

/// What is known of a run without reading its journal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunRow {
    /// The run.
    pub run: RunId,
    /// What its launch is known by.
    pub launch: LaunchId,
    /// Whether a newer run took its place under that launch id.
    pub superseded: bool,
    /// The skill.
    pub skill: SkillName,
    /// How it stands.
    pub status: Status,
    /// The bundle it is pinned to.
    pub bundle: Digest,
    /// The component in that.
    pub component: Digest,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its last entry was made; not before the run itself.
    pub updated_at: Timestamp,
    /// How many entries it has.
    pub entries: u64,
    /// The worker that took its lease last, unless it gave it back.
    pub holder: Option<WorkerId>,
    /// How often its lease was taken.
    pub epoch: Epoch,
    /// Where its journal ended when its lease was last taken: what was answered before was replayed since, not made again.
    pub held_from: Seq,
    /// Whether its models answer from a script.
    pub simulated: bool,
    /// The folder it was launched from.
    pub caller_folder: Option<PathBuf>,
    /// Whether nobody is told of it, but by the inbox.
    pub silent: bool,
    /// The run that it began with a copy of.
    pub parent: Option<RunId>,
    /// Why it is parked, if attempts at it fail for a reason outside the skill. Gone as soon as the run goes on.
    pub trouble: Option<Trouble>,
}

/// Why an attempt failed, for a reason outside the skill, and no other is made before a person says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// A short word in snake case.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// When the last attempt failed.
    pub at: Timestamp,
    /// How many attempts failed so.
    pub attempts: u32,
}

impl Trouble {
    /// Returns what the inbox says about it: a line, and more.
    pub(crate) fn announce(&self, skill: &SkillName) -> (String, String) {
        let body = match &self.hint {
            Some(hint) => format!("{}\n\n{hint}", self.message),
            None => self.message.clone(),
        };
        (format!("{skill} is parked: {}", self.code), body)
    }
}

impl RunRow {
    /// Returns its lease.
    pub fn lease(&self) -> Lease {
        Lease {
            holder: self.holder.clone(),
            epoch: self.epoch,
        }
    }
}

/// Which runs.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only those that stand so; empty for any.
    pub status: Vec<Status>,
    /// Only those of this skill.
    pub skill: Option<SkillName>,
    /// Only those launched from this folder.
    pub caller_folder: Option<PathBuf>,
    /// Only those made at or after this time.
    pub since: Option<Timestamp>,
    /// Whether to leave out those whose place a newer one took.
    pub newest_of_launch: bool,
    /// Whether to leave out those in whose place another goes on.
    pub without_continued: bool,
    /// The most rows; `None` for all.
    pub most: Option<usize>,
}

/// Where a line of the log stands (rule J5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LineKey {
    /// How many outcome entries the guest had consumed.
    pub after: u64,
    /// The how-many-th line since.
    pub ordinal: u64,
}

/// A line of a run's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineRow {
    /// Where it stands.
    pub key: LineKey,
    /// When it was said.
    pub at: Timestamp,
    /// What was said.
    pub line: Line,
}

/// Something that a run waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaitRow {
    /// The call.
    pub number: Number,
    /// For what.
    pub wait: Wait,
    /// Until when.
    pub deadline: Option<Timestamp>,
}

/// A run that waits for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DueRun {
    /// The run.
    pub run: RunId,
    /// The earliest time it waits for.
    pub deadline: Timestamp,
    /// How it stands: one that is paused stays so.
    pub status: Status,
}

/// A run that was doing something when it was last driven, or is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunningRun {
    /// The run.
    pub run: RunId,
    /// The skill.
    pub skill: SkillName,
    /// When it was made.
    pub created_at: Timestamp,
    /// The worker that took its lease last, unless it gave it back.
    pub holder: Option<WorkerId>,
    /// How often its lease was taken.
    pub epoch: Epoch,
}

/// What came of taking a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is held at this epoch.
    At(Epoch),
    /// It changed since it was read; it stands so now.
    Changed(Lease),
}

/// Names an inbox entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InboxId(pub u64);

impl fmt::Display for InboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An inbox entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InboxRow {
    /// Names it.
    pub id: InboxId,
    /// The run it is from.
    pub run: RunId,
    /// What that run's launch is known by.
    pub launch: LaunchId,
    /// The skill.
    pub skill: SkillName,
    /// Whether the run's models answer from a script.
    pub simulated: bool,
    /// What of the run it is from.
    pub source: Source,
    /// When it was posted.
    pub at: Timestamp,
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// Files that belong to it, with their mounts.
    pub attachments: Vec<String>,
    /// When somebody saw to it.
    pub dismissed_at: Option<Timestamp>,
}

/// Which inbox entries.
#[derive(Clone, Debug, Default)]
pub struct InboxFilter {
    /// Also those that were dismissed.
    pub dismissed: bool,
    /// Only those of this run.
    pub run: Option<RunId>,
    /// The most rows; `None` for all.
    pub most: Option<usize>,
}

/// How storage fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// The last commit went through.
    #[default]
    Good,
    /// Commits fail; what is queued is kept and tried again (rule J4).
    Failing {
        /// How many commits have failed since the last that went through.
        failures: u64,
        /// What the last one said, with what to do.
        message: Arc<str>,
    },
}

/// What came of forgetting old runs.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Those that are gone.
    pub runs: Vec<RunId>,
    /// Why not all are that should be.
    pub stopped: Option<JournalError>,
}

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Bundles.
    pub bundles: u64,
    /// Contents.
    pub blobs: u64,
    /// Messages of conversations.
    pub messages: u64,
    /// What the contents and messages occupied, in bytes.
    pub bytes: u64,
    /// Descriptions.
    pub descriptions: u64,
}

/// Checks that the entries a new run begins with follow its first without a gap, and that it is not over.
pub(crate) fn check_copy(run: &RunId, copy: &[Record]) -> Result<(), JournalError> {
    let wrong = copy.iter().zip(1..).find_map(|(record, seq)| match &record.entry {
        _ if record.seq.0 != seq => Some(format!("entry {} stands where entry {seq} should", record.seq)),
        Entry::Started(_) | Entry::Finished(_) => Some(format!("entry {seq} is `{}`", record.entry.kind())),
        _ => None,
    });
    match wrong {
        Some(what) => Err(JournalError::BadCopy { run: run.clone(), what }),
        None => Ok(()),
    }
}

/// Returns whether a run can be forgotten: it is over, or nobody tries it any more and a person discards it.
pub(crate) fn may_be_removed(status: Status, holder: Option<&WorkerId>) -> bool {
    status.is_final() || (status == Status::Parked && holder.is_none())
}

/// Returns whether a run that stands so may be forgotten for its age.
pub(crate) fn may_be_pruned(status: Status) -> bool {
    status.is_final() || status == Status::Parked
}

/// Returns how a run stands that ended so.
pub(crate) fn status_of(how: &How) -> Status {
    match how {
        How::Done(_) => Status::Done,
        How::Failed(_) => Status::Failed,
        How::Cancelled(_) => Status::Cancelled,
        How::Continued(_) => Status::Continued,
    }
}

/// What somebody who answers has been asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The answer to a question.
    Question,
    /// A decision about a call in doubt.
    Decision,
}

impl Asked {
    /// Returns whether a call that waits so asks for it.
    pub(crate) fn fits(self, wait: &Wait) -> bool {
        match self {
            Self::Question => matches!(wait, Wait::Question(_)),
            Self::Decision => *wait == Wait::Decision,
        }
    }
}

/// Returns the call that a command answers, if it answers one (rule P2).
pub(crate) fn asked_by(command: &Command) -> Option<(Number, Asked)> {
    match command {
        Command::Answer { number, .. } => Some((*number, Asked::Question)),
        Command::Decide { number, .. } => Some((*number, Asked::Decision)),
        _ => None,
    }
}

/// Returns whether a command is about a call of the run that it is for, and so of no other.
pub(crate) fn names_a_call(command: &Command) -> bool {
    asked_by(command).is_some() || matches!(command, Command::Child { .. })
}

/// Checks that what is answered is open, and that nobody was faster: `waiting` are the calls for which an answer lies in the mailbox.
pub(crate) fn check_asked(
    run: &RunId,
    number: Number,
    open: bool,
    mut waiting: impl Iterator<Item = Number>,
) -> Result<(), JournalError> {
    let run = run.clone();
    if waiting.any(|other| other == number) {
        return Err(JournalError::Answered { run, number });
    }
    match open {
        true => Ok(()),
        false => Err(JournalError::QuestionClosed { run, number }),
    }
}
