//! A run that ends and lets a new one go on in its place, so that an endless skill keeps a bounded journal.
//!
//! The new run has the same skill, bundle, provider and limits, a journal, a seed and a budget of its own, and an input that the old one gave it. It is made in the
//! append of the old one's last entry: there is never one without the other.

use super::{Continued, Local, Machine, Successor};
use crate::entry::{Caller, How, Limits, Started};
use crate::id::Digest;

impl Machine {
    /// Ends the run so that another goes on. Whoever cancelled it did not mean that another goes on, whether or not the guest has heard of that.
    pub(super) fn guest_continued(&mut self, continued: Continued) {
        if self.cancel.is_noted() {
            return self.finish(How::Cancelled(None));
        }
        let run = self.run.successor(self.now);
        let seed = Digest::of(format!("{} {run}", self.started.seed).as_bytes());
        let (caller, limits) = self.heritage();
        let started = Started {
            caller,
            limits,
            continues: Some(self.run.clone()),
            run: run.clone(),
            input: continued.input,
            seed,
            zone_offsets: match continued.zone_offsets.is_empty() {
                true => self.started.zone_offsets.clone(),
                false => continued.zone_offsets,
            },
            parent: None,
            ..self.started.as_ref().clone()
        };
        self.successor = Some(Box::new(Successor {
            started,
            at: self.now,
            paused: self.paused,
        }));
        self.finish(How::Continued(run));
    }

    /// Returns for whom the next run works, and what it may spend: of a run that was called, what it has left, as its caller pays for all of them; of any other, a budget of its own.
    fn heritage(&self) -> (Option<Caller>, Limits) {
        let mut limits = self.limits.clone();
        let Some(caller) = &self.started.caller else {
            return (None, limits);
        };
        let spent = self.account.spent();
        limits.budget = limits.budget.minus(spent);
        limits.microdollars_max = limits
            .microdollars_max
            .map(|max| max.saturating_sub(spent.microdollars));
        let caller = Caller {
            before: caller.before.plus(spent),
            ..caller.clone()
        };
        (Some(caller), limits)
    }

    /// Makes the new run, beside the last entry of this one.
    pub(super) fn begin_successor(&mut self) {
        if let Some(successor) = self.successor.take() {
            self.local(Local::Continue(successor));
        }
    }

    /// Returns whether a new run goes on in the place of this one: then mail is for that one, a cancellation as well.
    pub(super) fn is_continued(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.is_continued())
    }
}
