//! `wait`: returns when runs are over, or need somebody.

use std::time::Duration;

use skillhost_core::machine::{Status, Wait};
use skillhost_journal::{Journal, RunRow};

use super::args::WaitArgs;
use super::context::Context;
use super::newest::newest;
use super::report::{Envelope, ErrorMember, Report, Rows};
use super::{drive, list, watch};
use crate::error::{CliError, Result};
use crate::exit::Exit;

pub(super) fn run(args: &WaitArgs, context: &Context) -> Result<Report> {
    let time = args.time.map(Duration::try_from).transpose();
    let time = time.map_err(|_| CliError::invalid("bad_time", "`--for` is a time that is not negative"))?;
    let journal = context.journal()?;
    let found = args.runs.iter().map(|run| context.find(journal.as_ref(), run));
    let mut runs = found.map(|row| Ok(row?.run)).collect::<Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    let settled = watch::until(context, journal.as_ref(), time, || {
        rows.clear();
        for run in &mut runs {
            let row = newest(journal.as_ref(), run)?;
            run.clone_from(&row.run);
            let settled = is_settled(journal.as_ref(), &row)?;
            rows.push((row, settled));
        }
        let enough = match args.any {
            true => rows.iter().any(|(_, settled)| *settled),
            false => rows.iter().all(|(_, settled)| *settled),
        };
        Ok(enough.then_some(()))
    })?;
    context.refresh_inbox(journal.as_ref());
    let session = context.session(std::sync::Arc::clone(&journal));
    if settled.is_none() {
        return Ok(time_is_over(context, &rows));
    }
    if let [(row, _)] = rows.as_slice() {
        return drive::report(&session, row);
    }
    let mut report = several(context, &rows);
    for (row, _) in rows.iter().filter(|(_, settled)| *settled) {
        let one = drive::report(&session, row)?;
        if report.exit == Exit::Done {
            report.exit = one.exit;
        }
        let mark = if row.simulated { ", SIMULATED" } else { "" };
        let why = one.envelope.error.map_or_else(String::new, |error| {
            format!(": {}", error.message.lines().next().unwrap_or_default())
        });
        report
            .text
            .push_str(&format!("{}: {}{mark}{why}\n", row.run, row.status.as_str()));
    }
    Ok(report)
}

/// Returns whether a run is over, or needs somebody.
fn is_settled(journal: &dyn Journal, row: &RunRow) -> Result<bool> {
    Ok(match row.status {
        Status::Running => false,
        Status::Waiting => journal.waits(&row.run)?.iter().any(|wait| wait.wait != Wait::Timer),
        Status::Parked | Status::Paused => true,
        Status::Done | Status::Failed | Status::Cancelled | Status::Continued => true,
    })
}

fn time_is_over(context: &Context, rows: &[(RunRow, bool)]) -> Report {
    let names: Vec<String> = rows
        .iter()
        .filter(|(_, settled)| !settled)
        .map(|(row, _)| row.run.to_string())
        .collect();
    let error = ErrorMember::new(
        "goes_on",
        format!("the time is over, and {} goes on", names.join(" and ")),
        Some(format!("`skillhost wait {}` waits on", names.join(" "))),
    );
    let envelope = match rows {
        [(row, _)] => drive::envelope(row),
        _ => several(context, rows).envelope,
    };
    Report::failed(Exit::GoesOn, error, envelope)
}

fn several(context: &Context, rows: &[(RunRow, bool)]) -> Report {
    let rows = rows.iter().map(|(row, _)| list::value(context, row)).collect();
    Report::done("", Envelope::of_rows(Rows::Runs(rows)))
}
