//! `clock`: timers. A tick's request and answer are `null`: its value is the guest's time after its delivery.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest timer: ten years.
pub const SLEEP_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// `clock.sleep`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sleep {
    /// How long, in nanoseconds.
    pub duration_ns: u64,
}
