//! Packs what the program carries for those who write skills: the SDK as a workspace of its own, and the templates of new skills.
//!
//! The pack is a list of files, compressed: a line `path size`, then the content, for each. The same sources give the same bytes. `src/carried.rs` reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

/// The crates that the SDK consists of, relative to the repository.
const CRATES: [&str; 2] = ["guest-sdk", "guest-sdk/macros"];

/// What of the repository the SDK is made of.
const SOURCES: [&str; 2] = ["guest-sdk", "wit"];

/// The package that a skill names.
const SDK: &str = "skillhost-sdk";

/// Small, and unpacked in a millisecond.
const COMPRESSION_LEVEL: i32 = 19;

type Files = BTreeMap<String, Vec<u8>>;

fn main() {
    let host = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is"));
    let root = host.parent().expect("the package lies in the repository");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo says where to put things"));
    for source in ["Cargo.toml", "Cargo.lock"].iter().chain(&SOURCES) {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    println!("cargo::rerun-if-changed={}", host.join("templates").display());

    let mut sdk = Files::new();
    for source in SOURCES {
        collect(&root.join(source), source, &mut sdk);
    }
    sdk.insert("Cargo.toml".to_owned(), workspace(root).into_bytes());
    sdk.insert("Cargo.lock".to_owned(), lock(root).into_bytes());
    let digest = write(&out.join("sdk.pack"), &sdk);
    println!("cargo::rustc-env=SKILLHOST_SDK_DIGEST={digest}");
    println!("cargo::rustc-env=SKILLHOST_SDK_VERSION={}", version(root));

    let mut templates = Files::new();
    collect(&host.join("templates"), "", &mut templates);
    write(&out.join("templates.pack"), &templates);
}

/// Collects the files of a folder under their paths; hidden ones are an editor's.
fn collect(folder: &Path, prefix: &str, files: &mut Files) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("`{}` cannot be read: {e}", folder.display()));
    for entry in entries {
        let entry = entry.expect("the folder can be listed");
        let name = entry.file_name().into_string().expect("our files have plain names");
        // A template's `.gitignore` is called `gitignore`, so that nothing hidden is of ours.
        if name.starts_with('.') || name == "target" {
            continue;
        }
        let path = match prefix {
            "" => name,
            prefix => format!("{prefix}/{name}"),
        };
        match entry.path().is_dir() {
            true => collect(&entry.path(), &path, files),
            false => {
                files.insert(path, fs::read(entry.path()).expect("our files can be read"));
            }
        }
    }
}

fn read(path: &Path) -> Table {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("`{}` cannot be read: {e}", path.display()));
    text.parse()
        .unwrap_or_else(|e| panic!("`{}` is no TOML: {e}", path.display()))
}

fn version(root: &Path) -> String {
    let manifest = read(&root.join("Cargo.toml"));
    manifest["workspace"]["package"]["version"]
        .as_str()
        .expect("the workspace has a version")
        .to_owned()
}

/// Returns the manifest of a workspace of the SDK alone: what its crates inherit, and nothing else.
fn workspace(root: &Path) -> String {
    let mut manifest = read(&root.join("Cargo.toml"));
    let mut inherited = BTreeSet::new();
    for member in CRATES {
        let dependencies = read(&root.join(member).join("Cargo.toml"));
        let dependencies = dependencies.get("dependencies").and_then(Value::as_table);
        let names = dependencies.into_iter().flatten().map(|(name, _)| name.clone());
        inherited.extend(names);
    }
    let mut workspace = match manifest.remove("workspace") {
        Some(Value::Table(workspace)) => workspace,
        _ => panic!("the repository is a workspace"),
    };
    let members = CRATES.map(|member| Value::String(member.to_owned()));
    workspace.insert("members".to_owned(), Value::Array(members.to_vec()));
    workspace.remove("default-members");
    if let Some(Value::Table(dependencies)) = workspace.get_mut("dependencies") {
        dependencies.retain(|name, _| inherited.contains(name));
    }
    let whole = Table::from_iter([("workspace".to_owned(), Value::Table(workspace))]);
    toml::to_string(&whole).expect("a table can be written")
}

/// Returns the part of the lock file that the SDK needs, so that a skill is built of the same versions as the skills here.
fn lock(root: &Path) -> String {
    let mut lock = read(&root.join("Cargo.lock"));
    let Some(Value::Array(packages)) = lock.remove("package") else {
        panic!("the lock file has packages");
    };
    let name_of = |package: &Value| package["name"].as_str().expect("a package has a name").to_owned();
    // A dependency is `name`, or `name version` where there are several of a name.
    let named = |package: &Value, dependency: &str| {
        let mut words = dependency.split(' ');
        let (name, version) = (words.next(), words.next());
        package["name"].as_str() == name && version.is_none_or(|version| package["version"].as_str() == Some(version))
    };
    let mut needed = vec![SDK.to_owned()];
    let mut kept: Vec<&Value> = Vec::new();
    while let Some(dependency) = needed.pop() {
        for package in packages.iter().filter(|package| named(package, &dependency)) {
            if kept.iter().any(|kept| std::ptr::eq(*kept, package)) {
                continue;
            }
            kept.push(package);
            let dependencies = package.get("dependencies").and_then(Value::as_array);
            let dependencies = dependencies.into_iter().flatten().filter_map(Value::as_str);
            needed.extend(dependencies.map(str::to_owned));
        }
    }
    kept.sort_by_key(|package| (name_of(package), package["version"].to_string()));
    let kept = kept.into_iter().cloned().collect();
    let whole = Table::from_iter([
        ("version".to_owned(), lock["version"].clone()),
        ("package".to_owned(), Value::Array(kept)),
    ]);
    toml::to_string(&whole).expect("a table can be written")
}

/// Writes a pack, and returns the digest of what is in it.
fn write(path: &Path, files: &Files) -> String {
    let mut bytes = Vec::new();
    for (name, content) in files {
        bytes.extend(format!("{name} {}\n", content.len()).into_bytes());
        bytes.extend(content);
    }
    let packed = zstd::bulk::compress(&bytes, COMPRESSION_LEVEL).expect("it can be compressed");
    fs::write(path, packed).expect("the folder for what is built can be written");
    let digest = Sha256::digest(&bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
