//! The daemon's end of the socket: a task for each connection.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use skillhost_core::id::RunId;
use skillhost_effects::model::Environment;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::Tenure;
use super::librarian::Librarian;
use super::protocol::{self, Following, Hello, Reply, Request, Status};
use super::roster::Roster;
use crate::home::Home;

/// After a connection could not be taken, how long until the next is tried: there may be too many open files.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// How often a stopping daemon says what it waits for.
const DRAINING_EVERY: Duration = Duration::from_secs(1);

/// What connections share.
pub(super) struct Server {
    pub(super) roster: Arc<Roster>,
    pub(super) librarian: Arc<Librarian>,
    pub(super) tenure: Tenure,
    pub(super) connections: AtomicUsize,
    /// Set when the daemon is to end.
    pub(super) ends: watch::Sender<bool>,
}

/// Begins to listen. A socket that an earlier daemon left behind is replaced: whoever calls this holds the daemon's lock.
pub(super) fn listen(home: &Home) -> io::Result<UnixListener> {
    let path = super::address::socket(home)?;
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Takes connections, for ever.
pub(super) async fn accept(server: Arc<Server>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                server.connections.fetch_add(1, Ordering::SeqCst);
                let server = Arc::clone(&server);
                tokio::spawn(async move {
                    if let Err(error) = Connection::new(&server, stream).serve().await {
                        tracing::debug!("a connection ended: {error}");
                    }
                    server.connections.fetch_sub(1, Ordering::SeqCst);
                });
            }
            Err(error) => {
                tracing::error!("could not take a connection: {error}");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

/// How many bytes of what is seen of a run are sent in one go.
const LINES_BYTES_AT_ONCE: usize = 16 << 10;

struct Connection<'a> {
    server: &'a Server,
    borrowed: Borrowed,
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

/// The runs that the other side was lent; they are taken back when it is gone.
struct Borrowed {
    roster: Arc<Roster>,
    runs: Vec<RunId>,
}

impl Borrowed {
    /// Takes a run back, if the other side has it.
    fn give_back(&mut self, run: &RunId) -> bool {
        let Some(index) = self.runs.iter().position(|borrowed| borrowed == run) else {
            return false;
        };
        self.roster.take_back(&self.runs.swap_remove(index));
        true
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        for run in &self.runs {
            self.roster.take_back(run);
        }
    }
}

impl<'a> Connection<'a> {
    fn new(server: &'a Server, stream: UnixStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self {
            server,
            borrowed: Borrowed {
                roster: Arc::clone(&server.roster),
                runs: Vec::new(),
            },
            reader: BufReader::new(reader),
            writer,
        }
    }

    async fn serve(mut self) -> io::Result<()> {
        protocol::write(&mut self.writer, &Hello::own()).await?;
        loop {
            let request = match protocol::read(&mut self.reader).await {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(()),
                Err(error) => {
                    let message = error.to_string();
                    protocol::write(&mut self.writer, &Reply::Refused { message }).await?;
                    return Err(error);
                }
            };
            match request {
                Request::Watch { run } => return self.show(&run).await,
                Request::Follow { library } => return self.follow(&library).await,
                Request::Lend { run } => self.lend(run).await?,
                Request::Wake { run } if self.borrowed.give_back(&run) => {
                    protocol::write(&mut self.writer, &Reply::Done).await?;
                }
                Request::Stop => return self.stop().await,
                Request::StopIfIdle => return self.stop_if_idle().await,
                other => {
                    let reply = self.answer(other);
                    protocol::write(&mut self.writer, &reply).await?;
                }
            }
        }
    }

    fn answer(&self, request: Request) -> Reply {
        let roster = &self.server.roster;
        let taken = match request {
            Request::Drive { run, environment } => {
                roster.drive(&run, Environment::of(|name| environment.get(name).cloned()))
            }
            Request::Wake { run } => roster.wake(&run),
            Request::Status => return Reply::Status(Box::new(self.status())),
            Request::Watch { .. }
            | Request::Follow { .. }
            | Request::Lend { .. }
            | Request::Stop
            | Request::StopIfIdle => {
                unreachable!("they are seen to by `serve`")
            }
        };
        match taken {
            true => Reply::Done,
            // It is for the next daemon.
            false => Reply::Drained,
        }
    }

    /// Lends a run to the other side, unless that is gone before the run is free.
    async fn lend(&mut self, run: RunId) -> io::Result<()> {
        self.borrowed.runs.push(run.clone());
        tokio::select! {
            () = self.server.roster.lend(&run) => {}
            gone = self.reader.fill_buf() => {
                gone?;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        protocol::write(&mut self.writer, &Reply::Done).await
    }

    fn status(&self) -> Status {
        let Server {
            roster,
            librarian,
            tenure,
            ..
        } = self.server;
        let (folder, states) = librarian.own();
        Status {
            pid: std::process::id(),
            worker: roster.worker().id().clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            up_seconds: tenure.since.elapsed().as_secs(),
            runs: roster.len(),
            runs_max: tenure.runs_max,
            stays: tenure.stays,
            following: Following::of(folder, &states, librarian.polls()),
        }
    }

    /// Tells what is seen of a run until the other side is gone.
    async fn show(mut self, run: &RunId) -> io::Result<()> {
        let mut sights = self.server.roster.watch(run);
        protocol::write(&mut self.writer, &Reply::Done).await?;
        // It may stand otherwise since whoever watches last looked.
        protocol::write(&mut self.writer, &Reply::Look).await?;
        loop {
            let sight = tokio::select! {
                sight = sights.recv() => sight,
                request = protocol::read::<Request>(&mut self.reader) => return request.map(drop),
            };
            let mut lines = Vec::new();
            match sight {
                Ok(reply) => protocol::line(&reply, &mut lines)?,
                // What was missed is in the journal.
                Err(RecvError::Lagged(_)) => protocol::line(&Reply::Look, &mut lines)?,
                Err(RecvError::Closed) => return Ok(()),
            }
            // A run that is quick is seen more often than a line is sent.
            while lines.len() < LINES_BYTES_AT_ONCE
                && let Ok(reply) = sights.try_recv()
            {
                protocol::line(&reply, &mut lines)?;
            }
            protocol::send(&mut self.writer, &lines).await?;
        }
    }

    /// Tells how the skills of a folder stand, and what changes, until the other side is gone.
    async fn follow(mut self, library: &Path) -> io::Result<()> {
        let librarian = &self.server.librarian;
        let Some((states, mut sights)) = librarian.follow(library).await else {
            let message = format!(
                "`{}` is not followed: too many other folders of skills are",
                library.display()
            );
            return protocol::write(&mut self.writer, &Reply::Refused { message }).await;
        };
        protocol::write(&mut self.writer, &Reply::Skills(states)).await?;
        loop {
            let sight = tokio::select! {
                sight = sights.recv() => sight,
                request = protocol::read::<Request>(&mut self.reader) => return request.map(drop),
            };
            let reply = match sight {
                Ok(sight) => Reply::Skill(sight),
                Err(RecvError::Lagged(_)) => match librarian.look_up(library) {
                    Some((states, newer)) => {
                        sights = newer;
                        Reply::Skills(states)
                    }
                    None => return Ok(()),
                },
                Err(RecvError::Closed) => return Ok(()),
            };
            protocol::write(&mut self.writer, &reply).await?;
        }
    }

    /// Ends the daemon if no run works. Those that only wait leave memory.
    async fn stop_if_idle(mut self) -> io::Result<()> {
        let roster = &self.server.roster;
        if roster.working() > 0 {
            return protocol::write(&mut self.writer, &Reply::Busy).await;
        }
        roster.drain();
        roster.emptied().await;
        let told = protocol::write(&mut self.writer, &Reply::Drained).await;
        self.server.ends.send_replace(true);
        told
    }

    /// Lets what is under way come back, and ends the daemon.
    async fn stop(mut self) -> io::Result<()> {
        let roster = &self.server.roster;
        roster.drain();
        loop {
            let waited = tokio::time::timeout(DRAINING_EVERY, roster.emptied()).await;
            if waited.is_ok() {
                break;
            }
            // Whoever asked may be gone; the daemon stops all the same.
            let reply = Reply::Draining { runs: roster.len() };
            protocol::write(&mut self.writer, &reply).await.ok();
        }
        let told = protocol::write(&mut self.writer, &Reply::Drained).await;
        self.server.ends.send_replace(true);
        told
    }
}
