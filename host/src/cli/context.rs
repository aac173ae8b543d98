//! What commands share: where things are, what is configured, and what has to be opened before something can be done.

use std::cell::OnceCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use skillhost_core::id::{Digest, RunId};
use skillhost_effects::model::{Hub, Settings};
use skillhost_journal::{Journal, RunRow, SqliteJournal};
use skillhost_runtime::{Compiler, Description, Engine, EngineConfig, Loader};

use super::args::Global;
use super::report::path_for_people;
use crate::config::Config;
use crate::driver::{self, Worker};
use crate::env::Environment;
use crate::error::{CliError, REPORT, Result};
use crate::exit::Exit;
use crate::home::Home;
use crate::inbox_file;
use crate::installed::{Describe, Edition, Instead, Shelf};
use crate::mounts::Ground;
use crate::skills::Library;
use crate::terminal::{self, Terminal};
use crate::{daemon, describe, descriptors, limits, zone};

/// A component that takes longer than this to compile is announced.
const COMPILING_SILENT: Duration = Duration::from_secs(1);

/// The threads that drive: one for the guest, one for what happens beside it.
const THREADS: usize = 2;

/// What commands share.
pub(super) struct Context {
    pub(super) environment: Environment,
    pub(super) terminal: Terminal,
    pub(super) json: bool,
    pub(super) home: Home,
    pub(super) installed: Library,
    pub(super) zone: TimeZone,
}

impl Context {
    pub(super) fn new(global: &Global, environment: Environment, terminal: Terminal) -> Result<Self> {
        Ok(Self {
            home: Home::find(&environment)?,
            installed: Library::find(global.skills_dir.as_deref(), &environment)?,
            zone: zone::of_user(),
            json: global.json,
            environment,
            terminal,
        })
    }

    /// Returns the same with another state folder.
    pub(super) fn apart(&self, home: Home) -> Self {
        Self {
            environment: self.environment.clone(),
            terminal: self.terminal,
            json: self.json,
            home,
            installed: self.installed.clone(),
            zone: self.zone.clone(),
        }
    }

    /// Opens the journal, and makes it if it is not there.
    pub(super) fn journal(&self) -> Result<Arc<dyn Journal>> {
        Ok(Arc::new(self.database()?))
    }

    /// The same, as the database that it is.
    pub(super) fn database(&self) -> Result<SqliteJournal> {
        self.home.make()?;
        Ok(SqliteJournal::open(&self.home.journal())?)
    }

    /// Reads the user's configuration.
    pub(super) fn config(&self) -> Result<Config> {
        Config::load(&self.home.config())
    }

    /// Returns what chooses and reaches a model provider.
    pub(super) fn settings(&self, config: &Config) -> Settings {
        Settings::new(config.model.clone(), self.environment.model.clone()).with_keys(self.home.keys())
    }

    /// Begins to work with runs; what it takes to load components is opened when that is needed.
    pub(super) fn session(&self, journal: Arc<dyn Journal>) -> Session<'_> {
        Session {
            context: self,
            journal,
            hub: Hub::new(),
            engine: EngineConfig::one_run(),
            loading: OnceCell::new(),
        }
    }

    /// Runs what talks to the daemon to its end.
    pub(super) fn talk<T>(&self, talk: impl Future<Output = Result<T>>) -> Result<T> {
        let build = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        let tokio = descriptors::ensure().and_then(|()| build());
        tokio.map_err(|e| no_threads(&e))?.block_on(talk)
    }

    /// Sees to it that what was interrupted goes on. A command that only looks does not fail for it, and waits for nothing.
    pub(super) fn revive(&self) {
        if self.home.journal().exists()
            && let Ok(journal) = self.journal()
        {
            daemon::revive(&self.home, journal.as_ref()).ok();
        }
    }

    /// Returns the run that a word names.
    pub(super) fn find(&self, journal: &dyn Journal, text: &str) -> Result<RunRow> {
        let run = journal.find_run(text)?;
        Ok(journal.run(&run)?)
    }

    /// Brings `INBOX.md` up to date. That it cannot be written is told, and fails nothing.
    pub(super) fn refresh_inbox(&self, journal: &dyn Journal) {
        if let Err(error) = inbox_file::refresh(&self.home, journal, &self.zone) {
            terminal::note(&format!("warning: {error}"));
        }
    }

    /// Returns where paths that were typed are looked for.
    pub(super) fn ground(&self) -> Ground<'_> {
        Ground {
            caller_folder: self.environment.caller_folder.as_deref(),
            user_folder: self.environment.user_folder.as_deref(),
            home: &self.home,
            skills: self.installed.root(),
        }
    }

    /// Returns whether a person is at a terminal, and sees what is asked.
    pub(super) fn is_attended(&self) -> bool {
        self.terminal.stdin && self.terminal.stderr && !self.json
    }

    /// Returns how a path is shown.
    pub(super) fn path(&self, path: &Path) -> String {
        path_for_people(path, self.environment.user_folder.as_deref())
    }

    /// Returns how long ago something was, as a person says it.
    pub(super) fn ago(&self, at: skillhost_core::time::Timestamp) -> String {
        let ago = driver::now().since(at);
        match ago.as_secs() {
            0..60 => format!("{} s ago", ago.as_secs()),
            60..3_600 => format!("{} min ago", ago.as_secs() / 60),
            3_600..86_400 => format!("{} h ago", ago.as_secs() / 3_600),
            _ => inbox_file::moment(at, &self.zone),
        }
    }
}

/// What a command needs to work with runs.
pub(super) struct Session<'a> {
    pub(super) context: &'a Context,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) hub: Hub,
    engine: EngineConfig,
    loading: OnceCell<Loading>,
}

/// What it takes to load components and to run them.
pub(super) struct Loading {
    pub(super) loader: Loader,
    pub(super) tokio: tokio::runtime::Runtime,
}

impl Session<'_> {
    /// Compiles soon rather than well, for a skill that is being written.
    pub(super) fn in_development(mut self) -> Self {
        self.engine = EngineConfig::development();
        self
    }

    /// Opens what it takes to load components.
    pub(super) fn loading(&self) -> Result<&Loading> {
        if let Some(loading) = self.loading.get() {
            return Ok(loading);
        }
        let build = || {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(THREADS)
                .enable_all()
                .build()
        };
        let tokio = descriptors::ensure().and_then(|()| build());
        let tokio = tokio.map_err(|e| no_threads(&e))?;
        let limits = self.context.config()?.limits;
        let engine = Engine::new(&limits::engine(&limits, self.engine.clone()));
        let engine = engine.map_err(|e| CliError::of(Exit::Internal, "internal", &e).hint(REPORT))?;
        // What is compiled anew after every save is not worth a place on the disk.
        let in_development = self.engine.compiler != Compiler::Thorough;
        let cache = (!in_development).then(|| self.context.home.compiled());
        let mut config = limits::loader(&limits, cache);
        if in_development {
            // What an author has built himself is compiled in this process: a moment sooner.
            config.compiler = None;
        }
        let loader =
            Loader::new(&engine, &config).map_err(|e| CliError::of(Exit::Internal, "internal", &e).hint(REPORT))?;
        Ok(self.loading.get_or_init(|| Loading { loader, tokio }))
    }

    /// Becomes a worker, which drives runs in this process.
    pub(super) fn worker(&self) -> Result<Worker> {
        let loader = self.loading()?.loader.clone();
        Ok(Worker::open(&self.context.home, Arc::clone(&self.journal), loader)?)
    }

    /// Runs something that may compile a component to its end, and says so if it takes its time and somebody watches.
    pub(super) fn patiently<T>(&self, name: &str, work: impl Future<Output = T>) -> Result<T> {
        let working = async {
            let mut work = std::pin::pin!(work);
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(COMPILING_SILENT), if self.context.terminal.stderr => {}
            }
            terminal::note(&format!(
                "compiling skill `{name}`, which takes a while the first time ..."
            ));
            work.await
        };
        Ok(self.loading()?.tokio.block_on(working))
    }

    /// Returns what a component says of itself: from the journal, or by asking it.
    pub(super) fn describe(
        &self,
        name: &str,
        component: Digest,
        bytes: impl FnOnce() -> std::io::Result<Vec<u8>> + Send + 'static,
    ) -> Result<Description> {
        if let Some(description) = describe::kept(self.journal.as_ref(), &component)? {
            return Ok(description);
        }
        let asking = describe::ask(self.journal.as_ref(), &self.loading()?.loader, component, bytes);
        self.patiently(name, asking)?.map_err(|error| error.for_user(name))
    }

    /// Looks at an installed skill, and returns what a run of it begins on. If that is not what lies in its folder, that is told.
    pub(super) fn settle(&self, name: &str) -> Result<Edition> {
        let settled = self
            .shelf(&|skill, component, bytes| self.describe(skill.as_str(), component, bytes))
            .settle(name)?;
        if let Some(Instead { problem, since }) = &settled.instead {
            terminal::note(&format!(
                "note: what lies in the folder of skill `{name}` cannot be used: {}\nnote: what was installed {} is used instead\nhint: {}",
                problem.message,
                self.context.ago(*since),
                problem.hint
            ));
        }
        Ok(settled.edition)
    }

    /// Looks at installed skills.
    pub(super) fn shelf<'a>(&'a self, describe: &'a Describe<'a>) -> Shelf<'a> {
        Shelf {
            journal: &self.journal,
            skills: &self.context.installed,
            digests: self.context.home.digests(),
            describe,
        }
    }
}

fn no_threads(error: &std::io::Error) -> CliError {
    CliError::new(Exit::Host, "no_threads", "could not start threads")
        .caused_by(error)
        .hint("`ulimit -u` and `ulimit -n` show how many threads and open files it may have")
}

/// Returns the folder of a run if it holds anything.
pub(super) fn run_folder(context: &Context, run: &RunId) -> Option<String> {
    let folder = context.home.run(run);
    folder.is_dir().then(|| context.path(&folder))
}
