//! `answer`: answers a question that a run asks (rule P2); and the same for a person who awaits the run at a terminal, and is asked there.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use skillhost_core::calls::signals::{Audience, Question};
use skillhost_core::id::Number;
use skillhost_core::machine::{Command, Wait};
use skillhost_core::payload::Payload;
use skillhost_journal::{Journal, RunRow};

use super::args::{AnswerArgs, Here};
use super::context::{Context, Session};
use super::report::Report;
use super::signal::{Delivering, deliver};
use super::{waits, watch};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::fields;
use crate::input::{About, Raw, Spelling, Words};
use crate::schema::{Kind, Schema};
use crate::terminal::{self, plain, plain_line};

/// How long `answer` waits for the run to take what it was given.
const TAKEN_WAIT: Duration = Duration::from_secs(20);

pub(super) fn run(args: AnswerArgs, context: &Context) -> Result<Report> {
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
    let value = value_of(&question, &raw)?;
    send(context, journal, &row, number, &value, args.here)
}

/// Has a question answered: accepted, or refused with the reason.
fn send(
    context: &Context,
    journal: Arc<dyn Journal>,
    row: &RunRow,
    number: Number,
    value: &Value,
    here: Here,
) -> Result<Report> {
    let command = Command::Answer {
        number,
        value: Payload::of(value),
        by: context.environment.user.clone(),
    };
    let how = Delivering::of("answer", here);
    let report = match deliver(context, Arc::clone(&journal), row, &command, how) {
        // Somebody was faster, or the time was over, since it was looked at.
        Err(error) if matches!(error.code, "answered" | "question_closed" | "run_is_over") => {
            return Err(closed(journal.as_ref(), row, number)?);
        }
        delivered => delivered?,
    };
    if !here.here {
        accepted(context, journal.as_ref(), row, number)?;
    }
    Ok(report)
}

/// Returns what was given as the answer to a question, if it fits.
fn value_of(question: &Question, raw: &Raw) -> Result<Value> {
    let what = format!("the answer to `{}`", question.name);
    raw.assemble(
        &schema_of(question)?,
        About {
            what: &what,
            flags: Vec::new,
            spelling: Spelling::Word,
        },
    )
}

fn schema_of(question: &Question) -> Result<Schema> {
    Schema::of(question.schema.clone().unwrap_or(Value::Bool(true))).map_err(|reason| {
        CliError::new(
            Exit::Unsupported,
            "bad_schema",
            format!("the schema of question `{}` cannot be used: {reason}", question.name),
        )
    })
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

/// Returns the first question of a run that its user is asked and has not put off.
pub(super) fn open_question(
    journal: &dyn Journal,
    row: &RunRow,
    put_off: &[Number],
) -> Result<Option<(Number, Question)>> {
    for wait in journal.waits(&row.run)? {
        let is_new = matches!(wait.wait, Wait::Question(_)) && !put_off.contains(&wait.number);
        if is_new
            && let Some(question) = waits::question(journal, &row.run, wait.number)?
            && question.audience == Audience::User
        {
            return Ok(Some((wait.number, question)));
        }
    }
    Ok(None)
}

/// What a person types: it comes when he has typed it, and `None` puts the question off. Dropped, it leaves what is typed to what is asked next.
pub(super) type Typed = Pin<Box<dyn Future<Output = Option<Vec<fields::Given>>>>>;

/// Asks the person at the terminal, field by field.
pub(super) fn ask(question: &Question) -> Result<Typed> {
    let schema = schema_of(question)?;
    let mut text = format!("\n{}\n", plain(&question.prompt));
    if let Some(details) = &question.details {
        text.push_str(&format!("{}\n", plain(details)));
    }
    for path in &question.attachments {
        text.push_str(&format!("see {}\n", plain_line(path)));
    }
    text.push_str("(an empty line puts it off)");
    terminal::note(&text);
    let names = schema.fields().unwrap_or_default();
    let asked: Vec<(String, bool, bool)> = names
        .iter()
        .map(|name| {
            let kinds = schema.field(name).map(|field| schema.kinds(field)).unwrap_or_default();
            let required = schema.required().contains(name);
            ((*name).to_owned(), kinds == [Kind::Boolean], required)
        })
        .collect();
    Ok(Box::pin(async move {
        let mut given = Vec::new();
        for (name, is_boolean, required) in &asked {
            given.extend(field(name, *is_boolean, *required).await?);
        }
        Some(given)
    }))
}

/// Asks for a field; `Some(None)` leaves it out, and `None` puts the question off.
async fn field(name: &str, is_boolean: bool, required: bool) -> Option<Option<fields::Given>> {
    let hint = if is_boolean { " [y/n]" } else { "" };
    let line = terminal::ask(&format!("{}{hint}: ", plain_line(name))).await.ok()?;
    let value = match (line.trim(), is_boolean) {
        ("", _) if required => return None,
        ("", _) => return Some(None),
        ("y" | "yes", true) => "true",
        ("n" | "no", true) => "false",
        (other, _) => other,
    };
    Some(Some(fields::parse_arg(&format!("{name}={value}")).ok()?))
}

/// Answers a question with what was typed at the terminal.
pub(super) fn answer_typed(
    session: &Session<'_>,
    row: &RunRow,
    number: Number,
    question: &Question,
    typed: Vec<fields::Given>,
) -> Result<()> {
    let command = of_typed(session, number, question, typed)?;
    session.journal.post_mail(&row.run, crate::driver::now(), &command)?;
    Ok(())
}

/// Makes the answer of what was typed at the terminal.
pub(super) fn of_typed(
    session: &Session<'_>,
    number: Number,
    question: &Question,
    typed: Vec<fields::Given>,
) -> Result<Command> {
    let words = Words {
        input: None,
        fields: typed,
    };
    let value = value_of(question, &words.read(&mut io::empty())?)?;
    Ok(Command::Answer {
        number,
        value: Payload::of(&value),
        by: session.context.environment.user.clone(),
    })
}

/// Checks an answer that was said ahead.
pub(super) fn check(question: &Question, value: &Value) -> Result<()> {
    let schema = schema_of(question)?;
    schema.check(value).map_err(|mistakes| {
        let message = format!(
            "the answer to `{}` does not fit: {}",
            question.name,
            mistakes.join("; ")
        );
        CliError::invalid("bad_input", message).hint(format!("it has to fit {}", schema.root()))
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
