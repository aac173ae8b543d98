//! The computer that this process runs on: its clocks, its files, its engine and the world that its network leads to.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use skillhost_core::budget::Cost;
use skillhost_core::entry::{Called, Giving, Source, Started};
use skillhost_core::grants::Grants;
use skillhost_core::id::{RunId, Seq, SkillName, WorkerId};
use skillhost_core::lease::Holder;
use skillhost_core::machine::{Ended, Machine, Ticket};
use skillhost_core::outcome::Fault;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_effects::files::{self, Mounts};
use skillhost_effects::http::{Sites, Web};
use skillhost_effects::model::{Hub, Settings};
use skillhost_effects::process::{Ground, Programs, end_survivors};
use skillhost_effects::{Effects, Granted, Watch};
use skillhost_journal::{Journal, JournalError, RunRow};
use skillhost_runtime::{BundleFiles, GuestStart, Loader};
use tokio::sync::oneshot;

use super::kin::Nursery;
use super::outside::{Attempt, Equipment, Outside, Performer};
use super::pinned::Shelf;
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
    shelf: Shelf,
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
            shelf: Shelf::default(),
        })
    }

    fn effects(
        &self,
        run: &RunId,
        started: &Started,
        settings: &Settings,
        files: &Arc<BundleFiles>,
        granted: Granted,
    ) -> Result<Effects, DriveError> {
        let script = files.get(SCRIPT).map(|bytes| String::from_utf8_lossy(bytes));
        let provider = self.hub.reopen(&started.provider, settings, script.as_deref());
        let provider = provider.map(|provider| provider.priced(started.limits.prices.clone()));
        let provider = provider.map_err(|source| DriveError::Provider {
            run: run.clone(),
            source,
        })?;
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

    /// Returns what a run was granted at its launch, as far as it still is. One that another run called may do no more than that may, today as well (rule K1).
    fn granted(&self, started: &Started) -> Result<Granted, DriveError> {
        let home = self.home.clone();
        let grantee = grantee(&home, started);
        let callers = self.callers(started)?;
        // No guest is told where a crate lies.
        let word = match &grantee {
            Grantee::Skill(skill) => skill.to_string(),
            Grantee::Crate(_) => ".".to_owned(),
        };
        let today = move || match grants::Granted::load(&home) {
            Ok(granted) => Ok(callers.iter().fold(granted.of(&grantee), |own, caller| Grants {
                files: own.files.clone(),
                ..own.within(&granted.of(caller))
            })),
            Err(error) => Err(error.sentence()),
        };
        Ok(Granted::new(started.skill.clone(), started.grants.clone(), today)
            .known_as(&word)
            .with_secrets(self.home.secrets()))
    }

    /// Returns who called a run, and who called that one, and so on.
    fn callers(&self, started: &Started) -> Result<Vec<Grantee>, DriveError> {
        let mut callers = Vec::new();
        let mut next = started.caller.clone();
        while let Some(caller) = next {
            let records = match self.journal.records(&caller.run, Seq(0), 1) {
                // It is over, and was pruned; what it had when it called is in the grants of the launch.
                Err(JournalError::UnknownRun { .. }) => break,
                records => records?,
            };
            let started = Machine::started(&records).map_err(|source| DriveError::History {
                run: caller.run.clone(),
                source,
            })?;
            callers.push(grantee(&self.home, started));
            next = started.caller.clone();
        }
        Ok(callers)
    }
}

/// Returns who is granted something when a run does it: what is called by the crate of a skill is an installed skill.
fn grantee(home: &Home, started: &Started) -> Grantee {
    match started.caller {
        None => Grantee::of(home, &started.skill),
        Some(_) => Grantee::Skill(started.skill.clone()),
    }
}

/// What an attempt does outside: its effects, and the launching of what it calls.
struct Doing {
    effects: Effects,
    nursery: Nursery,
}

impl Performer for Doing {
    fn note(&self, called: &Called) {
        self.effects.note(called);
    }

    fn measure(&self, ticket: Ticket) -> BoxFuture<'static, Result<Payload, Ended>> {
        let effects = self.effects.clone();
        Box::pin(async move { effects.measure(&ticket).await })
    }

    fn launch(&self, ticket: Ticket) -> BoxFuture<'static, Result<Result<Payload, Fault>, DriveError>> {
        Box::pin(self.nursery.clone().launch(ticket))
    }

    fn perform(&self, ticket: Ticket, watch: Watch) -> BoxFuture<'static, Ended> {
        let effects = self.effects.clone();
        Box::pin(async move { effects.perform(ticket, &watch).await })
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
        // Most runs start no programs, and a thread of its own costs more than all that is done before the guest begins.
        if matches!(folder.try_exists(), Ok(false)) {
            return Box::pin(std::future::ready(Ok(Vec::new())));
        }
        Box::pin(async move {
            let ended = tokio::task::spawn_blocking(move || end_survivors(&folder)).await;
            ended.expect("it does not panic")
        })
    }

    fn equip<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Result<Equipment, DriveError>> {
        Box::pin(async move {
            let Attempt { run, started, pin, .. } = attempt;
            let pinned = Pinned::load_beside(&self.shelf, &self.journal, &self.loader, run, pin);
            let Pinned { component, files } = pinned.await?;
            let granted = self.granted(started)?;
            let effects = self.effects(run, started, attempt.settings, &files, granted.clone())?;
            let nursery = Nursery {
                home: self.home.clone(),
                journal: Arc::clone(&self.journal),
                loader: self.loader.clone(),
                hub: self.hub.clone(),
                granted,
                caller: Arc::new(started.clone()),
                settings: attempt.settings.clone(),
                kin: Arc::clone(attempt.kin),
            };
            let day = self.day_budget(run, &started.skill)?;
            let mut start = GuestStart::of(started, attempt.started_at, files);
            let journal = Arc::clone(&self.journal);
            start.component = Some(match attempt.development {
                Some(development) => development.component.clone(),
                None => component.reread(move || journal.blob(&pin.component).ok().flatten()),
            });
            Ok(Equipment {
                guest: Box::new(component.guest(start)),
                effects: Arc::new(Doing { effects, nursery }),
                day,
            })
        })
    }

    fn result_schema<'a>(&'a self, row: &'a RunRow) -> BoxFuture<'a, Result<Schema, DriveError>> {
        Box::pin(describe::result_schema(&self.journal, &self.loader, row))
    }
}
