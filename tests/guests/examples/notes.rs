//! Waits for an event, and then reads the notes that people left meanwhile.

use skillhost_sdk::prelude::*;
use skillhost_sdk::serde_json::Value;

#[data]
struct Input {
    /// How often.
    #[serde(default = "once")]
    times: u32,
}

fn once() -> u32 {
    1
}

#[data]
struct Output {
    /// What was left before each event.
    notes: Vec<Vec<String>>,
}

#[skill(name = "notes")]
async fn run(input: Input) -> Result<Output> {
    let mut notes = Vec::new();
    for _ in 0..input.times {
        let _: Value = signals::wait("go").await?;
        let left = run::notes().await?.into_iter();
        notes.push(
            left.map(|note| format!("{}: {}", note.by.unwrap_or_default(), note.message))
                .collect(),
        );
    }
    Ok(Output { notes })
}
