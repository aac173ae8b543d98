//! What skillhost has to do with the coding agent itself: its settings file, and what a session of it is told when it starts.
//!
//! Nothing here prints or fails a session; `cli/hook.rs` does the former and sees to the latter.

pub mod briefing;
pub mod json_text;
pub mod settings;
