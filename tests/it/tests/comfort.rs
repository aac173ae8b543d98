//! What the SDK makes of calls (agents, tasks, sagas) is as durable as they are: killed anywhere it ends as if nothing had happened.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::Command;

use serde_json::{Value, json};
use skillhost_it::{Place, told, was_killed};
use skillhost_loopback::{Behaviour, Rule};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

/// How many hits of one place are tried.
const HITS_MAX: usize = 4;

/// Returns what a command said, and the files of the run that it was about.
fn outcome(place: &Place, mut command: Command) -> Option<(Value, Value)> {
    let output = command.output().unwrap();
    if was_killed(&output) {
        return None;
    }
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
    let run = place.run_of("it").unwrap();
    let left = place.left(&run, Value::Null);
    let result = json!([
        said["status"],
        said["result"],
        said["error"]["code"],
        said["error"]["message"]
    ]);
    let posted: Vec<&String> = left.inbox.iter().map(|(title, _, _)| title).collect();
    let text = result.to_string().replace(run.as_str(), "RUN");
    Some((serde_json::from_str(&text).unwrap(), json!([left.files, posted])))
}

/// Kills a command at every kind of place, does what `again` says until it is done, and compares what came of it with what comes of it undisturbed.
fn survives(place: &Place, prepare: &dyn Fn(), words: &[&str], again: &[&str]) -> (Value, Value) {
    let log = place.home().with_extension("points");
    prepare();
    let mut logged = place.command(words);
    logged.env("SKILLHOST_FAILPOINT_LOG", &log);
    let expected = outcome(place, logged).unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    let mut points: Vec<&str> = log.lines().collect();
    points.sort_unstable();
    let mut killed = 0;
    for point in points.chunk_by(|one, other| one == other) {
        let tries = HITS_MAX.min(point.len());
        for attempt in 0..tries {
            let hit = 1 + attempt * (point.len() - 1) / (tries - 1).max(1);
            place.forget_runs();
            prepare();
            let aim = format!("{}:{hit}", point[0]);
            let mut command = place.command(words);
            command.env("SKILLHOST_FAILPOINT", &aim);
            if outcome(place, command).is_none() {
                killed += 1;
                assert_eq!(outcome(place, place.command(again)).as_ref(), Some(&expected), "{aim}");
            }
        }
    }
    assert!(killed >= 10, "killed at {killed} points only");
    expected
}

fn launch(skill: &'static str, words: &[&'static str]) -> Vec<&'static str> {
    [&["launch", "--here", skill, "--id", "it", "--await"], words].concat()
}

/// A reply that asks for tools.
fn wants(calls: &[(&str, &str, Value)]) -> Behaviour {
    let blocks = calls
        .iter()
        .map(|(id, name, input)| json!({"type": "tool_use", "id": id, "name": name, "input": input}));
    Behaviour::Blocks {
        blocks: blocks.collect(),
        stop_reason: "tool_use".to_owned(),
    }
}

/// Scripts an agent that writes two files at once, reads one that is not there, and then says that it is done.
fn script(place: &Place) {
    let done = Behaviour::Text(r#"{"text": "written"}"#.to_owned());
    place.server.rule(Rule::of(done).containing(r#""tool_use_id":"t3""#));
    let third = wants(&[("t3", "read", json!({"path": "none.md"}))]);
    place.server.rule(Rule::of(third).containing(r#""tool_use_id":"t2""#));
    let first = [("t1", "a.md"), ("t2", "b.md")].map(|(id, path)| (id, "write", json!({"path": path, "text": path})));
    place.server.rule(Rule::of(wants(&first)));
}

#[test]
fn an_agent_goes_on_after_a_crash_and_its_tools_did_what_they_did_once() {
    let place = Place::new(PROGRAM, &["agent"]);
    script(&place);
    let words = launch("agent", &["--json"]);
    let (said, left) = survives(&place, &|| {}, &words, &words);
    assert_eq!(said[1], json!({"text": "written"}));
    assert_eq!(left[0], json!({"a.md": "a.md", "b.md": "b.md"}));
}

#[test]
fn a_tool_that_fails_tells_the_model_and_the_tools_of_a_turn_are_answered_together_and_in_order() {
    let place = Place::new(PROGRAM, &["agent"]);
    script(&place);
    place.json(&launch("agent", &[]));
    let asked = place.server.requests();
    assert_eq!(asked.len(), 3);
    let outcomes = |turn: usize| {
        let messages = asked[turn].body["messages"].as_array().unwrap();
        messages.last().unwrap()["content"].clone()
    };
    let ids: Vec<Value> = outcomes(1)
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["tool_use_id"].clone())
        .collect();
    assert_eq!(ids, ["t1", "t2"]);
    assert_eq!(outcomes(2)[0]["is_error"], true);
    assert!(outcomes(2).to_string().contains("none.md"));
}

#[test]
fn a_fatal_failure_of_a_tool_ends_the_run_and_so_do_turns_that_are_used_up() {
    let place = Place::new(PROGRAM, &["agent"]);
    place
        .server
        .rule(Rule::of(wants(&[("t1", "give_up", json!({"why": "it is late"}))])));
    let over = place.any_json(&launch("agent", &[]));
    assert_eq!(
        (&over["error"]["code"], &over["exit_code"]),
        (&json!("gave-up"), &json!(30)),
        "{over}"
    );
    place.server.clear_rules();
    place
        .server
        .rule(Rule::of(wants(&[("t1", "read", json!({"path": "a.md"}))])));
    let over = place.any_json(&["launch", "--here", "agent", "--turns", "2", "--await"]);
    assert_eq!(over["error"]["code"], "turn-limit", "{over}");
}

#[test]
fn tasks_go_on_after_a_crash() {
    let place = Place::new(PROGRAM, &["tasks"]);
    place
        .server
        .rule(Rule::of(Behaviour::status(400)).containing("task shaky"));
    let words = launch("tasks", &["--settled", "true", "--json"]);
    let (said, left) = survives(&place, &|| {}, &words, &words);
    assert_eq!(said[1]["failed"], json!(["shaky: invalid"]));
    assert_eq!(said[1]["left_out"], json!(["of shaky: `shaky` failed"]));
    assert!(left[1].to_string().contains("The report is ready"), "{left}");
    place.forget_runs();
    let failed = place.any_json(&launch("tasks", &[]));
    assert!(
        failed["error"]["message"].to_string().contains("task `shaky`"),
        "{failed}"
    );
}

/// What a saga has written that gave everything back.
const UNDONE: &str = "booked room\nbooked train\nbooked guide\ngave guide back\ngave train back\ngave room back\n";

#[test]
fn c2_a_saga_that_fails_is_undone_also_when_it_is_killed_in_the_middle_of_that() {
    let place = Place::new(PROGRAM, &["saga"]);
    let words = launch("saga", &["--fails", "true", "--json"]);
    let (said, left) = survives(&place, &|| {}, &words, &words);
    assert_eq!((&said[0], &said[2]), (&json!("failed"), &json!("full")));
    assert_eq!(left[0], json!({ "bookings.txt": UNDONE }));
}

#[test]
fn c3_a_saga_of_a_cancelled_run_is_undone_also_when_it_is_killed_in_the_middle_of_that() {
    let place = Place::new(PROGRAM, &["saga"]);
    let prepare = || {
        let waiting = place.any_json(&["launch", "--here", "saga", "--id", "it"]);
        assert_eq!(waiting["exit_code"], 40, "{waiting}");
    };
    let cancel = ["cancel", "--here", "it", "--json"];
    let resume = ["resume", "--here", "it", "--json"];
    let log = place.home().with_extension("points");
    prepare();
    let mut logged = place.command(&cancel);
    logged.env("SKILLHOST_FAILPOINT_LOG", &log);
    let (_, expected) = outcome(&place, logged).unwrap();
    assert_eq!(expected[0], json!({ "bookings.txt": UNDONE }));
    let log = std::fs::read_to_string(log).unwrap();
    let performed = log.lines().filter(|point| *point == "driver.before-perform").count();
    assert!(performed >= 6, "three are given back, with two calls each: {performed}");
    for hit in 1..=performed {
        place.forget_runs();
        prepare();
        let mut command = place.command(&cancel);
        command.env("SKILLHOST_FAILPOINT", format!("driver.before-perform:{hit}"));
        assert!(outcome(&place, command).is_none(), "killed at {hit}");
        let (said, left) = outcome(&place, place.command(&resume)).unwrap();
        assert_eq!((&said[0], &left), (&json!("cancelled"), &expected), "{hit}");
    }
}
