//! What the user stored and nobody is shown: a file that nobody else may read, which holds for each name a value, or a command that prints one. There is one of the keys of
//! model providers ([`crate::model::keys`]), and one of the secrets that skills name ([`crate::secrets`]).
//!
//! A stored value is never shown: neither by `Debug`, nor in an error, nor by whatever lists what is stored.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use skillhost_core::id::Digest;

use crate::model::Secret;

/// The longest file, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// The longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 16 << 10;

/// How long a command has to print a value: a person may have to unlock something first.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// What something is stored by.
pub trait StoredBy: Clone + Ord + fmt::Display + Serialize + DeserializeOwned {
    /// What is stored, in a word.
    const WHAT: &'static str;
    /// The command that stores one.
    const COMMAND: &'static str;

    /// Takes a value as it was given; `None` if it cannot be one.
    fn value(text: &str) -> Option<Stored>;
}

/// What is stored by a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The value.
    Value(Secret),
    /// A program and its arguments, which prints the value.
    Command(Vec<String>),
}

/// All that is stored by names of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store<N: StoredBy>(BTreeMap<N, Stored>);

/// Why what is stored cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{what} {reason}")]
pub struct Unusable {
    /// The file, or the command.
    pub what: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A section of the file.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<Vec<String>>,
}

impl Stored {
    /// Returns by what it can be told from others, without saying what it is.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Value(value) => Digest::of(value.reveal().as_bytes()),
            Self::Command(words) => Digest::of(words.join("\0").as_bytes()),
        }
    }

    /// Returns the value. A command is run for it, which takes as long as that takes.
    pub(crate) fn reveal<N: StoredBy>(&self, name: &N) -> Result<Secret, Unusable> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Command(words) => ask::<N>(words, PATIENCE).map_err(|reason| Unusable {
                what: format!("the command that prints the {} of `{name}`", N::WHAT),
                reason,
            }),
        }
    }
}

impl<N: StoredBy> Store<N> {
    /// Reads the file at `path`; nothing is stored if it is not there. One that others may read is refused.
    pub fn load(path: &Path) -> Result<Self, Unusable> {
        let wrong = |reason: String| Unusable {
            what: path.display().to_string(),
            reason,
        };
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(wrong(format!("cannot be read: {e}"))),
        };
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(wrong(format!("may be read by others: `chmod 600 {}`", path.display())));
        }
        if !metadata.is_file() || metadata.len() > BYTES_MAX {
            return Err(wrong(format!("is no file of {}s", N::WHAT)));
        }
        let text = fs::read_to_string(path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        // Not the parser's own message, which shows the line.
        let malformed = || {
            wrong(format!(
                "is malformed; `{}` after moving it away stores anew",
                N::COMMAND
            ))
        };
        let sections: BTreeMap<N, Section> = toml::from_str(&text).map_err(|_| malformed())?;
        let mut values = BTreeMap::new();
        for (name, section) in sections {
            let stored = match (section.key, section.command) {
                (Some(value), None) => N::value(&value),
                (None, Some(words)) if !words.is_empty() => Some(Stored::Command(words)),
                _ => None,
            };
            values.insert(name, stored.ok_or_else(malformed)?);
        }
        Ok(Self(values))
    }

    /// Returns what the file is to hold, values and all.
    pub fn reveal(&self) -> String {
        let section = |stored: &Stored| match stored {
            Stored::Value(value) => Section {
                key: Some(value.reveal().to_owned()),
                command: None,
            },
            Stored::Command(words) => Section {
                key: None,
                command: Some(words.clone()),
            },
        };
        let sections: BTreeMap<&N, Section> = self.0.iter().map(|(name, stored)| (name, section(stored))).collect();
        toml::to_string(&sections).expect("texts and lists of them are TOML")
    }

    /// Returns what is stored by a name.
    pub fn get(&self, name: &N) -> Option<&Stored> {
        self.0.get(name)
    }

    /// Stores something by a name, in place of what was.
    pub fn set(&mut self, name: N, stored: Stored) {
        self.0.insert(name, stored);
    }

    /// Forgets what is stored by a name, and says whether there was something.
    pub fn remove(&mut self, name: &N) -> bool {
        self.0.remove(name).is_some()
    }

    /// Returns whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns by which names something is stored.
    pub fn iter(&self) -> impl Iterator<Item = (&N, &Stored)> {
        self.0.iter()
    }
}

impl<N: StoredBy> Default for Store<N> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// Runs a command and returns the first line that it prints. What it left running in the background is let be, unless it took too long.
fn ask<N: StoredBy>(words: &[String], patience: Duration) -> Result<Secret, String> {
    let (program, arguments) = words.split_first().ok_or("is empty")?;
    let mut command = Command::new(program);
    // What it says goes to the terminal, where its user may be told to unlock something.
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    // With a group of its own it can be ended together with what it started. It is then in the background, where the system stops what reads from the terminal.
    let began = Instant::now();
    let mut child = command
        .process_group(0)
        .spawn()
        .map_err(|e| format!("could not be started: {e}"))?;
    let output = child.stdout.take().expect("standard output is piped");
    let (sender, line) = mpsc::channel();
    // It ends with the first line: something in the background may keep the other end open for ever.
    std::thread::spawn(move || {
        let mut output = BufReader::new(output).take(VALUE_BYTES_MAX as u64 + 1);
        let mut printed = Vec::new();
        // What cannot be read is no value, which is told below.
        let _ = output.read_until(b'\n', &mut printed);
        // Nobody listens any more if it came too late. The pipe goes along: a command that prints more is not to fail because nobody reads that.
        let _ = sender.send((printed, output));
    });
    let Ok((printed, _output)) = line.recv_timeout(patience) else {
        return Err(end(child, patience));
    };
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() < patience => std::thread::sleep(LOOK),
            _ => return Err(end(child, patience)),
        }
    };
    if !status.success() {
        return Err(format!("failed ({status})"));
    }
    let text = String::from_utf8_lossy(&printed);
    match N::value(text.lines().next().unwrap_or_default()) {
        Some(Stored::Value(value)) => Ok(value),
        _ => Err(format!("printed nothing that can be a {}", N::WHAT)),
    }
}

/// Ends a command that took too long, with all that it started, and returns what is wrong with it. It was not waited for yet, so its group is its own still.
fn end(mut child: Child, patience: Duration) -> String {
    // It may have ended meanwhile.
    let _ =
        rustix::process::kill_process_group(rustix::process::Pid::from_child(&child), rustix::process::Signal::KILL);
    let _ = child.wait();
    format!("printed none within {} s", patience.as_secs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use std::path::PathBuf;

    use super::*;

    fn shell(script: &str, patience: Duration) -> Result<Secret, String> {
        ask::<crate::model::Name>(&["sh", "-c", script].map(str::to_owned), patience)
    }

    fn fifo(folder: &Path) -> PathBuf {
        let path = folder.join("fifo");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        path
    }

    #[test]
    fn a_key_is_known_while_something_in_the_background_keeps_the_output_open() {
        let folder = tempfile::tempdir().unwrap();
        let wait = fifo(folder.path());
        let key = shell(&format!("echo k-1; cat '{}' &", wait.display()), PATIENCE).unwrap();
        assert_eq!(key.reveal(), "k-1");
        // It waits until somebody writes, and was let be.
        drop(fs::File::options().write(true).open(wait).unwrap());
    }

    #[test]
    fn a_command_may_print_more_than_the_key() {
        let key = shell("echo k-1; sleep 0.1; echo more; echo more", PATIENCE).unwrap();
        assert_eq!(key.reveal(), "k-1");
        assert_eq!(shell("printf k-2", PATIENCE).unwrap().reveal(), "k-2");
        assert!(shell("echo k-3; exit 1", PATIENCE).unwrap_err().contains("failed"));
    }

    #[test]
    fn a_command_that_takes_too_long_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let alive = fifo(folder.path());
        let path = alive.clone();
        // Reading ends when nobody holds the other end any more.
        let gone = std::thread::spawn(move || fs::read(path).unwrap());
        let script = format!("exec 3>'{}'; sleep 1000 & sleep 1000", alive.display());
        let error = shell(&script, Duration::from_millis(500)).unwrap_err();
        assert!(error.contains("within"), "{error}");
        assert!(gone.join().unwrap().is_empty());
    }
}
