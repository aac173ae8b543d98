//! Times as the user's clocks show them. Everything is computed from what the run was told of the user's zone when it was launched, so it is the same at
//! every replay; dates are those of the Gregorian calendar.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::now;
use crate::bindings::skillhost::skill::run::ZoneOffset;
use crate::failure::{Failure, Result, code};
use crate::host;

const DAY_S: i64 = 86_400;

/// A time as the user's clocks show it, `2026-11-21 17:28:01` when it is printed.
///
/// ```
/// # use skillhost_sdk::prelude::*;
/// # async fn example() -> Result<String> {
/// let today = clock::local(now());
/// model::haiku(format!("It is {} in {}. What day is that?", today.date(), run::info().zone)).text().await
/// # }
/// # assert_eq!(skillhost_sdk::example::run(example()), "It is 1970-01-01 in Europe/Berlin. What day is that?");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Local {
    /// The year.
    pub year: i64,
    /// The month, from 1.
    pub month: u8,
    /// The day of the month, from 1.
    pub day: u8,
    /// The hour, from 0.
    pub hour: u8,
    /// The minute, from 0.
    pub minute: u8,
    /// The second, from 0.
    pub second: u8,
}

/// Returns a time as the user's clocks show it.
pub fn local(time: SystemTime) -> Local {
    let seconds = seconds(time);
    Local::of(seconds + offset_at(&offsets(), seconds))
}

/// Returns when the user's clocks show this tomorrow: `tomorrow_at("02:00")`.
///
/// A time that they skip tomorrow because they are put forward is as much later as they are put forward; of one that they show twice it is the first.
///
/// ```
/// # use skillhost_sdk::prelude::*;
/// # async fn example() -> Result<()> {
/// sleep_until(tomorrow_at("02:00")).await?;
/// # Ok(())
/// # }
/// # skillhost_sdk::example::run(example());
/// ```
pub fn tomorrow_at(clock: &str) -> When {
    When(on_day(clock, 1))
}

/// Returns when the user's clocks show this today, which may be past: `today_at("18:30")`.
pub fn today_at(clock: &str) -> When {
    When(on_day(clock, 0))
}

/// A time to wait for. What is wrong with it is told where it is waited for.
#[must_use = "a time is waited for by `sleep_until`"]
#[derive(Clone, Debug, PartialEq)]
pub struct When(Result<SystemTime>);

impl When {
    /// Returns the time, unless what it was made of names none.
    pub fn time(self) -> Result<SystemTime> {
        self.0
    }
}

impl From<SystemTime> for When {
    fn from(time: SystemTime) -> Self {
        Self(Ok(time))
    }
}

impl Local {
    /// Returns what clocks show that are so many seconds after 1970.
    fn of(seconds: i64) -> Self {
        let (days, rest) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
        // Counted from 1 March of the year 0, so that the day that only some years have is the last one of a year.
        let days = days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = (month_from_march + 2) % 12 + 1;
        let small = |number: i64| u8::try_from(number).expect("a part of a date or of a day");
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: small(month),
            day: small(day_of_year - (153 * month_from_march + 2) / 5 + 1),
            hour: small(rest / 3_600),
            minute: small(rest / 60 % 60),
            second: small(rest % 60),
        }
    }

    /// Returns the date alone, as `2026-11-21`.
    pub fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            hour, minute, second, ..
        } = self;
        write!(f, "{} {hour:02}:{minute:02}:{second:02}", self.date())
    }
}

fn on_day(clock: &str, days: i64) -> Result<SystemTime> {
    let shown = read(clock).ok_or_else(|| {
        Failure::new(
            code::INVALID,
            format!("`{clock}` is no time of the day, such as `02:00` or `18:30:15`"),
        )
    })?;
    let offsets = offsets();
    let today = seconds(now());
    let day = (today + offset_at(&offsets, today)).div_euclid(DAY_S) + days;
    let at = utc(&offsets, day * DAY_S + shown);
    let at = u64::try_from(at).map_err(|_| Failure::new(code::INVALID, "a time before 1970"))?;
    Ok(UNIX_EPOCH + Duration::from_secs(at))
}

/// Reads `18:30` or `18:30:15` as seconds of the day.
fn read(clock: &str) -> Option<i64> {
    let mut parts = clock.split(':').map(|part| {
        let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse::<i64>().ok()).flatten()
    });
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    let fits = parts.next().is_none() && hour < 24 && minute < 60 && second < 60;
    fits.then_some(hour * 3_600 + minute * 60 + second)
}

/// Returns when clocks first show a time, given as if they stood at UTC.
fn utc(offsets: &[ZoneOffset], shown: i64) -> i64 {
    let is_shown = |at: &i64| *at + offset_at(offsets, *at) == shown;
    let mut candidates: Vec<i64> = ahead(offsets).map(|ahead| shown - ahead).filter(is_shown).collect();
    candidates.sort_unstable();
    // In an hour that they skip, they go by what they showed before.
    let before = || shown - offset_at(offsets, shown - DAY_S);
    candidates.first().copied().unwrap_or_else(before)
}

fn ahead(offsets: &[ZoneOffset]) -> impl Iterator<Item = i64> {
    offsets
        .iter()
        .map(|offset| offset.ahead_s.into())
        .chain(offsets.is_empty().then_some(0))
}

/// Returns how many seconds clocks are ahead of UTC at a time.
fn offset_at(offsets: &[ZoneOffset], seconds: i64) -> i64 {
    let from = |offset: &ZoneOffset| i64::try_from(offset.from_ns / 1_000_000_000).unwrap_or(i64::MAX);
    let last = offsets.iter().rfind(|offset| from(offset) <= seconds);
    last.or(offsets.first()).map_or(0, |offset| offset.ahead_s.into())
}

fn offsets() -> Vec<ZoneOffset> {
    host::run::info().zone_offsets
}

fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::block_on;
    use crate::fake::host;
    use crate::prelude::*;

    const HOUR: i32 = 3_600;

    /// Sets the clock, in seconds, and the zone to Berlin's from autumn 2026 to autumn 2027.
    fn berlin_at(seconds: u64) {
        let offset = |from: u64, hours: i32| ZoneOffset {
            from_ns: from * 1_000_000_000,
            ahead_s: hours * HOUR,
        };
        host(|world| {
            world.now = seconds * 1_000_000_000;
            world.zone_offsets = vec![offset(0, 1), offset(1_806_195_600, 2), offset(1_824_944_400, 1)];
        });
    }

    fn shown(seconds: u64) -> String {
        local(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
    }

    fn tomorrow(clock: &str) -> u64 {
        let at = tomorrow_at(clock).time().expect("it is a time");
        at.duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
    }

    #[test]
    fn a_time_is_shown_as_the_users_clocks_do() {
        assert_eq!(shown(0), "1970-01-01 00:00:00", "nothing is known of the zone");
        berlin_at(0);
        // 2027-03-28 01:59:59 and a second later, 2027-10-31 02:59:59 and a second later.
        assert_eq!(shown(1_806_195_599), "2027-03-28 01:59:59");
        assert_eq!(shown(1_806_195_600), "2027-03-28 03:00:00");
        assert_eq!(shown(1_824_944_399), "2027-10-31 02:59:59");
        assert_eq!(shown(1_824_944_400), "2027-10-31 02:00:00");
    }

    #[test]
    fn dates_go_by_the_calendar() {
        for (days, date) in [
            (-1, "1969-12-31"),
            (0, "1970-01-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_513, "2026-03-01"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(Local::of(days * DAY_S).date(), date);
        }
    }

    #[test]
    fn tomorrow_is_the_next_day_of_the_users_clocks() {
        // 2026-11-21 23:30 UTC is the 22nd in Berlin.
        berlin_at(1_795_303_800);
        assert_eq!(shown(1_795_303_800), "2026-11-22 00:30:00");
        assert_eq!(shown(tomorrow("02:00")), "2026-11-23 02:00:00");
        assert_eq!(shown(tomorrow("18:30:15")), "2026-11-23 18:30:15");
    }

    #[test]
    fn a_time_that_is_skipped_is_later_and_of_one_that_is_shown_twice_it_is_the_first() {
        berlin_at(1_806_195_600 - 86_400);
        assert_eq!(shown(tomorrow("02:30")), "2027-03-28 03:30:00");
        assert_eq!(shown(tomorrow("03:00")), "2027-03-28 03:00:00");
        berlin_at(1_824_944_400 - 86_400);
        assert_eq!(tomorrow("02:30"), 1_824_944_400 - 1_800);
    }

    #[test]
    fn what_is_no_time_is_told_where_it_is_waited_for() {
        for clock in ["", "2:00", "24:00", "02:60", "02", "02:00:00:00", "+2:00", "aa:bb"] {
            let failure = block_on(sleep_until(tomorrow_at(clock))).expect_err("it is no time");
            assert_eq!(
                format!("{failure:?}"),
                format!("invalid: `{clock}` is no time of the day, such as `02:00` or `18:30:15`")
            );
        }
        assert!(host(|world| world.calls.is_empty()));
    }

    #[test]
    fn a_skill_sleeps_until_the_users_clocks_show_a_time() {
        berlin_at(1_795_303_800);
        assert_eq!(block_on(sleep_until(tomorrow_at("00:30"))), Ok(()));
        assert_eq!(block_on(sleep_until(today_at("00:00"))), Ok(()));
        let day = 86_400_u64 * 1_000_000_000;
        assert_eq!(host(|world| world.what().join("; ")), format!("sleep {day}; sleep 0"));
    }
}
