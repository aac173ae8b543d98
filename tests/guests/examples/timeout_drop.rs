//! Lets an act that must not be done twice lose against a timeout, and goes on.

use std::time::Duration;

use skillhost_sdk::prelude::*;
use skillhost_test_guests::acts::act;

#[data]
struct Input {
    #[serde(default = "slow")]
    name: String,
    #[serde(default = "ten")]
    limit_ms: u64,
    /// How many model calls come after it.
    #[serde(default = "two")]
    calls_after: u32,
}

fn slow() -> String {
    "slow".to_owned()
}

fn ten() -> u64 {
    10
}

fn two() -> u32 {
    2
}

#[data]
struct Output {
    /// What came of the act.
    act: String,
    answers: Vec<String>,
}

#[skill(name = "timeout-drop")]
async fn run(input: Input) -> Result<Output> {
    let outcome = timeout(
        Duration::from_millis(input.limit_ms),
        act(&input.name).label(&input.name),
    )
    .await;
    let act = outcome.unwrap_or_else(|failure| failure.code().to_owned());
    let mut answers = Vec::new();
    for call in 0..input.calls_after {
        answers.push(model::haiku(format!("{act}, then {call}")).text().await?);
    }
    Ok(Output { act, answers })
}
