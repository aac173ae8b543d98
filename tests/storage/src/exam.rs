//! What all exams have in common: what they find, and how what fails is told and repeated.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use crate::crew::Broken;
use crate::disk::Op;
use crate::image::{self, Image};
use crate::judge::{Bench, States};
use crate::platter::Platter;
use crate::workload::{DATABASE, Recording};

/// One way in which storage is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exam {
    /// Power goes at every step of a workload that has everything in it, the making of the state folder included.
    Power,
    /// Power goes while a database of the first format is brought up to date.
    Upgrade,
    /// Power goes while the log is grown, and while it is written back when the journal is closed.
    Growth,
    /// The log is cut at every byte.
    Cut,
    /// Everything that is asked of the disk fails, one after the other.
    Trouble,
    /// The disk loses what it said is durable, changes it, or puts it elsewhere.
    Lies,
}

impl Exam {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Power,
        Self::Upgrade,
        Self::Growth,
        Self::Cut,
        Self::Trouble,
        Self::Lies,
    ];

    /// Returns the word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Upgrade => "upgrade",
            Self::Growth => "growth",
            Self::Cut => "cut",
            Self::Trouble => "trouble",
            Self::Lies => "lies",
        }
    }
}

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breadth {
    /// As much as in the tests: some seconds.
    Short,
    /// As much as there is: minutes for each seed.
    Long,
}

/// What was tried, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    counts: BTreeMap<&'static str, u64>,
}

impl Findings {
    /// Counts one more.
    pub(crate) fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    pub(crate) fn add(&mut self, what: &'static str, more: usize) {
        *self.counts.entry(what).or_default() += more as u64;
    }

    /// Returns how many there were of something.
    pub fn of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// Adds what else was found.
    pub fn extend(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts.iter().map(|(what, count)| format!("{count} {what}"));
        f.write_str(&counts.collect::<Vec<_>>().join(", "))
    }
}

/// Puts storage to the test in one way, with everything that is left to chance drawn from a seed.
///
/// # Errors
/// If a promise is broken: which, and how to see it again.
pub fn sit(exam: Exam, seed: u64, breadth: Breadth) -> Result<Findings, Failure> {
    match exam {
        Exam::Power => crate::power::everything(seed, breadth),
        Exam::Upgrade => crate::power::upgrade(seed, breadth),
        Exam::Growth => crate::power::growth(seed, breadth),
        Exam::Cut => crate::cut::every_byte(seed, breadth),
        Exam::Trouble => crate::trouble::at_everything(seed, breadth),
        Exam::Lies => crate::lies::all(seed, breadth),
    }
}

/// A promise that was broken.
#[derive(Debug)]
pub struct Failure {
    /// Which, and how.
    what: String,
    /// What the disk held.
    image: Image,
}

impl Failure {
    pub(crate) fn of(image: &Image, what: String) -> Self {
        Self {
            what,
            image: image.clone(),
        }
    }

    /// Keeps what the disk held in a folder, so that somebody can look at it.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn keep(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        image::write(folder, &self.image);
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl From<Broken> for Failure {
    fn from(what: Broken) -> Self {
        Self {
            what,
            image: Image::new(),
        }
    }
}

/// Which images were judged, for what was owed.
#[derive(Default)]
pub(crate) struct Judged(HashSet<(u64, Option<usize>)>);

impl Judged {
    /// Returns whether this image was not judged yet for as much as was told.
    pub(crate) fn is_new(&mut self, image: &Image, told: Option<usize>) -> bool {
        let mut hasher = DefaultHasher::new();
        image.hash(&mut hasher);
        self.0.insert((hasher.finish(), told))
    }
}

/// Returns what the tables held, one state after the other.
pub(crate) fn states(recording: &Recording, bench: &Bench) -> Result<States, Broken> {
    states_from(0, &recording.first, &recording.ops, bench)
}

/// Returns what the tables held at a moment, and from then on.
pub(crate) fn states_from(from: usize, first: &Image, ops: &[Op], bench: &Bench) -> Result<States, Broken> {
    let mut states = States::new();
    let mut platter = Platter::of(first);
    let mut log = LogReader::default();
    for moment in 0..=ops.len() {
        let before = moment.checked_sub(1).map(|before| &ops[before]);
        let may_show_more = before.is_none_or(|op| log.may_show_more(op));
        if moment == from || moment > from && may_show_more {
            let state = bench.state_of(&platter.current())?;
            if states.last().is_none_or(|(_, last)| *last != state) {
                states.push((moment, state));
            }
        }
        if let Some(op) = ops.get(moment) {
            platter.take(op);
        }
    }
    Ok(states)
}

/// Follows what is written to the log, and knows where a commit ends.
#[derive(Default)]
struct LogReader {
    ends_commit: bool,
    has_log: bool,
}

impl LogReader {
    /// Returns whether more may be seen in the tables after this.
    fn may_show_more(&mut self, op: &Op) -> bool {
        const FRAME_HEAD: usize = 24;
        match op {
            Op::Create(file) => self.has_log |= is_log(file),
            // The head of a page in the log says whether a commit ends with it; the page follows.
            Op::Write { file, bytes, .. } if is_log(file) && bytes.len() == FRAME_HEAD => {
                self.ends_commit = bytes[4..8] != [0; 4];
                return false;
            }
            Op::Write { file, .. } if is_log(file) => return std::mem::take(&mut self.ends_commit),
            _ => {}
        }
        !self.has_log
    }
}

/// Returns whether this is the database's log.
pub(crate) fn is_log(file: &str) -> bool {
    file.strip_prefix(DATABASE) == Some("-wal")
}
