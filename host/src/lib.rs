//! The worker: drives runs.
