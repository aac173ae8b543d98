//! Points in time as people give them to `list` and `prune`: how long ago (`2d`, `12h`), a day, or an exact time.

use jiff::tz::TimeZone;
use jiff::{SpanRelativeTo, Unit};
use skillhost_core::time::Timestamp;

use crate::error::{CliError, Result};

/// Returns the time that `text` names, seen from `now`; days begin at midnight in `zone`.
pub(super) fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp> {
    let ago = text.parse::<jiff::Span>().ok().and_then(|span| {
        // A day is 24 hours, whatever the clocks did.
        let micros = span
            .total((Unit::Microsecond, SpanRelativeTo::days_are_24_hours()))
            .ok()?;
        (micros >= 0.0).then(|| Timestamp(now.0.saturating_sub(micros as u64)))
    });
    let day = || {
        let day = text.parse::<jiff::civil::Date>().ok()?;
        day.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp())
    };
    let exact = || text.parse::<jiff::Timestamp>().ok().or_else(day);
    ago.or_else(|| exact().and_then(|exact| u64::try_from(exact.as_microsecond()).ok().map(Timestamp)))
        .ok_or_else(|| {
            CliError::invalid(
                "bad_time",
                format!("`{text}` is neither a length of time nor a point in time"),
            )
            .hint("`2d`, `12h` and `30min` are lengths; `2026-11-20` and `2026-11-20T08:00:00Z` are points")
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    /// 21 November 2025, 11:20 UTC.
    const NOW: Timestamp = Timestamp(1_763_724_000_000_000);

    fn ago(text: &str) -> Option<u64> {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        parse(text, NOW, &zone).ok().map(|at| (NOW.0 - at.0) / 1_000_000)
    }

    #[test]
    fn a_time_is_given_as_people_say_it() {
        assert_eq!(ago("2d"), Some(2 * 86_400));
        assert_eq!(ago("1h30m"), Some(5_400));
        assert_eq!(ago("1w"), Some(7 * 86_400));
        assert_eq!(ago("2025-11-21T11:19:00Z"), Some(60));
        // Midnight in a zone that is an hour ahead.
        assert_eq!(ago("2025-11-21"), Some(12 * 3_600 + 20 * 60));
        for text in ["", "2", "yesterday", "-1h", "1 month"] {
            assert_eq!(ago(text), None, "{text}");
        }
    }
}
