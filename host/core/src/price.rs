//! What models cost: the prices that a run keeps, and what a call comes to at them.
//!
//! Money is counted in whole millionths of a dollar, and rounded up: so many small calls are never taken for nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::calls::model::Usage;

/// How many millionths of a dollar a dollar has.
pub const DOLLAR: u64 = 1_000_000;

/// How many tokens a price is for.
const TOKENS: u128 = 1_000_000;

/// What a model costs: millionths of a dollar for each million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Read, not from a cache.
    pub input: u64,
    /// Written.
    pub output: u64,
    /// Read from the provider's cache.
    pub cache_read: u64,
    /// Written to the provider's cache.
    pub cache_write: u64,
}

impl Price {
    /// Returns what was used comes to, in millionths of a dollar.
    pub fn of(&self, usage: &Usage) -> u64 {
        let parts = [
            (usage.input, self.input),
            (usage.output, self.output),
            (usage.cache_read, self.cache_read),
            (usage.cache_write, self.cache_write),
        ];
        sum(parts)
    }

    /// Returns the most that a call comes to that reads and writes so many tokens at most. What it reads may be written to a cache, which mostly costs more.
    pub fn bound(&self, input: u64, output: u64) -> u64 {
        let read = self.input.max(self.cache_read).max(self.cache_write);
        sum([(input, read), (output, self.output)])
    }
}

fn sum<const N: usize>(parts: [(u64, u64); N]) -> u64 {
    let product = |(tokens, price): (u64, u64)| u128::from(tokens) * u128::from(price);
    let total = parts
        .into_iter()
        .map(product)
        .fold(0_u128, |sum, part| sum.saturating_add(part));
    u64::try_from(total.div_ceil(TOKENS)).unwrap_or(u64::MAX)
}

/// What models cost, by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prices(BTreeMap<String, Price>);

impl Prices {
    /// Returns whether no price is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a price, in the place of the one that the model had.
    pub fn set(&mut self, model: &str, price: Price) {
        self.0.insert(model.to_owned(), price);
    }

    /// Returns the price of a model: its own, or for an id that ends in a date that of the id without it. No other beginning counts: the next version of a model has
    /// a price of its own.
    pub fn of(&self, model: &str) -> Option<Price> {
        let own = self.0.get(model);
        own.or_else(|| self.0.get(undated(model)?)).copied()
    }
}

impl FromIterator<(String, Price)> for Prices {
    fn from_iter<I: IntoIterator<Item = (String, Price)>>(prices: I) -> Self {
        Self(prices.into_iter().collect())
    }
}

/// Returns a model's id without the date at its end: `-20251001` or `-2024-08-06`.
fn undated(model: &str) -> Option<&str> {
    ["-dddddddd", "-dddd-dd-dd"].iter().find_map(|form| {
        let at = model.len().checked_sub(form.len())?;
        let (id, date) = (model.get(..at)?, model.get(at..)?);
        let fits = |(found, wanted): (u8, u8)| match wanted {
            b'd' => found.is_ascii_digit(),
            wanted => found == wanted,
        };
        let is_date = date.bytes().zip(form.bytes()).all(fits);
        (is_date && !id.is_empty()).then_some(id)
    })
}

/// Writes an amount of money: `$1.25`, and as many digits as it takes to be exact.
pub fn dollars(millionths: u64) -> String {
    let (whole, rest) = (millionths / DOLLAR, millionths % DOLLAR);
    let digits = format!("{rest:06}");
    let kept = digits.trim_end_matches('0').len().max(2);
    format!("${}.{}", crate::budget::grouped(whole), &digits[..kept])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICE: Price = Price {
        input: 3 * DOLLAR,
        output: 15 * DOLLAR,
        cache_read: 300_000,
        cache_write: 3_750_000,
    };

    #[test]
    fn what_was_used_is_counted_at_the_four_prices_and_rounded_up() {
        let usage = Usage {
            input: 1_000,
            output: 2_000,
            cache_read: 10_000,
            cache_write: 4_000,
        };
        assert_eq!(PRICE.of(&usage), 3_000 + 30_000 + 3_000 + 15_000);
        let one = Usage {
            cache_read: 1,
            ..Usage::default()
        };
        assert_eq!(PRICE.of(&one), 1, "a third of a millionth is not nothing");
        assert_eq!(PRICE.of(&Usage::default()), 0);
    }

    #[test]
    fn nothing_that_a_provider_counts_within_the_bound_comes_to_more_than_the_bound() {
        for cached in [0, 400, 1_000] {
            let usage = Usage {
                input: 1_000 - cached,
                output: 70,
                cache_read: 0,
                cache_write: cached,
            };
            assert!(PRICE.of(&usage) <= PRICE.bound(1_000, 70));
        }
        assert_eq!(PRICE.bound(u64::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn a_dated_id_has_the_price_of_the_one_without_the_date_and_a_later_version_has_none() {
        let prices: Prices = [("claude-opus-4".to_owned(), PRICE)].into_iter().collect();
        assert_eq!(prices.of("claude-opus-4"), Some(PRICE));
        assert_eq!(prices.of("claude-opus-4-20250514"), Some(PRICE));
        assert_eq!(prices.of("claude-opus-4-2025-05-14"), Some(PRICE));
        for other in [
            "claude-opus-4-7",
            "claude-opus-4-7-20250514",
            "claude-opus",
            "",
            "-20250514",
        ] {
            assert_eq!(prices.of(other), None, "{other}");
        }
    }

    #[test]
    fn money_is_written_with_as_many_digits_as_it_takes() {
        assert_eq!(dollars(0), "$0.00");
        assert_eq!(dollars(1_250_000), "$1.25");
        assert_eq!(dollars(12), "$0.000012");
        assert_eq!(dollars(1_234_500_000), "$1,234.50");
    }
}
