//! Why a host function ends the guest: the guest misused it, or the host failed.

/// The guest did what the world forbids. It would do so again, so the run fails.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misuse(pub(crate) String);

/// The host failed. Another attempt may go further, so the run does not fail.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Broken(pub(crate) String);
