//! Ends a build from outside, with every process that it consists of.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

/// Ends a build, whichever thread waits for it. Good for one build; clones are of the same.
///
/// Cargo, the compilers that it started and the scripts of crates are a process group of their own, so that a Ctrl-C at the terminal does not reach them but whoever holds this.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Mutex<State>>);

#[derive(Debug, Default)]
enum State {
    #[default]
    NotBegun,
    /// The group of this leader builds.
    Building(Pid),
    /// It is over, and its number may be another process's.
    Over,
    Stopped,
}

impl Stop {
    /// Ends the build at once. One that has not begun does not begin, and one that is over stays as it is.
    pub fn now(&self) {
        let mut state = self.lock();
        match *state {
            State::NotBegun => *state = State::Stopped,
            State::Building(leader) => {
                // Nothing can be done about a process that does not end, and the compiler leaves nothing behind that it would take for whole.
                kill_process_group(leader, Signal::KILL).ok();
                *state = State::Stopped;
            }
            State::Over | State::Stopped => {}
        }
    }

    /// Starts the build, unless it was stopped before.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Option<Child>> {
        let mut state = self.lock();
        if matches!(*state, State::Stopped) {
            return Ok(None);
        }
        let child = command.process_group(0).spawn()?;
        let leader = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        *state = State::Building(leader.expect("a child has a process number"));
        Ok(Some(child))
    }

    /// Waits for the end of the build, which has closed its output, and says whether it was stopped.
    pub(super) fn wait(&self, child: &mut Child) -> io::Result<(ExitStatus, bool)> {
        // Under the lock, so that nobody kills what gets the number of a process that is over.
        let mut state = self.lock();
        let status = child.wait()?;
        let was_stopped = matches!(*state, State::Stopped);
        if !was_stopped {
            *state = State::Over;
        }
        Ok((status, was_stopped))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock leaves it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_build_ends_with_everything_that_it_started() {
        let stop = Stop::default();
        // The pipe stays open for as long as anything of it lives.
        let mut command = Command::new("sh");
        command
            .args(["-c", "sh -c 'echo begun; exec sleep 1000' & wait"])
            .stdout(Stdio::piped());
        let mut child = stop.spawn(&mut command).unwrap().unwrap();
        let mut said = child.stdout.take().unwrap();
        let mut begun = [0; 6];
        said.read_exact(&mut begun).unwrap();
        stop.now();
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        let (status, was_stopped) = stop.wait(&mut child).unwrap();
        assert!(was_stopped && !status.success(), "{status:?}");
        stop.now();
        assert!(stop.spawn(&mut command).unwrap().is_none(), "it is good for one build");
    }

    #[test]
    fn a_build_that_is_over_is_not_stopped() {
        let stop = Stop::default();
        let mut child = stop.spawn(&mut Command::new("true")).unwrap().unwrap();
        let (status, was_stopped) = stop.wait(&mut child).unwrap();
        stop.now();
        assert!(!was_stopped && status.success(), "{status:?}");
    }
}
