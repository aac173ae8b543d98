//! Recovery: doubt, redoing, files, parking (rules R1-R5).

use crate::{check, check_with_bookkeeping};

#[test]
fn r1_calls_in_doubt_are_recovered_by_class_once_the_run_is_live() {
    check(
        "guest ask, read, act, write, post, sleep for=50, wait => called 0, called 1, called 2, called 3, called 4, called 5, called 6, returned 4 ok at 1000, post message 4, open 5 timer, open 6 event, deliver 4 ok at 1000, perform 1
         commit => perform 0, perform 2, perform 3
         crash after 0
         guest ask, read, act, write, post, sleep for=50, wait => deliver 4 ok at 1000
         commit",
    );
}

#[test]
fn r1_a_call_that_was_recorded_and_never_begun_is_recovered_all_the_same() {
    check(
        "journal called act, called post, called sleep for=50, called tick, called read malformed
         guest act, post, sleep for=50, tick, read malformed => open 0 decision, post decision 0, returned 1 ok at 1000, post message 1, open 2 timer, returned 3 ok at 1000, returned 4 invalid at 1000, deliver 1 ok at 1000",
    );
}

#[test]
fn r2_a_further_performance_is_durable_before_it_takes_place() {
    check_with_bookkeeping(
        "journal called ask
         guest ask => close 0, retried 0 recovery, status running, barrier 2
         commit => perform 0 again",
    );
}

#[test]
fn r2_a_call_that_failed_in_a_way_that_may_pass_is_performed_again_until_its_attempts_are_used_up() {
    check(
        "guest ask => called 0
         commit => perform 0
         ends 0 again
         alarm => retried 0 failure
         commit => perform 0 again
         ends 0 again
         alarm => retried 0 failure
         commit => perform 0 again
         ends 0 again
         alarm => retried 0 failure
         commit => perform 0 again
         ends 0 again
         alarm => retried 0 failure
         commit => perform 0 again
         ends 0 again => returned 0 failed at 11092993, deliver 0 failed at 11092993",
    );
}

#[test]
fn r2_attempts_made_before_a_crash_count() {
    check(
        "journal called ask, retried 0, retried 0, retried 0
         guest ask => close 0, retried 0 recovery
         commit => perform 0 again
         ends 0 again => returned 0 failed at 1000, deliver 0 failed at 1000",
    );
}

#[test]
fn r2_a_call_that_must_not_be_made_twice_is_not_tried_again() {
    check(
        "guest act => called 0
         commit => perform 0
         ends 0 again => returned 0 failed at 1000, deliver 0 failed at 1000",
    );
}

#[test]
fn r2_a_redo_covers_one_performance() {
    check(
        "journal called act
         guest act => open 0 decision, post decision 0, idle [0 decision]
         mail redo 0 => take mail 1, close 0, retried 0 redo
         mail redo 0 => take mail 2
         commit => perform 0 again
         crash
         guest act => open 0 decision, post decision 0, idle [0 decision]
         mail redo 0 => take mail 3, close 0, retried 0 redo
         commit => perform 0 again
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000",
    );
}

#[test]
fn r2_a_decision_that_came_twice_counts_once() {
    check(
        "journal called act
         guest act => open 0 decision, post decision 0, idle [0 decision]
         mail redo 0 => take mail 1, close 0, retried 0 redo
         mail skip 0 => take mail 2
         commit => perform 0 again
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000",
    );
}

#[test]
fn r3_changes_to_files_are_made_one_at_a_time_each_when_the_outcome_before_is_durable() {
    check(
        "guest write, append, write => called 0, called 1, called 2
         commit => perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         commit => measure 1
         guest
         measured 1 7 => prepared 1 7
         commit => perform 1 from 7
         ends 1 ok => returned 1 ok at 1000, deliver 1 ok at 1000
         guest
         commit => perform 2",
    );
}

#[test]
fn r3_a_dropped_change_holds_the_next_until_it_has_really_ended() {
    check(
        "guest write, read => called 0, called 1, perform 1
         ends 1 ok => returned 1 ok at 1000, deliver 1 ok at 1000
         commit => perform 0
         guest drop 0, write => called 2 after 1
         commit
         ends 0 ok => returned 0 ok at 1000
         commit => perform 2",
    );
}

#[test]
fn r3_a_change_dropped_before_it_began_holds_the_next_until_what_was_delivered_before_is_durable() {
    check(
        "guest write, write, read => called 0, called 1, called 2, perform 2
         durable 3 => perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         guest drop 1, write => called 3 after 1
         durable 4
         commit => perform 3",
    );
}

#[test]
fn r3_an_append_is_measured_when_its_turn_comes_and_redone_from_there() {
    check(
        "guest append => called 0
         commit => measure 0
         measured 0 7 => prepared 0 7
         commit => perform 0 from 7
         crash
         guest append => close 0, retried 0 recovery
         commit => perform 0 again from 7
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000",
    );
}

#[test]
fn r3_an_append_that_could_not_be_measured_returns_why() {
    check(
        "guest append, write => called 0, called 1
         commit => measure 0
         measured 0 fails => returned 0 failed at 1000, deliver 0 failed at 1000
         guest
         commit => perform 1",
    );
}

#[test]
fn r3_an_append_whose_folder_is_gone_parks_before_it_is_measured_and_a_redo_measures() {
    check(
        "guest append => called 0
         commit => measure 0
         measured 0 gone => open 0 decision, post decision 0, idle [0 decision]
         mail redo 0 => take mail 1, close 0, retried 0 redo
         commit => measure 0
         measured 0 7 => prepared 0 7
         commit => perform 0 from 7
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000",
    );
}

#[test]
fn r3_an_append_whose_file_was_changed_parks_and_a_redo_measures_anew() {
    check(
        "journal called append, prepared 0
         guest append => close 0, retried 0 recovery
         commit => perform 0 again from 7
         ends 0 in-doubt => open 0 decision, post decision 0, idle [0 decision]
         mail redo 0 => take mail 1, close 0, retried 0 redo
         commit => measure 0
         measured 0 9 => prepared 0 9
         commit => perform 0 again from 9
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000",
    );
}

#[test]
fn r3_a_crash_between_a_redo_and_its_measuring_does_not_go_back_to_the_old_measure() {
    check(
        "journal called append, prepared 0
         guest append => close 0, retried 0 recovery
         commit => perform 0 again from 7
         ends 0 in-doubt => open 0 decision, post decision 0, idle [0 decision]
         mail redo 0 => take mail 1, close 0, retried 0 redo
         commit => measure 0
         crash
         guest append => close 0, retried 0 recovery
         commit => measure 0",
    );
}

#[test]
fn r3_a_parked_change_holds_later_changes_only() {
    check(
        "journal called append, prepared 0
         guest append, write, ask, act => called 1, called 2, called 3, close 0, retried 0 recovery
         commit => perform 2, perform 3, perform 0 again from 7
         ends 0 in-doubt => open 0 decision, post decision 0
         ends 2 ok => returned 2 ok at 1000, deliver 2 ok at 1000
         guest
         mail skip 0 => take mail 1, returned 0 skipped at 1000, close 0, deliver 0 skipped at 1000
         commit => perform 1",
    );
}

#[test]
fn r4_only_the_call_in_doubt_parks() {
    check_with_bookkeeping(
        "journal called act, called ask
         guest act, ask => open 0 decision, post decision 0, close 1, retried 1 recovery, status running, barrier 3
         commit => perform 1 again
         ends 1 ok => returned 1 ok at 1000, deliver 1 ok at 1000
         guest => status parked, idle [0 decision]
         mail settle 0 => take mail 1, returned 0 ok at 1000, close 0, status running, deliver 0 ok at 1000
         guest finishes => finished done spent 0, status done, post the end, barrier 6
         commit => stop done",
    );
}

#[test]
fn r4_a_decision_that_is_in_the_mailbox_is_taken_without_asking_again() {
    check(
        "guest act => called 0
         commit => perform 0
         crash
         mail skip 0
         guest act => take mail 1, returned 0 skipped at 1000, close 0, deliver 0 skipped at 1000
         guest finishes => finished done spent 0, post the end",
    );
}

#[test]
fn r4_a_decision_that_is_in_the_mailbox_comes_before_recovery() {
    check(
        "journal called append, prepared 0
         guest append => close 0, retried 0 recovery
         commit => perform 0 again from 7
         ends 0 in-doubt => open 0 decision, post decision 0, idle [0 decision]
         commit
         crash
         mail skip 0
         guest append => take mail 1, returned 0 skipped at 1000, close 0, deliver 0 skipped at 1000
         guest finishes => finished done spent 0, post the end",
    );
}

#[test]
fn r4_the_question_about_a_parked_call_is_closed_when_a_recovery_performs_it_again() {
    check(
        "journal called ask
         guest ask => close 0, retried 0 recovery
         commit => perform 0 again
         ends 0 in-doubt => open 0 decision, post decision 0, idle [0 decision]
         commit
         crash
         guest ask => close 0, retried 0 recovery
         commit => perform 0 again",
    );
}

#[test]
fn r4_a_decision_about_a_call_that_is_not_parked_decides_nothing() {
    check(
        "guest ask => called 0
         commit => perform 0
         mail skip 0 => take mail 1
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000",
    );
}

#[test]
fn r4_what_the_performer_cannot_tell_parks() {
    check(
        "guest act => called 0
         commit => perform 0
         ends 0 in-doubt => open 0 decision, post decision 0, idle [0 decision]
         mail settle 0 => take mail 1, returned 0 ok at 1000, close 0, deliver 0 ok at 1000",
    );
}

#[test]
fn r5_a_call_whose_answer_was_recorded_is_never_made_again() {
    check(
        "guest ask, ask => called 0, called 1
         commit => perform 0, perform 1
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         guest
         crash after 1
         guest ask, ask => deliver 0 ok at 1000
         guest => close 1, retried 1 recovery
         commit => perform 1 again",
    );
}
