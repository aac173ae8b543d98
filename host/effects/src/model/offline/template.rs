//! Texts with `$names` in them, found in what was asked and put into what is answered.

use std::collections::BTreeMap;

/// What the names of a template stood for.
pub(super) type Captures = BTreeMap<String, String>;

/// A text to look for, parts of which may be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Name(String),
}

impl Template {
    /// Splits a text at its names: `$` and a lower-case letter, then letters, digits and `_`. Any other `$` is itself.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts = split(text);
        if parts.is_empty() {
            return Err("has an empty text, which every call contains".to_owned());
        }
        let touching = parts
            .windows(2)
            .any(|pair| matches!(pair, [Part::Name(_), Part::Name(_)]));
        if touching {
            return Err(format!("has two names in `{text}` with nothing between them"));
        }
        Ok(Self(parts))
    }

    /// Looks for the template in a text. A name stands for as little as possible: up to what follows it, or to the end of the line.
    pub(super) fn find(&self, text: &str) -> Option<Captures> {
        let mut captures = Captures::new();
        let mut rest = text;
        let mut open: Option<&str> = None;
        for part in &self.0 {
            match part {
                Part::Name(name) => open = Some(name),
                Part::Literal(literal) => {
                    let at = rest.find(literal.as_str())?;
                    if let Some(name) = open.take() {
                        captures.insert(name.to_owned(), rest[..at].to_owned());
                    }
                    rest = &rest[at + literal.len()..];
                }
            }
        }
        if let Some(name) = open {
            captures.insert(name.to_owned(), rest.lines().next().unwrap_or("").to_owned());
        }
        Some(captures)
    }

    /// Puts what was captured into a text. Names that were not captured stay as they are.
    pub(super) fn fill(text: &str, captures: &Captures) -> String {
        if captures.is_empty() {
            return text.to_owned();
        }
        let filled = split(text).into_iter().map(|part| match part {
            Part::Literal(literal) => literal,
            Part::Name(name) => captures.get(&name).cloned().unwrap_or_else(|| format!("${name}")),
        });
        filled.collect()
    }
}

fn split(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let after = &rest[at + 1..];
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = after.find(|c| !is_name(c)).unwrap_or(after.len());
        let begins = after.starts_with(|c: char| c.is_ascii_lowercase());
        literal.push_str(&rest[..at]);
        if begins {
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Name(after[..length].to_owned()));
            rest = &after[length..];
        } else {
            literal.push('$');
            rest = after;
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    parts
}

/// Returns whether `text` is `pattern`, in which `*` stands for any text.
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    let Some((first, others)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut pieces: Vec<&str> = others.split('*').collect();
    let last = pieces.pop().unwrap_or("");
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(template: &str, text: &str) -> Option<Vec<(String, String)>> {
        let template = Template::parse(template).expect("a template");
        template.find(text).map(|captures| captures.into_iter().collect())
    }

    #[test]
    fn a_name_stands_for_what_is_there_up_to_what_follows_it_or_to_the_end_of_the_line() {
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        assert_eq!(
            found("Greet $name.", "Please. Greet Ada Lovelace. Now."),
            Some(vec![pair("name", "Ada Lovelace")])
        );
        assert_eq!(
            found("Greet $name", "Greet Ada\nand be brief"),
            Some(vec![pair("name", "Ada")])
        );
        assert_eq!(
            found("$a to $b", "from here to there"),
            Some(vec![pair("a", "from here"), pair("b", "there")])
        );
        assert_eq!(found("plain", "a plain text"), Some(vec![]));
        assert_eq!(found("Greet $name.", "Greet Ada"), None);
    }

    #[test]
    fn a_dollar_that_begins_no_name_is_itself() {
        assert_eq!(found("costs $5", "it costs $5 now"), Some(vec![]));
        assert_eq!(found("$HOME", "cd $HOME"), Some(vec![]));
        let captures = Captures::from([("name".to_owned(), "Ada".to_owned())]);
        assert_eq!(
            Template::fill("$name pays $5 to $other", &captures),
            "Ada pays $5 to $other"
        );
    }

    #[test]
    fn templates_that_would_fit_anything_are_refused() {
        assert!(Template::parse("").is_err());
        assert!(Template::parse("$a$b").is_err());
    }

    #[test]
    fn a_star_is_any_text() {
        for (pattern, text, fits) in [
            ("part *", "part one", true),
            ("part *", "party", false),
            ("*", "", true),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "a--c", false),
            ("plan", "planning", false),
            ("*ing", "planning", true),
        ] {
            assert_eq!(glob_matches(pattern, text), fits, "{pattern} and {text}");
        }
    }
}
