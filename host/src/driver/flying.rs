//! What is under way for a run: barriers, measurements, performances. They live on the task that drives the run, and end with it.

use std::collections::BTreeMap;

use futures::future::{AbortHandle, Abortable, BoxFuture};
use futures::stream::{FuturesUnordered, StreamExt as _};
use skillhost_core::id::{Number, Seq};
use skillhost_core::machine::{Ended, Event, Ticket};
use skillhost_core::outcome::Outcome;
use skillhost_effects::Watch;
use skillhost_journal::{RunWriter, failpoint};

use super::DriveError;
use super::outside::Performer;
use crate::failpoints;

/// Everything under way.
#[derive(Default)]
pub(super) struct Flying {
    under_way: FuturesUnordered<BoxFuture<'static, Result<Event, DriveError>>>,
    abort: BTreeMap<Number, AbortHandle>,
}

impl Flying {
    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Returns the next thing that ended, if anything is under way. May be dropped and asked again.
    pub(super) async fn next(&mut self) -> Option<Result<Event, DriveError>> {
        let next = self.under_way.next().await;
        if let Some(Ok(Event::Ended(number, _))) = &next {
            self.abort.remove(number);
            failpoint::hit(failpoints::EFFECT_ENDED);
        }
        next
    }

    pub(super) fn barrier(&mut self, writer: &RunWriter, seq: Seq) {
        let durable = writer.barrier(seq);
        self.under_way.push(Box::pin(
            async move { Ok(durable.await.map(|()| Event::Durable(seq))?) },
        ));
    }

    pub(super) fn measure(&mut self, effects: &dyn Performer, ticket: Ticket) {
        let number = ticket.number();
        let measured = effects.measure(ticket);
        self.under_way
            .push(Box::pin(async move { Ok(Event::Measured(number, measured.await)) }));
    }

    /// Has the run launched that a call of a skill is for.
    pub(super) fn launch(&mut self, effects: &dyn Performer, ticket: Ticket) {
        let number = ticket.number();
        let launched = effects.launch(ticket);
        self.under_way.push(Box::pin(async move {
            let refused = |fault| Ended::Returned {
                outcome: Outcome::from(fault),
                spent: None,
                again: None,
            };
            Ok(Event::Measured(number, launched.await?.map_err(refused)))
        }));
    }

    pub(super) fn perform(&mut self, effects: &dyn Performer, watch: &Watch, ticket: Ticket) {
        failpoint::hit(failpoints::BEFORE_PERFORM);
        let number = ticket.number();
        let (handle, registration) = AbortHandle::new_pair();
        self.abort.insert(number, handle);
        let performance = Abortable::new(effects.perform(ticket, watch.clone()), registration);
        self.under_way.push(Box::pin(async move {
            let ended = performance.await.unwrap_or(Ended::Aborted);
            Ok(Event::Ended(number, ended))
        }));
    }

    pub(super) fn abort(&mut self, number: Number) {
        if let Some(handle) = self.abort.get(&number) {
            handle.abort();
        }
    }
}
