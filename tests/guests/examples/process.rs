//! Runs programs, as its input says.

use skillhost_sdk::prelude::*;
use skillhost_sdk::process::{End, Ended};

#[data]
struct Input {
    /// One after the other.
    commands: Vec<Command>,
    /// Whether all at once instead.
    #[serde(default)]
    parallel: bool,
    /// Whether a model is asked when they are done.
    #[serde(default)]
    ask: bool,
}

#[data]
struct Command {
    program: String,
    #[serde(default)]
    arguments: Vec<String>,
    #[serde(default)]
    folder: Option<String>,
    #[serde(default)]
    input: String,
    #[serde(default)]
    environment: Vec<(String, String)>,
    #[serde(default)]
    keep: Option<u32>,
    #[serde(default)]
    merged: bool,
    #[serde(default)]
    idempotent: bool,
    #[serde(default)]
    timeout_ms: Option<u64>,
    /// Whether the skill lets go of it after so long.
    #[serde(default)]
    drop_after_ms: Option<u64>,
}

#[data]
struct Output {
    /// What came of each: how it ended, what it printed.
    answers: Vec<String>,
}

#[skill(
    name = "process",
    process("sh", env("GREETING"), reason = "to show what a program can do"),
    process("sleep", reason = "to wait")
)]
async fn run(input: Input) -> Result<Output> {
    let limit = if input.parallel { input.commands.len() } else { 1 };
    let answers = map(
        input.commands,
        limit,
        async |command: Command| Ok(answer(command).await),
    )
    .await
    .all()?;
    if input.ask {
        model::haiku(format!("what of {answers:?}")).label("ask").text().await?;
    }
    Ok(Output { answers })
}

async fn answer(command: Command) -> String {
    let mut run = process::run(command.program, command.arguments).stdin(command.input);
    for (name, value) in command.environment {
        run = run.env(name, value);
    }
    if let Some(folder) = command.folder {
        run = run.cwd(folder);
    }
    if let Some(bytes) = command.keep {
        run = run.keep(bytes);
    }
    if command.merged {
        run = run.merged();
    }
    if command.idempotent {
        run = run.idempotent();
    }
    if let Some(limit) = command.timeout_ms {
        run = run.timeout(std::time::Duration::from_millis(limit));
    }
    let ended = match command.drop_after_ms {
        None => run.await,
        Some(limit) => timeout(std::time::Duration::from_millis(limit), run).await,
    };
    match ended {
        Ok(ended) => told(&ended),
        Err(failure) => format!("{}: {}", failure.code(), failure.message()),
    }
}

fn told(ended: &Ended) -> String {
    let end = match ended.end {
        End::Exited(code) => format!("exited {code}"),
        End::Signalled(signal) => format!("signalled {signal}"),
    };
    let cut = match ended.stdout_cut_bytes {
        0 => String::new(),
        bytes => format!(" ({bytes} bytes before)"),
    };
    format!("{end}: {:?}{cut} {:?}", ended.text(), ended.stderr_text())
}
