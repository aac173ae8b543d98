//! Durable steps: how many calls a second one run and many runs make, and what each takes on the disk.

use skillhost_core::id::RunId;
use skillhost_loopback::Loopback;

use crate::Setting;
use crate::daemon::Daemon;
use crate::machine::{Machine, Raw, ratios};
use crate::place::Place;
use crate::report::{Bar, Durability, Line, Report, Unit};

/// What the fixtures are made of that are launched.
const FIXTURES: &[&str] = &["steps", "fanout", "history"];

/// How many runs go on at once.
const RUNS: usize = 1_000;

fn line(what: impl Into<String>, durability: Durability) -> Line {
    Line::new("durable calls", what, Unit::PerSecond, durability)
}

/// One run that asks a model a thousand times, and single-row commits, in turns.
pub(crate) fn lone(setting: &Setting, _: &Machine, report: &mut Report) {
    let place = setting.place(FIXTURES);
    let raw = Raw::open(&place.home().join("raw.db"));
    place.launched("steps", r#"{"n": 300}"#);
    let mut beside = Vec::new();
    let mut rates = Vec::new();
    for _ in 0..setting.repeats {
        let before = raw.commits(500, 1);
        rates.push(rate(&place, "steps", r#"{"n": 1000}"#, 1_000));
        beside.push(f64::midpoint(before, raw.commits(500, 1)));
    }
    let ratios = ratios(&rates, &beside);
    report.add(
        line("1 run of 1,000 model calls, one after the other", Durability::EachCall),
        rates,
    );
    report.add(
        Line::new(
            "durable calls",
            "  of single-row commits beside it",
            Unit::Ratio,
            Durability::EachCall,
        )
        .bar(Bar::AtLeast(0.9)),
        ratios,
    );
}

/// One run that reads a small file again and again.
pub(crate) fn reads(setting: &Setting, _: &Machine, report: &mut Report) {
    for n in [1_000, 20_000] {
        reads_of(n, setting, report);
    }
}

fn reads_of(n: usize, setting: &Setting, report: &mut Report) {
    let place = setting.place(FIXTURES);
    let input = format!(r#"{{"n": {n}, "reads_only": true}}"#);
    place.launched("history", &input);
    let rates = (0..setting.repeats)
        .map(|_| rate(&place, "history", &input, n))
        .collect();
    let what = format!(
        "1 run of {} small file reads",
        if n == 1_000 { "1,000" } else { "20,000" }
    );
    report.add(line(what, Durability::AtEnd).bar(Bar::AtLeast(100_000.0)), rates);
}

/// Many runs at once: the first burst of a daemon, and those after it.
pub(crate) fn bursts(setting: &Setting, machine: &Machine, report: &mut Report) {
    let place = setting.place(FIXTURES);
    let model = place.launched("steps", r#"{"n": 1}"#);
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    let mut per_call = Vec::new();
    for _ in 0..setting.repeats {
        place.stop_daemon();
        let fresh = place.make_like(&model, r#"{"n": 10}"#, RUNS);
        let mut daemon = Daemon::of(&place);
        rates[0].push(over(&place, &fresh, 10));
        let before = stored(&place);
        rates[1].push(burst(&place, &mut daemon, &model, 10));
        rates[2].push(burst(&place, &mut daemon, &model, 100));
        per_call.push((stored(&place) - before) as f64 / (RUNS * 110) as f64);
    }
    let [fresh, warm, long] = rates;
    let each = Durability::EachCall;
    report.add(
        line("1,000 runs of 10 model calls, first burst of a daemon", each).bar(machine.at_least(40_000.0)),
        fresh,
    );
    report.add(
        line("1,000 runs of 10 model calls, after that", each).bar(machine.at_least(90_000.0)),
        warm,
    );
    report.add(
        line("1,000 runs of 100 model calls", each).bar(machine.at_least(100_000.0)),
        long,
    );
    report.add(
        Line::new(
            "durable calls",
            "bytes of the database for a small call",
            Unit::Bytes,
            each,
        )
        .bar(Bar::AtMost(400.0)),
        per_call,
    );
}

/// One run that asks a thousand times at once.
pub(crate) fn fan_out(setting: &Setting, machine: &Machine, report: &mut Report) {
    let place = setting.place(FIXTURES);
    let input = r#"{"calls": 1000}"#;
    place.launched("fanout", input);
    let rates = (0..setting.repeats)
        .map(|_| rate(&place, "fanout", input, 1_000))
        .collect();
    let line = line("1 run of 1,000 model calls at once", Durability::EachCall);
    report.add(line.bar(machine.at_least(100_000.0)), rates);
}

/// The same with a provider that is asked over HTTP, on this machine.
pub(crate) fn over_http(setting: &Setting, _: &Machine, report: &mut Report) {
    let server = Loopback::start().unwrap();
    let place = setting.place(FIXTURES).asking(server.url());
    place.launched("steps", r#"{"n": 1}"#);
    let repeats = setting.repeats.min(3);
    let lone = (0..repeats)
        .map(|_| rate(&place, "steps", r#"{"n": 1000}"#, 1_000))
        .collect();
    let at_once = (0..repeats)
        .map(|_| rate(&place, "fanout", r#"{"calls": 1000}"#, 1_000))
        .collect();
    for (what, rates) in [
        ("over HTTP to this machine: 1 run of 1,000 model calls", lone),
        ("over HTTP to this machine: 1,000 at once in one run", at_once),
    ] {
        report.add(line(what, Durability::EachCall), rates);
    }
}

/// Launches a skill, and returns its calls a second.
pub(crate) fn rate(place: &Place, skill: &str, input: &str, calls: usize) -> f64 {
    let run = place.launched(skill, input);
    calls as f64 / place.span(&[run])
}

/// Has a daemon drive a thousand runs, and returns their calls a second.
pub(crate) fn burst(place: &Place, daemon: &mut Daemon, model: &RunId, calls: usize) -> f64 {
    let runs = place.make_like(model, &format!(r#"{{"n": {calls}}}"#), RUNS);
    daemon.drive(&runs);
    over(place, &runs, calls)
}

fn over(place: &Place, runs: &[RunId], calls: usize) -> f64 {
    place.until_over(runs);
    (runs.len() * calls) as f64 / place.span(runs)
}

/// Returns what the database takes when its log is written back, in bytes.
fn stored(place: &Place) -> u64 {
    let db = rusqlite::Connection::open(place.database()).unwrap();
    db.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(())).unwrap();
    let pages = |name| {
        db.pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .unwrap()
            .unsigned_abs()
    };
    let used = pages("page_count") - pages("freelist_count");
    used * pages("page_size")
}
