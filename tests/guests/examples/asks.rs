//! Asks for folders: one to read, one to change. Does in them what it is told, and waits in between if it is to.

use skillhost_sdk::prelude::*;

#[data]
struct Input {
    /// Whether to wait for the event `go` before it does everything once more.
    #[serde(default)]
    again: bool,
}

#[data]
struct Output {
    came: Vec<String>,
}

#[skill(
    name = "asks",
    files("docs", read, reason = "to look things up"),
    files("out", read_write, reason = "to leave what it found")
)]
async fn run(input: Input) -> Result<Output> {
    let mut came = vec![look_up().await, leave("docs").await, leave("out").await];
    if input.again {
        signals::wait::<bool>("go").await?;
        came.extend([look_up().await, leave("out").await]);
    }
    Ok(Output { came })
}

async fn look_up() -> String {
    let read = async { files::mount("docs")?.read_text("a.md").await };
    read.await.unwrap_or_else(|failure| format!("{failure:?}"))
}

async fn leave(mount: &str) -> String {
    let written = async { files::mount(mount)?.write("found", "x").await };
    match written.await {
        Ok(()) => "written".to_owned(),
        Err(failure) => format!("{failure:?}"),
    }
}
