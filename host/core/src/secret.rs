//! Secrets that a text names and that the host fills in: `{{secret:NAME}}`.
//!
//! A skill writes the name where the value belongs, in a header or in a variable of a program's environment. So the value stands nowhere in what is recorded, and what is
//! recorded is the same whatever the value is. This module reads such texts; what the values are is another's business.

use crate::grants::SecretName;

/// What a name begins with.
const BEGIN: &str = "{{secret:";
/// What it ends with.
const END: &str = "}}";

/// Returns how a text names a secret.
pub fn placeholder(name: &SecretName) -> String {
    format!("{BEGIN}{name}{END}")
}

/// Returns whether a text seems to name a secret, well or badly.
pub fn seems_named(text: &str) -> bool {
    text.contains(BEGIN)
}

/// Returns the secrets that a text names, each as often as it does.
///
/// # Errors
/// In words for the skill's author, if something begins like a name of one and is none.
pub fn named(text: &str) -> Result<Vec<SecretName>, String> {
    let names = parts(text)?.into_iter().filter_map(|part| match part {
        Part::Plain(_) => None,
        Part::Secret(name) => Some(name),
    });
    Ok(names.collect())
}

/// Puts values in the place of the names.
///
/// # Errors
/// As [`named`].
pub fn filled<'a>(text: &str, value: impl Fn(&SecretName) -> &'a str) -> Result<String, String> {
    let mut filled = String::new();
    for part in parts(text)? {
        filled.push_str(match &part {
            Part::Plain(plain) => plain,
            Part::Secret(name) => value(name),
        });
    }
    Ok(filled)
}

enum Part<'a> {
    Plain(&'a str),
    Secret(SecretName),
}

fn parts(text: &str) -> Result<Vec<Part<'_>>, String> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after
            .split_once(END)
            .ok_or_else(|| format!("`{BEGIN}` has no `{END}` behind it"))?;
        parts.extend([Part::Plain(before), Part::Secret(name.parse()?)]);
        rest = after;
    }
    parts.push(Part::Plain(rest));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn names_are_found_and_filled_in_where_they_stand() {
        let text = "Basic {{secret:user}}:{{secret:user.pass-2}}}}";
        let names: Vec<String> = named(text).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["user", "user.pass-2"]);
        let value = |name: &SecretName| {
            if name.as_str() == "user" {
                "me"
            } else {
                "{{secret:user}}"
            }
        };
        // A value is no text in which something is filled in.
        assert_eq!(filled(text, value).unwrap(), "Basic me:{{secret:user}}}}");
        assert_eq!(filled("plain {{x}}", value).unwrap(), "plain {{x}}");
        assert_eq!(placeholder(&names[0].parse().unwrap()), "{{secret:user}}");
    }

    #[test]
    fn what_begins_like_a_name_and_is_none_is_told() {
        for text in [
            "{{secret:",
            "{{secret:x}",
            "{{secret:}}",
            "{{secret: x}}",
            "{{secret:a/b}}",
        ] {
            assert!(seems_named(text) && named(text).is_err(), "{text}");
        }
        assert!(!seems_named("{secret:x}") && named("{secret:x}").unwrap().is_empty());
    }
}
