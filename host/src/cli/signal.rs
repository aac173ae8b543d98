//! `signal` and `answer`: leave something in a run's mailbox (rule P1), and go on with the run if nobody else does.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use skillhost_core::id::{Number, SignalName};
use skillhost_core::machine::Command;
use skillhost_core::payload::Payload;
use skillhost_journal::{Journal, RunRow};

use super::args::{AnswerArgs, Here, SignalArgs};
use super::context::Context;
use super::drive::{self, Drive};
use super::report::Report;
use super::{waits, watch};
use crate::daemon::Client;
use crate::driver;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::input::{About, Spelling, Words};
use crate::schema::Schema;

/// How long `answer` waits for the run to take what it was given.
const TAKEN_WAIT: Duration = Duration::from_secs(20);

pub(super) fn signal(args: SignalArgs, context: &Context) -> Result<Report> {
    let name = SignalName::parse(&args.name).map_err(|e| CliError::of(Exit::Invalid, "bad_name", &e))?;
    let value = json_input(args.input.as_deref(), &mut io::stdin().lock())?;
    let journal = context.journal()?;
    let row = context.find(journal.as_ref(), &args.run)?;
    // What is waited for now says what it takes; an event that is sent ahead is taken as it is.
    for event in waits::events(journal.as_ref(), &row.run, name.as_str())? {
        check(event.schema.as_ref(), &value, &format!("the value of event `{name}`"))?;
    }
    let command = Command::Event {
        name,
        value: Payload::of(&value),
        by: None,
    };
    deliver(context, journal, &row, &command, Delivering::of("signal", args.here))
}

pub(super) fn answer(args: AnswerArgs, context: &Context) -> Result<Report> {
    let (run, number) = parse_question(&args.question)?;
    let words = Words {
        input: args.input,
        fields: args.fields,
    };
    let raw = words.read(&mut io::stdin().lock())?;
    let journal = context.journal()?;
    let row = context.find(journal.as_ref(), run)?;
    let Some(question) = waits::question(journal.as_ref(), &row.run, number)? else {
        return Err(closed(journal.as_ref(), &row, number)?);
    };
    let schema = Schema::of(question.schema.clone().unwrap_or(Value::Bool(true))).map_err(|reason| {
        CliError::new(
            Exit::Unsupported,
            "bad_schema",
            format!("the schema of question `{}` cannot be used: {reason}", question.name),
        )
    })?;
    let what = format!("the answer to `{}`", question.name);
    let value = raw.assemble(
        &schema,
        About {
            what: &what,
            flags: &[],
            spelling: Spelling::Word,
        },
    )?;
    let command = Command::Answer {
        number,
        value: Payload::of(&value),
        by: context.environment.user.clone(),
    };
    let how = Delivering::of("answer", args.here);
    let report = match deliver(context, Arc::clone(&journal), &row, &command, how) {
        // Somebody was faster, or the time was over, since it was looked at.
        Err(error) if matches!(error.code, "answered" | "question_closed" | "run_is_over") => {
            return Err(closed(journal.as_ref(), &row, number)?);
        }
        delivered => delivered?,
    };
    if !args.here.here {
        accepted(context, journal.as_ref(), &row, number)?;
    }
    Ok(report)
}

/// Says why a question takes no answer any more: it has one, or it was closed otherwise.
fn closed(journal: &dyn Journal, row: &RunRow, number: Number) -> Result<CliError> {
    let run = &row.run;
    // One that is still asked has an answer on its way.
    let has_answer = waits::question(journal, run, number)?.is_some() || waits::was_answered(journal, run, number)?;
    let (code, message) = match has_answer {
        true => (
            "answered",
            format!("question {number} of run `{run}` was answered already"),
        ),
        false => (
            "question_closed",
            format!("run `{run}` asks no question {number}: its time was over, or it was never asked"),
        ),
    };
    Ok(CliError::new(Exit::Held, code, message).hint(format!("`skillhost show {run}` tells what became of it")))
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
    journal.post_mail(&row.run, driver::now(), command)?;
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

/// Waits until the run has taken an answer, and says if something else was faster: its time was over, or the run was cancelled.
fn accepted(context: &Context, journal: &dyn Journal, row: &RunRow, number: Number) -> Result<()> {
    let taken = watch::until(context, journal, Some(TAKEN_WAIT), || {
        let waits = journal.waits(&row.run)?;
        let closed = !waits.iter().any(|wait| wait.number == number);
        Ok(closed.then_some(()))
    })?;
    if taken.is_none() || waits::was_answered(journal, &row.run, number)? {
        // A run that is paused, or that waits for a slot, takes it later.
        return Ok(());
    }
    let message = format!(
        "question {number} of run `{}` was closed before the answer came to it",
        row.run
    );
    Err(CliError::new(Exit::Held, "question_closed", message)
        .hint(format!("`skillhost show {}` tells what closed it", row.run)))
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
            flags: &[],
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

fn parse_question(text: &str) -> Result<(&str, Number)> {
    let parts = text
        .split_once('#')
        .and_then(|(run, number)| Some((run, number.parse().ok()?)));
    let (run, number) = parts.ok_or_else(|| {
        CliError::invalid("bad_question", format!("`{text}` names no question"))
            .hint("it is a run and the number of a call, as in `skillhost answer nightly#4 approve=true`; `skillhost inbox` shows the questions")
    })?;
    Ok((run, Number(number)))
}
