//! Waits for something that never comes, and tidies up when it is cancelled.

use skillhost_sdk::prelude::*;
use skillhost_sdk::serde_json::Value;

#[data]
struct Input {
    /// Whether to tidy up in a cleanup scope; calls outside one are refused after a cancellation.
    #[serde(default = "yes")]
    scope: bool,
    /// How many model calls tidying up takes.
    #[serde(default)]
    calls: u32,
}

fn yes() -> bool {
    true
}

#[skill(name = "cleanup")]
async fn run(input: Input) -> Result<Value> {
    let folder = files::run();
    folder.write("draft.md", "unfinished\n").await?;
    let failure = match signals::wait::<Value>("never").await {
        Ok(value) => return Ok(value),
        Err(failure) => failure,
    };
    let tidy = async {
        folder.remove("draft.md").await?;
        for call in 0..input.calls {
            model::haiku(format!("tidy {call}")).text().await?;
        }
        folder.write("tidied.md", failure.code()).await?;
        inbox::post("Tidied up").await
    };
    let tidied = if input.scope { cleanup(tidy).await } else { tidy.await };
    if let Err(refused) = tidied {
        log::warn!("could not tidy up: {refused}");
    }
    Err(failure)
}
