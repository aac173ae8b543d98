//! What is done with a journal while its disk is watched: everything that a host does with one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use skillhost_core::id::{Digest, RunId, SkillName};
use skillhost_core::machine::{Command, Status};
use skillhost_core::time::Timestamp;
use skillhost_journal::{
    Bundle, BundleError, BundleFile, InboxFilter, Journal, JournalError, OpenError, Problem, RunFilter, Settings,
    SkillPlace, SqliteJournal,
};

use crate::chance::Chance;
use crate::crew::{Broken, Crew, insist, run_id};
use crate::disk::Disk;
use crate::image::{self, Image};
use crate::ledger::{Appended, Fact, Ledger};
use crate::program::{Call, Program, Step};

/// The name of the database.
pub(crate) const DATABASE: &str = "journal.db";

/// How often opening is tried while storage fails.
const OPENED_MAX: u32 = 100;

/// The log is written back when it has so many pages: often, so that it happens in the middle of everything.
const CHECKPOINT_PAGES: u32 = 60;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// How many runs are launched.
    pub(crate) runs: u64,
    /// How many things happen before they are all driven to their end.
    pub(crate) steps: usize,
    /// Whether others use the database at the same time, and the process ends and begins anew.
    pub(crate) has_others: bool,
    /// Whether runs are forgotten in the end, and what nobody needs any more with them.
    pub(crate) forgets: bool,
    /// How many notes are left for the first run, each a commit.
    pub(crate) notes: usize,
    /// How long the log may get.
    pub(crate) checkpoint_pages: u32,
    /// Whether the process ends after the steps, and nothing comes to its end.
    pub(crate) is_cut_short: bool,
    /// Whether all that is needed is there, and runs that were begun are only gone on with.
    pub(crate) goes_on: bool,
}

impl Plan {
    /// Returns the least that can be done.
    pub(crate) fn of(seed: u64) -> Self {
        Self {
            seed,
            runs: 0,
            steps: 0,
            has_others: false,
            forgets: false,
            notes: 0,
            checkpoint_pages: CHECKPOINT_PAGES,
            is_cut_short: false,
            goes_on: false,
        }
    }
}

/// A workload that is over.
pub(crate) struct Played {
    pub(crate) ledger: Ledger,
    pub(crate) programs: Arc<Vec<Arc<Program>>>,
}

/// What was done to a disk, from a moment at which all of it was durable.
pub(crate) struct Recording {
    pub(crate) first: Image,
    pub(crate) ops: Vec<crate::disk::Op>,
    pub(crate) played: Played,
}

/// Returns how the journals here are opened.
pub(crate) fn settings() -> Settings {
    Settings {
        busy: Duration::from_millis(200),
        checkpoint_pages: CHECKPOINT_PAGES,
    }
}

/// Opens a journal, however often it takes.
pub(crate) fn open(folder: &Path, plan: &Plan) -> Result<SqliteJournal, Broken> {
    let settings = Settings {
        checkpoint_pages: plan.checkpoint_pages,
        ..settings()
    };
    let mut last = String::new();
    for _ in 0..OPENED_MAX {
        match SqliteJournal::open_with(&folder.join(DATABASE), settings.clone()) {
            Ok(journal) => return Ok(journal),
            Err(error @ (OpenError::Storage { .. } | OpenError::NotWritable { .. } | OpenError::Locked { .. })) => {
                last = format!("{error:?}");
            }
            Err(error) => return Err(format!("opening: {error:?}")),
        }
    }
    Err(format!("opening: storage does not recover: {last}"))
}

/// Plays a workload in an empty folder, or in one that a disk image was put into, with these entries in it; and records what is done.
pub(crate) fn record(plan: Plan, first: &Image, appended: Appended) -> Result<Recording, Broken> {
    let folder = tempfile::tempdir().expect("the folder of a test can be made");
    image::write(folder.path(), first);
    let (disk, mounted) = Disk::of(folder.path());
    let played = play(folder.path(), &disk, plan, appended)?;
    drop(mounted);
    Ok(Recording {
        first: first.clone(),
        ops: disk.ops(),
        played,
    })
}

/// Does everything that a host does with a journal.
pub(crate) fn play(folder: &Path, disk: &Arc<Disk>, plan: Plan, appended: Appended) -> Result<Played, Broken> {
    let programs: Vec<_> = (0..4).map(|n| Arc::new(program(plan.seed, n))).collect();
    let programs = Arc::new(programs);
    let mut ledger = Ledger::on(disk, appended);
    let journal = open(folder, &plan)?;
    ledger.openings.push(0..ledger.asked());
    ledger.said(Fact::Open);
    let mut crew = Crew::new(journal, ledger, &programs, Digest::of(b""), "first");
    let mut chance = Chance::new(plan.seed, "workload");
    if !plan.goes_on {
        crew.bundle = bundle(&mut crew, 1)?;
    }
    for number in 1..=plan.runs {
        let program = chance.below(programs.len());
        crew.launch(number, program, None)?;
    }
    for number in 0..plan.notes {
        crew.say(&run_id(1), &crate::power::note(number))?;
    }
    for step in 0..plan.steps {
        if plan.has_others && step == plan.steps / 2 {
            crew = begin_anew(crew, folder, &plan, &programs)?;
        }
        let open = crew.open_runs()?;
        if open.is_empty() {
            break;
        }
        let run = chance.of(&open).clone();
        match chance.below(30) {
            0 => disturb(&mut crew, &run, &mut chance)?,
            1 if plan.has_others => visit(&mut crew, folder, &plan, &run, &mut chance)?,
            2 if chance.one_in(4) && plan.has_others => crew = begin_anew(crew, folder, &plan, &programs)?,
            3 if chance.one_in(2) => keep_house(&mut crew, &mut chance)?,
            _ => crew.step(&run)?,
        }
    }
    if !plan.is_cut_short {
        crew.finish_all()?;
    }
    if plan.forgets {
        forget(&mut crew)?;
        crew.launch(plan.runs + 1, 1, None)?;
        crew.finish_all()?;
    }
    crew.drop_attempts();
    Ok(Played {
        ledger: std::mem::take(&mut crew.ledger),
        programs,
    })
}

/// People say things that nobody asked for.
fn disturb(crew: &mut Crew, run: &RunId, chance: &mut Chance) -> Result<(), Broken> {
    let command = match chance.below(6) {
        0 => Command::Cancel { reason: None },
        1 | 2 => Command::Pause { by: None },
        _ => Command::Note {
            message: "a remark ".repeat(chance.below(200)),
            by: None,
        },
    };
    crew.say(run, &command)
}

/// Somebody else has the database open: looks, writes the log back, or leaves mail.
fn visit(crew: &mut Crew, folder: &Path, plan: &Plan, run: &RunId, chance: &mut Chance) -> Result<(), Broken> {
    let modes = ["passive", "full", "restart", "truncate"];
    match chance.below(3) {
        0 => {
            let other = open(folder, plan)?;
            let note = Command::Note {
                message: "from elsewhere".to_owned(),
                by: None,
            };
            // One that is over meanwhile takes no mail.
            match other.post_mail(run, crew.now, &note) {
                Ok(id) => crew.ledger.said(Fact::Mail(run.clone(), id)),
                Err(JournalError::Over { .. } | JournalError::Storage { .. }) => {}
                Err(error) => return Err(format!("mail from elsewhere: {error}")),
            }
        }
        1 => {
            let other = open(folder, plan)?;
            insist("a look from elsewhere", || other.runs(&RunFilter::default()))?;
        }
        _ => {
            let looked = rusqlite::Connection::open(folder.join(DATABASE)).and_then(|other| {
                let mode = chance.of(&modes);
                other.query_row(&format!("pragma wal_checkpoint({mode})"), [], |row| {
                    row.get::<_, i64>(0)
                })
            });
            // Whether it could is its own affair.
            drop(looked);
        }
    }
    Ok(())
}

/// The process ends, and another goes on.
fn begin_anew(mut crew: Crew, folder: &Path, plan: &Plan, programs: &Arc<Vec<Arc<Program>>>) -> Result<Crew, Broken> {
    crew.drop_attempts();
    let (mut ledger, bundle, now) = (std::mem::take(&mut crew.ledger), crew.bundle, crew.now);
    drop(crew);
    let asked = ledger.asked();
    let journal = open(folder, plan)?;
    ledger.openings.push(asked..ledger.asked());
    let mut next = Crew::new(journal, ledger, programs, bundle, "next");
    next.now = now;
    Ok(next)
}

/// Changes what belongs to no run.
fn keep_house(crew: &mut Crew, chance: &mut Chance) -> Result<(), Broken> {
    let place = SkillPlace {
        folder: "skills".into(),
        skill: SkillName::parse("scripted-1").expect("a name"),
    };
    let (journal, now) = (Arc::clone(&crew.journal), crew.now);
    match chance.below(5) {
        0 => {
            let lies_there = || journal.inbox(&InboxFilter::default());
            let before = insist("inbox", lies_there)?;
            insist("dismiss", || journal.dismiss(None, now))?;
            see("that all was dismissed", || {
                let after = lies_there()?;
                Ok(!after.iter().any(|row| before.iter().any(|other| other.id == row.id)))
            })?;
        }
        1 => {
            let problem = Problem {
                code: "broken".to_owned(),
                message: "it does not load".to_owned(),
                hint: "build it again".to_owned(),
            };
            insist("note a problem", || journal.note_problem(&place, &problem))?;
            see("the problem", || {
                let row = journal.installed_in(&place)?;
                // What is not installed has none.
                Ok(row.is_none_or(|row| row.problem.as_ref() == Some(&problem)))
            })?;
        }
        2 => {
            insist("uninstall", || journal.uninstall(&place))?;
            see("that it was uninstalled", || {
                Ok(journal.installed_in(&place)?.is_none())
            })?;
        }
        3 => {
            let component = Digest::of(b"component");
            insist("describe", || journal.put_description(&component, now, "it says hello"))?;
            see("the description", || {
                Ok(journal.description(&component)?.as_deref() == Some("it says hello"))
            })?;
        }
        _ => drop(bundle(crew, 2 + chance.below(3) as u64)?),
    }
    crew.ledger.said(Fact::Change);
    Ok(())
}

/// Looks whether what the journal said was done can be seen.
fn see(what: &str, mut look: impl FnMut() -> Result<bool, JournalError>) -> Result<(), Broken> {
    match insist(what, &mut look)? {
        true => Ok(()),
        false => Err(format!("{what}: it was told, and cannot be seen")),
    }
}

/// Puts and installs a bundle.
fn bundle(crew: &mut Crew, number: u64) -> Result<Digest, Broken> {
    let component = "code ".repeat(800) + &number.to_string();
    let files = [("skill.wasm", component), ("SKILL.md", format!("words {number}"))];
    let bundle = Bundle::new(files.iter().map(|(path, content)| BundleFile {
        path: (*path).to_owned(),
        digest: Digest::of(content.as_bytes()),
        size: content.len() as u64,
    }));
    let bundle = bundle.expect("a bundle of two files");
    let contents = |file: &BundleFile| {
        let content = files.iter().find(|(path, _)| *path == file.path);
        Ok(content.expect("it is asked for its own").1.as_bytes().to_vec())
    };
    let place = SkillPlace {
        folder: "skills".into(),
        skill: SkillName::parse("scripted-1").expect("a name"),
    };
    let (journal, now) = (Arc::clone(&crew.journal), crew.now);
    let digest = insist("install", || {
        let installed = journal.install(&place, &bundle, &Digest::of(b"component"), now, &contents);
        installed.map_err(|error| match error {
            BundleError::Journal(error) => error,
            other => unreachable!("its files can be read: {other}"),
        })
    })?;
    see("the bundle", || {
        let row = journal.installed_in(&place)?;
        Ok(row.is_some_and(|row| row.bundle == digest))
    })?;
    crew.ledger.said(Fact::Change);
    if number == 1 {
        insist("put", || match journal.put_bundle(&bundle, now, &contents) {
            Ok(digest) => Ok(digest),
            Err(BundleError::Journal(error)) => Err(error),
            Err(other) => unreachable!("its files can be read: {other}"),
        })?;
        crew.ledger.said(Fact::Bundle(digest));
    }
    Ok(digest)
}

/// Forgets runs that are over, and what only they needed.
fn forget(crew: &mut Crew) -> Result<(), Broken> {
    let journal = Arc::clone(&crew.journal);
    let rows = insist("runs", || journal.runs(&RunFilter::default()))?;
    let old = rows
        .iter()
        .filter(|row| matches!(row.status, Status::Done | Status::Continued));
    let old: Vec<RunId> = old.map(|row| row.run.clone()).collect();
    if let Some(run) = rows
        .iter()
        .find(|row| row.status == Status::Failed || row.status == Status::Cancelled)
    {
        crew.ledger.forgetting(&run.run);
        match insist("remove", || journal.remove_run(&run.run)) {
            // Removed before, and storage failed when that was to be said.
            Err(said) if said.contains("there is no run") => {}
            removed => removed?,
        }
        crew.ledger.said(Fact::Gone(run.run.clone()));
    }
    for run in &old {
        crew.ledger.forgetting(run);
    }
    let later = Timestamp(crew.now.0 + 1_000_000_000);
    loop {
        let pruned = insist("prune", || journal.prune(later, &[Status::Done, Status::Continued]))?;
        if pruned.stopped.is_none() {
            break;
        }
    }
    for run in old {
        crew.ledger.said(Fact::Gone(run));
    }
    crew.ledger.collecting();
    insist("collect", || journal.collect(later))?;
    crew.ledger.said(Fact::Change);
    crew.bundle = bundle(crew, 1)?;
    Ok(())
}

/// Draws a program: the first is for skills that are called, which call none.
fn program(seed: u64, nth: u64) -> Program {
    let mut chance = Chance::new(seed, &format!("program {nth}"));
    let calls: &[Call] = &[
        Call::Read,
        Call::Ask,
        Call::Ask,
        Call::Act,
        Call::Write,
        Call::Append,
        Call::Post,
        Call::Sleep,
        Call::Wait,
        Call::WaitAWhile,
        Call::Question,
        Call::Notes,
        Call::Skill,
    ];
    let calls = if nth == 0 { &calls[..7] } else { calls };
    let mut steps = Vec::new();
    let count = if nth == 0 { 2 } else { 3 + chance.below(6) as u64 };
    let mut started = 0;
    while started < count {
        match chance.below(14) {
            0 if started > 0 => steps.push(Step::First(started)),
            1 if started > 0 => steps.push(Step::Drop(chance.below(started as usize) as u64)),
            2 => steps.push(Step::SkipIfOdd(1)),
            3 if nth == 2 && started == 3 => steps.push(Step::Continue),
            4 if nth == 3 && chance.one_in(4) => steps.push(Step::Fail),
            _ => {
                steps.push(Step::Start(*chance.of(calls)));
                if !chance.one_in(3) {
                    steps.push(Step::Finish(started));
                }
                started += 1;
            }
        }
        if chance.one_in(8) {
            steps.push(Step::CleanUp(Call::Append));
        }
    }
    steps.extend((0..count).map(Step::Finish));
    Program {
        steps,
        lasts: vec![Duration::from_secs(5), Duration::from_secs(60)],
        signals: vec![skillhost_core::id::SignalName::parse("go").expect("a name")],
    }
}
