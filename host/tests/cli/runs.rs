//! What is said of runs.

use crate::machine::Machine;
use crate::run::{self, DONE, FAILED, LONG, PARKED, WAITING};

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
            "list --here --status failed",
            "list --since 2025-11-22",
            "list --since 2025-11-21T11:20:00Z --skill deep-research --limit 1 --json",
            "list --since soon",
        ]
    ));
}

#[test]
fn what_was_spent_is_told_by_skill_run_model_and_day() {
    let machine = machine();
    run::running(&machine);
    insta::assert_snapshot!(all(
        &machine,
        &[
            "cost",
            "cost --by run",
            "cost --by model --json",
            "cost --by day --skill deep-research",
            "cost --since 2030-01-01",
            "cost --by week",
            "cost --skill ../x",
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

/// Leaves out for how long a run has stood so, which is longer every day.
fn without_time(seen: &str) -> String {
    let lines = seen.lines().map(|line| {
        let standing = ["waiting", "parked"]
            .into_iter()
            .find(|word| line.contains(&format!(": {word} after ")));
        match standing.and_then(|word| line.split_once(word)) {
            Some((start, _)) => format!("{start}since some time"),
            None => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn where_a_run_is_fits_on_a_screen() {
    let machine = machine();
    let waiting = without_time(&machine.see(&format!("status {WAITING}")));
    let rest = all(
        &machine,
        &[
            "status nightly",
            "status nightly --json",
            &format!("status {FAILED}"),
            &format!("status {WAITING} --json"),
            "status zzzzzzzz",
        ],
    );
    insta::assert_snapshot!(format!("{waiting}\n\n{rest}"));
}

#[test]
fn a_run_that_is_parked_is_listed_with_its_reason() {
    let machine = machine();
    run::parked(&machine);
    let seen = all(
        &machine,
        &[
            "list --failed",
            "list --failed --json",
            "list --failed --status done",
            "status parked",
            "status parked --json",
        ],
    );
    insta::assert_snapshot!(without_time(&seen));
}

#[test]
fn a_file_of_a_run_is_printed_and_nothing_else() {
    let machine = machine();
    let before = all(&machine, &["result nightly --path", "result nightly --file report.md"]);
    machine.put(&format!("home/runs/{DONE}/report.md"), "# Blue\n\nbecause\u{1b}[2J\n");
    machine.put(&format!("home/runs/{DONE}/picture.png"), b"\x89PNG\xff");
    machine.put("home/secret", "no");
    std::os::unix::fs::symlink(
        machine.path("home/secret"),
        machine.path(&format!("home/runs/{DONE}/link")),
    )
    .unwrap();
    let after = all(
        &machine,
        &[
            "result nightly --path",
            "result nightly --path --json",
            "result nightly --file report.md",
            "result nightly --file run/report.md --json",
            "result nightly --file picture.png",
            "result nightly --file ../../secret",
            "result nightly --file link",
            "result nightly --file repor.md",
            "result nightly --file x --path",
        ],
    );
    insta::assert_snapshot!(format!("{before}\n===\n{after}").replace('\u{1b}', "ESC"));
}

#[test]
fn a_run_of_many_calls_is_shown_on_a_screen() {
    let machine = Machine::new();
    run::long(&machine);
    let seen = machine.see(&format!("show {LONG}"));
    assert!((40..=63).contains(&seen.lines().count()), "{seen}");
    assert!(seen.contains("calls left out; `--all` shows them"), "{seen}");
    let status = machine.see(&format!("status {LONG}"));
    assert!(status.lines().count() < 35 && status.contains("others"), "{status}");
    assert!(machine.see(&format!("show {LONG} --all")).lines().count() > 400);
    // One line of at most 4 KB, which is checked where programs are run.
    let _ = machine.see(&format!("status {LONG} --json"));
}

#[test]
fn runs_that_are_over_are_forgotten_with_their_files() {
    let machine = machine();
    machine.put(&format!("home/runs/{DONE}/report.md"), "# Blue");
    machine.put(&format!("home/results/{DONE}.json"), "{}");
    let lines = [
        "prune --older-than 9999d".to_owned(),
        "prune --status failed --json".to_owned(),
        "prune --status waiting".to_owned(),
        "prune --older-than soon".to_owned(),
        format!("discard nightly {WAITING}"),
        "discard zzzzzzzz".to_owned(),
        "discard nightly nightly".to_owned(),
        "discard nightly --json".to_owned(),
        "inbox".to_owned(),
        "list --json".to_owned(),
    ];
    insta::assert_snapshot!(all(&machine, &lines.each_ref().map(String::as_str)));
    assert!(!machine.path(&format!("home/runs/{DONE}")).exists());
    assert!(!machine.path(&format!("home/results/{DONE}.json")).exists());
}

#[test]
fn parked_runs_are_pruned_only_if_they_are_named() {
    let machine = machine();
    run::parked(&machine);
    let _ = machine.see("prune");
    assert!(machine.see("list").contains("parked"), "it waits for a person");
    let pruned = machine.see("prune --status parked");
    assert!(pruned.contains("forgot 1 run\n"), "{pruned}");
    assert!(machine.see(&format!("status {PARKED}")).contains("there is no run"));
}

#[test]
fn what_runs_left_behind_that_are_gone_is_told_by_doctor_and_removed_by_prune() {
    const GONE: &str = "01kgoneaaaaaaaaaaaaaaaaaa9";
    const JUST_MADE: &str = "01kmadeaaaaaaaaaaaaaaaaaa9";
    let machine = machine();
    let days_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 86_400);
    let put = |path: &str| {
        machine.put(path, "{}");
        let path = machine.path(path);
        for path in [path.as_path(), path.parent().unwrap()] {
            std::fs::File::open(path).unwrap().set_modified(days_ago).unwrap();
        }
    };
    let kept = [
        format!("home/runs/{DONE}/report.md"),
        format!("home/results/{DONE}.json"),
        "home/runs/notes/of mine.md".to_owned(),
    ];
    let gone = [
        format!("home/runs/{GONE}/report.md"),
        format!("home/results/{GONE}.json"),
        format!("home/results/{GONE}-3.json"),
    ];
    kept.iter().chain(&gone).for_each(|path| put(path));
    machine.put(&format!("home/runs/{JUST_MADE}/report.md"), "");
    let told = machine.see("doctor");
    assert!(
        told.contains("3 leftovers of runs that the journal does not have")
            && told.contains("prune --older-than 9999d"),
        "{told}"
    );
    let pruned = machine.see("prune --older-than 9999d");
    assert!(
        pruned.contains("forgot 0 runs") && pruned.contains("removed 3 leftovers"),
        "{pruned}"
    );
    for path in &gone {
        assert!(!machine.path(path).exists(), "{path}");
    }
    for path in kept.iter().chain([&format!("home/runs/{JUST_MADE}/report.md")]) {
        assert!(machine.path(path).exists(), "{path}");
    }
    assert!(!machine.see("doctor").contains("leftover"));
}
