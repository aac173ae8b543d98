//! Why a host function ends the guest: the guest asked for it, misused the function, or the host failed.

use skillhost_core::payload::Payload;

/// The guest asks that a new run goes on in its place, with this input.
#[derive(Debug, thiserror::Error)]
#[error("it goes on in a new run")]
pub(crate) struct GoesOn(pub(crate) Payload);

/// The guest did what the world forbids. It would do so again, so the run fails.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misuse(pub(crate) String);

/// The guest computed for longer than it may, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Exhausted(pub(crate) String);

/// The host failed. Another attempt may go further, so the run does not fail.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Broken(pub(crate) String);
