//! Secrets: stored by a person, granted for a host or a program, told to these, and seen by nobody else.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::Output;

use serde_json::{Value, json};
use skillhost_it::site::Site;
use skillhost_it::{Place, result_of, told};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");
const NEEDS_A_PERSON: i32 = 20;
const SITE: &str = "site-s3cret-7f3a";
const OTHER: &str = "another-s3cret-91c2";

fn launch(place: &Place, id: &str, deeds: &Value) -> Output {
    let input = json!({ "deeds": deeds }).to_string();
    place
        .command(&["launch", "--here", "reaches", "--id", id, "--json", "--input", &input])
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap()
}

fn came(output: &Output) -> Vec<String> {
    serde_json::from_value(result_of(output)["came"].clone()).unwrap()
}

#[test]
fn a_secret_is_granted_and_stored_by_a_person_told_to_whom_it_is_for_and_seen_by_nobody_else() {
    let (place, site) = (Place::new(PROGRAM, &["reaches"]), Site::echo());
    let shown = told(
        &place
            .at_a_terminal(&["allow this", "y"], &["grant", "reaches"])
            .output()
            .unwrap(),
    );
    assert!(
        shown.contains("run the program sh, given the variables TOKEN, told the secret program-token"),
        "{shown}"
    );
    assert!(
        shown.contains("hint: `skillhost secret set site-token` stores it"),
        "{shown}"
    );
    let deeds = json!([
        {"send": ["POST", site.url("/"), [["authorization", "Bearer {{secret:site-token}}"]]]},
        {"shell": ["printf \"it is $TOKEN\"", "{{secret:program-token}}"]},
        {"shell": ["true", "{{secret:site-token}}"]},
        {"send": ["GET", site.url("/?{{secret:site-token}}"), []]},
    ]);
    let before = came(&launch(&place, "before", &deeds));
    assert!(
        before[0].starts_with("denied: no secret `site-token` is stored: `skillhost secret set site-token`"),
        "{before:?}"
    );
    assert_eq!(site.seen().len(), 0);
    let doctor = told(&place.run(&["doctor"]));
    assert!(
        doctor.contains("`site-token` was granted to a skill and is not stored"),
        "{doctor}"
    );

    for (name, value) in [("site-token", SITE), ("program-token", OTHER)] {
        let set = ["secret", "set", name];
        // Whoever is no person does not store one.
        let refused = place.run(&set);
        assert_eq!(refused.status.code(), Some(NEEDS_A_PERSON), "{}", told(&refused));
        let typed = format!("secret:{value}");
        let shown = place
            .at_a_terminal(&["which is not shown", &typed], &set)
            .output()
            .unwrap();
        assert!(
            shown.status.success() && !told(&shown).contains(value),
            "{}",
            told(&shown)
        );
    }
    let output = launch(&place, "after", &deeds);
    let after = came(&output);
    assert!(
        after[0].contains("authorization: Bearer {{secret:site-token}}"),
        "{after:?}"
    );
    assert!(
        site.seen()[0].contains(&format!("authorization: Bearer {SITE}\r\n")),
        "{:?}",
        site.seen()
    );
    assert_eq!(after[1], "Some(0) it is {{secret:program-token}} ");
    assert!(
        after[2].starts_with("denied: the secret `site-token` was not granted for the program `sh`"),
        "{after:?}"
    );
    assert!(
        after[3].starts_with("invalid: a secret is filled in where a header names it"),
        "{after:?}"
    );
    assert_eq!(site.seen().len(), 1);
    let list = place.json(&["secret", "list"]);
    assert_eq!(list["secrets"][1]["told"][0]["by"], json!("reaches"), "{list}");

    // What is recorded does not depend on the value.
    std::fs::remove_file(place.home().join("secrets.toml")).unwrap();
    assert!(place.run(&["replay", "after"]).status.success());
    assert_eq!(site.seen().len(), 1);
}

#[test]
fn a_secret_that_is_revoked_while_a_run_goes_on_is_told_to_nobody_any_more() {
    let (place, site) = (Place::new(PROGRAM, &["reaches"]), Site::echo());
    place.state().make().unwrap();
    let grants = "[skills.reaches]\nprocess = [{ program = \"sh\", environment = [\"TOKEN\"], secrets = [\"program-token\"] }]\n\
        http = [{ host = \"http://127.0.0.1:*\", methods = [\"*\"], private = true, secrets = [\"site-token\"] }, \
        { host = \"example.org\", methods = [\"GET\", \"HEAD\"] }]\n";
    let put = |file: std::path::PathBuf, text: &str| skillhost::home::write_whole(&file, text.as_bytes()).unwrap();
    put(place.state().grants(), grants);
    put(place.state().secrets(), &format!("[site-token]\nkey = \"{SITE}\"\n"));
    let header = json!([["x-token", "{{secret:site-token}}"]]);
    let deeds = json!([
        {"send": ["GET", site.url("/one"), header]},
        {"wait": "go"},
        {"send": ["GET", site.url("/two"), header]},
        {"send": ["GET", site.url("/three"), []]},
    ]);
    let waiting = launch(&place, "run", &deeds);
    assert_eq!(waiting.status.code(), Some(40), "{}", told(&waiting));
    put(
        place.state().grants(),
        &grants.replace(", secrets = [\"site-token\"]", ""),
    );
    let signalled = place.run(&["signal", "run", "go", "--input", "\"on\"", "--here", "--json"]);
    assert!(signalled.status.success(), "{}", told(&signalled));
    let done = place.run(&["resume", "run", "--here", "--json"]);
    let came = came(&done);
    assert!(
        came[2].starts_with("denied: the secret `site-token` was not granted"),
        "{came:?}"
    );
    assert!(came[2].contains("was revoked since"), "{came:?}");
    assert!(came[3].starts_with("200 "), "{came:?}");
    assert_eq!(site.seen().len(), 2);
}
