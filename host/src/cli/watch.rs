//! Waiting for the journal to say something, beside a daemon that may die meanwhile.

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
            daemon::revive(&context.home, journal)?;
            revived = Some(Instant::now());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
