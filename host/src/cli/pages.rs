//! `completions` and `man`: what a shell and a reader of manuals know of the commands, made of the same definitions as the help.

use std::io;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use serde_json::json;

use super::args::Cli;
use super::context::Context;
use super::report::{Envelope, Report};
use crate::error::{CliError, REPORT, Result};
use crate::exit::Exit;
use crate::home::rewrite;
use crate::skills::nearest;
use crate::timeline::count;

const NAME: &str = "skillhost";

/// `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost completions bash > ~/.local/share/bash-completion/completions/skillhost
  skillhost completions zsh > ~/.zfunc/_skillhost
  skillhost completions fish > ~/.config/fish/completions/skillhost.fish")]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// `man`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost man launch | man -l -
  skillhost man --to ~/.local/share/man/man1")]
pub struct ManArgs {
    /// Print the page of this command instead of the first one
    #[arg(conflicts_with = "to")]
    pub command: Option<String>,
    /// Write all pages into this folder
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs, context: &Context) -> Result<Report> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut script);
    Ok(printed(script, &format!("completions-{}", args.shell), context))
}

pub(super) fn man(args: &ManArgs, context: &Context) -> Result<Report> {
    let pages = pages();
    if let Some(folder) = &args.to {
        for (name, page) in &pages {
            let path = folder.join(format!("{name}.1"));
            rewrite(&path, &rendered(page)?).map_err(|e| {
                CliError::new(
                    Exit::Storage,
                    "not_written",
                    format!("could not write `{}`", path.display()),
                )
                .caused_by(&e)
            })?;
        }
        let text = format!("{} in {}", count(pages.len() as u64, "page"), context.path(folder));
        return Ok(Report::done(text, Envelope::default()));
    }
    let wanted = match &args.command {
        Some(command) => format!("{NAME}-{command}"),
        None => NAME.to_owned(),
    };
    match pages.iter().find(|(name, _)| *name == wanted) {
        Some((name, page)) => Ok(printed(rendered(page)?, name, context)),
        None => {
            let error = CliError::invalid("unknown_command", format!("there is no page `{wanted}`"));
            let known = pages.iter().map(|(name, _)| name.as_str());
            Err(match nearest(&wanted, known) {
                Some(name) => error.hint(format!("did you mean `{}`?", name.trim_start_matches("skillhost-"))),
                None => error.hint("`skillhost --help` lists the commands"),
            })
        }
    }
}

/// Returns the commands that have a page, with the names of these.
fn pages() -> Vec<(String, clap::Command)> {
    let mut root = Cli::command().name(NAME);
    root.build();
    let mut pages = Vec::new();
    let mut open = vec![(NAME.to_owned(), root)];
    while let Some((name, command)) = open.pop() {
        let below = command
            .get_subcommands()
            .filter(|below| below.get_name() != "help" && !below.is_hide_set());
        open.extend(below.map(|below| (format!("{name}-{}", below.get_name()), below.clone())));
        pages.push((name, command));
    }
    pages.sort_by(|a, b| a.0.cmp(&b.0));
    pages
}

fn rendered(page: &clap::Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let rendered = clap_mangen::Man::new(page.clone()).render(&mut text);
    rendered.map_err(|e: io::Error| CliError::of(Exit::Internal, "internal", &e).hint(REPORT))?;
    Ok(text)
}

fn printed(text: Vec<u8>, name: &str, context: &Context) -> Report {
    let text = String::from_utf8_lossy(&text).into_owned();
    let envelope = Envelope {
        result: Some(json!(text)),
        ..Envelope::default()
    };
    let mut report = Report::done(text, envelope);
    report.result_file = Some(context.home.root().join("results").join(format!("{name}.json")));
    report
}
