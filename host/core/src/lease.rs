//! Who may drive a run (rule L1).
//!
//! A lease is a row: a worker and an epoch. Whether the worker lives is asked of the operating-system lock it holds, never of a clock, so a holder that is
//! slow or stopped is not displaced. Taking a lease raises the epoch, and appends carry theirs; that fences what a former holder still had queued.

use crate::id::{Epoch, WorkerId};
use crate::planted::{self, Bug};

/// The lease of a run as the journal holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The worker that took it last.
    pub holder: Option<WorkerId>,
    /// How often it was taken.
    pub epoch: Epoch,
}

/// What the lock of the holder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Its lock is taken: it lives, however slow.
    Alive,
    /// Its lock is free: it is gone.
    Gone,
}

/// What a worker that wants the run is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Take the lease at this epoch, provided that it still stands as it was read.
    Take(Epoch),
    /// Leave it: somebody else drives the run.
    Busy(WorkerId),
}

/// Decides whether `worker` may take the lease. One that it holds already is of an attempt of its own that is over and could not give it back, and what that one queued may
/// still be on its way to the disk: it is taken anew, as that of anybody who is gone.
pub fn claim(lease: &Lease, worker: &WorkerId, holder: Holder) -> Claim {
    match (&lease.holder, holder) {
        (Some(current), Holder::Alive) if current != worker && !planted::is(Bug::HolderDisplaced) => {
            Claim::Busy(current.clone())
        }
        (Some(_) | None, _) => Claim::Take(lease.epoch.next()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(name: &str) -> WorkerId {
        WorkerId::parse(name).expect("a worker id")
    }

    #[test]
    fn l1_a_live_holder_keeps_its_run_and_a_gone_one_loses_it_at_a_higher_epoch() {
        let held = Lease {
            holder: Some(worker("a")),
            epoch: Epoch(3),
        };
        assert_eq!(claim(&held, &worker("b"), Holder::Alive), Claim::Busy(worker("a")));
        assert_eq!(claim(&held, &worker("b"), Holder::Gone), Claim::Take(Epoch(4)));
        assert_eq!(claim(&held, &worker("a"), Holder::Alive), Claim::Take(Epoch(4)));
    }

    #[test]
    fn l1_a_run_that_was_given_back_is_taken_at_a_higher_epoch() {
        let free = Lease {
            holder: None,
            epoch: Epoch(3),
        };
        assert_eq!(claim(&free, &worker("b"), Holder::Gone), Claim::Take(Epoch(4)));
    }
}
