//! Builds guest crates to components.
//!
//! Start with [`Toolchain::find`] and [`Toolchain::build_skill`]. There are two ways to a compiler for `wasm32-wasip2`, tried in this order: rustup's target, and on Debian the
//! packages `rustc-web` and `rust-web-src`, with which the standard library is built once. [`workspace`] builds all guests of this repository, for its tests.
//!
//! What a component has to import and export is not checked here: the host's loader does that.

mod cargo;
mod debian;
mod diagnostic;
mod rustup;
mod stop;
pub mod workspace;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

pub use cargo::{BuildError, BuiltSkill, Component, Crate, Messages, Skill};
pub use diagnostic::{Diagnostic, Level, Place};
pub use stop::Stop;

/// The target that components are built for.
pub const TARGET: &str = "wasm32-wasip2";

/// Which toolchain to use, in the environment: see [`Choice`].
pub const CHOICE_VARIABLE: &str = "SKILLHOST_GUEST_TOOLCHAIN";

/// Which toolchain to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Rustup's where that is possible, else Debian's.
    #[default]
    Auto,
    /// Rustup's.
    Rustup,
    /// Debian's.
    Debian,
}

impl Choice {
    /// Returns what the environment says.
    pub fn from_environment() -> Result<Self, ToolchainError> {
        match std::env::var(CHOICE_VARIABLE) {
            Ok(text) => text.parse(),
            Err(_) => Ok(Self::Auto),
        }
    }
}

impl FromStr for Choice {
    type Err = ToolchainError;

    fn from_str(text: &str) -> Result<Self, ToolchainError> {
        match text {
            "" | "auto" => Ok(Self::Auto),
            "rustup" => Ok(Self::Rustup),
            "debian" => Ok(Self::Debian),
            _ => Err(ToolchainError::Choice { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Rustup => "rustup",
            Self::Debian => "debian",
        })
    }
}

/// Whether Debian's packages may be installed if they are missing; it takes root and asks nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packages {
    /// They have to be there.
    Expect,
    /// They may be installed.
    Install,
}

/// Why there is no toolchain.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// Not one of the choices.
    #[error("`{text}` is no guest toolchain; there are `auto`, `rustup` and `debian`")]
    Choice {
        /// What was given.
        text: String,
    },
    /// This machine has none, and none could be installed.
    #[error("cannot build for `{TARGET}`: {reasons}\nhint: {hint}")]
    Missing {
        /// What was tried, and how it went.
        reasons: String,
        /// What to do.
        hint: String,
    },
}

/// A compiler for guests.
#[derive(Clone, Debug)]
pub struct Toolchain {
    choice: Choice,
    cargo: PathBuf,
    environment: Vec<(&'static str, OsString)>,
    arguments: Vec<String>,
}

impl Toolchain {
    /// Finds a toolchain, installing what is missing as far as that is possible. What it installs with says on standard error how far it is.
    pub fn find(choice: Choice, packages: Packages) -> Result<Self, ToolchainError> {
        let cargo = std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from);
        let rustup = || rustup::find(&cargo);
        let debian = || debian::find(&cargo, packages);
        match choice {
            Choice::Rustup => rustup().map_err(|reason| missing(&[reason], RUSTUP_HINT)),
            Choice::Debian => debian().map_err(|reason| missing(&[reason], DEBIAN_HINT)),
            Choice::Auto => rustup().or_else(|first| {
                let hint = match debian::is_debian() {
                    true => DEBIAN_HINT,
                    false => RUSTUP_HINT,
                };
                debian().map_err(|second| missing(&[first, second], hint))
            }),
        }
    }

    /// Returns which one it is.
    pub fn choice(&self) -> Choice {
        self.choice
    }

    /// Builds the components of a crate or a workspace with cargo, whose messages go to standard error.
    pub fn build(&self, guests: &Crate) -> Result<Vec<Component>, BuildError> {
        cargo::build(self, guests)
    }

    /// Builds the component of a skill, where cargo builds it by itself too. A skill that does not compile leaves what was built before.
    pub fn build_skill(&self, skill: &Skill) -> Result<BuiltSkill, BuildError> {
        cargo::build_skill(self, skill)
    }

    /// Returns where to build, so that the toolchains do not undo each other's work.
    fn target_folder(&self, folder: &Path) -> PathBuf {
        match self.choice {
            Choice::Debian => folder.join("debian"),
            _ => folder.to_owned(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        // What is set for the host's own build does not hold for guests.
        for variable in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_BUILD_RUSTFLAGS",
            "RUSTC_WORKSPACE_WRAPPER",
        ] {
            command.env_remove(variable);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

const RUSTUP_HINT: &str = "`rustup target add wasm32-wasip2` (rustup is at https://rustup.rs)";
const DEBIAN_HINT: &str =
    "`rustup target add wasm32-wasip2`, or as root `apt-get install rustc-web rust-web-src wasi-libc lld`";

fn missing(reasons: &[String], hint: &str) -> ToolchainError {
    ToolchainError::Missing {
        reasons: reasons.join("; "),
        hint: hint.to_owned(),
    }
}

/// Returns what a program prints, or why it does not.
fn ask(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("`{name}` cannot be started: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(format!(
            "`{name}` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

/// Returns the folder in which a compiler keeps its libraries.
fn sysroot_of(rustc: &Path) -> Result<PathBuf, String> {
    ask(Command::new(rustc).args(["--print", "sysroot"])).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_it_is_written() {
        for choice in [Choice::Auto, Choice::Rustup, Choice::Debian] {
            assert_eq!(choice.to_string().parse::<Choice>().unwrap(), choice);
        }
        let error = "gcc".parse::<Choice>().expect_err("there is no such choice");
        assert_eq!(
            error.to_string(),
            "`gcc` is no guest toolchain; there are `auto`, `rustup` and `debian`"
        );
    }

    #[test]
    fn a_machine_that_can_do_neither_is_told_what_was_tried_and_what_to_install() {
        let error = missing(&["no rustup".to_owned(), "no Debian".to_owned()], DEBIAN_HINT);
        assert_eq!(
            error.to_string(),
            "cannot build for `wasm32-wasip2`: no rustup; no Debian\n\
             hint: `rustup target add wasm32-wasip2`, or as root `apt-get install rustc-web rust-web-src wasi-libc lld`"
        );
    }

    #[test]
    fn debians_toolchain_builds_beside_rustups() {
        let toolchain = |choice| Toolchain {
            choice,
            cargo: "cargo".into(),
            environment: Vec::new(),
            arguments: Vec::new(),
        };
        let folder = Path::new("target/guest-build");
        assert_eq!(toolchain(Choice::Rustup).target_folder(folder), folder);
        assert_eq!(toolchain(Choice::Debian).target_folder(folder), folder.join("debian"));
    }
}
