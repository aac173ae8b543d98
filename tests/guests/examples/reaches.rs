//! Reaches outside, as its input says: programs, hosts, a folder, with a secret for each who may be told one.

use skillhost_sdk::prelude::*;
use skillhost_test_guests::deeds::{Deed, perform};

#[data]
struct Input {
    /// One after the other.
    deeds: Vec<Deed>,
}

#[data]
struct Output {
    /// What came of each.
    came: Vec<String>,
}

#[skill(
    name = "reaches",
    process(
        "sh",
        env("TOKEN"),
        secret("program-token"),
        reason = "to show what a program is told"
    ),
    http(
        "http://127.0.0.1:*",
        read_write,
        private,
        secret("site-token"),
        reason = "to show what is sent"
    ),
    http("https://example.org", read, reason = "to read")
)]
async fn run(input: Input) -> Result<Output> {
    let mut came = Vec::new();
    for deed in input.deeds {
        came.push(perform(deed).await);
    }
    Ok(Output { came })
}
