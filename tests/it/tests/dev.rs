//! A skill while it is written: after a change it is run again, and what did not change is not asked again (rules D1 to D4).

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use skillhost_it::author::Author;
use skillhost_it::{Place, told};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");
const KEPT: &str = env!("CARGO_TARGET_TMPDIR");

const FAILED: i32 = 30;
const WAITING: i32 = 40;

/// Three calls: the second is told the day, and the third does not depend on it.
const THREE: &str = r#"
use skillhost_sdk::prelude::*;

#[data]
struct Input {}

#[data]
struct Said {
    first: String,
    second: String,
    third: String,
}

/// Says three things.
#[skill]
async fn run(_: Input) -> Result<Said> {
    let first = model::haiku("Say the first thing.").label("first").text().await?;
    files::run().write("first.txt", &first).await?;
    let time = format!("{:?}", now());
    let second = model::haiku(prompt!("second", time)).label("second").text().await?;
    let third = model::haiku("Say the third thing.").label("third").text().await?;
    Ok(Said { first, second, third })
}
"#;

/// Makes the crate of a skill with this source.
fn three(author: &Author<'_>, name: &str) -> PathBuf {
    let folder = author.folder().join(name);
    author.json(&author.folder(), &["new", name]);
    fs::write(folder.join("src/lib.rs"), THREE).unwrap();
    fs::write(folder.join("prompts/second.md"), "It is $time. Say the second thing.\n").unwrap();
    fs::remove_file(folder.join("prompts/summary.md")).unwrap();
    folder
}

fn total(place: &Place) -> u64 {
    place.server.counts().requests.values().sum()
}

fn reused(answer: &Value) -> Vec<(String, bool)> {
    let calls = answer["calls"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let model = calls.iter().filter(|call| call["function"] == "model.complete");
    let call = |call: &Value| {
        (
            call["label"].as_str().unwrap().to_owned(),
            call["reused"].as_bool().unwrap(),
        )
    };
    model.map(call).collect()
}

/// Has another skill do something, and then asks a model about it.
const CALLER: &str = r#"
use skillhost_sdk::prelude::*;
use skillhost_sdk::serde_json::Value;

/// Has something done.
#[skill(skills("fanout", reason = "to have it done"))]
async fn run() -> Result<Value> {
    let done: Value = skills::call("fanout", json!({"calls": 2})).await?;
    let words = model::haiku("Say it in a word.").text().await?;
    Ok(json!({"done": done, "words": words}))
}
"#;

#[test]
fn d2_what_another_skill_answered_is_reused_and_that_skill_is_not_run_again() {
    let place = Place::new(PROGRAM, &["fanout"]);
    let author = Author::new(&place, KEPT, "dev-caller");
    let folder = author.folder().join("caller");
    author.json(&author.folder(), &["new", "caller"]);
    fs::write(folder.join("src/lib.rs"), CALLER).unwrap();
    fs::remove_file(folder.join("prompts/summary.md")).unwrap();
    // What was not granted is denied, and the skill is run all the same.
    let denied = author.json(&folder, &["dev", "--once"]);
    assert_eq!(denied["error"]["code"], "denied", "{denied}");
    author.let_agents_grant();
    let granted = author.json(&folder, &["grant", "."]);
    assert_eq!(granted["ok"], true, "{granted}");
    let first = author.json(&folder, &["dev", "--once"]);
    assert_eq!(
        first["result"]["done"]["order"].as_array().map(Vec::len),
        Some(2),
        "{first}"
    );
    assert_eq!(total(&place), 3);
    let source = CALLER.replace("in a word", "in two words");
    fs::write(folder.join("src/lib.rs"), source).unwrap();
    let changed = author.json(&folder, &["dev", "--once"]);
    assert_eq!(changed["result"]["done"], first["result"]["done"], "{changed}");
    assert_eq!(total(&place), 4, "only the model was asked once more");
}

#[test]
fn d1_from_nothing_to_a_change_of_the_second_of_three_calls_which_alone_is_made_again() {
    let place = Place::new(PROGRAM, &[]);
    let author = Author::new(&place, KEPT, "dev-three");
    let folder = three(&author, "three");
    for words in [&["build"][..], &["install"], &["launch", "three", "--here", "--await"]] {
        let told = author.json(&folder, words);
        assert_eq!(told["ok"], true, "{told}");
    }
    assert_eq!(total(&place), 3);

    let first = author.json(&folder, &["dev", "--once"]);
    assert_eq!(first["development"]["calls_reused"], 0, "{first}");
    assert_eq!(total(&place), 6, "what is installed and what is written do not share");
    // Nothing changed: also the call that is told the time asks the same.
    let again = author.json(&folder, &["dev", "--once"]);
    assert_eq!(again["development"]["as_before"], true, "{again}");
    assert_eq!(total(&place), 6);

    fs::write(folder.join("prompts/second.md"), "It is $time. Say something else.\n").unwrap();
    let changed = author.json(&folder, &["dev", "--once"]);
    let named = |label: &str, reused| (label.to_owned(), reused);
    assert_eq!(
        reused(&changed),
        [named("first", true), named("second", false), named("third", true)]
    );
    assert_eq!(total(&place), 7);
    assert_eq!(changed["result"]["first"], first["result"]["first"]);
    let fresh = author.json(&folder, &["dev", "--once", "--fresh"]);
    assert_eq!(fresh["development"]["calls_made"], 4, "{fresh}");
    assert_eq!(total(&place), 10);
    // Nothing of it is anywhere else.
    assert_eq!(
        author.json(&folder, &["inbox"])["entries"].as_array().map(Vec::len),
        Some(1),
        "of the launch"
    );
    assert!(
        fs::read_to_string(folder.join(".skillhost/.gitignore"))
            .unwrap()
            .contains('*')
    );
}

#[test]
fn a_question_is_answered_ahead_and_not_asked_again() {
    let place = Place::new(PROGRAM, &[]);
    let author = Author::new(&place, KEPT, "dev-asks");
    let folder = author.folder().join("asks");
    author.json(&author.folder(), &["new", "asks", "--template", "approval"]);
    let dev = |more: &[&str]| {
        author.json(
            &folder,
            &[&["dev", "--once", "--offline", "--arg", "topic=rivers"], more].concat(),
        )
    };
    let open = dev(&[]);
    assert_eq!(open["exit_code"], WAITING, "{open}");
    assert_eq!(
        open["waits"][0]["answer_command"],
        "skillhost dev --answer publish=JSON"
    );
    let wrong = dev(&["--answer", r#"publish={"approve":"perhaps"}"#]);
    assert_eq!(wrong["error"]["code"], "bad_input", "{wrong}");
    let answered = dev(&["--answer", r#"publish={"approve":true,"comment":""}"#]);
    assert_eq!(answered["result"]["published"], true, "{answered}");
    assert_eq!(answered["development"]["posts"], json!(["Notice: rivers"]));
    let again = dev(&[]);
    assert_eq!(
        again["result"]["published"], true,
        "the same question has its answer: {again}"
    );
    assert_eq!(
        author.json(&folder, &["inbox"])["entries"],
        json!([]),
        "shown, and not posted"
    );
}

#[test]
fn what_does_not_compile_is_told_and_nothing_is_run() {
    let place = Place::new(PROGRAM, &[]);
    let author = Author::new(&place, KEPT, "dev-broken");
    let folder = three(&author, "broken");
    fs::write(folder.join("src/lib.rs"), THREE.replace("third })", "fourth })")).unwrap();
    let told = author.json(&folder, &["dev", "--once"]);
    assert_eq!(told["error"]["code"], "does_not_compile", "{told}");
    let place_of_it = told["problems"][0]["place"].as_str().unwrap();
    assert!(place_of_it.starts_with("src/lib.rs:"), "{told}");
    assert_eq!(total(&place), 0);
}

/// Reads what a program says until a line contains this.
fn until(lines: &mut std::io::Lines<BufReader<ChildStdout>>, part: &str) -> String {
    let mut read = String::new();
    for line in lines.by_ref() {
        let line = line.unwrap();
        read.push_str(&line);
        read.push('\n');
        if line.contains(part) {
            return read;
        }
    }
    panic!("`{part}` never came, but\n{read}")
}

fn write_whole(path: &Path, content: &str) {
    // As editors do.
    let beside = path.with_extension("new");
    fs::write(&beside, content).unwrap();
    fs::rename(&beside, path).unwrap();
}

#[test]
fn every_save_is_run_until_ctrl_c_and_one_that_does_not_compile_is_waited_through() {
    let place = Place::new(PROGRAM, &[]);
    let author = Author::new(&place, KEPT, "dev-watched");
    let folder = three(&author, "watched");
    let mut command = author.equip(place.command(&["dev"]), &folder);
    let mut dev = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(dev.stdout.take().unwrap()).lines();
    until(&mut lines, "result");
    until(&mut lines, "third:");
    assert_eq!(total(&place), 3);
    write_whole(&folder.join("src/lib.rs"), "this is no Rust");
    write_whole(&folder.join("src/lib.rs"), THREE);
    write_whole(
        &folder.join("prompts/second.md"),
        "It is $time. Say it in other words.\n",
    );
    let shown = until(&mut lines, "asked otherwise");
    assert!(shown.contains("2 reused") || shown.contains("reused, "), "{shown}");
    until(&mut lines, "+ second:");
    assert_eq!(total(&place), 4);
    let pid = Pid::from_raw(i32::try_from(dev.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert!(dev.wait().unwrap().success());
}

#[test]
fn a_skill_that_fails_says_how_and_is_not_over_for_it() {
    let place = Place::new(PROGRAM, &[]);
    let author = Author::new(&place, KEPT, "dev-fails");
    let folder = three(&author, "fails");
    let failing = THREE.replace("Ok(Said", "if first.is_empty() == second.is_empty() { return Err(Failure::new(\"own\", \"it went wrong\")) }\n    Ok(Said");
    fs::write(folder.join("src/lib.rs"), failing).unwrap();
    let failed = author.json(&folder, &["dev", "--once"]);
    assert_eq!(
        (&failed["exit_code"], &failed["error"]["code"]),
        (&json!(FAILED), &json!("own"))
    );
    fs::write(folder.join("src/lib.rs"), THREE).unwrap();
    let mended = author.json(&folder, &["dev", "--once"]);
    assert_eq!(mended["development"]["calls_reused"], 3, "{mended}");
    let shown = told(&author.run(&folder, &["dev", "--once"]));
    assert!(shown.contains("result as before"), "{shown}");
}

#[test]
fn what_is_run_while_it_is_written_is_the_same_program_and_is_not_what_is_installed() {
    let place = Place::new(PROGRAM, &[]);
    let author = Author::new(&place, KEPT, "dev-same");
    let folder = three(&author, "same");
    // Cargo's own profile for development would panic at this.
    let source = THREE.replace(
        "Ok(Said {",
        "let third = format!(\"{}\", third.bytes().fold(0_u8, |sum, byte| sum + byte));\n    Ok(Said {",
    );
    fs::write(folder.join("src/lib.rs"), source).unwrap();
    author.json(&folder, &["build"]);
    let component = |folder: &str| author.folder().ancestors().nth(2).unwrap().join("target").join(folder);
    let built = fs::read(component("skillhost/same.wasm")).unwrap();
    let run = author.json(&folder, &["dev", "--once"]);
    assert_eq!(run["ok"], true, "{run}");
    assert_eq!(fs::read(component("skillhost/same.wasm")).unwrap(), built);
    assert!(component("wasm32-wasip2/skillhost-dev/same.wasm").is_file());
    author.json(&folder, &["install"]);
    let launched = author.json(&folder, &["launch", "same", "--here", "--await"]);
    assert_eq!(launched["result"]["third"], run["result"]["third"]);
}

/// A script of a crate that says which process it is, and then waits until something is written to `gate`: a build that is under way for as long as a test wants.
const GATED: &str = r#"
fn main() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    println!("cargo::rerun-if-changed=src");
    std::fs::write(folder.join("began.part"), std::process::id().to_string()).unwrap();
    std::fs::rename(folder.join("began.part"), folder.join("began")).unwrap();
    std::fs::read(folder.join("gate")).unwrap();
}
"#;

/// A crate that is built when the test says so.
struct Gated {
    outer: PathBuf,
    folder: PathBuf,
}

impl Gated {
    fn new(author: &Author<'_>, name: &str) -> Self {
        let gated = Self {
            outer: author.folder(),
            folder: three(author, name),
        };
        fs::write(gated.folder.join("build.rs"), GATED).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, gated.outer.join("gate"), mode).unwrap();
        gated
    }

    /// Waits until a build is under way, and returns the process that holds it up.
    fn building(&self, place: &Place) -> Pid {
        let began = self.outer.join("began");
        place.until(|| began.exists());
        let pid = fs::read_to_string(&began).unwrap().parse().unwrap();
        fs::remove_file(&began).unwrap();
        Pid::from_raw(pid).unwrap()
    }

    /// Lets the build that is under way go on.
    fn open(&self) {
        fs::write(self.outer.join("gate"), "on").unwrap();
    }
}

fn is_gone(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid).is_err()
}

#[test]
fn a_save_in_the_middle_of_a_build_begins_the_next_round_and_what_was_half_written_is_not_run() {
    let place = Place::new(PROGRAM, &[]);
    let author = Author::new(&place, KEPT, "dev-gated");
    let gated = Gated::new(&author, "gated");
    let mut dev = author.equip(place.command(&["dev"]), &gated.folder);
    let mut dev = dev.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(dev.stdout.take().unwrap()).lines();
    let first = gated.building(&place);
    // Half of it compiles, and would ask a model.
    write_whole(
        &gated.folder.join("src/lib.rs"),
        &THREE.replace("Say the first", "Say the half-written"),
    );
    let second = gated.building(&place);
    place.until(|| is_gone(first));
    // A file that is written again as it is ends no build.
    write_whole(
        &gated.folder.join("SKILL.md"),
        &fs::read_to_string(gated.folder.join("SKILL.md")).unwrap(),
    );
    write_whole(&gated.folder.join("src/lib.rs"), THREE);
    let third = gated.building(&place);
    place.until(|| is_gone(second));
    assert_eq!(total(&place), 0);
    gated.open();
    until(&mut lines, "third:");
    assert_eq!(total(&place), 3);
    assert!(is_gone(third));

    // Ctrl-C in the middle of a build: nothing of it is left.
    write_whole(
        &gated.folder.join("src/lib.rs"),
        &THREE.replace("Say the first", "Say another"),
    );
    let last = gated.building(&place);
    let pid = Pid::from_raw(i32::try_from(dev.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert!(dev.wait().unwrap().success());
    place.until(|| is_gone(last));
    assert_eq!(total(&place), 3);
    // And nobody holds a lock: the next one builds and runs.
    let next = std::thread::scope(|scope| {
        let next = scope.spawn(|| author.json(&gated.folder, &["dev", "--once"]));
        gated.building(&place);
        gated.open();
        next.join().unwrap()
    });
    // The second is told the time, which is another after a first that is new.
    assert_eq!(next["development"]["calls_reused"], 1, "{next}");
}

#[test]
fn at_a_terminal_a_question_is_answered_by_typing_and_a_line_is_not_lost_to_a_round_that_was_left() {
    let place = Place::new(PROGRAM, &[]);
    let author = Author::new(&place, KEPT, "dev-typed");
    let folder = author.folder().join("typed");
    author.json(&author.folder(), &["new", "typed", "--template", "approval"]);
    let words = ["dev", "--offline", "--arg", "topic=rivers"];
    // Compiled before somebody waits at the terminal.
    author.json(&folder, &[&words[..], &["--once"]].concat());
    let at_a_terminal = |dialogue: &[&str]| {
        let command = place.at_a_terminal(dialogue, &words);
        let output = author.equip(command, &folder).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // While it is asked, the skill is changed: what had been typed so far is the beginning of the next answer.
    let edit = "sh:sed -i 's/Publish this/Really publish this/' src/lib.rs";
    let dialogue = [
        "approve [y/n]: ",
        "part:ye",
        "ye",
        edit,
        "approve [y/n]: ",
        "s",
        "comment: ",
        "Go ahead",
        "waiting for a change",
        "^C",
    ];
    let shown = at_a_terminal(&dialogue);
    assert!(
        shown.contains("Go ahead") && shown.contains("Notice: rivers"),
        "{shown}"
    );
    // Ctrl-C while a person is asked: the terminal is as it was, and the execution is not gone on with.
    let edit = "sh:sed -i 's/Really publish this/Shall we publish this/' src/lib.rs";
    let shown = at_a_terminal(&["waiting for a change", edit, "approve [y/n]: ", "^C"]);
    assert!(shown.contains("Shall we publish"), "{shown}");
    let said = author.json(&folder, &["dev", "--once", "--offline", "--arg", "topic=rivers"]);
    assert_eq!(said["exit_code"], WAITING, "{said}");
}
