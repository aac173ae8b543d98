//! A model that works with tools in the run's folder: one that reads, one that writes, and one with which it gives up.

use skillhost_sdk::prelude::*;

#[data]
struct Input {
    #[serde(default = "task_text")]
    task: String,
    #[serde(default = "turns")]
    turns: u32,
    /// Whether to ask for an answer when the turns are used up.
    #[serde(default)]
    summarise: bool,
}

fn task_text() -> String {
    "Write a poem".to_owned()
}

fn turns() -> u32 {
    10
}

#[data]
struct Answer {
    text: String,
}

#[tool("Reads a file")]
async fn read(path: String) -> Result<String> {
    files::run().read_text(path).await
}

#[tool("Writes a file")]
async fn write(
    /// Relative to the folder.
    path: String,
    text: String,
) -> Result<()> {
    files::run().write(path, text).await
}

#[tool("Gives up")]
async fn give_up(why: String) -> Result<()> {
    Err(Failure::new("gave-up", why).fatal())
}

#[skill(name = "agent", needs(tools))]
async fn run(input: Input) -> Result<Answer> {
    let agent = Agent::sonnet("You write files.")
        .tools((read, write, give_up))
        .turns(input.turns);
    let on_limit = if input.summarise { Summarise } else { Fail };
    agent.on_limit(on_limit).ask(input.task).json().await
}
