//! `doctor --online`: asks the model provider one short question, to know that it answers. It costs what such a call costs.
//!
//! A call is performed by a ticket, and tickets are the machine's to make: so a run of one call is played to it, of which no journal knows.

use std::time::{Duration, Instant};

use serde_json::json;
use skillhost_core::calls::CallOptions;
use skillhost_core::calls::model::Reply;
use skillhost_core::effect::{Class, Function};
use skillhost_core::entry::{Entry, Limits, Record, SEMANTICS, Started};
use skillhost_core::id::{Digest, LaunchId, Number, RunId, Seq, SkillName};
use skillhost_core::machine::{Act, Action, Call, End, Ended, Event, Machine, Slice, Ticket};
use skillhost_core::outcome::Outcome;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_effects::Watch;
use skillhost_effects::model::Provider;

/// How long the provider has.
const PATIENCE: Duration = Duration::from_secs(60);

/// The run that no journal knows.
const RUN: &str = "00000000000000000000000000";

/// Asks, and returns which model answered and how long that took.
pub(super) async fn ask(provider: &Provider) -> Result<(String, Duration), String> {
    let began = Instant::now();
    let ticket = ticket(provider);
    let watch = Watch::silent();
    let asked = tokio::time::timeout(PATIENCE, provider.perform(&ticket, &watch)).await;
    match asked {
        Err(_) => Err(format!("it did not answer within {} s", PATIENCE.as_secs())),
        Ok(Ended::Returned {
            outcome: Outcome::Ok(reply),
            ..
        }) => match reply.read::<Reply>() {
            Ok(reply) => Ok((reply.model, began.elapsed())),
            Err(e) => Err(format!("it answered something else than a reply: {e}")),
        },
        Ok(Ended::Returned {
            outcome: Outcome::Err(fault),
            ..
        }) => Err(format!("{}: {}", fault.code, fault.message)),
        Ok(Ended::InDoubt(why)) => Err(why),
        Ok(Ended::Aborted) => Err("it was ended before it answered".to_owned()),
    }
}

/// Plays a run to a machine until it gives leave to perform the one call.
fn ticket(provider: &Provider) -> Ticket {
    let started = Started {
        run: RunId::parse(RUN).expect("zeros are a run id"),
        launch: LaunchId::parse(RUN).expect("a run id is a launch id"),
        skill: SkillName::parse("doctor").expect("it is a skill's name"),
        input: Payload::null(),
        bundle: Digest::of(b""),
        component: Digest::of(b""),
        seed: Digest::of(b""),
        zone: "UTC".to_owned(),
        zone_offsets: Vec::new(),
        mounts: Vec::new(),
        limits: Limits::default(),
        provider: provider.describe(),
        engine: String::new(),
        semantics: SEMANTICS,
        parent: None,
        continues: None,
        caller: None,
        skills_folder: None,
        grants: Default::default(),
    };
    let first = Record {
        seq: Seq(0),
        at: Timestamp(0),
        entry: Entry::Started(Box::new(started)),
    };
    let question = json!({"role": "user", "content": [{"text": "Answer with the word yes."}]});
    let call = Call {
        number: Number(0),
        function: Function::MODEL_COMPLETE,
        request: Payload::of(&json!({"model": "haiku", "messages": [question], "max_tokens": 16})),
        options: CallOptions::default(),
        class: Class::Retryable,
        bound: None,
        asks: None,
        lasts: None,
        signal: None,
        guest_time: Timestamp(0),
        refused: None,
    };
    let blocked = Event::Guest(Slice {
        acts: vec![Act::Start(Box::new(call))],
        end: End::Blocked,
    });
    let mut machine = Machine::new(vec![first]).expect("a journal of its first entry can be replayed");
    let mut actions = machine.handle(Timestamp(1), blocked);
    actions.extend(machine.handle(Timestamp(2), Event::Durable(Seq(1))));
    let leave = actions.into_iter().find_map(|action| match action {
        Action::Perform(ticket) => Some(ticket),
        _ => None,
    });
    leave.expect("the machine gives leave once the call is durable")
}
