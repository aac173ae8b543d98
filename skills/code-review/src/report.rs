//! Renders the report. No model is needed for it, so nothing is lost or added on the way.

use crate::{Finding, Found, Severity};

/// Renders the report as Markdown.
pub(crate) fn write(summary: &str, findings: &[Found], rejected: usize, not_reviewed: &[String]) -> String {
    let mut text = format!("# Code review\n\n{summary}\n");
    for (severity, heading) in [
        (Severity::Bug, "Bugs"),
        (Severity::Risk, "Risks"),
        (Severity::Nit, "Nits"),
    ] {
        let mut of_severity = findings
            .iter()
            .filter(|found| found.finding.severity == severity)
            .peekable();
        if of_severity.peek().is_some() {
            text.push_str(&format!("\n## {heading}\n"));
        }
        for found in of_severity {
            text.push_str(&section(found));
        }
    }
    if findings.is_empty() {
        text.push_str("\nNothing was found that is worth changing.\n");
    }
    if rejected > 0 {
        text.push_str(&format!(
            "\n{} did not hold up to a second look.\n",
            count(rejected, "finding")
        ));
    }
    if !not_reviewed.is_empty() {
        text.push_str("\n## Not reviewed\n\n");
        for file in not_reviewed {
            text.push_str(&format!("- {file}\n"));
        }
    }
    text
}

fn section(found: &Found) -> String {
    let Finding {
        title,
        line,
        explanation,
        suggestion,
        ..
    } = &found.finding;
    let place = match line {
        Some(line) => format!("{}:{line}", found.file),
        None => found.file.clone(),
    };
    let checked = match &found.second_look {
        Some(reason) => format!("Second look: {reason}"),
        None => "Not looked at a second time.".to_owned(),
    };
    format!("\n### {title}\n\n`{place}`\n\n{explanation}\n\n**Instead:** {suggestion}\n\n{checked}\n")
}

/// Returns the title of the inbox entry.
pub(crate) fn title(findings: &[Found], changes: usize) -> String {
    let of = |severity| {
        findings
            .iter()
            .filter(|found| found.finding.severity == severity)
            .count()
    };
    let counts = [
        (of(Severity::Bug), "bug"),
        (of(Severity::Risk), "risk"),
        (of(Severity::Nit), "nit"),
    ];
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| count(number, word))
        .collect();
    let found = if counts.is_empty() {
        "nothing to change".to_owned()
    } else {
        counts.join(", ")
    };
    format!("Code review of {}: {found}", count(changes, "change"))
}

fn count(number: usize, word: &str) -> String {
    if number == 1 {
        format!("1 {word}")
    } else {
        format!("{number} {word}s")
    }
}
