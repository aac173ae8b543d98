//! Whoever kills the processes of an ordeal, at moments that fall into their work.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Flock, FlockType, Pid, Signal, kill_process, test_kill_process};
use skillhost_core::entry::Entry;
use skillhost_core::machine::Status;
use skillhost_journal::{Journal as _, RunFilter, SqliteJournal};

use super::Ordeal;
use super::aim::{Aim, Kills, Trouble};
use crate::Seeded;

/// How long a moment is waited for that may never come.
const PATIENCE: Duration = Duration::from_millis(600);

/// An hour, in microseconds.
const HOUR: i64 = 3_600_000_000;

/// How many of the requests to come are waited for, at most.
const REQUESTS_MOST: u64 = 6;

/// How often a failpoint is passed before it kills, at most: rarely many times, as most processes are killed before they come that far.
const HITS_MOST: [u64; 3] = [1, 4, 24];

/// The how-many-th time that somebody comes to a place, where each place is tried.
const HITS_TRIED: [u64; 2] = [1, 3];

/// The launch of a run that is forgotten.
const FORGOTTEN: &str = "forgotten";

/// Has a process killed at each of these places, by itself, as long as there is work in which it comes there.
pub(super) fn kill_at_places(ordeal: &Ordeal, places: &BTreeSet<&'static str>, kills: &mut Kills) {
    // Those of a run's beginning come first, while there is one.
    let mut places: Vec<&'static str> = places.iter().copied().collect();
    places.sort_by_key(|place| !place.contains("child"));
    for place in places {
        match place.split('.').next() {
            // Whoever launches is killed by those who launch.
            Some("launch") => {}
            Some("prune") => kill_forgetting(ordeal, place, kills),
            Some("restore") => kill_restoring(ordeal, place, kills),
            _ => {
                for hit in HITS_TRIED {
                    kill_daemon_at(ordeal, place, hit, kills);
                }
            }
        }
    }
}

/// Kills whoever forgets a run, when the run is gone and its files may be there; the next `prune` removes them.
fn kill_forgetting(ordeal: &Ordeal, place: &'static str, kills: &mut Kills) {
    let input = r#"{"steps": [{"deed": "write", "path": "a.txt", "text": "a"}]}"#;
    ordeal.run(&[
        "launch", "--here", "files", "--input", input, "--id", FORGOTTEN, "--json",
    ]);
    let Some(run) = ordeal.place.run_of(FORGOTTEN) else {
        return;
    };
    let folder = ordeal.place.home().join("runs").join(run.as_str());
    let mut discard = ordeal.command(&["discard", FORGOTTEN]);
    let output = discard.env("SKILLHOST_FAILPOINT", place).output().unwrap();
    note_kill(ordeal, &Aim::Failpoint(place), crate::was_killed(&output), kills);
    ordeal.run(&["prune", "--older-than", "9999d"]);
    if ordeal.place.run_of(FORGOTTEN).is_some() || folder.exists() {
        ordeal.violate("what a run left that was forgotten by half is still there".to_owned());
    }
}

/// Kills whoever makes a state folder of a backup that was taken while everything goes on; whoever tries again has a sound one.
fn kill_restoring(ordeal: &Ordeal, place: &'static str, kills: &mut Kills) {
    let home = ordeal.place.user_folder().join(place);
    let file = home.with_added_extension("backup");
    std::fs::remove_file(&file).ok();
    std::fs::remove_dir_all(&home).ok();
    let name = file.to_str().unwrap();
    ordeal.run(&["backup", name]);
    let restore = || {
        let mut command = ordeal.command(&["restore", name]);
        command.env("SKILLHOST_HOME", &home);
        command
    };
    let output = restore().env("SKILLHOST_FAILPOINT", place).output().unwrap();
    note_kill(ordeal, &Aim::Failpoint(place), crate::was_killed(&output), kills);
    let again = restore().output().unwrap();
    let faults = SqliteJournal::open(&home.join("journal.db")).unwrap().check().unwrap();
    if !again.status.success() || !faults.is_empty() {
        ordeal.violate(format!(
            "a restoration that was cut short is not done again: {} {faults:?}",
            crate::told(&again)
        ));
    }
}

/// Has a daemon killed when it comes to a place for the n-th time.
fn kill_daemon_at(ordeal: &Ordeal, place: &'static str, hit: u64, kills: &mut Kills) {
    if let Some(pid) = holder(ordeal) {
        kill_process(pid, Signal::KILL).ok();
        ordeal.place.until(|| holder(ordeal) != Some(pid));
    }
    let mut command = ordeal.command(&["worker", "run"]);
    command.env("SKILLHOST_FAILPOINT", format!("{place}:{hit}"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    if place == "daemon.drained" {
        until(ordeal, || holder(ordeal) == Some(pid));
        ordeal.run(&["worker", "stop"]);
    }
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() && !ordeal.is_over() && begun.elapsed() < PATIENCE * 4 {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    let ended = child.wait().unwrap();
    let by_itself = begun.elapsed() < PATIENCE * 4 && !ordeal.is_over();
    note_kill(
        ordeal,
        &Aim::Failpoint(place),
        by_itself && std::os::unix::process::ExitStatusExt::signal(&ended) == Some(crate::SIGKILL),
        kills,
    );
}

/// Kills again and again, until it was often enough or all is over.
pub(super) fn kill(ordeal: &Ordeal, random: &mut Seeded, most: u64, kills: &mut Kills) {
    let last = kills.count + most;
    let mut child: Option<Child> = None;
    while kills.count < last && !ordeal.is_over() {
        reap(&mut child);
        if !ordeal.troubles.is_empty() && random.below(8) == 0 {
            let trouble = ordeal.troubles[random.below(ordeal.troubles.len() as u64) as usize];
            trouble_with(ordeal, trouble, random);
            *kills.troubles.entry(trouble).or_default() += 1;
            continue;
        }
        let aim = draw(random);
        if holder(ordeal).is_none() && child.is_none() {
            child = start(ordeal, &aim, random);
        }
        let victims = std::mem::take(&mut *ordeal.victims.lock().unwrap());
        wait_for(ordeal, &aim, random);
        if let Some(pid) = victims.first().filter(|_| aim == Aim::Here) {
            note_kill(
                ordeal,
                &aim,
                kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL).is_ok(),
                kills,
            );
            ordeal.victims.lock().unwrap().extend(&victims[1..]);
            continue;
        }
        ordeal.victims.lock().unwrap().extend(victims);
        let by_itself = child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some());
        let Some(pid) = holder(ordeal) else {
            // It was killed where it was aimed at, if it did not end by itself.
            note_kill(ordeal, &aim, by_itself && was_killed(&mut child), kills);
            continue;
        };
        let is_killed = match aim {
            Aim::Takeover => take_over(ordeal, pid, random),
            _ => kill_process(pid, Signal::KILL).is_ok(),
        };
        if child.as_ref().is_some_and(|child| Pid::from_child(child) == pid) {
            child.take().unwrap().wait().unwrap();
        }
        ordeal
            .place
            .until(|| holder(ordeal) != Some(pid) || test_kill_process(pid).is_err());
        let aim = match aim {
            Aim::Failpoint(_) => Aim::Commit,
            aim => aim,
        };
        note_kill(ordeal, &aim, is_killed, kills);
    }
    // The last one lives until the end, and is waited for by whoever judges.
    if let Some(mut child) = child {
        std::thread::spawn(move || child.wait());
    }
}

/// Takes over again and again, by force, from a daemon that was stopped in its work.
pub(super) fn take_over_often(ordeal: &Ordeal, times: u64, random: &mut Seeded, kills: &mut Kills) {
    for _ in 0..times {
        if ordeal.is_over() {
            return;
        }
        if holder(ordeal).is_none() {
            ordeal.run(&["worker", "start"]);
        }
        wait_for(ordeal, &Aim::Takeover, random);
        if let Some(pid) = holder(ordeal) {
            let is_killed = take_over(ordeal, pid, random);
            note_kill(ordeal, &Aim::Takeover, is_killed, kills);
        }
    }
}

/// Has a daemon that is stopped taken over by force, and lets it go on in the middle of that. Returns whether it is gone.
fn take_over(ordeal: &Ordeal, pid: Pid, random: &mut Seeded) -> bool {
    kill_process(pid, Signal::STOP).ok();
    let mut force = ordeal.command(&["worker", "stop", "--force"]);
    let mut force = force.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_micros(random.below(150_000)));
    kill_process(pid, Signal::CONT).ok();
    let is_done = force.wait().unwrap().success();
    if !is_done {
        ordeal.violate(format!("process {pid:?} could not be taken over"));
    }
    is_done
}

/// Has something happen that kills nobody.
fn trouble_with(ordeal: &Ordeal, trouble: Trouble, random: &mut Seeded) {
    let for_a_while = Duration::from_micros(random.below(300_000));
    match trouble {
        Trouble::Stopped => {
            let Some(pid) = holder(ordeal) else { return };
            kill_process(pid, Signal::STOP).ok();
            std::thread::sleep(for_a_while);
            if holder(ordeal) != Some(pid) && test_kill_process(pid).is_ok() {
                ordeal.violate("the lock of a daemon that was only stopped is another one's".to_owned());
            }
            kill_process(pid, Signal::CONT).ok();
        }
        Trouble::Drained => drop(ordeal.run(&["worker", "stop"])),
        Trouble::ClockSet => {
            let hours = i64::try_from(random.below(13)).unwrap_or(0) - 6;
            ordeal.set_clock(hours * HOUR);
        }
        Trouble::FullDisk => {
            let ballast = ordeal.place.user_folder().join("ballast");
            fill(&ballast);
            std::thread::sleep(for_a_while);
            std::fs::remove_file(&ballast).unwrap();
        }
    }
}

/// Takes what is left of a disk.
fn fill(ballast: &std::path::Path) {
    let mut file = std::fs::File::create(ballast).unwrap();
    for bytes in [1 << 16, 1 << 12, 1] {
        while std::io::Write::write_all(&mut file, &vec![0; bytes]).is_ok() {}
    }
}

fn was_killed(child: &mut Option<Child>) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    let ended = child.take().map(|mut child| child.wait().unwrap());
    ended.is_some_and(|status| status.signal() == Some(crate::SIGKILL))
}

fn reap(child: &mut Option<Child>) {
    if child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some()) {
        *child = None;
    }
}

fn draw(random: &mut Seeded) -> Aim {
    match random.below(20) {
        0..7 => {
            let points: Vec<&'static str> = super::places().collect();
            Aim::Failpoint(points[random.below(points.len() as u64) as usize])
        }
        7..12 => Aim::Request,
        12..16 => Aim::Commit,
        16..18 => Aim::Start,
        18 => Aim::Takeover,
        _ => Aim::Here,
    }
}

/// Starts a daemon: one that is our child, or the one that a command of the program starts.
fn start(ordeal: &Ordeal, aim: &Aim, random: &mut Seeded) -> Option<Child> {
    if !matches!(aim, Aim::Failpoint(_)) && random.below(4) == 0 {
        ordeal.run(&["list"]);
        return None;
    }
    let mut command = ordeal.command(&["worker", "run"]);
    if let Aim::Failpoint(point) = aim {
        let most = HITS_MOST[random.below(HITS_MOST.len() as u64) as usize];
        command.env("SKILLHOST_FAILPOINT", format!("{point}:{}", 1 + random.below(most)));
    }
    Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// Waits for the moment that is aimed at, or until that takes too long.
fn wait_for(ordeal: &Ordeal, aim: &Aim, random: &mut Seeded) {
    let requests = || ordeal.place.server.counts().requests.values().sum::<u64>();
    let log = ordeal.journal_path().with_extension("db-wal");
    let committed = || std::fs::metadata(&log).and_then(|log| log.modified()).ok();
    let has_daemon = || holder(ordeal).is_some();
    until(ordeal, has_daemon);
    match aim {
        Aim::Failpoint(_) => until(ordeal, || !has_daemon()),
        Aim::Request | Aim::Here | Aim::Takeover => {
            let least = requests() + 1 + random.below(REQUESTS_MOST);
            until(ordeal, || requests() >= least);
        }
        Aim::Commit => {
            for _ in 0..=random.below(8) {
                let before = committed();
                until(ordeal, || committed() != before);
            }
        }
        Aim::Start => std::thread::sleep(Duration::from_micros(random.below(400_000))),
    }
    // Not only at the moment itself: up to some tens of milliseconds after it.
    let longest = [200, 5_000, 40_000][random.below(3) as usize];
    std::thread::sleep(Duration::from_micros(random.below(longest)));
}

fn until(ordeal: &Ordeal, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() && !ordeal.is_over() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_micros(300));
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

/// Counts a kill, and what it hit.
fn note_kill(ordeal: &Ordeal, aim: &Aim, is_killed: bool, kills: &mut Kills) {
    if !is_killed {
        return;
    }
    kills.note(aim.clone());
    if !ordeal.journal_path().exists() {
        kills.idle += 1;
        return;
    }
    let journal = ordeal.place.journal();
    let running = RunFilter {
        status: vec![Status::Running],
        ..RunFilter::default()
    };
    let held: Vec<_> = journal.runs(&running).unwrap();
    kills.held += held.len() as u64;
    let open: usize = held.iter().map(|row| note_open(&journal, &row.run, kills)).sum();
    kills.idle += u64::from(open == 0);
}

/// Counts the calls of a run that have no outcome.
fn note_open(journal: &SqliteJournal, run: &skillhost_core::id::RunId, kills: &mut Kills) -> usize {
    let mut open = BTreeMap::new();
    for record in journal.all_records(run).unwrap() {
        match record.entry {
            Entry::Called(called) => drop(open.insert(called.number, called.function.name())),
            Entry::Returned(returned) => drop(open.remove(&returned.number)),
            _ => {}
        }
    }
    for function in open.values() {
        *kills.open.entry(function).or_default() += 1;
    }
    open.len()
}
