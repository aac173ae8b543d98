//! The user's configuration: `config.toml` in the state folder. Everything in it may be absent, the file too; a member that is not known is an error.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use skillhost_core::budget::Cost;
use skillhost_core::entry::Limits;
use skillhost_core::id::SkillName;
use skillhost_effects::model;

use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::read_regular;
use crate::limits;
use crate::notify::NotifyConfig;

/// The longest configuration, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// The user's configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which model provider answers, and how it is reached.
    pub model: model::Config,
    /// What a run may spend and hold, unless the launch says otherwise.
    pub limits: LimitsConfig,
    /// How the daemon drives runs.
    pub worker: WorkerConfig,
    /// How the user is told that a run is over or asks something.
    pub notify: NotifyConfig,
    /// Whether something may be granted to skills without a person at a terminal who says so.
    pub agents_may_grant: bool,
}

/// How the daemon drives runs. What is absent is as the host has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// The most runs that work at once; one that waits does not count.
    pub runs: Option<usize>,
    /// The most of one skill that do.
    pub runs_of: BTreeMap<String, usize>,
    /// The memory that waiting runs may hold.
    pub waiting_mib: Option<u64>,
    /// How long the daemon stays when there is nothing to do.
    pub idle_seconds: Option<u64>,
}

impl WorkerConfig {
    const RUNS_DEFAULT: usize = 64;
    const RUNS_MAX: usize = 512;
    const WAITING_MIB_DEFAULT: u64 = 128;
    const IDLE_DEFAULT: Duration = Duration::from_secs(600);

    /// Returns the most runs that work at once.
    pub fn runs_max(&self) -> usize {
        self.runs.unwrap_or(Self::RUNS_DEFAULT)
    }

    /// Returns the most of each skill that do, where that is bounded.
    pub fn runs_max_of(&self) -> HashMap<SkillName, usize> {
        let named = self.runs_of.iter();
        named
            .filter_map(|(skill, max)| Some((SkillName::parse(skill).ok()?, *max)))
            .collect()
    }

    /// Returns the most that the memories of waiting guests may come to, in bytes.
    pub fn waiting_bytes_max(&self) -> u64 {
        self.waiting_mib
            .unwrap_or(Self::WAITING_MIB_DEFAULT)
            .saturating_mul(1 << 20)
    }

    /// Returns how long the daemon stays when there is nothing to do.
    pub fn idle(&self) -> Duration {
        self.idle_seconds.map_or(Self::IDLE_DEFAULT, Duration::from_secs)
    }

    fn check(&self) -> Result<(), String> {
        let bounds = std::iter::once(("worker.runs".to_owned(), self.runs_max()));
        let bounds_of = self.runs_of.iter();
        for (member, max) in bounds.chain(bounds_of.map(|(skill, max)| (format!("worker.runs_of.{skill}"), *max))) {
            if !(1..=Self::RUNS_MAX).contains(&max) {
                return Err(format!("`{member}` is {max}; it may be 1 to {}", Self::RUNS_MAX));
            }
        }
        match self.runs_of.keys().find(|skill| SkillName::parse(skill).is_err()) {
            Some(skill) => Err(format!("`worker.runs_of.{skill}` names no skill")),
            None => Ok(()),
        }
    }
}

/// What a run may spend and hold. What is absent is as the host has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Model calls, each attempt counted.
    pub calls: Option<u64>,
    /// Tokens, read and written.
    pub tokens: Option<u64>,
    /// How long a cancelled run may clean up.
    pub grace_seconds: Option<u64>,
    /// The memory of the guest.
    pub memory_mib: Option<u64>,
    /// How long the guest may compute between two calls.
    pub computing_seconds: Option<u64>,
    /// How long a component may take to be compiled, and how much memory; how many are at once.
    pub compile_seconds: Option<u64>,
    /// See above.
    pub compile_mib: Option<u64>,
    /// See above.
    pub compiling: Option<u64>,
    /// How long a skill may take to say what it is, and how much memory.
    pub describe_seconds: Option<u64>,
    /// See above.
    pub describe_mib: Option<u64>,
    /// The stack of the guest.
    pub stack_kib: Option<u64>,
    /// How many core instances, memories and tables it may be made of.
    pub instances: Option<u64>,
    /// See above.
    pub memories: Option<u64>,
    /// See above.
    pub tables: Option<u64>,
    /// How large a table may be.
    pub table_elements: Option<u64>,
    /// What one call may carry.
    pub call_mib: Option<u64>,
    /// How many calls may be open at once.
    pub open_calls: Option<u64>,
    /// How many handles it may hold.
    pub handles: Option<u64>,
    /// How much it may do between two outcomes.
    pub acts: Option<u64>,
    /// See above.
    pub act_mib: Option<u64>,
    /// How much of its log is kept.
    pub log_lines: Option<u64>,
    /// See above.
    pub log_mib: Option<u64>,
}

impl Config {
    /// Reads the file at `path`, if there is one.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = match read_regular(path, BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => {
                let message = format!("could not read the configuration `{}`", path.display());
                return Err(CliError::new(Exit::Storage, "config_unreadable", message).caused_by(&e));
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        let config: Self = toml::from_str(&text).map_err(|e| malformed(path, &text, &e))?;
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<()> {
        if let Err(reason) = self
            .worker
            .check()
            .and_then(|()| self.notify.check())
            .and_then(|()| limits::check(&self.limits))
        {
            let message = format!("{reason}, in the configuration `{}`", path.display());
            return Err(CliError::invalid("bad_config", message));
        }
        Ok(())
    }

    /// Returns what a run may spend and hold that is launched with these options.
    pub fn limits(&self, calls_max: Option<u64>, tokens_max: Option<u64>) -> Limits {
        let default = Limits::default();
        let limits = &self.limits;
        Limits {
            budget: Cost {
                calls: calls_max.or(limits.calls).unwrap_or(default.budget.calls),
                tokens: tokens_max.or(limits.tokens).unwrap_or(default.budget.tokens),
            },
            grace_ms: limits
                .grace_seconds
                .map_or(default.grace_ms, |seconds| seconds.saturating_mul(1_000)),
            memory_bytes_max: limits.memory_mib.map_or(default.memory_bytes_max, |mib| mib << 20),
            computing_ms: limits
                .computing_seconds
                .map_or(default.computing_ms, |seconds| seconds.saturating_mul(1_000)),
            holds: limits::holdings(limits),
        }
    }
}

fn malformed(path: &Path, text: &str, error: &toml::de::Error) -> CliError {
    let line = error
        .span()
        .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let place = line.map_or_else(String::new, |line| format!(" at line {line}"));
    let message = format!(
        "the configuration `{}` is malformed{place}: {}",
        path.display(),
        error.message().trim_end()
    );
    let hint = match line {
        Some(line) => format!("mend line {line}, or move the file away to do without it"),
        None => "mend the file, or move it away to do without it".to_owned(),
    };
    CliError::invalid("bad_config", message).hint(hint)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn load(text: &str) -> Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path).map_err(|mut error| {
            error.message = error.message.replace(&*path.to_string_lossy(), "config.toml");
            error
        })
    }

    #[test]
    fn without_a_file_everything_is_as_the_host_has_it() {
        let config = Config::load(Path::new("/no/such/config.toml")).unwrap();
        assert_eq!(config.limits(None, None), Limits::default());
    }

    #[test]
    fn a_launch_goes_before_the_configuration_and_that_before_the_host() {
        let config = load("[limits]\ncalls = 7\nmemory_mib = 64\ncomputing_seconds = 5\n").unwrap();
        let limits = config.limits(None, Some(9));
        assert_eq!(limits.budget, Cost { calls: 7, tokens: 9 });
        assert_eq!((limits.memory_bytes_max, limits.computing_ms), (64 << 20, 5_000));
        assert_eq!(config.limits(Some(1), None).budget.calls, 1);
    }

    #[test]
    fn a_mistake_is_shown_with_its_line() {
        let unknown = load("[limits]\ncalls = 7\nmoney = 3\n").unwrap_err().sentence();
        assert!(
            unknown.starts_with("the configuration `config.toml` is malformed at line 3: unknown field `money`"),
            "{unknown}"
        );
        let malformed = load("[limits\n").unwrap_err().sentence();
        assert!(malformed.contains("malformed at line 1"), "{malformed}");
        let range = load("[limits]\nmemory_mib = 5000\n").unwrap_err().sentence();
        assert!(range.contains("it may be 1 to 4096"), "{range}");
    }
}
