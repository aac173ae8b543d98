//! The shape of the repository: which crate may know which, what lies where, how large a file may grow, and that no fixture is left without a test.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Which of our crates each of our crates may name, the tests' own apart.
const ARROWS: &[(&str, &[&str])] = &[
    ("skillhost-core", &[]),
    ("skillhost-journal", &["skillhost-core"]),
    ("skillhost-effects", &["skillhost-core"]),
    ("skillhost-runtime", &["skillhost-core"]),
    ("skillhost-toolchain", &[]),
    (
        "skillhost",
        &[
            "skillhost-core",
            "skillhost-journal",
            "skillhost-effects",
            "skillhost-runtime",
            "skillhost-toolchain",
        ],
    ),
    ("skillhost-sdk-macros", &[]),
    ("skillhost-sdk", &["skillhost-sdk-macros"]),
    ("hello-world", &["skillhost-sdk"]),
    ("deep-research", &["skillhost-sdk"]),
    ("code-review", &["skillhost-sdk"]),
    ("skillhost-test-guests", &["skillhost-sdk"]),
    ("skillhost-loopback", &[]),
    (
        "skillhost-sim",
        &["skillhost", "skillhost-core", "skillhost-journal", "skillhost-effects"],
    ),
    ("skillhost-storage", &["skillhost-core", "skillhost-journal"]),
    (
        "skillhost-bench",
        &["skillhost-core", "skillhost-journal", "skillhost-loopback"],
    ),
    ("xtask", &["skillhost-toolchain"]),
];

/// Crates that tests of a crate may use beside those of its arrows.
const FOR_TESTS: &[&str] = &["skillhost-loopback", "skillhost-toolchain"];

/// Which crates may name a library; names that begin alike belong together.
const ALONE: &[(&str, &[&str])] = &[
    ("wasmtime", &["skillhost-runtime"]),
    (
        "rusqlite",
        &["skillhost-bench", "skillhost-journal", "skillhost-storage"],
    ),
    ("reqwest", &["skillhost-effects"]),
    ("clap", &["skillhost", "skillhost-bench", "xtask"]),
    ("notify", &["skillhost"]),
    ("wit-bindgen", &["skillhost-sdk", "skillhost-test-guests"]),
];

/// What the core may be made of: nothing that waits, reads a clock, draws lots or reaches out.
const CORE: &[&str] = &["base64", "hex", "serde", "serde_json", "sha2", "thiserror"];

/// What lies at the top, hidden files and what is built apart.
const TOP: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "clippy.toml",
    "guest-sdk",
    "host",
    "rustfmt.toml",
    "skills",
    "tests",
    "wit",
];

/// The most lines of a source file.
const LINES_MAX: usize = 700;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// A dependency as a manifest states it.
struct Dependency {
    name: String,
    is_for_tests: bool,
}

/// Returns every package of the workspace with what it depends on.
fn packages() -> BTreeMap<String, Vec<Dependency>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter().map(|package| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let dependencies = dependencies.map(|dependency| Dependency {
            name: dependency["name"].as_str().unwrap().to_owned(),
            is_for_tests: dependency["kind"] == "dev",
        });
        (package["name"].as_str().unwrap().to_owned(), dependencies.collect())
    });
    packages.collect()
}

/// Returns every file below a folder whose name ends so, what is built apart.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !name.starts_with('.') && !name.starts_with("target") {
                found.extend(files(&path, ending));
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

#[test]
fn arrows_between_crates_are_those_of_the_architecture() {
    let packages = packages();
    let arrows: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (package, dependencies) in packages.iter().filter(|(package, _)| *package != "skillhost-it") {
        let Some(allowed) = arrows.get(package.as_str()) else {
            wrong.push(format!("`{package}` is not in the list of arrows"));
            continue;
        };
        let ours = dependencies
            .iter()
            .filter(|dependency| packages.contains_key(&dependency.name));
        for dependency in ours {
            let name = dependency.name.as_str();
            if !(allowed.contains(&name) || dependency.is_for_tests && FOR_TESTS.contains(&name)) {
                wrong.push(format!("`{package}` names `{name}`"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    for (package, _) in ARROWS {
        assert!(packages.contains_key(*package), "there is no `{package}` any more");
    }
}

#[test]
fn the_engine_the_database_the_network_and_the_terminal_have_one_home_each() {
    let mut wrong = Vec::new();
    for (package, dependencies) in packages() {
        for dependency in dependencies {
            for (library, homes) in ALONE {
                if dependency.name.starts_with(library) && !homes.contains(&package.as_str()) {
                    wrong.push(format!("`{package}` names `{}`", dependency.name));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_core_is_made_of_nothing_that_acts() {
    let packages = packages();
    let dependencies = packages["skillhost-core"]
        .iter()
        .filter(|dependency| !dependency.is_for_tests);
    for dependency in dependencies {
        assert!(
            CORE.contains(&dependency.name.as_str()),
            "`{}` in the core",
            dependency.name
        );
    }
}

#[test]
fn the_top_of_the_repository_holds_what_it_is_known_for() {
    let found = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let unknown: Vec<_> = found
        .filter(|name| !name.starts_with('.') && !name.starts_with("target") && !TOP.contains(&name.as_str()))
        .collect();
    assert_eq!(unknown, Vec::<String>::new());
    for needed in TOP.iter().chain(&[
        ".ci/run",
        ".cargo/config.toml",
        ".gitignore",
        "host/ARCHITECTURE.md",
        "host/SECURITY.md",
    ]) {
        assert!(root().join(needed).exists(), "`{needed}` is missing");
    }
}

#[test]
fn every_skill_that_ships_can_be_dropped_and_runs_without_a_key() {
    for skill in fs::read_dir(root().join("skills")).unwrap() {
        let skill = skill.unwrap().path();
        for needed in ["SKILL.md", "offline.toml", "prompts"] {
            assert!(skill.join(needed).exists(), "`{}/{needed}` is missing", shown(&skill));
        }
        let text = fs::read_to_string(skill.join("SKILL.md")).unwrap();
        let name = skill.file_name().unwrap().to_str().unwrap();
        assert!(text.starts_with("---\n"), "`{}` has no front matter", shown(&skill));
        assert!(
            text.contains(&format!("\nname: {name}\n")),
            "`{}` has another name",
            shown(&skill)
        );
        assert!(
            text.contains("\ndescription: "),
            "`{}` has no description",
            shown(&skill)
        );
    }
}

#[test]
fn every_fixture_is_named_by_a_test() {
    let mut sources = String::new();
    for folder in ["tests/it", "host"] {
        for path in files(&root().join(folder), ".rs") {
            sources += &fs::read_to_string(path).unwrap();
        }
    }
    let fixtures = files(&root().join("tests/guests/examples"), ".rs");
    let names: BTreeSet<_> = fixtures
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap())
        .collect();
    assert!(!names.is_empty());
    let is_named = |name: &str| {
        [name.to_owned(), name.replace('_', "-")]
            .iter()
            .any(|name| sources.contains(&format!("\"{name}\"")))
    };
    let alone: Vec<_> = names.into_iter().filter(|name| !is_named(name)).collect();
    assert_eq!(alone, Vec::<&str>::new(), "fixtures that no test names");
}

#[test]
fn no_source_file_is_too_long_to_read() {
    let long = files(root(), ".rs").into_iter().filter_map(|path| {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        (lines > LINES_MAX).then(|| format!("{}: {lines} lines", shown(&path)))
    });
    assert_eq!(long.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn the_engine_is_of_the_one_version_that_is_pinned_and_everything_comes_from_one_place() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let pinned = manifest.split("\nwasmtime = { version = \"=").nth(1).unwrap();
    let pinned = pinned.split('"').next().unwrap();
    let value = |package: &str, member: &str| {
        let line = package
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{member} = \"")))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    let mut sources = BTreeSet::new();
    let mut versions = BTreeSet::new();
    for package in lock.split("[[package]]").skip(1) {
        sources.extend(value(package, "source"));
        if value(package, "name").is_some_and(|name| name == "wasmtime" || name.starts_with("wasmtime-wasi")) {
            versions.extend(value(package, "version"));
        }
    }
    assert_eq!(versions, BTreeSet::from([pinned.to_owned()]));
    assert_eq!(sources.len(), 1, "{sources:?}");
    assert!(
        sources.iter().all(|source| source.starts_with("registry+")),
        "{sources:?}"
    );
}

#[test]
fn nothing_is_left_to_be_written_and_no_test_is_left_out() {
    // Put together here, so that this file does not name them.
    let unwanted = [
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("#[ign", "ore"),
    ];
    let mut found = Vec::new();
    for path in files(root(), ".rs") {
        let text = fs::read_to_string(&path).unwrap();
        for word in unwanted {
            if text.contains(word) {
                found.push(format!("{}: `{word}`", shown(&path)));
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
}
