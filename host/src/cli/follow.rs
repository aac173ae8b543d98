//! Hands a run over to the daemon, and follows it there. A daemon that dies meanwhile is started again: the run is in the journal, and goes on.

use skillhost_core::machine::Status;
use skillhost_journal::RunRow;

use super::context::Session;
use crate::daemon::{Client, Sight};
use crate::driver::Observer as _;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::progress::Progress;
use crate::terminal;

/// After so many daemons that died without a single entry more, one is not started again.
const DEATHS_MAX: u32 = 5;

/// How following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// The run is over, or goes no further without somebody.
    Settled,
    /// The daemon goes on with it, and nobody waits.
    HandedOver,
    /// Whoever waited wants to no longer.
    Detached,
}

/// Has the daemon drive a run; with `wait`, until it is over.
pub(super) fn hand_over(session: &Session<'_>, row: &RunRow, wait: bool) -> Result<Followed> {
    session.context.talk(async {
        match wait {
            true => follow(session, row).await,
            false => {
                while !connect(session, row)
                    .await?
                    .drive(&row.run, &session.context.environment.model)
                    .await?
                {}
                Ok(Followed::HandedOver)
            }
        }
    })
}

async fn connect(session: &Session<'_>, row: &RunRow) -> Result<Client> {
    let client = Client::ensure(&session.context.home).await?;
    if let Some(version) = client.differs() {
        terminal::note(&format!(
            "note: the daemon is of version {version} and busy; it drives run {} too, and is replaced when it has nothing to do",
            row.run
        ));
    }
    Ok(client)
}

async fn follow(session: &Session<'_>, row: &RunRow) -> Result<Followed> {
    let context = session.context;
    let mut progress = Progress::new(context.terminal, row.skill.as_str());
    let (mut deaths, mut entries) = (0, row.entries);
    loop {
        let mut client = connect(session, row).await?;
        let mut followed = client.drive(&row.run, &context.environment.model).await? && client.watch(&row.run).await?;
        while followed {
            let sight = tokio::select! {
                sight = client.sight() => sight,
                // Without a handler for it, the signal ends the process as always.
                Ok(()) = tokio::signal::ctrl_c() => return Ok(Followed::Detached),
            };
            match sight {
                Sight::Seen(seen) => progress.on(seen),
                Sight::Look if is_settled(&session.journal.run(&row.run)?) => return Ok(Followed::Settled),
                Sight::Look => {}
                Sight::Gone => followed = false,
            }
        }
        let now = session.journal.run(&row.run)?;
        if is_settled(&now) {
            return Ok(Followed::Settled);
        }
        deaths = if now.entries > entries { 0 } else { deaths + 1 };
        entries = now.entries;
        if deaths > DEATHS_MAX {
            let message = format!("the daemon died {deaths} times, and run `{}` came no further", row.run);
            return Err(CliError::new(Exit::Host, "daemon_dies", message).hint(format!(
                "`{}` holds what it said; `skillhost resume {} --here` drives the run without it",
                context.path(&context.home.logs()),
                row.run
            )));
        }
    }
}

/// Returns whether a run is over, or goes no further although nobody is asked anything.
fn is_settled(row: &RunRow) -> bool {
    row.status.is_final() || row.status == Status::Paused || row.trouble.is_some()
}
