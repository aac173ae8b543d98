//! What is durable on a disk, what is only on its way there, and what a loss of power may leave of it.
//!
//! A disk writes sectors of 512 bytes. What was written and not synced may be there or not, each sector for itself, in any order; a sector may be torn; where a file was made longer
//! and the content did not come, there are zeros or whatever lay there before. A file that was made may be absent, and one that was deleted there, until their folder is synced.

use std::collections::BTreeMap;

use crate::chance::Chance;
use crate::disk::Op;
use crate::image::Image;

/// What a disk writes at once.
pub(crate) const SECTOR: usize = 512;

/// A disk at a moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Platter {
    nodes: Vec<Node>,
    /// The names that files have, as programs see it.
    names: BTreeMap<String, usize>,
    /// The names that are durable.
    durable_names: BTreeMap<String, usize>,
    /// What names came to stand for since, in order.
    pending_names: Vec<(String, Option<usize>)>,
}

/// A file, whatever it is called.
#[derive(Clone, Debug, Default)]
struct Node {
    durable: Vec<u8>,
    current: Vec<u8>,
    pending: Vec<Step>,
}

/// Something that is on its way.
#[derive(Clone, Debug)]
struct Step {
    /// Sectors, as they were after it.
    sectors: Vec<(usize, Vec<u8>)>,
    /// How long the file was after it.
    size: usize,
    is_cut: bool,
    /// Whether the system forgot that it has to be made durable.
    is_forgotten: bool,
}

/// What a loss of power leaves of what was on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    All,
    Nothing,
    /// What was written first.
    First(usize),
    /// All but one.
    AllBut(usize),
    /// What was written last, alone.
    Last,
    /// All, and of the last that was written so many bytes.
    Torn(usize),
    /// What a number says: each sector for itself.
    Drawn(u64),
}

impl Platter {
    /// Makes a disk that holds this, all of it durable.
    pub(crate) fn of(image: &Image) -> Self {
        let mut platter = Self::default();
        for (name, content) in image {
            platter.durable_names.insert(name.clone(), platter.nodes.len());
            platter.nodes.push(Node {
                durable: content.clone(),
                current: content.clone(),
                pending: Vec::new(),
            });
        }
        platter.names = platter.durable_names.clone();
        platter
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Takes in what was done.
    pub(crate) fn take(&mut self, op: &Op) {
        match op {
            Op::Create(name) => {
                let node = self.nodes.len();
                self.nodes.push(Node::default());
                self.rename(name, Some(node));
            }
            Op::Write { file, offset, bytes } => self.node(file).write(*offset, bytes),
            Op::Truncate { file, size } => self.node(file).cut(*size),
            Op::Sync { file, folder } => {
                self.node(file).sync();
                if *folder {
                    self.sync_names();
                }
            }
            Op::SyncFailed(file) => {
                for step in &mut self.node(file).pending {
                    step.is_forgotten = true;
                }
            }
            Op::Forget(file) => self.forget(file),
            Op::Delete { file, folder } => {
                self.rename(file, None);
                if *folder {
                    self.sync_names();
                }
            }
        }
    }

    /// Takes in what was done, on a disk that only says that it makes anything durable.
    pub(crate) fn take_lying(&mut self, op: &Op) {
        match op {
            Op::Sync { .. } | Op::SyncFailed(_) | Op::Forget(_) => {}
            Op::Delete { file, .. } => self.rename(file, None),
            other => self.take(other),
        }
    }

    /// Loses what was on its way to a file.
    fn forget(&mut self, name: &str) {
        let node = self.node(name);
        node.pending.clear();
        node.current = node.durable.clone();
    }

    /// Returns what programs see of a file.
    pub(crate) fn content(&self, name: &str) -> Vec<u8> {
        self.nodes[self.names[name]].current.clone()
    }

    fn node(&mut self, name: &str) -> &mut Node {
        let node = self.names[name];
        &mut self.nodes[node]
    }

    fn rename(&mut self, name: &str, node: Option<usize>) {
        match node {
            Some(node) => self.names.insert(name.to_owned(), node),
            None => self.names.remove(name),
        };
        self.pending_names.push((name.to_owned(), node));
    }

    fn sync_names(&mut self) {
        self.durable_names = self.names.clone();
        self.pending_names.clear();
    }

    /// Returns what programs see.
    pub(crate) fn current(&self) -> Image {
        let files = self.names.iter();
        files
            .map(|(name, node)| (name.clone(), self.nodes[*node].current.clone()))
            .collect()
    }

    /// Returns how many things are on their way.
    pub(crate) fn pending(&self) -> usize {
        self.nodes.iter().map(|node| node.pending.len()).sum::<usize>() + self.pending_names.len()
    }

    /// Returns how many bytes the last write that is on its way has.
    pub(crate) fn last_write(&self) -> usize {
        let last = self.nodes.iter().filter_map(|node| node.pending.last()).next_back();
        last.map_or(0, |step| step.sectors.iter().map(|(_, content)| content.len()).sum())
    }

    /// Returns what is on the disk after a loss of power.
    pub(crate) fn after_power_loss(&self, kept: Kept) -> Image {
        let mut chance = Chance::new(if let Kept::Drawn(seed) = kept { seed } else { 0 }, "power");
        let mut names = self.durable_names.clone();
        for (place, (name, node)) in self.pending_names.iter().enumerate() {
            let is_kept = match kept {
                Kept::All | Kept::Last | Kept::Torn(_) => true,
                Kept::Nothing => false,
                Kept::First(count) => place < count,
                Kept::AllBut(which) => place != which,
                Kept::Drawn(_) => chance.one_in(2),
            };
            match node {
                Some(node) if is_kept => drop(names.insert(name.clone(), *node)),
                None if is_kept => drop(names.remove(name)),
                _ => {}
            }
        }
        let files = names
            .into_iter()
            .map(|(name, node)| (name, self.nodes[node].after_power_loss(kept, &mut chance)));
        files.collect()
    }
}

impl Node {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.current.len() < end {
            self.current.resize(end, 0);
        }
        self.current[offset..end].copy_from_slice(bytes);
        if bytes.is_empty() {
            return;
        }
        let sectors = (offset / SECTOR..=(end - 1) / SECTOR).map(|sector| {
            let end = self.current.len().min((sector + 1) * SECTOR);
            (sector, self.current[sector * SECTOR..end].to_vec())
        });
        self.pending.push(Step {
            sectors: sectors.collect(),
            size: self.current.len(),
            is_cut: false,
            is_forgotten: false,
        });
    }

    fn cut(&mut self, size: usize) {
        self.current.resize(size, 0);
        self.pending.push(Step {
            sectors: Vec::new(),
            size,
            is_cut: true,
            is_forgotten: false,
        });
    }

    fn sync(&mut self) {
        let (mut forgotten, pending): (Vec<Step>, Vec<Step>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|step| step.is_forgotten);
        for step in pending {
            // A sector that is written again is written as it is, with what was forgotten of it.
            for old in &mut forgotten {
                old.sectors
                    .retain(|(old, _)| step.sectors.iter().all(|(new, _)| new != old));
            }
            step.apply(&mut self.durable, &mut |_, _| true, 0);
        }
        forgotten.retain(|step| !step.sectors.is_empty());
        self.pending = forgotten;
    }

    fn after_power_loss(&self, kept: Kept, chance: &mut Chance) -> Vec<u8> {
        let mut content = self.durable.clone();
        let last = self.pending.len().saturating_sub(1);
        // Of a disk that draws, some keep most, and some little.
        let rarely = 2 + chance.below(6);
        let (loses_most, tears) = (chance.one_in(2), chance.one_in(3));
        let fill = if chance.one_in(3) { 0xa5 } else { 0 };
        for (place, step) in self.pending.iter().enumerate() {
            match kept {
                Kept::All => step.apply(&mut content, &mut |_, _| true, 0),
                Kept::Nothing => {}
                Kept::First(count) if place < count => step.apply(&mut content, &mut |_, _| true, 0),
                Kept::AllBut(which) if place != which => step.apply(&mut content, &mut |_, _| true, 0),
                Kept::Last if place == last => step.apply(&mut content, &mut |_, _| true, 0),
                Kept::First(_) | Kept::AllBut(_) | Kept::Last => {}
                Kept::Torn(bytes) if place == last => step.apply_torn(&mut content, bytes),
                Kept::Torn(_) => step.apply(&mut content, &mut |_, _| true, 0),
                Kept::Drawn(_) if chance.one_in(rarely) != loses_most => {
                    let tear = tears.then(|| chance.below(SECTOR));
                    let mut of_sector = |_: usize, bytes: &mut Vec<u8>| {
                        if let Some(tear) = tear
                            && chance.one_in(4)
                        {
                            bytes.truncate(tear);
                        }
                        !tears || !chance.one_in(3)
                    };
                    step.apply(&mut content, &mut of_sector, fill);
                }
                Kept::Drawn(_) => {}
            }
        }
        // How long a file is may be durable before what is in it.
        if matches!(kept, Kept::Drawn(_))
            && chance.one_in(4)
            && let Some(size) = self.pending.iter().map(|step| step.size).max()
            && size > content.len()
        {
            content.resize(size, fill);
        }
        content
    }
}

impl Step {
    /// Does what is on its way, for each sector as `keeps` says, which may shorten it.
    fn apply(&self, content: &mut Vec<u8>, keeps: &mut dyn FnMut(usize, &mut Vec<u8>) -> bool, fill: u8) {
        if self.is_cut {
            content.resize(self.size, 0);
            return;
        }
        for (sector, bytes) in &self.sectors {
            let mut bytes = bytes.clone();
            if keeps(*sector, &mut bytes) {
                put(content, sector * SECTOR, &bytes, fill);
            }
        }
    }

    fn apply_torn(&self, content: &mut Vec<u8>, mut bytes: usize) {
        for (sector, new) in &self.sectors {
            let part = new.len().min(bytes);
            bytes -= part;
            if part > 0 {
                put(content, sector * SECTOR, &new[..part], 0);
            }
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8], fill: u8) {
    let end = offset + bytes.len();
    if content.len() < offset {
        content.resize(offset, fill);
    }
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}
