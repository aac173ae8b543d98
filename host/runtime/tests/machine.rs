//! The guest as a machine: starting, blocking, delivering, dropping, sets and time (rules G1 to G7).

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::time::Duration;

use skillhost_core::effect::Class;
use skillhost_core::entry::ZoneOffset;
use skillhost_core::machine::End;
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use support::{Driven, probe, reply, script};

#[tokio::test]
async fn g1_calls_are_numbered_in_the_order_they_are_started() {
    let mut guest = Driven::start("start a sleep 5;start b model hi;finish a;finish-model b").await;
    assert_eq!(
        guest.did(),
        [
            r#"start 0 clock.sleep {"duration_ns":5}"#,
            r#"start 1 model.complete {"model":"haiku","messages":[{"role":"user","content":[{"text":"hi"}]}],"max_tokens":10}"#,
        ]
    );
    assert_eq!(guest.calls[0].lasts, Some(Duration::from_nanos(5)));
    assert_eq!(
        guest.calls[1].bound.unwrap().tokens,
        guest.calls[1].request.as_str().len() as u64 + 10
    );
    guest.done(0).await.answer(1, reply("hello")).await;
    assert_eq!(guest.seen(), ["a is 0", "a: Ok(())", "b: hello"]);
    assert_eq!(guest.did(), Vec::<String>::new());
}

#[tokio::test]
async fn g3_what_the_guest_does_not_wait_for_is_kept_until_it_does() {
    let mut guest = Driven::start("start a model a;start b model b;finish-model a;finish-model b;now").await;
    guest.did();
    guest.answer(1, reply("second")).await;
    assert_eq!(guest.did(), Vec::<String>::new());
    assert_eq!(guest.end, End::Blocked);
    guest.answer(0, reply("first")).await;
    assert_eq!(guest.seen()[..2], ["a: first", "b: second"]);
}

#[tokio::test]
async fn blocking_forms_start_wait_and_take() {
    let mut guest = Driven::start("model x;sleep 7;post done;write run/a.md hi;read run/a.md").await;
    for number in 0..4 {
        assert_eq!(guest.end, End::Blocked);
        guest
            .answer(number, if number == 0 { reply("y") } else { Outcome::done() })
            .await;
    }
    guest
        .answer(4, Outcome::Ok(Payload::parse(r#"{"text":"hi"}"#).unwrap()))
        .await;
    assert_eq!(guest.seen(), ["y", "Ok(())", "Ok(())", "Ok(())", "hi"]);
    assert_eq!(
        guest.did()[2..],
        [
            r#"start 2 inbox.post {"title":"done"}"#,
            r#"start 3 files.write {"path":"run/a.md","contents":{"text":"hi"}}"#,
            r#"start 4 files.read {"path":"run/a.md"}"#,
        ]
    );
}

#[tokio::test]
async fn faults_become_the_variants_of_the_interface_and_others_keep_their_code() {
    let mut guest = Driven::start("model a;model b;read run/x;ask go;sleep 1").await;
    guest.answer(0, Outcome::fault(Fault::BUDGET, "spent")).await;
    guest.answer(1, Outcome::fault("skipped", "by a person")).await;
    guest.answer(2, Outcome::fault(Fault::NOT_FOUND, "run/x")).await;
    guest.answer(3, Outcome::fault(Fault::TIMEOUT, "")).await;
    guest.answer(4, Outcome::cancelled()).await;
    let seen = guest.seen();
    assert_eq!(seen[0], "Error::Budget(\"spent\")");
    assert_eq!(
        seen[1],
        "Error::Other(OtherError { code: \"skipped\", message: \"by a person\" })"
    );
    assert_eq!(seen[2], "Error::NotFound(\"run/x\")");
    assert_eq!(seen[3..], ["Err(Error::Timeout)", "Err(Error::Cancelled)"]);
    assert_eq!(guest.calls[3].lasts, Some(Duration::from_micros(7)));
    assert_eq!(guest.calls[3].signal.as_ref().unwrap().as_str(), "go");
}

#[tokio::test]
async fn notes_are_asked_for_and_given_with_who_left_them_when() {
    let mut guest = Driven::start("notes;start a notes;finish-notes a;notes").await;
    let notes = r#"[{"message":"mind the gap","at":5,"by":"ada"},{"message":"go","at":6}]"#;
    guest.answer(0, Outcome::Ok(Payload::parse(notes).unwrap())).await;
    guest.answer(1, Outcome::Ok(Payload::parse("[]").unwrap())).await;
    guest.answer(2, Outcome::cancelled()).await;
    assert_eq!(guest.did()[..2], ["start 0 run.notes null", "start 1 run.notes null"]);
    assert_eq!(
        guest.seen(),
        [
            r#"Ok([Note { message: "mind the gap", at-ns: 5000, by: Some("ada") }, Note { message: "go", at-ns: 6000, by: None }])"#,
            "a: Ok(0)",
            "Err(Error::Cancelled)",
        ]
    );
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_breaks_the_attempt_and_never_reaches_the_guest() {
    let mut guest = Driven::start("model x").await;
    guest.answer(0, Outcome::Ok(Payload::parse("[]").unwrap())).await;
    let End::Broken(why) = &guest.end else {
        panic!("{:?}", guest.end);
    };
    assert!(why.contains("call 0 (`model.complete`)"), "{why}");
}

#[tokio::test]
async fn g5_dropping_a_pending_is_an_act_whether_or_not_its_outcome_was_delivered() {
    let mut guest =
        Driven::start("start a sleep 1;start b sleep 2;start c sleep 3;drop a;finish c;drop b;sleep 9").await;
    assert_eq!(guest.did()[3..], ["drop 0"]);
    guest.done(1).await;
    assert_eq!(guest.did(), Vec::<String>::new());
    guest.done(2).await;
    assert_eq!(guest.did(), ["drop 1", r#"start 3 clock.sleep {"duration_ns":9}"#]);
}

#[tokio::test]
async fn g5_a_pending_that_the_guest_lets_go_of_at_its_end_is_dropped() {
    let mut guest = Driven::start("start a sleep 1").await;
    assert_eq!(guest.seen(), ["a is 0"]);
    assert_eq!(guest.did(), [r#"start 0 clock.sleep {"duration_ns":1}"#, "drop 0"]);
}

#[tokio::test]
async fn g4_members_come_in_order_of_delivery_each_once_also_those_delivered_before_they_were_added() {
    let mut guest = Driven::start(
        "start a sleep 1;start b sleep 2;start c sleep 3;start d sleep 4;finish d;set s;add s a;add s b;add s c;wait s;wait s;wait s",
    )
    .await;
    guest.done(1).await.done(0).await.done(3).await.done(2).await;
    let seen = guest.seen();
    assert_eq!(seen[5..8], ["a is s/0", "b is s/1", "c is s/2"]);
    assert_eq!(seen[8..], ["s/1", "s/0", "s/2"], "b was delivered first");
}

#[tokio::test]
async fn g4_waiting_for_nothing_traps() {
    for nothing in [
        "set s;wait s",
        "start a sleep 1;set s;add s a;drop a;wait s",
        "start a sleep 1;set s;add s a;finish a;wait s",
        "start a sleep 1;set s;add s a;wait s;wait s",
    ] {
        let mut guest = Driven::start(nothing).await;
        if guest.end == End::Blocked {
            guest.done(0).await;
        }
        assert!(
            guest.trapped().message.contains("waits for nothing"),
            "{nothing}: {:?}",
            guest.end
        );
    }
}

#[tokio::test]
async fn g4_a_pending_is_in_one_set_once() {
    for twice in [
        "start a sleep 1;set s;add s a;add s a",
        "start a sleep 1;set s;set t;add s a;add t a",
    ] {
        let guest = Driven::start(twice).await;
        assert!(guest.trapped().message.contains("is in a set already"), "{twice}");
    }
    let mut freed = Driven::start("start a sleep 1;set s;set t;add s a;drop-set s;add t a;wait t").await;
    assert_eq!(freed.done(0).await.seen()[2..], ["a is t/0", "t/0"]);
}

#[tokio::test]
async fn a_thousand_members_are_waited_for_in_whatever_order_they_come() {
    let mut statements = "set s".to_owned();
    (0..1_000).for_each(|n| statements += &format!(";start p{n} sleep {n};add s p{n}"));
    (0..1_000).for_each(|_| statements += ";wait s");
    let mut guest = Driven::start(&statements).await;
    for n in 0..1_000_u64 {
        guest.done(n * 7 % 1_000).await;
    }
    let waited: Vec<String> = (0..1_000).map(|n| format!("s/{}", n * 7 % 1_000)).collect();
    assert_eq!(guest.seen()[2_000..], waited);
}

#[tokio::test]
async fn a_pending_is_finished_as_what_it_was_started_as() {
    let guest = Driven::start("start a sleep 1;finish-model a").await;
    let message = &guest.trapped().message;
    assert!(
        message.contains("it finished call 0 as `model.complete`, and it is a `clock.sleep`"),
        "{message}"
    );
}

#[tokio::test]
async fn g6_time_comes_from_outcomes_and_readings() {
    let mut guest = Driven::start("now;now;sleep 1;now;std-now;sleep 1;now").await;
    guest.answer_at(0, Outcome::done(), 5_000_000).await;
    guest.answer_at(1, Outcome::done(), 4_000_000).await;
    let seen = guest.seen();
    assert_eq!(seen[..2], ["1000001000", "1000002000"]);
    assert_eq!(seen[3..5], ["5000001000", "5000002000"]);
    assert_eq!(
        seen[6], "5000003000",
        "an outcome from the past does not turn the clock back"
    );
    assert_eq!(
        guest.calls[1].guest_time.0, 5_000_002,
        "a call is started at the time last read"
    );
}

#[tokio::test]
async fn g6_the_thousandth_reading_is_a_call_and_its_value_the_time_after_its_delivery() {
    let mut guest = Driven::start("readings 999;now;now").await;
    assert_eq!(guest.did(), ["start 0 clock.tick null"]);
    guest.answer_at(0, Outcome::done(), 9_000_000).await;
    assert_eq!(guest.seen(), ["Some(1000999000)", "9000001000", "9000002000"]);
    assert_eq!(guest.did(), Vec::<String>::new());
}

#[tokio::test]
async fn reading_the_bundle_is_no_call_and_everything_else_is() {
    let mut guest = Driven::start("read skill/SKILL.md;list skill/;read skill/none;read run/x;start a model q").await;
    assert_eq!(guest.did(), [r#"start 0 files.read {"path":"run/x"}"#]);
    guest
        .answer(0, Outcome::Ok(Payload::parse(r#"{"base64":"aGk="}"#).unwrap()))
        .await;
    let seen = guest.seen();
    assert_eq!(
        seen[..2],
        ["a skill", "skill/SKILL.md skill/prompts skill/prompts/plan.md"]
    );
    assert_eq!(seen[2..], ["Error::NotFound(\"there is no `skill/none`\")", "hi"]);
}

#[tokio::test]
async fn malformed_requests_are_recorded_like_any_other_with_what_they_are_answered_with() {
    let guest = Driven::start(
        "start b sleep 18446744073709551615;write ../x y;write skill/x y;write else/x y;write-much run/x 9000000",
    )
    .await;
    assert_eq!(guest.calls[0].refused.as_ref().unwrap().code, Fault::INVALID);
    let mut guest = guest;
    for number in 1..=4 {
        let refused = guest.calls[number as usize].refused.clone().unwrap();
        guest.answer(number, Outcome::Err(refused)).await;
    }
    let seen = guest.seen();
    assert!(
        seen[1].starts_with("Err(Error::Denied(\"`../x` is absolute or leads upwards"),
        "{}",
        seen[1]
    );
    assert!(
        seen[2].starts_with("Err(Error::Denied(\"`skill/` may not be written"),
        "{}",
        seen[2]
    );
    assert!(
        seen[3].contains("there is no mount `else`; this run has `run/`, `skill/`"),
        "{}",
        seen[3]
    );
    assert_eq!(seen[4], "Err(Error::TooLarge(8388608))");
    assert!(
        guest.calls[4].request.as_str().len() < 200,
        "its bytes are not recorded"
    );
}

#[tokio::test]
async fn a_model_that_acts_by_itself_is_asked_at_most_once() {
    let mut start = script("model x");
    assert_eq!(Driven::start_with(start.clone()).await.calls[0].class, Class::Retryable);
    start.provider_acts = true;
    assert_eq!(Driven::start_with(start).await.calls[0].class, Class::AtMostOnce);
}

#[tokio::test]
async fn log_lines_and_progress_come_in_order_with_the_calls() {
    let mut guest = Driven::start("log one;model x;log two").await;
    assert_eq!(guest.did()[..2], ["Info one", "work 1/Some(2)"]);
    guest.answer(0, reply("y")).await;
    assert_eq!(guest.did(), ["Info two", "work 1/Some(2)"]);
}

#[tokio::test]
async fn a_failure_of_the_skill_is_its_result() {
    let guest = Driven::start("fail declined").await;
    let End::Finished(Err(failure)) = &guest.end else {
        panic!("{:?}", guest.end);
    };
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        ("declined", "on purpose")
    );
    assert_eq!(failure.details.as_ref().unwrap().as_str(), r#"{"n":1}"#);
    assert_eq!(failure.backtrace, None);
}

#[tokio::test]
async fn a_guest_that_is_continued_ends_there_with_its_input_whatever_is_open() {
    let mut guest = Driven::start("start a sleep 1;start b model x;continue [1,2];model y").await;
    let End::Continued(next) = &guest.end else {
        panic!("{:?}", guest.end);
    };
    assert_eq!(next.input.as_str(), "[1,2]");
    let started: Vec<String> = guest.did().into_iter().filter(|act| act.starts_with("start")).collect();
    assert_eq!(started.len(), 2, "nothing is done after it: {started:?}");
    let traps = Driven::start("continue [1,").await;
    let message = &traps.trapped().message;
    assert!(message.contains("an input that is no JSON"), "{message}");
}

#[tokio::test]
async fn g8_a_guest_knows_the_offsets_of_the_users_zone_without_a_call() {
    let mut start = script("zone");
    start.info.zone_offsets = [(0, 3_600), (5, 7_200)]
        .map(|(from, ahead_s)| ZoneOffset {
            from: Timestamp(from),
            ahead_s,
        })
        .to_vec();
    let guest = Driven::start_with(start).await;
    assert_eq!(
        guest.seen(),
        ["[ZoneOffset { from-ns: 0, ahead-s: 3600 }, ZoneOffset { from-ns: 5000, ahead-s: 7200 }]"]
    );
    assert!(guest.calls.is_empty());
}

#[tokio::test]
async fn a_guest_may_be_dropped_at_any_time() {
    drop(probe().await.guest(script("model x")));
    let guest = Driven::start("print-open half;start a sleep 1;model x").await;
    assert_eq!(guest.end, End::Blocked);
    drop(guest);
}

#[tokio::test]
async fn a_driver_that_errs_is_told_so() {
    let mut guest = Driven::start("model x").await;
    guest.done(7).await;
    assert_eq!(guest.end, End::Broken("call 7 is not open in the guest".to_owned()));
    let mut over = Driven::start("now").await;
    assert_eq!(over.seen().len(), 1);
    over.done(0).await;
    assert!(matches!(over.end, End::Broken(_)));
}
