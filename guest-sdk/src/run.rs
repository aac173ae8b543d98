//! What a run knows of itself, and what people tell it on its way.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::call::Call;
use crate::failure::IntoFailure as _;
use crate::host;

/// What is fixed for the whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// The run's id, which is different in each run.
    pub id: String,
    /// The skill's name.
    pub skill: String,
    /// The folders that [`files`](crate::files) may use.
    pub mounts: Vec<Mounted>,
    /// When the run was launched.
    pub started: SystemTime,
    /// The user's time zone when the run was launched, as an IANA name.
    pub zone: String,
    /// The model provider's name.
    pub provider: String,
    /// What the model provider can do: `tools`, `web-search`, `schema`.
    pub features: Vec<String>,
}

/// A folder that the run may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Its name.
    pub name: String,
    /// Whether the run may write there.
    pub writable: bool,
}

impl Info {
    /// Says whether the model provider can do something: `tools`, `web-search`, `schema`.
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }
}

/// Returns what is fixed for the whole run.
pub fn info() -> Info {
    let info = host::run::info();
    let mounts = info.mounts.into_iter().map(|mount| Mounted {
        name: mount.name,
        writable: mount.writable,
    });
    Info {
        id: info.id,
        skill: info.skill,
        mounts: mounts.collect(),
        started: UNIX_EPOCH + Duration::from_nanos(info.started_ns),
        zone: info.zone,
        provider: info.provider,
        features: info.features,
    }
}

/// A remark that somebody left for the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The remark.
    pub message: String,
    /// When it was left.
    pub at: SystemTime,
    /// Who left it, if known.
    pub by: Option<String>,
}

/// Returns the notes that were left since they were last asked for, in the order left, at most 100; further ones come with the next call. It is answered
/// at once, with none if there are none. Each note is returned once.
///
/// ```
/// # use skillhost_sdk::prelude::*;
/// # async fn example(mut plan: String) -> Result<String> {
/// for note in run::notes().await? {
///     plan.push_str(&format!("\nMind this: {}", note.message));
/// }
/// # Ok(plan)
/// # }
/// # assert_eq!(skillhost_sdk::example::run(example("Rest.".to_owned())), "Rest.");
/// ```
pub fn notes() -> Call<Vec<Note>> {
    Call::new(host::run::start_notes, |pending| {
        let notes = host::run::finish_notes(pending).map_err(|error| error.into_failure())?;
        let notes = notes.into_iter().map(|note| Note {
            message: note.message,
            at: UNIX_EPOCH + Duration::from_nanos(note.at_ns),
            by: note.by,
        });
        Ok(notes.collect())
    })
}
