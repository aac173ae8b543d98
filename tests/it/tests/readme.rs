//! Every command in the README, and on the page for a first skill, works as written: its shell blocks are run, in order, by a shell that stops at the first that fails.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::process::Command;

use skillhost_it::author::Author;
use skillhost_it::{Place, guests, told, workspace};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

/// Returns the blocks of a Markdown text that are marked as a shell's.
fn shell_blocks(markdown: &str) -> Vec<&str> {
    let after = markdown.split("```sh\n").skip(1);
    after.map(|block| block.split("```").next().unwrap()).collect()
}

/// Makes a repository with a change in it, as somebody who asks for a review has.
fn repository(folder: &Path) {
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(words)
            .current_dir(folder);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", told(&output));
    };
    git(&["init", "--quiet"]);
    std::fs::write(folder.join("main.rs"), "fn main() {}\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "first"]);
    std::fs::write(
        folder.join("main.rs"),
        "fn main() {\n    let list: Vec<u8> = vec![];\n    println!(\"{}\", list[0]);\n}\n",
    )
    .unwrap();
}

#[test]
fn every_command_in_the_readme_works_as_written() {
    let folder = tempfile::tempdir().unwrap();
    repository(folder.path());
    let programs = folder.path().join("bin");
    std::fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(PROGRAM, programs.join("skillhost")).unwrap();
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let blocks = shell_blocks(&readme);
    assert!(blocks.len() >= 3, "the README shows how to use it");
    for block in blocks {
        let output = Command::new("sh")
            .args(["-eu", "-c", block])
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display()))
            .env("HOME", folder.path())
            .env("SKILLHOST_SKILLS", guests().skills())
            .output()
            .unwrap();
        assert!(output.status.success(), "{block}\n{}", told(&output));
    }
}

#[test]
fn a_first_skill_goes_from_an_empty_directory_to_an_installed_one_as_its_page_says() {
    let place = Place::new(PROGRAM, &[]);
    let author = Author::new(&place, env!("CARGO_TARGET_TMPDIR"), "first-skill");
    let folder = author.folder();
    let programs = folder.join("bin");
    std::fs::create_dir_all(&programs).unwrap();
    std::os::unix::fs::symlink(PROGRAM, programs.join("skillhost")).unwrap();
    let page = std::fs::read_to_string(workspace().join("guest-sdk/README.md")).unwrap();
    // One shell for all of them: its reader has one, too.
    let script = shell_blocks(&page).concat();
    let mut shell = Command::new("sh");
    shell
        .args(["-eu", "-c", &script])
        .env_clear()
        .env("HOME", &folder)
        .env("SKILLHOST_SKILLS", place.skills());
    let mut shell = author.equip(shell, &folder);
    let path = std::env::var("PATH").unwrap();
    let output = shell
        .env("PATH", format!("{}:{path}", programs.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}\n{}", told(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("would use up to 1 sentences"), "{said}");
    assert_eq!(
        std::fs::read_dir(place.skills()).unwrap().count(),
        0,
        "it is uninstalled again"
    );
}
