//! The run machine: events in, actions out.

mod action;
mod event;
mod mismatch;

pub use action::{Action, Delivery, Idle, Local, Source, Status, Stop, Ticket, Wait, Write};
pub use event::{Act, Again, Call, Command, Decision, End, Ended, Event, Level, Line, Mail, Slice};
pub use mismatch::{Brief, Mismatch};
