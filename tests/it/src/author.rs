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

/// An author, with a folder to work in and a state folder of his own.
///
/// What was compiled is kept from one run of the tests to the next, and so is the SDK, whose path is part of what cargo compares.
pub struct Author<'a> {
    place: &'a Place,
    kept: PathBuf,
    name: String,
}

impl<'a> Author<'a> {
    /// Makes one for a test that nobody else has the name of. `kept` is `env!("CARGO_TARGET_TMPDIR")`. His folder is empty, and his state folder holds the SDK at most.
    pub fn new(place: &'a Place, kept: &str, name: &str) -> Self {
        let author = Self {
            place,
            kept: Path::new(kept).join("author"),
            name: name.to_owned(),
        };
        for folder in [author.folder(), author.home()] {
            std::fs::create_dir_all(&folder).unwrap();
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true if path.ends_with("sdk") => {}
                    true => std::fs::remove_dir_all(path).unwrap(),
                    false => std::fs::remove_file(path).unwrap(),
                }
            }
        }
        // His crates are formatted as anybody's are, wherever this repository and its target folder lie.
        std::fs::write(author.kept.join("rustfmt.toml"), "").unwrap();
        author
    }

    /// Returns the folder that he works in.
    pub fn folder(&self) -> PathBuf {
        self.kept.join("work").join(&self.name)
    }

    fn home(&self) -> PathBuf {
        self.kept.join("home").join(&self.name)
    }

    /// Configures that whoever runs commands may grant, too.
    pub fn let_agents_grant(&self) {
        std::fs::write(self.home().join("config.toml"), "agents_may_grant = true\n").unwrap();
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
            .env("SKILLHOST_HOME", self.home())
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

impl Drop for Author<'_> {
    fn drop(&mut self) {
        // A daemon that a command started must not outlive the test.
        drop(
            self.equip(self.place.command(&["worker", "stop", "--force"]), &self.folder())
                .output(),
        );
    }
}
