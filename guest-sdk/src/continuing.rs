//! Goes on in a new run, so that a skill that never ends keeps a bounded journal.

use std::cell::Cell;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use crate::failure::{Failure, Result, code};
use crate::host;

/// Ends the run as *continued*: a new run of the same skill goes on in its place with this input, under the same launch id, and nothing after this line is done.
///
/// ```no_run
/// # use skillhost_sdk::prelude::*;
/// # async fn audit(state: &State) -> Result<Vec<String>> { Ok(state.seen.clone()) }
/// #[data]
/// struct State {
///     #[serde(default)]
///     seen: Vec<String>,
/// }
///
/// /// Audits every night, for ever.
/// #[skill]
/// async fn run(state: State) -> Result<Never> {
///     let seen = audit(&state).await?;
///     sleep_until(tomorrow_at("02:00")).await?;
///     continue_as(State { seen }).await
/// }
/// ```
///
/// The new run has a journal, a folder `run/` and a budget of its own; what it is to know of this one, its input says. Calls in flight are cancelled, events
/// and notes that were not consumed are the new run's. A run that was cancelled ends as cancelled instead. It fails only if the input is not one of this
/// skill.
#[allow(clippy::unused_async, reason = "it is awaited like everything that the host does")]
pub async fn continue_as<T>(input: impl Serialize) -> Result<T> {
    let input = serde_json::to_string(&input)?;
    let check = CHECK.get().expect("what is continued runs");
    check(&input).map_err(|error| {
        Failure::new(
            code::INVALID,
            format!("this skill cannot be continued with such an input: {error}"),
        )
    })?;
    host::run::continue_as(&input);
    unreachable!("the host ends the run there")
}

/// What a skill returns that never does: it goes on for ever by [`continue_as`], fails, or is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Never {}

impl JsonSchema for Never {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Never".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"not": {}, "description": "It never returns."})
    }
}

/// Reads a text as the input of the skill that runs.
type Check = fn(&str) -> core::result::Result<(), serde_json::Error>;

thread_local! {
    static CHECK: Cell<Option<Check>> = const { Cell::new(None) };
}

/// Notes what the input of the skill that runs has to be.
pub(crate) fn set_check(check: Check) {
    CHECK.set(Some(check));
}

#[cfg(test)]
mod tests {
    use crate::describe::execute;
    use crate::prelude::*;

    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
    struct State {
        seen: u32,
    }

    async fn nightly(state: State) -> Result<Never> {
        sleep(hours(24)).await?;
        continue_as(State { seen: state.seen + 1 }).await
    }

    async fn mistaken(_: State) -> Result<Never> {
        continue_as("tomorrow").await
    }

    #[test]
    #[should_panic(expected = "goes on as {\"seen\":8}")]
    fn a_run_goes_on_with_the_input_that_it_gives() {
        execute(r#"{"seen": 7}"#, nightly).expect("it does not return");
    }

    #[test]
    fn an_input_that_is_not_one_of_the_skill_is_a_failure_of_this_run() {
        let failure = execute(r#"{"seen": 7}"#, mistaken).expect_err("the next run could not begin");
        assert_eq!(failure.code, "invalid");
        assert_eq!(
            failure.message,
            "this skill cannot be continued with such an input: invalid type: string \"tomorrow\", expected struct State at line 1 column 10"
        );
    }
}
