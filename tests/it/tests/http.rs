//! Requests: only to what was granted, sent again after a crash if they only read, and else once.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::Output;

use serde_json::{Value, json};
use skillhost_it::site::{Site, answer};
use skillhost_it::{Place, result_of, told, was_killed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");
const WAITING: i32 = 40;

const ALL: &str = r#"
[skills.http]
http = [{ host = "http://127.0.0.1:*", methods = ["*"], private = true }]
"#;

/// A server that says what it was asked.
fn server() -> Site {
    Site::start(|request| {
        let line = request.lines().next().unwrap_or_default();
        match line.contains("/away") {
            true => answer("302 Found", "location: http://169.254.169.254/latest\r\n", ""),
            false => answer("200 OK", "", line),
        }
    })
}

fn place() -> Place {
    let place = Place::new(PROGRAM, &["http"]);
    let home = place.state();
    home.make().unwrap();
    skillhost::home::write_whole(&home.grants(), ALL.as_bytes()).unwrap();
    place
}

fn launch(place: &Place, input: &Value) -> std::process::Command {
    let input = input.to_string();
    place.command(&[
        "launch", "--here", "http", "--id", "victim", "--json", "--input", &input,
    ])
}

fn answers(output: &Output) -> Vec<String> {
    serde_json::from_value(result_of(output)["answers"].clone()).unwrap()
}

#[test]
fn a_request_goes_to_what_was_granted_and_nowhere_else() {
    let (place, server) = (place(), server());
    let input = json!({"requests": [
        {"method": "GET", "url": server.url("/here?x=1"), "headers": [["x-one", "1"]]},
        {"method": "POST", "url": server.url("/there")},
        {"method": "GET", "url": server.url("/away")},
        {"method": "GET", "url": "https://example.org/"},
        {"method": "GET", "url": server.url("/").replace("http://", "https://")},
        {"method": "GET", "url": server.url("/"), "headers": [["Host", "example.org"]]},
    ]});
    let output = launch(&place, &input)
        // Whoever would go through it would notice.
        .env("http_proxy", "http://127.0.0.1:1")
        .env("HTTPS_PROXY", "http://127.0.0.1:1")
        .output()
        .unwrap();
    let answers = answers(&output);
    assert_eq!(answers[..2], ["200 GET /here?x=1 HTTP/1.1", "200 POST /there HTTP/1.1"]);
    assert!(
        answers[2].starts_with("denied: http://169.254.169.254 was not granted"),
        "{answers:?}"
    );
    assert!(
        answers[3].starts_with("denied: https://example.org was not granted"),
        "{answers:?}"
    );
    assert!(answers[4].starts_with("denied: https://127.0.0.1:"), "{answers:?}");
    assert!(
        answers[5].starts_with("invalid: a skill may not set the header `Host`"),
        "{answers:?}"
    );
    assert_eq!(server.seen().len(), 3);
    assert!(server.seen()[0].contains("x-one: 1"));
    let run = place.run_of("victim").unwrap();
    assert!(
        server.seen()[1].contains(&format!("idempotency-key: {run}/1")),
        "{:?}",
        server.seen()
    );
    assert!(place.run(&["replay", "victim"]).status.success());
    assert_eq!(server.seen().len(), 3, "a replay sends nothing");
}

#[test]
fn r4_what_only_reads_is_sent_again_after_a_crash_and_about_the_rest_a_person_is_asked() {
    for (method, idempotent, expected) in [
        ("GET", false, 2),
        ("HEAD", false, 2),
        ("POST", false, 1),
        ("PUT", true, 2),
    ] {
        let (place, server) = (place(), server());
        let input = json!({"requests": [{"method": method, "url": server.url("/"), "idempotent": idempotent}]});
        let output = launch(&place, &input)
            .env("SKILLHOST_FAILPOINT", "driver.effect-ended:1")
            .output()
            .unwrap();
        assert!(was_killed(&output), "{method}: {}", told(&output));
        assert_eq!(server.seen().len(), 1);
        let output = launch(&place, &input).output().unwrap();
        assert_eq!(server.seen().len(), expected, "{method}: {}", told(&output));
        assert_eq!(
            output.status.code() == Some(WAITING),
            expected == 1,
            "{method}: {}",
            told(&output)
        );
        let keys: Vec<String> = server
            .seen()
            .iter()
            .filter_map(|request| Some(request.split_once("idempotency-key: ")?.1.lines().next()?.to_owned()))
            .collect();
        if method == "PUT" {
            assert_eq!(keys[0], keys[1]);
        }
    }
}
