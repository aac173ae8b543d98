//! Hands a run over to the daemon, and follows it there. A daemon that dies meanwhile is started again: the run is in the journal, and goes on.

use std::time::Duration;

use skillhost_core::calls::signals::Question;
use skillhost_core::id::Number;
use skillhost_core::machine::{Command, Mail, Status};
use skillhost_journal::{RunRow, WaitRow};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::context::Session;
use super::{answer, waits};
use crate::daemon::{Client, Sight};
use crate::driver::{Observer as _, now};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::fields::Given;
use crate::progress::Progress;
use crate::terminal;

/// After so many daemons that died without a single entry more, one is not started again.
const DEATHS_MAX: u32 = 5;

/// A time that comes sooner than a machine is up again is not worth a word about a reboot.
const REBOOT_TAKES: Duration = Duration::from_secs(60);

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
    // Before the run is handed over: from then on, whoever interrupts this command does not mean the run.
    let interrupts = signal(SignalKind::interrupt());
    let interrupts =
        interrupts.map_err(|e| CliError::new(Exit::Host, "no_signals", "could not listen for Ctrl-C").caused_by(&e))?;
    let mut follower = Follower {
        interrupts,
        session,
        row,
        progress: Progress::new(session.context.terminal, row.skill.as_str()),
        put_off: Vec::new(),
        asked: None,
        was_told_of_reboot: false,
    };
    let (mut deaths, mut entries) = (0, row.entries);
    loop {
        let mut client = connect(session, row).await?;
        if let Some(followed) = follower.see(&mut client).await? {
            return Ok(followed);
        }
        let now = session.journal.run(&row.run)?;
        if is_settled(session, row)? {
            return Ok(Followed::Settled);
        }
        deaths = if now.entries > entries { 0 } else { deaths + 1 };
        entries = now.entries;
        if deaths > DEATHS_MAX {
            let message = format!("the daemon died {deaths} times, and run `{}` came no further", row.run);
            return Err(CliError::new(Exit::Host, "daemon_dies", message).hint(format!(
                "`{}` holds what it said; `skillhost resume {} --here` drives the run without it",
                session.context.path(&session.context.home.logs()),
                row.run
            )));
        }
    }
}

/// Follows one run.
struct Follower<'a> {
    interrupts: Signal,
    session: &'a Session<'a>,
    row: &'a RunRow,
    progress: Progress,
    /// Questions that the person at the terminal does not want to answer now.
    put_off: Vec<Number>,
    /// The question that he is asked.
    asked: Option<Asked>,
    /// Whether he knows that a reboot delays what the run waits for.
    was_told_of_reboot: bool,
}

struct Asked {
    number: Number,
    question: Question,
    typed: answer::Typed,
}

impl Follower<'_> {
    /// Follows the run on this connection; `None` when the daemon is gone.
    async fn see(&mut self, client: &mut Client) -> Result<Option<Followed>> {
        let environment = &self.session.context.environment.model;
        if !client.drive(&self.row.run, environment).await? || !client.watch(&self.row.run).await? {
            return Ok(None);
        }
        loop {
            let typed = async {
                match &mut self.asked {
                    Some(asked) => (&mut asked.typed).await,
                    None => std::future::pending().await,
                }
            };
            let sight = tokio::select! {
                sight = client.sight() => sight,
                typed = typed => {
                    self.answer(typed).await?;
                    Sight::Look
                }
                _ = self.interrupts.recv() => return Ok(Some(Followed::Detached)),
            };
            match sight {
                Sight::Seen(seen) => self.progress.on(seen),
                Sight::Look if is_settled(self.session, self.row)? => {
                    return Ok(Some(Followed::Settled));
                }
                Sight::Look => {
                    self.tell_of_reboot()?;
                    self.ask()?;
                }
                Sight::Gone => return Ok(None),
            }
        }
    }

    /// Says once that a reboot delays what the run waits for, if that takes so long that there may be one.
    fn tell_of_reboot(&mut self) -> Result<()> {
        let Self { session, row, .. } = self;
        let journal = session.journal.as_ref();
        let is_far = |wait: &WaitRow| {
            wait.deadline
                .is_some_and(|deadline| deadline.since(now()) >= REBOOT_TAKES)
        };
        if self.was_told_of_reboot || !journal.waits(&row.run)?.iter().any(is_far) {
            return Ok(());
        }
        let of_reboot = waits::of_reboot(session.context, journal, &row.run)?;
        self.was_told_of_reboot = true;
        self.progress.hide(true);
        terminal::note(of_reboot);
        self.progress.hide(self.asked.is_some());
        Ok(())
    }

    /// Asks the person at the terminal what the run asks its user, if there is such a person.
    fn ask(&mut self) -> Result<()> {
        let terminal = self.session.context.terminal;
        if !terminal.stdin || !terminal.stderr || self.asked.is_some() {
            return Ok(());
        }
        let open = answer::open_question(self.session.journal.as_ref(), self.row, &self.put_off)?;
        if let Some((number, question)) = open {
            self.progress.hide(true);
            let typed = answer::ask(&question)?;
            self.asked = Some(Asked {
                number,
                question,
                typed,
            });
        }
        Ok(())
    }

    /// Takes what was typed.
    async fn answer(&mut self, typed: Option<Vec<Given>>) -> Result<()> {
        let Some(asked) = self.asked.take() else {
            return Ok(());
        };
        self.progress.hide(false);
        let Some(typed) = typed else {
            self.put_off.push(asked.number);
            terminal::note(&format!(
                "put off: `skillhost answer {}#{}` answers it later",
                self.row.run, asked.number
            ));
            return Ok(());
        };
        match answer::answer_typed(self.session, self.row, asked.number, &asked.question, typed) {
            Ok(()) => {
                let mut client = connect(self.session, self.row).await?;
                client.wake(&self.row.run).await?;
                // It is on its way, and is not to be asked again meanwhile.
                self.put_off.push(asked.number);
            }
            // He may try again, or was too late.
            Err(error) => terminal::note(&format!("error: {}", error.sentence())),
        }
        Ok(())
    }
}

/// Returns whether a run is over, or goes no further although nobody is asked anything. As it stood `before`, it is about to go on.
fn is_settled(session: &Session<'_>, before: &RunRow) -> Result<bool> {
    let journal = &session.journal;
    let row = journal.run(&before.run)?;
    if row.status == Status::Paused {
        let mail = journal.mail(&row.run)?;
        let lifts = |mail: &Mail| matches!(mail.command, Command::Resume { .. } | Command::Cancel { .. });
        return Ok(!mail.iter().any(lifts));
    }
    let is_in_trouble = row.trouble.is_some() && row.trouble != before.trouble;
    Ok(row.status.is_final() || is_in_trouble)
}
