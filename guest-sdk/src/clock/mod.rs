//! Time, as the run's journal knows it. `std::time` shows the same time.

mod local;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::call::{Call, nanoseconds};
use crate::failure::IntoFailure as _;
use crate::host;

pub use local::{Local, When, local, today_at, tomorrow_at};

/// Returns the time, which never stands still and never goes back.
pub fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(host::clock::now())
}

/// Waits in real time, also while the host is down; at most ten years. It fails only with `cancelled`.
///
/// ```
/// # use skillhost_sdk::prelude::*;
/// # async fn example() -> Result<()> {
/// sleep(hours(12)).label("until the evening").await?;
/// # Ok(())
/// # }
/// # skillhost_sdk::example::run(example());
/// ```
pub fn sleep(duration: Duration) -> Call<()> {
    let duration_ns = nanoseconds(duration);
    Call::new(
        move |options| host::clock::start_sleep(duration_ns, options),
        |pending| host::clock::finish_sleep(pending).map_err(|error| error.into_failure()),
    )
}

/// Waits until a time, such as [`tomorrow_at`]; not at all if it is past.
pub fn sleep_until(time: impl Into<When>) -> Call<()> {
    match time.into().time() {
        Ok(time) => sleep(time.duration_since(now()).unwrap_or_default()),
        Err(failure) => Call::known(Err(failure)),
    }
}

/// So many seconds.
pub const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// So many minutes.
pub const fn mins(count: u64) -> Duration {
    Duration::from_secs(count.saturating_mul(60))
}

/// So many hours.
pub const fn hours(count: u64) -> Duration {
    Duration::from_secs(count.saturating_mul(3_600))
}

/// So many days of 24 hours.
pub const fn days(count: u64) -> Duration {
    Duration::from_secs(count.saturating_mul(86_400))
}
