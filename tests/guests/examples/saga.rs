//! Books three things, waits before the last one, and gives back what it booked if that does not come about.

use skillhost_sdk::prelude::*;
use skillhost_sdk::serde_json::Value;

#[data]
struct Input {
    /// Whether the last step fails.
    #[serde(default)]
    fails: bool,
}

async fn note(line: &str) -> Result<()> {
    files::run().append("bookings.txt", format!("{line}\n")).await
}

async fn give_back(what: &str) -> Result<()> {
    model::haiku(format!("give {what} back"))
        .label(format!("give {what} back"))
        .text()
        .await?;
    note(&format!("gave {what} back")).await
}

#[skill(name = "saga")]
async fn run(input: Input) -> Result<String> {
    saga(async |undo: &Undo| {
        for what in ["room", "train", "guide"] {
            note(&format!("booked {what}")).await?;
            undo.by(format!("give the {what} back"), async move || give_back(what).await);
        }
        if input.fails {
            return Err(Failure::new("full", "there is no table"));
        }
        signals::wait::<Value>("confirmed").await?;
        Ok("booked".to_owned())
    })
    .await
}
