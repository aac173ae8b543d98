//! The journal: output commit, logs (rules J1-J5), and journals that do not make sense.

use crate::{check, check_with_bookkeeping};

#[test]
fn j1_an_effect_waits_until_its_own_entry_is_durable() {
    check_with_bookkeeping(
        "guest ask, act => called 0, called 1, status running, barrier 2
         durable 1 => perform 0
         durable 2 => perform 1",
    );
}

#[test]
fn j1_looking_at_the_world_waits_for_nothing() {
    check("guest read, ask => called 0, called 1, perform 0");
}

#[test]
fn j1_the_last_outcome_and_the_calls_that_it_led_to_are_one_barrier() {
    check_with_bookkeeping(
        "guest ask => called 0, status running, barrier 1
         commit => perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         guest ask, ask => called 1 after 1, called 2 after 1, barrier 4
         commit => perform 1, perform 2",
    );
}

#[test]
fn j2_a_run_is_over_when_its_last_entry_is_durable() {
    check_with_bookkeeping(
        "guest read => called 0, perform 0, status running
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         guest finishes => finished done spent 0, status done, post the end, barrier 3
         durable 2
         durable 3 => stop done",
    );
}

#[test]
fn j5_a_line_is_known_by_the_outcomes_consumed_before_it_and_its_place_since() {
    check(
        "guest says one, read, says two, read => line 0.0 one, called 0, line 0.1 two, called 1, perform 0, perform 1
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         guest says three => line 1.0 three
         ends 1 ok => returned 1 ok at 1000, deliver 1 ok at 1000
         guest says four, says five, finishes => line 2.0 four, line 2.1 five, finished done spent 0, post the end",
    );
}

#[test]
fn j5_a_full_log_says_so_once_and_at_the_end_how_much_was_left_out_and_so_does_a_replay() {
    let story = "guest says a, says b, says c, says d, says e, says f, says gg, says hh, act => \
         line 0.0 a, line 0.1 b, line 0.2 c, line 0.3 d, line 0.4 e, line 0.5 f, warn this log is full, called 0
         commit => perform 0
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000";
    check(&format!(
        "{story}
         guest says ii, finishes => warn 3 lines of the skill, with 6 bytes, were left out of this log, finished done spent 0, post the end"
    ));
}

#[test]
fn j5_what_something_prints_that_is_performed_has_keys_of_the_time_and_is_kept_beside_the_guests_lines() {
    check(
        "guest says one, act => line 0.0 one, called 0
         commit => perform 0
         prints begun => line 0.1000 begun
         prints at once => line 0.1001 at once
         clock 2000
         prints later => line 0.2000 later
         commit
         crash
         guest says one, act => line 0.0 one, open 0 decision, post decision 0, idle [0 decision]
         clock 3000
         mail redo 0 => take mail 1, close 0, retried 0 redo
         commit => perform 0 again
         prints begun => line 0.3000 begun
         commit
         lines => one, begun, at once, later, begun",
    );
}

#[test]
fn j5_an_outcome_without_an_entry_does_not_restart_the_count_of_lines() {
    check(
        "guest read, read => called 0, called 1, perform 0, perform 1
         mail cancel => take mail 1, cancelled, abort 0, abort 1, deliver 0 cancelled at 1000
         guest says one => line 1.0 one, deliver 1 cancelled at 1000
         guest says two, read => line 1.1 two, called 2 after 1, deliver 2 cancelled at 1000
         guest says three, finishes => line 1.2 three",
    );
}

#[test]
fn j5_an_outcome_that_is_passed_over_restarts_the_count_of_lines_live_and_at_replay() {
    check(
        "guest read, read, read => called 0, called 1, called 2, perform 0, perform 1, perform 2
         ends 0 ok => returned 0 ok at 1000, deliver 0 ok at 1000
         guest says one, drop 1 => line 1.0 one, abort 1
         ends 1 ok => returned 1 ok at 1000
         ends 2 ok => returned 2 ok at 1000, deliver 2 ok at 1000
         guest says two, read => line 3.0 two, called 3 after 3, perform 3
         commit
         crash
         guest read, read, read => deliver 0 ok at 1000
         guest says one, drop 1 => line 1.0 one, deliver 2 ok at 1000
         guest says two, read => line 3.0 two, close 3, retried 3 recovery, perform 3 again
         commit
         lines => one, two",
    );
}

#[test]
fn a_journal_that_does_not_make_sense_is_refused_in_words() {
    check(
        "journal nothing => the journal does not begin with a `started` entry
         journal without start, called ask => the journal does not begin with a `started` entry
         journal called ask, returned 0 seq=3 => the journal has entry 3 where entry 2 belongs
         journal called ask, called ask seq=1 => the journal has entry 1 where entry 2 belongs
         journal called ask number=1 => entry 1 of the journal does not fit those before it: call #1 stands where call #0 belongs
         journal called ask after=1 => entry 1 of the journal does not fit those before it: no call can be started after 1 outcomes here
         journal called ask, returned 0, called ask after=1, called ask after=0 => entry 4 of the journal does not fit those before it: no call can be started after 0 outcomes here
         journal returned 0 => entry 1 of the journal does not fit those before it: call #0 was not started
         journal prepared 0 => entry 1 of the journal does not fit those before it: call #0 was not started
         journal retried 0 => entry 1 of the journal does not fit those before it: call #0 was not started
         journal called ask, returned 0, returned 0 => entry 3 of the journal does not fit those before it: call #0 was answered before
         journal called ask, returned 0, retried 0 => entry 3 of the journal does not fit those before it: call #0 was answered before
         journal called append, returned 0, prepared 0 => entry 3 of the journal does not fit those before it: call #0 was answered before
         journal cancelled, cancelled => entry 2 of the journal does not fit those before it: the run was cancelled before
         journal expired => entry 1 of the journal does not fit those before it: the run was not cancelled
         journal cancelled, expired, expired => entry 3 of the journal does not fit those before it: its time was over before
         journal finished, called ask => entry 2 of the journal does not fit those before it: the run had finished",
    );
}

#[test]
fn a_finished_journal_has_nothing_to_drive() {
    check("journal called ask, returned 0, finished => the run is over");
}
