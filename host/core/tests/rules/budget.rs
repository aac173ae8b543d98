//! Budgets (rule B1). A run of these stories may use 1,000 tokens; `spent` in its last entry says what was.

use crate::check;

#[test]
fn b1_a_call_that_does_not_fit_returns_budget_and_is_not_performed() {
    check(
        "guest ask bound=600, ask bound=600 => called 0, called 1, returned 1 budget at 1000, post budget, warn the run's budget is used up, deliver 1 budget at 1000
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
        "guest ask bound=600, ask bound=600 => called 0, called 1, returned 1 budget at 1000, post budget, warn the run's budget is used up, deliver 1 budget at 1000
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
         alarm => returned 0 budget at 584303, post budget, warn the run's budget is used up, deliver 0 budget at 584303
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

#[test]
fn b1_money_is_reserved_at_the_models_price_and_settled_by_what_was_spent() {
    check(
        "limits money=1000 price=2
         guest ask bound=300, ask bound=300 => called 0, called 1, returned 1 budget at 1000, post budget, warn the run's budget is used up, deliver 1 budget at 1000
         guest
         commit => perform 0
         ends 0 ok spent=10 money=20 => returned 0 ok at 1000, deliver 0 ok at 1000
         guest ask bound=300 => called 2 after 2
         commit => perform 2",
    );
}

#[test]
fn b1_a_model_without_a_price_is_refused_if_a_budget_of_money_was_set_and_counts_nothing_if_not() {
    check(
        "limits money=1000 price=2 strict
         guest ask bound=300 of=unheard-of => called 0, returned 0 budget at 1000, deliver 0 budget at 1000
         limits money=1000 price=2
         guest ask bound=300 of=unheard-of => called 0
         commit => perform 0",
    );
}

#[test]
fn b1_marks_are_told_once_each_and_not_again_after_a_recovery() {
    check(
        "guest ask bound=400 => called 0
         commit => perform 0
         ends 0 ok spent=400 => returned 0 ok at 1000, deliver 0 ok at 1000
         guest ask bound=400 => called 1 after 1
         commit => perform 1
         ends 1 ok spent=200 => returned 1 ok at 1000, warn 50 % of the run's budget is spent, deliver 1 ok at 1000
         guest ask bound=250 => called 2 after 2
         commit => perform 2
         crash
         guest ask bound=400 => deliver 0 ok at 1000
         guest ask bound=400 => deliver 1 ok at 1000
         guest ask bound=250 => close 2, returned 2 budget at 1000, post budget, warn the run's budget is used up, deliver 2 budget at 1000
         guest ask bound=250 => called 3 after 3, returned 3 budget at 1000, deliver 3 budget at 1000",
    );
}

#[test]
fn b1_when_the_time_is_over_nothing_is_begun_but_what_ends_the_run_in_order() {
    check(
        "limits wall=100
         guest read => called 0, perform 0
         clock 103000
         ends 0 ok => returned 0 ok at 103000, post budget, warn the run's budget is used up, deliver 0 ok at 103000
         guest read, post, write cleanup => called 1 after 1, called 2 after 1, called 3 after 1, returned 1 budget at 103000, returned 2 ok at 103000, post message 2, deliver 1 budget at 103000
         guest => deliver 2 ok at 103000
         commit => perform 3
         clock 120000
         guest
         ends 3 ok => returned 3 ok at 120000, deliver 3 ok at 120000
         guest post => called 4 after 4, returned 4 budget at 120000, deliver 4 budget at 120000
         guest finishes => finished done spent 0, post the end",
    );
}

#[test]
fn b1_what_is_written_to_files_is_counted_as_it_is_begun_and_the_same_at_replay() {
    check(
        "limits written=20
         guest write with=twelve => called 0
         commit => perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         crash
         guest write with=twelve => close 0, retried 0 recovery
         commit => perform 0 again
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         commit
         crash
         guest write with=twelve => deliver 0 ok at 1000
         guest write with=thirteen-and-more => called 1 after 1, returned 1 budget at 1000, post budget, warn the run's budget is used up, deliver 1 budget at 1000
         guest read => called 2 after 2, perform 2",
    );
}

#[test]
fn b1_a_journal_that_grows_beyond_its_budget_although_calls_are_refused_ends_the_run() {
    check(
        "limits journal=1300
         guest read => called 0, perform 0
         ends 0 ok => returned 0 ok at 1000, warn 50 % of the run's budget is spent, deliver 0 ok at 1000
         guest read => called 1 after 1, warn 80 % of the run's budget is spent, perform 1
         ends 1 ok => returned 1 ok at 1000, post budget, warn the run's budget is used up, deliver 1 ok at 1000
         guest read => called 2 after 2, returned 2 budget at 1000, deliver 2 budget at 1000
         guest read => called 3 after 3, finished failed budget spent 0, post the end",
    );
}

#[test]
fn b1_the_ladder_lets_a_weaker_tier_answer_and_a_recovery_asks_the_same() {
    check(
        "limits money=10000 price=4 low=1 rung=50:haiku
         guest ask bound=400 => called 0
         commit => perform 0
         ends 0 ok spent=400 money=5000 => returned 0 ok at 1000, warn 50 % of the run's budget is spent, deliver 0 ok at 1000
         guest ask bound=400, ask bound=100 of=haiku => called 1 after 1, called 2 after 1
         commit => perform 1 by haiku, perform 2
         crash
         guest ask bound=400 => deliver 0 ok at 1000
         guest ask bound=400, ask bound=100 of=haiku => close 1, returned 1 budget at 1000, post budget, warn the run's budget is used up, close 2, retried 2 recovery, deliver 1 budget at 1000",
    );
}

#[test]
fn b1_what_has_no_room_in_the_day_is_answered_and_never_begun_and_a_crash_changes_nothing() {
    check(
        "daily 1000
         guest ask bound=300, ask bound=300 => reserve 300 for 0 of day 0, called 0, reserve 300 for 1 of day 0, called 1
         full 1 => returned 1 budget at 1000, deliver 1 budget at 1000
         commit => perform 0
         crash
         guest ask bound=300, ask bound=300 => deliver 1 budget at 1000
         guest => close 0, reserve 300 for 0 of day 0, retried 0 recovery
         commit => perform 0 again
         ends 0 ok spent=100 => settle 300 by 100 of day 0, returned 0 ok at 1000, deliver 0 ok at 1000
         guest ask bound=300 => reserve 300 for 2 of day 0, called 2 after 2
         clock 86400001000
         commit => perform 2
         ends 2 again spent=200
         alarm => settle 300 by 200 of day 0 that is over, reserve 300 for 2 of day 1, retried 2 failure
         full 2 => returned 2 budget at 86400956965, deliver 2 budget at 86400956965
         guest finishes => finished done spent 600, post the end",
    );
}

#[test]
fn b1_a_run_that_goes_on_and_on_although_all_that_it_calls_is_refused_is_ended() {
    let refused =
        "guest ask bound=2000 => called {n}{after}, returned {n} budget at 1000{told}, deliver {n} budget at 1000\n";
    let told = ", post budget, warn the run's budget is used up";
    let turn = |n: u32| {
        let after = if n == 0 { String::new() } else { format!(" after {n}") };
        let told = if n == 0 { told } else { "" };
        let named = refused.replace("{n}", &n.to_string());
        named.replace("{after}", &after).replace("{told}", told)
    };
    let turns: String = (0..999).map(turn).collect();
    let last = "guest ask bound=2000 => called 999 after 999, finished failed budget spent 0, post the end";
    check(&(turns + last));
}

#[test]
fn b1_f5_what_a_copy_holds_is_on_no_account_of_its_own() {
    check(
        "guest read => called 0, perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         guest read => called 1 after 1, perform 1
         ends 1 ok => returned 1 ok at 1000, deliver 1 ok at 1000
         commit
         clock 2000
         copy 2 => kept [] anew [] asks []
         limits journal=1300
         guest read => deliver 0 ok at 1000
         guest read => deliver 1 ok at 1000
         guest read => called 2 after 2, perform 2 under the new run",
    );
}

#[test]
fn b1_a_single_entry_larger_than_the_budget_of_the_journal_is_told_and_leaves_room_to_clean_up() {
    let text = "x".repeat(30_000);
    check(&format!(
        "limits journal=20000
         guest write with={text} => called 0, returned 0 budget at 1000, post budget, warn the run's budget is used up, deliver 0 budget at 1000
         guest read => called 1 after 1, returned 1 budget at 1000, deliver 1 budget at 1000
         guest write cleanup => called 2 after 2
         commit => perform 2
         ends 2 ok => returned 2 ok at 1000, deliver 2 ok at 1000
         guest write with={text} => called 3 after 3, finished failed budget spent 0, post the end"
    ));
}

#[test]
fn b1_a_call_without_a_price_is_not_performed_again_where_there_has_to_be_one() {
    check(
        "guest ask bound=300 of=unheard-of => called 0
         commit => perform 0
         ends 0 ok spent=10 => returned 0 ok at 1000, deliver 0 ok at 1000
         commit
         copy 0 redo=0 => kept [] anew [0] asks []
         limits money=1000 price=2 strict
         guest ask bound=300 of=unheard-of => returned 0 budget at 1000, deliver 0 budget at 1000",
    );
}

#[test]
fn b1_when_the_time_is_over_nothing_is_performed_again_but_what_changes_files() {
    check(
        "limits wall=100
         guest ask bound=300, write => called 0, called 1
         commit => perform 0, perform 1
         clock 120000
         crash
         guest ask bound=300, write => close 0, returned 0 budget at 120000, post budget, warn the run's budget is used up, close 1, retried 1 recovery, deliver 0 budget at 120000",
    );
}

#[test]
fn b1_a_run_that_waits_between_what_has_no_room_in_the_day_is_not_ended() {
    let turn = |n: u32| {
        let (ask, wait) = (n * 2, n * 2 + 1);
        let after = |n: u32| if n == 0 { String::new() } else { format!(" after {n}") };
        format!(
            "guest ask bound=300 => reserve 300 for {ask} of day 0, called {ask}{}
             full {ask} => returned {ask} budget at 1000, deliver {ask} budget at 1000
             guest read => called {wait}{}, perform {wait}
             ends {wait} ok => returned {wait} ok at 1000, deliver {wait} ok at 1000\n",
            after(ask),
            after(wait),
        )
    };
    let turns: String = (0..1_001).map(turn).collect();
    check(&format!("daily 1000\n{turns}"));
}
