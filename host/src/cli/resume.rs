//! `resume`: goes on with a run: lifts a pause, tries again what was parked, decides about a call in doubt if that is asked for (rule R4).

use std::io;

use serde_json::Value;
use skillhost_core::id::Number;
use skillhost_core::machine::{Command, Decision, Status, Wait};
use skillhost_core::payload::Payload;

use super::args::ResumeArgs;
use super::context::Context;
use super::drive::{self, Drive};
use super::report::Report;
use super::signal::json_input;
use crate::driver;
use crate::error::{CliError, Result};

pub(super) fn run(args: &ResumeArgs, context: &Context) -> Result<Report> {
    let journal = context.journal()?;
    let row = context.find(journal.as_ref(), &args.run)?;
    let how = Drive {
        command: "resume",
        wait: args.wait,
        here: args.here.here,
    };
    let Some((number, decision)) = decision(args)? else {
        if row.status == Status::Paused {
            let by = context.environment.user.clone();
            journal.post_mail(&row.run, driver::now(), &Command::Resume { by })?;
        }
        return drive::drive(&context.session(journal), &row.run, how);
    };
    let waits = journal.waits(&row.run)?;
    let parked = waits
        .iter()
        .any(|wait| wait.number == number && wait.wait == Wait::Decision);
    if !parked {
        let message = format!("call {number} of run `{}` waits for no decision", row.run);
        return Err(CliError::invalid("not_parked", message)
            .hint(format!("`skillhost show {}` tells what it waits for", row.run)));
    }
    let command = Command::Decide {
        number,
        decision,
        by: context.environment.user.clone(),
    };
    journal.post_mail(&row.run, driver::now(), &command)?;
    drive::drive(&context.session(journal), &row.run, how)
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
