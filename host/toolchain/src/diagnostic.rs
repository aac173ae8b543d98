//! What the compiler says of a source, as a program reads it.

use serde::Deserialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Nothing was built.
    Error,
    /// Something was built nevertheless.
    Warning,
}

/// A place in a source, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Relative to the crate, or to its workspace.
    pub file: String,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// Something that the compiler says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Level,
    /// Its code, such as `E0308`, or the name of a lint.
    pub code: Option<String>,
    /// What is wrong.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
    /// What the compiler would have taken, if it is that kind of mistake.
    pub expected: Option<String>,
    /// What stands there instead, or what the compiler remarks at the place.
    pub found: Option<String>,
    /// What would mend it, if the compiler knows.
    pub fix: Option<String>,
}

/// A diagnostic as `rustc` writes it.
#[derive(Deserialize)]
pub(crate) struct Raw {
    message: String,
    level: String,
    code: Option<Code>,
    spans: Vec<Span>,
    #[serde(default)]
    children: Vec<Raw>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    line_start: u32,
    column_start: u32,
    is_primary: bool,
    label: Option<String>,
    suggested_replacement: Option<String>,
}

impl Raw {
    /// Returns what it says, unless it says nothing of its own (how many errors there were, where to read on).
    pub(crate) fn into_diagnostic(self) -> Option<Diagnostic> {
        let level = match self.level.as_str() {
            "error" | "error: internal compiler error" => Level::Error,
            "warning" => Level::Warning,
            _ => return None,
        };
        let primary = self.spans.iter().find(|span| span.is_primary);
        if primary.is_none() && self.code.is_none() && is_summary(&self.message) {
            return None;
        }
        let label = primary.and_then(|span| span.label.as_deref());
        let (expected, found) = label.map_or((None, None), expectation);
        Some(Diagnostic {
            level,
            place: primary.map(|span| Place {
                file: span.file_name.clone(),
                line: span.line_start,
                column: span.column_start,
            }),
            expected,
            found,
            fix: self.children.iter().find_map(Self::fix),
            code: self.code.map(|code| code.code),
            message: self.message,
        })
    }

    /// Returns what a remark advises.
    fn fix(&self) -> Option<String> {
        if self.level != "help" {
            return None;
        }
        let replacements = self
            .spans
            .iter()
            .filter_map(|span| span.suggested_replacement.as_deref());
        let replacements: Vec<&str> = replacements.map(str::trim).filter(|text| !text.is_empty()).collect();
        match replacements.is_empty() {
            true => Some(self.message.clone()),
            false => Some(format!("{}: `{}`", self.message, replacements.join("` and `"))),
        }
    }
}

/// Splits what stands at a place: ``expected `String`, found `u32` ``, or a remark of another kind.
fn expectation(label: &str) -> (Option<String>, Option<String>) {
    let expected = label
        .strip_prefix("expected ")
        .and_then(|rest| rest.split_once(", found "));
    match expected {
        Some((expected, found)) => (Some(expected.to_owned()), Some(found.to_owned())),
        None if label.is_empty() => (None, None),
        None => (None, Some(label.to_owned())),
    }
}

fn is_summary(message: &str) -> bool {
    message.starts_with("aborting due to") || message.ends_with(" emitted")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Diagnostic> {
        serde_json::from_str::<Raw>(text).unwrap().into_diagnostic()
    }

    #[test]
    fn a_mismatch_has_its_place_and_what_was_expected_and_found() {
        let read = read(
            r#"{"message": "mismatched types", "level": "error", "code": {"code": "E0308", "explanation": null}, "rendered": "..",
            "spans": [
                {"file_name": "src/lib.rs", "line_start": 3, "column_start": 9, "is_primary": false, "label": "here", "suggested_replacement": null},
                {"file_name": "src/lib.rs", "line_start": 12, "column_start": 5, "is_primary": true, "label": "expected `String`, found `&str`", "suggested_replacement": null}],
            "children": [
                {"message": "a note", "level": "note", "code": null, "spans": [], "children": []},
                {"message": "try using a conversion method", "level": "help", "code": null, "children": [], "spans": [
                    {"file_name": "src/lib.rs", "line_start": 12, "column_start": 8, "is_primary": true, "label": null, "suggested_replacement": ".to_string()"}]}]}"#,
        );
        let place = Place {
            file: "src/lib.rs".to_owned(),
            line: 12,
            column: 5,
        };
        let expected = Diagnostic {
            level: Level::Error,
            code: Some("E0308".to_owned()),
            message: "mismatched types".to_owned(),
            place: Some(place),
            expected: Some("`String`".to_owned()),
            found: Some("`&str`".to_owned()),
            fix: Some("try using a conversion method: `.to_string()`".to_owned()),
        };
        assert_eq!(read, Some(expected));
    }

    #[test]
    fn what_only_counts_the_others_is_passed_over() {
        let summary = |message: &str, level: &str| {
            read(&format!(
                r#"{{"message": "{message}", "level": "{level}", "code": null, "spans": [], "children": []}}"#
            ))
        };
        assert_eq!(summary("aborting due to 2 previous errors", "error"), None);
        assert_eq!(summary("1 warning emitted", "warning"), None);
        assert_eq!(summary("For more information about this error", "failure-note"), None);
        let linker = summary("linking with `rust-lld` failed", "error").expect("that is one of its own");
        assert_eq!((linker.level, linker.place), (Level::Error, None));
    }
}
