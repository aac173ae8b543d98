//! Folders of the user: a run sees what it was given, by the name it was given it under, and nothing else; what it was given outlives a crash and a missing disk.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Output;

use serde_json::{Value, json};
use skillhost_core::entry::{Entry, Giving};
use skillhost_core::id::RunId;
use skillhost_it::{Place, SIGKILL, result_of, told, was_killed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");
const INVALID: i32 = 10;
const NEEDS_A_PERSON: i32 = 20;
const WAITING: i32 = 40;

/// A place with the folders `docs` (`a.md`, `deep/b.md`), `out` (empty) and `other` (`secret`).
fn place() -> Place {
    let place = Place::new(PROGRAM, &["files"]);
    for (path, text) in [
        ("docs/a.md", "one"),
        ("docs/deep/b.md", "two"),
        ("other/secret", "secret"),
    ] {
        let path = place.user_folder().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::create_dir(place.user_folder().join("out")).unwrap();
    place
}

fn launch(place: &Place, more: &[&str], input: &Value) -> Output {
    let input = input.to_string();
    let words = ["launch", "files", "--here", "--json", "--input", &input];
    place.run(&[&words, more].concat())
}

fn read(mount: &str, path: &str) -> Value {
    json!({"deed": "read", "mount": mount, "path": path})
}

fn write(mount: &str, path: &str, text: &str) -> Value {
    json!({"deed": "write", "mount": mount, "path": path, "text": text})
}

fn steps(steps: &[Value]) -> Value {
    json!({ "steps": steps })
}

fn came(output: &Output) -> Vec<String> {
    serde_json::from_value(result_of(output)["came"].clone()).unwrap()
}

fn run_id(output: &Output) -> RunId {
    let envelope: Value = serde_json::from_slice(&output.stdout).unwrap();
    RunId::parse(envelope["run_id"].as_str().unwrap()).unwrap()
}

fn refused(output: &Output, exit: i32, code: &str) -> String {
    assert_eq!(output.status.code(), Some(exit), "{}", told(output));
    let envelope: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(envelope["error"]["code"], code, "{}", told(output));
    format!("{} {}", envelope["error"]["message"], envelope["error"]["hint"])
}

#[test]
fn a_mounted_folder_is_read_and_changed_as_it_was_given_and_its_place_is_not_told() {
    let place = place();
    let all = steps(&[
        read("docs", "a.md"),
        json!({"deed": "glob", "mount": "docs", "path": "**/*.md"}),
        write("docs", "a.md", "changed"),
        write("out", "new/c.md", "three"),
        read("other", "secret"),
        read("docs", "../other/secret"),
    ]);
    let output = launch(&place, &["--mount", "docs=docs", "--mount", "out=./out:rw"], &all);
    let came = came(&output);
    assert_eq!(came[..2], ["one", "a.md deep/b.md"]);
    assert!(came[2].contains("denied"), "{}", came[2]);
    assert_eq!(came[3], "written");
    assert!(came[4].contains("denied") && came[5].contains("denied"), "{came:?}");
    assert_eq!(
        result_of(&output)["mounts"],
        json!(["data+", "run+", "skill", "docs", "out+"])
    );
    assert_eq!(
        fs::read_to_string(place.user_folder().join("out/new/c.md")).unwrap(),
        "three"
    );
    assert_eq!(
        fs::read_to_string(place.user_folder().join("docs/a.md")).unwrap(),
        "one"
    );
    // The journal knows where it lies; what the guest is told does not.
    let run = run_id(&output);
    let real = fs::canonicalize(place.user_folder()).unwrap();
    let Entry::Started(started) = &place.records(&run)[0].entry else {
        panic!("it begins with `started`");
    };
    let source = started
        .mounts
        .iter()
        .find(|mount| mount.name == "docs")
        .unwrap()
        .source
        .clone()
        .unwrap();
    assert_eq!(source.folder, real.join("docs").to_str().unwrap());
    assert_eq!(source.given, Giving::Launch);
    assert!(!came.join(" ").contains(real.to_str().unwrap()), "{came:?}");
    assert!(place.run(&["replay", run.as_str()]).status.success());
}

#[test]
fn a_path_in_the_input_is_seen_under_the_name_of_its_field() {
    let place = place();
    symlink("docs/a.md", place.user_folder().join("link")).unwrap();
    let output = launch(
        &place,
        &[],
        &json!({"source": "docs", "more": ["link", "docs/deep/b.md"], "steps": [read("more-2", "a.md"), read("more-1", "deep/b.md")]}),
    );
    let came = came(&output);
    assert_eq!(
        came[..3],
        ["source: a.md deep/b.md", "more-1/a.md: one", "more-2/b.md: two"]
    );
    assert!(
        came[3].contains("not-found") && came[4].contains("not-found"),
        "{came:?}"
    );
    let shown = place.run(&[
        "launch",
        "files",
        "--here",
        "--source",
        "docs/a.md",
        "--more",
        "docs",
        "--more",
        "~/other/secret",
    ]);
    assert!(told(&shown).contains("source/a.md: one"), "{}", told(&shown));
    assert!(told(&shown).contains("more-2/secret: secret"), "{}", told(&shown));
}

#[test]
fn what_is_not_there_or_not_to_be_given_is_told_before_anything_is_made() {
    let place = place();
    let skills = place.skills();
    let (home, skills) = (place.home(), skills.to_str().unwrap());
    let none = steps(&[]);
    let mount = |word: &str| launch(&place, &["--mount", word], &none);
    let told = refused(&mount("docs=nowhere"), INVALID, "no_such_path");
    assert!(told.contains("nothing at `nowhere`"), "{told}");
    let told = refused(
        &launch(&place, &[], &json!({"source": "nowhere.md"})),
        INVALID,
        "no_such_path",
    );
    assert!(told.contains("field `source`"), "{told}");
    refused(&launch(&place, &[], &json!({"source": ""})), INVALID, "no_such_path");
    refused(&mount("docs=/dev/null"), INVALID, "no_such_path");
    refused(&mount("docs=docs/a.md:rw"), INVALID, "bad_mount");
    refused(
        &launch(&place, &["--mount", "source=docs"], &json!({"source": "docs"})),
        INVALID,
        "bad_mount",
    );
    for (word, why) in [
        ("x=/".to_owned(), "whole machine"),
        ("x=/proc/self".to_owned(), "/proc"),
        ("x=/dev".to_owned(), "/dev"),
        (format!("x={}", home.display()), "keys and journals"),
        (format!("x={}/runs/..", home.display()), "keys and journals"),
        ("x=~".to_owned(), "keys and journals"),
        (format!("x={skills}:rw"), "change skills"),
        (format!("x={skills}/files:rw"), "change skills"),
    ] {
        fs::create_dir_all(home.join("runs")).unwrap();
        let told = refused(&mount(&word), INVALID, "mount_refused");
        assert!(told.contains(why), "{word}: {told}");
    }
    for word in [
        "run=docs",
        "data=docs",
        "skill=docs",
        "a/b=docs",
        "docs",
        "=docs",
        "docs=",
    ] {
        assert_eq!(mount(word).status.code(), Some(INVALID), "{word}");
    }
    assert!(
        launch(&place, &["--mount", &format!("x={skills}")], &none)
            .status
            .success()
    );
}

#[test]
fn what_lies_elsewhere_is_changed_only_if_a_person_says_so() {
    let place = place();
    let elsewhere = tempfile::tempdir().unwrap();
    let word = format!("out={}:rw", elsewhere.path().display());
    let input = steps(&[write("out", "a", "x")]);
    let told_so = refused(
        &launch(&place, &["--mount", &word], &input),
        NEEDS_A_PERSON,
        "mount_needs_terminal",
    );
    assert!(told_so.contains("current folder"), "{told_so}");
    let readable = format!("out={}", elsewhere.path().display());
    assert!(launch(&place, &["--mount", &readable], &input).status.success());
    let text = input.to_string();
    let words = [
        "launch", "files", "--here", "--id", "typed", "--mount", &word, "--input", &text,
    ];
    let output = place.at_a_terminal(&[], &words).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert!(elsewhere.path().join("a").exists());
    // A fork does what was agreed to, and nothing else.
    let other = steps(&[write("out", "b", "x")]).to_string();
    let fork = ["fork", "typed", "--here", "--await", "--input", &other];
    let by_nobody = place.run(&[&fork[..], &["--json"]].concat());
    let told_so = refused(&by_nobody, NEEDS_A_PERSON, "mount_needs_terminal");
    assert!(told_so.contains("current folder"), "{told_so}");
    assert!(!elsewhere.path().join("b").exists());
    let again = place.run(&["fork", "typed", "--here", "--await", "--at", "0"]);
    assert!(again.status.success(), "{}", told(&again));
    let output = place.at_a_terminal(&[], &fork).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert!(elsewhere.path().join("b").exists());
    fs::write(place.home().join("config.toml"), "agents_may_grant = true\n").unwrap();
    assert!(launch(&place, &["--mount", &word], &input).status.success());
}

#[test]
fn a_launch_of_an_id_that_is_known_has_to_give_what_was_given_before() {
    let place = place();
    let input = json!({"source": "docs/a.md", "steps": [read("docs", "a.md")]});
    let words = ["--id", "one", "--mount", "docs=docs"];
    let first = launch(&place, &words, &input);
    assert_eq!(came(&first), ["source/a.md: one", "one"]);
    fs::remove_dir_all(place.user_folder().join("docs")).unwrap();
    assert_eq!(run_id(&launch(&place, &words, &input)), run_id(&first));
    for (words, input) in [
        (&words[..2], input.clone()),
        (&["--id", "one", "--mount", "docs=other"], input.clone()),
        (&["--id", "one", "--mount", "docs=docs:rw"], input.clone()),
        (
            &words,
            json!({"source": "other/secret", "steps": [read("docs", "a.md")]}),
        ),
        (&words, json!({"steps": [read("docs", "a.md")]})),
        (&words, json!({"source": "docs/a.md", "steps": [read("docs", "b.md")]})),
    ] {
        refused(&launch(&place, words, &input), INVALID, "launch_differs");
    }
}

#[test]
fn a_folder_that_is_gone_has_the_call_wait_for_a_person_and_nothing_is_lost() {
    let place = place();
    let append = json!({"deed": "append", "mount": "out", "path": "b", "text": "x"});
    let all = steps(&[read("docs", "a.md"), append, write("run", "c", "y")]);
    let mut input = all;
    input["wait"] = true.into();
    let launched = launch(
        &place,
        &["--id", "one", "--mount", "docs=docs", "--mount", "out=out:rw"],
        &input,
    );
    assert_eq!(launched.status.code(), Some(WAITING), "{}", told(&launched));
    let (docs, away) = (place.user_folder().join("docs"), place.user_folder().join("away"));
    fs::rename(&docs, &away).unwrap();
    let output = place.run(&["signal", "one", "go", "--input", "true", "--here", "--json"]);
    assert!(
        [0, WAITING].contains(&output.status.code().unwrap()),
        "{}",
        told(&output)
    );
    let output = place.run(&["resume", "one", "--here", "--json"]);
    assert_eq!(output.status.code(), Some(WAITING), "{}", told(&output));
    let status = place.run(&["status", "one"]);
    assert!(
        told(&status).contains("it is not there; put it back"),
        "{}",
        told(&status)
    );
    // A link to what is somebody else's is not what was given.
    symlink(place.user_folder().join("other"), &docs).unwrap();
    let output = place.run(&["resume", "one", "--redo", "1", "--here", "--json"]);
    assert_eq!(output.status.code(), Some(WAITING), "{}", told(&output));
    fs::remove_file(&docs).unwrap();
    fs::rename(&away, &docs).unwrap();
    // What is added to a file waits as well as what is read and written.
    let (out, away) = (place.user_folder().join("out"), place.user_folder().join("away"));
    fs::rename(&out, &away).unwrap();
    let output = place.run(&["resume", "one", "--redo", "1", "--here", "--json"]);
    assert_eq!(output.status.code(), Some(WAITING), "{}", told(&output));
    fs::rename(&away, &out).unwrap();
    let output = place.run(&["resume", "one", "--redo", "2", "--here", "--json"]);
    assert_eq!(came(&output), ["one", "appended", "written"]);
    assert_eq!(fs::read_to_string(out.join("b")).unwrap(), "x");
    assert!(place.run(&["replay", "one"]).status.success());
}

#[test]
fn a_run_that_was_killed_goes_on_with_what_it_was_given() {
    let place = place();
    let all = steps(&[read("docs", "a.md"), write("out", "b", "x"), write("data", "c", "y")]);
    let input = all.to_string();
    for point in ["driver.before-perform", "driver.effect-ended"] {
        let mut command = place.command(&[
            "launch",
            "files",
            "--here",
            "--json",
            "--id",
            point,
            "--mount",
            "docs=docs",
            "--mount",
            "out=out:rw",
            "--input",
            &input,
        ]);
        let killed = command
            .env("SKILLHOST_FAILPOINT", format!("{point}:2"))
            .output()
            .unwrap();
        assert!(was_killed(&killed), "{}", told(&killed));
        let output = place
            .command(&["resume", point, "--here", "--json"])
            .current_dir("/")
            .output()
            .unwrap();
        assert_eq!(came(&output), ["one", "written", "written"], "{SIGKILL}");
    }
}

#[test]
fn what_a_run_leaves_in_data_is_there_for_the_next_and_when_the_skill_is_gone() {
    let place = place();
    let append = json!({"deed": "append", "mount": "data", "path": "seen", "text": "x"});
    for _ in 0..2 {
        assert_eq!(
            came(&launch(&place, &[], &steps(std::slice::from_ref(&append)))),
            ["appended"]
        );
    }
    let seen = place.home().join("data/files/seen");
    assert_eq!(fs::read_to_string(&seen).unwrap(), "xx");
    place.json(&["prune", "--older-than", "0s"]);
    let output = place.run(&["uninstall", "files", "--yes"]);
    assert!(told(&output).contains("uninstall files --data"), "{}", told(&output));
    assert!(seen.exists());
    let output = place.run(&["uninstall", "files", "--data"]);
    assert!(output.status.success(), "{}", told(&output));
    assert!(!seen.exists());
    assert_eq!(
        place.run(&["uninstall", "files", "--data"]).status.code(),
        Some(INVALID)
    );
}

#[test]
fn f4_a_fork_keeps_what_was_given_and_lists_what_changed_there() {
    let place = place();
    let all = json!({"source": "docs/a.md", "steps": [
        write("out", "b", "x"), write("data", "d", "z"), write("run", "c", "y"), read("run", "c"), read("docs", "a.md"),
    ]});
    let first = launch(
        &place,
        &["--id", "one", "--mount", "docs=docs", "--mount", "out=out:rw"],
        &all,
    );
    assert_eq!(came(&first)[1..], ["written", "written", "written", "y", "one"]);
    let forked = place
        .command(&["fork", "one", "--at", "6", "--here", "--json"])
        .current_dir("/")
        .output()
        .unwrap();
    assert_eq!(came(&forked), came(&first));
    let told_so = told(&place.run(&["fork", "one", "--at", "6", "--here"]));
    assert!(
        told_so.contains("these files stay as they are: data/d, out/b"),
        "{told_so}"
    );
    // Another input is read where the fork is made.
    let other = json!({"source": "other/secret", "steps": all["steps"]}).to_string();
    let forked = place.run(&["fork", "one", "--input", &other, "--here", "--json"]);
    assert_eq!(came(&forked)[0], "source/secret: secret", "{}", told(&forked));
}
