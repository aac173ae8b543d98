//! The one place of this crate that reads the wall clock.

use skillhost_core::time::Timestamp;

/// Returns the time now. A clock before 1970 counts as 1970.
pub fn now() -> Timestamp {
    Timestamp(u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or(0))
}
