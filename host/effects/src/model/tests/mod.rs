//! Providers against a loopback server that speaks their protocols, against a `claude` that is a script, and against scripts.

#![allow(clippy::unwrap_used, reason = "a test")]

mod anthropic;
mod claude_cli;
mod fuzz;
mod offline;
mod openai;
mod settings;

use std::collections::BTreeMap;
use std::time::Duration;

use skillhost_core::calls::model::{Block, Message, Reply, Request, Role};
use skillhost_core::effect::Class;
use skillhost_core::id::Number;
use skillhost_core::machine::Again;
use skillhost_core::payload::Payload;
use skillhost_core::retry::FaultKind;
use skillhost_loopback::Loopback;

use super::{Asked, Config, Environment, Hub, Miss, Name, Provider, Settings};
use crate::watch::Watch;

/// A run's id is 26 letters; this stands for a call's key.
const KEY: &str = "01jd0000000000000000000000/7";

/// How a call is made, where a test cares.
#[derive(Clone)]
struct Made {
    number: u64,
    attempt: u32,
    label: Option<&'static str>,
    class: Class,
    watch: Watch,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            number: 7,
            attempt: 1,
            label: None,
            class: Class::Retryable,
            watch: Watch::silent(),
        }
    }
}

async fn complete(provider: &Provider, request: &Request, made: Made) -> Result<Reply, Miss> {
    let payload = Payload::of(request);
    let described = provider.describe();
    let asked = Asked {
        number: Number(made.number),
        attempt: made.attempt,
        key: KEY,
        label: made.label,
        class: made.class,
        payload: &payload,
        request,
        model: described.models.get(&request.model).unwrap_or(&request.model),
        watch: &made.watch,
    };
    provider.complete(&asked).await
}

async fn ask(provider: &Provider, text: &str) -> Result<Reply, Miss> {
    complete(provider, &request(text), Made::default()).await
}

fn request(text: &str) -> Request {
    Request {
        model: "haiku".to_owned(),
        system: None,
        messages: vec![message(Role::User, text)],
        tools: Vec::new(),
        max_tokens: None,
        temperature: None,
        stop_sequences: Vec::new(),
        output_schema: None,
        extra: None,
    }
}

fn message(role: Role, text: &str) -> Message {
    Message {
        role,
        content: vec![Block::Text(text.to_owned())],
    }
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    Environment::of(|name| variables.get(name).map(|value| (*value).to_owned()))
}

fn settings(variables: &[(&str, &str)]) -> Settings {
    Settings::new(Config::default(), environment(variables))
}

/// Opens a provider of a loopback server, with further variables.
fn open(name: Name, server: &Loopback, more: &[(&str, &str)]) -> Provider {
    let (url, openai_url) = (server.url(), server.openai_url());
    let mut variables = vec![
        ("ANTHROPIC_BASE_URL", url.as_str()),
        ("OPENAI_BASE_URL", openai_url.as_str()),
        ("ANTHROPIC_API_KEY", "sk-planted-secret"),
        ("OPENAI_API_KEY", "sk-planted-secret"),
        ("OPENAI_MODEL", "tiny"),
    ];
    variables.extend(more);
    Hub::new().open(name, &settings(&variables), None).unwrap()
}

fn text(reply: &Reply) -> String {
    let texts = reply.content.iter().filter_map(|block| match block {
        Block::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn again(kind: FaultKind, seconds: Option<u64>) -> Option<Again> {
    Some(Again {
        kind,
        after: seconds.map(Duration::from_secs),
    })
}

/// Checks a failure: its code, whether trying again may help, and what its message has to say.
fn assert_miss(answer: Result<Reply, Miss>, code: &str, expected: Option<Again>, says: &[&str]) {
    let miss = answer.expect_err("a failure");
    assert_eq!(
        (miss.fault.code.as_str(), miss.again),
        (code, expected),
        "{}",
        miss.fault.message
    );
    for words in says {
        assert!(
            miss.fault.message.contains(words),
            "`{words}` is not in: {}",
            miss.fault.message
        );
    }
    assert!(
        !miss.fault.message.contains("planted"),
        "a secret is in: {}",
        miss.fault.message
    );
}
