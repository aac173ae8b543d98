//! The commands, and how they are given.
//!
//! [`main`] parses, carries out and prints; each command is a file that returns a [`Report`] or a [`CliError`] and prints nothing itself.

mod answer;
mod args;
mod auth;
mod backup;
mod branch;
mod budget;
mod build;
mod cancel;
mod check;
mod compare;
mod context;
mod cost;
mod dev;
mod doctor;
mod drive;
mod explain;
mod follow;
mod following;
mod fork;
mod grant;
mod hook;
mod inbox;
mod inject;
mod install;
mod launch;
mod list;
mod logs;
mod new;
mod newest;
mod online;
mod order;
mod pages;
mod pause;
mod prune;
mod replay;
mod report;
mod result;
mod resume;
mod retry;
mod secret;
mod setup;
mod show;
mod signal;
mod since;
mod skills;
mod status;
mod stored;
mod test;
mod upgrade;
mod wait;
mod waits;
mod watch;
mod worker;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _};

use crate::driver;
use crate::env::Environment;
use crate::error::CliError;
use crate::exit::Exit;
use crate::fault;
use crate::fields::{self, Given};
use crate::home::Home;
use crate::limits;
use crate::terminal::{self, Terminal};
pub use args::Cli;
use args::Command;
use context::Context;
pub use report::{Envelope, Report};

/// Does what the words of a command line ask for, and returns how that ended.
pub fn main(words: Vec<OsString>) -> Exit {
    // Nothing else happens in a process that is about to be another program.
    if let Some(code) = driver::held(&words).or_else(|| limits::compiled(&words)) {
        std::process::exit(i32::from(code));
    }
    let environment = Environment::current();
    fault::note_panics(Home::find(&environment).ok().as_ref());
    // Before anything that may fail: whatever else stands on its line, the agent's hook ends well.
    if hook::is_session_start(&words) {
        hook::session_start(&environment);
        return Exit::Done;
    }
    let terminal = Terminal::current();
    // Known before the words are understood, so that a misunderstanding is told in the form that was asked for.
    let json = words.iter().any(|word| word == "--json");
    let (command, outcome) = match fault::caught(|| Ok(parse(words))) {
        Ok(Ok((cli, given))) => {
            let name = cli.command.name();
            let outcome = fault::caught(|| {
                // It helps also where there is no home to make a context of.
                if let Command::Explain(args) = &cli.command {
                    return explain::run(args, &environment, terminal);
                }
                let context = Context::new(&cli.global, environment, terminal)?;
                carry_out(cli.command, given, &context)
            });
            (Some(name), outcome)
        }
        Ok(Err(Misunderstood::Asked(text))) => return printed(terminal::print(&text), Exit::Done),
        Ok(Err(Misunderstood::Error(error))) | Err(error) => (None, Err(error)),
    };
    let report = outcome.unwrap_or_else(|error| Report::of_error(&error));
    let exit = report.exit;
    printed(report.print(command, json, terminal), exit)
}

fn printed(done: std::io::Result<()>, exit: Exit) -> Exit {
    match done {
        Ok(()) => exit,
        Err(e) => {
            terminal::note(&format!("error: could not write to standard output: {e}"));
            Exit::Host
        }
    }
}

enum Misunderstood {
    /// Help, or the version.
    Asked(String),
    Error(CliError),
}

fn parse(words: Vec<OsString>) -> Result<(Cli, Vec<Given>), Misunderstood> {
    let command = Cli::command();
    let (words, given) = fields::split(&command, words).map_err(Misunderstood::Error)?;
    let named = words
        .get(1)
        .and_then(|word| word.to_str())
        .filter(|word| !word.starts_with('-'))
        .map(str::to_owned);
    let matches = command.try_get_matches_from(words);
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    match cli {
        Ok(cli) => Ok((cli, given)),
        Err(error) => Err(match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Misunderstood::Asked(error.to_string()),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
                // Of a command that has commands of its own, it is one of these that is missing.
                let asked = named.map_or_else(String::new, |command| format!("{} ", terminal::plain_line(&command)));
                let hint = format!("`skillhost {asked}--help` lists them");
                Misunderstood::Error(CliError::invalid("usage", "which command?").hint(hint))
            }
            _ => Misunderstood::Error(usage(&error.to_string())),
        }),
    }
}

/// Makes our kind of error of clap's, which begins with `error: ` and goes on with usage and tips.
fn usage(text: &str) -> CliError {
    let text = text.trim();
    let (message, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let tip = rest.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let usage = rest.lines().find_map(|line| line.trim().strip_prefix("Usage: "));
    let hint = match (tip, usage) {
        (Some(tip), _) => tip.replace('\'', "`"),
        // A word that is no command is answered with the commands rather than with their syntax.
        (None, Some(usage)) if message.starts_with("unrecognized subcommand") => {
            let named = usage
                .split_whitespace()
                .take_while(|word| !word.starts_with(['[', '<']));
            format!("`{} --help` lists the commands", named.collect::<Vec<_>>().join(" "))
        }
        (None, Some(usage)) => format!("usage: `{usage}`"),
        (None, None) => "`--help` after a command shows how it is used".to_owned(),
    };
    CliError::invalid("usage", terminal::plain_line(&message.replace('\'', "`"))).hint(hint)
}

fn carry_out(command: Command, given: Vec<Given>, context: &Context) -> crate::error::Result<Report> {
    let looks = command.only_looks();
    let report = obey(command, given, context);
    if looks {
        context.revive();
    }
    report
}

fn obey(command: Command, given: Vec<Given>, context: &Context) -> crate::error::Result<Report> {
    match command {
        Command::Launch(args) => launch::run(args, given, context),
        Command::Resume(args) => resume::run(&args, context),
        Command::List(args) => list::run(&args, context),
        Command::Show(args) => show::run(&args, context),
        Command::Result(args) => result::run(&args, context),
        Command::Status(args) => status::run(&args, context),
        Command::Logs(args) => logs::run(&args, context),
        Command::Inbox(args) => inbox::run(&args, context),
        Command::Dismiss(args) => inbox::dismiss(&args, context),
        Command::Signal(args) => signal::signal(args, context),
        Command::Answer(args) => answer::run(args, context),
        Command::Retry(args) => retry::run(&args, context),
        Command::Dev(args) => dev::run(&args, context),
        Command::Test(args) => test::run(&args, context),
        Command::Fork(args) => fork::run(&args, context),
        Command::Replay(args) => replay::run(&args, context),
        Command::Upgrade(args) => upgrade::run(&args, context),
        Command::Diff(args) => compare::diff(&args, context),
        Command::Compare(args) => compare::compare(&args, context),
        Command::Cancel(args) => cancel::run(&args, context),
        Command::Pause(args) => pause::run(&args, context),
        Command::Inject(args) => inject::run(&args, context),
        Command::Wait(args) => wait::run(&args, context),
        Command::Worker(args) => worker::run(args.command, context),
        Command::Skills(args) => skills::run(&args, context),
        Command::New(args) => new::run(&args, context),
        Command::Build(args) => build::run(&args, context),
        Command::Check(args) => check::run(&args, context),
        Command::Install(args) => install::install(&args, context),
        Command::Uninstall(args) => install::uninstall(&args, context),
        Command::Hook(args) => hook::run(&args, context),
        Command::Setup(args) => setup::run(&args, context),
        Command::Auth(args) => auth::run(&args, context),
        Command::Secret(args) => secret::run(&args, context),
        Command::Grant(args) => grant::grant(&args, context),
        Command::Cost(args) => cost::run(&args, context),
        Command::Grants(args) => grant::grants(&args, context),
        Command::Prune(args) => prune::prune(&args, context),
        Command::Discard(args) => prune::discard(&args, context),
        Command::Backup(args) => backup::backup(&args, context),
        Command::Restore(args) => backup::restore(&args, context),
        Command::Completions(args) => pages::completions(&args, context),
        Command::Man(args) => pages::man(&args, context),
        Command::Doctor(args) => doctor::run(&args, context),
        Command::Explain(args) => explain::run(&args, &context.environment, context.terminal),
    }
}
