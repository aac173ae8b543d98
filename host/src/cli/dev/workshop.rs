//! Where a skill in development is run: a state folder apart, in the skill's crate. Each execution is a run of its own there, so it is durable, can be looked at, and is
//! what the next one reuses.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use skillhost_core::entry::{Parent, Record, Started};
use skillhost_core::id::{Digest, RunId};
use skillhost_core::machine::Machine;
use skillhost_core::recording::Recording;
use skillhost_journal::{Journal, RunFilter, RunRow, Trouble};

use crate::bundle::SCRIPT;
use crate::driver;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::Home;

/// The folder in the crate.
const FOLDER: &str = ".skillhost";

/// How many executions are kept, to be reused.
const KEPT_MAX: usize = 20;

/// Returns the state folder of a crate, and makes it if it is not there. Version control leaves it alone.
pub(super) fn home(user: &Home, folder: &Path) -> Result<Home> {
    let root = folder.join(FOLDER);
    let home = user.apart(root.clone());
    home.make()?;
    let ignore = root.join(".gitignore");
    if !ignore.exists() {
        fs::write(&ignore, "*\n").map_err(|e| {
            let message = format!("could not write `{}`", ignore.display());
            CliError::new(Exit::Storage, "not_written", message).caused_by(&e)
        })?;
    }
    Ok(home)
}

/// Returns the state folder of a crate, if it has one.
pub(super) fn existing(user: &Home, folder: &Path) -> Option<Home> {
    let root = folder.join(FOLDER);
    root.is_dir().then(|| user.apart(root))
}

/// An execution, with what it did.
pub(super) struct Execution {
    pub(super) row: RunRow,
    pub(super) records: Vec<Record>,
}

/// The executions of a crate.
pub(super) struct Workshop<'a> {
    journal: &'a dyn Journal,
    home: &'a Home,
}

impl<'a> Workshop<'a> {
    pub(super) fn new(journal: &'a dyn Journal, home: &'a Home) -> Self {
        Self { journal, home }
    }

    /// Returns an execution as its journal has it now.
    pub(super) fn execution(&self, run: &RunId) -> Result<Execution> {
        Ok(Execution {
            row: self.journal.run(run)?,
            records: self.journal.all_records(run)?,
        })
    }

    /// Returns all executions, the newest first.
    pub(super) fn executions(&self) -> Result<Vec<Execution>> {
        let rows = self.journal.runs(&RunFilter::default())?;
        rows.iter().map(|row| self.execution(&row.run)).collect()
    }

    /// Lets a new execution begin as the last one did: with its chance, at its time, and under its id, as far as the guest can see. So what did not change asks the same.
    pub(super) fn inherit(started: &mut Started, last: &Execution) -> Result<()> {
        let before = Machine::started(&last.records).map_err(|e| damaged(&last.row.run, &e))?;
        started.seed = before.seed;
        started.zone.clone_from(&before.zone);
        started.zone_offsets.clone_from(&before.zone_offsets);
        started.parent = Some(Parent {
            run: before.run.clone(),
            cut: 0,
            origin: before.seen_run().clone(),
            origin_at: before.seen_at(last.records[0].at),
        });
        Ok(())
    }

    /// Returns what earlier executions were answered by whoever is asked now, the newest last.
    pub(super) fn recording(&self, started: &Started, executions: &[Execution]) -> Result<Recording> {
        let mut recording = Recording::default();
        let mut scripts = BTreeMap::new();
        let script = self.script(&started.bundle, &mut scripts)?;
        for Execution { row, records } in executions.iter().rev() {
            let before = Machine::started(records).map_err(|e| damaged(&row.run, &e))?;
            let same_models =
                before.provider.name == started.provider.name && before.provider.models == started.provider.models;
            // A script that was edited answers otherwise.
            let same_script = !started.provider.simulated || self.script(&before.bundle, &mut scripts)? == script;
            if before.run != started.run && same_models && same_script {
                recording.add(records).map_err(|e| damaged(&row.run, &e))?;
            }
        }
        Ok(recording)
    }

    /// Returns the digest of a bundle's script of replies.
    fn script(&self, bundle: &Digest, known: &mut BTreeMap<Digest, Option<Digest>>) -> Result<Option<Digest>> {
        if let Some(script) = known.get(bundle) {
            return Ok(*script);
        }
        let files = self.journal.bundle(bundle)?;
        let script = files.and_then(|files| files.file(SCRIPT).map(|file| file.digest));
        known.insert(*bundle, script);
        Ok(script)
    }

    /// Forgets executions beyond those that are kept, with their folders and what only they needed.
    pub(super) fn tidy(&self) -> Result<()> {
        let rows = self.journal.runs(&RunFilter::default())?;
        for row in rows.iter().skip(KEPT_MAX) {
            if !row.status.is_final() {
                self.give_up(row)?;
            }
            self.journal.remove_run(&row.run)?;
            // What cannot be removed now is in nobody's way.
            fs::remove_dir_all(self.home.run(&row.run)).ok();
        }
        if rows.len() > KEPT_MAX {
            self.journal.collect(driver::now())?;
        }
        Ok(())
    }

    /// Leaves an execution that was not driven to its end for good.
    fn give_up(&self, row: &RunRow) -> Result<()> {
        let trouble = Trouble {
            code: "left".to_owned(),
            message: "the skill was changed, or `dev` ended, before this execution did".to_owned(),
            hint: None,
            at: driver::now(),
            attempts: 1,
        };
        let lease = self.journal.lease(&row.run)?;
        Ok(self.journal.park(&row.run, lease.epoch, &trouble)?)
    }

    /// Returns the folder of an execution.
    pub(super) fn folder(&self, run: &RunId) -> PathBuf {
        self.home.run(run)
    }
}

fn damaged(run: &RunId, error: &dyn std::error::Error) -> CliError {
    CliError::new(
        Exit::Storage,
        "damaged",
        format!("the journal of execution `{run}` cannot be read"),
    )
    .caused_by(error)
    .hint(format!(
        "remove the folder `{FOLDER}` of the crate: only recorded answers are lost"
    ))
}
