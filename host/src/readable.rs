//! JSON as a person reads it, and the difference of two such texts line by line.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};
use skillhost_core::payload::Payload;

use crate::terminal::{cut, plain, plain_line};

/// How many lines around a difference are shown.
const CONTEXT_LINES: usize = 2;

/// How much of a line of a difference is shown, in characters.
const LINE_CHARS_MAX: usize = 300;

/// Returns a value as indented lines: members as `name: value`, items behind a dash, and a text of several lines as those lines.
pub fn readable(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text
}

/// Returns a payload so; one that is no JSON as it is.
pub fn readable_payload(payload: &Payload) -> String {
    match payload.read::<Value>() {
        Ok(value) => readable(&value),
        Err(_) => plain(payload.as_str()),
    }
}

fn write(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                item(&format!("{}:", plain_line(name)), member, depth, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for member in items {
                item("-", member, depth, text);
            }
        }
        scalar => lines(&words(scalar), depth, text),
    }
}

/// Writes a member or an item: behind its head if it is a line, else below it.
fn item(head: &str, value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let nested = match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::String(string) => string.trim_end().contains('\n'),
        _ => false,
    };
    match nested {
        true => {
            text.push_str(&format!("{indent}{head}\n"));
            write(value, depth + 1, text);
        }
        false => text.push_str(&format!("{indent}{head} {}\n", words(value))),
    }
}

fn lines(words: &str, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    for line in words.lines() {
        text.push_str(&format!("{indent}{line}\n"));
    }
}

fn words(scalar: &Value) -> String {
    match scalar {
        Value::String(string) if string.is_empty() => "\"\"".to_owned(),
        Value::String(string) => plain(string).trim_end().to_owned(),
        other => other.to_string(),
    }
}

/// Returns what differs, lines that went behind `-` and lines that came behind `+`, with some of what stands around them; nothing if nothing does. At most about
/// `most` lines; then it says how many there are further.
pub fn difference(old: &str, new: &str, most: usize) -> String {
    let diff = TextDiff::from_lines(old, new);
    let mut lines = Vec::new();
    for (index, group) in diff.grouped_ops(CONTEXT_LINES).iter().enumerate() {
        if index > 0 {
            lines.push("  ...".to_owned());
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let mark = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            lines.push(format!("{mark} {}", visible(change.value().trim_end_matches('\n'))));
            if change.missing_newline() && change.tag() != ChangeTag::Equal {
                lines.push("  (no end of line there)".to_owned());
            }
        }
    }
    let further = lines.len().saturating_sub(most);
    if further > 0 {
        lines.truncate(most);
        lines.push(format!("  ... and {further} more lines"));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Shows a line so that two that differ look different: what cannot be seen is spelt out. Of a long one it is the beginning.
fn visible(line: &str) -> String {
    let spelt: String = line
        .chars()
        .map(|c| match c {
            '\t' => c.to_string(),
            c if c.is_control() => c.escape_default().to_string(),
            c => c.to_string(),
        })
        .collect();
    cut(&spelt, LINE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_reads_like_a_list_of_what_it_says() {
        let value = json!({"model": "haiku", "messages": [{"role": "user", "text": "Two\nlines"}], "none": [], "n": 3, "empty": ""});
        assert_eq!(
            readable(&value),
            "model: haiku\nmessages:\n  -\n    role: user\n    text:\n      Two\n      lines\nnone: []\nn: 3\nempty: \"\"\n"
        );
        assert_eq!(readable(&json!("a\nb")), "a\nb\n");
    }

    #[test]
    fn a_difference_shows_what_went_and_what_came_and_a_little_around_it() {
        let old: String = (0..20).map(|n| format!("{n}\n")).collect();
        let new = old.replace("\n10\n", "\nten\n");
        assert_eq!(difference(&old, &new, 100), "  8\n  9\n- 10\n+ ten\n  11\n  12\n");
        assert_eq!(difference(&old, &old, 100), "");
        assert_eq!(difference("", "1\n2\n3\n", 2), "+ 1\n+ 2\n  ... and 1 more lines\n");
    }

    #[test]
    fn lines_that_look_alike_are_told_apart() {
        assert_eq!(
            difference("abc\n", "abc", 9),
            "- abc\n+ abc\n  (no end of line there)\n"
        );
        assert_eq!(difference("abc\r\n", "abc\n", 9), "- abc\\r\n+ abc\n");
        let long = "x".repeat(10_000);
        assert!(difference("", &long, 9).len() < 2 * LINE_CHARS_MAX);
    }

    #[test]
    fn what_a_skill_said_cannot_move_the_cursor() {
        assert!(!readable(&json!({"a\u{1b}[2J": "b\u{1b}[2J"})).contains('\u{1b}'));
    }
}
