//! What happens to the processes of an ordeal, and the count of it.

use std::collections::BTreeMap;

/// What a kill is aimed at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aim {
    /// A failpoint of the process itself.
    Failpoint(&'static str),
    /// Soon after a request came.
    Request,
    /// Soon after something was committed.
    Commit,
    /// While nothing is written: what is done then is in no journal.
    Unwritten,
    /// Soon after the daemon began.
    Start,
    /// A process that drives one run.
    Here,
    /// A daemon that was stopped by a signal, is taken over by force, and goes on in the middle of that.
    Takeover,
}

/// What else happens to processes, and kills none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The daemon is stopped by a signal, and goes on later.
    Stopped,
    /// It is told to end, and records what is under way.
    Drained,
    /// The clock is set, forwards or back.
    ClockSet,
    /// The disk is full for a while.
    FullDisk,
    /// Every commit fails for a while, as on a full disk; what is no database can be written.
    CommitsFail,
}

impl Trouble {
    /// What any machine can make happen, anywhere.
    pub const USUAL: &[Self] = &[Self::Stopped, Self::Drained, Self::ClockSet];
}

/// Kills that were made.
#[derive(Clone, Debug, Default)]
pub struct Kills {
    /// How many.
    pub count: u64,
    /// What else happened.
    pub troubles: BTreeMap<Trouble, u64>,
    /// By what they were aimed at.
    pub by_aim: BTreeMap<Aim, u64>,
    /// How many runs were held by processes that were killed, and found so before somebody else took them.
    pub held: u64,
    /// How many kills left no call open in such a run.
    pub idle: u64,
    /// How many calls had no outcome then, in runs that were held, by function.
    pub open: BTreeMap<&'static str, u64>,
}

impl Aim {
    /// Returns the point, if it is one.
    pub(super) fn point(&self) -> Option<&'static str> {
        match self {
            Self::Failpoint(point) => Some(point),
            _ => None,
        }
    }
}

impl Kills {
    /// Counts one.
    pub(super) fn note(&mut self, aim: Aim) {
        self.count += 1;
        *self.by_aim.entry(aim).or_default() += 1;
    }

    /// Adds others.
    pub(super) fn add(&mut self, others: Self) {
        self.count += others.count;
        self.held += others.held;
        self.idle += others.idle;
        for (aim, count) in others.by_aim {
            *self.by_aim.entry(aim).or_default() += count;
        }
        for (trouble, count) in others.troubles {
            *self.troubles.entry(trouble).or_default() += count;
        }
        for (function, count) in others.open {
            *self.open.entry(function).or_default() += count;
        }
    }
}
