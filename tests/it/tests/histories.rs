//! Long histories: what a run has behind it costs neither memory nor more than its share of the disk.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use skillhost_core::id::RunId;
use skillhost_core::machine::Command as Mail;
use skillhost_core::payload::Payload;
use skillhost_it::{Place, result_of, told};
use skillhost_journal::Journal as _;

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

/// How many calls a long run makes, and how many a short one, whose journal is in memory as a whole when it is replayed.
const LONG: u64 = 100_000;
const SHORT: u64 = 10_000;

/// How much more memory it may take to replay the long one, in KiB. What a journal has in memory is bounded by some 8 MB of entries, which take thrice that in their structures.
const MORE_KIB_MAX: u64 = 24 * 1_024;

/// Runs a program, and says on its last line how much memory it had at most, in KiB.
const PEAK: &str = "import resource, subprocess, sys
ended = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(ended.returncode)";

/// Has a skill answered by a script of its own, which says the same to every call.
fn script(place: &Place, skill: &str) {
    let script = "[[reply]]\nlabel = \"*\"\ntext = \"Simulated.\"\n";
    std::fs::write(place.skills().join(skill).join("offline.toml"), script).unwrap();
}

/// Runs a command that has to succeed, and returns what it printed and how much memory it had at most, in KiB.
fn peak_of(place: &Place, words: &[&str]) -> (String, u64) {
    let command = place.command(words);
    let mut measured = Command::new("python3");
    measured
        .args(["-c", PEAK])
        .arg(PROGRAM)
        .args(words)
        .current_dir(place.user_folder())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = measured.output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", told(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    let (said, peak) = printed.trim_end().rsplit_once('\n').unwrap();
    (said.to_owned(), peak.parse().unwrap())
}

/// Launches a run that makes so many calls, of which a tenth are timers, and then waits for an event.
fn launch(place: &Place, id: &str, calls: u64) -> RunId {
    let calls = calls.to_string();
    let words = [
        "launch",
        "--here",
        "history",
        "--id",
        id,
        "--offline",
        "--json",
        "--wait",
    ];
    let numbers = ["--n", &calls, "--sleeps-every", "10"];
    let output = place.run(&[&words[..], &numbers[..]].concat());
    let envelope: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(envelope["status"], "waiting", "{}", told(&output));
    RunId::parse(envelope["run_id"].as_str().unwrap()).unwrap()
}

#[test]
fn a_run_of_100_000_calls_is_replayed_and_gone_on_with_in_the_memory_of_one_of_10_000() {
    let place = Place::new(PROGRAM, &["history"]);
    script(&place, "history");
    let mut peaks = Vec::new();
    for (id, calls) in [("short", SHORT), ("long", LONG)] {
        let run = launch(&place, id, calls);
        let row = place.journal().run(&run).unwrap();
        assert!(row.entries > 2 * calls, "{} entries", row.entries);
        let (said, replaying) = peak_of(&place, &["replay", id]);
        assert!(said.contains("identical"), "{said}");
        let go = Mail::Event {
            name: "go".parse().unwrap(),
            value: Payload::of(&true),
            by: None,
        };
        place.journal().post_mail(&run, row.updated_at, &go).unwrap();
        let words = ["launch", "--here", "history", "--id", id, "--offline", "--json"];
        let calls = calls.to_string();
        let numbers = ["--wait", "--n", &calls, "--sleeps-every", "10"];
        let (ended, driving) = peak_of(&place, &[&words[..], &numbers[..]].concat());
        assert!(ended.contains("\"status\":\"done\""), "{ended}");
        println!("{id}: {replaying} KiB to replay it, {driving} to go on with it");
        peaks.push((replaying, driving));
    }
    let [(replaying_short, driving_short), (replaying, driving)] = peaks[..] else {
        unreachable!()
    };
    assert!(replaying < replaying_short + MORE_KIB_MAX, "replayed: {peaks:?} KiB");
    assert!(driving < driving_short + MORE_KIB_MAX, "driven: {peaks:?} KiB");
}

/// Lets the skill converse for so many turns, and returns how large the database is and how much of it was read and kept for a replay.
fn converse(turns: u64) -> (u64, u64) {
    let place = Place::new(PROGRAM, &["converses"]);
    script(&place, "converses");
    std::fs::create_dir_all(place.home()).unwrap();
    // The conversation is sent each time, so it is paid for each time.
    std::fs::write(place.home().join("config.toml"), "[budget]\ntokens = 1000000000\n").unwrap();
    let turns = turns.to_string();
    let words = ["launch", "--here", "converses", "--offline", "--json", "--await"];
    let output: Output = place.run(&[&words[..], &["--id", "talk", "--turns", &turns]].concat());
    result_of(&output);
    let bytes = database_bytes(&place.home());
    let (said, peak) = peak_of(&place, &["replay", "talk"]);
    assert!(said.contains("identical"), "{said}");
    (bytes, peak)
}

/// Returns the size of the database with its log.
fn database_bytes(home: &Path) -> u64 {
    let length = |name| std::fs::metadata(home.join(name)).map_or(0, |metadata| metadata.len());
    length("journal.db") + length("journal.db-wal")
}

#[test]
fn a_skill_that_sends_its_whole_conversation_for_500_turns_is_stored_in_linear_space() {
    let all = [125, 250, 500].map(|turns| (turns, converse(turns)));
    println!("{all:?}");
    let [(_, (first, _)), (_, (second, _)), (_, (third, peak))] = all;
    // What a turn takes is the same however many there were before it; the component and empty pages are in all three.
    let (of_125, of_250) = (second - first, third - second);
    assert!(
        of_250 < of_125 * 5 / 2,
        "125 turns more took {of_125} bytes, and 250 more {of_250}"
    );
    // Of 500 turns of nearly 1,000 bytes each, all that was sent comes to a hundred times that.
    assert!(of_250 < 250 * 4_096, "{of_250} bytes for 250 turns");
    assert!(peak < 128 * 1_024, "replayed in {peak} KiB");
}
