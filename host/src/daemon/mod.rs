//! The worker daemon: one process of a state folder that drives the runs of all commands, so that a run outlives the terminal it was launched from.
//!
//! The first command that needs it starts it ([`Client::ensure`]); it ends by itself when there is nothing to do for a while. It is found by its socket and seen to live by its lock
//! (`address`). Its runs are in the `roster`, a task each; `lookout` notices what nobody tells it; `server` answers commands. It holds no truth of its own: what it knows is in the
//! journal, and when it is killed the next one goes on from there.

mod address;
mod client;
mod fate;
mod herald;
mod lookout;
mod protocol;
mod roster;
mod server;
mod start;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use skillhost_core::machine::Status as Standing;
use skillhost_journal::{Journal, RunFilter, SqliteJournal};
use skillhost_runtime::{Engine, EngineConfig, Loader, LoaderConfig};
use tokio::sync::{Notify, watch};

pub use client::{Client, Sight};
pub use protocol::{Reply, Request, Status};

use crate::config::{Config, WorkerConfig};
use crate::driver::{self, Residency, Room, Worker};
use crate::env::Environment;
use crate::error::{CliError, REPORT, Result};
use crate::exit::Exit;
use crate::home::Home;
use crate::notify::Notifier;
use herald::Herald;
use roster::Roster;
use server::Server;

/// The most guests that may wait in memory, whatever they hold.
const WAITING_MAX: usize = 448;

/// How often it is seen to that the state folder is still there.
const LOOK_AT_FOLDER_EVERY: Duration = Duration::from_secs(2);

/// How long notices may take that are still to be passed on when the daemon ends.
const NOTICES_WAIT: Duration = Duration::from_secs(10);

/// How a daemon is to be.
#[derive(Clone, Debug)]
pub struct Tenure {
    /// When it began.
    since: Instant,
    /// The most runs that may work at once.
    runs_max: usize,
    /// Whether it stays although there is nothing to do.
    stays: bool,
    /// How long it stays otherwise.
    idle: Duration,
}

/// What became of a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It ended when it was asked to, or had nothing to do.
    Ended,
    /// Another one was there.
    AlreadyThere,
}

/// Is the daemon, until it is told to end or has nothing to do for a while.
pub fn serve(home: &Home, config: &Config, environment: &Environment, stays: bool) -> Result<Served> {
    home.make()?;
    let lock = address::Lock::take(home).map_err(|e| unusable(home, &e))?;
    let Some(_lock) = lock else {
        return Ok(Served::AlreadyThere);
    };
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let tokio = tokio.map_err(|e| CliError::new(Exit::Host, "no_threads", "could not start threads").caused_by(&e))?;
    let tenure = Tenure {
        since: Instant::now(),
        runs_max: config.worker.runs_max(),
        stays,
        idle: config.worker.idle(),
    };
    let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::open(&home.journal())?);
    let residency = Residency::new(&room(&config.worker));
    let worker = Worker::open(home, journal, loader(home, &config.worker)?)?;
    tokio.block_on(async {
        let (notifier, telling) = Notifier::new(config, environment.search_path.as_deref());
        let herald = Herald::new(home, notifier);
        let own = environment.model.clone();
        let roster = Roster::new(worker, residency, herald, config.model.clone(), own);
        live(home, roster, tenure).await?;
        telling.finish(NOTICES_WAIT).await;
        Ok::<_, CliError>(())
    })?;
    // What was appended is durable when the journal is closed, which the end of the process does not wait for.
    Ok(Served::Ended)
}

fn room(config: &WorkerConfig) -> Room {
    Room {
        runs_max: config.runs_max(),
        runs_max_of: config.runs_max_of(),
        waiting_bytes_max: config.waiting_bytes_max(),
        waiting_max: WAITING_MAX,
    }
}

fn loader(home: &Home, config: &WorkerConfig) -> Result<Loader> {
    let guests_max = u32::try_from(config.runs_max() + WAITING_MAX).unwrap_or(u32::MAX);
    let engine = Engine::new(&EngineConfig::many_runs(guests_max));
    let engine = engine.map_err(|e| CliError::of(Exit::Internal, "internal", &e).hint(REPORT))?;
    let config = LoaderConfig {
        cache: Some(home.compiled()),
        ..LoaderConfig::default()
    };
    Loader::new(&engine, &config).map_err(|e| CliError::of(Exit::Internal, "internal", &e).hint(REPORT))
}

async fn live(home: &Home, roster: Arc<Roster>, tenure: Tenure) -> Result<()> {
    let listener = server::listen(home).map_err(|e| unusable(home, &e))?;
    let (ends, mut ended) = watch::channel(false);
    let server = Arc::new(Server {
        roster: Arc::clone(&roster),
        tenure,
        connections: AtomicUsize::new(0),
        disconnected: Notify::new(),
        ends,
    });
    tracing::info!(worker = %roster.worker().id(), "listening");
    begin(&roster)?;
    let told = async {
        // The sender lives as long as the server.
        ended.wait_for(|ends| *ends).await.ok();
    };
    tokio::select! {
        () = server::accept(Arc::clone(&server), listener) => {}
        () = lookout::keep_time(Arc::clone(&roster)) => {}
        () = lookout::look_around(Arc::clone(&roster)) => {}
        () = roster.tell_on() => {}
        () = nothing_to_do(&server) => tracing::info!("nothing to do"),
        () = folder_gone(home) => tracing::error!("the state folder is gone"),
        () = told => tracing::info!("told to end"),
        () = terminated() => {
            roster.drain();
            roster.emptied().await;
            tracing::info!("terminated");
        }
    }
    roster.tell_rest();
    Ok(())
}

/// Goes on with every run that nobody drives and that has something to do.
fn begin(roster: &Arc<Roster>) -> Result<()> {
    let running = RunFilter {
        status: vec![Standing::Running],
        ..RunFilter::default()
    };
    // Oldest first.
    for row in roster.journal().runs(&running)?.iter().rev() {
        roster.wake(&row.run);
    }
    Ok(())
}

/// Waits until a service manager or a person asks the process to end.
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Waits until there has been nothing to do for as long as the daemon stays. A time that a run waits for keeps it.
async fn nothing_to_do(server: &Server) {
    loop {
        server.roster.emptied().await;
        tokio::time::sleep(server.tenure.idle).await;
        let waits = server
            .roster
            .journal()
            .next_deadline(skillhost_core::time::Timestamp(0));
        let idle = server.roster.len() == 0 && server.connections.load(Ordering::SeqCst) == 0;
        if idle && !server.tenure.stays && waits.is_ok_and(|deadline| deadline.is_none()) {
            return;
        }
    }
}

/// Waits until the state folder is not there any more: whoever removed it wants no daemon in it.
async fn folder_gone(home: &Home) {
    while home.daemon_lock().exists() {
        tokio::time::sleep(LOOK_AT_FOLDER_EVERY).await;
    }
}

/// Returns whether a process is the daemon, however slow. Not to be asked by the daemon itself.
pub fn is_there(home: &Home) -> bool {
    address::holder(home).is_ok_and(|holder| holder.is_some())
}

/// Starts the daemon if there is something that it would do, and does not wait for it. For commands that only look.
pub fn revive(home: &Home, journal: &dyn Journal) -> Result<()> {
    if is_there(home) {
        return Ok(());
    }
    let running = RunFilter {
        status: vec![Standing::Running],
        ..RunFilter::default()
    };
    let interrupted =
        |row: &skillhost_journal::RunRow| row.holder.as_ref().is_none_or(|holder| !driver::is_alive(home, holder));
    let due = !journal
        .due(driver::now())?
        .iter()
        .all(|due| due.status != Standing::Waiting);
    if due || journal.runs(&running)?.iter().any(interrupted) {
        start::spawn(home)?;
    }
    Ok(())
}

/// Kills the process that is the daemon, whatever it does, and returns which it was (rule L1). Its runs go on in the next.
pub async fn kill(home: &Home) -> Result<Option<u32>> {
    start::kill(home).await
}

/// Waits until no process is the daemon.
pub async fn wait_until_gone(home: &Home) -> Result<()> {
    start::wait_until_gone(home).await
}

/// Makes this process one of its own, that does not end with the terminal it was started from.
pub fn detach() {
    // It fails for the leader of a group, which whoever started this did not make it; then it is what it should be already.
    rustix::process::setsid().ok();
}

fn unusable(home: &Home, error: &std::io::Error) -> CliError {
    let message = format!(
        "could not open the daemon's lock or socket in `{}`",
        home.root().display()
    );
    CliError::new(Exit::Storage, "no_socket", message)
        .caused_by(error)
        .hint("`skillhost doctor` checks the state folder")
}
