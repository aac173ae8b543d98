//! What a guest may hold, and what becomes of one that wants more (rule G9).
//!
//! A bound that a guest can notice is the same at every replay: it depends on the guest and on `started`, never on the machine. What the machine
//! itself cannot give ends the attempt, not the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;

use super::stop::{Broken, Exhausted};
use crate::ticker::SLICE;

/// The most calls that may be open in a run.
pub(crate) const OPEN_CALLS_MAX: usize = 10_000;
/// The most handles that a guest may hold: its open calls, sets, streams and timers.
pub(crate) const HANDLES_MAX: usize = 25_000;
/// The most that a guest may do between two outcomes: calls started and dropped, lines logged.
pub(crate) const ACTS_MAX: usize = 100_000;
/// The most bytes of requests and log lines between two outcomes.
pub(crate) const ACT_BYTES_MAX: usize = 256 << 20;
/// The longest log line, in bytes.
pub(crate) const LINE_BYTES_MAX: usize = 16 << 10;
/// How much of a place in the source is kept, in bytes.
pub(crate) const PLACE_BYTES_MAX: usize = 256;
/// The longest label, in bytes.
pub(crate) const LABEL_BYTES_MAX: usize = 200;
/// What one function call may carry from the guest to the host. Requests are smaller; what lies between is refused in words.
pub(crate) const HOSTCALL_BYTES_MAX: usize = 24 << 20;
/// The largest request of a call, and the largest result of a run.
pub(crate) const REQUEST_BYTES_MAX: usize = 8 << 20;
/// The most memory of a guest that answers `describe`.
pub(crate) const DESCRIBE_MEMORY_BYTES_MAX: u64 = 256 << 20;
/// The most core instances in a guest.
pub(crate) const INSTANCES_MAX: usize = 100;
/// The most memories in a guest.
pub(crate) const MEMORIES_MAX: usize = 20;
/// The most tables in a guest.
pub(crate) const TABLES_MAX: usize = 50;
/// The most elements in a table.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Bounds the memory of one guest, all its memories together.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_bytes_max: u64,
    /// Shared with the guest's owner, who cannot look into the store.
    memory_bytes: Arc<AtomicU64>,
    /// Whether the guest was refused memory, which explains what it may do next.
    pub(crate) refused: bool,
}

impl Limiter {
    pub(crate) fn new(memory_bytes_max: u64) -> Self {
        Self {
            memory_bytes_max,
            memory_bytes: Arc::default(),
            refused: false,
        }
    }

    pub(crate) fn memory_bytes_max(&self) -> u64 {
        self.memory_bytes_max
    }

    /// Returns the place where the size of all its memories stands.
    pub(crate) fn memory_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.memory_bytes)
    }
}

/// Bounds the time that one guest computes between two outcomes.
///
/// The time is the machine's, so it is no bound that a guest could notice: whoever finds it exhausted while a journal is replayed ends the attempt, not the run.
#[derive(Debug)]
pub(crate) struct Computing {
    max: Duration,
    /// In microseconds.
    spent: AtomicU64,
}

impl Computing {
    pub(crate) fn new(max: Duration) -> Self {
        Self {
            max,
            spent: AtomicU64::new(0),
        }
    }

    /// Begins to count anew: the guest was given something.
    pub(crate) fn begin(&self) {
        self.spent.store(0, Ordering::Relaxed);
    }

    /// Counts the time of a turn. A turn that took much longer than it may has waited for the machine, which is not the guest's doing.
    pub(crate) fn timed<T>(&self, turn: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = turn();
        let took = begun.elapsed().min(2 * SLICE);
        self.spent
            .fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        done
    }

    /// Says so if it has computed for longer than it may.
    pub(crate) fn exhausted(&self) -> Option<Exhausted> {
        let spent = Duration::from_micros(self.spent.load(Ordering::Relaxed));
        (spent > self.max).then(|| {
            Exhausted(format!(
                "the skill computed for {} seconds without waiting for a call; if that is right, `limits.computing_seconds` in the configuration allows more",
                self.max.as_secs_f64()
            ))
        })
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self
            .memory_bytes
            .load(Ordering::Relaxed)
            .saturating_sub(current as u64)
            .saturating_add(desired as u64);
        if grown > self.memory_bytes_max {
            self.refused = true;
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.memory_bytes.store(grown, Ordering::Relaxed);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // Asking for more than an address can name fails everywhere alike; this is all that wasmtime reports without having asked above.
        if error.to_string() == "memory growth exceeds memory type's limits" {
            return Ok(());
        }
        Err(Broken(format!("the machine could not give the skill more memory: {error:#}")).into())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX && maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Broken(format!(
            "the machine could not give the skill a larger table: {error:#}"
        ))
        .into())
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}
