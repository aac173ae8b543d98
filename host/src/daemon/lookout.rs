//! Notices what nobody rings for: times that come, and what other processes left in the journal while no daemon was there, or without telling it.

use std::sync::Arc;
use std::time::Duration;

use skillhost_core::id::{Epoch, MailId};
use skillhost_core::machine::Status as Standing;
use skillhost_core::time::Timestamp;
use skillhost_journal::{JournalError, RunFilter};
use tokio::time::{Instant, MissedTickBehavior};

use super::roster::Roster;
use crate::driver::now;

/// How often the database is asked whether anything was written.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often runs are looked for that nobody told of: rarely, as who makes one tells the daemon.
const SEARCH_EVERY: Duration = Duration::from_secs(2);

/// Within this time a run is told of by whoever made it.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// The longest sleep before the wall clock is read again: it may have been set meanwhile.
const LOOK_AT_CLOCK_EVERY: Duration = Duration::from_secs(30);

/// After an error, how long until the journal is asked again.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Wakes runs whose time has come, for ever.
pub(super) async fn keep_time(roster: Arc<Roster>) {
    loop {
        let pause = match wake_due(&roster) {
            Ok(None) => LOOK_AT_CLOCK_EVERY,
            Ok(Some(next)) => next.since(now()).min(LOOK_AT_CLOCK_EVERY),
            Err(error) => {
                tracing::error!("could not look for times that are due: {error}");
                AFTER_ERROR
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = roster.waits_changed() => {}
        }
    }
}

/// Wakes what is due, and returns when something is due next.
fn wake_due(roster: &Arc<Roster>) -> Result<Option<Timestamp>, JournalError> {
    let now = now();
    for due in roster.journal().due(now)? {
        // One in memory keeps its own time; one that was paused or parked waits for a person first.
        if due.status == Standing::Waiting {
            roster.wake_if_away(&due.run);
        }
    }
    roster.journal().next_deadline(now)
}

/// Wakes runs that have mail or that nobody drives, for ever.
pub(super) async fn look_around(roster: Arc<Roster>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = Seen::default();
    loop {
        ticks.tick().await;
        if let Err(error) = seen.look(&roster) {
            tracing::error!("could not look into the journal: {error}");
            tokio::time::sleep(AFTER_ERROR).await;
        }
    }
}

/// What was seen at the last look.
#[derive(Default)]
struct Seen {
    version: Option<u64>,
    mail: MailId,
    searched: Option<Instant>,
}

impl Seen {
    fn look(&mut self, roster: &Arc<Roster>) -> Result<(), JournalError> {
        let version = roster.journal().data_version()?;
        let mut left_out = false;
        let search = self.searched.is_none_or(|at| at.elapsed() >= SEARCH_EVERY);
        if self.version == Some(version) {
            return Ok(());
        }
        for (run, newest) in roster.journal().mail_since(self.mail)? {
            self.mail = self.mail.max(newest);
            roster.wake(&run);
        }
        if search {
            let running = RunFilter {
                status: vec![Standing::Running],
                ..RunFilter::default()
            };
            for row in roster.journal().runs(&running)? {
                // Whoever has just made a run is about to say so, with his keys.
                let is_young = row.epoch == Epoch(0) && now().since(row.created_at) < TOLD_WITHIN;
                match is_young {
                    true => left_out = true,
                    false => roster.wake_if_away(&row.run),
                }
            }
            roster.reconsider_waits();
            self.searched = Some(Instant::now());
            // Only now, and not before everything was taken: what is left out of a search is not forgotten.
            self.version = Some(version).filter(|_| !left_out);
        }
        Ok(())
    }
}
