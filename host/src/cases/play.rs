//! Plays a case on a [`Stage`], judges it, and kills it wherever it could be killed.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use skillhost_core::budget::Cost;
use skillhost_core::entry::{How, Limits, Mount, Pin, Record, SEMANTICS, Started};
use skillhost_core::grants::Grants;
use skillhost_core::id::{LaunchId, Number, Seq, SkillName};
use skillhost_core::machine::Line;
use skillhost_core::payload::Payload;
use skillhost_effects::files;
use skillhost_effects::model::Name;
use skillhost_runtime::EngineConfig;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::Case;
use super::judge::{self, Files, Finding};
use crate::driver::same_end;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::input::{About, Raw, Spelling};
use crate::mounts::PATH_FORMAT;
use crate::problem::Problem;
use crate::readable::difference;
use crate::schema::Schema;
use crate::stage::{Curtain, Moment, Played, Scenario, Stage, StageError};
use crate::timeline::Timeline;
use crate::zone;

/// How many moments of one case are told at which a kill made a difference.
const DIFFERENCES_MAX: usize = 3;

/// How many lines of a difference are shown.
const LINES_MAX: usize = 20;

/// The skill whose cases are played.
pub struct Subject<'a> {
    /// What it is called.
    pub skill: &'a SkillName,
    /// Its bundle.
    pub pin: Pin,
    /// What it takes.
    pub input: &'a Schema,
    /// All that it asks its user for: a case says what comes of it, and nothing of it is really done.
    pub grants: Grants,
    /// The folders that it asks for.
    pub mounts: &'a [Mount],
    /// Its own script, which answers where a case has no replies.
    pub script: Option<&'a str>,
    /// What it is played on.
    pub stage: Stage<'a>,
    /// Becomes true when nobody wants to know any more.
    pub interrupted: watch::Receiver<bool>,
}

/// What came of a case.
#[derive(Debug)]
pub struct Verdict {
    /// In what case and skill do not agree; nothing if the case passed.
    pub findings: Vec<Finding>,
    /// What the skill said on its way.
    pub said: Vec<Line>,
    /// How many calls the skill made.
    pub calls: usize,
    /// At how many moments it was killed.
    pub kills: usize,
}

impl Verdict {
    /// Returns the verdict of a case that was not played.
    pub fn unplayed(problem: Problem) -> Self {
        let difference = String::new();
        Self {
            findings: vec![Finding { problem, difference }],
            said: Vec::new(),
            calls: 0,
            kills: 0,
        }
    }
}

/// One play, with the files that it left.
struct Scene {
    played: Played,
    files: Files,
}

/// Plays a case, whose file is called `name`. With `crash` it is played once more for every moment at which it could be killed, several at once, and `progress` is told how many
/// of how many there were.
///
/// # Errors
/// If it cannot be played at all.
pub fn play(
    case: &Case,
    name: &str,
    subject: &Subject<'_>,
    crash: bool,
    tokio: &Handle,
    progress: impl Fn(usize, usize) + Sync,
) -> Result<Verdict> {
    let scenario = match scenario(case, name, subject)? {
        Ok(scenario) => scenario,
        Err(problem) => return Ok(Verdict::unplayed(problem)),
    };
    let undisturbed = tokio.block_on(scene(subject, &scenario, None))?;
    let mut findings = judge::judge(case, name, &undisturbed.played, &undisturbed.files);
    let calls = timeline(&undisturbed.played.records).calls.len();
    let mut kills = 0;
    // What differs without a kill would differ at each.
    if crash && findings.is_empty() {
        let killing = Killing {
            name,
            subject,
            scenario: &scenario,
            undisturbed: &undisturbed,
            tokio,
        };
        (kills, findings) = killing.everywhere(progress)?;
    }
    Ok(Verdict {
        findings,
        said: undisturbed.played.lines,
        calls,
        kills,
    })
}

/// A case that is killed wherever it can be.
struct Killing<'a> {
    name: &'a str,
    subject: &'a Subject<'a>,
    scenario: &'a Scenario,
    undisturbed: &'a Scene,
    tokio: &'a Handle,
}

impl Killing<'_> {
    /// Plays it once for each moment, and returns how often that was, and what became different by the first kills that changed anything.
    fn everywhere(&self, progress: impl Fn(usize, usize) + Sync) -> Result<(usize, Vec<Finding>)> {
        let moments = self.undisturbed.played.moments.len();
        let (next, done, differing) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || -> Result<Vec<(usize, Finding)>> {
            let mut found = Vec::new();
            while differing.load(Ordering::Relaxed) < DIFFERENCES_MAX {
                let kill_at = next.fetch_add(1, Ordering::Relaxed);
                if kill_at >= moments {
                    break;
                }
                let killed = self.tokio.block_on(scene(self.subject, self.scenario, Some(kill_at)))?;
                if let Some(finding) = differs(self.name, self.undisturbed, &killed) {
                    differing.fetch_add(1, Ordering::Relaxed);
                    found.push((kill_at, finding));
                }
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, moments);
            }
            Ok(found)
        };
        let threads = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(moments.max(1));
        let found = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let found = workers
                .into_iter()
                .map(|worker| worker.join().expect("its panic is told"));
            found.collect::<Result<Vec<_>>>()
        });
        let mut found: Vec<(usize, Finding)> = found?.into_iter().flatten().collect();
        found.sort_by_key(|(kill_at, _)| *kill_at);
        let findings = found
            .into_iter()
            .map(|(_, finding)| finding)
            .take(DIFFERENCES_MAX)
            .collect();
        Ok((done.into_inner(), findings))
    }
}

async fn scene(subject: &Subject<'_>, scenario: &Scenario, kill_at: Option<usize>) -> Result<Scene> {
    let no_folder = |e: io::Error| {
        CliError::new(
            Exit::Storage,
            "not_written",
            "could not make a folder for the files of a case",
        )
        .caused_by(&e)
    };
    let folder = tempfile::tempdir().map_err(no_folder)?;
    // Under its real name, as no mount may lead through a link.
    let real = fs::canonicalize(folder.path()).map_err(no_folder)?;
    lay_out(scenario, &real).map_err(no_folder)?;
    let run = real.join(files::RUN);
    let mut interrupted = subject.interrupted.clone();
    let played = tokio::select! {
        biased;
        played = subject.stage.play(scenario, &real, kill_at) => played,
        Ok(_) = interrupted.wait_for(|is_so| *is_so) => {
            return Err(CliError::new(Exit::Host, "interrupted", "it was interrupted"));
        }
    };
    let played = played.map_err(|error| match error {
        StageError::Script(error) => error.into(),
        StageError::Journal(error) => CliError::of(Exit::Internal, "internal", &error),
    })?;
    let mut files = Files::new();
    collect(&run, "", &mut files).map_err(no_folder)?;
    Ok(Scene { played, files })
}

/// Makes the folders that a case is given, with what lies in them.
fn lay_out(scenario: &Scenario, folder: &Path) -> io::Result<()> {
    let given = scenario
        .started
        .mounts
        .iter()
        .filter(|mount| !files::OWN.contains(&&*mount.name));
    for mount in given {
        fs::create_dir(folder.join(&mount.name))?;
    }
    for (path, text) in &scenario.files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("it lies in the folder"))?;
        fs::write(path, text)?;
    }
    Ok(())
}

/// Returns the mounts that a case is given beside those that every run has: those that the skill asks for, those that paths in its input begin with, and those in which
/// there are files.
fn mounts(case: &Case, input: &Value, subject: &Subject<'_>) -> Result<Vec<Mount>, (&'static str, String)> {
    let own = [(files::DATA, true), (files::RUN, true), (files::SKILL, false)];
    let mut mounts: Vec<Mount> = own.map(|(name, writable)| Mount::own(name, writable)).into();
    mounts.extend(subject.mounts.iter().cloned());
    let places = subject
        .input
        .of_format(PATH_FORMAT, input)
        .map_err(|why| ("input", why))?;
    let paths = places.iter().filter_map(|place| input.pointer(place)?.as_str());
    let of_input = paths.map(|path| ("input", path));
    for (member, path) in of_input.chain(case.files.keys().map(|path| ("files", path.as_str()))) {
        let wrong = |why: String| (member, why);
        let name = path.split('/').next().unwrap_or_default();
        files::check_name(name).map_err(|e| wrong(e.to_string()))?;
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(wrong(format!(
                "`{path}` is no path of a mount and what lies in it, such as `project/a.txt`"
            )));
        }
        if member == "files" && ([files::RUN, files::SKILL].contains(&name) || name == path) {
            return Err(wrong(format!(
                "`{path}` is no file in `data/` or in a folder that the skill is given"
            )));
        }
        if mounts.iter().all(|mount| mount.name != name) {
            mounts.push(Mount::own(name, false));
        }
    }
    Ok(mounts)
}

/// Reads the files of a folder, by path; a folder that is not there has none.
pub fn collect(folder: &Path, prefix: &str, files: &mut Files) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = format!("{prefix}{name}");
        match entry.file_type()? {
            kind if kind.is_dir() => collect(&entry.path(), &format!("{path}/"), files)?,
            kind if kind.is_file() => drop(files.insert(path, fs::read(entry.path())?)),
            _ => {}
        }
    }
    Ok(())
}

/// Makes of a case what is played.
fn scenario(case: &Case, name: &str, subject: &Subject<'_>) -> Result<Result<Scenario, Problem>> {
    let bad = |member: &str, reason: String| {
        let place = format!("{name}:{}:1", case.lines.at(&[member]));
        Ok(Err(Problem::error("bad_case", reason).at(place)))
    };
    let offsets = zone::offsets_of(&case.zone, case.at);
    if offsets.is_empty() {
        return bad("zone", format!("there is no time zone `{}` here", case.zone));
    }
    let about = About {
        what: "the input",
        flags: Vec::new,
        spelling: Spelling::Word,
    };
    let input = match Raw::of(case.input.clone()).assemble(subject.input, about) {
        Ok(input) => input,
        Err(error) => return bad("input", error.sentence()),
    };
    let mounts = match mounts(case, &input, subject) {
        Ok(mounts) => mounts,
        Err((member, reason)) => return bad(member, reason),
    };
    let stage = &subject.stage;
    let script = case.script.as_deref().or(subject.script).unwrap_or("");
    let mut provider = stage.hub.open(Name::Offline, stage.settings, Some(script))?.describe();
    if let Some(features) = &case.features {
        provider.features.clone_from(features);
    }
    Ok(Ok(Scenario {
        started: Started {
            launch: LaunchId::parse(case.run.as_str()).expect("a run id is a launch id"),
            run: case.run.clone(),
            skill: subject.skill.clone(),
            input: Payload::of(&input),
            bundle: subject.pin.bundle,
            component: subject.pin.component,
            seed: case.seed,
            zone: case.zone.clone(),
            zone_offsets: offsets,
            mounts,
            limits: Limits {
                // Nothing is spent.
                budget: Cost {
                    calls: u64::MAX,
                    tokens: u64::MAX,
                    microdollars: 0,
                },
                ..Limits::default()
            },
            provider,
            engine: EngineConfig::one_run().profile(),
            semantics: SEMANTICS,
            parent: None,
            continues: None,
            caller: None,
            skills_folder: None,
            grants: subject.grants.clone(),
        },
        at: case.at,
        script: Some(script.to_owned()),
        files: case.files.clone(),
        notes: case.notes.clone(),
        events: case.events.clone(),
        answers: case.answers.clone(),
        effects: case.effects.clone(),
    }))
}

/// Says what a kill changed that it must not.
fn differs(name: &str, undisturbed: &Scene, killed: &Scene) -> Option<Finding> {
    let (played, before) = (&killed.played, &undisturbed.played);
    let what = match played.killed {
        Some(moment) => format!("killed {}", told(moment, &before.records)),
        None => "killed".to_owned(),
    };
    let finding = |message: &str, difference: String| {
        let problem = Problem::error("crash_differs", format!("{what}: {message}")).at(name);
        Some(Finding { problem, difference })
    };
    if let Some(violation) = played.violations.first() {
        return finding(violation, String::new());
    }
    if !same_curtain(&before.curtain, &played.curtain) {
        let differs = difference(&ending(&before.curtain), &ending(&played.curtain), LINES_MAX);
        return finding("the run ends otherwise", differs);
    }
    if before.next != played.next {
        let input = |played: &Played| {
            played
                .next
                .as_ref()
                .map_or_else(String::new, crate::readable::readable_payload)
        };
        return finding(
            "the next run has another input",
            difference(&input(before), &input(played), LINES_MAX),
        );
    }
    if before.posts != played.posts {
        let titles = |played: &Played| {
            let titles = played
                .posts
                .iter()
                .map(|post| format!("{}\n{}\n", post.title, post.body));
            titles.collect::<String>()
        };
        return finding(
            "the inbox differs",
            difference(&titles(before), &titles(played), LINES_MAX),
        );
    }
    let paths = undisturbed.files.keys().chain(killed.files.keys());
    for path in paths {
        let (before, after) = (undisturbed.files.get(path), killed.files.get(path));
        if before != after {
            let text = |file: Option<&Vec<u8>>| {
                file.map_or_else(String::new, |bytes| String::from_utf8_lossy(bytes).into_owned())
            };
            let differs = difference(&text(before), &text(after), LINES_MAX);
            return finding(&format!("file `{path}` differs"), differs);
        }
    }
    None
}

/// Says when it was killed, with the label of the call.
fn told(moment: Moment, records: &[Record]) -> String {
    let number: Option<Number> = match moment {
        Moment::Before(number) | Moment::After(number) => Some(number),
        Moment::Written(seq) => records
            .get(usize::try_from(seq.0).unwrap_or(usize::MAX))
            .and_then(|record| record.entry.number()),
    };
    let timeline = timeline(records);
    match number.and_then(|number| timeline.call(number)) {
        Some(call) => format!("{moment} (call {} is `{}`)", call.number, call.label),
        None => moment.to_string(),
    }
}

fn timeline(records: &[Record]) -> Timeline {
    Timeline::of(records, Seq(0)).expect("a played journal begins as any other")
}

fn same_curtain(one: &Curtain, other: &Curtain) -> bool {
    match (one, other) {
        (Curtain::Over(one), Curtain::Over(other)) => same_end(one, other),
        (one, other) => one == other,
    }
}

fn ending(curtain: &Curtain) -> String {
    match curtain {
        Curtain::Over(How::Done(result)) => crate::readable::readable_payload(result),
        Curtain::Over(How::Failed(failure)) => format!("failed: {}: {}\n", failure.code, failure.message),
        Curtain::Over(How::Cancelled(_)) => "cancelled\n".to_owned(),
        Curtain::Over(How::Continued(_)) => "continued\n".to_owned(),
        other => format!("{}\n", judge::without_end(other).0),
    }
}
