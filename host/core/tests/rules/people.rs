//! People and other processes: mail, questions, events; and how a run that waits says so (rules P1-P3).

use crate::{check, check_with_bookkeeping};

#[test]
fn p1_mail_becomes_an_entry_and_its_row_goes_in_one_append() {
    check(
        "guest wait => called 0, open 0 event, idle [0 event]
         mail event go => take mail 1, returned 0 ok at 1000, close 0, deliver 0 ok at 1000
         crash
         guest wait => called 0, open 0 event, take mail 1, returned 0 ok at 1000, close 0, deliver 0 ok at 1000",
    );
}

#[test]
fn p1_a_run_that_is_told_to_go_on_as_its_attempt_begins_says_so_beside_the_mail() {
    check_with_bookkeeping(
        "guest wait => called 0, open 0 event, status waiting, idle [0 event]
         commit
         crash
         mail resume => take mail 1, status running
         guest wait => open 0 event, status waiting, idle [0 event]",
    );
}

#[test]
fn p1_mail_that_is_shown_twice_is_taken_once() {
    check(
        "guest wait, wait => called 0, called 1, open 0 event, open 1 event, idle [0 event 1 event]
         mail event go => take mail 1, returned 0 ok at 1000, close 0, deliver 0 ok at 1000
         mailbox
         guest => idle [1 event]
         mailbox",
    );
}

#[test]
fn p1_mail_whose_deletion_a_crash_lost_is_taken_with_the_entry_that_the_crash_lost_too() {
    check(
        "guest wait, wait => called 0, called 1, open 0 event, open 1 event, idle [0 event 1 event]
         commit
         mail event go => take mail 1, returned 0 ok at 1000, close 0, deliver 0 ok at 1000
         guest => idle [1 event]
         crash
         guest wait, wait => open 0 event, open 1 event, take mail 1, returned 0 ok at 1000, close 0, deliver 0 ok at 1000
         guest => idle [1 event]
         commit
         crash
         guest wait, wait => deliver 0 ok at 1000
         guest => open 1 event, idle [1 event]",
    );
}

#[test]
fn p2_an_event_sent_ahead_is_kept_and_meets_the_wait() {
    check(
        "guest read => called 0, perform 0
         mail event go
         mail event other
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         guest wait => called 1 after 1, open 1 event, take mail 1, returned 1 ok at 1000, close 1, deliver 1 ok at 1000",
    );
}

#[test]
fn p2_an_event_never_answers_a_question() {
    check(
        "guest question => called 0, open 0 question, post question 0, idle [0 question]
         mail event go
         mail answer 0 => take mail 2, returned 0 ok at 1000, close 0, deliver 0 ok at 1000",
    );
}

#[test]
fn p2_an_answer_to_a_closed_question_answers_nothing_else() {
    check(
        "guest question, question => called 0, called 1, open 0 question, post question 0, open 1 question, post question 1, idle [0 question 1 question]
         mail answer 0 => take mail 1, returned 0 ok at 1000, close 0, deliver 0 ok at 1000
         mail answer 0
         guest => take mail 2, idle [1 question]
         mail answer 1 => take mail 3, returned 1 ok at 1000, close 1, deliver 1 ok at 1000",
    );
}

#[test]
fn p2_an_answer_after_the_time_is_over_is_not_taken() {
    check(
        "guest question for=50 => called 0, open 0 question, post question 0, idle [0 question]
         alarm => returned 0 timeout at 1050, close 0, deliver 0 timeout at 1050
         mail answer 0
         guest question => called 1 after 1, open 1 question, post question 1, take mail 1, idle [1 question]",
    );
}

#[test]
fn p2_an_answer_that_came_in_time_goes_before_its_timeout() {
    check_with_bookkeeping(
        "guest question for=50, read => called 0, called 1, open 0 question, post question 0, perform 1, status running, alarm 1050
         ends 1 ok => returned 1 ok at 1000, deliver 1 ok at 1000
         mail answer 0
         alarm
         guest => take mail 1, returned 0 ok at 1050, close 0, deliver 0 ok at 1050",
    );
}

#[test]
fn p2_of_two_waits_that_are_over_the_one_whose_event_came_in_time_is_answered() {
    check_with_bookkeeping(
        "guest wait for=50, wait for=50, read => called 0, called 1, called 2, open 0 event, open 1 event, perform 2, status running, alarm 1050
         ends 2 ok => returned 2 ok at 1000, deliver 2 ok at 1000
         mail event go
         alarm => returned 1 timeout at 1050, close 1
         guest => deliver 1 timeout at 1050
         guest => take mail 1, returned 0 ok at 1050, close 0, deliver 0 ok at 1050",
    );
}

#[test]
fn p2_an_answer_sent_while_nothing_ran_goes_before_the_timeout_that_passed_meanwhile() {
    check(
        "guest question for=50 => called 0, open 0 question, post question 0, idle [0 question]
         commit
         crash
         clock 2000
         mail answer 0
         guest question for=50 => open 0 question, post question 0, take mail 1, returned 0 ok at 2000, close 0, deliver 0 ok at 2000",
    );
}

#[test]
fn p3_nothing_is_taken_while_the_guest_computes_or_something_waits_its_turn() {
    check(
        "guest wait, read => called 0, called 1, open 0 event, perform 1
         ends 1 ok => returned 1 ok at 1000, deliver 1 ok at 1000
         mail event go
         guest drop 0, wait => close 0, called 2 after 1, open 2 event, take mail 1, returned 2 ok at 1000, close 2, deliver 2 ok at 1000
         mailbox",
    );
}

#[test]
fn p3_nothing_but_a_cancellation_is_taken_while_replaying() {
    check(
        "journal called wait, called read, returned 1
         mail event go
         guest wait, read => deliver 1 ok at 1000
         mail cancel => take mail 2, cancelled
         guest => close 0, deliver 0 cancelled at 1000
         guest finishes => finished cancelled with a result spent 0, post the end",
    );
}

#[test]
fn an_idle_run_says_so_once_and_wakes_by_mail_or_alarm() {
    check_with_bookkeeping(
        "guest wait, sleep for=50 => called 0, called 1, open 0 event, open 1 timer, alarm 1050, status waiting, idle [0 event 1 timer]
         durable 2
         mail event go => take mail 1, returned 0 ok at 1000, close 0, status running, deliver 0 ok at 1000
         guest => status waiting, idle [1 timer]
         alarm => returned 1 ok at 1050, close 1, status running, deliver 1 ok at 1050
         guest finishes => finished done spent 0, status done, post the end, barrier 5",
    );
}

#[test]
fn a_run_that_only_waits_for_a_decision_is_parked() {
    check_with_bookkeeping(
        "journal called act, called wait
         guest act, wait => open 0 decision, post decision 0, open 1 event, status parked, idle [0 decision 1 event]
         mail redo 0 => take mail 1, close 0, retried 0 redo, status running, barrier 3
         commit => perform 0 again
         ends 0 in-doubt => open 0 decision, post decision 0, status parked, idle [0 decision 1 event]",
    );
}

#[test]
fn a_run_with_an_effect_under_way_is_not_idle() {
    check_with_bookkeeping(
        "guest ask, wait => called 0, called 1, open 1 event, status running, barrier 1
         commit => perform 0
         ends 0 again => alarm 584303
         mail event go => take mail 1, returned 1 ok at 1000, close 1, deliver 1 ok at 1000",
    );
}

#[test]
fn a_run_ends_when_what_it_left_under_way_has_ended() {
    check_with_bookkeeping(
        "guest ask, write, wait, read => called 0, called 1, called 2, called 3, open 2 event, perform 3, status running, barrier 2
         commit => perform 0, perform 1
         ends 3 ok => returned 3 ok at 1000, deliver 3 ok at 1000
         guest finishes => abort 0, close 2
         ends 0 aborted
         ends 1 ok => returned 1 ok at 1000, finished done spent 0, status done, post the end, barrier 7
         commit => stop done",
    );
}

#[test]
fn an_attempt_that_is_to_end_begins_nothing_records_what_comes_back_and_then_rests() {
    check(
        "guest ask, ask => called 0, called 1
         durable 1 => perform 0
         drain
         commit
         ends 0 ok => returned 0 ok at 1000, idle []
         commit
         crash
         guest ask, ask => deliver 0 ok at 1000
         guest finishes => close 1, finished done spent 0, post the end",
    );
}

#[test]
fn an_attempt_at_a_run_that_only_waits_ends_when_it_is_to_end() {
    check(
        "guest wait => called 0, open 0 event, idle [0 event]
         commit
         drain => idle [0 event]",
    );
}
