//! `inject`: leaves a note for a run, which its skill reads with `run.notes`.

use skillhost_core::machine::Command;

use super::args::InjectArgs;
use super::context::Context;
use super::report::Report;
use super::signal::{Delivering, deliver};
use crate::error::{CliError, Result};

/// The longest note, in bytes.
const NOTE_BYTES_MAX: usize = 64 << 10;

pub(super) fn run(args: &InjectArgs, context: &Context) -> Result<Report> {
    if args.message.len() > NOTE_BYTES_MAX {
        let message = format!(
            "the note has {} bytes; at most {NOTE_BYTES_MAX} are taken",
            args.message.len()
        );
        return Err(CliError::invalid("note_too_long", message).hint("put it into a file and name that in the note"));
    }
    let journal = context.journal()?;
    let row = context.find(journal.as_ref(), &args.run)?;
    let command = Command::Note {
        message: args.message.clone(),
        by: context.environment.user.clone(),
    };
    deliver(context, journal, &row, &command, Delivering::in_the_daemon("inject"))
}
