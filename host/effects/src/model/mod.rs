//! Language models: whom a run asks, and how what it asks is answered.
//!
//! A worker has one [`Hub`]. A run has one [`Provider`], which it keeps: [`Hub::open`] makes that of a new run, [`Hub::reopen`] that of a run which is resumed, from what
//! its journal says. [`Settings::choose`] decides which it is. One file for each provider turns a recorded request into what the provider understands, and what it streams
//! back into a recorded reply.
//!
//! A failure is classified (may it pass? when?), never tried again here: the machine decides, so that each attempt is in the journal.

pub(crate) mod http;
pub mod offline;
mod settings;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use skillhost_core::budget::Cost;
use skillhost_core::calls::model::{Reply, Request};
use skillhost_core::effect::Class;
use skillhost_core::entry;
use skillhost_core::id::Number;
use skillhost_core::machine::{Again, Ended, Ticket};
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_core::payload::Payload;
use skillhost_core::retry::FaultKind;
use tokio::sync::Semaphore;

use crate::watch::{Progress, Watch};

pub use settings::{
    Choice, ClaudeConfig, Config, Environment, Name, OpenError, Secret, ServerConfig, Settings, TIERS, variable,
};

/// What the runs of one worker share: connections, and the limit on calls in flight. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Hub(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// One for each provider, place and limit, so that runs which were launched with the same settings share it.
    slots: Mutex<HashMap<(Name, String, usize), Arc<Semaphore>>>,
}

impl Hub {
    /// Makes the hub of a worker. Nothing is connected before the first call.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the provider of a new run. `script` is the skill's `offline.toml`, if it has one.
    pub fn open(&self, name: Name, settings: &Settings, script: Option<&str>) -> Result<Provider, OpenError> {
        self.build(name, settings, &BTreeMap::new(), script)
    }

    /// Opens the provider that a run was started with. Its tiers stay what they were.
    pub fn reopen(&self, recorded: &entry::Provider, settings: &Settings, script: Option<&str>) -> Result<Provider, OpenError> {
        self.build(recorded.name.parse()?, settings, &recorded.models, script)
    }

    fn build(
        &self,
        name: Name,
        settings: &Settings,
        kept: &BTreeMap<String, String>,
        script: Option<&str>,
    ) -> Result<Provider, OpenError> {
        let parallel = settings.parallel()?;
        let backend = match name {
            Name::Offline => Backend::Offline(offline::Offline::new(script.map(offline::Script::parse).transpose()?)),
            other => return Err(OpenError::Unknown { name: other.to_string() }),
        };
        let described = entry::Provider {
            name: name.to_string(),
            models: settings.tiers(name, kept),
            features: backend.features(),
            simulated: name == Name::Offline,
            acts: false,
        };
        let slots = (name != Name::Offline).then(|| self.slots(name, String::new(), parallel));
        Ok(Provider(Arc::new(Opened {
            described,
            backend,
            slots,
        })))
    }

    fn slots(&self, name: Name, place: String, parallel: usize) -> Arc<Semaphore> {
        let mut slots = self.0.slots.lock().expect("nothing panics while it holds the lock");
        let entry = slots.entry((name, place, parallel));
        entry.or_insert_with(|| Arc::new(Semaphore::new(parallel))).clone()
    }
}

/// The model provider of one run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Provider(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    described: entry::Provider,
    backend: Backend,
    /// The calls in flight; a script needs no limit.
    slots: Option<Arc<Semaphore>>,
}

#[derive(Debug)]
enum Backend {
    Offline(offline::Offline),
}

impl Backend {
    fn features(&self) -> Vec<String> {
        match self {
            Self::Offline(offline) => offline.features(),
        }
    }

    async fn complete(&self, asked: &Asked<'_>) -> Result<Reply, Miss> {
        match self {
            Self::Offline(offline) => offline.complete(asked).await,
        }
    }
}

/// A call as a provider sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) number: Number,
    pub(crate) attempt: u32,
    /// The same for every performance of the call.
    pub(crate) key: &'a str,
    pub(crate) label: Option<&'a str>,
    pub(crate) class: Class,
    pub(crate) payload: &'a Payload,
    pub(crate) request: &'a Request,
    /// The full id of the model, where the request names a tier.
    pub(crate) model: &'a str,
    pub(crate) watch: &'a Watch,
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Miss {
    pub(crate) fault: Fault,
    pub(crate) again: Option<Again>,
    /// What it cost nevertheless, where that is known.
    pub(crate) spent: Option<Cost>,
}

impl Miss {
    /// Trying again would not help.
    pub(crate) fn never(fault: Fault) -> Self {
        Self {
            fault,
            again: None,
            spent: Some(Cost { calls: 1, tokens: 0 }),
        }
    }

    /// Trying again may help, not before `after`.
    pub(crate) fn maybe(kind: FaultKind, after: Option<Duration>, fault: Fault) -> Self {
        Self {
            fault,
            again: Some(Again { kind, after }),
            spent: Some(Cost { calls: 1, tokens: 0 }),
        }
    }

    /// The provider worked on it, and nobody knows how much: what was reserved stays spent.
    pub(crate) fn with_cost_unknown(mut self) -> Self {
        self.spent = None;
        self
    }
}

impl Provider {
    /// Returns what a run records of its provider when it starts.
    pub fn describe(&self) -> entry::Provider {
        self.0.described.clone()
    }

    pub(crate) fn note(&self, number: Number, request: &Payload, label: Option<&str>) {
        match &self.0.backend {
            Backend::Offline(offline) => offline.note(number, request, label),
        }
    }

    pub(crate) async fn perform(&self, ticket: &Ticket, watch: &Watch) -> Ended {
        let request: Request = match ticket.request().read() {
            Ok(request) => request,
            Err(e) => {
                let fault = Fault::new(Fault::INVALID, format!("malformed request: {e}"));
                return ended(Err(Miss::never(fault)));
            }
        };
        let tier = self.0.described.models.get(&request.model);
        let asked = Asked {
            number: ticket.number(),
            attempt: ticket.attempt(),
            key: &ticket.key(),
            label: ticket.options().label.as_deref(),
            class: ticket.class(),
            payload: ticket.request(),
            request: &request,
            model: tier.unwrap_or(&request.model),
            watch,
        };
        ended(self.complete(&asked).await)
    }

    /// Asks, once one of the provider's slots is free.
    pub(crate) async fn complete(&self, asked: &Asked<'_>) -> Result<Reply, Miss> {
        asked.watch.report(asked.number, Progress::Queued);
        let _slot = match &self.0.slots {
            Some(slots) => Some(slots.acquire().await.expect("the semaphore is never closed")),
            None => None,
        };
        asked.watch.report(asked.number, Progress::Started { attempt: asked.attempt });
        let answer = self.0.backend.complete(asked).await;
        match asked.class {
            // What a provider did by itself is not done again because its answer was lost.
            Class::AtMostOnce => answer.map_err(|miss| Miss { again: None, ..miss }),
            _ => answer,
        }
    }
}

fn ended(answer: Result<Reply, Miss>) -> Ended {
    match answer {
        Ok(reply) => Ended::Returned {
            spent: Some(Cost {
                calls: 1,
                tokens: reply.usage.total(),
            }),
            outcome: Outcome::Ok(Payload::of(&reply)),
            again: None,
        },
        Err(miss) => Ended::Returned {
            outcome: Outcome::Err(miss.fault),
            spent: miss.spent,
            again: miss.again,
        },
    }
}
