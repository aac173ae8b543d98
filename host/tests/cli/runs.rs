//! What is said of runs.

use crate::machine::Machine;
use crate::run::{self, DONE, FAILED, WAITING};

fn machine() -> Machine {
    let machine = Machine::new();
    run::done(&machine);
    run::failed(&machine);
    run::waiting(&machine);
    machine
}

fn all(machine: &Machine, lines: &[&str]) -> String {
    let seen: Vec<String> = lines.iter().map(|line| machine.see(line)).collect();
    seen.join("\n")
}

#[test]
fn runs_are_listed_newest_first() {
    insta::assert_snapshot!(all(
        &machine(),
        &[
            "list",
            "list --json",
            "list --status done --json",
            "list --limit 1",
            "list --skill hello-world",
            "list --here --status failed"
        ]
    ));
}

#[test]
fn a_run_is_shown_by_the_names_of_its_calls() {
    insta::assert_snapshot!(all(
        &machine(),
        &["show nightly", &format!("show {FAILED}"), &format!("show {WAITING}")]
    ));
}

#[test]
fn a_run_is_shown_to_programs() {
    insta::assert_snapshot!(all(
        &machine(),
        &["show nightly --json", &format!("show {WAITING} --json")]
    ));
}

#[test]
fn a_call_is_shown_whole() {
    insta::assert_snapshot!(all(
        &machine(),
        &["show nightly --call 1", "show nightly --call 3 --json"]
    ));
}

#[test]
fn a_result_is_printed_and_nothing_else() {
    let lines = [
        "result nightly".to_owned(),
        "result nightly --json".to_owned(),
        format!("result {FAILED}"),
        format!("result {FAILED} --json"),
        format!("result {WAITING}"),
        format!("result {WAITING} --json"),
    ];
    insta::assert_snapshot!(all(&machine(), &lines.each_ref().map(String::as_str)));
}

#[test]
fn what_a_run_logged_is_printed_without_what_could_steer_a_terminal() {
    insta::assert_snapshot!(all(
        &machine(),
        &[
            "logs nightly",
            "logs nightly --json",
            "logs nightly --limit 1",
            &format!("logs {FAILED}")
        ]
    ));
}

#[test]
fn the_inbox_is_shown_dismissed_and_written_to_its_file() {
    let machine = machine();
    let seen = all(&machine, &["inbox", "inbox --json", "inbox 1"]);
    let file = std::fs::read_to_string(machine.path("home/INBOX.md")).unwrap();
    let file = file.replace(&*machine.path("").to_string_lossy(), "[DIR]/");
    let after = all(
        &machine,
        &[
            "dismiss 1",
            "dismiss 1 --json",
            "inbox",
            "inbox --all",
            "dismiss --all",
            "inbox",
        ],
    );
    insta::assert_snapshot!(format!("{seen}\n=== INBOX.md\n{file}===\n{after}"));
    assert!(
        std::fs::read_to_string(machine.path("home/INBOX.md"))
            .unwrap()
            .contains("Nothing is waiting")
    );
}

#[test]
fn an_answer_is_checked_before_it_is_taken() {
    insta::assert_snapshot!(all(
        &machine(),
        &[
            &format!("answer {WAITING}#0"),
            &format!("answer {WAITING}#0 aprove=true"),
            &format!("answer {WAITING}#0 approve=maybe"),
            &format!("answer {WAITING}#1 approve=true"),
            &format!("answer {WAITING} approve=true"),
            &format!("signal {WAITING} count --input \"many\""),
            &format!("signal {WAITING} count --input many"),
            &format!("signal {WAITING} no/name"),
            &format!("resume {WAITING} --redo 0"),
        ]
    ));
}

#[test]
fn p1_a_run_that_somebody_drives_is_written_to_and_not_driven() {
    let machine = Machine::new();
    let _alive = run::held(&machine);
    insta::assert_snapshot!(all(
        &machine,
        &[
            &format!("answer --here {WAITING}#0 approve=yes"),
            &format!("answer --here {WAITING}#0 approve=true"),
            &format!("signal --here {WAITING} count --input 3 --json"),
            &format!("cancel --here {WAITING} --reason enough"),
            &format!("resume --here {WAITING}"),
            &format!("resume --here {WAITING} --json"),
        ]
    ));
}

#[test]
fn a_run_whose_bundle_is_gone_says_so_and_loses_nothing() {
    let machine = machine();
    insta::assert_snapshot!(all(
        &machine,
        &[
            &format!("resume --here {WAITING}"),
            &format!("launch --here deep-research --id {DONE} --question x")
        ]
    ));
}
