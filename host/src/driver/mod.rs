//! Drives runs: carries out what the run machine decides.
//!
//! A [`Worker`] is one process that drives; it holds a lock for as long as it lives, by which others see that it does (rule L1). [`Worker::drive`] takes the
//! lease of a run, loads its journal and its component, and goes through attempts: the guest runs until it blocks, the machine says what follows, and the
//! effects, the journal and the clock answer. Nothing is decided here. What a worker touches that is not the journal, it finds [`Outside`].

mod clock;
mod computer;
mod flying;
mod ground;
mod here;
mod kin;
mod lock;
mod mailbox;
mod observe;
mod outside;
mod pinned;
mod repin;
mod replay;
mod residency;
mod shell;

use std::sync::Arc;

use skillhost_core::entry::{Finished, Record};
use skillhost_core::id::{Epoch, RunId, WorkerId};
use skillhost_core::lease::{self, Claim};
use skillhost_core::machine::{Idle, LoadError as HistoryError, Mismatch, Status, Survey};
use skillhost_core::payload::Payload;
use skillhost_core::recording::Recording;
use skillhost_effects::model::{self, Settings};
use skillhost_journal::{AppendError, Cursor, Journal, JournalError, Look, RunRow, Taken, WaitRow, failpoint};
use skillhost_runtime::{LoadError, Loader, Reread};

use crate::failpoints;
use crate::home::Home;
pub use clock::now;
pub use computer::Computer;
pub use ground::held;
pub use here::Here;
pub use kin::{Alone, Kin};
pub use mailbox::{Bell, Ring, is_wanted};
pub use observe::{Observer, Seen, Silent};
pub use outside::{Attempt, Equipment, Outside, Performer, Player};
pub use pinned::Pinned;
pub use repin::Repinned;
pub(crate) use replay::same_end;
pub use replay::{History, Replayed, next_input, replay, replay_with};
pub use residency::{Residency, Room, Stay};
pub(crate) use shell::check_result;
use shell::{Shell, Stopped};

/// The file of a bundle that scripts the offline provider.
pub const SCRIPT: &str = "offline.toml";

/// A process that drives runs. Cheap to clone; its lock is free when the last clone is gone.
#[derive(Clone)]
pub struct Worker(Arc<Parts>);

struct Parts {
    id: WorkerId,
    journal: Arc<dyn Journal>,
    outside: Arc<dyn Outside>,
}

/// How long to stay with a run that only waits.
pub enum Until {
    /// Until it is over.
    Finished,
    /// Until it waits for an event, an answer or a decision, or for a time further away than this.
    Waiting {
        /// How long a timer is worth staying for.
        patience: std::time::Duration,
    },
    /// As long as there is room.
    Evicted(Stay),
}

/// What a run is driven with that does not stand in its journal.
pub struct Drive<'a> {
    /// Where keys and places of model providers come from.
    pub settings: &'a Settings,
    /// How long to stay.
    pub until: Until,
    /// How it is learnt that something is in the mailbox.
    pub bell: Bell,
    /// Checks a result before it becomes the run's; the message says what does not fit.
    pub check_result: &'a (dyn Fn(&Payload) -> Result<(), String> + Sync),
    /// Watches.
    pub observer: &'a mut dyn Observer,
    /// Hears of the runs that this one calls, and of the one that called it.
    pub kin: Arc<dyn Kin>,
    /// What a run in development is given further.
    pub development: Option<Development>,
}

/// What a run in development is given further.
#[derive(Clone, Debug)]
pub struct Development {
    /// What earlier runs were answered (rules D1 to D4).
    pub recording: Arc<Recording>,
    /// The component as it was built; what the run is pinned to does without its line tables.
    pub component: Reread,
}

/// What came of driving.
#[derive(Clone, Debug, PartialEq)]
pub enum Driven {
    /// The run is over, and all of it is durable.
    Finished(Finished),
    /// It only waits. Driving it again goes on.
    Waiting(Idle),
}

/// Why a run could not be driven further. Its journal is as it was; driving again begins another attempt.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// Somebody else drives it.
    #[error("run `{run}` is driven by worker `{holder}`")]
    Held {
        /// The run.
        run: RunId,
        /// Who.
        holder: WorkerId,
    },
    /// This worker's lock file cannot be made or read.
    #[error("could not take or look at a worker's lock")]
    Lock(#[source] std::io::Error),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It cannot be replayed.
    #[error("the journal of run `{run}` cannot be replayed")]
    History {
        /// The run.
        run: RunId,
        /// Why not.
        source: HistoryError,
    },
    /// What the run is pinned to is gone.
    #[error("run `{run}` needs {what}, which the journal no longer has")]
    Gone {
        /// The run.
        run: RunId,
        /// What is missing.
        what: String,
    },
    /// Its component does not load.
    #[error("the component of run `{run}` does not load")]
    Load {
        /// The run.
        run: RunId,
        /// Why not.
        source: LoadError,
    },
    /// Its model provider cannot be used: a key is gone, say.
    #[error("run `{run}` cannot ask the model provider that it was started with")]
    Provider {
        /// The run.
        run: RunId,
        /// Why not.
        source: model::OpenError,
    },
    /// The guest asked for something else than the journal holds.
    #[error("{}", mismatch_message(.run, .mismatch, *.changed))]
    Mismatch {
        /// The run.
        run: RunId,
        /// Where they part.
        mismatch: Box<Mismatch>,
        /// Whether the component is not the one that the run was started with.
        changed: bool,
    },
    /// The attempt failed for a reason that lies in the host.
    #[error("the attempt at run `{run}` failed: {reason}")]
    Broken {
        /// The run.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// The journal took no more.
    #[error(transparent)]
    Append(#[from] AppendError),
}

fn mismatch_message(run: &RunId, mismatch: &Mismatch, changed: bool) -> String {
    let component = match changed {
        true => "the component is not the one that the run was started with, which is the usual cause",
        false => {
            "the component is the one that the run was started with; it depends on something that is not recorded, \
             or the journal was made by a host that behaved otherwise"
        }
    };
    format!("replay of run `{run}` does not match its journal: {mismatch}\n{component}")
}

impl Worker {
    /// Becomes a worker.
    ///
    /// # Errors
    /// If the lock that shows that this process lives cannot be made.
    pub fn open(home: &Home, journal: Arc<dyn Journal>, loader: Loader) -> Result<Self, DriveError> {
        let id = WorkerId::parse(&format!("w{}", ulid::Ulid::generate().to_string().to_ascii_lowercase()))
            .expect("a ULID is a worker id");
        let computer = Computer::new(&id, home, &journal, loader)?;
        Ok(Self::with(id, journal, Arc::new(computer)))
    }

    /// Returns the worker that is seen to live in these surroundings.
    pub fn with(id: WorkerId, journal: Arc<dyn Journal>, outside: Arc<dyn Outside>) -> Self {
        Self(Arc::new(Parts { id, journal, outside }))
    }

    /// Returns the journal.
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.0.journal
    }

    /// Returns what this worker finds around it.
    pub fn outside(&self) -> &Arc<dyn Outside> {
        &self.0.outside
    }

    /// Waits until another worker is gone, however long that takes.
    pub async fn wait_until_gone(&self, worker: &WorkerId) -> Result<(), DriveError> {
        self.0.outside.gone(worker).await.map_err(DriveError::Lock)
    }

    /// Returns whether a worker lives. One whose lock cannot be looked at is taken for alive, as whoever drives is not to be doubted.
    pub fn is_alive(&self, worker: &WorkerId) -> bool {
        !matches!(self.0.outside.holder(worker), Ok(lease::Holder::Gone))
    }

    /// Returns the worker that this is.
    pub fn id(&self) -> &WorkerId {
        &self.0.id
    }

    /// Returns whether somebody else drives the run now.
    pub fn is_held_elsewhere(&self, run: &RunId) -> Result<bool, DriveError> {
        Ok(matches!(self.decide(&self.0.journal.lease(run)?)?, Claim::Busy(_)))
    }

    /// Looks at a run that is to be driven.
    pub fn look(&self, run: &RunId) -> Result<Sighted, DriveError> {
        let mut past = Cursor::default();
        let look = self.0.journal.look(run, &mut past)?;
        Ok(Sighted { look, past })
    }

    /// Drives a run as far as it goes, as it was seen just now; if it changed since, it is looked at again.
    pub async fn drive(&self, seen: Sighted, drive: Drive<'_>) -> Result<Driven, DriveError> {
        let run = &seen.row().run.clone();
        let (epoch, seen) = self.claim(run, seen).await?;
        failpoint::hit(failpoints::CLAIMED);
        let driven = self.attempt(run, epoch, seen, drive).await;
        failpoint::hit(failpoints::BEFORE_RELEASE);
        if let Ok(finished @ Driven::Finished(_)) = driven {
            // Its lease was given back with its last entry.
            return Ok(finished);
        }
        // A lease that passed to somebody else meanwhile is not given back; that is not the error to report.
        let released = self.0.journal.releasing(run, epoch).await;
        let driven = driven?;
        released?;
        Ok(driven)
    }

    /// Gives a run back that an attempt of this worker still holds because it panicked.
    pub fn let_go(&self, run: &RunId) -> Result<(), DriveError> {
        let lease = self.0.journal.lease(run)?;
        match lease.holder {
            Some(holder) if holder == self.0.id => Ok(self.0.journal.release(run, lease.epoch)?),
            _ => Ok(()),
        }
    }

    async fn attempt(&self, run: &RunId, epoch: Epoch, seen: Sighted, drive: Drive<'_>) -> Result<Driven, DriveError> {
        self.end_survivors(run).await?;
        let history = |source| DriveError::History {
            run: run.clone(),
            source,
        };
        let Sighted { look, mut past } = seen;
        let paused = look.row.status == Status::Paused;
        let survey = survey_on(self.0.journal.as_ref(), look.row, look.records, &mut past)?.map_err(history)?;
        if let Some(finished) = survey.finished() {
            self.0.journal.releasing(run, epoch).await?;
            return Ok(Driven::Finished(finished.clone()));
        }
        let (started, started_at) = survey.started().map_err(history)?;
        let started = started.clone();
        let pin = survey.pin().map_err(history)?;
        let changed = pin.component != started.component;
        let equipment = self.0.outside.equip(Attempt {
            run,
            epoch,
            started: &started,
            started_at,
            pin,
            settings: drive.settings,
            development: drive.development.as_ref(),
            kin: &drive.kin,
        });
        let Equipment { guest, effects, day } = equipment.await?;
        survey.calls_kept().for_each(|called| effects.note(called));
        failpoint::hit(failpoints::LOADED);
        let next = survey.next();
        let machine = survey.attempt().map_err(history)?.paused(paused).with_day(day);
        let shell = Shell::new(shell::Parts {
            machine: match drive.development {
                Some(development) => machine.reusing(development.recording),
                None => machine,
            },
            past,
            mail: look.mail,
            writer: self.0.journal.writer(run, epoch, next),
            journal: Arc::clone(&self.0.journal),
            outside: Arc::clone(&self.0.outside),
            effects,
            zone: started.zone.clone(),
            until: drive.until,
            bell: drive.bell,
            observer: drive.observer,
            check_result: drive.check_result,
            kin: Arc::clone(&drive.kin),
        })?;
        match shell.run(guest).await? {
            Stopped::Driven(driven) => {
                if let (Driven::Finished(_), Some(caller)) = (&driven, &started.caller) {
                    drive.kin.answered(&caller.run);
                }
                Ok(driven)
            }
            Stopped::Broken(reason) => Err(DriveError::Broken {
                run: run.clone(),
                reason,
            }),
            Stopped::Mismatch(mismatch) => Err(DriveError::Mismatch {
                run: run.clone(),
                mismatch,
                changed,
            }),
        }
    }

    /// Ends what an earlier process left running for a run, before anything is done again.
    async fn end_survivors(&self, run: &RunId) -> Result<(), DriveError> {
        let ended = self.0.outside.end_survivors(run).await;
        let ended = ended.map_err(|error| DriveError::Broken {
            run: run.clone(),
            reason: format!("what an earlier attempt left running could not be ended: {error}"),
        })?;
        for program in ended {
            tracing::info!("run {run}: ended the program `{program}`, which an earlier attempt left running");
        }
        Ok(())
    }

    /// Takes the lease of a run that was seen, and returns at which epoch, and how the run stood then.
    async fn claim(&self, run: &RunId, mut seen: Sighted) -> Result<(Epoch, Sighted), DriveError> {
        loop {
            let lease = seen.look.lease();
            if let Claim::Busy(holder) = self.decide(&lease)? {
                return Err(DriveError::Held {
                    run: run.clone(),
                    holder,
                });
            }
            failpoint::hit(failpoints::BEFORE_CLAIM);
            match self.0.journal.claiming(run, &self.0.id, &lease).await? {
                // Nobody writes without a lease: so nothing was written since.
                Taken::At(epoch) if lease.holder.is_none() => return Ok((epoch, seen)),
                // Whoever held it may have written until now.
                Taken::At(epoch) => return Ok((epoch, self.look(run)?)),
                // Somebody was faster: look again.
                Taken::Changed(_) => seen = self.look(run)?,
            }
        }
    }

    fn decide(&self, lease: &lease::Lease) -> Result<Claim, DriveError> {
        let holder = match &lease.holder {
            Some(holder) if *holder != self.0.id => self.0.outside.holder(holder).map_err(DriveError::Lock)?,
            _ => lease::Holder::Gone,
        };
        Ok(lease::claim(lease, &self.0.id, holder))
    }
}

/// A run as it was seen.
pub struct Sighted {
    look: Look,
    /// Where its journal is read on.
    past: Cursor,
}

impl Sighted {
    /// Returns its row.
    pub fn row(&self) -> &RunRow {
        &self.look.row
    }

    /// Returns what it waits for.
    pub fn waits(&self) -> &[WaitRow] {
        &self.look.waits
    }
}

/// Returns an id for a new run.
pub fn new_run_id() -> RunId {
    let text = ulid::Ulid::generate().to_string().to_ascii_lowercase();
    RunId::parse(&text).expect("a ULID in lower case is a run id")
}

/// Goes through the journal of a run, a part at a time. The outer error is the storage's, the inner one the journal's own.
pub(crate) fn survey(
    journal: &dyn Journal,
    run: &RunId,
    cursor: &mut Cursor,
) -> Result<Result<Survey, HistoryError>, JournalError> {
    let mut survey = Survey::default();
    loop {
        let records = journal.page(run, cursor)?;
        if records.is_empty() {
            return Ok(Ok(survey));
        }
        if let Err(error) = survey.add(records) {
            return Ok(Err(error));
        }
    }
}

/// Goes on through the journal of a run of which the first entries were read.
fn survey_on(
    journal: &dyn Journal,
    row: RunRow,
    mut records: Vec<Record>,
    cursor: &mut Cursor,
) -> Result<Result<Survey, HistoryError>, JournalError> {
    let mut survey = Survey::default();
    loop {
        let is_end = records.is_empty() || cursor.is_past(row.entries);
        if let Err(error) = survey.add(records) {
            return Ok(Err(error));
        }
        if is_end {
            return Ok(Ok(survey));
        }
        records = journal.page(&row.run, cursor)?;
    }
}

/// Tells the effects of calls that the journal holds, in order, as a script counts them.
fn note_calls(effects: &dyn Performer, records: &[Record]) {
    for record in records {
        if let skillhost_core::entry::Entry::Called(called) = &record.entry {
            effects.note(called);
        }
    }
}

/// Returns whether a worker lives. One whose lock cannot be looked at is taken for alive, as whoever drives is not to be doubted.
pub fn is_alive(home: &Home, worker: &WorkerId) -> bool {
    !matches!(lock::holder(&home.workers(), worker), Ok(lease::Holder::Gone))
}
