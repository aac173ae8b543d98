//! The user's configuration: `config.toml` in the state folder. Everything in it may be absent, the file too; a member that is not known is an error.

pub mod budget;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use skillhost_core::entry::Limits;
use skillhost_core::id::SkillName;
use skillhost_core::price::Prices;
use skillhost_effects::model;

use self::budget::{Asked, BudgetConfig, PriceConfig, TooMuch};
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
    /// What runs and skills may spend.
    pub budget: BudgetConfig,
    /// What models cost, by their ids.
    pub prices: BTreeMap<String, PriceConfig>,
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
    /// Model calls: `budget.calls`, as it was spelt first.
    pub calls: Option<u64>,
    /// Tokens: `budget.tokens`, as it was spelt first.
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

    fn check_parts(&self) -> std::result::Result<(), String> {
        self.worker.check()?;
        self.notify.check()?;
        limits::check(&self.limits)?;
        self.budget.check()?;
        budget::check_prices(&self.prices)
    }

    fn check(&self, path: &Path) -> Result<()> {
        if let Err(reason) = self.check_parts() {
            let message = format!("{reason}, in the configuration `{}`", path.display());
            return Err(CliError::invalid("bad_config", message));
        }
        Ok(())
    }

    /// Returns what a run of a skill may spend and hold that is launched with these options, and the first of them that asks for more than is allowed here.
    pub fn limits(&self, skill: &SkillName, asked: &Asked) -> (Limits, Option<TooMuch>) {
        let mut base = Limits::default();
        let limits = &self.limits;
        base.budget.calls = limits.calls.unwrap_or(base.budget.calls);
        base.budget.tokens = limits.tokens.unwrap_or(base.budget.tokens);
        base.holds = limits::holdings(limits);
        if let Some(seconds) = limits.grace_seconds {
            base.grace_ms = seconds.saturating_mul(1_000);
        }
        if let Some(mib) = limits.memory_mib {
            base.memory_bytes_max = mib << 20;
        }
        if let Some(seconds) = limits.computing_seconds {
            base.computing_ms = seconds.saturating_mul(1_000);
        }
        self.budget.limits(skill, asked, base)
    }

    /// Returns what the models of a provider cost.
    pub fn prices(&self, provider: &str) -> Prices {
        budget::prices(&self.prices, provider)
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

    fn skill() -> SkillName {
        SkillName::parse("triage").unwrap()
    }

    fn limits(config: &Config, asked: Asked) -> Limits {
        config.limits(&skill(), &asked).0
    }

    #[test]
    fn without_a_file_everything_is_as_the_host_has_it() {
        let config = Config::load(Path::new("/no/such/config.toml")).unwrap();
        assert_eq!(limits(&config, Asked::default()), Limits::default());
        assert_eq!(config.budget.day_of(&skill()), None);
    }

    #[test]
    fn a_launch_goes_before_the_configuration_and_that_before_the_host() {
        let config = load("[limits]\ncalls = 7\nmemory_mib = 64\ncomputing_seconds = 5\n").unwrap();
        let asked = Asked {
            tokens: Some(9),
            ..Asked::default()
        };
        let found = limits(&config, asked);
        assert_eq!((found.budget.calls, found.budget.tokens), (7, 9));
        assert_eq!((found.memory_bytes_max, found.computing_ms), (64 << 20, 5_000));
        assert!(!found.priced_only, "nobody set a budget of money");
    }

    #[test]
    fn a_skill_goes_before_all_and_a_budget_before_the_older_spelling() {
        let text = "[limits]\ncalls = 7\n[budget]\ncalls = 5\ndollars = 2\nseconds = 60\nwritten_mib = 1\n[budget.skill.triage]\ndollars = 0.5\n\
            [budget.day]\ncalls = 100\n[budget.skill.triage.day]\ndollars = 3\n[budget.ladder]\n80 = 'haiku'\n50 = 'sonnet'\n";
        let config = load(text).unwrap();
        let found = limits(&config, Asked::default());
        assert_eq!((found.budget.calls, found.microdollars_max), (5, Some(500_000)));
        assert_eq!(
            (found.wall_ms_max, found.written_bytes_max),
            (Some(60_000), Some(1 << 20))
        );
        assert!(found.priced_only);
        let marks: Vec<u64> = found.ladder.iter().map(|rung| rung.percent).collect();
        assert_eq!(marks, [50, 80]);
        let day = config.budget.day_of(&skill()).unwrap();
        assert_eq!((day.calls, day.tokens, day.microdollars), (100, u64::MAX, 3_000_000));
        let other = config.budget.day_of(&SkillName::parse("other").unwrap()).unwrap();
        assert_eq!((other.calls, other.microdollars), (100, u64::MAX));
    }

    #[test]
    fn what_a_launch_asks_beyond_the_configuration_is_told() {
        let config = load("[budget]\ndollars = 1.5\n").unwrap();
        let asked = |calls, microdollars| Asked {
            calls,
            microdollars,
            ..Asked::default()
        };
        assert_eq!(config.limits(&skill(), &asked(Some(1_000), Some(1_500_000))).1, None);
        let (_, too_much) = config.limits(&skill(), &asked(Some(1_001), None));
        assert_eq!(too_much.unwrap().allowed, 1_000);
        let (_, too_much) = config.limits(&skill(), &asked(None, Some(1_500_001)));
        assert_eq!(too_much.unwrap().allowed, 1_500_000);
    }

    #[test]
    fn the_users_prices_go_before_those_that_the_host_knows() {
        let config = load("[prices.\"claude-opus-4-7\"]\ninput = 4\noutput = 20.5\n").unwrap();
        let prices = config.prices("anthropic");
        let price = prices.of("claude-opus-4-7").unwrap();
        assert_eq!(
            (price.input, price.output, price.cache_write),
            (4_000_000, 20_500_000, 4_000_000)
        );
        assert!(prices.of("claude-sonnet-4-6").is_some());
        assert_eq!(
            config.prices("offline").of("claude-sonnet-4-6"),
            None,
            "a script costs nothing"
        );
    }

    #[test]
    fn a_budget_that_is_none_is_told() {
        let sentence = |text: &str| load(text).unwrap_err().sentence();
        assert!(sentence("[budget]\ndollars = -1\n").contains("`budget.dollars` is -1; it may be 0 to"));
        assert!(sentence("[budget.ladder]\n50 = 'gpt'\n").contains("it may be `haiku`, `sonnet` or `opus`"));
        assert!(sentence("[budget.ladder]\n500 = 'opus'\n").contains("it may be 1 to 100"));
        assert!(sentence("[budget.skill.\"../x\"]\ncalls = 1\n").contains("names no skill"));
        assert!(sentence("[budget.skill.a.skill.b]\ncalls = 1\n").contains("`budget.skill.a.skill` is nothing"));
        assert!(sentence("[prices.m]\ninput = nan\noutput = 1\n").contains("`prices.m.input`"));
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
