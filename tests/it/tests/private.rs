//! What a session leaves on the disk and says: it is the user's alone, and no key is in it.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use skillhost_it::{Place, told};
use skillhost_loopback::{Behaviour, Rule};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

/// Keys as the user has them: in the environment, and stored.
const PLANTED: &str = "sk-ant-planted-in-the-environment-7f3a";
const STORED: &str = "sk-proj-planted-in-the-file-of-keys-91c2";

/// Runs a command with a key in its environment, and with no mask that would close what it forgets to close.
fn session(place: &Place, words: &[&str]) -> Output {
    let inner = place.command(words);
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg("umask 0; exec \"$0\" \"$@\"")
        .arg(inner.get_program())
        .args(inner.get_args());
    command.current_dir(inner.get_current_dir().unwrap()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PATH", "/usr/bin:/bin").env("ANTHROPIC_API_KEY", PLANTED);
    command.output().unwrap()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.clone());
        if path.is_dir() && !path.is_symlink() {
            walk(&path, found);
        }
    }
}

#[test]
fn what_a_session_leaves_behind_is_the_users_alone_and_holds_no_key() {
    let place = Place::new(PROGRAM, &["steps", "files", "fails", "traps", "logs"]);
    // The provider says the key back, as a careless server does, and refuses it.
    let says_it = format!(
        r#"{{"type":"error","error":{{"type":"authentication_error","message":"invalid x-api-key {PLANTED}"}}}}"#
    );
    place
        .server
        .rule(Rule::of(Behaviour::status(401).with_body(&says_it)).times(1));
    let deeds =
        r#"{"steps":[{"deed":"write","path":"a/b.txt","text":"one"},{"deed":"append","path":"a/b.txt","text":"two"}]}"#;
    let mut said = Vec::new();
    let lines: &[&[&str]] = &[
        &["launch", "steps", "--n", "1", "--id", "refused", "--await"],
        &["launch", "steps", "--n", "2", "--id", "done", "--await"],
        &["launch", "steps", "--n", "1", "--id", "here", "--here", "--json"],
        &["launch", "files", "--input", deeds, "--id", "files", "--await"],
        &["launch", "fails", "--id", "fails", "--await"],
        &["launch", "logs", "--id", "logs", "--await"],
        &["show", "refused"],
        &["show", "refused", "--json"],
        &["show", "done", "--json"],
        &["result", "done"],
        &["logs", "refused"],
        &["retry", "refused", "--await"],
        &["inbox"],
        &["list", "--json"],
        &["skills", "--json"],
        &["replay", "done"],
        &["worker", "status", "--json"],
        &["doctor"],
        &["doctor", "--json"],
        &["explain", "limits", "--json"],
        &["auth", "status"],
        &["prune", "--yes"],
    ];
    // Stored by hand: the command wants a person at a terminal, or its standard input.
    std::fs::create_dir_all(place.home()).unwrap();
    std::fs::set_permissions(place.home(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let keys = place.home().join("keys.toml");
    std::fs::write(&keys, format!("[openai]\nkey = \"{STORED}\"\n")).unwrap();
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o600)).unwrap();
    for words in lines {
        let output = session(&place, words);
        said.push((words.join(" "), told(&output)));
    }
    assert!(
        said[0].1.contains("denied") || said[0].1.contains("refused"),
        "{}",
        said[0].1
    );
    assert!(said[1].1.contains("done"), "{}", said[1].1);

    let mut found = Vec::new();
    walk(&place.home(), &mut found);
    let mut mistakes = Vec::new();
    for path in found.iter().filter(|path| !path.is_symlink()) {
        let name = path.strip_prefix(place.home()).unwrap().display().to_string();
        let metadata = std::fs::metadata(path).unwrap();
        let mode = metadata.permissions().mode() & 0o777;
        // What a skill writes has the rights that files usually get, in a folder that is closed.
        let is_a_skills = name.starts_with("runs/") && name.split('/').count() > 2;
        if mode & 0o077 != 0 && !is_a_skills {
            mistakes.push(format!("{name} has mode {mode:o}"));
        }
        if metadata.is_file() && *path != keys {
            let content = std::fs::read(path).unwrap();
            mistakes.extend(secrets_in(&content).map(|secret| format!("{name} holds {secret}")));
        }
    }
    for (words, text) in &said {
        mistakes.extend(secrets_in(text.as_bytes()).map(|secret| format!("`{words}` says {secret}:\n{text}")));
    }
    assert!(found.len() > 15, "{found:?}");
    assert!(mistakes.is_empty(), "\n{}", mistakes.join("\n"));
}

fn secrets_in(content: &[u8]) -> impl Iterator<Item = &'static str> {
    [PLANTED, STORED]
        .into_iter()
        .filter(|secret| content.windows(secret.len()).any(|window| window == secret.as_bytes()))
}
