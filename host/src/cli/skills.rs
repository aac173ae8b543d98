//! `skills`: what is installed, what is wrong with what cannot be launched, and the document that tells an agent how to run a skill.

use std::io;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use skillhost_core::id::SkillName;
use skillhost_effects::model::{Name, Settings};

use super::context::{Context, Session};
use super::launch::{describe, flags, input_schema, output_schema};
use super::report::{Envelope, Report, Rows};
use crate::bundle::{FILE_BYTES_MAX, Scan};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::{read_regular, rewrite};
use crate::skill_doc::{self, Skill as Documented, State};
use crate::skills::{Broken, Installed};
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
}

/// `skills`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost skills
  skillhost skills --json
  skillhost skills --write-doc hello-world")]
pub struct SkillsArgs {
    /// Write into the SKILL.md of this skill how to run it; what its author wrote there stays
    #[arg(long, value_name = "SKILL")]
    pub write_doc: Option<String>,
}

pub(super) fn run(args: &SkillsArgs, context: &Context) -> Result<Report> {
    match &args.write_doc {
        Some(name) => write_doc(name, context),
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
    }
    for skill in &broken {
        text.push_str(&format!(
            "\n{} cannot be launched: {}\n  hint: {}\n",
            plain_line(&skill.name),
            skill.reason,
            skill.hint
        ));
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
pub(super) fn examine(context: &Context) -> Result<(Vec<Sound>, Vec<Broken>)> {
    let (installed, mut broken) = context.installed.list()?;
    let mut sound = Vec::new();
    if installed.is_empty() {
        return Ok((sound, broken));
    }
    let settings = context.settings(&context.config()?);
    let session = context.session(context.journal()?);
    for skill in installed {
        match look(&session, &skill, &settings) {
            Ok(skill) => sound.push(skill),
            Err(error) => broken.push(Broken {
                name: skill.name.to_string(),
                // `skill x does not load: reason` is said once.
                reason: error.causes.last().cloned().unwrap_or_else(|| reason(&error.message)),
                hint: match error.code {
                    "does_not_load" => format!("`{}` is its folder", context.path(&skill.folder)),
                    _ => error
                        .hint
                        .unwrap_or_else(|| format!("`{}` is its folder", context.path(&skill.folder))),
                },
            }),
        }
    }
    broken.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((sound, broken))
}

/// Returns what comes after `skill x cannot be launched: `.
fn reason(message: &str) -> String {
    message
        .split_once(" cannot be launched: ")
        .map_or(message, |(_, reason)| reason)
        .to_owned()
}

fn look(session: &Session<'_>, skill: &Installed, settings: &Settings) -> Result<Sound> {
    let scan = Arc::new(Scan::of(skill)?);
    let description = describe(session, &skill.name, &scan)?;
    let input = input_schema(&skill.name, &description)?;
    let output = output_schema(&skill.name, &description)?;
    if let Some(script) = scan.script()? {
        session.hub.open(Name::Offline, settings, Some(&script))?;
    }
    let mut remarks = Vec::new();
    if description.name != skill.name {
        remarks.push(format!(
            "its component calls itself `{}`; it is launched by its folder's name",
            description.name
        ));
    }
    let documented = Documented {
        name: &skill.name,
        description: &description,
        input: &input,
        output: &output,
        options: &flags(),
    };
    let mend = format!("`skillhost skills --write-doc {}` writes it", skill.name);
    match skill_doc::state(document(skill)?.as_deref(), documented) {
        State::UpToDate => {}
        State::Stale => remarks.push(format!("its SKILL.md tells of another version how to run it; {mend}")),
        State::Missing => remarks.push(format!("its SKILL.md does not tell how to run it; {mend}")),
    }
    Ok(Sound {
        name: skill.name.clone(),
        version: plain_line(&description.version),
        summary: plain_line(&description.summary),
        remarks,
    })
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
    let skill = context.installed.get(name)?;
    let scan = Arc::new(Scan::of(&skill)?);
    let session = context.session(context.journal()?);
    let description = describe(&session, &skill.name, &scan)?;
    let documented = Documented {
        name: &skill.name,
        description: &description,
        input: &input_schema(&skill.name, &description)?,
        output: &output_schema(&skill.name, &description)?,
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
    if !skill.remarks.is_empty() {
        value["remarks"] = json!(skill.remarks);
    }
    value
}

fn broken_value(skill: &Broken) -> Value {
    json!({"skill": plain_line(&skill.name), "ok": false, "reason": skill.reason, "hint": skill.hint})
}
