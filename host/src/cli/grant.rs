//! `grant` and `grants`: what skills may do beyond their own folder, shown, granted by a person, and taken back.
//!
//! To grant needs a person at a terminal: an agent that may run commands must not give itself what it was refused, by following a hint. A user who wants that
//! says so in his configuration. To take back needs nobody.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use skillhost_core::grants::Grants;
use skillhost_core::id::SkillName;

use super::context::{Context, Session};
use super::report::{Envelope, Report, Rows};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::grants::{self, Granted, Request};
use crate::installed::Edition;
use crate::terminal::{self, Table};

/// `grant`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  skillhost grant code-review")]
pub struct GrantArgs {
    /// The skill
    pub skill: String,
}

/// `grants`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost grants
  skillhost grants revoke code-review")]
pub struct GrantsArgs {
    /// What to do; without it, everything that is granted is shown
    #[command(subcommand)]
    pub command: Option<GrantsCommand>,
}

/// What to do about what is granted.
#[derive(Debug, Subcommand)]
pub enum GrantsCommand {
    /// Take back all that a skill was granted, from its runs in progress, too
    #[command(after_help = "Example:\n  skillhost grants revoke code-review")]
    Revoke {
        /// The skill
        skill: String,
    },
}

pub(super) fn grant(args: &GrantArgs, context: &Context) -> Result<Report> {
    let journal = context.journal()?;
    let session = context.session(journal);
    let edition = session.settle(&args.skill)?;
    let skill = &edition.skill;
    let (asked, unusable) = grants::asked(&edition.description);
    for why in &unusable {
        terminal::note(&format!(
            "note: skill `{skill}` asks for something that cannot be granted: {why}"
        ));
    }
    let granted = Granted::load(&context.home)?.of(skill);
    let missing = grants::missing(&edition.description, &granted);
    let text = match (asked.is_empty(), missing.is_empty()) {
        (true, _) => format!("skill {skill} asks for nothing that has to be granted"),
        (false, true) => format!("skill {skill} is granted all that it asks for"),
        (false, false) => {
            if !may_grant(context)? {
                return Err(CliError::new(
                    Exit::Host,
                    "grant_needs_terminal",
                    format!("granting something to skill `{skill}` needs a person at a terminal"),
                )
                .hint(format!(
                    "run `skillhost grant {skill}` in a terminal yourself; `agents_may_grant = true` in the configuration does without"
                )));
            }
            if !agrees(context, skill, &missing) {
                return Err(refused(skill));
            }
            store(context, skill, &missing)?;
            format!("granted to skill {skill}, for runs that are launched from now on")
        }
    };
    let values = values(skill, &Granted::load(&context.home)?.of(skill));
    Ok(Report::done(text, Envelope::of_rows(Rows::Grants(values))))
}

pub(super) fn grants(args: &GrantsArgs, context: &Context) -> Result<Report> {
    if let Some(GrantsCommand::Revoke { skill }) = &args.command {
        return revoke(skill, context);
    }
    let mut table = Table::new(["SKILL", "MAY"]);
    let mut rows = Vec::new();
    for (skill, granted) in Granted::load(&context.home)?.iter() {
        for words in grants::words(granted) {
            table.row([skill.to_string(), words]);
        }
        rows.extend(values(skill, granted));
    }
    let is_empty = rows.is_empty();
    let text = if is_empty {
        String::new()
    } else {
        table.render(context.terminal.width)
    };
    let mut report = Report::done(text, Envelope::of_rows(Rows::Grants(rows)));
    if is_empty {
        report.notes =
            "nothing is granted\nhint: `skillhost grant SKILL` shows what a skill asks for, and grants it\n".to_owned();
    }
    Ok(report)
}

fn revoke(skill: &str, context: &Context) -> Result<Report> {
    let name = SkillName::parse(skill).map_err(|e| CliError::of(Exit::Invalid, "unknown_skill", &e))?;
    match grants::revoke(&context.home, &name)? {
        Some(granted) => {
            let text = format!("skill {name} may no longer {}", grants::words(&granted).join(", nor "));
            Ok(Report::done(text, Envelope::default()))
        }
        None => Err(
            CliError::invalid("nothing_granted", format!("nothing is granted to skill `{name}`"))
                .hint("`skillhost grants` shows what is"),
        ),
    }
}

/// Sees to it that a skill is granted what it asks for before a run of it is made: by asking, once, if a person is there.
pub(super) fn require(session: &Session<'_>, edition: &Edition) -> Result<()> {
    let context = session.context;
    let skill = &edition.skill;
    let (asked, _) = grants::asked(&edition.description);
    if asked.is_empty() {
        return Ok(());
    }
    let missing = grants::missing(&edition.description, &Granted::load(&context.home)?.of(skill));
    if missing.is_empty() {
        return Ok(());
    }
    if !context.is_attended() {
        let wants: Vec<&str> = missing.iter().map(|request| request.words.as_str()).collect();
        let message = format!(
            "skill `{skill}` asks to {}, which was not granted",
            wants.join(", and to ")
        );
        return Err(CliError::new(Exit::Host, "not_granted", message)
            .hint(format!("the user has to run `skillhost grant {skill}` in a terminal")));
    }
    match agrees(context, skill, &missing) {
        true => store(context, skill, &missing),
        false => Err(refused(skill)),
    }
}

fn may_grant(context: &Context) -> Result<bool> {
    Ok(context.is_attended() || context.config()?.agents_may_grant)
}

/// Shows what a skill asks for, and asks the person who is there. If nobody is, it was allowed to do without.
fn agrees(context: &Context, skill: &SkillName, missing: &[Request]) -> bool {
    terminal::note(&format!("skill {skill} asks to"));
    for request in missing {
        terminal::note(&format!("  {}\n    {}", request.words, request.reason));
    }
    if missing.iter().any(|request| !request.grants.process.is_empty()) {
        terminal::note("A program may do whatever you may: it is not held in by the sandbox.");
    }
    if !context.is_attended() {
        return true;
    }
    let typed = terminal::ask("allow this, also to later runs? [y/N] ").blocking_recv();
    typed.is_ok_and(|line| matches!(line.trim(), "y" | "Y" | "yes"))
}

fn store(context: &Context, skill: &SkillName, missing: &[Request]) -> Result<()> {
    let mut more = Grants::default();
    for request in missing {
        more.add(&request.grants);
    }
    grants::grant(&context.home, skill, &more)
}

fn refused(skill: &SkillName) -> CliError {
    CliError::new(
        Exit::Host,
        "not_granted",
        format!("skill `{skill}` was granted nothing"),
    )
    .hint(format!("`skillhost grant {skill}` asks again"))
}

fn values(skill: &SkillName, granted: &Grants) -> Vec<Value> {
    let programs = granted.process.iter().map(|program| {
        json!({"skill": skill, "capability": "process", "program": program.program, "environment": program.environment})
    });
    let sites = granted.http.iter().map(|site| {
        json!({
            "skill": skill, "capability": "http", "host": site.host, "methods": site.methods, "private": site.private,
        })
    });
    programs.chain(sites).collect()
}
