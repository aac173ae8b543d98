//! Whether and when a call that failed is performed again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What kind of fault it was, as far as trying again goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The other side has no room: overloaded, too many requests, an error of its own.
    Overloaded,
    /// It could not be reached, broke off, or fell silent.
    Network,
    /// It did not take how it was asked, and is asked otherwise next time.
    Form,
}

/// How often and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The most performances, the first included.
    pub attempts_max: u32,
    /// The pause before the second.
    pub pause_first: Duration,
    /// The longest pause; each is twice the one before until then.
    pub pause_max: Duration,
}

/// The most performances that a call's options may ask for.
pub const ATTEMPTS_MAX: u32 = 20;

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 5,
            pause_first: Duration::from_secs(1),
            pause_max: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// Returns the policy for a fault of this kind.
    pub fn of(kind: FaultKind) -> Self {
        match kind {
            FaultKind::Overloaded | FaultKind::Network => Self::default(),
            // Nothing passes by waiting.
            FaultKind::Form => Self {
                pause_first: Duration::ZERO,
                ..Self::default()
            },
        }
    }

    /// Returns the pause after the `attempt`-th performance failed (from 1), or `None` if that was the last.
    ///
    /// The pause is half fixed and half drawn by `chance` (0 to 1), so that runs which failed together do not come back together; what the other side asked
    /// for (`asked`) is honoured in full, up to ten times the longest pause.
    pub fn pause(
        &self,
        attempt: u32,
        attempts_max: Option<u32>,
        asked: Option<Duration>,
        chance: f64,
    ) -> Option<Duration> {
        let most = attempts_max.unwrap_or(self.attempts_max).clamp(1, ATTEMPTS_MAX);
        if attempt >= most {
            return None;
        }
        let doublings = attempt.saturating_sub(1).min(20);
        let full = self.pause_first.saturating_mul(1 << doublings).min(self.pause_max);
        let jittered = full.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0));
        Some(asked.map_or(jittered, |asked| asked.min(self.pause_max * 10).max(jittered)))
    }
}

/// Returns a number from 0 to 1 that looks random and is the same for the same key and attempt, so that the decision needs no source of chance.
pub fn chance(key: &str, attempt: u32) -> f64 {
    let digest = crate::id::Digest::of(format!("{key}#{attempt}").as_bytes());
    let mut first = [0; 4];
    first.copy_from_slice(&digest.as_bytes()[..4]);
    f64::from(u32::from_le_bytes(first)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_a_second_to_a_minute_and_end_after_the_last_attempt() {
        let policy = RetryPolicy {
            attempts_max: 9,
            ..RetryPolicy::default()
        };
        let pauses: Vec<_> = (1..=9)
            .map(|n| policy.pause(n, None, None, 1.0).map(|p| p.as_secs()))
            .collect();
        assert_eq!(
            pauses,
            [
                Some(1),
                Some(2),
                Some(4),
                Some(8),
                Some(16),
                Some(32),
                Some(60),
                Some(60),
                None
            ]
        );
    }

    #[test]
    fn what_the_other_side_asks_for_is_honoured() {
        let pause = RetryPolicy::default().pause(1, None, Some(Duration::from_secs(30)), 0.5);
        assert_eq!(pause, Some(Duration::from_secs(30)));
    }

    #[test]
    fn chance_stays_within_its_bounds_and_differs_between_attempts() {
        let drawn: Vec<f64> = (0..100).map(|n| chance("01jd/3", n)).collect();
        assert!(drawn.iter().all(|c| (0.0..=1.0).contains(c)));
        assert!(drawn.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
