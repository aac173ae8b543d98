//! Four crashes that have a name.

use crate::{check, check_with_bookkeeping};

#[test]
fn g1_a_call_whose_number_stays_while_its_position_in_the_journal_changes_keeps_its_idempotency_key() {
    check_with_bookkeeping(
        "guest ask, ask => called 0, called 1, status running, barrier 2
         commit => perform 0, perform 1
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         guest read, ask => called 2 after 1, called 3 after 1, perform 2, barrier 5
         crash
         guest ask, ask => close 0, retried 0 recovery, close 1, retried 1 recovery, status running, barrier 4
         commit => perform 0 again, perform 1 again
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         guest read, ask => called 2 after 1, called 3 after 1, perform 2, barrier 7
         commit => perform 3",
    );
}

#[test]
fn g2_a_guest_that_started_two_calls_before_it_blocked_replays_when_their_outcome_lies_between_their_entries() {
    check(
        "journal called read, returned 0
         guest read, ask => called 1, deliver 0 ok at 1000
         guest
         commit => perform 1
         crash
         guest read, ask => deliver 0 ok at 1000
         guest => close 1, retried 1 recovery
         commit => perform 1 again",
    );
    check(
        "journal called read, returned 0, called ask after=0
         guest read, ask => deliver 0 ok at 1000
         guest => close 1, retried 1 recovery
         commit => perform 1 again
         ends 1 ok => returned 1 ok at 1000, deliver 1 ok at 1000
         guest finishes => finished done spent 0, post the end",
    );
}

#[test]
fn r1_a_dropped_at_most_once_call_which_lost_against_a_timeout_neither_parks_the_run_nor_runs_again() {
    check(
        "guest act, sleep for=50 => called 0, called 1, open 1 timer
         commit => perform 0
         alarm => returned 1 ok at 1050, close 1, deliver 1 ok at 1050
         guest drop 0, sleep for=50 => abort 0, called 2 after 1, open 2 timer
         commit
         crash
         guest act, sleep for=50 => deliver 1 ok at 1050
         guest drop 0, sleep for=50 => close 0, open 2 timer, idle [2 timer]
         alarm => returned 2 ok at 1100, close 2, deliver 2 ok at 1100
         guest finishes => finished done spent 0, post the end
         commit => stop done",
    );
}

#[test]
fn j5_a_log_line_is_neither_lost_nor_doubled_by_a_crash_right_after_it() {
    check(
        "guest says one, read => line 0.0 one, called 0, perform 0
         commit
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         guest says two, read => line 1.0 two, called 1 after 1, perform 1
         commit
         lines => one, two
         crash
         guest says one, read => line 0.0 one, deliver 0 ok at 1000
         guest says two, read => line 1.0 two, close 1, retried 1 recovery, perform 1 again
         commit
         lines => one, two",
    );
    check(
        "guest says one, read => line 0.0 one, called 0, perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         guest says two, read => line 1.0 two, called 1 after 1, perform 1
         crash
         guest says one, read => line 0.0 one, called 0, perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         guest says two, read => line 1.0 two, called 1 after 1, perform 1
         commit
         lines => one, two",
    );
}
