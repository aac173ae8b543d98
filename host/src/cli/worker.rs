//! `worker`: the daemon, for whoever wants to see it, start it or end it.

use serde_json::to_value;
use skillhost_effects::model::Name;
use skillhost_effects::model::keys::Keys;

use super::args::WorkerCommand;
use super::context::Context;
use super::report::{Envelope, Report};
use crate::daemon::{self, Client, Following, Reply, Request, Served, Status};
use crate::error::{CliError, Result};
use crate::terminal;
use crate::timeline::count;
use crate::{log, service};

pub(super) fn run(command: WorkerCommand, context: &Context) -> Result<Report> {
    match command {
        WorkerCommand::Start => context.talk(start(context)),
        WorkerCommand::Status => context.talk(status(context)),
        WorkerCommand::Stop { force: false } => context.talk(stop(context)),
        WorkerCommand::Stop { force: true } => context.talk(kill(context)),
        WorkerCommand::Run { stay, detached } => serve(context, stay, detached),
        WorkerCommand::Install => install(context),
        WorkerCommand::Uninstall => {
            service::uninstall(&context.home, context.environment.user_folder.as_deref()).map(done)
        }
    }
}

fn serve(context: &Context, stay: bool, detached: bool) -> Result<Report> {
    if detached {
        daemon::detach();
    }
    context.home.make()?;
    let _log = log::open(&context.home, detached)?;
    let config = context.config()?;
    match daemon::serve(&context.home, &context.installed, &config, &context.environment, stay)? {
        Served::Ended => Ok(Report::done("the daemon has ended", Envelope::default())),
        Served::AlreadyThere => Ok(Report::done("the daemon is there already", Envelope::default())),
    }
}

/// A daemon that the system starts has no terminal's environment, so it needs a key of its own.
fn install(context: &Context) -> Result<Report> {
    let config = context.config()?;
    let keyless = matches!(config.model.provider, Some(Name::Offline | Name::ClaudeCli));
    let keys = Keys::load(&context.home.keys())?;
    if !keyless && keys.iter().next().is_none() {
        let message = "a daemon that the system starts at login would have no key of a model provider";
        return Err(CliError::invalid("no_key", message).hint(
            "`skillhost auth set anthropic` stores one; or name `claude-cli` or `offline` in the configuration",
        ));
    }
    service::install(&context.home, context.environment.user_folder.as_deref()).map(done)
}

async fn start(context: &Context) -> Result<Report> {
    let client = Client::ensure(&context.home).await?;
    told(context, client).await
}

async fn status(context: &Context) -> Result<Report> {
    match Client::connect(&context.home).await? {
        Some(client) => told(context, client).await,
        None => Ok(absent("no daemon is there; the first command that needs one starts it")),
    }
}

async fn told(context: &Context, mut client: Client) -> Result<Report> {
    match client.status().await? {
        Some(status) => Ok(of_status(context, &status)),
        None => Ok(absent("the daemon has just ended")),
    }
}

fn of_status(context: &Context, status: &Status) -> Report {
    let text = format!(
        "the daemon is process {}, version {}, up for {} s\nit has {} of at most {} working runs in memory{}\nits log is in {}",
        status.pid,
        status.version,
        status.up_seconds,
        status.runs,
        status.runs_max,
        if status.stays { ", and stays" } else { "" },
        context.path(&context.home.logs()),
    );
    let text = format!("{text}{}", of_following(context, &status.following));
    let envelope = Envelope {
        daemon: to_value(status).ok(),
        ..Envelope::default()
    };
    Report::done(text, envelope)
}

/// Says what the daemon knows of installed skills.
fn of_following(context: &Context, following: &Following) -> String {
    let folder = context.path(&following.folder);
    let skills = count(following.sound as u64, "skill");
    let mut text = format!("\nit follows {skills} in {folder}");
    for name in &following.broken {
        text.push_str(&format!(
            "\nwhat lies in the folder of skill `{}` cannot be used: `skillhost skills` says why",
            terminal::plain_line(name)
        ));
    }
    if let Some(why) = &following.polls {
        text.push_str(&format!("\nit looks there once a second: {why}"));
    }
    text
}

fn absent(text: &str) -> Report {
    Report::done(text, Envelope::default())
}

async fn stop(context: &Context) -> Result<Report> {
    let Some(mut client) = Client::connect(&context.home).await? else {
        return Ok(absent("no daemon is there"));
    };
    let mut reply = client.ask(&Request::Stop).await?;
    while let Some(Reply::Draining { runs }) = reply {
        if context.terminal.stderr {
            terminal::note(&format!("{runs} runs are still recording what is under way ..."));
        }
        reply = client.next().await;
    }
    daemon::wait_until_gone(&context.home).await?;
    Ok(absent(
        "the daemon has ended; what is not over goes on when the next one starts",
    ))
}

async fn kill(context: &Context) -> Result<Report> {
    match daemon::kill(&context.home).await? {
        Some(pid) => Ok(absent(&format!(
            "process {pid}, which was the daemon, was killed; its runs go on when the next one starts"
        ))),
        None => Ok(absent("no daemon is there")),
    }
}

fn done(text: String) -> Report {
    Report::done(text, Envelope::default())
}
