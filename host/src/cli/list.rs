//! `list`: the runs, newest first.

use serde_json::{Value, json};
use skillhost_core::id::SkillName;
use skillhost_core::machine::Status;
use skillhost_journal::{RunFilter, RunRow};

use super::args::ListArgs;
use super::context::Context;
use super::report::{Envelope, Report, Rows};
use super::since;
use super::waits::utc;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::skills::nearest;
use crate::terminal::{Table, plain_line};
use crate::timeline::duration;
use crate::{daemon, driver};

/// Every status, in the order in which a run may have them.
const STATUSES: [Status; 8] = [
    Status::Running,
    Status::Waiting,
    Status::Parked,
    Status::Paused,
    Status::Done,
    Status::Failed,
    Status::Cancelled,
    Status::Continued,
];

pub(super) fn run(args: &ListArgs, context: &Context) -> Result<Report> {
    let skill = args.skill.as_deref().map(SkillName::parse).transpose();
    let since = args
        .since
        .as_deref()
        .map(|text| since::parse(text, driver::now(), &context.zone));
    let filter = RunFilter {
        status: match args.failed {
            true => vec![Status::Failed, Status::Parked],
            false => args.status.iter().map(|word| status(word)).collect::<Result<_>>()?,
        },
        since: since.transpose()?,
        skill: skill.map_err(|e| CliError::of(Exit::Invalid, "unknown_skill", &e))?,
        caller_folder: context.environment.caller_folder.clone().filter(|_| args.here),
        // One more than is shown, to know whether there are more.
        most: Some(args.limit.saturating_add(1)),
        // What was retried is no failure any more that somebody has to see to.
        newest_of_launch: args.failed,
        // A skill that goes on for ever is one line.
        without_continued: args.status.is_empty(),
    };
    let mut rows = context.journal()?.runs(&filter)?;
    let more = rows.len() > args.limit;
    rows.truncate(args.limit);
    let values = rows.iter().map(|row| value(context, row));
    let mut report = Report::done(table(&rows, context), Envelope::of_rows(Rows::Runs(values.collect())));
    if rows.is_empty() {
        report.notes = "no runs\nhint: `skillhost skills` shows what can be launched\n".to_owned();
    } else if more {
        report.envelope.more = 1;
        report.notes = format!(
            "there are more: `skillhost list --limit {}`\n",
            args.limit.saturating_mul(10)
        );
    }
    Ok(report)
}

/// Returns a run's row as programs read it.
pub(super) fn value(context: &Context, row: &RunRow) -> Value {
    let mut value = json!({
        "run_id": row.run,
        "skill": row.skill,
        "status": standing(row, context),
        "simulated": row.simulated,
        "created": utc(row.created_at),
        "updated": utc(row.updated_at),
    });
    if row.launch.as_str() != row.run.as_str() {
        value["launch_id"] = json!(row.launch);
    }
    if let Some(trouble) = &row.trouble {
        value["trouble"] = json!({"code": trouble.code, "message": trouble.message});
    }
    value
}

/// Returns how a run stands; one that would go on if a worker were there is `interrupted`.
pub(super) fn standing(row: &RunRow, context: &Context) -> &'static str {
    let is_driven = || {
        row.holder
            .as_ref()
            .is_some_and(|holder| driver::is_alive(&context.home, holder))
    };
    match row.status {
        // One that no worker holds may wait for its turn in the daemon.
        Status::Running if !is_driven() && !daemon::is_there(&context.home) => "interrupted",
        status => status.as_str(),
    }
}

fn table(rows: &[RunRow], context: &Context) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["RUN", "SKILL", "STATUS", "LAUNCHED", "TOOK", "LAUNCH"]);
    for row in rows {
        let mark = if row.simulated { " SIMULATED" } else { "" };
        let trouble = row
            .trouble
            .as_ref()
            .map(|trouble| format!(" ({})", plain_line(&trouble.code)));
        let trouble = trouble.unwrap_or_default();
        let launch = if row.launch.as_str() == row.run.as_str() {
            ""
        } else {
            row.launch.as_str()
        };
        table.row([
            row.run.to_string(),
            row.skill.to_string(),
            format!("{}{trouble}{mark}", standing(row, context)),
            context.ago(row.created_at),
            duration(row.updated_at.since(row.created_at)),
            launch.to_owned(),
        ]);
    }
    table.render(context.terminal.width)
}

/// Returns the status of this name.
pub(super) fn status(word: &str) -> Result<Status> {
    STATUSES
        .into_iter()
        .find(|status| status.as_str() == word)
        .ok_or_else(|| {
            let names = STATUSES.map(Status::as_str);
            let error = CliError::invalid("unknown_status", format!("there is no status `{word}`"));
            match nearest(word, names.into_iter()) {
                Some(name) => error.hint(format!("did you mean `{name}`?")),
                None => error.hint(names.join(", ")),
            }
        })
}
