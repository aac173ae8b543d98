//! Notices what nobody rings for: times that come, and what other processes left in the journal while no daemon was there, or without telling it.

use std::sync::Arc;
use std::time::Duration;

use skillhost_core::id::{Epoch, MailId, RunId};
use skillhost_core::machine::Status as Standing;
use skillhost_core::planted::{self, Bug};
use skillhost_core::time::Timestamp;
use skillhost_journal::{JournalError, RunningRun};

use super::FOUND_AT_ONCE;
use super::roster::{Offered, Roster};

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
            Ok(Some(next)) => next.since(roster.now()).min(LOOK_AT_CLOCK_EVERY),
            Err(error) => {
                tracing::error!("could not look for times that are due: {error}");
                AFTER_ERROR
            }
        };
        tokio::select! {
            biased;
            () = roster.waits_changed() => {}
            () = roster.worker().outside().sleep(pause) => {}
        }
    }
}

/// Wakes what is due, and returns when something is due next.
fn wake_due(roster: &Arc<Roster>) -> Result<Option<Timestamp>, JournalError> {
    let now = roster.now();
    // Before it is known: a run that ends meanwhile is not to be missed.
    roster.note_left(true);
    // If there is no room, some have to end first, and then it is asked again.
    let mut is_left = !roster.has_room();
    if !is_left && !planted::is(Bug::TimesForgotten) {
        for due in roster.journal().due(now)? {
            // One in memory keeps its own time; one that was paused or parked waits for a person first.
            if due.status == Standing::Waiting && roster.offer(&due.run, None) == Offered::Full {
                is_left = true;
                break;
            }
        }
    }
    roster.note_left(is_left);
    roster.journal().next_deadline(now)
}

/// Wakes runs that have mail or that nobody drives, for ever.
pub(super) async fn look_around(roster: Arc<Roster>, mut seen: Seen) {
    loop {
        let pause = match seen.look(&roster) {
            Ok(()) => LOOK_EVERY,
            Err(error) => {
                tracing::error!("could not look into the journal: {error}");
                AFTER_ERROR
            }
        };
        roster.worker().outside().sleep(pause).await;
    }
}

/// What was seen so far.
#[derive(Default)]
pub(super) struct Seen {
    /// The database as it was when everything in it was seen.
    version: Option<u64>,
    mail: MailId,
    /// When it was last searched, by how long the process had been there.
    searched: Option<Duration>,
    search: Option<Search>,
}

/// A search that has not come to its end, because there was no room for what it found.
struct Search {
    /// The database as it was at the beginning.
    version: u64,
    /// What was made until then is told by nobody.
    untold: Timestamp,
    /// How far it came.
    after: Option<RunId>,
    /// Whether something was passed over.
    left_out: bool,
}

impl Search {
    fn of(version: u64, untold: Timestamp) -> Self {
        Self {
            version,
            untold,
            after: None,
            left_out: false,
        }
    }
}

impl Seen {
    /// Sees what was interrupted before there was this daemon, the youngest too.
    pub(super) fn begin(roster: &Arc<Roster>) -> Result<Self, JournalError> {
        let mut seen = Self::default();
        let version = roster.journal().data_version()?;
        seen.search = Some(Search::of(version, roster.now()));
        seen.search(roster, version, TOLD_WITHIN)?;
        // Mail has not been seen yet.
        seen.version = None;
        Ok(seen)
    }

    pub(super) fn look(&mut self, roster: &Arc<Roster>) -> Result<(), JournalError> {
        let version = roster.journal().data_version()?;
        if self.is_all_of(version) {
            return Ok(());
        }
        for (run, newest) in roster.journal().mail_since(self.mail)? {
            self.mail = self.mail.max(newest);
            roster.wake(&run);
        }
        let is_time = match self.search {
            Some(_) => roster.has_room(),
            None => self
                .searched
                .is_none_or(|at| roster.worker().outside().uptime() >= at + SEARCH_EVERY),
        };
        if is_time {
            self.search(roster, version, TOLD_WITHIN)?;
            roster.reconsider_waits();
        }
        Ok(())
    }

    /// Returns whether everything was seen of the database as it was then.
    pub(super) fn is_all_of(&self, version: u64) -> bool {
        self.version == Some(version) && self.search.is_none()
    }

    /// Offers the runs that were doing something, as far as there is room. Whoever has made one within `told_within` is about to say so, with his keys.
    pub(super) fn search(
        &mut self,
        roster: &Arc<Roster>,
        version: u64,
        told_within: Duration,
    ) -> Result<(), JournalError> {
        let resumed = self.search.take();
        let mut search = resumed.unwrap_or_else(|| Search::of(version, Timestamp::default()));
        self.searched = Some(roster.worker().outside().uptime());
        loop {
            let found = roster.journal().running(search.after.as_ref(), FOUND_AT_ONCE)?;
            let is_last = found.len() < FOUND_AT_ONCE;
            for RunningRun {
                run,
                skill,
                created_at,
                epoch,
                ..
            } in found
            {
                // One of a time to come is not young: the clock was set back since.
                let now = roster.now();
                let is_new = epoch == Epoch(0) && (search.untold < created_at && created_at <= now);
                let is_young = is_new && now.since(created_at) < told_within;
                match is_young {
                    true => search.left_out = true,
                    false => match roster.offer(&run, Some(&skill)) {
                        Offered::Taken => {}
                        Offered::SkillFull => search.left_out = true,
                        Offered::Full => {
                            self.search = Some(search);
                            return Ok(());
                        }
                    },
                }
                search.after = Some(run);
            }
            if is_last {
                // What was left out of a search is not forgotten, nor what came while it went on.
                self.version = Some(search.version).filter(|_| !search.left_out || planted::is(Bug::YoungForgotten));
                return Ok(());
            }
        }
    }
}
