//! `secret`: stores what skills may name and never see. A secret is filled in by the host, for the hosts and programs that it was granted for.
//!
//! To store one needs a person who sees the command, as granting does: an agent must not put something else in the place of what the user stored.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use skillhost_core::grants::{Grants, SecretName};
use skillhost_effects::secrets::{SECRET_BYTES_MIN, Secrets};
use skillhost_effects::stored::{Stored, StoredBy as _};

use super::context::Context;
use super::report::{Envelope, Report, Rows};
use super::stored;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::grants::Granted;
use crate::terminal::{self, Table};

/// `secret`.
#[derive(Debug, Args)]
#[command(after_help = "\
A skill names a secret as {{secret:NAME}}, in a header of a request or in a variable of a program, and never sees it. Which may be told it, you grant.

Examples:
  skillhost secret set github-token
  skillhost secret set github-token < token.txt
  skillhost secret set github-token -- pass show github
  skillhost secret list
  skillhost secret remove github-token")]
pub struct SecretArgs {
    /// What to do
    #[command(subcommand)]
    pub command: SecretCommand,
}

/// What to do about secrets.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Store a secret: asked for on a terminal, else the first line of standard input
    #[command(after_help = "Example:\n  skillhost secret set github-token -- pass show github")]
    Set {
        /// What skills call it
        name: String,
        /// Store this command instead, which prints the secret whenever it is needed
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Tell which secrets are stored, and who may be told them
    #[command(after_help = "Example:\n  skillhost secret list --json")]
    List,
    /// Forget a secret
    #[command(after_help = "Example:\n  skillhost secret remove github-token")]
    Remove {
        /// What skills call it
        name: String,
    },
}

pub(super) fn run(args: &SecretArgs, context: &Context) -> Result<Report> {
    match &args.command {
        SecretCommand::Set { name, command } => set(&named(name)?, command, context),
        SecretCommand::List => list(context),
        SecretCommand::Remove { name } => remove(&named(name)?, context),
    }
}

fn named(text: &str) -> Result<SecretName> {
    text.parse().map_err(|why: String| {
        CliError::invalid("bad_secret", why).hint("`skillhost secret list` shows what is stored")
    })
}

fn set(name: &SecretName, command: &[String], context: &Context) -> Result<Report> {
    if !may_store(context)? {
        let message = format!("storing the secret `{name}` needs a person at a terminal");
        return Err(CliError::new(Exit::Host, "secret_needs_terminal", message).hint(format!(
            "run `skillhost secret set {name}` in a terminal yourself; `agents_may_grant = true` in the configuration does without"
        )));
    }
    let stored = match command {
        [] => SecretName::value(&stored::read(name)?).ok_or_else(|| {
            let message = "what was given cannot be a secret";
            CliError::invalid("bad_secret", message).hint(format!(
                "it is one line of ASCII, at least {SECRET_BYTES_MIN} bytes long; `skillhost secret set {name} < FILE` reads it from a file"
            ))
        })?,
        words => Stored::Command(words.to_vec()),
    };
    context.home.make()?;
    stored::change(&context.home.secrets(), context, |secrets: &mut Secrets| {
        secrets.set(name.clone(), stored);
    })?;
    let text =
        format!("stored; skills name it {{{{secret:{name}}}}}, and you grant to which hosts and programs it is told");
    Ok(Report::done(text, Envelope::default()))
}

/// Returns whether a person sees what is done, be it that the secret itself comes from another program.
fn may_store(context: &Context) -> Result<bool> {
    let is_seen = context.terminal.stderr && !context.json;
    Ok(is_seen || context.config()?.agents_may_grant)
}

fn remove(name: &SecretName, context: &Context) -> Result<Report> {
    let path = context.home.secrets();
    let removed = path.exists() && stored::change(&path, context, |secrets: &mut Secrets| secrets.remove(name))?;
    match removed {
        true => Ok(Report::done(format!("forgot the secret {name}"), Envelope::default())),
        false => Err(
            CliError::invalid("unknown_secret", format!("no secret `{name}` is stored"))
                .hint("`skillhost secret list` shows what is"),
        ),
    }
}

fn list(context: &Context) -> Result<Report> {
    let secrets = Secrets::load(&context.home.secrets())?;
    let told = told(context)?;
    let mut names: Vec<&SecretName> = secrets.iter().map(|(name, _)| name).chain(told.keys()).collect();
    names.sort();
    names.dedup();
    let mut table = Table::new(["SECRET", "STORED", "MAY BE TOLD"]);
    let mut values = Vec::new();
    for name in names {
        let whom = told.get(name).map(Vec::as_slice).unwrap_or_default();
        let row = json!({"secret": name, "told": whom});
        let (shown, value) = match secrets.get(name) {
            Some(stored) => stored::told(stored, "value", row),
            None => ("nothing yet".to_owned(), row),
        };
        let words: Vec<String> = whom
            .iter()
            .map(|told| format!("{} by {}", told.target, told.by))
            .collect();
        let words = if words.is_empty() {
            "nobody".to_owned()
        } else {
            words.join(", ")
        };
        table.row([name.to_string(), shown, words]);
        values.push(value);
    }
    let is_empty = values.is_empty();
    let text = if is_empty {
        String::new()
    } else {
        table.render(context.terminal.width)
    };
    let mut report = Report::done(text, Envelope::of_rows(Rows::Secrets(values)));
    if is_empty {
        report.notes = "nothing is stored\nhint: `skillhost secret set NAME` stores a secret\n".to_owned();
    }
    Ok(report)
}

/// Who may be told a secret.
#[derive(Serialize)]
struct Told {
    /// The skill by which, or its crate.
    by: String,
    /// The host or the program.
    target: String,
}

/// Returns who may be told which secret.
fn told(context: &Context) -> Result<BTreeMap<SecretName, Vec<Told>>> {
    let mut told: BTreeMap<SecretName, Vec<Told>> = BTreeMap::new();
    for (grantee, granted) in Granted::load(&context.home)?.iter() {
        let programs = granted
            .process
            .iter()
            .map(|program| (program.program.to_string(), &program.secrets));
        let sites = granted.http.iter().map(|site| (site.host.to_string(), &site.secrets));
        for (target, names) in programs.chain(sites) {
            for name in names {
                told.entry(name.clone()).or_default().push(Told {
                    by: grantee.to_string(),
                    target: target.clone(),
                });
            }
        }
    }
    Ok(told)
}

/// Returns the secrets that somebody may be told, of what was granted, and that are not stored.
pub(super) fn unstored(granted: &Grants, context: &Context) -> Result<Vec<SecretName>> {
    let mut names: Vec<SecretName> = granted.secrets().cloned().collect();
    if names.is_empty() {
        return Ok(names);
    }
    let secrets = Secrets::load(&context.home.secrets())?;
    names.sort();
    names.dedup();
    names.retain(|name| secrets.get(name).is_none());
    Ok(names)
}

/// Says which secrets that were granted just now are still to be stored.
pub(super) fn note_unstored(granted: &Grants, context: &Context) -> Result<()> {
    for name in unstored(granted, context)? {
        terminal::note(&format!(
            "note: no secret {name} is stored yet; a call that names it is denied until then\nhint: `skillhost secret set {name}` stores it"
        ));
    }
    Ok(())
}
