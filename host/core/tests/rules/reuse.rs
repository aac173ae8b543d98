//! Runs in development, which reuse what earlier runs were answered (rules D1-D4).

use crate::{check, check_with_bookkeeping};

#[test]
fn d1_a_call_that_was_made_before_is_answered_as_it_was_also_when_it_moved() {
    check(
        "journal called ask with=a, called ask with=b after=0, returned 0, returned 1
         develop
         guest ask with=new, ask with=b => called 0, called 1, returned 1 ok at 1000 from 1, deliver 1 ok at 1000
         guest ask with=a => called 2 after 1, returned 2 ok at 1000 from 0, deliver 2 ok at 1000
         commit => perform 0",
    );
}

#[test]
fn d1_the_nth_call_of_a_content_gets_the_answer_that_the_nth_was_given() {
    check(
        "journal called ask, called ask, called ask, returned 0 time=2, returned 1 fails time=3, returned 2 time=4
         develop
         guest ask => called 0, returned 0 ok at 2 from 0, deliver 0 ok at 2
         guest ask => called 1 after 1
         commit => perform 1
         clock 1500
         ends 1 ok => returned 1 ok at 502, deliver 1 ok at 502
         guest ask => called 2 after 2, returned 2 ok at 4 from 2, deliver 2 ok at 502
         guest ask => called 3 after 3",
    );
}

#[test]
fn d1_the_newest_run_that_has_an_answer_gives_it() {
    check(
        "journal called ask with=a, called ask with=b, returned 0 time=2, returned 1 time=3
         develop
         guest ask with=a => called 0, returned 0 ok at 2 from 0, deliver 0 ok at 2
         guest ask with=c => called 1 after 1
         commit => perform 1
         ends 1 ok => returned 1 ok at 2, deliver 1 ok at 2
         commit
         develop
         guest ask with=b, ask with=c => called 0, called 1, returned 0 ok at 3 from 1, returned 1 ok at 2 from 1, deliver 0 ok at 3",
    );
}

#[test]
fn d1_answers_come_in_the_order_in_which_they_came() {
    check(
        "journal called ask with=a, called ask with=b, returned 1 time=2, returned 0 time=3
         develop
         guest ask with=a, ask with=b => called 0, called 1, returned 1 ok at 2 from 1, returned 0 ok at 3 from 0, deliver 1 ok at 2
         guest => deliver 0 ok at 3",
    );
}

#[test]
fn d2_reading_and_changing_is_done_again_and_what_is_said_to_be_fresh_is_asked_again() {
    check(
        "journal called read, called write, called ask, returned 0, returned 1, returned 2
         develop
         guest read, write, ask fresh => called 0, called 1, called 2, perform 0
         commit => perform 1, perform 2",
    );
}

#[test]
fn d2_what_is_said_to_be_pure_is_not_done_again() {
    check(
        "journal called act, called read, called write, returned 0, returned 1, returned 2
         develop
         guest act pure, read pure, write pure => called 0, called 1, called 2, returned 0 ok at 1000 from 0, returned 1 ok at 1000 from 1, deliver 0 ok at 1000",
    );
}

#[test]
fn d2_timers_events_and_answers_of_people_are_not_waited_for_again() {
    check(
        "journal called sleep for=50, called question, called wait, returned 0 time=2000, returned 1, returned 2
         develop
         guest sleep for=50 => called 0, returned 0 ok at 2000 from 0, deliver 0 ok at 2000
         guest question => called 1 after 1, returned 1 ok at 1000 from 1, deliver 1 ok at 2000
         guest wait => called 2 after 2, returned 2 ok at 1000 from 2, deliver 2 ok at 2000",
    );
}

#[test]
fn d3_what_is_done_again_takes_place_when_it_did_and_what_is_new_as_long_after_its_start_as_it_took() {
    check(
        "journal called read, returned 0 time=70
         develop
         clock 900000
         guest read at=60 => called 0, perform 0
         clock 900020
         ends 0 ok => returned 0 ok at 70, deliver 0 ok at 70
         guest ask at=71 => called 1 after 1
         commit => perform 1
         clock 900120
         ends 1 ok => returned 1 ok at 171, deliver 1 ok at 171",
    );
}

#[test]
fn d3_a_new_timer_ends_in_the_time_that_the_guest_lives_in() {
    check_with_bookkeeping(
        "journal called read, returned 0 time=70
         develop
         clock 900000
         guest sleep for=50 at=5 => called 0, open 0 timer, alarm 900050, status waiting, idle [0 timer]
         alarm => returned 0 ok at 55, close 0, status running, deliver 0 ok at 55",
    );
}

#[test]
fn d4_what_must_not_be_done_twice_asks_before_it_is_done() {
    check(
        "journal called ask, returned 0
         develop
         guest act => called 0, open 0 decision, post decision 0, idle [0 decision]
         mail redo 0 => take mail 1, close 0, retried 0 redo
         commit => perform 0
         ends 0 ok => returned 0 ok at 0, deliver 0 ok at 0",
    );
}

#[test]
fn d1_a_run_in_development_goes_on_after_a_crash_as_any_other() {
    check(
        "journal called ask with=a, returned 0
         develop
         guest ask with=a, ask with=b => called 0, called 1, returned 0 ok at 1000 from 0, deliver 0 ok at 1000
         commit => perform 1
         crash
         guest ask with=a, ask with=b => deliver 0 ok at 1000
         guest => close 1, retried 1 recovery
         commit => perform 1 again",
    );
}
