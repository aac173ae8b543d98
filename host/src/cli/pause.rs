//! `pause`: holds a run (rule P4).

use std::time::Duration;

use skillhost_core::machine::{Command, Status};

use super::args::PauseArgs;
use super::context::Context;
use super::drive;
use super::newest::newest;
use super::report::Report;
use super::signal::{Delivering, deliver};
use super::watch;
use crate::error::{CliError, Result};
use crate::exit::Exit;

/// How long a run is waited for until it holds.
const HELD_WAIT: Duration = Duration::from_secs(20);

pub(super) fn run(args: &PauseArgs, context: &Context) -> Result<Report> {
    let journal = context.journal()?;
    let row = context.find(journal.as_ref(), &args.run)?;
    if row.status != Status::Paused {
        let command = Command::Pause {
            by: context.environment.user.clone(),
        };
        deliver(
            context,
            std::sync::Arc::clone(&journal),
            &row,
            &command,
            Delivering::in_the_daemon("pause"),
        )?;
    }
    let held = watch::until(context, journal.as_ref(), Some(HELD_WAIT), || {
        let row = newest(journal.as_ref(), &row.run)?;
        Ok((row.status == Status::Paused || row.status.is_final()).then_some(row))
    })?;
    let Some(row) = held else {
        let message = format!("run `{}` was told to pause and has not yet", row.run);
        return Err(CliError::new(Exit::GoesOn, "not_yet", message)
            .hint(format!("`skillhost status {}` tells how it stands", row.run)));
    };
    if row.status.is_final() {
        return drive::report(&context.session(journal), &row);
    }
    let mut report = Report::done(format!("run {} is paused", row.run), drive::envelope(&row));
    report.notes = format!("hint: `skillhost resume {}` goes on\n", row.run);
    Ok(report)
}
