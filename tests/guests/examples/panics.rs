//! Panics, after so many model calls.

use skillhost_sdk::prelude::*;

#[data]
struct Input {
    #[serde(default)]
    after_calls: u32,
    #[serde(default = "message")]
    message: String,
}

fn message() -> String {
    "the fixture panics".to_owned()
}

#[skill(name = "panics")]
async fn run(input: Input) -> Result<()> {
    for call in 0..input.after_calls {
        model::haiku(format!("call {call}")).text().await?;
    }
    panic!("{}", input.message);
}
