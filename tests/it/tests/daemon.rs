//! Runs outlive the terminal that they were launched from, and the daemon that drives them.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use skillhost::daemon::{Client, Reply, Request};
use skillhost_core::id::RunId;
use skillhost_it::{Place, SIGKILL, result_of, told};
use skillhost_journal::Journal as _;
use skillhost_loopback::{Behaviour, Rule};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

const WAITING: i32 = 40;
const GOES_ON: i32 = 45;
const HELD: i32 = 70;

/// Has every model call wait until the test lets it go on.
fn held(place: &Place) {
    place.server.rule(Rule::of(Behaviour::Echo).held());
}

/// Lets every model call go on, those that wait and those to come.
fn let_go(place: &Place) {
    place.server.clear_rules();
    place.server.release();
}

fn wait_for_requests(place: &Place, requests: u64) {
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio.block_on(place.server.wait_for_requests(requests));
}

fn start(place: &Place, words: &[&str]) -> Child {
    let mut command = place.command(words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn run_id(envelope: &Value) -> RunId {
    RunId::parse(envelope["run_id"].as_str().unwrap()).unwrap()
}

/// Says that no call whose answer was recorded was made again, and that none was made more often than there were attempts at it.
fn assert_nothing_twice(place: &Place, run: &RunId, answered: &[skillhost_core::id::Number]) {
    for number in answered {
        assert_eq!(place.asked(run, *number), 1, "call {number} had its answer");
    }
}

#[test]
fn a_launch_returns_at_once_and_the_run_goes_on_without_its_terminal_and_without_its_daemon() {
    let place = Place::new(PROGRAM, &["steps"]);
    held(&place);
    let launched = place.json(&["launch", "steps", "--n", "6"]);
    assert_eq!(launched["status"], "running");
    let run = run_id(&launched);
    for _ in 0..2 {
        let before = place.server.counts().requests.values().sum::<u64>();
        wait_for_requests(&place, before.max(1));
        place.server.release();
        wait_for_requests(&place, before.max(1) + 1);
    }
    let answered = place.answered(&run);
    assert!(place.kill_daemon(), "the daemon was there");
    // Any command notices that something was interrupted.
    place.run(&["list"]);
    let_go(&place);
    let result = place.json(&["wait", run.as_str()]);
    assert_eq!(result["result"]["steps"], 6);
    assert_nothing_twice(&place, &run, &answered);
}

#[test]
fn a_run_whose_terminal_and_daemon_were_killed_goes_on_when_runs_are_listed_and_finishes() {
    let place = Place::new(PROGRAM, &["steps"]);
    held(&place);
    let mut awaited = start(
        &place,
        &["launch", "steps", "--id", "it", "--n", "4", "--await", "--json"],
    );
    wait_for_requests(&place, 1);
    place.server.release();
    wait_for_requests(&place, 2);
    let run = place.run_of("it").unwrap();
    let answered = place.answered(&run);
    assert_eq!(answered.len(), 1, "it is in the middle");
    awaited.kill().unwrap();
    assert_eq!(awaited.wait().unwrap().signal(), Some(SIGKILL));
    assert!(place.kill_daemon(), "the daemon outlived the terminal");
    let_go(&place);
    assert_eq!(
        place.status_of(&run),
        "running",
        "nobody drives it, and nothing says that it is over"
    );
    // Nothing else is asked of the program from here on.
    assert!(place.run(&["list"]).status.success());
    place.until(|| place.status_of(&run) == "done");
    assert_eq!(place.answered(&run).len(), 4);
    assert_nothing_twice(&place, &run, &answered);
}

#[test]
fn an_awaited_launch_delivers_its_result_although_the_daemon_is_killed_meanwhile() {
    let place = Place::new(PROGRAM, &["steps"]);
    held(&place);
    let awaited = start(&place, &["launch", "steps", "--n", "3", "--await", "--json"]);
    wait_for_requests(&place, 1);
    assert!(place.kill_daemon());
    // The next daemon makes the call again that was in flight.
    wait_for_requests(&place, 2);
    let_go(&place);
    let result = result_of(&awaited.wait_with_output().unwrap());
    assert_eq!(result["steps"], 3);
}

#[test]
fn a_launch_that_nobody_awaits_any_more_is_not_ended_by_that() {
    let place = Place::new(PROGRAM, &["steps"]);
    held(&place);
    let mut awaited = start(
        &place,
        &["launch", "steps", "--id", "it", "--n", "2", "--await", "--json"],
    );
    wait_for_requests(&place, 1);
    let pid = rustix::process::Pid::from_child(&awaited);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = awaited.wait().unwrap();
    assert_eq!(status.code(), Some(GOES_ON), "it says that the run goes on");
    let_go(&place);
    assert_eq!(place.json(&["wait", "it"])["result"]["steps"], 2);
    assert_eq!(place.server.counts().requests.values().sum::<u64>(), 2);
}

#[test]
fn p4_a_paused_run_records_what_comes_back_and_begins_nothing_until_it_is_resumed() {
    let place = Place::new(PROGRAM, &["steps"]);
    held(&place);
    let run = run_id(&place.json(&["launch", "steps", "--id", "it", "--n", "3"]));
    wait_for_requests(&place, 1);
    assert_eq!(place.json(&["pause", "it"])["status"], "paused");
    let_go(&place);
    place.until(|| place.answered(&run).len() == 1);
    assert!(place.kill_daemon(), "and a pause survives the daemon");
    assert_eq!(place.run(&["wait", "it"]).status.code(), Some(WAITING));
    assert_eq!(place.answered(&run).len(), 1);
    place.json(&["resume", "it"]);
    assert_eq!(place.json(&["wait", "it"])["result"]["steps"], 3);
    assert_eq!(place.server.counts().requests.values().sum::<u64>(), 3);
}

#[test]
fn c4_cancelling_lifts_a_pause() {
    let place = Place::new(PROGRAM, &["waits"]);
    place.json(&["launch", "waits", "--id", "it"]);
    place.json(&["pause", "it"]);
    assert_eq!(place.json(&["cancel", "it"])["status"], "cancelled");
}

#[test]
fn a_daemon_that_is_stopped_records_what_is_under_way_and_leaves_the_rest_to_the_next() {
    let place = Place::new(PROGRAM, &["steps"]);
    held(&place);
    let run = run_id(&place.json(&["launch", "steps", "--id", "it", "--n", "3"]));
    wait_for_requests(&place, 1);
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio.block_on(async {
        let mut client = Client::connect(&place.state()).await.unwrap().unwrap();
        let draining = client.ask(&Request::Stop).await.unwrap();
        assert_eq!(draining, Some(Reply::Draining { runs: 1 }));
        let mut other = Client::connect(&place.state()).await.unwrap().unwrap();
        let asked = other.ask(&Request::Wake { run: run.clone() }).await.unwrap();
        assert_eq!(asked, Some(Reply::Drained), "what comes now is for the next daemon");
        let_go(&place);
        while let Some(Reply::Draining { .. }) = client.next().await {}
    });
    let stopped = place.run(&["worker", "stop"]);
    assert!(stopped.status.success(), "{}", told(&stopped));
    assert_eq!(
        place.answered(&run).len(),
        1,
        "what was under way came back, and nothing else was begun"
    );
    assert_eq!(place.server.counts().requests.values().sum::<u64>(), 1);
    assert_eq!(place.json(&["wait", "it"])["result"]["steps"], 3);
    assert_eq!(place.server.counts().requests.values().sum::<u64>(), 3);
}

#[test]
fn l1_a_run_that_another_process_drives_is_left_to_it_and_taken_at_once_when_that_is_gone() {
    let place = Place::new(PROGRAM, &["steps"]);
    held(&place);
    let mut here = start(
        &place,
        &["launch", "--here", "steps", "--id", "it", "--n", "2", "--json"],
    );
    wait_for_requests(&place, 1);
    let follow = start(
        &place,
        &["launch", "steps", "--id", "it", "--n", "2", "--await", "--json"],
    );
    place.until(|| place.daemon_pid().is_some());
    here.kill().unwrap();
    here.wait().unwrap();
    wait_for_requests(&place, 2);
    let_go(&place);
    assert_eq!(result_of(&follow.wait_with_output().unwrap())["steps"], 2);
}

#[test]
fn a_run_whose_key_is_gone_parks_with_the_reason_and_goes_on_when_there_is_one() {
    let place = Place::new(PROGRAM, &["waits"]);
    let run = run_id(&place.json(&["launch", "waits", "--id", "it", "--input", r#"{"ask":true}"#]));
    place.until(|| place.status_of(&run) == "waiting");
    place.kill_daemon();
    let keyless = |words: &[&str]| place.command(words).env_remove("ANTHROPIC_API_KEY").output().unwrap();
    keyless(&["worker", "start"]);
    keyless(&["signal", "it", "go"]);
    place.until(|| place.status_of(&run) == "parked");
    let parked = place.any_json(&["wait", "it"]);
    assert_eq!(parked["error"]["code"], "no_key", "{parked}");
    let failed = place.json(&["list", "--failed"]);
    assert_eq!(failed["runs"][0]["run_id"], run.as_str());
    // Whoever resumes it has a key in his environment.
    place.json(&["resume", "it"]);
    assert_eq!(place.json(&["wait", "it"])["status"], "done");
}

#[test]
fn a_timer_that_came_due_while_nothing_ran_fires_at_the_next_start() {
    let place = Place::new(PROGRAM, &["waits"]);
    let input = json!({"what": "time", "ms": 300}).to_string();
    let run = run_id(&place.json(&["launch", "waits", "--id", "it", "--input", &input]));
    place.until(|| !place.journal().waits(&run).unwrap().is_empty());
    place.kill_daemon();
    let deadline = place.journal().waits(&run).unwrap()[0].deadline.unwrap();
    place.until(|| skillhost::driver::now() > deadline);
    assert_eq!(place.status_of(&run), "waiting", "nobody was there to wake it");
    assert_eq!(place.json(&["wait", "it"])["status"], "done");
}

#[test]
fn p2_of_a_hundred_answers_one_is_accepted_and_the_others_are_told() {
    let place = Place::new(PROGRAM, &["waits"]);
    let input = json!({"what": "answer"}).to_string();
    let run = run_id(&place.json(&["launch", "waits", "--id", "it", "--input", &input]));
    place.until(|| place.status_of(&run) == "waiting");
    let answers: Vec<Child> = (0..100)
        .map(|n| {
            let comment = format!("comment=from {n}");
            start(&place, &["answer", "it#0", "approve=true", &comment, "--json"])
        })
        .collect();
    let outputs = answers.into_iter().map(|child| child.wait_with_output().unwrap());
    let (accepted, others): (Vec<_>, Vec<_>) = outputs.partition(|output| output.status.success());
    assert_eq!(accepted.len(), 1, "one is accepted");
    for other in &others {
        let envelope: Value = serde_json::from_slice(&other.stdout).unwrap();
        assert_eq!(envelope["exit_code"], HELD, "{envelope}");
    }
    let result = place.json(&["wait", "it"]);
    assert_eq!(
        result["result"]["came"].as_array().unwrap().len(),
        1,
        "it was answered once"
    );
}

#[test]
fn p2_an_answer_that_comes_late_approves_nothing_else() {
    let place = Place::new(PROGRAM, &["waits"]);
    let input = json!({"what": "answer", "times": 2}).to_string();
    let run = run_id(&place.json(&["launch", "waits", "--id", "it", "--input", &input]));
    place.until(|| place.status_of(&run) == "waiting");
    place.json(&["answer", "it#0", "approve=true"]);
    place.until(|| {
        place
            .journal()
            .waits(&run)
            .unwrap()
            .iter()
            .any(|wait| wait.number.0 == 1)
    });
    let late = place.any_json(&["answer", "it#0", "approve=true"]);
    assert_eq!(
        (&late["exit_code"], &late["error"]["code"]),
        (&json!(HELD), &json!("answered"))
    );
    assert_eq!(
        place.any_json(&["wait", "it"])["waits"][0]["call"],
        1,
        "the second question is still asked"
    );
}

#[test]
fn what_a_dead_daemon_left_behind_is_in_nobodys_way() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.json(&["worker", "start"]);
    place.kill_daemon();
    assert!(place.home().join("daemon.sock").exists(), "its socket is still there");
    let nobody = place.json(&["worker", "status"]);
    assert!(nobody.get("daemon").is_none(), "{nobody}");
    assert_eq!(
        place.json(&["launch", "steps", "--n", "1", "--await"])["status"],
        "done"
    );
}

#[test]
fn a_daemon_that_was_stopped_by_a_signal_keeps_its_runs_until_it_is_killed() {
    let place = Place::new(PROGRAM, &["steps"]);
    held(&place);
    let run = run_id(&place.json(&["launch", "steps", "--id", "it", "--n", "2"]));
    wait_for_requests(&place, 1);
    let pid = place.daemon_pid().unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let held_elsewhere = place.any_json(&["resume", "--here", "it"]);
    assert_eq!(
        held_elsewhere["exit_code"], HELD,
        "it lives, however slow: {held_elsewhere}"
    );
    let killed = place.run(&["worker", "stop", "--force"]);
    assert!(killed.status.success(), "{}", told(&killed));
    let_go(&place);
    assert_eq!(place.json(&["resume", "--here", "it"])["result"]["steps"], 2);
    assert!(place.asked(&run, skillhost_core::id::Number(0)) <= 2);
}

/// Says hello as a daemon of another version, and answers one request so; then it is gone.
fn other_daemon(place: &Place, protocol: u32, answer: &'static str) -> std::thread::JoinHandle<String> {
    use std::io::{BufRead as _, BufReader, Write as _};
    place.state().make().unwrap();
    let path = place.home().join("daemon.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        writeln!(stream, r#"{{"protocol":{protocol},"version":"0.0.9"}}"#).unwrap();
        let mut asked = String::new();
        BufReader::new(stream.try_clone().unwrap())
            .read_line(&mut asked)
            .unwrap();
        std::fs::remove_file(path).unwrap();
        writeln!(stream, "{answer}").unwrap();
        asked
    })
}

#[test]
fn a_daemon_of_another_version_is_replaced_when_it_has_nothing_to_do() {
    let place = Place::new(PROGRAM, &["steps"]);
    let old = other_daemon(&place, 1, r#""drained""#);
    let done = place.json(&["launch", "steps", "--n", "1", "--await"]);
    assert_eq!(done["status"], "done");
    assert_eq!(old.join().unwrap().trim(), r#""stop_if_idle""#);
}

#[test]
fn the_inbox_file_has_what_the_daemon_drove_without_another_command() {
    let place = Place::new(PROGRAM, &["steps"]);
    let done = place.json(&["launch", "steps", "--id", "it", "--n", "1", "--await"]);
    assert_eq!(done["status"], "done");
    let file = place.home().join("INBOX.md");
    place.until(|| std::fs::read_to_string(&file).is_ok_and(|text| text.contains("steps")));
}

#[test]
fn a_busy_daemon_of_another_protocol_is_left_and_told_of() {
    let place = Place::new(PROGRAM, &["steps"]);
    let old = other_daemon(&place, 7, r#""busy""#);
    let refused = place.any_json(&["launch", "steps", "--id", "it", "--n", "1", "--await"]);
    assert_eq!(refused["error"]["code"], "other_version", "{refused}");
    old.join().unwrap();
    // The run was made, and the next daemon has it.
    assert_eq!(place.json(&["wait", "it"])["status"], "done");
}

#[test]
fn a_state_folder_that_is_removed_ends_its_daemon() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.json(&["worker", "start"]);
    let pid = place.daemon_pid().unwrap();
    std::fs::remove_dir_all(place.home()).unwrap();
    place.until(|| rustix::process::test_kill_process(pid).is_err());
}

#[test]
fn a_note_is_left_for_a_run_and_read_when_its_skill_asks() {
    let place = Place::new(PROGRAM, &["waits", "notes"]);
    place.json(&["launch", "waits", "--id", "it"]);
    assert_eq!(place.json(&["inject", "it", "-m", "Hurry"])["exit_code"], 0);
    place.json(&["signal", "it", "go"]);
    assert_eq!(
        place.json(&["wait", "it"])["status"],
        "done",
        "a note that nobody reads is in nobody's way"
    );
    let over = place.any_json(&["inject", "it", "-m", "Too late"]);
    assert_eq!(over["error"]["code"], "run_is_over");
}

#[test]
fn waiting_for_several_runs_ends_with_the_first_or_with_all_and_says_when_the_time_is_over() {
    let place = Place::new(PROGRAM, &["steps", "waits"]);
    place.json(&[
        "launch",
        "waits",
        "--id",
        "slow",
        "--input",
        r#"{"what":"time","ms":3600000}"#,
    ]);
    place.json(&["launch", "steps", "--id", "quick", "--n", "1"]);
    let any = place.json(&["wait", "slow", "quick", "--any"]);
    assert_eq!(any["runs"].as_array().unwrap().len(), 2);
    let over = place.any_json(&["wait", "slow", "quick", "--for", "1ms"]);
    assert_eq!(over["exit_code"], GOES_ON);
    place.json(&["cancel", "slow"]);
    assert_eq!(place.any_json(&["wait", "slow"])["exit_code"], 50);
}

#[test]
fn runs_that_only_wait_keep_no_daemon_that_is_told_to_stop() {
    let place = Place::new(PROGRAM, &["waits"]);
    let run = run_id(&place.json(&["launch", "waits", "--id", "it"]));
    place.until(|| place.status_of(&run) == "waiting");
    let stopped = place.run(&["worker", "stop"]);
    assert!(stopped.status.success(), "{}", told(&stopped));
    assert_eq!(place.status_of(&run), "waiting");
    assert_eq!(place.json(&["signal", "it", "go"])["status"], "waiting");
    assert_eq!(
        place.json(&["wait", "it"])["status"],
        "done",
        "an event that was taken is waited for no more"
    );
}

#[test]
fn a_daemon_that_is_terminated_while_runs_wait_ends_and_takes_nothing_more() {
    let place = Place::new(PROGRAM, &["waits"]);
    let run = run_id(&place.json(&["launch", "waits", "--id", "it"]));
    place.until(|| place.status_of(&run) == "waiting");
    let pid = place.daemon_pid().unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    place.until(|| rustix::process::test_kill_process(pid).is_err());
    place.json(&["signal", "it", "go"]);
    assert_eq!(place.json(&["wait", "it"])["status"], "done");
}

#[test]
fn what_was_left_in_a_mailbox_while_no_daemon_was_there_is_noticed_by_whoever_looks() {
    use skillhost_core::machine::Command as Told;
    let place = Place::new(PROGRAM, &["waits"]);
    let input = json!({"what": "answer"}).to_string();
    let run = run_id(&place.json(&["launch", "waits", "--id", "it", "--input", &input]));
    place.until(|| place.status_of(&run) == "waiting");
    place.kill_daemon();
    let answer = Told::Answer {
        number: skillhost_core::id::Number(0),
        value: skillhost_core::payload::Payload::of(&json!({"approve": true, "comment": ""})),
        by: None,
    };
    place
        .journal()
        .post_mail(&run, skillhost::driver::now(), &answer)
        .unwrap();
    place.run(&["list"]);
    place.until(|| place.status_of(&run) == "done");
}

#[test]
fn a_paused_run_that_is_resumed_and_awaited_is_awaited_to_its_end() {
    let place = Place::new(PROGRAM, &["waits"]);
    let input = json!({"what": "time", "ms": 1}).to_string();
    let run = run_id(&place.json(&[
        "launch",
        "waits",
        "--id",
        "it",
        "--input",
        &json!({"times": 2}).to_string(),
    ]));
    place.until(|| place.status_of(&run) == "waiting");
    place.json(&["pause", "it"]);
    place.json(&["signal", "it", "go"]);
    place.json(&["signal", "it", "go"]);
    assert_eq!(place.json(&["resume", "it", "--await"])["status"], "done");
    let timer = place.json(&["launch", "waits", "--input", &input, "--await"]);
    assert_eq!(timer["status"], "done");
}

#[test]
fn p4_a_decision_about_a_paused_run_lifts_the_pause() {
    let place = Place::new(PROGRAM, &["acts"]);
    place.server.hold_acts();
    let run = run_id(&place.json(&["launch", "acts", "--id", "it"]));
    place.until(|| !place.server.counts().acts.is_empty());
    place.kill_daemon();
    place.json(&["worker", "start"]);
    place.until(|| place.status_of(&run) == "parked");
    place.json(&["pause", "it"]);
    place.json(&["resume", "it", "--skip", "0"]);
    place.until(|| place.answered(&run).len() == 1);
}

#[test]
fn l1_a_daemon_that_is_killed_takes_the_programs_along_that_it_started() {
    let place = Place::new(PROGRAM, &["steps"]);
    let noted = place.home().with_extension("pid");
    let program = place.home().with_extension("claude");
    std::fs::write(
        &program,
        format!("#!/bin/sh\necho $$ > {}\nexec sleep 1000\n", noted.display()),
    )
    .unwrap();
    make_executable(&program);
    let mut launch = place.command(&["launch", "steps", "--id", "it", "--n", "1", "--provider", "claude-cli"]);
    let launched = launch.env("SKILLHOST_CLAUDE", &program).output().unwrap();
    assert!(launched.status.success(), "{}", told(&launched));
    let pid = || {
        let text = std::fs::read_to_string(&noted).ok()?;
        rustix::process::Pid::from_raw(text.trim().parse().ok()?)
    };
    place.until(|| pid().is_some());
    place.json(&["worker", "stop", "--force"]);
    place.until(|| rustix::process::test_kill_process(pid().unwrap()).is_err());
}

fn make_executable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_daemon_that_cannot_start_says_why() {
    let place = Place::new(PROGRAM, &["steps"]);
    place.state().make().unwrap();
    std::fs::write(place.home().join("config.toml"), "[worker]\nruns = 0\n").unwrap();
    let refused = place.any_json(&["worker", "start"]);
    assert_eq!(refused["error"]["code"], "daemon_did_not_start", "{refused}");
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("`worker.runs` is 0; it may be 1 to 512"), "{message}");
}

#[test]
fn a_question_is_told_of_once_however_often_its_run_leaves_memory_and_comes_back() {
    let place = Place::new(PROGRAM, &["waits"]);
    place.state().make().unwrap();
    let notices = place.home().join("notices");
    let config = format!(
        "[worker]\nwaiting_mib = 0\n[notify]\ndesktop = false\ncommand = [\"sh\", \"-c\", \"(cat; echo) >> {}\"]\n",
        notices.display()
    );
    std::fs::write(place.home().join("config.toml"), config).unwrap();
    let told = |event: &str| {
        let said = std::fs::read_to_string(&notices).unwrap_or_default();
        said.matches(&format!(r#""event":"{event}""#)).count()
    };
    let input = json!({"what": "answer"}).to_string();
    let run = run_id(&place.json(&["launch", "waits", "--id", "it", "--input", &input]));
    place.until(|| told("asks") == 1);
    let lease = || place.journal().run(&run).unwrap().lease();
    for _ in 0..2 {
        // Its question may be told of before it has left.
        place.until(|| lease().holder.is_none());
        let before = lease().epoch;
        // An event that it does not wait for.
        place.json(&["signal", "it", "other"]);
        place.until(|| lease().epoch > before);
    }
    // What was noted before is told when this is.
    let timer = json!({"what": "time"}).to_string();
    place.json(&["launch", "waits", "--input", &timer]);
    place.until(|| told("ended") == 1);
    assert_eq!(told("asks"), 1);
}

#[test]
fn a_skill_whose_runs_take_turns_keeps_no_other_skill_waiting() {
    let place = Place::new(PROGRAM, &["steps", "waits"]);
    place.state().make().unwrap();
    std::fs::write(place.home().join("config.toml"), "[worker.runs_of]\nsteps = 1\n").unwrap();
    held(&place);
    let slow: Vec<RunId> = (0..3)
        .map(|_| run_id(&place.json(&["launch", "steps", "--n", "1"])))
        .collect();
    wait_for_requests(&place, 1);
    let timer = json!({"what": "time"}).to_string();
    assert_eq!(
        place.json(&["launch", "waits", "--input", &timer, "--await"])["status"],
        "done"
    );
    assert_eq!(place.server.counts().requests.len(), 1, "one of them has its turn");
    let_go(&place);
    for run in &slow {
        assert_eq!(place.json(&["wait", run.as_str()])["status"], "done");
    }
}
