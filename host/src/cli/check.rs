//! `check`: says whether a component would load, and what is wrong with the skill that it belongs to.

use std::path::{Path, PathBuf};

use clap::Args;
use skillhost_core::id::SkillName;
use skillhost_effects::model::offline::Script;

use super::context::Context;
use super::install;
use super::report::{Envelope, ErrorMember, Report, Rows};
use crate::author::build;
use crate::author::component::{Examined, examine};
use crate::author::document::{self, DOCUMENT};
use crate::author::project::Project;
use crate::bundle::{COMPONENT_BYTES_MAX, FILE_BYTES_MAX, SCRIPT, Scan};
use crate::cases::Case;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::read_regular;
use crate::problem::{Problem, any_error};
use crate::skills::Installed;
use crate::timeline::count;

/// The most cases of a skill that are looked at.
const CASES_MAX: usize = 1_000;

/// `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is built and nothing is run. What stands in words below is in `problems` with --json: place, expected, found, fix.

Examples:
  skillhost check hello-world
  skillhost check ./daily-summary
  skillhost check target/skillhost/daily-summary.wasm --json")]
pub struct CheckArgs {
    /// A component, a folder, or the name of a skill that is installed; `./x` is never a name
    pub what: String,
}

/// What is looked at.
struct Subject {
    /// What it is called here.
    shown: String,
    /// Its folder, if it has more than a component.
    folder: Option<PathBuf>,
    component: PathBuf,
    /// What it is launched by, if that is known.
    name: Option<SkillName>,
}

pub(super) fn run(args: &CheckArgs, context: &Context) -> Result<Report> {
    let subject = subject(&args.what, context)?;
    let mut problems = Vec::new();
    let examined = component(&subject, context, &mut problems)?;
    if let Some(folder) = &subject.folder {
        let own = examined.as_ref().map(|examined| &examined.description.name);
        let name = subject.name.as_ref().or(own);
        around(folder, name, &subject.component, &mut problems);
    }
    let rows = problems.iter().map(Problem::value).collect();
    let envelope = Envelope {
        path: Some(subject.component.clone()),
        component: examined.as_ref().map(Examined::value),
        rows: Some(Rows::Problems(rows)),
        ..Envelope::default()
    };
    let mut text = format!("component {}\n", context.path(&subject.component));
    text.extend(examined.as_ref().map(Examined::lines));
    text.extend(problems.iter().map(|problem| format!("\n{}", problem.lines())));
    let mut report = match any_error(&problems) {
        false => Report::done(text, envelope),
        true => {
            let message = format!("`{}` cannot be launched", subject.shown);
            let error = ErrorMember::new("does_not_load", message, None);
            Report {
                text,
                ..Report::failed(Exit::Unsupported, error, envelope)
            }
        }
    };
    if report.exit == Exit::Done {
        report.notes = match problems.len() {
            0 => "it can be launched\n".to_owned(),
            some => format!("it can be launched; {} should be mended\n", count(some as u64, "thing")),
        };
    }
    Ok(report)
}

fn subject(what: &str, context: &Context) -> Result<Subject> {
    let is_path = what.contains('/') || what.starts_with('.') || what.ends_with(".wasm");
    let installed = context.installed.get(what);
    let skill = match installed {
        Ok(skill) if !is_path => skill,
        // A word that names nothing that is installed may still name something here.
        Err(error) if !is_path && !Path::new(what).exists() => return Err(error),
        _ => return at(Path::new(what), what),
    };
    Ok(Subject {
        shown: what.to_owned(),
        component: skill.folder.join(&skill.component),
        folder: Some(skill.folder),
        name: Some(skill.name),
    })
}

fn at(path: &Path, shown: &str) -> Result<Subject> {
    if path.join("Cargo.toml").is_file() {
        let project = Project::find(Some(path))?;
        let Some(component) = build::last(&project)? else {
            let message = format!("crate `{}` has no component yet", project.package());
            return Err(CliError::invalid("no_component", message).hint(format!("`skillhost build {shown}` makes it")));
        };
        return Ok(Subject {
            shown: shown.to_owned(),
            folder: Some(project.folder().to_owned()),
            component,
            name: None,
        });
    }
    let (folder, component) = install::at(path)?;
    Ok(Subject {
        shown: shown.to_owned(),
        folder,
        component,
        name: None,
    })
}

fn component(subject: &Subject, context: &Context, problems: &mut Vec<Problem>) -> Result<Option<Examined>> {
    let shown = context.path(&subject.component);
    let bytes = match read_regular(&subject.component, COMPONENT_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(e) => {
            problems.push(Problem::error("unreadable", format!("the component cannot be read: {e}")).at(shown));
            return Ok(None);
        }
    };
    let session = context.session(context.journal()?);
    let examining = examine(&session.loading()?.loader, session.journal.as_ref(), &shown, bytes);
    match session.patiently(&subject.shown, examining)?? {
        Ok(examined) => Ok(Some(examined)),
        Err(problem) => {
            problems.push(*problem);
            Ok(None)
        }
    }
}

/// Looks at what lies around the component: its document, its script of replies, its cases, and whether all of it can be in a bundle.
fn around(folder: &Path, name: Option<&SkillName>, component: &Path, problems: &mut Vec<Problem>) {
    if let Some(name) = name {
        match read_text(&folder.join(DOCUMENT)) {
            Ok(text) => problems.extend(document::problems(text.as_deref(), name)),
            Err(reason) => {
                problems.push(Problem::error("unreadable", format!("it cannot be read: {reason}")).at(DOCUMENT))
            }
        }
    }
    match read_text(&folder.join(SCRIPT)) {
        Ok(None) => {}
        Ok(Some(text)) => {
            if let Err(error) = Script::parse(&text) {
                problems.push(Problem::error("bad_script", error.reason).at(format!("{SCRIPT}:{}:1", error.line)));
            }
        }
        Err(reason) => problems.push(Problem::error("bad_script", format!("it cannot be read: {reason}")).at(SCRIPT)),
    }
    cases(folder, problems);
    let name = name
        .cloned()
        .unwrap_or_else(|| SkillName::parse("skill").expect("it is a name"));
    let file = component.strip_prefix(folder).ok().and_then(Path::to_str);
    let scan = match file {
        Some(file) => Scan::of(&Installed {
            name,
            folder: folder.to_owned(),
            component: file.to_owned(),
        }),
        None => Scan::with_component(&name, folder, Vec::new()),
    };
    if let Err(error) = scan {
        let reason = error
            .message
            .split_once(" cannot be launched: ")
            .map_or(error.message.as_str(), |(_, reason)| reason);
        problems.push(
            Problem::error(
                error.code,
                [&[reason.to_owned()][..], &error.causes].concat().join(": "),
            )
            .at(folder.display().to_string()),
        );
    }
}

/// Looks at the cases that the skill is tested with. They keep nobody from launching it.
fn cases(folder: &Path, problems: &mut Vec<Problem>) {
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder.join("tests"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .take(CASES_MAX)
        .collect();
    names.sort();
    for path in names {
        let shown = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        match read_text(&path) {
            Ok(Some(text)) => {
                if let Err(error) = Case::parse(&text) {
                    problems.push(Problem::warning("bad_case", error.reason).at(format!("{shown}:{}:1", error.line)));
                }
            }
            Ok(None) => {}
            Err(reason) => {
                problems.push(Problem::warning("bad_case", format!("it cannot be read: {reason}")).at(shown))
            }
        }
    }
}

/// Reads a file that need not be there.
fn read_text(path: &Path) -> Result<Option<String>, String> {
    match read_regular(path, FILE_BYTES_MAX) {
        Ok(bytes) => String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| "it is not UTF-8".to_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.to_string()),
    }
}
