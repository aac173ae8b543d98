//! `backup` and `restore`: all that the runs of a state folder need, in one file, taken while they go on; and a state folder made of it.
//!
//! The database is copied as it is at one moment. The files of runs are taken after that, while runs go on, so those of a run that was not over are not believed: `restore` makes them
//! again of what the journal holds, as for a fork (rule F4). What such runs did after that moment, the backup does not know, and they would do it again; so they are paused until a
//! person says otherwise. Keys and secrets are taken only if that is asked for. What can be made again, and what belongs to the machine, is left out: compiled code, logs, locks.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use skillhost_core::copy::Copy;
use skillhost_core::entry::Entry;
use skillhost_core::id::RunId;
use skillhost_core::time::Timestamp;
use skillhost_effects::files::{self, RebuildError};
use skillhost_journal::{Journal, RunFilter, RunRow, SqliteJournal, failpoint};

use super::context::Context;
use super::report::{Envelope, Report, Rows};
use crate::backup::{About, Packer, UnpackError, unpack};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::{self, Home, make_folder};
use crate::inbox_file::moment;
use crate::terminal;
use crate::timeline::count;
use crate::{driver, failpoints};

/// The database in a backup.
const JOURNAL: &str = "journal.db";

/// After so long, it is said how far the copy is.
const SILENT: Duration = Duration::from_secs(1);

/// How many runs are named.
const NAMED_MAX: usize = 5;

/// `backup`.
#[derive(Debug, Args)]
#[command(after_help = "\
The file has the database as it is at one moment, whatever runs meanwhile, the files of runs, the folders that skills share
(`data/`), `config.toml` and `grants.toml`. Keys and secrets are in it only with `--with-keys`. `skillhost restore` makes a
state folder of it.

Examples:
  skillhost backup ~/skillhost-$(date +%F).backup
  skillhost backup --with-keys /mnt/safe/skillhost.backup")]
pub struct BackupArgs {
    /// The file to make; one that is there is left as it is
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Put stored keys and secrets into it, too: whoever has the file has them
    #[arg(long)]
    pub with_keys: bool,
}

/// `restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
A state folder that has runs is left as it is: `SKILLHOST_HOME` names another. Runs that were not over are paused, because what
they did after the backup was taken they would do again; `skillhost resume RUN` lets one go on.

Examples:
  SKILLHOST_HOME=~/restored skillhost restore skillhost.backup
  skillhost restore skillhost.backup --go-on")]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Let runs that were not over go on at once: you know that they did nothing since, or may do it again
    #[arg(long)]
    pub go_on: bool,
}

pub(super) fn backup(args: &BackupArgs, context: &Context) -> Result<Report> {
    let shown = context.path(&args.file);
    if fs::symlink_metadata(&args.file).is_ok() {
        return Err(
            CliError::invalid("backup_exists", format!("`{shown}` is there already"))
                .hint("name a file that is not there"),
        );
    }
    let file = std::path::absolute(&args.file).map_err(|e| not_written(&shown, &e))?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    let journal = context.database()?;
    // Beside the backup, where there is room for it, and of the same rights as the state folder.
    let copies = tempfile::Builder::new().prefix(".skillhost-backup-").tempdir_in(folder);
    let copies = copies.map_err(|e| not_written(&shown, &e))?;
    let copy = copies.path().join(JOURNAL);
    let at = driver::now();
    let mut told = Instant::now();
    journal.copy_to(&copy, &mut |done, all| {
        if context.terminal.stderr && told.elapsed() > SILENT {
            told = Instant::now();
            terminal::note(&format!("{} % of the database copied ...", done * 100 / all.max(1)));
        }
    })?;
    let rows = SqliteJournal::open(&copy)?.runs(&RunFilter::default())?;
    let packed = pack(&context.home, &copy, &rows, &About::new(at), args.with_keys, &file);
    let (bytes, left_out) = packed.map_err(|e| not_written(&shown, &e))?;
    let unfinished = unfinished(&rows);
    let mut report = Report::done(
        format!(
            "backed up {} to {shown}, {}",
            count(rows.len() as u64, "run"),
            count(bytes, "byte")
        ),
        Envelope {
            path: Some(file),
            ..envelope(&unfinished)
        },
    );
    if left_out > 0 {
        report.notes = format!(
            "{} left out: a name that is no UTF-8, or neither a file, a folder nor a link\n",
            count(left_out, "path")
        );
    }
    Ok(report)
}

/// Writes the backup whole, or not at all, and returns how large it is and how much was left out of it.
fn pack(home: &Home, copy: &Path, rows: &[RunRow], about: &About, keys: bool, file: &Path) -> io::Result<(u64, u64)> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    // `tempfile` makes files with mode 0600.
    let mut packer = Packer::new(tempfile::NamedTempFile::new_in(folder)?, about)?;
    packer.add(copy, JOURNAL)?;
    for (path, name) in parts(home, keys) {
        packer.add(&path, name)?;
    }
    if !rows.is_empty() {
        // Those that the database has; what others left behind is nobody's.
        packer.add_folder("runs")?;
    }
    for row in rows {
        packer.add(&home.run(&row.run), &format!("runs/{}", row.run))?;
    }
    let left_out = packer.left_out;
    let packed = packer.finish()?;
    // The name must not reach the disk before the content does.
    packed.as_file().sync_all()?;
    let bytes = packed.as_file().metadata()?.len();
    packed.persist_noclobber(file)?;
    File::open(folder)?.sync_all()?;
    Ok((bytes, left_out))
}

/// Returns what of a state folder is in a backup beside the database and the files of runs, under which names.
fn parts(home: &Home, keys: bool) -> Vec<(PathBuf, &'static str)> {
    let mut parts = vec![
        (home.all_data(), "data"),
        (home.config(), "config.toml"),
        (home.grants(), "grants.toml"),
    ];
    if keys {
        parts.extend([(home.keys(), "keys.toml"), (home.secrets(), "secrets.toml")]);
    }
    parts
}

fn not_written(shown: &str, error: &io::Error) -> CliError {
    CliError::new(
        Exit::Storage,
        "not_written",
        format!("could not write the backup `{shown}`"),
    )
    .caused_by(error)
    .hint("`df -h` shows how much room there is")
}

fn unfinished(rows: &[RunRow]) -> Vec<RunId> {
    let open = rows.iter().filter(|row| !row.status.is_final());
    open.map(|row| row.run.clone()).collect()
}

fn envelope(unfinished: &[RunId]) -> Envelope {
    Envelope::of_rows(Rows::Unfinished(unfinished.iter().map(|run| json!(run)).collect()))
}

pub(super) fn restore(args: &RestoreArgs, context: &Context) -> Result<Report> {
    let home = &context.home;
    home.make()?;
    let failed = |e: &io::Error| {
        let message = format!("could not restore into `{}`", context.path(home.root()));
        CliError::new(Exit::Storage, "not_written", message)
            .caused_by(e)
            .hint("nothing that was there is changed; the same command begins anew")
    };
    // Of two that restore at once, one finds the other's state.
    let _alone = home::lock(&home.journal()).map_err(|e| failed(&e))?;
    let place = home.root().join("restoring");
    check_empty(home, &place, context)?;
    let begun = clear(home, &place).map_err(|e| failed(&e));
    begun?;
    let about = unpack(&args.file, &place).map_err(|e| of_unpacking(&args.file, &e, &place, context))?;
    let made = make(&place, home, args.go_on, context)?;
    move_in(home, &place).map_err(|e| failed(&e))?;
    context.refresh_inbox(&context.database()?);
    Ok(told(&about, &made, args, context))
}

/// Refuses a state folder that has runs. What an earlier restoration left that was cut short is none.
fn check_empty(home: &Home, place: &Path, context: &Context) -> Result<()> {
    let has_files = [home.runs(), home.all_data()].iter().any(|path| path.exists());
    if !home.journal().exists() && (!has_files || place.exists()) {
        return Ok(());
    }
    let message = format!("`{}` keeps runs already", context.path(home.root()));
    Err(CliError::invalid("state_in_use", message)
        .hint("`SKILLHOST_HOME=~/restored skillhost restore FILE` makes another state folder of the backup"))
}

/// Makes an empty folder to unpack into, without what an earlier restoration left.
fn clear(home: &Home, place: &Path) -> io::Result<()> {
    if place.exists() {
        for path in [home.runs(), home.all_data(), place.to_owned()] {
            match fs::remove_dir_all(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
    }
    make_folder(place)
}

fn of_unpacking(file: &Path, error: &UnpackError, place: &Path, context: &Context) -> CliError {
    // What there is of it is of no use.
    fs::remove_dir_all(place).ok();
    let message = format!("`{}` cannot be restored", context.path(file));
    let (code, hint) = match error {
        UnpackError::Newer { .. } => ("bad_backup", "update skillhost"),
        UnpackError::Bad(_) => ("bad_backup", "restore another backup"),
        UnpackError::Io(_) => ("unreadable", "its rights, the disk, or a name that is mistyped"),
    };
    CliError::new(Exit::Storage, code, message).caused_by(error).hint(hint)
}

/// What was made of a backup.
struct Made {
    runs: usize,
    unfinished: Vec<RunId>,
    /// Those whose files were taken as they were, for the reason that is told.
    as_found: Vec<(RunId, String)>,
}

/// What a state folder keeps of having been restored.
#[derive(Serialize, Deserialize)]
struct Mark {
    restored_at: Timestamp,
    unfinished: Vec<RunId>,
}

/// Returns how many runs are not over that were not when the backup was taken which this state folder is made of; `None` if there is none.
pub(super) fn unfinished_since_restored(journal: &SqliteJournal, context: &Context) -> Option<usize> {
    let mark = fs::read(context.home.restored()).ok()?;
    let mark: Mark = serde_json::from_slice(&mark).ok()?;
    let is_open = |run: &&RunId| journal.run(run).is_ok_and(|row| !row.status.is_final());
    let unfinished = mark.unfinished.iter().filter(is_open).count();
    (unfinished > 0).then_some(unfinished)
}

/// Makes a state of what was unpacked, where it lies.
fn make(place: &Path, home: &Home, go_on: bool, context: &Context) -> Result<Made> {
    let journal = SqliteJournal::open(&place.join(JOURNAL))?;
    let faults = journal.check()?;
    if let Some(fault) = faults.first() {
        let message = format!("the database in the backup is damaged: {fault}");
        return Err(CliError::new(Exit::Storage, "bad_backup", message).hint("restore another backup"));
    }
    journal.settle_copy(!go_on)?;
    let rows = journal.runs(&RunFilter::default())?;
    let mut as_found = Vec::new();
    for row in rows.iter().filter(|row| !row.status.is_final()) {
        if let Err(why) = rebuild(&journal, &row.run, place)? {
            as_found.push((row.run.clone(), why));
        }
    }
    let made = Made {
        runs: rows.len(),
        unfinished: unfinished(&rows),
        as_found,
    };
    let mark = Mark {
        restored_at: driver::now(),
        unfinished: made.unfinished.clone(),
    };
    let mark = serde_json::to_string(&mark).expect("a mark serialises");
    home::write_whole(&place.join("restored.json"), mark.as_bytes()).map_err(|e| {
        let message = format!("could not restore into `{}`", context.path(home.root()));
        CliError::new(Exit::Storage, "not_written", message).caused_by(&e)
    })?;
    Ok(made)
}

/// Makes the files of a run that is not over as its journal says they were. The inner error says why they are left as they were found.
fn rebuild(journal: &SqliteJournal, run: &RunId, place: &Path) -> Result<Result<(), String>> {
    let mut records = journal.all_records(run)?.into_iter();
    let Some(Entry::Started(started)) = records.next().map(|record| record.entry) else {
        return Ok(Err("its journal does not begin with `started`".to_owned()));
    };
    let all = Copy {
        started: *started,
        records: records.collect(),
        kept: Vec::new(),
        anew: Vec::new(),
        asks: Vec::new(),
    };
    let (found, rebuilt) = (place.join("runs").join(run.as_str()), place.join("rebuilt"));
    let outcome = match files::rebuild(&rebuilt, &all) {
        Ok(_) => replace(&rebuilt, &found).map_err(|e| e.to_string()),
        Err(RebuildError::Program { program, .. }) => {
            Err(format!("it ran `{program}`, and what that wrote nobody recorded"))
        }
        // It began with the files of another run, which its own journal does not make again.
        Err(error) => Err(error.to_string()),
    };
    if rebuilt.exists() {
        fs::remove_dir_all(&rebuilt).ok();
    }
    Ok(outcome)
}

fn replace(rebuilt: &Path, found: &Path) -> io::Result<()> {
    match fs::remove_dir_all(found) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    match rebuilt.exists() {
        true => {
            make_folder(found.parent().unwrap_or(Path::new("/")))?;
            fs::rename(rebuilt, found)
        }
        // It changed nothing.
        false => Ok(()),
    }
}

/// Puts everything into its place, the database last: a state folder has none before all of it is there.
fn move_in(home: &Home, place: &Path) -> io::Result<()> {
    failpoint::hit(failpoints::BEFORE_FILES);
    for (name, to) in [("runs", home.runs()), ("data", home.all_data())] {
        let from = place.join(name);
        if from.exists() {
            fs::rename(from, to)?;
        }
    }
    for (to, name) in parts(home, true).into_iter().skip(1) {
        // What the user set here is newer.
        if place.join(name).exists() && !to.exists() {
            fs::rename(place.join(name), to)?;
        }
    }
    fs::rename(place.join("restored.json"), home.restored())?;
    failpoint::hit(failpoints::BEFORE_DATABASE);
    // Unlike a renaming, this fails where somebody made one meanwhile.
    fs::hard_link(place.join(JOURNAL), home.journal())?;
    File::open(home.root())?.sync_all()?;
    fs::remove_dir_all(place)
}

fn told(about: &About, made: &Made, args: &RestoreArgs, context: &Context) -> Report {
    let text = format!(
        "restored {}, as they were at {}",
        count(made.runs as u64, "run"),
        moment(about.at, &context.zone)
    );
    let mut report = Report::done(text, envelope(&made.unfinished));
    let first = made.unfinished.iter().take(NAMED_MAX).map(RunId::as_str);
    let names = first.collect::<Vec<_>>().join(", ");
    let more = match made.unfinished.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let runs = count(made.unfinished.len() as u64, "run");
    report.notes = match (made.unfinished.is_empty(), args.go_on) {
        (true, _) => String::new(),
        (false, true) => format!(
            "{runs} that were not over go on: {names}{more}\nwhat they did after the backup was taken is not known here, and is done again\n"
        ),
        (false, false) => format!(
            "{runs} that were not over are paused: {names}{more}\nwhat they did after the backup was taken is not known here, and would be done again; `skillhost resume RUN` lets one go on, `skillhost cancel RUN` ends it\n"
        ),
    };
    for (run, why) in &made.as_found {
        report.notes += &format!(
            "warning: the files of run {run} are as they were found, which may be later than its journal: {why}\n"
        );
    }
    report
}
