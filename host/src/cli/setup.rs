//! `setup`: makes this machine ready in one go, by asking once: the folder of skills, a model provider, the hook. `setup --remove` undoes what it did, and only that.
//!
//! Each [`Step`] is noted in the state folder before it is done, and undone in the reverse order, however often `setup` was asked for in between. What was there before is no
//! step, and so not undone: a folder of skills, a stored key. What somebody changed since is not ours any more, and is kept. The state folder stays: it is where runs are.

use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use skillhost_core::id::Digest;
use skillhost_effects::model::Name;
use skillhost_effects::model::keys::Keys;
use skillhost_effects::stored::{Stored, StoredBy as _};

use super::context::Context;
use super::report::{Envelope, Report};
use super::{auth, hook, stored};
use crate::agent::settings;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::{self, read_regular, write_whole};
use crate::terminal;

/// The longest note of what was done, in bytes.
const NOTE_BYTES_MAX: u64 = 1 << 20;

/// The version of the note's form.
const VERSION: u32 = 2;

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

/// What was done, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    version: u32,
    steps: Vec<Step>,
}

/// Something that was done, with what it takes to undo it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "snake_case", deny_unknown_fields)]
enum Step {
    /// A folder was made.
    Folder { path: PathBuf },
    /// A key was stored where there was none.
    Key {
        provider: Name,
        /// Tells whether it is still that one.
        digest: Digest,
    },
    /// The hook was put into settings.
    Hook {
        settings: PathBuf,
        /// What was put there.
        command: String,
        /// The hooks of ours that gave way to it.
        before: Vec<String>,
        /// Whether the file was made for it.
        is_new: bool,
        /// Whether the copy of what the file was before was made for it.
        backup_is_new: bool,
    },
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
    // Everything is asked, and looked at, before anything is done.
    let key = match plan.provider {
        Some(provider) => Some((provider, key(provider, context)?)),
        None => None,
    };
    if plan.hook {
        settings::hooks(&settings)?;
    }
    context.home.make()?;
    let _alone = home::lock(&context.home.setup()).map_err(|e| unwritable(&e, context))?;
    let mut note = recall(context)?;
    let mut text = make_skills_folder(&mut note, context)?;
    if let Some((provider, stored)) = key {
        text.push_str(&store(provider, stored, &mut note, context)?);
    }
    if plan.hook {
        text.push_str(&install(&settings, &mut note, context)?);
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

/// Asks for the key of a provider that has none yet.
fn key(provider: Name, context: &Context) -> Result<Stored> {
    let stored = Name::value(&stored::read(&provider)?)
        .ok_or_else(|| CliError::invalid("bad_key", "what was given cannot be a key").hint("it is one word"))?;
    match Keys::load(&context.home.keys())?.get(&provider) {
        // What is replaced could not be put back.
        Some(known) if *known != stored => {
            let message = format!("something else is stored for `{provider}` already");
            Err(CliError::invalid("key_stored", message).hint(format!(
                "`skillhost auth set {provider}` replaces it; `setup` without `--provider` leaves it"
            )))
        }
        _ => Ok(stored),
    }
}

fn make_skills_folder(note: &mut Note, context: &Context) -> Result<String> {
    let root = context.installed.root();
    let shown = context.path(root);
    if root.is_dir() {
        return Ok(format!("skills are looked for in {shown}\n"));
    }
    note_folders(root, note, context)?;
    fs::create_dir_all(root).map_err(|e| {
        CliError::new(Exit::Host, "no_skills", format!("could not make the folder `{shown}`")).caused_by(&e)
    })?;
    Ok(format!("{shown} was made; what is put there is installed\n"))
}

fn store(provider: Name, stored: Stored, note: &mut Note, context: &Context) -> Result<String> {
    if Keys::load(&context.home.keys())?.get(&provider).is_some() {
        return Ok(format!("the key of {provider} was stored before\n"));
    }
    let digest = stored.digest();
    note_step(Step::Key { provider, digest }, note, context)?;
    auth::store(provider, stored, context)?;
    Ok(format!("the key of {provider} is stored\n"))
}

fn install(settings: &Path, note: &mut Note, context: &Context) -> Result<String> {
    let before = settings::hooks(settings)?;
    let command = hook::command(&context.environment)?;
    if before != [command.clone()] {
        if let Some(folder) = settings.parent() {
            note_folders(folder, note, context)?;
        }
        let step = Step::Hook {
            settings: settings.to_owned(),
            command,
            before,
            is_new: !settings.exists(),
            backup_is_new: !settings::backup_path(settings).exists(),
        };
        note_step(step, note, context)?;
    }
    Ok(format!("{}\n", hook::install(settings, context)?.text))
}

fn remove(context: &Context) -> Result<Report> {
    let nothing = || Ok(Report::done("nothing was set up, or it is undone", Envelope::default()));
    if !context.home.setup().exists() {
        return nothing();
    }
    let _alone = home::lock(&context.home.setup()).map_err(|e| unwritable(&e, context))?;
    let mut note = recall(context)?;
    let mut text = String::new();
    while let Some(step) = note.steps.last() {
        match undo(step, context) {
            Ok(undone) => text.push_str(&undone),
            Err(error) => {
                // What is left is noted still.
                terminal::note(&text);
                return Err(error);
            }
        }
        note.steps.pop();
        write(&note, context)?;
    }
    match fs::remove_file(context.home.setup()) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(unwritable(&e, context)),
        _ if text.is_empty() => nothing(),
        _ => Ok(Report::done(text, Envelope::default())),
    }
}

/// Undoes a step, and says so; of what is gone already nothing is said.
fn undo(step: &Step, context: &Context) -> Result<String> {
    match step {
        Step::Folder { path } => remove_folder(path, context),
        Step::Key { provider, digest } => auth::change(context, |keys| match keys.get(provider).map(Stored::digest) {
            Some(stored) if stored == *digest => {
                keys.remove(provider);
                format!("the key of {provider} is forgotten\n")
            }
            Some(_) => format!("the key of {provider} is kept: it is another by now\n"),
            None => String::new(),
        }),
        Step::Hook {
            settings,
            command,
            before,
            is_new,
            backup_is_new,
        } => {
            let now = settings::hooks(settings)?;
            if now != [command.clone()] {
                let shown = context.path(settings);
                return Ok(match now == *before {
                    true => String::new(),
                    false => format!("the hook in {shown} is kept: it is another by now\n"),
                });
            }
            let text = format!("{}\n", hook::put(settings, before, context)?.text);
            let is_empty = || read_regular(settings, NOTE_BYTES_MAX).is_ok_and(|left| left.trim_ascii() == b"{}");
            // What is gone already is as it should be; what cannot be removed is empty, or a copy of what is there.
            if *is_new && is_empty() {
                let _ = fs::remove_file(settings);
            }
            if *backup_is_new {
                let _ = fs::remove_file(settings::backup_path(settings));
            }
            Ok(text)
        }
    }
}

fn remove_folder(path: &Path, context: &Context) -> Result<String> {
    let shown = context.path(path);
    match fs::remove_dir(path) {
        Ok(()) => Ok(format!("{shown} is removed\n")),
        // What somebody put there since is not ours to remove.
        Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(format!("{shown} is kept: it holds something\n")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(CliError::new(Exit::Host, "not_removed", format!("could not remove `{shown}`")).caused_by(&e)),
    }
}

fn recall(context: &Context) -> Result<Note> {
    let path = context.home.setup();
    let unreadable = || {
        let shown = context.path(&path);
        let message = format!("could not read `{shown}`, which tells what `setup` did");
        CliError::new(Exit::Storage, "unreadable", message).hint(format!(
            "`rm {shown}` forgets that; `skillhost hook uninstall` and `skillhost auth remove` undo the parts"
        ))
    };
    match read_regular(&path, NOTE_BYTES_MAX) {
        Ok(bytes) => match serde_json::from_slice::<Note>(&bytes) {
            Ok(note) if note.version == VERSION => Ok(note),
            Ok(note) => Err(unreadable().caused_by(&io::Error::other(format!("it is of version {}", note.version)))),
            Err(e) => Err(unreadable().caused_by(&e)),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Note {
            version: VERSION,
            steps: Vec::new(),
        }),
        Err(e) => Err(unreadable().caused_by(&e)),
    }
}

/// Notes the folders that are about to be made for this one, the outermost first.
fn note_folders(path: &Path, note: &mut Note, context: &Context) -> Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    for folder in missing.into_iter().rev() {
        let path = folder.to_owned();
        note_step(Step::Folder { path }, note, context)?;
    }
    Ok(())
}

/// Notes what is about to be done, before it is done: so that it can be undone whatever happens.
fn note_step(step: Step, note: &mut Note, context: &Context) -> Result<()> {
    note.steps.push(step);
    write(note, context)
}

fn write(note: &Note, context: &Context) -> Result<()> {
    let text = serde_json::to_string_pretty(note).expect("a note serialises");
    write_whole(&context.home.setup(), text.as_bytes()).map_err(|e| unwritable(&e, context))
}

fn unwritable(error: &io::Error, context: &Context) -> CliError {
    let message = format!("could not write `{}`", context.path(&context.home.setup()));
    CliError::new(Exit::Storage, "not_written", message).caused_by(error)
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
