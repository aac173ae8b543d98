#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use serde_json::json;
use skillhost_core::budget::Cost;
use skillhost_core::calls::CallOptions;
use skillhost_core::entry::{How, Limits, Provider};
use skillhost_core::id::{Digest, LaunchId, RunId, Seq, SkillName};

use super::*;

struct Story {
    records: Vec<Record>,
    millis: u64,
    held_from: u64,
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
            zone_offsets: Vec::new(),
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
            continues: None,
            caller: None,
            skills_folder: None,
            grants: Default::default(),
        };
        let mut story = Self {
            records: Vec::new(),
            millis: 0,
            held_from: 1,
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
            Entry::Called(Arc::new(Called {
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
                reserved_day: None,
                over: None,
                tier: None,
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
                spent: (tokens > 0).then_some(Cost {
                    calls: 1,
                    tokens,
                    ..Cost::ZERO
                }),
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
                fault: Some(Box::new(Fault::new(code, "busy"))),
                spent: None,
                reserved: None,
                reserved_day: None,
            }),
        );
    }

    fn lines(&self, most: usize) -> String {
        let timeline = Timeline::of(&self.records, Seq(self.held_from)).unwrap();
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
    insta::assert_snapshot!(research().lines(60), @r"
    7 calls; 4 of a model, 9,303 tokens; 2 performed again; 1 answered with an error
    CALL           AT        TOOK  TOKENS  FROM  WHAT
       0        +1 ms       2.1 s   1,203  live  plan
       1       +2.1 s       8.5 s   4,100  live  part: river 1
       2       +2.1 s  1 min 19 s   4,000  live  part: river 2 (again after overloaded; again after a c…
       3       +2.1 s       8.6 s          live  part: river 3 (overloaded: no room[1m)
       4  +1 min 21 s        3 ms          live  files.write run/report.md
       5  +1 min 21 s                            signals.ask publish (waits for an answer)
       6  +1 min 21 s                            clock.sleep 1 min 30 s (waits for its time)
    ");
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
    insta::assert_snapshot!(story.lines(400).lines().take(4).collect::<Vec<_>>().join("\n"), @r"
    301 calls; 300 of a model, 3,000 tokens
    CALL       AT   TOOK  TOKENS  FROM  WHAT
       0    +1 ms  10 ms      10  live  fix 0.md
       1   +12 ms  10 ms      10  live  fix 0.md
    ");
    insta::assert_snapshot!(story.lines(200).lines().take(4).collect::<Vec<_>>().join("\n"), @r"
    301 calls; 300 of a model, 3,000 tokens
    CALL       AT   TOOK  TOKENS  FROM  WHAT
     2 x    +1 ms  21 ms      20  live  fix 0.md
     2 x   +23 ms  21 ms      20  live  fix 1.md
    ");
    insta::assert_snapshot!(story.lines(10), @r"
    301 calls; 300 of a model, 3,000 tokens
     CALL      AT   TOOK  TOKENS  FROM  WHAT
    300 x   +1 ms  3.2 s   3,000  live  model.complete: fix 0.md, fix 1.md, fix 2.md, fix 3.md, fix 4.m…
      300  +3.3 s                       files.write run/report.md (in flight)
    ");
}

#[test]
fn what_cannot_be_folded_loses_its_middle() {
    let mut story = Story::begin();
    for number in 0..100 {
        let function = [Function::FILES_READ, Function::FILES_STAT][number as usize % 2];
        story.called(number, function, None, json!({"path": format!("run/{number}")}));
    }
    insta::assert_snapshot!(story.lines(6), @r"
    100 calls
    CALL       AT  TOOK  TOKENS  FROM  WHAT
       0    +1 ms                      files.read run/0 (in flight)
       1    +2 ms                      files.stat run/1 (in flight)
       2    +3 ms                      files.read run/2 (in flight)
                                       ... 94 calls left out; `--all` shows them
      97   +98 ms                      files.stat run/97 (in flight)
      98   +99 ms                      files.read run/98 (in flight)
      99  +100 ms                      files.stat run/99 (in flight)
    ");
}

#[test]
fn what_the_journal_answered_is_told_from_what_was_done() {
    let mut story = research();
    story.held_from = 8;
    insta::assert_snapshot!(story.lines(60), @r"
    7 calls; 4 of a model, 9,303 tokens; 2 performed again; 2 replayed from the journal by the last attempt; 1 answered with an error
    CALL           AT        TOOK  TOKENS  FROM    WHAT
       0        +1 ms       2.1 s   1,203  replay  plan
       1       +2.1 s       8.5 s   4,100  replay  part: river 1
       2       +2.1 s  1 min 19 s   4,000  live    part: river 2 (again after overloaded; again after a…
       3       +2.1 s       8.6 s          live    part: river 3 (overloaded: no room[1m)
       4  +1 min 21 s        3 ms          live    files.write run/report.md
       5  +1 min 21 s                              signals.ask publish (waits for an answer)
       6  +1 min 21 s                              clock.sleep 1 min 30 s (waits for its time)
    ");
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
