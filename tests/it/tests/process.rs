//! Programs: only what was granted is run, none outlives its run, and what was running when the host was killed is ended and not run again.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::PathBuf;
use std::process::{Child, Output, Stdio};

use serde_json::{Value, json};
use skillhost_it::{Place, result_of, told, was_killed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");
const WAITING: i32 = 40;
const NEEDS_A_PERSON: i32 = 20;
const FAILED: i32 = 30;
const UNSUPPORTED: i32 = 80;

/// What the fixture asks for.
const ALL: &str = r#"
[skills.process]
process = [{ program = "sh", environment = ["GREETING"] }, { program = "sleep" }]
"#;

fn place(grants: &str) -> Place {
    let place = Place::new(PROGRAM, &["process"]);
    grant(&place, grants);
    place
}

fn grant(place: &Place, grants: &str) {
    let home = place.state();
    home.make().unwrap();
    skillhost::home::write_whole(&home.grants(), grants.as_bytes()).unwrap();
}

fn launch(place: &Place, input: &Value) -> std::process::Command {
    let input = input.to_string();
    let mut command = place.command(&[
        "launch", "--here", "process", "--id", "victim", "--json", "--input", &input,
    ]);
    command.env("PATH", "/usr/bin:/bin").env("GREETING", "hello");
    command
}

fn sh(script: &str) -> Value {
    json!({"program": "sh", "arguments": ["-c", script]})
}

fn answers(output: &Output) -> Vec<String> {
    serde_json::from_value(result_of(output)["answers"].clone()).unwrap()
}

/// Returns what the programs of a test wrote into a file of its place, line by line.
fn lines(place: &Place, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(place.user_folder().join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn file(place: &Place, name: &str) -> String {
    place.user_folder().join(name).to_str().unwrap().to_owned()
}

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start().to_owned());
    state.is_some_and(|state| !state.starts_with(['Z', 'X']))
}

fn programs(place: &Place) -> PathBuf {
    place.home().join("programs")
}

#[test]
fn a_program_answers_with_what_it_printed_and_the_log_has_it_too() {
    let place = place(ALL);
    let input = json!({"commands": [
        sh("cat; echo $GREETING; echo oops >&2; exit 3"),
        {"program": "sh", "arguments": ["-c", "echo $GREETING; pwd"], "environment": [["GREETING", "moin"]]},
        {"program": "sh", "arguments": ["-c", "echo last; kill -9 $$"]},
    ]});
    let mut input = input;
    input["commands"][0]["input"] = json!("in\n");
    let output = launch(&place, &input).output().unwrap();
    let run = place.run_of("victim").unwrap();
    let folder = place.home().join("runs").join(run.as_str()).canonicalize().unwrap();
    let expected = [
        "exited 3: \"in\\nhello\\n\" \"oops\\n\"".to_owned(),
        format!("exited 0: {:?} \"\"", format!("moin\n{}\n", folder.display())),
        "signalled 9: \"last\\n\" \"\"".to_owned(),
    ];
    assert_eq!(answers(&output), expected);
    let logs = place.json(&["logs", "victim"]);
    let logged = logs["lines"].to_string();
    for line in ["in", "hello", "oops", "moin", "last"] {
        assert!(logged.contains(&format!("\"{line}\"")), "{line}: {logged}");
    }
    assert!(!programs(&place).join(run.as_str()).exists());
    assert!(place.run(&["replay", "victim"]).status.success());
}

#[test]
fn what_was_not_granted_is_denied_and_the_skill_goes_on() {
    let place = place(ALL);
    let proof = file(&place, "proof");
    let input = json!({"commands": [
        {"program": "touch", "arguments": [proof]},
        {"program": "/bin/sh", "arguments": ["-c", "true"]},
        {"program": "sh", "arguments": ["-c", "true"], "environment": [["LD_PRELOAD", "/x"]]},
        {"program": "../sh"},
        sh("true"),
    ]});
    let answers = answers(&launch(&place, &input).output().unwrap());
    assert!(
        answers[0]
            .starts_with("denied: the program `touch` was not granted to skill `process`: `skillhost grant process`")
    );
    assert!(answers[1].starts_with("denied: the program `/bin/sh`"));
    assert!(answers[2].starts_with("denied: the variable `LD_PRELOAD`"));
    assert!(answers[3].starts_with("invalid: "));
    assert_eq!(answers[4], "exited 0: \"\" \"\"");
    assert!(!place.user_folder().join("proof").exists());
}

#[test]
fn without_a_person_a_skill_that_asks_for_something_is_not_launched_before_it_is_granted() {
    let place = Place::new(PROGRAM, &["process"]);
    let input = json!({"commands": [sh("true")]});
    let output = launch(&place, &input).output().unwrap();
    assert_eq!(output.status.code(), Some(NEEDS_A_PERSON), "{}", told(&output));
    assert!(told(&output).contains("skillhost grant process"), "{}", told(&output));
    let output = place.run(&["grant", "process", "--json"]);
    assert_eq!(output.status.code(), Some(NEEDS_A_PERSON), "{}", told(&output));
    assert!(told(&output).contains("grant_needs_terminal"), "{}", told(&output));
    assert!(!place.state().grants().exists());
    // At a terminal it asks, and once is enough.
    let output = place
        .at_a_terminal(
            &["allow this", "n"],
            &["launch", "process", "--here", "--input", &input.to_string()],
        )
        .output()
        .unwrap();
    assert!(
        told(&output).contains("to show what a program can do"),
        "{}",
        told(&output)
    );
    assert!(!place.state().grants().exists());
    let output = place
        .at_a_terminal(&["allow this", "y"], &["grant", "process"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(
        answers(&launch(&place, &input).output().unwrap()),
        ["exited 0: \"\" \"\""]
    );
    let granted = place.json(&["grants"]);
    assert_eq!(granted["grants"][0]["program"], "sh");
    assert_eq!(granted["grants"][0]["environment"], json!(["GREETING"]));
}

#[test]
fn what_a_skill_asks_for_is_told_when_it_is_checked() {
    let place = Place::new(PROGRAM, &["process"]);
    let told = told(&place.run(&["check", "process"]));
    let asks = "asks to   run the program sh, given the variables GREETING: to show what a program can do";
    assert!(told.contains(asks), "{told}");
}

#[test]
fn who_lets_agents_grant_needs_no_terminal() {
    let place = Place::new(PROGRAM, &["process"]);
    place.state().make().unwrap();
    std::fs::write(place.home().join("config.toml"), "agents_may_grant = true\n").unwrap();
    place.json(&["grant", "process"]);
    let input = json!({"commands": [sh("true")]});
    assert_eq!(
        answers(&launch(&place, &input).output().unwrap()),
        ["exited 0: \"\" \"\""]
    );
}

#[test]
fn what_was_denied_is_done_by_a_retry_once_it_is_granted() {
    let place = place(ALL);
    let input = json!({"commands": [{"program": "touch", "arguments": ["proof"]}], "ask": true});
    let refuse = skillhost_loopback::Behaviour::status(400);
    place.server.rule(skillhost_loopback::Rule::of(refuse));
    let output = launch(&place, &input).output().unwrap();
    assert_eq!(output.status.code(), Some(FAILED), "{}", told(&output));
    place.server.clear_rules();
    let sleep = r#"{ program = "sleep" }"#;
    grant(
        &place,
        &ALL.replace(sleep, &format!(r#"{sleep}, {{ program = "touch" }}"#)),
    );
    let retry = ["retry", "victim", "--from", "0", "--here", "--json"];
    let output = place.command(&retry).env("PATH", "/usr/bin:/bin").output().unwrap();
    assert_eq!(answers(&output), ["exited 0: \"\" \"\""]);
    let run = place.run_of("victim").unwrap();
    assert!(place.home().join("runs").join(run.as_str()).join("proof").exists());
}

#[test]
fn what_is_revoked_in_the_middle_of_a_run_is_denied_from_then_on() {
    let place = place(ALL);
    let grants = place.state().grants();
    // The first program takes the grant away itself, as anybody may who is the user.
    let revoke = format!("rm {}", grants.display());
    let input = json!({"commands": [sh(&revoke), sh("true")]});
    let answers = answers(&launch(&place, &input).output().unwrap());
    assert_eq!(answers[0], "exited 0: \"\" \"\"");
    assert!(
        answers[1].starts_with("denied: ") && answers[1].contains("was revoked since"),
        "{answers:?}"
    );
    assert_eq!(place.run(&["grants", "revoke", "process"]).status.code(), Some(10));
}

#[test]
fn a_program_that_takes_too_long_or_is_dropped_is_ended_with_all_that_it_started() {
    let place = place(ALL);
    let pids = file(&place, "pids");
    let script = format!("sleep 1000 & echo $! >> {pids}; echo $$ >> {pids}; echo begun; wait");
    let long = |how: &str| {
        let mut command = sh(&script);
        command[how] = json!(1_500);
        command
    };
    let input = json!({"commands": [long("timeout_ms"), long("drop_after_ms")]});
    let answers = answers(&launch(&place, &input).output().unwrap());
    assert!(
        answers[0].starts_with("timeout: `sh` took longer than 1.5 s"),
        "{answers:?}"
    );
    assert!(answers[0].ends_with("the last that it printed: begun"), "{answers:?}");
    assert!(answers[1].starts_with("timeout: "), "{answers:?}");
    let pids = lines(&place, "pids");
    assert_eq!(pids.len(), 4);
    place.until(|| !pids.iter().any(|pid| is_alive(pid)));
}

/// Launches something whose first program writes a line and then sleeps, in a process that is killed then.
fn killed_while_a_program_runs(place: &Place, extra: &Value) {
    let pids = file(place, "pids");
    let script = format!("sleep 1000 & echo $! >> {pids}; echo $$ >> {pids}; wait");
    let mut command = sh(&script);
    for (name, value) in extra.as_object().unwrap() {
        command[name] = value.clone();
    }
    let input = json!({"commands": [command]});
    let mut host: Child = launch(place, &input)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    place.until(|| lines(place, "pids").len() == 2);
    host.kill().unwrap();
    host.wait().unwrap();
    assert!(
        lines(place, "pids").iter().all(|pid| is_alive(pid)),
        "it survives its host"
    );
}

#[test]
fn r4_a_program_that_survives_the_host_is_ended_before_a_person_is_asked_about_it() {
    let place = place(ALL);
    killed_while_a_program_runs(&place, &json!({}));
    let output = place.run(&["resume", "--here", "victim", "--json"]);
    assert_eq!(output.status.code(), Some(WAITING), "{}", told(&output));
    assert_eq!(lines(&place, "pids").len(), 2, "in doubt, it is not run again");
    assert!(!lines(&place, "pids").iter().any(|pid| is_alive(pid)));
    assert!(!programs(&place).join(place.run_of("victim").unwrap().as_str()).exists());
    let output = place.run(&[
        "resume",
        "--here",
        "victim",
        "--json",
        "--answer",
        "0",
        "--input",
        "\"all is well\"",
    ]);
    assert_eq!(answers(&output), ["exited 0: \"all is well\" \"\""]);
}

/// Has the daemon run something that writes two process numbers and then sleeps, and returns when it does.
fn daemon_runs_a_program(place: &Place) -> Vec<String> {
    let pids = file(place, "pids");
    let script = format!("sleep 1000 & echo $! >> {pids}; echo $$ >> {pids}; wait");
    let input = json!({"commands": [sh(&script)]}).to_string();
    let launch = ["launch", "process", "--id", "victim", "--json", "--input", &input];
    let output = place.command(&launch).env("PATH", "/usr/bin:/bin").output().unwrap();
    assert!(!told(&output).contains("\"error\""), "{}", told(&output));
    place.until(|| lines(place, "pids").len() == 2);
    lines(place, "pids")
}

#[test]
fn a_run_that_is_cancelled_ends_its_programs() {
    let place = place(ALL);
    let pids = daemon_runs_a_program(&place);
    place.run(&["cancel", "victim"]);
    place.until(|| !pids.iter().any(|pid| is_alive(pid)));
    let run = place.run_of("victim").unwrap();
    place.until(|| place.status_of(&run) != "running");
    assert!(!programs(&place).join(run.as_str()).exists());
}

#[test]
fn l1_a_daemon_that_is_stopped_by_force_takes_its_programs_along_and_they_are_not_run_again() {
    let place = place(ALL);
    let pids = daemon_runs_a_program(&place);
    assert!(place.run(&["worker", "stop", "--force"]).status.success());
    place.until(|| !pids.iter().any(|pid| is_alive(pid)));
    let output = place.run(&["resume", "--here", "victim", "--json"]);
    assert_eq!(output.status.code(), Some(WAITING), "{}", told(&output));
    assert_eq!(lines(&place, "pids").len(), 2);
}

#[test]
fn l1_a_daemon_that_is_killed_leaves_programs_behind_that_the_next_one_ends() {
    let place = place(ALL);
    let pids = daemon_runs_a_program(&place);
    assert!(place.kill_daemon());
    assert!(pids.iter().all(|pid| is_alive(pid)));
    assert!(place.run(&["worker", "start"]).status.success());
    place.until(|| !pids.iter().any(|pid| is_alive(pid)));
    let run = place.run_of("victim").unwrap();
    place.until(|| place.status_of(&run) == "parked");
    assert_eq!(lines(&place, "pids").len(), 2);
}

#[test]
fn r1_a_program_of_which_twice_is_as_once_is_run_again_and_what_was_left_of_it_is_ended_first() {
    let place = place(ALL);
    killed_while_a_program_runs(&place, &json!({"idempotent": true, "timeout_ms": 2_000}));
    let survivors = lines(&place, "pids");
    let output = place
        .command(&["resume", "--here", "victim", "--json"])
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    assert!(answers(&output)[0].starts_with("timeout: "));
    assert_eq!(lines(&place, "pids").len(), 4, "once more");
    assert!(!survivors.iter().any(|pid| is_alive(pid)));
}

#[test]
fn r4_a_crash_before_during_or_after_a_program_runs_it_once_or_asks() {
    for (aim, expected) in [
        // Neither durable nor begun.
        ("driver.before-write:1", 1),
        ("driver.before-perform:1", 0),
        ("driver.effect-ended:1", 1),
        // Its end is on its way to the journal, or there.
        ("driver.before-deliver:1", 1),
    ] {
        let place = place(ALL);
        let runs = file(&place, "runs");
        let input = json!({"commands": [sh(&format!("echo run >> {runs}"))]});
        let output = launch(&place, &input).env("SKILLHOST_FAILPOINT", aim).output().unwrap();
        assert!(was_killed(&output), "{aim}: {}", told(&output));
        let output = launch(&place, &input).output().unwrap();
        match output.status.code() {
            Some(WAITING) => {}
            _ => assert_eq!(answers(&output), ["exited 0: \"\" \"\""], "{aim}"),
        }
        assert_eq!(lines(&place, "runs").len(), expected, "{aim}");
    }
}

#[test]
fn f4_a_copy_behind_a_program_that_may_have_written_is_refused_unless_the_folder_is_still_as_it_was() {
    let place = place(ALL);
    let input = json!({"commands": [sh("echo one > one"), sh("echo two > two")], "ask": true});
    place
        .server
        .rule(skillhost_loopback::Rule::of(skillhost_loopback::Behaviour::status(400)));
    let output = launch(&place, &input).output().unwrap();
    assert!(!output.status.success(), "{}", told(&output));
    // Behind the first, the second has been at work since.
    let output = place.run(&["fork", "victim", "--at", "1", "--here", "--json"]);
    assert_eq!(output.status.code(), Some(UNSUPPORTED), "{}", told(&output));
    assert!(told(&output).contains("program_wrote"), "{}", told(&output));
    // Before both nothing was written.
    let output = place
        .command(&["fork", "victim", "--at", "0", "--id", "anew", "--here", "--json"])
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    // It fails as the other did, having run both.
    assert_eq!(output.status.code(), Some(FAILED), "{}", told(&output));
    // Behind both, nothing has changed since.
    place.server.clear_rules();
    let output = place.run(&["retry", "victim", "--here", "--json"]);
    assert_eq!(answers(&output), ["exited 0: \"\" \"\"", "exited 0: \"\" \"\""]);
    let run = place.run_of("victim").unwrap();
    let folder = place.home().join("runs").join(run.as_str());
    assert!(folder.join("one").exists() && folder.join("two").exists());
}
