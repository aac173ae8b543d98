//! The guest: starting, delivery, dropping, time, limits (rules G1-G9).

use crate::{check, check_with_bookkeeping};

#[test]
fn g2_a_replayed_guest_that_asks_for_something_else_is_stopped_before_anything_is_written() {
    check(
        "journal called ask, returned 0, called read after=1, returned 1
         guest ask => deliver 0 ok at 1000
         guest says something new, read with=another => mismatch: call #1 is not the one that the journal holds",
    );
}

#[test]
fn g2_a_replayed_guest_that_starts_its_calls_at_another_time_is_stopped() {
    check(
        "journal called ask, called read, returned 0
         guest ask => deliver 0 ok at 1000
         guest read => mismatch: call #1 is not the one that the journal holds",
    );
}

#[test]
fn g2_options_are_recorded_and_not_compared() {
    check(
        "journal called act
         guest act cleanup => open 0 decision, post decision 0, idle [0 decision]",
    );
}

#[test]
fn g2_a_replayed_guest_that_makes_fewer_calls_is_stopped_before_it_goes_live() {
    check(
        "journal called ask, called ask, returned 0, called act after=1
         guest ask, ask => deliver 0 ok at 1000
         guest drop 0 => mismatch: the skill did not make a call that the journal holds",
    );
}

#[test]
fn g2_a_replayed_guest_that_ends_early_is_stopped() {
    check(
        "journal called ask, returned 0, called act after=1
         guest ask => deliver 0 ok at 1000
         guest finishes => mismatch: the skill did not make a call that the journal holds",
    );
    check(
        "journal called ask, returned 0, called act after=1
         guest ask => deliver 0 ok at 1000
         guest traps => mismatch: the skill did not make a call that the journal holds",
    );
}

#[test]
fn g2_an_outcome_whose_call_was_not_started_stops_the_guest() {
    check(
        "journal called ask, called ask, returned 1
         guest ask => mismatch: the journal answers call #1 (entry 3), which the skill has not started",
    );
}

#[test]
fn g2_a_call_that_was_not_recorded_in_time_is_recorded_behind_the_outcomes_that_came_meanwhile() {
    check(
        "guest ask, ask => called 0, called 1
         commit => perform 0, perform 1
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         ends 1 ok => returned 1 ok at 1000
         crash after 2
         guest ask, ask => deliver 0 ok at 1000
         guest ask => called 2 after 1, deliver 1 ok at 1000
         guest finishes => finished done spent 0, post the end",
    );
}

#[test]
fn g3_what_arrives_while_the_guest_computes_waits_its_turn() {
    check(
        "guest ask, ask, ask => called 0, called 1, called 2
         commit => perform 0, perform 1, perform 2
         ends 1 ok => returned 1 ok at 1000, deliver 1 ok at 1000
         ends 2 ok => returned 2 ok at 1000
         ends 0 ok => returned 0 ok at 1000
         guest => deliver 2 ok at 1000
         guest => deliver 0 ok at 1000
         guest finishes => finished done spent 0, post the end",
    );
}

#[test]
fn g3_an_outcome_is_written_before_the_guest_is_given_it() {
    check_with_bookkeeping(
        "guest read => called 0, perform 0, status running
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000",
    );
}

#[test]
fn g5_a_call_that_is_started_and_dropped_at_once_is_never_performed() {
    check(
        "guest ask, drop 0, ask => called 0, called 1
         commit => perform 1
         crash
         guest ask, drop 0, ask => close 0, close 1, retried 1 recovery",
    );
}

#[test]
fn g5_dropping_ends_the_effect_and_what_it_still_returns_is_passed_over_with_its_time() {
    check(
        "guest ask, ask => called 0, called 1
         commit => perform 0, perform 1
         ends 1 ok => returned 1 ok at 1000, deliver 1 ok at 1000
         guest drop 0, read => abort 0, called 2 after 1, perform 2
         clock 5000
         ends 0 ok => returned 0 ok at 5000
         clock 1500
         ends 2 ok => returned 2 ok at 1500, deliver 2 ok at 5000
         commit
         crash
         guest ask, ask => deliver 1 ok at 1000
         guest drop 0, read => deliver 2 ok at 5000
         guest finishes => finished done spent 0, post the end",
    );
}

#[test]
fn g5_an_effect_that_ended_without_an_answer_leaves_nothing_behind() {
    check(
        "guest ask, sleep for=5 => called 0, called 1, open 1 timer
         commit => perform 0
         clock 1005
         alarm => returned 1 ok at 1005, close 1, deliver 1 ok at 1005
         guest drop 0, read => abort 0, called 2 after 1, perform 2
         ends 0 aborted
         ends 2 ok => returned 2 ok at 1005, deliver 2 ok at 1005
         guest finishes => finished done spent 0, post the end",
    );
}

#[test]
fn g5_dropping_a_wait_closes_it_live_and_again_at_replay() {
    check(
        "guest question, read => called 0, called 1, open 0 question, post question 0, perform 1
         ends 1 ok => returned 1 ok at 1000, deliver 1 ok at 1000
         guest drop 0, read => close 0, called 2 after 1, perform 2
         commit
         crash
         guest question, read => deliver 1 ok at 1000
         guest drop 0, read => close 0, close 2, retried 2 recovery, perform 2 again",
    );
}

#[test]
fn g5_dropping_a_parked_call_closes_its_question_live_and_again_at_replay() {
    check(
        "guest act, sleep for=5 => called 0, called 1, open 1 timer
         commit => perform 0
         crash
         guest act, sleep for=5 => open 0 decision, post decision 0, open 1 timer, idle [0 decision 1 timer]
         alarm => returned 1 ok at 1005, close 1, deliver 1 ok at 1005
         guest drop 0, sleep for=5 => close 0, called 2 after 1, open 2 timer, idle [2 timer]
         commit
         crash
         guest act, sleep for=5 => deliver 1 ok at 1005
         guest drop 0, sleep for=5 => close 0, open 2 timer, idle [2 timer]",
    );
}

#[test]
fn g5_an_outcome_that_arrived_before_the_drop_is_passed_over() {
    check(
        "guest read, read, read => called 0, called 1, called 2, perform 0, perform 1, perform 2
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         ends 1 ok => returned 1 ok at 1000
         guest drop 1
         commit
         crash
         guest read, read, read => deliver 0 ok at 1000
         guest drop 1 => close 2, retried 2 recovery, perform 2 again",
    );
}

#[test]
fn g5_a_call_that_pauses_before_another_attempt_is_dropped_for_good() {
    check(
        "guest ask, sleep for=5 => called 0, called 1, open 1 timer
         commit => perform 0
         ends 0 again
         alarm => returned 1 ok at 1005, close 1, deliver 1 ok at 1005
         guest drop 0, sleep for=9000000 => called 2 after 1, open 2 timer, idle [2 timer]
         alarm => returned 2 ok at 9001005, close 2, deliver 2 ok at 9001005",
    );
}

#[test]
fn g5_a_change_to_files_that_was_dropped_before_its_barrier_is_not_made() {
    check(
        "guest write, append, read => called 0, called 1, called 2, perform 2
         ends 2 ok => returned 2 ok at 1000, deliver 2 ok at 1000
         guest drop 0, drop 1, write => called 3 after 1
         commit => perform 3",
    );
}

#[test]
fn g6_the_time_of_outcomes_never_goes_back_even_if_the_clock_does() {
    check(
        "guest read => called 0, perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         clock 400
         guest read => called 1 after 1, perform 1
         ends 1 ok => returned 1 ok at 400, deliver 1 ok at 1000
         commit
         crash
         clock 10
         guest read => deliver 0 ok at 1000
         guest read => deliver 1 ok at 1000",
    );
}

#[test]
fn g7_a_timer_keeps_its_deadline_over_a_crash() {
    check_with_bookkeeping(
        "guest sleep for=50 => called 0, open 0 timer, alarm 1050, status waiting, idle [0 timer]
         commit
         crash
         clock 1020
         guest sleep for=50 => open 0 timer, alarm 1050, status waiting, idle [0 timer]
         alarm => returned 0 ok at 1050, close 0, status running, deliver 0 ok at 1050",
    );
}

#[test]
fn g7_the_outcome_of_a_timer_is_not_before_the_time_that_the_guest_reckoned() {
    check(
        "guest sleep for=50 at=9000 => called 0, open 0 timer, idle [0 timer]
         alarm => returned 0 ok at 9050, close 0, deliver 0 ok at 9050",
    );
}

#[test]
fn g7_timers_that_came_due_while_nothing_ran_end_in_the_order_of_their_deadlines() {
    check(
        "guest sleep for=50, sleep for=20, sleep for=30 => called 0, called 1, called 2, open 0 timer, open 1 timer, open 2 timer, idle [0 timer 1 timer 2 timer]
         commit
         crash
         clock 2000
         guest sleep for=50, sleep for=20, sleep for=30 => open 0 timer, open 1 timer, open 2 timer, idle [0 timer 1 timer 2 timer]
         alarm => returned 1 ok at 2000, close 1, returned 2 ok at 2000, close 2, returned 0 ok at 2000, close 0, deliver 1 ok at 2000
         guest => deliver 2 ok at 2000
         guest => deliver 0 ok at 2000",
    );
}

#[test]
fn g7_an_alarm_that_comes_early_is_set_again() {
    check_with_bookkeeping(
        "guest sleep for=50 => called 0, open 0 timer, alarm 1050, status waiting, idle [0 timer]
         clock 900
         rings => alarm 1050
         alarm => returned 0 ok at 1050, close 0, status running, deliver 0 ok at 1050",
    );
}

#[test]
fn g9_what_the_host_cannot_do_stops_the_attempt_and_not_the_run() {
    check(
        "journal called ask, returned 0
         guest ask => deliver 0 ok at 1000
         guest breaks => stop broken: no memory",
    );
}

#[test]
fn g9_a_trap_where_the_journal_ends_fails_the_run() {
    check(
        "journal called ask, returned 0
         guest ask => deliver 0 ok at 1000
         guest traps => finished failed trap spent 0, post the end
         commit => stop failed trap",
    );
}

#[test]
fn g9_a_guest_that_computes_for_too_long_fails_its_run() {
    check(
        "guest spins => finished failed runaway spent 0, post the end
         commit => stop failed runaway",
    );
    check(
        "journal called ask, returned 0
         guest ask => deliver 0 ok at 1000
         guest spins => finished failed runaway spent 0, post the end
         commit => stop failed runaway",
    );
}

#[test]
fn g9_one_that_went_further_before_parks_the_attempt_and_does_not_fail_the_run() {
    check(
        "journal called ask, returned 0, called read
         guest ask => deliver 0 ok at 1000
         guest spins => stop broken: it failed",
    );
    check(
        "journal called ask, returned 0
         guest spins => stop broken: it failed",
    );
}
