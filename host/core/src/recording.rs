//! What earlier runs of a skill were answered, so that a run in development need not ask again.
//!
//! An answer is found by content and occurrence: the n-th time that a run asks for something, it is given what the n-th such call was answered before, wherever in
//! the run that call stood. So a call keeps its answer when the ones around it change or move, and a call that changed has none. Which functions may be answered so
//! at all is decided in the machine (`machine/reuse.rs`). Start with [`Recording::add`] and [`crate::machine::Machine::reusing`].

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::effect::Function;
use crate::entry::{Entry, Record};
use crate::id::{Number, RunId};
use crate::machine::{LoadError, Machine};
use crate::outcome::Outcome;
use crate::payload::Payload;
use crate::time::Timestamp;

/// What earlier runs were answered.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// By what was asked, in the order of the calls' numbers. A call without an answer keeps its place.
    takes: BTreeMap<(Function, Payload), Vec<Option<Arc<Take>>>>,
    runs: u64,
}

/// A call that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Take {
    pub(crate) run: RunId,
    pub(crate) number: Number,
    pub(crate) outcome: Outcome,
    /// The time that its guest saw.
    pub(crate) at: Timestamp,
    /// Its place among all answers, the newest run's last.
    pub(crate) order: (u64, u64),
}

impl Recording {
    /// Adds a run, over or not, whose answers go before those of the runs that were added earlier.
    ///
    /// # Errors
    /// If its journal does not begin with `started`.
    pub fn add(&mut self, records: &[Record]) -> Result<(), LoadError> {
        let run = Machine::started(records)?.run.clone();
        let mut places = BTreeMap::new();
        let mut counts: BTreeMap<(Function, Payload), usize> = BTreeMap::new();
        self.runs += 1;
        for record in records {
            match &record.entry {
                Entry::Called(called) => {
                    let asked = (called.function, called.request.clone());
                    let count = counts.entry(asked.clone()).or_default();
                    places.insert(called.number, (asked, *count));
                    *count += 1;
                }
                Entry::Returned(returned) => {
                    let Some((asked, occurrence)) = places.remove(&returned.number) else {
                        continue;
                    };
                    // What went wrong may go right the next time.
                    if returned.outcome.code().is_some() {
                        continue;
                    }
                    let takes = self.takes.entry(asked).or_default();
                    takes.resize(takes.len().max(occurrence + 1), None);
                    takes[occurrence] = Some(Arc::new(Take {
                        run: run.clone(),
                        number: returned.number,
                        outcome: returned.outcome.clone(),
                        at: record.at,
                        order: (self.runs, record.seq.0),
                    }));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.takes.is_empty()
    }

    fn take(&self, asked: &(Function, Payload), occurrence: usize) -> Option<Arc<Take>> {
        self.takes.get(asked)?.get(occurrence)?.clone()
    }
}

/// A recording as one run goes through it.
#[derive(Clone, Debug)]
pub(crate) struct Playback {
    recording: Arc<Recording>,
    met: BTreeMap<(Function, Payload), usize>,
}

impl Playback {
    pub(crate) fn new(recording: Arc<Recording>) -> Self {
        let met = BTreeMap::new();
        Self { recording, met }
    }

    /// Returns what the next call of this content was answered. To be asked once for every call, in the order of their numbers.
    pub(crate) fn meet(&mut self, function: Function, request: &Payload) -> Option<Arc<Take>> {
        let asked = (function, request.clone());
        let occurrence = self.met.entry(asked.clone()).or_default();
        let take = self.recording.take(&asked, *occurrence);
        *occurrence += 1;
        take
    }
}
