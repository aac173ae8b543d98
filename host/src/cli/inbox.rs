//! `inbox` and `dismiss`: what runs left for their user.

use serde_json::json;
use skillhost_journal::{InboxFilter, InboxId, InboxRow};

use super::args::{DismissArgs, InboxArgs};
use super::context::Context;
use super::report::{Envelope, Report, Rows};
use super::waits::utc;
use crate::error::{CliError, Result};
use crate::inbox_file::{self, answer_command};
use crate::terminal::{Table, plain, plain_line};

/// How much of a body a list for programs shows, in characters.
const BODY_CHARS: usize = 500;

pub(super) fn run(args: &InboxArgs, context: &Context) -> Result<Report> {
    let journal = context.journal()?;
    context.refresh_inbox(journal.as_ref());
    if let Some(number) = args.entry {
        let filter = InboxFilter {
            dismissed: true,
            ..InboxFilter::default()
        };
        let rows = journal.inbox(&filter)?;
        let row = rows
            .into_iter()
            .find(|row| row.id == InboxId(number))
            .ok_or_else(|| unknown(number))?;
        let text = inbox_file::render(std::slice::from_ref(&row), &context.home, &context.zone);
        // The heading of the file is not part of the entry.
        let text = text
            .find("\n## ")
            .map_or(text.as_str(), |start| &text[start + 1..])
            .to_owned();
        return Ok(Report::done(
            text,
            Envelope::of_rows(Rows::Entries(vec![value(&row, usize::MAX)])),
        ));
    }
    let filter = InboxFilter {
        dismissed: args.all,
        most: Some(args.limit.saturating_add(1)),
        run: None,
    };
    let mut rows = journal.inbox(&filter)?;
    let more = rows.len() > args.limit;
    rows.truncate(args.limit);
    let values = rows.iter().map(|row| value(row, BODY_CHARS)).collect();
    let mut report = Report::done(table(&rows, context), Envelope::of_rows(Rows::Entries(values)));
    if rows.is_empty() {
        report.notes = "nothing is waiting for you\n".to_owned();
    } else if more {
        report.envelope.more = 1;
        report.notes = format!(
            "there are more: `skillhost inbox --limit {}`\n",
            args.limit.saturating_mul(10)
        );
    } else {
        report.notes =
            "hint: `skillhost inbox NUMBER` shows an entry whole, `skillhost dismiss NUMBER` removes it\n".to_owned();
    }
    Ok(report)
}

pub(super) fn dismiss(args: &DismissArgs, context: &Context) -> Result<Report> {
    let journal = context.journal()?;
    let ids: Vec<InboxId> = args.entries.iter().copied().map(InboxId).collect();
    if !args.all {
        let known = journal.inbox(&InboxFilter {
            dismissed: true,
            ..InboxFilter::default()
        })?;
        if let Some(id) = ids.iter().find(|id| known.iter().all(|row| row.id != **id)) {
            return Err(unknown(id.0));
        }
    }
    let chosen = (!args.all).then_some(&ids[..]);
    let dismissed = journal.dismiss(chosen, crate::driver::now())?;
    context.refresh_inbox(journal.as_ref());
    let text = match dismissed {
        0 => "nothing was left to dismiss".to_owned(),
        1 => "dismissed 1 entry".to_owned(),
        many => format!("dismissed {many} entries"),
    };
    Ok(Report::done(text, Envelope::default()))
}

fn unknown(number: u64) -> CliError {
    CliError::invalid("unknown_entry", format!("there is no inbox entry `{number}`"))
        .hint("`skillhost inbox --all` shows their numbers")
}

fn table(rows: &[InboxRow], context: &Context) -> String {
    let mut table = Table::bare().right(&[0]);
    for row in rows {
        let mark = if row.simulated { "SIMULATED: " } else { "" };
        let dismissed = if row.dismissed_at.is_some() { " (dismissed)" } else { "" };
        table.row([
            row.id.to_string(),
            context.ago(row.at),
            row.skill.to_string(),
            format!("{mark}{}{dismissed}", plain_line(&row.title)),
        ]);
    }
    let mut text = table.render(context.terminal.width);
    // What asks for something is not left to be found.
    for row in rows.iter().filter(|row| row.dismissed_at.is_none()) {
        if let Some(command) = answer_command(row) {
            text.push_str(&format!("{}: {command}\n", row.id));
        }
    }
    text
}

fn value(row: &InboxRow, body_chars: usize) -> serde_json::Value {
    let mut value = json!({
        "entry": row.id,
        "run_id": row.run,
        "skill": row.skill,
        "simulated": row.simulated,
        "at": utc(row.at),
        "title": plain_line(&row.title),
    });
    let body = plain(&row.body);
    if !body.is_empty() {
        value["body"] = json!(body.chars().take(body_chars).collect::<String>());
    }
    if !row.attachments.is_empty() {
        value["attachments"] = json!(row.attachments);
    }
    if let Some(command) = answer_command(row) {
        value["answer_command"] = json!(command);
    }
    value
}
