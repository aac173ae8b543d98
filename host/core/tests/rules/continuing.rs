//! A run that lets a new one go on in its place.

use crate::{check, check_with_bookkeeping};

#[test]
fn the_end_and_the_new_run_are_one_append_and_the_end_is_no_news() {
    check_with_bookkeeping(
        "guest ask => called 0, status running, barrier 1
         commit => perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         guest continues => finished continued spent 0, status continued, begin \"further\", barrier 3
         commit => stop continued",
    );
}

#[test]
fn r3_the_new_run_begins_when_a_change_to_files_that_was_under_way_has_ended() {
    check(
        "guest write, read, ask => called 0, called 1, called 2, perform 1
         commit => perform 0, perform 2
         ends 1 ok => returned 1 ok at 1000, deliver 1 ok at 1000
         guest continues => abort 2
         ends 2 aborted
         ends 0 ok => returned 0 ok at 1000, finished continued spent 0, begin \"further\"
         commit => stop continued",
    );
}

#[test]
fn c1_a_cancelled_run_is_not_continued_whether_or_not_its_guest_has_heard_of_it() {
    check(
        "guest ask => called 0
         commit => perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         mail cancel => take mail 1, cancelled
         guest continues => finished cancelled spent 0, post the end
         commit => stop cancelled",
    );
}

#[test]
fn mail_that_comes_when_the_run_is_continued_is_left_for_the_new_one() {
    check(
        "guest write, read => called 0, called 1, perform 1
         commit => perform 0
         ends 1 ok => returned 1 ok at 1000, deliver 1 ok at 1000
         guest continues
         mail cancel
         mail pause
         ends 0 ok => returned 0 ok at 1000, finished continued spent 0, begin \"further\"
         mail event go
         commit => stop continued",
    );
}

#[test]
fn p4_the_new_run_of_a_paused_one_begins_paused() {
    check(
        "guest ask => called 0
         commit => perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         mail pause => take mail 1
         guest continues => finished continued spent 0, begin \"further\" paused
         commit => stop continued",
    );
}

#[test]
fn a_crash_before_the_end_is_durable_makes_neither_and_the_replay_makes_both() {
    check(
        "guest ask => called 0
         commit => perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         guest continues => finished continued spent 0, begin \"further\"
         crash after 1
         guest ask => deliver 0 ok at 1000
         guest continues => finished continued spent 0, begin \"further\"
         commit => stop continued",
    );
}
