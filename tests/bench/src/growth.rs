//! What a call costs as journals grow: of one run, and of all together.

use skillhost_core::id::{RunId, Seq};
use skillhost_journal::Journal as _;

use crate::Setting;
use crate::daemon::Daemon;
use crate::machine::{Machine, middle};
use crate::place::Place;
use crate::report::{Bar, Durability, Line, Report, Unit};
use crate::steps::burst;

/// How many entries a long run has.
const ENTRIES: u64 = 100_000;

/// Over how many entries the cost of one is measured.
const WINDOW: u64 = 10_000;

/// What the database grows to, in entries.
const ALL_ENTRIES: u64 = 1_000_000;

/// Measures whether a call costs the same, however many there were.
pub(crate) fn measure(setting: &Setting, _machine: &Machine, report: &mut Report) {
    let place = setting.place(&["steps", "history"]);
    let input = format!(r#"{{"n": {}, "reads_only": true}}"#, ENTRIES / 2);
    let long = (0..setting.repeats).map(|_| {
        let run = place.launched("history", &input);
        took(&place, &run, ENTRIES - WINDOW - 10) / took(&place, &run, 100)
    });
    let long = long.collect();
    let line = |what: &str, durability| Line::new("as it grows", what, Unit::Ratio, durability);
    report.add(
        line(
            "cost of a call after 100,000 entries, of that after 100",
            Durability::AtEnd,
        )
        .bar(Bar::AtMost(1.2)),
        long,
    );

    let mut grown = Vec::new();
    for _ in 0..setting.repeats.min(2) {
        let place = setting.place(&["steps"]);
        let model = place.launched("steps", r#"{"n": 1}"#);
        let mut daemon = Daemon::of(&place);
        burst(&place, &mut daemon, &model, 10);
        let rates = |daemon: &mut Daemon| middle((0..5).map(|_| burst(&place, daemon, &model, 10)).collect());
        let small = rates(&mut daemon);
        while entries(&place) < ALL_ENTRIES {
            burst(&place, &mut daemon, &model, 100);
        }
        grown.push(small / rates(&mut daemon));
    }
    report.add(
        line(
            "cost of a call in a database of 1,000,000 entries",
            Durability::EachCall,
        )
        .bar(Bar::AtMost(1.2))
        .note("1,000 runs of 10 model calls, of the same when it was small"),
        grown,
    );
}

/// Returns how long the entries of a run took from this one on, in seconds.
fn took(place: &Place, run: &RunId, from: u64) -> f64 {
    let journal = place.journal();
    let at = |seq| journal.records(run, Seq(seq), 1).unwrap()[0].at;
    at(from + WINDOW).since(at(from)).as_secs_f64()
}

fn entries(place: &Place) -> u64 {
    let db = rusqlite::Connection::open(place.database()).unwrap();
    let entries: i64 = db
        .query_row("select count(*) from entries", [], |row| row.get(0))
        .unwrap();
    entries.unsigned_abs()
}
