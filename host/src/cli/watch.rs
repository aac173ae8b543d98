//! Waiting for the journal to say something, beside a daemon that may die meanwhile.

use std::process::Child;
use std::time::{Duration, Instant};

use skillhost_journal::Journal;

use super::context::Context;
use crate::daemon;
use crate::error::Result;

/// How often the journal is asked whether anything was written.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How often it is seen to that somebody drives what is waited for.
const REVIVE_EVERY: Duration = Duration::from_millis(500);

/// Looks until there is something to see, at most for `time`; `None` if that is over.
pub(super) fn until<T>(
    context: &Context,
    journal: &dyn Journal,
    time: Option<Duration>,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let began = Instant::now();
    let mut revived = None;
    let mut child: Option<Child> = None;
    let mut version = None;
    loop {
        let now = journal.data_version()?;
        if version.replace(now) != Some(now)
            && let Some(seen) = look()?
        {
            return Ok(Some(seen));
        }
        if time.is_some_and(|time| began.elapsed() >= time) {
            return Ok(None);
        }
        if revived.is_none_or(|at: Instant| at.elapsed() >= REVIVE_EVERY) {
            if let Some(status) = child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                child = None;
                if !status.success() {
                    return Err(daemon::did_not_start(&context.home, status));
                }
            }
            if child.is_none() {
                child = daemon::revive(&context.home, journal)?;
            }
            revived = Some(Instant::now());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
