//! Does a round of work in each run, and goes on in the next: `rounds` times, or for ever.

use skillhost_sdk::prelude::*;
use skillhost_sdk::serde_json::Value;

#[data]
struct State {
    #[serde(default)]
    round: u32,
    /// After so many rounds there is a result; without it there never is.
    #[serde(default)]
    rounds: Option<u32>,
    /// Whether to wait for the event `go` before the next round.
    #[serde(default)]
    waits: bool,
    /// What the rounds before were answered.
    #[serde(default)]
    seen: Vec<String>,
}

#[data]
struct Output {
    seen: Vec<String>,
    /// The files in `run/`, which is each run's own.
    files: Vec<String>,
}

#[skill(name = "continues")]
async fn run(mut state: State) -> Result<Output> {
    let answer = model::haiku(format!("round {}", state.round)).text().await?;
    files::run().write(format!("{}.md", state.round), &answer).await?;
    state.seen.push(answer);
    state.round += 1;
    if state.waits {
        signals::wait::<Value>("go").await?;
    }
    if state.rounds.is_some_and(|rounds| state.round >= rounds) {
        return Ok(Output {
            seen: state.seen,
            files: files::run().glob("**/*").await?,
        });
    }
    continue_as(state).await
}
