//! Builds all guests of this repository: the skills that ship, ready to be installed, and the fixtures of the tests.
//!
//! Tests call [`ensure_guests`]. It builds at most once in a process, and once in a run of nextest, which starts a process for every test; whether anything is
//! out of date is for cargo to say. The guests have a target folder of their own, so that a test may build them while cargo, which started it, holds the lock on the
//! other.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde::Deserialize;

use super::cargo::{self, BuildError, Component, Crate};
use super::{Choice, Packages, Toolchain, ToolchainError, ask};

/// Says that the guests are built, and where, so that tests need not see to it.
pub const GUESTS_VARIABLE: &str = "SKILLHOST_GUESTS";

/// The guests of this repository.
#[derive(Clone, Debug)]
pub struct Guests {
    folder: PathBuf,
}

impl Guests {
    /// Returns the component of a skill or a fixture.
    ///
    /// # Panics
    /// If there is none of that name: a test asks for what it knows.
    pub fn component(&self, name: &str) -> PathBuf {
        let path = self.folder.join("guests").join(format!("{name}.wasm"));
        assert!(path.is_file(), "there is no guest `{name}`");
        path
    }

    /// Returns the folder that holds everything, as [`GUESTS_VARIABLE`] says it to the processes of tests.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the folder with the skills that ship, as they are installed: one folder each.
    pub fn skills(&self) -> PathBuf {
        self.folder.join("skills")
    }
}

/// Why the guests are not there.
#[derive(Debug, thiserror::Error)]
pub enum GuestsError {
    /// No compiler.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// They do not build.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Cargo does not say what the workspace consists of.
    #[error("could not read the workspace at `{root}`: {reason}")]
    Workspace {
        /// Its folder.
        root: PathBuf,
        /// Why.
        reason: String,
    },
    /// They could not be put into place.
    #[error("could not put guests into `{path}`")]
    Place {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Returns the guests, built if need be, for tests of the workspace whose folder is `root`.
///
/// # Panics
/// If they cannot be built: no test goes on then.
pub fn ensure_guests(root: &Path) -> &'static Guests {
    static GUESTS: OnceLock<Guests> = OnceLock::new();
    GUESTS.get_or_init(|| {
        if let Some(folder) = std::env::var_os(GUESTS_VARIABLE) {
            return Guests { folder: folder.into() };
        }
        let built = Choice::from_environment()
            .map_err(GuestsError::from)
            .and_then(|choice| build_guests(root, choice, Packages::Expect));
        built.unwrap_or_else(|error| panic!("{error}"))
    })
}

/// Builds the guests of the workspace whose folder is `root`, into `guests/` and `skills/` of its target folder.
pub fn build_guests(root: &Path, choice: Choice, packages: Packages) -> Result<Guests, GuestsError> {
    let workspace = Workspace::read(root)?;
    let folder = workspace.target_directory;
    let place = |path: &Path, source| GuestsError::Place {
        path: path.to_owned(),
        source,
    };
    let build_folder = folder.join("guest-build");
    fs::create_dir_all(&build_folder).map_err(|source| place(&build_folder, source))?;
    // Held until this function returns; other processes wait here and then find everything up to date.
    let lock = build_folder.join("lock");
    let lock = File::create(&lock)
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|source| place(&lock, source))?;
    let guests = Guests { folder: folder.clone() };
    let stamp = build_folder.join("built-for");
    let run = std::env::var("NEXTEST_RUN_ID").ok();
    if run.is_some() && fs::read_to_string(&stamp).ok() == run {
        return Ok(guests);
    }
    let toolchain = Toolchain::find(choice, packages)?;
    let components = toolchain.build(&Crate {
        manifest: root.join("Cargo.toml"),
        packages: workspace
            .packages
            .into_iter()
            .filter(Package::is_guest)
            .map(|package| package.name)
            .collect(),
        examples: true,
        profile: "guest".to_owned(),
        target_folder: build_folder,
    })?;
    put_into_place(&components, &folder).map_err(|source| place(&folder, source))?;
    if let Some(run) = run {
        fs::write(&stamp, run).map_err(|source| place(&stamp, source))?;
    }
    drop(lock);
    Ok(guests)
}

/// Returns the packages that become components, by name.
pub fn guest_packages(root: &Path) -> Result<Vec<String>, GuestsError> {
    let packages = Workspace::read(root)?.packages.into_iter();
    Ok(packages.filter(Package::is_guest).map(|package| package.name).collect())
}

/// Returns the folder that cargo builds a crate into.
pub fn target_folder(manifest: &Path) -> Result<PathBuf, GuestsError> {
    let folder = manifest.parent().unwrap_or(manifest);
    Workspace::read(folder).map(|workspace| workspace.target_directory)
}

/// What cargo says of the workspace.
#[derive(Deserialize)]
struct Workspace {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    targets: Vec<PackageTarget>,
}

#[derive(Deserialize)]
struct PackageTarget {
    crate_types: Vec<String>,
}

impl Workspace {
    fn read(root: &Path) -> Result<Self, GuestsError> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(root);
        let read = ask(&mut command).and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
        read.map_err(|reason| GuestsError::Workspace {
            root: root.to_owned(),
            reason,
        })
    }
}

impl Package {
    /// Returns whether it or an example of it becomes a component.
    fn is_guest(&self) -> bool {
        let mut crate_types = self.targets.iter().flat_map(|target| &target.crate_types);
        crate_types.any(|crate_type| crate_type == "cdylib")
    }
}

fn put_into_place(components: &[Component], folder: &Path) -> io::Result<()> {
    let guests = folder.join("guests");
    fs::create_dir_all(&guests)?;
    for component in components {
        put(&component.path, &guests.join(format!("{}.wasm", component.name)))?;
        if !component.is_example {
            install(component, &folder.join("skills").join(&component.name))?;
        }
    }
    Ok(())
}

/// Makes the folder that a user would drop into the skills directory: the component, and what lies beside the source and is not source.
fn install(component: &Component, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    put(&component.path, &folder.join("skill.wasm"))?;
    put_folder(cargo::package_folder(component), folder, &|name| {
        !matches!(
            name,
            "Cargo.toml" | "Cargo.lock" | "src" | "tests" | "target" | "skill.wasm"
        ) && !name.starts_with('.')
    })
}

/// Copies a folder's contents as far as `is_wanted` says, and removes what is there no more.
fn put_folder(from: &Path, to: &Path, is_wanted: &dyn Fn(&str) -> bool) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut names = Vec::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(is_wanted) {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => put_folder(&entry.path(), &to.join(&name), &|_| true)?,
            false => put(&entry.path(), &to.join(&name))?,
        }
        names.push(name);
    }
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if names.contains(&entry.file_name()) || entry.file_name() == "skill.wasm" {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// Copies a file if its contents differ, in one step: a test of another process may be reading it.
fn put(from: &Path, to: &Path) -> io::Result<()> {
    let contents = fs::read(from)?;
    if fs::read(to).is_ok_and(|there| there == contents) {
        return Ok(());
    }
    let mut unfinished = to.as_os_str().to_owned();
    unfinished.push(".unfinished");
    fs::write(&unfinished, contents)?;
    fs::rename(&unfinished, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skill_is_installed_with_what_lies_beside_its_source() {
        let temp = tempfile::tempdir().unwrap();
        let package = temp.path().join("hello-world");
        for (file, text) in [
            ("Cargo.toml", "[package]"),
            ("src/lib.rs", ""),
            ("SKILL.md", "# Greets"),
            ("offline.toml", ""),
            ("prompts/a.md", "hello"),
            (".hidden", ""),
        ] {
            fs::create_dir_all(package.join(file).parent().unwrap()).unwrap();
            fs::write(package.join(file), text).unwrap();
        }
        let wasm = temp.path().join("hello_world.wasm");
        fs::write(&wasm, "component").unwrap();
        let component = Component {
            name: "hello-world".to_owned(),
            is_example: false,
            manifest: package.join("Cargo.toml"),
            path: wasm,
        };
        let target = temp.path().join("target");
        let installed = target.join("skills/hello-world");
        fs::create_dir_all(installed.join("prompts")).unwrap();
        fs::write(installed.join("prompts/gone.md"), "from an earlier build").unwrap();
        put_into_place(&[component], &target).unwrap();
        let mut files = Vec::new();
        for folder in [installed.clone(), installed.join("prompts"), target.join("guests")] {
            let names = fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap());
            files.extend(names);
        }
        files.sort();
        assert_eq!(
            files,
            [
                "SKILL.md",
                "a.md",
                "hello-world.wasm",
                "offline.toml",
                "prompts",
                "skill.wasm"
            ]
        );
    }
}
