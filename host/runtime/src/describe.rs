//! What a skill says of itself: read once per component, with a fixed clock and fixed randomness, and no calls.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use skillhost_core::entry::Failure;
use skillhost_core::id::{Digest, IdError, SkillName};
use skillhost_core::machine::End;
use skillhost_core::time::Timestamp;
use wasmtime::UpdateDeadline;

use crate::bindings::SkillPre;
use crate::bindings::skillhost::skill::types as wit;
use crate::engine::Engine;
use crate::guest::desk::{Desk, Purpose, SharedDesk};
use crate::guest::limits::{DESCRIBE_MEMORY_BYTES_MAX, Limiter};
use crate::guest::state::{Facts, State};
use crate::guest::stop::Misuse;
use crate::guest::{self, trap};
use crate::ticker::SLICE;
use crate::wasi::random::Randomness;

/// The time that `describe` sees: 1 January 2026, so that guests which check certificates or dates at the start find a plausible one.
const TIME: Timestamp = Timestamp(1_767_225_600_000_000);
/// How long `describe` may compute, in slices of time.
const SLICES_MAX: u32 = 1_000;

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
    #[error("the skill's description cannot be used: {0}")]
    Invalid(String),
    /// The host could not ask it.
    #[error("could not ask the skill to describe itself: {0}")]
    Broken(String),
}

/// Asks a skill what it is.
pub(crate) async fn describe(engine: &Engine, pre: &SkillPre<State>) -> Result<Description, DescribeError> {
    let desk = SharedDesk::new(Desk::new(Purpose::Describe, TIME));
    let random = Randomness::new(&Digest::from([0; 32]));
    let state = State::new(desk, Facts::Describe, random, Limiter::new(DESCRIBE_MEMORY_BYTES_MAX));
    let mut store = guest::store(engine, state);
    let mut slices = 0;
    store.epoch_deadline_callback(move |_| {
        slices += 1;
        if slices > SLICES_MAX {
            let seconds = (SLICE * SLICES_MAX).as_secs();
            return Err(Misuse(format!("`describe` took longer than {seconds} seconds")).into());
        }
        Ok(UpdateDeadline::Yield(1))
    });
    let _running = engine.running();
    let said = match pre.instantiate_async(&mut store).await {
        Ok(skill) => skill.call_describe(&mut store).await,
        Err(error) => return Err(unable(trap::end_of_instantiation(engine, &store, &error))),
    };
    match said {
        Ok(said) => read(said),
        Err(error) => Err(unable(trap::end(engine, &store, &error, None))),
    }
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
