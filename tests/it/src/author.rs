//! What an author has: a folder to work in, cargo with what it has downloaded, and the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::{Place, told};

/// What cargo and the guest toolchain are found by.
const PASSED_ON: &[&str] = &[
    "PATH",
    "CARGO",
    "RUSTC",
    "RUSTUP_TOOLCHAIN",
    "SKILLHOST_GUEST_TOOLCHAIN",
];

/// An author, with crates of his own.
///
/// What was compiled is kept from one run of the tests to the next, and so is the SDK, whose path is part of what cargo compares.
pub struct Author<'a> {
    place: &'a Place,
    kept: PathBuf,
}

impl<'a> Author<'a> {
    /// Makes one. `kept` is `env!("CARGO_TARGET_TMPDIR")`.
    pub fn new(place: &'a Place, kept: &str) -> Self {
        let author = Self {
            place,
            kept: Path::new(kept).join("author"),
        };
        std::fs::create_dir_all(author.kept.join("crates")).unwrap();
        author
    }

    /// Returns the folder of a crate, empty of what an earlier run of the test left there.
    pub fn fresh(&self, name: &str) -> PathBuf {
        let folder = self.folder(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        folder
    }

    /// Returns the folder of a crate.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.kept.join("crates").join(name)
    }

    /// Gives a command what cargo needs, and a folder to work in. Nothing is downloaded: what the repository is built of is enough.
    pub fn equip(&self, mut command: Command, folder: &Path) -> Command {
        let found = |name: &str, below: &str| {
            let named = std::env::var_os(name).map(PathBuf::from);
            named.or_else(|| Some(std::env::home_dir()?.join(below))).unwrap()
        };
        let passed_on = PASSED_ON
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        command
            .envs(passed_on)
            .env("CARGO_HOME", found("CARGO_HOME", ".cargo"))
            .env("RUSTUP_HOME", found("RUSTUP_HOME", ".rustup"))
            .env("CARGO_NET_OFFLINE", "true")
            // What is only run here is not debugged, and disks are small.
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_TARGET_DIR", self.kept.join("target"))
            .env("SKILLHOST_HOME", self.kept.join("home"))
            .current_dir(folder);
        command
    }

    /// Runs the program in a folder.
    pub fn run(&self, folder: &Path, words: &[&str]) -> Output {
        self.equip(self.place.command(words), folder).output().unwrap()
    }

    /// Runs the program in a folder, and returns what it says to programs, whatever came of it.
    pub fn json(&self, folder: &Path, words: &[&str]) -> Value {
        let output = self.run(folder, &[words, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{words:?}: {}", told(&output)))
    }

    /// Runs cargo in a folder.
    pub fn cargo(&self, folder: &Path, words: &[&str]) -> Output {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(words).env_clear();
        self.equip(command, folder).output().unwrap()
    }
}
