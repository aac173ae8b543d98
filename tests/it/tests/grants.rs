//! What a skill asks its user for: shown, given or refused before a run is made, taken back while one goes on, and asked anew when a version asks for more.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::process::Output;

use serde_json::{Value, json};
use skillhost_it::author::Author;
use skillhost_it::{Place, guests, result_of, told};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");
const KEPT: &str = env!("CARGO_TARGET_TMPDIR");
const INVALID: i32 = 10;
const NEEDS_A_PERSON: i32 = 20;
const WAITING: i32 = 40;

/// A place with the folders `docs` (`a.md`) and `out`.
fn place(skills: &[&str]) -> Place {
    let place = Place::new(PROGRAM, skills);
    for folder in ["docs", "out"] {
        fs::create_dir(place.user_folder().join(folder)).unwrap();
    }
    fs::write(place.user_folder().join("docs/a.md"), "one").unwrap();
    place
}

fn let_agents_grant(place: &Place, may: bool) {
    place.state().make().unwrap();
    fs::write(place.home().join("config.toml"), format!("agents_may_grant = {may}\n")).unwrap();
}

fn launch(place: &Place, more: &[&str]) -> Output {
    place.run(&[&["launch", "asks", "--here", "--json"], more].concat())
}

fn came(output: &Output) -> Vec<String> {
    serde_json::from_value(result_of(output)["came"].clone()).unwrap()
}

fn refused(output: &Output, exit: i32, code: &str) -> String {
    assert_eq!(output.status.code(), Some(exit), "{}", told(output));
    let envelope: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(envelope["error"]["code"], code, "{}", told(output));
    format!("{} {}", envelope["error"]["message"], envelope["error"]["hint"])
}

#[test]
fn a_skill_that_asks_for_folders_is_launched_with_them_or_not_at_all() {
    let place = place(&["asks"]);
    let told_so = refused(&launch(&place, &[]), INVALID, "not_mounted");
    assert!(told_so.contains("to look things up"), "{told_so}");
    assert!(told_so.contains("add `--mount docs=PATH` to the command"), "{told_so}");
    let told_so = refused(&launch(&place, &["--mount", "docs=docs"]), INVALID, "not_mounted");
    assert!(told_so.contains("--mount out=PATH:rw"), "{told_so}");
    let both = ["--mount", "docs=docs", "--mount", "out=out"];
    let told_so = refused(&launch(&place, &both), INVALID, "not_mounted");
    assert!(told_so.contains("--mount out=PATH:rw"), "{told_so}");
    let given = launch(&place, &["--mount", "docs=docs", "--mount", "out=out:rw"]);
    let came = came(&given);
    assert_eq!((came[0].as_str(), came[2].as_str()), ("one", "written"));
    assert!(came[1].contains("denied"), "{came:?}");
    // At a terminal it asks.
    let dialogue = ["which folder", "docs", "which folder", "out"];
    let words = ["launch", "asks", "--here", "--id", "one"];
    let output = place.at_a_terminal(&dialogue, &words).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert!(told(&output).contains("to leave what it found"), "{}", told(&output));
    // The same words go on with what was answered then.
    assert!(place.run(&words).status.success());
}

#[test]
fn a_folder_that_is_granted_is_given_to_every_run_until_it_is_revoked() {
    let place = place(&["asks"]);
    let grant = [
        "grant",
        "asks",
        "--mount",
        "docs=docs",
        "--mount",
        "out=out:rw",
        "--json",
    ];
    let by_nobody = place.run(&grant);
    refused(&by_nobody, NEEDS_A_PERSON, "grant_needs_terminal");
    let command = "skillhost grant asks --mount 'docs=docs' --mount 'out=out:rw'";
    assert!(told(&by_nobody).contains(command), "{}", told(&by_nobody));
    let asks = place.json(&["skills"])["skills"][0]["asks"].clone();
    assert_eq!(
        (&asks[0]["granted"], asks[0]["flag"].is_string()),
        (&json!(false), true),
        "{asks}"
    );
    let_agents_grant(&place, true);
    place.json(&grant[..grant.len() - 1]);
    let asks = place.json(&["skills"])["skills"][0]["asks"].clone();
    assert_eq!(
        (&asks[0]["granted"], asks[0]["flag"].is_string()),
        (&json!(true), false),
        "{asks}"
    );
    let_agents_grant(&place, false);
    let real = fs::canonicalize(place.user_folder()).unwrap();
    let shown = place.json(&["grants"]);
    assert_eq!(
        shown["grants"][1]["path"],
        json!(real.join("out").to_str().unwrap()),
        "{shown}"
    );
    assert_eq!(shown["grants"][1]["writable"], true);
    // From anywhere, and in the middle of a run it is taken back.
    let words = [
        "launch",
        "asks",
        "--id",
        "one",
        "--here",
        "--json",
        "--input",
        "{\"again\": true}",
    ];
    let launched = place.command(&words).current_dir("/").output().unwrap();
    assert_eq!(launched.status.code(), Some(WAITING), "{}", told(&launched));
    place.json(&["grants", "revoke", "asks"]);
    place.run(&["signal", "one", "go", "--input", "true", "--here"]);
    let output = place.run(&["resume", "one", "--here", "--json"]);
    let came = came(&output);
    assert_eq!((came[0].as_str(), came[2].as_str()), ("one", "written"));
    for denied in &came[3..] {
        assert!(
            denied.contains("denied") && denied.contains("was revoked since"),
            "{denied}"
        );
        assert!(!denied.contains(real.to_str().unwrap()), "{denied}");
    }
    assert!(place.run(&["replay", "one"]).status.success());
    refused(&launch(&place, &[]), INVALID, "not_mounted");
}

#[test]
fn a_version_that_asks_for_more_asks_again_and_one_that_asks_for_the_same_or_less_does_not() {
    let place = place(&[]);
    let launch = |input: &str| place.run(&["launch", "tool", "--here", "--json", "--input", input]);
    let none = r#"{"commands": []}"#;
    let asks_for = |skill: &str| place.install("tool", &guests().component(skill));
    asks_for("files");
    assert!(launch("{}").status.success());
    asks_for("process");
    refused(&launch(none), NEEDS_A_PERSON, "not_granted");
    let_agents_grant(&place, true);
    place.json(&["grant", "tool"]);
    let_agents_grant(&place, false);
    assert!(launch(none).status.success());
    // Less, and then again what was granted.
    asks_for("files");
    assert!(launch("{}").status.success());
    asks_for("process");
    assert!(launch(none).status.success());
    // Something else, which is all or nothing.
    asks_for("http");
    let told_so = refused(&launch("{}"), NEEDS_A_PERSON, "not_granted");
    assert!(told_so.contains("skillhost grant tool"), "{told_so}");
}

#[test]
fn what_a_skill_asks_for_is_shown_wherever_skills_are() {
    let place = place(&["asks", "process"]);
    let skills = place.json(&["skills"]);
    let (asks, process) = (&skills["skills"][0], &skills["skills"][1]);
    assert_eq!(asks["asks"][1]["flag"], "--mount out=PATH:rw", "{skills}");
    assert_eq!(process["asks"][0]["granted"], false, "{skills}");
    let shown = told(&place.run(&["skills"]));
    assert!(shown.contains("which was not granted"), "{shown}");
    let doctor = told(&place.run(&["doctor"]));
    assert!(doctor.contains("`skillhost grant process`"), "{doctor}");
    for (skill, line) in [
        (
            "asks",
            "skillhost launch asks --mount docs=PATH --mount out=PATH:rw --json",
        ),
        ("asks", "`--mount docs=PATH`: a folder, to read: to look things up"),
        ("process", "run the program sleep: to wait"),
    ] {
        place.json(&["skills", "--write-doc", skill]);
        let document = fs::read_to_string(place.skills().join(skill).join("SKILL.md")).unwrap();
        assert!(document.contains(line), "{document}");
    }
    let_agents_grant(&place, true);
    place.json(&["grant", "process"]);
    let skills = place.json(&["skills"]);
    assert_eq!(skills["skills"][1]["asks"][0]["granted"], true, "{skills}");
    assert!(told(&place.run(&["check", "asks"])).contains("change a folder that you name, as out/"));
}

/// Runs a program, and says what came of it.
const RUNS: &str = r#"
use skillhost_sdk::prelude::*;

#[data]
struct Input {}

#[data]
struct Said {
    said: String,
}

/// Runs a program.
#[skill(process("echo", reason = "to hear it"))]
async fn run(_: Input) -> Result<Said> {
    let said = match process::run("echo", ["moin"]).idempotent().await {
        Ok(ended) => ended.text().into_owned(),
        Err(failure) => failure.code().to_owned(),
    };
    Ok(Said { said })
}
"#;

#[test]
fn a_skill_that_is_written_is_granted_what_it_asks_for_apart_from_what_is_installed() {
    let place = Place::new(PROGRAM, &[]);
    let author = Author::new(&place, KEPT, "grants");
    let folder = author.folder().join("runs");
    author.json(&author.folder(), &["new", "runs"]);
    fs::write(folder.join("src/lib.rs"), RUNS).unwrap();
    fs::remove_file(folder.join("prompts/summary.md")).unwrap();
    let once = || author.run(&folder, &["dev", "--once", "--json"]);
    let output = once();
    assert_eq!(result_of(&output)["said"], "denied", "{}", told(&output));
    assert!(told(&output).contains("skillhost grant /"), "{}", told(&output));
    // What lies in the crate grants nothing: whoever gives somebody a crate must not give himself what it asks for.
    let real = fs::canonicalize(&folder).unwrap();
    let theirs = format!(
        "[crates.{:?}]\nprocess = [{{ program = \"echo\" }}]\n",
        real.to_str().unwrap()
    );
    fs::write(folder.join(".skillhost/grants.toml"), theirs).unwrap();
    assert_eq!(result_of(&once())["said"], "denied");
    let terminal = place.at_a_terminal(&["allow this", "y"], &["grant", "."]);
    let granted = author.equip(terminal, &folder).output().unwrap();
    assert!(granted.status.success(), "{}", told(&granted));
    assert_eq!(result_of(&once())["said"], "moin\n");
    let shown = author.json(&folder, &["grants"]);
    assert_eq!(shown["grants"][0]["crate"], json!(real.to_str().unwrap()), "{shown}");
    assert!(author.run(&folder, &["grants", "revoke", "."]).status.success());
    assert_eq!(
        result_of(&author.run(&folder, &["dev", "--once", "--json", "--fresh"]))["said"],
        "denied"
    );
}

#[test]
fn d4_at_a_terminal_dev_asks_for_what_is_not_granted_and_then_before_what_must_not_be_done_twice() {
    let place = Place::new(PROGRAM, &[]);
    let author = Author::new(&place, KEPT, "grants-asked");
    let folder = author.folder().join("acts");
    author.json(&author.folder(), &["new", "acts"]);
    let source = RUNS.replace(".idempotent()", "").replace(
        r#"process::run("echo", ["moin"])"#,
        r#"process::run("sh", ["-c", "echo moin | tee -a ran"])"#,
    );
    fs::write(
        folder.join("src/lib.rs"),
        source.replace(r#"process("echo","#, r#"process("sh","#),
    )
    .unwrap();
    fs::remove_file(folder.join("prompts/summary.md")).unwrap();
    assert_eq!(
        result_of(&author.run(&folder, &["dev", "--once", "--json"]))["said"],
        "denied",
        "compiled before somebody waits at the terminal"
    );
    let at_a_terminal = |dialogue: &[&str]| {
        let command = place.at_a_terminal(dialogue, &["dev"]);
        let output = author.equip(command, &folder).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let ran = || -> usize {
        // A run has a folder when it has something in it.
        let runs = fs::read_dir(folder.join(".skillhost/runs")).into_iter().flatten();
        let ran = runs.filter_map(|run| fs::read_to_string(run.unwrap().path().join("ran")).ok());
        ran.map(|ran| ran.lines().count()).sum()
    };
    let shown = at_a_terminal(&["allow this", "y", "do it now?", "n", "waiting for a change", "^C"]);
    assert!(shown.contains("skipped"), "{shown}");
    assert_eq!(ran(), 0);
    // Granted by now, and asked about again: it was not done.
    let shown = at_a_terminal(&["do it now?", "y", "waiting for a change", "^C"]);
    assert!(shown.contains("moin"), "{shown}");
    assert_eq!(ran(), 1);
    // What is left open is waited for, and not done.
    let touch = "sh:printf '\\n' >> src/lib.rs";
    at_a_terminal(&["do it now?", "", "waiting for a change", touch, "do it now?", "^C"]);
    assert_eq!(ran(), 1);
}

/// Grants the fixture `reaches` what it asks for, as its user would.
fn grant_reaches(place: &Place) {
    let_agents_grant(place, true);
    let granted = place.run(&["grant", "reaches"]);
    assert!(granted.status.success(), "{}", told(&granted));
    let_agents_grant(place, false);
}

fn launch_reaches(place: &Place, id: &str, deeds: &Value) -> Output {
    let input = json!({ "deeds": deeds }).to_string();
    let words = ["launch", "reaches", "--here", "--id", id, "--json", "--input", &input];
    place.command(&words).env("PATH", "/usr/bin:/bin").output().unwrap()
}

/// Gives the run the event that it waits for, and drives it to its end.
fn go_on(place: &Place) -> Output {
    let run = |words: &[&str]| place.command(words).env("PATH", "/usr/bin:/bin").output().unwrap();
    let signalled = run(&["signal", "run", "go", "--input", "\"on\"", "--here", "--json"]);
    assert!(signalled.status.success(), "{}", told(&signalled));
    run(&["resume", "run", "--here", "--json"])
}

#[test]
fn a_run_that_is_upgraded_in_the_middle_to_a_version_that_asks_for_more_may_do_no_more_and_a_new_one_is_asked_about() {
    let place = Place::new(PROGRAM, &["reaches"]);
    grant_reaches(&place);
    let deeds = json!([
        {"shell": ["echo one", ""]}, {"run": ["sleep", "0"]}, {"wait": "go"},
        {"shell": ["echo two", ""]}, {"run": ["sleep", "0"]},
    ]);
    let waiting = launch_reaches(&place, "run", &deeds);
    assert_eq!(waiting.status.code(), Some(WAITING), "{}", told(&waiting));

    place.install("reaches", &guests().component("reaches_more"));
    let upgraded = place.run(&["upgrade", "run"]);
    assert!(upgraded.status.success(), "{}", told(&upgraded));
    let told_so = refused(&launch_reaches(&place, "new", &deeds), NEEDS_A_PERSON, "not_granted");
    assert!(
        told_so.contains("run the program sleep") && !told_so.contains("program sh"),
        "{told_so}"
    );
    // Also what is granted meanwhile is for later runs.
    grant_reaches(&place);
    let came = came(&go_on(&place));
    assert_eq!(
        (came[0].as_str(), came[3].as_str()),
        ("Some(0) one\n ", "Some(0) two\n ")
    );
    for denied in [&came[1], &came[4]] {
        assert!(
            denied.starts_with("denied: the program `sleep` was not granted"),
            "{denied}"
        );
    }
    assert_eq!(launch_reaches(&place, "new", &deeds).status.code(), Some(WAITING));
}
