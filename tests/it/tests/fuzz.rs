//! What others write, changed at random, given to whatever reads it: none of it may stop the host. Here in short; `cargo xtask fuzz` goes on for longer.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "hostile/text.rs"]
mod text;

use serde_json::Value;
use skillhost::author::document;
use skillhost::cases::Case;
use skillhost::config::Config;
use skillhost::schema::Schema;
use skillhost_core::entry::Record;
use skillhost_core::id::{SignalName, SkillName};
use skillhost_core::machine::{Command, Event, Machine};
use skillhost_core::time::Timestamp;
use skillhost_effects::model::offline::Script;
use skillhost_loopback::fuzz::Fuzz;
use skillhost_runtime::{Description, Engine, EngineConfig, LoadError, Loader, LoaderConfig};
use text::Hostile;

/// What JSON is made of, and what stands in it here.
const JSON: &[&str] = &[
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    ",",
    ":",
    "{\"\":",
    "[[[[",
    "\\ud800",
    "\"\\u0000\"",
];

fn as_text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

#[test]
fn fuzz_component() {
    let engine = Engine::new(&EngineConfig::one_run()).unwrap();
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let hostile = skillhost_it::workspace().join("tests/hostile");
    let seeds = [
        "exits",
        "starts_and_drops",
        "log_that_moves_the_cursor",
        "a_million_resources",
        "hundreds_of_components",
    ];
    let seeds = seeds.map(|name| Hostile::read(&hostile.join(format!("{name}.wat"))).component());
    let fuzz = seeds.iter().fold(Fuzz::of("component"), |fuzz, seed| fuzz.seed(seed));
    fuzz.words(&["\0asm\x0d\0\x01\0", "\0asm\x01\0\0\0", "describe", "run"])
        .run(300, |input| {
            let loader = Loader::new(&engine, &LoaderConfig::default()).unwrap();
            tokio.block_on(async {
                match loader.load_bytes(input.to_vec()).await {
                    // Whatever it says, or fails to say.
                    Ok(loaded) => drop(loaded.describe().await.cloned()),
                    Err(LoadError::Compiler { reason }) => panic!("the compiler failed: {reason}"),
                    Err(_) => {}
                }
            });
        });
}

#[test]
fn fuzz_manifests() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let name = SkillName::parse("fuzz").unwrap();
    let words = [
        "---\n",
        "name:",
        "description: |\n",
        "[limits]\n",
        "memory_mib = ",
        "[[reply]]\n",
        "{{",
        "}}",
        "'''",
        "\"\"\"",
    ];
    Fuzz::of("manifests").words(&words).run(500, |input| {
        let text = as_text(input);
        drop(document::problems(Some(&text), &name));
        drop(Case::parse(&text));
        drop(Script::parse(&text));
        std::fs::write(&config, input).unwrap();
        drop(Config::load(&config));
    });
}

#[test]
fn fuzz_descriptions() {
    let words = [
        "\"$ref\":\"#\"",
        "\"$ref\":\"#/$defs/a\"",
        "\"allOf\":",
        "\"pattern\":\"(a{99}){99}\"",
        "\"items\":",
        "\"$id\":\"x\"",
        "\"enum\":",
    ];
    Fuzz::of("descriptions").words(JSON).words(&words).run(1_000, |input| {
        drop(serde_json::from_slice::<Description>(input));
        let Ok(value) = serde_json::from_slice::<Value>(input) else {
            return;
        };
        let Ok(schema) = Schema::of(value["input_schema"].clone()) else {
            return;
        };
        drop(schema.check(&value));
        drop(schema.check(&value["value"]));
        for field in schema.fields().unwrap_or_default() {
            drop(schema.field(field).map(|part| schema.kinds(part)));
        }
    });
}

#[test]
fn fuzz_journals() {
    let seed = std::fs::read_to_string(skillhost_it::workspace().join("tests/fuzz/journals/run.jsonl")).unwrap();
    let seed: Vec<Record> = seed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(Machine::new(seed).is_ok(), "the seed is a journal");
    Fuzz::of("journals").words(JSON).run(2_000, |input| {
        let records: Vec<Record> = as_text(input)
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        drop(Machine::check(&records));
        drop(Machine::pin(&records));
        if let Ok(mut machine) = Machine::new(records) {
            drop(machine.handle(Timestamp(7), Event::Mail(Vec::new())));
            drop(machine.handle(Timestamp(8), Event::Alarm));
        }
    });
}

#[test]
fn fuzz_signals() {
    Fuzz::of("signals").words(JSON).run(2_000, |input| {
        let text = as_text(input);
        for line in text.lines() {
            drop(SignalName::parse(line));
            let Ok(command) = serde_json::from_str::<Command>(line) else {
                continue;
            };
            let again = serde_json::to_string(&command).unwrap();
            assert_eq!(serde_json::from_str::<Command>(&again).unwrap(), command);
        }
    });
}
