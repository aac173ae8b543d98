//! Runs cargo, and reads from its messages where the components lie.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;

use super::{TARGET, Toolchain};

/// What to build.
#[derive(Clone, Debug)]
pub struct Crate {
    /// Its `Cargo.toml`, or that of its workspace.
    pub manifest: PathBuf,
    /// Which packages of a workspace; none means the manifest's own.
    pub packages: Vec<String>,
    /// Whether to build examples too: fixtures are examples.
    pub examples: bool,
    /// The cargo profile.
    pub profile: String,
    /// Where cargo builds.
    pub target_folder: PathBuf,
}

/// A component that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The crate's name with hyphens, or the example's.
    pub name: String,
    /// Whether it is an example.
    pub is_example: bool,
    /// The manifest of its package.
    pub manifest: PathBuf,
    /// Where it lies.
    pub path: PathBuf,
}

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Cargo cannot be started.
    #[error("could not start `{cargo}`")]
    Start {
        /// Its path.
        cargo: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It was started and went wrong.
    #[error("could not build the guests: cargo says why above")]
    Failed,
    /// Nothing of what was asked for is a component.
    #[error("nothing in `{manifest}` is a component: a guest's `Cargo.toml` says `crate-type = [\"cdylib\"]`")]
    NoComponent {
        /// The manifest.
        manifest: PathBuf,
    },
}

#[derive(Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Message {
    CompilerArtifact {
        manifest_path: PathBuf,
        target: Target,
        filenames: Vec<PathBuf>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

pub(super) fn build(toolchain: &Toolchain, guests: &Crate) -> Result<Vec<Component>, BuildError> {
    let mut command = toolchain.command();
    command.args([
        "build",
        "--target",
        TARGET,
        "--message-format",
        "json-render-diagnostics",
    ]);
    command.args(["--profile", &guests.profile]);
    command.arg("--manifest-path").arg(&guests.manifest);
    command
        .arg("--target-dir")
        .arg(toolchain.target_folder(&guests.target_folder));
    command.args(&toolchain.arguments).arg("--lib");
    if guests.examples {
        command.arg("--examples");
    }
    for package in &guests.packages {
        command.args(["--package", package]);
    }
    // Progress and the compiler's messages go to standard error as they come.
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let start = |source| BuildError::Start {
        cargo: toolchain.cargo.clone(),
        source,
    };
    let mut child = command.spawn().map_err(start)?;
    let stdout = child.stdout.take().expect("it is piped");
    let lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let components: Vec<_> = lines.filter_map(|line| component_of(&line)).collect();
    match child.wait() {
        Ok(status) if status.success() => {}
        Ok(_) => return Err(BuildError::Failed),
        Err(source) => return Err(start(source)),
    }
    match components.is_empty() {
        true => Err(BuildError::NoComponent {
            manifest: guests.manifest.clone(),
        }),
        false => Ok(components),
    }
}

/// Returns the component that a message of cargo's is about, if it is about one.
fn component_of(line: &str) -> Option<Component> {
    let Ok(Message::CompilerArtifact {
        manifest_path,
        target,
        filenames,
    }) = serde_json::from_str(line)
    else {
        return None;
    };
    let is_wasm = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm");
    let path = filenames.into_iter().find(is_wasm)?;
    let is_example = target.kind.iter().any(|kind| kind == "example");
    let name = match is_example {
        true => target.name,
        false => target.name.replace('_', "-"),
    };
    Some(Component {
        name,
        is_example,
        manifest: manifest_path,
        path,
    })
}

/// Returns the folder of a component's package.
pub(super) fn package_folder(component: &Component) -> &Path {
    component.manifest.parent().expect("a manifest lies in a folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_told_from_what_else_cargo_says() {
        let artifact = |kind: &str, name: &str, file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"p","manifest_path":"/s/{name}/Cargo.toml",
                "target":{{"kind":["{kind}"],"crate_types":["{kind}"],"name":"{name}","src_path":"x"}},"filenames":["{file}"],"fresh":true}}"#
            )
        };
        let skill = component_of(&artifact("cdylib", "hello_world", "/t/hello_world.wasm")).unwrap();
        assert_eq!((skill.name.as_str(), skill.is_example), ("hello-world", false));
        assert_eq!(package_folder(&skill), Path::new("/s/hello_world"));
        let fixture = component_of(&artifact("example", "timeout_drop", "/t/timeout_drop.wasm")).unwrap();
        assert_eq!((fixture.name.as_str(), fixture.is_example), ("timeout_drop", true));
        assert_eq!(component_of(&artifact("lib", "serde", "/t/libserde.rlib")), None);
        assert_eq!(component_of(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(component_of("not JSON"), None);
    }
}
