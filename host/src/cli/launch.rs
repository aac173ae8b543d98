//! `launch`: makes a run and drives it, or goes on with the run that an earlier launch of the same id made.

use std::io;

use serde_json::Value;
use skillhost_core::entry::{Entry, Started};
use skillhost_core::id::{LaunchId, RunId};
use skillhost_core::payload::Payload;
use skillhost_effects::model::Name;
use skillhost_journal::{Created, FindError, Journal, JournalError, NewRun, RunRow, failpoint};
use skillhost_runtime::Description;

use super::args::{Cli, LaunchArgs};
use super::context::{Context, Session};
use super::cost::LastRuns;
use super::drive::{self, Drive};
use super::grant;
use super::order::Order;
use super::report::Report;
pub(super) use crate::describe::{input_schema, output_schema};
use crate::error::{CliError, REPORT, Result};
use crate::exit::Exit;
use crate::fields::Given;
use crate::input::{self, About, Raw, Spelling, Words};
use crate::{driver, failpoints, terminal};

pub(super) fn run(args: LaunchArgs, given: Vec<Given>, context: &Context) -> Result<Report> {
    let launch = args.id.as_deref().map(LaunchId::parse).transpose();
    let launch = launch.map_err(|e| CliError::of(Exit::Invalid, "bad_launch_id", &e))?;
    let words = Words {
        input: args.input.clone(),
        fields: args.args.iter().cloned().chain(given).collect(),
    };
    let raw = words.read(&mut io::stdin().lock())?;
    let journal = context.journal()?;
    let existing = match &launch {
        Some(launch) => existing(journal.as_ref(), launch)?,
        None => None,
    };
    let session = context.session(journal);
    let (run, last_runs) = match existing {
        Some(row) => {
            check_same(&session, &row, &args, &raw)?;
            (row.run, None)
        }
        None => make(&args, &raw, launch, &session)?,
    };
    let mut report = drive::drive(
        &session,
        &run,
        Drive {
            command: "launch",
            wait: args.wait,
            here: args.here.here,
        },
    )?;
    report.envelope.last_runs = last_runs.map(|last| last.value());
    Ok(report)
}

/// Returns the run that an earlier launch of this id made.
fn existing(journal: &dyn Journal, launch: &LaunchId) -> Result<Option<RunRow>> {
    let run = match journal.find_run(launch.as_str()) {
        Ok(run) => run,
        Err(FindError::Journal(e)) => return Err(e.into()),
        Err(_) => return Ok(None),
    };
    let row = journal.run(&run)?;
    Ok((row.launch == *launch).then_some(row))
}

/// Checks that a launch of an id that is known asks for what it asked for before.
fn check_same(session: &Session<'_>, row: &RunRow, args: &LaunchArgs, raw: &Raw) -> Result<()> {
    let different = |what: &str| {
        let message = format!("launch `{}` was made with {what}", row.launch);
        CliError::invalid("launch_differs", message).hint(format!(
            "give another `--id`, or go on with what was launched: `skillhost resume {}`",
            row.launch
        ))
    };
    if row.skill.as_str() != args.skill {
        return Err(different(&format!("skill `{}`", row.skill)));
    }
    let Some(started) = launched_with(session.journal.as_ref(), row)? else {
        return Ok(());
    };
    let recorded: Value = started
        .input
        .read()
        .map_err(|e| CliError::of(Exit::Internal, "internal", &e).hint(REPORT))?;
    let description = pinned_description(session, row)?;
    let schema = input_schema(&row.skill, &description)?;
    let what = format!("the input of skill `{}`", row.skill);
    let input = raw.assemble(
        &schema,
        About {
            what: &what,
            flags,
            spelling: Spelling::Flag,
        },
    );
    let mut input = input.map_err(|error| match raw.is_empty() {
        true => different("an input, and none was given now"),
        false => error,
    })?;
    let ground = session.context.ground();
    if ground.as_given(&mut input, &schema, &started.mounts)?.is_none() {
        return Err(different("other paths in its input"));
    }
    if !ground.were_given(&args.mounts, &started.mounts) {
        return Err(different("other mounts"));
    }
    if !args.budget.were_given(&started.limits) {
        return Err(different("another budget"));
    }
    let offline = args.offline.then_some(Name::Offline.as_str());
    if let Some(provider) = offline.or(args.provider.as_deref())
        && provider != started.provider.name
    {
        return Err(different(&format!("provider `{}`", started.provider.name)));
    }
    match input == recorded {
        true => Ok(()),
        false => Err(different("another input")),
    }
}

/// Returns the first entry of the first of the runs that each went on in the place of the one before; `None` if that is forgotten, so that nobody knows any more
/// what was launched.
fn launched_with(journal: &dyn Journal, row: &RunRow) -> Result<Option<Started>> {
    let mut first = started(journal, row)?;
    while let Some(before) = &first.continues {
        first = match journal.run(before) {
            Ok(before) => started(journal, &before)?,
            Err(JournalError::UnknownRun { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
    }
    Ok(Some(first))
}

/// Returns the first entry of a run.
pub(super) fn started(journal: &dyn Journal, row: &RunRow) -> Result<Started> {
    let mut records = journal.records(&row.run, skillhost_core::id::Seq(0), 1)?;
    match records.pop().map(|record| record.entry) {
        Some(Entry::Started(started)) => Ok(*started),
        _ => {
            let message = format!("the journal of run `{}` does not begin with `started`", row.run);
            Err(CliError::new(Exit::Storage, "damaged", message).hint("`skillhost doctor` checks the database"))
        }
    }
}

/// Returns what the component says of itself that a run is pinned to, whatever is installed today.
pub(super) fn pinned_description(session: &Session<'_>, row: &RunRow) -> Result<Description> {
    let bytes = crate::describe::pinned_bytes(&session.journal, row.component);
    let description = session.describe(row.skill.as_str(), row.component, bytes);
    description.map_err(|error| match error.exit {
        Exit::Host => CliError {
            exit: Exit::Storage,
            code: "bundle_gone",
            ..error
        }
        .hint("`skillhost doctor` checks the database"),
        _ => error,
    })
}

fn make(
    args: &LaunchArgs,
    raw: &Raw,
    launch: Option<LaunchId>,
    session: &Session<'_>,
) -> Result<(RunId, Option<LastRuns>)> {
    let context = session.context;
    // A mistake in there is told before anything is compiled.
    context.config()?;
    let edition = session.settle(&args.skill)?;
    grant::require(session, &edition)?;
    let order = Order {
        raw,
        spelling: Spelling::Flag,
        offline: args.offline,
        provider: args.provider.as_deref(),
        mounts: &args.mounts,
        budget: args.budget,
    };
    let mut started = order.started(session, &edition)?;
    let run = started.run.clone();
    let last = match started.provider.simulated {
        // A script costs nothing, and takes no time to speak of.
        true => None,
        false => LastRuns::of(session.journal.as_ref(), &started.skill)?,
    };
    if let Some(launch) = launch {
        started.launch = launch;
    }
    let new = NewRun {
        silent: args.no_notify,
        ..NewRun::first(started, driver::now(), context.environment.caller_folder.clone())
    };
    failpoint::hit(failpoints::BEFORE_LAUNCH);
    match session.journal.create_run(new)? {
        Created::New => {
            failpoint::hit(failpoints::LAUNCHED);
            if let Some(last) = last.as_ref().filter(|_| !context.json) {
                terminal::note(&last.line());
            }
            Ok((run, last))
        }
        // Somebody else launched the same id at the same moment.
        Created::Existing(row) => {
            check_same(session, &row, args, raw)?;
            Ok((row.run, None))
        }
    }
}

pub(super) fn bounded(what: &str, input: &Value) -> Result<Payload> {
    let payload = Payload::of(input);
    match payload.as_str().len() as u64 > input::BYTES_MAX {
        true => Err(CliError::invalid(
            "input_too_large",
            format!("{what} is larger than {} bytes", input::BYTES_MAX),
        )
        .hint("give the skill the name of a file instead of its content")),
        false => Ok(payload),
    }
}

/// Returns the long flags of `launch`, which a misspelt field may have been meant to be.
pub(super) fn flags() -> Vec<String> {
    let mut command = <Cli as clap::CommandFactory>::command();
    command.build();
    let launch = command.find_subcommand("launch");
    launch
        .into_iter()
        .flat_map(clap::Command::get_arguments)
        .filter_map(|arg| arg.get_long().map(str::to_owned))
        .collect()
}
