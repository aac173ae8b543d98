//! Logs, prints and marks progress, between model calls.

use skillhost_sdk::prelude::*;

#[data]
struct Input {
    /// How many lines of each kind in each round.
    #[serde(default = "three")]
    lines: u32,
    /// How long each line is at least.
    #[serde(default)]
    bytes: usize,
    /// How many rounds; there is a model call between two.
    #[serde(default = "three")]
    rounds: u32,
    /// Whether lines are printed in pieces at last, and in a closure that the library calls.
    #[serde(default)]
    pieces: bool,
}

fn three() -> u32 {
    3
}

#[skill(name = "logs")]
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "what a skill prints is logged")]
async fn run(input: Input) -> Result<()> {
    for round in 0..input.rounds {
        for line in 0..input.lines {
            let text = format!("{round}.{line}{}", ".".repeat(input.bytes));
            log::debug!("debug {text}");
            log::info!("info {text}");
            log::warn!("warn {text}");
            log::error!("error {text}");
            println!("printed {text}");
            eprintln!("complained {text}");
            progress("lines", line.into(), u64::from(input.lines));
        }
        progress("rounds", round.into(), None);
        model::haiku(format!("round {round}")).text().await?;
    }
    if input.pieces {
        print!("one");
        print!(" two");
        println!(" three\nfour");
        Some(()).iter().for_each(|()| println!("five"));
    }
    Ok(())
}
