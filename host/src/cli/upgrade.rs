//! `upgrade`: has runs in progress go on with the skill as it is installed now, where that would have done the same so far.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use skillhost_core::entry::Pin;
use skillhost_core::id::{SkillName, WorkerId};
use skillhost_core::machine::Status;
use skillhost_core::payload::Payload;
use skillhost_journal::{RunFilter, RunRow};

use super::context::{Context, Session};
use super::replay::{self, Past, Verdict};
use super::report::{Envelope, ErrorMember, Report, Rows};
use crate::daemon::Client;
use crate::driver::{DriveError, History, Pinned, Repinned, Worker};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::schema;
use crate::terminal;
use crate::timeline::count;

/// After so long, it is said for what is waited.
const SILENT: Duration = Duration::from_secs(1);

/// Every status of a run that is not over.
const UNFINISHED: [Status; 4] = [Status::Running, Status::Waiting, Status::Parked, Status::Paused];

/// `upgrade`.
#[derive(Debug, Args)]
#[command(after_help = "\
A run stays with the component, prompts and data that it was launched with. This has it go on
with what is installed now, if its journal replays there as it was recorded. A run that would
have done otherwise stays as it is, and it is shown where.

Examples:
  skillhost upgrade nightly
  skillhost upgrade --all-of nightly")]
pub struct UpgradeArgs {
    /// The run: its id, its launch id, or the beginning or end of one
    #[arg(required_unless_present = "all_of", conflicts_with = "all_of")]
    pub run: Option<String>,
    /// Upgrade every run of this skill that is not over
    #[arg(long, value_name = "SKILL")]
    pub all_of: Option<String>,
}

/// What became of a run.
enum Fate {
    /// It was replayed: it goes on with the other bundle if that was identical.
    Judged(Verdict),
    /// It is on that bundle already.
    Already,
    /// It ended before it could be taken.
    Over,
    /// Another process drives it.
    Held(String),
}

pub(super) fn run(args: &UpgradeArgs, context: &Context) -> Result<Report> {
    let session = context.session(context.journal()?);
    let (skill, rows) = match (&args.run, &args.all_of) {
        (Some(run), _) => {
            let row = context.find(session.journal.as_ref(), run)?;
            check_unfinished(&row)?;
            (row.skill.to_string(), vec![row])
        }
        (None, skill) => {
            let skill = skill.as_deref().unwrap_or_default();
            (skill.to_owned(), Vec::new())
        }
    };
    let edition = session.settle(&skill)?;
    let rows = match rows.is_empty() {
        true => unfinished(&session, &edition.skill)?,
        false => rows,
    };
    let pin = Pin {
        bundle: edition.bundle,
        component: edition.component,
    };
    let mut fates = Vec::new();
    if let Some(row) = rows.first() {
        let loading = session.loading()?;
        let pinned = Pinned::load(&session.journal, &loading.loader, &row.run, pin);
        let upgrade = Upgrade {
            pinned: loading.tokio.block_on(pinned)?,
            worker: session.worker()?,
            session: &session,
            pin,
        };
        // The connection is of the runtime that waits for the others.
        let mut daemon = loading.tokio.block_on(Daemon::connect(context))?;
        for row in &rows {
            fates.push(upgrade.one(row, &mut daemon)?);
        }
    }
    Ok(report(&rows, &fates, &skill))
}

fn unfinished(session: &Session<'_>, skill: &SkillName) -> Result<Vec<RunRow>> {
    Ok(session.journal.runs(&RunFilter {
        skill: Some(skill.clone()),
        status: UNFINISHED.to_vec(),
        ..RunFilter::default()
    })?)
}

fn check_unfinished(row: &RunRow) -> Result<()> {
    if !row.status.is_final() {
        return Ok(());
    }
    let run = &row.run;
    let message = format!("run `{run}` is over ({}): it goes on with nothing", row.status.as_str());
    Err(CliError::invalid("run_is_over", message).hint(match row.status {
        Status::Failed => {
            format!("`skillhost retry {run} --upgrade` goes on after its failure with what is installed now")
        }
        _ => format!("`skillhost replay {run} --installed` says whether what is installed now would do the same"),
    }))
}

/// What is upgraded to.
struct Upgrade<'a> {
    session: &'a Session<'a>,
    worker: Worker,
    pin: Pin,
    pinned: Pinned,
}

impl Upgrade<'_> {
    fn one(&self, row: &RunRow, daemon: &mut Option<Daemon>) -> Result<Fate> {
        if row.bundle == self.pin.bundle {
            return Ok(Fate::Already);
        }
        // A run that differs is not disturbed.
        let history = History::read(self.session.journal.as_ref(), &row.run)?;
        let verdict = replay::verdict(self.session, row, Past::Journal(Box::new(history)), &self.pinned)?;
        if verdict.difference.is_some() {
            return Ok(Fate::Judged(verdict));
        }
        let loading = self.session.loading()?;
        loading.tokio.block_on(async {
            if let Some(lender) = daemon
                && !lender.lends(row).await?
            {
                // What it drove is nobody's, as soon as all of it is gone.
                self.worker.wait_until_gone(&lender.worker).await?;
                *daemon = None;
            }
            let fate = self.repin(row).await;
            if let Some(lender) = daemon {
                lender.client.wake(&row.run).await?;
            }
            fate
        })
    }

    async fn repin(&self, row: &RunRow) -> Result<Fate> {
        let schema = replay::output_schema(row, &self.pinned).await?;
        let check = |result: &Payload| schema::check_result(&schema, result);
        match self.worker.repin(&row.run, self.pin, &self.pinned, &check).await {
            Ok(Repinned::Done) => Ok(Fate::Judged(Verdict::of(row, crate::driver::Replayed::Identical)?)),
            Ok(Repinned::Already) => Ok(Fate::Already),
            Ok(Repinned::Over) => Ok(Fate::Over),
            Ok(Repinned::Differs(replayed)) => Ok(Fate::Judged(Verdict::of(row, replayed)?)),
            Err(DriveError::Held { holder, .. }) => Ok(Fate::Held(holder.to_string())),
            Err(error) => Err(error.into()),
        }
    }
}

/// The daemon, which has runs in memory.
struct Daemon {
    client: Client,
    worker: WorkerId,
}

impl Daemon {
    async fn connect(context: &Context) -> Result<Option<Self>> {
        let Some(mut client) = Client::connect(&context.home).await? else {
            return Ok(None);
        };
        let status = client.status().await?;
        Ok(status.map(|status| Self {
            client,
            worker: status.worker,
        }))
    }

    /// Has it let go of a run. `false` if it is gone.
    async fn lends(&mut self, row: &RunRow) -> Result<bool> {
        let mut lending = std::pin::pin!(self.client.lend(&row.run));
        tokio::select! {
            biased;
            lent = &mut lending => return lent,
            () = tokio::time::sleep(SILENT) => {}
        }
        terminal::note(&format!(
            "note: run {} is taken as soon as what it has under way is recorded ...",
            row.run
        ));
        lending.await
    }
}

fn report(rows: &[RunRow], fates: &[Fate], skill: &str) -> Report {
    let (mut text, mut values) = (String::new(), Vec::new());
    let (mut upgraded, mut different, mut held) = (0, 0, 0);
    for (row, fate) in rows.iter().zip(fates) {
        let run = &row.run;
        let word = |word: &str| json!({"run_id": run, "verdict": word});
        let value: Value = match fate {
            Fate::Judged(verdict) => {
                match &verdict.difference {
                    None => {
                        upgraded += 1;
                        text.push_str(&format!("run {run} goes on with what is installed now\n"));
                    }
                    Some(difference) => {
                        different += 1;
                        text.push_str(&format!("run {run} stays as it is: {difference}\n"));
                    }
                }
                verdict.row(run)
            }
            Fate::Already => {
                text.push_str(&format!("run {run} has what is installed now already\n"));
                word("already")
            }
            Fate::Over => {
                text.push_str(&format!("run {run} ended meanwhile\n"));
                word("over")
            }
            Fate::Held(holder) => {
                held += 1;
                text.push_str(&format!("run {run} stays as it is: it is driven by worker {holder}\n"));
                word("held")
            }
        };
        values.push(value);
    }
    match rows.len() {
        0 => text.push_str(&format!("no run of skill {skill} is in progress\n")),
        1 => {}
        all => text.push_str(&format!("{upgraded} of {} upgraded\n", count(all as u64, "run"))),
    }
    let mut envelope = Envelope::of_rows(Rows::Replays(values));
    if let [row] = rows {
        envelope.run_id = Some(row.run.clone());
        envelope.skill = Some(row.skill.clone());
    }
    let failed = |exit, code: &str, message: String, hint: &str| {
        Some((exit, ErrorMember::new(code, message, Some(hint.to_owned()))))
    };
    let error = match (different, held) {
        (0, 0) => None,
        (0, held) => failed(
            Exit::Held,
            "held",
            format!("{} driven by another process", count(held, "run")),
            "`skillhost wait RUN` waits for it",
        ),
        (different, _) => failed(
            Exit::Failed,
            "mismatch",
            format!("{} would have done otherwise", count(different, "run")),
            "they go on with the component that they are pinned to; `skillhost fork RUN --at CALL --upgrade` goes on before the call that differs",
        ),
    };
    match error {
        None => Report::done(text, envelope),
        Some((exit, error)) => {
            let mut report = Report::failed(exit, error, envelope);
            report.text = text;
            report
        }
    }
}
