//! What was spent on models, by performance.

use std::sync::Arc;

use skillhost_core::budget::Cost;
use skillhost_core::entry::{By, Called, Entry, Retried, Returned, Why};
use skillhost_core::id::{Number, SkillName};
use skillhost_core::machine::Write;
use skillhost_core::outcome::Outcome;
use skillhost_core::price::Price;
use skillhost_journal::{NewRun, Spending};

use crate::support::{Stage, append, at, called, entry, json, run_id};

stories! {
    each_performance_is_told_once_and_what_is_not_settled_apart,
    runs_are_told_by_skill_and_models_by_their_ids,
}

fn cost(tokens: u64) -> Cost {
    Cost {
        calls: 1,
        tokens,
        microdollars: tokens * 2,
    }
}

fn asks(number: u64, model: &str, reserved: Option<u64>) -> Entry {
    // Long enough that its payload is kept apart.
    let request = format!(
        r#"{{"model":"{model}","messages":[{{"role":"user","content":[{{"text":"{}"}}]}}]}}"#,
        "why ".repeat(500)
    );
    match called(number, json(&request)) {
        Entry::Called(called) => Entry::Called(Arc::new(Called {
            reserved: reserved.map(cost),
            ..Called::clone(&called)
        })),
        other => other,
    }
}

fn again(number: u64, spent: Option<u64>, reserved: u64) -> Entry {
    Entry::Retried(Retried {
        number: Number(number),
        why: Why::Failure,
        fault: None,
        spent: spent.map(cost),
        reserved: Some(cost(reserved)),
        reserved_day: None,
    })
}

fn answered(number: u64, spent: Option<u64>) -> Entry {
    Entry::Returned(Returned {
        number: Number(number),
        outcome: Outcome::Ok(json("1")),
        spent: spent.map(cost),
        by: By::Effect,
    })
}

fn write(stage: &Stage, n: u64, entries: Vec<Entry>) {
    let mut started = stage.started(n);
    started.provider.simulated = false;
    started
        .provider
        .models
        .insert("haiku".to_owned(), "small-20260101".to_owned());
    started.limits.prices.set("small", Price::default());
    if n > 1 {
        started.skill = SkillName::parse("other").unwrap();
    }
    stage.journal.create_run(NewRun::first(started, at(n), None)).unwrap();
    let mut writer = stage.take(&run_id(n), "worker");
    let writes: Vec<Write> = entries.into_iter().zip(1..).map(|(one, seq)| entry(seq, one)).collect();
    append(&mut writer, writes).unwrap();
}

fn told(stage: &Stage, skill: Option<&str>) -> Vec<Spending> {
    let skill = skill.map(|skill| SkillName::parse(skill).unwrap());
    let mut told = Vec::new();
    stage
        .journal
        .spending(skill.as_ref(), &mut |one| told.push(one))
        .unwrap();
    told.sort_by_key(|one| (one.run.clone(), one.at, one.spent.tokens));
    told
}

fn each_performance_is_told_once_and_what_is_not_settled_apart(stage: &Stage) {
    let entries = vec![
        asks(0, "haiku", Some(100)),
        again(0, Some(7), 100),
        answered(0, Some(30)),
        asks(1, "haiku", Some(50)),
        again(1, None, 60),
        answered(1, Some(20)),
        asks(2, "haiku", Some(90)),
        asks(3, "haiku", None),
        answered(3, Some(0)),
    ];
    write(stage, 1, entries);
    let amounts: Vec<(u64, u64)> = told(stage, None)
        .iter()
        .map(|one| (one.spent.tokens, one.open.tokens))
        .collect();
    assert_eq!(amounts, [(7, 0), (30, 0), (20, 50), (0, 90)]);
}

fn runs_are_told_by_skill_and_models_by_their_ids(stage: &Stage) {
    write(stage, 1, vec![asks(0, "haiku", Some(10)), answered(0, Some(5))]);
    write(stage, 2, vec![asks(0, "unheard-of", Some(10)), answered(0, Some(6))]);
    let named = |told: Vec<Spending>| -> Vec<(String, bool)> {
        let name = |one: Spending| (format!("{} {}", one.skill, one.model), one.priced);
        told.into_iter().map(name).collect()
    };
    let greeter = ("greeter small-20260101".to_owned(), true);
    let other = ("other unheard-of".to_owned(), false);
    assert_eq!(named(told(stage, None)), [greeter.clone(), other.clone()]);
    assert_eq!(named(told(stage, Some("greeter"))), [greeter]);
    assert_eq!(named(told(stage, Some("other"))), [other]);
    assert_eq!(named(told(stage, Some("nobody"))), []);
}
