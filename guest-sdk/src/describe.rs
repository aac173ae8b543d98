//! What a skill says of itself, and how its input and output cross the component boundary.
//!
//! `#[skill]` calls [`describe`] and [`execute`] with the author's function; both learn the types of input and output from it.

use std::future::Future;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::skillhost::skill::types::{self, CapabilityRequest, Description};
use crate::continuing::set_check;
use crate::executor::block_on;
use crate::failure::{Failure, Result, code};

/// What a skill can take: give the type `#[data]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the input of a skill",
    note = "put `#[data]` above its definition, and above the types of its fields"
)]
pub trait Input: DeserializeOwned + JsonSchema {}
impl<T: DeserializeOwned + JsonSchema> Input for T {}

/// What a skill can return: give the type `#[data]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a skill",
    note = "put `#[data]` above its definition, and above the types of its fields"
)]
pub trait Output: Serialize + JsonSchema {}
impl<T: Serialize + JsonSchema> Output for T {}

/// The input of a skill that takes none.
#[derive(Debug, serde::Deserialize, JsonSchema)]
pub struct Nothing {}

/// What `#[skill]` found in its arguments and in the package.
#[derive(Debug)]
pub struct About {
    /// The skill's name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// What it needs of a model provider.
    pub needs: &'static [&'static str],
    /// What it asks the user for.
    pub requests: &'static [Request],
}

/// Something a skill asks its user for.
#[derive(Debug)]
pub struct Request {
    /// The interface.
    pub capability: &'static str,
    /// What it is to be used on.
    pub target: &'static str,
    /// How.
    pub access: Option<&'static str>,
    /// Why.
    pub reason: &'static str,
}

/// Describes the skill whose function is `run`.
pub fn describe<I, O, F>(about: &About, _run: fn(I) -> F) -> Description
where
    I: Input,
    O: Output,
    F: Future<Output = Result<O>>,
{
    let requests = about.requests.iter().map(|request| CapabilityRequest {
        capability: request.capability.to_owned(),
        target: Some(request.target.to_owned()),
        access: request.access.map(str::to_owned),
        reason: request.reason.to_owned(),
    });
    Description {
        name: about.name.to_owned(),
        version: about.version.to_owned(),
        summary: about.summary.to_owned(),
        input_schema: closed(input_schema::<I>()).as_value().to_string(),
        output_schema: output_schema::<O>().as_value().to_string(),
        requests: requests.collect(),
        needs: about.needs.iter().map(|&need| need.to_owned()).collect(),
        extra: None,
    }
}

/// Runs the skill whose function is `run`: JSON in, JSON out.
pub fn execute<I, O, F>(input: &str, run: fn(I) -> F) -> Result<String, types::Failure>
where
    I: Input,
    O: Output,
    F: Future<Output = Result<O>>,
{
    let input = serde_json::from_str(input)
        .map_err(|error| Failure::new(code::INVALID, format!("the input does not fit this skill: {error}")))?;
    set_check(|input| serde_json::from_str::<I>(input).map(drop));
    let output = block_on(run(input))?;
    let output = serde_json::to_string(&output)
        .map_err(|error| Failure::new(code::JSON, format!("the result cannot be written as JSON: {error}")))?;
    Ok(output)
}

/// Returns the schema of a value that is read.
pub(crate) fn input_schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator()
        .into_root_schema_for::<T>()
}

/// Returns the schema of a value that is written.
fn output_schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<T>()
}

/// Returns the schema of a value that is read, as text.
pub(crate) fn schema_text<T: JsonSchema>() -> String {
    input_schema::<T>().as_value().to_string()
}

/// Refuses members that the input's type does not have, so that a misspelt one is noticed when a run is launched. A type that says something
/// else itself is left as it is.
fn closed(mut schema: Schema) -> Schema {
    const OPEN: [&str; 6] = [
        "additionalProperties",
        "unevaluatedProperties",
        "allOf",
        "anyOf",
        "oneOf",
        "$ref",
    ];
    if let Some(object) = schema.as_object_mut()
        && object.get("type").is_some_and(|kind| kind == "object")
        && !OPEN.iter().any(|keyword| object.contains_key(*keyword))
    {
        object.insert("additionalProperties".to_owned(), false.into());
    }
    schema
}
