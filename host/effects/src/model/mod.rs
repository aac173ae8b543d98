//! Language models: whom a run asks, and how what it asks is answered.
//!
//! A worker has one [`Hub`]. A run has one [`Provider`], which it keeps: [`Hub::open`] makes that of a new run, [`Hub::reopen`] that of a run which is resumed, from what
//! its journal says. [`Settings::choose`] decides which it is. One file for each provider turns a recorded request into what the provider understands, and what it streams
//! back into a recorded reply.
//!
//! A failure is classified (may it pass? when?), never tried again here: the machine decides, so that each attempt is in the journal.

mod anthropic;
mod claude_cli;
pub(crate) mod http;
pub mod keys;
pub mod offline;
mod openai;
mod prices;
mod schema;
mod settings;
mod sse;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde_json::Value;
use skillhost_core::budget::Cost;
use skillhost_core::calls::model::{Block, Reply, Request, Usage};
use skillhost_core::effect::Class;
use skillhost_core::entry;
use skillhost_core::id::Number;
use skillhost_core::machine::{Again, Ended, Ticket};
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_core::payload::Payload;
use skillhost_core::price::Prices;
use skillhost_core::retry::FaultKind;
use tokio::sync::Semaphore;

use crate::watch::{Progress, Watch};

pub use claude_cli::CHILD_MARKER;
pub use prices::{millionths, shipped};
pub use settings::{
    Choice, ClaudeConfig, Config, Environment, Name, OpenError, Secret, ServerConfig, Settings, TIERS, variable,
};

/// What the runs of one worker share: connections, and the limit on calls in flight. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Hub(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    clients: Clients,
    /// One for each provider, place and limit, so that runs which were launched with the same settings share it.
    slots: Mutex<HashMap<(Name, String, usize), Arc<Semaphore>>>,
    scripts: offline::Scripts,
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
    pub fn reopen(
        &self,
        recorded: &entry::Provider,
        settings: &Settings,
        script: Option<&str>,
    ) -> Result<Provider, OpenError> {
        self.build(recorded.name.parse()?, settings, &recorded.models, script)
    }

    fn build(
        &self,
        name: Name,
        settings: &Settings,
        kept: &BTreeMap<String, String>,
        script: Option<&str>,
    ) -> Result<Provider, OpenError> {
        let clients = &self.0.clients;
        let backend = match name {
            Name::Anthropic => Backend::Anthropic(anthropic::Anthropic::new(settings.server(name)?, clients)?),
            Name::OpenAi => Backend::OpenAi(openai::OpenAi::new(settings.server(name)?, clients)?),
            Name::ClaudeCli => {
                let program = settings.claude_program()?;
                Backend::ClaudeCli(claude_cli::ClaudeCli::new(
                    program,
                    settings.claude_tools(),
                    settings.stall()?,
                ))
            }
            Name::Offline => Backend::Offline(offline::Offline::new(
                script.map(|text| self.0.scripts.read(text)).transpose()?,
            )),
        };
        let described = entry::Provider {
            name: name.to_string(),
            models: settings.tiers(name, kept),
            features: backend.features(),
            simulated: name == Name::Offline,
            acts: backend.acts(),
        };
        let parallel = settings.parallel()?;
        let slots = backend.place().map(|place| self.slots(name, place, parallel));
        let opened = Opened {
            described,
            backend,
            slots,
        };
        Ok(Provider {
            opened: Arc::new(opened),
            prices: Arc::default(),
        })
    }

    fn slots(&self, name: Name, place: String, parallel: usize) -> Arc<Semaphore> {
        let mut slots = self.0.slots.lock().expect("nothing panics while it holds the lock");
        let entry = slots.entry((name, place, parallel));
        entry.or_insert_with(|| Arc::new(Semaphore::new(parallel))).clone()
    }
}

/// The model provider of one run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Provider {
    opened: Arc<Opened>,
    /// What its models cost the run.
    prices: Arc<Prices>,
}

#[derive(Debug)]
struct Opened {
    described: entry::Provider,
    backend: Backend,
    /// The calls in flight; a script needs no limit.
    slots: Option<Arc<Semaphore>>,
}

#[derive(Debug)]
enum Backend {
    Anthropic(anthropic::Anthropic),
    OpenAi(openai::OpenAi),
    ClaudeCli(claude_cli::ClaudeCli),
    Offline(offline::Offline),
}

impl Backend {
    fn features(&self) -> Vec<String> {
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        match self {
            Self::Anthropic(_) => named(&["tools", "web-search", "schema"]),
            Self::OpenAi(_) => named(&["tools", "schema"]),
            Self::ClaudeCli(cli) => cli.features(),
            Self::Offline(offline) => offline.features(),
        }
    }

    fn acts(&self) -> bool {
        matches!(self, Self::ClaudeCli(cli) if cli.acts())
    }

    /// Names what a limit on parallel calls is for; a script needs none.
    fn place(&self) -> Option<String> {
        match self {
            Self::Anthropic(anthropic) => Some(anthropic.place().to_owned()),
            Self::OpenAi(openai) => Some(openai.place().to_owned()),
            Self::ClaudeCli(cli) => Some(cli.place().display().to_string()),
            Self::Offline(_) => None,
        }
    }

    async fn complete(&self, asked: &Asked<'_>) -> Result<Reply, Miss> {
        match self {
            // Each on a place of its own: a script needs little, and answers often.
            Self::Anthropic(anthropic) => Box::pin(anthropic.complete(asked)).await,
            Self::OpenAi(openai) => Box::pin(openai.complete(asked)).await,
            Self::ClaudeCli(cli) => Box::pin(cli.complete(asked)).await,
            Self::Offline(offline) => offline.complete(asked).await,
        }
    }
}

/// What the providers of all runs share: HTTP clients, made when they are first needed, as reading the system's certificates takes longer than a run of a scripted skill.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    plain: OnceLock<reqwest::Client>,
    tls: OnceLock<Result<reqwest::Client, String>>,
    refused_schemas: Arc<schema::Refused>,
}

impl Clients {
    fn plain(&self) -> reqwest::Client {
        self.plain.get_or_init(http::plain_client).clone()
    }

    fn tls(&self) -> Result<reqwest::Client, String> {
        self.tls.get_or_init(http::tls_client).clone()
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
    /// The full id of the model that answers and is paid, whatever the request says.
    pub(crate) model: &'a str,
    pub(crate) watch: &'a Watch,
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Miss {
    pub(crate) fault: Box<Fault>,
    pub(crate) again: Option<Again>,
    /// What it cost nevertheless, where that is known.
    pub(crate) spent: Option<Cost>,
}

impl Miss {
    /// Trying again would not help.
    pub(crate) fn never(fault: Fault) -> Self {
        Self {
            fault: Box::new(fault),
            again: None,
            spent: Some(Cost { calls: 1, ..Cost::ZERO }),
        }
    }

    /// Trying again may help, not before `after`.
    pub(crate) fn maybe(kind: FaultKind, after: Option<Duration>, fault: Fault) -> Self {
        Self {
            fault: Box::new(fault),
            again: Some(Again { kind, after }),
            spent: Some(Cost { calls: 1, ..Cost::ZERO }),
        }
    }

    /// The provider worked on it, and nobody knows how much: what was reserved stays spent.
    pub(crate) fn with_cost_unknown(mut self) -> Self {
        self.spent = None;
        self
    }
}

impl Provider {
    /// Counts what the models are paid by the prices that the run keeps.
    #[must_use]
    pub fn priced(mut self, prices: Prices) -> Self {
        self.prices = Arc::new(prices);
        self
    }

    /// Returns what a run records of its provider when it starts.
    pub fn describe(&self) -> entry::Provider {
        self.opened.described.clone()
    }

    /// Takes note of a call that the journal holds, as [`crate::Effects::note`] says.
    pub fn note(&self, number: Number, request: &Payload, label: Option<&str>) {
        if let Backend::Offline(offline) = &self.opened.backend {
            offline.note(number, request, label);
        }
    }

    /// Asks the model once, as the ticket says.
    pub async fn perform(&self, ticket: &Ticket, watch: &Watch) -> Ended {
        let request = match read(ticket) {
            Ok(request) => request,
            Err(miss) => return self.ended("", Err(miss)),
        };
        let key = ticket.key();
        let asked = self.asked(ticket, &request, &key, watch);
        self.ended(asked.model, self.complete(&asked).await)
    }

    /// Answers from the script at once, and says after how long the answer would come; `None` if a model is asked and no script. `attempt` counts from 1 what the script
    /// was asked for the call: whoever plays a world knows what was asked in it, the ticket only what was begun.
    pub fn play(&self, ticket: &Ticket, attempt: u32) -> Option<(Ended, Duration)> {
        let Backend::Offline(offline) = &self.opened.backend else {
            return None;
        };
        let request = match read(ticket) {
            Ok(request) => request,
            Err(miss) => return Some((self.ended("", Err(miss)), Duration::ZERO)),
        };
        let (key, watch) = (ticket.key(), Watch::silent());
        let asked = self.asked(ticket, &request, &key, &watch);
        let (answer, delay) = offline.answer(&asked, attempt);
        Some((self.ended(asked.model, answer), delay))
    }

    fn asked<'a>(&'a self, ticket: &'a Ticket, request: &'a Request, key: &'a str, watch: &'a Watch) -> Asked<'a> {
        // The request stays what the skill asked, as that is what is compared; who answers may be another by the ladder of the budget.
        let extra = request.extra.as_ref().and_then(|extra| extra["model"].as_str());
        let named = ticket.tier().or(extra).unwrap_or(&request.model);
        let of_tier = self.opened.described.models.get(named);
        Asked {
            number: ticket.number(),
            attempt: ticket.attempt(),
            key,
            label: ticket.options().label.as_deref(),
            class: ticket.class(),
            payload: ticket.request(),
            request,
            model: of_tier.map_or(named, String::as_str),
            watch,
        }
    }

    fn ended(&self, model: &str, answer: Result<Reply, Miss>) -> Ended {
        match answer {
            Ok(reply) => Ended::Returned {
                spent: Some(Cost {
                    calls: 1,
                    tokens: reply.usage.total(),
                    microdollars: self.prices.of(model).map_or(0, |price| price.of(&reply.usage)),
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

    /// Asks, once one of the provider's slots is free.
    pub(crate) async fn complete(&self, asked: &Asked<'_>) -> Result<Reply, Miss> {
        let report = |progress| {
            // A script that is to take its time says so itself.
            if !matches!(self.opened.backend, Backend::Offline(_)) {
                asked.watch.report(asked.number, progress);
            }
        };
        report(Progress::Queued);
        let _slot = match &self.opened.slots {
            Some(slots) => Some(slots.acquire().await.expect("the semaphore is never closed")),
            None => None,
        };
        report(Progress::Started { attempt: asked.attempt });
        let answer = self.opened.backend.complete(asked).await;
        match asked.class {
            // What a provider did by itself is not done again because its answer was lost.
            Class::AtMostOnce => answer.map_err(|miss| Miss { again: None, ..miss }),
            _ => answer,
        }
    }
}

fn read(ticket: &Ticket) -> Result<Request, Miss> {
    let malformed = |e| Miss::never(Fault::new(Fault::INVALID, format!("malformed request: {e}")));
    ticket.request().read().map_err(malformed)
}

/// Estimates tokens at four bytes each, where nobody counts them.
fn estimate(request: &Payload, content: &[Block]) -> Usage {
    let mut written = Length(0);
    for block in content {
        serde_json::to_writer(&mut written, block).expect("a block serialises");
    }
    Usage {
        input: request.as_str().len().div_ceil(4) as u64,
        output: written.0.div_ceil(4) as u64,
        ..Usage::default()
    }
}

/// Counts the bytes that are written to it.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Merges a request's `extra` into the provider's own request, all but who answers: that is decided by what the run may spend.
fn merge_extra(body: &mut Value, asked: &Asked<'_>) {
    if let Some(extra) = &asked.request.extra {
        merge(body, extra);
        body["model"] = asked.model.into();
    }
}

/// Merges objects member by member, and replaces anything else.
fn merge(body: &mut Value, extra: &Value) {
    match (body, extra) {
        (Value::Object(members), Value::Object(extra)) => {
            for (name, value) in extra {
                merge(members.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (body, extra) => *body = extra.clone(),
    }
}

/// Writes 0.2 as 0.2, not as the double that is nearest to the float.
fn short_float(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}
