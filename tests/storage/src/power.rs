//! Power goes, at any moment of a workload, on an honest disk.

use std::time::Duration;

use skillhost_core::entry::{Entry, Record};
use skillhost_core::id::{Digest, Seq};
use skillhost_core::machine::Command;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;

use crate::chance::Chance;
use crate::crew::{run_id, started};
use crate::disk::Op;
use crate::exam::{Breadth, Failure, Findings, Judged, is_log, states};
use crate::image::Image;
use crate::judge::{Bench, Owed};
use crate::ledger::Appended;
use crate::platter::{Kept, Platter};
use crate::workload::{DATABASE, Plan, Recording, record};

/// Of how many images runs are driven to their end in one, in the short form; in the long one they are in all.
const GOES_ON_EVERY: u64 = 8;

/// The time that a run of the first format was made.
const MADE: Timestamp = Timestamp(1_600_000_000_000_000);

/// Power goes at every step of a workload that has everything in it, in a folder that is empty at first.
pub(crate) fn everything(seed: u64, breadth: Breadth) -> Result<Findings, Failure> {
    let (runs, steps, drawn) = match breadth {
        Breadth::Short => (4, 150, 1),
        Breadth::Long => (6, 300, 8),
    };
    let plan = Plan {
        runs,
        steps,
        has_others: true,
        forgets: true,
        ..Plan::of(seed)
    };
    let recording = record(plan, &Image::new(), Appended::new())?;
    lose_power(seed, breadth, &recording, drawn, |_| true)
}

/// Power goes while a database of the first format is brought up to date.
pub(crate) fn upgrade(seed: u64, breadth: Breadth) -> Result<Findings, Failure> {
    let plan = Plan {
        runs: 1,
        steps: 2,
        ..Plan::of(seed)
    };
    let (first, begun) = first_format().map_err(|error| error.to_string())?;
    let recording = record(plan, &first, Appended::from([(run_id(9), vec![begun])]))?;
    let drawn = match breadth {
        Breadth::Short => 4,
        Breadth::Long => 40,
    };
    let upgraded = recording.played.ledger.facts.first().map_or(0, |(at, _)| *at);
    let mut chance = Chance::new(seed, "moments");
    lose_power(seed, breadth, &recording, drawn, |moment| {
        moment <= upgraded + 2 || chance.one_in(4)
    })
}

/// Power goes while the log is grown, and while it is written back because it is long.
pub(crate) fn growth(seed: u64, breadth: Breadth) -> Result<Findings, Failure> {
    let plan = Plan {
        runs: 1,
        steps: 3,
        notes: 210,
        // So that the log goes on growing.
        checkpoint_pages: 100_000,
        ..Plan::of(seed)
    };
    let recording = record(plan, &Image::new(), Appended::new())?;
    let ops = &recording.ops;
    let rarely = match breadth {
        Breadth::Short => 1_200,
        Breadth::Long => 40,
    };
    let mut chance = Chance::new(seed, "moments");
    // It is long where it was written beyond this.
    let is_grown = |op: &Op| matches!(op, Op::Write { file, offset, .. } if is_log(file) && *offset > 4 << 20);
    let Some(grown) = ops.iter().position(is_grown) else {
        return Err("the log was not grown".to_owned().into());
    };
    let cut = |op: &Op| matches!(op, Op::Truncate { file, .. } if is_log(file));
    let Some(cut) = ops.iter().rposition(cut).filter(|cut| *cut > grown) else {
        return Err("the log was not written back".to_owned().into());
    };
    // Around each sync something changes; in between, little does.
    let mut moments: Vec<bool> = (0..=ops.len()).map(|at| at > grown && chance.one_in(rarely)).collect();
    for (at, op) in ops.iter().enumerate().skip(grown) {
        if matches!(op, Op::Sync { .. }) && chance.one_in(1 + rarely / 100) || at == cut {
            moments[at] = true;
            moments[at + 1] = true;
        }
    }
    lose_power(seed, breadth, &recording, 1, |moment| moments[moment])
}

/// Judges what a loss of power may leave at each of the moments.
fn lose_power(
    seed: u64,
    breadth: Breadth,
    recording: &Recording,
    drawn: usize,
    mut is_meant: impl FnMut(usize) -> bool,
) -> Result<Findings, Failure> {
    let bench = Bench::new();
    let states = states(recording, &bench)?;
    let mut findings = Findings::default();
    findings.add("commits", states.len());
    findings.add("changes of the disk", recording.ops.len());
    let mut judged = Judged::default();
    let mut chance = Chance::new(seed, "power");
    let mut platter = Platter::of(&recording.first);
    for moment in 0..=recording.ops.len() {
        let kept = if is_meant(moment) {
            outcomes(&platter, &mut chance, drawn)
        } else {
            Vec::new()
        };
        for kept in kept {
            let image = platter.after_power_loss(kept);
            let told = recording.played.ledger.last_before(moment);
            if !judged.is_new(&image, told) {
                continue;
            }
            findings.count("images");
            let goes_on = breadth == Breadth::Long || findings.of("images") % GOES_ON_EVERY == 0;
            if goes_on {
                findings.count("images on which the runs went on");
            }
            let owed = Owed {
                played: &recording.played,
                states: &states,
                moment,
                exactly: None,
                goes_on,
                is_checked: true,
            };
            bench.judge(&image, &owed).map_err(|broken| {
                let what = format!(
                    "power gone before {moment} of {} changes, {kept:?}",
                    recording.ops.len()
                );
                Failure::of(&image, format!("{what}: {broken}"))
            })?;
        }
        if let Some(op) = recording.ops.get(moment) {
            platter.take(op);
        }
    }
    Ok(findings)
}

/// Returns what may be left, as far as it is tried.
fn outcomes(platter: &Platter, chance: &mut Chance, drawn: usize) -> Vec<Kept> {
    let mut outcomes = vec![Kept::All, Kept::Nothing];
    let pending = platter.pending();
    if pending > 0 {
        outcomes.extend([
            Kept::First(chance.below(pending)),
            Kept::AllBut(chance.below(pending)),
            Kept::Last,
            Kept::Torn(chance.below(platter.last_write())),
        ]);
        outcomes.extend((0..drawn).map(|_| Kept::Drawn(chance.below(usize::MAX) as u64)));
    }
    outcomes
}

/// Returns a database of the first format, with a run in it, and what that began with.
fn first_format() -> rusqlite::Result<(Image, Record)> {
    let folder = tempfile::tempdir().expect("the folder of a test can be made");
    let db = rusqlite::Connection::open(folder.path().join(DATABASE))?;
    db.busy_timeout(Duration::from_secs(1))?;
    db.execute_batch(include_str!("../../../host/journal/src/sqlite/migrations/0001.sql"))?;
    db.execute_batch("pragma user_version = 1; pragma application_id = 0x534b4c48;")?;
    let mut started = started(&run_id(9), 1, Digest::of(b"bundle"), None);
    let input = std::mem::replace(&mut started.input, Payload::of("@payload"));
    let body = serde_json::to_string(&Entry::Started(Box::new(started.clone()))).expect("an entry serialises");
    let run = [
        started.run.as_str(),
        started.launch.as_str(),
        started.skill.as_str(),
        &started.bundle.to_string(),
        &started.component.to_string(),
    ];
    db.execute(
        &format!(
            "insert into runs (id, launch, skill, status, bundle, component, created_at, epoch, held_from, simulated, silent)
            values (?, ?, ?, 'running', ?, ?, {MADE}, 0, 0, 1, 0)",
            MADE = MADE.0
        ),
        run,
    )?;
    db.execute("insert into launches select launch, key from runs", [])?;
    db.execute(
        &format!(
            "insert into entries (run, seq, at, kind, body, payload) values (1, 0, {}, 'started', ?, ?)",
            MADE.0
        ),
        [body.as_str(), input.as_str()],
    )?;
    drop(db);
    started.input = input;
    let begun = Record {
        seq: Seq(0),
        at: MADE,
        entry: Entry::Started(Box::new(started)),
    };
    Ok((crate::image::read(folder.path()), begun))
}

/// Leaves so many notes for a run.
pub(crate) fn note(number: usize) -> Command {
    Command::Note {
        message: format!("note {number}"),
        by: None,
    }
}
