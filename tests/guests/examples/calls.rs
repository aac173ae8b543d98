//! Calls other skills, as its input says; itself, too.

use std::time::Duration;

use skillhost_sdk::prelude::*;
use skillhost_sdk::serde_json::Value;

#[data]
struct Input {
    /// One after the other.
    #[serde(default)]
    calls: Vec<Call>,
    /// Whether all at once instead.
    #[serde(default)]
    parallel: bool,
    /// How often it calls itself, one within the other, before it does anything else.
    #[serde(default)]
    levels: u32,
    /// How many model calls it makes at last.
    #[serde(default)]
    asks: u32,
}

#[data]
struct Call {
    skill: String,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    allow_calls: Option<u64>,
    #[serde(default)]
    allow: Option<f64>,
    #[serde(default)]
    timeout_ms: Option<u64>,
    /// Whether the skill lets go of it when this event comes.
    #[serde(default)]
    until: Option<String>,
}

#[data]
struct Output {
    /// What came of each: its result, or the failure.
    answers: Vec<String>,
    /// How many of itself there were below it.
    below: u32,
}

#[skill(
    name = "calls",
    process("sh", env("GREETING"), reason = "to let others run it"),
    process("sleep", reason = "to let others wait"),
    skills("calls", reason = "to show how deep calls go"),
    skills("fanout", reason = "to have work done"),
    skills("fails", reason = "to be disappointed"),
    skills("waits", reason = "to be kept waiting"),
    skills("continues", reason = "to be kept waiting for long"),
    skills("process", reason = "to have programs run"),
    skills("reaches", reason = "to have hosts reached"),
    skills("asks", reason = "to have folders looked through"),
    skills("files", reason = "to have files looked through"),
    skills("nowhere", reason = "to miss it")
)]
async fn run(input: Input) -> Result<Output> {
    let mut answers = Vec::new();
    let mut below = 0;
    if input.levels > 0 {
        match skills::call::<Output>("calls", json!({"levels": input.levels - 1})).await {
            Ok(output) => {
                answers.extend(output.answers);
                below = output.below + 1;
            }
            Err(failure) => answers.push(format!("{failure:?}")),
        }
    }
    if input
        .calls
        .iter()
        .any(|call| call.input.to_string().contains("run/note.md"))
    {
        files::run().write("note.md", "a note").await?;
    }
    let limit = if input.parallel { input.calls.len() } else { 1 };
    let came = map(input.calls, limit, async |call: Call| Ok(answer(call).await));
    answers.extend(came.await.all()?);
    for call in 0..input.asks {
        answers.push(model::haiku(format!("call {call}")).text().await?);
    }
    Ok(Output { answers, below })
}

async fn answer(call: Call) -> String {
    let mut called = skills::call::<Value>(call.skill, call.input);
    if let Some(calls) = call.allow_calls {
        called = called.allow_calls(calls);
    }
    if let Some(dollars) = call.allow {
        called = called.allow(dollars);
    }
    if let Some(ms) = call.timeout_ms {
        called = called.timeout(Duration::from_millis(ms));
    }
    let came = match call.until {
        None => called.await,
        Some(event) => match either(called, signals::wait::<Value>(event)).await {
            Either::Left(came) => came,
            Either::Right(_) => return "let go".to_owned(),
        },
    };
    match came {
        Ok(result) => result.to_string(),
        Err(failure) => format!("{failure:?}"),
    }
}
