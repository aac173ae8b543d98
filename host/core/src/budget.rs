//! What a run may spend, and what it has spent (rule B1).

use serde::{Deserialize, Serialize};

/// An amount: of model calls performed, and of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// How many performances.
    #[serde(default)]
    pub calls: u64,
    /// How many tokens, read and written.
    #[serde(default)]
    pub tokens: u64,
}

impl Cost {
    /// Nothing.
    pub const ZERO: Self = Self { calls: 0, tokens: 0 };

    /// Returns the sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            tokens: self.tokens.saturating_add(other.tokens),
        }
    }

    /// Returns the difference, at least zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(other.calls),
            tokens: self.tokens.saturating_sub(other.tokens),
        }
    }
}

/// The account of one run: what is spent or reserved, against what it may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    limit: Cost,
    spent: Cost,
}

impl Account {
    /// Opens an account with nothing spent.
    pub fn new(limit: Cost) -> Self {
        Self {
            limit,
            spent: Cost::ZERO,
        }
    }

    /// Reserves the upper bound of a performance, or says in words why it does not fit.
    pub fn reserve(&mut self, bound: Cost) -> Result<(), String> {
        let after = self.spent.plus(bound);
        if after.calls > self.limit.calls {
            return Err(format!(
                "the run may make {} model calls; `--max-calls` at launch allows more",
                self.limit.calls
            ));
        }
        if after.tokens > self.limit.tokens {
            return Err(format!(
                "the run may use {} tokens, {} are spent or reserved, and this call may need {}; `--max-tokens` at launch allows more",
                self.limit.tokens, self.spent.tokens, bound.tokens
            ));
        }
        self.spent = after;
        Ok(())
    }

    /// Counts what a journal says was reserved, whether or not it fits today.
    pub fn replay(&mut self, bound: Cost) {
        self.spent = self.spent.plus(bound);
    }

    /// Replaces a reservation by what was really spent.
    pub fn settle(&mut self, reserved: Cost, spent: Cost) {
        self.spent = self.spent.minus(reserved).plus(spent);
    }

    /// Returns what is spent or reserved.
    pub fn spent(&self) -> Cost {
        self.spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(tokens: u64) -> Cost {
        Cost { calls: 1, tokens }
    }

    fn account(calls: u64, tokens: u64) -> Account {
        Account::new(Cost { calls, tokens })
    }

    #[test]
    fn b1_a_reservation_fits_up_to_the_limit_and_not_beyond() {
        let mut account = account(3, 100);
        assert_eq!(account.reserve(tokens(60)), Ok(()));
        assert!(account.reserve(tokens(41)).unwrap_err().contains("`--max-tokens`"));
        assert_eq!(account.spent(), tokens(60), "what did not fit reserves nothing");
        assert_eq!(account.reserve(tokens(40)), Ok(()));
        assert_eq!(account.reserve(tokens(0)), Ok(()));
        assert!(account.reserve(tokens(0)).unwrap_err().contains("`--max-calls`"));
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
        let most = Cost {
            calls: u64::MAX,
            tokens: u64::MAX,
        };
        assert_eq!(most.plus(tokens(1)), most);
        assert_eq!(Cost::ZERO.minus(most), Cost::ZERO);
        assert!(account(5, 5).reserve(most).is_err());
    }
}
