//! A daemon without a socket, a folder of skills and notices: the roster and the lookout, as the simulation runs them (`tests/sim`).

use std::sync::Arc;

use skillhost_core::id::RunId;
use skillhost_effects::model;
use skillhost_journal::JournalError;

use super::herald::Herald;
use super::lookout;
use super::roster::Roster;
use crate::driver::{Room, Worker};
use crate::home::Home;

/// The part of a daemon that drives.
pub struct Simulated(Arc<Roster>);

impl Simulated {
    /// Finds what was interrupted, and goes on from then on. What is in `home` is not looked at.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn begin(worker: Worker, room: Room, home: &Home) -> Result<Self, JournalError> {
        let own = model::Environment::of(|_| None);
        let herald = Herald::silent(home);
        let roster = Roster::new(worker, room, herald, model::Config::default(), home.keys(), own);
        let seen = lookout::Seen::begin(&roster)?;
        let outside = roster.worker().outside();
        outside.spawn(Box::pin(lookout::keep_time(Arc::clone(&roster))));
        outside.spawn(Box::pin(lookout::look_around(Arc::clone(&roster), seen)));
        Ok(Self(roster))
    }

    /// Drives a run that was launched; `false` if nothing is begun any more.
    pub fn drive(&self, run: &RunId) -> bool {
        self.0.drive(run, model::Environment::of(|_| None))
    }

    /// Goes on with a run, because something may have happened to it; `false` if nothing is begun any more.
    pub fn wake(&self, run: &RunId) -> bool {
        self.0.wake(run)
    }

    /// Lets go of a run, and leaves it alone until it is given back.
    pub async fn lend(&self, run: &RunId) {
        self.0.lend(run).await;
    }

    /// Takes a run back that was lent.
    pub fn take_back(&self, run: &RunId) {
        self.0.take_back(run);
    }

    /// Stops to begin anything, and returns when no run is in memory.
    pub async fn drain(&self) {
        self.0.drain();
        self.0.emptied().await;
    }
}
