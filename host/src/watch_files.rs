//! Watches folders, and says after a quiet time which paths changed.
//!
//! What the system tells is a hint: names may be missing, come twice, or come too late to be true. So whoever is told looks for himself, compares, and acts on
//! what he sees. Only folders are watched, one by one, and only those that are entered ([`Tree`]); a folder that appears, moves or is replaced is followed. Where
//! the system does not give enough watches, the folders are looked at once a second instead ([`Watch::polls`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long nothing has to change before it is told that something did: editors and compilers write in several steps.
pub const QUIET: Duration = Duration::from_millis(50);

/// Where something changes all the time, it is told after so long.
pub const LATEST: Duration = Duration::from_secs(1);

/// How often is looked where the system does not tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often it is seen to that the watched folders are still where they were: of a folder above them that is moved, nothing tells.
const ARRANGE_EVERY: Duration = Duration::from_secs(5);

/// The most folders that are watched. With more, they are looked at instead.
pub const FOLDERS_MAX: usize = 8_192;

/// The most things that are looked at, where the system does not tell. Changes of what is beyond go unnoticed.
const ENTRIES_MAX: usize = 50_000;

/// The most paths that are remembered until they are told. With more, only that something changed.
const PATHS_MAX: usize = 10_000;

/// How deep folders are entered.
const DEPTH_MAX: usize = 32;

/// Decides whether a folder is entered, by its path relative to the root.
type Enters = Box<dyn Fn(&Path) -> bool + Send + Sync>;

/// A folder that is watched with folders in it. It need not be there yet. What begins with a dot is passed over, as editors leave such files.
pub struct Tree {
    root: PathBuf,
    enters: Enters,
}

impl Tree {
    /// Watches a folder and everything in it, but for folders of these names.
    pub fn all_but(root: impl Into<PathBuf>, names: &'static [&'static str]) -> Self {
        Self::entering(root, |path| {
            path.file_name()
                .is_none_or(|name| !names.iter().any(|other| name == *other))
        })
    }

    /// Watches a folder, and of the folders in it those that are to be entered, by their path relative to it.
    pub fn entering(root: impl Into<PathBuf>, enters: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        Self {
            root: root.into(),
            enters: Box::new(enters),
        }
    }

    /// Returns whether a path, as it is shown, is of this tree and worth telling.
    fn tells(&self, path: &Path) -> bool {
        match path.strip_prefix(&self.root) {
            Err(_) => false,
            Ok(relative) if relative.as_os_str().is_empty() => true,
            Ok(relative) => !is_hidden(path) && ((self.enters)(relative) || !path.is_dir()),
        }
    }
}

/// What changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Files and folders, beneath the roots as these were given; a folder that newly is there stands for all in it.
    pub paths: BTreeSet<PathBuf>,
    /// Too much for the list, or for the system: anything may have changed.
    pub anything: bool,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.paths.is_empty() && !self.anything
    }

    fn note(&mut self, path: PathBuf) {
        if self.paths.len() < PATHS_MAX {
            self.paths.insert(path);
        } else {
            self.anything = true;
        }
    }
}

/// Watches trees.
pub struct Watch {
    trees: Vec<Tree>,
    eyes: Eyes,
    folders: BTreeMap<PathBuf, Folder>,
    folders_max: usize,
}

/// How changes are noticed.
enum Eyes {
    /// The system tells.
    Told {
        watcher: Box<RecommendedWatcher>,
        heard: Arc<Heard>,
    },
    /// It is looked, again and again.
    Looking {
        seen: BTreeMap<PathBuf, Stamp>,
        why: String,
    },
}

/// A folder that is entered, by where it really is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Folder {
    /// Another folder in the same place has to be watched anew.
    identity: (u64, u64),
    /// By which paths it is reached; none if it is only watched because a root does not exist yet.
    shown: Vec<PathBuf>,
}

/// What tells that a file is another than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    identity: (u64, u64),
    size: u64,
    modified: (i64, i64),
    mode: u32,
}

impl Watch {
    /// Begins to watch. What is there counts as known.
    pub fn begin(trees: Vec<Tree>) -> Self {
        Self::begin_with(trees, FOLDERS_MAX)
    }

    fn begin_with(trees: Vec<Tree>, folders_max: usize) -> Self {
        let heard = Arc::new(Heard::default());
        let ear = Arc::clone(&heard);
        let eyes = match notify::recommended_watcher(move |event| ear.take(event)) {
            Ok(watcher) => Eyes::Told {
                watcher: Box::new(watcher),
                heard,
            },
            Err(error) => Eyes::Looking {
                seen: BTreeMap::new(),
                why: reason(&error),
            },
        };
        let mut watch = Self {
            trees,
            eyes,
            folders: BTreeMap::new(),
            folders_max,
        };
        watch.arrange(&mut Changes::default());
        watch.know();
        watch
    }

    /// Watches another tree, too. What is in it counts as known.
    pub fn add(&mut self, tree: Tree) {
        self.trees.push(tree);
        self.arrange(&mut Changes::default());
        self.know();
    }

    /// Returns why the folders are looked at once a second, if the system does not tell of changes.
    pub fn polls(&self) -> Option<&str> {
        match &self.eyes {
            Eyes::Told { .. } => None,
            Eyes::Looking { why, .. } => Some(why),
        }
    }

    /// Waits until something has changed and nothing more does for a while ([`QUIET`], [`LATEST`]). May be dropped and asked again.
    pub async fn changed(&mut self) -> Changes {
        loop {
            let changes = match &self.eyes {
                Eyes::Told { heard, .. } => {
                    let heard = Arc::clone(heard);
                    heard.settled().await;
                    self.translate(heard.drain())
                }
                Eyes::Looking { .. } => self.look_on().await,
            };
            if !changes.is_empty() {
                return changes;
            }
        }
    }

    /// Says under which paths what the system told of is known here, and follows folders that came or went.
    fn translate(&mut self, raw: Changes) -> Changes {
        let mut changes = Changes {
            anything: raw.anything,
            ..Changes::default()
        };
        for path in raw.paths {
            let parent = path.parent().and_then(|parent| self.folders.get(parent));
            let inside = parent.into_iter().zip(path.file_name());
            let inside = inside.flat_map(|(folder, name)| folder.shown.iter().map(move |shown| shown.join(name)));
            let itself = self
                .folders
                .get(&path)
                .into_iter()
                .flat_map(|folder| folder.shown.clone());
            for shown in inside.chain(itself) {
                if self.trees.iter().any(|tree| tree.tells(&shown)) {
                    changes.note(shown);
                }
            }
        }
        self.arrange(&mut changes);
        changes
    }

    /// Watches the folders that are there now, and notes those that are new.
    fn arrange(&mut self, changes: &mut Changes) {
        let wanted = self.walk();
        let Eyes::Told { watcher, .. } = &mut self.eyes else {
            return;
        };
        if wanted.len() > self.folders_max {
            return self.look_instead(
                format!("there are more than {} folders to watch", self.folders_max),
                changes,
            );
        }
        let is_same = |path: &PathBuf, folder: &Folder| {
            wanted
                .get(path)
                .is_some_and(|wanted| wanted.identity == folder.identity)
        };
        // Before others are watched: one that moved is the same to the system, whatever its path.
        for (path, folder) in &self.folders {
            if !is_same(path, folder) {
                // Of one that is gone the system has forgotten it already.
                watcher.unwatch(path).ok();
            }
        }
        let mut now = BTreeMap::new();
        for (path, folder) in wanted {
            let known = self.folders.get(&path);
            if known.is_none_or(|known| known.identity != folder.identity) {
                match watcher.watch(&path, RecursiveMode::NonRecursive) {
                    Ok(()) => {}
                    Err(error) if is_exhausted(&error) => {
                        return self.look_instead(reason(&error), changes);
                    }
                    // It is gone again, or not ours to read: it is tried again with the next change.
                    Err(error) => {
                        tracing::debug!("`{}` is not watched: {error}", path.display());
                        continue;
                    }
                }
            }
            let known = known.filter(|known| known.identity == folder.identity);
            let known = known.map_or(&[][..], |known| &known.shown);
            let new = folder.shown.iter().filter(|shown| !known.contains(shown));
            new.for_each(|shown| changes.note(shown.clone()));
            now.insert(path, folder);
        }
        self.folders = now;
    }

    /// Goes over to looking. What changed meanwhile may go unheard.
    fn look_instead(&mut self, why: String, changes: &mut Changes) {
        tracing::warn!("folders are looked at once a second: {why}");
        self.eyes = Eyes::Looking {
            seen: BTreeMap::new(),
            why,
        };
        changes.anything = true;
        self.know();
    }

    /// Takes what is there as known.
    fn know(&mut self) {
        let looked = self.look();
        if let Eyes::Looking { seen, .. } = &mut self.eyes {
            *seen = looked;
        }
    }

    /// Looks until something is different and stays as it is for a while.
    async fn look_on(&mut self) -> Changes {
        tokio::time::sleep(LOOK_EVERY).await;
        let began = Instant::now();
        let mut now = self.look();
        if matches!(&self.eyes, Eyes::Looking { seen, .. } if *seen == now) {
            return Changes::default();
        }
        loop {
            tokio::time::sleep(QUIET).await;
            let later = self.look();
            let is_quiet = later == now || began.elapsed() > LATEST;
            now = later;
            if is_quiet {
                break;
            }
        }
        let mut changes = Changes::default();
        if let Eyes::Looking { seen, .. } = &mut self.eyes {
            let different = |(path, stamp): &(&PathBuf, &Stamp), other: &BTreeMap<PathBuf, Stamp>| {
                other.get(*path).is_none_or(|known| known != *stamp)
            };
            let gone = seen.iter().filter(|entry| different(entry, &now));
            let come = now.iter().filter(|entry| different(entry, seen));
            for (path, _) in gone.chain(come) {
                changes.note(path.clone());
            }
            *seen = now;
        }
        changes
    }

    /// Returns what lies in the folders that are entered, if that is how changes are noticed.
    fn look(&self) -> BTreeMap<PathBuf, Stamp> {
        let mut seen = BTreeMap::new();
        if self.polls().is_none() {
            return seen;
        }
        for folder in self.walk().into_values() {
            for shown in folder.shown {
                let entries = fs::read_dir(&shown)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|entry| entry.path());
                for path in entries.chain([shown.clone()]) {
                    if seen.len() == ENTRIES_MAX {
                        return seen;
                    }
                    if self.trees.iter().any(|tree| tree.tells(&path))
                        && let Ok(metadata) = fs::metadata(&path)
                    {
                        seen.insert(path, Stamp::of(&metadata));
                    }
                }
            }
        }
        seen
    }

    /// Returns the folders to be watched, as they are now.
    fn walk(&self) -> BTreeMap<PathBuf, Folder> {
        let mut folders = BTreeMap::new();
        for tree in &self.trees {
            if enter(tree, &tree.root, 0, self.folders_max, &mut folders) {
                continue;
            }
            // It appears in the nearest folder that is there.
            let above = tree.root.ancestors().skip(1).find_map(|above| {
                let real = fs::canonicalize(above).ok()?;
                Some((real.clone(), identity(&real).ok()?))
            });
            if let Some((real, identity)) = above {
                folders.entry(real).or_insert(Folder {
                    identity,
                    shown: Vec::new(),
                });
            }
        }
        folders
    }
}

/// Adds a folder and those in it that are entered. One more than the most is enough to know that there are too many.
fn enter(tree: &Tree, shown: &Path, depth: usize, folders_max: usize, folders: &mut BTreeMap<PathBuf, Folder>) -> bool {
    let Ok(real) = fs::canonicalize(shown) else {
        return false;
    };
    let (Ok(identity), Ok(entries)) = (identity(&real), fs::read_dir(&real)) else {
        return false;
    };
    if depth > DEPTH_MAX || folders.len() > folders_max {
        return false;
    }
    let folder = folders.entry(real).or_insert(Folder {
        identity,
        shown: Vec::new(),
    });
    if !folder.shown.iter().any(|other| other == shown) {
        folder.shown.push(shown.to_owned());
    }
    for entry in entries.flatten() {
        let below = shown.join(entry.file_name());
        // Most are files, which need not be asked again.
        let may_be_folder = entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink());
        let relative = below.strip_prefix(&tree.root).unwrap_or(&below);
        if may_be_folder && !is_hidden(&below) && (tree.enters)(relative) && below.is_dir() {
            enter(tree, &below, depth + 1, folders_max, folders);
        }
    }
    true
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    match metadata.is_dir() {
        true => Ok((metadata.dev(), metadata.ino())),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Returns whether the system has no more watches to give. Other folders would not get one either.
fn is_exhausted(error: &notify::Error) -> bool {
    const TOO_MANY_FILES: [i32; 2] = [
        rustix::io::Errno::MFILE.raw_os_error(),
        rustix::io::Errno::NFILE.raw_os_error(),
    ];
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => true,
        notify::ErrorKind::Io(error) => error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code)),
        _ => false,
    }
}

fn reason(error: &notify::Error) -> String {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => "the system gives no more watches (fs.inotify.max_user_watches)".to_owned(),
        notify::ErrorKind::Io(error) => format!("the system gives no watches: {error}"),
        _ => format!("the system gives no watches: {error}"),
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        let is_file = metadata.is_file();
        Self {
            identity: (metadata.dev(), metadata.ino()),
            // Of a folder, what is in it is looked at itself.
            size: if is_file { metadata.size() } else { 0 },
            modified: if is_file {
                (metadata.mtime(), metadata.mtime_nsec())
            } else {
                (0, 0)
            },
            mode: metadata.mode(),
        }
    }
}

/// What the system's thread has told of.
#[derive(Default)]
struct Heard {
    changes: Mutex<Changes>,
    noted: Notify,
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, Changes> {
        // Nothing that runs under the lock leaves it half done.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, event: notify::Result<notify::Event>) {
        let mut changes = self.lock();
        match event {
            // That a file was read is no change; looking at what changed would be told of itself.
            Ok(event) if is_read(&event.kind) => return,
            Ok(event) if event.need_rescan() => changes.anything = true,
            Ok(event) => event.paths.into_iter().for_each(|path| changes.note(path)),
            Err(error) => {
                tracing::warn!("could not learn of changed files: {error}");
                changes.anything = true;
            }
        }
        drop(changes);
        self.noted.notify_one();
    }

    fn drain(&self) -> Changes {
        std::mem::take(&mut *self.lock())
    }

    /// Waits until something is noted and then nothing is for a while; or until it is time to see to the folders.
    async fn settled(&self) {
        if self.lock().is_empty() {
            tokio::select! {
                () = self.noted.notified() => {}
                () = tokio::time::sleep(ARRANGE_EVERY) => return,
            }
        }
        let latest = Instant::now() + LATEST;
        loop {
            tokio::select! {
                biased;
                () = self.noted.notified() => {}
                () = tokio::time::sleep(QUIET) => return,
            }
            if Instant::now() >= latest {
                return;
            }
        }
    }
}

fn is_read(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if *access != AccessKind::Close(AccessMode::Write))
}

#[cfg(test)]
mod tests;
