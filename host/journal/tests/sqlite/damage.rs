//! Rows that were changed behind the journal's back: each is an error that names the entry, never a panic and never a wrong answer.

use skillhost_core::id::Seq;
use skillhost_core::payload::Payload;
use skillhost_journal::JournalError;

use crate::support::{Stage, append, called, entry, json, returned};
use crate::{database, shell};

/// Makes a run with a short call, a long answer and a conversation, changes the database, and returns what reading says.
fn read_after(sql: &str) -> String {
    let stage = Stage::sqlite();
    let (run, mut writer) = stage.run(1);
    let long = json(&format!("\"{}\"", "long ".repeat(500)));
    let said = "said ".repeat(100);
    let message = format!("{{\"role\":\"user\",\"content\":[{{\"text\":\"{said}\"}}]}}");
    let conversation = json(&format!(
        "{{\"model\":\"haiku\",\"messages\":[{message},{message},{message}]}}"
    ));
    let entries = [
        called(0, json("1")),
        returned(0, long),
        called(1, conversation),
        returned(1, Payload::null()),
    ];
    append(
        &mut writer,
        entries.into_iter().zip(1..).map(|(one, seq)| entry(seq, one)),
    )
    .unwrap();
    assert_eq!(stage.journal.all_records(&run).unwrap().len(), 5);

    let changed = shell(&database(&stage)).execute(sql, []).unwrap();
    assert_eq!(changed, 1, "{sql}");
    let error = stage.journal.all_records(&run).unwrap_err();
    let JournalError::Damaged { seq, what, .. } = &error else {
        panic!("{error}")
    };
    assert!(error.to_string().starts_with(&format!(
        "entry {seq} of run `{run}` is damaged: {what}; `skillhost doctor`"
    )));
    if *seq > Seq(0) {
        assert_eq!(
            stage.journal.records(&run, Seq(0), seq.0 as usize).unwrap().len(),
            seq.0 as usize,
            "what is before it is sound"
        );
    }
    format!("{seq}: {what}")
}

#[test]
fn an_entry_that_is_missing() {
    assert_eq!(read_after("delete from entries where seq = 2"), "2: it is missing");
    assert_eq!(read_after("delete from entries where seq = 0"), "0: it is missing");
}

#[test]
fn an_entry_whose_body_does_not_parse() {
    let said = read_after("update entries set body = '{\"called\":' where seq = 1");
    assert!(said.starts_with("1: its body does not parse: EOF"), "{said}");
    let said = read_after("update entries set body = '{\"' where seq = 1");
    assert!(said.starts_with("1: its body does not parse: EOF"), "{said}");
}

#[test]
fn a_call_whose_columns_say_nothing_that_is_known() {
    assert_eq!(
        read_after("update entries set function = 'model.dream' where seq = 1"),
        "1: this host has no function `model.dream`"
    );
    assert_eq!(
        read_after("update entries set class = 'dreamy' where seq = 1"),
        "1: there is no class `dreamy`"
    );
    assert_eq!(
        read_after("update entries set after = null where seq = 1"),
        "1: its column `after` is empty"
    );
}

#[test]
fn an_entry_that_is_not_what_its_columns_say() {
    let other = "its body is another entry's than its columns say";
    assert_eq!(
        read_after("update entries set kind = 'finished' where seq = 0"),
        format!("0: {other}")
    );
    assert_eq!(
        read_after("update entries set number = 4 where seq = 0"),
        format!("0: {other}")
    );
    let said = read_after("update entries set body = replace(body, '0001', '0002') where seq = 0");
    assert!(said.starts_with("0: it begins run"), "{said}");
}

#[test]
fn an_entry_that_reads_well_and_is_not_the_one_that_was_written() {
    let other = "it is not what was written";
    for change in [
        // Another answer, another time, another label: all of it could be true.
        "payload = '2' where seq = 1",
        "at = at + 1 where seq = 2",
        "label = 'call 1' where seq = 1",
        "kind = 'returned' where seq = 1",
        "number = 4 where seq = 1",
        "after = 4 where seq = 1",
        "function = 'files.write' where seq = 1",
        "class = 'at-most-once' where seq = 1",
        "body = '{\"reserved\":[1,2]}' where seq = 1",
        "payload = 'null', blob = null where seq = 2",
        "message = message - 1 where message is not null",
    ] {
        let said = read_after(&format!("update entries set {change}"));
        let (_, what) = said.split_once(": ").unwrap();
        assert_eq!(what, other, "{change}");
    }
}

#[test]
fn an_entry_of_before_there_were_seals_is_read_without() {
    let stage = Stage::sqlite();
    let (run, mut writer) = stage.run(1);
    append(&mut writer, [entry(1, called(0, json("1")))]).unwrap();
    let records = stage.journal.all_records(&run).unwrap();
    let db = shell(&database(&stage));
    db.execute("update entries set seal = null", []).unwrap();
    let error = stage.journal.all_records(&run).unwrap_err();
    assert!(
        error.to_string().contains("it has no seal"),
        "there were seals when it was written: {error}"
    );
    let body = serde_json::to_string(&called(0, json("\"@payload\""))).unwrap();
    db.execute("update entries set body = ? where seq = 1", [body]).unwrap();
    assert_eq!(stage.journal.all_records(&run).unwrap(), records);
}

#[test]
fn a_payload_that_is_missing_or_no_json() {
    assert_eq!(
        read_after("update entries set payload = null where seq = 1"),
        "1: its payload is missing"
    );
    let said = read_after("update entries set payload = '{' where seq = 1");
    assert!(said.starts_with("1: its payload is not JSON"), "{said}");
}

#[test]
fn a_content_that_is_missing_or_not_its_own() {
    let one = "(select blob from entries where seq = 2)";
    let said = read_after(&format!("delete from blobs where key = {one}"));
    assert_eq!(said, "2: the content that it refers to is missing");
    let said = read_after(&format!(
        "update blobs set form = 'plain', content = zeroblob(bytes) where key = {one}"
    ));
    assert!(said.starts_with("2: its content is not the one of digest"), "{said}");
    let said = read_after(&format!("update blobs set content = x'00' where key = {one}"));
    assert!(said.starts_with("2: its content is no zstd"), "{said}");
    let said = read_after(&format!("update blobs set bytes = 1 << 60 where key = {one}"));
    assert_eq!(said, "2: a content cannot have 1152921504606846976 bytes");
}

#[test]
fn a_message_that_is_missing_or_not_its_own() {
    let said = read_after("delete from messages where key = 2");
    assert_eq!(said, "3: message 2 of its conversation is missing");
    let said = read_after("update messages set form = 'plain', content = x'7b7d', bytes = 2 where key = 2");
    assert_eq!(said, "3: message 2 of its conversation is not the one of its digest");
    let said = read_after("update messages set previous = 3 where key = 1");
    assert_eq!(said, "3: message 1 of its conversation follows a later one");
    let said = read_after("update entries set message_at = 100000 where message is not null");
    assert_eq!(said, "3: its messages have no place in it");
}
