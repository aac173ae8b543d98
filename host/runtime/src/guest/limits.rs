//! What a guest may hold, and what becomes of one that wants more (rule G9).
//!
//! A bound that a guest can notice is the same at every replay: it depends on the guest and on `started`, never on the machine. What the machine
//! itself cannot give ends the attempt, not the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use skillhost_core::holdings::Holdings;
use wasmtime::ResourceLimiter;

use super::stop::{Broken, Exhausted};
use crate::ticker::SLICE;

/// The longest log line, in bytes.
pub const LINE_BYTES_MAX: usize = 16 << 10;
/// How much of a place in the source is kept, in bytes.
pub(crate) const PLACE_BYTES_MAX: usize = 256;
/// The longest label, in bytes.
pub const LABEL_BYTES_MAX: usize = 200;
/// The largest request of a call, and the largest result of a run.
pub const REQUEST_BYTES_MAX: usize = 8 << 20;
/// The most core instances that a guest may be allowed: a pool has room for so many of each of its guests, so that none is left without because of others.
pub const INSTANCES_MAX: u32 = 100;
/// The most memories that a guest may be allowed.
pub const MEMORIES_MAX: u32 = 8;
/// The most tables that a guest may be allowed.
pub const TABLES_MAX: u32 = 50;
/// The most elements that a table may be allowed.
pub const TABLE_ELEMENTS_MAX: u32 = 1_000_000;

/// Whose memory and time are bounded, which decides what the configuration calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Run,
    Describe,
}

impl Whose {
    fn memory_member(self) -> &'static str {
        match self {
            Self::Run => "limits.memory_mib",
            Self::Describe => "limits.describe_mib",
        }
    }
}

/// Bounds what one guest holds: the memory of all its memories together, and what else there is to hold.
#[derive(Debug)]
pub(crate) struct Limiter {
    whose: Whose,
    memory_bytes_max: u64,
    /// Shared with the guest's owner, who cannot look into the store.
    memory_bytes: Arc<AtomicU64>,
    holds: Holdings,
    /// Whether the guest was refused memory, which explains what it may do next.
    refused_memory: bool,
    /// Whether it was refused a larger table.
    refused_table: bool,
}

impl Limiter {
    pub(crate) fn new(whose: Whose, memory_bytes_max: u64, holds: Holdings) -> Self {
        Self {
            whose,
            memory_bytes_max,
            memory_bytes: Arc::default(),
            holds,
            refused_memory: false,
            refused_table: false,
        }
    }

    /// Returns what the guest may hold beside memory.
    pub(crate) fn holds(&self) -> &Holdings {
        &self.holds
    }

    /// Says what the guest was refused, if that may explain why it stopped.
    pub(crate) fn refused(&self) -> Option<String> {
        if self.refused_memory {
            return Some(format!(
                "it had been refused memory beyond its limit of {} MiB; `{}` in the configuration allows more",
                self.memory_bytes_max >> 20,
                self.whose.memory_member()
            ));
        }
        self.refused_table.then(|| {
            format!(
                "it had been refused a table of more than {} elements; `limits.table_elements` in the configuration allows more",
                self.holds.table_elements
            )
        })
    }

    /// Says which of the guest's bounds the engine speaks of, in words that name it.
    pub(crate) fn in_words(&self, engine: &str) -> Option<String> {
        let holds = &self.holds;
        let (what, max, member) = match engine {
            told if told.contains("instance count too high") => ("it is made of", holds.instances, "instances"),
            told if told.contains("memory count too high") => ("it has", holds.memories, "memories"),
            told if told.contains("table count too high") => ("it has", holds.tables, "tables"),
            told if told.contains("store handle limit exceeded") || told.contains("table has no free keys") => {
                return Some(format!(
                    "it held more than {} handles (open calls, sets, streams, timers, resources of its own); `limits.handles` in the configuration allows more",
                    holds.handles
                ));
            }
            told if told.contains("fuel allocated for hostcalls has been exhausted") => {
                return Some(format!(
                    "it moved more than {} MiB in one call between itself and the host; `limits.call_mib` in the configuration allows more",
                    holds.call_bytes >> 20
                ));
            }
            _ => return None,
        };
        let plural = member;
        Some(format!(
            "{what} more than {max} {plural}; `limits.{member}` in the configuration allows more, up to what the host has room for"
        ))
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
    whose: Whose,
    max: Duration,
    /// In microseconds.
    spent: AtomicU64,
    /// In microseconds, since the guest was made.
    total: AtomicU64,
}

impl Computing {
    pub(crate) fn new(whose: Whose, max: Duration) -> Self {
        Self {
            whose,
            max,
            spent: AtomicU64::new(0),
            total: AtomicU64::new(0),
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
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.spent.fetch_add(took, Ordering::Relaxed);
        self.total.fetch_add(took, Ordering::Relaxed);
        done
    }

    /// Returns how long it has computed since it was made, in milliseconds.
    pub(crate) fn total_ms(&self) -> u64 {
        self.total.load(Ordering::Relaxed) / 1_000
    }

    /// Says so if it has computed for longer than it may.
    pub(crate) fn exhausted(&self) -> Option<Exhausted> {
        let spent = Duration::from_micros(self.spent.load(Ordering::Relaxed));
        let seconds = self.max.as_secs_f64();
        (spent > self.max).then(|| {
            Exhausted(match self.whose {
                Whose::Run => format!(
                    "the skill computed for {seconds} seconds without waiting for a call; if that is right, `limits.computing_seconds` in the configuration allows more"
                ),
                Whose::Describe => format!(
                    "`describe` computed for {seconds} seconds; if that is right, `limits.describe_seconds` in the configuration allows more"
                ),
            })
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
            self.refused_memory = true;
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
        if desired > self.holds.table_elements as usize {
            self.refused_table = true;
            return Ok(false);
        }
        Ok(maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Broken(format!(
            "the machine could not give the skill a larger table: {error:#}"
        ))
        .into())
    }

    fn instances(&self) -> usize {
        self.holds.instances as usize
    }

    fn tables(&self) -> usize {
        self.holds.tables as usize
    }

    fn memories(&self) -> usize {
        self.holds.memories as usize
    }
}
