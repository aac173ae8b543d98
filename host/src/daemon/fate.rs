//! What becomes of a run whose attempt failed for a reason outside the skill.
//!
//! What may pass is tried again, with pauses, as a model call is. What will not pass, or did not, parks the run: a person reads why, and says when to go on. Nothing is dropped.

use std::any::Any;
use std::time::Duration;

use skillhost_core::id::{RunId, WorkerId};
use skillhost_core::retry::{RetryPolicy, chance};
use skillhost_core::time::Timestamp;
use skillhost_journal::{AppendError, JournalError, Trouble};

use crate::driver::DriveError;
use crate::error::CliError;
use crate::fault;

/// What becomes of a run.
pub(super) enum Fate {
    /// Nothing is to be done for now.
    Rest,
    /// It is tried again.
    Again {
        /// After so long.
        pause: Duration,
        /// Why.
        why: String,
    },
    /// It waits for a person.
    Park(Trouble),
    /// This worker, which lives, drives it.
    Elsewhere(WorkerId),
    /// It is not this daemon's business any more.
    Gone(String),
}

/// Decides about a run after so many attempts that failed, one after the other.
pub(super) fn of(error: DriveError, run: &RunId, failures: u32, now: Timestamp) -> Fate {
    let pause = RetryPolicy::default().pause(failures, None, None, chance(run.as_str(), failures));
    let attempts = failures;
    let may_pass = match &error {
        DriveError::Held { holder, .. } => return Fate::Elsewhere(holder.clone()),
        DriveError::Append(AppendError::Over { .. } | AppendError::UnknownRun { .. })
        | DriveError::Journal(JournalError::UnknownRun { .. } | JournalError::Over { .. }) => {
            return Fate::Gone(error.to_string());
        }
        DriveError::Lock(_) | DriveError::Broken { .. } | DriveError::Append(_) => true,
        DriveError::Journal(error) => matches!(error, JournalError::Storage { .. } | JournalError::Closed),
        DriveError::Load { source, .. } => source.may_pass(),
        DriveError::History { .. }
        | DriveError::Gone { .. }
        | DriveError::Provider { .. }
        | DriveError::Mismatch { .. } => false,
    };
    let error = CliError::from(error);
    match pause {
        Some(pause) if may_pass => Fate::Again {
            pause,
            why: error.sentence(),
        },
        _ => Fate::Park(Trouble {
            code: error.code.to_owned(),
            message: error.sentence(),
            hint: error.hint,
            at: now,
            attempts,
        }),
    }
}

/// Decides about a run whose attempt panicked: a fault of ours, which another attempt would meet again. A person says when to try.
pub(super) fn of_panic(panic: &(dyn Any + Send), run: &RunId, attempts: u32, now: Timestamp) -> Fate {
    let CliError {
        code, message, hint, ..
    } = fault::of_panic(panic);
    let again = format!("`skillhost resume {run}` tries again");
    Fate::Park(Trouble {
        code: code.to_owned(),
        message,
        hint: Some(hint.map_or_else(|| again.clone(), |hint| format!("{hint}; {again}"))),
        at: now,
        attempts,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use skillhost_core::id::Epoch;

    use super::*;

    fn run() -> RunId {
        RunId::parse("01jd0000000000000000000000").unwrap()
    }

    fn broken() -> DriveError {
        DriveError::Broken {
            run: run(),
            reason: "no memory".to_owned(),
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_and_parks_with_its_reason_after_the_last_attempt() {
        for failures in 1..5 {
            assert!(matches!(
                of(broken(), &run(), failures, Timestamp(0)),
                Fate::Again { .. }
            ));
        }
        let Fate::Park(trouble) = of(broken(), &run(), 5, Timestamp(0)) else {
            panic!("it was the last attempt");
        };
        assert_eq!((trouble.code.as_str(), trouble.attempts), ("attempt_failed", 5));
        assert!(trouble.message.contains("no memory"), "{}", trouble.message);
        assert!(trouble.hint.unwrap().contains("skillhost resume"));
    }

    #[test]
    fn what_will_not_pass_parks_at_once() {
        let gone = DriveError::Gone {
            run: run(),
            what: "the bundle".to_owned(),
        };
        assert!(matches!(of(gone, &run(), 1, Timestamp(0)), Fate::Park(trouble) if trouble.code == "bundle_gone"));
    }

    #[test]
    fn l1_what_another_worker_drives_is_left_to_it() {
        let holder = WorkerId::parse("w1").unwrap();
        let held = DriveError::Held {
            run: run(),
            holder: holder.clone(),
        };
        assert!(matches!(of(held, &run(), 1, Timestamp(0)), Fate::Elsewhere(worker) if worker == holder));
        let fenced = DriveError::Append(AppendError::Fenced {
            run: run(),
            held: Epoch(1),
            found: Epoch(2),
        });
        assert!(matches!(of(fenced, &run(), 1, Timestamp(0)), Fate::Again { .. }));
    }
}
