//! `skills`: what is installed, and what is wrong with what cannot be launched.

use std::sync::Arc;

use serde_json::{Value, json};
use skillhost_core::id::SkillName;
use skillhost_effects::model::{Name, Settings};

use super::context::{Context, Session};
use super::launch::{describe, input_schema, output_schema};
use super::report::{Envelope, Report, Rows};
use crate::bundle::Scan;
use crate::error::Result;
use crate::skills::{Broken, Installed};
use crate::terminal::{Table, plain_line};
use crate::timeline::count;

/// A skill that can be launched.
pub(super) struct Sound {
    pub(super) name: SkillName,
    version: String,
    summary: String,
    /// What its user should know nevertheless.
    remark: Option<String>,
}

pub(super) fn run(context: &Context) -> Result<Report> {
    let (sound, broken) = examine(context)?;
    let root = context.path(context.library.root());
    let mut text = String::new();
    if !sound.is_empty() {
        let mut table = Table::new(["SKILL", "VERSION", "SUMMARY"]);
        for skill in &sound {
            table.row([skill.name.to_string(), skill.version.clone(), skill.summary.clone()]);
        }
        text.push_str(&table.render(context.terminal.width));
    }
    for (skill, remark) in sound.iter().filter_map(|skill| Some((skill, skill.remark.as_ref()?))) {
        text.push_str(&format!("\n{}: {remark}\n", skill.name));
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
    let (installed, mut broken) = context.library.list()?;
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
    let description = describe(session, skill, &scan)?;
    input_schema(&skill.name, &description)?;
    output_schema(&skill.name, &description)?;
    if let Some(script) = scan.script()? {
        session.hub.open(Name::Offline, settings, Some(&script))?;
    }
    let remark = (description.name != skill.name).then(|| {
        format!(
            "its component calls itself `{}`; it is launched by its folder's name",
            description.name
        )
    });
    Ok(Sound {
        name: skill.name.clone(),
        version: plain_line(&description.version),
        summary: plain_line(&description.summary),
        remark,
    })
}

fn sound_value(skill: &Sound) -> Value {
    json!({"skill": skill.name, "ok": true, "version": skill.version, "summary": skill.summary})
}

fn broken_value(skill: &Broken) -> Value {
    json!({"skill": plain_line(&skill.name), "ok": false, "reason": skill.reason, "hint": skill.hint})
}
