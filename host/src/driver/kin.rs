//! The runs that a run calls (rule K1): how they are launched, and how each hears of the other.
//!
//! A run is launched for a call under an id that is made of the caller and the call, so whoever launches for the same call again finds what was launched. It is given
//! no more than its caller has: grants that both have, and a part of the caller's budget. What it answers comes by the mailbox; [`Kin`] only says who has something
//! to do now, so that nobody has to look.

use std::path::Path;
use std::sync::Arc;

use skillhost_core::budget::Cost;
use skillhost_core::calls::skills::{Call, Launched};
use skillhost_core::entry::{self, Caller, Giving, Limits, Mount, Source, Started};
use skillhost_core::grants::Grants;
use skillhost_core::id::{Digest, LaunchId, RunId, Seq, SkillName};
use skillhost_core::machine::Ticket;
use skillhost_core::outcome::Fault;
use skillhost_core::payload::Payload;
use skillhost_effects::model::{Hub, Name, Settings};
use skillhost_effects::{Granted, files};
use skillhost_journal::{Created, Journal, NewRun, RunRow, failpoint};
use skillhost_runtime::{EngineConfig, Loader};

use super::{DriveError, now};
use crate::config::Config;
use crate::config::budget::Asked;
use crate::describe::{self, input_schema};
use crate::error::CliError;
use crate::exit::Exit;
use crate::grants::{self, Grantee};
use crate::home::Home;
use crate::installed::{Bytes, Edition, Shelf};
use crate::skills::Library;
use crate::{failpoints, limits, mounts, zone};

/// Hears of runs that call each other.
pub trait Kin: Send + Sync {
    /// A run was launched, or found, for a call, and is to be driven.
    fn launched(&self, child: &RunId);
    /// A run waits for one that it called.
    fn awaits(&self, child: &RunId);
    /// A run that called another was answered.
    fn answered(&self, caller: &RunId);
}

/// Hears of nobody, for runs that call no others.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Kin for Alone {
    fn launched(&self, _: &RunId) {}
    fn awaits(&self, _: &RunId) {}
    fn answered(&self, _: &RunId) {}
}

/// Launches what one run calls.
#[derive(Clone)]
pub(super) struct Nursery {
    pub(super) home: Home,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) loader: Loader,
    pub(super) hub: Hub,
    /// What the caller may do.
    pub(super) granted: Granted,
    /// The run that calls.
    pub(super) caller: Arc<Started>,
    /// With what providers are reached, for both.
    pub(super) settings: Settings,
    pub(super) kin: Arc<dyn Kin>,
}

/// Why nothing was launched.
enum Refused {
    /// The call is answered with this.
    Fault(Fault),
    /// This attempt is over; the next one tries again.
    Broken(DriveError),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<DriveError> for Refused {
    fn from(error: DriveError) -> Self {
        Self::Broken(error)
    }
}

impl From<skillhost_journal::JournalError> for Refused {
    fn from(error: skillhost_journal::JournalError) -> Self {
        Self::Broken(error.into())
    }
}

type Result<T> = std::result::Result<T, Refused>;

impl Nursery {
    /// Launches the run that a call is for, or finds it, and returns what is recorded of that.
    ///
    /// # Errors
    /// The outer error is this host's and ends the attempt; the inner one is the answer to the call.
    pub(super) async fn launch(
        self,
        ticket: Ticket,
    ) -> std::result::Result<std::result::Result<Payload, Fault>, DriveError> {
        let kin = Arc::clone(&self.kin);
        let tokio = tokio::runtime::Handle::current();
        let launching = tokio::task::spawn_blocking(move || self.make(&ticket, &tokio)).await;
        match launching.expect("it does not panic") {
            Ok(run) => {
                kin.launched(&run);
                Ok(Ok(Payload::of(&Launched { run })))
            }
            Err(Refused::Fault(fault)) => Ok(Err(fault)),
            Err(Refused::Broken(error)) => Err(error),
        }
    }

    fn make(&self, ticket: &Ticket, tokio: &tokio::runtime::Handle) -> Result<RunId> {
        let call: Call = ticket.request().read().map_err(|error| {
            self.broken(format!(
                "its journal holds a call of a skill that cannot be read: {error}"
            ))
        })?;
        let journal = &self.journal;
        let launch = LaunchId::of_call(&self.caller.run, ticket.number());
        if let Some(run) = journal.launched(&launch)? {
            return self.found(&journal.run(&run)?, ticket);
        }
        if let Ok(skill) = SkillName::parse(&call.skill) {
            self.granted.skill(&skill)?;
        }
        let edition = self.edition(&call.skill, tokio)?;
        let started = self.started(launch, ticket, call, &edition)?;
        let own = journal.run(&self.caller.run)?;
        let new = NewRun {
            silent: own.silent,
            ..NewRun::first(started, now(), own.caller_folder)
        };
        let run = new.started.run.clone();
        match journal.create_run(new)? {
            Created::New => {
                failpoint::hit(failpoints::CHILD_LAUNCHED);
                Ok(run)
            }
            Created::Existing(row) => self.found(&row, ticket),
        }
    }

    /// Checks that a run was launched for this very call, and not by somebody who gave it the same id.
    fn found(&self, row: &RunRow, ticket: &Ticket) -> Result<RunId> {
        let records = self.journal.records(&row.run, Seq(0), 1)?;
        let caller = match records.first().map(|record| &record.entry) {
            Some(entry::Entry::Started(started)) => started.caller.as_ref(),
            _ => None,
        };
        match caller.is_some_and(|caller| caller.run == self.caller.run && caller.number == ticket.number()) {
            true => Ok(row.run.clone()),
            false => Err(failed(format!(
                "the launch id `{}` is that of run {}, which somebody else launched",
                row.launch, row.run
            ))
            .into()),
        }
    }

    /// Looks at the skill that is called, where the caller lies.
    fn edition(&self, name: &str, tokio: &tokio::runtime::Handle) -> Result<Edition> {
        let Some(folder) = &self.caller.skills_folder else {
            return Err(failed("it is not known in which folder of skills the caller lies".to_owned()).into());
        };
        let describe = |skill: &SkillName, component: Digest, bytes: Bytes| {
            let journal = self.journal.as_ref();
            if let Some(description) = describe::kept(journal, &component)? {
                return Ok(description);
            }
            let asked = tokio.block_on(describe::ask(journal, &self.loader, component, bytes));
            asked.map_err(|error| error.for_user(skill.as_str()))
        };
        let shelf = Shelf {
            journal: &self.journal,
            skills: &Library::at(Path::new(folder)),
            digests: self.home.digests(),
            describe: &describe,
        };
        let settled = shelf.settle(name).map_err(|error| self.refused(error))?;
        Ok(settled.edition)
    }

    /// Returns what the skill's own faults answer the call with; for the host's, the attempt is over.
    fn refused(&self, error: CliError) -> Refused {
        match error.exit {
            Exit::Storage | Exit::Internal | Exit::Host => self.broken(error.sentence()).into(),
            _ => Fault::new(Fault::NOT_FOUND, error.sentence()).into(),
        }
    }

    fn broken(&self, reason: String) -> DriveError {
        DriveError::Broken {
            run: self.caller.run.clone(),
            reason,
        }
    }

    /// Makes the first entry of the run.
    fn started(&self, launch: LaunchId, ticket: &Ticket, call: Call, edition: &Edition) -> Result<Started> {
        let caller = &self.caller;
        let home = &self.home;
        let own = grants::Granted::load(home).map_err(|error| self.broken(error.sentence()))?;
        let own = own.of(&Grantee::Skill(edition.skill.clone()));
        let mut grants = own.within(&caller.grants);
        let mut mounts: Vec<Mount> = [(files::DATA, true), (files::RUN, true), (files::SKILL, false)]
            .map(|(name, writable)| Mount::own(name, writable))
            .into();
        self.check_grants(edition, &own, &grants)?;
        mounts.extend(self.folders(edition, &own, &mut grants)?);
        let mut input = call.input.clone();
        mounts.extend(self.of_input(edition, &mut input)?);
        mounts::check_all(&mounts).map_err(|error| Fault::new(Fault::INVALID, error.sentence()))?;
        let config = Config::load(&home.config()).map_err(|error| self.broken(error.sentence()))?;
        let provider = self.provider(edition)?;
        Ok(Started {
            run: super::new_run_id(),
            seed: Digest::of(format!("{} {launch}", caller.seed).as_bytes()),
            launch,
            skill: edition.skill.clone(),
            input: Payload::of(&input),
            bundle: edition.bundle,
            component: edition.component,
            zone: caller.zone.clone(),
            zone_offsets: zone::offsets_of(&caller.zone, now()),
            mounts,
            limits: self.limits(&config, ticket, &call, edition, &provider),
            provider,
            engine: limits::engine(&config.limits, EngineConfig::one_run()).profile(),
            semantics: entry::SEMANTICS,
            parent: None,
            continues: None,
            caller: Some(Caller {
                run: caller.run.clone(),
                number: ticket.number(),
                depth: caller.caller.as_ref().map_or(0, |caller| caller.depth) + 1,
                before: Cost::ZERO,
            }),
            skills_folder: caller.skills_folder.clone(),
            grants,
        })
    }

    /// Checks that both the skill and its caller were granted what it asks for, before anything is spent.
    fn check_grants(&self, edition: &Edition, own: &Grants, both: &Grants) -> Result<()> {
        let skill = &edition.skill;
        if let Some(request) = grants::missing(&edition.description, own).first() {
            return Err(denied(format!(
                "skill `{skill}` asks to {}, which was not granted: `skillhost grant {skill}` grants it",
                request.words
            )));
        }
        if let Some(request) = grants::missing(&edition.description, both).first() {
            return Err(denied(format!(
                "skill `{skill}` asks to {}, which was granted to it, but not to this run of `{}`, which calls it",
                request.words, self.caller.skill
            )));
        }
        Ok(())
    }

    /// Returns the folders that the skill asks for: those that it was granted, as far as they lie in what its caller was given.
    fn folders(&self, edition: &Edition, own: &Grants, grants: &mut Grants) -> Result<Vec<Mount>> {
        let skill = &edition.skill;
        let mut given = Vec::new();
        for request in grants::mounts_asked(&edition.description).0 {
            let Mount { name, writable, .. } = &request.mount;
            let Some(folder) = own.folder(name).filter(|folder| folder.writable || !writable) else {
                return Err(denied(format!(
                    "skill `{skill}` asks to {}: `skillhost grant {skill} {}` gives it one",
                    request.words(),
                    request.flag()
                )));
            };
            let lies_in = |mount: &&Mount| {
                let source = mount.source.as_ref().filter(|source| source.file.is_none());
                source.is_some_and(|source| Path::new(&folder.path).starts_with(&source.folder))
                    && (mount.writable || !writable)
            };
            if !self.caller.mounts.iter().any(|mount| lies_in(&mount)) {
                return Err(denied(format!(
                    "skill `{skill}` was granted the folder {}, which this run of `{}` was not given{}",
                    folder.path,
                    self.caller.skill,
                    if *writable { " to change" } else { "" }
                )));
            }
            given.push(Mount {
                name: name.clone(),
                writable: *writable,
                source: Some(Source {
                    folder: folder.path.clone(),
                    file: None,
                    given: Giving::Grant,
                }),
            });
            grants.files.push(folder.clone());
        }
        Ok(given)
    }

    /// Makes a mount of every path in the input, which is one of the caller's, and puts in its place what the skill calls it.
    fn of_input(&self, edition: &Edition, input: &mut serde_json::Value) -> Result<Vec<Mount>> {
        let bad = |error: CliError| Refused::from(Fault::new(Fault::INVALID, error.sentence()));
        let schema = input_schema(&edition.skill, &edition.description).map_err(bad)?;
        schema.check(input).map_err(|mistakes| {
            let message = format!(
                "the input does not fit skill `{}`: {}",
                edition.skill,
                mistakes.join("; ")
            );
            Fault::new(Fault::INVALID, message)
        })?;
        mounts::of_caller(input, &schema, |path| self.place(path)).map_err(bad)
    }

    /// Returns where a path of the caller's lies: the folder that its mount is, and the rest.
    fn place(&self, path: &str) -> Option<(String, String)> {
        let (name, rest) = path.split_once('/').unwrap_or((path, ""));
        let mount = self.caller.mounts.iter().find(|mount| mount.name == name)?;
        let home = &self.home;
        let folder = match &mount.source {
            Some(source) if source.file.as_deref().is_none_or(|file| file == rest) => source.folder.clone(),
            Some(_) => return None,
            None if name == files::RUN => home.run(&self.caller.run).to_str()?.to_owned(),
            None if name == files::DATA => home.data(&self.caller.skill).to_str()?.to_owned(),
            None => return None,
        };
        Some((folder, rest.to_owned()))
    }

    /// Returns the model provider of the run, which is its caller's.
    fn provider(&self, edition: &Edition) -> Result<entry::Provider> {
        let name: Name = self
            .caller
            .provider
            .name
            .parse()
            .map_err(|_| self.broken("its journal names a model provider that there is not".to_owned()))?;
        let opened = self.hub.open(name, &self.settings, edition.script.as_deref());
        let provider = opened.map_err(|source| DriveError::Provider {
            run: self.caller.run.clone(),
            source,
        })?;
        let provider = provider.describe();
        let mut missing = edition.description.needs.iter();
        match missing.find(|need| !provider.features.contains(need)) {
            None => Ok(provider),
            Some(need) => Err(failed(format!(
                "skill `{}` needs `{need}` of a model provider, which `{}` does not have",
                edition.skill, provider.name
            ))
            .into()),
        }
    }

    /// Returns what the run may hold and spend: what any run of the skill may, and of that no more than was reserved for it.
    fn limits(
        &self,
        config: &Config,
        ticket: &Ticket,
        call: &Call,
        edition: &Edition,
        provider: &entry::Provider,
    ) -> Limits {
        let (own, _) = config.limits(&edition.skill, &Asked::default());
        let reserved = ticket.reserved().unwrap_or_default();
        let callers = &self.caller.limits;
        let money = callers
            .microdollars_max
            .or(call.allowance.microdollars)
            .map(|_| reserved.microdollars);
        let least = |own: Option<u64>, most: Option<u64>| own.into_iter().chain(most).min();
        Limits {
            budget: Cost {
                calls: own.budget.calls.min(reserved.calls),
                tokens: own.budget.tokens.min(reserved.tokens),
                microdollars: own.budget.microdollars,
            },
            microdollars_max: least(own.microdollars_max, money),
            priced_only: own.priced_only || callers.priced_only,
            prices: config.prices(&provider.name),
            ..own
        }
    }
}

fn denied(message: String) -> Refused {
    Fault::new(Fault::DENIED, message).into()
}

/// A failure of the call that is not the other skill's.
fn failed(message: String) -> Fault {
    Fault::new(Fault::FAILED, message)
}
