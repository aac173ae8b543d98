//! Looks into a run's mailbox whenever somebody may have put something there (rule P1).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use skillhost_core::id::RunId;
use skillhost_core::machine::{Command, Mail, Status, Wait};
use skillhost_core::planted::{self, Bug};
use skillhost_journal::{Journal, JournalError};
use tokio::sync::Notify;

use super::outside::Outside;

/// How often the database is asked whether anything was written, where nobody says so.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// After a look that failed, how long until the next.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// How it is learnt that something was put into a mailbox.
#[derive(Clone, Debug)]
pub enum Bell {
    /// Somebody rings who knows.
    Rung(Arc<Ring>),
    /// Nobody does: the database is asked, again and again.
    Absent,
}

/// A bell that is rung when somebody wants something of a run.
#[derive(Debug, Default)]
pub struct Ring {
    bell: Notify,
    rung: AtomicBool,
    draining: AtomicBool,
}

impl Ring {
    /// Rings.
    pub fn ring(&self) {
        self.rung.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }

    /// Rings, and asks for nothing more to be begun.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }

    /// Returns whether it was rung since somebody last looked.
    pub fn is_rung(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }

    /// Returns whether nothing more is to be begun.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Notes that somebody looks now.
    pub fn answer(&self) {
        self.rung.store(false, Ordering::SeqCst);
    }

    /// Notes that whoever looked could not see.
    pub fn unanswered(&self) {
        self.rung.store(true, Ordering::SeqCst);
    }

    /// Waits until it is rung. May be dropped and asked again.
    pub async fn heard(&self) {
        self.bell.notified().await;
    }
}

/// Returns whether a run does something with its mail, as both stand. Events and notes that were sent ahead lie there until they are asked for, and a run that is paused
/// takes what lifts that.
pub fn is_wanted(journal: &dyn Journal, run: &RunId) -> Result<bool, JournalError> {
    let is_paused = journal.run(run)?.status == Status::Paused;
    let waits = journal.waits(run)?;
    let mail = journal.mail(run)?;
    Ok(mail.iter().any(|mail| match &mail.command {
        Command::Cancel { .. } | Command::Resume { .. } => true,
        Command::Note { .. } => false,
        Command::Event { name, .. } => !is_paused && waits.iter().any(|wait| wait.wait == Wait::Event(name.clone())),
        Command::Answer { .. } | Command::Decide { .. } | Command::Child { .. } | Command::Pause { .. } => !is_paused,
    }))
}

/// A run's mailbox.
pub(super) struct Mailbox {
    journal: Arc<dyn Journal>,
    outside: Arc<dyn Outside>,
    run: RunId,
    when: When,
    /// The last look failed; it is time for the next when the process has been there for so long.
    again: Option<Duration>,
}

enum When {
    Rung(Arc<Ring>),
    Looking { seen: Option<u64>, next: Duration },
}

impl Mailbox {
    pub(super) fn new(journal: Arc<dyn Journal>, outside: Arc<dyn Outside>, run: RunId, bell: Bell) -> Self {
        let when = match bell {
            Bell::Rung(ring) => When::Rung(ring),
            Bell::Absent => When::Looking {
                seen: None,
                next: outside.uptime(),
            },
        };
        Self {
            journal,
            outside,
            run,
            when,
            again: None,
        }
    }

    /// Waits until it is time to look again. May be dropped and asked again.
    pub(super) async fn due(&mut self) {
        if let Some(again) = self.again {
            self.up_for(again).await;
            self.again = None;
            return;
        }
        match &self.when {
            When::Rung(ring) => ring.heard().await,
            When::Looking { next, .. } => {
                self.up_for(*next).await;
                if let When::Looking { next, .. } = &mut self.when {
                    *next = self.outside.uptime() + LOOK_EVERY;
                }
            }
        }
    }

    /// Waits until the process has been there for so long.
    async fn up_for(&self, uptime: Duration) {
        self.outside.sleep(uptime.saturating_sub(self.outside.uptime())).await;
    }

    /// Has it looked into again soon, because it could not be.
    pub(super) fn look_again(&mut self) {
        self.again = Some(self.outside.uptime() + AFTER_ERROR);
    }

    /// Returns whether nothing more is to be begun.
    pub(super) fn is_draining(&self) -> bool {
        matches!(&self.when, When::Rung(ring) if ring.is_draining())
    }

    /// Returns what is there as the attempt begins, of which this was seen. Who rang since then is still to be heard.
    pub(super) fn look_first(&mut self, seen: Vec<Mail>) -> Result<Vec<Mail>, JournalError> {
        match &self.when {
            When::Rung(_) => Ok(seen),
            When::Looking { .. } => self.look(),
        }
    }

    /// Returns what is there, if anything may have changed since the last look. A look that failed has seen nothing.
    pub(super) fn look(&mut self) -> Result<Vec<Mail>, JournalError> {
        match &mut self.when {
            When::Rung(ring) => {
                // Before the look: who rings during it is heard.
                ring.answer();
                let mail = self.journal.mail(&self.run);
                if mail.is_err() && !planted::is(Bug::MailUnseen) {
                    // The run must not leave memory as if nobody had rung: nobody would ring again.
                    ring.unanswered();
                }
                mail
            }
            When::Looking { seen, .. } => {
                let version = self.journal.data_version()?;
                if *seen == Some(version) {
                    return Ok(Vec::new());
                }
                let mail = self.journal.mail(&self.run)?;
                *seen = Some(version);
                Ok(mail)
            }
        }
    }
}
