//! `INBOX.md`: the inbox as a file that people can read. It is made of the journal's rows each time something changed, and is never read back.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use skillhost_core::machine::Source;
use skillhost_core::time::Timestamp;
use skillhost_journal::{InboxFilter, InboxRow, Journal};

use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::{Home, read_regular, write_derived};
use crate::terminal::{plain, plain_line};

/// The most entries that the file shows.
const ENTRIES_MAX: usize = 500;

/// The largest file that is compared with what it should be; a larger one is simply replaced.
const BYTES_MAX: u64 = 64 << 20;

/// Brings the file up to date with the journal. A file that already says what it should is left alone.
pub fn refresh(home: &Home, journal: &dyn Journal, zone: &TimeZone) -> Result<()> {
    let filter = InboxFilter {
        most: Some(ENTRIES_MAX),
        ..InboxFilter::default()
    };
    let text = render(&journal.inbox(&filter)?, home, zone);
    let path = home.inbox();
    if read_regular(&path, BYTES_MAX).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    write_derived(&path, text.as_bytes()).map_err(|e| {
        CliError::new(
            Exit::Storage,
            "inbox_not_written",
            format!("could not write `{}`", path.display()),
        )
        .caused_by(&e)
        .hint("the entries themselves are safe: `skillhost inbox` shows them")
    })
}

/// Returns the file's text.
pub fn render(rows: &[InboxRow], home: &Home, zone: &TimeZone) -> String {
    let mut text = String::from("# Inbox\n\n");
    if rows.is_empty() {
        text.push_str("Nothing is waiting for you.\n");
        return text;
    }
    text.push_str("`skillhost dismiss <number>` removes an entry from this list.\n");
    for row in rows {
        text.push('\n');
        entry(&mut text, row, home, zone);
    }
    if rows.len() == ENTRIES_MAX {
        text.push_str("\nThere may be more: `skillhost inbox --limit 10000` shows all.\n");
    }
    text
}

fn entry(text: &mut String, row: &InboxRow, home: &Home, zone: &TimeZone) {
    let simulated = if row.simulated { "SIMULATED: " } else { "" };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "## {} {simulated}{}\n", row.id, plain_line(&row.title));
    let _ = writeln!(text, "{}, skill {}, run {}\n", moment(row.at, zone), row.skill, row.run);
    let body = plain(&body(row));
    if !body.trim().is_empty() {
        // Every line is quoted, so that no body can look like an entry of its own.
        for line in body.trim_end().lines() {
            let _ = writeln!(text, "{}", format!("> {line}").trim_end());
        }
    }
    for (index, attachment) in row.attachments.iter().enumerate() {
        let path = match attachment.strip_prefix("run/") {
            Some(below) => home.run(&row.run).join(below).display().to_string(),
            None => attachment.clone(),
        };
        let gap = if index == 0 && !body.trim().is_empty() {
            "\n"
        } else {
            ""
        };
        let _ = writeln!(text, "{gap}- {}", plain_line(&path));
    }
    if let Some(command) = answer_command(row) {
        let _ = writeln!(text, "\n    {command}");
    }
}

/// Returns the body; a result, which is JSON, with its members on lines of their own.
fn body(row: &InboxRow) -> String {
    let result: Option<serde_json::Value> = match row.source {
        Source::Finished => serde_json::from_str(&row.body).ok(),
        _ => None,
    };
    match result {
        Some(serde_json::Value::String(text)) => text,
        Some(value) => serde_json::to_string_pretty(&value).unwrap_or_else(|_| row.body.clone()),
        None => row.body.clone(),
    }
}

/// Returns the command that an entry asks for, if it asks for something.
pub fn answer_command(row: &InboxRow) -> Option<String> {
    match row.source {
        Source::Question(number) => Some(format!("skillhost answer {}#{number} --input JSON", row.run)),
        Source::Decision(number) => Some(format!(
            "skillhost resume {} --redo {number}    # or --skip {number}",
            row.run
        )),
        Source::Trouble => Some(format!("skillhost resume {}", row.run)),
        Source::Message(_) | Source::Budget | Source::Finished => None,
    }
}

/// Returns a point in time as a person reads it.
pub fn moment(at: Timestamp, zone: &TimeZone) -> String {
    let micros = i64::try_from(at.0).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(timestamp) => timestamp.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => at.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use std::path::PathBuf;

    use skillhost_core::id::{LaunchId, Number, RunId, SkillName};
    use skillhost_journal::InboxId;

    use super::*;
    use crate::env::Environment;

    const RUN: &str = "01jd3k6v8m4t9qwertzuiopas1";

    fn row(id: u64, source: Source, title: &str, body: &str) -> InboxRow {
        InboxRow {
            id: InboxId(id),
            run: RunId::parse(RUN).unwrap(),
            launch: LaunchId::parse("night").unwrap(),
            skill: SkillName::parse("deep-research").unwrap(),
            simulated: id == 1,
            source,
            at: Timestamp(1_763_724_000_000_000),
            title: title.to_owned(),
            body: body.to_owned(),
            attachments: vec!["run/report.md".to_owned()],
            dismissed_at: None,
        }
    }

    fn home() -> Home {
        Home::find(&Environment {
            home: Some(PathBuf::from("/home/ada/.skillhost")),
            skills: None,
            user_folder: None,
            caller_folder: None,
            user: None,
            search_path: None,
            is_model_call: false,
            model: Default::default(),
        })
        .unwrap()
    }

    #[test]
    fn bodies_of_many_lines_survive_and_cannot_pass_for_entries() {
        let rows = [
            row(2, Source::Question(Number(4)), "Publish?", ""),
            row(
                1,
                Source::Message(Number(3)),
                "Report\u{1b}[2J\nis ready",
                "# Not an entry\n\n## 9 Nor this\r\ntext\u{7}\n",
            ),
        ];
        insta::assert_snapshot!(render(&rows, &home(), &TimeZone::UTC), @r"
        # Inbox

        `skillhost dismiss <number>` removes an entry from this list.

        ## 2 Publish?

        2025-11-21 11:20, skill deep-research, run 01jd3k6v8m4t9qwertzuiopas1

        - /home/ada/.skillhost/runs/01jd3k6v8m4t9qwertzuiopas1/report.md

            skillhost answer 01jd3k6v8m4t9qwertzuiopas1#4 --input JSON

        ## 1 SIMULATED: Report[2J is ready

        2025-11-21 11:20, skill deep-research, run 01jd3k6v8m4t9qwertzuiopas1

        > # Not an entry
        >
        > ## 9 Nor this
        > text

        - /home/ada/.skillhost/runs/01jd3k6v8m4t9qwertzuiopas1/report.md
        ");
    }

    #[test]
    fn an_empty_inbox_says_so() {
        insta::assert_snapshot!(render(&[], &home(), &TimeZone::UTC), @r"
        # Inbox

        Nothing is waiting for you.
        ");
    }
}
