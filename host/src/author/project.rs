//! The crate of a skill: where it is, and which SDK it is built with.
//!
//! A crate says `skillhost-sdk = "0.1"`, as it would of a published one. That it is the SDK of this program is said beside it, in `.cargo/config.toml`, which is written
//! here, kept out of version control, and different on each machine: so the crate itself can be handed around, and plain cargo and editors work. A crate that
//! says otherwise where its SDK comes from is left alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use semver::{Version, VersionReq};
use toml::{Table, Value};

use crate::carried::{SDK_VERSION, Sdk};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::{Home, read_regular};

/// What a crate calls the SDK.
const SDK: &str = "skillhost-sdk";

/// What cargo reads beside a crate.
const CONFIG: &str = ".cargo/config.toml";

/// With this a file begins that is ours to write.
const OURS: &str = "# Written by skillhost";

/// The largest `Cargo.toml` that is read, in bytes.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// The crate of a skill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    folder: PathBuf,
    package: String,
    sdk: Origin,
}

/// Where a crate has its SDK from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// It only says which versions it can be built with.
    Carried { versions: String },
    /// It says so itself, or does without.
    Own,
}

impl Project {
    /// Finds the crate at a path: its folder, its `Cargo.toml`, or, if none is given, the folder that the command was started in or one above it.
    pub fn find(path: Option<&Path>) -> Result<Self> {
        let given = path.unwrap_or_else(|| Path::new("."));
        let real = fs::canonicalize(given).map_err(|e| {
            CliError::invalid("no_crate", format!("there is no crate at `{}`", given.display()))
                .caused_by(&e)
                .hint(NEW)
        })?;
        let folder = match real.file_name() {
            Some(name) if name == "Cargo.toml" => real.parent().unwrap_or(&real),
            _ => &real,
        };
        // Only what nobody named is looked for.
        let reach = if path.is_none() { usize::MAX } else { 1 };
        let found = folder
            .ancestors()
            .take(reach)
            .find(|folder| folder.join("Cargo.toml").is_file());
        let Some(folder) = found else {
            let message = format!("there is no `Cargo.toml` in `{}`", given.display());
            return Err(CliError::invalid("no_crate", message).hint(NEW));
        };
        Self::read(folder)
    }

    fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("Cargo.toml");
        let unusable = |reason: &str| {
            let message = format!("`{}` is not the manifest of a skill: {reason}", path.display());
            CliError::invalid("bad_manifest", message)
        };
        let bytes = read_regular(&path, MANIFEST_BYTES_MAX).map_err(|e| unusable("it cannot be read").caused_by(&e))?;
        let text = String::from_utf8(bytes).map_err(|e| unusable("it is not UTF-8").caused_by(&e))?;
        let manifest: Table = text.parse().map_err(|e: toml::de::Error| unusable(e.message()))?;
        let package = manifest.get("package").and_then(|package| package.get("name"));
        let Some(package) = package.and_then(Value::as_str) else {
            return Err(unusable("it has no `[package]`").hint("give the folder of one crate of the workspace"));
        };
        Ok(Self {
            folder: folder.to_owned(),
            package: package.to_owned(),
            sdk: origin(&manifest),
        })
    }

    /// Returns its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the name of its package.
    pub fn package(&self) -> &str {
        &self.package
    }

    /// Returns its `Cargo.toml`.
    pub fn manifest(&self) -> PathBuf {
        self.folder.join("Cargo.toml")
    }

    /// Sees to it that the crate finds its SDK, and returns what cargo has to be told for that.
    pub fn connect(&self, home: &Home) -> Result<Vec<String>> {
        let Origin::Carried { versions } = &self.sdk else {
            return Ok(Vec::new());
        };
        let carried = Version::parse(SDK_VERSION).expect("our version is one");
        // What cannot be read is left to cargo, which says what it expects.
        if let Ok(asked) = VersionReq::parse(versions)
            && !asked.matches(&carried)
        {
            let message = format!(
                "crate `{}` asks for `{SDK}` {versions}, and this skillhost carries {SDK_VERSION}",
                self.package
            );
            return Err(CliError::new(Exit::Unsupported, "other_sdk", message).hint(format!(
                "write `{SDK} = \"{}.{}\"` into its `Cargo.toml`, or use another version of skillhost",
                carried.major, carried.minor
            )));
        }
        let sdk = Sdk::unpack(home)?;
        point_to(&self.folder, &sdk)?;
        // For where the file is somebody else's, or cargo does not look for it.
        Ok(vec![format!("patch.crates-io.{SDK}.path={}", path_value(&sdk))])
    }
}

const NEW: &str = "`skillhost new NAME` makes the crate of a skill";

/// Reads from a manifest where the SDK comes from.
fn origin(manifest: &Table) -> Origin {
    let patched = manifest.get("patch").and_then(|patch| patch.get("crates-io"));
    if patched.is_some_and(|patched| patched.get(SDK).is_some()) {
        return Origin::Own;
    }
    let dependency = manifest
        .get("dependencies")
        .and_then(|dependencies| dependencies.get(SDK));
    let versions = match dependency {
        Some(Value::String(versions)) => Some(versions.clone()),
        Some(Value::Table(dependency)) => {
            let says_where = ["path", "git", "registry", "workspace"];
            let versions = dependency.get("version").and_then(Value::as_str);
            versions
                .filter(|_| !says_where.iter().any(|key| dependency.contains_key(*key)))
                .map(str::to_owned)
        }
        _ => None,
    };
    versions.map_or(Origin::Own, |versions| Origin::Carried { versions })
}

/// Writes where the SDK is beside a crate, unless its author has a file of that name.
pub(super) fn point_to(folder: &Path, sdk: &Sdk) -> Result<()> {
    let path = folder.join(CONFIG);
    let text = format!(
        "{OURS}: where the SDK lies that this skillhost carries. Not for version control; `skillhost build` writes it anew.\n\
         [patch.crates-io]\n{SDK} = {{ path = {} }}\n",
        path_value(sdk)
    );
    let not_written = |e: &io::Error| {
        CliError::new(
            Exit::Storage,
            "not_written",
            format!("could not write `{}`", path.display()),
        )
        .caused_by(e)
    };
    match read_regular(&path, MANIFEST_BYTES_MAX) {
        Ok(there) if there == text.as_bytes() => return Ok(()),
        Ok(there) if !there.starts_with(OURS.as_bytes()) => return Ok(()),
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(not_written(&e)),
    }
    fs::create_dir_all(folder.join(".cargo")).map_err(|e| not_written(&e))?;
    crate::home::rewrite(&path, text.as_bytes()).map_err(|e| not_written(&e))
}

/// Returns the path of the SDK's crate as TOML has it.
fn path_value(sdk: &Sdk) -> String {
    Value::String(sdk.package().display().to_string()).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use crate::env::Environment;

    struct Crate(tempfile::TempDir);

    impl Crate {
        fn with(dependency: &str) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            let manifest = format!("[package]\nname = \"x\"\n[dependencies]\n{dependency}\n");
            fs::write(folder.0.path().join("Cargo.toml"), manifest).unwrap();
            folder
        }

        fn project(&self) -> Project {
            Project::find(Some(self.0.path())).unwrap()
        }

        fn connect(&self) -> Result<Vec<String>> {
            let environment = Environment {
                home: Some(self.0.path().join("home")),
                ..Environment::current()
            };
            self.project().connect(&Home::find(&environment).unwrap())
        }

        fn config(&self) -> PathBuf {
            self.0.path().join(CONFIG)
        }
    }

    #[test]
    fn a_crate_that_names_a_version_is_pointed_to_the_sdk_that_is_carried() {
        let own = Crate::with("skillhost-sdk = \"0.1\"");
        let settings = own.connect().unwrap();
        assert!(
            settings[0].starts_with("patch.crates-io.skillhost-sdk.path=\""),
            "{settings:?}"
        );
        let config: Table = fs::read_to_string(own.config()).unwrap().parse().unwrap();
        let path = config["patch"]["crates-io"][SDK]["path"].as_str().unwrap();
        assert!(Path::new(path).join("Cargo.toml").is_file());
        // One of an earlier version is written anew.
        fs::write(own.config(), format!("{OURS} long ago")).unwrap();
        own.connect().unwrap();
        assert!(fs::read_to_string(own.config()).unwrap().contains(path));
    }

    #[test]
    fn a_crate_that_says_where_its_sdk_is_and_a_file_of_the_authors_are_left_alone() {
        for dependency in [
            "skillhost-sdk = { path = \"../sdk\" }",
            "skillhost-sdk = { workspace = true }",
            "skillhost-sdk = { git = \"https://example.org/sdk\" }",
            "skillhost-sdk = \"0.1\"\n[patch.crates-io]\nskillhost-sdk = { path = \"../sdk\" }",
            "serde = \"1\"",
        ] {
            let own = Crate::with(dependency);
            assert_eq!(own.connect().unwrap(), Vec::<String>::new(), "{dependency}");
            assert!(!own.config().exists(), "{dependency}");
        }
        let own = Crate::with("skillhost-sdk = { version = \"0.1\", features = [] }");
        fs::create_dir(own.0.path().join(".cargo")).unwrap();
        fs::write(own.config(), "[net]\noffline = true\n").unwrap();
        assert_eq!(own.connect().unwrap().len(), 1, "cargo is told by its command line");
        assert_eq!(fs::read_to_string(own.config()).unwrap(), "[net]\noffline = true\n");
    }

    #[test]
    fn a_crate_for_another_version_of_the_sdk_is_told_which_there_is() {
        let error = Crate::with("skillhost-sdk = \"7\"").connect().unwrap_err();
        assert_eq!(error.code, "other_sdk");
        assert!(
            error
                .message
                .contains("asks for `skillhost-sdk` 7, and this skillhost carries 0.1.0"),
            "{error}"
        );
    }

    #[test]
    fn a_crate_is_found_from_within_it_and_by_its_manifest() {
        let own = Crate::with("");
        let folder = fs::canonicalize(own.0.path()).unwrap();
        assert_eq!(
            Project::find(Some(&folder.join("Cargo.toml"))).unwrap().folder(),
            folder
        );
        fs::create_dir(folder.join("src")).unwrap();
        let error = Project::find(Some(&folder.join("src"))).unwrap_err();
        assert_eq!(error.code, "no_crate");
        fs::write(folder.join("Cargo.toml"), "[workspace]\n").unwrap();
        assert!(
            Project::find(Some(&folder))
                .unwrap_err()
                .message
                .ends_with("it has no `[package]`")
        );
    }
}
