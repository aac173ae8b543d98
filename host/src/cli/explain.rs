//! `explain`: a page about how runs behave, or what an error code means and what to do.
//!
//! It needs nothing of the machine, neither a state folder nor a home: whoever has none of these is the first to ask.

use clap::Args;
use serde_json::json;

use super::report::{Envelope, Report, Rows};
use crate::env::Environment;
use crate::error::{CliError, Result};
use crate::explain::{self, Page};
use crate::home::Home;
use crate::skills::nearest;
use crate::terminal::{Table, Terminal};

/// `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost explain
  skillhost explain mismatch
  skillhost explain journal_locked")]
pub struct ExplainArgs {
    /// A topic, the code of an error, or an exit code; without one, the topics are listed
    pub word: Option<String>,
}

pub(super) fn run(args: &ExplainArgs, environment: &Environment, terminal: Terminal) -> Result<Report> {
    let Some(word) = &args.word else {
        return Ok(topics(terminal));
    };
    if let Some(page) = Page::of(word) {
        let envelope = Envelope {
            result: Some(json!(page.text())),
            ..Envelope::of_rows(Rows::Topics(vec![json!({"topic": page.topic, "title": page.title()})]))
        };
        let mut report = Report::done(explain::fitted(page.text(), terminal.width), envelope);
        // A page may be longer than a line of JSON. Without a state folder only its title is told.
        let home = Home::find(environment).ok();
        report.result_file = home.map(|home| home.root().join("results").join(format!("explain-{word}.json")));
        return Ok(report);
    }
    if let Some(section) = explain::section(word) {
        let row = json!({"topic": section.topic, "code": section.code, "text": section.text});
        let text = explain::fitted(section.text, terminal.width);
        let mut report = Report::done(text, Envelope::of_rows(Rows::Topics(vec![row])));
        report.notes = format!("see also: `skillhost explain {}`\n", section.topic);
        return Ok(report);
    }
    let error = CliError::invalid("unknown_topic", format!("there is nothing about `{word}`"));
    let sections = explain::pages().flat_map(Page::sections).map(|section| section.code);
    let known = explain::pages().map(|page| page.topic).chain(sections);
    Err(match nearest(word, known) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => {
            error.hint("`skillhost explain` lists the topics; a code that a skill made up is explained by that skill")
        }
    })
}

fn topics(terminal: Terminal) -> Report {
    let mut table = Table::new(["TOPIC", "ABOUT"]);
    for page in explain::pages() {
        table.row([page.topic.to_owned(), page.title().to_owned()]);
    }
    let rows = explain::pages().map(|page| json!({"topic": page.topic, "title": page.title()}));
    let mut report = Report::done(
        table.render(terminal.width),
        Envelope::of_rows(Rows::Topics(rows.collect())),
    );
    report.notes =
        "hint: `skillhost explain TOPIC` prints a page, `skillhost explain CODE` what an error code means\n".to_owned();
    report
}
