//! Traps and limits: what a guest may hold, how it is stopped, and how that reads (rule G9).

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skillhost_core::machine::End;
use skillhost_runtime::{Reread, without_lines};
use support::{Driven, loader, probe, script};

#[tokio::test]
async fn a_panic_is_told_with_its_place_message_and_backtrace() {
    let mut guest = Driven::start("print hello;panic no such city").await;
    let failure = guest.trapped().clone();
    assert_eq!(failure.code, "trap");
    assert!(
        failure.message.starts_with("the skill panicked at src/lib.rs:"),
        "{}",
        failure.message
    );
    assert!(failure.message.ends_with(": no such city"), "{}", failure.message);
    let backtrace = failure.backtrace.unwrap();
    assert!(
        backtrace.lines().any(|line| line == "probe::Script::step"),
        "demangled:\n{backtrace}"
    );
    let did = guest.did();
    assert_eq!(did[0], "out hello");
    assert!(
        did.iter()
            .any(|act| act.starts_with("err") && act.contains("panicked at")),
        "{did:?}"
    );
}

#[tokio::test]
async fn a_trap_is_told_with_the_lines_of_the_source_if_the_component_can_be_read_again() {
    let with = |component: Option<&'static [u8]>| async move {
        let mut start = script("panic no such city");
        start.component = Some(Reread::by(move || component.map(<[u8]>::to_vec)));
        let backtrace = Driven::start_with(start).await.trapped().backtrace.clone();
        backtrace.unwrap()
    };
    let backtrace = with(Some(support::probe_bytes())).await;
    let source: Vec<&str> = include_str!("guest/src/lib.rs").lines().collect();
    let told = |line: &str| {
        let (_, place) = line.split_once(" (src/lib.rs:")?;
        Some(source[place.split(':').next()?.parse::<usize>().ok()? - 1])
    };
    let first = backtrace.lines().find_map(told);
    assert!(
        first.is_some_and(|line| line.contains("panic!")),
        "{first:?}\n{backtrace}"
    );
    // What is gone, or is something else by now, tells no lines, and fails nothing.
    for other in [None, Some(&b"\0asm"[..])] {
        let backtrace = with(other).await;
        assert!(
            backtrace.lines().any(|line| line == "probe::Script::step"),
            "{backtrace}"
        );
    }
}

#[tokio::test]
async fn a_component_without_its_debugging_information_does_the_same_and_the_whole_one_tells_its_lines() {
    let whole = support::probe_bytes();
    let lean = without_lines(whole);
    assert!(lean.len() < whole.len() / 2, "{} of {} bytes", lean.len(), whole.len());
    assert_eq!(without_lines(&lean), lean);
    let loader = loader();
    let mut backtraces = Vec::new();
    for component in [whole, &lean] {
        let loaded = loader.load_bytes(component.to_vec()).await.unwrap();
        let mut start = script("panic no such city");
        start.component = Some(Reread::by(|| Some(support::probe_bytes().to_vec())));
        let guest = Driven::start_guest(loaded.guest(start)).await;
        backtraces.push(guest.trapped().backtrace.clone().unwrap());
    }
    assert_eq!(backtraces[0], backtraces[1]);
    assert!(backtraces[0].contains("(src/lib.rs:"), "{}", backtraces[0]);
    // What is no component is left as it is.
    for damaged in [&b""[..], b"\0asm", &whole[..whole.len() / 2]] {
        assert_eq!(without_lines(damaged), damaged);
    }
}

#[tokio::test]
async fn leaving_by_exit_is_a_failure_that_says_so() {
    let failure = Driven::start("eprint bye;exit 0").await.trapped().clone();
    assert!(
        failure
            .message
            .starts_with("the skill stopped: it exited with code 0 instead of returning")
    );
    assert!(
        failure.message.ends_with("its last words on standard error:\n  bye"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn g9_nesting_too_deeply_fails_the_run_and_names_the_engine() {
    let component = support::wat::skill("(func $deep call $deep) (start $deep)", "1");
    let loaded = loader().load_bytes(component).await.unwrap();
    let guest = Driven::start_guest(loaded.guest(script(""))).await;
    let message = &guest.trapped().message;
    assert!(
        message.contains("its stack overflowed (engine `wasmtime-48/cranelift/stack-1024k/1`); `limits.stack_kib`"),
        "{message}"
    );

    let failure = Driven::start("overflow").await.trapped().clone();
    assert!(
        failure.message.contains("a stack that recursed too deeply"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn g9_memory_beyond_the_limit_is_refused_at_the_same_size_each_time() {
    let guest = Driven::start("grow 40000000;grow 80000000;grow 4000000000").await;
    assert_eq!(guest.seen(), ["grown", "refused", "refused"]);
    let devoured = Driven::start("devour").await.trapped().clone();
    assert!(
        devoured
            .message
            .contains("it had been refused memory beyond its limit of 64 MiB; `limits.memory_mib`"),
        "{}",
        devoured.message
    );
}

#[tokio::test]
async fn g9_random_bytes_open_calls_and_acts_are_bounded() {
    assert_eq!(Driven::start("random-bytes 65536").await.seen(), ["65536"]);
    let failure = Driven::start("random-bytes 65537").await.trapped().clone();
    assert!(failure.message.contains("65537 random bytes"), "{}", failure.message);

    let mut many = String::new();
    (0..10_001).for_each(|n| many += &format!("start p{n} sleep 1;"));
    let failure = Driven::start(&many).await.trapped().clone();
    assert!(
        failure.message.contains("more than 10000 calls are open"),
        "{}",
        failure.message
    );

    let failure = Driven::start("print-much 100001").await.trapped().clone();
    assert!(failure.message.contains("lines without end"), "{}", failure.message);
}

#[tokio::test]
async fn g9_more_than_a_function_may_carry_traps_before_it_is_copied() {
    let failure = Driven::start("write-much run/x 30000000").await.trapped().clone();
    assert!(
        failure.message.contains("it moved more than 24 MiB in one call"),
        "{}",
        failure.message
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_guest_that_computes_without_end_lets_others_run_and_can_be_dropped() {
    let mut guest = probe().await.guest(script("spin"));
    let others_ran = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&others_ran);
    let other = tokio::spawn(async move { flag.store(true, Ordering::SeqCst) });
    tokio::select! {
        slice = guest.start() => panic!("it ended: {slice:?}"),
        joined = other => joined.unwrap(),
    }
    assert!(others_ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_guest_that_computes_long_ends_as_if_it_had_not_been_interrupted() {
    let guest = Driven::start("compute 60000000").await;
    assert_eq!(guest.seen().len(), 1);
}

#[tokio::test]
async fn a_guest_that_traps_while_it_is_set_up_fails_the_run() {
    let component = support::wat::skill(r#"(func $boom unreachable) (start $boom)"#, "");
    let loaded = loader().load_bytes(component).await.unwrap();
    let guest = Driven::start_guest(loaded.guest(script(""))).await;
    assert!(guest.trapped().message.contains("it gave up"), "{:?}", guest.end);
}

#[tokio::test]
async fn g9_a_guest_that_begins_with_too_much_memory_fails_the_run() {
    let component = support::wat::skill("(memory $big 2000)", "");
    let loaded = loader().load_bytes(component).await.unwrap();
    let guest = Driven::start_guest(loaded.guest(script(""))).await;
    assert!(
        guest.trapped().message.contains("its limit of 64 MiB"),
        "{:?}",
        guest.end
    );
}

#[tokio::test]
async fn a_result_that_is_not_json_is_the_skill_s_failure() {
    let component = support::wat::skill("", "not json");
    let loaded = loader().load_bytes(component).await.unwrap();
    let guest = Driven::start_guest(loaded.guest(script(""))).await;
    let End::Finished(Err(failure)) = &guest.end else {
        panic!("{:?}", guest.end);
    };
    assert_eq!(failure.code, "invalid-result");
}
