//! A run in development: answers that earlier runs were given are given again instead of being asked for.
//!
//! What is given again stands in the journal like any other outcome, with [`By::Record`], so the run replays without the recording. Such a run lives in the time
//! of the first run of its line: an answer comes when its guest saw it come then, and what is asked anew comes as long after its start as it really took. So a
//! date in a request does not make the request new.

use std::sync::Arc;

use super::flight::Flight;
use super::{Guest, Machine};
use crate::calls::Reuse;
use crate::effect::{Class, Function, Kind};
use crate::entry::By;
use crate::id::Number;
use crate::recording::{Playback, Recording};
use crate::time::Timestamp;

impl Machine {
    /// Has the run answer what it can from a recording. What must not be done twice, it then does not begin either before a person says so: a run that is begun
    /// again after every change of its skill would do it again and again.
    #[must_use]
    pub fn reusing(mut self, recording: Arc<Recording>) -> Self {
        assert!(
            self.guest == Guest::Running && self.number_next == Number(0),
            "it has not begun"
        );
        self.playback = Some(Playback::new(recording));
        self
    }

    /// Answers what can be answered from the recording, in the order in which that was answered.
    pub(super) fn reuse(&mut self) {
        if self.playback.is_none() {
            return;
        }
        let reusable = |number: &Number| {
            let flight = self.flights.get(*number)?;
            let take = flight.take.clone().filter(|_| is_reused(flight))?;
            Some((take.order, *number, take))
        };
        let mut reusable: Vec<_> = self.flights.started().iter().filter_map(reusable).collect();
        reusable.sort_by_key(|(order, ..)| *order);
        for (_, number, take) in reusable {
            let by = By::Record {
                run: take.run.clone(),
                number: take.number,
            };
            let spent = self.flights.get(number).and_then(|flight| flight.bound);
            let spent = spent.map(|_| crate::budget::Cost::ZERO);
            self.answer_at(take.at, number, take.outcome.clone(), spent, by);
        }
    }

    /// Returns whether a person is asked before a call is begun.
    pub(super) fn asks_first(&self, flight: &Flight) -> bool {
        self.playback.is_some() && flight.called.class == Class::AtMostOnce
    }

    /// Returns when an answer that comes now is to come for the guest.
    pub(super) fn time_of_answer(&self, number: Number) -> Timestamp {
        match self.flights.get(number) {
            Some(flight) if self.playback.is_some() => match &flight.take {
                Some(take) => take.at,
                None => flight.begun.guest.after(self.now.since(flight.begun.wall)),
            },
            _ => self.now,
        }
    }
}

/// Returns whether a call may be answered from a recording. Reading is done again, as what is read may have changed; so is changing files, which the run's folder
/// has to show.
fn is_reused(flight: &Flight) -> bool {
    let by_itself = match flight.called.function.kind() {
        Kind::Effect => flight.called.function == Function::MODEL_COMPLETE,
        // A skill that was called has done its work, and been paid for it.
        Kind::Timer | Kind::Event | Kind::Question | Kind::Skill => true,
        Kind::FileChange { .. } | Kind::Post | Kind::Tick | Kind::Notes => false,
    };
    let is_effect = flight.called.function.kind() == Kind::Effect;
    flight.refused.is_none()
        && match flight.called.options.reuse {
            Reuse::Auto => by_itself,
            Reuse::Fresh => false,
            Reuse::Pure => by_itself || is_effect,
        }
}
