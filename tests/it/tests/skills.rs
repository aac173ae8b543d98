//! Skills that call other skills: each in a run of its own, launched once, within what its caller may.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::process::Output;

use serde_json::{Value, json};
use skillhost_core::id::RunId;
use skillhost_it::{Place, result_of, told, was_killed};
use skillhost_journal::Journal as _;
use skillhost_loopback::{Behaviour, Rule};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

/// A place in which `calls` may call whatever it asks for.
fn place(skills: &[&str]) -> Place {
    place_with(skills, "")
}

fn place_with(skills: &[&str], config: &str) -> Place {
    let place = Place::new(PROGRAM, &[&["calls"], skills].concat());
    place.state().make().unwrap();
    fs::write(
        place.home().join("config.toml"),
        format!("agents_may_grant = true\n{config}"),
    )
    .unwrap();
    let granted = place.run(&["grant", "calls"]);
    assert!(granted.status.success(), "{}", told(&granted));
    place
}

fn launch(place: &Place, input: &Value, more: &[&str]) -> Output {
    launch_as(place, "it", input, more)
}

fn launch_as(place: &Place, id: &str, input: &Value, more: &[&str]) -> Output {
    let input = input.to_string();
    place.run(&[&["launch", "calls", "--id", id, "--json", "--input", &input], more].concat())
}

/// What came of the calls, launched in this process and by the daemon.
fn came(place: &Place, input: &Value) -> Vec<String> {
    let output = launch(place, input, &["--await"]);
    answers_of(&output)
}

fn answers_of(output: &Output) -> Vec<String> {
    serde_json::from_value(result_of(output)["answers"].clone()).unwrap()
}

fn one(skill: &str, input: Value) -> Value {
    json!({"calls": [{"skill": skill, "input": input}]})
}

/// Waits until the run `it` is over, and returns how it ended.
fn ended(place: &Place) -> Value {
    let run = place.run_of("it").unwrap();
    place.until(|| place.journal().run(&run).unwrap().status.is_final());
    place.json(&["wait", "it"])
}

/// Returns the run that was launched for a call of the run `it`.
fn called(place: &Place, number: u32) -> RunId {
    let caller = place.run_of("it").unwrap();
    place.run_of(&format!("{caller}.{number}")).unwrap()
}

#[test]
fn k1_a_skill_calls_others_and_each_has_a_run_of_its_own() {
    for here in [&["--here", "--await"][..], &["--await"]] {
        let place = place(&["fanout", "fails"]);
        let input = json!({
            "calls": [
                {"skill": "fanout", "input": {"calls": 3}},
                {"skill": "fails", "input": {"after_calls": 1}},
            ],
            "parallel": true,
        });
        let answers = answers_of(&launch(&place, &input, here));
        let order: Value = serde_json::from_str(&answers[0]).unwrap();
        assert_eq!(order["order"].as_array().unwrap().len(), 3);
        assert!(answers[1].starts_with("declined"), "{answers:?}");
        assert!(answers[1].contains("the fixture fails"), "{answers:?}");
        // What was called answers its caller, and nobody else.
        let inbox = place.json(&["inbox"]);
        assert_eq!(inbox["entries"].as_array().unwrap().len(), 1, "{inbox}");
        let runs = place.json(&["list"]);
        assert_eq!(runs["runs"].as_array().unwrap().len(), 3, "{runs}");
        // What was spent is told once, of the run that spent it.
        let cost = place.json(&["cost", "--by", "skill"]);
        let calls: u64 = cost["costs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["model_calls"].as_u64().unwrap())
            .sum();
        assert_eq!(calls, 4, "{cost}");
        // The caller waited for runs of their own, which replay by themselves.
        for number in [0, 1] {
            let child = called(&place, number);
            let replayed = place.run(&["replay", child.as_str()]);
            assert!(replayed.status.success(), "{}", told(&replayed));
        }
    }
}

#[test]
fn what_cannot_be_called_is_an_outcome_that_says_why() {
    let place = place(&["fanout", "reaches"]);
    let input = json!({"calls": [
        {"skill": "nowhere"},
        {"skill": "hello-world"},
        {"skill": "No Such Name"},
        {"skill": "fanout", "input": {"calls": "many"}},
        {"skill": "reaches", "input": {"deeds": []}},
    ]});
    let answers = came(&place, &input);
    let expected = [
        ("not-found", "there is no skill `nowhere`"),
        (
            "denied",
            "to call the skill `hello-world` was not granted to skill `calls`",
        ),
        ("invalid", "names no skill"),
        ("invalid", "does not fit skill `fanout`"),
        ("denied", "`skillhost grant reaches` grants it"),
    ];
    for (answer, (code, words)) in answers.iter().zip(expected) {
        assert!(answer.starts_with(code) && answer.contains(words), "{answer}");
    }
    assert_eq!(answers.len(), expected.len());
    // What is granted to the one that is called, and not to its caller, is not granted.
    assert!(place.run(&["grant", "reaches"]).status.success());
    let again = launch_as(&place, "again", &one("reaches", json!({"deeds": []})), &["--await"]);
    let told = answers_of(&again);
    assert!(
        told[0].starts_with("denied") && told[0].contains("but not to this run of `calls`"),
        "{told:?}"
    );
    assert_eq!(place.server.counts().requests.values().sum::<u64>(), 0);
}

#[test]
fn what_both_were_granted_is_done_for_the_caller() {
    let place = place(&["process"]);
    assert!(place.run(&["grant", "process"]).status.success());
    let greet = |program: &str, variable: &str| {
        let arguments = ["-c", "printf %s \"hello $GREETING\""];
        json!({"program": program, "arguments": arguments, "environment": [[variable, "ada"]]})
    };
    let commands = [
        greet("sh", "GREETING"),
        greet("sh", "LANGUAGE"),
        greet("cat", "GREETING"),
    ];
    let input = one("process", json!({"commands": commands})).to_string();
    let mut launch = place.command(&["launch", "calls", "--await", "--json", "--input", &input]);
    let output = launch.env("PATH", "/usr/bin:/bin").output().unwrap();
    let answers = answers_of(&output);
    let told = &answers[0];
    assert!(told.contains("hello ada"), "{told}");
    assert!(told.contains("the variable `LANGUAGE` was not granted"), "{told}");
    assert!(told.contains("the program `cat` was not granted"), "{told}");
}

#[test]
fn a_chain_of_calls_cannot_block_itself_and_ends_where_it_may_go_no_deeper() {
    let place = place_with(&[], "[worker]\nruns = 1\n");
    let output = launch(&place, &json!({"levels": 8, "asks": 1}), &["--await"]);
    assert_eq!(result_of(&output)["below"], 8);
    let output = launch_as(&place, "deeper", &json!({"levels": 9}), &["--await"]);
    assert_eq!(result_of(&output)["below"], 8);
    assert!(answers_of(&output)[0].contains("nest 8 deep"), "{}", told(&output));
}

#[test]
fn k1_a_call_launches_once_wherever_its_host_is_killed() {
    let place = place(&["fanout"]);
    let input = one("fanout", json!({"calls": 2}));
    let mut killed = 0;
    for point in [
        "driver.before-write",
        "driver.before-deliver",
        "driver.before-perform",
        "journal.before-commit",
        "journal.after-commit",
        "driver.before-release",
    ] {
        for nth in 1..12 {
            place.forget_runs();
            fs::write(place.home().join("config.toml"), "agents_may_grant = true\n").unwrap();
            assert!(place.run(&["grant", "calls"]).status.success());
            let input = input.to_string();
            let words = [
                "launch", "--here", "calls", "--id", "it", "--input", &input, "--await", "--json",
            ];
            let aim = format!("{point}:{nth}");
            let output = place.command(&words).env("SKILLHOST_FAILPOINT", &aim).output().unwrap();
            if !was_killed(&output) {
                break;
            }
            killed += 1;
            let output = place.command(&words).output().unwrap();
            let order: Value = serde_json::from_str(&answers_of(&output)[0]).unwrap();
            assert_eq!(order["order"].as_array().unwrap().len(), 2, "{aim}");
            let runs = place.json(&["list"]);
            assert_eq!(runs["runs"].as_array().unwrap().len(), 2, "{aim}: {runs}");
        }
    }
    assert!(killed > 20, "{killed} places were reached");
}

#[test]
fn k1_the_answer_outlives_a_daemon_that_is_killed_while_both_wait() {
    let place = place(&["waits"]);
    let launched = launch(&place, &one("waits", json!({"what": "event"})), &[]);
    assert!(launched.status.success(), "{}", told(&launched));
    place.until(|| place.run_of("it").is_some_and(|run| place.status_of(&run) == "waiting"));
    let child = called(&place, 0);
    place.until(|| place.status_of(&child) == "waiting");
    assert!(place.kill_daemon());
    let said = place.run(&["signal", child.as_str(), "go", "--input", "7"]);
    assert!(said.status.success(), "{}", told(&said));
    let result = ended(&place);
    assert_eq!(result["result"]["answers"], json!([r#"{"came":[7]}"#]));
}

#[test]
fn whoever_waits_for_a_skill_is_told_so() {
    let place = place(&["waits"]);
    let output = launch(&place, &one("waits", json!({"what": "event"})), &["--here"]);
    assert_eq!(output.status.code(), Some(40), "{}", told(&output));
    let envelope: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(envelope["waits"][0]["kind"], "skill", "{envelope}");
    assert_eq!(envelope["waits"][0]["name"], "waits");
    let child = called(&place, 0);
    assert!(
        envelope["waits"][0]["prompt"]
            .as_str()
            .unwrap()
            .contains(child.as_str())
    );
    // Both go on in this process.
    let said = place.run(&["signal", child.as_str(), "go", "--input", "1", "--here"]);
    assert!(said.status.success(), "{}", told(&said));
    let output = place.run(&["resume", "it", "--here", "--await", "--json"]);
    assert_eq!(answers_of(&output), [r#"{"came":[1]}"#]);
}

#[test]
fn k1_who_is_cancelled_takes_along_what_it_called() {
    for here in [true, false] {
        let place = place(&["waits"]);
        let nested = json!({"calls": [{"skill": "calls", "input": {"calls": [{"skill": "waits", "input": {}}]}}, {"skill": "waits", "input": {}}], "parallel": true});
        let words: &[&str] = if here { &["--here"] } else { &[] };
        launch(&place, &nested, words);
        let all_wait = || {
            let runs = place.json(&["list"]);
            let runs = runs["runs"].as_array().unwrap().clone();
            runs.len() == 4 && runs.iter().all(|run| run["status"] == "waiting")
        };
        place.until(all_wait);
        let words: &[&str] = if here {
            &["cancel", "it", "--here"]
        } else {
            &["cancel", "it"]
        };
        place.run(words);
        place.until(|| {
            let runs = place.json(&["list"]);
            let runs = runs["runs"].as_array().unwrap().clone();
            runs.iter().all(|run| run["status"] == "cancelled")
        });
    }
}

#[test]
fn g5_a_call_that_is_dropped_is_cancelled_and_the_caller_goes_on() {
    let place = place(&["waits"]);
    let input = json!({"calls": [{"skill": "waits", "input": {}, "until": "enough"}], "asks": 1});
    let launched = launch(&place, &input, &[]);
    assert!(launched.status.success(), "{}", told(&launched));
    place.until(|| place.run_of("it").is_some_and(|run| place.status_of(&run) == "waiting"));
    let child = called(&place, 0);
    place.until(|| place.status_of(&child) == "waiting");
    assert!(place.run(&["signal", "it", "enough", "--input", "1"]).status.success());
    let result = ended(&place);
    assert_eq!(result["result"]["answers"][0], "let go");
    place.until(|| place.status_of(&child) == "cancelled");
}

#[test]
fn a_call_that_takes_too_long_fails_so_and_is_cancelled() {
    for more in [&["--here", "--await"][..], &["--await"]] {
        let place = place(&["waits"]);
        let input = json!({"calls": [{"skill": "waits", "input": {}, "timeout_ms": 300}]});
        let answers = answers_of(&launch(&place, &input, more));
        assert!(answers[0].starts_with("timeout"), "{answers:?}");
        let child = called(&place, 0);
        place.until(|| place.status_of(&child) == "cancelled");
    }
}

#[test]
fn b1_what_is_called_spends_no_more_than_its_caller_may() {
    let place = place(&["fanout", "continues"]);
    let asked = || place.server.counts().requests.values().sum::<u64>();
    let input = json!({"calls": [
        {"skill": "fanout", "input": {"calls": 50}},
        {"skill": "fanout", "input": {"calls": 50}},
        {"skill": "continues", "input": {"rounds": 50}},
    ], "parallel": true, "asks": 0});
    let output = launch(&place, &input, &["--max-calls", "12", "--await"]);
    let answers = answers_of(&output);
    assert!(answers.iter().all(|answer| answer.starts_with("budget")), "{answers:?}");
    assert!((3..=12).contains(&asked()), "{} requests", asked());
    let before = asked();
    let input = json!({"calls": [{"skill": "fanout", "input": {"calls": 50}, "allow_calls": 2}]});
    launch_as(&place, "allowed", &input, &["--await"]);
    assert_eq!(asked() - before, 2);
}

#[test]
fn what_was_called_is_given_paths_of_its_caller_and_folders_that_both_have() {
    let place = place(&["files", "asks"]);
    fs::create_dir_all(place.user_folder().join("work/docs")).unwrap();
    fs::create_dir_all(place.user_folder().join("work/out")).unwrap();
    fs::create_dir_all(place.user_folder().join("private")).unwrap();
    fs::write(place.user_folder().join("work/docs/a.md"), "one").unwrap();
    fs::write(place.user_folder().join("private/key"), "secret").unwrap();
    std::os::unix::fs::symlink("../private", place.user_folder().join("work/link")).unwrap();
    let granted = place.run(&[
        "grant",
        "asks",
        "--mount",
        "docs=work/docs",
        "--mount",
        "out=work/out:rw",
    ]);
    assert!(granted.status.success(), "{}", told(&granted));
    let input = json!({"calls": [
        {"skill": "files", "input": {"source": "run/note.md"}},
        {"skill": "files", "input": {"source": "work/docs/a.md"}},
        {"skill": "files", "input": {"source": "work/link/key"}},
        {"skill": "files", "input": {"source": "work/../private/key"}},
        {"skill": "files", "input": {"source": "/etc/passwd"}},
        {"skill": "asks", "input": {}},
    ]});
    let output = launch(&place, &input, &["--mount", "work=work:rw", "--await"]);
    let answers = answers_of(&output);
    assert!(answers[0].contains("a note"), "{answers:#?}");
    assert!(answers[1].contains("one"), "{answers:#?}");
    for refused in &answers[2..5] {
        assert!(
            refused.starts_with("invalid") && refused.contains("has nothing at"),
            "{answers:#?}"
        );
    }
    assert!(answers[5].contains("written"), "{answers:#?}");
    // Without the folder, the caller cannot have it used.
    let output = launch_as(&place, "without", &one("asks", json!({})), &["--await"]);
    let told = answers_of(&output);
    assert!(
        told[0].starts_with("denied") && told[0].contains("was not given"),
        "{told:?}"
    );
}

#[test]
fn what_was_revoked_from_the_caller_is_denied_to_what_it_called() {
    let place = place(&["waits"]);
    place.server.rule(Rule::of(Behaviour::Echo));
    let input = json!({"calls": [{"skill": "calls", "input": {"calls": [{"skill": "waits", "input": {}}, {"skill": "waits", "input": {}}]}}]});
    launch(&place, &input, &[]);
    let inner = || {
        let middle = place.run_of(&format!("{}.0", place.run_of("it")?))?;
        place.run_of(&format!("{middle}.0"))
    };
    place.until(|| inner().is_some_and(|run| place.status_of(&run) == "waiting"));
    assert!(place.run(&["grants", "revoke", "calls"]).status.success());
    let inner = inner().unwrap();
    assert!(
        place
            .run(&["signal", inner.as_str(), "go", "--input", "1"])
            .status
            .success()
    );
    let result = ended(&place);
    let answers = result["result"]["answers"][0].as_str().unwrap().to_owned();
    assert!(answers.contains("denied") && answers.contains("revoked"), "{answers}");
}

#[test]
fn a_launch_id_that_somebody_gave_another_run_is_not_taken_for_the_one_that_was_called() {
    let place = place(&["waits", "fanout"]);
    let input = json!({"calls": [{"skill": "waits", "input": {}}, {"skill": "fanout", "input": {"calls": 1}}]});
    launch(&place, &input, &[]);
    place.until(|| place.run_of("it").is_some_and(|run| place.status_of(&run) == "waiting"));
    let caller = place.run_of("it").unwrap();
    let taken = place.run(&[
        "launch",
        "fanout",
        "--id",
        &format!("{caller}.1"),
        "--calls",
        "1",
        "--await",
    ]);
    assert!(taken.status.success(), "{}", told(&taken));
    let child = called(&place, 0);
    assert!(
        place
            .run(&["signal", child.as_str(), "go", "--input", "1"])
            .status
            .success()
    );
    let result = ended(&place);
    let answer = result["result"]["answers"][1].as_str().unwrap().to_owned();
    assert!(answer.contains("somebody else launched"), "{answer}");
    assert!(place.journal().run(&caller).unwrap().status.is_final());
}
