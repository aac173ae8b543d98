#![allow(clippy::unwrap_used, reason = "a test")]

use serde_json::json;
use skillhost_core::budget::Cost;
use skillhost_core::calls::CallOptions;
use skillhost_core::entry::{How, Limits, Provider};
use skillhost_core::id::{Digest, LaunchId, RunId, Seq, SkillName};

use super::*;

struct Story {
    records: Vec<Record>,
    millis: u64,
}

impl Story {
    fn begin() -> Self {
        let run = "01jd3k6v8m4t9qwertzuiopas1";
        let started = Started {
            run: RunId::parse(run).unwrap(),
            launch: LaunchId::parse(run).unwrap(),
            skill: SkillName::parse("deep-research").unwrap(),
            input: Payload::of(&json!({})),
            bundle: Digest::of(b""),
            component: Digest::of(b""),
            seed: Digest::of(b""),
            zone: "UTC".to_owned(),
            mounts: Vec::new(),
            limits: Limits::default(),
            provider: Provider {
                name: "offline".to_owned(),
                models: BTreeMap::new(),
                features: Vec::new(),
                simulated: true,
                acts: false,
            },
            engine: String::new(),
            semantics: 1,
            parent: None,
        };
        let mut story = Self {
            records: Vec::new(),
            millis: 0,
        };
        story.entry(0, Entry::Started(Box::new(started)));
        story
    }

    fn entry(&mut self, millis: u64, entry: Entry) {
        self.millis += millis;
        self.records.push(Record {
            seq: Seq(self.records.len() as u64),
            at: Timestamp(1_000_000_000 + self.millis * 1_000),
            entry,
        });
    }

    fn called(&mut self, number: u64, function: Function, label: Option<&str>, request: Value) {
        self.entry(
            1,
            Entry::Called(Box::new(Called {
                number: Number(number),
                function,
                request: Payload::of(&request),
                options: CallOptions {
                    label: label.map(str::to_owned),
                    ..CallOptions::default()
                },
                class: function.spec().class,
                after: 0,
                reserved: None,
                due: None,
            })),
        );
    }

    fn returned(&mut self, number: u64, millis: u64, outcome: Outcome, tokens: u64) {
        self.entry(
            millis,
            Entry::Returned(Returned {
                number: Number(number),
                outcome,
                spent: (tokens > 0).then_some(Cost { calls: 1, tokens }),
                by: By::Effect,
            }),
        );
    }

    fn retried(&mut self, number: u64, why: Why, code: &str) {
        self.entry(
            500,
            Entry::Retried(Retried {
                number: Number(number),
                why,
                fault: Some(Fault::new(code, "busy")),
                spent: None,
                reserved: None,
            }),
        );
    }

    fn lines(&self, most: usize) -> String {
        let timeline = Timeline::of(&self.records).unwrap();
        format!("{}\n{}", timeline.summary(), timeline.lines(most, 100))
    }
}

fn research() -> Story {
    let mut story = Story::begin();
    let ask = json!({"model": "sonnet"});
    story.called(0, Function::MODEL_COMPLETE, Some("plan"), ask.clone());
    story.returned(0, 2_100, Outcome::done(), 1_203);
    for number in 1..4 {
        story.called(
            number,
            Function::MODEL_COMPLETE,
            Some(&format!("part: river {number}")),
            ask.clone(),
        );
    }
    story.retried(2, Why::Failure, "overloaded");
    story.returned(1, 8_000, Outcome::done(), 4_100);
    story.returned(3, 100, Outcome::fault("overloaded", "no room\u{1b}[1m"), 0);
    story.retried(2, Why::Recovery, "x");
    story.returned(2, 70_000, Outcome::done(), 4_000);
    story.called(4, Function::FILES_WRITE, None, json!({"path": "run/report.md"}));
    story.returned(4, 3, Outcome::done(), 0);
    story.called(5, Function::SIGNALS_ASK, None, json!({"name": "publish"}));
    story.called(
        6,
        Function::CLOCK_SLEEP,
        None,
        json!({"duration_ns": 90_000_000_000_u64}),
    );
    story
}

#[test]
fn a_run_is_told_by_the_names_that_the_skill_gave() {
    insta::assert_snapshot!(research().lines(60), @"");
}

#[test]
fn what_was_open_when_the_run_ended_was_not_needed_any_more() {
    let mut story = research();
    story.entry(
        5,
        Entry::Finished(Finished {
            how: How::Done(Payload::null()),
            spent: Cost::ZERO,
        }),
    );
    assert!(
        story
            .lines(60)
            .ends_with("clock.sleep 1 min 30 s (not needed any more)\n")
    );
}

#[test]
fn many_calls_are_folded_until_they_fit() {
    let mut story = Story::begin();
    let ask = json!({"model": "haiku"});
    for number in 0..300 {
        let label = format!("fix {}.md", number / 2);
        story.called(number, Function::MODEL_COMPLETE, Some(&label), ask.clone());
        story.returned(number, 10, Outcome::done(), 10);
    }
    story.called(300, Function::FILES_WRITE, None, json!({"path": "run/report.md"}));
    insta::assert_snapshot!(story.lines(400).lines().take(4).collect::<Vec<_>>().join("\n"), @"");
    insta::assert_snapshot!(story.lines(200).lines().take(4).collect::<Vec<_>>().join("\n"), @"");
    insta::assert_snapshot!(story.lines(10), @"");
}

#[test]
fn what_cannot_be_folded_loses_its_middle() {
    let mut story = Story::begin();
    for number in 0..100 {
        let function = [Function::FILES_READ, Function::FILES_STAT][number as usize % 2];
        story.called(number, function, None, json!({"path": format!("run/{number}")}));
    }
    insta::assert_snapshot!(story.lines(6), @"");
}

#[test]
fn numbers_and_times_read_well() {
    assert_eq!(grouped(1_234_567), "1,234,567");
    assert_eq!(grouped(999), "999");
    let times = [0, 999, 1_000, 59_999, 60_000, 3_599_999, 3_600_000, 172_800_000];
    let times: Vec<String> = times
        .iter()
        .map(|&millis| duration(Duration::from_millis(millis)))
        .collect();
    assert_eq!(
        times,
        [
            "0 ms",
            "999 ms",
            "1.0 s",
            "59.9 s",
            "1 min 00 s",
            "59 min 59 s",
            "1 h 00 min",
            "2 days"
        ]
    );
}
