//! The end of the log is gone, from any byte on.

use crate::crew::Broken;
use crate::disk::Op;
use crate::exam::{Breadth, Failure, Findings, is_log, states};
use crate::image::Image;
use crate::judge::{Bench, Owed};
use crate::ledger::Appended;
use crate::platter::Platter;
use crate::workload::{DATABASE, Plan, record};

/// What stands in the place of what was cut off.
const GARBAGE: u8 = 0xa5;

/// Cuts the log of a small journal at every byte: what is left is what there was after the last whole commit.
pub(crate) fn every_byte(seed: u64, breadth: Breadth) -> Result<Findings, Failure> {
    let (steps, page_bytes, others_every) = match breadth {
        Breadth::Short => (2, 512, 64),
        Breadth::Long => (12, if seed.is_multiple_of(2) { 4_096 } else { 512 }, 4),
    };
    // What it takes to begin is in the database already; the log has only what a run does then.
    let begin = Plan {
        runs: 1,
        steps: 2,
        is_cut_short: true,
        ..Plan::of(seed)
    };
    let begun = record(begin, &empty_journal(page_bytes)?, Appended::new())?;
    let mut platter = Platter::of(&begun.first);
    begun.ops.iter().for_each(|op| platter.take(op));
    let first = without_log(&platter.current())?;
    let plan = Plan {
        runs: 0,
        steps,
        goes_on: true,
        ..begin
    };
    let recording = record(plan, &first, begun.played.ledger.appended)?;
    let bench = Bench::new();
    let states = states(&recording, &bench)?;
    // Where each state is whole in the log.
    let mut ends = Vec::new();
    let mut platter = Platter::of(&recording.first);
    for (moment, op) in recording.ops.iter().enumerate() {
        if !matches!(op, Op::Create(file) | Op::Write { file, .. } | Op::Sync { file, .. } if is_log(file)) {
            return Err(format!("the log is not all that changed: {op:?}").into());
        }
        platter.take(op);
        if let Some((_, state)) = states.iter().find(|(first, _)| *first == moment + 1) {
            ends.push((log_of(&platter.current()).len(), *state));
        }
    }
    let whole = platter.current();
    let log = log_of(&whole).to_vec();
    let mut findings = Findings::default();
    findings.add("commits", ends.len());
    let before = states.first().map_or(0, |(_, state)| *state);
    for bytes in 0..=log.len() {
        let tails: &[Option<u8>] = match bytes % others_every {
            0 => &[None, Some(0), Some(GARBAGE)],
            _ => &[None],
        };
        for tail in tails {
            let mut image = whole.clone();
            let mut rest = log[..bytes].to_vec();
            if let Some(byte) = tail {
                rest.resize(log.len(), *byte);
            }
            // What stands in the place of the rest may be the same for a while.
            let same = rest.iter().zip(&log).take_while(|(one, other)| one == other).count();
            let expected = ends.iter().rev().find(|(end, _)| *end <= same);
            let expected = expected.map_or(before, |(_, state)| *state);
            image.insert(format!("{DATABASE}-wal"), rest);
            findings.count("images");
            let is_edge = ends.iter().any(|(end, _)| end.abs_diff(bytes) <= 1);
            let owed = Owed {
                played: &recording.played,
                states: &states,
                moment: recording.ops.len(),
                exactly: Some(expected),
                goes_on: is_edge || bytes % 97 == 0,
                is_checked: is_edge || bytes.is_multiple_of(16),
            };
            bench.judge(&image, &owed).map_err(|broken| {
                let what = format!("the log cut after {bytes} of {} bytes, then {tail:?}", log.len());
                Failure::of(&image, format!("{what}: {broken}"))
            })?;
        }
    }
    Ok(findings)
}

fn log_of(image: &Image) -> &[u8] {
    image.get(&format!("{DATABASE}-wal")).map_or(&[], Vec::as_slice)
}

/// Returns an empty database with pages of this size: small ones make a log that is short enough for every byte.
fn empty_journal(page_bytes: usize) -> Result<Image, Broken> {
    let made = || -> rusqlite::Result<Image> {
        let folder = tempfile::tempdir().expect("the folder of a test can be made");
        let db = rusqlite::Connection::open(folder.path().join(DATABASE))?;
        db.execute_batch(&format!(
            "pragma page_size = {page_bytes}; begin; create table t (x); drop table t; commit;"
        ))?;
        drop(db);
        Ok(crate::image::read(folder.path()))
    };
    made().map_err(|error| error.to_string())
}

/// Returns an image whose log is written back, and gone.
fn without_log(image: &Image) -> Result<Image, Broken> {
    let written_back = || -> rusqlite::Result<Image> {
        let folder = tempfile::tempdir().expect("the folder of a test can be made");
        crate::image::write(folder.path(), image);
        let db = rusqlite::Connection::open(folder.path().join(DATABASE))?;
        db.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?;
        drop(db);
        Ok(crate::image::read(folder.path()))
    };
    let mut image = written_back().map_err(|error| error.to_string())?;
    image.retain(|name, _| name == DATABASE);
    Ok(image)
}
