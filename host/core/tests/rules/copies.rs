//! Runs that begin with a copy of another (rules F1-F6).

use crate::{check, check_with_bookkeeping};

#[test]
fn f2_a_copy_holds_the_outcomes_up_to_the_cut_and_the_calls_started_by_then() {
    check(
        "journal called ask, returned 0, called read after=1, returned 1, called ask after=2, returned 2
         copy 1 => kept [1] anew [] asks []
         entries => called 0, returned 0 ok at 1000, called 1 after 1, returned 1 ok at 1000",
    );
}

#[test]
fn f3_calls_open_at_the_cut_keep_the_outcome_that_they_got_later() {
    check(
        "journal called ask, called ask, called act, returned 0, called read after=1, returned 1, returned 3, called ask after=3
         copy 1 => kept [1 3] anew [2] asks [2]
         entries => called 0, called 1, called 2, returned 0 ok at 1000, called 3 after 1, returned 1 ok at 1000, returned 3 ok at 1000
         guest ask, ask, act => deliver 0 ok at 1000
         guest read => deliver 1 ok at 1000
         guest => deliver 3 ok at 1000
         guest ask => called 4 after 3, open 2 decision, post decision 2
         commit => perform 4 under the new run",
    );
}

#[test]
fn f3_a_call_without_an_outcome_is_performed_under_the_key_of_the_new_run() {
    check(
        "guest ask, write => called 0, called 1
         commit => perform 0, perform 1
         copy 0 => kept [] anew [0 1] asks []
         guest ask, write => close 0, retried 0 recovery, close 1, retried 1 recovery
         commit => perform 0 again under the new run, perform 1 again under the new run",
    );
}

#[test]
fn f3_an_at_most_once_call_whose_outcome_is_not_wanted_is_performed_without_asking_once() {
    check(
        "journal called act, called act, returned 0 fails
         copy 0 redo=0 => kept [] anew [0 1] asks [1]
         entries => called 0, called 1, retried 0 anew
         guest act, act => retried 0 redo, open 1 decision, post decision 1
         commit => perform 0 under the new run
         crash
         guest act, act => open 0 decision, post decision 0, open 1 decision, post decision 1, idle [0 decision 1 decision]",
    );
}

#[test]
fn f3_all_outcomes_after_the_cut_can_be_left_out() {
    check(
        "journal called ask, called read, called ask, returned 1, returned 0, returned 2
         copy 1 redo=all => kept [] anew [0 2] asks []
         entries => called 0, called 1, called 2, returned 1 ok at 1000, retried 0 anew, retried 2 anew
         guest ask, read, ask => deliver 1 ok at 1000
         guest => retried 0 redo, retried 2 redo",
    );
}

#[test]
fn f3_a_wait_that_begins_anew_has_its_time_from_then() {
    check_with_bookkeeping(
        "journal called question for=50, returned 0 fails
         clock 5000
         copy 0 redo=0 => kept [] anew [0] asks []
         guest question for=50 => open 0 question, post question 0, alarm 5050, status waiting, idle [0 question]
         commit
         clock 9000
         copy 0 => kept [] anew [0] asks []
         guest question for=50 => open 0 question, post question 0, alarm 9050, status waiting, idle [0 question]",
    );
}

#[test]
fn f3_an_append_that_may_have_taken_place_is_looked_for_and_one_that_is_redone_is_measured_anew() {
    check(
        "journal called append, prepared 0
         copy 0 => kept [] anew [0] asks []
         guest append => close 0, retried 0 recovery
         commit => perform 0 again from 7 under the new run",
    );
    check(
        "journal called append, prepared 0, returned 0 fails
         copy 0 redo=0 => kept [] anew [0] asks []
         entries => called 0, retried 0 anew
         guest append => retried 0 redo
         commit => measure 0
         measured 0 9 => prepared 0 9
         commit => perform 0 from 9 under the new run",
    );
}

#[test]
fn f5_the_new_run_has_a_budget_of_its_own_from_zero() {
    check(
        "journal called ask bound=900, retried 0 bound=900, returned 0 spent=800, called ask after=1 bound=100
         copy 1 => kept [] anew [1] asks []
         guest ask bound=900 => deliver 0 ok at 1000
         guest ask bound=900 => close 1, retried 1 recovery",
    );
}

#[test]
fn f5_a_call_that_the_budget_had_no_room_for_is_performed_if_the_new_one_has() {
    check(
        "guest ask bound=900 => called 0
         commit => perform 0
         ends 0 ok spent=900 => returned 0 ok at 1000, warn 80 % of the run's budget is spent, deliver 0 ok at 1000
         guest ask bound=900 => called 1 after 1, post budget, warn the run's budget is used up, returned 1 budget at 1000, deliver 1 budget at 1000
         guest fails => finished failed own spent 900, post the end
         commit => stop failed own
         copy 1 redo=1 => kept [] anew [1] asks []
         guest ask bound=900 => deliver 0 ok at 1000
         guest ask bound=900 => retried 1 redo
         commit => perform 1 under the new run",
    );
}

#[test]
fn f2_a_copy_of_a_cancelled_run_is_cancelled_only_if_the_cut_is_behind_that() {
    check(
        "journal called ask, called read, returned 1, cancelled, called ask after=2 cleanup, called ask after=2, returned 0
         copy 1 => kept [0] anew [] asks []
         entries => called 0, called 1, returned 1 ok at 1000, returned 0 ok at 1000
         copy 1 => kept [0] anew [] asks []",
    );
    check(
        "journal called ask, called read, returned 1, cancelled, called ask after=2 cleanup, called ask after=2, returned 0
         copy 2 => kept [0] anew [2] asks []
         entries => called 0, called 1, returned 1 ok at 1000, cancelled, called 2 after 2, called 3 after 2, returned 0 ok at 1000
         guest ask, read => deliver 1 ok at 1000
         guest => deliver 0 cancelled at 1000
         guest ask cleanup, ask => close 3, deliver 3 cancelled at 1000",
    );
}

#[test]
fn f1_a_copy_can_be_copied_in_turn() {
    check(
        "journal called act, returned 0 fails, called act after=1, returned 1 fails
         copy 1 redo=1 => kept [] anew [1] asks []
         copy 0 redo=0 => kept [] anew [0] asks []
         entries => called 0, retried 0 anew
         guest act => retried 0 redo",
    );
}

#[test]
fn a_copy_that_cannot_be_made_says_why() {
    check(
        "journal called ask, returned 0, called ask after=1
         copy 2 => a cut after 2 outcomes lies behind the end: the run has 1
         copy 1 redo=0 => call #0 is not open after 1 outcomes, so it can neither be performed again nor be answered there
         copy 0 redo=1 => call #1 is not open after 0 outcomes, so it can neither be performed again nor be answered there
         journal nothing => the journal does not begin with a `started` entry
         copy 0 => the journal does not begin with a `started` entry",
    );
}

#[test]
fn f3_a_call_open_at_the_cut_can_be_answered_by_hand() {
    check(
        "journal called ask, called act, returned 0 fails, called read after=1, returned 1
         copy 0 answer=0 => kept [1] anew [] asks []
         entries => called 0, called 1, returned 1 ok at 1000, returned 0 ok at 1000
         guest ask, act => deliver 1 ok at 1000
         guest => deliver 0 ok at 1000
         copy 1 answer=0 => kept [] anew [] asks []
         entries => called 0, called 1, returned 1 ok at 1000, returned 0 ok at 1000
         copy 2 answer=0 => call #0 is not open after 2 outcomes, so it can neither be performed again nor be answered there",
    );
}
