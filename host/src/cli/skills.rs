//! `skills`: what is installed, what is wrong with what cannot be launched, and the document that tells an agent how to run a skill.

use std::io;

use clap::Args;
use serde_json::{Value, json};
use skillhost_core::grants::Grants;
use skillhost_core::id::SkillName;
use skillhost_core::time::Timestamp;
use skillhost_effects::model::{Name, Settings};
use skillhost_journal::Problem;
use skillhost_runtime::Description;

use super::context::{Context, Session};
use super::following;
use super::grant;
use super::launch::{flags, input_schema, output_schema};
use super::report::{Envelope, Report, Rows};
use super::waits::utc;
use crate::bundle::FILE_BYTES_MAX;
use crate::describe::DOES_NOT_LOAD;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::grants;
use crate::home::{read_regular, rewrite};
use crate::installed::{self, Edition, Instead};
use crate::skill_doc::{self, Skill as Documented, State};
use crate::skills::{Installed, UNKNOWN};
use crate::terminal::{Table, plain_line};
use crate::timeline::count;

/// What tells an agent of a skill.
const DOCUMENT: &str = "SKILL.md";

/// A skill that can be launched.
pub(super) struct Sound {
    pub(super) name: SkillName,
    version: String,
    summary: String,
    /// What its user should know nevertheless.
    pub(super) remarks: Vec<String>,
    /// What it asks its user for.
    asks: Vec<Ask>,
    /// What of that was not granted.
    pub(super) denied: Option<String>,
}

impl Sound {
    /// Returns the command by which a person grants it what it asks for.
    pub(super) fn grant_command(&self) -> String {
        format!("`skillhost grant {}`", self.name)
    }
}

/// Something that a skill asks its user for.
struct Ask {
    words: String,
    /// Why, in its own words.
    reason: String,
    granted: bool,
    /// What each launch has to say.
    flag: Option<String>,
}

/// A skill of which what lies in its folder cannot be used.
pub(super) struct Unusable {
    pub(super) name: String,
    /// Why not.
    pub(super) reason: String,
    /// What to do about it.
    pub(super) hint: String,
    /// Since when what is used instead was installed, if there is something.
    pub(super) since: Option<Timestamp>,
}

/// `skills`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost skills
  skillhost skills --json
  skillhost skills --watch
  skillhost skills --write-doc hello-world")]
pub struct SkillsArgs {
    /// Write into the SKILL.md of this skill how to run it; what its author wrote there stays
    #[arg(long, value_name = "SKILL")]
    pub write_doc: Option<String>,
    /// Print a line for every change of what is installed, until it is interrupted
    #[arg(long, conflicts_with = "write_doc")]
    pub watch: bool,
}

pub(super) fn run(args: &SkillsArgs, context: &Context) -> Result<Report> {
    match &args.write_doc {
        Some(name) => write_doc(name, context),
        None if args.watch => following::run(context),
        None => list(context),
    }
}

fn list(context: &Context) -> Result<Report> {
    let (sound, broken) = examine(context)?;
    let root = context.path(context.installed.root());
    let mut text = String::new();
    if !sound.is_empty() {
        let mut table = Table::new(["SKILL", "VERSION", "SUMMARY"]);
        for skill in &sound {
            table.row([skill.name.to_string(), skill.version.clone(), skill.summary.clone()]);
        }
        text.push_str(&table.render(context.terminal.width));
    }
    for skill in &sound {
        text.extend(
            skill
                .remarks
                .iter()
                .map(|remark| format!("\n{}: {remark}\n", skill.name)),
        );
        if let Some(denied) = &skill.denied {
            text.push_str(&format!(
                "\n{}: {denied}\n  hint: {} shows why, and grants it\n",
                skill.name,
                skill.grant_command()
            ));
        }
    }
    for skill in &broken {
        let (name, reason, hint) = (plain_line(&skill.name), &skill.reason, &skill.hint);
        text.push_str(&match skill.since {
            None => format!("\n{name} cannot be launched: {reason}\n  hint: {hint}\n"),
            Some(since) => format!(
                "\n{name} cannot be used as it is: {reason}\n  what was installed {} is used instead\n  hint: {hint}\n",
                context.ago(since)
            ),
        });
    }
    let values = sound.iter().map(sound_value).chain(broken.iter().map(broken_value));
    let mut report = Report::done(text.trim_start(), Envelope::of_rows(Rows::Skills(values.collect())));
    report.notes = match (sound.len(), broken.len()) {
        (0, 0) => format!("no skills in {root}\nhint: a folder there that holds `skill.wasm` is one\n"),
        (_, 0) => format!("{} in {root}\n", count(sound.len() as u64, "skill")),
        (_, bad) => format!(
            "{} in {root}, and {bad} that cannot be launched\n",
            count(sound.len() as u64, "skill")
        ),
    };
    Ok(report)
}

/// Loads every skill that is installed, as far as that is needed to know that it can be launched.
pub(super) fn examine(context: &Context) -> Result<(Vec<Sound>, Vec<Unusable>)> {
    let (mut sound, mut unusable) = (Vec::new(), Vec::new());
    if context.installed.names()?.is_empty() {
        return Ok((sound, unusable));
    }
    let settings = context.settings(&context.config()?);
    let session = context.session(context.journal()?);
    let describe = |skill: &SkillName, component, bytes| session.describe(skill.as_str(), component, bytes);
    let shelf = session.shelf(&describe);
    for name in shelf.names()? {
        let settled = shelf.settle(&name).and_then(|settled| match settled.instead {
            Some(instead) => Ok(Err(instead)),
            None => look(&session, &settled.edition, &settings).map(Ok),
        });
        let folder = || {
            format!(
                "`{}` is its folder",
                context.path(&context.installed.root().join(&name))
            )
        };
        match settled {
            Ok(Ok(skill)) => sound.push(skill),
            Ok(Err(Instead { problem, since })) => unusable.push(Unusable {
                hint: hint(&problem, folder),
                reason: problem.message,
                since: Some(since),
                name,
            }),
            Err(error) if error.code == UNKNOWN => {}
            Err(error) => {
                let problem = installed::problem(&error);
                unusable.push(Unusable {
                    hint: hint(&problem, folder),
                    reason: problem.message,
                    since: None,
                    name,
                });
            }
        }
    }
    Ok((sound, unusable))
}

/// Returns what to do about a skill that cannot be used: its folder says more than that it does not load.
fn hint(problem: &Problem, folder: impl Fn() -> String) -> String {
    match &*problem.code {
        DOES_NOT_LOAD => folder(),
        _ => problem.hint.clone(),
    }
}

fn look(session: &Session<'_>, edition: &Edition, settings: &Settings) -> Result<Sound> {
    let Edition {
        skill: name,
        description,
        ..
    } = edition;
    let input = input_schema(name, description)?;
    let output = output_schema(name, description)?;
    if let Some(script) = &edition.script {
        session.hub.open(Name::Offline, settings, Some(script))?;
    }
    let skill = session.context.installed.get(name.as_str())?;
    let mut remarks = Vec::new();
    if description.name != skill.name {
        remarks.push(format!(
            "its component calls itself `{}`; it is launched by its folder's name",
            description.name
        ));
    }
    let documented = Documented {
        name,
        description,
        input: &input,
        output: &output,
        options: &flags(),
    };
    let mend = format!("`skillhost skills --write-doc {}` writes it", skill.name);
    match skill_doc::state(document(&skill)?.as_deref(), documented) {
        State::UpToDate => {}
        State::Stale => remarks.push(format!("its SKILL.md tells of another version how to run it; {mend}")),
        State::Missing => remarks.push(format!("its SKILL.md does not tell how to run it; {mend}")),
    }
    let asks = asks(description, &grants::of(&session.context.home, name)?);
    let denied: Vec<&str> = asks
        .iter()
        .filter(|ask| !ask.granted && ask.flag.is_none())
        .map(|ask| ask.words.as_str())
        .collect();
    let denied =
        (!denied.is_empty()).then(|| format!("it asks to {}, which was not granted", denied.join(", and to ")));
    Ok(Sound {
        denied,
        asks,
        name: skill.name.clone(),
        version: plain_line(&description.version),
        summary: plain_line(&description.summary),
        remarks,
    })
}

/// Returns what a skill asks its user for. A folder that is not granted to every run is named by each launch.
fn asks(description: &Description, granted: &Grants) -> Vec<Ask> {
    let requests = grants::asked(description).0.into_iter().map(|request| Ask {
        granted: granted.covers(&request.grants),
        words: request.words,
        reason: request.reason,
        flag: None,
    });
    let mounts = grants::mounts_asked(description).0.into_iter().map(|request| {
        let granted = grant::gives(granted, &request);
        Ask {
            granted,
            words: request.words(),
            flag: (!granted).then(|| request.flag()),
            reason: request.reason,
        }
    });
    requests.chain(mounts).collect()
}

/// Returns the skill's `SKILL.md`.
fn document(skill: &Installed) -> Result<Option<String>> {
    let path = skill.folder.join(DOCUMENT);
    let unreadable = |e: &dyn std::error::Error| {
        CliError::invalid("bad_skill", format!("could not read `{}`", path.display())).caused_by(e)
    };
    match read_regular(&path, FILE_BYTES_MAX) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|e| unreadable(&e)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(unreadable(&e)),
    }
}

fn write_doc(name: &str, context: &Context) -> Result<Report> {
    let session = context.session(context.journal()?);
    let edition = session.settle(name)?;
    let description = &edition.description;
    let skill = context.installed.get(name)?;
    let documented = Documented {
        name: &skill.name,
        description,
        input: &input_schema(&skill.name, description)?,
        output: &output_schema(&skill.name, description)?,
        options: &flags(),
    };
    let old = document(&skill)?;
    let new = skill_doc::written(old.as_deref(), documented);
    let path = skill.folder.join(DOCUMENT);
    let shown = context.path(&path);
    if old.as_ref() == Some(&new) {
        return Ok(Report::done(format!("{shown} is up to date"), Envelope::default()));
    }
    rewrite(&path, new.as_bytes())
        .map_err(|e| CliError::new(Exit::Storage, "not_written", format!("could not write `{shown}`")).caused_by(&e))?;
    Ok(Report::done(
        format!("{shown} tells how to run it"),
        Envelope::default(),
    ))
}

fn sound_value(skill: &Sound) -> Value {
    let mut value = json!({"skill": skill.name, "ok": true, "version": skill.version, "summary": skill.summary});
    if !skill.asks.is_empty() {
        let ask = |ask: &Ask| {
            let mut value = json!({"to": ask.words, "reason": ask.reason, "granted": ask.granted});
            if let Some(flag) = &ask.flag {
                value["flag"] = json!(flag);
            }
            value
        };
        value["asks"] = skill.asks.iter().map(ask).collect();
    }
    if !skill.remarks.is_empty() {
        value["remarks"] = json!(skill.remarks);
    }
    value
}

fn broken_value(skill: &Unusable) -> Value {
    let mut value = json!({"skill": plain_line(&skill.name), "ok": false, "reason": skill.reason, "hint": skill.hint});
    if let Some(since) = skill.since {
        value["used_instead_since"] = json!(utc(since));
    }
    value
}
