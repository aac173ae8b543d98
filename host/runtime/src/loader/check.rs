//! Says in words why a component does not fit, before anything of it runs.
//!
//! The engine's own check (`instantiate_pre`) is the authority, and stays the last; this one comes first because it knows what to do about it.

use std::collections::BTreeMap;

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::COMPONENT_BYTES_MAX;
use super::error::LoadError;
use crate::engine::Engine;
use crate::wasi;

/// The package that holds the world.
const PACKAGE: &str = "skillhost:skill";
/// The version of the world that this host has.
const VERSION: &str = "0.1.0";
/// What a skill exports.
const EXPORTS: &[&str] = &["describe", "run"];

/// The functions of each interface of the world, as components name them. A test compares this with `wit/`.
pub(super) const WORLD: &[(&str, &[&str])] = &[
    ("types", &[]),
    (
        "tasks",
        &[
            "[method]pending.id",
            "[constructor]pending-set",
            "[method]pending-set.add",
            "[method]pending-set.wait",
        ],
    ),
    ("model", &["complete", "start-complete", "finish-complete"]),
    (
        "files",
        &[
            "read",
            "start-read",
            "finish-read",
            "read-range",
            "start-read-range",
            "finish-read-range",
            "write",
            "start-write",
            "finish-write",
            "append",
            "start-append",
            "finish-append",
            "list",
            "start-list",
            "finish-list",
            "stat",
            "start-stat",
            "finish-stat",
            "remove",
            "start-remove",
            "finish-remove",
        ],
    ),
    ("process", &["run", "start-run", "finish-run"]),
    ("http", &["send", "start-send", "finish-send"]),
    ("inbox", &["post", "start-post", "finish-post"]),
    ("clock", &["now", "sleep", "start-sleep", "finish-sleep"]),
    ("random", &["next", "bytes"]),
    (
        "signals",
        &["wait", "start-wait", "finish-wait", "ask", "start-ask", "finish-ask"],
    ),
    ("skills", &["call", "start-call", "finish-call"]),
    ("run", &["info", "continue-as", "notes", "start-notes", "finish-notes"]),
    ("log", &["write", "write-at", "progress"]),
];

/// Checks what can be seen of the bytes: size and kind.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), LoadError> {
    if bytes.len() as u64 > COMPONENT_BYTES_MAX {
        return Err(LoadError::TooLarge {
            bytes: bytes.len() as u64,
            max: COMPONENT_BYTES_MAX,
        });
    }
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Err(LoadError::CoreModule),
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(()),
        _ => Err(LoadError::NotWasm { begins: begins(bytes) }),
    }
}

/// Describes the beginning of a file that is something else.
fn begins(bytes: &[u8]) -> String {
    let first = &bytes[..bytes.len().min(16)];
    match std::str::from_utf8(first) {
        _ if first.is_empty() => "nothing: it is empty".to_owned(),
        Ok(text) if !text.chars().any(|c| c.is_control() && !c.is_whitespace()) => format!("{text:?}"),
        _ => format!("the bytes {}", hex::encode(first)),
    }
}

/// Says why a component does not compile.
pub(super) fn uncompilable(reason: String) -> LoadError {
    if reason.contains("component model async") {
        return LoadError::AsyncAbi { reason };
    }
    LoadError::Invalid { reason }
}

/// Says why a component's functions do not have the types that they have here.
pub(super) fn unfit(error: &wasmtime::Error) -> LoadError {
    let reason = format!("{error:#}");
    if reason.contains("mismatch with async") {
        return LoadError::AsyncAbi { reason };
    }
    LoadError::Unfit { reason }
}

/// Checks what the component exports and imports.
pub(super) fn types(engine: &Engine, component: &Component) -> Result<(), LoadError> {
    let ty = component.component_type();
    let engine = engine.wasmtime();
    let exports: Vec<String> = ty.exports(engine).map(|(name, _)| name.to_owned()).collect();
    let missing: Vec<String> = EXPORTS
        .iter()
        .filter(|name| !exports.iter().any(|export| export == *name))
        .map(|name| (*name).to_owned())
        .collect();
    if !missing.is_empty() {
        return Err(LoadError::OtherWorld { missing, exports });
    }
    let provided = provided();
    for (name, item) in ty.imports(engine) {
        if let Some(members) = members(engine, name, &item.ty) {
            import(&provided, name, &members)?;
        }
    }
    Ok(())
}

/// Returns the names of what is imported and has something behind it.
pub(super) fn imports(engine: &Engine, component: &Component) -> Vec<String> {
    let engine = engine.wasmtime();
    let ty = component.component_type();
    let imports = ty.imports(engine);
    let real =
        imports.filter(|(name, item)| members(engine, name, &item.ty).is_some_and(|members| !members.is_empty()));
    real.map(|(name, _)| name.to_owned()).collect()
}

/// Returns the functions of an import; none for a type, which has nothing behind it.
fn members<'a>(engine: &'a wasmtime::Engine, name: &'a str, item: &'a ComponentItem) -> Option<Vec<&'a str>> {
    match item {
        ComponentItem::ComponentInstance(instance) => {
            let members = instance.exports(engine);
            let functions =
                members.filter(|(_, item)| !matches!(item.ty, ComponentItem::Type(_) | ComponentItem::Resource(_)));
            Some(functions.map(|(name, _)| name).collect())
        }
        ComponentItem::Type(_) => None,
        _ => Some(vec![name]),
    }
}

/// What this host provides: interfaces with their version and, for those of the world, their members.
struct Provided {
    version: &'static str,
    members: Option<&'static [&'static str]>,
}

fn provided() -> BTreeMap<String, Provided> {
    let world = WORLD.iter().map(|(interface, members)| {
        let members = Some(*members);
        (
            format!("{PACKAGE}/{interface}"),
            Provided {
                version: VERSION,
                members,
            },
        )
    });
    let wasi = wasi::INTERFACES.iter().map(|interface| {
        let provided = Provided {
            version: wasi::clocks::VERSION,
            members: None,
        };
        ((*interface).to_owned(), provided)
    });
    #[allow(unused_mut, reason = "extended with the test capability")]
    let mut all: BTreeMap<_, _> = world.chain(wasi).collect();
    #[cfg(feature = "test-capability")]
    all.insert(
        "skillhost:test/acts".to_owned(),
        Provided {
            version: VERSION,
            members: None,
        },
    );
    all
}

fn import(all: &BTreeMap<String, Provided>, name: &str, members: &[&str]) -> Result<(), LoadError> {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    let Some(here) = all.get(interface) else {
        // An interface of types alone asks for nothing.
        if members.is_empty() {
            return Ok(());
        }
        return Err(LoadError::UnknownImport {
            name: name.to_owned(),
            provided: format!("the interfaces of `{PACKAGE}@{VERSION}` and WASI 0.2 without `wasi:http`"),
        });
    };
    if track(version) != track(here.version) {
        return Err(LoadError::OtherVersion {
            name: name.to_owned(),
            host: here.version.to_owned(),
        });
    }
    let Some(known) = here.members else {
        return Ok(());
    };
    let functions: Vec<String> = members
        .iter()
        .filter(|member| !known.contains(member))
        .map(|member| (*member).to_owned())
        .collect();
    if functions.is_empty() {
        return Ok(());
    }
    Err(LoadError::NewerWorld {
        name: name.to_owned(),
        functions,
        host: here.version.to_owned(),
    })
}

/// Returns the part of a version within which versions are compatible: `0.1` of `0.1.7`, `2` of `2.3.4`.
fn track(version: &str) -> Option<Vec<u64>> {
    if version.contains(['-', '+']) {
        // A prerelease is compatible with nothing but itself.
        return None;
    }
    let parts: Option<Vec<u64>> = version.split('.').map(|part| part.parse().ok()).collect();
    let parts = parts?;
    match parts.as_slice() {
        [0, 0, ..] => Some(parts),
        [0, minor, ..] => Some(vec![0, *minor]),
        [major, ..] => Some(vec![*major]),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_world_is_what_the_wit_says() {
        let mut wit = BTreeMap::new();
        for file in std::fs::read_dir("../../wit").expect("the world is there") {
            let text = std::fs::read_to_string(file.expect("a file").path()).expect("WIT");
            assert!(text.contains(&format!("package {PACKAGE}@{VERSION};")), "{text}");
            functions(&text, &mut wit);
        }
        let table = WORLD.iter().map(|(name, members)| {
            let members = members.iter().map(|member| (*member).to_owned());
            ((*name).to_owned(), members.collect())
        });
        assert_eq!(table.collect::<BTreeMap<String, Vec<String>>>(), wit);
    }

    /// Finds the functions of each interface. Reads just enough of WIT for that: a parser of it would be another build of the whole engine, for one test.
    fn functions(text: &str, found: &mut BTreeMap<String, Vec<String>>) {
        let mut interface = None;
        let mut resource: Option<String> = None;
        for line in text.lines().map(str::trim) {
            let opened = |keyword: &str| line.strip_prefix(keyword)?.strip_suffix(" {").map(str::to_owned);
            if let Some(name) = opened("interface ") {
                found.entry(name.clone()).or_default();
                interface = Some(name);
            } else if let Some(name) = opened("resource ") {
                resource = Some(name);
            } else if line == "}" {
                resource = None;
            }
            let Some(members) = interface.as_ref().and_then(|name| found.get_mut(name)) else {
                continue;
            };
            match (line.split_once(": func("), &resource) {
                (Some((name, _)), _) if name.starts_with("//") => {}
                (Some((name, _)), None) => members.push(name.trim_start_matches('%').to_owned()),
                (Some((name, _)), Some(resource)) => members.push(format!("[method]{resource}.{name}")),
                (None, Some(resource)) if line == "constructor();" => members.push(format!("[constructor]{resource}")),
                _ => {}
            }
        }
    }

    #[test]
    fn versions_are_compatible_within_their_track() {
        assert_eq!(track("0.2.0"), track("0.2.12"));
        assert_ne!(track("0.1.0"), track("0.2.0"));
        assert_eq!(track("1.0.0"), track("1.9.0"));
        assert_ne!(track("0.1.0-rc.1"), track("0.1.0"));
        assert_ne!(track(""), track("0.1.0"));
    }

    #[test]
    fn a_file_that_is_no_component_is_told_by_its_beginning() {
        let said = |bytes: &[u8]| super::bytes(bytes).expect_err("refused").to_string();
        assert!(said(b"").contains("nothing: it is empty"));
        assert!(said(b"#!/bin/sh\n").contains(r##""#!/bin/sh\n""##));
        assert!(said(&[0x7f, b'E', b'L', b'F', 2, 1]).contains("the bytes 7f454c460201"));
        assert!(said(b"\0asm\x01\0\0\0").starts_with("this is a core WebAssembly module"));
        assert!(super::bytes(b"\0asm\x0d\0\x01\0").is_ok());
    }
}
