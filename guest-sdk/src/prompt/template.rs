//! The text of a prompt with places for variables: `$name`, and `$$` for a dollar.
//!
//! The macro `prompt!` checks with this module at compile time what the SDK substitutes with it at run time.

/// A parsed prompt.
#[derive(Debug)]
pub(crate) struct Template<'a> {
    parts: Vec<Part<'a>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Variable(&'a str),
}

/// A dollar that is neither doubled nor followed by a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LoneDollar {
    /// The line, counted from 1.
    pub(crate) line: usize,
}

impl<'a> Template<'a> {
    /// Parses a prompt.
    pub(crate) fn parse(text: &'a str) -> Result<Self, LoneDollar> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            parts.push(Part::Text(&rest[..dollar]));
            let after = &rest[dollar + 1..];
            let name = name_length(after);
            if let Some(after) = after.strip_prefix('$') {
                parts.push(Part::Text("$"));
                rest = after;
            } else if name > 0 {
                parts.push(Part::Variable(&after[..name]));
                rest = &after[name..];
            } else {
                let before = &text[..text.len() - after.len()];
                return Err(LoneDollar {
                    line: before.matches('\n').count() + 1,
                });
            }
        }
        parts.push(Part::Text(rest));
        Ok(Self { parts })
    }

    /// Returns the names of the variables in the order in which they first occur.
    #[allow(dead_code, reason = "only the macro asks")]
    pub(crate) fn variables(&self) -> Vec<&'a str> {
        let mut names = Vec::new();
        for part in &self.parts {
            if let Part::Variable(name) = part
                && !names.contains(name)
            {
                names.push(*name);
            }
        }
        names
    }

    /// Puts values in the places of variables, or returns the first variable that has none.
    pub(crate) fn substitute(&self, values: &[(&str, String)]) -> Result<String, &'a str> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Variable(name) => match values.iter().find(|(known, _)| known == name) {
                    Some((_, value)) => text.push_str(value),
                    None => return Err(name),
                },
            }
        }
        Ok(text)
    }
}

/// Returns how many bytes of a name `text` begins with.
fn name_length(text: &str) -> usize {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts {
        return 0;
    }
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

/// Lists names for a message: `$a, $b`, or `none`.
pub(crate) fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::{LoneDollar, Template};

    fn template(text: &str) -> Template<'_> {
        Template::parse(text).expect("every dollar is doubled or named")
    }

    #[test]
    fn a_name_ends_where_its_letters_digits_and_underscores_end() {
        let template = template("$a, $b_2's $_c.d$$e$a");
        assert_eq!(template.variables(), ["a", "b_2", "_c"]);
        let values = [("a", "1"), ("b_2", "2"), ("_c", "3")].map(|(name, value)| (name, value.to_owned()));
        assert_eq!(template.substitute(&values), Ok("1, 2's 3.d$e1".to_owned()));
    }

    #[test]
    fn values_are_not_searched_for_variables() {
        let values = [("a", "$b $$ $".to_owned())];
        assert_eq!(template("$a").substitute(&values), Ok("$b $$ $".to_owned()));
    }

    #[test]
    fn a_variable_without_a_value_is_named() {
        assert_eq!(template("$a $b").substitute(&[("a", String::new())]), Err("b"));
    }

    #[test]
    fn a_lone_dollar_is_placed() {
        for (text, line) in [("$", 1), ("a\n$ 5", 2), ("$$$", 1), ("\n\n$9", 3)] {
            assert_eq!(Template::parse(text).err(), Some(LoneDollar { line }), "{text}");
        }
    }
}
