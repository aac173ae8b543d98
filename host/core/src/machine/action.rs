//! What the machine wants done.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::Line;
use crate::budget::{Cost, DayAccount};
use crate::calls::CallOptions;
use crate::effect::{Class, Function};
use crate::entry::{Called, Finished, Record, Started};
use crate::id::{MailId, Number, RunId, Seq, SignalName, idempotency_key};
use crate::outcome::Outcome;
use crate::payload::Payload;
use crate::planted::{self, Bug};
use crate::time::Timestamp;

use super::mismatch::Mismatch;

/// Something to carry out, in the order given.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Queue these for the journal, all or nothing; no need to wait.
    Write(Vec<Write>),
    /// Read on in the journal as it was when the attempt began, from this entry ([`super::Event::Read`]): at once, as nothing else goes on before that.
    Read(Seq),
    /// Tell the machine when everything up to this entry is durable ([`super::Event::Durable`]).
    Barrier(Seq),
    /// Give the blocked guest an outcome and let it run ([`super::Event::Guest`]).
    Deliver(Delivery),
    /// Measure what has to be known before this can be performed ([`super::Event::Measured`]).
    Measure(Ticket),
    /// Perform this ([`super::Event::Ended`]).
    Perform(Ticket),
    /// End this performance if it can be ended; [`super::Event::Ended`] follows in any case.
    Abort(Number),
    /// Send [`super::Event::Alarm`] at this time, and forget the earlier one.
    Alarm(Timestamp),
    /// Send [`super::Event::GraceOver`] when the run has been driven for this long from now, and forget the earlier one (rule C3).
    Grace(Duration),
    /// Nothing is in flight: the run only waits. Whether it stays in memory is the shell's choice; dropping machine and guest now loses nothing.
    Idle(Idle),
    /// The attempt is over. Nothing follows.
    Stop(Stop),
}

/// Something for the journal.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// An entry.
    Entry(Record),
    /// A line of the log, inserted if its key is absent (rule J5).
    Line {
        /// How many outcome entries the guest had consumed.
        after: u64,
        /// The how-many-th line since.
        ordinal: u64,
        /// When it was said, as the wall clock has it.
        at: Timestamp,
        /// What was said.
        line: Line,
    },
    /// A change that belongs to the entries beside it.
    Local(Local),
}

/// A change to what the journal's database holds beside entries. Each may be repeated, but for those of accounts, which are beside the entry that they belong to.
#[derive(Clone, Debug, PartialEq)]
pub enum Local {
    /// Puts a message into the inbox, once for each source.
    Post {
        /// Where it comes from.
        source: Source,
        /// When.
        at: Timestamp,
        /// One line.
        title: String,
        /// Markdown.
        body: String,
        /// Files that belong to it, with their mounts.
        attachments: Vec<String>,
    },
    /// Notes that the run waits.
    OpenWait {
        /// Which call.
        number: Number,
        /// For what.
        wait: Wait,
        /// Until when.
        deadline: Option<Timestamp>,
    },
    /// Notes that a wait is over, if it was open; its question leaves the inbox.
    CloseWait {
        /// Which call.
        number: Number,
    },
    /// Cancels the run that was launched for a call of this one, if there is one and it is not over (rules G5, K1).
    CancelChild {
        /// Which call.
        number: Number,
        /// When.
        at: Timestamp,
    },
    /// Leaves the answer in the mailbox of the run that called this one, unless that is over (rule K1).
    AnswerCaller {
        /// Who is answered.
        run: RunId,
        /// Which of its calls.
        number: Number,
        /// When.
        at: Timestamp,
        /// With what.
        outcome: Outcome,
        /// What this run spent.
        spent: Cost,
    },
    /// Deletes a row of the mailbox that became an entry or has nothing left to say.
    TakeMail(MailId),
    /// Says how the run stands.
    SetStatus(Status),
    /// Reserves the upper bound of a performance in the skill's account for a day, if it fits; it is of the entry that comes next. If it does not fit, that entry holds no
    /// reservation, and [`super::Event::Day`] says so.
    Reserve {
        /// The account.
        account: DayAccount,
        /// The call.
        number: Number,
        /// What it may spend at most.
        bound: Cost,
        /// What may be spent in the day.
        limit: Cost,
    },
    /// Replaces what was reserved so by what was spent.
    Settle {
        /// The account.
        account: DayAccount,
        /// What was reserved.
        reserved: Cost,
        /// What was spent.
        spent: Cost,
        /// What may be spent in the day.
        limit: Cost,
    },
    /// Makes the run that goes on in the place of this one, under the same launch id. What lies in this one's mailbox becomes the new one's, but for answers
    /// and decisions: they name calls of this one.
    Continue(Box<Successor>),
}

/// The run that goes on in the place of another.
#[derive(Clone, Debug, PartialEq)]
pub struct Successor {
    /// Its first entry, which names both.
    pub started: Started,
    /// When it is made.
    pub at: Timestamp,
    /// Whether it begins paused, as the other was.
    pub paused: bool,
}

/// What a call waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// A time.
    Timer,
    /// An event.
    Event(SignalName),
    /// An answer.
    Question(SignalName),
    /// A person's decision (rule R4).
    Decision,
    /// Another skill, in this run (rule K1).
    Skill(RunId),
}

/// Where an inbox entry comes from: each source posts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// `inbox.post`.
    Message(Number),
    /// A question; answered or closed, it goes away.
    Question(Number),
    /// A call in doubt, for a person to decide.
    Decision(Number),
    /// An attempt that failed for a reason outside the skill; it goes away when the run goes on.
    Trouble,
    /// A budget that is used up.
    Budget,
    /// The end of the run.
    Finished,
}

/// How a run stands, for lists. The journal is the truth; this is derived from it, in the same transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Something is being done, or would be if a worker held it.
    Running,
    /// It waits for a time, an event or an answer.
    Waiting,
    /// It waits for a person: for a decision about a call in doubt, or because attempts fail for a reason outside the skill.
    Parked,
    /// A person paused it.
    Paused,
    /// It ended with a result.
    Done,
    /// It ended with a failure.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// Another run goes on in its place.
    Continued,
}

impl Status {
    /// Returns the word that journals and commands use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Parked => "parked",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Continued => "continued",
        }
    }

    /// Returns whether the run is over.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled | Self::Continued)
    }
}

/// An outcome for the blocked guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The call it answers, which the guest has started and not dropped.
    pub number: Number,
    /// The answer.
    pub outcome: Outcome,
    /// The time of the last outcome entry consumed, this one included; the guest's clock is not before it (rule G6).
    pub time: Timestamp,
}

/// Leave to perform a call once. Only the machine makes tickets, and only behind the call's barrier (rule J1), so a replay cannot cause an effect.
#[derive(Debug, PartialEq)]
pub struct Ticket {
    pub(super) run: RunId,
    pub(super) number: Number,
    pub(super) called: Arc<Called>,
    pub(super) measured: Option<Payload>,
    pub(super) reserved: Option<Cost>,
    pub(super) attempt: u32,
    pub(super) in_doubt: bool,
}

impl Ticket {
    /// Returns the run.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Returns the call.
    pub fn number(&self) -> Number {
        self.number
    }

    /// Returns what is asked.
    pub fn function(&self) -> Function {
        self.called.function
    }

    /// Returns how it is recovered.
    pub fn class(&self) -> Class {
        self.called.class
    }

    /// Returns with what.
    pub fn request(&self) -> &Payload {
        &self.called.request
    }

    /// Returns the tier that answers in the place of the one that a request names, if the budget has it so.
    pub fn tier(&self) -> Option<&str> {
        self.called.tier.as_deref()
    }

    /// Returns how it is to be made.
    pub fn options(&self) -> &CallOptions {
        &self.called.options
    }

    /// Returns what was measured before, for functions that need it.
    pub fn measured(&self) -> Option<&Payload> {
        self.measured.as_ref()
    }

    /// Returns what is reserved for it.
    pub fn reserved(&self) -> Option<Cost> {
        self.reserved
    }

    /// Returns the how-many-th performance of the call this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns whether an earlier performance may have taken place, wholly or in part.
    pub fn in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Returns the key that is the same for every performance of the call.
    pub fn key(&self) -> String {
        let key = idempotency_key(&self.run, self.number);
        match self.attempt > 1 && planted::is(Bug::OtherKey) {
            true => format!("{key}/{}", self.attempt),
            false => key,
        }
    }
}

/// What an idle run waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Whether it does so because a person paused it: then it waits for nothing but to be resumed or cancelled (rule P4).
    pub paused: bool,
    /// The next timer or timeout. None is due while the run is paused.
    pub deadline: Option<Timestamp>,
    /// The calls it waits for.
    pub waits: Vec<(Number, Wait)>,
}

/// Why an attempt is over.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// The run is, and its last entry is durable.
    Finished(Finished),
    /// The guest asked for something else than the journal holds. Nothing was written.
    Mismatch(Box<Mismatch>),
    /// The attempt failed for a reason that lies in the host: another may go further.
    Broken(String),
}
