//! Whoever kills the processes of an ordeal, at moments that fall into their work.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use skillhost_core::entry::Entry;
use skillhost_core::machine::Status;
use skillhost_journal::{Journal as _, RunFilter, RunRow, SqliteJournal};

use super::aim::{Aim, Kills, Trouble};
use super::daemon::{Daemon, holder};
use super::{Ordeal, watch};
use crate::Seeded;

/// How long a moment is waited for that may never come.
const PATIENCE: Duration = Duration::from_millis(600);

/// An hour, in microseconds.
const HOUR: i64 = 3_600_000_000;

/// How many of the requests to come are waited for, at most.
const REQUESTS_MOST: u64 = 6;

/// How many of the commits to come, at most.
const COMMITS_MOST: u64 = 8;

/// How often a failpoint is passed before it kills, at most: rarely many times, as most processes are killed before they come that far.
const HITS_MOST: [u64; 3] = [1, 4, 24];

/// The how-many-th time that somebody comes to a point, where each point is tried.
const HITS_TRIED: [u64; 2] = [1, 3];

/// How long nothing is written before a kill: longer than an act lasts.
const UNWRITTEN: Duration = Duration::from_millis(100);

/// The launch of a run that is forgotten.
const FORGOTTEN: &str = "forgotten";

/// Has a process killed at each of these points, by itself, as long as there is work in which it comes there.
pub(super) fn kill_at_points(ordeal: &Ordeal, points: &BTreeSet<&'static str>, kills: &mut Kills) {
    // Those of a run's beginning come first, while there is one.
    let mut points: Vec<&'static str> = points.iter().copied().collect();
    points.sort_by_key(|point| !point.contains("child"));
    for point in points {
        match point.split('.').next() {
            // Whoever launches is killed by those who launch.
            Some("launch") => {}
            Some("prune") => kill_forgetting(ordeal, point, kills),
            Some("restore") => kill_restoring(ordeal, point, kills),
            _ => {
                for hit in HITS_TRIED {
                    kill_daemon_at(ordeal, point, hit, kills);
                }
            }
        }
    }
}

/// Kills whoever forgets a run, when the run is gone and its files may be there; the next `prune` removes them.
fn kill_forgetting(ordeal: &Ordeal, point: &'static str, kills: &mut Kills) {
    let input = r#"{"steps": [{"deed": "write", "path": "a.txt", "text": "a"}]}"#;
    ordeal.run(&[
        "launch", "--here", "files", "--input", input, "--id", FORGOTTEN, "--json",
    ]);
    let Some(run) = ordeal.place.run_of(FORGOTTEN) else {
        return;
    };
    let folder = ordeal.place.home().join("runs").join(run.as_str());
    let mut discard = ordeal.command(&["discard", FORGOTTEN]);
    let output = discard.env("SKILLHOST_FAILPOINT", point).output().unwrap();
    note_kill(ordeal, &Aim::Failpoint(point), crate::was_killed(&output), kills);
    ordeal.run(&["prune", "--older-than", "9999d"]);
    if ordeal.place.run_of(FORGOTTEN).is_some() || folder.exists() {
        ordeal.violate("what a run left that was forgotten by half is still there".to_owned());
    }
}

/// Kills whoever makes a state folder of a backup that was taken while everything goes on; whoever tries again has a sound one.
fn kill_restoring(ordeal: &Ordeal, point: &'static str, kills: &mut Kills) {
    let home = ordeal.place.user_folder().join(point);
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
    let output = restore().env("SKILLHOST_FAILPOINT", point).output().unwrap();
    note_kill(ordeal, &Aim::Failpoint(point), crate::was_killed(&output), kills);
    let again = restore().output().unwrap();
    let faults = SqliteJournal::open(&home.join("journal.db")).unwrap().check().unwrap();
    if !again.status.success() || !faults.is_empty() {
        ordeal.violate(format!(
            "a restoration that was cut short is not done again: {} {faults:?}",
            crate::told(&again)
        ));
    }
}

/// Has a daemon killed when it comes to a point for the n-th time.
fn kill_daemon_at(ordeal: &Ordeal, point: &'static str, hit: u64, kills: &mut Kills) {
    if let Some(daemon) = Daemon::of(ordeal) {
        daemon.kill(ordeal);
    }
    let mut command = ordeal.command(&["worker", "run"]);
    command.env("SKILLHOST_FAILPOINT", format!("{point}:{hit}"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    if point == "daemon.drained" {
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
    note_kill(ordeal, &Aim::Failpoint(point), by_itself && is_killed(ended), kills);
}

/// Kills again and again, until it was often enough or all is over.
pub(super) fn kill(ordeal: &Ordeal, random: &mut Seeded, most: u64, kills: &mut Kills) {
    let last = kills.count + most;
    let mut child: Option<Child> = None;
    while kills.count < last && !ordeal.is_over() && !ordeal.is_noticed() {
        reap(&mut child);
        let troubles = ordeal.plan.troubles;
        if !troubles.is_empty() && random.below(ordeal.plan.trouble_every) == 0 {
            let trouble = troubles[random.below(troubles.len() as u64) as usize];
            trouble_with(ordeal, trouble, random);
            *kills.troubles.entry(trouble).or_default() += 1;
            continue;
        }
        let aim = draw(ordeal, random);
        if holder(ordeal).is_none() && child.is_none() {
            child = start(ordeal, &aim, random);
        }
        wait_for(ordeal, &aim, random);
        if aim == Aim::Here
            && let Some(is_killed) = kill_here(ordeal)
        {
            note_kill(ordeal, &aim, is_killed, kills);
            continue;
        }
        let by_itself = child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some());
        let Some(daemon) = Daemon::of(ordeal) else {
            write_again(ordeal);
            // It was killed where it was aimed at, if it did not end by itself.
            note_kill(ordeal, &aim, by_itself && was_killed(&mut child), kills);
            continue;
        };
        let is_killed = match aim {
            Aim::Takeover => take_over(ordeal, &daemon, random),
            _ => daemon.kill(ordeal),
        };
        write_again(ordeal);
        if child.as_ref().is_some_and(|child| Pid::from_child(child) == daemon.pid)
            && holder(ordeal) != Some(daemon.pid)
        {
            child.take().unwrap().wait().unwrap();
        }
        let aim = match aim {
            // Nobody came to the point, and there was no such process.
            Aim::Failpoint(_) | Aim::Here => Aim::Commit,
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
        if let Some(daemon) = Daemon::of(ordeal) {
            let is_killed = take_over(ordeal, &daemon, random);
            note_kill(ordeal, &Aim::Takeover, is_killed, kills);
        }
    }
}

/// Kills a process that drives a run and is no daemon, if there is one. Returns whether it ended of that, and not by itself a moment before.
fn kill_here(ordeal: &Ordeal) -> Option<bool> {
    with_here(ordeal, |child| {
        // Nobody has asked for its end yet, so its number is its own.
        child.kill().unwrap();
        is_killed(child.wait().unwrap())
    })
}

/// Does something with a process that drives a run and is no daemon, if there is one.
fn with_here<T>(ordeal: &Ordeal, act: impl FnOnce(&mut Child) -> T) -> Option<T> {
    let mut here = ordeal.here.lock().unwrap();
    let child = here
        .values_mut()
        .find_map(|child| child.try_wait().unwrap().is_none().then_some(child))?;
    Some(act(child))
}

/// Has a daemon that is stopped taken over by force, and lets it go on in the middle of that. Returns whether it is gone.
fn take_over(ordeal: &Ordeal, daemon: &Daemon, random: &mut Seeded) -> bool {
    let was_there = daemon.stop(ordeal);
    let mut force = ordeal.command(&["worker", "stop", "--force"]);
    let mut force = force.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_micros(random.below(150_000)));
    daemon.go_on();
    let is_done = force.wait().unwrap().success();
    let is_gone = holder(ordeal) != Some(daemon.pid);
    if !is_done || !is_gone {
        ordeal.violate(format!("process {:?} could not be taken over", daemon.pid));
    }
    was_there && is_done && is_gone
}

/// Has something happen that kills nobody.
fn trouble_with(ordeal: &Ordeal, trouble: Trouble, random: &mut Seeded) {
    let for_a_while = Duration::from_micros(random.below(300_000));
    match trouble {
        Trouble::Stopped => {
            wait_for(ordeal, &Aim::Request, random);
            if let Some(daemon) = Daemon::of(ordeal) {
                watch::while_stopped(ordeal, &daemon, for_a_while);
            }
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
        Trouble::CommitsFail => {
            let full = ordeal.full();
            std::fs::write(&full, "").unwrap();
            std::thread::sleep(for_a_while);
            std::fs::remove_file(&full).unwrap();
        }
    }
}

/// Lets processes write again.
fn write_again(ordeal: &Ordeal) {
    std::fs::remove_file(ordeal.hold()).ok();
}

/// Takes what is left of a disk.
fn fill(ballast: &std::path::Path) {
    let mut file = std::fs::File::create(ballast).unwrap();
    for bytes in [1 << 16, 1 << 12, 1] {
        while std::io::Write::write_all(&mut file, &vec![0; bytes]).is_ok() {}
    }
}

fn was_killed(child: &mut Option<Child>) -> bool {
    let ended = child.take().map(|mut child| child.wait().unwrap());
    ended.is_some_and(is_killed)
}

fn is_killed(ended: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&ended) == Some(crate::SIGKILL)
}

fn reap(child: &mut Option<Child>) {
    if child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some()) {
        *child = None;
    }
}

fn draw(ordeal: &Ordeal, random: &mut Seeded) -> Aim {
    let aims = ordeal.plan.aims;
    if !aims.is_empty() {
        return aims[random.below(aims.len() as u64) as usize].clone();
    }
    // Such a process is rarely there, and not for long.
    if random.below(3) == 0 && with_here(ordeal, |_| ()).is_some() {
        return Aim::Here;
    }
    match random.below(21) {
        0..7 => {
            let points: Vec<&'static str> = super::points().collect();
            Aim::Failpoint(points[random.below(points.len() as u64) as usize])
        }
        7..12 => Aim::Request,
        12..16 => Aim::Commit,
        16..18 => Aim::Start,
        18 => Aim::Takeover,
        _ => Aim::Unwritten,
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
    let requests = || {
        let counts = ordeal.place.server.counts();
        counts.requests.values().chain(counts.acts.values()).sum::<u64>()
    };
    let log = ordeal.journal_path().with_extension("db-wal");
    let committed = || std::fs::metadata(&log).and_then(|log| log.modified()).ok();
    let commits = |random: &mut Seeded| {
        for _ in 0..=random.below(COMMITS_MOST) {
            let before = committed();
            until(ordeal, || committed() != before);
        }
    };
    let has_daemon = || holder(ordeal).is_some();
    if *aim != Aim::Here {
        until(ordeal, has_daemon);
    }
    match aim {
        Aim::Failpoint(_) => until(ordeal, || !has_daemon()),
        Aim::Here => {}
        Aim::Request | Aim::Takeover => {
            let least = requests() + 1 + random.below(REQUESTS_MOST);
            until(ordeal, || requests() >= least);
        }
        Aim::Unwritten => {
            commits(random);
            // Whatever is under way comes back, and may lead to more.
            std::fs::write(ordeal.hold(), "").unwrap();
            std::thread::sleep(UNWRITTEN);
        }
        Aim::Commit => commits(random),
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

/// Counts a kill, and what it hit.
fn note_kill(ordeal: &Ordeal, aim: &Aim, is_killed: bool, kills: &mut Kills) {
    if !is_killed {
        return;
    }
    kills.note(aim.clone());
    let home = ordeal.place.state();
    let mut lost = running(ordeal);
    // Each counts once, however long nobody takes it.
    lost.retain(|row| {
        let is_lost = |holder| !skillhost::driver::is_alive(&home, holder);
        row.holder.as_ref().is_some_and(is_lost) && ordeal.lost.lock().unwrap().insert((row.run.clone(), row.epoch))
    });
    kills.held += lost.len() as u64;
    let open: usize = match lost.is_empty() {
        true => 0,
        false => {
            let journal = ordeal.place.journal();
            lost.iter().map(|row| note_open(&journal, &row.run, kills)).sum()
        }
    };
    kills.idle += u64::from(open == 0);
}

/// Returns the runs that somebody drives, or drove and is gone.
pub(super) fn running(ordeal: &Ordeal) -> Vec<RunRow> {
    if !ordeal.journal_path().exists() {
        return Vec::new();
    }
    let running = RunFilter {
        status: vec![Status::Running],
        ..RunFilter::default()
    };
    ordeal.place.journal().runs(&running).unwrap()
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
