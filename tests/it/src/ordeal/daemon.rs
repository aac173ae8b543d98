//! The daemon of an ordeal, as somebody sees it who is going to stop or kill it: the process that its lock names, and not a number that may be another's by then.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Flock, FlockType, Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use skillhost_core::id::WorkerId;

use super::Ordeal;

/// How long to wait until a process has noticed that it is stopped, before it is looked at again.
const PAUSE: Duration = Duration::from_micros(100);

/// A process that was the daemon when it was looked for.
pub(super) struct Daemon {
    pub(super) pid: Pid,
    process: OwnedFd,
}

impl Daemon {
    /// Finds it.
    pub(super) fn of(ordeal: &Ordeal) -> Option<Self> {
        let pid = holder(ordeal)?;
        let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // What was opened is who holds the lock, if its number still does.
        (holder(ordeal) == Some(pid)).then_some(Self { pid, process })
    }

    /// Stops it, and waits until nothing of it runs. Returns whether it holds the lock then: it neither ends nor gives anything back from now on.
    pub(super) fn stop(&self, ordeal: &Ordeal) -> bool {
        self.send(Signal::STOP);
        while holder(ordeal) == Some(self.pid) && !is_stopped(self.pid) {
            std::thread::sleep(PAUSE);
        }
        holder(ordeal) == Some(self.pid)
    }

    /// Lets it go on.
    pub(super) fn go_on(&self) {
        self.send(Signal::CONT);
    }

    /// Kills it, and waits until it is gone. Returns whether it is this that it ended of, and not by itself a moment before.
    pub(super) fn kill(&self, ordeal: &Ordeal) -> bool {
        let is_there = self.stop(ordeal);
        let is_sent = self.send(Signal::KILL);
        ordeal.place.until(|| holder(ordeal) != Some(self.pid));
        is_there && is_sent
    }

    /// Returns the worker that it is, by the lock file that it has open.
    pub(super) fn worker(&self) -> Option<WorkerId> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid.as_raw_nonzero())).ok()?;
        let files = open.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
        let mut locks = files.filter(|file| file.parent().is_some_and(|folder| folder.ends_with("workers")));
        WorkerId::parse(locks.next()?.file_stem()?.to_str()?).ok()
    }

    fn send(&self, signal: Signal) -> bool {
        pidfd_send_signal(&self.process, signal).is_ok()
    }
}

/// Returns the process that is the daemon, asked of its lock.
pub(super) fn holder(ordeal: &Ordeal) -> Option<Pid> {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(ordeal.place.state().daemon_lock())
        .ok()?;
    let asked = Flock::from(FlockType::WriteLock);
    rustix::process::fcntl_getlk(file, &asked)
        .ok()?
        .and_then(|lock| lock.pid)
}

/// Returns whether every thread of a process is stopped.
fn is_stopped(pid: Pid) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    threads.into_iter().flatten().flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // Its name, which may hold anything, stands in parentheses before its state.
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
    })
}
