//! What the skills that ship tell an agent of themselves is what their components say.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;

use skillhost_it::{Place, workspace};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

const SHIPPED: [&str; 3] = ["code-review", "deep-research", "hello-world"];

#[test]
fn the_skills_that_ship_tell_how_they_are_run() {
    let place = Place::new(PROGRAM, &[]);
    for skill in SHIPPED {
        place.install(skill, &skillhost_it::guests().skills().join(skill).join("skill.wasm"));
        let document = workspace().join("skills").join(skill).join("SKILL.md");
        let written = place.skills().join(skill).join("SKILL.md");
        fs::copy(&document, &written).unwrap();
        place.json(&["skills", "--write-doc", skill]);
        assert_eq!(
            fs::read_to_string(&document).unwrap(),
            fs::read_to_string(&written).unwrap(),
            "copy what `skillhost skills --write-doc {skill}` writes"
        );
    }
}

#[test]
fn a_document_that_does_not_tell_how_its_skill_is_run_is_told_and_mended() {
    let place = Place::new(PROGRAM, &["steps"]);
    let remarks = || place.json(&["skills"])["skills"][0]["remarks"].to_string();
    assert!(remarks().contains("does not tell how to run it"), "{}", remarks());
    place.json(&["skills", "--write-doc", "steps"]);
    assert_eq!(remarks(), "null");
    let document = place.skills().join("steps/SKILL.md");
    let text = fs::read_to_string(&document).unwrap();
    assert!(text.starts_with("---\nname: steps\n"), "{text}");
    fs::write(
        &document,
        text.replace("## How to run it", "## How it was run") + "\nBy its author.\n",
    )
    .unwrap();
    assert!(remarks().contains("tells of another version"), "{}", remarks());
    place.json(&["skills", "--write-doc", "steps"]);
    assert_eq!(fs::read_to_string(&document).unwrap(), text + "\nBy its author.\n");
}
