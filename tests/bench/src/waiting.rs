//! Ten thousand runs that wait: what they hold, and how fast all of them go on.

use std::time::Instant;

use skillhost_core::id::SignalName;
use skillhost_core::machine::{Command, Status};
use skillhost_core::payload::Payload;
use skillhost_journal::{Journal as _, RunFilter};

use crate::Setting;
use crate::daemon::Daemon;
use crate::machine::Machine;
use crate::place::{now, until};
use crate::report::{Bar, Durability, Line, Report, Unit};

/// How many wait.
const WAITING: usize = 10_000;

/// Measures runs that wait for an event.
pub(crate) fn measure(setting: &Setting, machine: &Machine, report: &mut Report) {
    let mut memory = Vec::new();
    let mut waiting = Vec::new();
    let mut waking = Vec::new();
    for _ in 0..setting.repeats.min(3) {
        let place = setting.place(&["waits", "steps"]);
        let journal = place.journal();
        let model = place.launched("waits", r#"{"times": 0}"#);
        place.stop_daemon();
        let runs = place.make_like(&model, "{}", WAITING);
        let mut daemon = Daemon::of(&place);
        let begun = Instant::now();
        let filter = RunFilter {
            status: vec![Status::Running],
            // One is enough to go on waiting for; listing all of them takes time from the daemon.
            most: Some(1),
            ..RunFilter::default()
        };
        until(|| journal.runs(&filter).unwrap().is_empty());
        waiting.push(WAITING as f64 / begun.elapsed().as_secs_f64());
        memory.push(daemon.memory() as f64 / 1e6);
        let event = Command::Event {
            name: SignalName::parse("go").unwrap(),
            value: Payload::of(&true),
            by: None,
        };
        for run in &runs {
            journal.post_mail(run, now(), &event).unwrap();
        }
        let begun = Instant::now();
        daemon.wake(&runs);
        place.until_over(&runs);
        waking.push(WAITING as f64 / begun.elapsed().as_secs_f64());
    }
    let line = |what: &str, unit| Line::new("10,000 runs that wait", what, unit, Durability::EachCall);
    report.add(
        line("memory of the daemon", Unit::Mb)
            .bar(Bar::AtMost(80.0))
            .note("its own pages, and its share of those that others use, too"),
        memory,
    );
    report.add(line("runs begun, until they wait", Unit::PerSecond), waiting);
    report.add(
        line("runs woken by an event, until they are over", Unit::PerSecond).bar(machine.at_least(5_000.0)),
        waking,
    );
}
