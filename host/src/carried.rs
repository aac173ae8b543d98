//! What the program carries for those who write skills: the SDK, and the templates of new skills. `build.rs` packs it.
//!
//! The SDK is unpacked when a crate needs it, into a folder of the state folder that is called after its digest; crates are pointed there, so that no clone is needed and
//! every author builds against the SDK that belongs to the host that runs the skill. Start with [`Sdk::unpack`].

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{CliError, REPORT, Result};
use crate::exit::Exit;
use crate::home::{Home, make_folder};

static SDK: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sdk.pack"));
static TEMPLATES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/templates.pack"));

/// The version of the SDK that is carried.
pub const SDK_VERSION: &str = env!("SKILLHOST_SDK_VERSION");

/// The SHA-256 of everything in the SDK that is carried.
const SDK_DIGEST: &str = env!("SKILLHOST_SDK_DIGEST");

/// So much of the digest names the folder.
const FOLDER_DIGITS: usize = 16;

/// More than is ever carried, in bytes.
const UNPACKED_BYTES_MAX: usize = 16 << 20;

/// How many unpacked SDKs are kept: those of earlier versions, which crates may still point to.
const KEPT_MAX: usize = 8;

/// The SDK, unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdk {
    folder: PathBuf,
}

impl Sdk {
    /// Unpacks the SDK if it is not there yet, or not as it should be. Nobody ever sees half of it.
    pub fn unpack(home: &Home) -> Result<Self> {
        let above = home.sdks();
        let folder = above.join(&SDK_DIGEST[..FOLDER_DIGITS]);
        let files = files(SDK);
        let as_it_should_be =
            |(path, content): (&String, &Vec<u8>)| fs::read(folder.join(path)).is_ok_and(|there| there == *content);
        if !files.iter().all(as_it_should_be) {
            put(&above, &folder, &files).map_err(|e| {
                let message = format!("could not unpack the SDK into `{}`", above.display());
                CliError::new(Exit::Storage, "no_sdk", message).caused_by(&e)
            })?;
        }
        Ok(Self { folder })
    }

    /// Returns the folder of the crate `skillhost-sdk`.
    pub fn package(&self) -> PathBuf {
        self.folder.join("guest-sdk")
    }

    /// Returns the lock file of the SDK: the versions of its dependencies that it was tested with.
    pub fn lock() -> Result<String> {
        let lock = files(SDK)
            .remove("Cargo.lock")
            .and_then(|bytes| String::from_utf8(bytes).ok());
        lock.ok_or_else(|| {
            CliError::new(Exit::Internal, "internal", "the SDK that is carried has no lock file").hint(REPORT)
        })
    }
}

/// Returns the files of a template, by their paths; none if there is no such template.
pub fn template(name: &str) -> BTreeMap<String, Vec<u8>> {
    let prefix = format!("{name}/");
    let files = files(TEMPLATES).into_iter();
    files
        .filter_map(|(path, content)| Some((path.strip_prefix(&prefix)?.to_owned(), content)))
        .collect()
}

/// Reads a pack.
fn files(pack: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let bytes = zstd::bulk::decompress(pack, UNPACKED_BYTES_MAX).expect("it was packed by the build");
    let mut rest = bytes.as_slice();
    let mut files = BTreeMap::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = std::str::from_utf8(&rest[..end]).expect("the build wrote it");
        let (path, size) = line.rsplit_once(' ').expect("the build wrote it");
        let (content, after) = rest[end + 1..].split_at(size.parse().expect("the build wrote it"));
        files.insert(path.to_owned(), content.to_vec());
        rest = after;
    }
    files
}

fn put(above: &Path, folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    make_folder(above)?;
    let fresh = tempfile::Builder::new().prefix(".unpacking-").tempdir_in(above)?;
    for (path, content) in files {
        let path = fresh.path().join(path);
        fs::create_dir_all(path.parent().expect("it is below the folder"))?;
        fs::File::create(&path)?.write_all(content)?;
    }
    if fs::symlink_metadata(folder).is_ok() {
        // It was changed by somebody. Moved away first, so that it is never seen half removed.
        let damaged = tempfile::Builder::new().prefix(".removing-").tempdir_in(above)?;
        fs::rename(folder, damaged.path().join("sdk"))?;
    }
    match fs::rename(fresh.path(), folder) {
        // Another process was faster, with the same files.
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
            ) => {}
        done => done?,
    }
    forget_old(above, folder);
    Ok(())
}

/// Removes the SDKs that were unpacked longest ago, if there are too many. One that cannot be removed is tried again next time.
fn forget_old(above: &Path, newest: &Path) {
    let mut found: Vec<_> = fs::read_dir(above)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path() != newest && !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| {
            (
                entry.metadata().and_then(|metadata| metadata.modified()).ok(),
                entry.path(),
            )
        })
        .collect();
    found.sort();
    for (_, path) in found.iter().rev().skip(KEPT_MAX - 1) {
        drop(fs::remove_dir_all(path));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::env::Environment;

    fn home(folder: &Path) -> Home {
        let environment = Environment {
            home: Some(folder.to_owned()),
            ..Environment::current()
        };
        Home::find(&environment).unwrap()
    }

    #[test]
    fn the_sdk_is_unpacked_once_and_mended_if_somebody_changed_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = home(folder.path());
        let sdk = Sdk::unpack(&home).unwrap();
        let manifest = sdk.package().join("Cargo.toml");
        let made = fs::metadata(&manifest).unwrap();
        assert_eq!(Sdk::unpack(&home).unwrap(), sdk);
        assert_eq!(
            fs::metadata(&manifest).unwrap().ino(),
            made.ino(),
            "it was unpacked again"
        );
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, "damaged").unwrap();
        Sdk::unpack(&home).unwrap();
        assert_eq!(fs::read_to_string(&manifest).unwrap(), text);
        assert_eq!(
            fs::read_dir(home.sdks()).unwrap().count(),
            1,
            "something was left behind"
        );
    }

    #[test]
    fn sdks_of_many_versions_are_not_kept_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let home = home(folder.path());
        for version in 0..20 {
            fs::create_dir_all(home.sdks().join(format!("{version:016}"))).unwrap();
        }
        let sdk = Sdk::unpack(&home).unwrap();
        assert_eq!(fs::read_dir(home.sdks()).unwrap().count(), KEPT_MAX);
        assert!(sdk.package().exists());
    }

    #[test]
    fn the_sdk_is_a_workspace_of_its_own_with_the_versions_of_ours() {
        let files = files(SDK);
        let manifest: toml::Table = std::str::from_utf8(&files["Cargo.toml"]).unwrap().parse().unwrap();
        let dependencies = manifest["workspace"]["dependencies"].as_table().unwrap();
        assert!(dependencies.contains_key("wit-bindgen"));
        assert!(!dependencies.contains_key("wasmtime"), "{dependencies:?}");
        assert!(files.contains_key("wit/world.wit") && files.contains_key("guest-sdk/macros/src/lib.rs"));
        let lock = Sdk::lock().unwrap();
        let ours = include_str!("../../Cargo.lock");
        assert!(lock.len() < ours.len() / 2);
        for line in lock.lines().filter(|line| line.starts_with("checksum")) {
            assert!(ours.contains(line), "{line}");
        }
    }
}
