//! A run that begins with a copy of another: made with its folder, before anybody sees it. What `retry` and `fork` share (rules F1 to F5).

use skillhost_core::copy::{self, Copy, Plan};
use skillhost_core::entry::{Entry, Pin, Record};
use skillhost_core::id::{Number, RunId, Seq};
use skillhost_effects::files::{self, RebuildError};
use skillhost_journal::{Created, NewRun, RunRow};

use super::context::Session;
use super::replay::{self, Past, Verdict};
use super::{budget, order, retry};
use crate::driver::Pinned;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::grants;

/// Where a run branches off another.
pub(super) struct Branch<'a> {
    /// The other.
    pub(super) row: &'a RunRow,
    /// Its journal.
    pub(super) records: &'a [Record],
    /// What is copied.
    pub(super) plan: Plan,
    /// Whether its folder is taken as it is, and not made again of what is recorded (rule F4).
    pub(super) folder_as_it_is: bool,
    /// Whether the new run takes the other's place under its launch id.
    pub(super) follows: bool,
}

/// What came of it.
pub(super) struct Begun {
    /// The new run.
    pub(super) run: RunId,
    /// The calls that were to be performed again.
    pub(super) again: Vec<Number>,
    /// The calls about which a person is asked first.
    pub(super) asks: Vec<Number>,
    /// Files outside of its own folder that the other run changed, and that stay so.
    pub(super) elsewhere: Vec<String>,
}

impl Begun {
    /// Says what is remarkable about it.
    pub(super) fn notes(&self) -> String {
        let mut notes = String::new();
        for number in &self.again {
            notes.push_str(&format!(
                "call {number} is performed again; what was answered before it is kept\n"
            ));
        }
        for number in &self.asks {
            notes.push_str(&format!(
                "nobody can say whether call {number} was carried out: the run asks for a decision about it\n"
            ));
        }
        if !self.elsewhere.is_empty() {
            notes.push_str(&format!(
                "these files stay as they are: {}\n",
                self.elsewhere.join(", ")
            ));
        }
        notes
    }
}

impl Branch<'_> {
    /// Makes the run. What `edit` changes of the copy and the guest can see, it has to say by returning `true`: then the copy is replayed first, and a guest that
    /// does otherwise than it holds is told of before anything is made.
    pub(super) fn begin(
        self,
        session: &Session<'_>,
        again: Vec<Number>,
        edit: impl FnOnce(&mut Copy) -> Result<bool>,
    ) -> Result<Begun> {
        let copied = copy::copy(self.records, &self.plan);
        let mut copy = copied.map_err(|e| CliError::of(Exit::Invalid, "cannot_copy", &e))?;
        // Its guest sees nothing of them, and what was denied may be granted by now.
        copy.started.limits = budget::renewed(session.context, &copy.started)?;
        copy.started.grants = grants::of(&session.context.home, &self.row.skill)?;
        if edit(&mut copy)? {
            // What a person agreed to was for what the other run did.
            for mount in &copy.started.mounts {
                order::agree(session.context.ground(), mount, session)?;
            }
            self.check_replay(session, &copy)?;
        }
        let folder = session.context.home.run(&self.plan.run);
        let made = self
            .make_folder(session, &copy)
            .and_then(|()| self.make_run(session, copy, again));
        if made.is_err() {
            // Nobody needs what there is of it; that it cannot be removed is not the error to report.
            std::fs::remove_dir_all(folder).ok();
        }
        made
    }

    /// Checks that the guest of the copy does what the copy holds.
    fn check_replay(&self, session: &Session<'_>, copy: &Copy) -> Result<()> {
        let first = Record {
            seq: Seq(0),
            at: self.plan.at,
            entry: Entry::Started(Box::new(copy.started.clone())),
        };
        let records: Vec<Record> = std::iter::once(first).chain(copy.records.iter().cloned()).collect();
        let loading = session.loading()?;
        let pinned = Pinned::load(&session.journal, &loading.loader, &self.row.run, copy.started.pin());
        let pinned = loading.tokio.block_on(pinned)?;
        let verdict = replay::verdict(session, self.row, Past::Copy(&records), &pinned)?;
        match verdict {
            Verdict { difference: None, .. } => Ok(()),
            Verdict {
                difference: Some(difference),
                ..
            } => {
                let run = &self.row.run;
                let message = format!("the skill no longer does what run `{run}` recorded\n{difference}");
                Err(CliError::new(Exit::Failed, "mismatch", message).hint(format!(
                    "`skillhost fork {run} --at CALL` goes on before the call that differs"
                )))
            }
        }
    }

    fn make_run(&self, session: &Session<'_>, copy: Copy, again: Vec<Number>) -> Result<Begun> {
        let begun = Begun {
            run: self.plan.run.clone(),
            again,
            asks: copy.asks.clone(),
            elsewhere: files::changed_elsewhere(self.records),
        };
        let new = NewRun {
            started: copy.started,
            at: self.plan.at,
            caller_folder: self.row.caller_folder.clone(),
            silent: self.row.silent,
            copy: copy.records,
            follows: self.follows.then(|| self.row.run.clone()),
        };
        match session.journal.create_run(new)? {
            Created::New => Ok(begun),
            Created::Existing(existing) if self.follows => Err(retry::moved(self.row, &existing.run)),
            Created::Existing(existing) => {
                let message = format!(
                    "launch `{}` was made before, as run `{}`",
                    existing.launch, existing.run
                );
                Err(CliError::invalid("launch_taken", message).hint("give another `--id`"))
            }
        }
    }

    /// Makes the folder of the new run (rule F4), before the run, so that a crash in between leaves a folder that nobody needs and no run that misses one.
    fn make_folder(&self, session: &Session<'_>, copy: &Copy) -> Result<()> {
        let home = &session.context.home;
        let folder = home.run(&self.plan.run);
        let as_it_is = || files::copy_folder(&home.run(&self.row.run), &folder);
        let made = match self.folder_as_it_is {
            true => as_it_is(),
            false => match files::rebuild(&folder, copy) {
                // What cannot be made again need not be, if it is all still there.
                Err(RebuildError::Program { .. })
                    if self.row.status.is_final() && files::is_unchanged_since(self.records, copy) =>
                {
                    as_it_is()
                }
                made => made.map(drop),
            },
        };
        made.map_err(|e| {
            if let RebuildError::Program { .. } = e {
                let run = &self.row.run;
                return CliError::of(Exit::Unsupported, "program_wrote", &e).hint(format!(
                    "`skillhost show {run}` lists its calls; a copy that ends before that call can be made"
                ));
            }

            CliError::of(Exit::Storage, "folder_not_made", &e).hint("`skillhost doctor` checks the state folder")
        })
    }
}

/// Returns what a run of the same skill would be pinned to if it were launched now.
pub(super) fn installed(session: &Session<'_>, row: &RunRow) -> Result<Pin> {
    let edition = session.settle(row.skill.as_str())?;
    Ok(Pin {
        bundle: edition.bundle,
        component: edition.component,
    })
}
