//! Guests that mean harm, each a file of `tests/hostile`: the host survives every one of them, says the right thing of it, and goes on serving another run meanwhile.

#![allow(clippy::unwrap_used, reason = "a test")]

mod files;
mod text;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use skillhost_it::{Place, told, workspace};
use text::{End, Hostile};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

/// The groups in which the guests are tried, each with a test.
const GROUPS: &[&str] = &["time", "room", "calls", "words", "describe", "load", "memory"];

/// What the guests are held to. Where it says nothing, the host's own limits are.
const CONFIG: &str = "\
[worker]
runs = 4
[limits]
memory_mib = 256
describe_seconds = 1
log_lines = 1000
";

/// The skill that has nothing to do with them, and what it is.
const NEIGHBOUR: &str = "neighbour";
const HARMLESS: &str = ";; group: none\n(component (;memory;) (;skill;))";

/// Returns every guest.
fn guests() -> Vec<Hostile> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(workspace().join("tests/hostile"))
        .unwrap()
        .map(|found| found.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| Hostile::read(path)).collect()
}

/// Tries each guest of a group beside a run that has nothing to do with it.
fn besiege(group: &str) {
    let place = Place::new(PROGRAM, &[]);
    std::fs::create_dir_all(place.home()).unwrap();
    // What ends by something else must not end by this because the machine is busy.
    let seconds = if group == "time" { 1 } else { 60 };
    let compiling = match group {
        "memory" => "compile_mib = 256",
        _ => "compile_seconds = 15",
    };
    let config = format!("{CONFIG}computing_seconds = {seconds}\n{compiling}\n");
    std::fs::write(place.home().join("config.toml"), config).unwrap();
    install(&place, NEIGHBOUR, &Hostile::of(NEIGHBOUR, HARMLESS).component());
    place.json(&["launch", NEIGHBOUR, "--await"]);
    let daemon = place.daemon_pid().unwrap();
    let of_group: Vec<Hostile> = guests().into_iter().filter(|guest| guest.group == group).collect();
    assert!(!of_group.is_empty());
    let mut mistakes = Vec::new();
    for guest in &of_group {
        install(&place, &guest.name, &guest.component());
        let mut launch = place.command(&["launch", &guest.name, "--id", &guest.name, "--json"]);
        let launched = launch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let other = place.run(&["launch", NEIGHBOUR, "--await", "--json"]);
        if !other.status.success() {
            mistakes.push(format!("{}: nobody else was served: {}", guest.name, told(&other)));
        }
        let launched = launched.wait_with_output().unwrap();
        let ended = match serde_json::from_slice::<Value>(&launched.stdout) {
            Ok(envelope) if envelope["ok"] == true => place.any_json(&["wait", &guest.name, "--for", "100s"]),
            Ok(envelope) => envelope,
            Err(_) => Value::from(told(&launched)),
        };
        mistakes.extend(judge(guest, &ended).map(|why| format!("{}: {why}: {}", guest.name, cut(&ended))));
        if place.daemon_pid() != Some(daemon) {
            mistakes.push(format!("{}: the daemon did not survive it", guest.name));
            break;
        }
        // What was said of it can be shown.
        let shown = place.run(&["logs", &guest.name]);
        if shown
            .stdout
            .iter()
            .any(|byte| *byte < b' ' && !matches!(byte, b'\n' | b'\t'))
        {
            mistakes.push(format!("{}: its log moves the cursor", guest.name));
        }
    }
    let listed = place.run(&["skills"]);
    assert!(listed.status.success(), "{}", told(&listed));
    let faults = std::fs::read_to_string(place.state().faults()).unwrap_or_default();
    assert_eq!(faults, "", "the host panicked");
    assert!(mistakes.is_empty(), "\n{}", mistakes.join("\n"));
}

fn install(place: &Place, name: &str, component: &[u8]) {
    let folder = place.skills().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("skill.wasm"), component).unwrap();
}

/// Says what is wrong with how a guest ended.
fn judge(guest: &Hostile, ended: &Value) -> Option<String> {
    let code = ended["error"]["code"].as_str();
    let was_launched = ended["run_id"].is_string();
    let found = match (code, was_launched) {
        (None, _) if ended["status"] == "done" => End::Done,
        (None, _) => return Some("it ended in no way that is known".to_owned()),
        (Some(code), true) => End::Fails(code.to_owned()),
        (Some(code), false) => End::Refused(code.to_owned()),
    };
    if !is_as_expected(&guest.end, &found) {
        return Some(format!("expected {:?}, found {found:?}", guest.end));
    }
    let text = ended.to_string();
    let error = &ended["error"];
    let has_words = |member: &str| error[member].as_str().is_some_and(|words| !words.is_empty());
    if code.is_some() && !(has_words("message") && has_words("hint")) {
        return Some("it is not said what happened, or not what to do".to_owned());
    }
    let unsaid = guest.says.iter().find(|says| !text.contains(*says))?;
    Some(format!("it does not say {unsaid:?}"))
}

/// Compares two ends; of a long code, the beginning.
fn is_as_expected(expected: &End, found: &End) -> bool {
    match (expected, found) {
        (End::Fails(expected), End::Fails(found)) => match expected.strip_suffix('…') {
            Some(begins) => found.starts_with(begins),
            None => expected == found,
        },
        _ => expected == found,
    }
}

fn cut(value: &Value) -> String {
    let text = value.to_string();
    text[..text.floor_char_boundary(1_500)].to_owned()
}

#[test]
fn g9_guests_that_never_end_are_stopped() {
    besiege("time");
}

#[test]
fn g9_guests_that_take_all_room_are_given_what_they_may_have() {
    besiege("room");
}

#[test]
fn g9_guests_that_ask_without_end_are_stopped() {
    besiege("calls");
}

#[test]
fn guests_that_say_what_nobody_can_read_are_told_so() {
    besiege("words");
}

#[test]
fn guests_that_describe_themselves_as_a_trap_are_not_launched() {
    besiege("describe");
}

#[test]
fn components_that_are_a_burden_to_load_are_refused_or_run() {
    besiege("load");
}

#[test]
fn a_component_that_takes_too_much_memory_to_compile_is_refused() {
    besiege("memory");
}

#[test]
fn json_that_nests_a_hundred_thousand_times_is_refused_wherever_it_is_given() {
    let place = Place::new(PROGRAM, &["waits"]);
    install(&place, NEIGHBOUR, &Hostile::of(NEIGHBOUR, HARMLESS).component());
    place.json(&["launch", NEIGHBOUR, "--await"]);
    let daemon = place.daemon_pid();
    place.json(&["launch", "waits", "--id", "waits"]);
    let lists = "[".repeat(100_000) + &"]".repeat(100_000);
    let objects = "{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000);
    for deep in [&lists, &objects] {
        std::fs::write(place.user_folder().join("deep.json"), deep).unwrap();
        for words in [
            &["launch", "waits", "--input", "-", "--json"][..],
            &["launch", "waits", "--input", "@deep.json", "--json"],
            &["launch", "waits", "--name", "@deep.json", "--n", "1", "--json"],
            &["signal", "waits", "go", "--input", "@deep.json", "--json"],
            &["signal", "waits", "go", "--input", "-", "--json"],
        ] {
            let mut command = place.command(words);
            let file = std::fs::File::open(place.user_folder().join("deep.json")).unwrap();
            let output = command.stdin(file).output().unwrap();
            let envelope: Value = serde_json::from_slice(&output.stdout).unwrap();
            let error = &envelope["error"];
            assert!(
                error["code"].is_string() && error["hint"].is_string(),
                "{words:?}: {}",
                told(&output)
            );
            assert!(output.status.code() == Some(10), "{words:?}: {}", told(&output));
        }
        assert!(place.run(&["launch", NEIGHBOUR, "--await", "--json"]).status.success());
    }
    assert_eq!(place.daemon_pid(), daemon);
}

#[test]
fn an_end_that_nobody_can_read_is_no_good_end() {
    let harmless = Hostile::of(NEIGHBOUR, HARMLESS);
    let is_wrong = |ended: Value| judge(&harmless, &ended).is_some();
    assert!(is_wrong("thread 'main' panicked".into()));
    assert!(is_wrong(serde_json::json!({"ok": true, "run_id": "r"})));
    assert!(!is_wrong(
        serde_json::json!({"ok": true, "run_id": "r", "status": "done"})
    ));
}

#[test]
fn every_hostile_guest_is_in_a_group_that_is_tried() {
    let tried: BTreeSet<&str> = GROUPS.iter().copied().collect();
    let guests = guests();
    let groups: BTreeSet<&str> = guests.iter().map(|guest| guest.group.as_str()).collect();
    assert_eq!(groups, tried);
}
