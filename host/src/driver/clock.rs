//! The one place of this crate that reads the wall clock.

use skillhost_core::time::Timestamp;
use skillhost_journal::failpoint;

/// Returns the time now. A clock before 1970 counts as 1970.
pub fn now() -> Timestamp {
    let microseconds = jiff::Timestamp::now().as_microsecond() + failpoint::clock_set_by();
    Timestamp(u64::try_from(microseconds).unwrap_or(0))
}
