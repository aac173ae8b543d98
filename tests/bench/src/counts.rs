//! Instructions, counted by callgrind: the same on a quiet machine and on a loaded one, so that what became slower shows.
//!
//! The counts of the day stand in `counts.json` beside this crate; `cargo xtask counts --record` writes them. Each is of a whole process with all of its threads, but for the one that compiles a
//! component, which happens once, before anything is counted; what a call takes is the difference between two that are alike but for a thousand calls.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde::{Deserialize, Serialize};

use crate::Setting;
use crate::place::Place;

/// How much more may be counted before it is called a regression: ids, times and the turns that threads take are never quite the same.
const TOLERANCE: f64 = 0.05;

/// How many calls the long one of two runs makes more.
const CALLS: u64 = 1_000;

/// What was counted, by what it is of.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Counts {
    /// What the program was compiled for.
    target: String,
    /// Instructions.
    instructions: BTreeMap<String, u64>,
}

/// Counts, and compares with what was recorded, or records. Returns whether nothing became slower.
pub(crate) fn count(setting: &Setting, recorded: &Path, is_recording: bool) -> bool {
    let counts = Counts {
        target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        instructions: instructions(setting),
    };
    let before: Counts = std::fs::read(recorded)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let mut is_good = true;
    println!("{:<52} {:>14} {:>14} {:>8}", "instructions", "recorded", "now", "");
    for (what, now) in &counts.instructions {
        let was = before.instructions.get(what).filter(|_| before.target == counts.target);
        let change = was.map(|was| *now as f64 / *was as f64 - 1.0);
        let is_slower = change.is_some_and(|change| change > TOLERANCE);
        is_good &= !is_slower;
        let was = was.map_or("-".to_owned(), u64::to_string);
        let change = change.map_or(String::new(), |change| format!("{:+.1} %", change * 100.0));
        let mark = if is_slower { "  MORE" } else { "" };
        println!("{what:<52} {was:>14} {now:>14} {change:>8}{mark}");
    }
    if is_recording {
        let text = serde_json::to_string_pretty(&counts).expect("numbers and words serialise");
        std::fs::write(recorded, text + "\n").unwrap();
        return true;
    }
    is_good
}

fn instructions(setting: &Setting) -> BTreeMap<String, u64> {
    let place = setting.place(&["hello-world", "steps"]);
    let few = place.launched("steps", r#"{"n": 10}"#);
    let many = place.launched("steps", &format!(r#"{{"n": {}}}"#, 10 + CALLS));
    place.stop_daemon();
    // The processor that callgrind shows is another one, for which the components are compiled anew, and slowly.
    let config = place.home().join("config.toml");
    let limits = std::fs::read_to_string(&config).unwrap() + "[limits]\ncompile_seconds = 3600\n";
    std::fs::write(&config, limits).unwrap();
    for skill in ["hello-world", "steps"] {
        eprintln!("{skill} is compiled ...");
        counted(&place, &["check", skill]);
    }
    let mut counts = BTreeMap::new();
    let mut note = |what: &str, instructions| {
        counts.insert(what.to_owned(), instructions);
    };

    note("`--version`", counted(&place, &["--version"]));
    let hello = [
        "launch",
        "hello-world",
        "--name",
        "Ada",
        "--offline",
        "--here",
        "--json",
    ];
    note("`launch hello-world --here`", counted(&place, &hello));
    let steps = |n: u64| {
        let input = format!(r#"{{"n": {n}}}"#);
        counted(
            &place,
            &["launch", "steps", "--input", &input, "--offline", "--here", "--json"],
        )
    };
    let (short, long) = (steps(10), steps(10 + CALLS));
    note("a model call, performed and recorded", (long - short) / CALLS);
    let short = counted(&place, &["replay", few.as_str(), "--json"]);
    let long = counted(&place, &["replay", many.as_str(), "--json"]);
    note("`replay` of 10 calls", short);
    note("a call, replayed", (long - short) / CALLS);
    counts
}

/// Runs a command, and returns how many instructions it took, without those of processes that it started.
fn counted(place: &Place, words: &[&str]) -> u64 {
    let ours = place.command(words);
    let mut command = Command::new("valgrind");
    command
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--smc-check=all-non-file",
            "--trace-children=yes",
        ])
        .arg(ours.get_program())
        .args(ours.get_args())
        .env_clear()
        .envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let process = command
        .spawn()
        .expect("`valgrind` is installed (Debian's package of that name), which counts");
    let head = format!("=={}== Collected : ", process.id());
    let Output { status, stderr, .. } = process.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{words:?}: {told}");
    let count = told.lines().find_map(|line| line.strip_prefix(&head));
    count
        .and_then(|count| count.trim().parse().ok())
        .expect("callgrind says how many")
}
