//! `test --record`: makes a case of a run that is over.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use skillhost_core::entry::Record;
use skillhost_core::id::LaunchId;
use skillhost_core::machine::Machine;
use skillhost_journal::RunRow;

use super::super::context::{Context, Session};
use super::super::report::{Envelope, ErrorMember, Report};
use super::super::{dev, launch};
use super::{FOLDER, Skill, TestArgs, found, is_crate, told};
use crate::author::document::DOCUMENT;
use crate::author::install::is_ours;
use crate::author::project::Project;
use crate::bundle::SCRIPT;
use crate::cases::Case;
use crate::cases::judge::Files;
use crate::cases::play::{collect, play};
use crate::cases::record::{Recorded, record};
use crate::describe::{input_schema, output_schema};
use crate::driver::{self, Pinned};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::terminal;

/// How much of a name that cannot be one is repeated, in characters.
const NAME_CHARS: usize = 60;

/// Makes a case of a run, and plays it on what the run is pinned to.
pub(super) fn keep(args: &TestArgs, run: &str, context: &Context) -> Result<Report> {
    let (folder, names) = home_of_case(args.path.as_deref(), context)?;
    // An execution of `dev` is as good as a run of one's own.
    let apart = dev::apart(context, &folder);
    let context = match (context.find(context.journal()?.as_ref(), run), &apart) {
        (Err(_), Some(apart)) => apart,
        _ => context,
    };
    let session = context.session(context.journal()?);
    let row = context.find(session.journal.as_ref(), run)?;
    let unfit = |reason: String| {
        let message = format!("no case can be made of run `{}`: {reason}", row.run);
        CliError::invalid("no_case", message)
    };
    if !names.contains(&row.skill.to_string()) {
        let names = names.join("` or `");
        return Err(unfit(format!("it is of skill `{}`, and this is `{names}`", row.skill)));
    }
    let records = session.journal.all_records(&row.run)?;
    let mut files = Files::new();
    collect(&context.home.run(&row.run), "", &mut files)
        .map_err(|e| unfit(format!("its folder cannot be read: {e}")))?;
    let text = record(&Recorded {
        records: &records,
        files: &files,
        next: driver::next_input(session.journal.as_ref(), &records),
    });
    let text = text.map_err(unfit)?;
    let case = Case::parse(&text).map_err(|e| unfit(format!("what was written of it cannot be read: {e}")))?;
    let name = args.name.as_deref().unwrap_or(row.launch.as_str());
    let name = name.strip_suffix(".toml").unwrap_or(name);
    let place = folder.join(FOLDER).join(format!("{}.toml", case_name(name)?));
    let skill = of_run(&session, &row, &records)?;
    let tokio = session.loading()?.tokio.handle();
    let verdict = skill.play(session.loading()?, |subject| {
        play(
            &case,
            &format!("{FOLDER}/{name}.toml"),
            subject,
            false,
            tokio,
            |_, _| {},
        )
    })??;
    write_new(&place, &text)?;
    let shown = context.path(&place);
    let envelope = Envelope {
        path: Some(place),
        run_id: Some(row.run),
        skill: Some(row.skill),
        ..Envelope::default()
    };
    let made = format!("case {shown}\n");
    if verdict.findings.is_empty() {
        let mut report = Report::done(made, envelope);
        report.notes = format!("hint: `skillhost test --only {name}` plays it\n");
        return Ok(report);
    }
    let message = "the case is written, and played at once it comes to something else: not everything of a run can be said in a case";
    let error = ErrorMember::new(
        "case_failed",
        message,
        Some("mend the case by hand, or remove it".to_owned()),
    );
    Ok(Report {
        text: format!("{made}{}", told(&verdict.findings)),
        ..Report::failed(Exit::Failed, error, envelope)
    })
}

/// Returns the folder that a recorded case belongs to, and the names that its skill may have.
fn home_of_case(path: Option<&Path>, context: &Context) -> Result<(PathBuf, Vec<String>)> {
    if is_crate(path) {
        let project = Project::find(path)?;
        let document = fs::read_to_string(project.folder().join(DOCUMENT)).unwrap_or_default();
        let named = document.lines().find_map(|line| line.strip_prefix("name:"));
        let names = [
            Some(project.package().to_owned()),
            named.map(|name| name.trim().to_owned()),
        ];
        let mut names: Vec<String> = names.into_iter().flatten().collect();
        names.dedup();
        return Ok((project.folder().to_owned(), names));
    }
    let (folder, _) = found(path.unwrap_or(Path::new(".")), context)?;
    let Some(folder) = folder else {
        return Err(CliError::invalid(
            "no_crate",
            "a component alone has no folder for cases",
        ));
    };
    if is_ours(&folder) {
        let message = format!(
            "`{}` is replaced by the next `install`, and the case with it",
            context.path(&folder)
        );
        return Err(CliError::invalid("no_crate", message).hint("record it in the crate of the skill"));
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((folder, vec![name]))
}

/// Loads what a run is pinned to.
fn of_run(session: &Session<'_>, row: &RunRow, records: &[Record]) -> Result<Skill> {
    let damaged = |e| CliError::of(Exit::Storage, "damaged", &e).hint("`skillhost doctor` checks the database");
    let pin = Machine::pin(records).map_err(damaged)?;
    let loading = session.loading()?;
    let pinned = Pinned::load(&session.journal, &loading.loader, &row.run, pin);
    let pinned = loading.tokio.block_on(pinned)?;
    let description = launch::pinned_description(session, row)?;
    let script = pinned
        .files
        .get(SCRIPT)
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    Ok(Skill {
        mounts: super::mounts_asked(&description),
        name: row.skill.clone(),
        pin,
        input: input_schema(&row.skill, &description)?,
        output: output_schema(&row.skill, &description)?,
        script,
        grants: Machine::started(records).map_err(damaged)?.grants.clone(),
        pinned,
    })
}

/// Checks the name of a case, which becomes that of its file.
fn case_name(name: &str) -> Result<&str> {
    // As the id of a launch, which is its name by default.
    match LaunchId::parse(name) {
        Ok(_) if !name.starts_with('.') => Ok(name),
        _ => Err(CliError::invalid(
            "bad_name",
            format!(
                "`{}` cannot name a case",
                terminal::cut(&terminal::plain_line(name), NAME_CHARS)
            ),
        )
        .hint("1 to 100 letters, digits, `-`, `_` and `.`")),
    }
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, text: &str) -> Result<()> {
    let written = fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))
        .and_then(|()| fs::OpenOptions::new().write(true).create_new(true).open(path))
        .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => {
            CliError::invalid("exists", format!("there is a case `{}` already", path.display()))
                .hint("`--as NAME` gives it another name")
        }
        _ => CliError::new(
            Exit::Storage,
            "not_written",
            format!("could not write `{}`", path.display()),
        )
        .caused_by(&e),
    })
}
