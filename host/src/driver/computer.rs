//! The computer that this process runs on: its clocks, its files, its engine and the world that its network leads to.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use skillhost_core::budget::Cost;
use skillhost_core::entry::{Giving, Source, Started};
use skillhost_core::id::{RunId, SkillName, WorkerId};
use skillhost_core::lease::Holder;
use skillhost_core::time::Timestamp;
use skillhost_effects::files::{self, Mounts};
use skillhost_effects::http::{Sites, Web};
use skillhost_effects::model::{Hub, Settings};
use skillhost_effects::process::{Ground, Programs, end_survivors};
use skillhost_effects::{Effects, Granted};
use skillhost_journal::{Journal, RunRow};
use skillhost_runtime::{BundleFiles, GuestStart, Loader};
use tokio::sync::oneshot;

use super::outside::{Attempt, Equipment, Outside};
use super::{DriveError, Pinned, SCRIPT, clock, ground, lock};
use crate::config::Config;
use crate::describe;
use crate::grants::{self, Grantee};
use crate::home::Home;
use crate::schema::Schema;

/// The computer that this process runs on, as the worker with one id uses it: the lock that shows that it lives is free when this is gone.
pub struct Computer {
    _lock: lock::Lock,
    began: Instant,
    home: Home,
    journal: Arc<dyn Journal>,
    loader: Loader,
    hub: Hub,
    web: Web,
    ground: Ground,
}

impl Computer {
    /// Shows that a worker lives from now on.
    ///
    /// # Errors
    /// If its lock cannot be made.
    pub fn new(id: &WorkerId, home: &Home, journal: &Arc<dyn Journal>, loader: Loader) -> Result<Self, DriveError> {
        Ok(Self {
            _lock: lock::Lock::take(&home.workers(), id).map_err(DriveError::Lock)?,
            began: Instant::now(),
            home: home.clone(),
            journal: Arc::clone(journal),
            loader,
            hub: Hub::new(),
            web: Web::new(),
            ground: ground::ground(),
        })
    }

    fn effects(
        &self,
        run: &RunId,
        started: &Started,
        settings: &Settings,
        files: &Arc<BundleFiles>,
    ) -> Result<Effects, DriveError> {
        let script = files.get(SCRIPT).map(|bytes| String::from_utf8_lossy(bytes));
        let provider = self.hub.reopen(&started.provider, settings, script.as_deref());
        let provider = provider.map(|provider| provider.priced(started.limits.prices.clone()));
        let provider = provider.map_err(|source| DriveError::Provider {
            run: run.clone(),
            source,
        })?;
        let granted = self.granted(started);
        let mounts = self.mounts(run, started, files, &granted)?;
        let programs = Programs::new(self.ground.clone(), granted.clone(), self.home.programs(run));
        let sites = Sites::new(self.web.clone(), granted);
        Ok(Effects::new(provider, mounts, programs, sites))
    }

    /// Returns the folders that a run may use, as it was launched with them.
    fn mounts(
        &self,
        run: &RunId,
        started: &Started,
        files: &Arc<BundleFiles>,
        granted: &Granted,
    ) -> Result<Mounts, DriveError> {
        let mut mounts = Mounts::new(self.home.run(run), Arc::clone(files) as Arc<_>);
        for mount in &started.mounts {
            let made = match &mount.source {
                None if mount.name == files::DATA => Ok(mounts.with_data(self.home.data(&started.skill))),
                None => continue,
                Some(Source {
                    folder,
                    given: Giving::Grant,
                    ..
                }) => mounts.grant_while(&mount.name, folder.into(), mount.writable, granted.clone()),
                Some(Source { folder, file: None, .. }) => mounts.grant(&mount.name, folder.into(), mount.writable),
                Some(Source {
                    folder,
                    file: Some(file),
                    ..
                }) => mounts.grant_file(&mount.name, folder.into(), file),
            };
            mounts = made.map_err(|error| DriveError::Broken {
                run: run.clone(),
                reason: format!("its journal holds a mount that cannot be made: {error}"),
            })?;
        }
        Ok(mounts)
    }

    /// Returns what a skill may spend in a day, as the configuration has it now: so a change counts for runs that were launched before, too, from their next attempt on.
    fn day_budget(&self, run: &RunId, skill: &SkillName) -> Result<Option<Cost>, DriveError> {
        let config = Config::load(&self.home.config()).map_err(|error| DriveError::Broken {
            run: run.clone(),
            reason: error.sentence(),
        })?;
        Ok(config.budget.day_of(skill))
    }

    /// Returns what a run was granted at its launch, as far as it still is.
    fn granted(&self, started: &Started) -> Granted {
        let home = self.home.clone();
        let grantee = Grantee::of(&home, &started.skill);
        // No guest is told where a crate lies.
        let word = match &grantee {
            Grantee::Skill(skill) => skill.to_string(),
            Grantee::Crate(_) => ".".to_owned(),
        };
        let today = move || match grants::Granted::load(&home) {
            Ok(granted) => Ok(granted.of(&grantee)),
            Err(error) => Err(error.sentence()),
        };
        Granted::new(started.skill.clone(), started.grants.clone(), today)
            .known_as(&word)
            .with_secrets(self.home.secrets())
    }
}

impl Outside for Computer {
    fn now(&self) -> Timestamp {
        clock::now()
    }

    fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn holder(&self, worker: &WorkerId) -> io::Result<Holder> {
        lock::holder(&self.home.workers(), worker)
    }

    fn gone(&self, worker: &WorkerId) -> BoxFuture<'static, io::Result<()>> {
        let (folder, worker) = (self.home.workers(), worker.clone());
        let (tell, told) = oneshot::channel();
        // A thread of its own, as nothing else waits for a lock; it ends with the process.
        std::thread::spawn(move || {
            // Whoever waited may be gone himself.
            tell.send(lock::wait_until_gone(&folder, &worker)).ok();
        });
        Box::pin(async move { told.await.map_err(io::Error::other)? })
    }

    fn end_survivors(&self, run: &RunId) -> BoxFuture<'static, io::Result<Vec<String>>> {
        let folder = self.home.programs(run);
        Box::pin(async move {
            let ended = tokio::task::spawn_blocking(move || end_survivors(&folder)).await;
            ended.expect("it does not panic")
        })
    }

    fn equip<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Result<Equipment, DriveError>> {
        Box::pin(async move {
            let Attempt { run, started, pin, .. } = attempt;
            let Pinned { component, files } = Pinned::load(&self.journal, &self.loader, run, pin).await?;
            let effects = self.effects(run, started, attempt.settings, &files)?;
            let day = self.day_budget(run, &started.skill)?;
            let mut start = GuestStart::of(started, attempt.started_at, files);
            let journal = Arc::clone(&self.journal);
            start.component = Some(match attempt.development {
                Some(development) => development.component.clone(),
                None => component.reread(move || journal.blob(&pin.component).ok().flatten()),
            });
            Ok(Equipment {
                guest: Box::new(component.guest(start)),
                effects: Arc::new(effects),
                day,
            })
        })
    }

    fn result_schema<'a>(&'a self, row: &'a RunRow) -> BoxFuture<'a, Result<Schema, DriveError>> {
        Box::pin(describe::result_schema(&self.journal, &self.loader, row))
    }
}
