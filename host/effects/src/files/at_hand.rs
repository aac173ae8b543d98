//! Reads what needs no waiting, on the spot: small files that the system has in its memory, and what lies in the bundle.
//!
//! Handing a read to a thread that may wait for a disk costs several times what reading a small file does. The kernel is asked for what it can answer at once
//! (`RESOLVE_CACHED` for the way, `RWF_NOWAIT` for the content). Whenever it would have to wait, and in every case that is not the plain one, the answer is `None`, and
//! the other way says what there is.

use skillhost_core::calls::files as calls;
use skillhost_core::calls::files::Bytes;

use super::path::MountPath;
use super::{Mount, Table, bundle};

/// The largest file that is read on the spot: copying more keeps other runs waiting.
const BYTES_AT_HAND_MAX: u64 = 64 << 10;

impl Table {
    /// Performs `files.read`, if nobody has to wait for it.
    pub(super) fn read_at_hand(&self, request: &calls::Path) -> Option<Bytes> {
        let path = MountPath::parse(&request.path).ok()?;
        match self.by_name.get(path.mount())? {
            Mount::Bundle(skill) => bundle::read(skill.as_ref(), &path).ok(),
            Mount::Folder(folder) => folder.read_at_hand(path.below(), BYTES_AT_HAND_MAX),
        }
        .map(Bytes)
    }
}
