//! The system's processes, as far as it tells of them: read from `/proc`, or where there is none asked of `ps`.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Pid;

/// A process that is alive. One that has ended and that nobody asked about yet is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) pid: i32,
    /// The group that it is in.
    pub(super) group: i32,
    /// The session that the group is in; the same for all where nobody tells.
    pub(super) session: i32,
    /// When it was started, in the system's own words.
    pub(super) since: String,
}

impl Found {
    /// Returns whether the process was started with this variable. Where there is no `/proc`, nobody tells.
    pub(super) fn bears(&self, name: &str, value: &str) -> bool {
        let environment = fs::read(format!("/proc/{}/environ", self.pid)).unwrap_or_default();
        let wanted = format!("{name}={value}");
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
    }
}

/// Returns when a process was started, if it is alive.
pub(super) fn since(pid: Pid) -> Option<String> {
    find(pid).map(|found| found.since)
}

/// Finds a process, if it is alive.
pub(super) fn find(pid: Pid) -> Option<Found> {
    let pid = pid.as_raw_nonzero().get();
    if has_proc() {
        return of_proc(pid);
    }
    let listed = ps(&["-p", &pid.to_string()]);
    listed.into_iter().find(|found| found.pid == pid)
}

/// Returns the processes that are alive.
pub(super) fn processes() -> Vec<Found> {
    if !has_proc() {
        return ps(&["-A"]);
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(of_proc).collect()
}

fn has_proc() -> bool {
    Path::new("/proc/self/stat").exists()
}

fn of_proc(pid: i32) -> Option<Found> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The times count from the start of the system, of which this is the name.
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // The name of the program is in brackets and may hold anything; after it come the state, which is the third, the parent, the group, the session, and so on to the start
    // time, which is the 22nd.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let group = fields.nth(1)?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    let start = fields.nth(15)?;
    (!matches!(state, "Z" | "X")).then(|| Found {
        pid,
        group,
        session,
        since: format!("{start} {}", boot.trim()),
    })
}

fn ps(which: &[&str]) -> Vec<Found> {
    let listed = Command::new("ps")
        .args(which)
        .args(["-o", "pid=,pgid=,stat=,lstart="])
        .output();
    let listed = listed.map(|listed| listed.stdout).unwrap_or_default();
    String::from_utf8_lossy(&listed).lines().filter_map(of_ps).collect()
}

fn of_ps(line: &str) -> Option<Found> {
    let mut words = line.split_whitespace();
    let pid = words.next()?.parse().ok()?;
    let group = words.next()?.parse().ok()?;
    let state = words.next()?;
    let since = words.collect::<Vec<_>>().join(" ");
    (!state.starts_with('Z') && !since.is_empty()).then_some(Found {
        pid,
        group,
        session: 0,
        since,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_find_this_process_and_tell_the_same_of_it_each_time() {
        let own = i32::try_from(std::process::id()).expect("a process number");
        let by_proc = of_proc(own).expect("it is alive");
        assert_eq!(of_proc(own), Some(by_proc.clone()));
        assert!(processes().contains(&by_proc));
        // Where there is `/proc`, nothing needs `ps`, which may not be there.
        if Command::new("ps").output().is_err() {
            return;
        }
        let by_ps = ps(&["-p", &own.to_string()]);
        assert_eq!(by_ps.len(), 1, "{by_ps:?}");
        assert_eq!((by_ps[0].pid, ps(&["-p", &own.to_string()])), (own, by_ps.clone()));
    }

    #[test]
    fn a_process_that_has_ended_is_not_alive() {
        assert_eq!(of_ps("  12 12 Z    Sat Nov 21 20:00:00 2026"), None);
        assert_eq!(of_ps(""), None);
        let mut child = Command::new("true").spawn().expect("`true` is there");
        let pid = Pid::from_child(&child);
        while since(pid).is_some() {
            std::thread::yield_now();
        }
        child.wait().expect("it ends");
        assert_eq!(since(pid), None);
    }
}
