//! Everything outside of the journal that driving touches: clocks, tasks, the locks of other workers, and what an attempt is made of.
//!
//! There is one of it in the product, [`Computer`](super::Computer). It is a trait because the simulation has another, in which time passes when nothing else can
//! happen and every answer is drawn from a seed; what drives in it is the same code as everywhere. So whoever drives reads no clock, starts no task and opens no file
//! but through here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use skillhost_core::budget::Cost;
use skillhost_core::entry::{Called, Pin, Started};
use skillhost_core::id::{Epoch, RunId, WorkerId};
use skillhost_core::lease::Holder;
use skillhost_core::machine::{Delivery, Ended, Slice, Ticket};
use skillhost_core::outcome::Fault;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_effects::Watch;
use skillhost_effects::model::Settings;
use skillhost_journal::RunRow;
use skillhost_runtime::Guest;

use super::{Development, DriveError, Kin};
use crate::schema::Schema;

/// What a worker finds around it.
pub trait Outside: Send + Sync + 'static {
    /// Returns what the wall clock shows. It may be set, in either direction.
    fn now(&self) -> Timestamp;

    /// Returns how long this has been there, by a clock that nobody sets and that stands still while the computer sleeps.
    fn uptime(&self) -> Duration;

    /// Returns when so much of [`Outside::uptime`] has passed.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;

    /// Has a task go on by itself, until it ends or the process does.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Asks the lock of another worker whether it lives (rule L1).
    fn holder(&self, worker: &WorkerId) -> io::Result<Holder>;

    /// Returns when another worker is gone, however long that takes.
    fn gone(&self, worker: &WorkerId) -> BoxFuture<'static, io::Result<()>>;

    /// Ends what an earlier process left running for a run, and returns what that was.
    fn end_survivors(&self, run: &RunId) -> BoxFuture<'static, io::Result<Vec<String>>>;

    /// Makes what an attempt needs.
    fn equip<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Result<Equipment, DriveError>>;

    /// Returns what the result of a run has to fit.
    fn result_schema<'a>(&'a self, row: &'a RunRow) -> BoxFuture<'a, Result<Schema, DriveError>>;
}

/// An attempt that is to be equipped.
pub struct Attempt<'a> {
    /// At which run.
    pub run: &'a RunId,
    /// The epoch at which it is held.
    pub epoch: Epoch,
    /// How it was launched.
    pub started: &'a Started,
    /// When.
    pub started_at: Timestamp,
    /// What it is pinned to by now.
    pub pin: Pin,
    /// Where keys and places of model providers come from.
    pub settings: &'a Settings,
    /// What a run in development is given further.
    pub development: Option<&'a Development>,
    /// Hears of the runs that it calls.
    pub kin: &'a Arc<dyn Kin>,
}

/// What an attempt is made of.
pub struct Equipment {
    /// The guest, not started.
    pub guest: Box<dyn Player>,
    /// What performs its calls.
    pub effects: Arc<dyn Performer>,
    /// What its skill may spend in a day.
    pub day: Option<Cost>,
}

/// The guest as whoever drives sees it: a machine with two inputs.
pub trait Player: Send {
    /// Runs it from the beginning until it blocks or ends.
    fn start(&mut self) -> BoxFuture<'_, Slice>;

    /// Gives it an outcome, and runs it if it can go on now.
    fn deliver(&mut self, delivery: Delivery) -> BoxFuture<'_, Slice>;

    /// Returns what it holds at most, in bytes.
    fn memory_bytes(&self) -> u64;

    /// Returns how long it has computed since it was made, in milliseconds.
    fn computed_ms(&self) -> u64;
}

impl Player for Guest {
    fn start(&mut self) -> BoxFuture<'_, Slice> {
        Box::pin(Self::start(self))
    }

    fn deliver(&mut self, delivery: Delivery) -> BoxFuture<'_, Slice> {
        Box::pin(Self::deliver(self, delivery))
    }

    fn memory_bytes(&self) -> u64 {
        Self::memory_bytes(self)
    }

    fn computed_ms(&self) -> u64 {
        Self::computed_ms(self)
    }
}

/// Performs what tickets allow.
pub trait Performer: Send + Sync {
    /// Takes note of a call that the journal holds ([`skillhost_effects::Effects::note`]).
    fn note(&self, called: &Called);

    /// Measures what has to be known before the call can be performed; or it could not be, and the call ends so.
    fn measure(&self, ticket: Ticket) -> BoxFuture<'static, Result<Payload, Ended>>;

    /// Has the run launched that a call of a skill is for, or finds it (rule K1), and returns what is recorded of that.
    ///
    /// # Errors
    /// The outer error is this host's and ends the attempt; the inner one is the answer to the call.
    fn launch(&self, ticket: Ticket) -> BoxFuture<'static, Result<Result<Payload, Fault>, DriveError>>;

    /// Performs the call once. Dropping the future ends the performance, as far as it can be ended.
    fn perform(&self, ticket: Ticket, watch: Watch) -> BoxFuture<'static, Ended>;
}
