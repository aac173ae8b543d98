//! Splits the words after `launch`: what clap knows goes to clap, every other long flag is a field of the skill's input.
//!
//! Clap's own way to allow unknown flags would swallow the known ones that follow the first unknown. So the words are sorted before clap sees them, by what clap itself
//! says it knows.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use crate::error::{CliError, Result};

/// A field of the input as it was given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The field's name.
    pub name: String,
    /// What was given for it.
    pub value: Value,
}

/// What was given for a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// The flag alone: `true`.
    Present,
    /// `text`, `@file` or `@-`, to be understood as the field's schema says.
    Text(String),
    /// The same, as JSON whatever the schema says (`name:=json`).
    Json(String),
}

/// The command whose unknown flags are fields.
const LAUNCH: &str = "launch";

/// Takes the fields out of the words of a command line, if it is one of `launch`.
///
/// A field takes the next word as its value, unless that begins with `--`; so `--name Ada`, `--count -3`, `--deep` (which is `true`) and `--text=--x` all say what they
/// seem to. After `--` no word is a flag.
pub fn split(command: &Command, words: Vec<OsString>) -> Result<(Vec<OsString>, Vec<Given>)> {
    let Some(at) = position_of_launch(command, &words) else {
        return Ok((words, Vec::new()));
    };
    let launch = command.find_subcommand(LAUNCH).expect("there is a command `launch`");
    let mut alone = Command::new(command.get_name().to_owned())
        .args(command.get_arguments().cloned())
        .subcommand(launch.clone());
    // Adds what clap adds by itself: `--help`, and the flags of all commands; of all of them, that would take longer than all the rest.
    alone.build();
    let launch = alone.find_subcommand(LAUNCH).expect("there is a command `launch`");
    let known: Vec<&Arg> = launch.get_arguments().collect();
    let mut words = words.into_iter();
    let mut kept: Vec<OsString> = words.by_ref().take(at + 1).collect();
    let mut fields = Vec::new();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            kept.push(word);
            kept.extend(words);
            break;
        }
        let Some(flag) = word.to_str().and_then(|word| word.strip_prefix("--")) else {
            kept.push(word);
            continue;
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        if let Some(arg) = known_flag(&known, name) {
            let takes_next = value.is_none() && takes_value(arg);
            kept.push(word);
            kept.extend(takes_next.then(|| words.next()).flatten());
            continue;
        }
        let value = match value {
            Some(value) => Value::Text(value.to_owned()),
            None => match words.next_if(|next| !next.as_encoded_bytes().starts_with(b"--")) {
                Some(next) => Value::Text(text(next)?),
                None => Value::Present,
            },
        };
        fields.push(Given {
            name: name.to_owned(),
            value,
        });
    }
    Ok((kept, fields))
}

/// Parses what follows `--arg`: `name=text` or `name:=json`.
pub fn parse_arg(text: &str) -> Result<Given, String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("it has the form `name=value`, `name=@file` or `name:=json`")?;
    let (name, value) = match name.strip_suffix(':') {
        Some(name) => (name, Value::Json(value.to_owned())),
        None => (name, Value::Text(value.to_owned())),
    };
    match name.is_empty() {
        true => Err("the name before `=` is missing".to_owned()),
        false => Ok(Given {
            name: name.to_owned(),
            value,
        }),
    }
}

fn text(word: OsString) -> Result<String> {
    word.into_string().map_err(|word| {
        CliError::invalid("not_utf8", format!("`{}` is not UTF-8", word.to_string_lossy()))
            .hint("put it into a file and give it as `--arg name=@file`")
    })
}

/// Returns where `launch` stands, behind the program's name and flags that come before it.
fn position_of_launch(command: &Command, words: &[OsString]) -> Option<usize> {
    let known: Vec<&Arg> = command.get_arguments().collect();
    let mut at = 1;
    while let Some(word) = words.get(at).and_then(|word| word.to_str()) {
        match word.strip_prefix("--") {
            Some(flag) if !flag.contains('=') && known_flag(&known, flag).is_some_and(takes_value) => at += 2,
            Some(_) => at += 1,
            None if word.starts_with('-') => at += 1,
            None => return (word == LAUNCH).then_some(at),
        }
    }
    None
}

fn known_flag<'a>(known: &[&'a Arg], name: &str) -> Option<&'a Arg> {
    known.iter().copied().find(|arg| arg.get_long() == Some(name))
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    fn sorted(line: &str) -> String {
        let words = line.split(' ').map(OsString::from).collect();
        let (kept, fields) = split(&Cli::command(), words).unwrap();
        let kept: Vec<_> = kept.iter().map(|word| word.to_str().unwrap()).collect();
        let fields: Vec<_> = fields
            .iter()
            .map(|given| match &given.value {
                Value::Present => given.name.clone(),
                Value::Text(text) => format!("{}={text}", given.name),
                Value::Json(json) => format!("{}:={json}", given.name),
            })
            .collect();
        format!("{} | {}", kept.join(" "), fields.join(" "))
    }

    #[test]
    fn unknown_flags_are_fields_and_known_ones_are_not_wherever_they_stand() {
        assert_eq!(
            sorted("s launch x --name Ada --await --count -3"),
            "s launch x --await | name=Ada count=-3"
        );
        assert_eq!(
            sorted("s launch --name=Ada x --id 7 --deep"),
            "s launch x --id 7 | name=Ada deep"
        );
        assert_eq!(
            sorted("s launch x --deep --wide --json"),
            "s launch x --json | deep wide"
        );
        assert_eq!(
            sorted("s --json --skills-dir d launch x --a b"),
            "s --json --skills-dir d launch x | a=b"
        );
        assert_eq!(sorted("s launch x --arg a=b --help"), "s launch x --arg a=b --help | ");
        assert_eq!(
            sorted("s launch x --skills-dir d --a=@f"),
            "s launch x --skills-dir d | a=@f"
        );
    }

    #[test]
    fn other_commands_and_what_follows_two_dashes_are_left_alone() {
        assert_eq!(sorted("s show launch --name Ada"), "s show launch --name Ada | ");
        assert_eq!(sorted("s launch x -- --name"), "s launch x -- --name | ");
        assert_eq!(sorted("s"), "s | ");
    }

    #[test]
    fn an_argument_has_a_name_and_a_value() {
        assert_eq!(parse_arg("a=b=c").unwrap().value, Value::Text("b=c".to_owned()));
        assert_eq!(parse_arg("a:=[1]").unwrap().value, Value::Json("[1]".to_owned()));
        assert_eq!(parse_arg("a=").unwrap().value, Value::Text(String::new()));
        assert!(parse_arg("a").is_err());
        assert!(parse_arg("=b").is_err());
    }
}
