//! Looks into a run's mailbox whenever somebody else may have put something there (rule P1).

use std::sync::Arc;
use std::time::Duration;

use skillhost_core::id::RunId;
use skillhost_core::machine::Mail;
use skillhost_journal::{Journal, JournalError};
use tokio::time::{Interval, MissedTickBehavior};

/// How often the database is asked whether anything was written.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A run's mailbox.
pub(super) struct Mailbox {
    journal: Arc<dyn Journal>,
    run: RunId,
    seen: Option<u64>,
    ticks: Interval,
}

impl Mailbox {
    pub(super) fn new(journal: Arc<dyn Journal>, run: RunId) -> Self {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            journal,
            run,
            seen: None,
            ticks,
        }
    }

    /// Waits until it is time to look again. May be dropped and asked again.
    pub(super) async fn due(&mut self) {
        self.ticks.tick().await;
    }

    /// Returns what is there, if anything may have changed since the last look.
    pub(super) fn look(&mut self) -> Result<Vec<Mail>, JournalError> {
        let version = self.journal.data_version()?;
        if self.seen.replace(version) == Some(version) {
            return Ok(Vec::new());
        }
        self.journal.mail(&self.run)
    }
}
