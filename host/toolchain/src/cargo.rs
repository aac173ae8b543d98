//! Runs cargo, and reads from its messages where the components lie.

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde::Deserialize;

use super::diagnostic::{Diagnostic, Raw};
use super::stop::Stop;
use super::{TARGET, Toolchain};

/// So much of what cargo says is kept, in bytes: its end.
const SAID_BYTES_MAX: usize = 16 << 10;

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

/// A skill to build, where cargo builds it by itself too.
#[derive(Clone, Debug)]
pub struct Skill {
    /// The absolute path of its `Cargo.toml`.
    pub manifest: PathBuf,
    /// The cargo profile.
    pub profile: String,
    /// Settings of cargo's, as its `--config` takes them.
    pub settings: Vec<String>,
    /// Where the compiler's messages go.
    pub messages: Messages,
    /// What ends the build before it is over. Without one, whatever ends this process at its terminal ends the build, too.
    pub stop: Option<Stop>,
}

/// Where the messages of cargo and the compiler go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// To standard error, as they come.
    Shown,
    /// They are kept, for whoever asked for the build.
    Kept,
}

/// What came of building a skill.
#[derive(Clone, Debug)]
pub struct BuiltSkill {
    /// Its component.
    pub component: Component,
    /// What the compiler said, if its messages are kept.
    pub diagnostics: Vec<Diagnostic>,
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
    /// It was started and went wrong, and nobody has seen yet what it said.
    #[error("cargo could not build it")]
    Kept {
        /// What the compiler said.
        diagnostics: Vec<Diagnostic>,
        /// The end of what cargo said.
        said: String,
    },
    /// Somebody wants it no longer: see [`Stop`].
    #[error("the build was stopped")]
    Stopped,
    /// Nothing of what was asked for is a component.
    #[error("nothing in `{manifest}` is a component: a guest's `Cargo.toml` says `crate-type = [\"cdylib\"]`")]
    NoComponent {
        /// The manifest.
        manifest: PathBuf,
    },
}

#[derive(Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Line {
    CompilerArtifact {
        manifest_path: PathBuf,
        target: Target,
        filenames: Vec<PathBuf>,
    },
    CompilerMessage {
        message: Raw,
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
    let mut command = command(toolchain, &guests.manifest, &guests.profile, Messages::Shown);
    command
        .arg("--target-dir")
        .arg(toolchain.target_folder(&guests.target_folder));
    if guests.examples {
        command.arg("--examples");
    }
    for package in &guests.packages {
        command.args(["--package", package]);
    }
    let (components, _) = run(toolchain, &guests.manifest, command, Messages::Shown, None)?;
    Ok(components)
}

pub(super) fn build_skill(toolchain: &Toolchain, skill: &Skill) -> Result<BuiltSkill, BuildError> {
    let mut command = command(toolchain, &skill.manifest, &skill.profile, skill.messages);
    // The folder that a person would start cargo in: that is where it looks for its settings.
    command.current_dir(skill.manifest.parent().expect("a manifest lies in a folder"));
    for setting in &skill.settings {
        command.args(["--config", setting]);
    }
    let (components, diagnostics) = run(toolchain, &skill.manifest, command, skill.messages, skill.stop.as_ref())?;
    // A crate that it depends on may be a component, too.
    let mut own = components
        .into_iter()
        .filter(|component| component.manifest == skill.manifest);
    let (Some(component), None) = (own.next(), own.next()) else {
        return Err(BuildError::NoComponent {
            manifest: skill.manifest.clone(),
        });
    };
    Ok(BuiltSkill { component, diagnostics })
}

/// Returns what every build has in common.
fn command(toolchain: &Toolchain, manifest: &Path, profile: &str, messages: Messages) -> Command {
    let format = match messages {
        Messages::Shown => "json-render-diagnostics",
        Messages::Kept => "json",
    };
    let mut command = toolchain.command();
    command.args(["build", "--target", TARGET, "--message-format", format]);
    command.args(["--profile", profile]);
    command.arg("--manifest-path").arg(manifest);
    command.args(&toolchain.arguments).arg("--lib");
    command
}

fn run(
    toolchain: &Toolchain,
    manifest: &Path,
    mut command: Command,
    messages: Messages,
    stop: Option<&Stop>,
) -> Result<(Vec<Component>, Vec<Diagnostic>), BuildError> {
    // Messages that are shown go to standard error as they come, progress with them.
    let stderr = match messages {
        Messages::Shown => Stdio::inherit(),
        Messages::Kept => Stdio::piped(),
    };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    let start = |source| BuildError::Start {
        cargo: toolchain.cargo.clone(),
        source,
    };
    let mut child = match stop {
        None => command.spawn().map_err(start)?,
        Some(stop) => stop.spawn(&mut command).map_err(start)?.ok_or(BuildError::Stopped)?,
    };
    let stdout = child.stdout.take().expect("it is piped");
    // Read beside, so that neither stream holds the other up.
    let said = child.stderr.take().map(|stderr| thread::spawn(move || end_of(stderr)));
    let mut components = Vec::new();
    let mut diagnostics = Vec::new();
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(Line::CompilerMessage { message }) => diagnostics.extend(message.into_diagnostic()),
            Ok(message) => components.extend(component_of(message)),
            Err(_) => {}
        }
    }
    let (status, was_stopped) = match stop {
        None => (child.wait().map_err(start)?, false),
        Some(stop) => stop.wait(&mut child).map_err(start)?,
    };
    let said = said.and_then(|said| said.join().ok());
    if was_stopped {
        return Err(BuildError::Stopped);
    }
    match (status.success(), said) {
        (true, _) => {}
        (false, None) => return Err(BuildError::Failed),
        (false, Some(said)) => return Err(BuildError::Kept { diagnostics, said }),
    }
    match components.is_empty() {
        true => Err(BuildError::NoComponent {
            manifest: manifest.to_owned(),
        }),
        false => Ok((components, diagnostics)),
    }
}

/// Reads a stream to its end, and returns the last part of it.
fn end_of(stream: impl Read) -> String {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut said = String::new();
    for line in lines {
        said.push_str(&line);
        said.push('\n');
        if said.len() > 2 * SAID_BYTES_MAX {
            said.drain(..said.ceil_char_boundary(said.len() - SAID_BYTES_MAX));
        }
    }
    said
}

/// Returns the component that a message of cargo's is about, if it is about one.
fn component_of(message: Line) -> Option<Component> {
    let Line::CompilerArtifact {
        manifest_path,
        target,
        filenames,
    } = message
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
        let component_of = |line: &str| super::component_of(serde_json::from_str(line).ok()?);
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
