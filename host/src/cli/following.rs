//! `skills --watch`: a line for every change of what is installed, as the daemon sees it.

use std::io;

use serde_json::{Value, json};
use skillhost_core::id::Digest;
use tokio::signal::unix::{SignalKind, signal};

use super::context::Context;
use super::report::{Envelope, Report};
use crate::daemon::{Client, Reply, SkillState, SkillStates};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::terminal::{self, plain_line};
use crate::timeline::count;

/// After so many daemons that died without telling anything, another is not started.
const DEATHS_MAX: u32 = 5;

/// Prints what changes, until somebody interrupts that.
pub(super) fn run(context: &Context) -> Result<Report> {
    context.talk(async {
        let interrupts = signal(SignalKind::interrupt());
        let mut interrupts = interrupts
            .map_err(|e| CliError::new(Exit::Host, "no_signals", "could not listen for Ctrl-C").caused_by(&e))?;
        tokio::select! {
            _ = interrupts.recv() => Ok(Report::done("", Envelope::default())),
            error = follow(context) => Err(error),
        }
    })
}

async fn follow(context: &Context) -> CliError {
    let (mut known, mut deaths) = (None, 0);
    loop {
        match connected(context, &mut known).await {
            Ok(0) => deaths += 1,
            Ok(_) => deaths = 0,
            Err(error) => return error,
        }
        if deaths > DEATHS_MAX {
            let message = format!("the daemon died {deaths} times, and told nothing");
            let hint = format!("`{}` holds what it said", context.path(&context.home.logs()));
            return CliError::new(Exit::Host, "daemon_dies", message).hint(hint);
        }
    }
}

/// Prints what one daemon tells, until it is gone. Returns how many changes those were.
async fn connected(context: &Context, known: &mut Option<SkillStates>) -> Result<u64> {
    let library = context.installed.root();
    let mut client = Client::ensure(&context.home).await?;
    let Some(states) = client.follow(library).await? else {
        return Ok(0);
    };
    let mut told = 0;
    match known {
        None => {
            let skills = count(states.len() as u64, "skill");
            terminal::note(&format!(
                "following {skills} in {}; Ctrl-C ends that",
                context.path(library)
            ));
            *known = Some(states);
        }
        // What changed while no daemon was there.
        Some(known) => told += renew(context, known, states)?,
    }
    let Some(known) = known else { return Ok(told) };
    while let Some(reply) = client.next().await {
        match reply {
            Reply::Skill(sight) => {
                let old = known.get(&sight.skill);
                told += print(context, &sight.skill, old, sight.state.as_ref())?;
                match sight.state {
                    Some(state) => known.insert(sight.skill, state),
                    None => known.remove(&sight.skill),
                };
            }
            Reply::Skills(states) => told += renew(context, known, states)?,
            _ => {}
        }
    }
    Ok(told)
}

/// Prints what is different.
fn renew(context: &Context, known: &mut SkillStates, states: SkillStates) -> Result<u64> {
    let mut told = 0;
    for (skill, old) in known.iter().filter(|(skill, _)| !states.contains_key(*skill)) {
        told += print(context, skill, Some(old), None)?;
    }
    for (skill, state) in &states {
        told += print(context, skill, known.get(skill), Some(state))?;
    }
    *known = states;
    Ok(told)
}

fn print(context: &Context, skill: &str, old: Option<&SkillState>, new: Option<&SkillState>) -> Result<u64> {
    if old == new {
        return Ok(0);
    }
    let line = match context.json {
        true => value(skill, old, new).to_string(),
        false => line(skill, old, new),
    };
    let unwritten =
        |e: io::Error| CliError::new(Exit::Host, "no_output", "could not write to standard output").caused_by(&e);
    terminal::print(&format!("{line}\n")).map_err(unwritten)?;
    Ok(1)
}

/// Returns what happened, in a word that programs compare.
fn word(old: Option<&SkillState>, new: Option<&SkillState>) -> &'static str {
    use SkillState::{Broken, Sound};
    match (old, new) {
        (_, None) => "removed",
        (_, Some(Broken { .. })) => "broken",
        (None, Some(Sound { .. })) => "added",
        (Some(Broken { .. }), Some(Sound { .. })) => "mended",
        (Some(Sound { .. }), Some(Sound { .. })) => "changed",
    }
}

fn line(skill: &str, old: Option<&SkillState>, new: Option<&SkillState>) -> String {
    let (word, skill) = (word(old, new), plain_line(skill));
    match new {
        None => format!("{word} {skill}"),
        Some(SkillState::Sound { bundle }) => format!("{word} {skill} {}", bundle.short()),
        Some(SkillState::Broken { problem, used }) => {
            let used = used.map_or_else(
                || "nothing can be launched".to_owned(),
                |used: Digest| format!("{} is used instead", used.short()),
            );
            format!("{word} {skill}; {used}: {}", plain_line(&problem.message))
        }
    }
}

fn value(skill: &str, old: Option<&SkillState>, new: Option<&SkillState>) -> Value {
    let mut value = json!({"change": word(old, new), "skill": plain_line(skill)});
    match new {
        None => {}
        Some(SkillState::Sound { bundle }) => value["bundle"] = json!(bundle),
        Some(SkillState::Broken { problem, used }) => {
            value["reason"] = json!(plain_line(&problem.message));
            value["hint"] = json!(problem.hint);
            if let Some(used) = used {
                value["used_instead"] = json!(used);
            }
        }
    }
    value
}
