//! Nothing lost: the journal on a disk that loses power, fails, and lies.
//!
//! The journal is the real one, with SQLite's own code beneath it, and so are the machine and the entries that it appends. What is played is the disk: a layer between SQLite
//! and the operating system (`vfs`) that records every change of every file in order, makes nothing durable unless it was synced, and fails when it is told to. From a recording
//! follow the *images* that a loss of power may leave at any moment (`platter`); each is opened, judged (`judge`), and the runs are driven to their end: of one in eight in
//! the short form, of all in the long one.
//!
//! # The fault model of storage
//!
//! The page of all faults is at the head of `skillhost_sim`; this is the part that the disk has.
//!
//! | what the disk does | what is owed | exam |
//! |---|---|---|
//! | it loses power: of what was not synced any part is there, in any order, sectors of 512 bytes torn at any byte, zeros or other things where a file grew and its content did not come; files that were made absent, files that were deleted back, until their folder was synced | what the journal said is durable is there; all tables are as they were after one commit, the last that was told or a later one; `check` finds nothing; every run goes on, and its entries stay | `power`, at every step of a workload, the making of the state folder among them; `upgrade`, `growth` |
//! | the end of the log is gone, from any byte on, and zeros or other things may stand there | the tables are as they were after the last commit that is whole in it, and runs go on | `cut` |
//! | it is full, writes a part, or answers an open, read, write, truncation, sync or deletion with an error, once or some times | an error to who only asked; what runs appended is kept and committed (rule J4); all that was told is there, all tables are as they were when it was told or after a later commit, now and after a loss of power, and runs go on | `trouble` |
//! | a sync fails, and what was written before is forgotten while later syncs succeed, or is gone at once | the same | `trouble` |
//! | syncs do nothing | what was told may be lost, also if it opens well. An entry that is read is one that was written, in its place; or damage is told, or it does not open | `lies` |
//! | a bit is another, a page is one of before, lies in the place of another, or is empty | the same | `lies` |
//!
//! Not covered: rows beside entries (mail, the inbox, accounts, statuses) have no checksum of their own, so a disk that changes one may have it read as something else; only
//! what the database's own check sees is told. A disk that damages what it does not write (SQLite is told that sectors are safe from that). The name of the state folder in
//! the folder above it: it is made by the system's own calls, which are not recorded.
//!
//! # Seeds
//!
//! A seed gives the workload, the moments and what is left. The journal's writer is a thread of its own, so that once in a while the same seed gives a commit more or less; what fails
//! is therefore kept as files, too.

#[path = "../../sim/src/chance.rs"]
#[allow(dead_code, reason = "it is the simulation's, and this crate uses a part of it")]
mod chance;
mod crew;
mod cut;
mod disk;
mod exam;
mod image;
mod judge;
mod ledger;
mod lies;
mod platter;
mod power;
#[path = "../../../host/core/tests/exhaustive/program.rs"]
#[allow(
    clippy::unwrap_used,
    dead_code,
    reason = "it is a test's, and this crate uses a part of it"
)]
mod program;
mod trouble;
mod vfs;
mod workload;

pub use exam::{Breadth, Exam, Failure, Findings, sit};
