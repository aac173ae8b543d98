//! What `skillhost explain` knows: short pages about how runs behave and what each error code means.
//!
//! A page is a file of `host/pages/`, which this program carries with it: the first line is its title, and a heading `## code` begins the section of an error code.
//! Pages are prose for people; what a program compares is the code alone. The tests hold the pages to the sources: every code has one section, and no section is left over.

use std::collections::VecDeque;

use unicode_width::UnicodeWidthStr as _;

/// What begins the section of a code.
const SECTION: &str = "## ";

/// The widest line of a page, in columns: longer ones are hard to read.
const WIDTH_MAX: usize = 100;

/// The pages, in the order in which they are listed.
const PAGES: &[Page] = &[
    page("runs", include_str!("../pages/runs.md")),
    page("questions", include_str!("../pages/questions.md")),
    page("parked", include_str!("../pages/parked.md")),
    page("mismatch", include_str!("../pages/mismatch.md")),
    page("effects", include_str!("../pages/effects.md")),
    page(FAULTS, include_str!("../pages/faults.md")),
    page("budget", include_str!("../pages/budget.md")),
    page(GRANTS, include_str!("../pages/grants.md")),
    page("folders", include_str!("../pages/folders.md")),
    page("limits", include_str!("../pages/limits.md")),
    page("models", include_str!("../pages/models.md")),
    page("secrets", include_str!("../pages/secrets.md")),
    page("offline", include_str!("../pages/offline.md")),
    page("skills", include_str!("../pages/skills.md")),
    page("writing", include_str!("../pages/writing.md")),
    page("cases", include_str!("../pages/cases.md")),
    page("input", include_str!("../pages/input.md")),
    page("daemon", include_str!("../pages/daemon.md")),
    page("storage", include_str!("../pages/storage.md")),
    page("machine", include_str!("../pages/machine.md")),
    page("agent", include_str!("../pages/agent.md")),
    page("exit-codes", include_str!("../pages/exit-codes.md")),
];

/// The page of what a skill is told, and so of what it may fail with.
const FAULTS: &str = "faults";

/// The page of what skills may do, and of what may come of that.
const GRANTS: &str = "grants";

/// The pages with codes that a skill may fail with, because it passed on what it was told. Any other code of a skill is its own, whatever skillhost means by the word.
const OF_SKILLS: &[&str] = &[FAULTS, GRANTS, "budget", "offline", "mismatch"];

/// A page.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The word that it is asked for by.
    pub topic: &'static str,
    text: &'static str,
}

/// A part of a page that is about an error code.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// The word of its page.
    pub topic: &'static str,
    /// The code.
    pub code: &'static str,
    /// What is said of it, with its heading.
    pub text: &'static str,
}

const fn page(topic: &'static str, text: &'static str) -> Page {
    Page { topic, text }
}

/// Returns every page, in the order in which they are listed.
pub fn pages() -> impl Iterator<Item = &'static Page> {
    PAGES.iter()
}

/// Returns the section about a code of skillhost's.
pub fn section(code: &str) -> Option<Section> {
    pages()
        .flat_map(|page| page.sections())
        .find(|section| section.code == code)
}

/// Returns what to ask for about an error of skillhost's: its code, if a section explains it.
pub fn word_for(code: &str) -> Option<&'static str> {
    section(code).map(|section| section.code)
}

/// Returns what to ask for about a failure of a skill, which may have codes of its own.
pub fn word_for_failure(code: &str) -> &'static str {
    match section(code) {
        Some(section) if OF_SKILLS.contains(&section.topic) => section.code,
        _ => FAULTS,
    }
}

impl Page {
    /// Returns the page of this topic.
    pub fn of(topic: &str) -> Option<&'static Self> {
        pages().find(|page| page.topic == topic)
    }

    /// Returns its title.
    pub fn title(&self) -> &'static str {
        let first = self.text.lines().next().unwrap_or_default();
        first.trim_start_matches("# ")
    }

    /// Returns the whole page as it is written.
    pub fn text(&self) -> &'static str {
        self.text
    }

    /// Returns its sections, in order.
    pub fn sections(&self) -> impl Iterator<Item = Section> + use<> {
        let topic = self.topic;
        let text = self.text;
        let starts = text
            .match_indices(SECTION)
            .map(|(at, _)| at)
            .filter(|at| text[..*at].ends_with('\n'));
        let mut bounds: VecDeque<usize> = starts.chain([text.len()]).collect();
        std::iter::from_fn(move || {
            let from = bounds.pop_front()?;
            let text = text[from..*bounds.front()?].trim_end();
            let code = text
                .lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches(SECTION)
                .trim();
            Some(Section { topic, code, text })
        })
    }
}

/// Fits a text into lines of `width` columns. Headings, tables and what is indented by four blanks stay as they are: these are for pasting.
pub fn fitted(text: &str, width: usize) -> String {
    let width = width.min(WIDTH_MAX);
    let mut fitted = String::new();
    // A paragraph, or a point of a list, that goes on.
    let mut open: Option<String> = None;
    for line in text.lines() {
        let as_it_is = line.is_empty() || line.starts_with("    ") || line.starts_with(['#', '|']);
        let is_point = line.starts_with("- ");
        if (as_it_is || is_point)
            && let Some(paragraph) = open.take()
        {
            wrap(&paragraph, width, &mut fitted);
        }
        match (as_it_is, &mut open) {
            (true, _) => {
                fitted.push_str(line);
                fitted.push('\n');
            }
            (false, Some(paragraph)) => {
                paragraph.push(' ');
                paragraph.push_str(line.trim());
            }
            (false, None) => open = Some(line.to_owned()),
        }
    }
    if let Some(paragraph) = open {
        wrap(&paragraph, width, &mut fitted);
    }
    fitted
}

/// Adds a paragraph in lines that are no wider than `width`, unless one word is. What stands between backticks is one word, so that it can be pasted.
fn wrap(paragraph: &str, width: usize, into: &mut String) {
    let indent = if paragraph.starts_with("- ") { "  " } else { "" };
    let mut columns = 0;
    for word in words(paragraph) {
        if columns > 0 && columns + 1 + word.width() > width {
            into.push('\n');
            into.push_str(indent);
            columns = indent.len();
        } else if columns > 0 {
            into.push(' ');
            columns += 1;
        }
        into.push_str(&word);
        columns += word.width();
    }
    into.push('\n');
}

fn words(paragraph: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut quoted = false;
    for word in paragraph.split_whitespace() {
        match words.last_mut() {
            Some(last) if quoted => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
        quoted ^= word.matches('`').count() % 2 == 1;
    }
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let page = page(
            "x",
            "# X\n\nFirst.\n\n## one\n\nOne, not ## two.\n\n## three\n\nThree.\n",
        );
        let sections: Vec<(&str, &str)> = page.sections().map(|section| (section.code, section.text)).collect();
        assert_eq!(
            sections,
            [("one", "## one\n\nOne, not ## two."), ("three", "## three\n\nThree.")]
        );
        assert_eq!(page.title(), "X");
    }

    #[test]
    fn prose_is_fitted_and_what_is_pasted_stays_in_one_piece() {
        let text = "one two three `four five six` seven\n\n- eight nine ten eleven\n\n    a command that is wider than the rest\n";
        let fitted = fitted(text, 16);
        assert_eq!(
            fitted,
            "one two three\n`four five six`\nseven\n\n- eight nine ten\n  eleven\n\n    a command that is wider than the rest\n"
        );
    }

    #[test]
    fn a_code_that_is_the_skills_own_is_not_taken_for_one_of_skillhosts() {
        assert_eq!(word_for("held"), Some("held"));
        assert_eq!(word_for_failure("held"), FAULTS);
        assert_eq!(word_for_failure("declined"), FAULTS);
        assert_eq!(word_for_failure("overloaded"), "overloaded");
        assert_eq!(word_for_failure("budget"), "budget");
    }
}
