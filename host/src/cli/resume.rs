//! `resume`: goes on with a run: lifts a pause, tries again what was parked, decides about a call in doubt if that is asked for (rule R4).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use skillhost_core::calls;
use skillhost_core::entry::Entry;
use skillhost_core::id::Number;
use skillhost_core::machine::{Command, Decision, Status, Wait};
use skillhost_core::payload::Payload;
use skillhost_journal::{Journal, RunRow};

use super::args::ResumeArgs;
use super::context::Context;
use super::drive::{self, Drive};
use super::report::Report;
use super::signal::json_input;
use super::watch;
use crate::driver;
use crate::error::{CliError, Result};
use crate::exit::Exit;

/// How long `resume` waits for the run to take what it was told.
const TAKEN_WAIT: Duration = Duration::from_secs(20);

pub(super) fn run(args: &ResumeArgs, context: &Context) -> Result<Report> {
    let journal = context.journal()?;
    let row = context.find(journal.as_ref(), &args.run)?;
    let how = Drive {
        command: "resume",
        wait: args.wait,
        here: args.here.here,
    };
    let decided = decide(args, context, journal.as_ref(), &row)?;
    if row.status == Status::Paused {
        let by = context.environment.user.clone();
        journal.post_mail(&row.run, driver::now(), &Command::Resume { by })?;
    }
    let session = context.session(Arc::clone(&journal));
    let report = drive::drive(&session, &row.run, how)?;
    if !how.here && !how.wait {
        // Whoever looks next is not to see the run as it stood before.
        let taken = watch::until(context, journal.as_ref(), Some(TAKEN_WAIT), || {
            Ok(is_taken(journal.as_ref(), &row, decided)?.then_some(()))
        })?;
        if taken.is_none() {
            let message = format!("run `{}` was told to go on and has not yet", row.run);
            return Err(CliError::new(Exit::GoesOn, "not_yet", message)
                .hint(format!("`skillhost status {}` tells how it stands", row.run)));
        }
    }
    Ok(report)
}

/// Returns whether a run stands no longer as it did: it goes on, or has stopped again.
fn is_taken(journal: &dyn Journal, before: &RunRow, decided: Option<Number>) -> Result<bool> {
    let now = journal.run(&before.run)?;
    let waits = |number| -> Result<bool> {
        let mut waits = journal.waits(&before.run)?.into_iter();
        Ok(waits.any(|wait| wait.number == number && wait.wait == Wait::Decision))
    };
    Ok(match decided {
        Some(number) => !waits(number)?,
        None => {
            let paused = before.status == Status::Paused && now.status == Status::Paused;
            let troubled = before.trouble.is_some() && now.trouble == before.trouble;
            !paused && !troubled
        }
    })
}

/// Leaves the decision about a call in doubt, if one is given, and returns which call it is about.
fn decide(args: &ResumeArgs, context: &Context, journal: &dyn Journal, row: &RunRow) -> Result<Option<Number>> {
    let Some((number, decision)) = decision(args)? else {
        return Ok(None);
    };
    let by = context.environment.user.clone();
    let waits = journal.waits(&row.run)?;
    let parked = waits
        .iter()
        .any(|wait| wait.number == number && wait.wait == Wait::Decision);
    if !parked {
        let message = format!("call {number} of run `{}` waits for no decision", row.run);
        return Err(CliError::invalid("not_parked", message)
            .hint(format!("`skillhost show {}` tells what it waits for", row.run)));
    }
    let decision = match decision {
        Decision::Answer(value) => Decision::Answer(shaped(journal, row, number, &value, by.clone())?),
        decision => decision,
    };
    let command = Command::Decide { number, decision, by };
    journal.post_mail(&row.run, driver::now(), &command)?;
    Ok(Some(number))
}

/// Gives what a person says for a call the shape of its answers: in another the run could not read it.
fn shaped(journal: &dyn Journal, row: &RunRow, number: Number, value: &Payload, by: Option<String>) -> Result<Payload> {
    let records = journal.all_records(&row.run)?;
    let function = records.iter().find_map(|record| match &record.entry {
        Entry::Called(called) if called.number == number => Some(called.function),
        _ => None,
    });
    let function = function.expect("a call that waits for a decision was made");
    let value = value.read().expect("it was read as JSON");
    calls::by_hand(function, value, by).map_err(|reason| {
        let message = format!(
            "call {number} of run `{}` is a `{function}`, which answers otherwise: {reason}",
            row.run
        );
        CliError::invalid("bad_answer", message)
            .hint("what a model, a program or a server says is a text: `--answer CALL --input '\"text\"'`")
    })
}

fn decision(args: &ResumeArgs) -> Result<Option<(Number, Decision)>> {
    if let Some(call) = args.redo {
        return Ok(Some((Number(call), Decision::Redo)));
    }
    if let Some(call) = args.skip {
        return Ok(Some((Number(call), Decision::Skip)));
    }
    let Some(call) = args.answer else { return Ok(None) };
    let value: Value = json_input(args.input.as_deref(), &mut io::stdin().lock())?;
    Ok(Some((Number(call), Decision::Answer(Payload::of(&value)))))
}
