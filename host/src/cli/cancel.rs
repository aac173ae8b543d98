//! `cancel`: asks a run to end, and waits for its cleanup (rules C1 to C4).

use std::time::Duration;

use skillhost_core::machine::{Command, Status};

use super::args::CancelArgs;
use super::context::Context;
use super::drive;
use super::newest::newest;
use super::report::Report;
use super::signal::{Delivering, deliver};
use super::watch;
use crate::error::Result;
use crate::exit::Exit;

/// How long a run that cleans up is waited for; it goes on with that when nobody waits.
const CLEANUP_WAIT: Duration = Duration::from_secs(60);

pub(super) fn run(args: &CancelArgs, context: &Context) -> Result<Report> {
    let journal = context.journal()?;
    let row = context.find(journal.as_ref(), &args.run)?;
    let command = Command::Cancel {
        reason: args.reason.clone(),
    };
    let how = Delivering::of("cancel", args.here).to_the_end();
    let mut report = deliver(context, std::sync::Arc::clone(&journal), &row, &command, how)?;
    if !args.here.here {
        let over = watch::until(context, journal.as_ref(), Some(CLEANUP_WAIT), || {
            let row = newest(journal.as_ref(), &row.run)?;
            Ok(row.status.is_final().then_some(row))
        })?;
        context.refresh_inbox(journal.as_ref());
        let Some(row) = over else {
            report.exit = Exit::GoesOn;
            report.text = format!("run {} is being cancelled", row.run);
            return Ok(report);
        };
        if row.status != Status::Cancelled {
            return drive::report(&context.session(journal), &row);
        }
        report.exit = Exit::Cancelled;
        report.envelope = drive::envelope(&row);
    }
    // The run was cancelled, and that is what was asked for.
    if report.exit == Exit::Cancelled {
        report.exit = Exit::Done;
        report.envelope.error = None;
        report.text = format!("run {} is cancelled", row.run);
        report.notes = format!("hint: `skillhost show {}` tells what it did before\n", row.run);
    }
    Ok(report)
}
