//! The worker daemon: one process of a state folder that drives the runs of all commands, so that a run outlives the terminal it was launched from.
//!
//! The first command that needs it starts it ([`Client::ensure`]); it ends by itself when there is nothing to do for a while. It is found by its socket and seen to live by its lock
//! (`address`). Its runs are in the `roster`, a task each; `lookout` notices what nobody tells it; `server` answers commands. It holds no truth of its own: what it knows is in the
//! journal, and when it is killed the next one goes on from there.

mod address;
mod backlog;
mod client;
mod fate;
mod herald;
mod librarian;
mod lookout;
mod protocol;
mod roster;
mod server;
#[cfg(feature = "simulation")]
mod simulated;
mod start;

use std::collections::HashSet;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use skillhost_core::id::{MailId, WorkerId};
use skillhost_core::machine::Status as Standing;
use skillhost_core::time::Timestamp;
use skillhost_journal::{Journal, SqliteJournal, failpoint};
use skillhost_runtime::{Engine, EngineConfig, Loader};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use client::{Client, Sight};
pub use librarian::{SkillSight, SkillState, SkillStates};
pub use protocol::{Following, Reply, Request, Status};
#[cfg(feature = "simulation")]
pub use simulated::Simulated;

use crate::config::{Config, WorkerConfig};
use crate::driver::{self, Room, Worker};
use crate::env::Environment;
use crate::error::{CliError, REPORT, Result};
use crate::exit::Exit;
use crate::home::Home;
use crate::notify::Notifier;
use crate::skills::Library;
use crate::{descriptors, failpoints, limits};
use herald::Herald;
use librarian::Librarian;
use roster::Roster;
use server::Server;

/// The most guests that may wait in memory, whatever they hold.
const WAITING_MAX: usize = 448;

/// How many runs are read from the journal at a time.
const FOUND_AT_ONCE: usize = 256;

/// How often it is seen to that there is something to do.
const LOOK_AT_ROSTER_EVERY: Duration = Duration::from_secs(5);

/// How often it is seen to that the state folder is still there.
const LOOK_AT_FOLDER_EVERY: Duration = Duration::from_secs(2);

/// How long notices may take that are still to be passed on when the daemon ends.
const NOTICES_WAIT: Duration = Duration::from_secs(3);

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
pub fn serve(
    home: &Home,
    library: &Library,
    config: &Config,
    environment: &Environment,
    stays: bool,
) -> Result<Served> {
    home.make()?;
    let lock = address::Lock::take(home).map_err(|e| unusable(home, &e))?;
    let Some(_lock) = lock else {
        return Ok(Served::AlreadyThere);
    };
    failpoint::hit(failpoints::DAEMON_LOCKED);
    // A run that is alone waits for the disk on one of these, and the others are served meanwhile.
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().max(2));
    let mut tokio = tokio::runtime::Builder::new_multi_thread();
    let tokio = descriptors::ensure().and_then(|()| tokio.enable_all().worker_threads(threads).build());
    let tokio = tokio.map_err(|e| CliError::new(Exit::Host, "no_threads", "could not start threads").caused_by(&e))?;
    let tenure = Tenure {
        since: Instant::now(),
        runs_max: config.worker.runs_max(),
        stays,
        idle: config.worker.idle(),
    };
    let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::open(&home.journal())?);
    let loader = loader(home, config)?;
    let worker = Worker::open(home, journal, loader.clone())?;
    tokio.block_on(async {
        let (notifier, telling) = Notifier::new(config, environment.search_path.as_deref());
        let herald = Herald::new(home, notifier);
        let own = environment.model.clone();
        let roster = Roster::new(
            worker,
            room(&config.worker),
            herald,
            config.model.clone(),
            home.keys(),
            own,
        );
        live(home, library, roster, loader, tenure).await?;
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

fn loader(home: &Home, config: &Config) -> Result<Loader> {
    let guests_max = u32::try_from(room(&config.worker).guests_max()).unwrap_or(u32::MAX);
    let engine = limits::engine(&config.limits, EngineConfig::many_runs(guests_max));
    let engine = Engine::new(&engine);
    let engine = engine.map_err(|e| CliError::of(Exit::Internal, "internal", &e).hint(REPORT))?;
    let config = limits::loader(&config.limits, Some(home.compiled()));
    Loader::new(&engine, &config).map_err(|e| CliError::of(Exit::Internal, "internal", &e).hint(REPORT))
}

async fn live(home: &Home, library: &Library, roster: Arc<Roster>, loader: Loader, tenure: Tenure) -> Result<()> {
    let listener = server::listen(home).map_err(|e| unusable(home, &e))?;
    let (ends, mut ended) = watch::channel(false);
    let (librarian, tending) = Librarian::new(Arc::clone(roster.journal()), loader, home, library);
    let server = Arc::new(Server {
        roster: Arc::clone(&roster),
        librarian,
        tenure,
        connections: AtomicUsize::new(0),
        ends,
    });
    tracing::info!(worker = %roster.worker().id(), "listening");
    failpoint::hit(failpoints::DAEMON_LISTENING);
    // Before anybody can ask for anything, so that what was interrupted comes first.
    let seen = lookout::Seen::begin(&roster)?;
    // Tasks of their own, so that none keeps another waiting.
    let mut tasks = JoinSet::new();
    tasks.spawn(server::accept(Arc::clone(&server), listener));
    tasks.spawn(lookout::keep_time(Arc::clone(&roster)));
    tasks.spawn(lookout::look_around(Arc::clone(&roster), seen));
    tasks.spawn(Arc::clone(&roster).tell_on());
    tasks.spawn(tending.tend(library.clone()));
    tokio::select! {
        // The sender lives as long as the server.
        _ = ended.wait_for(|ends| *ends) => tracing::info!("told to end"),
        () = nothing_to_do(&server) => tracing::info!("nothing to do"),
        () = folder_gone(home) => {
            // What is under way can be recorded nowhere, so it is not waited for.
            tracing::error!("the state folder is gone");
            tasks.shutdown().await;
            return Ok(());
        }
        () = terminated() => tracing::info!("terminated"),
    }
    roster.drain();
    roster.emptied().await;
    failpoint::hit(failpoints::DAEMON_DRAINED);
    tasks.shutdown().await;
    roster.tell_rest();
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

/// Waits until there has been nothing to do for as long as the daemon stays. A time that a run waits for keeps it; who waits for somebody does not.
async fn nothing_to_do(server: &Server) {
    let tenure = &server.tenure;
    let mut busy_at = Instant::now();
    loop {
        tokio::time::sleep(LOOK_AT_ROSTER_EVERY.min(tenure.idle)).await;
        let is_idle = server.roster.working() == 0 && server.connections.load(Ordering::SeqCst) == 0;
        if tenure.stays || !is_idle {
            busy_at = Instant::now();
            continue;
        }
        let waits = server.roster.journal().next_deadline(Timestamp(0));
        if busy_at.elapsed() >= tenure.idle && waits.is_ok_and(|deadline| deadline.is_none()) {
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
pub fn revive(home: &Home, journal: &dyn Journal) -> Result<Option<Child>> {
    match !is_there(home) && has_business(home, journal)? {
        true => start::spawn(home).map(Some),
        false => Ok(None),
    }
}

/// Says why a daemon that was started ended at once.
pub fn did_not_start(home: &Home, status: ExitStatus) -> CliError {
    start::ended(home, status)
}

/// Returns whether a daemon would find something to do: a run that was interrupted, a time that has come, mail that is waited for.
fn has_business(home: &Home, journal: &dyn Journal) -> Result<bool> {
    let mut alive = HashSet::new();
    // Each holder is asked for once, as one may hold thousands.
    let mut is_held = |holder: Option<WorkerId>| {
        let Some(holder) = holder else { return false };
        alive.contains(&holder) || (driver::is_alive(home, &holder) && alive.insert(holder))
    };
    let mut after = None;
    loop {
        let running = journal.running(after.as_ref(), FOUND_AT_ONCE)?;
        let Some(last) = running.last().map(|found| found.run.clone()) else {
            break;
        };
        if running.into_iter().any(|found| !is_held(found.holder)) {
            return Ok(true);
        }
        after = Some(last);
    }
    if journal
        .due(driver::now())?
        .iter()
        .any(|due| due.status == Standing::Waiting)
    {
        return Ok(true);
    }
    for (run, _) in journal.mail_since(MailId(0))? {
        if driver::is_wanted(journal, &run)? && !is_held(journal.run(&run)?.holder) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Kills the process that is the daemon, whatever it does, and returns which it was (rule L1). Its runs go on in the next.
pub async fn kill(home: &Home) -> Result<Option<u32>> {
    start::kill(home).await
}

/// Waits until no process is the daemon; not for long.
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

/// Locks what the daemon's tasks share. Nothing that runs under such a lock leaves it half done, so one that was poisoned is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
