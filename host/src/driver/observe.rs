//! What is seen of a run while it is driven. Nothing here is recorded; it is for whoever watches.

use skillhost_core::effect::Function;
use skillhost_core::entry::Why;
use skillhost_core::id::Number;
use skillhost_core::machine::{Idle, Line};
use skillhost_core::outcome::Fault;
use skillhost_effects::Progress;
use skillhost_journal::Health;

/// Watches a run. Called on the task that drives it, so it must not block.
pub trait Observer: Send {
    /// Takes in what happened.
    fn on(&mut self, seen: Seen<'_>);
}

/// Something that is seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen<'a> {
    /// The guest was given an outcome that the journal held.
    Replayed(Number),
    /// The replay is over; from here on, things are done.
    Live,
    /// A call was started.
    Called {
        /// Which.
        number: Number,
        /// Of what.
        function: Function,
        /// What the skill calls it.
        label: Option<&'a str>,
    },
    /// A performance is under way.
    Performing(Number, Progress),
    /// A call is performed once more.
    Retried {
        /// Which.
        number: Number,
        /// Why.
        why: Why,
        /// What went wrong.
        fault: Option<&'a Fault>,
    },
    /// A call was answered.
    Returned {
        /// Which.
        number: Number,
        /// With a fault.
        fault: Option<&'a Fault>,
        /// The tokens it used.
        tokens: u64,
    },
    /// The skill said something. Provisional until it is durable (rule J5).
    Line(&'a Line),
    /// The run only waits.
    Idle(&'a Idle),
    /// How storage fares has changed.
    Storage(&'a Health),
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn on(&mut self, _seen: Seen<'_>) {}
}
