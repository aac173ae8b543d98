//! `build`: makes a component of a crate, and says what it is or what is wrong with it.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::json;
use skillhost_toolchain::{Messages, Stop};

use super::context::{Context, Session};
use super::report::{Envelope, ErrorMember, Report, Rows};
use crate::author::build::{self, Compiled, NotCompiled, Purpose};
use crate::author::component::{Examined, examine, took};
use crate::author::project::Project;
use crate::error::Result;
use crate::exit::Exit;
use crate::problem::Problem;

/// `build`.
#[derive(Debug, Args)]
#[command(after_help = "\
The component is put into `target/skillhost/` of the crate. A build that fails leaves the last one there.

Examples:
  skillhost build
  skillhost build ~/skills/daily-summary --json")]
pub struct BuildArgs {
    /// The crate: its folder, or its Cargo.toml; the one of this folder if absent
    pub path: Option<PathBuf>,
}

/// A crate that was built to a component that can be launched.
pub(super) struct Built {
    pub(super) project: Project,
    pub(super) compiled: Compiled,
    pub(super) examined: Examined,
}

pub(super) fn run(args: &BuildArgs, context: &Context) -> Result<Report> {
    let begun = Instant::now();
    let built = match of_crate(args.path.as_deref(), &context.session(context.journal()?))? {
        Ok(built) => built,
        Err(report) => return Ok(*report),
    };
    let Built { compiled, examined, .. } = built;
    let place = context.path(&compiled.place);
    let text = format!("component {place}\n{}", examined.lines());
    let rows = compiled.warnings.iter().map(Problem::value).collect();
    let mut component = examined.value();
    component["took_ms"] = json!(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
    let envelope = Envelope {
        path: Some(compiled.place),
        component: Some(component),
        rows: Some(Rows::Problems(rows)),
        ..Envelope::default()
    };
    let mut report = Report::done(text, envelope);
    report.notes = format!("built in {}\n", took(begun.elapsed()));
    Ok(report)
}

/// Builds a crate and examines the component, which is then where it belongs. What is wrong with the crate is a report of its own.
pub(super) fn of_crate(path: Option<&std::path::Path>, session: &Session<'_>) -> Result<Result<Built, Box<Report>>> {
    let project = Project::find(path)?;
    Ok(of_project(&project, session)?.map(|(compiled, examined)| Built {
        project,
        compiled,
        examined,
    }))
}

/// The same, of a crate that was found.
pub(super) fn of_project(
    project: &Project,
    session: &Session<'_>,
) -> Result<Result<(Compiled, Examined), Box<Report>>> {
    let compiled = match compiled(project, session.context, Purpose::Use, None)? {
        Some(Ok(compiled)) => compiled,
        Some(Err(report)) => return Ok(Err(report)),
        None => unreachable!("nobody could stop it"),
    };
    let built = examined(project, session, compiled)?;
    if let Ok((compiled, _)) = &built {
        build::keep(&compiled.bytes, &compiled.place)?;
    }
    Ok(built)
}

/// Has the compiler make a component; `None` if that was stopped.
pub(super) fn compiled(
    project: &Project,
    context: &Context,
    purpose: Purpose,
    stop: Option<&Stop>,
) -> Result<Option<Result<Compiled, Box<Report>>>> {
    let messages = match context.json {
        true => Messages::Kept,
        false => Messages::Shown,
    };
    match build::compile(project, &context.home, purpose, messages, stop) {
        Ok(compiled) => Ok(Some(Ok(compiled))),
        Err(NotCompiled::Error(error)) => Err(error),
        Err(NotCompiled::Stopped) => Ok(None),
        Err(NotCompiled::Source(problems)) => {
            let message = match problems.is_empty() && !context.json {
                true => format!("crate `{}` does not compile, as it says above", project.package()),
                false => format!("crate `{}` does not compile", project.package()),
            };
            let hint = "the component of the last build that succeeded is untouched".to_owned();
            let error = ErrorMember::new("does_not_compile", message, Some(hint));
            Ok(Some(Err(Box::new(failed(Exit::Invalid, error, &problems)))))
        }
    }
}

/// Loads what the compiler made, and asks what it is.
pub(super) fn examined(
    project: &Project,
    session: &Session<'_>,
    compiled: Compiled,
) -> Result<Result<(Compiled, Examined), Box<Report>>> {
    let place = session.context.path(&compiled.built);
    let examining = examine(
        &session.loading()?.loader,
        session.journal.as_ref(),
        &place,
        compiled.bytes.clone(),
    );
    Ok(match session.patiently(project.package(), examining)?? {
        Ok(examined) => Ok((compiled, examined)),
        Err(problem) => Err(Box::new(no_skill(project.package(), &problem))),
    })
}

/// Makes the report of a component that cannot be launched.
pub(super) fn no_skill(what: &str, problem: &Problem) -> Report {
    let message = format!("the component of `{what}` cannot be launched");
    let error = ErrorMember::new("does_not_load", message, None);
    failed(Exit::Unsupported, error, std::slice::from_ref(problem))
}

/// Makes the report of a command that found something wrong.
pub(super) fn failed(exit: Exit, error: ErrorMember, problems: &[Problem]) -> Report {
    let rows = problems.iter().map(Problem::value).collect();
    let mut report = Report::failed(exit, error, Envelope::of_rows(Rows::Problems(rows)));
    let lines: String = problems.iter().map(Problem::lines).collect();
    report.notes = format!("{lines}{}", report.notes);
    report
}
