//! What a launch says and takes beside the skill's input, and what becomes of a run when skillhost itself has a fault.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::{Child, Stdio};

use serde_json::{Value, json};
use skillhost_core::id::RunId;
use skillhost_it::{Place, told};
use skillhost_journal::Journal as _;

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

const INTERNAL: i32 = 90;
const GOES_ON: i32 = 45;

fn run_id(envelope: &Value) -> RunId {
    RunId::parse(envelope["run_id"].as_str().unwrap()).unwrap()
}

/// Has a command panic at a place of the driver.
fn panicking(place: &Place, words: &[&str], at: &str) -> Value {
    let output = place
        .command(&[words, &["--json"]].concat())
        .env("SKILLHOST_FAILPOINT_PANIC", at)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(INTERNAL), "{}", told(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn assert_says_it_is_ours(place: &Place, envelope: &Value, at: &str) {
    assert_eq!(
        (&envelope["exit_code"], &envelope["ok"]),
        (&json!(INTERNAL), &json!(false)),
        "{envelope}"
    );
    let error = &envelope["error"];
    assert_eq!(error["code"], "internal", "{envelope}");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains(&format!("asked for it at {at}")),
        "{envelope}"
    );
    let hint = error["hint"].as_str().unwrap();
    let log = place.home().join("logs/faults.log");
    assert!(
        hint.contains("please report it") && hint.contains(log.to_str().unwrap()),
        "{hint}"
    );
    let log = std::fs::read_to_string(log).unwrap();
    assert!(
        log.contains(at) && log.contains("failpoint.rs") && log.contains("driver"),
        "it tells where: {log}"
    );
}

#[test]
fn a_panic_of_a_command_is_told_as_a_fault_of_ours_and_loses_no_run() {
    let place = Place::new(PROGRAM, &["steps"]);
    let words = ["launch", "--here", "steps", "--id", "it", "--n", "3"];
    let envelope = panicking(&place, &words, "driver.effect-ended:2");
    assert_says_it_is_ours(&place, &envelope, "driver.effect-ended");
    assert_eq!(envelope["command"], "launch");
    let run = place.run_of("it").unwrap();
    let answered = place.answered(&run);
    assert_eq!(answered.len(), 1);
    let output = place
        .command(&["resume", "--here", "it"])
        .env("SKILLHOST_FAILPOINT_PANIC", "driver.loaded")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(INTERNAL));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("error: skillhost panicked: ") && said.contains("\nhint: "),
        "{said}"
    );
    assert_eq!(place.json(&["resume", "--here", "it"])["result"]["steps"], 3);
    assert_eq!(
        place.asked(&run, answered[0]),
        1,
        "what was answered was not asked again"
    );
}

#[test]
fn a_panic_in_the_daemon_parks_the_run_that_met_it_and_the_daemon_goes_on() {
    let place = Place::new(PROGRAM, &["steps"]);
    let mut start = place.command(&["worker", "start"]);
    let started = start
        .env("SKILLHOST_FAILPOINT_PANIC", "driver.loaded")
        .output()
        .unwrap();
    assert!(started.status.success(), "{}", told(&started));
    let envelope = place.any_json(&["launch", "steps", "--id", "it", "--n", "2", "--await"]);
    assert_says_it_is_ours(&place, &envelope, "driver.loaded");
    let run = place.run_of("it").unwrap();
    assert_eq!(place.status_of(&run), "parked");
    assert!(
        place.journal().lease(&run).unwrap().holder.is_none(),
        "it was given back"
    );
    let daemon = place.daemon_pid();
    assert!(daemon.is_some(), "the daemon lives");
    let failed = place.json(&["list", "--failed"]);
    assert_eq!(failed["runs"][0]["run_id"], run.as_str());
    assert!(told(&place.run(&["inbox"])).contains("is parked: internal"));
    assert_eq!(
        place.json(&["launch", "steps", "--n", "1", "--await"])["status"],
        "done",
        "other runs are driven"
    );
    assert_eq!(place.json(&["resume", "it", "--await"])["result"]["steps"], 2);
    assert_eq!(place.daemon_pid(), daemon);
}

#[test]
fn of_a_run_that_is_to_be_silent_nobody_is_told_not_even_by_a_later_daemon() {
    let place = Place::new(PROGRAM, &["waits", "steps"]);
    let told = place.user_folder().join("told");
    let config = format!(
        "[notify]\ndesktop = false\ncommand = ['sh', '-c', 'cat >> {}']\n",
        told.display()
    );
    place.state().make().unwrap();
    std::fs::write(place.home().join("config.toml"), config).unwrap();
    let input = json!({"what": "answer", "times": 2}).to_string();
    let silent = run_id(&place.json(&["launch", "waits", "--no-notify", "--id", "it", "--input", &input]));
    let asks = |call| {
        place
            .journal()
            .waits(&silent)
            .unwrap()
            .iter()
            .any(|wait| wait.number.0 == call)
    };
    place.until(|| asks(0));
    assert!(place.kill_daemon());
    place.json(&["answer", "it#0", "approve=true"]);
    place.until(|| asks(1));
    place.json(&["answer", "it#1", "approve=true"]);
    place.until(|| place.status_of(&silent) == "done");
    // Notices are told one after the other: when this one is, those before it were.
    let loud = run_id(&place.json(&["launch", "steps", "--n", "1"]));
    let said = || std::fs::read_to_string(&told).unwrap_or_default();
    place.until(|| said().contains(loud.as_str()));
    assert!(!said().contains(silent.as_str()), "{}", said());
    assert!(
        String::from_utf8(place.run(&["inbox", "--all"]).stdout)
            .unwrap()
            .contains("waits"),
        "the inbox has it"
    );
}

#[test]
fn a_retry_of_a_silent_run_is_silent() {
    let place = Place::new(PROGRAM, &["fails"]);
    place.any_json(&[
        "launch",
        "--here",
        "fails",
        "--after_calls",
        "1",
        "--no-notify",
        "--id",
        "it",
    ]);
    let before = place.run_of("it").unwrap();
    place.any_json(&["retry", "--here", "it", "--from", "0"]);
    let retried = place.run_of("it").unwrap();
    assert_ne!(retried, before);
    assert!(place.journal().run(&retried).unwrap().silent);
}

#[test]
fn that_a_reboot_delays_a_timer_is_said_by_whoever_sees_the_run_wait_for_it() {
    const SAID: &str = "after a reboot the time counts on";
    let place = Place::new(PROGRAM, &["waits"]);
    let input = json!({"what": "time", "ms": 3_600_000}).to_string();
    let words = ["launch", "waits", "--id", "it", "--input", &input];
    let run = run_id(&place.json(&words));
    place.until(|| place.status_of(&run) == "waiting");
    let says = |words: &[&str]| told(&place.run(words)).contains(SAID);
    assert!(says(&words), "a launch that finds it waiting");
    assert!(says(&["status", "it"]));
    let awaited = awaited_until_it_says(&place, &words, SAID);
    assert!(awaited, "who awaits it");
    if cfg!(target_os = "linux") {
        let service = place
            .user_folder()
            .join(".config/systemd/user/skillhost-worker.service");
        std::fs::create_dir_all(service.parent().unwrap()).unwrap();
        std::fs::write(service, "").unwrap();
        assert!(
            !says(&words) && !says(&["status", "it"]),
            "the system starts the daemon"
        );
    }
}

/// Awaits a run until this is said, and detaches then; or until the run is over.
fn awaited_until_it_says(place: &Place, words: &[&str], said: &str) -> bool {
    use std::io::{BufRead as _, BufReader};
    let mut command = place.command(&[words, &["--await"]].concat());
    let mut awaited: Child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(awaited.stderr.take().unwrap()).lines();
    let is_said = lines.any(|line| line.unwrap().contains(said));
    rustix::process::kill_process(rustix::process::Pid::from_child(&awaited), rustix::process::Signal::INT).unwrap();
    assert_eq!(awaited.wait().unwrap().code(), Some(GOES_ON));
    is_said
}
