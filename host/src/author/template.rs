//! Makes the crate of a new skill: a small one of its kind that works as it stands.
//!
//! A template is a crate, `my-skill`, in `host/templates`; what a crate is called is all that changes when it is made.

use std::fs;
use std::io;
use std::path::Path;

use clap::ValueEnum;
use skillhost_core::id::SkillName;
use toml::{Table, Value};

use super::project::point_to;
use crate::carried::{self, Sdk};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::Home;

/// What every template is called.
const PLACEHOLDER: &str = "my-skill";

/// Files in which the name stands.
const NAMED: [&str; 2] = ["Cargo.toml", "SKILL.md"];

/// Names that cargo or the language would stumble over.
const UNUSABLE: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "skillhost-sdk",
    "skillhost-sdk-macros",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// What a new skill begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// One model call
    #[default]
    Minimal,
    /// Many model calls at once, of which some may fail, and a report
    FanOut,
    /// A draft that a person approves
    Approval,
    /// A model with tools, which answers from documents
    Agent,
}

impl Template {
    /// Returns what it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::FanOut => "fan-out",
            Self::Approval => "approval",
            Self::Agent => "agent",
        }
    }
}

/// Checks that a skill's crate can be called so.
pub fn check_name(text: &str) -> Result<SkillName> {
    let refused = |reason: &str| {
        let message = format!("`{text}` cannot be the name of a new skill: {reason}");
        CliError::invalid("bad_name", message).hint("such as `skillhost new daily-summary`")
    };
    let name = SkillName::parse(text)
        .map_err(|e| CliError::of(Exit::Invalid, "bad_name", &e).hint("such as `skillhost new daily-summary`"))?;
    if !text.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Err(refused("the crate of a skill begins with a letter"));
    }
    if UNUSABLE.contains(&text) {
        return Err(refused("it means something in Rust, or to cargo"));
    }
    Ok(name)
}

/// Makes a crate in a folder that is not there yet, in one step.
pub fn make(template: Template, name: &SkillName, folder: &Path, home: &Home) -> Result<()> {
    if fs::symlink_metadata(folder).is_ok() {
        let message = format!("`{}` is there already", folder.display());
        return Err(CliError::invalid("exists", message)
            .hint(format!("`skillhost new {name} --path OTHER` makes it elsewhere")));
    }
    let not_made = |e: &io::Error| {
        CliError::new(
            Exit::Storage,
            "not_written",
            format!("could not make `{}`", folder.display()),
        )
        .caused_by(e)
    };
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|e| not_made(&e))?;
    let fresh = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(parent)
        .map_err(|e| not_made(&e))?;
    write(template, name, fresh.path()).map_err(|e| not_made(&e))?;
    fs::write(fresh.path().join("Cargo.lock"), lock(name)?).map_err(|e| not_made(&e))?;
    point_to(fresh.path(), &Sdk::unpack(home)?)?;
    // Temporary folders are open to their owner alone, a crate need not be.
    let rights = fs::metadata(parent).map_err(|e| not_made(&e))?.permissions();
    fs::set_permissions(fresh.path(), rights).map_err(|e| not_made(&e))?;
    fs::rename(fresh.path(), folder).map_err(|e| not_made(&e))
}

fn write(template: Template, name: &SkillName, folder: &Path) -> io::Result<()> {
    for (path, content) in carried::template(template.name()) {
        let content = match NAMED.contains(&path.as_str()) {
            true => String::from_utf8_lossy(&content)
                .replace(PLACEHOLDER, name.as_str())
                .into_bytes(),
            false => content,
        };
        let to = match path.as_str() {
            "gitignore" => ".gitignore",
            path => path,
        };
        let to = folder.join(to);
        fs::create_dir_all(to.parent().expect("it is below the folder"))?;
        fs::write(to, content)?;
    }
    Ok(())
}

/// Returns the lock file of a crate: the SDK's, and the crate itself.
fn lock(name: &SkillName) -> Result<String> {
    let mut lock: Table = Sdk::lock()?.parse().expect("the build wrote it");
    let package = Table::from_iter([
        ("name".to_owned(), Value::from(name.as_str())),
        ("version".to_owned(), Value::from("0.1.0")),
        ("dependencies".to_owned(), Value::from(vec!["skillhost-sdk"])),
    ]);
    if let Some(Value::Array(packages)) = lock.get_mut("package") {
        packages.push(Value::Table(package));
        packages.sort_by_key(|package| package["name"].to_string());
    }
    let text = toml::to_string(&lock).expect("a table can be written");
    Ok(format!(
        "# This file is automatically @generated by Cargo.\n# It is not intended for manual editing.\n{text}"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use std::collections::BTreeSet;

    use super::*;
    use crate::author::document;
    use crate::cases::Case;
    use skillhost_effects::model::offline::Script;

    fn text(template: Template, path: &str) -> String {
        String::from_utf8(carried::template(template.name())[path].clone()).unwrap()
    }

    #[test]
    fn every_template_is_a_whole_skill_whose_parts_can_be_read() {
        let placeholder = SkillName::parse(PLACEHOLDER).unwrap();
        for template in Template::value_variants() {
            let files = carried::template(template.name());
            for needed in ["Cargo.toml", "SKILL.md", "gitignore", "offline.toml", "src/lib.rs"] {
                assert!(files.contains_key(needed), "{template:?}: {needed}");
            }
            assert_eq!(document::problems(Some(&text(*template, "SKILL.md")), &placeholder), []);
            Script::parse(&text(*template, "offline.toml")).unwrap();
            let cases: Vec<&String> = files.keys().filter(|path| path.starts_with("tests/")).collect();
            assert!(!cases.is_empty(), "{template:?} has no case");
            for case in cases {
                Case::parse(&text(*template, case)).unwrap_or_else(|e| panic!("{template:?} {case}: {e}"));
            }
            assert!(
                text(*template, "src/lib.rs").contains("#[test]"),
                "{template:?} has no test"
            );
        }
    }

    #[test]
    fn every_template_is_built_alike_and_kept_out_of_version_control_where_it_is_not_the_authors() {
        let of = |path: &str| -> BTreeSet<String> {
            let templates = Template::value_variants().iter();
            let texts = templates.map(|template| text(*template, path));
            texts
                .map(|text| {
                    text.lines()
                        .filter(|line| !line.starts_with("description"))
                        .collect::<Vec<_>>()
                        .join("\n")
                })
                .collect()
        };
        assert_eq!(of("Cargo.toml").len(), 1, "{:#?}", of("Cargo.toml"));
        let ignored = of("gitignore").pop_first().unwrap();
        assert!(
            ignored.contains("/target") && ignored.contains("/.cargo/config.toml"),
            "{ignored}"
        );
    }

    #[test]
    fn a_name_that_cargo_or_rust_would_stumble_over_is_refused_at_once() {
        assert!(check_name("daily-summary").is_ok());
        for name in [
            "match",
            "test",
            "std",
            "skillhost-sdk",
            "2fast",
            "-x",
            "Big",
            "a b",
            "",
            "../x",
        ] {
            assert_eq!(check_name(name).unwrap_err().code, "bad_name", "{name}");
        }
    }
}
