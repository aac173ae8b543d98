//! `cancel`: asks a run to end, and drives it through its cleanup if nobody else does (rules C1 to C4).

use skillhost_core::machine::Command;

use super::args::CancelArgs;
use super::context::Context;
use super::drive::Drive;
use super::report::Report;
use super::signal::deliver;
use crate::error::Result;
use crate::exit::Exit;

pub(super) fn run(args: &CancelArgs, context: &Context) -> Result<Report> {
    let journal = context.journal()?;
    let row = context.find(journal.as_ref(), &args.run)?;
    let command = Command::Cancel {
        reason: args.reason.clone(),
    };
    let mut report = deliver(
        context,
        journal,
        &row,
        &command,
        Drive {
            command: "cancel",
            wait: true,
        },
    )?;
    // The run was cancelled, and that is what was asked for.
    if report.exit == Exit::Cancelled {
        report.exit = Exit::Done;
        report.envelope.error = None;
        report.text = format!("run {} is cancelled", row.run);
        report.notes = format!("hint: `skillhost show {}` tells what it did before\n", row.run);
    }
    Ok(report)
}
