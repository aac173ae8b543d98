//! The agent's `settings.json`: puts our hook into it and takes it out again. Whatever else is there stays as it is, byte for byte.
//!
//! [`change`] does it to a file: whole or not at all, with a copy of what was there before beside it.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::json_text::{Container, root};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::{read_regular, rewrite, write_whole};

/// The longest settings file that is touched, in bytes.
const BYTES_MAX: u64 = 16 << 20;

/// How often a change is tried anew because somebody else changed the file meanwhile.
const TRIES_MAX: usize = 5;

/// How long the agent waits for our hook, in seconds.
const TIMEOUT_SECONDS: u64 = 5;

/// What comes after the program in the command of our hook.
pub const HOOK_WORDS: &str = "hook session-start";

const HOOKS: &str = "hooks";
const EVENT: &str = "SessionStart";

/// What came of changing a settings file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It already was as it should be.
    None,
    /// It was made.
    Made,
    /// It was changed; what it was before is kept here.
    Changed(PathBuf),
}

/// Changes the file at `path` as `edit` says, which is given its text and returns the new one, or `None` to leave it as it is.
pub fn change(path: &Path, edit: impl Fn(Option<&str>) -> Result<Option<String>>) -> Result<Change> {
    // The file may be a link into a collection of settings; that is where it is changed then.
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    for _ in 0..TRIES_MAX {
        let old = read(&real)?;
        let Some(new) = edit(old.as_deref())? else {
            return Ok(Change::None);
        };
        serde_json::from_str::<Value>(&new).expect("what was put into JSON is JSON");
        let unwritable = |e: io::Error| {
            CliError::new(
                Exit::Storage,
                "settings_not_written",
                format!("could not write `{}`", path.display()),
            )
            .caused_by(&e)
            .hint("nothing was changed; `--settings PATH` names another file")
        };
        let backup = old.as_ref().map(|_| backup_path(&real));
        if let (Some(old), Some(backup)) = (&old, &backup) {
            write_whole(backup, old.as_bytes()).map_err(unwritable)?;
        }
        // The agent writes this file, too: what it wrote since is not to be lost.
        if read(&real)? != old {
            continue;
        }
        rewrite(&real, new.as_bytes()).map_err(unwritable)?;
        return Ok(backup.map_or(Change::Made, Change::Changed));
    }
    let message = format!("`{}` is changed by another program all the time", path.display());
    Err(CliError::new(Exit::Host, "settings_busy", message).hint("try again when no session of the agent is starting"))
}

/// Returns the commands of our hooks in the file at `path`; none if there is no file.
pub fn hooks(path: &Path) -> Result<Vec<String>> {
    match read(path)? {
        Some(text) => Ok(ours(&text, path)?.into_iter().map(|hook| hook.command).collect()),
        None => Ok(Vec::new()),
    }
}

/// Returns the text with these commands as our hooks, and with no others of ours; `None` if that is so already.
pub fn with_hooks(text: Option<&str>, path: &Path, commands: &[String]) -> Result<Option<String>> {
    let mut text = text.filter(|text| !text.trim().is_empty()).unwrap_or("{}\n").to_owned();
    if ours(&text, path)?.iter().map(|hook| &hook.command).eq(commands) {
        return Ok(None);
    }
    // One that an older skillhost left, or that starts it from elsewhere, gives way.
    if let Some(without) = without_hooks(&text, path)? {
        text = without;
    }
    for command in commands {
        let group = json!({"hooks": [{"type": "command", "command": command, "timeout": TIMEOUT_SECONDS}]});
        let places = Places::of(&text, path)?;
        text = match (&places.hooks, &places.groups) {
            (_, Some(groups)) => groups.with(&text, 2, None, &group),
            (Some(hooks), None) => hooks.with(&text, 1, Some(EVENT), &json!([group])),
            (None, None) => places.root.with(&text, 0, Some(HOOKS), &json!({EVENT: [group]})),
        };
    }
    Ok(Some(text))
}

/// Returns the text without our hooks, and without what held nothing else; `None` if there are none.
fn without_hooks(text: &str, path: &Path) -> Result<Option<String>> {
    let mut text = text.to_owned();
    let mut changed = false;
    while let Some(hook) = ours(&text, path)?.pop() {
        let places = Places::of(&text, path)?;
        let (Some(hooks), Some(groups)) = (&places.hooks, &places.groups) else {
            break;
        };
        let position = |object: &Container, name: &str| object.names.iter().rposition(|known| known == name);
        text = if hook.siblings.values.len() > 1 {
            hook.siblings.without(&text, hook.index)
        } else if groups.values.len() > 1 {
            groups.without(&text, hook.group)
        } else if let (2.., Some(index)) = (hooks.values.len(), position(hooks, EVENT)) {
            hooks.without(&text, index)
        } else {
            let index = position(&places.root, HOOKS).expect("the hooks were found there");
            places.root.without(&text, index)
        };
        changed = true;
    }
    Ok(changed.then_some(text))
}

fn read(path: &Path) -> Result<Option<String>> {
    let unreadable = |e: &dyn std::error::Error| {
        CliError::new(
            Exit::Storage,
            "settings_unreadable",
            format!("could not read `{}`", path.display()),
        )
        .caused_by(e)
        .hint("`--settings PATH` names another file")
    };
    match read_regular(path, BYTES_MAX) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|e| unreadable(&e)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(unreadable(&e)),
    }
}

/// Returns where [`change`] keeps what a file was before.
pub fn backup_path(path: &Path) -> PathBuf {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".before-skillhost");
    path.with_file_name(name)
}

/// What of a settings file concerns us.
struct Places {
    root: Container,
    hooks: Option<Container>,
    groups: Option<Container>,
}

impl Places {
    fn of(text: &str, path: &Path) -> Result<Self> {
        if let Err(e) = serde_json::from_str::<Value>(text) {
            let message = format!("`{}` is malformed", path.display());
            return Err(CliError::invalid("bad_settings", message)
                .caused_by(&e)
                .hint("mend it first, nothing was changed; or name another file with `--settings PATH`"));
        }
        let other_form = |what: &str| {
            let message = format!("`{}` has another form than is known: {what}", path.display());
            CliError::invalid("bad_settings", message).hint(format!(
                "nothing was changed; by hand, a `{EVENT}` hook would run `skillhost {HOOK_WORDS}`"
            ))
        };
        let root = Container::object(text, root(text)).ok_or_else(|| other_form("it is no object"))?;
        let hooks = root
            .member(HOOKS)
            .map(|span: Range<usize>| Container::object(text, span).ok_or_else(|| other_form("`hooks` is no object")));
        let hooks = hooks.transpose()?;
        let groups = hooks
            .as_ref()
            .and_then(|hooks| hooks.member(EVENT))
            .map(|span| Container::list(text, span).ok_or_else(|| other_form("`hooks.SessionStart` is no list")));
        let groups = groups.transpose()?;
        Ok(Self { root, hooks, groups })
    }
}

/// A hook of ours in a text.
struct Ours {
    command: String,
    /// Which group it is in.
    group: usize,
    /// The hooks of that group.
    siblings: Container,
    /// Which of these it is.
    index: usize,
}

fn ours(text: &str, path: &Path) -> Result<Vec<Ours>> {
    let mut found = Vec::new();
    // The agent takes an empty file for no settings.
    if text.trim().is_empty() {
        return Ok(found);
    }
    let Some(groups) = Places::of(text, path)?.groups else {
        return Ok(found);
    };
    for (group, span) in groups.values.iter().enumerate() {
        // What is not as we know it is somebody else's.
        let siblings = Container::object(text, span.clone()).and_then(|group| group.member(HOOKS));
        let Some(siblings) = siblings.and_then(|span| Container::list(text, span)) else {
            continue;
        };
        for (index, span) in siblings.values.iter().enumerate() {
            let hook: Value = serde_json::from_str(&text[span.clone()]).unwrap_or_default();
            if let Some(command) = hook["command"].as_str().filter(|command| is_ours(command)) {
                found.push(Ours {
                    command: command.to_owned(),
                    group,
                    siblings: siblings.clone(),
                    index,
                });
            }
        }
    }
    Ok(found)
}

fn is_ours(command: &str) -> bool {
    let program = command.trim_end().strip_suffix(HOOK_WORDS);
    program.is_some_and(|program| program.ends_with(' ') && program.contains("skillhost"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    const COMMAND: &str = "skillhost hook session-start";

    fn with_hook(text: Option<&str>, path: &Path) -> Result<Option<String>> {
        with_hooks(text, path, &[COMMAND.to_owned()])
    }

    fn with(text: &str) -> String {
        with_hook(Some(text), Path::new("settings.json")).unwrap().unwrap()
    }

    fn without(text: &str) -> Option<String> {
        without_hooks(text, Path::new("settings.json")).unwrap()
    }

    #[test]
    fn a_hook_is_put_beside_what_is_there_and_taken_out_again() {
        let texts = [
            "{\n  \"model\": \"opus\",\n  \"n\": 1e5\n}\n",
            "{\"hooks\":{\"Stop\":[]},\"model\":\"opus\"}",
            "{\n\t\"hooks\": {\n\t\t\"SessionStart\": [\n\t\t\t{\"matcher\": \"startup\", \"hooks\": [{\"type\": \"command\", \"command\": \"date\"}]}\n\t\t]\n\t}\n}",
        ];
        for text in texts {
            let more = with(text);
            assert_eq!(ours(&more, Path::new("x")).unwrap().len(), 1, "{more}");
            assert_eq!(with_hook(Some(&more), Path::new("x")).unwrap(), None);
            assert_eq!(without(&more).as_deref(), Some(text));
            assert_eq!(without(text), None);
        }
        insta::assert_snapshot!(with("{\n    \"model\": \"opus\"\n}\n"), @r#"
        {
            "model": "opus",
            "hooks": {
                "SessionStart": [
                    {
                        "hooks": [
                            {
                                "type": "command",
                                "command": "skillhost hook session-start",
                                "timeout": 5
                            }
                        ]
                    }
                ]
            }
        }
        "#);
    }

    #[test]
    fn a_hook_from_elsewhere_gives_way_and_others_in_its_group_stay() {
        let text = r#"{"hooks":{"SessionStart":[{"hooks":[{"command":"date"},{"command":"/old/skillhost hook session-start"}]}]}}"#;
        let new = with(text);
        assert_eq!(ours(&new, Path::new("x")).unwrap().len(), 1);
        assert!(new.contains(r#""command":"date""#) && !new.contains("/old/"), "{new}");
        assert_eq!(
            without(text).unwrap(),
            r#"{"hooks":{"SessionStart":[{"hooks":[{"command":"date"}]}]}}"#
        );
    }

    #[test]
    fn hooks_that_gave_way_can_be_put_back() {
        let path = Path::new("settings.json");
        let before = ["/a/skillhost hook session-start", "/b/skillhost hook session-start"].map(str::to_owned);
        let text = with_hooks(Some("{\"model\": \"opus\"}"), path, &before)
            .unwrap()
            .unwrap();
        let now = with(&text);
        assert_eq!(ours(&now, path).unwrap().len(), 1, "{now}");
        assert_eq!(
            with_hooks(Some(&now), path, &before).unwrap().as_deref(),
            Some(text.as_str())
        );
    }

    #[test]
    fn hooks_that_only_look_alike_are_not_ours() {
        for command in [
            "my-hook session-start",
            "skillhost hook session-start --x",
            "skillhosthook session-start",
        ] {
            assert!(!is_ours(command), "{command}");
        }
        assert!(is_ours("SKILLHOST_HOME='/a b' '/x y/skillhost' hook session-start"));
    }

    #[test]
    fn an_empty_file_holds_no_hook_and_takes_one() {
        for text in ["", " \n"] {
            assert_eq!(without(text), None);
            assert_eq!(ours(text, Path::new("x")).unwrap().len(), 0);
            assert_eq!(ours(&with(text), Path::new("x")).unwrap().len(), 1);
        }
    }

    #[test]
    fn what_is_malformed_or_of_another_form_is_refused() {
        for text in ["{", "[]", "{\"hooks\":[]}", "{\"hooks\":{\"SessionStart\":{}}}", "{}x"] {
            let error = with_hook(Some(text), Path::new("settings.json")).unwrap_err();
            assert_eq!(error.code, "bad_settings", "{text}");
            assert!(
                error.hint.is_some_and(|hint| hint.contains("nothing was changed")),
                "{text}"
            );
        }
    }

    #[test]
    fn a_file_is_changed_where_it_really_is_with_its_rights_and_a_copy_of_before() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("dotfiles.json");
        let link = folder.path().join("settings.json");
        fs::write(&real, "{\"a\": 1}").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let install = || change(&link, |text| with_hook(text, &link)).unwrap();
        let Change::Changed(backup) = install() else {
            panic!("it was not changed")
        };
        assert_eq!(fs::read_to_string(backup).unwrap(), "{\"a\": 1}");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(hooks(&link).unwrap(), [COMMAND]);
        assert_eq!(install(), Change::None);
        let none = folder.path().join("new/settings.json");
        assert_eq!(change(&none, |text| with_hook(text, &none)).unwrap(), Change::Made);
    }
}
