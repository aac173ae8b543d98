//! What a session leaves on the disk and says: it is the user's alone, and no key and no secret is in it.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;
use skillhost_it::site::Site;
use skillhost_it::{Place, told, was_killed};
use skillhost_loopback::{Behaviour, Rule};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skillhost-under-test");

/// Keys as the user has them: in the environment, and stored.
const PLANTED: &str = "sk-ant-planted-in-the-environment-7f3a";
const STORED: &str = "sk-proj-planted-in-the-file-of-keys-91c2";

/// Secrets that skills name: stored as they are, and printed by a command.
const NAMED: &str = "planted-for-a-site \"7f3a\" + 91c2";
const PRINTED: &str = "planted-for-a-program-44d0";

/// Runs a command with a key in its environment, and with no mask that would close what it forgets to close.
fn session(place: &Place, words: &[&str]) -> Output {
    session_command(place, words).output().unwrap()
}

fn session_command(place: &Place, words: &[&str]) -> Command {
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
    command
}

/// Puts a file where the user's are. What the commands that make it ask for is a person at a terminal.
fn put(place: &Place, name: &str, text: &str) -> PathBuf {
    let home = place.state();
    home.make().unwrap();
    let path = home.user().join(name);
    skillhost::home::write_whole(&path, text.as_bytes()).unwrap();
    path
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
    let keys = put(&place, "keys.toml", &format!("[openai]\nkey = \"{STORED}\"\n"));
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

    check(&place, &said, &[keys]);
}

/// Looks at every byte that was written, but for these files, and that was said.
fn check(place: &Place, said: &[(String, String)], known: &[PathBuf]) {
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
        if metadata.is_file() && !known.contains(path) {
            let content = std::fs::read(path).unwrap();
            mistakes.extend(secrets_in(&content).map(|secret| format!("{name} holds {secret}")));
        }
    }
    for (words, text) in said {
        mistakes.extend(secrets_in(text.as_bytes()).map(|secret| format!("`{words}` says {secret}:\n{text}")));
    }
    assert!(found.len() > 10, "{found:?}");
    assert!(mistakes.is_empty(), "\n{}", mistakes.join("\n"));
}

#[test]
fn a_server_and_a_program_that_repeat_a_secret_leave_it_nowhere_also_when_the_host_is_killed_in_the_middle() {
    let (place, site) = (Place::new(PROGRAM, &["reaches"]), Site::echo());
    let toml = NAMED.replace('"', "\\\"");
    // Beside the state folder, as the user's own file would be.
    let printed = place.user_folder().join("printed");
    std::fs::write(&printed, PRINTED).unwrap();
    let printed = printed.display();
    let known = [put(
        &place,
        "secrets.toml",
        &format!("[site-token]\nkey = \"{toml}\"\n[program-token]\ncommand = [\"cat\", \"{printed}\"]\n"),
    )];
    put(
        &place,
        "grants.toml",
        "[skills.reaches]\nprocess = [{ program = \"sh\", environment = [\"TOKEN\"], secrets = [\"program-token\"] }]\n\
         http = [{ host = \"http://127.0.0.1:*\", methods = [\"*\"], private = true, secrets = [\"site-token\"] }, \
         { host = \"example.org\", methods = [\"GET\", \"HEAD\"] }]\n",
    );
    let header = json!([["authorization", "Bearer {{secret:site-token}}"], ["x-plain", "1"]]);
    let says = r#"echo "$TOKEN"; printf "%s" "$TOKEN" | base64; echo "oops: $TOKEN" >&2; printf "$TOKEN""#;
    let input = json!({ "deeds": [
        {"send": ["GET", site.url("/"), header]},
        {"shell": [says, "{{secret:program-token}}"]},
        {"send": ["POST", site.url("/post"), header]},
        {"shell": ["echo \"$TOKEN\"; exit 3", "a {{secret:program-token}} b"]},
        {"send": ["GET", "http://127.0.0.1:1/", header]},
        {"send": ["GET", site.url("/"), [["x", "{{secret:program-token}}"]]]},
    ]})
    .to_string();
    let mut said = Vec::new();
    // Killed when a call was answered, which is not recorded yet: what was recorded and logged until then is there.
    for killed in ["1", "2", "3", "4"] {
        let words = ["launch", "reaches", "--here", "--id", killed, "--input", &input];
        let mut command = session_command(&place, &words);
        let failpoint = format!("driver.effect-ended:{killed}");
        let output = command.env("SKILLHOST_FAILPOINT", failpoint).output().unwrap();
        assert!(was_killed(&output), "{}", told(&output));
        said.push((words.join(" "), told(&output)));
    }
    check(&place, &said, &known);
    let mut say = |words: &[&str]| {
        let output = session(&place, words);
        said.push((words.join(" "), told(&output)));
        told(&output)
    };
    // They go on, and ask about what may have been done.
    for killed in ["1", "2", "3", "4"] {
        let shown = say(&["wait", killed, "--for", "60s"]);
        assert!(killed == "1" || shown.contains("--redo"), "{shown}");
        say(&["show", killed, "--json"]);
        say(&["logs", killed]);
    }
    say(&["answer", "2#1", "--redo"]);
    for words in [
        &["launch", "reaches", "--input", &input, "--id", "again", "--await"][..],
        &["show", "again"],
        &["show", "again", "--json"],
        &["logs", "again"],
        &["logs", "again", "--json"],
        &["result", "again"],
        &["fork", "again", "--at", "2", "--json"],
        &["inbox"],
        &["list", "--json"],
        &["grants"],
        &["secret", "list", "--json"],
        &["doctor", "--json"],
        &["replay", "again"],
        &["worker", "status"],
    ] {
        say(words);
    }
    let sent = site.seen().join("\n");
    assert!(sent.contains(&format!("authorization: Bearer {NAMED}")), "{sent}");
    let logs = say(&["logs", "again"]);
    assert!(logs.contains("oops: {{secret:program-token}}"), "{logs}");
    let result = say(&["result", "again"]);
    assert!(
        result.contains("Bearer {{secret:site-token}}") && result.contains("a {{secret:program-token}} b"),
        "{result}"
    );
    check(&place, &said, &known);
}

fn secrets_in(content: &[u8]) -> impl Iterator<Item = &'static str> {
    [PLANTED, STORED, "planted-for-a-site", PRINTED]
        .into_iter()
        .filter(|secret| content.windows(secret.len()).any(|window| window == secret.as_bytes()))
}
