//! What models cost where the user does not say: a table that is as old as this host.

use skillhost_core::price::{Price, Prices};

use super::settings::{Name, TIERS};

/// Dollars for a million tokens: read, written, read from the cache, written to it (for five minutes); and the models that cost so.
type Row = ([f64; 4], &'static [&'static str]);

/// The prices of the models that tiers stand for, and of those before them, in the order of the tiers. Written on 22 November 2026; what has changed since is said by
/// `[prices]` in the configuration, which goes before.
const CLAUDE: [Row; 3] = [
    ([1.0, 5.0, 0.1, 1.25], &["claude-haiku-4-5"]),
    ([3.0, 15.0, 0.3, 3.75], &["claude-sonnet-4-5", "claude-sonnet-4-6"]),
    (
        [5.0, 25.0, 0.5, 6.25],
        &["claude-opus-4-5", "claude-opus-4-6", "claude-opus-4-7"],
    ),
];

/// Returns the prices of a provider's models, as far as this host knows them.
///
/// A subscription that `claude -p` spends is counted as if each call were paid: it has no price of its own for one. A script costs nothing, and other servers have
/// models of any name.
pub fn shipped(name: Name) -> Prices {
    let mut prices = Prices::default();
    if matches!(name, Name::OpenAi | Name::Offline) {
        return prices;
    }
    for ((dollars, models), tier) in CLAUDE.iter().zip(TIERS) {
        let [input, output, cache_read, cache_write] = dollars.map(millionths);
        let price = Price {
            input,
            output,
            cache_read,
            cache_write,
        };
        for model in *models {
            prices.set(model, price);
        }
        if name == Name::ClaudeCli {
            // The program is asked for a tier by its name.
            prices.set(tier, price);
        }
    }
    prices
}

/// Returns dollars in whole millionths; what is no amount of money is nothing.
pub fn millionths(dollars: f64) -> u64 {
    // A cast saturates, and makes zero of what is no number.
    (dollars * skillhost_core::price::DOLLAR as f64).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::{Config, Environment, Settings};

    #[test]
    fn every_model_that_a_tier_stands_for_has_a_price() {
        let settings = Settings::new(Config::default(), Environment::of(|_| None));
        for name in [Name::Anthropic, Name::ClaudeCli] {
            let models = settings.tiers(name, &Default::default());
            let prices = shipped(name);
            let outputs = TIERS.map(|tier| prices.of(&models[tier]).expect("it is in the table").output);
            assert!(outputs.is_sorted(), "a stronger tier costs more: {outputs:?}");
        }
    }

    #[test]
    fn a_script_costs_nothing_and_other_servers_are_not_guessed_at() {
        assert!(shipped(Name::Offline).is_empty());
        assert!(shipped(Name::OpenAi).is_empty());
    }

    #[test]
    fn dollars_are_counted_in_millionths() {
        assert_eq!(millionths(6.25), 6_250_000);
        assert_eq!(millionths(0.1), 100_000);
        assert_eq!([f64::NAN, -1.0].map(millionths), [0, 0]);
    }
}
