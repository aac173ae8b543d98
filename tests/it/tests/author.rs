//! From an empty directory to an installed skill that was launched, with the real program, for every template; and what an author is told when something is wrong.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use skillhost_it::author::Author;
use skillhost_it::{Place, result_of, told, workspace};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");
const KEPT: &str = env!("CARGO_TARGET_TMPDIR");

/// Makes, checks, tests, builds and installs a skill of a template, as its author would.
fn installed(place: &Place, template: &str) -> PathBuf {
    let author = Author::new(place, KEPT, template);
    let name = format!("my-{template}");
    let folder = author.folder().join(&name);
    let made = author.json(&author.folder(), &["new", &name, "--template", template]);
    assert_eq!(made["path"], json!(folder));
    for words in [&["fmt", "--check"][..], &["test"]] {
        let output = author.cargo(&folder, words);
        assert!(output.status.success(), "{words:?}: {}", told(&output));
    }
    // Of the same versions as the skills here.
    let lock = fs::read_to_string(folder.join("Cargo.lock")).unwrap();
    let ours = fs::read_to_string(workspace().join("Cargo.lock")).unwrap();
    let strangers = lock
        .lines()
        .filter(|line| line.starts_with("checksum") && !ours.contains(line));
    assert_eq!(strangers.collect::<Vec<_>>(), Vec::<&str>::new());
    let built = author.json(&folder, &["build"]);
    assert_eq!(built["component"]["name"], json!(name), "{built}");
    assert_eq!(built["problems"], json!([]), "{built}");
    let tested = author.json(&folder, &["test", "--crash", "--no-build"]);
    assert_eq!(tested["exit_code"], json!(0), "{tested:#}");
    let cases = tested["cases"].as_array().unwrap();
    let kills: Vec<_> = cases.iter().map(|case| case["kills"].as_u64().unwrap()).collect();
    assert!(
        kills.iter().all(|kills| *kills > 0) && kills.iter().sum::<u64>() > 5,
        "{kills:?}"
    );
    let put = author.json(&folder, &["install"]);
    assert_eq!(put["path"], json!(place.skills().join(&name)), "{put}");
    let checked = author.json(&folder, &["check", &name]);
    assert_eq!(checked["problems"], json!([]), "{checked}");
    assert_eq!(checked["component"]["digest"], built["component"]["digest"]);
    let listed = place.json(&["skills"]);
    assert!(listed["skills"][0].get("remarks").is_none(), "{listed}");
    folder
}

#[test]
fn a_skill_of_the_template_minimal_goes_from_nothing_to_a_result() {
    let place = Place::new(PROGRAM, &[]);
    installed(&place, "minimal");
    let output = place.run(&[
        "launch",
        "my-minimal",
        "--text",
        "rivers",
        "--offline",
        "--await",
        "--json",
    ]);
    assert_eq!(result_of(&output)["title"], json!("A simulated summary"));
}

#[test]
fn a_skill_of_the_template_fan_out_reports_what_it_found_and_what_failed() {
    let place = Place::new(PROGRAM, &[]);
    installed(&place, "fan-out");
    let words = ["--topics", "rivers", "--topics", "failures", "--topics", "seas"];
    let output = place.run(&[&["launch", "my-fan-out", "--offline", "--await", "--json"], &words[..]].concat());
    let result = result_of(&output);
    assert!(
        result["missed"][0].as_str().unwrap().starts_with("failures: "),
        "{result}"
    );
    let envelope: Value = serde_json::from_slice(&output.stdout).unwrap();
    let report = place.run(&["result", envelope["run_id"].as_str().unwrap(), "--file", "report.md"]);
    let report = String::from_utf8(report.stdout).unwrap();
    assert!(
        report.contains("## seas") && report.contains("## Not answered"),
        "{report}"
    );
}

#[test]
fn a_skill_of_the_template_approval_changes_its_draft_as_wished_and_publishes_it() {
    let place = Place::new(PROGRAM, &[]);
    installed(&place, "approval");
    let launched = place.json(&["launch", "my-approval", "--topic", "rivers", "--offline"]);
    let run = launched["run_id"].as_str().unwrap();
    let mut asked = Vec::new();
    for (approve, comment) in [("approve=false", "comment=shorter"), ("approve=true", "comment=")] {
        let waiting = place.any_json(&["wait", run, "--for", "100s"]);
        assert_eq!(waiting["exit_code"], json!(40), "{waiting}");
        let call = waiting["waits"][0]["call"].as_u64().unwrap();
        asked.push(call);
        place.json(&["answer", &format!("{run}#{call}"), approve, comment]);
    }
    assert!(asked[0] < asked[1], "{asked:?}");
    let ended = place.json(&["wait", run, "--for", "100s"]);
    assert_eq!(ended["status"], json!("done"), "{ended}");
    let notice = place.run(&["result", run, "--file", "notice.md"]);
    let notice = String::from_utf8(notice.stdout).unwrap();
    assert!(notice.contains("Wished for: shorter"), "{notice}");
    let titles = place.json(&["inbox"])["entries"].to_string();
    assert!(titles.contains("Notice: rivers"), "{titles}");
}

#[test]
fn a_skill_of_the_template_agent_reads_its_documents_and_answers() {
    let place = Place::new(PROGRAM, &[]);
    installed(&place, "agent");
    let launched = place.json(&[
        "launch",
        "my-agent",
        "--question",
        "How do I cross?",
        "--offline",
        "--await",
    ]);
    assert_eq!(
        launched["result"]["documents"],
        json!(["bridges", "ferry"]),
        "{launched}"
    );
    let run = launched["run_id"].as_str().unwrap();
    let last = place.json(&["show", run])["calls"].as_array().unwrap().last().unwrap()["call"].to_string();
    let asked = place.run(&["show", run, "--call", &last]);
    let asked = String::from_utf8(asked.stdout).unwrap();
    assert!(
        asked.contains("above four metres") && asked.contains("every half hour"),
        "{asked}"
    );
}

/// Replaces a text in a file of a crate.
fn edit(folder: &Path, path: &str, from: &str, to: &str) {
    let path = folder.join(path);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn what_does_not_compile_or_is_no_skill_is_told_with_its_place_and_leaves_the_last_component() {
    let place = Place::new(PROGRAM, &[]);
    let author = Author::new(&place, KEPT, "broken");
    let folder = author.folder().join("broken");
    author.json(&author.folder(), &["new", "broken"]);
    let built = author.json(&folder, &["build"]);
    let component = PathBuf::from(built["path"].as_str().unwrap());
    let good = fs::read(&component).unwrap();

    edit(&folder, "src/lib.rs", "input.sentences))", "input.sentence))");
    let told = author.json(&folder, &["build"]);
    assert_eq!(
        (&told["exit_code"], &told["error"]["code"]),
        (&json!(10), &json!("does_not_compile"))
    );
    let problem = &told["problems"][0];
    assert_eq!(problem["code"], json!("E0609"), "{told}");
    assert!(
        problem["place"].as_str().unwrap().starts_with("src/lib.rs:30:"),
        "{told}"
    );
    assert!(problem["fix"].as_str().unwrap().contains("`sentences`"), "{told}");
    // To people the compiler speaks itself.
    let output = author.run(&folder, &["build"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("error[E0609]") && stderr.contains("does not compile, as it says above"),
        "{stderr}"
    );

    edit(&folder, "src/lib.rs", "input.sentence))", "input.sentences))");
    edit(&folder, "src/lib.rs", "prompt!(\"summary\"", "prompt!(\"sumary\"");
    let told = author.json(&folder, &["install"]);
    assert!(
        told["problems"][0]["message"]
            .as_str()
            .unwrap()
            .contains("there is no `prompts/sumary.md`"),
        "{told}"
    );

    edit(&folder, "src/lib.rs", "prompt!(\"sumary\"", "prompt!(\"summary\"");
    edit(&folder, "src/lib.rs", "#[skill]\n", "");
    let told = author.json(&folder, &["build"]);
    assert_eq!(
        (&told["exit_code"], &told["error"]["code"]),
        (&json!(80), &json!("does_not_load"))
    );
    assert_eq!(
        told["problems"][0]["expected"],
        json!("it exports `describe`, `run`"),
        "{told}"
    );

    fs::write(
        folder.join("Cargo.toml"),
        "[package]\nname = \"broken\"\n[dependencies]\nskillhost-sdk = \"0.1\"\n[lib]\ncrate-type = \"x\"\n",
    )
    .unwrap();
    let told = author.json(&folder, &["build"]);
    assert_eq!(told["problems"][0]["code"], json!("cargo"), "{told}");
    assert_eq!(fs::read(&component).unwrap(), good);
    assert!(!place.skills().join("broken").exists());
}

#[test]
fn a_crate_inside_another_workspace_builds_too() {
    let place = Place::new(PROGRAM, &[]);
    let author = Author::new(&place, KEPT, "outer");
    let outer = author.folder();
    fs::create_dir_all(outer.join("member/src")).unwrap();
    fs::write(
        outer.join("Cargo.toml"),
        "[workspace]\nmembers = [\"member\"]\nresolver = \"3\"\n",
    )
    .unwrap();
    fs::write(
        outer.join("member/Cargo.toml"),
        "[package]\nname = \"member\"\nversion = \"0.1.0\"\n",
    )
    .unwrap();
    fs::write(outer.join("member/src/lib.rs"), "").unwrap();
    author.json(&outer, &["new", "inner"]);
    let built = author.json(&outer, &["build", "inner"]);
    assert_eq!(built["component"]["name"], json!("inner"), "{built}");
}

#[test]
fn skills_that_cannot_be_written_where_they_belong_are_not_installed_and_it_is_said_where() {
    let place = Place::new(PROGRAM, &[]);
    fs::write(place.skills(), "no folder").unwrap();
    let component = skillhost_it::guests().component("logs");
    let told = place.any_json(&["install", component.to_str().unwrap()]);
    assert_eq!(told["error"]["code"], "skills_not_writable", "{told}");
    assert_eq!(fs::read_to_string(place.skills()).unwrap(), "no folder");
}
