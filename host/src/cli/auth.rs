//! `auth`: stores the keys of model providers for when the environment has none. A key is read without being shown, and never shown again.

use clap::{Args, Subcommand};
use serde_json::json;
use skillhost_effects::model::Name;
use skillhost_effects::model::keys::{Keys, PROVIDERS};
use skillhost_effects::stored::{Stored, StoredBy as _};

use super::context::Context;
use super::report::{Envelope, Report, Rows};
use super::stored;
use crate::error::{CliError, Result};
use crate::terminal::Table;

/// `auth`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost auth set anthropic
  skillhost auth set openai < key.txt
  skillhost auth set anthropic -- pass show anthropic
  skillhost auth list
  skillhost auth remove openai")]
pub struct AuthArgs {
    /// What to do
    #[command(subcommand)]
    pub command: AuthCommand,
}

/// What to do about keys.
#[derive(Debug, Subcommand)]
pub enum AuthCommand {
    /// Store the key of a provider: asked for on a terminal, else the first line of standard input
    #[command(after_help = "Example:\n  skillhost auth set anthropic -- pass show anthropic")]
    Set {
        /// The provider: anthropic or openai
        provider: String,
        /// Store this command instead, which prints the key whenever it is needed
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Tell for which providers something is stored
    #[command(after_help = "Example:\n  skillhost auth list --json")]
    List,
    /// Forget what is stored for a provider
    #[command(after_help = "Example:\n  skillhost auth remove openai")]
    Remove {
        /// The provider: anthropic or openai
        provider: String,
    },
}

pub(super) fn run(args: &AuthArgs, context: &Context) -> Result<Report> {
    match &args.command {
        AuthCommand::Set { provider, command } => {
            let provider = named(provider)?;
            let stored = match &command[..] {
                [] => Name::value(&stored::read(&provider)?).ok_or_else(|| {
                    CliError::invalid("bad_key", "what was given cannot be a key").hint(format!(
                        "it is one word; `skillhost auth set {provider} < FILE` reads it from a file"
                    ))
                })?,
                words => Stored::Command(words.to_vec()),
            };
            store(provider, stored, context)?;
            let text = format!("stored for {provider}; it is used where the environment has no key");
            Ok(Report::done(text, Envelope::default()))
        }
        AuthCommand::List => list(context),
        AuthCommand::Remove { provider } => {
            let provider = named(provider)?;
            match remove(provider, context)? {
                true => Ok(Report::done(
                    format!("forgot what was stored for {provider}"),
                    Envelope::default(),
                )),
                false => Err(
                    CliError::invalid("nothing_stored", format!("nothing is stored for `{provider}`"))
                        .hint("`skillhost auth list` shows what is"),
                ),
            }
        }
    }
}

/// Returns the provider of this name, if it has a key.
pub(super) fn named(text: &str) -> Result<Name> {
    let provider: Name = text.parse()?;
    match PROVIDERS.contains(&provider) {
        true => Ok(provider),
        false => Err(
            CliError::invalid("no_key_needed", format!("provider `{provider}` has no key"))
                .hint(format!("`skillhost launch SKILL --provider {provider}` asks it")),
        ),
    }
}

/// Stores something for a provider.
pub(super) fn store(provider: Name, stored: Stored, context: &Context) -> Result<()> {
    context.home.make()?;
    change(context, |keys| keys.set(provider, stored))
}

/// Forgets what is stored for a provider, and says whether there was something.
pub(super) fn remove(provider: Name, context: &Context) -> Result<bool> {
    match context.home.keys().exists() {
        true => change(context, |keys| keys.remove(&provider)),
        false => Ok(false),
    }
}

/// Changes what is stored, and nobody else does meanwhile.
pub(super) fn change<T>(context: &Context, change: impl FnOnce(&mut Keys) -> T) -> Result<T> {
    stored::change(&context.home.keys(), context, change)
}

fn list(context: &Context) -> Result<Report> {
    let keys = Keys::load(&context.home.keys())?;
    let mut table = Table::new(["PROVIDER", "STORED"]);
    let mut values = Vec::new();
    for (provider, stored) in keys.iter() {
        let (shown, value) = stored::told(stored, "key", json!({"provider": provider}));
        table.row([provider.to_string(), shown]);
        values.push(value);
    }
    let is_empty = values.is_empty();
    let text = if is_empty {
        String::new()
    } else {
        table.render(context.terminal.width)
    };
    let mut report = Report::done(text, Envelope::of_rows(Rows::Keys(values)));
    if is_empty {
        report.notes = "nothing is stored\nhint: `skillhost auth set anthropic` stores a key\n".to_owned();
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use std::fs::{File, TryLockError};

    use super::*;
    use crate::cli::args::Global;
    use crate::env::Environment;
    use crate::terminal::Terminal;

    #[test]
    fn of_two_who_change_the_keys_at_once_one_waits_for_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment {
            home: Some(folder.path().to_owned()),
            skills: Some(folder.path().join("skills")),
            ..Environment::current()
        };
        let global = Global {
            skills_dir: None,
            json: false,
        };
        let context = Context::new(&global, environment, Terminal::current()).unwrap();
        let other = || File::open(folder.path().join("keys.toml.lock")).unwrap();
        let key = |text: &str| Name::value(text).unwrap();
        change(&context, |keys| {
            assert!(matches!(other().try_lock(), Err(TryLockError::WouldBlock)));
            keys.set(Name::Anthropic, key("k-1"));
        })
        .unwrap();
        other().try_lock().unwrap();
        store(Name::OpenAi, key("k-2"), &context).unwrap();
        assert_eq!(Keys::load(&context.home.keys()).unwrap().iter().count(), 2);
        for provider in PROVIDERS {
            assert!(remove(provider, &context).unwrap());
        }
        assert!(!context.home.keys().exists(), "nothing is left to be kept");
    }
}
