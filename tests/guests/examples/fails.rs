//! Returns a failure, after so many model calls.

use skillhost_sdk::prelude::*;
use skillhost_sdk::serde_json::Value;

#[data]
struct Input {
    #[serde(default)]
    after_calls: u32,
    #[serde(default = "code")]
    code: String,
    #[serde(default = "message")]
    message: String,
    details: Option<Value>,
}

fn code() -> String {
    "declined".to_owned()
}

fn message() -> String {
    "the fixture fails".to_owned()
}

#[skill(name = "fails")]
async fn run(input: Input) -> Result<()> {
    for call in 0..input.after_calls {
        model::haiku(format!("call {call}")).text().await?;
    }
    let failure = Failure::new(input.code, input.message);
    Err(match input.details {
        Some(details) => failure.with_details(details),
        None => failure,
    })
}
