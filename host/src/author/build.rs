//! Builds the crate of a skill to a component, with whatever guest toolchain there is.
//!
//! Start with [`compile`]; whoever has examined what it returns has it [`keep`]: what does not compile, or is no skill, leaves the last good component where it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use skillhost_runtime::without_lines;
use skillhost_toolchain::workspace::target_folder;
use skillhost_toolchain::{BuildError, Choice, Messages, Packages, Skill, Stop, Toolchain, ToolchainError};

use super::project::Project;
use crate::bundle::COMPONENT_BYTES_MAX;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::{Home, read_regular, rewrite};
use crate::problem::Problem;

/// What a component is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be installed: small and fast, however long the compiler takes for that.
    Use,
    /// To be run while it is written: soon.
    Development,
}

impl Purpose {
    /// Returns the cargo profile.
    fn profile(self) -> &'static str {
        match self {
            Self::Use => "release",
            Self::Development => "skillhost-dev",
        }
    }

    /// Returns what cargo has to be told of the profile, because no manifest says it.
    ///
    /// It inherits from `release`, so that the program is the same one: what overflows, what is asserted and what a feature switches on is as it will be when it is
    /// installed. What the author writes is compiled piece by piece and linked as it is; what it depends on is optimised for size, once, because
    /// all that is linked has to be compiled to native code after every save.
    fn settings(self) -> Vec<String> {
        const DEVELOPMENT: [&str; 8] = [
            "inherits=\"release\"",
            "opt-level=1",
            "lto=\"off\"",
            "codegen-units=16",
            "incremental=true",
            "debug=\"line-tables-only\"",
            "package.\"*\".opt-level=\"s\"",
            "package.\"*\".debug=false",
        ];
        match self {
            Self::Use => Vec::new(),
            Self::Development => {
                let of = |setting: &&str| format!("profile.{}.{setting}", self.profile());
                DEVELOPMENT.iter().map(of).collect()
            }
        }
    }
}

const RUST: &str = "is Rust installed? https://rustup.rs";

/// What the compiler made of a crate.
#[derive(Debug)]
pub struct Compiled {
    /// The component; one for development does without its debugging information.
    pub bytes: Vec<u8>,
    /// The component as the compiler made it.
    pub whole: Arc<Vec<u8>>,
    /// What the compiler warns of, if its messages were kept.
    pub warnings: Vec<Problem>,
    /// Where cargo left it.
    pub built: PathBuf,
    /// Where the component is to be kept.
    pub place: PathBuf,
    /// How long the compiler took.
    pub took: Duration,
}

/// Why there is no component.
#[derive(Debug)]
pub enum NotCompiled {
    /// The source is at fault; the problems are empty if the compiler has told them itself.
    Source(Vec<Problem>),
    /// Somebody wanted it no longer.
    Stopped,
    /// Something else is.
    Error(CliError),
}

impl From<CliError> for NotCompiled {
    fn from(error: CliError) -> Self {
        Self::Error(error)
    }
}

/// Builds a crate. The compiler's messages are shown on standard error, or kept for the caller.
pub fn compile(
    project: &Project,
    home: &Home,
    purpose: Purpose,
    messages: Messages,
    stop: Option<&Stop>,
) -> Result<Compiled, NotCompiled> {
    let begun = Instant::now();
    let mut settings = project.connect(home)?;
    settings.extend(purpose.settings());
    let choice = Choice::from_environment().map_err(|e| no_toolchain(&e))?;
    let toolchain = Toolchain::find(choice, Packages::Expect).map_err(|e| no_toolchain(&e))?;
    let built = toolchain
        .build_skill(&Skill {
            manifest: project.manifest(),
            profile: purpose.profile().to_owned(),
            settings,
            messages,
            stop: stop.cloned(),
        })
        .map_err(|error| not_built(error, project))?;
    let path = built.component.path;
    let bytes = read_regular(&path, COMPONENT_BYTES_MAX).map_err(|e| {
        let message = format!("could not read the component `{}`", path.display());
        CliError::new(Exit::Host, "not_built", message).caused_by(&e)
    })?;
    // `target/wasm32-wasip2/release/name.wasm`
    let target = path.ancestors().nth(3).unwrap_or(project.folder());
    let whole = Arc::new(bytes);
    Ok(Compiled {
        bytes: match purpose {
            Purpose::Use => whole.to_vec(),
            Purpose::Development => without_lines(&whole),
        },
        whole,
        warnings: built.diagnostics.iter().map(Problem::of_compiler).collect(),
        place: place(target, project),
        built: path,
        took: begun.elapsed(),
    })
}

/// Returns where the component of a crate is that was built last, if one was.
pub fn last(project: &Project) -> Result<Option<PathBuf>> {
    let target =
        target_folder(&project.manifest()).map_err(|e| CliError::of(Exit::Host, "not_built", &e).hint(RUST))?;
    Ok(Some(place(&target, project)).filter(|place| place.is_file()))
}

/// Puts a component where it is found by its skill's name, in one step.
pub fn keep(bytes: &[u8], place: &Path) -> Result<()> {
    let folder = place.parent().unwrap_or(Path::new("."));
    let put = fs::create_dir_all(folder).and_then(|()| rewrite(place, bytes));
    put.map_err(|e| {
        let message = format!("could not write the component to `{}`", place.display());
        CliError::new(Exit::Storage, "not_written", message).caused_by(&e)
    })
}

/// Returns where the component of a crate is kept.
fn place(target: &Path, project: &Project) -> PathBuf {
    target.join("skillhost").join(format!("{}.wasm", project.package()))
}

fn no_toolchain(error: &ToolchainError) -> CliError {
    let text = error.to_string();
    let (message, hint) = text.split_once("\nhint: ").unwrap_or((&text, "`skillhost doctor`"));
    let code = match error {
        ToolchainError::Choice { .. } => return CliError::invalid("usage", message),
        ToolchainError::Missing { .. } => "no_toolchain",
    };
    CliError::new(Exit::Host, code, message).hint(hint)
}

fn not_built(error: BuildError, project: &Project) -> NotCompiled {
    let error = match error {
        BuildError::Stopped => return NotCompiled::Stopped,
        BuildError::Failed => return NotCompiled::Source(Vec::new()),
        BuildError::Kept { diagnostics, said } => {
            let problems: Vec<Problem> = diagnostics.iter().map(Problem::of_compiler).collect();
            return NotCompiled::Source(match crate::problem::any_error(&problems) {
                true => problems,
                // Cargo did not come as far as the compiler: a manifest that it does not understand, a crate that is nowhere.
                false => vec![of_cargo(&said, project)],
            });
        }
        BuildError::NoComponent { .. } => {
            return NotCompiled::Source(vec![
                Problem::error(
                    "not_a_component",
                    format!("crate `{}` builds no component", project.package()),
                )
                .at("Cargo.toml")
                .expected("`[lib]` with `crate-type = [\"cdylib\"]`")
                .fix("write `crate-type = [\"cdylib\"]` below `[lib]`"),
            ]);
        }
        error => error,
    };
    NotCompiled::Error(CliError::of(Exit::Host, "not_built", &error).hint(RUST))
}

/// Makes a problem of what cargo itself said: its first error, with the reasons that it gives.
fn of_cargo(said: &str, project: &Project) -> Problem {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let first = lines.iter().position(|line| line.starts_with("error"));
    let lines = &lines[first.unwrap_or(0)..];
    let message = match lines.first() {
        Some(line) => line.trim_start_matches("error: "),
        None => "cargo could not build it and does not say why",
    };
    let mut problem =
        Problem::error("cargo", crate::terminal::plain(message)).at(project.manifest().display().to_string());
    if lines.len() > 1 {
        problem = problem.found(crate::terminal::plain_line(&lines[1..].join(" ")));
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("target/skillhost/x.wasm");
        keep(b"one", &place).expect("it is kept");
        keep(b"two", &place).expect("it is kept");
        assert_eq!(fs::read(&place).expect("it is there"), b"two");
        assert_eq!(
            fs::read_dir(place.parent().expect("a folder"))
                .expect("a folder")
                .count(),
            1
        );
        let error = keep(b"x", Path::new("/proc/none/x.wasm")).expect_err("nobody can write there");
        assert_eq!(error.code, "not_written");
    }
}
