//! Nothing lost: what else may happen to the processes of a computer. They are stopped and go on, have too few descriptors or too little memory, find their disk full, their state
//! folder read-only or gone, and the clock set. It is said what is wrong, nothing is done twice, and everything goes on when it is over.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::path::PathBuf;
use std::process::{Command, Output};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use skillhost_core::entry::Entry;
use skillhost_core::id::RunId;
use skillhost_core::machine::Status;
use skillhost_it::ordeal::{Ground, Tally};
use skillhost_it::{Place, told};
use skillhost_journal::{Journal as _, RunFilter};
use skillhost_loopback::{Behaviour, Rule};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

const HELD: i32 = 70;
const STORAGE: i32 = 60;
const SEED: u64 = 1;

/// An hour, in microseconds and in milliseconds.
const HOUR: i64 = 3_600_000_000;
const HOUR_MS: u64 = 3_600_000;

/// The variable that says that a test is in a mount namespace of its own, on a disk of its own.
const SMALL_DISK: &str = "SKILLHOST_TEST_SMALL_DISK";

fn run_id(envelope: &Value) -> RunId {
    RunId::parse(envelope["run_id"].as_str().unwrap()).unwrap()
}

fn asked(place: &Place) -> u64 {
    place.server.counts().requests.values().sum()
}

fn acts(place: &Place) -> u64 {
    place.server.counts().acts.values().sum()
}

/// A clock that all processes of a place share.
struct Clock(PathBuf);

impl Clock {
    fn of(place: &Place) -> Self {
        let clock = Self(place.user_folder().join("clock"));
        clock.set_by(0);
        clock
    }

    fn set_by(&self, microseconds: i64) {
        let beside = self.0.with_extension("new");
        std::fs::write(&beside, microseconds.to_string()).unwrap();
        std::fs::rename(beside, &self.0).unwrap();
    }

    /// Runs a command that reads this clock, and returns what it says to programs.
    fn json(&self, place: &Place, words: &[&str]) -> Value {
        let mut command = place.command(&[words, &["--json"]].concat());
        let output = command.env("SKILLHOST_FAILPOINT_CLOCK", &self.0).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)))
    }
}

/// Has every run go on that is parked, until all are over.
fn all_over(place: &Place) {
    let journal = place.journal();
    place.until(|| {
        let rows = journal.runs(&RunFilter::default()).unwrap();
        for row in rows.iter().filter(|row| row.trouble.is_some()) {
            place.run(&["resume", row.run.as_str()]);
        }
        if rows
            .iter()
            .any(|row| row.status == Status::Running && row.holder.is_none())
        {
            place.run(&["list"]);
        }
        rows.iter().all(|row| row.status.is_final())
    });
}

#[test]
fn l1_nothing_is_taken_from_a_daemon_that_is_stopped_however_late_it_gets() {
    let place = Place::new(PROGRAM, &["acts"]);
    place.server.hold_acts();
    let clock = Clock::of(&place);
    let run = run_id(&clock.json(&place, &["launch", "acts", "--id", "it"]));
    place.until(|| acts(&place) == 1);
    let pid = place.daemon_pid().unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let lease = place.journal().run(&run).unwrap().lease();
    for days in [0, 1, 400] {
        clock.set_by(days * 24 * HOUR);
        let refused = clock.json(&place, &["resume", "--here", "it"]);
        assert_eq!(refused["exit_code"], HELD, "{refused}");
        assert_eq!(place.journal().run(&run).unwrap().lease(), lease);
    }
    // Only force takes it, and kills whoever had it; that he would go on is of no use to him.
    let forced = place.run(&["worker", "stop", "--force"]);
    assert!(forced.status.success(), "{}", told(&forced));
    // Nobody may have asked for its end yet.
    kill_process(pid, Signal::CONT).ok();
    assert_eq!(place.daemon_pid(), None, "it is gone");
    place.server.answer_acts();
    clock.json(&place, &["resume", "it"]);
    place.until(|| place.status_of(&run) == "parked");
    assert_eq!(acts(&place), 1, "what it was doing is in doubt, and not done again");
    clock.json(&place, &["resume", "it", "--skip", "0"]);
    place.until(|| place.status_of(&run) == "done");
    assert_eq!(acts(&place), 2);
}

#[test]
fn l1_daemons_that_are_stopped_taken_over_and_go_on_in_the_middle_of_that_do_nothing_twice() {
    let mut tally = Tally::default();
    Ground::new(PROGRAM).takeovers(SEED, 6, &mut tally);
    println!("{:#?}", tally.kills);
    assert!(tally.kills.count >= 3, "{:?}", tally.kills);
    assert!(tally.violations.is_empty(), "{:#?}", tally.violations);
}

/// Runs a command of the program with a limit of the shell's, such as `-n 20`.
fn limited(place: &Place, limit: &str, words: &[&str]) -> Output {
    let environment = place.command(words);
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\""), PROGRAM])
        .args(words)
        .current_dir(place.user_folder())
        .env_clear()
        .envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.output().unwrap()
}

#[test]
fn with_too_few_descriptors_it_is_said_what_is_wrong_and_what_was_launched_goes_on_with_more() {
    let place = Place::new(PROGRAM, &["steps"]);
    // What is compiled is not what this is about.
    place.json(&["launch", "--here", "steps", "--n", "1", "--await"]);
    let mut made = Vec::new();
    for descriptors in [8, 12, 16, 20, 24, 28, 36] {
        let id = format!("with-{descriptors}");
        let words = ["launch", "steps", "--n", "2", "--id", &id, "--json"];
        let output = limited(&place, &format!("-n {descriptors}"), &words);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
        if output.status.success() {
            made.push(id);
        } else {
            assert!(said["error"]["message"].is_string(), "{said}");
            assert_ne!(said["error"]["code"], "internal", "it is no fault of ours: {said}");
        }
        place.run(&["worker", "stop", "--force"]);
    }
    println!("launched with few descriptors: {made:?}");
    assert!(!made.is_empty());
    place.json(&["worker", "start"]);
    all_over(&place);
    for id in made {
        assert_eq!(place.json(&["wait", &id])["result"]["steps"], 2);
    }
}

#[test]
fn a_daemon_that_runs_out_of_descriptors_in_its_work_loses_nothing_and_goes_on_when_it_has_more() {
    const RUNS: usize = 8;
    let place = Place::new(PROGRAM, &["steps"]);
    place.server.rule(Rule::of(Behaviour::Echo).held());
    let first = run_id(&place.json(&["launch", "steps", "--n", "3", "--id", "first"]));
    place.until(|| asked(&place) == 1);
    let pid = place.daemon_pid().unwrap();
    let open = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()))
        .unwrap()
        .count();
    limit_descriptors(pid, open + 3);
    // As many as this want a connection each.
    let ids: Vec<String> = (0..RUNS).map(|n| format!("run-{n}")).collect();
    for id in &ids {
        let launched = limited(&place, "-n 200", &["launch", "steps", "--n", "2", "--id", id, "--json"]);
        println!("{id}: {}", String::from_utf8_lossy(&launched.stdout).trim());
        if place.run_of(id).is_none() {
            panic!("it is not there: {}", told(&launched));
        }
    }
    place.server.clear_rules();
    place.server.release();
    limit_descriptors(pid, 4_096);
    all_over(&place);
    assert_eq!(place.status_of(&first), "done");
    for id in &ids {
        let ended = place.any_json(&["wait", id]);
        if ended["status"] == "failed" {
            // Its provider could not be reached, which the skill was told; what it was answered before is kept.
            assert!(
                ended["error"]["message"].to_string().contains("Too many open files"),
                "{ended}"
            );
            place.json(&["retry", id, "--await"]);
        }
        assert_eq!(place.json(&["wait", id])["result"]["steps"], 2);
    }
}

fn limit_descriptors(pid: Pid, descriptors: usize) {
    use rustix::process::{Resource, Rlimit, prlimit};
    let limit = Rlimit {
        current: Some(descriptors as u64),
        maximum: Some(4_096.max(descriptors) as u64),
    };
    prlimit(Some(pid), Resource::Nofile, limit).unwrap();
}

#[test]
fn with_little_address_space_the_daemon_does_without_its_pool_and_with_none_it_is_said() {
    let place = Place::new(PROGRAM, &["steps"]);
    // 20 GB: less than a pool reserves, and enough for a few guests.
    let done = limited(
        &place,
        "-v 20000000",
        &["launch", "steps", "--n", "3", "--id", "it", "--await", "--json"],
    );
    assert!(done.status.success(), "{}", told(&done));
    assert!(place.daemon_pid().is_some(), "a daemon drove it");
    place.run(&["worker", "stop", "--force"]);
    let words = ["launch", "steps", "--n", "1", "--id", "none", "--json"];
    for kib in [100_000, 400_000, 2_000_000] {
        let refused = limited(&place, &format!("-v {kib}"), &words);
        println!("{kib} KiB: {}", told(&refused));
        place.run(&["worker", "stop", "--force"]);
    }
    // Without the limit it is as if nothing had been.
    place.run(&words);
    all_over(&place);
    assert_eq!(place.json(&["wait", "none"])["result"]["steps"], 1);
}

/// Has this very test run once more in a mount namespace of its own, where what is temporary lies on a small disk of its own. Returns whether this is that.
///
/// Where nobody may mount, it is said, and the test shows nothing: `j4` in `it::trouble` does then, with a disk that is only said to be full.
fn on_a_small_disk(test: &str, mebibytes: u32) -> bool {
    if std::env::var_os(SMALL_DISK).is_some() {
        return true;
    }
    let disk = tempfile::tempdir().unwrap();
    let namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "/bin/sh", "-c", script]);
        command.arg(disk.path());
        command
    };
    let mount = format!("mount -t tmpfs -o size={mebibytes}m none \"$0\"");
    if !namespace(&mount).status().is_ok_and(|status| status.success()) {
        println!("nobody may mount here: it is not shown");
        return false;
    }
    let mut inner = namespace(&format!("{mount} && exec \"$@\""));
    inner
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(SMALL_DISK, "1")
        .env("TMPDIR", disk.path());
    let status = inner.status().unwrap();
    assert!(status.success(), "it failed on the small disk, as it says above");
    false
}

#[test]
fn j4_on_a_disk_that_is_full_again_and_again_all_runs_end_as_if_undisturbed() {
    let name = "j4_on_a_disk_that_is_full_again_and_again_all_runs_end_as_if_undisturbed";
    if !on_a_small_disk(name, 160) {
        return;
    }
    let ground = Ground::new(PROGRAM).on_a_small_disk();
    let mut tally = Tally::default();
    let was_full = |tally: &Tally| tally.kills.troubles.values().sum::<u64>() > 0;
    // Whether it is filled or somebody killed is drawn; that it never is in so many ordeals is not.
    for seed in SEED..SEED + 30 {
        ground.ordeal(seed, 8, &mut tally);
        if was_full(&tally) {
            break;
        }
    }
    println!(
        "{} ordeals; {} changes to files were not made; {:#?}",
        tally.ordeals, tally.no_room, tally.kills
    );
    assert!(was_full(&tally), "it was full");
    assert!(tally.violations.is_empty(), "{:#?}", tally.violations);
}

/// A user's folder on a disk that has room for so little that a change of these is cut in its middle.
struct SmallFolder(PathBuf);

impl SmallFolder {
    const OLD: usize = 8 << 10;
    const NEW: usize = 40 << 10;
    const MORE: usize = 24 << 10;

    fn of(place: &Place) -> Self {
        let folder = place.user_folder().join("small");
        std::fs::create_dir(&folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=128k", "none"]).arg(&folder);
        assert!(mount.status().unwrap().success());
        Self(folder)
    }

    /// Leaves room for less than what is to be changed.
    fn fill(&self) {
        std::fs::write(self.0.join("ballast"), vec![0; 104 << 10]).unwrap();
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }

    fn holds(&self, expected: &str) {
        let found = std::fs::read_to_string(self.0.join("a.txt")).unwrap();
        assert!(
            found == expected,
            "{} bytes are there, of {}",
            found.len(),
            expected.len()
        );
        let names: Vec<_> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        let others = names.iter().filter(|name| *name != "a.txt" && *name != "ballast");
        assert_eq!(others.count(), 0, "nothing unfinished is left: {names:?}");
    }

    /// Changes the file, in a run that is killed at a point, if one is said, and goes on; returns what its skill was told.
    fn change(&self, place: &Place, deed: &str, text: &str, killed_at: Option<&str>) -> String {
        let input = json!({"steps": [{"deed": deed, "mount": "small", "path": "a.txt", "text": text}]}).to_string();
        let words = [
            "launch",
            "files",
            "--here",
            "--await",
            "--json",
            "--mount",
            "small=small:rw",
            "--input",
            &input,
        ];
        let mut launch = place.command(&words);
        launch.envs(killed_at.map(|point| ("SKILLHOST_FAILPOINT", point)));
        let output = launch.output().unwrap();
        let result = match killed_at {
            None => skillhost_it::result_of(&output),
            Some(point) => {
                assert!(skillhost_it::was_killed(&output), "{point}: {}", told(&output));
                let newest = place.journal().runs(&RunFilter::default()).unwrap();
                let run = newest
                    .iter()
                    .find(|row| row.status == Status::Running)
                    .unwrap()
                    .run
                    .clone();
                place.json(&["resume", "--here", run.as_str(), "--await"])["result"].clone()
            }
        };
        result["came"][0].as_str().unwrap().to_owned()
    }
}

#[test]
fn r3_a_change_that_finds_no_room_in_its_middle_is_not_made_at_all_also_if_its_process_is_killed() {
    let name = "r3_a_change_that_finds_no_room_in_its_middle_is_not_made_at_all_also_if_its_process_is_killed";
    if !on_a_small_disk(name, 160) {
        return;
    }
    let place = Place::new(PROGRAM, &["files"]);
    let small = SmallFolder::of(&place);
    let old = "o".repeat(SmallFolder::OLD);
    let more = "m".repeat(SmallFolder::MORE);
    let new = "n".repeat(SmallFolder::NEW);
    let killed_at = [
        None,
        Some("driver.before-perform"),
        Some("driver.effect-ended"),
        Some("driver.before-write:3"),
    ];
    for point in killed_at {
        assert_eq!(small.change(&place, "write", &old, None), "written");
        small.fill();
        for (deed, text) in [("append", &more), ("write", &new)] {
            let came = small.change(&place, deed, text, point);
            assert!(
                came.contains("No space left on device"),
                "{deed}, killed at {point:?}: {came}"
            );
            small.holds(&old);
        }
        small.make_room();
        assert_eq!(small.change(&place, "append", &more, point), "appended");
        small.holds(&format!("{old}{more}"));
        assert_eq!(small.change(&place, "write", &new, point), "written");
        small.holds(&new);
    }
}

#[test]
fn on_a_disk_that_became_read_only_it_is_said_and_all_goes_on_when_it_may_be_written() {
    let name = "on_a_disk_that_became_read_only_it_is_said_and_all_goes_on_when_it_may_be_written";
    if !on_a_small_disk(name, 160) {
        return;
    }
    let place = Place::new(PROGRAM, &["steps"]);
    place.server.rule(Rule::of(Behaviour::Echo).held());
    let run = run_id(&place.json(&["launch", "steps", "--n", "2", "--id", "it"]));
    place.until(|| asked(&place) == 1);
    place.kill_daemon();
    remount("ro");
    for words in [
        &["launch", "steps", "--json"][..],
        &["worker", "start", "--json"],
        &["cancel", "it", "--json"],
    ] {
        let refused = place.run(words);
        let said: Value = serde_json::from_slice(&refused.stdout).unwrap_or_else(|_| panic!("{}", told(&refused)));
        assert_eq!(said["exit_code"], STORAGE, "{said}");
        assert!(said["error"]["hint"].is_string(), "{said}");
    }
    remount("rw");
    place.server.clear_rules();
    place.server.release();
    assert_eq!(place.json(&["wait", "it"])["result"]["steps"], 2);
    assert_eq!(place.status_of(&run), "done");
}

fn remount(how: &str) {
    let mut mount = Command::new("mount");
    mount.args(["-o", &format!("remount,{how}")]).arg(std::env::temp_dir());
    assert!(mount.status().unwrap().success());
}

#[test]
fn a_state_folder_that_is_moved_away_under_its_runs_and_put_back_has_lost_nothing() {
    let place = Place::new(PROGRAM, &["steps", "acts"]);
    place.server.rule(Rule::of(Behaviour::Echo).held());
    place.server.hold_acts();
    place.json(&["launch", "steps", "--n", "3", "--id", "steps"]);
    let run = run_id(&place.json(&["launch", "acts", "--id", "acts"]));
    place.until(|| asked(&place) == 1 && acts(&place) == 1);
    let pid = place.daemon_pid().unwrap();
    let away = place.home().with_extension("away");
    std::fs::rename(place.home(), &away).unwrap();
    place.server.answer_acts();
    place.server.clear_rules();
    place.server.release();
    place.until(|| rustix::process::test_kill_process(pid).is_err());
    assert!(!place.home().exists(), "nothing is begun anew by itself");
    std::fs::rename(&away, place.home()).unwrap();
    assert_eq!(place.json(&["wait", "steps"])["result"]["steps"], 3);
    place.until(|| place.status_of(&run) == "parked");
    assert_eq!(acts(&place), 1, "the act was begun, and is nobody's to do again");
}

#[test]
fn g7_a_timer_waits_for_what_the_clock_shows_also_if_it_was_set_while_nothing_ran() {
    let place = Place::new(PROGRAM, &["waits"]);
    let clock = Clock::of(&place);
    clock.set_by(5 * HOUR);
    let input = json!({"what": "time", "ms": HOUR_MS}).to_string();
    let run = run_id(&clock.json(&place, &["launch", "waits", "--id", "it", "--input", &input]));
    place.until(|| !place.journal().waits(&run).unwrap().is_empty());
    let deadline = place.journal().waits(&run).unwrap()[0].deadline.unwrap();
    // Set back, it takes as much longer; the daemon that is there and the next one agree.
    clock.set_by(0);
    for _ in 0..2 {
        let over = clock.json(&place, &["wait", "it", "--for", "300ms"]);
        assert_eq!(over["status"], "waiting", "{over}");
        place.kill_daemon();
    }
    // Set forwards while nothing runs, it is over at once.
    clock.set_by(7 * HOUR);
    let done = clock.json(&place, &["wait", "it"]);
    assert_eq!(done["status"], "done", "{done}");
    let records = place.records(&run);
    let fired = records
        .iter()
        .find(|record| matches!(record.entry, Entry::Returned(_)))
        .unwrap();
    assert!(fired.at >= deadline);
}

#[test]
fn g7_a_clock_that_is_set_while_the_daemon_is_stopped_is_noticed_when_it_goes_on() {
    let place = Place::new(PROGRAM, &["waits"]);
    let clock = Clock::of(&place);
    let input = json!({"what": "time", "ms": HOUR_MS}).to_string();
    let run = run_id(&clock.json(&place, &["launch", "waits", "--id", "it", "--input", &input]));
    let waits = || place.journal().waits(&run).unwrap().first().map(|wait| wait.number.0);
    place.until(|| waits() == Some(0));
    let pid = place.daemon_pid().unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    clock.set_by(2 * HOUR);
    kill_process(pid, Signal::CONT).unwrap();
    place.until(|| place.status_of(&run) == "done");
    assert_eq!(place.daemon_pid(), Some(pid), "it was there all along");
}

#[test]
fn g6_the_time_that_a_skill_sees_never_goes_back_however_the_clock_is_set() {
    let place = Place::new(PROGRAM, &["determinism"]);
    let clock = Clock::of(&place);
    place.server.rule(Rule::of(Behaviour::Echo).held());
    let input = json!({"rounds": 6, "sleep_ms": 0}).to_string();
    let run = run_id(&clock.json(&place, &["launch", "determinism", "--id", "it", "--input", &input]));
    let mut wanted = 0;
    for (round, hours) in [-3, 2, -6, 5, -1, 0].into_iter().enumerate() {
        // Both calls of the round are held: nothing sleeps while the clock is set, for it might for hours.
        wanted += 2;
        place.until(|| asked(&place) >= wanted);
        clock.set_by(hours * HOUR);
        if round % 2 == 1 {
            place.kill_daemon();
            clock.json(&place, &["worker", "start"]);
            // What is in flight is asked for again by the next daemon.
            wanted += 2;
            place.until(|| asked(&place) >= wanted);
        }
        // Once: what the next round asks has to wait.
        place.server.release();
        let answered = 2 * (round + 1);
        place.until(|| place.answered(&run).len() >= answered);
    }
    // Whatever it sleeps for is over when the clock is later than ever.
    clock.set_by(24 * HOUR);
    place.server.clear_rules();
    place.server.release();
    let result = clock.json(&place, &["wait", "it"]);
    let requests = result["result"]["requests"]
        .as_array()
        .unwrap_or_else(|| panic!("{result}"));
    let times: Vec<u128> = requests
        .iter()
        .flat_map(|request| times_in(request.as_str().unwrap()))
        .collect();
    assert_eq!(times.len(), 12, "{requests:?}");
    assert!(times.is_sorted_by(|before, after| before < after), "{times:?}");
}

/// Returns the times that a request of `determinism` tells, in the order in which the skill read them.
fn times_in(request: &str) -> Vec<u128> {
    let after = |word: &str| {
        let (_, rest) = request.split_once(word)?;
        rest.split(';').next()?.trim().parse().ok()
    };
    ["wall ", "told "].into_iter().filter_map(after).collect()
}

#[test]
fn b1_a_day_that_the_clock_has_left_is_over_and_its_budget_with_it() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.state().make().unwrap();
    std::fs::write(place.home().join("config.toml"), "[budget.day]\ncalls = 3\n").unwrap();
    let clock = Clock::of(&place);
    let ended = |id: &str| {
        let words = ["launch", "steps", "--n", "2", "--id", id, "--await"];
        clock.json(&place, &words)["status"].clone()
    };
    assert_eq!(ended("first"), "done");
    assert_eq!(ended("second"), "failed", "the day has room for one call more");
    clock.set_by(24 * HOUR);
    assert_eq!(ended("tomorrow"), "done", "the daemon that was there notices");
    clock.set_by(0);
    assert_eq!(ended("today"), "failed", "set back, it is the day that was spent");
}
