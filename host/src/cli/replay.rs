//! `replay`: runs journals once more and performs nothing, so that an author can prove a build compatible with the runs of another.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use skillhost_core::entry::{Called, How, Record};
use skillhost_core::id::{RunId, SkillName};
use skillhost_core::machine::{Brief, Mismatch, Survey};
use skillhost_core::payload::Payload;
use skillhost_journal::{RunFilter, RunRow};
use skillhost_runtime::COMPONENT_BYTES_MAX;

use super::branch;
use super::context::{Context, Session};
use super::report::{Envelope, ErrorMember, Report, Rows};
use crate::driver::{self, History, Pinned, Replayed};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::read_regular;
use crate::readable::{difference, readable_payload};
use crate::schema::{self, Schema};
use crate::terminal;
use crate::timeline::{count, duration};

/// How many lines of a difference are shown.
const LINES_MAX: usize = 40;

/// After so long, it is said how far many replays are.
const SILENT: Duration = Duration::from_secs(1);

/// `replay`.
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is performed and nothing is written: the skill is given what the journal holds, and whatever it asks otherwise is
shown beside what it asked then.

Examples:
  skillhost replay nightly
  skillhost replay nightly --component target/wasm32-wasip2/release/nightly.wasm
  skillhost replay --all-of nightly --installed")]
pub struct ReplayArgs {
    /// The run: its id, its launch id, or the beginning or end of one
    #[arg(required_unless_present = "all_of", conflicts_with = "all_of")]
    pub run: Option<String>,
    /// Replay every run of this skill
    #[arg(long, value_name = "SKILL")]
    pub all_of: Option<String>,
    /// Replay on this component instead of the one that the run is pinned to
    #[arg(long, value_name = "FILE", conflicts_with = "installed")]
    pub component: Option<PathBuf>,
    /// Replay on the skill as it is installed now
    #[arg(long)]
    pub installed: bool,
}

pub(super) fn run(args: &ReplayArgs, context: &Context) -> Result<Report> {
    let session = context.session(context.journal()?);
    let journal = &session.journal;
    let rows = match (&args.run, &args.all_of) {
        (Some(run), _) => vec![context.find(journal.as_ref(), run)?],
        (None, skill) => {
            let skill = skill.as_deref().map(SkillName::parse).transpose();
            journal.runs(&RunFilter {
                skill: skill.map_err(|e| CliError::of(Exit::Invalid, "unknown_skill", &e))?,
                ..RunFilter::default()
            })?
        }
    };
    let (begun, mut told) = (Instant::now(), 0);
    let mut verdicts = Vec::new();
    for row in &rows {
        if begun.elapsed() > SILENT * (told + 1) && session.context.terminal.stderr {
            told += 1;
            terminal::note(&format!("{} of {} replayed ...", verdicts.len(), rows.len()));
        }
        let history = History::read(journal.as_ref(), &row.run)?;
        let pinned = pinned(args, &session, row, history.survey())?;
        verdicts.push((row, verdict(&session, row, Past::Journal(Box::new(history)), &pinned)?));
    }
    Ok(report(&verdicts))
}

/// Loads what a run is replayed on.
fn pinned(args: &ReplayArgs, session: &Session<'_>, row: &RunRow, survey: &Survey) -> Result<Pinned> {
    let loading = session.loading()?;
    let mut pin = survey.pin().map_err(|e| damaged(row, &e))?;
    if args.installed {
        pin = branch::installed(session, row)?;
    }
    let pinned = Pinned::load(&session.journal, &loading.loader, &row.run, pin);
    let mut pinned = loading.tokio.block_on(pinned)?;
    if let Some(path) = &args.component {
        let unreadable =
            |e| CliError::invalid("no_component", format!("could not read `{}`", path.display())).caused_by(&e);
        let bytes = read_regular(path, COMPONENT_BYTES_MAX).map_err(unreadable)?;
        let loaded = loading.tokio.block_on(loading.loader.load_bytes(bytes));
        pinned.component = loaded.map_err(|e| {
            CliError::new(
                Exit::Unsupported,
                "does_not_load",
                format!("`{}` does not load", path.display()),
            )
            .caused_by(&e)
        })?;
    }
    Ok(pinned)
}

/// What came of a replay, in words.
pub(super) struct Verdict {
    /// In a word that programs compare.
    pub(super) word: &'static str,
    /// What differs, if something does.
    pub(super) difference: Option<String>,
    /// For programs.
    pub(super) value: Value,
    took: Duration,
}

/// Says that a journal cannot be replayed.
fn damaged(row: &RunRow, error: &dyn std::error::Error) -> CliError {
    let message = format!("the journal of run `{}` cannot be replayed", row.run);
    CliError::new(Exit::Storage, "damaged", message)
        .caused_by(error)
        .hint("`skillhost doctor` checks the database")
}

/// What is replayed.
pub(super) enum Past<'a> {
    /// What the journal holds of the run.
    Journal(Box<History<'a>>),
    /// What a new run would begin with.
    Copy(&'a [Record]),
}

/// Replays a run.
pub(super) fn verdict(session: &Session<'_>, row: &RunRow, past: Past<'_>, pinned: &Pinned) -> Result<Verdict> {
    let loading = session.loading()?;
    let begun = Instant::now();
    let replayed = loading.tokio.block_on(async {
        let schema = output_schema(row, pinned).await?;
        let check = |result: &Payload| schema::check_result(&schema, result);
        let replayed = match past {
            Past::Journal(history) => history.replay(pinned, &check).await,
            Past::Copy(records) => driver::replay(records, pinned, None, &check).await,
        };
        replayed.map_err(|e| damaged(row, &e))
    })?;
    Ok(Verdict {
        took: begun.elapsed(),
        ..Verdict::of(row, replayed)?
    })
}

/// Returns what the result of a run has to fit, as the component says on which it is replayed.
pub(super) async fn output_schema(row: &RunRow, pinned: &Pinned) -> Result<Schema> {
    let description = pinned.component.describe().await.map_err(|e| {
        CliError::of(Exit::Unsupported, "bad_description", &e).hint("rebuild the skill, or tell its author")
    })?;
    crate::describe::output_schema(&row.skill, description)
}

impl Verdict {
    /// Says what came of a replay.
    pub(super) fn of(row: &RunRow, replayed: Replayed) -> Result<Self> {
        let (word, difference, value) = match replayed {
            Replayed::Identical => ("identical", None, json!({})),
            Replayed::Mismatch(mismatch) => of_mismatch(&mismatch),
            Replayed::Further(called) => of_further(&called),
            Replayed::EndsOtherwise { recorded, now } => of_end(&recorded, now.as_deref()),
            Replayed::ContinuesOtherwise { recorded, now } => {
                let differs = difference(&readable_payload(&recorded), &readable_payload(&now), LINES_MAX);
                let text = format!(
                    "every call is the same, and the next run begins with something else: `-` as recorded, `+` now\n{differs}"
                );
                ("ends_otherwise", Some(text), json!({}))
            }
            Replayed::Broken(reason) => {
                let message = format!("the replay of run `{}` broke off: {reason}", row.run);
                return Err(CliError::new(Exit::Host, "broken", message));
            }
        };
        Ok(Self {
            word,
            difference,
            value,
            took: Duration::ZERO,
        })
    }

    /// Returns what programs are told of it.
    pub(super) fn row(&self, run: &RunId) -> Value {
        let mut value = json!({"run_id": run, "verdict": self.word});
        if let (Some(members), Some(more)) = (value.as_object_mut(), self.value.as_object()) {
            members.extend(more.clone());
        }
        value
    }
}

fn of_mismatch(mismatch: &Mismatch) -> (&'static str, Option<String>, Value) {
    let (number, recorded, now) = match mismatch {
        Mismatch::Call {
            number,
            recorded,
            attempted,
            ..
        } => {
            let differs = difference(&asked(recorded), &asked(attempted), LINES_MAX);
            let text = format!("call {number} is asked otherwise: `-` as recorded, `+` now\n{differs}");
            let value = json!({"call": number, "recorded": value(recorded), "attempted": value(attempted)});
            return ("mismatch", Some(text), value);
        }
        Mismatch::NotStarted { number, recorded, .. } => {
            (number, recorded.as_ref(), "it has not been made when its answer is due")
        }
        Mismatch::NotMade { number, recorded, how } => (number, Some(recorded), how.as_str()),
    };
    let then = recorded.map(asked).unwrap_or_default();
    let text = format!("call {number} is not made: {now}\n{}", difference(&then, "", LINES_MAX));
    let value = json!({"call": number, "recorded": recorded.map(value), "attempted": null});
    ("mismatch", Some(text), without_nulls(value))
}

fn of_further(called: &Called) -> (&'static str, Option<String>, Value) {
    let brief = Brief {
        function: called.function,
        request: called.request.clone(),
        after: called.after,
    };
    let text = format!(
        "call {} is made, although the run had ended\n{}",
        called.number,
        difference("", &asked(&brief), LINES_MAX)
    );
    let value = json!({"call": called.number, "attempted": value(&brief)});
    ("mismatch", Some(text), value)
}

fn of_end(recorded: &How, now: Option<&How>) -> (&'static str, Option<String>, Value) {
    let now = now.map_or_else(|| "it waits for something\n".to_owned(), ended);
    let differs = difference(&ended(recorded), &now, LINES_MAX);
    let text = format!("every call is the same, and the end is not: `-` as recorded, `+` now\n{differs}");
    ("ends_otherwise", Some(text), json!({}))
}

fn asked(brief: &Brief) -> String {
    format!(
        "{} after {}\n{}",
        brief.function,
        count(brief.after, "answer"),
        readable_payload(&brief.request)
    )
}

fn ended(how: &How) -> String {
    match how {
        How::Done(result) => format!("done\n{}", readable_payload(result)),
        How::Failed(failure) => format!("failed: {}: {}\n", failure.code, failure.message),
        How::Cancelled(result) => {
            let result = result.as_ref().map(readable_payload).unwrap_or_default();
            format!("cancelled\n{result}")
        }
        How::Continued(_) => "continued by another run\n".to_owned(),
    }
}

fn value(brief: &Brief) -> Value {
    json!({"function": brief.function, "request": brief.request, "after": brief.after})
}

fn without_nulls(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, member| !member.is_null());
    }
    value
}

fn report(verdicts: &[(&RunRow, Verdict)]) -> Report {
    let (mut text, mut values) = (String::new(), Vec::new());
    let mut different = Vec::new();
    for (row, verdict) in verdicts {
        let run = &row.run;
        match &verdict.difference {
            None => text.push_str(&format!("run {run} identical, in {}\n", duration(verdict.took))),
            Some(difference) => {
                different.push(&row.run);
                text.push_str(&format!("run {run} differs: {difference}\n"));
            }
        }
        values.push(verdict.row(run));
    }
    if verdicts.len() > 1 {
        let all = count(verdicts.len() as u64, "run");
        text.push_str(&format!(
            "{all} replayed, {} identical\n",
            verdicts.len() - different.len()
        ));
    }
    let mut envelope = Envelope::of_rows(Rows::Replays(values));
    if let [(row, _)] = verdicts {
        envelope.run_id = Some(row.run.clone());
        envelope.skill = Some(row.skill.clone());
    }
    if different.is_empty() {
        return Report::done(text, envelope);
    }
    let error = ErrorMember::new(
        "mismatch",
        format!(
            "{} no longer replayed as recorded",
            count(different.len() as u64, "run")
        ),
        Some("runs in progress go on with the component that they are pinned to".to_owned()),
    );
    let mut report = Report::failed(Exit::Failed, error, envelope);
    report.text = text;
    report
}
