//! Cancelling (rules C1-C4).

use crate::{check, check_with_bookkeeping};

#[test]
fn c1_every_open_call_is_cancelled_in_the_order_started_and_what_comes_later_is_passed_over() {
    check(
        "guest ask, write, sleep for=50, question, act => called 0, called 1, called 2, called 3, called 4, open 2 timer, open 3 question, post question 3
         commit => perform 0, perform 1, perform 4
         mail cancel => take mail 1, cancelled, abort 0, close 2, close 3, abort 4, deliver 0 cancelled at 1000
         guest => deliver 1 cancelled at 1000
         guest => deliver 2 cancelled at 1000
         ends 0 ok => returned 0 ok at 1000
         guest => deliver 3 cancelled at 1000
         guest => deliver 4 cancelled at 1000
         guest fails
         ends 1 ok => returned 1 ok at 1000
         ends 4 aborted => finished cancelled spent 0, post the end
         commit => stop cancelled",
    );
}

#[test]
fn c1_a_cancelled_run_is_cancelled_the_same_at_replay() {
    check(
        "guest ask, read => called 0, called 1, perform 1
         commit => perform 0
         mail cancel => take mail 1, cancelled, abort 0, abort 1, deliver 0 cancelled at 1000
         ends 1 ok => returned 1 ok at 1000
         guest => deliver 1 cancelled at 1000
         guest read cleanup => called 2 after 1, perform 2
         ends 0 ok => returned 0 ok at 1000
         ends 2 ok => returned 2 ok at 1000, deliver 2 ok at 1000
         commit
         crash
         guest ask, read => deliver 0 cancelled at 1000
         guest => deliver 1 cancelled at 1000
         guest read cleanup => deliver 2 ok at 1000
         guest finishes => finished cancelled with a result spent 0, post the end
         commit => stop cancelled with a result",
    );
}

#[test]
fn c1_a_run_that_waits_says_beside_its_cancellation_that_it_goes_on_so_that_a_crash_right_after_leaves_no_run_that_nobody_wakes()
 {
    check_with_bookkeeping(
        "guest wait => called 0, open 0 event, status waiting, idle [0 event]
         commit
         crash
         mail cancel => take mail 1, status running, cancelled",
    );
}

#[test]
fn c1_a_cancellation_waits_its_turn_behind_what_arrived_before() {
    check(
        "guest read, read => called 0, called 1, perform 0, perform 1
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         ends 1 ok => returned 1 ok at 1000
         mail cancel => take mail 1, cancelled
         guest read => called 2 after 1, deliver 1 ok at 1000
         guest => deliver 2 cancelled at 1000",
    );
}

#[test]
fn c1_parked_and_pausing_calls_are_cancelled_as_well() {
    check(
        "journal called act, called ask
         guest act, ask => open 0 decision, post decision 0, close 1, retried 1 recovery
         commit => perform 1 again
         ends 1 again
         mail cancel => take mail 1, cancelled, close 0, deliver 0 cancelled at 1000
         guest => deliver 1 cancelled at 1000
         guest finishes => finished cancelled with a result spent 0, post the end
         commit => stop cancelled with a result",
    );
}

#[test]
fn c1_an_append_that_is_being_measured_is_cancelled_and_not_made() {
    check(
        "guest append, append => called 0, called 1
         commit => measure 0
         mail cancel => take mail 1, cancelled, deliver 0 cancelled at 1000
         measured 0 7
         guest => deliver 1 cancelled at 1000
         guest finishes => finished cancelled with a result spent 0, post the end
         commit => stop cancelled with a result",
    );
}

#[test]
fn c1_a_reading_of_the_clock_is_not_cancelled() {
    check(
        "guest read, tick => called 0, called 1, returned 1 ok at 1000, deliver 1 ok at 1000, perform 0
         mail cancel => take mail 1, cancelled",
    );
    check(
        "guest read => called 0, perform 0
         mail cancel => take mail 1, cancelled, abort 0, deliver 0 cancelled at 1000
         guest tick => called 1 after 1, returned 1 ok at 1000, deliver 1 ok at 1000
         guest finishes",
    );
}

#[test]
fn c2_calls_started_after_a_cancellation_are_refused_at_the_next_block_without_an_entry() {
    check(
        "guest ask => called 0
         mail cancel => take mail 1, cancelled, deliver 0 cancelled at 1000
         guest ask, read cleanup => called 1 after 1, called 2 after 1, deliver 1 cancelled at 1000
         guest drop 1 => perform 2
         ends 2 ok => returned 2 ok at 1000, deliver 2 ok at 1000
         guest says it is over, finishes => line 2.0 it is over, finished cancelled with a result spent 0, post the end
         commit => stop cancelled with a result",
    );
}

#[test]
fn c2_refused_calls_are_refused_again_at_replay_and_never_performed() {
    check(
        "guest read => called 0, perform 0
         mail cancel => take mail 1, cancelled, abort 0, deliver 0 cancelled at 1000
         guest act, read cleanup => called 1 after 1, called 2 after 1, deliver 1 cancelled at 1000
         guest => perform 2
         commit
         crash
         guest read => close 0, deliver 0 cancelled at 1000
         guest act, read cleanup => close 1, deliver 1 cancelled at 1000
         guest => close 2, retried 2 recovery, perform 2 again",
    );
}

#[test]
fn c2_a_refusal_that_was_dropped_is_not_given() {
    check(
        "guest ask, ask => called 0, called 1
         commit => perform 0, perform 1
         mail cancel => take mail 1, cancelled, abort 0, abort 1, deliver 0 cancelled at 1000
         guest drop 1, read cleanup => called 2 after 1, perform 2
         ends 1 ok => returned 1 ok at 1000
         ends 0 ok => returned 0 ok at 1000",
    );
}

#[test]
fn c3_the_time_for_cleaning_up_ends_with_an_entry_and_cleaning_up_is_refused_from_then_on() {
    check(
        "guest read => called 0, perform 0
         mail cancel => take mail 1, cancelled, abort 0, deliver 0 cancelled at 1000
         ends 0 aborted
         guest wait cleanup => called 1 after 1, open 1 event
         grace => expired, close 1, deliver 1 cancelled at 2000
         guest read cleanup, tick => called 2 after 2, called 3 after 2, deliver 2 cancelled at 2000
         guest => returned 3 ok at 2000, deliver 3 ok at 2000
         guest finishes => finished cancelled with a result spent 0, post the end
         commit => stop cancelled with a result",
    );
}

#[test]
fn c3_a_guest_that_does_not_end_after_that_is_ended_by_the_host() {
    check(
        "guest read => called 0, perform 0
         mail cancel => take mail 1, cancelled, abort 0, deliver 0 cancelled at 1000
         ends 0 aborted
         guest wait cleanup => called 1 after 1, open 1 event
         grace => expired, close 1, deliver 1 cancelled at 2000
         grace => finished cancelled spent 0, post the end
         commit => stop cancelled
         guest finishes",
    );
}

#[test]
fn c3_a_guest_that_never_blocks_again_is_ended_by_the_host() {
    check(
        "guest read => called 0, perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         mail cancel => take mail 1, cancelled
         grace => finished cancelled spent 0, post the end
         commit => stop cancelled
         guest finishes",
    );
}

#[test]
fn c3_a_guest_that_never_blocks_again_is_ended_by_the_host_after_a_crash_as_well() {
    check(
        "guest read => called 0, perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         mail cancel => take mail 1, cancelled
         commit
         crash
         guest read => deliver 0 ok at 1000
         grace => finished cancelled spent 0, post the end
         commit => stop cancelled",
    );
    check(
        "guest read => called 0, perform 0
         mail cancel => take mail 1, cancelled, abort 0, deliver 0 cancelled at 1000
         ends 0 aborted
         grace => expired
         commit
         crash
         guest read => close 0, deliver 0 cancelled at 1000
         grace => finished cancelled spent 0, post the end
         commit => stop cancelled",
    );
}

#[test]
fn c3_a_recovery_restarts_the_time_for_cleaning_up() {
    check(
        "guest read => called 0, perform 0
         mail cancel => take mail 1, cancelled, abort 0, deliver 0 cancelled at 1000
         guest read cleanup => called 1 after 1, perform 1
         commit
         crash
         clock 100000
         guest read => close 0, deliver 0 cancelled at 1000
         guest read cleanup => close 1, retried 1 recovery, perform 1 again
         grace => expired, abort 1, deliver 1 cancelled at 101000",
    );
}

#[test]
fn c3_a_slow_replay_does_not_eat_the_time_for_cleaning_up() {
    check(
        "journal called read, cancelled, called read cleanup after=1, returned 1 time=1100, called read cleanup after=2
         guest read => close 0, deliver 0 cancelled at 1000
         clock 100000
         guest read cleanup => deliver 1 ok at 1100
         clock 200000
         guest read cleanup => close 2, retried 2 recovery, perform 2 again
         grace => expired, abort 2, deliver 2 cancelled at 201000",
    );
}

#[test]
fn c3_a_run_that_is_cleaning_up_is_not_idle_so_that_leaving_memory_does_not_restart_its_time() {
    check_with_bookkeeping(
        "guest read => called 0, perform 0, status running
         mail cancel => take mail 1, cancelled, abort 0, deliver 0 cancelled at 1000, grace 1000
         ends 0 aborted
         guest wait cleanup => called 1 after 1, open 1 event",
    );
}

#[test]
fn c3_the_time_for_cleaning_up_is_not_measured_by_the_wall_clock() {
    check(
        "guest read => called 0, perform 0
         mail cancel => take mail 1, cancelled, abort 0, deliver 0 cancelled at 1000
         ends 0 aborted
         guest sleep for=50 cleanup => called 1 after 1, open 1 timer
         clock 900000000
         alarm => returned 1 ok at 900000000, close 1, deliver 1 ok at 900000000
         guest wait cleanup => called 2 after 2, open 2 event
         grace => expired, close 2, deliver 2 cancelled at 900001000",
    );
}

#[test]
fn c3_a_run_whose_time_was_over_is_ended_after_a_crash_as_well() {
    check(
        "journal called read, cancelled, called wait cleanup after=1, expired
         guest read => close 0, deliver 0 cancelled at 1000
         guest wait cleanup => close 1, deliver 1 cancelled at 1000
         guest tick => called 2 after 2, returned 2 ok at 1000, deliver 2 ok at 1000
         grace => finished cancelled spent 0, post the end",
    );
}

#[test]
fn c4_a_run_is_cancelled_once_however_often_it_is_asked_and_before_its_guest_runs() {
    check(
        "mail cancel => take mail 1, cancelled
         mail cancel => take mail 2
         guest ask => called 0, deliver 0 cancelled at 1000
         guest finishes => finished cancelled with a result spent 0, post the end
         commit => stop cancelled with a result",
    );
    check(
        "journal cancelled
         mail cancel => take mail 1
         guest ask => called 0, deliver 0 cancelled at 1000
         guest finishes => finished cancelled with a result spent 0, post the end",
    );
}

#[test]
fn c4_a_message_that_was_queued_before_the_cancellation_still_appears() {
    check(
        "guest post, read => called 0, called 1, returned 0 ok at 1000, post message 0, deliver 0 ok at 1000, perform 1
         mail cancel => take mail 1, cancelled
         guest fails => abort 1
         commit",
    );
}

#[test]
fn c4_a_run_that_is_over_before_it_hears_of_the_cancellation_is_done() {
    check(
        "guest read => called 0, perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         mail cancel => take mail 1, cancelled
         guest finishes => finished done spent 0, post the end
         commit => stop done",
    );
}

#[test]
fn c4_a_cancelled_run_that_ends_abnormally_failed() {
    check(
        "guest read => called 0, perform 0
         mail cancel => take mail 1, cancelled, abort 0, deliver 0 cancelled at 1000
         guest traps
         ends 0 ok => returned 0 ok at 1000, finished failed trap spent 0, post the end
         commit => stop failed trap",
    );
}
