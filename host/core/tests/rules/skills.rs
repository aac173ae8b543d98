//! Calls of skills, of whose launch nobody knows whether it happened (rules B1, K1, F5). A part of the budget is reserved for each: a quarter of what is left.

use crate::check;

#[test]
fn b1_a_skill_that_is_launched_again_after_each_crash_may_spend_what_was_reserved_first_and_takes_no_more() {
    check(
        "guest skill => called 0
         commit => measure 0 with 250
         crash
         guest skill => retried 0 recovery
         commit => measure 0 with 250
         crash
         guest skill, ask bound=700 => called 1, retried 0 recovery
         commit => perform 1, measure 0 with 250
         measured 0 launched => prepared 0 launched, open 0 skill",
    );
}

#[test]
fn b1_a_skill_that_is_launched_again_needs_no_room() {
    check(
        "guest ask bound=400, skill => called 0, called 1
         commit => perform 0, measure 1 with 150
         ends 0 ok spent=950 => returned 0 ok at 1000, warn 80 % of the run's budget is spent, deliver 0 ok at 1000
         commit
         crash
         guest ask bound=400, skill => deliver 0 ok at 1000
         guest => retried 1 recovery
         commit => measure 1 with 150",
    );
}

#[test]
fn b1_a_skill_that_is_launched_again_is_counted_once_in_the_day_and_settled_there() {
    check(
        "daily 1000
         guest skill => reserve 250 for 0 of day 0, called 0
         commit => measure 0 with 250
         clock 86400001000
         crash
         guest skill => retried 0 recovery
         commit => measure 0 with 250
         measured 0 launched => prepared 0 launched, open 0 skill, idle [0 skill]
         commit
         crash
         guest skill => open 0 skill, idle [0 skill]
         mail child 0 spent=30 => take mail 1, settle 250 by 30 of day 0 that is over, returned 0 ok at 86400001000, close 0, deliver 0 ok at 86400001000",
    );
}

#[test]
fn b1_k1_a_skill_that_may_not_be_launched_again_is_cancelled_and_what_it_had_stays_spent() {
    check(
        "limits wall=100
         guest skill => called 0
         commit => measure 0 with 250
         clock 120000
         crash
         guest skill => cancel child 0, returned 0 budget at 120000, post budget, warn the run's budget is used up, deliver 0 budget at 120000
         guest finishes => finished done spent 250, post the end",
    );
}

#[test]
fn b1_a_performance_in_doubt_that_a_person_answers_stays_spent_in_the_day_too() {
    check(
        "daily 1000
         guest ask bound=300 acts => reserve 300 for 0 of day 0, called 0
         commit => perform 0
         clock 86400001000
         crash
         guest ask bound=300 acts => open 0 decision, post decision 0, idle [0 decision]
         mail settle 0 => take mail 1, settle 300 by 300 of day 0 that is over, returned 0 ok at 86400001000, close 0, deliver 0 ok at 86400001000",
    );
}

#[test]
fn f5_a_copy_that_is_cut_while_a_skill_is_called_launches_its_own_with_a_part_of_what_is_left() {
    check(
        "guest skill => called 0
         commit => measure 0 with 250
         measured 0 launched => prepared 0 launched, open 0 skill, idle [0 skill]
         commit
         copy 0 => kept [] anew [0] asks []
         guest skill => retried 0 recovery
         commit => measure 0 with 250
         crash
         guest skill => retried 0 recovery
         commit => measure 0 with 250",
    );
}

#[test]
fn f5_a_copy_reserves_what_its_own_skill_may_spend_in_the_day_once() {
    check(
        "guest skill => called 0
         commit => measure 0 with 250
         copy 0 => kept [] anew [0] asks []
         daily 1000
         guest skill => reserve 250 for 0 of day 0, retried 0 recovery
         commit => measure 0 with 250
         crash
         guest skill => retried 0 recovery
         commit => measure 0 with 250",
    );
}
