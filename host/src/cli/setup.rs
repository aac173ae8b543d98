//! `setup`: makes this machine ready in one go, by asking once: the folder of skills, a model provider, the hook. `setup --remove` undoes what it did, and only that.
//!
//! What was done is noted in the state folder. What was there before is not noted, and so not undone: a folder that held skills already, a key that was stored before.

use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use skillhost_effects::model::Name;
use skillhost_effects::model::keys::{Keys, Stored};

use super::context::Context;
use super::report::{Envelope, Report};
use super::{auth, hook};
use crate::agent::settings;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::{read_regular, write_whole};
use crate::terminal;

/// The longest note of what was done, in bytes.
const NOTE_BYTES_MAX: u64 = 64 << 10;

/// `setup`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost setup
  skillhost setup --yes --hook
  skillhost setup --yes --provider anthropic < key.txt
  skillhost setup --remove")]
pub struct SetupArgs {
    /// Ask nothing: make the folder of skills, and what the other flags say
    #[arg(long)]
    pub yes: bool,
    /// Store the key of this provider, anthropic or openai; it is the first line of standard input
    #[arg(long, value_name = "NAME", requires = "yes")]
    pub provider: Option<String>,
    /// Put the hook into the agent's settings
    #[arg(long, requires = "yes")]
    pub hook: bool,
    /// Change this settings file instead of ~/.claude/settings.json
    #[arg(long, value_name = "PATH")]
    pub settings: Option<PathBuf>,
    /// Undo what `setup` did before
    #[arg(long, conflicts_with_all = ["yes", "settings"])]
    pub remove: bool,
}

/// What was done, for undoing it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {
    version: u32,
    /// The folder of skills that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    folder: Option<PathBuf>,
    /// The provider whose key was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider: Option<Name>,
    /// The settings that the hook was put into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings: Option<PathBuf>,
    /// Whether there were none before.
    #[serde(default)]
    settings_are_new: bool,
}

/// What is to be done.
struct Plan {
    provider: Option<Name>,
    hook: bool,
}

pub(super) fn run(args: &SetupArgs, context: &Context) -> Result<Report> {
    if args.remove {
        return remove(context);
    }
    let settings = hook::settings_path(args.settings.as_deref(), context)?;
    let settings = std::path::absolute(&settings).unwrap_or(settings);
    let plan = match args.yes {
        true => Plan {
            provider: args.provider.as_deref().map(auth::named).transpose()?,
            hook: args.hook,
        },
        false => ask(&settings, context)?,
    };
    // Everything is asked before anything is done.
    let key = match plan.provider {
        Some(provider) => Some((provider, key(provider)?)),
        None => None,
    };
    context.home.make()?;
    let mut done = recall(context)?;
    done.version = 1;
    let mut text = make_folder(&mut done, context)?;
    if let Some((provider, stored)) = key {
        let is_new = Keys::load(&context.home.keys())?.get(provider).is_none();
        if is_new {
            done.provider = Some(provider);
            note(&done, context)?;
        }
        auth::store(provider, stored, context)?;
        text.push_str(&format!("the key of {provider} is stored\n"));
    }
    if plan.hook {
        if settings::hooks(&settings)?.is_empty() {
            done.settings = Some(settings.clone());
            done.settings_are_new = !settings.exists();
            note(&done, context)?;
        }
        let installed = hook::install(&settings, context)?;
        text.push_str(&format!("{}\n", installed.text));
    }
    let mut report = Report::done(text, Envelope::default());
    report.notes = "hint: `skillhost doctor` looks at the whole, `skillhost setup --remove` undoes this\n".to_owned();
    Ok(report)
}

/// Asks the person at the terminal what is to be done.
fn ask(settings: &Path, context: &Context) -> Result<Plan> {
    if !(io::IsTerminal::is_terminal(&io::stdin()) && context.terminal.stderr) {
        return Err(
            CliError::invalid("no_terminal", "`setup` asks, and there is no terminal to ask at")
                .hint("`skillhost setup --yes --hook` asks nothing; `skillhost setup --help` tells what else there is"),
        );
    }
    let choice = context.settings(&context.config()?).choose(None)?;
    let has_provider = choice.hint.is_none();
    let provider = match has_provider {
        true => {
            terminal::note(&format!("model provider: {} ({})", choice.name, choice.because));
            None
        }
        false => {
            terminal::note(
                "no model provider is configured; which one's key is to be stored? anthropic, openai, or nothing:",
            );
            match read_line(&mut io::stdin().lock())?.trim() {
                "" => None,
                name => Some(auth::named(name)?),
            }
        }
    };
    terminal::note(&format!(
        "tell sessions of the agent what waits for you, by a hook in `{}`? [Y/n]",
        context.path(settings)
    ));
    let hook = matches!(read_line(&mut io::stdin().lock())?.trim(), "" | "y" | "Y" | "yes");
    Ok(Plan { provider, hook })
}

/// Reads an answer. The end of the input is none, not even the one that an empty line gives.
fn read_line(input: &mut dyn BufRead) -> Result<String> {
    let mut line = String::new();
    let read = input.read_line(&mut line);
    match read.map_err(|e| CliError::new(Exit::Host, "no_input", "could not read the answer").caused_by(&e))? {
        0 => Err(
            CliError::invalid("no_input", "the input ended before the question was answered")
                .hint("nothing was changed; `skillhost setup` asks again"),
        ),
        _ => Ok(line),
    }
}

fn key(provider: Name) -> Result<Stored> {
    Stored::key(&auth::read_key(provider)?)
        .ok_or_else(|| CliError::invalid("bad_key", "what was given cannot be a key").hint("it is one word"))
}

fn make_folder(done: &mut Done, context: &Context) -> Result<String> {
    let root = context.installed.root();
    let shown = context.path(root);
    if root.is_dir() {
        return Ok(format!("skills are looked for in {shown}\n"));
    }
    done.folder = Some(root.to_owned());
    note(done, context)?;
    fs::create_dir_all(root).map_err(|e| {
        CliError::new(Exit::Host, "no_skills", format!("could not make the folder `{shown}`")).caused_by(&e)
    })?;
    Ok(format!("{shown} was made; what is put there is installed\n"))
}

fn remove(context: &Context) -> Result<Report> {
    let done = recall(context)?;
    let mut text = String::new();
    if let Some(settings) = &done.settings {
        text.push_str(&format!("{}\n", hook::uninstall(settings, context)?.text));
        let is_empty = || read_regular(settings, NOTE_BYTES_MAX).is_ok_and(|left| left.trim_ascii() == b"{}");
        if done.settings_are_new && is_empty() {
            // It is gone already if this fails because of that, and empty otherwise.
            let _ = fs::remove_file(settings);
        }
    }
    if let Some(provider) = done.provider
        && auth::remove(provider, context)?
    {
        text.push_str(&format!("the key of {provider} is forgotten\n"));
    }
    if let Some(folder) = &done.folder {
        let shown = context.path(folder);
        match fs::remove_dir(folder) {
            Ok(()) => text.push_str(&format!("{shown} is removed\n")),
            // What somebody put there since is not ours to remove.
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {
                text.push_str(&format!("{shown} is kept: it holds something\n"))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => {
                let message = format!("could not remove `{shown}`");
                return Err(CliError::new(Exit::Host, "not_removed", message).caused_by(&e));
            }
        }
    }
    match fs::remove_file(context.home.setup()) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            let message = format!("could not remove `{}`", context.path(&context.home.setup()));
            Err(CliError::new(Exit::Storage, "not_removed", message).caused_by(&e))
        }
        _ if text.is_empty() => Ok(Report::done("nothing was set up, or it is undone", Envelope::default())),
        _ => Ok(Report::done(text, Envelope::default())),
    }
}

fn recall(context: &Context) -> Result<Done> {
    let path = context.home.setup();
    let unreadable = |e: &dyn std::error::Error| {
        let shown = context.path(&path);
        CliError::new(
            Exit::Storage,
            "unreadable",
            format!("could not read `{shown}`, which tells what `setup` did"),
        )
        .caused_by(e)
        .hint(format!(
            "`rm {shown}` forgets that; `skillhost hook uninstall` and `skillhost auth remove` undo the parts"
        ))
    };
    match read_regular(&path, NOTE_BYTES_MAX) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| unreadable(&e)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Done::default()),
        Err(e) => Err(unreadable(&e)),
    }
}

/// Notes what is about to be done, before it is done: so that it can be undone whatever happens.
fn note(done: &Done, context: &Context) -> Result<()> {
    let path = context.home.setup();
    let text = serde_json::to_string_pretty(done).expect("a note serialises");
    write_whole(&path, text.as_bytes()).map_err(|e| {
        CliError::new(
            Exit::Storage,
            "not_written",
            format!("could not write `{}`", context.path(&path)),
        )
        .caused_by(&e)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn the_end_of_the_input_is_not_consent() {
        assert_eq!(read_line(&mut &b"\n"[..]).unwrap(), "\n");
        assert_eq!(read_line(&mut &b"y"[..]).unwrap(), "y");
        assert_eq!(read_line(&mut &b""[..]).unwrap_err().code, "no_input");
    }
}
