//! What a run is pinned to, loaded: its component, and the files that `skill/` shows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

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
        Self::load_beside(&Shelf::default(), journal, loader, run, pin).await
    }

    /// Does the same, and shares the files with the runs whose files lie on the shelf.
    pub(super) async fn load_beside(
        shelf: &Shelf,
        journal: &Arc<dyn Journal>,
        loader: &Loader,
        run: &RunId,
        pin: Pin,
    ) -> Result<Self, DriveError> {
        let files = match shelf.get(pin) {
            Some(files) => files,
            None => shelf.put(pin, files(journal.as_ref(), run, pin)?),
        };
        let bytes = describe::pinned_bytes(journal, pin.component);
        let loaded = loader.load(pin.component, bytes).await;
        let component = loaded.map_err(|source| DriveError::Load {
            run: run.clone(),
            source,
        })?;
        Ok(Self { component, files })
    }
}

/// The files of the bundles that runs of this process have in memory. A bundle's digest is that of its content, so what has the same pin has the same files.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<HashMap<Pin, Weak<BundleFiles>>>);

impl Shelf {
    fn get(&self, pin: Pin) -> Option<Arc<BundleFiles>> {
        self.lock().get(&pin)?.upgrade()
    }

    fn put(&self, pin: Pin, files: BundleFiles) -> Arc<BundleFiles> {
        let files = Arc::new(files);
        let mut shelf = self.lock();
        shelf.retain(|_, files| files.strong_count() > 0);
        shelf.insert(pin, Arc::downgrade(&files));
        files
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Pin, Weak<BundleFiles>>> {
        // Nothing that runs under the lock leaves it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
