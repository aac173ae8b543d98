//! Notes: what people tell a run on its way, kept until the skill asks (rules P1, P3).

use crate::check;

#[test]
fn p1_notes_are_kept_until_they_are_asked_for_and_given_in_order_each_once() {
    check(
        "guest read => called 0, perform 0
         mail note first
         clock 2000
         mail note second
         ends 0 ok => returned 0 ok at 2000, deliver 0 ok at 2000
         guest notes => called 1 after 1, take mail 1, take mail 2, returned 1 ok [first@1000 second@2000] at 2000, deliver 1 ok at 2000
         guest notes => called 2 after 2, returned 2 ok [] at 2000, deliver 2 ok at 2000",
    );
}

#[test]
fn p1_notes_that_a_crash_lost_with_their_entry_are_given_again() {
    check(
        "mail note first
         guest notes => called 0, take mail 1, returned 0 ok [first@1000] at 1000, deliver 0 ok at 1000
         crash
         guest notes => called 0, take mail 1, returned 0 ok [first@1000] at 1000, deliver 0 ok at 1000
         commit
         crash
         mail note second
         guest notes => deliver 0 ok at 1000
         guest notes => called 1 after 1, take mail 2, returned 1 ok [second@1000] at 1000, deliver 1 ok at 1000",
    );
    check(
        "journal called notes
         mail note first
         guest notes => take mail 1, returned 0 ok [first@1000] at 1000, deliver 0 ok at 1000",
    );
}

#[test]
fn p3_no_note_is_taken_and_then_passed_over() {
    check(
        "mail note first
         guest post, notes => called 0, called 1, returned 0 ok at 1000, post message 0, deliver 0 ok at 1000
         guest drop 1, notes => close 1, called 2 after 1, take mail 1, returned 2 ok [first@1000] at 1000, deliver 2 ok at 1000",
    );
}

#[test]
fn a_run_does_not_wait_for_notes_and_other_mail_waits_for_its_own_call() {
    check(
        "mail event go
         mail note first
         guest wait, notes, notes => called 0, called 1, called 2, open 0 event, take mail 2, returned 1 ok [first@1000] at 1000, deliver 1 ok at 1000
         guest => returned 2 ok [] at 1000, deliver 2 ok at 1000
         guest => take mail 1, returned 0 ok at 1000, close 0, deliver 0 ok at 1000",
    );
}

#[test]
fn p4_notes_are_not_given_while_paused() {
    check(
        "mail pause => take mail 1
         mail note first
         guest notes => called 0, idle paused []
         mail resume => take mail 3, take mail 2, returned 0 ok [first@1000] at 1000, deliver 0 ok at 1000",
    );
}

#[test]
fn c2_a_cancelled_run_may_read_its_notes_while_cleaning_up() {
    check(
        "mail note first
         mail cancel => take mail 2, cancelled
         guest notes => called 0, deliver 0 cancelled at 1000
         guest notes cleanup => called 1 after 1, take mail 1, returned 1 ok [first@1000] at 1000, deliver 1 ok at 1000",
    );
}
