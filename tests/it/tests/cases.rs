//! Skills are tested with cases: played without a clock, a model or a network, killed wherever they could be, and told where they differ.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use skillhost_it::{Place, guests, told, workspace};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

const INVALID: i32 = 10;
const FAILED: i32 = 30;

/// Gives an installed skill a case.
fn case(place: &Place, skill: &str, name: &str, text: &str) {
    let folder = place.skills().join(skill).join("tests");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{name}.toml")), text).unwrap();
}

/// Plays the cases of an installed skill, which have to pass, and returns them.
fn passed(place: &Place, words: &[&str]) -> Vec<Value> {
    let tested = place.any_json(&[&["test"], words].concat());
    assert_eq!(tested["exit_code"], json!(0), "{tested:#}");
    tested["cases"].as_array().unwrap().clone()
}

/// Plays the cases of an installed skill, some of which have to fail, and returns what people are told.
fn failed(place: &Place, words: &[&str]) -> String {
    let output = place.run(&[&["test"], words].concat());
    assert_eq!(output.status.code(), Some(FAILED), "{}", told(&output));
    let told = [output.stdout, output.stderr].concat();
    String::from_utf8(told).unwrap()
}

fn kills(cases: &[Value]) -> u64 {
    cases.iter().map(|case| case["kills"].as_u64().unwrap()).sum()
}

/// Tests a skill of this repository as it is built, with the cases of its source.
fn shipped(skill: &str) -> Vec<Value> {
    let place = Place::new(PROGRAM, &[]);
    let folder = place.skills().join(skill);
    place.install(skill, &guests().component(skill));
    let source = workspace().join("skills").join(skill);
    for below in ["prompts", "tests"] {
        copy(&source.join(below), &folder.join(below));
    }
    fs::copy(source.join("offline.toml"), folder.join("offline.toml")).unwrap();
    passed(&place, &[skill, "--crash"])
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

#[test]
fn what_other_skills_answer_is_said_by_the_case_wherever_the_host_is_killed() {
    let place = Place::new(PROGRAM, &["calls"]);
    let text = r#"
input = { calls = [{ skill = "fanout", input = { calls = 3 } }, { skill = "fails", input = {} }], asks = 1 }

[[reply]]
text = "done"

[[effect]]
call = "fanout"
answer = { order = [0, 1, 2] }
delay_ms = 60_000

[[effect]]
call = "fails"
error = { code = "failed", message = "nobody wants that" }

[expect]
output_has = { below = 0 }
calls = ["fanout", "fails", "model.complete"]
"#;
    case(&place, "calls", "two", text);
    let cases = passed(&place, &["calls", "--crash"]);
    assert!(kills(&cases) > 10, "{cases:?}");
    case(
        &place,
        "calls",
        "two",
        &text.replace(r#"call = "fails""#, r#"call = "other""#),
    );
    let told = failed(&place, &["calls"]);
    assert!(
        told.contains("the case does not say what `skills.call` answers"),
        "{told}"
    );
}

#[test]
fn the_cases_of_hello_world_pass_wherever_it_is_killed() {
    let cases = shipped("hello-world");
    assert_eq!(cases.len(), 3);
    assert!(kills(&cases) > 20, "{cases:?}");
}

#[test]
fn the_cases_of_deep_research_pass_wherever_it_is_killed() {
    let cases = shipped("deep-research");
    assert_eq!(cases.len(), 3);
    assert!(kills(&cases) > 60, "{cases:?}");
}

#[test]
fn the_cases_of_code_review_pass_wherever_it_is_killed() {
    let cases = shipped("code-review");
    assert_eq!(cases.len(), 4);
    assert!(kills(&cases) > 30, "{cases:?}");
}

#[test]
fn a_skill_that_sleeps_for_a_year_is_tested_at_once() {
    let place = Place::new(PROGRAM, &["waits"]);
    let text = "input = { what = \"time\", ms = 31_536_000_000, times = 3 }\n[expect]\noutput = { came = [\"slept\", \"slept\", \"slept\"] }\n";
    case(&place, "waits", "years", text);
    let cases = passed(&place, &["waits", "--crash"]);
    assert!(kills(&cases) >= 7, "{cases:?}");
}

#[test]
fn people_and_other_programs_say_what_the_case_says_and_otherwise_time_passes() {
    let place = Place::new(PROGRAM, &["waits"]);
    case(
        &place,
        "waits",
        "answers",
        "input = { what = \"answer\", times = 3, ms = 3_600_000 }\n\
         [[answer]]\nquestion = \"go\"\nvalue = { approve = true, comment = \"yes\" }\n\
         [[answer]]\nquestion = \"go\"\nnobody = true\n\
         [[answer]]\nquestion = \"go\"\nvalue = { approve = true, comment = \"late\" }\n\
         [expect]\ncalls = [\"signals.ask\", \"signals.ask\", \"signals.ask\"]\n\
         output = { came = [{ approve = true, comment = \"yes\" }, { approve = false, comment = \"\" }, { approve = true, comment = \"late\" }] }\n",
    );
    case(
        &place,
        "waits",
        "events",
        "input = { what = \"event\", times = 2, ms = 1000 }\n\
         [[event]]\nname = \"go\"\nvalue = 1\n\
         [expect]\noutput = { came = [1, \"nothing\"] }\n",
    );
    let cases = passed(&place, &["waits", "--crash"]);
    assert_eq!(cases.len(), 2);
}

#[test]
fn r4_what_is_done_at_most_once_is_done_once_wherever_the_run_is_killed() {
    let place = Place::new(PROGRAM, &["acts"]);
    let text = "input = { names = [\"first\", \"second\"], parallel = true, ask = true }\n\
                [[reply]]\ntext = \"go\"\n\
                [[effect]]\ncall = \"first\"\nanswer = \"one\"\n\
                [[effect]]\ncall = \"second\"\nerror = { code = \"failed\", message = \"no room\" }\n\
                [expect]\noutput_has = { answers = [\"one\", \"failed: failed: no room\"] }\n";
    case(&place, "acts", "both", text);
    let tested = place.any_json(&["test", "acts", "--crash"]);
    let problems = &tested["cases"][0]["problems"];
    assert_eq!(*problems, json!([]), "{problems:#}");
    assert!(tested["cases"][0]["kills"].as_u64() > Some(10));
    // Nothing was really done.
    assert!(place.server.counts().acts.is_empty());
}

#[test]
fn what_the_sdk_offers_comes_out_the_same_wherever_it_is_killed() {
    let place = Place::new(
        PROGRAM,
        &["agent", "tasks", "continues", "notes", "determinism", "timeout_drop"],
    );
    let cases = [
        (
            "agent",
            "[[reply]]\nlabel = \"agent: turn 1\"\nblocks = [{ tool_call = { id = \"t1\", name = \"write\", input = { path = \"a.md\", text = \"A poem\" } } }]\n\
             [[reply]]\nlabel = \"agent: turn 2\"\nblocks = [{ tool_call = { id = \"t2\", name = \"read\", input = { path = \"a.md\" } } }]\n\
             [[reply]]\nlast = \"A poem\"\njson = { text = \"done\" }\n\
             [expect]\noutput = { text = \"done\" }\n[expect.files]\n\"a.md\" = \"A poem\"\n",
        ),
        (
            "tasks",
            "input = { settled = true }\n\
             [[reply]]\nlabel = \"shaky\"\nerror = { code = \"failed\", message = \"no\" }\n\
             [[reply]]\nlabel = \"left\"\ntext = \"l\"\ndelay_ms = 900\n\
             [[reply]]\nlabel = \"right\"\ntext = \"r\"\n\
             [[reply]]\nlabel = \"instead\"\ntext = \"i\"\n\
             [expect]\noutput_has = { failed = [\"shaky: failed\"] }\ninbox = [{ title = \"The report is ready\" }]\n[expect.files]\n\"report.md\" = \"l\\nr\"\n",
        ),
        (
            "continues",
            "input = { round = 3 }\n[[reply]]\ntext = \"Round three.\"\n\
             [expect]\nstatus = \"continued\"\noutput = { round = 4, seen = [\"Round three.\"], waits = false }\n",
        ),
        (
            "notes",
            "notes = [\"be brief\", \"be kind\"]\n[[event]]\nname = \"go\"\n\
             [expect]\noutput = { notes = [[\": be brief\", \": be kind\"]] }\n",
        ),
        (
            "determinism",
            "at = \"2026-03-29T00:59:59.999Z\"\n[[reply]]\nlabel = \"* again\"\ntext = \"b\"\ndelay_ms = 5\n[[reply]]\ntext = \"a\"\ndelay_ms = 7\n[expect]\n",
        ),
        (
            "timeout-drop",
            "[[effect]]\ncall = \"slow\"\nanswer = \"too late\"\ndelay_ms = 10_000\n[[reply]]\ntext = \"yes\"\n\
             [expect]\noutput = { act = \"timeout\", answers = [\"yes\", \"yes\"] }\n",
        ),
    ];
    for (skill, text) in cases {
        case(&place, skill, "it", text);
        let cases = passed(&place, &[skill, "--crash"]);
        assert!(kills(&cases) >= 3, "{skill}: {cases:?}");
    }
}

#[test]
fn what_is_added_to_files_and_undone_is_there_once_wherever_the_run_is_killed() {
    let place = Place::new(PROGRAM, &["saga"]);
    let text = "input = { fails = true }\n\
                [[reply]]\nlabel = \"give * back\"\nturns = [{ text = \"yes\", delay_ms = 70 }, { text = \"yes\" }, { text = \"yes\" }]\n\
                [expect]\nstatus = \"failed\"\nfailure = { code = \"full\" }\n\
                [expect.files]\n\"bookings.txt\" = \"booked room\\nbooked train\\nbooked guide\\n\
                gave guide back\\ngave train back\\ngave room back\\n\"\n";
    case(&place, "saga", "undone", text);
    let cases = passed(&place, &["saga", "--crash"]);
    assert!(kills(&cases) > 30, "{cases:?}");
}

#[test]
fn a_case_that_fits_no_longer_is_told_in_words_with_its_lines() {
    let place = Place::new(PROGRAM, &["approval"]);
    let good = "input = { topic = \"rivers\" }\n\
                [[reply]]\nlabel = \"draft*\"\ntext = \"Rivers are long.\"\n\
                [[reply]]\nlabel = \"announce\"\ntext = \"Read.\"\n\
                [[answer]]\nquestion = \"publish\"\nvalue = { approve = true, comment = \"\" }\n\
                [expect]\n";
    case(&place, "approval", "good", good);
    let cases = passed(&place, &["approval"]);
    insta::assert_json_snapshot!("a_case_that_passes", cases);
    fs::remove_dir_all(place.skills().join("approval/tests")).unwrap();
    let files = [
        ("a-reply", good.replace("draft*", "darft")),
        ("b-answer", good.replace("approve = true", "approve = 7")),
        (
            "c-unsaid",
            good.replace("[[answer]]\nquestion = \"publish\"", "[[answer]]\nquestion = \"other\""),
        ),
        ("d-calls", format!("{good}calls = [\"draft\", \"never\"]\n")),
        ("e-output", format!("{good}output = {{ published = false }}\n")),
        ("f-files", format!("{good}[expect.files]\n\"none.md\" = \"x\"\n")),
        ("g-inbox", format!("{good}inbox = [{{ title = \"Other\" }}, {{}}]\n")),
        ("h-status", format!("{good}status = \"failed\"\n")),
        (
            "i-event",
            good.replacen("[[reply]]", "[[event]]\nname = \"go\"\n[[reply]]", 1),
        ),
        ("j-torn", "input = {\n".to_owned()),
        ("k-input", good.replace("topic", "topci")),
    ];
    for (name, text) in &files {
        case(&place, "approval", name, text);
    }
    let told = files
        .iter()
        .map(|(name, _)| failed(&place, &["approval", "--only", name]));
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n----\n"));
    let all = place.any_json(&["test", "approval", "--only", "[a-e]*", "--only", "d*", "--only", "e*"]);
    assert_eq!(all["error"]["code"], json!("case_failed"), "{all}");
    assert_eq!(all["cases"].as_array().unwrap().len(), 2);
    assert_eq!(
        all["cases"][0]["problems"][0]["place"],
        json!("tests/d-calls.toml:12:1"),
        "{all}"
    );
}

#[test]
fn a_recorded_run_is_a_case_that_passes_and_takes_the_place_of_no_other() {
    let place = Place::new(PROGRAM, &["waits", "fanout"]);
    let launched = place.any_json(&[
        "launch", "waits", "--what", "answer", "--times", "2", "--ask", "true", "--id", "asked",
    ]);
    let run = launched["run_id"].as_str().unwrap();
    for comment in ["first \"\"\" of\\ntwo lines", "second"] {
        let waiting = place.any_json(&["wait", run, "--for", "100s"]);
        let call = waiting["waits"][0]["call"].as_u64().unwrap();
        let answer = json!({"approve": true, "comment": comment}).to_string();
        place.json(&["answer", &format!("{run}#{call}"), "--input", &answer]);
    }
    // One that is not over makes no case yet.
    place.json(&["wait", run, "--for", "100s"]);
    let made = place.json(&["test", "waits", "--record", "asked"]);
    assert_eq!(made["path"], json!(place.skills().join("waits/tests/asked.toml")));
    assert_eq!(passed(&place, &["waits", "--crash"]).len(), 1);
    let again = place.any_json(&["test", "waits", "--record", "asked"]);
    assert_eq!(again["error"]["code"], json!("exists"), "{again}");
    assert_eq!(again["exit_code"], json!(INVALID));
    place.json(&["test", "waits", "--record", run, "--as", "other"]);
    assert_eq!(passed(&place, &["waits"]).len(), 2);
    // What went on at once came in an order of its own.
    place.json(&[
        "launch",
        "fanout",
        "--calls",
        "12",
        "--limit",
        "5",
        "--follow_up",
        "--await",
        "--id",
        "fanned",
    ]);
    place.json(&["test", "fanout", "--record", "fanned"]);
    let cases = passed(&place, &["fanout", "--crash"]);
    assert!(kills(&cases) > 10, "{cases:?}");
}

#[test]
fn what_came_late_in_a_recorded_run_comes_late_in_its_case() {
    let place = Place::new(PROGRAM, &["waits", "notes"]);
    place.json(&[
        "launch", "waits", "--what", "event", "--times", "3", "--ms", "1500", "--id", "late",
    ]);
    // The second wait is over, or the third: what the run saw is what its case shows.
    place.until(|| place.run_of("late").is_some_and(|run| place.answered(&run).len() == 1));
    place.json(&["signal", "late", "go", "--input", "7"]);
    let run = place.run_of("late").unwrap();
    place.until(|| place.status_of(&run) == "done");
    place.json(&["test", "waits", "--record", "late"]);
    place.json(&["launch", "notes", "--times", "2", "--id", "noted"]);
    for note in ["first", "second"] {
        place.json(&["inject", "noted", "--message", note]);
        place.json(&["signal", "noted", "go"]);
        let answered = if note == "first" { 2 } else { 4 };
        place.until(|| {
            place
                .run_of("noted")
                .is_some_and(|run| place.answered(&run).len() >= answered)
        });
    }
    place.json(&["wait", "noted", "--for", "100s"]);
    place.json(&["test", "notes", "--record", "noted"]);
    for skill in ["waits", "notes"] {
        assert_eq!(passed(&place, &[skill, "--crash"]).len(), 1);
    }
}

#[test]
fn a_script_that_fails_at_first_fails_as_often_however_the_run_is_killed() {
    let place = Place::new(PROGRAM, &["steps"]);
    let text = "input = { n = 2 }\n[[reply]]\nerror = { code = \"overloaded\", times = 2 }\ntext = \"at last\"\ndelay_ms = 90_000\n\
                [expect]\noutput_has = { last = \"at last\" }\n";
    case(&place, "steps", "overloaded", text);
    let cases = passed(&place, &["steps", "--crash"]);
    assert!(kills(&cases) > 15, "{cases:?}");
}

#[test]
fn a_run_that_lets_another_begin_is_compared_by_what_that_one_is_given() {
    let place = Place::new(PROGRAM, &["continues"]);
    let first = place.json(&["launch", "continues", "--rounds", "2", "--id", "rounds"])["run_id"].clone();
    place.until(|| {
        place
            .run_of("rounds")
            .is_some_and(|run| place.status_of(&run) == "done")
    });
    place.json(&[
        "test",
        "continues",
        "--record",
        first.as_str().unwrap(),
        "--as",
        "first",
    ]);
    assert_eq!(passed(&place, &["continues"]).len(), 1);
    let file = place.skills().join("continues/tests/first.toml");
    let recorded = fs::read_to_string(&file).unwrap();
    assert!(recorded.contains("round = 1"), "{recorded}");
    fs::write(&file, recorded.replace("round = 1", "round = 8")).unwrap();
    let told = failed(&place, &["continues"]);
    assert!(told.contains("- round: 8\n+ round: 1"), "{told}");
}

#[test]
fn a_case_is_recorded_where_it_belongs() {
    let place = Place::new(PROGRAM, &["waits", "steps"]);
    place.json(&["launch", "steps", "--n", "1", "--await", "--id", "one"]);
    let said = |words: &[&str]| {
        place.any_json(words)["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let other = said(&["test", "waits", "--record", "one"]);
    assert!(
        other.ends_with("it is of skill `steps`, and this is `waits`"),
        "{other}"
    );
    let installed = place.user_folder().join("other-skills");
    let from = place.skills().join("steps/skill.wasm");
    place.json(&[
        "install",
        from.to_str().unwrap(),
        "--name",
        "steps",
        "--skills-dir",
        installed.to_str().unwrap(),
    ]);
    let lost = said(&["test", installed.join("steps").to_str().unwrap(), "--record", "one"]);
    assert!(lost.contains("is replaced by the next `install`"), "{lost}");
    for name in ["../up", ".hidden", "a b", ""] {
        let named = place.any_json(&["test", "steps", "--record", "one", "--as", name]);
        assert_eq!(named["error"]["code"], json!("bad_name"), "{named}");
    }
    place.json(&["test", "steps", "--record", "one", "--as", "named.toml"]);
    assert!(place.skills().join("steps/tests/named.toml").is_file());
    fs::write(place.skills().join("steps/tests/.#named.toml"), "an editor's").unwrap();
    assert_eq!(passed(&place, &["steps"]).len(), 1);
}

#[test]
fn a_run_of_which_no_case_can_be_made_is_refused_in_words() {
    let place = Place::new(PROGRAM, &["waits"]);
    place.json(&["launch", "waits", "--id", "open"]);
    place.any_json(&["wait", "open", "--for", "100s"]);
    let said = |run: &str| {
        let refused = place.any_json(&["test", "waits", "--record", run]);
        assert_eq!(refused["exit_code"], json!(INVALID), "{refused}");
        refused["error"]["message"].as_str().unwrap().to_owned()
    };
    assert!(said("open").ends_with("it is not over"), "{}", said("open"));
    place.json(&["cancel", "open"]);
    place.any_json(&["wait", "open", "--for", "100s"]);
    assert!(said("open").contains("it was cancelled"), "{}", said("open"));
    assert!(said("none").contains("none"), "{}", said("none"));
    let nothing = place.any_json(&["test", "waits"]);
    assert_eq!(nothing["error"]["code"], json!("no_cases"), "{nothing}");
}
