//! The way from a command to the daemon: connecting, starting it if need be, asking, and following a run.

use std::io;
use std::path::Path;
use std::time::Duration;

use skillhost_core::id::RunId;
use skillhost_effects::model::Environment;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::librarian::SkillStates;
use super::protocol::{self, Hello, PROTOCOL, Reply, Request, Status};
use super::{address, start};
use crate::driver::Seen;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::Home;

/// How long a daemon may take to say hello. One that was stopped by a signal says nothing.
const HELLO_WAIT: Duration = Duration::from_secs(10);

/// A connection to the daemon.
pub struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    hello: Hello,
    home: Home,
}

/// What a watched run shows.
#[derive(Debug)]
pub enum Sight {
    /// Something was seen.
    Seen(Seen<'static>),
    /// How it stands has changed.
    Look,
    /// The daemon is gone.
    Gone,
}

impl Client {
    /// Connects to the daemon, if one listens.
    ///
    /// # Errors
    /// If one lives and does not answer.
    pub async fn connect(home: &Home) -> Result<Option<Self>> {
        let path = address::socket(home).map_err(|e| unusable(home, &e))?;
        let stream = match UnixStream::connect(&path).await {
            Ok(stream) => stream,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(e) => return Err(unusable(home, &e)),
        };
        let (reader, writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        match tokio::time::timeout(HELLO_WAIT, protocol::read::<Hello>(&mut reader)).await {
            Err(_) => Err(silent(home)),
            // It was just ending.
            Ok(Ok(None) | Err(_)) => Ok(None),
            Ok(Ok(Some(hello))) => Ok(Some(Self {
                reader,
                writer,
                hello,
                home: home.clone(),
            })),
        }
    }

    /// Connects to the daemon, and starts it if none is there. One of another version is replaced when it has nothing to do.
    pub async fn ensure(home: &Home) -> Result<Self> {
        loop {
            let mut client = match Self::connect(home).await? {
                Some(client) => client,
                None => start::start(home).await?,
            };
            if client.hello == Hello::own() {
                return Ok(client);
            }
            match client.ask(&Request::StopIfIdle).await? {
                Some(Reply::Drained) | None => start::wait_until_gone(home).await?,
                _ if client.hello.protocol == PROTOCOL => return Ok(client),
                _ => return Err(client.other_version()),
            }
        }
    }

    /// Returns the version of the daemon, if it is not this program's.
    pub fn differs(&self) -> Option<&str> {
        (self.hello != Hello::own()).then_some(self.hello.version.as_str())
    }

    fn other_version(&self) -> CliError {
        let message = format!(
            "the daemon is of version {} and busy; this is version {}",
            self.hello.version,
            env!("CARGO_PKG_VERSION")
        );
        CliError::new(Exit::Held, "other_version", message)
            .hint("`skillhost worker stop` ends it when what is under way is recorded; its runs go on in the next")
    }

    /// Asks for something, and returns the answer; `None` if the daemon is gone.
    pub async fn ask(&mut self, request: &Request) -> Result<Option<Reply>> {
        let asked = match protocol::write(&mut self.writer, request).await {
            Ok(()) => protocol::read(&mut self.reader).await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(Some(Reply::Refused { message })) => Err(CliError::new(Exit::Host, "daemon_refused", message)
                .hint("`skillhost doctor` checks the daemon; its log is in `logs` in the state folder")),
            Ok(reply) => Ok(reply),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => {
                let message = "the daemon was not understood";
                Err(CliError::new(Exit::Host, "daemon_unclear", message)
                    .caused_by(&error)
                    .hint("`skillhost worker stop --force` ends it; its runs go on in the next"))
            }
        }
    }

    /// Has a run driven. `false` if the daemon is gone.
    pub async fn drive(&mut self, run: &RunId, environment: &Environment) -> Result<bool> {
        let request = Request::Drive {
            run: run.clone(),
            environment: environment.reveal().clone(),
        };
        self.is_taken(&request).await
    }

    /// Says that something is in a run's mailbox. `false` if the daemon is gone.
    pub async fn wake(&mut self, run: &RunId) -> Result<bool> {
        self.is_taken(&Request::Wake { run: run.clone() }).await
    }

    /// Has the daemon let go of a run until [`Client::wake`] is said of it, or this connection ends. `false` if the daemon is gone.
    pub async fn lend(&mut self, run: &RunId) -> Result<bool> {
        Ok(self.ask(&Request::Lend { run: run.clone() }).await?.is_some())
    }

    /// Asks for something that only a daemon does which is not ending; one that is, is waited for.
    async fn is_taken(&mut self, request: &Request) -> Result<bool> {
        match self.ask(request).await? {
            Some(Reply::Drained) => start::wait_until_drained(&self.home).await.map(|()| false),
            reply => Ok(reply.is_some()),
        }
    }

    /// Returns how the daemon is, unless it is gone.
    pub async fn status(&mut self) -> Result<Option<Status>> {
        Ok(match self.ask(&Request::Status).await? {
            Some(Reply::Status(status)) => Some(*status),
            _ => None,
        })
    }

    /// Begins to watch a run; [`Client::sight`] tells what is seen. `false` if the daemon is gone.
    pub async fn watch(&mut self, run: &RunId) -> Result<bool> {
        Ok(self.ask(&Request::Watch { run: run.clone() }).await?.is_some())
    }

    /// Waits for what is seen next.
    pub async fn sight(&mut self) -> Sight {
        match protocol::read(&mut self.reader).await {
            Ok(Some(Reply::Seen(seen))) => Sight::Seen(seen),
            Ok(Some(_)) => Sight::Look,
            Ok(None) | Err(_) => Sight::Gone,
        }
    }

    /// Begins to follow a folder of skills; [`Client::next`] tells what changes. `None` if the daemon is gone.
    pub async fn follow(&mut self, library: &Path) -> Result<Option<SkillStates>> {
        let request = Request::Follow {
            library: library.to_owned(),
        };
        Ok(match self.ask(&request).await? {
            Some(Reply::Skills(states)) => Some(states),
            _ => None,
        })
    }

    /// Waits for what the daemon says next, unless it is gone.
    pub async fn next(&mut self) -> Option<Reply> {
        protocol::read(&mut self.reader).await.ok().flatten()
    }
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

fn unusable(home: &Home, error: &io::Error) -> CliError {
    let message = format!("could not reach the daemon of `{}`", home.root().display());
    CliError::new(Exit::Host, "daemon_unreachable", message)
        .caused_by(error)
        .hint("`--here` drives a run without it")
}

fn silent(home: &Home) -> CliError {
    let who = match address::holder(home) {
        Ok(Some(pid)) => format!("process {}", pid.as_raw_nonzero()),
        _ => "the daemon".to_owned(),
    };
    CliError::new(
        Exit::Held,
        "daemon_silent",
        format!("{who} holds the runs and does not answer"),
    )
    .hint("it may have been stopped; `skillhost worker stop --force` ends it, and its runs go on in the next")
}
