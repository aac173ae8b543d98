//! What every kind of journal has to do. Each story is told of all of them.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

/// Tells each story of the journal in memory and of the one on disk.
macro_rules! stories {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $name() { super::$name(&$crate::support::Stage::memory()) })*
        }
        mod sqlite {
            $(#[test] fn $name() { super::$name(&$crate::support::Stage::sqlite()) })*
        }
    };
}

mod appends;
mod bundles;
mod continuing;
mod days;
mod leases;
mod people;
mod runs;
mod spending;
mod trouble;
