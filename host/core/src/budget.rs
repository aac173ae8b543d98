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
