//! `cost`: what was spent on models, by skill, run, model or day; from the journal.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use skillhost_core::budget::Cost;
use skillhost_core::id::{RunId, SkillName};
use skillhost_core::machine::Status;
use skillhost_core::price::{DOLLAR, dollars};
use skillhost_core::time::Timestamp;
use skillhost_journal::{Journal, RunFilter, Spending};

use super::context::Context;
use super::report::{Envelope, Report, Rows};
use super::since;
use crate::driver;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::terminal::{Table, plain_line};
use crate::timeline::{duration, grouped};

/// How many of the last runs of a skill are told of at a launch.
const LAST_RUNS: usize = 5;

/// `cost`.
#[derive(Debug, Args)]
#[command(after_help = "\
What is reserved for calls that go on, or of which nobody knows what they took, is shown apart.

Examples:
  skillhost cost
  skillhost cost --by day --since 7d
  skillhost cost --by model --skill deep-research --json")]
pub struct CostArgs {
    /// What the rows are of
    #[arg(long, value_enum, default_value_t = By::Skill, value_name = "WHAT")]
    pub by: By,
    /// Only what was spent since: `2d`, `12h`, or a day like `2026-11-20`
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only runs of this skill
    #[arg(long, value_name = "SKILL")]
    pub skill: Option<String>,
}

/// What the rows are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Each run, the newest first
    Run,
    /// Each skill
    Skill,
    /// Each model
    Model,
    /// Each day, the newest first
    Day,
}

/// What was spent on something.
#[derive(Default)]
struct Sum {
    skill: Option<SkillName>,
    runs: BTreeSet<RunId>,
    spent: Cost,
    open: Cost,
    /// Tokens of models without a price.
    unpriced: u64,
}

impl Sum {
    fn add(&mut self, one: &Spending) {
        if self.runs.last() != Some(&one.run) {
            self.runs.insert(one.run.clone());
        }
        self.spent = self.spent.plus(one.spent);
        self.open = self.open.plus(one.open);
        if !one.priced {
            self.unpriced = self.unpriced.saturating_add(one.spent.tokens.max(1));
        }
    }

    /// Returns the money in words; of models without a price nobody knows it.
    fn money(&self) -> String {
        match (self.unpriced, self.spent.microdollars) {
            (0, known) => dollars(known),
            (_, 0) => "unknown".to_owned(),
            (_, known) => format!("{} and unknown", dollars(known)),
        }
    }

    fn value(&self, by: By, key: &str) -> Value {
        let member = match by {
            By::Run => "run_id",
            By::Skill => "skill",
            By::Model => "model",
            By::Day => "day",
        };
        let mut value = json!({
            member: key,
            "runs": self.runs.len(),
            "model_calls": self.spent.calls,
            "tokens": self.spent.tokens,
            "dollars": in_dollars(self.spent.microdollars),
        });
        if let (By::Run, Some(skill)) = (by, &self.skill) {
            value["skill"] = json!(skill);
        }
        if self.unpriced > 0 {
            value["unpriced"] = json!(true);
        }
        if self.open != Cost::ZERO {
            value["open"] = json!({
                "model_calls": self.open.calls,
                "tokens": self.open.tokens,
                "dollars": in_dollars(self.open.microdollars),
            });
        }
        value
    }
}

fn in_dollars(microdollars: u64) -> f64 {
    microdollars as f64 / DOLLAR as f64
}

pub(super) fn run(args: &CostArgs, context: &Context) -> Result<Report> {
    let skill = args.skill.as_deref().map(SkillName::parse).transpose();
    let skill = skill.map_err(|e| CliError::of(Exit::Invalid, "unknown_skill", &e))?;
    let since = args
        .since
        .as_deref()
        .map(|text| since::parse(text, driver::now(), &context.zone));
    let since = since.transpose()?.unwrap_or_default();
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    let mut unpriced: BTreeSet<String> = BTreeSet::new();
    let mut days = Days::new(context);
    context.journal()?.spending(skill.as_ref(), &mut |one| {
        if one.at < since {
            return;
        }
        let key = match args.by {
            By::Run => one.run.to_string(),
            By::Skill => one.skill.to_string(),
            By::Model => one.model.clone(),
            By::Day => days.of(one.at),
        };
        if !one.priced && !unpriced.contains(&one.model) {
            unpriced.insert(one.model.clone());
        }
        let sum = sums.entry(key).or_default();
        sum.add(&one);
        sum.skill.get_or_insert(one.skill);
    })?;
    let mut rows: Vec<(String, Sum)> = sums.into_iter().collect();
    match args.by {
        // Ids and days sort by time.
        By::Run | By::Day => rows.reverse(),
        By::Skill | By::Model => {
            rows.sort_by_key(|(_, sum)| std::cmp::Reverse((sum.spent.microdollars, sum.spent.tokens)));
        }
    }
    let values = rows.iter().map(|(key, sum)| sum.value(args.by, key)).collect();
    let mut report = Report::done(table(args.by, &rows, context), Envelope::of_rows(Rows::Costs(values)));
    report.notes = notes(&rows, &unpriced);
    Ok(report)
}

/// Names days where the user is. Most of what follows each other is of the same.
struct Days<'a> {
    context: &'a Context,
    last: Option<(Timestamp, String)>,
}

impl<'a> Days<'a> {
    fn new(context: &'a Context) -> Self {
        Self { context, last: None }
    }

    fn of(&mut self, at: Timestamp) -> String {
        // No zone changes within a minute that is all the same here.
        let minute = Timestamp(at.0 / 60_000_000);
        match &self.last {
            Some((last, day)) if *last == minute => day.clone(),
            _ => {
                let micros = i64::try_from(at.0).unwrap_or(i64::MAX);
                let day = jiff::Timestamp::from_microsecond(micros)
                    .map(|at| at.to_zoned(self.context.zone.clone()).date().to_string())
                    .unwrap_or_default();
                self.last = Some((minute, day.clone()));
                day
            }
        }
    }
}

fn table(by: By, rows: &[(String, Sum)], context: &Context) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let (head, second) = match by {
        By::Run => ("RUN", "SKILL"),
        By::Skill => ("SKILL", "RUNS"),
        By::Model => ("MODEL", "RUNS"),
        By::Day => ("DAY", "RUNS"),
    };
    let columns = [head, second, "CALLS", "TOKENS", "COST", "OPEN"];
    let right: &[usize] = if by == By::Run { &[2, 3, 4, 5] } else { &[1, 2, 3, 4, 5] };
    let mut table = Table::new(columns).right(right);
    let mut total = Sum::default();
    for (key, sum) in rows {
        let second = match (by, &sum.skill) {
            (By::Run, Some(skill)) => skill.to_string(),
            _ => grouped(sum.runs.len() as u64),
        };
        table.row([
            plain_line(key),
            second,
            grouped(sum.spent.calls),
            grouped(sum.spent.tokens),
            sum.money(),
            open(&sum.open),
        ]);
        total.spent = total.spent.plus(sum.spent);
        total.open = total.open.plus(sum.open);
        total.unpriced = total.unpriced.saturating_add(sum.unpriced);
    }
    if rows.len() > 1 {
        table.row([
            "all".to_owned(),
            String::new(),
            grouped(total.spent.calls),
            grouped(total.spent.tokens),
            total.money(),
            open(&total.open),
        ]);
    }
    table.render(context.terminal.width)
}

/// Returns what is reserved, in words.
fn open(cost: &Cost) -> String {
    match (cost.microdollars, cost.tokens) {
        (0, 0) => String::new(),
        (0, tokens) => format!("{} tokens", grouped(tokens)),
        (money, _) => dollars(money),
    }
}

fn notes(rows: &[(String, Sum)], unpriced: &BTreeSet<String>) -> String {
    let mut notes = String::new();
    if rows.is_empty() {
        notes.push_str("nothing was spent on models\n");
    }
    for model in unpriced {
        let model = plain_line(model);
        notes.push_str(&format!(
            "no price was known for model {model}\nhint: `[prices.\"{model}\"]` with `input` and `output`, in dollars per million tokens, in the configuration counts it from the next \
             launch on\n"
        ));
    }
    notes
}

/// What the last runs of a skill cost and took.
pub(super) struct LastRuns {
    runs: usize,
    tokens: u64,
    microdollars: u64,
    took_ms: u64,
}

impl LastRuns {
    /// Looks at those of the last runs of a skill that models answered, and that are done. Where there are none, there is nothing to tell.
    pub(super) fn of(journal: &dyn Journal, skill: &SkillName) -> Result<Option<Self>> {
        let filter = RunFilter {
            status: vec![Status::Done],
            skill: Some(skill.clone()),
            most: Some(LAST_RUNS),
            ..RunFilter::default()
        };
        let mut last = Self {
            runs: 0,
            tokens: 0,
            microdollars: 0,
            took_ms: 0,
        };
        // What a script answered tells nothing of what models cost and take.
        for row in journal.runs(&filter)?.into_iter().filter(|row| !row.simulated) {
            let end = skillhost_core::id::Seq(row.entries.saturating_sub(1));
            let records = journal.records(&row.run, end, 1)?;
            let Some(finished) = skillhost_core::machine::Machine::finished(&records) else {
                continue;
            };
            last.runs += 1;
            last.tokens = last.tokens.saturating_add(finished.spent.tokens);
            last.microdollars = last.microdollars.saturating_add(finished.spent.microdollars);
            let took = row.updated_at.since(row.created_at).as_millis();
            last.took_ms = last.took_ms.saturating_add(u64::try_from(took).unwrap_or(u64::MAX));
        }
        Ok((last.runs > 0).then_some(last))
    }

    /// Returns a line about them.
    pub(super) fn line(&self) -> String {
        let (each, of) = self.each();
        let took = duration(std::time::Duration::from_millis(of.took_ms));
        let cost = match (of.microdollars, of.tokens) {
            (0, 0) => "nothing".to_owned(),
            (0, tokens) => format!("{} tokens", grouped(tokens)),
            (money, tokens) => format!("{} ({} tokens)", dollars(money), grouped(tokens)),
        };
        format!("{each} cost {cost} and took {took}")
    }

    fn each(&self) -> (String, Self) {
        let runs = self.runs as u64;
        let of = Self {
            runs: 1,
            tokens: self.tokens / runs,
            microdollars: self.microdollars / runs,
            took_ms: self.took_ms / runs,
        };
        let each = match self.runs {
            1 => "the last run".to_owned(),
            runs => format!("each of the last {runs} runs, on average,"),
        };
        (each, of)
    }

    /// Returns what programs are told.
    pub(super) fn value(&self) -> Value {
        let (_, of) = self.each();
        json!({
            "runs": self.runs,
            "tokens": of.tokens,
            "dollars": in_dollars(of.microdollars),
            "took_ms": of.took_ms,
        })
    }
}
