//! Starting the daemon as a process of its own, and ending one that does not end by itself.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use skillhost_core::planted::{self, Bug};

use super::address;
use super::client::Client;
use crate::env::{self, Environment};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::{self, Home};
use crate::terminal;

/// How long a daemon may take until it listens.
const START_WAIT: Duration = Duration::from_secs(30);

/// How long a process that was killed may take to be gone.
const GONE_WAIT: Duration = Duration::from_secs(10);

/// After this long, whoever waits is told for what.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// The first pause between two looks; each is twice as long as the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(1);

/// The longest pause between two looks.
const PAUSE_LONGEST: Duration = Duration::from_millis(32);

/// The file that takes what the daemon says before it has a log, and what it says when it panics.
const STDERR: &str = "daemon.stderr";

/// The file is emptied when it is longer than this, in bytes.
const STDERR_BYTES_MAX: u64 = 1 << 20;

/// Starts the daemon and connects to it. Of several that are started at once one stays, and all connect to it.
pub(super) async fn start(home: &Home) -> Result<Client> {
    let mut child = Some(spawn(home)?);
    let mut pauses = Pauses::new(START_WAIT);
    loop {
        if let Some(client) = Client::connect(home).await? {
            return Ok(client);
        }
        let end = child.as_mut().map(Child::try_wait).transpose();
        match end.map(Option::flatten) {
            Ok(Some(status)) if !status.success() => return Err(ended(home, status)),
            // Another one was faster, and listens soon; or it had nothing to do for a while and is gone again.
            Ok(Some(_)) => child = None,
            Ok(None) if child.is_none() && address::holder(home).is_ok_and(|holder| holder.is_none()) => {
                child = Some(spawn(home)?);
            }
            Ok(None) => {}
            Err(error) => return Err(did_not_start(home, &error.to_string())),
        }
        if !pauses.pause().await {
            return Err(did_not_start(home, "it did not listen in time"));
        }
    }
}

/// Starts the daemon and does not wait for it: for commands that only notice that there is something to do.
pub(super) fn spawn(home: &Home) -> Result<Child> {
    let said = stderr(home).map_err(|e| {
        let message = format!(
            "the daemon did not start: could not write to `{}`",
            home.logs().display()
        );
        CliError::new(Exit::Storage, "home_not_writable", message)
            .caused_by(&e)
            .hint("`skillhost doctor` checks the state folder")
    })?;
    let spawned = (|| {
        Command::new(std::env::current_exe()?)
            .args(["worker", "run", "--detached"])
            .env(env::HOME, home.root())
            .envs(skills_folder())
            .current_dir(home.root())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
    })();
    spawned.map_err(|e| did_not_start(home, &e.to_string()))
}

/// Opens the file that takes what the daemon says before it has a log.
fn stderr(home: &Home) -> io::Result<File> {
    home::make_folder(&home.logs())?;
    let path = home.logs().join(STDERR);
    let is_long = std::fs::metadata(&path).is_ok_and(|said| said.len() > STDERR_BYTES_MAX);
    let said = File::options()
        .create(true)
        .append(true)
        .mode(home::FILE_MODE)
        .open(path)?;
    if is_long {
        said.set_len(0)?;
    }
    Ok(said)
}

/// Returns the variable that names the folder of skills, as it is to be understood from another folder.
fn skills_folder() -> Option<(&'static str, PathBuf)> {
    let folder = Environment::current().skills?;
    Some((env::SKILLS, std::path::absolute(folder).ok()?))
}

/// Says why a daemon that ended at once did not start: in its own words, which are the last that it wrote.
pub(super) fn ended(home: &Home, status: ExitStatus) -> CliError {
    let said = std::fs::read_to_string(home.logs().join(STDERR)).unwrap_or_default();
    let last = said.lines().rev().find_map(|line| line.strip_prefix("error: "));
    did_not_start(home, last.unwrap_or(&status.to_string()))
}

fn did_not_start(home: &Home, why: &str) -> CliError {
    let message = format!("the daemon did not start: {why}");
    CliError::new(Exit::Host, "daemon_did_not_start", message).hint(format!(
        "`{}` holds what it said; `--here` drives a run without it",
        home.logs().join(STDERR).display()
    ))
}

/// Waits until no process holds the daemon's lock.
pub(super) async fn wait_until_gone(home: &Home) -> Result<()> {
    let mut pauses = Pauses::new(GONE_WAIT);
    while let Some(pid) = holder(home)? {
        if !pauses.pause().await {
            let message = format!("process {}, which is the daemon, does not end", pid.as_raw_nonzero());
            return Err(CliError::new(Exit::Held, "daemon_stays", message)
                .hint("`skillhost worker stop --force` ends it; its runs go on in the next"));
        }
    }
    Ok(())
}

/// Waits until a daemon that is ending is gone, however long what is under way takes to come back.
pub(super) async fn wait_until_drained(home: &Home) -> Result<()> {
    let mut told = false;
    let mut pauses = Pauses::new(TELL_AFTER);
    while holder(home)?.is_some() {
        if !pauses.pause().await && !std::mem::replace(&mut told, true) {
            terminal::note(
                "note: the daemon is ending, and records what is under way; the next one starts after that ...",
            );
        }
    }
    Ok(())
}

/// Returns the process groups that a process has started: its children that lead one. What they do would go on without it, and be done again by the next daemon.
///
/// `ps` is asked, as every system has it and none has a call for this in common.
fn groups_of(pid: Pid) -> Vec<Pid> {
    let listed = Command::new("ps").args(["-A", "-o", "pid=,ppid=,pgid="]).output();
    let Ok(listed) = listed else { return Vec::new() };
    let lines = String::from_utf8_lossy(&listed.stdout);
    let children = lines.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<i32>);
        let (child, parent, group) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        let leads = parent == pid.as_raw_nonzero().get() && group == child;
        Pid::from_raw(group).filter(|_| leads)
    });
    children.collect()
}

/// Kills the process that holds the daemon's lock and the process groups that it started (rule L1), and waits until it is gone. Returns which it was.
pub(super) async fn kill(home: &Home) -> Result<Option<u32>> {
    let Some(pid) = holder(home)? else { return Ok(None) };
    if planted::is(Bug::TakeoverSpares) {
        return Ok(Some(pid.as_raw_nonzero().get().unsigned_abs()));
    }
    let groups = groups_of(pid);
    match rustix::process::kill_process(pid, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => {
            let message = format!("could not kill process {}, which is the daemon", pid.as_raw_nonzero());
            return Err(CliError::new(Exit::Host, "not_killed", message).caused_by(&io::Error::from(error)));
        }
    }
    for group in groups {
        // It may have ended with the process that started it.
        rustix::process::kill_process_group(group, Signal::KILL).ok();
    }
    wait_until_gone(home).await?;
    // A process that ends frees its locks one after the other; the one by which its runs are held may be the last.
    let mut pauses = Pauses::new(GONE_WAIT);
    while !has_ended(pid) && pauses.pause().await {}
    Ok(Some(pid.as_raw_nonzero().get().unsigned_abs()))
}

/// Returns whether a process has freed all it held: it is gone, or nobody has asked for its end yet.
fn has_ended(pid: Pid) -> bool {
    if rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
        return true;
    }
    // The state stands behind the name, which is in brackets. Only some systems have this file; the others' children are asked for at once.
    let folder = format!("/proc/{}", pid.as_raw_nonzero());
    let stat = std::fs::read_to_string(format!("{folder}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    let is_over = state.is_some_and(|state| state.starts_with(['Z', 'X']));
    // That is the state of its first thread; the last one to end frees the locks.
    let threads = std::fs::read_dir(format!("{folder}/task")).map_or(0, Iterator::count);
    is_over && threads <= 1
}

fn holder(home: &Home) -> Result<Option<Pid>> {
    address::holder(home).map_err(|e| {
        CliError::new(Exit::Storage, "no_lock", "could not ask the daemon's lock")
            .caused_by(&e)
            .hint("`skillhost doctor` checks the state folder")
    })
}

/// Longer and longer pauses, up to a time.
struct Pauses {
    until: Instant,
    next: Duration,
}

impl Pauses {
    fn new(longest: Duration) -> Self {
        Self {
            until: Instant::now() + longest,
            next: PAUSE_FIRST,
        }
    }

    /// Waits; `false` when the time is over.
    async fn pause(&mut self) -> bool {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(PAUSE_LONGEST);
        Instant::now() < self.until
    }
}
