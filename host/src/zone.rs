//! The user's time zone, as a run is told of it: its offsets from UTC, so that a skill can compute local times without a call (rule G8).

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use skillhost_core::entry::ZoneOffset;
use skillhost_core::time::Timestamp;

/// For how long the changes are told: a run can sleep no longer.
const YEARS: Duration = Duration::from_secs(10 * 366 * 86_400);

/// The most changes that are told. Zones change twice a year, with a month that is treated specially four times.
const CHANGES_MAX: usize = 64;

/// Where most systems keep their zones.
const ZONES: &str = "/usr/share/zoneinfo";

/// The largest file of a zone that is read; the longest have a few thousand bytes.
const ZONE_BYTES_MAX: u64 = 1 << 20;

/// Returns the zone of the user.
///
/// The library lists all zones of the system before it finds the first, which takes a command longer than most of what it is for. So the file of the one that is named is read here, and the
/// library is asked where there is no such file.
pub fn of_user() -> TimeZone {
    named().and_then(|name| of_file(&name)).unwrap_or_else(TimeZone::system)
}

/// Returns the name of the zone, if it is set in one of the usual ways.
fn named() -> Option<String> {
    match crate::env::variable("TZ") {
        Some(name) => name.into_string().ok(),
        None => {
            let target = std::fs::read_link("/etc/localtime").ok()?;
            Some(target.strip_prefix(ZONES).ok()?.to_str()?.to_owned())
        }
    }
}

fn of_file(name: &str) -> Option<TimeZone> {
    let is_name = |part: &str| !part.is_empty() && !part.starts_with('.');
    if !name.split('/').all(is_name) {
        return None;
    }
    let mut bytes = Vec::new();
    let file = File::open(Path::new(ZONES).join(name)).ok()?;
    file.take(ZONE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    TimeZone::tzif(name, &bytes).ok()
}

/// Returns the offset of a zone at a time, and the changes of the ten years after.
pub fn offsets(zone: &TimeZone, now: Timestamp) -> Vec<ZoneOffset> {
    let Some(at) = moment(now) else { return Vec::new() };
    let until = moment(now.after(YEARS));
    let mut offsets = vec![ZoneOffset {
        from: Timestamp(0),
        ahead_s: zone.to_offset(at).seconds(),
    }];
    let changes = zone
        .following(at)
        .take_while(|change| Some(change.timestamp()) <= until);
    for change in changes.take(CHANGES_MAX) {
        let ahead_s = change.offset().seconds();
        let from = u64::try_from(change.timestamp().as_microsecond()).map(Timestamp);
        if let (Ok(from), true) = (from, offsets.last().is_some_and(|last| last.ahead_s != ahead_s)) {
            offsets.push(ZoneOffset { from, ahead_s });
        }
    }
    offsets
}

/// Returns the offsets of the zone of this name; none if it is not known here.
pub fn offsets_of(name: &str, now: Timestamp) -> Vec<ZoneOffset> {
    TimeZone::get(name).map_or_else(|_| Vec::new(), |zone| offsets(&zone, now))
}

fn moment(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_microsecond(i64::try_from(at.0).ok()?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    /// 2026-11-21 12:00 UTC.
    const NOW: Timestamp = Timestamp(1_795_262_400_000_000);

    #[test]
    fn g8_a_run_is_told_the_changes_of_ten_years() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let offsets = offsets(&berlin, NOW);
        let seconds = |offset: &ZoneOffset| (offset.from.0 / 1_000_000, offset.ahead_s);
        let first: Vec<_> = offsets.iter().take(3).map(seconds).collect();
        assert_eq!(first, [(0, 3_600), (1_806_195_600, 7_200), (1_824_944_400, 3_600)]);
        assert_eq!(offsets.len(), 21);
        let recorded = serde_json::to_string(&offsets).unwrap();
        assert!(recorded.starts_with("[[0,3600],[1806195600000000,7200],"), "{recorded}");
        assert_eq!(serde_json::from_str::<Vec<ZoneOffset>>(&recorded).unwrap(), offsets);
    }

    #[test]
    fn the_file_of_a_zone_says_what_the_library_finds_and_no_name_leads_elsewhere() {
        for name in ["UTC", "Europe/Berlin", "America/Argentina/Ushuaia"] {
            let Ok(expected) = TimeZone::get(name) else { continue };
            let found = of_file(name).unwrap();
            assert_eq!(offsets(&found, NOW), offsets(&expected, NOW), "{name}");
            assert_eq!(found.iana_name(), Some(name));
        }
        for name in [
            "",
            "/etc/localtime",
            "../localtime",
            "Europe/../UTC",
            "Europe",
            "CET-1CEST",
            ":UTC",
        ] {
            assert_eq!(
                of_file(name).and_then(|zone| zone.iana_name().map(str::to_owned)),
                None,
                "{name}"
            );
        }
    }

    #[test]
    fn a_zone_that_never_changes_has_one_offset_and_an_unknown_one_has_none() {
        let utc = [ZoneOffset {
            from: Timestamp(0),
            ahead_s: 0,
        }];
        assert_eq!(offsets(&TimeZone::UTC, NOW), utc);
        assert_eq!(offsets_of("Middle/Earth", NOW), []);
    }
}
