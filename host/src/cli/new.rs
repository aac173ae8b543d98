//! `new`: makes the crate of a skill.

use std::path::PathBuf;

use clap::Args;

use super::context::Context;
use super::report::{Envelope, Report};
use crate::author::template::{self, Template};
use crate::error::Result;

/// `new`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost new daily-summary
  skillhost new release-notes --template approval --path ~/skills/release-notes")]
pub struct NewArgs {
    /// What the skill is called: lower-case letters, digits and hyphens
    pub name: String,
    /// What it begins with
    #[arg(long, value_enum, default_value_t = Template::Minimal)]
    pub template: Template,
    /// Make it here instead of in a folder of its name
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
}

pub(super) fn run(args: &NewArgs, context: &Context) -> Result<Report> {
    let name = template::check_name(&args.name)?;
    let folder = args.path.clone().unwrap_or_else(|| PathBuf::from(name.as_str()));
    template::make(args.template, &name, &folder, &context.home)?;
    let shown = context.path(&folder);
    let path = std::path::absolute(&folder).unwrap_or(folder);
    let envelope = Envelope {
        skill: Some(name),
        path: Some(path),
        ..Envelope::default()
    };
    let mut report = Report::done(
        format!("{shown} is a skill (template {})", args.template.name()),
        envelope,
    );
    report.notes = format!("hint: `cd {shown}`, then `skillhost build`, and `skillhost install` to launch it\n");
    Ok(report)
}
