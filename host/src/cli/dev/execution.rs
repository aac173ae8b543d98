//! One execution of a skill in development: driven to its end in this process, with what it asks answered as far as somebody can.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use serde_json::Value;
use skillhost_core::calls::signals::Question;
use skillhost_core::id::Number;
use skillhost_core::machine::{Command, Decision, Idle, Wait};
use skillhost_core::payload::Payload;
use skillhost_journal::RunRow;

use super::super::context::Session;
use super::super::{answer, waits};
use crate::driver::{self, Development, Driven, Here, Worker};
use crate::error::Result;
use crate::progress::Progress;
use crate::terminal;

/// A timer is worth so much patience: whoever waits longer changes the skill, or presses Ctrl-C.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);

/// What is said ahead to what an execution may ask.
#[derive(Clone, Debug, Default)]
pub(super) struct Sayings {
    /// What questions and events of a name are answered.
    pub(super) answers: BTreeMap<String, Value>,
    /// Whether what must not be done twice is done without asking.
    pub(super) perform: bool,
}

/// How far an execution came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// It is over.
    End,
    /// It waits for something that nobody here says.
    Wait,
    /// It was left, because something else is to be done.
    Left,
}

/// Drives an execution until it is over, waits for what nobody says, or `leave` is ready.
pub(super) fn drive(
    session: &Session<'_>,
    worker: &Worker,
    row: &RunRow,
    development: &Development,
    sayings: &Sayings,
    leave: impl Future<Output = ()>,
) -> Result<Reached> {
    let context = session.context;
    let settings = context.settings(&context.config()?);
    let driving = async {
        loop {
            let mut progress = Progress::new(context.terminal, row.skill.as_str());
            let here = Here {
                worker,
                settings: &settings,
                patience: Some(PATIENCE),
                development: Some(development.clone()),
            };
            let driven = here.drive(&row.run, &mut progress).await?;
            drop(progress);
            let Driven::Waiting(idle) = driven else {
                return Ok(Reached::End);
            };
            if !say(session, row, &idle, sayings).await? {
                return Ok(Reached::Wait);
            }
        }
    };
    session.loading()?.tokio.block_on(async {
        tokio::select! {
            reached = driving => reached,
            () = leave => Ok(Reached::Left),
        }
    })
}

/// Says what the execution waits for, as far as it is known or somebody at the terminal says it; `false` if nothing could be said.
async fn say(session: &Session<'_>, row: &RunRow, idle: &Idle, sayings: &Sayings) -> Result<bool> {
    let journal = session.journal.as_ref();
    let mut said = false;
    for (number, wait) in &idle.waits {
        let command = match wait {
            Wait::Timer | Wait::Skill(_) => None,
            Wait::Event(name) => sayings.answers.get(name.as_str()).map(|value| Command::Event {
                name: name.clone(),
                value: Payload::of(value),
                by: None,
            }),
            Wait::Question(name) => match waits::question(journal, &row.run, *number)? {
                Some(question) => answered(session, *number, &question, sayings.answers.get(name.as_str())).await?,
                None => None,
            },
            Wait::Decision => decided(session, row, *number, sayings.perform).await?,
        };
        if let Some(command) = command {
            journal.post_mail(&row.run, driver::now(), &command)?;
            said = true;
        }
    }
    Ok(said)
}

/// Returns the answer to a question: what was said ahead, or what is typed now.
async fn answered(
    session: &Session<'_>,
    number: Number,
    question: &Question,
    ahead: Option<&Value>,
) -> Result<Option<Command>> {
    if let Some(value) = ahead {
        answer::check(question, value)?;
        return Ok(Some(Command::Answer {
            number,
            value: Payload::of(value),
            by: session.context.environment.user.clone(),
        }));
    }
    if !somebody_is_there(session) {
        return Ok(None);
    }
    loop {
        // Whoever typed nothing leaves it open.
        let Some(typed) = answer::ask(question)?.await else {
            return Ok(None);
        };
        match answer::of_typed(session, number, question, typed) {
            Ok(command) => return Ok(Some(command)),
            Err(error) => terminal::note(&format!("error: {}", error.sentence())),
        }
    }
}

/// Returns what is decided about a call that asks first.
async fn decided(session: &Session<'_>, row: &RunRow, number: Number, perform: bool) -> Result<Option<Command>> {
    let by = session.context.environment.user.clone();
    let decide = |decision| Command::Decide {
        number,
        decision,
        by: by.clone(),
    };
    if perform {
        return Ok(Some(decide(Decision::Redo)));
    }
    if !somebody_is_there(session) {
        return Ok(None);
    }
    let what = waits::label(session.journal.as_ref(), &row.run, number)?;
    let typed = terminal::ask(&format!(
        "{what}: do it now? [y: do it, n: skip it, empty: leave it open] "
    ));
    Ok(match typed.await.unwrap_or_default().trim() {
        "y" | "yes" => Some(decide(Decision::Redo)),
        "n" | "no" => Some(decide(Decision::Skip)),
        _ => None,
    })
}

fn somebody_is_there(session: &Session<'_>) -> bool {
    let terminal = session.context.terminal;
    terminal.stdin && terminal.stderr
}
