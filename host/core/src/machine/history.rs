//! What the journal held when an attempt began: the two heads that a replay reads (rule G2).

use std::collections::{BTreeMap, VecDeque};

use super::budget::Meters;
use crate::budget::{Account, Cost};
use crate::entry::{Called, Entry, Record, Started, Why};
use crate::id::{Number, Seq};
use crate::payload::Payload;
use crate::time::Timestamp;

/// A journal that cannot be replayed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// There is nothing in it, or it does not begin with `started`.
    #[error("the journal does not begin with a `started` entry")]
    NotStarted,
    /// An entry is missing or stands twice.
    #[error("the journal has entry {found} where entry {expected} belongs")]
    NotDense {
        /// The position that was expected.
        expected: Seq,
        /// The one that was found.
        found: Seq,
    },
    /// An entry contradicts those before it.
    #[error("entry {seq} of the journal does not fit those before it: {reason}")]
    Inconsistent {
        /// The entry.
        seq: Seq,
        /// What is wrong.
        reason: String,
    },
    /// The run has finished.
    #[error("the run is over")]
    Over,
    /// The run was started under rules that this host does not have.
    #[error("the run was started under version {found} of the rules; this host has version {ours}")]
    Semantics {
        /// The version in `started`.
        found: u32,
        /// The version of this host.
        ours: u32,
    },
}

/// A call as the journal holds it.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) seq: Seq,
    pub(super) at: Timestamp,
    pub(super) called: Called,
    pub(super) answered: bool,
    pub(super) measured: Option<Payload>,
    /// How often it was performed, or may have been, by this run or by the one that it begins with a copy of.
    pub(super) performances: u32,
    /// Whether a person wants it performed again and nothing of that has begun (rule F3).
    pub(super) anew: bool,
    /// What is reserved for its last performance and not settled.
    pub(super) reserved: Option<Cost>,
}

/// A journal, sorted for replay.
#[derive(Debug)]
pub(super) struct History {
    pub(super) started: Started,
    pub(super) calls: BTreeMap<Number, Recorded>,
    /// The outcome entries, in order.
    pub(super) outcomes: VecDeque<Record>,
    pub(super) cancelled: bool,
    pub(super) expired: bool,
    pub(super) account: Account,
    pub(super) meters: Meters,
    pub(super) finished: bool,
    pub(super) seq_next: Seq,
}

impl History {
    /// Sorts a whole journal, which has to be dense and consistent.
    pub(super) fn read(records: Vec<Record>) -> Result<Self, LoadError> {
        let mut meters = Meters::default();
        if let Some(first) = records.first() {
            meters.read(first);
        }
        let mut records = records.into_iter();
        let Some(Record {
            seq: Seq(0),
            entry: Entry::Started(started),
            ..
        }) = records.next()
        else {
            return Err(LoadError::NotStarted);
        };
        if started.semantics != crate::entry::SEMANTICS {
            return Err(LoadError::Semantics {
                found: started.semantics,
                ours: crate::entry::SEMANTICS,
            });
        }
        let account = started.limits.account();
        let mut history = Self {
            started: *started,
            calls: BTreeMap::new(),
            outcomes: VecDeque::new(),
            cancelled: false,
            expired: false,
            account,
            meters,
            finished: false,
            seq_next: Seq(1),
        };
        for record in records {
            if record.seq != history.seq_next {
                return Err(LoadError::NotDense {
                    expected: history.seq_next,
                    found: record.seq,
                });
            }
            history.seq_next = record.seq.next();
            let seq = record.seq;
            history
                .add(record)
                .map_err(|reason| LoadError::Inconsistent { seq, reason })?;
        }
        Ok(history)
    }

    fn add(&mut self, record: Record) -> Result<(), String> {
        if self.finished {
            return Err("the run had finished".to_owned());
        }
        self.meters.read(&record);
        match &record.entry {
            Entry::Started(_) => return Err("the run had started".to_owned()),
            Entry::Called(called) => self.add_call(&record, called)?,
            Entry::Prepared { number, measured } => self.open_call(*number)?.measured = Some(measured.clone()),
            Entry::Retried(retried) => {
                let call = self.open_call(retried.number)?;
                call.anew = retried.why == Why::Anew;
                call.performances = if call.anew { 0 } else { call.performances + 1 };
                if matches!(retried.why, Why::Redo | Why::Anew) {
                    // Measured anew: the file is not as it was (rule R3).
                    call.measured = None;
                }
                let before = std::mem::replace(&mut call.reserved, retried.reserved);
                if let (Some(before), Some(spent)) = (before, retried.spent) {
                    self.account.settle(before, spent);
                }
                self.account.replay(retried.reserved.unwrap_or_default());
            }
            Entry::Returned(returned) => {
                let call = self.open_call(returned.number)?;
                call.answered = true;
                if let Some(reserved) = call.reserved.take() {
                    // Where nobody knows what it spent, what was reserved stays spent.
                    self.account.settle(reserved, returned.spent.unwrap_or(reserved));
                }
            }
            Entry::Cancelled { .. } => {
                if std::mem::replace(&mut self.cancelled, true) {
                    return Err("the run was cancelled before".to_owned());
                }
            }
            Entry::Expired if !self.cancelled => return Err("the run was not cancelled".to_owned()),
            Entry::Expired if self.expired => return Err("its time was over before".to_owned()),
            Entry::Expired => self.expired = true,
            Entry::Repinned { bundle, component } => {
                (self.started.bundle, self.started.component) = (*bundle, *component);
            }
            Entry::Finished(_) => self.finished = true,
        }
        if record.entry.is_outcome() {
            self.outcomes.push_back(record);
        }
        Ok(())
    }

    fn add_call(&mut self, record: &Record, called: &Called) -> Result<(), String> {
        let expected = Number(self.calls.len() as u64);
        if called.number != expected {
            return Err(format!("call #{} stands where call #{expected} belongs", called.number));
        }
        let before = self.calls.last_key_value().map_or(0, |(_, last)| last.called.after);
        if !(before..=self.outcomes.len() as u64).contains(&called.after) {
            let after = called.after;
            return Err(format!("no call can be started after {after} outcomes here"));
        }
        self.account.replay(called.reserved.unwrap_or_default());
        let recorded = Recorded {
            seq: record.seq,
            at: record.at,
            called: called.clone(),
            answered: false,
            measured: None,
            performances: 1,
            anew: false,
            reserved: called.reserved,
        };
        self.calls.insert(called.number, recorded);
        Ok(())
    }

    /// Returns a call that has no outcome yet.
    fn open_call(&mut self, number: Number) -> Result<&mut Recorded, String> {
        match self.calls.get_mut(&number) {
            None => Err(format!("call #{number} was not started")),
            Some(call) if call.answered => Err(format!("call #{number} was answered before")),
            Some(call) => Ok(call),
        }
    }
}
