//! `grant` and `grants`: what skills may do beyond their own folder, shown, granted by a person, and taken back.
//!
//! To grant needs a person at a terminal: an agent that may run commands must not give itself what it was refused, by following a hint. A user who wants that
//! says so in his configuration. To take back needs nobody.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use skillhost_core::entry::Giving;
use skillhost_core::grants::{Folder, Grants};
use skillhost_core::id::SkillName;
use skillhost_runtime::Description;

use super::build;
use super::context::{Context, Session};
use super::hook::shell_word;
use super::report::{Envelope, Report, Rows};
use super::secret;
use crate::author::build::Purpose;
use crate::author::project::Project;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::grants::{self, Granted, Grantee, MountRequest, Request};
use crate::installed::Edition;
use crate::mounts::{Word, parse_word};
use crate::terminal::{self, Table, plain_line};

/// `grant`.
#[derive(Debug, Args)]
#[command(after_help = "\
What is granted to the crate of a skill is for `skillhost dev`; once installed, the skill is granted it anew.

Examples:
  skillhost grant code-review
  skillhost grant code-review --mount project=~/project
  skillhost grant .")]
pub struct GrantArgs {
    /// The skill, or the folder of the crate in which one is written
    pub skill: String,
    /// Give a folder to each of its runs, as NAME/ ; also to change what is there, with `:rw` at the end
    #[arg(long = "mount", value_name = "NAME=PATH", value_parser = parse_word)]
    pub mounts: Vec<Word>,
}

/// `grants`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost grants
  skillhost grants revoke code-review")]
pub struct GrantsArgs {
    /// What to do; without it, everything that is granted is shown
    #[command(subcommand)]
    pub command: Option<GrantsCommand>,
}

/// What to do about what is granted.
#[derive(Debug, Subcommand)]
pub enum GrantsCommand {
    /// Take back all that a skill was granted, from its runs in progress, too
    #[command(after_help = "Example:\n  skillhost grants revoke code-review")]
    Revoke {
        /// The skill, or the folder of the crate in which one is written
        skill: String,
    },
}

/// Who is to be granted something, and what it asks for.
struct Asking {
    grantee: Grantee,
    /// What a command names it by.
    word: String,
    description: Description,
}

pub(super) fn grant(args: &GrantArgs, context: &Context) -> Result<Report> {
    let asking = match asking(&args.skill, context)? {
        Ok(asking) => asking,
        Err(report) => return Ok(*report),
    };
    let Asking {
        grantee,
        word,
        description,
    } = &asking;
    let (asked, unusable) = grants::asked(description);
    let (mounts, no_mounts) = grants::mounts_asked(description);
    for why in unusable.iter().chain(&no_mounts) {
        terminal::note(&format!(
            "note: skill `{word}` asks for something that cannot be granted: {why}"
        ));
    }
    let granted = Granted::load(&context.home)?.of(grantee);
    let mut missing = grants::missing(description, &granted);
    for folder in folders(&args.mounts, context)? {
        missing.push(given(folder, &mounts));
    }
    let text = match (asked.is_empty(), missing.is_empty()) {
        (true, true) => format!("skill {word} asks for nothing that has to be granted"),
        (false, true) => format!("skill {word} is granted all that it asks for"),
        (_, false) => {
            if !may_grant(context)? {
                let command = command(word, &args.mounts);
                return Err(CliError::new(
                    Exit::Host,
                    "grant_needs_terminal",
                    format!("granting something to skill `{word}` needs a person at a terminal"),
                )
                .hint(format!(
                    "run `{command}` in a terminal yourself; `agents_may_grant = true` in the configuration does without"
                )));
            }
            if !agrees(context, word, &missing) {
                return Err(refused(word));
            }
            store(context, grantee, &missing)?;
            format!("granted to skill {word}, for runs that are launched from now on")
        }
    };
    let granted = Granted::load(&context.home)?.of(grantee);
    for request in mounts.iter().filter(|request| !gives(&granted, request)) {
        terminal::note(&format!(
            "note: each launch has to name the folder that it asks for, to {}: {}\nhint: `skillhost grant {word} {}` names it for all",
            request.words(),
            request.reason,
            request.flag()
        ));
    }
    let values = values(grantee, &granted);
    Ok(Report::done(text, Envelope::of_rows(Rows::Grants(values))))
}

/// Finds the skill that a word names: one that is installed, or the crate of one, which is built. What is wrong with the crate is a report of its own.
fn asking(word: &str, context: &Context) -> Result<std::result::Result<Asking, Box<Report>>> {
    let mut session = context.session(context.journal()?);
    if !is_path(word) {
        let edition = session.settle(word)?;
        return Ok(Ok(Asking {
            word: edition.skill.to_string(),
            grantee: Grantee::Skill(edition.skill),
            description: edition.description,
        }));
    }
    // As `dev` builds it, which is where the grant counts.
    session = session.in_development();
    let project = Project::find(Some(Path::new(word)))?;
    let compiled = match build::compiled(&project, context, Purpose::Development, None)? {
        Some(Ok(compiled)) => compiled,
        Some(Err(report)) => return Ok(Err(report)),
        None => unreachable!("nobody could stop it"),
    };
    let examined = build::examined(&project, &session, compiled)?;
    Ok(examined.map(|(_, examined)| Asking {
        grantee: Grantee::crate_in(project.folder()),
        word: word.to_owned(),
        description: examined.description,
    }))
}

/// Returns whether a word names the crate of a skill by its folder.
fn is_path(word: &str) -> bool {
    word.contains('/') || matches!(word, "." | "..")
}

/// Returns the command that grants this, for somebody to paste.
fn command(word: &str, mounts: &[Word]) -> String {
    let mut command = format!("skillhost grant {word}");
    for Word { name, path, writable } in mounts {
        let how = if *writable { ":rw" } else { "" };
        command.push_str(&format!(
            " --mount {}",
            shell_word(Path::new(&plain_line(&format!("{name}={path}{how}"))))
        ));
    }
    command
}

/// Finds the folders that are to be given to every run.
fn folders(words: &[Word], context: &Context) -> Result<Vec<Folder>> {
    let ground = context.ground();
    let folder = |word: &Word| {
        let mount = ground.named(word, Giving::Grant)?;
        let source = mount.source.filter(|source| source.file.is_none());
        let source = source.ok_or_else(|| {
            CliError::invalid(
                "bad_mount",
                format!("`{}` is a file, and only folders are granted", plain_line(&word.path)),
            )
            .hint("a file is given to one run: `skillhost launch SKILL --mount NAME=PATH`")
        })?;
        let name = mount.name.parse();
        Ok(Folder {
            mount: name.map_err(|e: String| CliError::invalid("bad_mount", e))?,
            path: source.folder,
            writable: mount.writable,
        })
    };
    words.iter().map(folder).collect()
}

/// Makes of a folder that the user gives something to be granted, with the reason why the skill asks for it, if it does.
fn given(folder: Folder, asked: &[MountRequest]) -> Request {
    let reason = asked
        .iter()
        .find(|request| request.mount.name == folder.mount.as_str())
        .map_or("it does not ask for it", |request| &request.reason);
    let reason = reason.to_owned();
    let grants = Grants {
        files: vec![folder],
        ..Grants::default()
    };
    Request {
        words: grants::words(&grants).join(", "),
        grants,
        reason,
    }
}

/// Returns whether what is granted gives every run a folder that its skill asks for.
pub(super) fn gives(granted: &Grants, request: &MountRequest) -> bool {
    let folder = granted.folder(&request.mount.name);
    folder.is_some_and(|folder| folder.writable || !request.mount.writable)
}

pub(super) fn grants(args: &GrantsArgs, context: &Context) -> Result<Report> {
    if let Some(GrantsCommand::Revoke { skill }) = &args.command {
        return revoke(skill, context);
    }
    let mut table = Table::new(["SKILL", "MAY"]);
    let mut rows = Vec::new();
    for (grantee, granted) in Granted::load(&context.home)?.iter() {
        for words in grants::words(granted) {
            table.row([grantee.to_string(), words]);
        }
        rows.extend(values(&grantee, granted));
    }
    let is_empty = rows.is_empty();
    let text = if is_empty {
        String::new()
    } else {
        table.render(context.terminal.width)
    };
    let mut report = Report::done(text, Envelope::of_rows(Rows::Grants(rows)));
    if is_empty {
        report.notes =
            "nothing is granted\nhint: `skillhost grant SKILL` shows what a skill asks for, and grants it\n".to_owned();
    }
    Ok(report)
}

fn revoke(skill: &str, context: &Context) -> Result<Report> {
    let name = match is_path(skill) {
        true => Grantee::crate_in(Path::new(skill)),
        false => Grantee::Skill(SkillName::parse(skill).map_err(|e| CliError::of(Exit::Invalid, "unknown_skill", &e))?),
    };
    match grants::revoke(&context.home, &name)? {
        Some(granted) => {
            let text = format!("skill {name} may no longer {}", grants::words(&granted).join(", nor "));
            Ok(Report::done(text, Envelope::default()))
        }
        None => Err(
            CliError::invalid("nothing_granted", format!("nothing is granted to skill `{name}`"))
                .hint("`skillhost grants` shows what is"),
        ),
    }
}

/// Sees to it that a skill is granted what it asks for before a run of it is made: by asking, once, if a person is there.
pub(super) fn require(session: &Session<'_>, edition: &Edition) -> Result<()> {
    let context = session.context;
    let skill = &edition.skill;
    let (asked, _) = grants::asked(&edition.description);
    if asked.is_empty() {
        return Ok(());
    }
    let missing = grants::missing(&edition.description, &grants::of(&context.home, skill)?);
    if missing.is_empty() {
        return Ok(());
    }
    if !context.is_attended() {
        let message = format!("skill `{skill}` asks to {}, which was not granted", told(&missing));
        return Err(CliError::new(Exit::Host, "not_granted", message)
            .hint(format!("the user has to run `skillhost grant {skill}` in a terminal")));
    }
    match agrees(context, skill.as_str(), &missing) {
        true => store(context, &Grantee::of(&context.home, skill), &missing),
        false => Err(refused(skill.as_str())),
    }
}

/// Asks for what a skill in development asks for, if a person is there; otherwise says how it is granted. It is run all the same: what it was not granted is denied.
/// `refused` is what a person said no to before, who is not asked again.
pub(super) fn offer(session: &Session<'_>, edition: &Edition, refused: &mut Grants) -> Result<()> {
    let context = session.context;
    let grantee = Grantee::of(&context.home, &edition.skill);
    let missing = grants::missing(&edition.description, &Granted::load(&context.home)?.of(&grantee));
    let missing: Vec<Request> = missing
        .into_iter()
        .filter(|request| !refused.covers(&request.grants))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if context.is_attended() && agrees(context, edition.skill.as_str(), &missing) {
        return store(context, &grantee, &missing);
    }
    missing.iter().for_each(|request| refused.add(&request.grants));
    if !context.is_attended() {
        terminal::note(&format!(
            "note: the skill asks to {}, which was not granted and is denied\nhint: the user has to run `skillhost grant {grantee}` in a terminal",
            told(&missing)
        ));
    }
    Ok(())
}

fn told(missing: &[Request]) -> String {
    let wants: Vec<&str> = missing.iter().map(|request| request.words.as_str()).collect();
    wants.join(", and to ")
}

/// Returns whether something may be granted, or a budget raised: by a person who is there, or because the user lets agents do it.
pub(super) fn may_grant(context: &Context) -> Result<bool> {
    Ok(context.is_attended() || context.config()?.agents_may_grant)
}

/// Shows what a skill asks for, and asks the person who is there. If nobody is, it was allowed to do without.
fn agrees(context: &Context, skill: &str, missing: &[Request]) -> bool {
    terminal::note(&format!("skill {skill} asks to"));
    for request in missing {
        terminal::note(&format!("  {}\n    {}", request.words, request.reason));
    }
    if missing.iter().any(|request| !request.grants.process.is_empty()) {
        terminal::note("A program may do whatever you may: it is not held in by the sandbox.");
    }
    if !context.is_attended() {
        return true;
    }
    let typed = terminal::ask("allow this, also to later runs? [y/N] ").blocking_recv();
    typed.is_ok_and(|line| matches!(line.trim(), "y" | "Y" | "yes"))
}

fn store(context: &Context, grantee: &Grantee, missing: &[Request]) -> Result<()> {
    let mut more = Grants::default();
    for request in missing {
        more.add(&request.grants);
    }
    grants::grant(&context.home, grantee, &more)?;
    secret::note_unstored(&more, context)
}

fn refused(skill: &str) -> CliError {
    CliError::new(
        Exit::Host,
        "not_granted",
        format!("skill `{skill}` was granted nothing"),
    )
    .hint(format!("`skillhost grant {skill}` asks again"))
}

fn values(grantee: &Grantee, granted: &Grants) -> Vec<Value> {
    let of = |mut value: Value| {
        match grantee {
            Grantee::Skill(skill) => value["skill"] = json!(skill),
            Grantee::Crate(folder) => value["crate"] = json!(folder),
        }
        value
    };
    let folders = granted.files.iter().map(|folder| {
        json!({"capability": "files", "mount": folder.mount, "path": folder.path, "writable": folder.writable})
    });
    let programs = granted.process.iter().map(
        |program| json!({"capability": "process", "program": program.program, "environment": program.environment, "secrets": program.secrets}),
    );
    let sites = granted.http.iter().map(|site| {
        json!({
            "capability": "http", "host": site.host, "methods": site.methods, "private": site.private, "secrets": site.secrets,
        })
    });
    let skills = granted.skills.iter();
    let skills = skills.map(|skill| json!({"capability": "skills", "calls": skill}));
    programs.chain(sites).chain(folders).chain(skills).map(of).collect()
}
