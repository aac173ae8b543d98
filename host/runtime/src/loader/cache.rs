//! Keeps compiled code in a folder, so that a component is compiled once on a machine.
//!
//! A file is native code, and is trusted only as far as it can be verified: its name holds the component's digest and a hash of everything that the compiler's
//! output depends on, and its content begins with a hash of that name and of the code. Whatever does not verify is removed and made anew. The folder is the user's
//! alone; who can write there can run programs as the user anyway, so the hash is for accidents: XXH3, because all of a file is hashed each time it is loaded.

use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use skillhost_core::id::Digest;
use twox_hash::XxHash3_64;
use wasmtime::component::Component;

use crate::engine::Engine;

/// The first bytes of a file. Raised when its layout changes.
const MAGIC: &[u8; 16] = b"skillhost code 2";
const HASH_BYTES: usize = 8;
/// What keeps `open` from following a link, and from waiting for whoever writes into a pipe.
#[cfg(unix)]
const NOT_THROUGH_LINKS: i32 = (rustix::fs::OFlags::NOFOLLOW.bits() | rustix::fs::OFlags::NONBLOCK.bits()) as i32;
/// No compiled component is larger; what is, was not written here.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 30;

pub(super) struct Cache {
    folder: PathBuf,
    /// Names what compiled code depends on beside its component.
    engine_key: String,
}

impl Cache {
    /// Opens the folder, and makes it if it is not there. `None` if it cannot be used.
    pub(super) fn open(folder: &Path, engine: &Engine) -> Option<Self> {
        match make_private_folder(folder) {
            Ok(()) => Some(Self {
                folder: folder.to_owned(),
                engine_key: engine_key(engine),
            }),
            Err(error) => {
                let folder = folder.display();
                tracing::warn!(%folder, %error, "compiled code is not kept: the folder for it cannot be used");
                None
            }
        }
    }

    /// Returns a component's compiled code, if it is there and verifies.
    pub(super) fn get(&self, engine: &Engine, component: Digest) -> Option<Component> {
        let path = self.path(component);
        let loaded = match read(&path) {
            Ok(file) => self.load(engine, component, &file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(error.to_string()),
        };
        match loaded {
            Ok(component) => Some(component),
            Err(reason) => {
                let path = path.display();
                tracing::warn!(%path, reason, "compiled code in the cache cannot be used and is made anew");
                self.remove(component);
                None
            }
        }
    }

    /// Keeps a component's compiled code. That it cannot is no error: it is compiled again next time.
    pub(super) fn put(&self, digest: Digest, component: &Component) {
        let kept = component
            .serialize()
            .map_err(io::Error::other)
            .and_then(|code| self.write(digest, &code));
        if let Err(error) = kept {
            tracing::warn!(%digest, %error, "compiled code could not be kept");
        }
    }

    /// Forgets a component's compiled code.
    pub(super) fn remove(&self, component: Digest) {
        let path = self.path(component);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            let path = path.display();
            tracing::warn!(%path, %error, "could not remove a file of the cache");
        }
    }

    fn path(&self, component: Digest) -> PathBuf {
        self.folder.join(format!("{}.cwasm", self.key(component)))
    }

    fn key(&self, component: Digest) -> String {
        format!("{component}-{}", self.engine_key)
    }

    fn load(&self, engine: &Engine, component: Digest, file: &[u8]) -> Result<Component, String> {
        let head = MAGIC.len() + HASH_BYTES;
        let (Some(magic), Some(hash), Some(code)) =
            (file.get(..MAGIC.len()), file.get(MAGIC.len()..head), file.get(head..))
        else {
            return Err("the file is cut off".to_owned());
        };
        if magic != MAGIC {
            return Err("the file is of another format".to_owned());
        }
        if hash != self.hash(component, code) {
            return Err("the hash does not match".to_owned());
        }
        // The hash just verified covers both the code and the key, which names this component and everything that this engine's compiler depends on, its exact
        // version included. It lies in a folder, and in a file, that only this user can write.
        deserialize(engine, code)
    }

    fn hash(&self, component: Digest, code: &[u8]) -> [u8; HASH_BYTES] {
        let of_key = XxHash3_64::oneshot(self.key(component).as_bytes());
        XxHash3_64::oneshot_with_seed(of_key, code).to_le_bytes()
    }

    /// Writes a file whole or not at all: others read it only once it has its name.
    fn write(&self, component: Digest, code: &[u8]) -> io::Result<()> {
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let ordinal = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let temporary = self
            .folder
            .join(format!("{}.{}-{ordinal}.tmp", component.short(), std::process::id()));
        let written = (|| {
            let mut file = create_private(&temporary)?;
            file.write_all(MAGIC)?;
            file.write_all(&self.hash(component, code))?;
            file.write_all(code)?;
            file.sync_all()?;
            fs::rename(&temporary, self.path(component))
        })();
        if written.is_err() {
            // Best effort: it failed already, and that is what is reported.
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

/// Makes a component of compiled code.
#[allow(
    unsafe_code,
    reason = "loading compiled code is unsafe by nature; see the reason at the block"
)]
pub(super) fn deserialize(engine: &Engine, code: &[u8]) -> Result<Component, String> {
    // SAFETY: the bytes are native code and must be what `serialize` or `precompile_component` gave. Callers pass what was verified to be that, or what a process of our
    // own program has just compiled. It is loaded from memory, not from a file, so it cannot change between the check and the use.
    let loaded = unsafe { Component::deserialize(engine.wasmtime(), code) };
    loaded.map_err(|error| format!("{error:#}"))
}

/// Reads a file of the cache, if nobody but this user can have written it.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, NOT_THROUGH_LINKS);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    let bytes = metadata.len();
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if bytes > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("the file has {bytes} bytes")));
    }
    belongs_to_us(&metadata)?;
    no_other_writes(&metadata)?;
    let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
    file.take(FILE_BYTES_MAX).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(unix)]
fn belongs_to_us(metadata: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    match owner == user {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "it belongs to user {owner}, and this is user {user}"
        ))),
    }
}

#[cfg(not(unix))]
fn belongs_to_us(_metadata: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn no_other_writes(metadata: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let mode = metadata.mode() & 0o777;
    match mode & 0o022 {
        0 => Ok(()),
        _ => Err(io::Error::other(format!("others may write it: its mode is {mode:o}"))),
    }
}

#[cfg(not(unix))]
fn no_other_writes(_metadata: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

/// Hashes everything that the compiler's output depends on, to the same text in every process.
fn engine_key(engine: &Engine) -> String {
    let mut hasher = XxHash3_64::default();
    engine.wasmtime().precompile_compatibility_hash().hash(&mut hasher);
    engine.profile().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(unix)]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let metadata = fs::metadata(folder)?;
    belongs_to_us(&metadata)?;
    let permissions = metadata.permissions();
    if permissions.mode() & 0o077 != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
