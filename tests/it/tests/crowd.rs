//! Many runs and many processes: what is driven by one at a time stays so, whoever comes and goes.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use skillhost_core::entry::Entry;
use skillhost_core::id::{Epoch, LaunchId, Number, RunId, SignalName};
use skillhost_core::machine::{Command as Told, Decision, Wait};
use skillhost_core::payload::Payload;
use skillhost_it::{Place, Seeded, told, workspace};
use skillhost_journal::{InboxFilter, Journal as _, NewRun, RunFilter, SqliteJournal};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

const WAITING: i32 = 40;
const HELD: i32 = 70;

/// Makes so many runs like the one that a launch of these words makes, which is the first of them.
fn launch_many(place: &Place, words: &[&str], runs: usize) -> Vec<RunId> {
    let first = place.json(&[&["launch"], words].concat());
    let first = RunId::parse(first["run_id"].as_str().unwrap()).unwrap();
    let copies = launch_like(place, &first, runs - 1);
    std::iter::once(first).chain(copies).collect()
}

/// Makes so many runs more like this one, and tells nobody.
fn launch_like(place: &Place, first: &RunId, runs: usize) -> Vec<RunId> {
    let journal = place.journal();
    let records = journal.records(first, skillhost_core::id::Seq(0), 1).unwrap();
    let Entry::Started(started) = &records[0].entry else {
        panic!("a journal begins with `started`");
    };
    let copies = (0..runs).map(|_| {
        let run = RunId::parse(&ulid::Ulid::generate().to_string().to_ascii_lowercase()).unwrap();
        let mut started = (**started).clone();
        started.launch = LaunchId::parse(run.as_str()).unwrap();
        started.run = run.clone();
        journal.create_run(NewRun::first(started, records[0].at, None)).unwrap();
        run
    });
    copies.collect()
}

fn how_many(journal: &SqliteJournal, status: skillhost_core::machine::Status) -> usize {
    let filter = RunFilter {
        status: vec![status],
        ..RunFilter::default()
    };
    journal.runs(&filter).unwrap().len()
}

/// Says that every one of these runs is done, once, and left one message.
fn assert_all_done(journal: &SqliteJournal, runs: &[RunId]) {
    for run in runs {
        let records = journal.all_records(run).unwrap();
        let ends = records
            .iter()
            .filter(|record| matches!(record.entry, Entry::Finished(_)))
            .count();
        assert_eq!(ends, 1, "run {run}");
        let inbox = journal
            .inbox(&InboxFilter {
                run: Some(run.clone()),
                ..InboxFilter::default()
            })
            .unwrap();
        assert_eq!(inbox.len(), 1, "run {run} says once that it is over: {inbox:?}");
    }
}

/// A process of the crowd, and what it says.
struct Member {
    process: Child,
    said: std::path::PathBuf,
}

impl Member {
    fn new(mut command: Command, said: std::path::PathBuf) -> Self {
        let file = std::fs::File::create(&said).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Self {
            process: command.spawn().unwrap(),
            said,
        }
    }

    fn signal(&self, signal: Signal) {
        // It may have ended, and is not waited for yet.
        kill_process(Pid::from_child(&self.process), signal).ok();
    }

    /// Kills it, unless it has ended by itself: then its run was done, waits for somebody, or somebody else held it.
    fn end(mut self) {
        let ended = self.process.try_wait().unwrap();
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let said = std::fs::read_to_string(&self.said).unwrap();
        if let Some(code) = ended.and_then(|status| status.code()) {
            assert!([0, WAITING, HELD].contains(&code), "exit code {code}: {said}");
        }
        assert_nobody_was_displaced(&said);
    }
}

#[test]
fn l1_of_many_processes_that_take_a_run_at_the_same_moment_one_drives_it() {
    const PROCESSES: usize = 12;
    let place = Place::new(PROGRAM, &["acts"]);
    place.server.hold_acts();
    let first = launch_many(&place, &["acts"], 1).remove(0);
    place.kill_daemon();
    let run = launch_like(&place, &first, 1).remove(0);
    let sayings = tempfile::tempdir().unwrap();
    let (gate, passed) = (sayings.path().join("gate"), sayings.path().join("passed"));
    std::fs::write(&gate, "").unwrap();
    let member = |n: usize| {
        let mut command = place.command(&["resume", "--here", run.as_str(), "--json"]);
        command
            .env(
                "SKILLHOST_FAILPOINT_HOLD",
                format!("driver.before-claim:{}", gate.display()),
            )
            .env("SKILLHOST_FAILPOINT_LOG", &passed);
        Member::new(command, sayings.path().join(n.to_string()))
    };
    let crowd = RefCell::new((0..PROCESSES).map(member).collect::<Vec<_>>());
    place.until(|| {
        // Each has seen that nobody holds the run.
        let passed = std::fs::read_to_string(&passed).unwrap_or_default();
        passed.matches("driver.before-claim").count() == PROCESSES
    });
    std::fs::remove_file(&gate).unwrap();
    place.until(|| {
        let mut crowd = crowd.borrow_mut();
        let ended = crowd.iter_mut().map(|member| member.process.try_wait().unwrap());
        ended.filter(Option::is_some).count() == PROCESSES - 1
    });
    place.until(|| place.server.counts().acts.contains_key(&format!("{run}/0")));
    crowd.into_inner().into_iter().for_each(Member::end);
    assert_eq!(place.journal().run(&run).unwrap().epoch, Epoch(1));
}

/// Who holds a run keeps it as long as he lives: no journal refuses him.
fn assert_nobody_was_displaced(said: &str) {
    let displaced = said.lines().find(|line| line.contains("passed to another worker"));
    assert_eq!(displaced, None);
}

#[test]
fn l1_of_many_processes_that_come_stop_and_die_one_drives_a_run_at_a_time() {
    const RUNS: usize = 200;
    const PROCESSES: u64 = 50;
    // So few that several processes want the same at the same moment.
    const WANTED: u64 = 8;
    let place = Place::new(PROGRAM, &["acts"]);
    // Who is in the middle of an act holds its run, until half of all have come.
    place.server.hold_acts();
    let runs = launch_many(&place, &["acts", "--input", r#"{"ask":true}"#], RUNS);
    place.kill_daemon();
    let sayings = tempfile::tempdir().unwrap();
    let mut random = Seeded::new(20_261_121);
    let mut crowd: Vec<Member> = Vec::new();
    for n in 0..PROCESSES {
        if n == PROCESSES / 2 {
            place.server.answer_acts();
        }
        let run = &runs[random.below(WANTED) as usize];
        let words: &[&str] = match random.below(4) {
            0 => &["worker", "run"],
            _ => &["resume", "--here", run.as_str(), "--json"],
        };
        let said = sayings.path().join(n.to_string());
        crowd.push(Member::new(place.command(words), said));
        // Some of those that are there are killed, and some only stopped.
        let victim = &crowd[random.below(crowd.len() as u64) as usize];
        let signal = [Some(Signal::KILL), Some(Signal::STOP), None, None][random.below(4) as usize];
        if let Some(signal) = signal {
            victim.signal(signal);
        }
    }
    // What lives and is stopped keeps its runs until it is killed.
    crowd.into_iter().for_each(Member::end);
    place.json(&["worker", "start"]);
    let journal = place.journal();
    place.until(|| {
        decide(&place, &journal, &runs);
        how_many(&journal, skillhost_core::machine::Status::Done) == RUNS
    });
    assert_all_done(&journal, &runs);
    for run in &runs {
        assert!(journal.run(run).unwrap().epoch > Epoch(0), "who drives takes the lease");
    }
    for log in std::fs::read_dir(place.home().join("logs")).unwrap() {
        assert_nobody_was_displaced(&std::fs::read_to_string(log.unwrap().path()).unwrap());
    }
    let acts = place.server.counts().acts;
    let twice: BTreeMap<_, _> = acts.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "what must not be done twice was: {twice:?}");
}

/// However often a run is taken up again, its inbox says once that a call is in doubt.
fn assert_nothing_is_said_twice(journal: &SqliteJournal, run: &RunId) {
    let of_run = InboxFilter {
        dismissed: true,
        run: Some(run.clone()),
        ..InboxFilter::default()
    };
    let said = journal.inbox(&of_run).unwrap();
    let sources: BTreeSet<String> = said.iter().map(|row| format!("{:?}", row.source)).collect();
    assert_eq!(sources.len(), said.len(), "{said:?}");
}

/// Has acts skipped that a crash left in doubt.
fn decide(place: &Place, journal: &SqliteJournal, runs: &[RunId]) {
    if how_many(journal, skillhost_core::machine::Status::Parked) == 0 {
        return;
    }
    for run in runs {
        assert_nothing_is_said_twice(journal, run);
        let waits = journal.waits(run).unwrap();
        for wait in waits.iter().filter(|wait| wait.wait == Wait::Decision) {
            let command = Told::Decide {
                number: wait.number,
                decision: Decision::Skip,
                by: None,
            };
            // One that was decided already, and not taken yet, takes no other decision.
            journal.post_mail(run, skillhost::driver::now(), &command).ok();
        }
    }
    place.json(&["worker", "start"]);
}

#[test]
fn thousands_of_runs_wait_outside_of_memory_survive_the_daemon_and_are_all_answered() {
    // More than stay in memory while they wait.
    const FIRST: usize = 1_000;
    const MORE: usize = 2_000;
    const BYTES_MAX: u64 = 100_000_000;
    // A run that is not in memory takes none of it, and one that is takes 50,000 at least. This is for what the database keeps of itself in memory, up to a bound, and for an allocator that
    // does not give everything back: of two daemons that did the same, one may have 15 MB more.
    const BYTES_OF_EACH_MAX: u64 = 10_000;
    let place = Place::new(PROGRAM, &["waits"]);
    let first = launch_many(&place, &["waits"], 1).remove(0);
    let journal = place.journal();
    let mut runs = vec![first.clone()];
    let mut begun_at_once = |more: usize| {
        place.kill_daemon();
        runs.extend(launch_like(&place, &first, more));
        place.json(&["worker", "start"]);
        place.until(|| how_many(&journal, skillhost_core::machine::Status::Waiting) == runs.len());
        let bytes = own_bytes(&place);
        println!(
            "{} runs wait, {more} of them were begun at once; the daemon has {bytes} bytes",
            runs.len()
        );
        bytes
    };
    let few = begun_at_once(FIRST);
    let many = begun_at_once(MORE);
    assert!(many < BYTES_MAX, "{many} bytes for those that wait");
    let grown = many.saturating_sub(few) / MORE as u64;
    assert!(grown < BYTES_OF_EACH_MAX, "{grown} bytes for each that waits");
    place.kill_daemon();
    place.json(&["worker", "start"]);
    assert_eq!(
        how_many(&journal, skillhost_core::machine::Status::Waiting),
        runs.len(),
        "waiting survives the daemon"
    );
    for run in &runs {
        let event = Told::Event {
            name: SignalName::parse("go").unwrap(),
            value: Payload::of(&run.as_str()),
            by: None,
        };
        journal.post_mail(run, skillhost::driver::now(), &event).unwrap();
    }
    place.until(|| how_many(&journal, skillhost_core::machine::Status::Done) == runs.len());
    let bytes = own_bytes(&place);
    println!("when all are done it has {bytes} bytes");
    assert!(bytes < BYTES_MAX, "{bytes} bytes for those that came back");
    assert_all_done(&journal, &runs);
    for run in &runs {
        let records = journal.all_records(run).unwrap();
        let given = records.iter().find_map(|record| match &record.entry {
            Entry::Returned(returned) if returned.number == Number(0) => Some(format!("{:?}", returned.outcome)),
            _ => None,
        });
        assert!(given.unwrap().contains(run.as_str()), "each was given its own event");
    }
}

/// Returns the memory that the daemon has for itself; 0 where the system does not tell. What it maps of files is not among it: that can be taken from it at any time.
fn own_bytes(place: &Place) -> u64 {
    let pid = place.daemon_pid().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    kib.unwrap_or(0) * 1_024
}

#[test]
fn an_agent_gets_a_skill_with_an_approval_done_by_json_and_exit_codes_alone() {
    let place = Place::new(PROGRAM, &["approval"]);
    let environment = place.command(&[]);
    let mut script = Command::new("sh");
    script
        .arg(workspace().join("tests/it/tests/agent.sh"))
        .arg(PROGRAM)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = script.output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], ["launched", "asked: Publish the draft?"]);
    let result: Value = serde_json::from_str(lines[2..].join("\n").trim_start_matches("done: ")).unwrap();
    assert_eq!(result, serde_json::json!({"published": true, "comment": "Go ahead"}));
}
