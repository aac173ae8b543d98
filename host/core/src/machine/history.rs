//! What the journal held when an attempt began: gone through once for what it comes to, and then read again, a part at a time, for the two heads of a replay (rule G2).
//!
//! A [`Survey`] goes through the whole journal before the attempt begins and keeps what does not grow with it: the account, the calls that are still open, where it ends. Beside that
//! it keeps the beginning as it was read, up to a bound; so a journal of some ten thousand calls is read once, and of a longer one a part is in memory at a time. The
//! [`Past`] is what a machine has of it: entries that were read, and whose turn has not come.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::budget::{Meters, Reserved, weight};
use super::{Machine, in_turn};
use crate::budget::Account;
use crate::entry::{Called, Entry, Finished, Pin, Record, Started, Why};
use crate::id::{Number, Seq};
use crate::payload::Payload;
use crate::time::Timestamp;

/// How much of a journal is kept in memory from the survey for the replay, by the weight of its entries. What is longer is read twice.
const KEPT_BYTES_MAX: u64 = 8 << 20;

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
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    pub(super) seq: Seq,
    pub(super) at: Timestamp,
    pub(super) called: Arc<Called>,
    pub(super) answered: bool,
    pub(super) measured: Option<Payload>,
    /// How often it was performed, or may have been, by this run or by the one that it begins with a copy of.
    pub(super) performances: u32,
    /// Whether a person wants it performed again and nothing of that has begun (rule F3).
    pub(super) anew: bool,
    /// What is reserved for its last performance and not settled.
    pub(super) reserved: Option<Reserved>,
}

impl Recorded {
    fn new(seq: Seq, at: Timestamp, called: &Arc<Called>) -> Self {
        Self {
            seq,
            at,
            called: Arc::clone(called),
            answered: false,
            measured: None,
            performances: 1,
            anew: false,
            reserved: Reserved::recorded(called.reserved, called.reserved_day),
        }
    }
}

/// A journal that is gone through, entry by entry, before it is replayed.
#[derive(Debug)]
pub struct Survey {
    begun: Option<Begun>,
    /// The entries from the first on, as far as they are kept, in the parts in which they were read.
    kept: Vec<Vec<Record>>,
    kept_bytes: u64,
    kept_bytes_max: u64,
}

impl Default for Survey {
    fn default() -> Self {
        Self::keeping(KEPT_BYTES_MAX)
    }
}

/// What a journal comes to that begins as it should.
#[derive(Debug)]
struct Begun {
    started: Box<Started>,
    started_at: Timestamp,
    pin: Pin,
    /// The calls that have no outcome.
    open: BTreeMap<Number, Recorded>,
    calls: u64,
    /// What the last call came after.
    after: u64,
    outcomes: u64,
    cancelled: bool,
    expired: bool,
    account: Account,
    meters: Meters,
    finished: Option<Finished>,
    seq_next: Seq,
    /// When the last entry was made, but for the one that ends the run.
    last_at: Timestamp,
}

impl Survey {
    /// Begins at the head of a journal, of which so many bytes are kept.
    pub fn keeping(kept_bytes_max: u64) -> Self {
        Self {
            begun: None,
            kept: Vec::new(),
            kept_bytes: 0,
            kept_bytes_max,
        }
    }

    /// Goes through a whole journal.
    ///
    /// # Errors
    /// If it cannot be replayed.
    pub fn of(records: Vec<Record>) -> Result<Self, LoadError> {
        let mut survey = Self::default();
        for record in &records {
            survey.look(record)?;
        }
        // What is in memory already is not read again.
        survey.kept.push(records);
        survey.begun.is_some().then_some(survey).ok_or(LoadError::NotStarted)
    }

    /// Takes in the next entries, in order from the first.
    ///
    /// # Errors
    /// If what was taken in cannot be replayed.
    pub fn add(&mut self, mut records: Vec<Record>) -> Result<(), LoadError> {
        let mut kept = 0;
        for record in &records {
            self.look(record)?;
            self.kept_bytes = self.kept_bytes.saturating_add(weight(record));
            kept += usize::from(self.kept_bytes <= self.kept_bytes_max);
        }
        if kept < records.len() {
            // The room of what is not kept is given back, too: a long journal has many such parts.
            records.truncate(kept);
            records.shrink_to_fit();
        }
        if kept > 0 {
            self.kept.push(records);
        }
        Ok(())
    }

    fn look(&mut self, record: &Record) -> Result<(), LoadError> {
        match &mut self.begun {
            None => self.begun = Some(Begun::new(record)?),
            Some(begun) => begun.take(record)?,
        }
        Ok(())
    }

    fn begun(&self) -> Result<&Begun, LoadError> {
        self.begun.as_ref().ok_or(LoadError::NotStarted)
    }

    /// Returns how the run was started, and when.
    pub fn started(&self) -> Result<(&Started, Timestamp), LoadError> {
        self.begun().map(|begun| (&*begun.started, begun.started_at))
    }

    /// Returns what the run is pinned to: what it was started with, or the last that it was pinned to since.
    pub fn pin(&self) -> Result<Pin, LoadError> {
        self.begun().map(|begun| begun.pin)
    }

    /// Returns how the run ended, if the journal says so; then there is nothing to drive.
    pub fn finished(&self) -> Option<&Finished> {
        self.begun.as_ref()?.finished.as_ref()
    }

    /// Returns the place of the entry that comes next.
    pub fn next(&self) -> Seq {
        self.begun.as_ref().map_or(Seq(0), |begun| begun.seq_next)
    }

    /// Returns the calls among the entries that are kept. Those of the others are found when they are read again.
    pub fn calls_kept(&self) -> impl Iterator<Item = &Called> {
        self.kept.iter().flatten().filter_map(|record| match &record.entry {
            Entry::Called(called) => Some(&**called),
            _ => None,
        })
    }

    /// Begins an attempt on the journal, of which every entry is durable.
    ///
    /// The shell then starts the guest, and tells the machine about it; the run's mailbox it tells before that (rule R4).
    ///
    /// # Errors
    /// If the journal has nothing in it, or says that the run is over.
    pub fn attempt(self) -> Result<Machine, LoadError> {
        match self.finished() {
            Some(_) => Err(LoadError::Over),
            None => self.replay(),
        }
    }

    /// Begins a replay of what the journal holds, but for its end.
    ///
    /// # Errors
    /// If the journal has nothing in it.
    pub fn replay(self) -> Result<Machine, LoadError> {
        let Some(begun) = self.begun else {
            return Err(LoadError::NotStarted);
        };
        let mut past = Past {
            calls: BTreeMap::new(),
            outcomes: VecDeque::new(),
            open: begun.open,
            calls_total: begun.calls,
            calls_read: 0,
            read_to: Seq(0),
            end: match begun.finished {
                Some(_) => Seq(begun.seq_next.0 - 1),
                None => begun.seq_next,
            },
        };
        for records in self.kept.into_iter().filter(|records| !records.is_empty()) {
            past.read(records).expect("what is kept was gone through in this order");
        }
        in_turn(&mut past.outcomes);
        Ok(Machine::at_the_beginning(super::Origin {
            started: begun.started,
            account: begun.account,
            meters: begun.meters,
            cancelled: begun.cancelled,
            expired: begun.expired,
            last_at: begun.last_at,
            past,
        }))
    }
}

impl Begun {
    fn new(record: &Record) -> Result<Self, LoadError> {
        let Record {
            seq: Seq(0),
            at,
            entry: Entry::Started(started),
        } = record
        else {
            return Err(LoadError::NotStarted);
        };
        if started.semantics != crate::entry::SEMANTICS {
            return Err(LoadError::Semantics {
                found: started.semantics,
                ours: crate::entry::SEMANTICS,
            });
        }
        let mut meters = Meters::default();
        meters.read(record);
        Ok(Self {
            started: started.clone(),
            started_at: *at,
            pin: started.pin(),
            open: BTreeMap::new(),
            calls: 0,
            after: 0,
            outcomes: 0,
            cancelled: false,
            expired: false,
            account: started.limits.account(),
            meters,
            finished: None,
            seq_next: Seq(1),
            last_at: *at,
        })
    }

    fn take(&mut self, record: &Record) -> Result<(), LoadError> {
        if record.seq != self.seq_next {
            return Err(LoadError::NotDense {
                expected: self.seq_next,
                found: record.seq,
            });
        }
        self.seq_next = record.seq.next();
        let seq = record.seq;
        self.add(record)
            .map_err(|reason| LoadError::Inconsistent { seq, reason })
    }

    fn add(&mut self, record: &Record) -> Result<(), String> {
        if self.finished.is_some() {
            return Err("the run had finished".to_owned());
        }
        if let Entry::Finished(finished) = &record.entry {
            self.finished = Some(finished.clone());
            return Ok(());
        }
        self.meters.read(record);
        self.last_at = record.at;
        match &record.entry {
            Entry::Started(_) => return Err("the run had started".to_owned()),
            Entry::Called(called) => self.add_call(record, called)?,
            Entry::Prepared { number, measured } => self.open_call(*number)?.measured = Some(measured.clone()),
            Entry::Retried(retried) => {
                let call = self.open_call(retried.number)?;
                call.anew = retried.why == Why::Anew;
                call.performances = if call.anew { 0 } else { call.performances + 1 };
                if matches!(retried.why, Why::Redo | Why::Anew) {
                    // Measured anew: the file is not as it was (rule R3).
                    call.measured = None;
                }
                let reserved = Reserved::recorded(retried.reserved, retried.reserved_day);
                let before = std::mem::replace(&mut call.reserved, reserved);
                if let (Some(before), Some(spent)) = (before, retried.spent) {
                    self.account.settle(before.cost, spent);
                }
                self.account.replay(retried.reserved.unwrap_or_default());
            }
            Entry::Returned(returned) => {
                self.open_call(returned.number)?;
                let call = self.open.remove(&returned.number);
                if let Some(reserved) = call.and_then(|call| call.reserved) {
                    // Where nobody knows what it spent, what was reserved stays spent.
                    self.account
                        .settle(reserved.cost, returned.spent.unwrap_or(reserved.cost));
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
                (self.pin.bundle, self.pin.component) = (*bundle, *component);
                (self.started.bundle, self.started.component) = (*bundle, *component);
            }
            Entry::Finished(_) => unreachable!("it was taken above"),
        }
        self.outcomes += u64::from(record.entry.is_outcome());
        Ok(())
    }

    fn add_call(&mut self, record: &Record, called: &Arc<Called>) -> Result<(), String> {
        let expected = Number(self.calls);
        if called.number != expected {
            return Err(format!("call #{} stands where call #{expected} belongs", called.number));
        }
        if !(self.after..=self.outcomes).contains(&called.after) {
            let after = called.after;
            return Err(format!("no call can be started after {after} outcomes here"));
        }
        self.calls += 1;
        self.after = called.after;
        self.account.replay(called.reserved.unwrap_or_default());
        self.open
            .insert(called.number, Recorded::new(record.seq, record.at, called));
        Ok(())
    }

    /// Returns a call that has no outcome yet.
    fn open_call(&mut self, number: Number) -> Result<&mut Recorded, String> {
        let was_started = number < Number(self.calls);
        match self.open.get_mut(&number) {
            Some(call) => Ok(call),
            None if was_started => Err(format!("call #{number} was answered before")),
            None => Err(format!("call #{number} was not started")),
        }
    }
}

/// What a machine has of the journal as it was: what was read of it and has not had its turn.
#[derive(Debug)]
pub(super) struct Past {
    /// The first head: calls that the guest has not made again, for comparison.
    calls: BTreeMap<Number, Recorded>,
    /// The second head: outcome entries whose turn has not come.
    outcomes: VecDeque<Record>,
    /// The calls that have no outcome at the end of the journal, with all that is recorded of them.
    open: BTreeMap<Number, Recorded>,
    calls_total: u64,
    calls_read: u64,
    read_to: Seq,
    /// Where it ended.
    end: Seq,
}

impl Past {
    /// Returns where it is to be read on, unless all of it was.
    pub(super) fn unread(&self) -> Option<Seq> {
        (self.read_to < self.end).then_some(self.read_to)
    }

    /// Takes in the next entries. What was appended since the attempt began is not of it, and passed over.
    pub(super) fn read(&mut self, records: Vec<Record>) -> Result<(), String> {
        let before = self.read_to;
        for record in records {
            if self.read_to == self.end {
                return Ok(());
            }
            if record.seq != self.read_to {
                return Err(format!(
                    "entry {} was read where entry {} belongs",
                    record.seq, self.read_to
                ));
            }
            self.read_to = record.seq.next();
            match &record.entry {
                Entry::Called(called) => {
                    let recorded = Recorded {
                        answered: true,
                        reserved: None,
                        ..Recorded::new(record.seq, record.at, called)
                    };
                    let recorded = self.open.remove(&called.number).unwrap_or(recorded);
                    self.calls.insert(called.number, recorded);
                    self.calls_read += 1;
                }
                entry if entry.is_outcome() => self.outcomes.push_back(record),
                _ => {}
            }
        }
        match before < self.read_to {
            true => Ok(()),
            false => Err(format!(
                "the journal ended at entry {before}, and went on to entry {} before",
                self.end
            )),
        }
    }

    /// Returns where it ended.
    pub(super) fn end(&self) -> Seq {
        self.end
    }

    /// Returns whether it has this call and all before it, or all that there are.
    pub(super) fn reaches(&self, number: Number) -> bool {
        self.calls_read >= self.calls_total.min(number.0 + 1)
    }

    /// Returns whether the journal holds this call.
    pub(super) fn has_calls_from(&self, number: Number) -> bool {
        number.0 < self.calls_total
    }

    /// Returns a call that the guest has not made again.
    pub(super) fn call(&self, number: Number) -> Option<&Recorded> {
        self.calls.get(&number)
    }

    /// Takes a call, now that the guest has made it again.
    pub(super) fn take_call(&mut self, number: Number) -> Option<Recorded> {
        self.calls.remove(&number)
    }

    /// Returns the outcome whose turn is next, of those that were read.
    pub(super) fn next_outcome(&self) -> Option<&Record> {
        self.outcomes.front()
    }

    /// Takes the outcome whose turn it is.
    pub(super) fn take_outcome(&mut self) -> Option<Record> {
        self.outcomes.pop_front()
    }

    /// Returns whether every outcome had its turn.
    pub(super) fn is_consumed(&self) -> bool {
        self.outcomes.is_empty() && self.unread().is_none()
    }
}
