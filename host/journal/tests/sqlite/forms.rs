//! The rows of calls and outcomes: they say nothing twice, are bound by their seals, and those of former formats are read as they were written.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};
use skillhost_core::budget::{Budget, Cost};
use skillhost_core::calls::model::{Block, Message, Reply, Request, Role, Usage};
use skillhost_core::calls::{CallOptions, Reuse};
use skillhost_core::effect::{Class, Function};
use skillhost_core::entry::{By, Called, Due, Entry, How, Record, Retried, Returned, Why};
use skillhost_core::id::{Number, RunId, Seq};
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_core::payload::Payload;
use skillhost_journal::{JournalError, RunWriter};

use crate::support::{Stage, append, at, call, called, entry, finished, json, record, returned, run_id};
use crate::{database, shell};

/// The most bytes that the database may grow by for one small call.
const CALL_BYTES_MAX: u64 = 400;

fn any_cost() -> impl Strategy<Value = Cost> {
    let amount = || prop_oneof![Just(0), 1..10_000_u64, Just(u64::MAX)];
    (amount(), amount(), amount()).prop_map(|(calls, tokens, microdollars)| Cost {
        calls,
        tokens,
        microdollars,
    })
}

fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![0..10_u64, Just(i64::MAX as u64)]
}

/// Words as people write them, and some that look like parts of a row.
fn any_word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zé \"{}\\\\]{0,12}",
        Just("{\"called\":".to_owned()),
        Just("@payload".to_owned())
    ]
}

fn any_options() -> impl Strategy<Value = CallOptions> {
    (
        prop::option::of(any_word()),
        prop::option::of(any_number()),
        prop::option::of(0..5_u32),
        prop_oneof![Just(Reuse::Auto), Just(Reuse::Fresh), Just(Reuse::Pure)],
        any::<(bool, bool)>(),
        prop::option::of(any_word()),
    )
        .prop_map(
            |(label, timeout_ns, attempts, reuse, (idempotent, cleanup), extra)| CallOptions {
                label,
                timeout_ns,
                attempts,
                reuse,
                idempotent,
                cleanup,
                extra: extra.map(serde_json::Value::from),
            },
        )
}

fn any_call() -> impl Strategy<Value = Entry> {
    let classes = [Class::Observe, Class::Local, Class::Retryable, Class::AtMostOnce];
    (
        (any_number(), any_number(), prop::sample::select(Function::ALL)),
        prop::sample::select(classes.to_vec()),
        any_options(),
        prop::option::of((any_cost(), prop::option::of(0..30_000_u32))),
        prop::option::of(prop_oneof![Just(Budget::Money), Just(Budget::WallTime)]),
        prop::option::of(any_word()),
        prop::option::of(any_number()),
    )
        .prop_map(
            |((number, after, function), class, options, reserved, over, tier, due)| {
                Entry::Called(Arc::new(Called {
                    number: Number(number),
                    function,
                    request: json("{\"path\":\"run/a\"}"),
                    options,
                    class,
                    after,
                    reserved: reserved.map(|(cost, _)| cost),
                    reserved_day: reserved.and_then(|(_, day)| day),
                    over,
                    tier,
                    due: due.map(|seconds| Due {
                        deadline: at(seconds % 1_000),
                        guest: at(seconds % 7),
                    }),
                }))
            },
        )
}

fn any_outcome() -> impl Strategy<Value = Entry> {
    let outcome = prop_oneof![
        any_word().prop_map(|word| Outcome::Ok(Payload::of(&word))),
        (any_word(), any_word(), prop::option::of(any_word())).prop_map(|(code, message, data)| Outcome::from(Fault {
            code,
            message,
            data: data.map(serde_json::Value::from),
        })),
    ];
    let by = prop_oneof![
        Just(By::Effect),
        prop::option::of(any_word()).prop_map(By::Person),
        any_number().prop_map(|number| By::Record {
            run: run_id(3),
            number: Number(number),
        }),
    ];
    (any_number(), outcome, prop::option::of(any_cost()), by).prop_map(|(number, outcome, spent, by)| {
        Entry::Returned(Returned {
            number: Number(number),
            outcome,
            spent,
            by,
        })
    })
}

#[test]
fn every_call_and_outcome_reads_back_as_it_was_written_in_the_form_of_today_and_in_the_former() {
    let stage = Stage::sqlite();
    let (run, mut writer) = stage.run(1);
    let path = database(&stage);
    let mut runner = TestRunner::deterministic();
    let mut entries = Vec::new();
    for _ in 0..500 {
        let drawn = (any_call(), any_outcome()).new_tree(&mut runner).unwrap().current();
        entries.extend(<[Entry; 2]>::from(drawn));
    }
    let records: Vec<Record> = entries
        .into_iter()
        .zip(1..)
        .map(|(one, seq)| record(seq, one))
        .collect();
    append(
        &mut writer,
        records.iter().cloned().map(skillhost_core::machine::Write::Entry),
    )
    .unwrap();
    assert_eq!(stage.journal.all_records(&run).unwrap()[1..], records);
    let repeated = "select count(*) from entries where kind in ('c', 'r')
        and (body like '{\"called\"%' or body like '%\"number\"%\"function\"%' or body like '%\"outcome\"%')";
    let repeats: i64 = shell(&path).query_row(repeated, [], |row| row.get(0)).unwrap();
    assert_eq!(repeats, 0);
    make_former(&shell(&path), &stage.journal.all_records(&run).unwrap());
    assert_eq!(stage.journal.all_records(&run).unwrap()[1..], records);
}

/// Writes a run's rows as formats 3 and 4 did: words are written out, the body is the whole entry, every call has its class, and the seal is eight bytes of a SHA-256.
fn make_former(db: &Connection, records: &[Record]) {
    let key = 1_i64;
    for record in records {
        let seq = record.seq.0 as i64;
        let mut value = serde_json::to_value(&record.entry).unwrap();
        let place = match &record.entry {
            Entry::Started(_) => value.pointer_mut("/started/input"),
            Entry::Called(_) => value.pointer_mut("/called/request"),
            Entry::Returned(_) => value.pointer_mut("/returned/outcome/ok"),
            Entry::Finished(_) => value.pointer_mut("/finished/how/done"),
            _ => None,
        };
        if let Some(place) = place {
            *place = "@payload".into();
        }
        let body = value.to_string();
        let (function, class) = match &record.entry {
            Entry::Called(called) => (Some(called.function.name()), Some(called.class.as_str())),
            _ => (None, None),
        };
        let seal = former_seal(db, key, record, &body);
        db.execute(
            "update entries set kind = ?, function = ?, body = ?, class = ?, seal = ? where run = ? and seq = ?",
            params![record.entry.kind(), function, body, class, seal, key, seq],
        )
        .unwrap();
    }
}

fn former_seal(db: &Connection, key: i64, record: &Record, body: &str) -> i64 {
    type Parts = (Option<String>, Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>);
    let (text, content, message, message_at): Parts = db
        .query_row(
            "select payload, blobs.digest, messages.digest, message_at from entries left join blobs on blobs.key = entries.blob
                left join messages on messages.key = entries.message where run = ? and seq = ?",
            params![key, record.seq.0 as i64],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .unwrap();
    let number = record.entry.number().map_or(-1, |number| number.0 as i64);
    let mut bytes = Vec::new();
    for number in [key, record.seq.0 as i64, record.at.0 as i64, number] {
        bytes.extend(number.to_le_bytes());
    }
    let mut part = |part: &[u8]| {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part);
    };
    part(record.entry.kind().as_bytes());
    part(body.as_bytes());
    match (&text, &content) {
        (Some(text), _) => {
            part(b"inline");
            part(text.as_bytes());
        }
        (None, Some(digest)) => {
            part(b"content");
            part(digest);
        }
        (None, None) => part(b"none"),
    }
    if let (Some(digest), Some(at)) = (&message, message_at) {
        part(digest);
        part(&at.to_le_bytes());
    }
    i64::from_le_bytes(Sha256::digest(&bytes)[..8].try_into().unwrap())
}

/// Makes a run with an entry of each form: short and long payloads, a conversation, an error, and kinds that are stored whole.
fn one_of_each(stage: &Stage) -> (RunId, RunWriter) {
    let (run, mut writer) = stage.run(1);
    let said = "said ".repeat(100);
    let message = format!("{{\"role\":\"user\",\"content\":[{{\"text\":\"{said}\"}}]}}");
    let conversation = json(&format!(
        "{{\"model\":\"haiku\",\"messages\":[{message},{message},{message}]}}"
    ));
    let Entry::Called(whole) = call(2, Function::HTTP_SEND, json("{\"url\":\"u\"}")) else {
        unreachable!("it is a call")
    };
    let entries = [
        called(0, json("{\"model\":\"haiku\"}")),
        returned(0, json(&format!("\"{}\"", "long ".repeat(500)))),
        called(1, conversation),
        Entry::Retried(Retried {
            number: Number(1),
            why: Why::Recovery,
            fault: None,
            spent: None,
            reserved: Some(cost(7)),
            reserved_day: None,
        }),
        Entry::Returned(Returned {
            number: Number(1),
            outcome: Outcome::fault("failed", "it did not"),
            spent: Some(cost(5)),
            by: By::Person(Some("ada".to_owned())),
        }),
        Entry::Called(Arc::new(Called {
            reserved: Some(cost(9)),
            options: CallOptions {
                label: None,
                attempts: Some(3),
                ..CallOptions::default()
            },
            class: Class::AtMostOnce,
            ..Called::clone(&whole)
        })),
        returned(2, Payload::null()),
        finished(How::Done(json("\"done\""))),
    ];
    append(
        &mut writer,
        entries.into_iter().zip(1..).map(|(one, seq)| entry(seq, one)),
    )
    .unwrap();
    (run, writer)
}

fn cost(tokens: u64) -> Cost {
    Cost {
        calls: 1,
        tokens,
        microdollars: 0,
    }
}

/// Every other value that a byte, or a number, of this one may become.
fn changes(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => vec![Value::Integer(1), Value::Text(String::new())],
        Value::Integer(number) => (0..8)
            .map(|byte| Value::Integer(number ^ (1 << (byte * 8))))
            .chain([Value::Null])
            .collect(),
        Value::Text(text) => {
            let change = |place: usize| {
                let mut bytes = text.clone().into_bytes();
                bytes[place] ^= 1;
                String::from_utf8(bytes).ok().map(Value::Text)
            };
            // Of a long one it is enough to try some.
            let step = text.len() / 100 + 1;
            let cut = (!text.is_empty()).then(|| Value::Text(text[..text.len() - 1].to_owned()));
            (0..text.len())
                .step_by(step)
                .filter_map(change)
                .chain(cut)
                .chain([Value::Null])
                .collect()
        }
        other => panic!("no entry has {other:?}"),
    }
}

/// Changes each value of each column that is read back, one after the other, and returns how many of these changes were not noticed, in words.
fn unnoticed(stage: &Stage, run: &RunId, columns: &[&str]) -> (usize, Vec<String>) {
    let db = shell(&database(stage));
    // Nobody pulls the plug here.
    db.pragma_update(None, "synchronous", "off").unwrap();
    let records = stage.journal.all_records(run).unwrap();
    let (mut tried, mut passed) = (0, Vec::new());
    for seq in 0..records.len() as i64 {
        for column in columns {
            let find = format!("select {column} from entries where run = 1 and seq = ?");
            let value: Value = db.query_row(&find, [seq], |row| row.get(0)).unwrap();
            for change in changes(&value) {
                let set = format!("update entries set {column} = ?1 where run = 1 and seq = ?2");
                // What the table itself refuses cannot come about, or SQLite says that the row is damaged.
                if db.execute(&set, params![change, seq]).is_err() {
                    continue;
                }
                tried += 1;
                let read = stage.journal.all_records(run);
                if !matches!(read, Err(JournalError::Damaged { .. })) {
                    passed.push(format!("{column} of {seq}: {value:?} as {change:?}"));
                }
                db.execute(&set, params![value, seq]).unwrap();
            }
        }
    }
    assert_eq!(stage.journal.all_records(run).unwrap(), records);
    (tried, passed)
}

#[test]
fn a_changed_byte_in_any_column_that_is_read_back_is_noticed() {
    let stage = Stage::sqlite();
    let (run, _writer) = one_of_each(&stage);
    let db = shell(&database(&stage));
    let columns: Vec<String> = db
        .prepare("select name from pragma_table_info('entries')")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    // What finds the row, and what is there to be searched for.
    let not_read = ["id", "run", "seq", "resource", "seal"];
    let mut columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    columns.retain(|column| !not_read.contains(column));
    let (tried, passed) = unnoticed(&stage, &run, &columns);
    assert!(tried > 500, "{tried}");
    assert_eq!(passed, Vec::<String>::new());
    // A seal that changed fits nothing; one that is gone is missed where no former row could be without.
    let (_, passed) = unnoticed(&stage, &run, &["seal"]);
    let passed: Vec<&str> = passed.iter().filter_map(|what| what.split(':').next()).collect();
    assert_eq!(
        passed,
        ["seal of 0", "seal of 4", "seal of 8"],
        "kinds that stayed as they were"
    );
}

#[test]
fn a_changed_byte_of_a_former_row_is_noticed_as_it_was() {
    let stage = Stage::sqlite();
    let (run, _writer) = one_of_each(&stage);
    make_former(&shell(&database(&stage)), &stage.journal.all_records(&run).unwrap());
    let bound = [
        "at",
        "kind",
        "number",
        "body",
        "payload",
        "blob",
        "message",
        "message_at",
    ];
    let (tried, passed) = unnoticed(&stage, &run, &bound);
    assert!(tried > 500, "{tried}");
    assert_eq!(passed, Vec::<String>::new());
    let said = stage.journal.all_records(&run).unwrap();
    let unbound = "update entries set function = 'x', class = null, label = 'y', after = 77";
    shell(&database(&stage)).execute(unbound, []).unwrap();
    assert_eq!(stage.journal.all_records(&run).unwrap(), said, "its body says these");
}

#[test]
fn an_entry_of_another_run_is_not_taken_for_ones_own() {
    for is_former in [false, true] {
        let stage = Stage::sqlite();
        let (run, mut writer) = stage.run(1);
        let (_, mut other) = stage.run(2);
        append(&mut writer, [entry(1, called(0, json("1")))]).unwrap();
        append(&mut other, [entry(1, called(0, json("1")))]).unwrap();
        let db = shell(&database(&stage));
        if is_former {
            make_former(&db, &stage.journal.all_records(&run).unwrap());
        }
        assert_eq!(stage.journal.all_records(&run).unwrap().len(), 2);
        // A page of the one in the place of the other's.
        db.execute_batch(
            "update entries set seq = 99 where run = 2 and seq = 1;
            update entries set run = 2 where run = 1 and seq = 1;
            update entries set run = 1, seq = 1 where run = 2 and seq = 99;",
        )
        .unwrap();
        let error = stage.journal.all_records(&run).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { seq: Seq(1), .. }), "{error}");
    }
}

#[test]
fn a_row_says_nothing_twice_and_a_person_can_read_it() {
    let stage = Stage::sqlite();
    one_of_each(&stage);
    let db = shell(&database(&stage));
    let rows = |sql: &str| -> Vec<String> {
        let mut find = db.prepare(sql).unwrap();
        let rows = find.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(
        rows("select body from journal where kind in ('called', 'returned') order by seq"),
        [
            "{}",
            "{}",
            "{}",
            r#"{"spent":[1,5],"by":{"person":"ada"},"err":{"code":"failed","message":"it did not"}}"#,
            r#"{"reserved":[1,9],"options":{"attempts":3}}"#,
            "{}",
        ]
    );
    assert_eq!(
        rows(
            "select ifnull(class, '-') || ' ' || function || ' ' || ifnull(label, '-') from entries where kind = 'c' order by seq"
        ),
        ["- m call 0", "- m call 1", "- h -"],
    );
    assert_eq!(
        rows("select kind || ' ' || class || ' ' || function from journal where kind = 'called' order by seq"),
        [
            "called retryable model.complete",
            "called retryable model.complete",
            "called at-most-once http.send"
        ],
    );
}

#[test]
fn the_view_for_people_knows_the_class_of_every_function() {
    let stage = Stage::sqlite();
    let (_, mut writer) = stage.run(1);
    let calls = Function::ALL.iter().zip(0..).map(|(function, number)| {
        let Entry::Called(call) = call(number, *function, json("1")) else {
            unreachable!("it is a call")
        };
        let class = function.spec().class;
        entry(
            number + 1,
            Entry::Called(Arc::new(Called {
                class,
                ..Called::clone(&call)
            })),
        )
    });
    append(&mut writer, calls).unwrap();
    let db = shell(&database(&stage));
    let absent = "select count(*) from entries where class is not null";
    assert_eq!(db.query_row(absent, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    let mut find = db
        .prepare("select function, class from journal where kind = 'called' order by seq")
        .unwrap();
    let shown = find.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let shown: Vec<(String, Option<String>)> = shown.collect::<Result<_, _>>().unwrap();
    let known = Function::ALL.iter().map(|function| {
        let class = function.spec().class.as_str().to_owned();
        (function.name().to_owned(), Some(class))
    });
    // Rows leave the class out, so one that changed here would change in every journal.
    let known: Vec<_> = known.collect();
    assert_eq!(shown, known);
    // Before format 6 the words stood in the rows themselves.
    let written_out = "update entries set kind = 'called', function = (select word from words where short = function) where kind = 'c'";
    assert_eq!(db.execute(written_out, []).unwrap(), known.len());
    let shown = find.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(shown.collect::<Result<Vec<_>, _>>().unwrap(), known);
}

#[test]
fn what_was_spent_is_read_of_former_rows_as_of_those_of_today() {
    let stage = Stage::sqlite();
    let (run, _writer) = one_of_each(&stage);
    let (other, mut writer) = stage.run(2);
    let Entry::Called(asked) = called(0, json("{\"model\":\"haiku\",\"messages\":[]}")) else {
        unreachable!("it is a call")
    };
    let reserved = Cost {
        microdollars: 11,
        ..cost(100)
    };
    let asked = Entry::Called(Arc::new(Called {
        reserved: Some(reserved),
        ..Called::clone(&asked)
    }));
    append(&mut writer, [entry(1, asked)]).unwrap();
    let spending = || {
        let mut rows = Vec::new();
        stage
            .journal
            .spending(None, &mut |row| rows.push((row.run, row.model, row.spent, row.open)))
            .unwrap();
        rows
    };
    let before = spending();
    assert!(
        before.contains(&(other, "haiku".to_owned(), Cost::ZERO, reserved)),
        "{before:?}"
    );
    let db = shell(&database(&stage));
    let as_format_5 = "update entries set kind = 'called', function = 'model.complete', body = replace(body, '[', '{\"reserved\":[') || '}' where kind = 'c' and body like '[%';
        update entries set kind = 'returned', body = replace(body, '[', '{\"spent\":[') || '}' where kind = 'r' and body like '[%';";
    db.execute_batch(as_format_5).unwrap();
    assert_eq!(spending(), before);
    make_former(&db, &stage.journal.all_records(&run).unwrap());
    assert_eq!(spending(), before);
}

#[test]
fn a_small_call_of_a_model_costs_less_than_400_bytes() {
    let stage = Stage::sqlite();
    let (_, mut writer) = stage.run(1);
    let before = database_bytes(&stage);
    let calls = 1_000;
    for number in 0..calls {
        let seq = number * 2 + 1;
        append(
            &mut writer,
            [entry(seq, small_call(number)), entry(seq + 1, small_answer(number))],
        )
        .unwrap();
    }
    let bytes = (database_bytes(&stage) - before) / calls;
    assert!(bytes < CALL_BYTES_MAX, "{bytes} bytes for each call");
}

/// A call as a skill makes it that asks a model something short.
fn small_call(number: u64) -> Entry {
    let label = format!("step {number}");
    let request = Request {
        model: "haiku".to_owned(),
        system: None,
        messages: vec![Message {
            role: Role::User,
            content: vec![Block::Text(label.clone())],
        }],
        tools: Vec::new(),
        max_tokens: None,
        temperature: None,
        stop_sequences: Vec::new(),
        output_schema: None,
        extra: None,
    };
    Entry::Called(Arc::new(Called {
        number: Number(number),
        function: Function::MODEL_COMPLETE,
        request: Payload::of(&request),
        options: CallOptions {
            label: Some(label),
            ..CallOptions::default()
        },
        class: Class::Retryable,
        after: number,
        reserved: Some(cost(8_268)),
        reserved_day: None,
        over: None,
        tier: None,
        due: None,
    }))
}

fn small_answer(number: u64) -> Entry {
    let reply = Reply {
        usage: Usage {
            input: 19,
            output: 4,
            ..Usage::default()
        },
        model: "offline/haiku".to_owned(),
        simulated: true,
        ..Reply::said("ok".to_owned())
    };
    Entry::Returned(Returned {
        number: Number(number),
        outcome: Outcome::Ok(Payload::of(&reply)),
        spent: Some(cost(23)),
        by: By::Effect,
    })
}

fn database_bytes(stage: &Stage) -> u64 {
    let db = shell(&database(stage));
    db.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())).unwrap();
    let pragma = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    (pragma("page_count") * pragma("page_size")) as u64
}
