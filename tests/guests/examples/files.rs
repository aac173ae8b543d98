//! Does with files whatever it is told, and returns what came of each.

use skillhost_sdk::prelude::*;

#[data]
#[serde(rename_all = "kebab-case")]
enum Deed {
    Read,
    Write,
    Append,
    Remove,
    Stat,
    List,
    Glob,
}

#[data]
struct Step {
    deed: Deed,
    #[serde(default = "run_folder")]
    mount: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    text: String,
}

fn run_folder() -> String {
    "run".to_owned()
}

#[data]
struct Input {
    #[serde(default)]
    steps: Vec<Step>,
    /// What to read before that.
    source: Option<InputPath>,
    /// What else to read.
    #[serde(default)]
    more: Vec<InputPath>,
    /// Whether to wait for the event `go` before anything else.
    #[serde(default)]
    wait: bool,
}

#[data]
struct Output {
    /// What came of the paths and the steps.
    came: Vec<String>,
    /// The mounts, those that may be written with a `+`.
    mounts: Vec<String>,
}

#[skill(name = "files")]
async fn run(input: Input) -> Result<Output> {
    if input.wait {
        signals::wait::<bool>("go").await?;
    }
    let mut came = Vec::new();
    for path in input.source.iter().chain(&input.more) {
        let read = read(path).await.unwrap_or_else(|failure| format!("{failure:?}"));
        came.push(format!("{}: {read}", path.as_str()));
    }
    for step in input.steps {
        came.push(perform(step).await.unwrap_or_else(|failure| format!("{failure:?}")));
    }
    let mounts = skillhost_sdk::run::info().mounts.into_iter();
    let mounts = mounts.map(|mount| format!("{}{}", mount.name, if mount.writable { "+" } else { "" }));
    Ok(Output {
        came,
        mounts: mounts.collect(),
    })
}

async fn read(path: &InputPath) -> Result<String> {
    match path.stat().await?.kind {
        files::Kind::File => path.read_text().await,
        _ => Ok(path.glob("**").await?.join(" ")),
    }
}

async fn perform(step: Step) -> Result<String> {
    let mount = files::mount(&step.mount)?;
    let path = &step.path;
    match step.deed {
        Deed::Read => mount.read_text(path).await,
        Deed::Write => mount.write(path, step.text).await.map(|()| "written".to_owned()),
        Deed::Append => mount.append(path, step.text).await.map(|()| "appended".to_owned()),
        Deed::Remove => mount.remove(path).await.map(|()| "removed".to_owned()),
        Deed::Stat => {
            let entry = mount.stat(path).await?;
            Ok(format!("{:?} {} {}", entry.kind, entry.path, entry.size))
        }
        Deed::List => {
            let entries = mount.list(path).await?;
            Ok(entries
                .into_iter()
                .map(|entry| entry.path)
                .collect::<Vec<_>>()
                .join(" "))
        }
        Deed::Glob => Ok(mount.glob(path).await?.join(" ")),
    }
}
