//! Nothing is begun beyond a budget (rule B1), by the count of whoever is paid.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::{Child, Stdio};

use serde_json::Value;
use skillhost_core::budget::DayAccount;
use skillhost_core::entry::{Entry, How};
use skillhost_core::id::{RunId, SkillName};
use skillhost_it::{Place, told};
use skillhost_journal::Journal as _;
use skillhost_loopback::{Behaviour, Rule};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

/// How many calls there is room for, of a hundred.
const ROOM: u64 = 10;

fn configure(place: &Place, text: &str) {
    std::fs::create_dir_all(place.home()).unwrap();
    std::fs::write(place.home().join("config.toml"), text).unwrap();
}

fn start(place: &Place, words: &[&str]) -> Child {
    let mut command = place.command(words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// How many completions the provider was asked for.
fn asked(place: &Place) -> u64 {
    place.server.counts().requests.values().sum()
}

fn wait_for_requests(place: &Place, requests: u64) {
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio.block_on(place.server.wait_for_requests(requests));
}

fn how_it_ended(place: &Place, run: &RunId) -> String {
    match place.records(run).pop().unwrap().entry {
        Entry::Finished(finished) => match finished.how {
            How::Failed(failure) => format!("failed {}: {}", failure.code, failure.message),
            other => format!("{other:?}"),
        },
        other => format!("goes on: {other:?}"),
    }
}

fn refused(place: &Place, run: &RunId) -> usize {
    let records = place.records(run);
    let is_refused =
        |entry: &&Entry| matches!(entry, Entry::Returned(returned) if returned.outcome.code() == Some("budget"));
    records.iter().map(|record| &record.entry).filter(is_refused).count()
}

#[test]
fn b1_of_a_hundred_calls_at_once_no_more_are_begun_than_the_budget_of_money_has_room_for() {
    let place = Place::new(PROGRAM, &["fanout"]);
    // A call may cost what the longest reply does, and a little for what it reads: at a dollar for a million tokens written, some 8,192 millionths.
    configure(
        &place,
        "[budget]\ndollars = 0.09\n[prices.\"claude-haiku-4-5\"]\ninput = 1\noutput = 1\n",
    );
    place.run(&[
        "launch", "fanout", "--here", "--id", "many", "--calls", "100", "--await",
    ]);
    let run = place.run_of("many").unwrap();
    assert_eq!(asked(&place), ROOM);
    assert_eq!(refused(&place, &run), 100 - ROOM as usize);
    let ended = how_it_ended(&place, &run);
    assert!(ended.starts_with("failed budget: this run may have $0.09"), "{ended}");
    let inbox = place.left(&run, Value::Null).inbox;
    let told = inbox
        .iter()
        .filter(|(title, ..)| title == "fanout has used up a budget");
    assert_eq!(told.count(), 1, "{inbox:?}");
}

#[test]
fn b1_killed_in_the_middle_nothing_more_is_begun_than_the_budget_has_room_for() {
    let place = Place::new(PROGRAM, &["fanout"]);
    place.server.rule(Rule::of(Behaviour::Echo).held());
    let launch = [
        "launch",
        "fanout",
        "--here",
        "--id",
        "many",
        "--calls",
        "100",
        "--max-calls",
        "10",
        "--await",
    ];
    let mut victim = start(&place, &launch);
    // The provider works on as many at once as it has slots for.
    wait_for_requests(&place, 4);
    victim.kill().unwrap();
    victim.wait().unwrap();
    place.server.clear_rules();
    place.server.release();
    let begun = asked(&place);
    let output = place.run(&launch);
    let run = place.run_of("many").unwrap();
    assert!(begun >= 4 && asked(&place) <= ROOM, "{begun}, {}", asked(&place));
    assert!(
        how_it_ended(&place, &run).starts_with("failed budget"),
        "{}",
        told(&output)
    );
}

#[test]
fn b1_a_days_budget_is_shared_by_the_daemon_and_whoever_drives_beside_it_and_outlives_both() {
    let place = Place::new(PROGRAM, &["fanout"]);
    configure(&place, "[budget.day]\ncalls = 10\n");
    place.server.rule(Rule::of(Behaviour::Echo).held());
    // Of its own budget the first has room for six of them.
    let one = [
        "launch",
        "fanout",
        "--id",
        "daemon",
        "--calls",
        "100",
        "--max-calls",
        "6",
        "--await",
    ];
    let other = [
        "launch", "fanout", "--here", "--id", "here", "--calls", "100", "--await",
    ];
    let mut first = start(&place, &one);
    wait_for_requests(&place, 6);
    let mut second = start(&place, &other);
    wait_for_requests(&place, ROOM);
    assert!(place.kill_daemon(), "the daemon was there");
    second.kill().unwrap();
    second.wait().unwrap();
    place.server.clear_rules();
    place.server.release();
    // Both go on, and what was in flight is in doubt: it stays spent.
    place.run(&other);
    first.wait().unwrap();
    let later = ["launch", "fanout", "--here", "--id", "later", "--calls", "3", "--await"];
    place.run(&later);
    assert_eq!(asked(&place), ROOM);
    let ended = how_it_ended(&place, &place.run_of("daemon").unwrap());
    assert!(ended.starts_with("failed budget"), "{ended}");
    for launch in ["here", "later"] {
        let run = place.run_of(launch).unwrap();
        let ended = how_it_ended(&place, &run);
        assert!(
            ended.contains("all runs of skill `fanout` together may have 10 model calls a day"),
            "{ended}"
        );
    }
    let day = place.records(&place.run_of("later").unwrap())[0].at.0 / 86_400_000_000;
    let account = DayAccount {
        skill: SkillName::parse("fanout").unwrap(),
        day: u32::try_from(day).unwrap(),
    };
    assert!(place.journal().day_spent(&account).unwrap().spent.calls <= ROOM);
}

#[test]
fn what_was_spent_is_told_by_skill_run_model_and_day_and_at_the_next_launch() {
    let place = Place::new(PROGRAM, &["fanout"]);
    configure(&place, "[prices.\"claude-haiku-4-5\"]\ninput = 10\noutput = 50\n");
    place.json(&["launch", "fanout", "--here", "--calls", "3", "--await"]);
    let again = place.json(&["launch", "fanout", "--here", "--calls", "2", "--await"]);
    assert_eq!(again["last_runs"]["runs"], 1);
    assert!(again["last_runs"]["dollars"].as_f64().unwrap() > 0.0, "{again}");
    let spent: u64 = ["skill", "run", "model", "day"]
        .map(|by| {
            let costs = place.json(&["cost", "--by", by])["costs"].clone();
            let costs = costs.as_array().unwrap();
            assert_eq!(costs.len(), if by == "run" { 2 } else { 1 }, "{costs:?}");
            assert!(
                costs
                    .iter()
                    .all(|row| row[if by == "run" { "run_id" } else { by }].is_string())
            );
            let calls: u64 = costs.iter().map(|row| row["model_calls"].as_u64().unwrap()).sum();
            assert!(
                costs
                    .iter()
                    .all(|row| row["dollars"].as_f64().unwrap() > 0.0 && row["open"].is_null())
            );
            calls
        })
        .into_iter()
        .sum();
    assert_eq!(spent, 4 * 5);
    assert_eq!(
        place.json(&["cost", "--since", "2100-01-01"])["costs"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}

#[test]
fn a_launch_does_not_raise_a_budget_without_a_person_at_a_terminal() {
    let place = Place::new(PROGRAM, &["fanout"]);
    configure(&place, "[budget]\ndollars = 2\n");
    let launch = [
        "launch",
        "fanout",
        "--here",
        "--calls",
        "1",
        "--max-cost",
        "3",
        "--await",
    ];
    let refused = place.any_json(&launch);
    assert_eq!(refused["error"]["code"], "budget_needs_terminal", "{refused}");
    assert_eq!(asked(&place), 0);
    let output = place.at_a_terminal(&[], &launch).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    configure(&place, "agents_may_grant = true\n[budget]\ndollars = 2\n");
    place.json(&launch);
}

#[test]
fn a_model_without_a_price_is_refused_where_a_budget_of_money_is_set_and_named_by_the_error() {
    let place = Place::new(PROGRAM, &["fanout"]);
    configure(
        &place,
        "[budget]\ndollars = 2\n[model.anthropic.tiers]\nhaiku = \"house-model\"\n",
    );
    let failed = place.any_json(&["launch", "fanout", "--here", "--calls", "1", "--await"]);
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(message.contains("add `[prices.\"house-model\"]`"), "{failed}");
    assert_eq!(asked(&place), 0);
    configure(&place, "[model.anthropic.tiers]\nhaiku = \"house-model\"\n");
    place.json(&["launch", "fanout", "--here", "--calls", "1", "--await"]);
    let costs = place.json(&["cost", "--by", "model"])["costs"].clone();
    assert_eq!(
        (&costs[0]["model"], &costs[0]["unpriced"]),
        (&"house-model".into(), &true.into())
    );
}

#[test]
fn what_a_person_allowed_one_run_is_not_had_again_and_is_no_other_launch() {
    let place = Place::new(PROGRAM, &["fanout"]);
    configure(&place, "[budget]\ndollars = 2\n");
    let limits = |id: &str| {
        let run = place.journal().find_run(id).unwrap();
        match place.records(&run).swap_remove(0).entry {
            Entry::Started(started) => started.limits,
            other => panic!("{other:?}"),
        }
    };
    let launch = "launch fanout --here --id dear --calls 1 --max-cost 3 --await";
    let launch: Vec<&str> = launch.split(' ').collect();
    let output = place.at_a_terminal(&[], &launch).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(limits("dear").microdollars_max, Some(3_000_000));
    for other in ["--max-cost 1", "--max-calls 7", "--offline", "--provider openai"] {
        let words = format!("launch fanout --here --id dear --calls 1 {other}");
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(place.any_json(&words)["error"]["code"], "launch_differs", "{other}");
    }
    place.json(&launch);
    configure(&place, "[budget]\ndollars = 2\njournal_mib = 7\n");
    place.json(&["retry", "dear", "--from", "0", "--here", "--await"]);
    let renewed = limits("dear");
    assert_eq!(renewed.microdollars_max, Some(2_000_000), "nobody was at a terminal");
    assert_eq!(
        renewed.journal_bytes_max,
        Some(7 << 20),
        "as the configuration has it today"
    );
}
