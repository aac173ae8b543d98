//! What a run is pinned to, loaded: its component, and the files that `skill/` shows.

use std::sync::Arc;

use skillhost_core::entry::Pin;
use skillhost_core::id::{Digest, RunId};
use skillhost_journal::Journal;
use skillhost_runtime::{BundleFiles, Loaded, Loader};

use super::DriveError;
use crate::describe;

/// A bundle in memory.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// The component.
    pub component: Arc<Loaded>,
    /// The other files.
    pub files: Arc<BundleFiles>,
}

impl Pinned {
    /// Loads what a run is pinned to out of the journal.
    ///
    /// # Errors
    /// If something of it is gone, or the component does not load.
    pub async fn load(journal: &Arc<dyn Journal>, loader: &Loader, run: &RunId, pin: Pin) -> Result<Self, DriveError> {
        let files = files(journal.as_ref(), run, pin)?;
        let bytes = describe::pinned_bytes(journal, pin.component);
        let loaded = loader.load(pin.component, bytes).await;
        let component = loaded.map_err(|source| DriveError::Load {
            run: run.clone(),
            source,
        })?;
        Ok(Self {
            component,
            files: Arc::new(files),
        })
    }
}

fn files(journal: &dyn Journal, run: &RunId, pin: Pin) -> Result<BundleFiles, DriveError> {
    let gone = |what: String| DriveError::Gone { run: run.clone(), what };
    let read = |digest: &Digest| -> Result<Vec<u8>, DriveError> {
        let content = journal.blob(digest)?;
        content.ok_or_else(|| gone(format!("the content {}", digest.short())))
    };
    let bundle = journal.bundle(&pin.bundle)?;
    let bundle = bundle.ok_or_else(|| gone(format!("the bundle {}", pin.bundle.short())))?;
    let files = bundle.files().iter().filter(|file| file.digest != pin.component);
    files.map(|file| Ok((file.path.clone(), read(&file.digest)?))).collect()
}
