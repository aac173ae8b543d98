//! `launch`: makes a run and drives it, or goes on with the run that an earlier launch of the same id made.

use std::io;
use std::sync::Arc;

use serde_json::Value;
use skillhost_core::entry::{self, Entry, Mount, Started};
use skillhost_core::id::{Digest, LaunchId, RunId, SkillName};
use skillhost_core::payload::Payload;
use skillhost_effects::files;
use skillhost_effects::model::{Name, Settings};
use skillhost_journal::{Created, FindError, Journal, NewRun, RunRow};
use skillhost_runtime::{Description, EngineConfig};

use super::args::{Cli, LaunchArgs};
use super::context::{Context, Session};
use super::drive::{self, Drive};
use super::report::Report;
use crate::bundle::Scan;
use crate::config::Config;
use crate::driver;
use crate::error::{CliError, REPORT, Result};
use crate::exit::Exit;
use crate::fields::Given;
use crate::input::{self, About, Raw, Spelling, Words};
use crate::schema::Schema;
use crate::skills::Installed;
use crate::terminal;

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
    let run = match existing {
        Some(row) => {
            check_same(&session, &row, &args, &raw)?;
            row.run
        }
        None => make(&args, &raw, launch, &session)?,
    };
    drive::drive(
        &session,
        &run,
        Drive {
            command: "launch",
            wait: args.wait,
            here: args.here.here,
        },
    )
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
    let started = started(session.journal.as_ref(), row)?;
    let recorded: Value = started
        .input
        .read()
        .map_err(|e| CliError::of(Exit::Internal, "internal", &e).hint(REPORT))?;
    let description = pinned_description(session, row)?;
    let schema = input_schema(&row.skill, &description)?;
    let flags = flags();
    let what = format!("the input of skill `{}`", row.skill);
    let input = raw.assemble(
        &schema,
        About {
            what: &what,
            flags: &flags,
            spelling: Spelling::Flag,
        },
    );
    let input = input.map_err(|error| match raw.is_empty() {
        true => different("an input, and none was given now"),
        false => error,
    })?;
    match input == recorded {
        true => Ok(()),
        false => Err(different("another input")),
    }
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

fn make(args: &LaunchArgs, raw: &Raw, launch: Option<LaunchId>, session: &Session<'_>) -> Result<RunId> {
    let context = session.context;
    let skill = context.installed.get(&args.skill)?;
    let config = context.config()?;
    let scan = Arc::new(Scan::of(&skill)?);
    let description = describe(session, &skill, &scan)?;
    let schema = input_schema(&skill.name, &description)?;
    let what = format!("the input of skill `{}`", skill.name);
    let input = raw.assemble(
        &schema,
        About {
            what: &what,
            flags: &flags(),
            spelling: Spelling::Flag,
        },
    )?;
    let input = bounded(&what, &input)?;
    let provider = provider(args, &config, &skill, &scan, session)?;
    check_needs(&skill.name, &description, &provider)?;
    let journal = &session.journal;
    let at = driver::now();
    let bundle = journal.put_bundle(scan.bundle(), at, &|file| scan.read(file))?;
    let run = new_run_id();
    let started = Started {
        launch: launch.unwrap_or_else(|| LaunchId::parse(run.as_str()).expect("a run id is a launch id")),
        run: run.clone(),
        skill: skill.name,
        input,
        bundle,
        component: scan.component(),
        seed: seed()?,
        zone: context.zone.iana_name().unwrap_or("UTC").to_owned(),
        mounts: mounts(),
        limits: config.limits(args.max_calls, args.max_tokens),
        provider,
        engine: EngineConfig::one_run().profile(),
        semantics: entry::SEMANTICS,
        parent: None,
    };
    let new = NewRun {
        silent: args.no_notify,
        ..NewRun::first(started, at, context.environment.caller_folder.clone())
    };
    match journal.create_run(new)? {
        Created::New => Ok(run),
        // Somebody else launched the same id at the same moment.
        Created::Existing(row) => {
            check_same(session, &row, args, raw)?;
            Ok(row.run)
        }
    }
}

pub(super) fn describe(session: &Session<'_>, skill: &Installed, scan: &Arc<Scan>) -> Result<Description> {
    let bytes = Arc::clone(scan);
    session.describe(skill.name.as_str(), scan.component(), move || bytes.read_component())
}

pub(super) fn input_schema(skill: &SkillName, description: &Description) -> Result<Schema> {
    schema(skill, "input", &description.input_schema)
}

pub(super) fn output_schema(skill: &SkillName, description: &Description) -> Result<Schema> {
    schema(skill, "output", &description.output_schema)
}

fn schema(skill: &SkillName, which: &str, value: &Value) -> Result<Schema> {
    Schema::of(value.clone()).map_err(|reason| {
        let message = format!("the {which} schema of skill `{skill}` cannot be used: {reason}");
        CliError::new(Exit::Unsupported, "bad_description", message).hint("rebuild the skill, or tell its author")
    })
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

/// Chooses the model provider of a new run and checks that it can be used, before anything is spent.
fn provider(
    args: &LaunchArgs,
    config: &Config,
    skill: &Installed,
    scan: &Scan,
    session: &Session<'_>,
) -> Result<entry::Provider> {
    let settings: Settings = session.context.settings(config);
    let named = args.provider.as_deref().map(str::parse::<Name>).transpose()?;
    let explicit = if args.offline { Some(Name::Offline) } else { named };
    let choice = settings.choose(explicit)?;
    // Nothing was configured: a script answers, and somebody may take that for an answer.
    if choice.name == Name::Offline
        && let Some(hint) = &choice.hint
    {
        if session.context.json {
            let message = format!(
                "no model provider is configured, so nothing but its script could answer skill `{}`",
                skill.name
            );
            return Err(CliError::new(Exit::Host, "no_provider", message)
                .hint(format!("{hint}; `--offline` lets the script answer")));
        }
        terminal::note(&format!(
            "note: no model provider is configured, so the skill's own script answers\nhint: {hint}"
        ));
    }
    let script = scan.script()?;
    let provider = session.hub.open(choice.name, &settings, script.as_deref())?;
    Ok(provider.describe())
}

fn check_needs(skill: &SkillName, description: &Description, provider: &entry::Provider) -> Result<()> {
    let missing = description
        .needs
        .iter()
        .filter(|need| !provider.features.contains(need));
    let missing: Vec<String> = missing
        .map(|need| format!("`{}`", terminal::plain_line(need)))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!(
        "skill `{skill}` needs {} of a model provider, which `{}` does not have",
        missing.join(" and "),
        provider.name
    );
    Err(
        CliError::new(Exit::Unsupported, "missing_feature", message).hint(format!(
            "`skillhost launch {skill} --provider NAME` asks another; `skillhost doctor` shows which can be used"
        )),
    )
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

fn mounts() -> Vec<Mount> {
    [(files::RUN, true), (files::SKILL, false)]
        .map(|(name, writable)| Mount {
            name: name.to_owned(),
            writable,
        })
        .to_vec()
}

pub(super) fn new_run_id() -> RunId {
    let text = ulid::Ulid::generate().to_string().to_ascii_lowercase();
    RunId::parse(&text).expect("a ULID in lower case is a run id")
}

fn seed() -> Result<Digest> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| {
        CliError::new(
            Exit::Host,
            "no_randomness",
            format!("the system gives no randomness: {e}"),
        )
    })?;
    Ok(Digest::from(bytes))
}
