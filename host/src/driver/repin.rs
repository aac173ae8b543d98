//! Has a run go on with another bundle, if its replay there is identical.

use skillhost_core::entry::{Entry, Pin, Record};
use skillhost_core::id::{Epoch, RunId};
use skillhost_core::machine::Write;
use skillhost_core::payload::Payload;

use super::{DriveError, History, Pinned, Replayed, Worker};

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Repinned {
    /// It goes on with the other bundle, which is durable.
    Done,
    /// It is pinned to that bundle already.
    Already,
    /// It is over.
    Over,
    /// Its replay was not identical, and it stays as it was.
    Differs(Replayed),
}

impl Worker {
    /// Takes a run, replays it on what `pin` names (`pinned` is that, loaded), and pins it to that if the replay is identical. The run is given back then.
    ///
    /// # Errors
    /// If somebody else drives the run, its journal is not sound, or storage fails.
    pub async fn repin(
        &self,
        run: &RunId,
        pin: Pin,
        pinned: &Pinned,
        check_result: &(dyn Fn(&Payload) -> Result<(), String> + Sync),
    ) -> Result<Repinned, DriveError> {
        let (epoch, _) = self.claim(run, self.look(run)?).await?;
        let repinned = self.repin_held(run, epoch, pin, pinned, check_result).await;
        let released = self.journal().releasing(run, epoch).await;
        let repinned = repinned?;
        released?;
        Ok(repinned)
    }

    async fn repin_held(
        &self,
        run: &RunId,
        epoch: Epoch,
        pin: Pin,
        pinned: &Pinned,
        check_result: &(dyn Fn(&Payload) -> Result<(), String> + Sync),
    ) -> Result<Repinned, DriveError> {
        let unsound = |source| DriveError::History {
            run: run.clone(),
            source,
        };
        // Now that nobody else adds to it.
        let history = History::read(self.journal().as_ref(), run)?;
        if history.survey().finished().is_some() {
            return Ok(Repinned::Over);
        }
        if history.survey().pin().map_err(unsound)? == pin {
            return Ok(Repinned::Already);
        }
        let seq = history.survey().next();
        match history.replay(pinned, check_result).await.map_err(unsound)? {
            Replayed::Identical => {}
            differs => return Ok(Repinned::Differs(differs)),
        }
        let mut writer = self.journal().writer(run, epoch, seq);
        writer.append(vec![Write::Entry(Record {
            seq,
            at: self.outside().now(),
            entry: Entry::Repinned {
                bundle: pin.bundle,
                component: pin.component,
            },
        })])?;
        writer.barrier(seq).await?;
        Ok(Repinned::Done)
    }
}
