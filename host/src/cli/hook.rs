//! `hook`: tells each session of the agent what waits for its user, by a hook in the agent's settings.
//!
//! [`session_start`] is that hook. Whatever goes wrong in it, it says nothing and ends well: a session must not fail because of us. It looks at the database and changes nothing in it.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use skillhost_journal::Glance;

use super::context::Context;
use super::report::{Envelope, Report};
use crate::agent::briefing::{Briefing, Memory, Session};
use crate::agent::settings::{self, Change, HOOK_WORDS};
use crate::env::{self, Environment};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::fault;
use crate::home::Home;
use crate::terminal;

/// How long the hook waits for a locked database: a session that starts is in a hurry.
const BUSY: Duration = Duration::from_millis(10);

/// The longest that is read of what the agent says, in bytes.
const INPUT_BYTES_MAX: u64 = 1 << 20;

/// A log of failures that is longer is begun anew, in bytes.
const LOG_BYTES_MAX: u64 = 64 << 10;

/// `hook`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost hook install
  skillhost hook install --settings .claude/settings.local.json
  skillhost hook uninstall")]
pub struct HookArgs {
    /// What to do
    #[command(subcommand)]
    pub command: HookCommand,
}

/// What to do about the hook.
#[derive(Debug, Subcommand)]
pub enum HookCommand {
    /// Put the hook into the agent's settings; everything else in them stays as it is
    #[command(after_help = "Example:\n  skillhost hook install --settings .claude/settings.local.json")]
    Install(SettingsArgs),
    /// Take the hook out of the agent's settings
    #[command(after_help = "Example:\n  skillhost hook uninstall")]
    Uninstall(SettingsArgs),
    /// Print what waits for the user, as the agent's hook; never fails
    #[command(
        after_help = "Example:\n  echo '{\"session_id\": \"x\", \"source\": \"startup\"}' | skillhost hook session-start"
    )]
    SessionStart,
}

/// Which settings.
#[derive(Debug, Args)]
pub struct SettingsArgs {
    /// Change this file instead of ~/.claude/settings.json
    #[arg(long, value_name = "PATH")]
    pub settings: Option<PathBuf>,
}

pub(super) fn run(args: &HookArgs, context: &Context) -> Result<Report> {
    match &args.command {
        HookCommand::Install(args) => install(&settings_path(args.settings.as_deref(), context)?, context),
        HookCommand::Uninstall(args) => uninstall(&settings_path(args.settings.as_deref(), context)?, context),
        HookCommand::SessionStart => {
            session_start(&context.environment);
            Ok(Report::done("", Envelope::default()))
        }
    }
}

/// Returns the agent's settings file.
pub(super) fn settings_path(chosen: Option<&Path>, context: &Context) -> Result<PathBuf> {
    match (chosen, &context.environment.user_folder) {
        (Some(path), _) => Ok(path.to_owned()),
        (None, Some(user)) => Ok(user.join(".claude").join("settings.json")),
        (None, None) => Err(
            CliError::new(Exit::Host, "no_home", "no settings of the agent: HOME names no folder")
                .hint("`--settings PATH` names the file"),
        ),
    }
}

/// Puts the hook into the settings at `path`.
pub(super) fn install(path: &Path, context: &Context) -> Result<Report> {
    put(path, &[command(&context.environment)?], context)
}

/// Takes it out.
fn uninstall(path: &Path, context: &Context) -> Result<Report> {
    put(path, &[], context)
}

/// Has the settings at `path` hold these commands as our hooks, and no others of ours.
pub(super) fn put(path: &Path, commands: &[String], context: &Context) -> Result<Report> {
    let change = settings::change(path, |text| match (text, commands) {
        (None, []) => Ok(None),
        (text, commands) => settings::with_hooks(text, path, commands),
    })?;
    let so = match commands {
        [] => "sessions are told nothing",
        _ => "sessions are told what waits for you",
    };
    Ok(told(change, path, context, so))
}

fn told(change: Change, path: &Path, context: &Context, so: &str) -> Report {
    let shown = context.path(path);
    let text = match &change {
        Change::None => format!("{so}: `{shown}` is as it should be"),
        Change::Made => format!("{so}: `{shown}` was made"),
        Change::Changed(_) => format!("{so}: `{shown}` was changed"),
    };
    let mut report = Report::done(text, Envelope::default());
    if let Change::Changed(backup) = change {
        report.notes = format!("what it was before is in {}\n", context.path(&backup));
    }
    report
}

/// Returns the command of the hook: this program, with the state folder that this process was told to use.
pub(super) fn command(environment: &Environment) -> Result<String> {
    let program = std::env::current_exe()
        .map_err(|e| CliError::new(Exit::Host, "no_program", "could not find this program").caused_by(&e))?;
    // A link on the PATH outlives the version that it leads to.
    let folders = environment.search_path.as_deref().unwrap_or_default();
    let linked = std::env::split_paths(folders)
        .map(|folder| folder.join("skillhost"))
        .find(|link| link.is_absolute() && std::fs::canonicalize(link).is_ok_and(|real| real == program));
    let program = linked.unwrap_or(program);
    let home = match &environment.home {
        Some(_) => format!("{}={} ", env::HOME, shell_word(Home::find(environment)?.root())),
        None => String::new(),
    };
    Ok(format!("{home}{} {HOOK_WORDS}", shell_word(&program)))
}

/// Returns a path as a word for the shell.
pub(super) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    match text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// Returns whether the words are those of the agent's hook.
pub(super) fn is_session_start(words: &[OsString]) -> bool {
    let named =
        words.get(1).is_some_and(|word| word == "hook") && words.get(2).is_some_and(|word| word == "session-start");
    named && !words.iter().any(|word| word == "--help" || word == "-h")
}

/// Prints what a session of the agent is to know, if there is anything.
pub(super) fn session_start(environment: &Environment) {
    // Inside a model call of ours there is no user to tell.
    if environment.is_model_call {
        return;
    }
    let Ok(home) = Home::find(environment) else { return };
    if !home.journal().is_file() {
        return;
    }
    let told = std::panic::catch_unwind(|| tell(&home));
    let failure = match told {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(panic) => fault::of_panic(panic.as_ref()),
    };
    log(&home, &failure);
}

fn tell(home: &Home) -> Result<()> {
    let session = session()?;
    let glance = Glance::open(&home.journal(), BUSY)?;
    let memory = Memory::of(home, &session);
    let Some(briefing) = Briefing::of(&glance, &session, &memory.recall())? else {
        return Ok(());
    };
    let failed = |what: &str, e: io::Error| CliError::new(Exit::Host, "hook", what).caused_by(&e);
    terminal::print(&briefing.text).map_err(|e| failed("could not print", e))?;
    memory
        .keep(&briefing.shown)
        .map_err(|e| failed("could not remember what was shown", e))
}

/// Reads what the agent says of the session. Only the one object, because the other end may stay open.
fn session() -> Result<Session> {
    let stdin = io::stdin();
    if std::io::IsTerminal::is_terminal(&stdin) {
        return Ok(Session::default());
    }
    let mut values = serde_json::Deserializer::from_reader(stdin.lock().take(INPUT_BYTES_MAX)).into_iter();
    match values.next() {
        Some(session) => session
            .map_err(|e| CliError::invalid("bad_input", "standard input is not what a hook is given").caused_by(&e)),
        None => Ok(Session::default()),
    }
}

fn log(home: &Home, failure: &CliError) {
    let path = home.hook_log();
    let long = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX);
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    match long {
        true => options.write(true).truncate(true),
        false => options.append(true),
    };
    let line = format!(
        "{} {}\n",
        jiff::Timestamp::now(),
        terminal::plain_line(&failure.sentence())
    );
    // There is nobody left to tell.
    let _ = options.open(path).and_then(|mut file| file.write_all(line.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_words_for_the_shell() {
        assert_eq!(shell_word(Path::new("/usr/bin/skillhost")), "/usr/bin/skillhost");
        assert_eq!(shell_word(Path::new("/a b/it's")), "'/a b/it'\\''s'");
    }
}
