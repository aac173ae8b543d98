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
