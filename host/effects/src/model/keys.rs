//! Keys that the user stored for when the environment has none: a file that nobody else may read. It holds a key, or a command that prints one.
//!
//! A stored key is never shown: neither by `Debug`, nor in an error, nor by whatever lists what is stored.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use skillhost_core::id::Digest;

use super::Secret;
use super::settings::{Name, OpenError};

/// The longest file of keys, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 16 << 10;

/// How long a command has to print a key: a person may have to unlock something first.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// The providers that have a key.
pub const PROVIDERS: [Name; 2] = [Name::Anthropic, Name::OpenAi];

/// What is stored for a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Its key.
    Key(Secret),
    /// A program and its arguments, which prints the key.
    Command(Vec<String>),
}

/// All that is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(BTreeMap<Name, Stored>);

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
    /// Takes a key as it was given; `None` if it cannot be one.
    pub fn key(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_key = !text.is_empty() && text.len() <= KEY_BYTES_MAX && text.chars().all(|c| c.is_ascii_graphic());
        is_key.then(|| Self::Key(Secret::new(text)))
    }

    /// Returns by what it can be told from others, without saying what it is.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Key(key) => Digest::of(key.reveal().as_bytes()),
            Self::Command(words) => Digest::of(words.join("\0").as_bytes()),
        }
    }

    /// Returns the key. A command is run for it, which takes as long as that takes.
    pub(crate) fn reveal(&self, provider: Name) -> Result<Secret, OpenError> {
        match self {
            Self::Key(key) => Ok(key.clone()),
            Self::Command(words) => ask(words, PATIENCE).map_err(|reason| OpenError::Setting {
                setting: format!("the command that prints the key of `{provider}`"),
                reason,
            }),
        }
    }
}

impl Keys {
    /// Reads the file at `path`; nothing is stored if it is not there. One that others may read is refused.
    pub fn load(path: &Path) -> Result<Self, OpenError> {
        let wrong = |reason: String| OpenError::Setting {
            setting: path.display().to_string(),
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
            return Err(wrong("is no file of keys".to_owned()));
        }
        let text = fs::read_to_string(path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        // Not the parser's own message, which shows the line.
        let malformed =
            || wrong("is malformed; `skillhost auth set PROVIDER` after moving it away stores anew".to_owned());
        let sections: BTreeMap<Name, Section> = toml::from_str(&text).map_err(|_| malformed())?;
        let mut keys = BTreeMap::new();
        for (name, section) in sections {
            let stored = match (section.key, section.command) {
                (Some(key), None) => Stored::key(&key),
                (None, Some(words)) if !words.is_empty() => Some(Stored::Command(words)),
                _ => None,
            };
            keys.insert(name, stored.ok_or_else(malformed)?);
        }
        Ok(Self(keys))
    }

    /// Returns what the file is to hold, keys and all.
    pub fn reveal(&self) -> String {
        let section = |stored: &Stored| match stored {
            Stored::Key(key) => Section {
                key: Some(key.reveal().to_owned()),
                command: None,
            },
            Stored::Command(words) => Section {
                key: None,
                command: Some(words.clone()),
            },
        };
        let sections: BTreeMap<&str, Section> = self
            .0
            .iter()
            .map(|(name, stored)| (name.as_str(), section(stored)))
            .collect();
        toml::to_string(&sections).expect("texts and lists of them are TOML")
    }

    /// Returns what is stored for a provider.
    pub fn get(&self, name: Name) -> Option<&Stored> {
        self.0.get(&name)
    }

    /// Stores something for a provider, in place of what was.
    pub fn set(&mut self, name: Name, stored: Stored) {
        self.0.insert(name, stored);
    }

    /// Forgets what is stored for a provider, and says whether there was something.
    pub fn remove(&mut self, name: Name) -> bool {
        self.0.remove(&name).is_some()
    }

    /// Returns whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns for whom something is stored.
    pub fn iter(&self) -> impl Iterator<Item = (Name, &Stored)> {
        self.0.iter().map(|(name, stored)| (*name, stored))
    }
}

/// Where keys are stored, read when one is needed: most commands need none.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyFile(pub(crate) Option<PathBuf>);

impl KeyFile {
    pub(crate) fn load(&self) -> Result<Keys, OpenError> {
        self.0.as_deref().map_or_else(|| Ok(Keys::default()), Keys::load)
    }
}

/// Runs a command and returns the first line that it prints. What it left running in the background is let be, unless it took too long.
fn ask(words: &[String], patience: Duration) -> Result<Secret, String> {
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
        let mut output = BufReader::new(output).take(KEY_BYTES_MAX as u64 + 1);
        let mut printed = Vec::new();
        // What cannot be read is no key, which is told below.
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
    match Stored::key(text.lines().next().unwrap_or_default()) {
        Some(Stored::Key(key)) => Ok(key),
        _ => Err("printed nothing that can be a key".to_owned()),
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

    use super::*;

    fn shell(script: &str, patience: Duration) -> Result<Secret, String> {
        ask(&["sh", "-c", script].map(str::to_owned), patience)
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
