//! The daemon, spoken to as commands do, but for many runs at once.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use skillhost_core::id::RunId;

use crate::place::Place;

/// A connection to the daemon of a place.
pub(crate) struct Daemon {
    reader: BufReader<UnixStream>,
    pid: i32,
}

impl Daemon {
    /// Starts a daemon, if there is none, and connects to it.
    pub(crate) fn of(place: &Place) -> Self {
        place.run(&["worker", "start"]);
        let stream = UnixStream::connect(place.home().join("daemon.sock")).unwrap();
        let mut reader = BufReader::new(stream);
        let hello = line(&mut reader);
        assert_eq!(hello["protocol"], 2, "{hello}");
        let mut daemon = Self { reader, pid: 0 };
        let status = daemon.ask(&["status".into()]);
        daemon.pid = i32::try_from(status[0]["status"]["pid"].as_i64().unwrap()).unwrap();
        daemon
    }

    /// Has runs driven that stand in the journal.
    pub(crate) fn drive(&mut self, runs: &[RunId]) {
        let requests: Vec<Value> = runs
            .iter()
            .map(|run| json!({"drive": {"run": run, "environment": {}}}))
            .collect();
        self.ask(&requests);
    }

    /// Says that these runs have mail.
    pub(crate) fn wake(&mut self, runs: &[RunId]) {
        let requests: Vec<Value> = runs.iter().map(|run| json!({"wake": {"run": run}})).collect();
        self.ask(&requests);
    }

    /// Kills the daemon, as a power cut would.
    pub(crate) fn strike(&self) {
        let pid = rustix::process::Pid::from_raw(self.pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    /// Returns what the daemon holds of the machine's memory, in bytes: what is its own, and its share of what others use too.
    pub(crate) fn memory(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.pid);
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib << 10
    }

    /// Asks everything at once, and returns the answers.
    fn ask(&mut self, requests: &[Value]) -> Vec<Value> {
        let text: String = requests.iter().map(|request| format!("{request}\n")).collect();
        let mut writer = self.reader.get_ref().try_clone().unwrap();
        // The daemon answers while it is asked: somebody has to listen meanwhile.
        let asking = std::thread::spawn(move || writer.write_all(text.as_bytes()).unwrap());
        let answers = requests.iter().map(|_| line(&mut self.reader)).collect();
        asking.join().unwrap();
        answers
    }
}

fn line(reader: &mut BufReader<UnixStream>) -> Value {
    let mut text = String::new();
    reader.read_line(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}
