//! `test`: plays the cases of a skill, and makes one of a run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use skillhost_core::entry::Pin;
use skillhost_core::machine::Line;
use skillhost_core::payload::Payload;
use skillhost_effects::model::offline::glob_matches;
use skillhost_effects::model::{Config, Environment, Hub, Settings};
use skillhost_journal::JournalError;
use skillhost_runtime::BundleFiles;

use super::context::{Context, Session};
use super::report::{Envelope, ErrorMember, Report, Rows};
use super::{build, dev, install};
use crate::author::build::last;
use crate::author::component::{Examined, examine};
use crate::author::project::Project;
use crate::bundle::{COMPONENT_BYTES_MAX, FILE_BYTES_MAX, Scan};
use crate::cases::Case;
use crate::cases::judge::Files;
use crate::cases::play::{Subject, Verdict, collect, play};
use crate::cases::record::{Recorded, record};
use crate::driver::Pinned;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::read_regular;
use crate::problem::Problem;
use crate::schema;
use crate::stage::Stage;
use crate::terminal;
use crate::timeline::count;

/// The folder of cases, beside the source.
const FOLDER: &str = "tests";

/// The most cases of one skill.
const CASES_MAX: usize = 1_000;

/// How many problems of a case programs are told.
const PROBLEMS_MAX: usize = 5;

/// How much of a difference programs are told, in characters.
const DIFFERENCE_CHARS: usize = 400;

/// How many of the lines that a skill said are shown of a case that failed.
const SAID_MAX: usize = 20;

/// After so long, it is said how far the cases are.
const SILENT: Duration = Duration::from_secs(1);

/// `test`.
#[derive(Debug, Args)]
#[command(after_help = "\
A case is a file `tests/NAME.toml`: what the skill is given, what models and people answer, and what has to come of it.
Time passes only when nothing else can happen, so a skill that sleeps for a day is tested at once.

Examples:
  skillhost test
  skillhost test --crash --only 'approved*'
  skillhost test --record nightly --as nightly-in-may")]
pub struct TestArgs {
    /// The skill: its crate, its folder, its name or a component; the crate of this folder if absent
    pub path: Option<PathBuf>,
    /// Play only cases of this name; `*` is any text
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Kill each case once at every moment at which it could be killed, and demand that the same comes of it
    #[arg(long)]
    pub crash: bool,
    /// Make a case of this run, which is over: its id, its launch id, or the beginning or end of one
    #[arg(long, value_name = "RUN", conflicts_with_all = ["only", "crash"])]
    pub record: Option<String>,
    /// What to call that case
    #[arg(long = "as", value_name = "NAME", requires = "record")]
    pub name: Option<String>,
    /// Play the component that was built last
    #[arg(long)]
    pub no_build: bool,
}

pub(super) fn run(args: &TestArgs, context: &Context) -> Result<Report> {
    match &args.record {
        Some(run) => keep(args, run, context),
        None => test(args, context),
    }
}

/// What is tested.
struct Skill {
    /// Where its cases are.
    folder: PathBuf,
    scan: Scan,
    examined: Examined,
    bytes: Vec<u8>,
}

fn test(args: &TestArgs, context: &Context) -> Result<Report> {
    let session = context.session(context.journal()?);
    let skill = match skill(args, &session)? {
        Ok(skill) => skill,
        Err(report) => return Ok(*report),
    };
    let cases = cases(&skill.folder, &args.only, context)?;
    let files = skill.scan.bundle().files().iter();
    let files = files.filter(|file| file.digest != skill.examined.digest);
    let files = files.map(|file| Ok((file.path.clone(), skill.scan.read(file)?)));
    let files: io::Result<BundleFiles> = files.collect();
    let loading = session.loading()?;
    let loaded = loading.tokio.block_on(loading.loader.load_bytes(skill.bytes));
    let pinned = Pinned {
        component: loaded.map_err(|e| CliError::of(Exit::Unsupported, "does_not_load", &e))?,
        files: Arc::new(files.map_err(|e| unreadable(&skill.folder, &e))?),
    };
    // What the user has configured is no part of a case.
    let settings = Settings::new(Config::default(), Environment::default());
    let script = skill.scan.script()?;
    let check_result = |result: &Payload| schema::check_result(&skill.examined.output, result);
    let hub = Hub::new();
    let subject = Subject {
        skill: &skill.examined.description.name,
        pin: Pin {
            bundle: skill.scan.bundle().digest(),
            component: skill.examined.digest,
        },
        input: &skill.examined.input,
        script: script.as_deref(),
        stage: Stage {
            pinned: &pinned,
            hub: &hub,
            settings: &settings,
            check_result: &check_result,
        },
    };
    let begun = Instant::now();
    let mut told = 0;
    let mut played = Vec::new();
    for (index, path) in cases.iter().enumerate() {
        let name = name_of(path);
        let progress = |kills: usize, moments: usize| {
            if begun.elapsed() > SILENT * (told + 1) && context.terminal.stderr {
                told += 1;
                terminal::note(&format!(
                    "case {} of {}, `{name}`: killed at {kills} of {moments} moments ...",
                    index + 1,
                    cases.len()
                ));
            }
        };
        played.push(one(path, &subject, args.crash, loading, progress)?);
    }
    Ok(report(&played, &skill.examined, args.crash))
}

/// A case that was played.
struct Tested {
    name: String,
    about: Option<String>,
    verdict: Verdict,
}

fn one(
    path: &Path,
    subject: &Subject<'_>,
    crash: bool,
    loading: &super::context::Loading,
    progress: impl FnMut(usize, usize),
) -> Result<Tested> {
    let name = name_of(path);
    let shown = format!("{FOLDER}/{name}.toml");
    let text = read_regular(path, FILE_BYTES_MAX).map_err(|e| e.to_string());
    let text = text.and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned()));
    let case = match text.map(|text| Case::parse(&text)) {
        Ok(Ok(case)) => case,
        Ok(Err(error)) => {
            let problem = Problem::error("bad_case", error.reason).at(format!("{shown}:{}:1", error.line));
            return Ok(unplayed(name, problem));
        }
        Err(reason) => {
            let problem = Problem::error("bad_case", format!("it cannot be read: {reason}")).at(shown);
            return Ok(unplayed(name, problem));
        }
    };
    let verdict = loading.tokio.block_on(play(&case, &shown, subject, crash, progress))?;
    Ok(Tested {
        name,
        about: case.about,
        verdict,
    })
}

fn unplayed(name: String, problem: Problem) -> Tested {
    Tested {
        name,
        about: None,
        verdict: Verdict::unplayed(problem),
    }
}

/// Finds what is tested, and builds it if it is a crate.
fn skill(args: &TestArgs, session: &Session<'_>) -> Result<Result<Skill, Box<Report>>> {
    let context = session.context;
    let path = args.path.as_deref();
    let is_crate = path.is_none_or(|path| path.join("Cargo.toml").is_file() || path.ends_with("Cargo.toml"));
    if !is_crate {
        let (folder, component) = found(path.unwrap_or(Path::new(".")), context)?;
        let around = component.parent().unwrap_or(Path::new("/")).to_owned();
        return of_component(folder.as_deref(), around, &component, session);
    }
    let project = Project::find(path)?;
    if args.no_build {
        let Some(component) = last(&project)? else {
            let message = format!("crate `{}` has no component yet", project.package());
            return Err(CliError::invalid("no_component", message).hint("leave out `--no-build`"));
        };
        let folder = project.folder();
        return of_component(Some(folder), folder.to_owned(), &component, session);
    }
    Ok(match build::of_project(&project, session)? {
        Err(report) => Err(report),
        Ok((compiled, examined)) => Ok(Skill {
            folder: project.folder().to_owned(),
            scan: Scan::with_component(&examined.description.name, project.folder(), compiled.bytes.clone())?,
            examined,
            bytes: compiled.bytes,
        }),
    })
}

/// Finds the folder and the component of what is no crate: at a path, or installed under a name.
fn found(path: &Path, context: &Context) -> Result<(Option<PathBuf>, PathBuf)> {
    let installed = path.to_str().filter(|name| !path.exists() && !name.contains('/'));
    if let Some(skill) = installed.and_then(|name| context.installed.get(name).ok()) {
        return Ok((Some(skill.folder.clone()), skill.folder.join(skill.component)));
    }
    install::at(path)
}

fn of_component(
    folder: Option<&Path>,
    cases: PathBuf,
    component: &Path,
    session: &Session<'_>,
) -> Result<Result<Skill, Box<Report>>> {
    let shown = session.context.path(component);
    let bytes = read_regular(component, COMPONENT_BYTES_MAX).map_err(|e| unreadable(component, &e))?;
    let examining = examine(
        &session.loading()?.loader,
        session.journal.as_ref(),
        &shown,
        bytes.clone(),
    );
    let examined = match session.patiently(&shown, examining)?? {
        Ok(examined) => examined,
        Err(problem) => return Ok(Err(Box::new(build::no_skill(&shown, &problem)))),
    };
    let scan = match folder {
        Some(folder) => Scan::with_component(&examined.description.name, folder, bytes.clone())?,
        None => Scan::alone(bytes.clone())?,
    };
    Ok(Ok(Skill {
        folder: folder.map_or(cases, Path::to_owned),
        scan,
        examined,
        bytes,
    }))
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    CliError::invalid("no_component", format!("could not read `{}`", path.display())).caused_by(error)
}

/// Lists the cases that are to be played, by name.
fn cases(folder: &Path, only: &[String], context: &Context) -> Result<Vec<PathBuf>> {
    let folder = folder.join(FOLDER);
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut all: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .take(CASES_MAX)
        .collect();
    all.sort();
    if all.is_empty() {
        let message = format!("there are no cases in `{}`", context.path(&folder));
        return Err(CliError::invalid("no_cases", message).hint(
            "a case is a file `tests/NAME.toml`; `skillhost test --record RUN` makes one of a run that is over",
        ));
    }
    let is_wanted = |path: &PathBuf| {
        let name = name_of(path);
        only.is_empty() || only.iter().any(|pattern| glob_matches(pattern, &name))
    };
    let wanted: Vec<PathBuf> = all.iter().filter(|path| is_wanted(path)).cloned().collect();
    if wanted.is_empty() {
        let names: Vec<String> = all.iter().map(|path| format!("`{}`", name_of(path))).collect();
        return Err(CliError::invalid("no_cases", "there is no case of that name")
            .hint(format!("there are {}", names.join(", "))));
    }
    Ok(wanted)
}

fn name_of(path: &Path) -> String {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    terminal::plain_line(&name)
}

fn report(tested: &[Tested], examined: &Examined, crash: bool) -> Report {
    let failed = tested.iter().filter(|one| !one.verdict.findings.is_empty()).count();
    // What failed comes first: a line for programs that is too long loses its end.
    let mut rows: Vec<&Tested> = tested.iter().collect();
    rows.sort_by_key(|one| one.verdict.findings.is_empty());
    let envelope = Envelope {
        skill: Some(examined.description.name.clone()),
        rows: Some(Rows::Cases(rows.into_iter().map(row).collect())),
        ..Envelope::default()
    };
    let mut text: String = tested.iter().map(|one| line(one, crash)).collect();
    for one in tested.iter().filter(|one| !one.verdict.findings.is_empty()) {
        for finding in &one.verdict.findings {
            text.push_str(&format!("\n{}{}", finding.problem.lines(), finding.difference));
        }
        text.push_str(&said(one));
    }
    let sum = format!(
        "{}: {} passed, {failed} failed\n",
        count(tested.len() as u64, "case"),
        tested.len() - failed
    );
    if failed == 0 {
        return Report {
            notes: sum,
            ..Report::done(text, envelope)
        };
    }
    let error = ErrorMember::new("case_failed", sum.trim_end(), None);
    Report {
        text,
        ..Report::failed(Exit::Failed, error, envelope)
    }
}

/// Returns the last lines that a skill printed and logged in a case.
fn said(tested: &Tested) -> String {
    let lines = tested.verdict.said.iter().filter_map(|line| match line {
        Line::Message { message, .. } => Some(message),
        Line::Printed { text, .. } => Some(text),
        Line::Progress { .. } => None,
    });
    let lines: Vec<String> = lines
        .map(|line| format!("  {}\n", terminal::plain_line(line)))
        .collect();
    match lines.is_empty() {
        true => String::new(),
        false => format!(
            "\n{} said\n{}",
            tested.name,
            lines[lines.len().saturating_sub(SAID_MAX)..].concat()
        ),
    }
}

/// Returns the line that tells people of a case.
fn line(tested: &Tested, crash: bool) -> String {
    let Verdict {
        findings, calls, kills, ..
    } = &tested.verdict;
    let mark = if findings.is_empty() { "ok" } else { "FAILED" };
    let about = tested
        .about
        .as_deref()
        .map(|about| format!(": {}", terminal::plain_line(about)));
    let killed = match crash {
        true => format!(", killed at {}", count(*kills as u64, "moment")),
        false => String::new(),
    };
    let calls = count(*calls as u64, "call");
    format!(
        "{mark:<7} {}{} ({calls}{killed})\n",
        tested.name,
        about.unwrap_or_default()
    )
}

/// Returns what programs are told of a case.
fn row(tested: &Tested) -> Value {
    let problems = tested.verdict.findings.iter().take(PROBLEMS_MAX).map(|finding| {
        let mut value = finding.problem.value();
        if !finding.difference.is_empty() {
            value["difference"] = Value::from(terminal::cut(&finding.difference, DIFFERENCE_CHARS));
        }
        value
    });
    let mut row = json!({
        "case": tested.name,
        "passed": tested.verdict.findings.is_empty(),
        "calls": tested.verdict.calls,
        "kills": tested.verdict.kills,
        "problems": problems.collect::<Vec<_>>(),
    });
    if let Some(about) = &tested.about {
        row["about"] = Value::from(terminal::plain_line(about));
    }
    row
}

/// Makes a case of a run.
fn keep(args: &TestArgs, run: &str, context: &Context) -> Result<Report> {
    let path = args.path.as_deref();
    let is_crate = path.is_none_or(|path| path.join("Cargo.toml").is_file() || path.ends_with("Cargo.toml"));
    let folder = match is_crate {
        true => Project::find(path)?.folder().to_owned(),
        false => found(path.unwrap_or(Path::new(".")), context)?
            .0
            .ok_or_else(|| CliError::invalid("no_crate", "a component alone has no folder for cases"))?,
    };
    // An execution of `dev` is as good as a run of one's own.
    let apart = dev::apart(context, &folder);
    let context = match (context.find(context.journal()?.as_ref(), run), &apart) {
        (Err(_), Some(apart)) => apart,
        _ => context,
    };
    let journal = context.journal()?;
    let row = context.find(journal.as_ref(), run)?;
    let unfit = |reason: String| {
        let message = format!("no case can be made of run `{}`: {reason}", row.run);
        CliError::invalid("no_case", message)
    };
    let records = journal
        .all_records(&row.run)
        .map_err(|e: JournalError| CliError::from(e))?;
    let mut files = Files::new();
    collect(&context.home.run(&row.run), "", &mut files)
        .map_err(|e| unfit(format!("its folder cannot be read: {e}")))?;
    let recorded = Recorded {
        records: &records,
        files: &files,
    };
    let text = record(&recorded).map_err(unfit)?;
    Case::parse(&text).map_err(|e| unfit(format!("what was written of it cannot be read: {e}")))?;
    let name = args.name.as_deref().unwrap_or(row.launch.as_str());
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        return Err(CliError::invalid(
            "bad_name",
            format!("`{}` cannot name a case", terminal::plain_line(name)),
        ));
    }
    let place = folder.join(FOLDER).join(format!("{name}.toml"));
    write_new(&place, &text)?;
    let shown = context.path(&place);
    let mut report = Report::done(
        format!("case {shown}\n"),
        Envelope {
            path: Some(place),
            run_id: Some(row.run),
            skill: Some(row.skill),
            ..Envelope::default()
        },
    );
    report.notes = format!("hint: `skillhost test --only {name}` plays it\n");
    Ok(report)
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
