//! Performs what a run machine's tickets allow: asks language models, reads and changes files beneath mounts, runs programs and sends requests that were granted.
//!
//! Start with [`Effects`]: one for each run, made of the provider that the run keeps and the folders it may use. What runs share (HTTP connections, the limit on
//! parallel calls) is in a [`model::Hub`], one for each worker.
//!
//! This crate knows the recorded shapes of calls ([`skillhost_core::calls`]). It knows no guest, no journal and no rule about when something may be performed or
//! performed again: the machine decides that, and a [`Ticket`] is its leave for one performance. Here faults are only *classified*, so that the machine can.

#[cfg(feature = "test-capability")]
mod act;
pub mod files;
mod granted;
pub mod http;
pub mod model;
pub mod process;
mod redact;
pub mod secrets;
mod slots;
pub mod stored;
#[cfg(test)]
mod tests;
mod watch;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

use skillhost_core::effect::{Function, Kind};
use skillhost_core::entry::Called;
use skillhost_core::machine::{Ended, Ticket};
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_core::payload::Payload;

pub use granted::Granted;
pub use watch::{Progress, Watch};

/// Performs the effects of one run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Effects(Arc<Run>);

#[derive(Debug)]
struct Run {
    model: model::Provider,
    mounts: files::Mounts,
    programs: process::Programs,
    sites: http::Sites,
}

impl Effects {
    /// Makes the effects of a run out of its provider, its folders, and what it may run and reach.
    pub fn new(model: model::Provider, mounts: files::Mounts, programs: process::Programs, sites: http::Sites) -> Self {
        Self(Arc::new(Run {
            model,
            mounts,
            programs,
            sites,
        }))
    }

    /// Takes note of a call that the journal holds. The shell tells of every one, in the order of their numbers: those it finds when it loads a run, and each that it
    /// writes, before that call is performed.
    ///
    /// A script answers the n-th call that matches with its n-th reply, and which call is the n-th must be the same after a crash, when the calls that were answered
    /// before it are not performed again.
    pub fn note(&self, called: &Called) {
        if called.function == Function::MODEL_COMPLETE {
            self.0
                .model
                .note(called.number, &called.request, called.options.label.as_deref());
        }
    }

    /// Measures what has to be known before the call can be performed so that doing it twice is as once.
    pub async fn measure(&self, ticket: &Ticket) -> Result<Payload, Ended> {
        self.0.mounts.measure(ticket).await
    }

    /// Performs the call once. Dropping the future ends the performance, as far as it can be ended.
    ///
    /// A change to files is not cut short by a timeout: it is answered when it has really ended (rule R3). Programs and requests have one in any case, and see to it
    /// themselves.
    pub async fn perform(&self, ticket: Ticket, watch: &Watch) -> Ended {
        let changes_files = matches!(ticket.function().kind(), Kind::FileChange { .. });
        let sees_to_it = [Function::PROCESS_RUN, Function::HTTP_SEND].contains(&ticket.function());
        let timeout = ticket.options().timeout().filter(|_| !changes_files && !sees_to_it);
        let performed = self.dispatch(ticket, watch);
        match timeout {
            None => performed.await,
            Some(timeout) => {
                let ended = tokio::time::timeout(timeout, performed).await;
                ended.unwrap_or_else(|_| timed_out(timeout))
            }
        }
    }

    async fn dispatch(&self, ticket: Ticket, watch: &Watch) -> Ended {
        let function = ticket.function();
        if function == Function::MODEL_COMPLETE {
            return self.0.model.perform(&ticket, watch).await;
        }
        // Each on a place of its own, as what all of them need together is what every performance would be given.
        if function == Function::PROCESS_RUN {
            return Box::pin(self.0.programs.perform(&ticket, &self.0.mounts, watch)).await;
        }
        if function == Function::HTTP_SEND {
            return Box::pin(self.0.sites.perform(&ticket, watch)).await;
        }
        #[cfg(feature = "test-capability")]
        if function == Function::TEST_ACT {
            return act::perform(&ticket).await;
        }
        self.0.mounts.perform(ticket).await
    }
}

/// Returns how a performance ends that took longer than its call allows.
pub fn timed_out(timeout: Duration) -> Ended {
    let message = format!("no answer within {} s, the call's own timeout", timeout.as_secs_f64());
    returned(Outcome::fault(Fault::TIMEOUT, message))
}

fn returned(outcome: Outcome) -> Ended {
    Ended::Returned {
        outcome,
        spent: None,
        again: None,
    }
}
