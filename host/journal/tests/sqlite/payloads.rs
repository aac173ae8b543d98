//! Payloads come back byte for byte, and what repeats is stored once.

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use skillhost_core::calls::model::{Block, Message, Request, Role};
use skillhost_core::effect::Function;
use skillhost_core::entry::Entry;
use skillhost_core::id::Seq;
use skillhost_core::payload::Payload;

use crate::support::{Stage, append, call, called, entry, json, returned};
use crate::{database, shell};

/// Texts of JSON values, with spaces, escapes and numbers as nobody's serialiser would write them.
fn any_json() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "[a-zé\\u{1F600} ]{0,40}",
        Just("\\u00e9\\n\\\"\\\\".to_owned()),
        (0..3_000_usize).prop_map(|length| "lorem ipsum ".repeat(length / 12)),
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1.0".to_owned()),
        Just("-0".to_owned()),
        Just("1e400".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        text.prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let key = prop_oneof![Just("messages"), Just("model"), Just("path"), Just("name"), Just("a b")];
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..6), ",|, | ,\n")
                .prop_map(|(values, comma)| format!("[{}]", values.join(&comma))),
            prop::collection::vec((key, inner), 0..5).prop_map(|members| {
                let members = members
                    .iter()
                    .map(|(key, value)| format!("\"{key}\" :{value}"))
                    .collect::<Vec<_>>();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// Requests like those of our own types, and some that are nearly so.
fn any_request() -> impl Strategy<Value = String> {
    let messages = prop::collection::vec(any_json(), 0..8);
    (
        any_json(),
        messages,
        any_json(),
        prop_oneof![9 => Just(","), 1 => Just(", ")],
    )
        .prop_map(|(model, messages, extra, comma)| {
            format!(
                "{{\"model\":{model},\"messages\":[{}],\"extra\":{extra}}}",
                messages.join(comma)
            )
        })
}

#[test]
fn a_payload_is_read_back_byte_for_byte() {
    let stage = Stage::sqlite();
    let (run, writer) = stage.run(1);
    let writer = RefCell::new(writer);
    let mut runner = TestRunner::deterministic();
    let texts = (any_request(), any_json(), any_json());
    let told = runner.run(&texts, |(request, other, answer)| {
        let mut writer = writer.borrow_mut();
        let first = writer.next();
        let payloads = [json(&request), json(&other), json(&answer)];
        let entries = [
            called(first.0, payloads[0].clone()),
            call(first.0 + 1, Function::FILES_WRITE, payloads[1].clone()),
            returned(first.0, payloads[2].clone()),
        ];
        append(
            &mut writer,
            entries.iter().zip(first.0..).map(|(one, seq)| entry(seq, one.clone())),
        )
        .unwrap();
        let read = stage.journal.records(&run, first, 3).unwrap();
        let read: Vec<Entry> = read.into_iter().map(|record| record.entry).collect();
        prop_assert_eq!(read, entries);
        Ok(())
    });
    told.unwrap();
}

#[test]
fn an_agent_loop_of_500_turns_costs_linear_space_and_reads_back() {
    let stage = Stage::sqlite();
    let (run, mut writer) = stage.run(1);
    let mut request = Request {
        model: "haiku".to_owned(),
        system: Some("You mend things. ".repeat(100)),
        messages: Vec::new(),
        tools: Vec::new(),
        max_tokens: Some(1_000),
        temperature: None,
        stop_sequences: Vec::new(),
        output_schema: None,
        extra: None,
    };
    let mut requests = Vec::new();
    let mut bytes = Vec::new();
    for turn in 0..500_u64 {
        for role in [Role::User, Role::Assistant, Role::User] {
            // No two alike, and each a little compressible, as what models say is.
            let text = (0..20)
                .map(|n| skillhost_core::retry::chance(&format!("{turn} {role:?} {n}"), 1).to_string())
                .collect::<Vec<_>>()
                .join(" ");
            request.messages.push(Message {
                role,
                content: vec![Block::Text(text)],
            });
        }
        request.messages.pop();
        let payload = Payload::of(&request);
        append(&mut writer, [entry(turn + 1, called(turn, payload.clone()))]).unwrap();
        requests.push(payload);
        if turn % 250 == 249 {
            bytes.push(stored_bytes(&stage));
        }
    }
    let (half, whole) = (bytes[0], bytes[1]);
    assert!(whole < half * 9 / 4, "{half} bytes after 250 turns, {whole} after 500");
    let said: usize = requests.last().unwrap().as_str().len();
    assert!(whole < 3 * said as u64, "{whole} bytes for a conversation of {said}");

    let read = stage.journal.records(&run, Seq(1), 1_000).unwrap();
    for (record, payload) in read.into_iter().zip(&requests) {
        let Entry::Called(called) = record.entry else {
            panic!("only calls are made here")
        };
        assert_eq!(called.request, *payload);
    }
}

fn stored_bytes(stage: &Stage) -> u64 {
    let shell = shell(&database(stage));
    let sql = "select (select sum(length(content)) from blobs) + (select sum(length(content) + 80) from messages)
        + (select sum(length(body) + ifnull(length(payload), 0) + 80) from entries)";
    shell.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64
}

#[test]
fn a_content_that_repeats_is_stored_once() {
    let stage = Stage::sqlite();
    let (_, mut writer) = stage.run(1);
    let (_, mut other) = stage.run(2);
    let long = json(&format!("\"{}\"", "the same ".repeat(1_000)));
    let before: i64 = shell(&database(&stage))
        .query_row("select count(*) from blobs", [], |row| row.get(0))
        .unwrap();
    append(
        &mut writer,
        [entry(1, called(0, long.clone())), entry(2, returned(0, long.clone()))],
    )
    .unwrap();
    append(&mut other, [entry(1, called(0, long))]).unwrap();
    let shell = shell(&database(&stage));
    let (rows, stored): (i64, i64) = shell
        .query_row(
            "select count(*), length(content) from blobs where bytes > 5000",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(rows, 1);
    assert!(stored < 200, "9,000 bytes that repeat become {stored}");
    let after: i64 = shell
        .query_row("select count(*) from blobs", [], |row| row.get(0))
        .unwrap();
    assert_eq!(after, before + 1);
}

#[test]
fn contents_and_messages_go_when_the_last_run_that_needs_them_is_forgotten() {
    let stage = Stage::sqlite();
    let message = |n: u64| {
        format!(
            "{{\"role\":\"user\",\"content\":[{{\"text\":\"{n} {}\"}}]}}",
            "said ".repeat(200)
        )
    };
    let conversation = |most: u64| {
        json(&format!(
            "{{\"messages\":[{}]}}",
            (0..most).map(message).collect::<Vec<_>>().join(",")
        ))
    };
    let long = json(&format!("\"{}\"", "both ".repeat(1_000)));
    let mut runs = Vec::new();
    for (n, messages) in [(1, 4), (2, 2)] {
        let (run, mut writer) = stage.run(n);
        let entries = [
            called(0, conversation(messages)),
            returned(0, long.clone()),
            crate::support::done(),
        ];
        append(
            &mut writer,
            entries.into_iter().zip(1..).map(|(one, seq)| entry(seq, one)),
        )
        .unwrap();
        runs.push(run);
    }
    stage.journal.remove_run(&runs[0]).unwrap();
    let collected = stage.journal.collect(crate::support::at(0)).unwrap();
    assert_eq!(
        (collected.messages, collected.blobs),
        (2, 0),
        "the other run has the first two, and the answer"
    );
    assert_eq!(stage.journal.all_records(&runs[1]).unwrap().len(), 4);
    stage.journal.remove_run(&runs[1]).unwrap();
    let collected = stage.journal.collect(crate::support::at(0)).unwrap();
    assert_eq!((collected.messages, collected.blobs), (2, 1));
}

#[test]
fn a_person_can_read_the_journal_with_the_shell() {
    let stage = Stage::sqlite();
    let (run, mut writer) = stage.run(1);
    let long = json(&format!("\"{}\"", "x".repeat(5_000)));
    let read = call(0, Function::FILES_READ, json("{\"path\":\"skill/a.md\"}"));
    append(&mut writer, [entry(1, read), entry(2, returned(0, long))]).unwrap();
    let shell = shell(&database(&stage));
    let mut rows = shell.prepare("select seq, time, kind, function, label, class, resource, substr(payload, 1, 40) from journal where run = ?").unwrap();
    let shown = rows.query_map([run.as_str()], |row| {
        let columns = (0..8).map(|column| {
            let value: rusqlite::types::Value = row.get(column).unwrap();
            match value {
                rusqlite::types::Value::Text(text) => text,
                rusqlite::types::Value::Integer(number) => number.to_string(),
                _ => "-".to_owned(),
            }
        });
        Ok(columns.collect::<Vec<_>>().join(" | "))
    });
    let shown: Vec<String> = shown.unwrap().collect::<Result<_, _>>().unwrap();
    let digest = skillhost_core::id::Digest::of(format!("\"{}\"", "x".repeat(5_000)).as_bytes()).short();
    assert_eq!(
        shown,
        [
            "0 | 2023-11-14 22:13:21.000 | started | - | - | - | - | {\"name\":\"Ada\"}".to_owned(),
            "1 | 2023-11-14 22:30:01.000 | called | files.read | call 0 | retryable | skill/a.md | {\"path\":\"skill/a.md\"}".to_owned(),
            format!("2 | 2023-11-14 22:30:02.000 | returned | - | - | - | - | (5002 bytes as zstd, {digest})"),
        ]
    );
}
