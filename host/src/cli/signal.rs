//! `signal`: leaves an event in a run's mailbox; and how every command for a run reaches it (rule P1).

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use skillhost_core::id::SignalName;
use skillhost_core::machine::{Command, Status};
use skillhost_core::payload::Payload;
use skillhost_journal::{Journal, RunRow};

use super::args::{Here, SignalArgs};
use super::context::Context;
use super::drive::{self, Drive};
use super::newest::newest;
use super::report::Report;
use super::{waits, watch};
use crate::daemon::Client;
use crate::driver;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::input::{About, Spelling, Words};
use crate::schema::Schema;

/// How long `signal` waits for a run to take what it waits for.
const TAKEN_WAIT: Duration = Duration::from_secs(20);

pub(super) fn signal(args: SignalArgs, context: &Context) -> Result<Report> {
    let name = SignalName::parse(&args.name).map_err(|e| CliError::of(Exit::Invalid, "bad_name", &e))?;
    let value = json_input(args.input.as_deref(), &mut io::stdin().lock())?;
    let journal = context.journal()?;
    let row = context.find(journal.as_ref(), &args.run)?;
    // What is waited for now says what it takes; an event that is sent ahead is taken as it is.
    let waited_for = waits::events(journal.as_ref(), &row.run, name.as_str())?;
    for event in &waited_for {
        check(event.schema.as_ref(), &value, &format!("the value of event `{name}`"))?;
    }
    let command = Command::Event {
        name,
        value: Payload::of(&value),
        by: None,
    };
    let how = Delivering::of("signal", args.here);
    let report = deliver(context, Arc::clone(&journal), &row, &command, how)?;
    if !how.here && !waited_for.is_empty() {
        // Whoever looks next is not to see that it is still waited for. One that is paused takes it later.
        watch::until(context, journal.as_ref(), Some(TAKEN_WAIT), || {
            Ok((!lies_there(journal.as_ref(), &row, &command)?).then_some(()))
        })?;
    }
    Ok(report)
}

fn lies_there(journal: &dyn Journal, row: &RunRow, command: &Command) -> Result<bool> {
    let is_wanted = journal.run(&row.run)?.status == Status::Waiting;
    let mut mail = journal.mail(&row.run)?.into_iter();
    Ok(is_wanted && mail.any(|mail| mail.command == *command))
}

/// How a command reaches its run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivering {
    /// Which command it is.
    command: &'static str,
    /// Whether to drive the run in this process.
    here: bool,
    /// Whether to stay until the run is over.
    wait: bool,
}

impl Delivering {
    /// Leaves the command, and has the run go on.
    pub(super) fn of(command: &'static str, here: Here) -> Self {
        Self {
            command,
            here: here.here,
            wait: false,
        }
    }

    /// Leaves the command to the daemon.
    pub(super) fn in_the_daemon(command: &'static str) -> Self {
        Self::of(command, Here { here: false })
    }

    /// Stays until the run is over.
    pub(super) fn to_the_end(self) -> Self {
        Self { wait: true, ..self }
    }
}

/// Leaves a command for the run, and has the run go on: in the daemon, or here unless somebody else drives it.
pub(super) fn deliver(
    context: &Context,
    journal: Arc<dyn Journal>,
    row: &RunRow,
    command: &Command,
    how: Delivering,
) -> Result<Report> {
    let row = &post(journal.as_ref(), row, command)?;
    let session = context.session(journal);
    let drive = Drive {
        command: how.command,
        wait: how.wait,
        here: how.here,
    };
    if !how.here {
        context.talk(async {
            loop {
                if Client::ensure(&context.home).await?.wake(&row.run).await? {
                    return Ok(());
                }
            }
        })?;
        return Ok(left(row, how.command));
    }
    match session.worker()?.is_held_elsewhere(&row.run)? {
        true => Ok(left(row, how.command)),
        false => drive::drive(&session, &row.run, drive),
    }
}

/// Leaves a command in the mailbox of a run, or of the one that has gone on in its place meanwhile, and returns which. A call is only one of the run that was meant.
fn post(journal: &dyn Journal, row: &RunRow, command: &Command) -> Result<RunRow> {
    let names_a_call = matches!(command, Command::Answer { .. } | Command::Decide { .. });
    let mut row = row.clone();
    loop {
        let error = match journal.post_mail(&row.run, driver::now(), command) {
            Ok(_) => return Ok(row),
            Err(error) => error,
        };
        let next = newest(journal, &row.run)?;
        if names_a_call || next.run == row.run {
            return Err(error.into());
        }
        row = next;
    }
}

fn left(row: &RunRow, command: &str) -> Report {
    let run = &row.run;
    let text = match command {
        "answer" => format!("run {run} has the answer"),
        "signal" => format!("run {run} has the event"),
        "inject" => format!("run {run} has the note"),
        "pause" => format!("run {run} is paused"),
        _ => format!("run {run} was told"),
    };
    let mut report = Report::done(text, drive::envelope(row));
    report.notes = format!("hint: `skillhost status {run}` tells what comes of it\n");
    report
}

/// Reads a value that is given as JSON, `@FILE` or `-`; null if it is absent.
pub(super) fn json_input(text: Option<&str>, stdin: &mut dyn Read) -> Result<Value> {
    let words = Words {
        input: Some(text.unwrap_or("null").to_owned()),
        fields: Vec::new(),
    };
    let anything = Schema::of(Value::Bool(true)).expect("`true` is a schema");
    words.read(stdin)?.assemble(
        &anything,
        About {
            what: "the value",
            flags: Vec::new,
            spelling: Spelling::Word,
        },
    )
}

fn check(schema: Option<&Value>, value: &Value, what: &str) -> Result<()> {
    let Some(schema) = schema else { return Ok(()) };
    let schema = Schema::of(schema.clone()).map_err(|reason| {
        CliError::new(
            Exit::Unsupported,
            "bad_schema",
            format!("the schema of {what} cannot be used: {reason}"),
        )
    })?;
    schema.check(value).map_err(|mistakes| {
        CliError::invalid("bad_input", format!("{what} does not fit: {}", mistakes.join("; ")))
            .hint(format!("it has to fit {}", schema.root()))
    })
}
