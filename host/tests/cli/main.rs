//! The program as its users meet it: what each command prints, on which stream, and with which exit code.
//!
//! Every test has a machine of its own: an empty environment, a state folder, a skills folder. Whatever is printed with `--json` is checked against the published
//! schema.

#![allow(clippy::unwrap_used, reason = "a test")]

mod auth;
mod author;
mod beside;
mod doctor;
mod explain;
mod failures;
mod help;
mod hook;
mod machine;
mod run;
mod runs;
mod secret;
mod setup;
mod steering;
