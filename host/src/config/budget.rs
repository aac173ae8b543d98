//! What runs and skills may spend, as the configuration has it: `[budget]`, `[budget.day]`, `[budget.skill.NAME]`, and `[prices]`.

use std::collections::BTreeMap;

use serde::Deserialize;
use skillhost_core::budget::{Budget, Cost};
use skillhost_core::entry::{Limits, Rung};
use skillhost_core::id::SkillName;
use skillhost_core::price::{Price, Prices};
use skillhost_effects::model::{Name, TIERS, millionths, shipped};

/// The most dollars that a member may say: beyond, somebody has mistaken a unit.
const DOLLARS_MAX: f64 = 1e9;

/// The most that a member may say that is kept in smaller units.
const AMOUNT_MAX: u64 = u64::MAX >> 24;

/// What runs and skills may spend. What is absent is as the host has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetConfig {
    /// Model calls of a run, each attempt counted.
    pub calls: Option<u64>,
    /// Tokens of a run, read and written.
    pub tokens: Option<u64>,
    /// Money of a run.
    pub dollars: Option<f64>,
    /// How long after its launch a run may start calls.
    pub seconds: Option<u64>,
    /// How long a run may compute in all.
    pub computing_seconds: Option<u64>,
    /// What a run may write to files.
    pub written_mib: Option<u64>,
    /// What a run's journal may come to.
    pub journal_mib: Option<u64>,
    /// What a skill may spend in a day, all its runs together.
    pub day: DayConfig,
    /// At how many percent of a run's budget which tier answers at most.
    pub ladder: Option<BTreeMap<String, String>>,
    /// What is different for a skill; of one that is said here nothing further is.
    pub skill: BTreeMap<String, BudgetConfig>,
}

/// What a skill may spend in a day. Without any member, as much as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DayConfig {
    /// Model calls.
    pub calls: Option<u64>,
    /// Tokens.
    pub tokens: Option<u64>,
    /// Money.
    pub dollars: Option<f64>,
}

/// What a model costs, in dollars for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceConfig {
    /// Read.
    pub input: f64,
    /// Written.
    pub output: f64,
    /// Read from the provider's cache; as `input` if absent.
    pub cache_read: Option<f64>,
    /// Written to the provider's cache; as `input` if absent.
    pub cache_write: Option<f64>,
}

/// What is asked of a budget at a launch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Model calls.
    pub calls: Option<u64>,
    /// Tokens.
    pub tokens: Option<u64>,
    /// Money, in millionths of a dollar.
    pub microdollars: Option<u64>,
}

/// A budget that a launch asks more of than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch {
    /// Which.
    pub budget: Budget,
    /// What is asked.
    pub asked: u64,
    /// What is allowed.
    pub allowed: u64,
}

impl BudgetConfig {
    /// Returns what a skill may spend in a day, if that is bounded; what is not is [`Cost::UNBOUNDED`].
    pub fn day_of(&self, skill: &SkillName) -> Option<Cost> {
        let own = self
            .skill
            .get(skill.as_str())
            .map(|skill| skill.day)
            .unwrap_or_default();
        let calls = own.calls.or(self.day.calls);
        let tokens = own.tokens.or(self.day.tokens);
        let dollars = own.dollars.or(self.day.dollars);
        let is_bounded = calls.is_some() || tokens.is_some() || dollars.is_some();
        is_bounded.then(|| Cost {
            calls: calls.unwrap_or(u64::MAX),
            tokens: tokens.unwrap_or(u64::MAX),
            microdollars: dollars.map_or(u64::MAX, millionths),
        })
    }

    /// Says what a run of a skill may spend. `base` is what it may hold beside that.
    pub(super) fn limits(&self, skill: &SkillName, asked: &Asked, base: Limits) -> (Limits, Option<TooMuch>) {
        let own = self.skill.get(skill.as_str()).cloned().unwrap_or_default();
        let calls = own.calls.or(self.calls).unwrap_or(base.budget.calls);
        let tokens = own.tokens.or(self.tokens).unwrap_or(base.budget.tokens);
        let dollars = own.dollars.or(self.dollars).map(millionths);
        let money = dollars.or(base.microdollars_max);
        let allowed = [
            (Budget::Calls, asked.calls, calls),
            (Budget::Tokens, asked.tokens, tokens),
            (Budget::Money, asked.microdollars, money.unwrap_or(u64::MAX)),
        ];
        let too_much = allowed.into_iter().find_map(|(budget, asked, allowed)| {
            let asked = asked.filter(|asked| *asked > allowed)?;
            Some(TooMuch { budget, asked, allowed })
        });
        let mib = |own: Option<u64>, general: Option<u64>| own.or(general).map(|mib| mib << 20);
        let ms = |own: Option<u64>, general: Option<u64>| own.or(general).map(|seconds| seconds * 1_000);
        let limits = Limits {
            budget: Cost {
                calls: asked.calls.unwrap_or(calls),
                tokens: asked.tokens.unwrap_or(tokens),
                microdollars: 0,
            },
            microdollars_max: asked.microdollars.or(money),
            // The host's own default is no reason to refuse a model that nobody knows the price of; a budget that somebody set is.
            priced_only: asked.microdollars.or(dollars).is_some(),
            wall_ms_max: ms(own.seconds, self.seconds),
            computing_ms_max: ms(own.computing_seconds, self.computing_seconds),
            written_bytes_max: mib(own.written_mib, self.written_mib),
            journal_bytes_max: mib(own.journal_mib, self.journal_mib),
            ladder: rungs(own.ladder.as_ref().or(self.ladder.as_ref())),
            ..base
        };
        (limits, too_much)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        check_one("budget", self)?;
        for (name, skill) in &self.skill {
            let place = format!("budget.skill.{name}");
            if !skill.skill.is_empty() {
                return Err(format!("`{place}.skill` is nothing that can be said of one skill"));
            }
            check_one(&place, skill)?;
        }
        match self.skill.keys().find(|skill| SkillName::parse(skill).is_err()) {
            Some(skill) => Err(format!("`budget.skill.{skill}` names no skill")),
            None => Ok(()),
        }
    }
}

fn check_one(place: &str, of: &BudgetConfig) -> Result<(), String> {
    for (member, dollars) in [("dollars", of.dollars), ("day.dollars", of.day.dollars)] {
        check_dollars(&format!("{place}.{member}"), dollars)?;
    }
    let amounts = [
        ("seconds", of.seconds),
        ("computing_seconds", of.computing_seconds),
        ("written_mib", of.written_mib),
        ("journal_mib", of.journal_mib),
    ];
    for (member, amount) in amounts {
        if amount.is_some_and(|amount| amount > AMOUNT_MAX) {
            return Err(format!("`{place}.{member}` is larger than {AMOUNT_MAX}"));
        }
    }
    for (percent, tier) in of.ladder.iter().flatten() {
        if !percent.parse().is_ok_and(|percent: u64| (1..=100).contains(&percent)) {
            return Err(format!("`{place}.ladder.{percent}` is no mark; it may be 1 to 100"));
        }
        if !TIERS.contains(&tier.as_str()) {
            return Err(format!(
                "`{place}.ladder.{percent}` is `{tier}`; it may be `haiku`, `sonnet` or `opus`"
            ));
        }
    }
    Ok(())
}

fn check_dollars(place: &str, dollars: Option<f64>) -> Result<(), String> {
    match dollars {
        Some(dollars) if !(0.0..=DOLLARS_MAX).contains(&dollars) => {
            Err(format!("`{place}` is {dollars}; it may be 0 to {DOLLARS_MAX} dollars"))
        }
        _ => Ok(()),
    }
}

fn rungs(ladder: Option<&BTreeMap<String, String>>) -> Vec<Rung> {
    let rung = |(percent, tier): (&String, &String)| {
        Some(Rung {
            percent: percent.parse().ok()?,
            tier: tier.clone(),
        })
    };
    let mut rungs: Vec<Rung> = ladder.into_iter().flatten().filter_map(rung).collect();
    rungs.sort_by_key(|rung| rung.percent);
    rungs
}

/// Returns what a provider's models cost: what the user says goes before what the host knows.
pub(super) fn prices(table: &BTreeMap<String, PriceConfig>, provider: &str) -> Prices {
    let mut prices = provider.parse::<Name>().map(shipped).unwrap_or_default();
    for (model, price) in table {
        let price = Price {
            input: millionths(price.input),
            output: millionths(price.output),
            cache_read: millionths(price.cache_read.unwrap_or(price.input)),
            cache_write: millionths(price.cache_write.unwrap_or(price.input)),
        };
        prices.set(model, price);
    }
    prices
}

pub(super) fn check_prices(table: &BTreeMap<String, PriceConfig>) -> Result<(), String> {
    for (model, price) in table {
        let members = [
            ("input", Some(price.input)),
            ("output", Some(price.output)),
            ("cache_read", price.cache_read),
            ("cache_write", price.cache_write),
        ];
        for (member, dollars) in members {
            check_dollars(&format!("prices.{model}.{member}"), dollars)?;
        }
    }
    Ok(())
}
