//! Follows folders of skills while the daemon lives: what changes there is looked at, loaded and kept before anybody launches it (`installed`), and told to whoever follows.
//!
//! One task owns all of it, so that of a skill only one version is loaded at a time. That something changed is a hint: the task looks for itself. It does not keep
//! the daemon alive; what changes while none lives is seen by the next, and by every launch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skillhost_core::id::{Digest, SkillName};
use skillhost_journal::{Journal, Problem};
use skillhost_runtime::Loader;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;

use super::lock;
use crate::bundle::takes_folder;
use crate::describe;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::Home;
use crate::installed::{self, Bytes, Instead, Settled, Shelf};
use crate::skills::{self, Library};
use crate::watch_files::{Changes, Tree, Watch};

/// The most folders of skills that one daemon follows.
const LIBRARIES_MAX: usize = 8;

/// How many requests to follow a folder may wait.
const REQUESTS_MAX: usize = 16;

/// How many changes are kept for whoever follows and is slow; who misses some is told everything anew.
const SIGHTS_KEPT: usize = 1_024;

/// What cannot be used is told if it is still so after this time: it may be half written.
const HALF_WRITTEN_MAX: Duration = Duration::from_millis(500);

/// After an error that is not the skill's, how long until it is looked at again.
const AFTER_ERROR: Duration = Duration::from_secs(5);

/// How an installed skill stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkillState {
    /// What lies there is used by the next run.
    Sound {
        /// Its bundle.
        bundle: Digest,
    },
    /// What lies there cannot be used.
    Broken {
        /// Why not.
        problem: Problem,
        /// The bundle that is used instead, if there is one.
        used: Option<Digest>,
    },
}

/// What was seen of a skill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkillSight {
    /// Its name.
    pub skill: String,
    /// How it stands now; absent if it is gone.
    pub state: Option<SkillState>,
}

/// Every skill of a folder, by name.
pub type SkillStates = BTreeMap<String, SkillState>;

/// What the daemon's tasks share of it.
pub(super) struct Librarian {
    journal: Arc<dyn Journal>,
    loader: Loader,
    /// The folder of what is known of files that did not change.
    digests: PathBuf,
    requests: mpsc::Sender<Ask>,
    /// The daemon's own folder of skills first.
    followed: Mutex<Vec<Followed>>,
    polls: Mutex<Option<String>>,
}

struct Followed {
    skills: Library,
    /// Whether all of it was looked at.
    is_known: bool,
    states: SkillStates,
    told: broadcast::Sender<SkillSight>,
}

/// Somebody wants a folder to be followed, and waits until it was looked at.
struct Ask {
    skills: Library,
    known: oneshot::Sender<()>,
}

/// The task that looks.
pub(super) struct Tending {
    librarian: Arc<Librarian>,
    requests: mpsc::Receiver<Ask>,
    watch: Watch,
    /// What is looked at again although nothing may change, and when.
    again: BTreeMap<(PathBuf, String), Instant>,
    ending: Arc<AtomicBool>,
}

impl Followed {
    fn new(library: &Library) -> Self {
        Self {
            skills: library.clone(),
            is_known: false,
            states: SkillStates::new(),
            told: broadcast::Sender::new(SIGHTS_KEPT),
        }
    }
}

impl Librarian {
    /// Makes one, and the task that does its work ([`Tending::tend`]).
    pub(super) fn new(journal: Arc<dyn Journal>, loader: Loader, home: &Home, own: &Library) -> (Arc<Self>, Tending) {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let librarian = Arc::new(Self {
            journal,
            loader,
            digests: home.digests(),
            requests: sender,
            followed: Mutex::new(vec![Followed::new(own)]),
            polls: Mutex::default(),
        });
        let tending = Tending {
            librarian: Arc::clone(&librarian),
            requests,
            watch: Watch::begin(Vec::new()),
            again: BTreeMap::new(),
            ending: Arc::default(),
        };
        (librarian, tending)
    }

    /// Follows a folder of skills. Returns how they stand, and what changes from then on; `None` if there are too many folders, or the daemon is ending.
    pub(super) async fn follow(&self, root: &Path) -> Option<(SkillStates, broadcast::Receiver<SkillSight>)> {
        if self.look_up(root).is_none() {
            let (known, waits) = oneshot::channel();
            let library = Library::at(root);
            self.requests.send(Ask { skills: library, known }).await.ok()?;
            waits.await.ok()?;
        }
        self.look_up(root)
    }

    /// Returns how the skills of a folder stand that is followed and was looked at already.
    pub(super) fn look_up(&self, root: &Path) -> Option<(SkillStates, broadcast::Receiver<SkillSight>)> {
        let followed = lock(&self.followed);
        let found = followed.iter().find(|followed| followed.skills.root() == root);
        let found = found.filter(|found| found.is_known)?;
        // Subscribed under the lock under which it is told: nothing falls in between.
        Some((found.states.clone(), found.told.subscribe()))
    }

    /// Returns how the skills in the daemon's own folder stand, as far as they were looked at.
    pub(super) fn own(&self) -> (PathBuf, SkillStates) {
        let followed = lock(&self.followed);
        let own = followed.first().expect("its own folder is there from the beginning");
        (own.skills.root().to_owned(), own.states.clone())
    }

    /// Returns why folders are looked at again and again, if the system does not tell of changes.
    pub(super) fn polls(&self) -> Option<String> {
        lock(&self.polls).clone()
    }

    /// Takes down how a skill stands, and tells whoever follows. `false` if it stood so before.
    fn note(&self, library: &Library, skill: &str, state: Option<SkillState>) -> bool {
        let mut followed = lock(&self.followed);
        let Some(found) = followed.iter_mut().find(|found| found.skills.root() == library.root()) else {
            return false;
        };
        if found.states.get(skill) == state.as_ref() {
            return false;
        }
        match state.clone() {
            Some(state) => found.states.insert(skill.to_owned(), state),
            None => found.states.remove(skill),
        };
        let skill = skill.to_owned();
        // Nobody may be following.
        found.told.send(SkillSight { skill, state }).ok();
        true
    }

    fn stands(&self, library: &Library, skill: &str) -> Option<SkillState> {
        let followed = lock(&self.followed);
        let found = followed.iter().find(|found| found.skills.root() == library.root())?;
        found.states.get(skill).cloned()
    }
}

impl Drop for Tending {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
    }
}

impl Tending {
    /// Follows the daemon's own folder of skills, and those that somebody asks for, for ever.
    pub(super) async fn tend(mut self, own: Library) {
        self.begin(own).await;
        loop {
            let next = self.again.values().min().copied();
            tokio::select! {
                Some(ask) = self.requests.recv() => {
                    self.follow(ask.skills).await;
                    // Whoever asked may be gone.
                    ask.known.send(()).ok();
                }
                changes = self.watch.changed() => self.changed(changes).await,
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    self.look_again().await;
                }
            }
            *lock(&self.librarian.polls) = self.watch.polls().map(str::to_owned);
        }
    }

    async fn follow(&mut self, library: Library) {
        {
            let mut followed = lock(&self.librarian.followed);
            let is_known = followed.iter().any(|known| known.skills.root() == library.root());
            if is_known || followed.len() == LIBRARIES_MAX {
                return;
            }
            followed.push(Followed::new(&library));
        }
        self.begin(library).await;
    }

    /// Looks at all that is in a folder, and watches it from then on.
    async fn begin(&mut self, library: Library) {
        // Before the look: what changes after it is told.
        self.watch.add(tree(&library));
        for name in self.names(&library).await {
            self.look(&library, &name, true).await;
        }
        let mut followed = lock(&self.librarian.followed);
        let found = followed.iter_mut().find(|found| found.skills.root() == library.root());
        found.expect("it was put there above").is_known = true;
    }

    async fn changed(&mut self, changes: Changes) {
        let libraries: Vec<Library> = {
            let followed = lock(&self.librarian.followed);
            followed.iter().map(|followed| followed.skills.clone()).collect()
        };
        for library in libraries {
            let mut named = std::collections::BTreeSet::new();
            let mut all = changes.anything;
            for path in &changes.paths {
                let Ok(relative) = path.strip_prefix(library.root()) else {
                    continue;
                };
                match relative.components().next() {
                    Some(first) => named.extend(first.as_os_str().to_str().map(str::to_owned)),
                    None => all = true,
                }
            }
            if all {
                named.extend(self.names(&library).await);
            }
            for name in named {
                self.look(&library, &name, false).await;
            }
        }
    }

    async fn look_again(&mut self) {
        let now = Instant::now();
        let due = self.again.iter().filter(|(_, at)| **at <= now);
        let due: Vec<_> = due.map(|(key, _)| key.clone()).collect();
        for (root, name) in due {
            self.again.remove(&(root.clone(), name.clone()));
            self.look(&Library::at(&root), &name, true).await;
        }
    }

    /// Returns the names of all skills that are there, or were.
    async fn names(&self, library: &Library) -> Vec<String> {
        let mut names: Vec<String> = {
            let followed = lock(&self.librarian.followed);
            let found = followed.iter().find(|found| found.skills.root() == library.root());
            found
                .into_iter()
                .flat_map(|found| found.states.keys().cloned())
                .collect()
        };
        match self.at_shelf(library, |shelf| shelf.names()).await {
            Ok(found) => names.extend(found),
            Err(error) => tracing::error!("could not look for skills: {error}"),
        }
        names.sort();
        names.dedup();
        names
    }

    /// Looks at a skill. With `tells`, what cannot be used is told at once.
    async fn look(&mut self, library: &Library, name: &str, tells: bool) {
        let key = (library.root().to_owned(), name.to_owned());
        self.again.remove(&key);
        let looked = {
            let name = name.to_owned();
            self.at_shelf(library, move |shelf| shelf.settle(&name)).await
        };
        let state = match looked {
            Ok(Settled { edition, instead: None }) => Some(SkillState::Sound { bundle: edition.bundle }),
            Ok(Settled {
                edition,
                instead: Some(Instead { problem, .. }),
            }) => Some(SkillState::Broken {
                problem,
                used: Some(edition.bundle),
            }),
            Err(error) if error.code == skills::UNKNOWN => None,
            Err(error) if installed::is_of_the_skill(&error) => Some(SkillState::Broken {
                problem: installed::problem(&error),
                used: None,
            }),
            Err(error) => {
                tracing::error!("could not look at skill `{name}`: {error}");
                self.again.insert(key, Instant::now() + AFTER_ERROR);
                return;
            }
        };
        let is_news = self.librarian.stands(library, name) != state;
        if is_news && !tells && matches!(state, Some(SkillState::Broken { .. })) {
            self.again.insert(key, Instant::now() + HALF_WRITTEN_MAX);
            return;
        }
        log(name, state.as_ref(), is_news);
        self.librarian.note(library, name, state);
    }

    /// Works with a folder of skills on a thread that may wait for the disk and the compiler.
    async fn at_shelf<T: Send + 'static>(
        &self,
        library: &Library,
        work: impl FnOnce(&Shelf<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (librarian, library) = (Arc::clone(&self.librarian), library.clone());
        let (tokio, ending) = (tokio::runtime::Handle::current(), Arc::clone(&self.ending));
        let working = tokio::task::spawn_blocking(move || {
            let describe = |skill: &SkillName, component: Digest, bytes: Bytes| {
                let journal = librarian.journal.as_ref();
                if let Some(description) = describe::kept(journal, &component)? {
                    return Ok(description);
                }
                let asked = tokio.block_on(describe::ask(journal, &librarian.loader, component, bytes));
                match ending.load(Ordering::SeqCst) {
                    // What fails while everything ends is nothing to be remembered.
                    true => Err(broken_off("the daemon is ending")),
                    false => asked.map_err(|error| error.for_user(skill.as_str())),
                }
            };
            work(&Shelf {
                journal: &librarian.journal,
                skills: &library,
                digests: librarian.digests.clone(),
                describe: &describe,
            })
        });
        working
            .await
            .unwrap_or_else(|error| Err(broken_off(&error.to_string())))
    }
}

fn broken_off(why: &str) -> CliError {
    CliError::new(Exit::Internal, "internal", format!("looking was broken off: {why}"))
}

/// Returns what is watched of a folder of skills: its skills' folders, and what belongs to the bundle of those that hold a component.
fn tree(library: &Library) -> Tree {
    let root = library.root().to_owned();
    Tree::entering(library.root(), move |path| {
        let mut parts = path.components();
        let (skill, below) = (parts.next(), parts.as_path());
        below.as_os_str().is_empty()
            || takes_folder(below) && skill.is_some_and(|skill| skills::holds_component(&root.join(skill)))
    })
}

fn log(name: &str, state: Option<&SkillState>, is_news: bool) {
    match state {
        _ if !is_news => {}
        None => tracing::info!("skill `{name}` is gone"),
        Some(SkillState::Sound { bundle }) => {
            tracing::info!("skill `{name}` is installed as bundle {}", bundle.short())
        }
        Some(SkillState::Broken { problem, used: None }) => {
            tracing::warn!("skill `{name}` cannot be launched: {}", problem.message);
        }
        Some(SkillState::Broken {
            problem,
            used: Some(used),
        }) => tracing::warn!(
            "skill `{name}` cannot be used as it is, and bundle {} is used instead: {}",
            used.short(),
            problem.message
        ),
    }
}
