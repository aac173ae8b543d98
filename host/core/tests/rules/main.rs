//! The rules of a run, one story each: what happens, and what the machine says to it.
//!
//! A story is a table of rows `step => what the machine says`; `story.rs` reads it and is the one place that touches the machine. Names begin with the
//! number of the rule that they show. What all small runs have in common is tried by the `exhaustive` tests beside these.

#![allow(clippy::unwrap_used, reason = "a test")]

mod budget;
mod cancel;
mod continuing;
mod copies;
mod crashes;
mod guest;
mod journal;
mod notes;
mod pause;
mod people;
mod recovery;
mod reuse;
mod skills;
mod story;
mod words;

use story::{check, check_with_bookkeeping};
