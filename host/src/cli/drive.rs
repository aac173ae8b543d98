//! Drives a run as far as it goes, or has the daemon drive it, shows it meanwhile, and says how it stands then. What `launch`, `resume`, `signal`, `answer` and `cancel` end with.

use std::time::Duration;

use skillhost_core::entry::{Failure, Finished, How};
use skillhost_core::id::RunId;
use skillhost_core::payload::Payload;
use skillhost_journal::{InboxFilter, Journal, RunRow};

use super::context::Session;
use super::follow::{self, Followed};
use super::launch;
use super::newest::newest;
use super::report::{Envelope, ErrorMember, Report};
use super::waits;
use crate::driver::{DriveError, Driven, Here};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::progress::Progress;
use crate::terminal::{plain, plain_line};

/// A timer that is due this soon is worth staying for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What marks everything that no model said.
pub(super) const SIMULATED: &str = "SIMULATED: no model was asked; the skill's own script answered";

/// How a run is to be driven.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drive {
    /// On whose behalf.
    pub(super) command: &'static str,
    /// Whether to wait through timers, events and questions.
    pub(super) wait: bool,
    /// Whether in this process.
    pub(super) here: bool,
}

/// Drives a run, or has the daemon drive it, and then the run that goes on in its place; one that is over only shows how it ended.
pub(super) fn drive(session: &Session<'_>, run: &RunId, how: Drive) -> Result<Report> {
    let journal = session.journal.as_ref();
    let mut row = newest(journal, run)?;
    let gone_on = loop {
        let gone_on = match (row.status.is_final(), how.here) {
            (true, _) => Ok(Followed::Settled),
            (false, true) => go_on(session, &row, how).map(|()| Followed::Settled),
            (false, false) => follow::hand_over(session, &row, how.wait),
        };
        let now = newest(journal, &row.run)?;
        match gone_on {
            Ok(Followed::Settled) if now.run != row.run => row = now,
            // What was handed over is told of, wherever it has gone on by now.
            Ok(Followed::HandedOver) => {
                row = journal.run(&row.run)?;
                break gone_on;
            }
            _ => {
                row = now;
                break gone_on;
            }
        }
    };
    // The daemon does it for what it drives.
    if how.here {
        session.context.refresh_inbox(journal);
    }
    let gone_on = gone_on?;
    let mut report = match gone_on {
        Followed::Settled => report(session, &row)?,
        Followed::HandedOver => return handed_over(session, &row, how),
        Followed::Detached => return Ok(detached(&row)),
    };
    report.notes.insert_str(0, &left_in_inbox(journal, &row.run)?);
    Ok(report)
}

/// Says that the daemon goes on with a run.
fn handed_over(session: &Session<'_>, row: &RunRow, how: Drive) -> Result<Report> {
    let run = &row.run;
    let verb = match how.command {
        "launch" => "is launched",
        _ => "goes on",
    };
    let mark = if row.simulated {
        format!("{SIMULATED}\n")
    } else {
        String::new()
    };
    let mut report = Report::done(format!("{mark}run {run} of skill {} {verb}", row.skill), envelope(row));
    report.notes = format!(
        "hint: `skillhost wait {run}` waits for it, `skillhost status {run}` tells how far it is; the result comes into `skillhost inbox`\n"
    );
    // Whether a run that has just begun will wait for a time, nobody knows; one that does already was launched before.
    let of_reboot = waits::of_reboot(session.context, session.journal.as_ref(), run)?;
    report.notes.push_str(of_reboot);
    Ok(report)
}

/// Says that nobody waits for a run here any more, and that it goes on.
fn detached(row: &RunRow) -> Report {
    let run = &row.run;
    let error = ErrorMember::new(
        "detached",
        format!("nobody waits for run {run} here any more; it goes on"),
        Some(format!(
            "`skillhost wait {run}` waits for it again, `skillhost cancel {run}` ends it"
        )),
    );
    Report::failed(Exit::GoesOn, error, envelope(row))
}

/// Says how much of a run is in the inbox.
fn left_in_inbox(journal: &dyn Journal, run: &RunId) -> Result<String> {
    let filter = InboxFilter {
        run: Some(run.clone()),
        ..InboxFilter::default()
    };
    Ok(match journal.inbox(&filter)?.as_slice() {
        [] => String::new(),
        [row] => format!("inbox: {} (`skillhost inbox {}`)\n", plain_line(&row.title), row.id),
        rows => format!("inbox: {} of this run (`skillhost inbox`)\n", rows.len()),
    })
}

fn go_on(session: &Session<'_>, row: &RunRow, how: Drive) -> Result<()> {
    let context = session.context;
    let worker = session.worker()?;
    // Told before anything is loaded; whether it is still so is asked again when the lease is taken.
    if let (true, Some(holder)) = (worker.is_held_elsewhere(&row.run)?, &row.holder) {
        return Err(of_drive(DriveError::Held {
            run: row.run.clone(),
            holder: holder.clone(),
        }));
    }
    let settings = context.settings(&context.config()?);
    // What cannot be loaded is told before anything is taken, and what takes its time is, too.
    launch::pinned_description(session, row)?;
    let mut progress = Progress::new(context.terminal, row.skill.as_str());
    let here = Here {
        worker: &worker,
        settings: &settings,
        patience: (!how.wait).then_some(PATIENCE),
        development: None,
    };
    let driven = session.loading()?.tokio.block_on(async {
        tokio::select! {
            driven = here.drive(&row.run, &mut progress) => Some(driven),
            // Without a handler for it, the signal ends the process as always.
            Ok(()) = tokio::signal::ctrl_c() => None,
        }
    });
    drop(progress);
    match driven {
        Some(Ok(Driven::Finished(_) | Driven::Waiting(_))) => Ok(()),
        Some(Err(error)) => Err(of_drive(error)),
        None => {
            let message = format!(
                "`{}` of run `{}` was interrupted; what was answered so far is kept",
                how.command, row.run
            );
            Err(CliError::new(Exit::Host, "interrupted", message).hint(format!(
                "`skillhost resume {0} --await` goes on, `skillhost cancel {0}` ends it",
                row.run
            )))
        }
    }
}

/// Says how a run stands.
pub(super) fn report(session: &Session<'_>, row: &RunRow) -> Result<Report> {
    let context = session.context;
    let journal = &session.journal;
    let mut report = match row.status.is_final() {
        true => of_finished(row, finished(session, row)?),
        false => waits::report(context, journal.as_ref(), row)?,
    };
    report.result_file = Some(context.home.result(&row.run));
    Ok(report)
}

fn finished(session: &Session<'_>, row: &RunRow) -> Result<Finished> {
    super::result::finished(session.journal.as_ref(), row)
}

/// Returns what every report about a run says.
pub(super) fn envelope(row: &RunRow) -> Envelope {
    Envelope {
        status: Some(row.status.as_str().to_owned()),
        run_id: Some(row.run.clone()),
        launch_id: (row.launch.as_str() != row.run.as_str()).then(|| row.launch.clone()),
        skill: Some(row.skill.clone()),
        simulated: Some(row.simulated),
        ..Envelope::default()
    }
}

/// Says how a run ended.
pub(super) fn of_finished(row: &RunRow, finished: Finished) -> Report {
    let run = &row.run;
    match finished.how {
        How::Done(result) => {
            let mark = if row.simulated {
                format!("{SIMULATED}\n")
            } else {
                String::new()
            };
            let value = result.read().ok();
            let envelope = Envelope {
                result: value.filter(|value: &serde_json::Value| !value.is_null()),
                ..envelope(row)
            };
            let mut report = Report::done(format!("{mark}{}", for_people(&result)), envelope);
            report.notes = format!("run {run} is done: `skillhost show {run}` tells what it did\n");
            report
        }
        How::Failed(failure) => Report::failed(Exit::Failed, of_failure(row, &failure), envelope(row)),
        How::Cancelled(_) => {
            let error = ErrorMember::new(
                "cancelled",
                format!("run `{run}` was cancelled"),
                Some(format!("`skillhost show {run}` tells what it did before")),
            );
            Report::failed(Exit::Cancelled, error, envelope(row))
        }
        How::Continued(next) => {
            let text = format!("run {run} is over; run {next} goes on in its place");
            Report::done(text, envelope(row))
        }
    }
}

fn of_failure(row: &RunRow, failure: &Failure) -> ErrorMember {
    ErrorMember::of_skill(
        plain_line(&failure.code),
        format!(
            "skill `{}` failed ({}): {}",
            row.skill,
            plain_line(&failure.code),
            plain(&failure.message)
        ),
        Some(format!("`skillhost show {}` tells what it did", row.run)),
    )
}

/// Returns a result as people read it: a text as it is, anything else as indented JSON.
pub(super) fn for_people(result: &Payload) -> String {
    match result.read::<serde_json::Value>() {
        Ok(serde_json::Value::String(text)) => plain(&text),
        Ok(value) => plain(&serde_json::to_string_pretty(&value).unwrap_or_else(|_| result.to_string())),
        Err(_) => plain(result.as_str()),
    }
}

/// Says in the user's words why a run could not be driven.
fn of_drive(error: DriveError) -> CliError {
    let hint = |run: &RunId| format!("`skillhost resume {run}` tries again");
    match &error {
        DriveError::Held { run, .. } => CliError::of(Exit::Held, "held", &error)
            .hint(format!("it goes on there; `skillhost wait {run}` waits for it")),
        DriveError::Lock(_) => {
            CliError::of(Exit::Storage, "no_lock", &error).hint("`skillhost doctor` checks the state folder")
        }
        DriveError::History { .. } => {
            CliError::of(Exit::Storage, "damaged", &error).hint("`skillhost doctor` checks the database")
        }
        DriveError::Gone { .. } => {
            CliError::of(Exit::Storage, "bundle_gone", &error).hint("`skillhost doctor` checks the database")
        }
        DriveError::Load { run, source } => {
            let exit = if source.may_pass() {
                Exit::Host
            } else {
                Exit::Unsupported
            };
            CliError::of(exit, "does_not_load", &error).hint(hint(run))
        }
        DriveError::Provider { run, source } => {
            let hint = format!("{}; then `skillhost resume {run}`", source.hint());
            CliError::of(Exit::Host, source.code(), &error).hint(hint)
        }
        DriveError::Mismatch { run, .. } => CliError::of(Exit::Host, "mismatch", &error).hint(format!(
            "`skillhost show {run}` tells what the journal holds; nothing was changed"
        )),
        DriveError::Broken { run, .. } => CliError::of(Exit::Host, "attempt_failed", &error).hint(hint(run)),
        DriveError::Append(append) => of_append(&error, append),
        DriveError::Journal(_) => match error {
            DriveError::Journal(error) => error.into(),
            other => CliError::of(Exit::Internal, "internal", &other),
        },
    }
}

fn of_append(error: &DriveError, append: &skillhost_journal::AppendError) -> CliError {
    use skillhost_journal::AppendError;
    let (exit, code) = match append {
        AppendError::Fenced { .. } | AppendError::Stale { .. } | AppendError::Over { .. } => (Exit::Held, "fenced"),
        AppendError::UnknownRun { .. } => (Exit::Invalid, "unknown_run"),
        AppendError::TooMuchQueued { .. } | AppendError::Closed { .. } => (Exit::Storage, "storage"),
        AppendError::NotAppended { .. } | AppendError::Refused { .. } => (Exit::Internal, "internal"),
    };
    CliError::of(exit, code, error).hint("`skillhost doctor` checks the disk and the database")
}

impl From<DriveError> for CliError {
    fn from(error: DriveError) -> Self {
        of_drive(error)
    }
}
