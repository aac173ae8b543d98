//! Decides what a run may do; performs nothing.
//!
//! The heart is [`machine::Machine`]: events go in (the guest blocked, a commit is durable, an effect returned), actions come out (append,
//! perform, deliver, stop), and somebody else carries them out. Around it stand the words that every crate of the host shares: ids, time,
//! [`entry::Entry`], [`effect::Function`], [`outcome::Outcome`], and in [`calls`] the shape that each function's request and answer have in a journal.
//!
//! There is no I/O here, no clock, no randomness, no async, no SQL and no WebAssembly: time and chance reach this crate as values.

pub mod budget;
pub mod calls;
pub mod copy;
pub mod effect;
pub mod entry;
pub mod grants;
pub mod holdings;
pub mod id;
pub mod lease;
pub mod machine;
pub mod outcome;
pub mod payload;
pub mod planted;
pub mod price;
pub mod recording;
pub mod retry;
pub mod secret;
pub mod time;
