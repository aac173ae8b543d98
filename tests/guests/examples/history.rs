//! Makes a long history out of calls of many kinds, and remembers nothing but a digest of what they were answered.

use std::time::Duration;

use skillhost_sdk::prelude::*;
use skillhost_test_guests::{NOTHING_SEEN, mix};

#[data]
struct Input {
    /// How many calls.
    n: u32,
    /// Of how many calls one is a timer of no length; 0 for none.
    #[serde(default)]
    sleeps_every: u32,
    /// Whether to wait for the event `go` after the calls.
    #[serde(default)]
    wait: bool,
    /// Whether to do nothing but read a file.
    #[serde(default)]
    reads_only: bool,
}

#[data]
struct Output {
    digest: String,
}

#[skill(name = "history")]
async fn run(input: Input) -> Result<Output> {
    let folder = files::run();
    folder.write("small.txt", "a small file").await?;
    let mut digest = NOTHING_SEEN;
    for n in 1..input.n {
        let seen = match n {
            _ if input.reads_only => folder.read_text("small.txt").await?,
            n if input.sleeps_every > 0 && n % input.sleeps_every == 0 => {
                sleep(Duration::ZERO).await?;
                String::new()
            }
            n if n % 1_000 == 0 => model::haiku(format!("step {n}")).text().await?,
            n if n % 100 == 0 => run::notes().await?.len().to_string(),
            _ => folder.read_text("small.txt").await?,
        };
        // Neither is a call, and both have to come to the same at a replay.
        let drawn = random::next();
        digest = mix(digest, &format!("{seen} {drawn} {:?}", clock::now()));
    }
    if input.wait {
        signals::wait::<bool>("go").await?;
    }
    Ok(Output {
        digest: format!("{digest:016x}"),
    })
}
