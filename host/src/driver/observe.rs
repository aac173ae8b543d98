//! What is seen of a run while it is driven. Nothing here is recorded; it is for whoever watches, in this process or in another.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use skillhost_core::effect::Function;
use skillhost_core::entry::Why;
use skillhost_core::id::Number;
use skillhost_core::machine::Line;
use skillhost_effects::Progress;

/// Watches a run. Called on the task that drives it, so it must not block.
pub trait Observer: Send {
    /// Takes in what happened.
    fn on(&mut self, seen: Seen<'_>);
}

/// Something that is seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
        label: Option<Cow<'a, str>>,
    },
    /// A performance is under way.
    Performing(Number, Progress),
    /// A call is performed once more.
    Retried {
        /// Which.
        number: Number,
        /// Why.
        why: Why,
        /// The code of what went wrong.
        fault: Option<Cow<'a, str>>,
    },
    /// A call was answered.
    Returned {
        /// Which.
        number: Number,
        /// The code of the fault, if it is one.
        fault: Option<Cow<'a, str>>,
        /// The tokens it used.
        tokens: u64,
    },
    /// The skill said something. Provisional until it is durable (rule J5).
    Line(Cow<'a, Line>),
    /// The run only waits, for so many calls.
    Idle(usize),
    /// The journal cannot be written, and why; or it can again.
    Storage(Option<Cow<'a, str>>),
}

impl Seen<'_> {
    /// Returns the same, for whoever looks at it later.
    pub fn into_owned(self) -> Seen<'static> {
        let owned = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        match self {
            Self::Replayed(number) => Seen::Replayed(number),
            Self::Live => Seen::Live,
            Self::Called {
                number,
                function,
                label,
            } => Seen::Called {
                number,
                function,
                label: owned(label),
            },
            Self::Performing(number, progress) => Seen::Performing(number, progress),
            Self::Retried { number, why, fault } => Seen::Retried {
                number,
                why,
                fault: owned(fault),
            },
            Self::Returned { number, fault, tokens } => Seen::Returned {
                number,
                fault: owned(fault),
                tokens,
            },
            Self::Line(line) => Seen::Line(Cow::Owned(line.into_owned())),
            Self::Idle(waits) => Seen::Idle(waits),
            Self::Storage(message) => Seen::Storage(owned(message)),
        }
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn on(&mut self, _seen: Seen<'_>) {}
}
