//! Which processes were started for a run, so that what is left of them after a crash of the host can be ended, and nothing else.
//!
//! Each program has a file while it runs, written before it is let go. A process number alone names nobody, as the system gives it to another sooner or later: so beside it
//! stands when the process was started, and it counts only together with that. The file need not outlive a power cut, which no process does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};
use skillhost_core::id::Number;
use skillhost_core::planted::{self, Bug};

use super::table::{self, Found};

/// The variable that every program is given: the key of the call. What a program starts has it too, unless it takes it away.
pub(super) const MARK: &str = "SKILLHOST_CALL";

/// How long to wait for a process that was killed to be gone. One that takes longer hangs in the kernel.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// How long to wait for that where others wait for this thread. What is left then stays noted.
const CUT_SHORT_WITHIN: Duration = Duration::from_millis(500);

const PAUSE: Duration = Duration::from_millis(2);

/// The files about the programs of a run.
#[derive(Clone, Debug)]
pub(super) struct Records(PathBuf);

/// What is known of a program that runs.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Started {
    /// Which process, and so which group.
    pid: i32,
    /// The session that the group is in.
    session: i32,
    /// When it was started, in the system's own words.
    since: String,
    /// The key of the call.
    key: String,
    /// What was started, for people.
    program: String,
}

/// The file about one program; it is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    /// What it says, once it is written.
    started: Option<Started>,
}

impl Records {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Makes room for the file about a call's program.
    pub(super) fn reserve(&self, number: Number) -> io::Result<Record> {
        use std::os::unix::fs::DirBuilderExt as _;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let path = self.0.join(format!("{number}.json"));
        // Left by an earlier program of the same call, of which something did not end at once.
        if let Some(started) = path.exists().then(|| read(&path)).transpose()?.flatten() {
            started.end(GONE_WITHIN)?;
        }
        remove(&path)?;
        let record = Record { path, started: None };
        remove(&record.failure())?;
        Ok(record)
    }
}

impl Record {
    /// Returns where it is written why the program could not begin.
    pub(super) fn failure(&self) -> PathBuf {
        self.path.with_extension("failure")
    }

    /// Writes down which process it is.
    pub(super) fn write(&mut self, pid: Pid, key: &str, program: &str) -> io::Result<()> {
        let found = table::find(pid).ok_or_else(|| io::Error::other("the system does not tell when it was started"))?;
        let started = Started {
            pid: pid.as_raw_nonzero().get(),
            session: found.session,
            since: found.since,
            key: key.to_owned(),
            program: program.to_owned(),
        };
        let text = serde_json::to_vec(&started).map_err(io::Error::other)?;
        let unfinished = self.path.with_extension("new");
        fs::write(&unfinished, text)?;
        fs::rename(unfinished, &self.path)?;
        self.started = Some(started);
        Ok(())
    }

    /// Ends all that came of a program which is not waited for to its end, also what left its group.
    pub(super) fn cut_short(&mut self) {
        if let Some(started) = self.started.take()
            && let Err(error) = started.end(CUT_SHORT_WITHIN)
        {
            tracing::warn!("a program was cut short, and something of it goes on: {error}");
            self.started = Some(started);
        }
    }

    /// Notes that the program ended by itself: what left its group may go on.
    pub(super) fn ended(&mut self) {
        self.started = None;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.cut_short();
        if self.started.is_some() {
            return;
        }
        // What stays behind names a process that is gone, which is found out.
        let _ = remove(&self.path);
        let _ = remove(&self.failure());
        if let Some(folder) = self.path.parent() {
            // The last one takes the folder along.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Ends what is left of the programs that an earlier process of the host started for a run, whose files are in `folder`, and returns what they were.
///
/// To be called by whoever holds the run, before anything of it is performed.
///
/// # Errors
/// If one cannot be ended: nothing of the run must be done again while it is at work.
pub fn end_survivors(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut ended = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json")
            && let Some(started) = read(&path)?
            && !planted::is(Bug::SurvivorsLeft)
            && started.end(GONE_WITHIN)?
        {
            ended.push(started.program);
        }
        remove(&path)?;
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(ended),
    }
}

/// Reads a file about a program; `None` if it is not whole, which it is before the program is let go.
fn read(path: &Path) -> io::Result<Option<Started>> {
    Ok(serde_json::from_slice(&fs::read(path)?).ok())
}

impl Started {
    /// Ends what is left of it, and returns whether there was anything.
    ///
    /// # Errors
    /// If something is still there after so long.
    fn end(&self, within: Duration) -> io::Result<bool> {
        let mut found = false;
        if let Some(pid) = Pid::from_raw(self.pid)
            && self.hold(pid)?
        {
            // It is stopped, so it neither ends nor is its number given to another: the group is its own.
            found = true;
            kill_process_group(pid, Signal::KILL)?;
        }
        let begun = Instant::now();
        loop {
            let left: Vec<Found> = table::processes()
                .into_iter()
                .filter(|process| process.bears(MARK, &self.key) || self.is(process) || self.leads(process))
                .collect();
            if left.is_empty() {
                return Ok(found);
            }
            found = true;
            if begun.elapsed() > within {
                return Err(io::Error::other(format!(
                    "process {}, which was started by `{}`, does not end",
                    left[0].pid, self.program
                )));
            }
            for process in left {
                if let Some(pid) = Pid::from_raw(process.pid)
                    && table::since(pid).as_ref() == Some(&process.since)
                {
                    signal(pid, Signal::KILL)?;
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Returns whether this is the process that was started.
    fn is(&self, process: &Found) -> bool {
        process.pid == self.pid && process.since == self.since
    }

    /// Returns whether the process is in the group that was started, whose leader may be gone.
    ///
    /// The number of a group is given to nobody else while it has a member. If all were gone, and another group was given it, that has a leader of its own, or is in another
    /// session.
    fn leads(&self, process: &Found) -> bool {
        let leader = || Pid::from_raw(self.pid).and_then(table::since);
        process.group == self.pid && process.session == self.session && leader().is_none_or(|since| since == self.since)
    }

    /// Stops the process if it is the one that was started. Another that was stopped by mistake, because it was given the number in that moment, goes on.
    fn hold(&self, pid: Pid) -> io::Result<bool> {
        let is_it = || table::since(pid).as_deref() == Some(self.since.as_str());
        if !is_it() {
            return Ok(false);
        }
        signal(pid, Signal::STOP)?;
        if is_it() {
            return Ok(true);
        }
        signal(pid, Signal::CONT)?;
        Ok(false)
    }
}

/// Sends a signal to a process that may be gone.
fn signal(pid: Pid, signal: Signal) -> io::Result<()> {
    match kill_process(pid, signal) {
        Err(Errno::SRCH) => Ok(()),
        sent => Ok(sent?),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
