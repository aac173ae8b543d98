//! What a run may spend, and what it has spent (rule B1); what a skill may spend in a day.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::id::{Number, SkillName};
use crate::outcome::Fault;
use crate::price::dollars;

/// At how much of a budget, in percent, somebody is told.
pub const MARKS: [u64; 3] = [50, 80, 100];

/// An amount: of model calls performed, of tokens, and of money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// How many performances.
    #[serde(default)]
    pub calls: u64,
    /// How many tokens, read and written.
    #[serde(default)]
    pub tokens: u64,
    /// Millionths of a dollar, as far as prices are known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub microdollars: u64,
}

fn is_zero(amount: &u64) -> bool {
    *amount == 0
}

impl Cost {
    /// Nothing.
    pub const ZERO: Self = Self {
        calls: 0,
        tokens: 0,
        microdollars: 0,
    };

    /// More than anybody spends.
    pub const UNBOUNDED: Self = Self {
        calls: u64::MAX,
        tokens: u64::MAX,
        microdollars: u64::MAX,
    };

    /// Returns the sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// Returns the difference, at least zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    fn with(self, other: Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            calls: of(self.calls, other.calls),
            tokens: of(self.tokens, other.tokens),
            microdollars: of(self.microdollars, other.microdollars),
        }
    }

    /// Returns the amounts with what each of them is.
    pub fn parts(self) -> [(Budget, u64); 3] {
        [
            (Budget::Calls, self.calls),
            (Budget::Tokens, self.tokens),
            (Budget::Money, self.microdollars),
        ]
    }

    /// Returns the first budget of `limit` that would be exceeded if `more` were spent on top of this.
    pub fn exceeds(self, limit: Self, more: Self) -> Option<Over> {
        let parts = self.parts().into_iter().zip(limit.parts()).zip(more.parts());
        parts
            .map(|(((budget, used), (_, limit)), (_, wanted))| Over {
                budget,
                limit,
                used,
                wanted,
            })
            .find(|over| over.used.saturating_add(over.wanted) > over.limit)
    }
}

/// Something of which a run may have so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// Model calls performed, each attempt counted.
    Calls,
    /// Tokens, read and written.
    Tokens,
    /// Money, in millionths of a dollar.
    Money,
    /// Time since the launch, in milliseconds.
    WallTime,
    /// Time that the guest computed, in milliseconds.
    Computing,
    /// Bytes written to files.
    Written,
    /// Bytes of the journal.
    Journal,
}

impl Budget {
    /// Returns its name in the configuration, in `[budget]` and, of the first three, in `[budget.day]`.
    pub fn member(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Tokens => "tokens",
            Self::Money => "dollars",
            Self::WallTime => "seconds",
            Self::Computing => "computing_seconds",
            Self::Written => "written_mib",
            Self::Journal => "journal_mib",
        }
    }

    /// Returns the option of `launch` that sets it, if there is one.
    pub fn option(self) -> Option<&'static str> {
        match self {
            Self::Calls => Some("--max-calls"),
            Self::Tokens => Some("--max-tokens"),
            Self::Money => Some("--max-cost"),
            Self::WallTime | Self::Computing | Self::Written | Self::Journal => None,
        }
    }

    /// Writes an amount of it.
    pub fn amount(self, amount: u64) -> String {
        self.number(amount) + self.unit()
    }

    /// Writes how much of so much of it.
    pub fn share(self, used: u64, limit: u64) -> String {
        format!("{} of {}", self.number(used), self.amount(limit))
    }

    fn number(self, amount: u64) -> String {
        match self {
            Self::Money => dollars(amount),
            Self::WallTime | Self::Computing => grouped(amount.div_ceil(1_000)),
            Self::Calls | Self::Tokens | Self::Written | Self::Journal => grouped(amount),
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Calls => " model calls",
            Self::Tokens => " tokens",
            Self::Money => "",
            Self::WallTime => " s since the launch",
            Self::Computing => " s of computing",
            Self::Written => " bytes of files",
            Self::Journal => " bytes of journal",
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.member())
    }
}

/// A budget that does not have room for what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// Which.
    pub budget: Budget,
    /// The most of it.
    pub limit: u64,
    /// What is spent or reserved.
    pub used: u64,
    /// What is wanted on top of that, at most.
    pub wanted: u64,
}

impl Over {
    /// Returns what the skill is told of a run's budget.
    pub fn fault(&self) -> Fault {
        let budget = self.budget;
        let raise = match budget.option() {
            Some(option) => format!("`{option}` at launch or `{budget}` under `[budget]` in the configuration"),
            None => format!("`{budget}` under `[budget]` in the configuration"),
        };
        self.told(&format!("this run may have {}", budget.amount(self.limit)), &raise)
    }

    /// Returns what the skill is told of its own budget for a day.
    pub fn fault_of_day(&self, skill: &SkillName) -> Fault {
        let budget = self.budget;
        let raise = format!("`{budget}` under `[budget.day]` or `[budget.skill.{skill}.day]` in the configuration");
        self.told(
            &format!(
                "all runs of skill `{skill}` together may have {} a day",
                budget.amount(self.limit)
            ),
            &raise,
        )
    }

    fn told(&self, may: &str, raise: &str) -> Fault {
        let used = self.budget.number(self.used);
        let wanted = match self.wanted {
            0 => String::new(),
            wanted => format!(", and this call may need {}", self.budget.amount(wanted)),
        };
        Fault {
            data: Some(json!({"budget": self.budget})),
            ..Fault::new(
                Fault::BUDGET,
                format!("{may}, {used} are spent or reserved{wanted}; {raise} allows more"),
            )
        }
    }
}

/// Returns what the skill is told of a call that a budget had no room for, when the amounts are forgotten: a crash lost the answer that named them.
pub fn refused_before(budget: Option<Budget>) -> Fault {
    let which = budget.map_or_else(String::new, |budget| format!(" of {budget}"));
    Fault::new(
        Fault::BUDGET,
        format!("a budget{which} had no room for this call; `skillhost explain budget` says how it is raised"),
    )
}

/// The account of a skill for a day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DayAccount {
    /// The skill.
    pub skill: SkillName,
    /// The day: how many after 1 January 1970 it is where the user is.
    pub day: u32,
}

/// What is to be told of a skill's account for a day; whoever commits knows it, because other processes spend from it, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DayNews {
    /// There was no room for a performance: nothing was reserved, and it must not be begun.
    Refused {
        /// The call.
        number: Number,
        /// What there was no room in.
        over: Over,
    },
    /// There was no room for a performance, the first time on that day.
    Full(Over),
    /// So much of a budget is spent.
    Mark {
        /// In percent: one of [`MARKS`].
        percent: u64,
        /// Of which; `wanted` is 0.
        spent: Over,
    },
}

/// What is spent of a skill's account for a day, over all its runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DaySpent {
    /// Settled and reserved.
    pub spent: Cost,
    /// The part of it that is reserved.
    pub reserved: Cost,
    /// The highest mark that somebody was told of, and [`TOLD_FULL`] more if he was told that something had no room.
    pub told: u64,
}

/// What is added to the highest mark that was told of when it was told that something had no room, which may be at any mark: what is reserved takes room, too.
const TOLD_FULL: u64 = 1_000;

impl DaySpent {
    /// Reserves the upper bound of a performance, if it fits.
    pub fn reserve(&mut self, bound: Cost, limit: Cost) -> Result<(), Over> {
        match self.spent.exceeds(limit, bound) {
            Some(over) => Err(over),
            None => {
                self.spent = self.spent.plus(bound);
                self.reserved = self.reserved.plus(bound);
                Ok(())
            }
        }
    }

    /// Replaces a reservation by what was really spent.
    pub fn settle(&mut self, reserved: Cost, spent: Cost) {
        self.spent = self.spent.minus(reserved).plus(spent);
        self.reserved = self.reserved.minus(reserved);
    }

    /// Returns the mark that has been reached since somebody was told of one, and notes that he is.
    pub fn mark(&mut self, limit: Cost) -> Option<(u64, Over)> {
        let settled = self.spent.minus(self.reserved);
        let shares = settled.parts().into_iter().zip(limit.parts());
        let marks = shares.filter_map(|((budget, used), (_, limit))| {
            let over = Over {
                budget,
                limit,
                used,
                wanted: 0,
            };
            Some((mark(used, limit)?, over))
        });
        let (percent, spent) = marks.max_by_key(|(percent, _)| *percent)?;
        let told = self.told % TOLD_FULL;
        if percent <= told {
            return None;
        }
        self.told = self.told - told + percent;
        let is_known = percent >= 100 && self.told >= TOLD_FULL;
        (!is_known).then_some((percent, spent))
    }

    /// Notes that something had no room, and returns whether somebody is to be told, which he is once.
    pub fn note_full(&mut self) -> bool {
        let is_news = self.told < TOLD_FULL;
        if is_news {
            self.told += TOLD_FULL;
        }
        is_news
    }
}

/// Returns the highest of the [`MARKS`] that has been reached.
pub fn mark(used: u64, limit: u64) -> Option<u64> {
    if limit == u64::MAX || used == 0 {
        return None;
    }
    let percent = u128::from(used) * 100;
    let reached = |mark: &u64| percent >= u128::from(limit) * u128::from(*mark);
    MARKS.into_iter().rfind(reached)
}

/// The account of one run: what is spent or reserved, against what it may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    limit: Cost,
    spent: Cost,
    /// The part of `spent` whose outcome is not known.
    open: Cost,
}

impl Account {
    /// Opens an account with nothing spent.
    pub fn new(limit: Cost) -> Self {
        Self {
            limit,
            spent: Cost::ZERO,
            open: Cost::ZERO,
        }
    }

    /// Reserves the upper bound of a performance, or says what it does not fit.
    pub fn reserve(&mut self, bound: Cost) -> Result<(), Over> {
        match self.spent.exceeds(self.limit, bound) {
            Some(over) => Err(over),
            None => {
                self.replay(bound);
                Ok(())
            }
        }
    }

    /// Returns a part of what is left, for a run that is to spend of the same: a quarter, so that several have something. Nothing of what has no limit: it needs none.
    pub fn share(&self) -> Cost {
        let of = |limit: u64, spent: u64| match limit {
            u64::MAX => 0,
            limit => limit.saturating_sub(spent).div_ceil(4),
        };
        Cost {
            calls: of(self.limit.calls, self.spent.calls),
            tokens: of(self.limit.tokens, self.spent.tokens),
            microdollars: of(self.limit.microdollars, self.spent.microdollars),
        }
    }

    /// Counts what a journal says was reserved, whether or not it fits today.
    pub fn replay(&mut self, bound: Cost) {
        self.spent = self.spent.plus(bound);
        self.open = self.open.plus(bound);
    }

    /// Replaces a reservation by what was really spent.
    pub fn settle(&mut self, reserved: Cost, spent: Cost) {
        self.spent = self.spent.minus(reserved).plus(spent);
        self.open = self.open.minus(reserved);
    }

    /// Returns what is spent or reserved.
    pub fn spent(&self) -> Cost {
        self.spent
    }

    /// Returns what is known to be spent.
    pub fn settled(&self) -> Cost {
        self.spent.minus(self.open)
    }

    /// Returns what may be spent.
    pub fn limit(&self) -> Cost {
        self.limit
    }
}

/// Writes a number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(tokens: u64) -> Cost {
        Cost {
            calls: 1,
            tokens,
            microdollars: tokens * 3,
        }
    }

    fn account(calls: u64, tokens: u64) -> Account {
        Account::new(Cost {
            calls,
            tokens,
            microdollars: u64::MAX,
        })
    }

    fn says(refused: Result<(), Over>) -> String {
        refused.unwrap_err().fault().message
    }

    #[test]
    fn b1_a_reservation_fits_up_to_the_limit_and_not_beyond() {
        let mut account = account(3, 100);
        assert_eq!(account.reserve(tokens(60)), Ok(()));
        assert!(says(account.reserve(tokens(41))).contains("`--max-tokens`"));
        assert_eq!(account.spent(), tokens(60), "what did not fit reserves nothing");
        assert_eq!(account.reserve(tokens(40)), Ok(()));
        assert_eq!(account.reserve(tokens(0)), Ok(()));
        assert!(says(account.reserve(tokens(0))).contains("`--max-calls`"));
    }

    #[test]
    fn b1_settling_replaces_what_was_reserved_by_what_was_spent() {
        let mut account = account(10, 100);
        account.reserve(tokens(90)).unwrap();
        account.settle(tokens(90), tokens(20));
        assert_eq!(account.spent(), tokens(20));
        account.reserve(tokens(70)).unwrap();
        account.settle(tokens(70), tokens(95));
        let spent = account.spent();
        assert_eq!(spent.tokens, 115, "what was spent counts, also beyond the limit");
        assert!(account.reserve(tokens(0)).is_err());
    }

    #[test]
    fn b1_what_a_journal_reserved_counts_whether_or_not_it_fits() {
        let mut account = account(1, 10);
        account.replay(tokens(600));
        account.replay(Cost::ZERO);
        assert_eq!(account.spent(), tokens(600));
    }

    #[test]
    fn amounts_stay_within_what_they_can_hold() {
        let most = Cost::UNBOUNDED;
        assert_eq!(most.plus(tokens(1)), most);
        assert_eq!(Cost::ZERO.minus(most), Cost::ZERO);
        assert!(account(5, 5).reserve(most).is_err());
    }
}
