//! Makes something that can be run of a component's bytes: checked, compiled, and kept.
//!
//! Compiling takes from milliseconds to seconds, so compiled code is kept in memory and in a folder. Start with [`Loader::load`].

mod cache;
mod check;
mod compiler;
mod error;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use skillhost_core::id::Digest;
use tokio::sync::{OnceCell, Semaphore};
use wasmtime::component::{Component, HasSelf, Linker};

use crate::bindings::{Skill, SkillPre};
use crate::describe::{self, DescribeError, DescribeLimits, Description};
use crate::engine::Engine;
use crate::guest::source::KeptLines;
use crate::guest::state::State;
use crate::guest::{Guest, GuestStart, Reread};
use cache::Cache;
pub use compiler::{CompilerProgram, main as compile_main};
pub use error::{LoadError, Misfit};

/// The largest component that is loaded.
pub const COMPONENT_BYTES_MAX: u64 = 64 << 20;
/// How many components are kept in memory although nobody uses them.
const KEPT_MAX: usize = 64;

/// How components are loaded.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// The folder that compiled code is kept in, for nobody else to read or write; none keeps it in memory only.
    pub cache: Option<PathBuf>,
    /// How many components are compiled at once. One takes every core already.
    pub compile_max: usize,
    /// What compiles; this process itself, without an end, if there is none.
    pub compiler: Option<CompilerProgram>,
    /// What `describe` may take.
    pub describe: DescribeLimits,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            cache: None,
            compile_max: 2,
            compiler: None,
            describe: DescribeLimits::default(),
        }
    }
}

/// Loads components, each once. Cheap to clone.
#[derive(Clone)]
pub struct Loader(Arc<Inner>);

struct Inner {
    engine: Engine,
    linker: Linker<State>,
    cache: Option<Cache>,
    compiling: Semaphore,
    compiler: Option<CompilerProgram>,
    describe: Arc<DescribeLimits>,
    kept: Mutex<HashMap<Digest, Kept>>,
    /// Compiles what this loader's compiler cannot.
    instead: OnceLock<Option<Loader>>,
}

/// A component in memory; whoever asks first loads it, and the others wait for that.
type Kept = Arc<OnceCell<Arc<Loaded>>>;

impl Loader {
    /// Makes a loader.
    ///
    /// A cache folder that cannot be used is no error: compiled code is then kept in memory only, and a warning says so.
    ///
    /// # Errors
    /// If the interfaces of the world cannot be put together, which is a bug.
    pub fn new(engine: &Engine, config: &LoaderConfig) -> Result<Self, LoadError> {
        let cache = config.cache.as_ref().and_then(|folder| Cache::open(folder, engine));
        Ok(Self(Arc::new(Inner {
            engine: engine.clone(),
            linker: linker(engine).map_err(|error| LoadError::Compiler {
                reason: format!("{error:#}"),
            })?,
            cache,
            compiling: Semaphore::new(config.compile_max.max(1)),
            compiler: config.compiler.clone(),
            describe: Arc::new(config.describe.clone()),
            kept: Mutex::default(),
            instead: OnceLock::new(),
        })))
    }

    /// Returns the engine that components are loaded for.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Loads a component of which only the digest is known. `bytes` is asked for, on a thread that may block, only if the component is neither in memory nor
    /// in the cache.
    ///
    /// This may take seconds when it compiles; whoever has someone waiting can say so when it is not ready after one.
    pub async fn load<F>(&self, digest: Digest, bytes: F) -> Result<Arc<Loaded>, LoadError>
    where
        F: FnOnce() -> io::Result<Vec<u8>> + Send + 'static,
    {
        let kept = self.kept(digest);
        let loaded = kept
            .get_or_try_init(|| async {
                if self.0.cache.is_some() {
                    let inner = Arc::clone(&self.0);
                    let cached = blocking(move || Ok(inner.cached(digest))).await?;
                    if let Some(loaded) = cached {
                        return Ok(loaded);
                    }
                }
                self.compile(digest, bytes).await
            })
            .await?;
        Ok(Arc::clone(loaded))
    }

    /// Loads a component.
    pub async fn load_bytes(&self, bytes: Vec<u8>) -> Result<Arc<Loaded>, LoadError> {
        let digest = Digest::of(&bytes);
        self.load(digest, move || Ok(bytes)).await
    }

    async fn compile<F>(&self, digest: Digest, bytes: F) -> Result<Arc<Loaded>, LoadError>
    where
        F: FnOnce() -> io::Result<Vec<u8>> + Send + 'static,
    {
        let _turn = self.0.compiling.acquire().await.map_err(|_| LoadError::Compiler {
            reason: "the loader is closed".to_owned(),
        })?;
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let bytes = bytes().map_err(LoadError::Read)?;
            inner.compile(digest, &bytes)
        })
        .await
    }

    fn kept(&self, digest: Digest) -> Kept {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX && !kept.contains_key(&digest) {
            kept.retain(|_, cell| {
                let unused = cell.get().is_some_and(|loaded| Arc::strong_count(loaded) == 1);
                let idle = cell.get().is_none() && Arc::strong_count(cell) == 1;
                !unused && !idle
            });
        }
        Arc::clone(kept.entry(digest).or_default())
    }
}

impl Inner {
    fn cached(&self, digest: Digest) -> Option<Arc<Loaded>> {
        let began = Instant::now();
        let cache = self.cache.as_ref()?;
        let component = cache.get(&self.engine, digest)?;
        match self.finish(digest, component, Origin::Cache { took: began.elapsed() }) {
            Ok(loaded) => Some(loaded),
            Err(error) => {
                // It was checked before it was kept, so what is there is not what was put there.
                tracing::warn!(%digest, %error, "compiled code in the cache cannot be used and is made anew");
                cache.remove(digest);
                None
            }
        }
    }

    fn compile(&self, digest: Digest, bytes: &[u8]) -> Result<Arc<Loaded>, LoadError> {
        let began = Instant::now();
        check::bytes(bytes)?;
        let found = Digest::of(bytes);
        if found != digest {
            return Err(LoadError::WrongDigest {
                expected: digest.to_string(),
                found: found.to_string(),
            });
        }
        tracing::info!(%digest, bytes = bytes.len(), "compiling a component");
        let component = match compiler::compile(&self.engine, self.compiler.as_ref(), bytes) {
            Ok(component) => component,
            // What took it too long, another would not do sooner.
            Err(error @ (LoadError::TooLong { .. } | LoadError::TooMuch { .. })) => return Err(error),
            Err(error) => {
                let instead = self.instead().ok_or(error)?;
                return instead.0.compile(digest, bytes);
            }
        };
        check::types(&self.engine, &component)?;
        let took = began.elapsed();
        let loaded = self.finish(digest, component, Origin::Compiled { took })?;
        if let Some(cache) = &self.cache {
            cache.put(digest, &loaded.component);
        }
        tracing::info!(%digest, took_ms = took.as_millis(), "compiled a component");
        Ok(loaded)
    }

    /// Returns what compiles a component that this loader's compiler cannot; what neither can is at fault itself.
    fn instead(&self) -> Option<&Loader> {
        let make = || {
            let engine = self.engine.instead()?;
            let config = LoaderConfig {
                compiler: self.compiler.clone(),
                describe: DescribeLimits::clone(&self.describe),
                ..LoaderConfig::default()
            };
            Loader::new(&engine, &config).ok()
        };
        self.instead.get_or_init(make).as_ref()
    }

    fn finish(&self, digest: Digest, component: Component, origin: Origin) -> Result<Arc<Loaded>, LoadError> {
        let pre = self
            .linker
            .instantiate_pre(&component)
            .map_err(|error| check::unfit(&error))?;
        let pre = SkillPre::new(pre).map_err(|error| check::unfit(&error))?;
        Ok(Arc::new(Loaded {
            digest,
            engine: self.engine.clone(),
            component,
            pre,
            origin,
            describe: Arc::clone(&self.describe),
            description: OnceCell::new(),
            lines: KeptLines::default(),
        }))
    }
}

/// A component that is ready to run.
pub struct Loaded {
    digest: Digest,
    engine: Engine,
    component: Component,
    pre: SkillPre<State>,
    origin: Origin,
    describe: Arc<DescribeLimits>,
    description: OnceCell<Description>,
    lines: KeptLines,
}

/// Where compiled code came from, and how long that took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the folder that it is kept in.
    Cache {
        /// How long reading, verifying and linking took.
        took: Duration,
    },
    /// From the compiler.
    Compiled {
        /// How long compiling took.
        took: Duration,
    },
}

impl Loaded {
    /// Returns the component's digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the name of the configuration that it is run under, as far as a guest may notice it.
    pub fn profile(&self) -> &str {
        self.engine.profile()
    }

    /// Returns where its code came from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Returns the interfaces that the component imports, as it names them; those of types alone are not among them.
    pub fn imports(&self) -> Vec<String> {
        check::imports(&self.engine, &self.component)
    }

    /// Returns what reads the component again, by this function, for the line tables. All runs of it share them.
    pub fn reread(&self, read: impl Fn() -> Option<Vec<u8>> + Send + Sync + 'static) -> Reread {
        Reread::shared(&self.lines, read)
    }

    /// Makes a guest, which has not run yet.
    pub fn guest(&self, start: GuestStart) -> Guest {
        Guest::new(&self.engine, &self.pre, start)
    }

    /// Returns what the skill says of itself; it is asked once.
    pub async fn describe(&self) -> Result<&Description, DescribeError> {
        self.description
            .get_or_try_init(|| describe::describe(&self.engine, &self.pre, &self.describe))
            .await
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("digest", &self.digest)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("engine", &self.0.engine)
            .finish_non_exhaustive()
    }
}

/// Everything that a guest may import.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine.wasmtime());
    crate::wasi::add_to_linker(&mut linker)?;
    Skill::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    #[cfg(feature = "test-capability")]
    crate::test_bindings::skillhost::test::acts::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// Runs something that takes its time where it holds up nothing else.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(LoadError::Compiler {
            reason: error.to_string(),
        }),
    }
}
