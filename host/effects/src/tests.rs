//! Tickets, made by the machine as in a real run, performed.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use skillhost_core::calls::CallOptions;
use skillhost_core::effect::{Class, Function};
use skillhost_core::entry::{Entry, Limits, Record, SEMANTICS, Started};
use skillhost_core::grants::Grants;
use skillhost_core::id::{Digest, LaunchId, Number, RunId, Seq, SkillName};
use skillhost_core::machine::{Act, Action, Asks, Call, End, Event, Machine, Slice};
use skillhost_core::time::Timestamp;
use skillhost_loopback::{Behaviour, Loopback, Rule};

use super::*;
use crate::model::{Config, Environment, Hub, Name, Settings};

pub(crate) const RUN: &str = "01jd0000000000000000000000";

/// Runs a machine until it gives leave to perform the one call of a model.
fn ticket(provider: &model::Provider, timeout: Option<Duration>) -> Ticket {
    let request = json!({"model": "haiku", "messages": [{"role": "user", "content": [{"text": "#reply Hello!"}]}]});
    let options = CallOptions {
        timeout_ns: timeout.map(|timeout| timeout.as_nanos() as u64),
        ..CallOptions::default()
    };
    let class = Class::Retryable;
    ticket_of(
        Function::MODEL_COMPLETE,
        class,
        Payload::of(&request),
        options,
        provider.describe(),
    )
}

/// Runs a machine until it gives leave to perform the one call.
pub(crate) fn ticket_of(
    function: Function,
    class: Class,
    request: Payload,
    options: CallOptions,
    provider: skillhost_core::entry::Provider,
) -> Ticket {
    ticket_of_run(
        RUN,
        function,
        class,
        request,
        options,
        provider,
        Limits::default(),
        None,
    )
}

/// Returns a ticket of a run that may spend so much, for a call that asks a model.
#[allow(clippy::too_many_arguments, reason = "a test names those that it is about")]
pub(crate) fn ticket_of_run(
    run: &str,
    function: Function,
    class: Class,
    request: Payload,
    options: CallOptions,
    provider: skillhost_core::entry::Provider,
    limits: Limits,
    asks: Option<Asks>,
) -> Ticket {
    let started = Started {
        run: RunId::parse(run).unwrap(),
        launch: LaunchId::parse(RUN).unwrap(),
        skill: SkillName::parse("asker").unwrap(),
        input: Payload::null(),
        bundle: Digest::of(b""),
        component: Digest::of(b""),
        seed: Digest::of(b""),
        zone: "UTC".to_owned(),
        zone_offsets: Vec::new(),
        mounts: Vec::new(),
        limits,
        provider,
        engine: String::new(),
        semantics: SEMANTICS,
        parent: None,
        continues: None,
        caller: None,
        skills_folder: None,
        grants: Grants::default(),
    };
    let first = Record {
        seq: Seq(0),
        at: Timestamp(0),
        entry: Entry::Started(Box::new(started)),
    };
    let call = Call {
        number: Number(0),
        function,
        request,
        options,
        class,
        bound: None,
        asks: asks.map(Box::new),
        lasts: None,
        signal: None,
        guest_time: Timestamp(0),
        refused: None,
    };
    let blocked = Event::Guest(Slice {
        acts: vec![Act::Start(Box::new(call))],
        end: End::Blocked,
    });
    let mut machine = Machine::new(vec![first]).unwrap();
    let mut actions = machine.handle(Timestamp(1), blocked);
    actions.extend(machine.handle(Timestamp(2), Event::Durable(Seq(1))));
    let performed = actions.into_iter().find_map(|action| match action {
        Action::Perform(ticket) => Some(ticket),
        _ => None,
    });
    performed.expect("the machine gives leave once the call is durable")
}

/// Returns the provider of a run that asks no model.
pub(crate) fn no_provider() -> skillhost_core::entry::Provider {
    skillhost_core::entry::Provider {
        name: "offline".to_owned(),
        models: BTreeMap::new(),
        features: Vec::new(),
        simulated: true,
        acts: false,
    }
}

/// Returns what is granted to the skill of these tests, at its launch as today: pairs of an interface, a target and how that is to be used.
pub(crate) fn granted(asked: &[(&str, &str, &str)]) -> Granted {
    let mut grants = Grants::default();
    for (capability, target, access) in asked {
        let more = skillhost_core::grants::asked(capability, Some(target), Some(access));
        grants.add(&more.unwrap().unwrap());
    }
    let today = grants.clone();
    Granted::new(SkillName::parse("asker").unwrap(), grants, move || Ok(today.clone()))
}

/// Stores secrets as the user would, and returns the file that they are in.
pub(crate) fn stored(folder: &std::path::Path, secrets: &[(&str, &str)]) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;

    let path = folder.join("secrets.toml");
    let sections = secrets
        .iter()
        .map(|(name, value)| format!("[\"{name}\"]\nkey = \"{value}\"\n"));
    std::fs::write(&path, sections.collect::<String>()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn start(server: &Loopback) -> (Effects, model::Provider) {
    let url = server.url();
    let variables = BTreeMap::from([("ANTHROPIC_API_KEY", "key"), ("ANTHROPIC_BASE_URL", url.as_str())]);
    let environment = Environment::of(|name| variables.get(name).map(|value| (*value).to_owned()));
    let settings = Settings::new(Config::default(), environment);
    let provider = Hub::new().open(Name::Anthropic, &settings, None).unwrap();
    let skill: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mounts = files::Mounts::new("/nonexistent/run".into(), Arc::new(skill));
    let holder = process::Holder {
        program: "/nonexistent/holder".into(),
        words: Vec::new(),
    };
    let ground = process::Ground::new(holder, None, |_| None);
    let programs = process::Programs::new(ground, granted(&[]), "/nonexistent/programs".into());
    let sites = http::Sites::new(http::Web::new(), granted(&[]));
    (Effects::new(provider.clone(), mounts, programs, sites), provider)
}

#[tokio::test]
async fn a_ticket_is_performed_once_with_the_key_of_its_call_and_says_what_it_spent() {
    let server = Loopback::start().unwrap();
    let (effects, provider) = start(&server);
    let ended = effects.perform(ticket(&provider, None), &Watch::silent()).await;
    let Ended::Returned {
        outcome: Outcome::Ok(reply),
        spent: Some(spent),
        again: None,
    } = ended
    else {
        panic!("{ended:?}");
    };
    let reply: skillhost_core::calls::model::Reply = reply.read().unwrap();
    assert_eq!((spent.calls, spent.tokens), (1, reply.usage.total()));
    assert_eq!(server.counts().answered, [(format!("{RUN}/0"), 1)].into());
}

#[tokio::test]
async fn a_call_that_takes_longer_than_its_timeout_is_answered_so() {
    let server = Loopback::start().unwrap();
    server.rule(Rule::of(Behaviour::Hang));
    let (effects, provider) = start(&server);
    let ended = effects
        .perform(ticket(&provider, Some(Duration::from_millis(50))), &Watch::silent())
        .await;
    match ended {
        Ended::Returned {
            outcome: Outcome::Err(fault),
            spent: None,
            again: None,
        } => assert_eq!(fault.code, Fault::TIMEOUT),
        other => panic!("{other:?}"),
    }
}
