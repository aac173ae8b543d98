//! Performs `files`: reads and changes files in a run's mounts.
//!
//! Start with [`Mounts`]. A path comes from the guest and is taken for hostile: it is checked as text ([`path`]), opened beneath the mount's folder by the kernel's own
//! means ([`folder`]), and only regular files and folders are touched. Every size is bounded before anything is read.
//!
//! When a change may be performed, and in which order, is the machine's to decide (rule R3). Here each change is made so that it is whole after a crash, and so that
//! performing it once more is as performing it once.

mod at_hand;
mod bundle;
mod change;
mod fault;
mod folder;
mod list;
mod look;
mod path;
mod rebuild;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skillhost_core::calls::files as calls;
use skillhost_core::effect::Kind;
use skillhost_core::entry::Mount as Described;
use skillhost_core::grants::is_mount;
use skillhost_core::machine::{Ended, Ticket};
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_core::payload::Payload;
use tokio::sync::Mutex;

use crate::granted::Granted;
pub use bundle::Bundle;
use change::Unsure;
use fault::{denied, invalid};
use folder::Folder;
pub use folder::WorkingFolder;
use path::MountPath;
pub use path::is_nameable;
pub use rebuild::{RebuildError, changed_elsewhere, copy_folder, is_unchanged_since, rebuild};

/// The mount of the run's own folder, which may be written.
pub const RUN: &str = "run";

/// The mount of the files that the skill was installed with.
pub const SKILL: &str = "skill";

/// The mount of the folder that the runs of a skill share, which may be written and stays.
pub const DATA: &str = "data";

/// The most mounts of one run.
pub const MOUNTS_MAX: usize = 256;

/// The names that no folder of the user can have.
pub const OWN: [&str; 3] = [RUN, SKILL, DATA];

/// The folders that one run may use, under the names by which its guest knows them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Mounts {
    table: Arc<Table>,
    /// Held while a change is really being made, also after nobody waits for it any more: changes are performed one at a time (rule R3).
    change: Arc<Mutex<()>>,
}

/// A mount that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// Not a name.
    #[error("`{name}` cannot name a mount: 1 to 64 letters, digits, `-`, `_` and `.`, not beginning with a dot")]
    Name {
        /// What was given.
        name: String,
    },
    /// The name is taken.
    #[error("there is a mount `{name}` already")]
    Taken {
        /// What was given.
        name: String,
    },
    /// The folder was named in a way that depends on where the host was started.
    #[error("the folder `{folder}` of mount `{name}` is not an absolute path")]
    Relative {
        /// The mount.
        name: String,
        /// Its folder.
        folder: PathBuf,
    },
}

impl Mounts {
    /// Makes the two mounts without which there is no run: its own folder, which is made when it is first written, and the files of its skill.
    pub fn new(run_folder: PathBuf, skill: Arc<dyn Bundle>) -> Self {
        let by_name = BTreeMap::from([
            (RUN.to_owned(), Mount::Folder(Folder::of_run(run_folder))),
            (SKILL.to_owned(), Mount::Bundle(skill)),
        ]);
        Self {
            table: Arc::new(Table { by_name }),
            change: Arc::default(),
        }
    }

    /// Adds the folder that the runs of the skill share. It is made when it is first written.
    #[must_use]
    pub fn with_data(self, folder: PathBuf) -> Self {
        let mut by_name = self.table.by_name.clone();
        by_name.insert(DATA.to_owned(), Mount::Folder(Folder::of_skill(folder)));
        Self {
            table: Arc::new(Table { by_name }),
            change: self.change,
        }
    }

    /// Adds a folder that the user gave the run: an absolute path with no link in it. One that is not there when it is needed has the call wait for a person.
    pub fn grant(self, name: &str, folder: PathBuf, writable: bool) -> Result<Self, MountError> {
        let mount = Folder::granted(name, folder.clone(), writable);
        self.add(name, &folder, mount)
    }

    /// Adds a folder that the user granted to the skill, until he revokes it.
    pub fn grant_while(
        self,
        name: &str,
        folder: PathBuf,
        writable: bool,
        granted: Granted,
    ) -> Result<Self, MountError> {
        let mount = Folder::granted(name, folder.clone(), writable).while_granted(granted);
        self.add(name, &folder, mount)
    }

    /// Adds a folder that the user gave the run, of which it shows one file and nothing else; that can be read and not changed.
    pub fn grant_file(self, name: &str, folder: PathBuf, file: &str) -> Result<Self, MountError> {
        let mount = Folder::granted_file(name, folder.clone(), file);
        self.add(name, &folder, mount)
    }

    fn add(self, name: &str, folder: &Path, mount: Folder) -> Result<Self, MountError> {
        check_name(name)?;
        if !folder.is_absolute() {
            return Err(MountError::Relative {
                name: name.to_owned(),
                folder: folder.to_owned(),
            });
        }
        let mut by_name = self.table.by_name.clone();
        if OWN.contains(&name) || by_name.insert(name.to_owned(), Mount::Folder(mount)).is_some() {
            return Err(MountError::Taken { name: name.to_owned() });
        }
        Ok(Self {
            table: Arc::new(Table { by_name }),
            change: self.change,
        })
    }

    /// Returns what a run's first entry says of them, in the order of their names.
    pub fn described(&self) -> Vec<Described> {
        let described = self.table.by_name.iter().map(|(name, mount)| {
            let writable = matches!(mount, Mount::Folder(folder) if folder.is_writable());
            Described::own(name, writable)
        });
        described.collect()
    }

    /// Measures the file that an append is going to change: answers [`calls::Measured`].
    pub async fn measure(&self, ticket: &Ticket) -> Result<Payload, Ended> {
        let request = read_request(ticket).map_err(|fault| ended_without(Unsure::Fault(fault)))?;
        let turn = Arc::clone(&self.change).lock_owned().await;
        let table = Arc::clone(&self.table);
        let measured = blocking(move || {
            let _turn = turn;
            table.measure(&request)
        });
        measured.await.map_err(ended_without)
    }

    /// Opens the folder that a program is to be run in: one that may be written, the run's own if none is named.
    pub(crate) async fn working_folder(&self, path: Option<&str>) -> Result<WorkingFolder, Fault> {
        let path = MountPath::parse(path.unwrap_or(RUN))?;
        let table = Arc::clone(&self.table);
        blocking(move || match table.mount(&path)? {
            Mount::Folder(folder) if folder.is_writable() => folder.working_folder(&path),
            _ => Err(denied(format!(
                "`{}/` may not be written, and a program is run only where it may write",
                path.mount()
            ))),
        })
        .await
    }

    /// Returns the folders that the run may write.
    pub(crate) fn writable_folders(&self) -> Vec<PathBuf> {
        let folders = self.table.by_name.values().filter_map(|mount| match mount {
            Mount::Folder(folder) if folder.is_writable() => Some(folder.root_path().to_owned()),
            _ => None,
        });
        folders.collect()
    }

    /// Performs a call of `files` once.
    ///
    /// A change that was begun goes on to its end even if the future is dropped, and the next change of the run waits for that end.
    pub async fn perform(&self, ticket: Ticket) -> Ended {
        if ticket.function().name() == "files.read"
            && let Ok(request) = ticket.request().read()
            && let Some(bytes) = self.table.read_at_hand(&request)
        {
            // Nothing was waited for: other runs have their turn now and then all the same.
            tokio::task::coop::consume_budget().await;
            return returned(Outcome::Ok(Payload::of(&bytes)));
        }
        let turn = match ticket.function().kind() {
            Kind::FileChange { .. } => Some(Arc::clone(&self.change).lock_owned().await),
            _ => None,
        };
        let table = Arc::clone(&self.table);
        let ended = blocking(move || {
            let _turn = turn;
            table.perform(&ticket)
        });
        match ended.await {
            Ok(payload) => returned(Outcome::Ok(payload)),
            Err(unsure) => ended_without(unsure),
        }
    }
}

/// Says how a call ends that was not carried out, or of which nobody can say whether it was.
fn ended_without(unsure: Unsure) -> Ended {
    match unsure {
        Unsure::Fault(fault) => returned(fault.into()),
        Unsure::InDoubt(why) => Ended::InDoubt(why),
    }
}

/// The path that every request of `files` has.
#[derive(serde::Deserialize)]
struct Named {
    path: String,
}

/// The mounts by name, and the work on them, which blocks its thread.
#[derive(Debug)]
struct Table {
    by_name: BTreeMap<String, Mount>,
}

/// What lies behind a mount's name.
#[derive(Clone)]
enum Mount {
    Folder(Folder),
    Bundle(Arc<dyn Bundle>),
}

impl Table {
    fn perform(&self, ticket: &Ticket) -> Result<Payload, Unsure> {
        let named: Option<Named> = ticket.request().read().ok();
        self.perform_now(ticket).map_err(|unsure| match named {
            Some(named) => self.unless_gone(&named.path, unsure),
            None => unsure,
        })
    }

    fn measure(&self, request: &calls::Write) -> Result<Payload, Unsure> {
        let measured = self.measure_append(request);
        let measured = measured.map_err(|fault| self.unless_gone(&request.path, Unsure::Fault(fault)))?;
        Ok(Payload::of(&measured))
    }

    /// Leaves a call to a person whose folder is gone: it is not for the skill to work around, nothing was done, and it can be put right.
    fn unless_gone(&self, path: &str, unsure: Unsure) -> Unsure {
        match self.gone(path) {
            Some(why) => Unsure::InDoubt(why),
            None => unsure,
        }
    }

    /// Says for its user why the folder of his that a call is about cannot be opened, if it cannot.
    fn gone(&self, path: &str) -> Option<String> {
        let path = MountPath::parse(path).ok()?;
        match self.by_name.get(path.mount())? {
            Mount::Folder(folder) => folder.gone(),
            Mount::Bundle(_) => None,
        }
    }

    fn perform_now(&self, ticket: &Ticket) -> Result<Payload, Unsure> {
        let in_doubt = ticket.in_doubt();
        match ticket.function().name() {
            "files.read" => Ok(Payload::of(&self.read(&read_request(ticket)?)?)),
            "files.read-range" => Ok(Payload::of(&self.read_range(&read_request(ticket)?)?)),
            "files.list" => Ok(Payload::of(&self.list(&read_request(ticket)?)?)),
            "files.stat" => Ok(Payload::of(&self.stat(&read_request(ticket)?)?)),
            "files.write" => {
                self.write(&read_request(ticket)?, &ticket.key(), in_doubt)?;
                Ok(Payload::null())
            }
            "files.append" => {
                let measured = ticket.measured().map(Payload::read).transpose();
                let measured = measured.ok().flatten().expect("the machine measures before an append");
                self.append(&read_request(ticket)?, measured, in_doubt)?;
                Ok(Payload::null())
            }
            "files.remove" => {
                self.remove(&read_request(ticket)?, ticket.run().as_str(), in_doubt)?;
                Ok(Payload::null())
            }
            other => Err(Fault::new(Fault::INVALID, format!("`{other}` is no function of files")).into()),
        }
    }

    fn mount(&self, path: &MountPath) -> Result<&Mount, Fault> {
        let mount = self.find(path)?;
        if let Mount::Folder(folder) = mount {
            folder.check_granted()?;
        }
        Ok(mount)
    }

    fn find(&self, path: &MountPath) -> Result<&Mount, Fault> {
        self.by_name.get(path.mount()).ok_or_else(|| {
            let mut names: Vec<_> = self.by_name.keys().map(|name| format!("`{name}/`")).collect();
            let last = names.pop().unwrap_or_default();
            denied(format!(
                "there is no mount `{}/`; this run has {} and {last}",
                path.mount(),
                names.join(", ")
            ))
        })
    }

    /// Returns the folder in which a path is to be changed.
    fn to_change(&self, path: &MountPath) -> Result<&Folder, Fault> {
        let folder = match self.mount(path)? {
            Mount::Folder(folder) if folder.is_writable() => folder,
            _ => return Err(denied(format!("`{}/` may not be written", path.mount()))),
        };
        match path.below() {
            "" => Err(invalid(format!("`{}` is a mount, not something in one", path.text()))),
            _ => Ok(folder),
        }
    }
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.fmt(f),
            Self::Bundle(_) => f.write_str("the skill's bundle"),
        }
    }
}

/// Checks that a text can name a mount.
pub fn check_name(name: &str) -> Result<(), MountError> {
    match is_mount(name) {
        true => Ok(()),
        false => Err(MountError::Name { name: name.to_owned() }),
    }
}

fn read_request<T: serde::de::DeserializeOwned>(ticket: &Ticket) -> Result<T, Fault> {
    ticket.request().read().map_err(|error| {
        let function = ticket.function();
        Fault::new(
            Fault::INVALID,
            format!("the request of `{function}` is not well formed: {error}"),
        )
    })
}

fn returned(outcome: Outcome) -> Ended {
    Ended::Returned {
        outcome,
        spent: None,
        again: None,
    }
}

/// Runs work that blocks on a thread made for it. A panic there is ours and goes on here.
async fn blocking<T, E, F>(work: F) -> Result<T, E>
where
    T: Send + 'static,
    E: Send + From<Fault> + 'static,
    F: FnOnce() -> Result<T, E> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Fault::new(Fault::FAILED, "the host is shutting down").into()),
        },
    }
}
