//! What a new run may spend, as it is asked on the command line.
//!
//! An option may lower a budget. To raise one beyond what the configuration allows needs a person at a terminal, as granting does: an agent that may run commands must
//! not give itself what it was refused.

use clap::Args;
use skillhost_core::entry::{Limits, Provider, Started};
use skillhost_core::id::SkillName;
use skillhost_effects::model::millionths;

use super::context::Context;
use super::grant;
use crate::config::budget::{Asked, TooMuch};
use crate::error::{CliError, Result};
use crate::exit::Exit;

/// The most dollars that can be asked for.
const DOLLARS_MAX: f64 = 1e9;

/// What a run may spend.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct BudgetArgs {
    /// Allow this many model calls
    #[arg(long, value_name = "N")]
    pub max_calls: Option<u64>,
    /// Allow this many tokens, read and written
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<u64>,
    /// Allow so many dollars
    #[arg(long, value_name = "DOLLARS", value_parser = dollars)]
    pub max_cost: Option<u64>,
}

/// Reads dollars, and returns millionths of one.
fn dollars(text: &str) -> std::result::Result<u64, String> {
    let amount = text.strip_prefix('$').unwrap_or(text);
    match amount.parse::<f64>() {
        Ok(dollars) if (0.0..=DOLLARS_MAX).contains(&dollars) => Ok(millionths(dollars)),
        _ => Err("an amount of dollars is wanted, like 2 or 0.50".to_owned()),
    }
}

impl BudgetArgs {
    /// Returns what a run of a skill may spend and hold, and the prices that it keeps.
    pub(super) fn limits(&self, context: &Context, skill: &SkillName, provider: &Provider) -> Result<Limits> {
        let config = context.config()?;
        let asked = Asked {
            calls: self.max_calls,
            tokens: self.max_tokens,
            microdollars: self.max_cost,
        };
        let (limits, too_much) = config.limits(skill, &asked);
        if let Some(too_much) = too_much
            && !grant::may_grant(context)?
        {
            return Err(refused(skill, &too_much));
        }
        Ok(Limits {
            prices: config.prices(&provider.name),
            ..limits
        })
    }
}

/// Returns what a run may spend that begins with a copy of another, unless something is said of it: what that might, but of time and size what the configuration says today.
///
/// What a person allowed beyond the configuration was for one run. Without a person, the copy has no more than a launch would.
pub(super) fn renewed(context: &Context, started: &Started) -> Result<Limits> {
    let config = context.config()?;
    let (today, _) = config.limits(&started.skill, &Asked::default());
    let mut limits = Limits {
        prices: config.prices(&started.provider.name),
        wall_ms_max: today.wall_ms_max,
        computing_ms_max: today.computing_ms_max,
        written_bytes_max: today.written_bytes_max,
        journal_bytes_max: today.journal_bytes_max,
        ..started.limits.clone()
    };
    if !grant::may_grant(context)? {
        limits.budget.calls = limits.budget.calls.min(today.budget.calls);
        limits.budget.tokens = limits.budget.tokens.min(today.budget.tokens);
        let money = [limits.microdollars_max, today.microdollars_max];
        limits.microdollars_max = money.into_iter().flatten().min();
    }
    Ok(limits)
}

impl BudgetArgs {
    /// Returns whether these options say nothing else than what a run was launched with.
    pub(super) fn were_given(&self, limits: &Limits) -> bool {
        let same = |asked: Option<u64>, recorded: Option<u64>| asked.is_none() || asked == recorded;
        same(self.max_calls, Some(limits.budget.calls))
            && same(self.max_tokens, Some(limits.budget.tokens))
            && same(self.max_cost, limits.microdollars_max)
    }
}

fn refused(skill: &SkillName, too_much: &TooMuch) -> CliError {
    let TooMuch { budget, asked, allowed } = *too_much;
    let message = format!(
        "a run of skill `{skill}` may have {}; to allow {} needs a person at a terminal",
        budget.amount(allowed),
        budget.amount(asked)
    );
    CliError::new(Exit::Host, "budget_needs_terminal", message).hint(format!(
        "leave `{}` out, or ask the user to launch it in a terminal or to raise `{budget}` under `[budget]` in the configuration",
        budget.option().unwrap_or_default()
    ))
}
