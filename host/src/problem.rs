//! Something that is wrong with a skill, told so that whoever writes it can mend it: the place, what was expected, what is there, and the fix.
//!
//! The compiler's messages, components that do not fit the world and mistakes in `SKILL.md` all become this, so that an agent that writes skills reads one form.

use serde::Serialize;
use serde_json::Value;
use skillhost_runtime::{DescribeError, LoadError};
use skillhost_toolchain::{Diagnostic, Level};

use crate::terminal::plain;

/// The longest text of a problem that programs are told, in characters: of a type's name, a compiler may write pages.
const CHARS_MAX: usize = 400;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The skill cannot be launched.
    Error,
    /// It can, and something should be mended nevertheless.
    Warning,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// A short word for programs: the compiler's, or one of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What is wrong.
    pub message: String,
    /// `file:line:column`, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What should be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What would mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Problem {
    /// Makes one that keeps the skill from being launched.
    pub fn error(code: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code: Some(code.to_owned()),
            message: message.into(),
            place: None,
            expected: None,
            found: None,
            fix: None,
        }
    }

    /// Makes one that does not.
    pub fn warning(code: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message)
        }
    }

    /// Adds where it is.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Adds what should be there.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Adds what is there.
    #[must_use]
    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    /// Adds what would mend it.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Makes one of a component that does not load.
    pub fn of_load(error: &LoadError, component: &str) -> Self {
        let misfit = error.misfit();
        let mut problem = Self::error("does_not_load", misfit.message).at(component);
        problem.expected = misfit.expected;
        problem.found = misfit.found;
        problem.fix = misfit.fix;
        problem
    }

    /// Makes one of a component that loads and does not describe itself.
    pub fn of_describe(error: &DescribeError, component: &str) -> Self {
        Self::error("bad_description", error.to_string())
            .at(component)
            .expected("`describe` returns what the skill is, without making calls")
            .fix("rebuild it with `skillhost-sdk`, whose `#[skill]` writes `describe`")
    }

    /// Makes one of what the compiler says.
    pub fn of_compiler(diagnostic: &Diagnostic) -> Self {
        Self {
            severity: match diagnostic.level {
                Level::Error => Severity::Error,
                Level::Warning => Severity::Warning,
            },
            code: diagnostic.code.clone(),
            message: plain(&diagnostic.message),
            place: diagnostic
                .place
                .as_ref()
                .map(|place| format!("{}:{}:{}", place.file, place.line, place.column)),
            expected: diagnostic.expected.clone(),
            found: diagnostic.found.clone(),
            fix: diagnostic.fix.clone(),
        }
    }

    /// Returns it for people, in lines.
    pub fn lines(&self) -> String {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut lines = format!("{severity}: {}\n", self.message);
        let members = [
            ("at", &self.place),
            ("expected", &self.expected),
            ("found", &self.found),
            ("fix", &self.fix),
        ];
        for (name, member) in members {
            if let Some(text) = member {
                let text = text.trim_end().replace('\n', &format!("\n{:12}", ""));
                lines.push_str(&format!("  {:<9} {text}\n", format!("{name}:")));
            }
        }
        lines
    }

    /// Returns it for programs, with texts that fit into a line of theirs.
    pub fn value(&self) -> Value {
        let mut value = serde_json::to_value(self).expect("texts serialise");
        for member in value
            .as_object_mut()
            .into_iter()
            .flat_map(|members| members.values_mut())
        {
            if let Value::String(text) = member
                && text.chars().count() > CHARS_MAX
            {
                *text = text.chars().take(CHARS_MAX - 1).chain(['…']).collect();
            }
        }
        value
    }
}

/// Returns whether one of them keeps the skill from being launched.
pub fn any_error(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_in_lines_to_people_and_in_short_texts_to_programs() {
        let problem = Problem::warning("long", "too long")
            .at("SKILL.md:3:1")
            .found("x".repeat(5_000))
            .fix("shorten it");
        assert!(
            problem
                .lines()
                .starts_with("warning: too long\n  at:       SKILL.md:3:1\n  found:    xxx")
        );
        assert!(
            Problem::error("x", "y")
                .fix("a\nb")
                .lines()
                .ends_with("  fix:      a\n            b\n")
        );
        assert!(!any_error(std::slice::from_ref(&problem)));
        let value = problem.value();
        assert_eq!(
            value["found"].as_str().map(|text| text.chars().count()),
            Some(CHARS_MAX)
        );
        assert_eq!(value["fix"], Value::from("shorten it"));
    }
}
