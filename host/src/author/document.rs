//! What is wrong with the `SKILL.md` of a skill: an agent finds a skill by what stands at its head.
//!
//! Read is as much of YAML as such a head has: a `name` and a `description` on a line each, or a text in lines below. What stands further is the agent's business.

use skillhost_core::id::SkillName;

use crate::problem::Problem;

/// The document.
pub const DOCUMENT: &str = "SKILL.md";

/// The longest description that agents take, in characters.
const DESCRIPTION_CHARS_MAX: usize = 1_024;

/// Returns what is wrong with a document; `None` stands for one that is not there.
pub fn problems(text: Option<&str>, name: &SkillName) -> Vec<Problem> {
    let Some(text) = text else {
        return vec![
            Problem::warning("no_document", "there is no `SKILL.md`, so no agent finds the skill")
                .at(DOCUMENT)
                .expected("a `SKILL.md` that begins with `---`, `name:` and `description:`")
                .fix(format!(
                    "`skillhost skills --write-doc {name}` writes one for an installed skill"
                )),
        ];
    };
    let Some(head) = Head::of(text) else {
        return vec![
            Problem::warning(
                "no_front_matter",
                "it does not begin with a head, so no agent finds the skill",
            )
            .at(format!("{DOCUMENT}:1:1"))
            .expected("`---`, then `name:` and `description:`, then `---`")
            .found(first_line(text)),
        ];
    };
    let mut problems = Vec::new();
    match head.member("name") {
        Some((_, found)) if found == name.as_str() => {}
        Some((line, found)) => problems.push(
            Problem::warning(
                "other_name",
                "it names another skill, and agents take the name from here",
            )
            .at(format!("{DOCUMENT}:{line}:1"))
            .expected(format!("name: {name}"))
            .found(format!("name: {found}")),
        ),
        None => problems.push(missing("name", &format!("name: {name}"))),
    }
    match head.member("description") {
        Some((_, text)) if !text.is_empty() && text.chars().count() <= DESCRIPTION_CHARS_MAX => {}
        Some((line, text)) if !text.is_empty() => problems.push(
            Problem::warning("long_description", "the description is longer than agents read")
                .at(format!("{DOCUMENT}:{line}:1"))
                .expected(format!("at most {DESCRIPTION_CHARS_MAX} characters"))
                .found(format!("{} characters", text.chars().count())),
        ),
        _ => problems.push(missing("description", "description: What it does, and when to use it.")),
    }
    problems
}

fn missing(member: &str, expected: &str) -> Problem {
    Problem::warning(
        "no_front_matter",
        format!("its head has no `{member}`, by which agents find a skill"),
    )
    .at(format!("{DOCUMENT}:1:1"))
    .expected(expected)
}

fn first_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
    crate::terminal::cut(&crate::terminal::plain_line(line), 60)
}

/// What stands between the first two lines of three hyphens.
struct Head<'a> {
    lines: Vec<&'a str>,
}

impl<'a> Head<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let text = text.trim_start_matches('\u{feff}');
        let mut lines = text.lines();
        if lines.next()?.trim_end() != "---" {
            return None;
        }
        let lines: Vec<&str> = lines.collect();
        let end = lines.iter().position(|line| line.trim_end() == "---")?;
        Some(Self {
            lines: lines[..end].to_vec(),
        })
    }

    /// Returns a member with its line in the file.
    fn member(&self, name: &str) -> Option<(usize, String)> {
        let at = self.lines.iter().position(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
        })?;
        let (_, value) = self.lines[at].split_once(':')?;
        let value = value.trim();
        // A text that goes on in the lines below, which are indented.
        let folded = value.is_empty() || value.starts_with(['>', '|']);
        let below = self.lines[at + 1..]
            .iter()
            .take_while(|line| line.starts_with([' ', '\t']));
        let below: Vec<&str> = below.map(|line| line.trim()).collect();
        let text = match (folded, below.is_empty()) {
            (true, _) => below.join(" "),
            (false, true) => value.to_owned(),
            (false, false) => format!("{value} {}", below.join(" ")),
        };
        let text = text.trim_matches(|c| c == '"' || c == '\'').to_owned();
        // The head's first line is the second of the file.
        Some((at + 2, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        let name = SkillName::parse("notes").expect("a name");
        let problems = problems(Some(text), &name).into_iter();
        problems
            .map(|problem| {
                format!(
                    "{} {}",
                    problem.place.unwrap_or_default(),
                    problem.code.unwrap_or_default()
                )
            })
            .collect()
    }

    #[test]
    fn a_head_that_agents_read_is_in_order_however_it_is_written() {
        for head in [
            "name: notes\ndescription: Takes notes.",
            "name: \"notes\"\ndescription: >\n  Takes\n  notes.",
            "description: Takes notes\n  of all kinds.\nlicense: MIT\nname: notes",
        ] {
            assert_eq!(
                said(&format!("---\n{head}\n---\n# Notes\n")),
                Vec::<String>::new(),
                "{head}"
            );
        }
    }

    #[test]
    fn what_agents_would_stumble_over_is_told_with_its_line() {
        assert_eq!(said("# Notes\n"), ["SKILL.md:1:1 no_front_matter"]);
        assert_eq!(
            said("---\nname: notes\n"),
            ["SKILL.md:1:1 no_front_matter"],
            "a head that does not end"
        );
        assert_eq!(
            said("---\nname: notes\ndescription:\n---\n"),
            ["SKILL.md:1:1 no_front_matter"]
        );
        assert_eq!(
            said("---\ndescription: x\nname: node\n---\n"),
            ["SKILL.md:3:1 other_name"]
        );
        let long = format!("---\nname: notes\ndescription: {}\n---\n", "x".repeat(2_000));
        assert_eq!(said(&long), ["SKILL.md:3:1 long_description"]);
        let name = SkillName::parse("notes").expect("a name");
        assert_eq!(problems(None, &name)[0].code.as_deref(), Some("no_document"));
    }
}
