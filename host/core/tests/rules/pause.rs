//! Pausing: nothing is performed, delivered or taken; what arrives is recorded (rules P4, C4).

use crate::{check, check_with_bookkeeping};

#[test]
fn p4_nothing_is_performed_while_paused_and_all_of_it_is_once_the_run_goes_on() {
    check(
        "guest ask, read, write => called 0, called 1, called 2, perform 1
         mail pause => take mail 1
         commit
         ends 1 ok => returned 1 ok at 1000, idle paused []
         mail resume => take mail 2, deliver 1 ok at 1000, perform 0, perform 2",
    );
}

#[test]
fn p4_what_arrives_while_paused_is_recorded_and_delivered_afterwards() {
    check(
        "guest ask, read => called 0, called 1, perform 1
         commit => perform 0
         mail pause => take mail 1
         ends 0 ok => returned 0 ok at 1000
         ends 1 ok => returned 1 ok at 1000, idle paused []
         mail resume => take mail 2, deliver 0 ok at 1000
         guest => deliver 1 ok at 1000",
    );
}

#[test]
fn p4_the_status_is_written_beside_the_mail_that_asked_for_it() {
    check_with_bookkeeping(
        "guest wait => called 0, open 0 event, status waiting, idle [0 event]
         mail pause => take mail 1, status paused, idle paused [0 event]
         mail resume => take mail 2, status running, status waiting, idle [0 event]
         mail event go => take mail 3, returned 0 ok at 1000, close 0, status running, deliver 0 ok at 1000",
    );
}

#[test]
fn p4_nothing_is_taken_while_paused() {
    check(
        "guest wait => called 0, open 0 event, idle [0 event]
         mail pause => take mail 1, idle paused [0 event]
         mail event go
         mail pause => take mail 3
         mail resume => take mail 4, take mail 2, returned 0 ok at 1000, close 0, deliver 0 ok at 1000
         mail resume => take mail 5",
    );
}

#[test]
fn p4_a_timer_that_comes_due_while_paused_fires_when_the_run_goes_on() {
    check_with_bookkeeping(
        "guest sleep for=50 => called 0, open 0 timer, alarm 1050, status waiting, idle [0 timer]
         mail pause => take mail 1, status paused, idle paused [0 timer]
         alarm
         clock 2000
         mail resume => take mail 2, status running, alarm 1050, status waiting, idle [0 timer]
         alarm => returned 0 ok at 2000, close 0, status running, deliver 0 ok at 2000",
    );
    check_with_bookkeeping(
        "guest sleep for=50 => called 0, open 0 timer, alarm 1050, status waiting, idle [0 timer]
         mail pause => take mail 1, status paused, idle paused [0 timer]
         mail resume => take mail 2, status running, status waiting, idle [0 timer]
         alarm => returned 0 ok at 1050, close 0, status running, deliver 0 ok at 1050",
    );
}

#[test]
fn p4_a_call_that_is_to_be_tried_again_waits_for_the_pause_to_end() {
    check(
        "guest ask => called 0
         commit => perform 0
         mail pause => take mail 1
         ends 0 again => idle paused []
         clock 90000000
         rings
         mail resume => take mail 2
         alarm => retried 0 failure
         commit => perform 0 again",
    );
}

#[test]
fn p4_a_guest_that_computes_is_heard_out_and_its_calls_wait() {
    check(
        "guest read => called 0, perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         mail pause => take mail 1
         guest read, post, sleep for=50 => called 1 after 1, called 2 after 1, called 3 after 1, idle paused []
         mail resume => take mail 2, returned 2 ok at 1000, post message 2, open 3 timer, deliver 2 ok at 1000, perform 1",
    );
}

#[test]
fn p4_a_guest_that_ends_while_paused_has_ended() {
    check(
        "guest read => called 0, perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         mail pause => take mail 1
         guest finishes => finished done spent 0, post the end
         commit => stop done",
    );
}

#[test]
fn p4_the_line_of_changes_to_files_stands_still_while_paused() {
    check(
        "guest append, write => called 0, called 1
         commit => measure 0
         mail pause => take mail 1
         measured 0 7 => prepared 0 7, idle paused []
         commit
         mail resume => take mail 2, perform 0 from 7
         mail pause => take mail 3
         ends 0 ok => returned 0 ok at 1000, idle paused []
         commit
         mail resume => take mail 4, deliver 0 ok at 1000, perform 1",
    );
    check(
        "journal called write, called write, called read, returned 2
         guest write, write, read => deliver 2 ok at 1000
         guest => close 0, retried 0 recovery
         commit => perform 0 again
         mail pause => take mail 1
         ends 0 ok => returned 0 ok at 1000, idle paused []
         commit
         mail resume => take mail 2, close 1, retried 1 recovery, deliver 0 ok at 1000
         commit => perform 1 again",
    );
}

#[test]
fn p4_a_paused_run_stays_paused_after_a_crash_and_its_replay_gives_nothing_to_the_guest() {
    check_with_bookkeeping(
        "guest read, ask => called 0, called 1, perform 0, status running, barrier 2
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         guest => 
         mail pause => take mail 1, status paused, idle paused []
         commit
         crash
         guest read, ask => idle paused []
         mail resume => take mail 2, status running, deliver 0 ok at 1000
         guest => close 1, retried 1 recovery, barrier 4
         commit => perform 1 again",
    );
}

#[test]
fn p4_a_pause_that_a_crash_lost_is_asked_for_again_by_its_mail() {
    check(
        "guest ask => called 0
         mail pause => take mail 1, idle paused []
         crash => take mail 1
         guest ask => called 0, idle paused []
         commit
         crash
         guest ask => idle paused []",
    );
}

#[test]
fn p4_a_call_that_turns_out_to_be_in_doubt_while_paused_waits_for_both() {
    check(
        "guest act => called 0
         commit => perform 0
         mail pause => take mail 1
         ends 0 in-doubt => open 0 decision, post decision 0, idle paused [0 decision]
         mail settle 0
         mail resume => take mail 3, take mail 2, returned 0 ok at 1000, close 0, deliver 0 ok at 1000",
    );
}

#[test]
fn c4_cancelling_lifts_a_pause_and_is_taken_at_once() {
    check_with_bookkeeping(
        "guest wait => called 0, open 0 event, status waiting, idle [0 event]
         mail pause => take mail 1, status paused, idle paused [0 event]
         mail cancel => take mail 2, status running, cancelled, close 0, deliver 0 cancelled at 1000, grace 1000
         guest finishes => finished cancelled with a result spent 0, status cancelled, post the end, barrier 3",
    );
}

#[test]
fn c4_a_cancelled_run_refuses_to_be_paused() {
    check(
        "guest read => called 0, perform 0
         mail cancel => take mail 1, cancelled, abort 0, deliver 0 cancelled at 1000
         mail pause => take mail 2
         guest read cleanup => called 1 after 1, perform 1",
    );
    check(
        "guest ask => called 0
         mail pause => take mail 1, idle paused []
         commit
         journal cancelled
         guest ask => called 0, deliver 0 cancelled at 1000",
    );
}
