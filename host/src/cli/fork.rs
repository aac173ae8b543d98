//! `fork`: another run that shares the journal of one up to a call, and goes on from there by itself (rules F1 to F5): with another model, another answer, another input.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use clap::Args;
use serde_json::Value;
use skillhost_core::calls;
use skillhost_core::copy::{self, Copy, Plan, Redo};
use skillhost_core::effect::Function;
use skillhost_core::entry::{Entry, Giving, Mount, Record};
use skillhost_core::id::{LaunchId, Number};
use skillhost_core::outcome::Outcome;
use skillhost_effects::model::TIERS;
use skillhost_journal::RunRow;

use super::args::Here;
use super::branch::{self, Branch};
use super::budget::BudgetArgs;
use super::context::{Context, Session};
use super::drive::{self, Drive};
use super::launch;
use super::report::Report;
use crate::driver;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::read_regular;
use crate::input::{About, BYTES_MAX, Spelling, Words};
use crate::mounts;

/// `fork`.
#[derive(Debug, Args)]
#[command(after_help = "\
The new run has a launch id, a budget and a folder of its own; the run it begins with stays as it is. Files that were
changed outside of its folder stay as they are, and are listed.

Examples:
  skillhost fork nightly --at 7
  skillhost fork nightly --at 7 --set model=claude-opus-4-1 --id nightly-opus --await
  skillhost fork nightly --answer 7=@reply.txt
  skillhost fork nightly --input '{\"question\": \"Why is the sea salty?\"}'")]
pub struct ForkArgs {
    /// The run: its id, its launch id, or the beginning or end of one
    pub run: String,
    /// Begin before the answer to this call, and perform it again; with `--input` or `--upgrade`, before the call itself
    #[arg(long, value_name = "CALL", required_unless_present_any = ["answer", "input"])]
    pub at: Option<u64>,
    /// Ask another model: `model=ID` for all, `haiku=ID` for those of a tier or a name
    #[arg(long = "set", value_name = "NAME=MODEL")]
    pub set: Vec<String>,
    /// Answer a call by hand: JSON, or `@FILE`; without `--at`, the run begins there
    #[arg(long, value_name = "CALL=JSON")]
    pub answer: Vec<String>,
    /// Give it another input as JSON, `@FILE`, or `-`; without `--at`, the run begins at its start
    #[arg(long, value_name = "JSON")]
    pub input: Option<String>,
    /// Use the skill as it is installed now, if that does what the run recorded until then
    #[arg(long)]
    pub upgrade: bool,
    /// Name the launch of the new run
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// What it may spend
    #[command(flatten)]
    pub budget: BudgetArgs,
    /// Wait until the run is over
    #[arg(long = "await")]
    pub wait: bool,
    /// Where it is driven
    #[command(flatten)]
    pub here: Here,
}

pub(super) fn run(args: &ForkArgs, context: &Context) -> Result<Report> {
    let id = args.id.as_deref().map(LaunchId::parse).transpose();
    let id = id.map_err(|e| CliError::of(Exit::Invalid, "bad_launch_id", &e))?;
    let models = args.set.iter().map(|word| setting(word)).collect::<Result<Vec<_>>>()?;
    let journal = context.journal()?;
    let session = context.session(journal);
    let row = context.find(session.journal.as_ref(), &args.run)?;
    let records = session.journal.all_records(&row.run)?;
    let (answers, first) = answers(&args.answer, &row, &records, context)?;
    let at = args.at.map(Number).or(first);
    if let Some(number) = at {
        copy::call_cut(&records, number).ok_or_else(|| no_call(&row, number))?;
    }
    // What the guest is given otherwise may have it ask otherwise: then the call itself is not copied.
    let asks_otherwise = args.upgrade || args.input.is_some();
    let cut = match asks_otherwise {
        true => at.and_then(|number| copy::before_call(&records, number)),
        false => at.and_then(|number| copy::call_cut(&records, number)),
    };
    let again = args.at.map(Number);
    let again = again.filter(|at| !asks_otherwise && !answers.contains_key(at));
    let new = driver::new_run_id();
    let branch = Branch {
        row: &row,
        records: &records,
        plan: Plan {
            redo: Redo::Calls(again.into_iter().collect()),
            answers,
            by: context.environment.user.clone(),
            ..Plan::new(new.clone(), driver::now(), cut.unwrap_or(0))
        },
        folder_as_it_is: false,
        follows: false,
    };
    let begun = branch.begin(&session, again.into_iter().collect(), |copy| {
        if cut.is_none() {
            copy.empty();
        }
        copy.started.launch = id.unwrap_or_else(|| LaunchId::parse(new.as_str()).expect("a run id is a launch id"));
        copy.started.limits = args.budget.limits(context, &row.skill, &copy.started.provider)?;
        edit(args, &session, &row, &records, models, copy)
    })?;
    let how = Drive {
        command: "fork",
        wait: args.wait,
        here: args.here.here,
    };
    let mut report = drive::drive(&session, &begun.run, how)?;
    report.notes.insert_str(0, &begun.notes());
    Ok(report)
}

/// Makes of the copy what was asked for, and returns whether the guest can see that.
fn edit(
    args: &ForkArgs,
    session: &Session<'_>,
    row: &RunRow,
    records: &[Record],
    models: Vec<(String, String)>,
    copy: &mut Copy,
) -> Result<bool> {
    for (name, model) in models {
        let known = &mut copy.started.provider.models;
        match name.as_str() {
            "model" => {
                let names = TIERS.map(str::to_owned).into_iter().chain(asked_models(records));
                known.extend(names.map(|name| (name, model.clone())));
            }
            _ => {
                known.insert(name, model);
            }
        }
    }
    if args.upgrade {
        let pin = branch::installed(session, row)?;
        (copy.started.bundle, copy.started.component) = (pin.bundle, pin.component);
    }
    if let Some(text) = &args.input {
        let mounts = input(text, session, row, copy)?;
        copy.started
            .mounts
            .retain(|mount| !mounts::is_given(mount, Giving::Input));
        copy.started.mounts.extend(mounts);
        mounts::check_all(&copy.started.mounts)?;
    }
    Ok(args.upgrade || args.input.is_some())
}

/// Returns the models that a run asked, by the names that its skill gives them.
fn asked_models(records: &[Record]) -> Vec<String> {
    let model = |record: &Record| match &record.entry {
        Entry::Called(called) if called.function == Function::MODEL_COMPLETE => called
            .request
            .read::<calls::model::Request>()
            .ok()
            .map(|request| request.model),
        _ => None,
    };
    records.iter().filter_map(model).collect()
}

/// Reads another input, and checks it as a launch would. Returns the mounts of the paths in it.
fn input(text: &str, session: &Session<'_>, row: &RunRow, copy: &mut Copy) -> Result<Vec<Mount>> {
    let component = copy.started.component;
    let bytes = crate::describe::pinned_bytes(&session.journal, component);
    let description = session.describe(row.skill.as_str(), component, bytes)?;
    let schema = launch::input_schema(&row.skill, &description)?;
    let words = Words {
        input: Some(text.to_owned()),
        fields: Vec::new(),
    };
    let raw = words.read(&mut std::io::stdin().lock())?;
    let what = format!("the input of skill `{}`", row.skill);
    let about = About {
        what: &what,
        flags: Vec::new,
        spelling: Spelling::Word,
    };
    let mut input = raw.assemble(&schema, about)?;
    let mounts = session.context.ground().of_input(&mut input, &schema)?;
    copy.started.input = launch::bounded(&what, &input)?;
    Ok(mounts)
}

/// Parses `NAME=MODEL`.
fn setting(word: &str) -> Result<(String, String)> {
    match word.split_once('=') {
        Some((name, model)) if !name.is_empty() && !model.is_empty() => Ok((name.to_owned(), model.to_owned())),
        _ => Err(
            CliError::invalid("bad_setting", format!("`--set {word}` does not say what to set"))
                .hint("`--set model=ID` asks one model for everything, `--set haiku=ID` one in the place of another"),
        ),
    }
}

/// Reads the answers that are given by hand, and returns the first call that they are for.
fn answers(
    words: &[String],
    row: &RunRow,
    records: &[Record],
    context: &Context,
) -> Result<(BTreeMap<Number, Outcome>, Option<Number>)> {
    let mut answers = BTreeMap::new();
    for word in words {
        let bad = || {
            CliError::invalid(
                "bad_answer",
                format!("`--answer {word}` does not say which call is answered"),
            )
            .hint("`--answer 7='\"text\"'` or `--answer 7=@FILE`")
        };
        let (number, text) = word.split_once('=').ok_or_else(bad)?;
        let number = Number(number.trim_start_matches('#').parse().map_err(|_| bad())?);
        let called = records.iter().find_map(|record| match &record.entry {
            Entry::Called(called) if called.number == number => Some(called),
            _ => None,
        });
        let called = called.ok_or_else(|| no_call(row, number))?;
        let by = context.environment.user.clone();
        let answer = calls::by_hand(called.function, answer_value(text)?, by).map_err(|reason| {
            let message = format!("call {number} cannot be answered so: {reason}");
            CliError::invalid("bad_answer", message).hint(format!(
                "`skillhost show {} --call {number}` shows what it was answered",
                row.run
            ))
        })?;
        answers.insert(number, Outcome::Ok(answer));
    }
    let first = answers.keys().next().copied();
    Ok((answers, first))
}

/// Reads JSON, or a file: of JSON, or of any other text, which is then that text.
fn answer_value(text: &str) -> Result<Value> {
    let Some(path) = text.strip_prefix('@') else {
        return serde_json::from_str(text).map_err(|e| {
            CliError::invalid("bad_answer", "the answer is not JSON")
                .caused_by(&e)
                .hint("a text has quotes of its own: `--answer 7='\"text\"'`; `--answer 7=@FILE` takes a file as it is")
        });
    };
    let unreadable = |e: io::Error| CliError::invalid("unreadable", format!("could not read `{path}`")).caused_by(&e);
    let bytes = read_regular(Path::new(path), BYTES_MAX).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|e| unreadable(io::Error::other(e)))?;
    Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn no_call(row: &RunRow, number: Number) -> CliError {
    let run = &row.run;
    CliError::invalid("unknown_call", format!("run `{run}` made no call {number}"))
        .hint(format!("`skillhost show {run} --all` lists its calls"))
}
