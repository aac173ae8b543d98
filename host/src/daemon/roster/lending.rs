//! Runs that are lent: somebody else takes them for a moment, and the daemon leaves them alone until they are given back.

use std::collections::HashMap;
use std::sync::Arc;

use skillhost_core::id::RunId;

use super::{Roster, lock};

/// The runs that are lent.
#[derive(Default)]
pub(super) struct Lending {
    lent: HashMap<RunId, Lent>,
}

#[derive(Default)]
struct Lent {
    /// To how many.
    borrowers: usize,
    /// Whether it was in memory, or its turn has come since.
    is_wanted: bool,
}

impl Lending {
    /// Returns whether a run is lent, whose turn has come; it comes again when the run is given back.
    pub(super) fn puts_off(&mut self, run: &RunId) -> bool {
        match self.lent.get_mut(run) {
            Some(lent) => {
                lent.is_wanted = true;
                true
            }
            None => false,
        }
    }
}

impl Roster {
    /// Lets go of a run, and leaves it alone until it is given back: what it has under way is recorded first, however long that takes.
    pub(in crate::daemon) async fn lend(&self, run: &RunId) {
        {
            let mut tasks = lock(&self.tasks);
            let ring = tasks.begun.get(run).map(|task| Arc::clone(&task.ring));
            let lent = tasks.lending.lent.entry(run.clone()).or_default();
            lent.borrowers += 1;
            lent.is_wanted |= ring.is_some();
            if let Some(ring) = ring {
                ring.drain();
            }
        }
        let mut count = self.count.subscribe();
        loop {
            // Before the look: what changes after it is heard.
            count.mark_unchanged();
            if !lock(&self.tasks).begun.contains_key(run) || count.changed().await.is_err() {
                return;
            }
        }
    }

    /// Takes a run back that was lent, and goes on with it if there was or is a reason.
    pub(in crate::daemon) fn take_back(self: &Arc<Self>, run: &RunId) {
        let mut tasks = lock(&self.tasks);
        let Some(lent) = tasks.lending.lent.get_mut(run) else {
            return;
        };
        lent.borrowers -= 1;
        if lent.borrowers > 0 {
            return;
        }
        let is_wanted = lent.is_wanted;
        tasks.lending.lent.remove(run);
        drop(tasks);
        if is_wanted {
            self.wake(run);
        }
    }
}
