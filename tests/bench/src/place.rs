//! A state folder of its own with skills in it, the program at work there, and what it leaves.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use skillhost_core::entry::{Entry, Started};
use skillhost_core::id::{LaunchId, RunId, Seq};
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_journal::{Journal as _, NewRun, SqliteJournal};

use crate::Setting;

/// Answers everything that is asked of the offline provider.
const SCRIPT: &str = "[[reply]]\ntext = \"ok\"\nrepeat = true\n";

/// Nothing costs anything here.
const BUDGET: &str = "[budget]\ncalls = 1000000\ntokens = 100000000000\ndollars = 1000000\n";

/// After this long, what is waited for will not come.
const PATIENCE: Duration = Duration::from_secs(300);

/// A state folder, and the skills of its own that are launched in it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    program: PathBuf,
    /// Where a model provider listens, if not offline ones are asked.
    provider: Option<String>,
}

impl Place {
    /// Makes one in which these skills and fixtures are installed, each fixture with a script that answers everything.
    pub(crate) fn new(setting: &Setting, installed: &[&str]) -> Self {
        let place = Self {
            folder: tempfile::Builder::new().prefix("skillhost-bench-").tempdir().unwrap(),
            program: setting.program.clone(),
            provider: None,
        };
        std::fs::create_dir_all(place.home()).unwrap();
        std::fs::write(place.home().join("config.toml"), BUDGET).unwrap();
        for name in installed {
            let into = place.folder.path().join("skills").join(name);
            std::fs::create_dir_all(&into).unwrap();
            let skill = setting.skills.join(name);
            if skill.exists() {
                copy_folder(&skill, &into);
            } else {
                let fixture = setting.fixtures.join(format!("{name}.wasm"));
                std::fs::copy(fixture, into.join("skill.wasm")).unwrap();
                std::fs::write(into.join("offline.toml"), SCRIPT).unwrap();
            }
        }
        // Whoever looks first compiles; that is not what is measured. And a skill is launched that has been there for a while.
        place.run(&["skills"]);
        while !place.is_settled(installed.len()) {
            std::thread::sleep(Duration::from_millis(100));
            place.run(&["skills"]);
        }
        place
    }

    /// Returns whether it is known of as many components what they hold, so that no launch reads them again.
    fn is_settled(&self, skills: usize) -> bool {
        let kept = std::fs::read_dir(self.home().join("digests"));
        let kept = kept.into_iter().flatten().flatten();
        let known =
            kept.filter(|kept| std::fs::read_to_string(kept.path()).is_ok_and(|text| text.contains("skill.wasm")));
        known.count() == skills
    }

    /// Has the runs ask a provider at this address.
    pub(crate) fn asking(mut self, provider: String) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Returns the state folder.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Returns the database.
    pub(crate) fn database(&self) -> PathBuf {
        self.home().join("journal.db")
    }

    /// Opens the journal, as another process would.
    pub(crate) fn journal(&self) -> SqliteJournal {
        SqliteJournal::open(&self.database()).unwrap()
    }

    /// Returns a command of the program, in a clean environment.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(words)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("TZ", "UTC")
            .env("SKILLHOST_HOME", self.home())
            .env("SKILLHOST_SKILLS", self.folder.path().join("skills"))
            .stdin(Stdio::null());
        if let Some(provider) = &self.provider {
            command
                .env("ANTHROPIC_API_KEY", "a key")
                .env("ANTHROPIC_BASE_URL", provider);
        }
        command
    }

    /// Runs a command that has to succeed, and returns what it printed.
    pub(crate) fn run(&self, words: &[&str]) -> Vec<u8> {
        let output = self.command(words).output().unwrap();
        let told = [output.stdout.as_slice(), &output.stderr].concat();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&told));
        output.stdout
    }

    /// Runs a command that has to succeed, and returns how long the whole process took.
    pub(crate) fn timed(&self, words: &[&str]) -> Duration {
        let mut command = self.command(words);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let begun = Instant::now();
        let status = command.status().unwrap();
        let took = begun.elapsed();
        assert!(status.success(), "{words:?}: {status}");
        took
    }

    /// Returns the words that launch a skill with an input, and wait for its result.
    pub(crate) fn launch<'a>(&self, skill: &'a str, input: &'a str) -> Vec<&'a str> {
        let mut words = vec!["launch", skill, "--input", input, "--await", "--json"];
        if self.provider.is_none() {
            words.push("--offline");
        }
        words
    }

    /// Launches a skill, waits for its result, and returns its run.
    pub(crate) fn launched(&self, skill: &str, input: &str) -> RunId {
        let printed = self.run(&self.launch(skill, input));
        let envelope: Value = serde_json::from_slice(&printed).unwrap();
        RunId::parse(envelope["run_id"].as_str().unwrap()).unwrap()
    }

    /// Launches a skill in a process that goes on.
    pub(crate) fn launching(&self, skill: &str, input: &str) -> Child {
        let mut command = self.command(&self.launch(skill, input));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Makes so many runs like one that was launched, with another input; nobody is told of them.
    pub(crate) fn make_like(&self, model: &RunId, input: &str, count: usize) -> Vec<RunId> {
        let journal = self.journal();
        let started = started(&journal, model);
        let make = |_| {
            let text = ulid::Ulid::generate().to_string().to_ascii_lowercase();
            let run = RunId::parse(&text).unwrap();
            let started = Started {
                run: run.clone(),
                launch: LaunchId::parse(&text).unwrap(),
                input: Payload::parse(input).unwrap(),
                ..started.clone()
            };
            journal.create_run(NewRun::first(started, now(), None)).unwrap();
            run
        };
        (0..count).map(make).collect()
    }

    /// Returns how long it took from the first call of these runs to the end of the last of them, in seconds.
    pub(crate) fn span(&self, runs: &[RunId]) -> f64 {
        let journal = self.journal();
        let begun = runs.iter().map(|run| first_call(&journal, run)).min().unwrap();
        let over = runs.iter().map(|run| last(&journal, run)).max().unwrap();
        over.since(begun).as_secs_f64()
    }

    /// Waits until all these runs are over.
    pub(crate) fn until_over(&self, runs: &[RunId]) {
        let journal = self.journal();
        let mut left: Vec<&RunId> = runs.iter().collect();
        until(|| {
            while left
                .last()
                .is_some_and(|run| journal.run(run).unwrap().status.is_final())
            {
                left.pop();
            }
            left.is_empty()
        });
    }

    /// Stops the daemon, if there is one.
    pub(crate) fn stop_daemon(&self) {
        self.run(&["worker", "stop"]);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A daemon that a command started must not outlive the bench.
        drop(self.command(&["worker", "stop", "--force"]).output());
    }
}

/// Copies a folder with everything in it.
fn copy_folder(from: &Path, into: &Path) {
    std::fs::create_dir_all(into).unwrap();
    for found in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, into) = (found.path(), into.join(found.file_name()));
        match path.is_dir() {
            true => copy_folder(&path, &into),
            false => drop(std::fs::copy(&path, &into).unwrap()),
        }
    }
}

/// Returns what a run began with.
fn started(journal: &SqliteJournal, run: &RunId) -> Started {
    let first = journal.records(run, Seq(0), 1).unwrap().remove(0);
    match first.entry {
        Entry::Started(started) => *started,
        other => unreachable!("a journal begins with `started`, and not with {other:?}"),
    }
}

fn first_call(journal: &SqliteJournal, run: &RunId) -> Timestamp {
    journal.records(run, Seq(1), 1).unwrap()[0].at
}

fn last(journal: &SqliteJournal, run: &RunId) -> Timestamp {
    let entries = journal.run(run).unwrap().entries;
    journal.records(run, Seq(entries - 1), 1).unwrap()[0].at
}

/// Returns what the wall clock shows.
pub(crate) fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    Timestamp(u64::try_from(since.as_micros()).unwrap())
}

/// Waits until something is so.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it did not come about");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Returns the bytes of a file, if it is there.
pub(crate) fn bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
