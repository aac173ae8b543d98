//! `cargo xtask demo`: builds everything, runs hello-world, kills a piece of research in its middle, daemon and all, and lets it finish.
//!
//! It asks no model: the skills' own scripts answer, so it needs no key and costs nothing. Its state is in `demo/` of the target folder and not in the user's home.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use skillhost_toolchain::Choice;

use crate::step::{announce, cargo, run};

const QUESTION: &str = "Should a team of four run its own Postgres?";

/// What the launch that is killed is known by.
const LAUNCH: &str = "demo";

/// The process is killed once this many calls were answered: the plan and some of its parts.
const ANSWERED_BEFORE_KILL: usize = 3;

/// What kills the daemon.
const KILL: &[&str] = &["worker", "stop", "--force"];

/// How long to wait for that; the scripts answer in a few seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Shows it all.
pub(crate) fn show_all(choice: Choice) -> Result<(), String> {
    let guests = crate::guests(choice)?;
    run("host", &mut cargo(["build", "--package", "skillhost"]))?;
    let demo = Demo::new(guests.folder(), guests.skills())?;
    demo.run(
        "hello-world",
        &["launch", "hello-world", "--name", "Ada", "--offline", "--await"],
    )?;

    announce("deep-research, killed in its middle");
    let mut process = demo.start(&research())?;
    let killed = demo.kill_in_the_middle(&mut process);
    // Whatever happened, nothing is left running.
    let _ = process.kill();
    process.wait().map_err(|error| error.to_string())?;
    let before = killed?;
    println!(
        "its terminal and the daemon that drove it were killed with SIGKILL when {} of its calls were answered",
        answered(&before).len()
    );
    demo.run(
        "any command starts another daemon, and the run goes on",
        &["status", LAUNCH],
    )?;
    demo.run("the same launch again waits for it", &research())?;
    let after = demo.calls()?;
    announce("was anything done twice?");
    println!("{}", compare(&before, &after)?);
    demo.run("the whole run", &["show", LAUNCH])?;
    demo.run("inbox", &["inbox"])?;
    demo.run("the daemon would end by itself after a while", &["worker", "stop"])
}

fn research() -> [&'static str; 8] {
    [
        "launch",
        "deep-research",
        "--question",
        QUESTION,
        "--id",
        LAUNCH,
        "--offline",
        "--await",
    ]
}

/// A call of a run, as `skillhost show --json` has it.
#[derive(Clone, Debug, PartialEq)]
struct Call {
    label: String,
    attempts: u64,
    outcome: String,
    took_ms: Option<u64>,
}

/// Calls by their number.
type Calls = BTreeMap<u64, Call>;

fn answered(calls: &Calls) -> Vec<u64> {
    let answered = calls.iter().filter(|(_, call)| call.outcome != "open");
    answered.map(|(number, _)| *number).collect()
}

/// Says what became of the calls that were answered before the kill, or that one of them was made again.
fn compare(before: &Calls, after: &Calls) -> Result<String, String> {
    let answered = answered(before);
    for number in &answered {
        if before.get(number) != after.get(number) {
            return Err(format!(
                "call {number} was answered before the kill and is another now: {:?}, {:?}",
                before.get(number),
                after.get(number)
            ));
        }
    }
    let in_flight = before.len() - answered.len();
    let again = after.values().filter(|call| call.attempts > 1).count();
    Ok(format!(
        "answered before the kill: {}; made again: none\n\
         in flight at the kill: {in_flight}; made once more, under the same key: {again}\n\
         made only after it: {}",
        answered.len(),
        after.len() - before.len()
    ))
}

/// A home of its own, and the program.
struct Demo {
    program: PathBuf,
    home: PathBuf,
    skills: PathBuf,
}

impl Demo {
    fn new(target: &Path, skills: PathBuf) -> Result<Self, String> {
        let home = target.join("demo");
        let program = target.join("debug").join("skillhost");
        if home.exists() {
            // A daemon of the last demonstration, if that was interrupted, goes with its folder.
            fs::remove_dir_all(&home).map_err(|error| format!("`{}`: {error}", home.display()))?;
        }
        match program.is_file() {
            true => Ok(Self { program, home, skills }),
            false => Err(format!("`{}` was not built", program.display())),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(words)
            .env("SKILLHOST_HOME", &self.home)
            .env("SKILLHOST_SKILLS", &self.skills);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command and shows how it is typed.
    fn run(&self, what: &str, words: &[&str]) -> Result<(), String> {
        run(&format!("{what}\n$ {}", typed(words)), &mut self.command(words))
    }

    fn start(&self, words: &[&str]) -> Result<Child, String> {
        println!("$ {} &", typed(words));
        self.command(words).spawn().map_err(|error| error.to_string())
    }

    /// Watches the run from outside, and kills its process when enough was answered and something is in flight.
    fn kill_in_the_middle(&self, process: &mut Child) -> Result<Calls, String> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = process.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("the run ended before it could be killed: {status}"));
            }
            // Until the run is there, there is nothing to show.
            let calls = self.calls().unwrap_or_default();
            let answered = answered(&calls).len();
            if answered >= ANSWERED_BEFORE_KILL && answered < calls.len() {
                process.kill().map_err(|error| error.to_string())?;
                process.wait().map_err(|error| error.to_string())?;
                self.run("both are killed", KILL)?;
                // What was answered between the look and the kill counts too.
                return self.calls();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("the run did not come far enough in {} s", PATIENCE.as_secs()))
    }

    fn calls(&self) -> Result<Calls, String> {
        let output = self
            .command(&["show", LAUNCH, "--json"])
            .output()
            .map_err(|error| error.to_string())?;
        let shown: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let calls = shown["calls"]
            .as_array()
            .ok_or("`skillhost show --json` has no calls")?;
        let calls = calls.iter().map(|call| {
            let text = |name: &str| call[name].as_str().unwrap_or_default().to_owned();
            let read = Call {
                label: text("label"),
                attempts: call["attempts"].as_u64().unwrap_or_default(),
                outcome: text("outcome"),
                took_ms: call["took_ms"].as_u64(),
            };
            (call["call"].as_u64().unwrap_or_default(), read)
        });
        Ok(calls.collect())
    }
}

/// Returns a command as a person types it.
fn typed(words: &[&str]) -> String {
    let words = words.iter().map(|word| match word.contains(' ') {
        true => format!("'{word}'"),
        false => (*word).to_owned(),
    });
    words.fold("skillhost".to_owned(), |line, word| line + " " + &word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(outcome: &str, attempts: u64) -> Call {
        Call {
            label: "part".to_owned(),
            attempts,
            outcome: outcome.to_owned(),
            took_ms: (outcome != "open").then_some(7),
        }
    }

    #[test]
    fn a_run_in_which_nothing_was_done_twice_is_told_from_one_in_which_something_was() {
        let before = Calls::from([(0, call("ok", 1)), (1, call("failed", 1)), (2, call("open", 1))]);
        let mut after = Calls::from([
            (0, call("ok", 1)),
            (1, call("failed", 1)),
            (2, call("ok", 2)),
            (3, call("ok", 1)),
        ]);
        assert_eq!(
            compare(&before, &after).unwrap(),
            "answered before the kill: 2; made again: none\n\
             in flight at the kill: 1; made once more, under the same key: 1\n\
             made only after it: 1"
        );
        after.insert(1, call("ok", 2));
        assert!(compare(&before, &after).is_err());
    }

    #[test]
    fn a_command_is_shown_as_it_is_typed() {
        assert_eq!(
            typed(&["launch", "x", "--question", "Why so?"]),
            "skillhost launch x --question 'Why so?'"
        );
    }
}
