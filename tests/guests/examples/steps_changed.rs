//! Is `steps` rebuilt with a changed prompt, so that its replay of an old journal is a mismatch.

use skillhost_sdk::prelude::*;
use skillhost_test_guests::{NOTHING_SEEN, mix};

#[data]
struct Input {
    /// How many calls.
    #[serde(default = "ten")]
    n: u32,
    /// What each request begins with.
    #[serde(default)]
    prefix: String,
}

fn ten() -> u32 {
    10
}

#[data]
struct Output {
    steps: u32,
    digest: String,
    last: String,
}

#[skill(name = "steps")]
async fn run(input: Input) -> Result<Output> {
    let mut digest = NOTHING_SEEN;
    let mut last = String::new();
    for step in 0..input.n {
        last = model::haiku(format!("{}changed step {step}", input.prefix))
            .label(format!("step {step}"))
            .text()
            .await?;
        digest = mix(digest, &last);
    }
    Ok(Output {
        steps: input.n,
        digest: format!("{digest:016x}"),
        last,
    })
}
