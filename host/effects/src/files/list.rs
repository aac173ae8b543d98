//! Lists folders: `files.list`, in byte order of the paths, page by page.
//!
//! The order of whole paths is not that of a walk (`a`, `a-b`, `a/c`), so the walk keeps what it has still to show in a heap, where a folder stands twice: as an entry
//! (`a`) and, if it is to be gone into, as what is in it (`a/`). What comes out is in order, nothing is sorted that is not shown, and a page stops when it is full.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use cap_std::fs::Dir;
use globset::{GlobBuilder, GlobMatcher};
use rustix::io::Errno;
use skillhost_core::calls::files as calls;
use skillhost_core::calls::files::{Kind, Listing};
use skillhost_core::outcome::Fault;

use super::fault::{invalid, of_io};
use super::folder::{Folder, way};
use super::path::{MountPath, PATH_BYTES_MAX, is_nameable};
use super::{Mount, Table, bundle};

/// The most entries of one listing.
const ENTRIES_MAX: u32 = 10_000;

/// The entries of a listing that does not say how many.
const ENTRIES_DEFAULT: u32 = 1_000;

/// The most files and folders that one listing looks at, shown or not.
const LOOKED_AT_MAX: usize = 500_000;

/// Something that can be listed.
pub(super) trait Tree {
    /// Returns what lies in a folder, in any order.
    fn children(&self, below: &str) -> Result<Vec<Child>, Fault>;

    /// Returns what is at a path, if anything is; links are followed as far as they stay in the mount.
    fn look(&self, below: &str) -> Result<Option<Found>, Fault>;
}

/// Something in a folder.
pub(super) struct Child {
    pub(super) name: String,
    /// Whether it is itself a folder; a link to one is not.
    pub(super) is_folder: bool,
}

/// What is at a path.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) modified_ns: Option<u64>,
}

impl Table {
    /// Performs `files.list`.
    pub(super) fn list(&self, request: &calls::List) -> Result<Listing, Fault> {
        let path = MountPath::parse(&request.path)?;
        let page = Page::parse(request, &path)?;
        match self.mount(&path)? {
            Mount::Bundle(skill) => page.list(&bundle::Files(skill.sizes()), &path),
            Mount::Folder(folder) => match folder.root()? {
                Some(root) => {
                    let on_disk = OnDisk {
                        root,
                        path: &path,
                        folder,
                    };
                    page.list(&on_disk, &path)
                }
                // The run's folder is as good as empty until something is written to it.
                None if path.below().is_empty() => Ok(Listing {
                    entries: Vec::new(),
                    next: None,
                }),
                None => Err(of_io(path.text(), &Errno::NOENT.into())),
            },
        }
    }
}

/// Which entries are wanted.
struct Page<'a> {
    glob: Option<GlobMatcher>,
    recursive: bool,
    limit: usize,
    after: &'a str,
}

/// Something still to be shown, ordered by its path; what is in a folder has a `/` at its end.
type Ahead = BinaryHeap<Reverse<(String, bool)>>;

impl<'a> Page<'a> {
    fn parse(request: &'a calls::List, path: &MountPath) -> Result<Self, Fault> {
        let limit = request.limit.unwrap_or(ENTRIES_DEFAULT);
        if !(1..=ENTRIES_MAX).contains(&limit) {
            return Err(invalid(format!(
                "a listing has 1 to {ENTRIES_MAX} entries, and {limit} were asked for"
            )));
        }
        let after = request.after.as_deref().unwrap_or("");
        let folder = format!("{}/", path.text());
        if !after.is_empty() && !after.starts_with(&folder) {
            return Err(invalid(format!(
                "`{after}` is not in `{folder}`, so a listing of it cannot go on there"
            )));
        }
        Ok(Self {
            glob: request.glob.as_deref().map(parse_glob).transpose()?,
            recursive: request.recursive,
            limit: usize::try_from(limit).expect("the bound is small"),
            after,
        })
    }

    fn list(&self, tree: &impl Tree, path: &MountPath) -> Result<Listing, Fault> {
        match tree.look(path.below())? {
            Some(found) if found.kind == Kind::Folder => {}
            Some(_) => return Err(invalid(format!("`{}` is no folder", path.text()))),
            None => return Err(of_io(path.text(), &Errno::NOENT.into())),
        }
        let start = format!("{}/", path.text());
        let below_mount = path.mount().len() + 1;
        let mut looked_at = 0;
        let mut entries: Vec<calls::Entry> = Vec::new();
        let mut ahead = Ahead::from([Reverse((start.clone(), true))]);
        while let Some(Reverse((shown, is_inside))) = ahead.pop() {
            if is_inside {
                let folder = shown[..shown.len() - 1].get(below_mount..).unwrap_or("");
                looked_at += self.look_into(tree, &shown, folder, &mut ahead)?;
                if looked_at > LOOKED_AT_MAX {
                    return Err(invalid(format!(
                        "`{start}` holds more than {LOOKED_AT_MAX} files and folders: list a folder in it"
                    )));
                }
                continue;
            }
            if !self.is_wanted(&shown, &start) {
                continue;
            }
            // It may be gone since its folder was read.
            let Some(found) = tree.look(&shown[below_mount..])? else {
                continue;
            };
            if entries.len() == self.limit {
                let next = entries.last().map(|entry| entry.path.clone());
                return Ok(Listing { entries, next });
            }
            entries.push(found.entry(shown));
        }
        Ok(Listing { entries, next: None })
    }

    /// Puts what is in a folder ahead, and returns how much it was.
    fn look_into(&self, tree: &impl Tree, shown: &str, folder: &str, ahead: &mut Ahead) -> Result<usize, Fault> {
        let children = tree.children(folder)?;
        let looked_at = children.len();
        for child in children {
            let path = format!("{shown}{}", child.name);
            if path.len() > PATH_BYTES_MAX || !is_nameable(&child.name) {
                continue;
            }
            if self.recursive && child.is_folder && self.may_hold_more(&path) {
                ahead.push(Reverse((format!("{path}/"), true)));
            }
            if path.as_str() > self.after {
                ahead.push(Reverse((path, false)));
            }
        }
        Ok(looked_at)
    }

    /// Returns whether something in a folder can come after the path at which the page begins.
    fn may_hold_more(&self, folder: &str) -> bool {
        let inside = format!("{folder}/");
        inside.as_str() > self.after || self.after.starts_with(&inside)
    }

    fn is_wanted(&self, shown: &str, start: &str) -> bool {
        let relative = &shown[start.len()..];
        self.glob.as_ref().is_none_or(|glob| glob.is_match(relative))
    }
}

fn parse_glob(text: &str) -> Result<GlobMatcher, Fault> {
    if text.len() > PATH_BYTES_MAX {
        return Err(invalid(format!(
            "the glob has {} bytes, and at most {PATH_BYTES_MAX} are allowed",
            text.len()
        )));
    }
    let glob = GlobBuilder::new(text).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher())
        .map_err(|error| invalid(format!("`{text}` is no glob: {}", error.kind())))
}

/// A mount's folder on disk.
struct OnDisk<'a> {
    root: Dir,
    /// What is listed, for messages.
    path: &'a MountPath,
    folder: &'a Folder,
}

impl Tree for OnDisk<'_> {
    fn children(&self, below: &str) -> Result<Vec<Child>, Fault> {
        let mut children = Vec::new();
        if let Some(only) = self.folder.only() {
            children.push(Child {
                name: only.to_owned(),
                is_folder: false,
            });
            return Ok(children);
        }
        let fault = |error: io::Error| of_io(&format!("{}/{below}", self.path.mount()), &error);
        let listed = match self.root.read_dir(way(below)) {
            Ok(listed) => listed,
            // A folder below the one asked for may be gone, or closed to this user: that is no reason to show nothing.
            Err(error) if below != self.path.below() => {
                tracing::debug!(folder = below, %error, "not listed");
                return Ok(children);
            }
            Err(error) => return Err(fault(error)),
        };
        for entry in listed {
            let entry = entry.map_err(fault)?;
            // A name that is not UTF-8 cannot be named by a guest.
            if let Ok(name) = entry.file_name().into_string() {
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                children.push(Child { name, is_folder });
            }
            if children.len() > LOOKED_AT_MAX {
                break;
            }
        }
        Ok(children)
    }

    fn look(&self, below: &str) -> Result<Option<Found>, Fault> {
        if self.folder.only().is_some() {
            return look_at_only(self.folder, &self.root, below, self.path);
        }
        match self.root.metadata(way(below)) {
            Ok(metadata) => Ok(Some(Found::of(&metadata))),
            Err(error) if below == self.path.below() => Err(of_io(self.path.text(), &error)),
            // A link that leads nowhere, or out of the mount, is there and can be removed; more is not said about it.
            Err(_) => Ok(self.root.symlink_metadata(below).ok().map(|_| Found {
                kind: Kind::Other,
                size: 0,
                modified_ns: None,
            })),
        }
    }
}

/// Returns what is at a way below a folder that shows one file: nothing is said of another, nor of the folder.
pub(super) fn look_at_only(folder: &Folder, root: &Dir, below: &str, path: &MountPath) -> Result<Option<Found>, Fault> {
    if below.is_empty() {
        return Ok(Some(Found::FOLDER));
    }
    if !folder.shows(below) {
        return Ok(None);
    }
    match root.symlink_metadata(below) {
        Ok(metadata) => Ok(Some(Found::of(&metadata))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(of_io(path.text(), &error)),
    }
}
