//! What a skill says of itself: read once per component, with a fixed clock and fixed randomness, no calls, and limits of its own.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use skillhost_core::entry::Failure;
use skillhost_core::holdings::Holdings;
use skillhost_core::id::{Digest, IdError, SkillName};
use skillhost_core::machine::End;
use skillhost_core::time::Timestamp;
use wasmtime::UpdateDeadline;

use crate::bindings::SkillPre;
use crate::bindings::skillhost::skill::types as wit;
use crate::engine::Engine;
use crate::guest::desk::{Desk, Purpose, SharedDesk};
use crate::guest::limits::{Computing, Limiter, Whose};
use crate::guest::state::{Facts, State};
use crate::guest::{self, trap};
use crate::wasi::random::Randomness;

/// The time that `describe` sees: 1 January 2026, so that guests which check certificates or dates at the start find a plausible one.
const TIME: Timestamp = Timestamp(1_767_225_600_000_000);
/// The most that a skill says of itself, in bytes of text.
pub const DESCRIPTION_BYTES_MAX: usize = 1 << 20;
/// The most that a skill asks its user for, and needs of a model provider.
pub const REQUESTS_MAX: usize = 100;

/// What `describe` may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribeLimits {
    /// How long it may compute.
    pub computing_max: Duration,
    /// The most memory.
    pub memory_bytes_max: u64,
    /// What else it may hold.
    pub holds: Holdings,
}

impl Default for DescribeLimits {
    fn default() -> Self {
        Self {
            computing_max: Duration::from_secs(5),
            memory_bytes_max: 128 << 20,
            holds: Holdings::default(),
        }
    }
}

/// What a skill says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Its name.
    pub name: SkillName,
    /// Its own version.
    pub version: String,
    /// One sentence that says what it does.
    pub summary: String,
    /// The JSON Schema of its input.
    pub input_schema: Value,
    /// The JSON Schema of its result.
    pub output_schema: Value,
    /// What it asks the user for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<CapabilityRequest>,
    /// What it needs of a model provider: `tools`, `web-search`, `schema`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// What later versions of the world add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
}

/// Something that a skill asks its user for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilityRequest {
    /// The interface.
    pub capability: String,
    /// What it is to be used on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// How.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// Why, in words for the user.
    pub reason: String,
}

/// A skill that cannot say what it is.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// It stopped abnormally.
    #[error("the skill failed to describe itself: {}", .0.message)]
    Trapped(Failure),
    /// What it said cannot be used.
    #[error("what the skill says of itself cannot be used: {0}")]
    Invalid(String),
    /// The host could not ask it.
    #[error("could not ask the skill to describe itself: {0}")]
    Broken(String),
}

/// Asks a skill what it is.
pub(crate) async fn describe(
    engine: &Engine,
    pre: &SkillPre<State>,
    limits: &DescribeLimits,
) -> Result<Description, DescribeError> {
    let holds = limits.holds.clone();
    let desk = SharedDesk::new(Desk::new(Purpose::Describe, TIME, holds.clone()));
    let random = Randomness::new(&Digest::from([0; 32]));
    let limiter = Limiter::new(Whose::Describe, limits.memory_bytes_max, holds);
    let mut store = guest::store(engine, State::new(desk, Facts::Describe, random, limiter));
    let computing = Arc::new(Computing::new(Whose::Describe, limits.computing_max));
    let counted = Arc::clone(&computing);
    store.epoch_deadline_callback(move |_| match counted.exhausted() {
        Some(exhausted) => Err(exhausted.into()),
        None => Ok(UpdateDeadline::Yield(1)),
    });
    let _running = engine.running();
    let mut saying = pin!(async {
        let said = match pre.instantiate_async(&mut store).await {
            Ok(skill) => skill.call_describe(&mut store).await,
            Err(error) => return Err(unable(trap::end_of_instantiation(engine, &store, &error))),
        };
        said.map_err(|error| unable(trap::end(engine, &store, &error, None)))
    });
    let said = poll_fn(|cx| computing.timed(|| saying.as_mut().poll(cx))).await?;
    check(&said)?;
    read(said)
}

/// Checks how much it says.
fn check(said: &wit::Description) -> Result<(), DescribeError> {
    let too_many = |what: &str, many: usize| {
        let message = format!("it has {many} {what}; at most {REQUESTS_MAX} are taken");
        Err(DescribeError::Invalid(message))
    };
    if said.requests.len() > REQUESTS_MAX {
        return too_many("requests", said.requests.len());
    }
    if said.needs.len() > REQUESTS_MAX {
        return too_many("needs", said.needs.len());
    }
    let requests = said.requests.iter().map(|request| {
        let optional = [&request.target, &request.access].into_iter().flatten();
        request.capability.len() + request.reason.len() + optional.map(String::len).sum::<usize>()
    });
    let texts = [
        &said.name,
        &said.version,
        &said.summary,
        &said.input_schema,
        &said.output_schema,
    ];
    let texts = texts.into_iter().chain(&said.needs).chain(&said.extra).map(String::len);
    let bytes: usize = texts.chain(requests).sum();
    if bytes > DESCRIPTION_BYTES_MAX {
        return Err(DescribeError::Invalid(format!(
            "it has {bytes} bytes; at most {DESCRIPTION_BYTES_MAX} are taken"
        )));
    }
    Ok(())
}

fn unable(end: End) -> DescribeError {
    match end {
        End::Trapped(failure) | End::Exhausted(failure) => DescribeError::Trapped(failure),
        End::Broken(why) => DescribeError::Broken(why),
        End::Blocked | End::Finished(_) | End::Continued(_) => DescribeError::Broken("it did not end".to_owned()),
    }
}

fn read(said: wit::Description) -> Result<Description, DescribeError> {
    let json = |what: &str, text: &str| -> Result<Value, DescribeError> {
        serde_json::from_str(text).map_err(|error| DescribeError::Invalid(format!("{what} is not JSON: {error}")))
    };
    let requests = said.requests.into_iter().map(|request| CapabilityRequest {
        capability: request.capability,
        target: request.target,
        access: request.access,
        reason: request.reason,
    });
    Ok(Description {
        name: SkillName::parse(&said.name).map_err(|error: IdError| DescribeError::Invalid(error.to_string()))?,
        version: said.version,
        summary: said.summary,
        input_schema: json("the input schema", &said.input_schema)?,
        output_schema: json("the output schema", &said.output_schema)?,
        requests: requests.collect(),
        needs: said.needs,
        extra: said.extra.map(|text| json("`extra`", &text)).transpose()?,
    })
}
