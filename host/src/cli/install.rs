//! `install` and `uninstall`: put a skill into the skills directory, and take it out again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use skillhost_core::id::SkillName;

use super::build::{self, Built, no_skill};
use super::context::{Context, Session};
use super::launch::flags;
use super::report::{Envelope, Report};
use crate::author::component::{Examined, examine};
use crate::author::document::DOCUMENT;
use crate::author::install::{self, Owner, Parcel};
use crate::bundle::{COMPONENT_BYTES_MAX, Scan};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::read_regular;
use crate::skill_doc::{self, Skill as Documented};
use crate::skills::{Found, Library};
use crate::terminal;

/// `install`.
#[derive(Debug, Args)]
#[command(after_help = "\
A crate is built first. Component, SKILL.md, prompts/, offline.toml, assets/, data/ and references/ \
are put into the folder of skills in one step; runs in progress go on with what they were launched \
with. SKILL.md there tells an agent how to run the skill as it is.

Examples:
  skillhost install
  skillhost install ~/skills/daily-summary --name summary
  skillhost install ./downloaded.wasm")]
pub struct InstallArgs {
    /// The crate, a folder with a component, or a component; the crate of this folder if absent
    pub path: Option<PathBuf>,
    /// Install it under this name instead of its own
    #[arg(long)]
    pub name: Option<String>,
    /// Put it in the place of something that was not installed by this command, or was changed since
    #[arg(long)]
    pub replace: bool,
}

/// `uninstall`.
#[derive(Debug, Args)]
#[command(after_help = "\
Runs that are in progress go on: each has its own copy of the skill. What its runs kept in `data/` stays, unless `--data`
is given, also for a skill that is not installed any more.

Examples:
  skillhost uninstall daily-summary
  skillhost uninstall daily-summary --data")]
pub struct UninstallArgs {
    /// The skill: the name of its folder
    pub skill: String,
    /// Remove it without asking, also if it was not put there by `install`
    #[arg(long)]
    pub yes: bool,
    /// Remove also what its runs kept in `data/`
    #[arg(long)]
    pub data: bool,
}

pub(super) fn install(args: &InstallArgs, context: &Context) -> Result<Report> {
    let name = args.name.as_deref().map(SkillName::parse).transpose();
    let name = name.map_err(|e| CliError::of(Exit::Invalid, "bad_name", &e))?;
    let session = context.session(context.journal()?);
    let (folder, bytes, examined) = match source(args.path.as_deref(), &session)? {
        Ok(found) => found,
        Err(report) => return Ok(*report),
    };
    let name = name.unwrap_or_else(|| examined.description.name.clone());
    let scan = match folder {
        Some(folder) => Scan::with_component(&name, &folder, bytes)?,
        // A component that came alone brings nothing along, whatever lies beside it.
        None => Scan::alone(bytes)?,
    };
    if let Some(script) = scan.script()? {
        let settings = context.settings(&context.config()?);
        session
            .hub
            .open(skillhost_effects::model::Name::Offline, &settings, Some(&script))?;
    }
    let documented = Documented {
        name: &name,
        description: &examined.description,
        input: &examined.input,
        output: &examined.output,
        options: &flags(),
    };
    let document = document(&scan, documented)?;
    let parcel = Parcel {
        name: &name,
        scan: &scan,
        document: &document,
        replace: args.replace,
    };
    let replaced = install::install(&context.installed, &parcel)?;
    Ok(installed(documented, replaced, context))
}

fn installed(skill: Documented<'_>, replaced: bool, context: &Context) -> Report {
    let name = skill.name;
    let path = context.installed.root().join(name.as_str());
    let shown = context.path(&path);
    let text = match replaced {
        true => format!("skill {name} is installed in {shown}, in the place of an earlier one"),
        false => format!("skill {name} is installed in {shown}"),
    };
    let mut report = Report::done(
        text,
        Envelope {
            skill: Some(name.clone()),
            path: Some(path),
            ..Envelope::default()
        },
    );
    report.notes = format!("hint: `{} --await`\n", skill_doc::command(skill));
    report
}

type Source = (Option<PathBuf>, Vec<u8>, Examined);

/// Finds what is to be installed: the folder of what belongs to it, and its component, which loads.
fn source(path: Option<&Path>, session: &Session<'_>) -> Result<Result<Source, Box<Report>>> {
    let is_crate = path.is_none_or(|path| path.join("Cargo.toml").is_file() || path.ends_with("Cargo.toml"));
    let Some(path) = path.filter(|_| !is_crate) else {
        return Ok(build::of_crate(path, session)?.map(|built| {
            let Built {
                project,
                compiled,
                examined,
            } = built;
            (Some(project.folder().to_owned()), compiled.bytes, examined)
        }));
    };
    let (folder, component) = at(path)?;
    let shown = session.context.path(&component);
    let bytes = read_regular(&component, COMPONENT_BYTES_MAX).map_err(|e| {
        CliError::invalid("no_component", format!("could not read the component `{shown}`")).caused_by(&e)
    })?;
    let examining = examine(
        &session.loading()?.loader,
        session.journal.as_ref(),
        &shown,
        bytes.clone(),
    );
    match session.patiently(&shown, examining)?? {
        Ok(examined) => Ok(Ok((folder, bytes, examined))),
        Err(problem) => Ok(Err(Box::new(no_skill(&shown, &problem)))),
    }
}

/// Returns the component at a path, and the folder of what belongs to it if it is not alone.
pub(super) fn at(path: &Path) -> Result<(Option<PathBuf>, PathBuf)> {
    let real = fs::canonicalize(path).map_err(|e| {
        CliError::invalid("no_component", format!("there is nothing at `{}`", path.display()))
            .caused_by(&e)
            .hint("`skillhost build` says where it puts a component")
    })?;
    if !real.is_dir() {
        return Ok((None, real));
    }
    let (Some(parent), Some(name)) = (real.parent(), real.file_name().and_then(|name| name.to_str())) else {
        return Err(CliError::invalid(
            "no_component",
            format!("`{}` is no skill", path.display()),
        ));
    };
    match Library::at(parent).look(name) {
        Found::Skill(skill) => Ok((Some(skill.folder.clone()), skill.folder.join(skill.component))),
        Found::Broken(broken) => Err(CliError::invalid(
            "no_component",
            format!("`{}` is no skill: {}", path.display(), broken.reason),
        )
        .hint(broken.hint)),
        Found::Prose | Found::Other => {
            let message = format!("`{}` holds neither a component nor a `Cargo.toml`", path.display());
            Err(CliError::invalid("no_component", message).hint("`skillhost new NAME` makes the crate of a skill"))
        }
    }
}

/// Returns the `SKILL.md` that is installed: its author's, which tells how to run the skill as it is.
fn document(scan: &Scan, skill: Documented<'_>) -> Result<String> {
    let bad = |e: &dyn std::error::Error| {
        CliError::invalid(
            "bad_skill",
            format!("could not read the `{DOCUMENT}` of skill `{}`", skill.name),
        )
        .caused_by(e)
    };
    let text = match scan.bundle().file(DOCUMENT) {
        Some(file) => Some(String::from_utf8(scan.read(file).map_err(|e| bad(&e))?).map_err(|e| bad(&e))?),
        None => None,
    };
    Ok(skill_doc::written(text.as_deref(), skill))
}

pub(super) fn uninstall(args: &UninstallArgs, context: &Context) -> Result<Report> {
    let library = &context.installed;
    // It may have been uninstalled before.
    if let (true, Ok(name)) = (args.data, SkillName::parse(&args.skill))
        && matches!(library.look(name.as_str()), Found::Prose | Found::Other)
        && remove_data(&name, context)?
    {
        let envelope = Envelope {
            skill: Some(name.clone()),
            ..Envelope::default()
        };
        return Ok(Report::done(
            format!("what the runs of skill {name} kept is removed; it was not installed"),
            envelope,
        ));
    }
    // What cannot be launched can be removed all the same.
    let name = match SkillName::parse(&args.skill) {
        Ok(name) if matches!(library.look(name.as_str()), Found::Broken(_)) => name,
        Ok(name) if install::owner(library, &name) == Owner::Changed => name,
        _ => library.get(&args.skill)?.name,
    };
    let shown = context.path(&library.root().join(name.as_str()));
    let why = match install::owner(library, &name) {
        Owner::Us => None,
        Owner::Changed => Some("was changed since it was installed"),
        Owner::Nobody | Owner::Somebody => Some("was not put there by `skillhost install`"),
    };
    if let Some(why) = why.filter(|_| !args.yes) {
        consent(
            &format!("{shown} {why}; remove it?"),
            &format!("`{shown}` {why}"),
            &name,
            context,
        )?;
    }
    install::uninstall(library, &name)?;
    let envelope = Envelope {
        skill: Some(name.clone()),
        ..Envelope::default()
    };
    let removed = args.data && remove_data(&name, context)?;
    let text = match removed {
        true => format!("skill {name} is removed, with what its runs kept"),
        false => format!("skill {name} is removed"),
    };
    let mut report = Report::done(text, envelope);
    let data = context.home.data(&name);
    if data.is_dir() {
        report.notes = format!(
            "what its runs kept stays in {}\nhint: `skillhost uninstall {name} --data` removes it\n",
            context.path(&data)
        );
    }
    Ok(report)
}

/// Removes what the runs of a skill kept, and returns whether there was something.
fn remove_data(name: &SkillName, context: &Context) -> Result<bool> {
    let data = context.home.data(name);
    match fs::remove_dir_all(&data) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => {
            let message = format!("could not remove `{}`", data.display());
            Err(CliError::new(Exit::Storage, "not_removed", message).caused_by(&e))
        }
    }
}

/// Asks the person at the terminal; without one nothing is removed that was not put there by us.
fn consent(question: &str, message: &str, name: &SkillName, context: &Context) -> Result<()> {
    let refused = || {
        CliError::invalid("not_ours", message.to_owned())
            .hint(format!("`skillhost uninstall {name} --yes` removes it all the same"))
    };
    if context.json || !(context.terminal.stdin && context.terminal.stderr) {
        return Err(refused());
    }
    terminal::prompt(&format!("{question} [y/N] "));
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line);
    read.map_err(|e| CliError::new(Exit::Host, "no_input", "could not read the answer").caused_by(&e))?;
    match matches!(line.trim(), "y" | "Y" | "yes") {
        true => Ok(()),
        false => Err(refused()),
    }
}
