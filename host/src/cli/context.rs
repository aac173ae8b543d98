//! What commands share: where things are, what is configured, and what has to be opened before something can be done.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use skillhost_core::id::{Digest, RunId};
use skillhost_effects::model::Settings;
use skillhost_journal::{Journal, RunRow, SqliteJournal};
use skillhost_runtime::{Description, Engine, EngineConfig, Loaded, Loader, LoaderConfig};

use super::args::Global;
use super::report::path_for_people;
use crate::config::Config;
use crate::driver::{self, Worker};
use crate::env::Environment;
use crate::error::{CliError, REPORT, Result};
use crate::exit::Exit;
use crate::home::Home;
use crate::inbox_file;
use crate::skills::Library;
use crate::terminal::{self, Terminal};

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
    pub(super) library: Library,
    pub(super) zone: TimeZone,
}

impl Context {
    pub(super) fn new(global: &Global, environment: Environment, terminal: Terminal) -> Result<Self> {
        Ok(Self {
            home: Home::find(&environment)?,
            library: Library::find(global.skills_dir.as_deref(), &environment)?,
            zone: TimeZone::system(),
            json: global.json,
            environment,
            terminal,
        })
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
        Settings::new(config.model.clone(), self.environment.model.clone())
    }

    /// Opens what is needed to load and drive runs.
    pub(super) fn session(&self, journal: Arc<dyn Journal>) -> Result<Session<'_>> {
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .build();
        let tokio =
            tokio.map_err(|e| CliError::new(Exit::Host, "no_threads", "could not start threads").caused_by(&e))?;
        let engine = Engine::new(&EngineConfig::one_run());
        let engine = engine.map_err(|e| CliError::of(Exit::Internal, "internal", &e).hint(REPORT))?;
        let config = LoaderConfig {
            cache: Some(self.home.compiled()),
            ..LoaderConfig::default()
        };
        let loader =
            Loader::new(&engine, &config).map_err(|e| CliError::of(Exit::Internal, "internal", &e).hint(REPORT))?;
        let worker = Worker::open(&self.home, journal, loader)?;
        Ok(Session {
            context: self,
            worker,
            tokio,
        })
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

/// What is needed to load and drive runs.
pub(super) struct Session<'a> {
    pub(super) context: &'a Context,
    pub(super) worker: Worker,
    pub(super) tokio: tokio::runtime::Runtime,
}

impl Session<'_> {
    /// Returns what a component says of itself: from the journal, or by asking it.
    pub(super) fn describe(
        &self,
        name: &str,
        component: Digest,
        bytes: impl FnOnce() -> std::io::Result<Vec<u8>> + Send + 'static,
    ) -> Result<Description> {
        let journal = self.worker.journal();
        // One that was kept in a form that is no longer understood is asked again.
        let kept = journal
            .description(&component)?
            .and_then(|text| serde_json::from_str(&text).ok());
        if let Some(description) = kept {
            return Ok(description);
        }
        let loaded = self.load(name, component, bytes)?;
        let description = self.tokio.block_on(loaded.describe()).map_err(|e| {
            CliError::of(Exit::Unsupported, "bad_description", &e).hint("rebuild the skill, or tell its author")
        })?;
        let text = serde_json::to_string(description).expect("a description serialises");
        journal.put_description(&component, driver::now(), &text)?;
        Ok(description.clone())
    }

    fn load(
        &self,
        name: &str,
        component: Digest,
        bytes: impl FnOnce() -> std::io::Result<Vec<u8>> + Send + 'static,
    ) -> Result<Arc<Loaded>> {
        let loading = async {
            let mut loading = std::pin::pin!(self.worker.loader().load(component, bytes));
            tokio::select! {
                biased;
                loaded = &mut loading => return loaded,
                () = tokio::time::sleep(COMPILING_SILENT), if self.context.terminal.stderr => {}
            }
            terminal::note(&format!(
                "compiling skill `{name}`, which takes a while the first time ..."
            ));
            loading.await
        };
        self.tokio.block_on(loading).map_err(|e| {
            let exit = if e.may_pass() { Exit::Host } else { Exit::Unsupported };
            let message = format!("skill `{name}` does not load");
            CliError::new(exit, "does_not_load", message)
                .caused_by(&e)
                .hint("`skillhost skills` shows what is installed and what is wrong with it")
        })
    }
}

/// Returns the folder of a run if it holds anything.
pub(super) fn run_folder(context: &Context, run: &RunId) -> Option<String> {
    let folder = context.home.run(run);
    folder.is_dir().then(|| context.path(&folder))
}
