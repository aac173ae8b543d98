//! What the machine takes for a call: performed live, and replayed. `cargo bench --package skillhost-core`.

#![allow(clippy::unwrap_used, reason = "a bench")]

use std::collections::BTreeMap;

use divan::Bencher;
use divan::counter::ItemsCount;
use skillhost_core::budget::Cost;
use skillhost_core::calls::CallOptions;
use skillhost_core::effect::{Class, Function};
use skillhost_core::entry::{Entry, Limits, Provider, Record, SEMANTICS, Started};
use skillhost_core::id::{Digest, LaunchId, Number, RunId, Seq, SkillName};
use skillhost_core::machine::{Act, Action, Call, End, Ended, Event, Machine, Slice, Write};
use skillhost_core::outcome::Outcome;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;

/// How many calls a run of the benches makes.
const CALLS: u64 = 1_000;

fn main() {
    divan::main();
}

/// A run that makes calls one after the other, each performed.
#[divan::bench]
fn live(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(CALLS))
        .with_inputs(|| Machine::new(vec![started()]).unwrap())
        .bench_values(|machine| go(machine, CALLS));
}

/// The same run, which stands in its journal.
#[divan::bench]
fn replayed(bencher: Bencher<'_, '_>) {
    let records = go(Machine::new(vec![started()]).unwrap(), CALLS);
    let records: Vec<Record> = [started()].into_iter().chain(records).collect();
    bencher
        .counter(ItemsCount::new(CALLS))
        .with_inputs(|| Machine::new(records.clone()).unwrap())
        .bench_values(|machine| go(machine, CALLS));
}

/// Plays the guest and the shell, and returns what was written.
fn go(mut machine: Machine, calls: u64) -> Vec<Record> {
    let mut written = Vec::new();
    let mut events = vec![start(0)];
    while let Some(event) = events.pop() {
        for action in machine.handle(Timestamp(1_000), event) {
            match action {
                Action::Write(writes) => written.extend(writes.into_iter().filter_map(|write| match write {
                    Write::Entry(record) => Some(record),
                    Write::Line { .. } | Write::Local(_) => None,
                })),
                Action::Barrier(seq) => events.push(Event::Durable(seq)),
                Action::Perform(ticket) => events.push(ended(ticket.number())),
                Action::Deliver(delivery) if delivery.number.0 + 1 < calls => events.push(start(delivery.number.0 + 1)),
                Action::Deliver(_) | Action::Stop(_) | Action::Idle(_) => {}
                Action::Measure(_) | Action::Abort(_) | Action::Alarm(_) | Action::Grace(_) | Action::Read(_) => {
                    unreachable!("nothing of this run does that")
                }
            }
        }
    }
    written
}

/// The guest asks a model, and waits for the answer.
fn start(number: u64) -> Event {
    let call = Call {
        number: Number(number),
        function: Function::MODEL_COMPLETE,
        request: Payload::parse(r#"{"model":"haiku","messages":[{"role":"user","content":[{"text":"a step"}]}]}"#)
            .unwrap(),
        options: CallOptions::default(),
        class: Class::Retryable,
        bound: Some(Cost {
            calls: 1,
            tokens: 100,
            microdollars: 0,
        }),
        asks: None,
        lasts: None,
        signal: None,
        guest_time: Timestamp(1_000),
        refused: None,
    };
    Event::Guest(Slice {
        acts: vec![Act::Start(Box::new(call))],
        end: End::Blocked,
    })
}

fn ended(number: Number) -> Event {
    let answer = Payload::parse(r#"{"content":[{"text":"an answer"}]}"#).unwrap();
    Event::Ended(
        number,
        Ended::Returned {
            outcome: Outcome::Ok(answer),
            spent: Some(Cost {
                calls: 1,
                tokens: 40,
                microdollars: 0,
            }),
            again: None,
        },
    )
}

fn started() -> Record {
    let run = RunId::parse("01jd0000000000000000000000").unwrap();
    let budget = Cost {
        calls: u64::MAX,
        tokens: u64::MAX,
        microdollars: 0,
    };
    let started = Started {
        launch: LaunchId::parse(run.as_str()).unwrap(),
        run,
        skill: SkillName::parse("measured").unwrap(),
        input: Payload::null(),
        bundle: Digest::of(b"bundle"),
        component: Digest::of(b"component"),
        seed: Digest::of(b"seed"),
        zone: "UTC".to_owned(),
        zone_offsets: Vec::new(),
        mounts: Vec::new(),
        limits: Limits {
            budget,
            ..Limits::default()
        },
        provider: Provider {
            name: "offline".to_owned(),
            models: BTreeMap::new(),
            features: Vec::new(),
            simulated: true,
            acts: false,
        },
        engine: "none".to_owned(),
        semantics: SEMANTICS,
        parent: None,
        continues: None,
        caller: None,
        skills_folder: None,
        grants: Default::default(),
    };
    Record {
        seq: Seq(0),
        at: Timestamp(1_000),
        entry: Entry::Started(Box::new(started)),
    }
}
