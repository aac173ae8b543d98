//! Drives a run in this process, and with it the runs that it calls.
//!
//! Each is driven by itself; [`Kin`] tells of one that is to be driven, too. A run that only waits for one that is driven here stays in memory, so what has to be
//! noticed is that nothing goes on any more: that all that are left wait for each other, and the innermost for somebody else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use skillhost_core::id::RunId;
use skillhost_core::machine::{Idle, Status, Wait};
use skillhost_core::payload::Payload;
use skillhost_effects::model::Settings;
use tokio::sync::mpsc;

use super::{Bell, Development, Drive, DriveError, Driven, Kin, Observer, Seen, Silent, Until, Worker, is_wanted};
use crate::schema;

/// How a run is driven here.
pub struct Here<'a> {
    /// Who drives.
    pub worker: &'a Worker,
    /// Where keys and places of model providers come from.
    pub settings: &'a Settings,
    /// How long a timer is worth staying for; `None` to stay until the run is over.
    pub patience: Option<Duration>,
    /// What a run in development is given further; those that it calls are not in development.
    pub development: Option<Development>,
}

/// What is heard of the runs that are driven here.
enum News {
    /// It is to be driven, unless it is already.
    Drive(RunId),
    /// One of them only waits.
    Idle,
}

type Sender = mpsc::UnboundedSender<News>;

impl Here<'_> {
    /// Drives a run, and those that it calls, as far as they go.
    ///
    /// # Errors
    /// If one of them cannot be driven further.
    pub async fn drive(&self, root: &RunId, observer: &mut dyn Observer) -> Result<Driven, DriveError> {
        let (sender, mut news) = mpsc::unbounded_channel();
        let mut driving = FuturesUnordered::new();
        let mut here = BTreeSet::from([root.clone()]);
        let mut of_root = None;
        driving.push(self.one(
            root.clone(),
            Watching::new(Some(observer), &sender),
            self.development.clone(),
            sender.clone(),
        ));
        // Whoever watches has seen the run, which is driven once more only for what came at the last moment.
        let once_more = |run: RunId| {
            let development = self.development.clone().filter(|_| run == *root);
            self.one(run, Watching::new(None, &sender), development, sender.clone())
        };
        while !here.is_empty() {
            let only_waits = tokio::select! {
                biased;
                Some(heard) = news.recv() => match heard {
                    News::Drive(run) => {
                        if here.insert(run.clone()) {
                            driving.push(once_more(run));
                        }
                        false
                    }
                    News::Idle => true,
                },
                Some((run, driven)) = driving.next() => {
                    here.remove(&run);
                    let driven = match driven {
                        // Somebody else drives what was called: its answer comes all the same. So it may be with what was left and is taken once more.
                        Err(DriveError::Held { .. }) if run != *root || of_root.is_some() => continue,
                        driven => driven?,
                    };
                    let is_left = matches!(driven, Driven::Waiting(_));
                    if run == *root {
                        of_root = Some(driven);
                    }
                    if is_left && is_wanted(self.worker.journal().as_ref(), &run)? {
                        here.insert(run.clone());
                        driving.push(once_more(run));
                    }
                    true
                }
            };
            if only_waits && self.is_stuck(&here)? {
                driving.clear();
                here = self.leave(here)?;
                driving.extend(here.iter().cloned().map(once_more));
            }
        }
        match of_root {
            Some(driven) => Ok(driven),
            None => Ok(Driven::Waiting(self.idle(root)?)),
        }
    }

    /// Gives runs back that only wait, and returns those that have something to do after all: whoever put it into their mailboxes meanwhile was told that they are driven.
    fn leave(&self, here: BTreeSet<RunId>) -> Result<BTreeSet<RunId>, DriveError> {
        let mut wanted = BTreeSet::new();
        for run in here {
            self.worker.let_go(&run)?;
            if is_wanted(self.worker.journal().as_ref(), &run)? {
                wanted.insert(run);
            }
        }
        Ok(wanted)
    }

    fn one<'o>(
        &'o self,
        run: RunId,
        mut observer: Watching<'o>,
        development: Option<Development>,
        news: Sender,
    ) -> BoxFuture<'o, (RunId, Result<Driven, DriveError>)> {
        Box::pin(async move {
            let driving = async {
                let seen = self.worker.look(&run)?;
                let schema = self.worker.outside().result_schema(seen.row()).await?;
                let drive = Drive {
                    settings: self.settings,
                    until: match self.patience {
                        None => Until::Finished,
                        Some(patience) => Until::Waiting { patience },
                    },
                    bell: Bell::Absent,
                    check_result: &|result: &Payload| schema::check_result(&schema, result),
                    observer: &mut observer,
                    kin: Arc::new(Relatives(news)),
                    development,
                };
                self.worker.drive(seen, drive).await
            };
            let driven = driving.await;
            (run, driven)
        })
    }

    /// Returns whether all that are driven here only wait, for each other or for what is not worth staying for.
    fn is_stuck(&self, here: &BTreeSet<RunId>) -> Result<bool, DriveError> {
        let Some(patience) = self.patience else {
            return Ok(false);
        };
        let journal = self.worker.journal();
        for run in here {
            let before = journal.run(run)?;
            if before.status != Status::Waiting {
                return Ok(false);
            }
            let worth_it = |deadline| self.worker.outside().now().after(patience) >= deadline;
            let waits = journal.waits(run)?;
            if waits.iter().any(|wait| wait.deadline.is_some_and(worth_it)) {
                return Ok(false);
            }
            for wait in &waits {
                // What is over has answered, which is about to be noticed.
                if let Wait::Skill(child) = &wait.wait
                    && journal.run(child)?.status.is_final()
                {
                    return Ok(false);
                }
            }
            if is_wanted(journal.as_ref(), run)? {
                return Ok(false);
            }
            // It may have gone on while it was looked at, and then waited for nothing for a moment.
            let after = journal.run(run)?;
            if (after.status, after.entries) != (before.status, before.entries) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn idle(&self, run: &RunId) -> Result<Idle, DriveError> {
        let waits = self.worker.journal().waits(run)?;
        Ok(Idle {
            paused: false,
            deadline: waits.iter().filter_map(|wait| wait.deadline).min(),
            waits: waits.into_iter().map(|wait| (wait.number, wait.wait)).collect(),
        })
    }
}

/// Tells which runs are to be driven.
struct Relatives(Sender);

impl Relatives {
    fn drive(&self, run: &RunId) {
        // Whoever drives may have gone.
        self.0.send(News::Drive(run.clone())).ok();
    }
}

impl Kin for Relatives {
    fn launched(&self, child: &RunId) {
        self.drive(child);
    }

    fn awaits(&self, child: &RunId) {
        self.drive(child);
    }

    fn answered(&self, caller: &RunId) {
        self.drive(caller);
    }
}

/// Watches a run for whoever does, and tells when it only waits.
struct Watching<'a> {
    observer: Option<&'a mut dyn Observer>,
    news: Sender,
}

impl<'a> Watching<'a> {
    fn new(observer: Option<&'a mut dyn Observer>, news: &Sender) -> Self {
        Self {
            observer,
            news: news.clone(),
        }
    }
}

impl Observer for Watching<'_> {
    fn on(&mut self, seen: Seen<'_>) {
        if matches!(seen, Seen::Idle(_)) {
            self.news.send(News::Idle).ok();
        }
        match &mut self.observer {
            Some(observer) => observer.on(seen),
            None => Silent.on(seen),
        }
    }
}
