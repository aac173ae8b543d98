//! What the tests that cross crates share: a [`Place`] to launch skills in, and a look at what is left behind.
//!
//! A place has a home, a folder of skills and a model provider of its own on the loopback interface. Commands are the real program.

#![allow(clippy::unwrap_used, reason = "only tests use it")]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use skillhost::driver::Replayed;
use skillhost::env::Environment;
use skillhost::home::Home;
use skillhost_core::entry::{Entry, Record};
use skillhost_core::id::{Number, RunId};
use skillhost_journal::{InboxFilter, Journal as _, OpenError, RunRow, SqliteJournal};
use skillhost_loopback::Loopback;
use skillhost_toolchain::workspace::{Guests, ensure_guests};

/// The signal that nobody can catch.
pub const SIGKILL: i32 = 9;

/// After this long, something that a test waits for will not come about.
const ABSURD: Duration = Duration::from_secs(300);

/// A home, a folder of skills and a model provider.
pub struct Place {
    folder: tempfile::TempDir,
    program: PathBuf,
    /// Whether what was run here was replayed already.
    replayed: AtomicBool,
    /// The model provider.
    pub server: Loopback,
}

/// What a run has left behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Left {
    /// Its result.
    pub result: Value,
    /// The files in its folder.
    pub files: BTreeMap<String, String>,
    /// Title, body and attachments of its messages, in the order in which they were posted.
    pub inbox: Vec<(String, String, Vec<String>)>,
    /// What it logged.
    pub lines: Vec<String>,
}

pub mod author;
pub mod ordeal;
mod replay;
pub mod site;

pub use replay::{replay, replay_on};

/// Returns the folder of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// Returns the guests, built if need be.
pub fn guests() -> &'static Guests {
    ensure_guests(workspace())
}

/// Reads the JSON envelope that a command printed, and holds it to its schema.
fn envelope(words: &[&str], output: &Output) -> Value {
    static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
        let text = include_str!("../../../host/schema/skillhost-run-v1.json");
        jsonschema::validator_for(&serde_json::from_str(text).unwrap()).unwrap()
    });
    let envelope: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{words:?}: {}", told(output)));
    let mistakes: Vec<String> = SCHEMA
        .iter_errors(&envelope)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert!(mistakes.is_empty(), "{words:?}: {mistakes:?} in {envelope}");
    envelope
}

impl Place {
    /// Makes a place in which these fixture skills are installed. `program` is `env!("CARGO_BIN_EXE_skillhost-under-test")`.
    pub fn new(program: &str, skills: &[&str]) -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
            program: program.into(),
            replayed: AtomicBool::new(false),
            server: Loopback::start().unwrap(),
        };
        for skill in skills {
            place.install(skill, &guests().component(skill));
        }
        place
    }

    /// Installs a component under a name, in place of the one that is there.
    pub fn install(&self, skill: &str, component: &Path) {
        let folder = self.skills().join(skill.replace('_', "-"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(component, folder.join("skill.wasm")).unwrap();
    }

    /// Installs a skill with everything that lies in its folder.
    pub fn install_folder(&self, from: &Path) {
        copy_folder(from, &self.skills().join(from.file_name().unwrap()));
    }

    /// Leaves everything where it is, for whoever wants to look at it, and returns where that is.
    pub fn keep(mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.replayed.store(true, Ordering::SeqCst);
        self.folder.path().to_owned()
    }

    /// Removes it without looking at what it holds: a bug was planted in whatever was run here.
    pub fn forget(self) {
        self.replayed.store(true, Ordering::SeqCst);
    }

    /// Returns the folder of skills.
    pub fn skills(&self) -> PathBuf {
        self.folder.path().join("skills")
    }

    /// Returns the user's own folder.
    pub fn user_folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the state folder.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Returns the state folder, as the program knows it.
    pub fn state(&self) -> Home {
        let environment = Environment {
            home: Some(self.home()),
            ..Environment::current()
        };
        Home::find(&environment).unwrap()
    }

    /// Forgets every run, but not the compiled components.
    pub fn forget_runs(&self) {
        for found in std::fs::read_dir(self.home()).unwrap() {
            let path = found.unwrap().path();
            match path.file_name().unwrap().to_str().unwrap() {
                "compiled" => {}
                _ if path.is_dir() => std::fs::remove_dir_all(path).unwrap(),
                _ => std::fs::remove_file(path).unwrap(),
            }
        }
    }

    /// Returns a command of the program, in a clean environment.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(words)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("TZ", "UTC")
            .env("SKILLHOST_HOME", self.home())
            .env("SKILLHOST_SKILLS", self.skills())
            .env("ANTHROPIC_API_KEY", "the key of the tests")
            .env("ANTHROPIC_BASE_URL", self.server.url())
            .env("SKILLHOST_TEST_ACTS", self.server.acts_url())
            .stdin(Stdio::null());
        command
    }

    /// Returns a command that runs at a terminal of its own, where each prompt of the dialogue is answered with what follows it. Its output is what was on the screen.
    pub fn at_a_terminal(&self, dialogue: &[&str], words: &[&str]) -> Command {
        let environment = self.command(&[]);
        let mut terminal = Command::new("python3");
        terminal
            .arg(workspace().join("tests/it/tests/terminal.py"))
            .args(dialogue)
            .arg("--")
            .arg(&self.program)
            .args(words)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("TERM", "dumb")
            .envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?))));
        terminal
    }

    /// Runs a command to its end.
    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs a command that has to succeed, and returns its JSON envelope.
    pub fn json(&self, words: &[&str]) -> Value {
        let output = self.run(&[words, &["--json"]].concat());
        assert!(output.status.success(), "{words:?}: {}", told(&output));
        envelope(words, &output)
    }

    /// Runs a command with an input, of which the answer is its JSON envelope whatever came of it.
    pub fn any_json(&self, words: &[&str]) -> Value {
        let output = self.run(&[words, &["--json"]].concat());
        envelope(words, &output)
    }

    /// Returns the process that is the daemon of this place, as the daemon itself says.
    pub fn daemon_pid(&self) -> Option<Pid> {
        let status = self.any_json(&["worker", "status"]);
        Pid::from_raw(i32::try_from(status["daemon"]["pid"].as_i64()?).unwrap())
    }

    /// Kills the daemon as a power cut would, and returns whether there was one.
    pub fn kill_daemon(&self) -> bool {
        let Some(pid) = self.daemon_pid() else { return false };
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
        // A command that waits may have started another one already.
        self.until(|| self.daemon_pid() != Some(pid));
        true
    }

    /// Returns how a run stands.
    pub fn status_of(&self, run: &RunId) -> &'static str {
        self.journal().run(run).unwrap().status.as_str()
    }

    /// Waits until something is so, and fails if that takes absurdly long.
    pub fn until(&self, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < ABSURD, "it did not come about");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Opens the journal, as another process would. Whoever has it locked may have been stopped in the middle of a commit, for a while.
    pub fn journal(&self) -> SqliteJournal {
        let begun = Instant::now();
        loop {
            match SqliteJournal::open(&self.home().join("journal.db")) {
                Err(OpenError::Locked { .. }) if begun.elapsed() < ABSURD => {}
                opened => return opened.unwrap(),
            }
        }
    }

    /// Returns the run that a launch is known by, if it was made.
    pub fn run_of(&self, launch: &str) -> Option<RunId> {
        self.home()
            .join("journal.db")
            .exists()
            .then(|| self.journal().find_run(launch).ok())?
    }

    /// Returns the entries of a run.
    pub fn records(&self, run: &RunId) -> Vec<Record> {
        self.journal().all_records(run).unwrap()
    }

    /// Returns the calls of a run whose answer is recorded.
    pub fn answered(&self, run: &RunId) -> Vec<Number> {
        let records = self.records(run);
        let answered = records.iter().filter_map(|record| match &record.entry {
            Entry::Returned(returned) => Some(returned.number),
            _ => None,
        });
        answered.collect()
    }

    /// Returns how often the provider was asked for a call.
    pub fn asked(&self, run: &RunId, number: Number) -> u64 {
        let key = skillhost_core::id::idempotency_key(run, number);
        self.server.counts().requests.get(&key).copied().unwrap_or(0)
    }

    /// Returns what a run has left behind. What it says is as a replay would have it: times are left out.
    pub fn left(&self, run: &RunId, result: Value) -> Left {
        let journal = self.journal();
        let filter = InboxFilter {
            run: Some(run.clone()),
            ..InboxFilter::default()
        };
        let mut inbox: Vec<_> = journal.inbox(&filter).unwrap();
        inbox.sort_by_key(|row| row.id);
        let lines = journal.lines(run, None, usize::MAX).unwrap();
        let mut files = BTreeMap::new();
        read_folder(&self.home().join("runs").join(run.as_str()), "", &mut files);
        Left {
            result,
            files,
            inbox: inbox
                .into_iter()
                .map(|row| (row.title, row.body, row.attachments))
                .collect(),
            lines: lines.into_iter().map(|row| format!("{:?}", row.line)).collect(),
        }
    }
}

impl Place {
    /// Replays whatever was run here, and returns what did otherwise than its journal says.
    pub fn replay_all(&self) -> Vec<(RunId, Replayed)> {
        self.replayed.store(true, Ordering::SeqCst);
        self.replay_those(|_| true)
    }

    /// Replays those runs that are wanted, and returns what did otherwise than its journal says.
    #[allow(clippy::print_stderr, reason = "a test")]
    pub fn replay_those(&self, is_wanted: impl Fn(&RunRow) -> bool + Sync + Send + 'static) -> Vec<(RunId, Replayed)> {
        let home = self.home();
        if !home.join("journal.db").exists() {
            return Vec::new();
        }
        // The test may have a runtime of its own, on whose threads no other can be waited for.
        let replaying = std::thread::spawn(move || {
            let tokio = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build();
            tokio.unwrap().block_on(replay::replay_those(&home, &is_wanted))
        });
        let (count, others) = replaying.join().unwrap();
        // For whoever wants to know how many there are.
        eprintln!("{count} journals replayed");
        others
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A daemon that a command started must not outlive the test.
        drop(self.command(&["worker", "stop", "--force"]).output());
        if !std::thread::panicking() && !self.replayed.load(Ordering::SeqCst) {
            let others = self.replay_all();
            assert!(others.is_empty(), "these did otherwise: {others:#?}");
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        match file.file_type().unwrap().is_dir() {
            true => copy_folder(&file.path(), &to.join(file.file_name())),
            false => drop(std::fs::copy(file.path(), to.join(file.file_name())).unwrap()),
        }
    }
}

fn read_folder(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    let Ok(found) = std::fs::read_dir(folder) else { return };
    for entry in found {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => read_folder(&entry.path(), &format!("{name}/"), files),
            false => {
                files.insert(name, std::fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
}

/// Returns what a command said, for a test that fails.
pub fn told(output: &Output) -> String {
    format!(
        "{:?}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Returns whether a process was killed as by a power cut.
pub fn was_killed(output: &Output) -> bool {
    output.status.signal() == Some(SIGKILL)
}

/// Numbers that look random, and are the same for the same seed.
pub struct Seeded(u64);

impl Seeded {
    /// Begins the sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number below `bound` (xorshift64*).
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// Returns the result that a command with `--json` printed.
pub fn result_of(output: &Output) -> Value {
    assert!(output.status.success(), "{}", told(output));
    let envelope: Value = serde_json::from_slice(&output.stdout).unwrap();
    envelope["result"].clone()
}

/// Runs a command until it has made so many requests, and kills it then; or until it ends by itself.
pub async fn kill_after_requests(place: &Place, command: Command, requests: u64) {
    let before: u64 = place.server.counts().requests.values().sum();
    let mut command = tokio::process::Command::from(command);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    tokio::select! {
        () = place.server.wait_for_requests(before + requests) => child.kill().await.unwrap(),
        ended = child.wait() => {
            ended.unwrap();
        }
    }
}
