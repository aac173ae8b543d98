//! Reading cases: what they can say, and how mistakes in them are told.

#![allow(clippy::unwrap_used, reason = "a test")]

use serde_json::json;

use super::*;

/// The example of the documentation above.
fn example() -> String {
    let source = include_str!("../cases.rs");
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let lines: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let text = lines.join("\n");
    text.split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn the_example_of_the_documentation_is_read_as_it_says() {
    let case = Case::parse(&example()).unwrap();
    assert_eq!(case.input, json!({"topic": "rivers"}));
    assert_eq!(case.answers[0].value, Some(json!({"approve": true, "comment": ""})));
    assert_eq!(case.events[0].name.as_str(), "build-finished");
    assert_eq!(case.effects[0].outcome, Ok(json!({"status": 200})));
    assert_eq!((case.at, case.zone.as_str()), (AT, "Europe/Berlin"));
    assert_eq!(case.expect.calls.unwrap().len(), 3);
    assert_eq!(case.expect.files["error.md"], ExpectedFile::Absent);
    assert_eq!(
        case.expect.inbox.unwrap()[0].title.as_deref(),
        Some("Published: rivers")
    );
    assert!(Script::parse(&case.script.unwrap()).is_ok());
}

#[test]
fn a_mistake_is_told_with_its_line() {
    let said = |text: &str| Case::parse(text).unwrap_err().to_string();
    assert!(said("[expect]\n\n[[reply]]\nlable = \"x\"\n").starts_with("line 3: this reply cannot be used: "));
    assert!(said("input = {}\nexpcet = {}\n").starts_with("line 2: unknown field `expcet`"));
    assert!(said("input = {}\n").contains("missing field `expect`"));
    assert_eq!(
        said("[expect]\nfailure = { code = \"x\" }\n"),
        "line 2: a case with a `failure` has `status = \"failed\"`"
    );
    assert!(said("[expect.files]\nx = { absent = false }\n").starts_with("line 2: "));
    assert_eq!(
        said("[[answer]]\nquestion = \"a\"\n[[answer]]\nquestion = \"a\"\nvalue = 1\nnobody = true\n[expect]\n"),
        "line 3: an answer has a `value` or `nobody = true`, not both"
    );
    assert!(said("at = \"noon\"\n[expect]\n").starts_with("line 1: `noon` is no time: "));
    assert!(said("[[effect]]\ncall = \"x\"\nanswer = 1\nerror = { code = \"y\" }\n[expect]\n").contains("not both"));
    assert_eq!(
        said("version = 9\n[expect]\n"),
        "line 1: version 9 is not known, this host reads version 1"
    );
}

#[test]
fn what_comes_later_has_its_delay_and_a_date_needs_no_quotes() {
    let text = "at = 2026-01-05T09:00:00Z\nnotes = [\"now\", { message = \"later\", delay_ms = 5 }]\n\
                [[event]]\nname = \"go\"\ndelay_ms = 7\n[[answer]]\nquestion = \"q\"\ndelay_ms = 9\n[expect]\n";
    let case = Case::parse(text).unwrap();
    assert_eq!(case.at, AT);
    assert_eq!(case.notes[1].delay, Duration::from_millis(5));
    assert_eq!(case.events[0].delay, Duration::from_millis(7));
    assert_eq!(
        (case.answers[0].delay, &case.answers[0].value),
        (Duration::from_millis(9), &Some(json!(null)))
    );
}

#[test]
fn without_replies_the_skills_own_script_answers() {
    let case = Case::parse("[expect]\noutput_has = { a = 1 }\n").unwrap();
    assert_eq!((case.script, case.input), (None, json!({})));
}
