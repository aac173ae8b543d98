//! Budgets (rule B1). A run of these stories may use 1,000 tokens; `spent` in its last entry says what was.

use crate::check;

#[test]
fn b1_a_call_that_does_not_fit_returns_budget_and_is_not_performed() {
    check(
        "guest ask bound=600, ask bound=600 => called 0, called 1, returned 1 budget at 1000, deliver 1 budget at 1000
         guest
         commit => perform 0
         ends 0 ok spent=100 => returned 0 ok at 1000, deliver 0 ok at 1000
         guest ask bound=600 => called 2 after 2
         commit => perform 2
         ends 2 ok spent=200 => returned 2 ok at 1000, deliver 2 ok at 1000
         guest finishes => finished done spent 300, post the end",
    );
}

#[test]
fn b1_what_was_settled_and_refused_is_the_same_at_replay() {
    check(
        "guest ask bound=600, ask bound=600 => called 0, called 1, returned 1 budget at 1000, deliver 1 budget at 1000
         commit => perform 0
         ends 0 ok spent=100 => returned 0 ok at 1000
         guest => deliver 0 ok at 1000
         guest ask bound=600 => called 2 after 2
         commit => perform 2
         crash
         guest ask bound=600, ask bound=600 => deliver 1 budget at 1000
         guest => deliver 0 ok at 1000
         guest ask bound=600 => close 2, returned 2 budget at 1000, deliver 2 budget at 1000
         guest finishes => finished done spent 700, post the end",
    );
}

#[test]
fn b1_a_call_that_was_refused_for_the_budget_and_whose_refusal_a_crash_lost_is_refused_again() {
    check(
        "journal called ask bound=400, called ask acts, called ask
         guest ask bound=400, ask acts bound=700, ask bound=700 => close 0, retried 0 recovery, returned 1 budget at 1000, returned 2 budget at 1000, deliver 1 budget at 1000
         guest finishes => finished done spent 800, post the end",
    );
}

#[test]
fn b1_a_further_performance_has_its_own_reservation() {
    check(
        "guest ask bound=400 => called 0
         commit => perform 0
         ends 0 again spent=50
         alarm => retried 0 failure
         commit => perform 0 again
         crash
         guest ask bound=400 => close 0, retried 0 recovery
         commit => perform 0 again
         ends 0 ok spent=60 => returned 0 ok at 584303, deliver 0 ok at 584303
         guest finishes => finished done spent 510, post the end",
    );
}

#[test]
fn b1_a_further_performance_that_does_not_fit_returns_budget_and_what_was_spent_is_the_same_at_replay() {
    check(
        "guest ask bound=400, ask bound=500 => called 0, called 1
         commit => perform 0, perform 1
         ends 0 again spent=300
         alarm => returned 0 budget at 584303, deliver 0 budget at 584303
         commit
         guest finishes => abort 1
         ends 1 aborted => finished done spent 800, post the end
         crash
         guest ask bound=400, ask bound=500 => deliver 0 budget at 584303
         guest finishes => close 1, finished done spent 800, post the end",
    );
}

#[test]
fn b1_dropped_performances_stay_spent_unless_they_still_say_what_they_spent() {
    check(
        "guest ask bound=400, ask bound=500, read => called 0, called 1, called 2, perform 2
         commit => perform 0, perform 1
         ends 2 ok => returned 2 ok at 1000, deliver 2 ok at 1000
         guest drop 0, drop 1, read => abort 0, abort 1, called 3 after 1, perform 3
         ends 0 aborted
         ends 1 ok spent=20 => returned 1 ok at 1000
         ends 3 ok => returned 3 ok at 1000, deliver 3 ok at 1000
         guest finishes => finished done spent 420, post the end",
    );
}

#[test]
fn b1_calls_that_a_cancellation_refuses_reserve_nothing() {
    check(
        "guest read => called 0, perform 0
         mail cancel => take mail 1, cancelled, abort 0, deliver 0 cancelled at 1000
         guest ask bound=700, ask bound=700 cleanup => called 1 after 1, called 2 after 1, deliver 1 cancelled at 1000
         guest
         commit => perform 2
         ends 2 ok spent=30 => returned 2 ok at 1000, deliver 2 ok at 1000
         guest fails
         ends 0 ok => returned 0 ok at 1000, finished cancelled spent 30, post the end
         commit => stop cancelled",
    );
}

#[test]
fn b1_malformed_calls_reserve_nothing() {
    check(
        "guest ask bound=700 malformed, ask bound=700 => called 0, called 1, returned 0 invalid at 1000, deliver 0 invalid at 1000
         guest
         commit => perform 1",
    );
}
