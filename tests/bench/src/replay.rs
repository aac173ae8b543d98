//! Coming back: replaying a journal, and going on after the daemon was killed.

use std::time::Instant;

use skillhost_journal::Journal as _;

use crate::Setting;
use crate::daemon::Daemon;
use crate::machine::{Machine, middle};
use crate::place::{Place, now, until};
use crate::report::{Bar, Durability, Line, Report, Unit};

/// How many processes one figure is the median of.
const PROCESSES: usize = 7;

/// How many other runs a run's entries lie among.
const OTHERS: usize = 200;

/// How many calls each of them makes.
const CALLS_AMONG_OTHERS: usize = 2_000;

/// How many calls stand in the journal when the daemon is killed.
const CALLS_KEPT: u64 = 1_000;

/// Measures replays.
pub(crate) fn measure(setting: &Setting, _machine: &Machine, report: &mut Report) {
    let place = setting.place(&["steps"]);
    let few = place.launched("steps", r#"{"n": 10}"#);
    let many = place.launched("steps", r#"{"n": 10000}"#);
    place.stop_daemon();
    let replay = |place: &Place, run: &str| {
        let each = || place.timed(&["replay", run, "--json"]).as_secs_f64() * 1e3;
        middle((0..PROCESSES).map(|_| each()).collect())
    };
    let mut whole = Vec::new();
    let mut each = Vec::new();
    for _ in 0..setting.repeats {
        let least = replay(&place, few.as_str());
        let most = replay(&place, many.as_str());
        whole.push(most);
        each.push((most - least) / 9_990.0 * 1e3);
    }
    let line = |what: &str, unit| Line::new("coming back", what, unit, Durability::None);
    report.add(
        line("`replay` of 10,000 calls, whole process", Unit::Ms).bar(Bar::AtMost(60.0)),
        whole,
    );
    report.add(line("  each call", Unit::Us).bar(Bar::AtMost(4.0)), each);

    let among = setting.place(&["steps"]);
    let model = among.launched("steps", r#"{"n": 10}"#);
    let input = format!(r#"{{"n": {CALLS_AMONG_OTHERS}}}"#);
    let runs = among.make_like(&model, &input, OTHERS + 1);
    Daemon::of(&among).drive(&runs);
    among.until_over(&runs);
    among.stop_daemon();
    let each = (0..setting.repeats).map(|_| {
        let least = replay(&among, model.as_str());
        let most = replay(&among, runs[OTHERS / 2].as_str());
        (most - least) / (CALLS_AMONG_OTHERS - 10) as f64 * 1e3
    });
    let each = each.collect();
    report.add(
        line("  each call, whose entries lie among those of 200 other runs", Unit::Us).bar(Bar::AtMost(6.0)),
        each,
    );

    let lost = (0..setting.repeats).map(|_| after_a_kill(&place)).collect();
    report.add(
        line(
            "kill -9 of the daemon to the first new call, 1,000 calls behind it",
            Unit::Ms,
        )
        .bar(Bar::AtMost(300.0))
        .note("a command waits for the result, notices, and starts another daemon"),
        lost,
    );
}

/// Kills the daemon while a run is awaited, and returns how long it takes until that goes on, in milliseconds: all of the time that is not the rest of the work.
fn after_a_kill(place: &Place) -> f64 {
    let daemon = Daemon::of(place);
    let before = newest(place);
    let mut launching = place.launching("steps", r#"{"n": 2000}"#);
    let journal = place.journal();
    let mut run = None;
    until(|| {
        run = newest(place).filter(|run| Some(run) != before.as_ref());
        let entries = run.as_ref().map_or(0, |run| journal.run(run).unwrap().entries);
        entries > 2 * CALLS_KEPT
    });
    let run = run.unwrap();
    let (begun, killed_at) = (Instant::now(), now());
    daemon.strike();
    assert!(launching.wait().unwrap().success());
    let took = begun.elapsed().as_secs_f64() * 1e3;
    let records = journal.all_records(&run).unwrap();
    let first = records.iter().find(|record| record.at > killed_at).unwrap();
    let rest = records.last().unwrap().at.since(first.at).as_secs_f64() * 1e3;
    took - rest
}

fn newest(place: &Place) -> Option<skillhost_core::id::RunId> {
    let rows = place.journal().runs(&Default::default()).unwrap();
    rows.into_iter().map(|row| row.run).max()
}
