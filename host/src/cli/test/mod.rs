//! `test`: plays the cases of a skill; [`record`] makes one of a run.

mod record;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use skillhost_core::entry::{Mount, Pin};
use skillhost_core::grants::Grants;
use skillhost_core::id::SkillName;
use skillhost_core::machine::Line;
use skillhost_core::payload::Payload;
use skillhost_effects::model::offline::glob_matches;
use skillhost_effects::model::{self, Environment, Hub, Settings};
use skillhost_runtime::{BundleFiles, Description};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::context::{Context, Loading, Session};
use super::report::{Envelope, ErrorMember, Report, Rows};
use super::{build, install};
use crate::author::build::last;
use crate::author::component::{Examined, examine};
use crate::author::project::Project;
use crate::bundle::{COMPONENT_BYTES_MAX, FILE_BYTES_MAX, Scan};
use crate::cases::Case;
use crate::cases::judge::Finding;
use crate::cases::play::{Subject, Verdict, play};
use crate::driver::Pinned;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::grants;
use crate::home::read_regular;
use crate::problem::Problem;
use crate::schema::{self, Schema};
use crate::stage::Stage;
use crate::terminal;
use crate::timeline::count;

/// The folder of cases, beside the source.
const FOLDER: &str = "tests";

/// The most cases of one skill.
const CASES_MAX: usize = 1_000;

/// How many problems of a case people are told.
const FINDINGS_MAX: usize = 10;

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
        Some(run) => record::keep(args, run, context),
        None => test(args, context),
    }
}

/// What is tested.
struct Skill {
    name: SkillName,
    pin: Pin,
    pinned: Pinned,
    input: Schema,
    output: Schema,
    script: Option<String>,
    /// What the skill asks for: a case is not asked.
    grants: Grants,
    /// The folders that it asks for.
    mounts: Vec<Mount>,
}

impl Skill {
    /// Lets its cases be played.
    fn play<T>(&self, loading: &Loading, play: impl FnOnce(&Subject<'_>) -> T) -> Result<T> {
        // What the user has configured is no part of a case.
        let settings = Settings::new(model::Config::default(), Environment::default());
        let check_result = |result: &Payload| schema::check_result(&self.output, result);
        let hub = Hub::new();
        let interrupted = interruption(loading)?;
        let subject = Subject {
            skill: &self.name,
            grants: self.grants.clone(),
            mounts: &self.mounts,
            pin: self.pin,
            input: &self.input,
            script: self.script.as_deref(),
            stage: Stage {
                pinned: &self.pinned,
                hub: &hub,
                settings: &settings,
                check_result: &check_result,
            },
            interrupted,
        };
        Ok(play(&subject))
    }
}

/// Hears Ctrl-C, so that the files of a case do not stay behind.
fn interruption(loading: &Loading) -> Result<watch::Receiver<bool>> {
    let (sender, interrupted) = watch::channel(false);
    let _entered = loading.tokio.enter();
    let heard = |kind| {
        signal(kind).map_err(|e| CliError::new(Exit::Host, "no_threads", "could not wait for Ctrl-C").caused_by(&e))
    };
    let (mut interrupts, mut terminations) = (heard(SignalKind::interrupt())?, heard(SignalKind::terminate())?);
    loading.tokio.spawn(async move {
        tokio::select! {
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
        }
        // Nobody listens any more if everything was played.
        sender.send(true).ok();
    });
    Ok(interrupted)
}

fn test(args: &TestArgs, context: &Context) -> Result<Report> {
    let session = context.session(context.journal()?);
    let source = match source(args, &session)? {
        Ok(source) => source,
        Err(report) => return Ok(*report),
    };
    let cases = cases(&source.folder, &args.only, context)?;
    let skill = source.loaded(&session)?;
    let loading = session.loading()?;
    let begun = Instant::now();
    let told = AtomicU32::new(0);
    let tested = skill.play(loading, |subject| {
        let one = |(index, path): (usize, &PathBuf)| {
            let name = name_of(path);
            let progress = |kills: usize, moments: usize| {
                let said = told.load(Ordering::Relaxed);
                // Whoever is first says it.
                if begun.elapsed() > SILENT * (said + 1)
                    && told
                        .compare_exchange(said, said + 1, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok()
                {
                    let (case, all) = (index + 1, cases.len());
                    terminal::note(&format!(
                        "case {case} of {all}, `{name}`: killed at {kills} of {moments} moments ..."
                    ));
                }
            };
            one(path, subject, args.crash, loading.tokio.handle(), progress)
        };
        cases.iter().enumerate().map(one).collect::<Result<Vec<_>>>()
    })??;
    Ok(report(&tested, &skill.name, args.crash))
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
    tokio: &Handle,
    progress: impl Fn(usize, usize) + Sync,
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
    let verdict = play(&case, &shown, subject, crash, tokio, progress)?;
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

/// Where what is tested comes from.
struct Source {
    /// Where its cases are.
    folder: PathBuf,
    scan: Scan,
    examined: Examined,
}

impl Source {
    /// Loads it.
    fn loaded(self, session: &Session<'_>) -> Result<Skill> {
        let Self { folder, scan, examined } = self;
        let files = scan.bundle().files().iter();
        let files = files.filter(|file| file.digest != examined.digest);
        let files = files.map(|file| Ok((file.path.clone(), scan.read(file)?)));
        let files: BundleFiles = files.collect::<io::Result<_>>().map_err(|e| unreadable(&folder, &e))?;
        let bytes = scan.read_component().map_err(|e| unreadable(&folder, &e))?;
        let loading = session.loading()?;
        let loaded = loading.tokio.block_on(loading.loader.load_bytes(bytes));
        Ok(Skill {
            pin: Pin {
                bundle: scan.bundle().digest(),
                component: examined.digest,
            },
            pinned: Pinned {
                component: loaded.map_err(|e| CliError::of(Exit::Unsupported, "does_not_load", &e))?,
                files: Arc::new(files),
            },
            script: scan.script()?,
            grants: grants::wanted(&examined.description),
            mounts: mounts_asked(&examined.description),
            name: examined.description.name,
            input: examined.input,
            output: examined.output,
        })
    }
}

/// Returns the folders that a skill asks for.
fn mounts_asked(description: &Description) -> Vec<Mount> {
    let (asked, _) = grants::mounts_asked(description);
    asked.into_iter().map(|request| request.mount).collect()
}

/// Returns whether a path leads to a crate; where none is given, one is looked for.
fn is_crate(path: Option<&Path>) -> bool {
    path.is_none_or(|path| path.join("Cargo.toml").is_file() || path.ends_with("Cargo.toml"))
}

/// Finds what is tested, and builds it if it is a crate.
fn source(args: &TestArgs, session: &Session<'_>) -> Result<Result<Source, Box<Report>>> {
    let path = args.path.as_deref();
    if !is_crate(path) {
        let path = path.unwrap_or(Path::new("."));
        if path.extension().is_some_and(|extension| extension == "toml") {
            let message = format!("`{}` is no skill", path.display());
            let name = name_of(path);
            return Err(
                CliError::invalid("no_component", message).hint(format!("`--only {name}` plays the case of that name"))
            );
        }
        let (folder, component) = found(path, session.context)?;
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
        Ok((compiled, examined)) => Ok(Source {
            folder: project.folder().to_owned(),
            scan: Scan::with_component(&examined.description.name, project.folder(), compiled.bytes)?,
            examined,
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
) -> Result<Result<Source, Box<Report>>> {
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
        Some(folder) => Scan::with_component(&examined.description.name, folder, bytes)?,
        None => Scan::alone(bytes)?,
    };
    Ok(Ok(Source {
        folder: folder.map_or(cases, Path::to_owned),
        scan,
        examined,
    }))
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    CliError::invalid("no_component", format!("could not read `{}`", path.display())).caused_by(error)
}

/// Lists the cases that are to be played, by name. What begins with a dot is an editor's.
fn cases(folder: &Path, only: &[String], context: &Context) -> Result<Vec<PathBuf>> {
    let folder = folder.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            let message = format!("could not read the folder of cases `{}`", context.path(&folder));
            return Err(CliError::invalid("no_cases", message).caused_by(&e));
        }
        entries => entries.into_iter().flatten().flatten(),
    };
    let mut all: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml") && !name_of(path).starts_with('.'))
        .collect();
    all.sort();
    if all.is_empty() {
        let message = format!("there are no cases in `{}`", context.path(&folder));
        return Err(CliError::invalid("no_cases", message).hint(
            "a case is a file `tests/NAME.toml` of the crate; `skillhost test --record RUN` makes one of a run that is over",
        ));
    }
    if all.len() > CASES_MAX {
        let message = format!("there are {} cases in `{}`", all.len(), context.path(&folder));
        return Err(CliError::invalid("no_cases", message).hint(format!("at most {CASES_MAX} are played")));
    }
    let is_wanted = |path: &PathBuf| {
        let name = name_of(path);
        only.is_empty() || only.iter().any(|pattern| glob_matches(pattern, &name))
    };
    let wanted: Vec<PathBuf> = all.iter().filter(|path| is_wanted(path)).cloned().collect();
    if wanted.is_empty() {
        let names: Vec<String> = all.iter().take(20).map(|path| format!("`{}`", name_of(path))).collect();
        return Err(CliError::invalid("no_cases", "there is no case of that name")
            .hint(format!("there are {}", names.join(", "))));
    }
    Ok(wanted)
}

fn name_of(path: &Path) -> String {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    terminal::plain_line(&name)
}

fn report(tested: &[Tested], skill: &SkillName, crash: bool) -> Report {
    let failed = tested.iter().filter(|one| !one.verdict.findings.is_empty()).count();
    // What failed comes first: a line for programs that is too long loses its end.
    let mut rows: Vec<&Tested> = tested.iter().collect();
    rows.sort_by_key(|one| one.verdict.findings.is_empty());
    let envelope = Envelope {
        skill: Some(skill.clone()),
        rows: Some(Rows::Cases(rows.into_iter().map(row).collect())),
        ..Envelope::default()
    };
    let mut text: String = tested.iter().map(|one| line(one, crash)).collect();
    for one in tested.iter().filter(|one| !one.verdict.findings.is_empty()) {
        text.push_str(&told(&one.verdict.findings));
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

/// Returns what people are told of what a case and its skill do not agree in.
fn told(findings: &[Finding]) -> String {
    let shown = findings.iter().take(FINDINGS_MAX);
    let mut text: String = shown
        .map(|finding| format!("\n{}{}", finding.problem.lines(), finding.difference))
        .collect();
    if let Some(further) = findings.len().checked_sub(FINDINGS_MAX).filter(|further| *further > 0) {
        text.push_str(&format!("\nand {further} more\n"));
    }
    text
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
