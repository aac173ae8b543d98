//! What the program explains: every code that it tells, and nothing that it does not.
//!
//! The codes are taken from the sources, by the few forms in which they are made there. A code that is made in a form of its own escapes [`codes`], so that list of forms is
//! to be kept whole; one that only the pages know does not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use skillhost::cli::Cli;
use skillhost::explain;

use crate::machine::Machine;

/// Where codes are made, beneath `host/`.
const SOURCES: &[&str] = &["src", "effects/src/model", "runtime/src/guest"];

/// What an error is made by: the first text between the parentheses is its code, unless that comes from elsewhere.
const MADE_BY: &[&str] = &[
    "CliError::new(",
    "CliError::of(",
    "CliError::invalid(",
    "Self::of(",
    "ErrorMember::new(",
    "failure(",
    "Problem::error(",
    "Problem::warning(",
    "Self::error(",
    "Self::warning(",
];

/// After these a code stands alone.
const STANDS_AFTER: &[&str] = &[
    " code: ",
    "const CODE: &str = ",
    "const RUNAWAY: &str = ",
    "const UNSCRIPTED: &str = ",
];

/// What begins a choice between codes, up to the next of [`CHOICE_ENDS`].
const CHOICES: &[&str] = &[
    "let code = match ",
    "let (code, message) = match ",
    "let (message, code) = match ",
    "let (exit, code) = match ",
    "let (exit, code, hint) = match ",
    "pub fn code(&self) -> &'static str {",
];

const CHOICE_ENDS: &[&str] = &["\n    }", "};\n"];

/// A form of words of which every constant is a code: what a skill is told, on both sides.
const CONSTANTS: &[(&str, &str)] = &[
    ("core/src/outcome.rs", "impl Fault {"),
    ("../guest-sdk/src/failure.rs", "pub mod code {"),
];

#[test]
fn every_code_that_the_program_tells_is_explained_and_no_other() {
    let made = codes();
    let mut explained: BTreeMap<&str, &str> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for section in explain::pages().flat_map(explain::Page::sections) {
        let page = format!("host/pages/{}.md", section.topic);
        if let Some(other) = explained.insert(section.code, section.topic) {
            mistakes.push(format!(
                "`{}` is explained in `{page}` and in `host/pages/{other}.md`: keep one",
                section.code
            ));
        }
        if !made.contains_key(section.code) {
            mistakes.push(format!(
                "`{page}` explains `{}`, which no source makes: remove the section, or add the form in which the code is made to this test",
                section.code
            ));
        }
        let is_topic_of_another = explain::Page::of(section.code).is_some_and(|page| page.topic != section.topic);
        if is_topic_of_another {
            mistakes.push(format!(
                "`{}` is a page: move its section from `{page}` there",
                section.code
            ));
        }
        if section.text.lines().filter(|line| !line.is_empty()).count() < 2 {
            mistakes.push(format!("the section `## {}` of `{page}` says nothing", section.code));
        }
    }
    for (code, source) in &made {
        if !explained.contains_key(code.as_str()) {
            mistakes.push(format!(
                "`{code}` (made in `{source}`) is not explained: add a section `## {code}` to the page of `host/pages/` that fits, with what it means, why it \
                 happens, and what to do, as commands that can be pasted"
            ));
        }
    }
    assert!(mistakes.is_empty(), "\n{}", mistakes.join("\n"));
    assert!(made.len() > 120, "only {} codes were found in the sources", made.len());
}

#[test]
fn every_command_on_a_page_is_one() {
    let cli = Cli::command();
    let mut mistakes = Vec::new();
    let mut seen = 0;
    for page in explain::pages() {
        for line in page.text().lines() {
            let quoted = line.split('`').skip(1).step_by(2);
            for words in quoted.chain(line.strip_prefix("    ")) {
                let Some(words) = words.trim().strip_prefix("skillhost") else {
                    continue;
                };
                seen += 1;
                if let Err(mistake) = check_command(cli.clone(), words) {
                    mistakes.push(format!("host/pages/{}.md: `skillhost{words}`: {mistake}", page.topic));
                }
            }
        }
    }
    assert!(mistakes.is_empty(), "\n{}", mistakes.join("\n"));
    assert!(seen > 100, "only {seen} commands were found on the pages");
}

/// Says whether a line names a command of ours, or a topic, and only flags that the command has.
fn check_command(mut command: clap::Command, words: &str) -> Result<(), String> {
    command.build();
    let mut words = words
        .split_whitespace()
        .take_while(|word| !word.starts_with('<') && *word != "--");
    let first = words.next().unwrap_or("--help");
    let mut command = match first {
        "--help" => return Ok(()),
        name => command
            .find_subcommand(name)
            .ok_or(format!("there is no command `{name}`"))?
            .clone(),
    };
    for word in words {
        if let Some(below) = command.find_subcommand(word) {
            command = below.clone();
        } else if command.get_name() == "explain" && !matches!(word, "TOPIC" | "CODE") {
            explain::Page::of(word).ok_or(format!("there is no page `{word}`"))?;
        } else if let Some(flag) = word.strip_prefix("--") {
            let flag = flag.split('=').next().unwrap_or(flag);
            // Whatever `launch` does not know is a field of the skill.
            let known = command.get_name() == "launch"
                || flag == "help"
                || command.get_arguments().any(|arg| arg.get_long() == Some(flag));
            if !known {
                return Err(format!("`{}` has no `--{flag}`", command.get_name()));
            }
        }
    }
    Ok(())
}

#[test]
fn every_page_begins_with_a_title_and_fits_the_width() {
    for page in explain::pages() {
        assert!(
            page.text().starts_with("# "),
            "host/pages/{}.md has no title",
            page.topic
        );
        assert!(page.title().len() < 80, "{}", page.title());
        let fitted = explain::fitted(page.text(), 60);
        let wide = fitted.lines().find(|line| {
            let stays = line.starts_with("    ") || line.starts_with(['#', '|']);
            !stays && line.chars().count() > 60
        });
        // What stands between backticks is one word.
        assert!(wide.is_none_or(|line| line.contains('`')), "{wide:?}");
    }
    let files = fs::read_dir(host().join("pages")).unwrap();
    let files: BTreeSet<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let pages: BTreeSet<String> = explain::pages().map(|page| format!("{}.md", page.topic)).collect();
    assert_eq!(
        files, pages,
        "a page is a file in `host/pages/` and a line in `host/src/explain.rs`"
    );
}

#[test]
fn topics_are_listed_pages_are_printed_and_codes_are_explained() {
    let machine = Machine::new();
    let lines = [
        "explain",
        "explain budget",
        "explain journal_locked",
        "explain 70",
        "explain journal_lokced",
        "explain declined",
        "show nowhere",
        "show nowhere --json",
        "explain journal_locked --json",
    ];
    let seen: Vec<String> = lines.iter().map(|line| machine.see(line)).collect();
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn a_page_that_is_longer_than_a_line_is_in_a_file_for_programs() {
    let seen = Machine::new().see("explain runs --json");
    assert!(
        seen.contains("\"result_path\":\"[DIR]/home/results/explain-runs.json\""),
        "{seen}"
    );
    assert!(Machine::new().see("explain --json").contains("{\"topic\":\"storage\""));
}

#[test]
fn what_is_missing_on_the_machine_is_explained_without_it() {
    // An empty HOME would be looked up in the system's list of users; a relative one is none.
    let machine = Machine::new().with("SKILLHOST_HOME", "").with("HOME", "relative");
    let refused = machine.see("list");
    assert!(refused.contains("see: `skillhost explain no_home`"), "{refused}");
    let seen = machine.see("explain no_home");
    assert!(
        seen.contains("exit 0") && seen.contains("export SKILLHOST_HOME"),
        "{seen}"
    );
}

fn host() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Finds every code that the sources make, and a source that does.
fn codes() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in SOURCES {
        for file in files(&host().join(folder)) {
            let source = without_tests(&fs::read_to_string(&file).unwrap());
            let name = file.strip_prefix(host()).unwrap().display().to_string();
            for code in codes_of(&source) {
                found.entry(code).or_insert(format!("host/{name}"));
            }
        }
    }
    for (file, begins) in CONSTANTS {
        let source = fs::read_to_string(host().join(file)).unwrap();
        let from = source.find(begins).expect("the constants are where they were");
        let block = source[from..].split_once("\n}").unwrap().0;
        let codes = block.split(": &str = ").skip(1).filter_map(text_at);
        found.extend(codes.map(|code| (code, format!("host/{file}"))));
    }
    // How a run stands that is not over, in the words of the journal; and the exit codes.
    let own = ["running", "waiting", "parked", "paused"]
        .map(|status| (status.to_owned(), "host/src/cli/waits.rs".to_owned()));
    found.extend(own);
    let exits = fs::read_to_string(host().join("src/exit.rs")).unwrap();
    let numbers = exits
        .lines()
        .filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = ")?.1.parse::<u8>().ok());
    found.extend(numbers.map(|number| (number.to_string(), "host/src/exit.rs".to_owned())));
    found
}

fn codes_of(source: &str) -> Vec<String> {
    let mut codes = Vec::new();
    for made_by in MADE_BY {
        for after in source.split(made_by).skip(1) {
            // The exit code may stand before it, in one word.
            let exit = after.split_once(',').filter(|(exit, _)| {
                exit.chars()
                    .all(|c| c.is_alphanumeric() || c.is_whitespace() || c == ':')
            });
            codes.extend(text_at(after).or_else(|| text_at(exit?.1)));
        }
    }
    // A code also stands beside its exit code, whoever is given both.
    for after in source.split("Exit::").skip(1) {
        let beside = after
            .split_once(',')
            .filter(|(exit, _)| exit.chars().all(char::is_alphanumeric));
        codes.extend(beside.and_then(|(_, rest)| text_at(rest)));
    }
    for before in STANDS_AFTER {
        codes.extend(source.split(before).skip(1).filter_map(text_at));
    }
    for begins in CHOICES {
        for after in source.split(begins).skip(1) {
            let end = CHOICE_ENDS
                .iter()
                .filter_map(|end| after.find(end))
                .min()
                .unwrap_or(after.len());
            // Codes have no blanks: what has is a message or a hint.
            codes.extend(
                after[..end]
                    .split('"')
                    .skip(1)
                    .step_by(2)
                    .map(str::to_owned)
                    .filter(|text| is_code(text)),
            );
        }
    }
    codes
}

/// Returns the text that begins here, if it can be a code.
fn text_at(source: &str) -> Option<String> {
    let text = source.trim_start().strip_prefix('"')?.split_once('"')?.0;
    is_code(text).then(|| text.to_owned())
}

fn is_code(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
}

fn without_tests(source: &str) -> String {
    source
        .split("\n#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Returns the sources beneath a folder, those of tests apart.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files_found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true if path.ends_with("tests") => {}
            true => files_found.extend(files(&path)),
            false if path.ends_with("tests.rs") => {}
            false => files_found.push(path),
        }
    }
    files_found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files_found
}
