//! What the machine is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::budget::{Cost, DayNews};
use crate::calls::CallOptions;
use crate::effect::{Class, Function};
use crate::entry::{Failure, Record, ZoneOffset};
use crate::id::{MailId, Number, Seq, SignalName};
use crate::outcome::{Fault, Outcome};
use crate::payload::Payload;
use crate::retry::FaultKind;
use crate::time::Timestamp;

/// Something that happened to a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The guest ran until it blocked, finished or trapped.
    Guest(Slice),
    /// Entries of the journal as it was when the attempt began, in answer to [`super::Action::Read`]: some, from the one on that was named.
    Read(Vec<Record>),
    /// Everything up to this entry is durable.
    Durable(Seq),
    /// What had to be measured for a call was measured, in answer to [`super::Action::Measure`]; or it could not be, and the call ends so.
    Measured(Number, Result<Payload, Ended>),
    /// A performance ended.
    Ended(Number, Ended),
    /// Something that is being performed printed a line.
    Said(Line),
    /// The time that the last [`super::Action::Alarm`] named has come. Before this the machine is told what the mailbox holds: an answer that came in time is
    /// not to be told that it was late.
    Alarm,
    /// The time that the last [`super::Action::Grace`] named has been spent driving the run.
    GraceOver,
    /// The attempt is to end: nothing more is begun, delivered or taken; what is under way is recorded, and then the run is idle, whatever it was doing.
    Drain,
    /// What the run's mailbox holds; rows that the machine was already shown may be among it.
    Mail(Vec<Mail>),
    /// What is to be told of the skill's account for the day, by whoever commits; before the [`Event::Durable`] of the entries that it is about.
    Day(Vec<DayNews>),
}

/// What the guest did between two deliveries.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// In order.
    pub acts: Vec<Act>,
    /// Why it does nothing more.
    pub end: End,
}

/// Something the guest did.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// It started a call.
    Start(Box<Call>),
    /// It dropped a pending whose outcome it had not taken. It may have been delivered.
    Drop(Number),
    /// It said something.
    Log(Line),
}

/// A call as the guest starts it.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The n-th of the run, from 0, without a gap.
    pub number: Number,
    /// What is asked.
    pub function: Function,
    /// With what.
    pub request: Payload,
    /// How.
    pub options: CallOptions,
    /// How it is recovered: the function's class, or what options and provider make of it.
    pub class: Class,
    /// The upper bound of one performance, for metered functions; its money is counted by the machine.
    pub bound: Option<Cost>,
    /// What is asked of a model.
    pub asks: Option<Box<Asks>>,
    /// How long a timer runs or a wait lasts at most.
    pub lasts: Option<Duration>,
    /// The name of the event that is waited for, or of the question.
    pub signal: Option<SignalName>,
    /// The guest's time when it started the call (rule G6).
    pub guest_time: Timestamp,
    /// Why it cannot be carried out at all: a malformed request is answered with this, and recorded like any other.
    pub refused: Option<Box<Fault>>,
}

/// What is asked of a model, as far as it has a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asks {
    /// A tier or a full id.
    pub model: String,
    /// The most tokens that it may read.
    pub input: u64,
    /// The most tokens that it may write.
    pub output: u64,
}

/// A line of the run's log, or a progress mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Something said through `log.write` or `log.write-at`.
    Message {
        /// How important.
        level: Level,
        /// What.
        message: String,
        /// Where in the skill's source, as `file:line`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<String>,
    },
    /// Something printed.
    Printed {
        /// Whether on standard error.
        stderr: bool,
        /// One line, without its end.
        text: String,
        /// Where in the skill's source, as `file:line`, if it was told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<String>,
    },
    /// How far something is.
    Progress {
        /// What.
        label: String,
        /// So much is done.
        done: u64,
        /// Of so much.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
    },
}

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// For the author.
    Debug,
    /// For whoever watches.
    Info,
    /// Something is off.
    Warn,
    /// Something went wrong.
    Error,
}

/// Why the guest does nothing more.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// It waits for an outcome.
    Blocked,
    /// `run` returned.
    Finished(Result<Payload, Failure>),
    /// It asks that a new run goes on in its place.
    Continued(Box<Continued>),
    /// It stopped abnormally, for a reason that lies in itself; it would do so again.
    Trapped(Failure),
    /// It used up what the machine gives it, the time to compute: what another machine, or this one at another moment, might not find (rule G9).
    Exhausted(Failure),
    /// The attempt failed for a reason that lies in the host (memory, a bug): another attempt may go further.
    Broken(String),
}

/// With what a new run goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Continued {
    /// Its input.
    pub input: Payload,
    /// What the shell knows of the user's zone today; without it, the new run goes by what this one was told.
    pub zone_offsets: Vec<ZoneOffset>,
}

/// How a performance ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// With an answer.
    Returned {
        /// The answer.
        outcome: Outcome,
        /// What it spent.
        spent: Option<Cost>,
        /// Whether trying again may help, and how.
        again: Option<Again>,
    },
    /// Nobody can say whether it took place: the call parks (rules R3, R4).
    InDoubt(String),
    /// It was ended at the machine's request, with no answer.
    Aborted,
}

/// What is known about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// What kind of fault it was.
    pub kind: FaultKind,
    /// Not before this long, as the other side asked.
    pub after: Option<Duration>,
}

/// A row of the run's mailbox (rule P1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mail {
    /// Which row.
    pub id: MailId,
    /// When it was left.
    pub at: Timestamp,
    /// What is wanted.
    pub command: Command,
}

/// What somebody else wants of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// End it.
    Cancel {
        /// Why.
        reason: Option<String>,
    },
    /// An event came.
    Event {
        /// What it is called.
        name: SignalName,
        /// What it carries.
        value: Payload,
        /// Who sent it.
        by: Option<String>,
    },
    /// A person answers a question; the value was checked against its schema.
    Answer {
        /// The question (rule P2).
        number: Number,
        /// The answer.
        value: Payload,
        /// Who.
        by: Option<String>,
    },
    /// Nothing is to be done until somebody says otherwise (rule P4).
    Pause {
        /// Who.
        by: Option<String>,
    },
    /// The run goes on.
    Resume {
        /// Who.
        by: Option<String>,
    },
    /// A remark that the skill may read.
    Note {
        /// The remark.
        message: String,
        /// Who.
        by: Option<String>,
    },
    /// A skill that was called answers (rule K1).
    Child {
        /// The call.
        number: Number,
        /// The answer.
        outcome: Outcome,
        /// What it spent.
        spent: Cost,
    },
    /// A person decides about a parked call (rule R4).
    Decide {
        /// The call.
        number: Number,
        /// What to do.
        decision: Decision,
        /// Who.
        by: Option<String>,
    },
}

/// What a person decides about a call in doubt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Perform it once more.
    Redo,
    /// Answer it with the fault `skipped`.
    Skip,
    /// Answer it with this, in the shape of the function's answer.
    Answer(Payload),
}
