//! What was said to a journal and what it said: against this it is judged.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use skillhost_core::entry::{Entry, Record};
use skillhost_core::id::{Digest, Epoch, MailId, RunId, Seq};
use skillhost_core::machine::{Local, Write};
use skillhost_core::time::Timestamp;

use crate::disk::Disk;

/// Something that the journal said is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// The journal is open: its tables are there.
    Open,
    /// So many entries of a run.
    Entries(RunId, u64),
    /// A lease was taken at this epoch.
    Held(RunId, Epoch),
    /// A command lies in a run's mailbox, unless the run took it.
    Mail(RunId, MailId),
    /// A bundle.
    Bundle(Digest),
    /// A run is forgotten.
    Gone(RunId),
    /// Something else, which only the contents of the tables show.
    Change,
}

/// What was appended to each run, in order.
pub(crate) type Appended = BTreeMap<RunId, Vec<Record>>;

/// All that was said.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    disk: Option<Arc<Disk>>,
    /// What was appended, durable or not.
    pub(crate) appended: Appended,
    /// After how many entries an append of each run ends: what is appended together is there together.
    pub(crate) ends: BTreeMap<RunId, BTreeSet<usize>>,
    /// What the journal said, and how much was done to the disk before it did.
    pub(crate) facts: Vec<(usize, Fact)>,
    /// Mail that runs took.
    pub(crate) taken: Vec<MailId>,
    /// Runs that somebody wanted to be forgotten, and how much was done to the disk before.
    pub(crate) unwanted: Vec<(usize, RunId)>,
    /// What was asked of the disk while the journal was opened, the first time and later.
    pub(crate) openings: Vec<Range<usize>>,
    /// When bundles that nobody needs were first removed.
    pub(crate) collected: Option<usize>,
}

impl Ledger {
    /// Begins to note what is said to the journal on a disk, in which there are these entries already.
    pub(crate) fn on(disk: &Arc<Disk>, appended: Appended) -> Self {
        let ends = appended
            .iter()
            .map(|(run, entries)| (run.clone(), BTreeSet::from([entries.len()])));
        Self {
            disk: Some(Arc::clone(disk)),
            ends: ends.collect(),
            appended,
            ..Self::default()
        }
    }

    fn now(&self) -> usize {
        self.disk.as_ref().map_or(0, |disk| disk.now())
    }

    /// Returns how much was asked of the disk so far.
    pub(crate) fn asked(&self) -> usize {
        self.disk.as_ref().map_or(0, |disk| disk.asked())
    }

    /// Notes what the journal said just now.
    pub(crate) fn said(&mut self, fact: Fact) {
        let now = self.now();
        self.facts.push((now, fact));
    }

    /// Notes that a run is about to be forgotten.
    pub(crate) fn forgetting(&mut self, run: &RunId) {
        let now = self.now();
        self.unwanted.push((now, run.clone()));
    }

    /// Notes that what nobody needs is about to be removed.
    pub(crate) fn collecting(&mut self) {
        self.collected
            .get_or_insert(self.disk.as_ref().map_or(0, |disk| disk.now()));
    }

    /// Notes what a run is made with, before it is.
    pub(crate) fn making(&mut self, run: &RunId, started: Entry, at: Timestamp) {
        let record = Record {
            seq: Seq(0),
            at,
            entry: started,
        };
        self.appended.insert(run.clone(), vec![record]);
        self.ends.insert(run.clone(), BTreeSet::from([1]));
    }

    /// Notes that an attempt begins with so many entries: what was appended behind them is lost.
    pub(crate) fn begins(&mut self, run: &RunId, entries: usize) {
        if let Some(appended) = self.appended.get_mut(run) {
            appended.truncate(entries);
        }
    }

    /// Notes what is appended, before it is.
    pub(crate) fn appending(&mut self, run: &RunId, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Entry(record) => self.appended.entry(run.clone()).or_default().push(record.clone()),
                Write::Local(Local::TakeMail(mail)) => self.taken.push(*mail),
                Write::Local(Local::Continue(next)) => {
                    let started = Entry::Started(Box::new(next.started.clone()));
                    self.making(&next.started.run, started, next.at);
                }
                _ => {}
            }
        }
        let end = self.appended.get(run).map_or(0, Vec::len);
        self.ends.entry(run.clone()).or_default().insert(end);
    }

    /// Returns what was said before a moment.
    pub(crate) fn before(&self, moment: usize) -> impl Iterator<Item = &Fact> {
        let facts = self.facts.iter();
        facts.take_while(move |(at, _)| *at <= moment).map(|(_, fact)| fact)
    }

    /// Returns when the last thing was said before a moment.
    pub(crate) fn last_before(&self, moment: usize) -> Option<usize> {
        let said = self.facts.iter().map(|(at, _)| *at);
        said.take_while(|at| *at <= moment).last()
    }
}
