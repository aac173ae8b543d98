//! Keeps what runs have done: their journals, and all that is derived from them, in one SQLite database.
//!
//! [`Journal`] is what a host sees: runs, leases, mailboxes, the inbox, bundles. A run that is being driven is written through a [`RunWriter`], which never
//! blocks; [`RunWriter::barrier`] tells when an entry is durable. Two things implement it: [`SqliteJournal`], and [`MemoryJournal`], which a simulation can
//! crash. Both pass one suite (`tests/conformance`).
//!
//! ```text
//! let journal = SqliteJournal::open(&folder.join("journal.db"))?;
//! journal.create_run(NewRun { .. })?;                                  // the run, its launch and its `started` entry: one durable commit
//! let mut writer = journal.writer(&run, epoch, Seq(1));
//! writer.append(vec![Write::Entry(called), Write::Local(..)])?;        // queued, all or nothing
//! writer.barrier(seq).await?;                                          // durable, with everything before it
//! ```
//!
//! This crate knows entries, not WebAssembly, and decides nothing about a run: what is appended is `core`'s decision. It reads no clock but to pause; every
//! time that is stored comes from the caller.

mod bundle;
mod error;
pub mod failpoint;
mod find;
mod installed;
mod journal;
mod memory;
mod rows;
mod spending;
mod sqlite;
mod writer;

pub use bundle::{Bundle, BundleError, BundleFile};
pub use error::{AppendError, FindError, JournalError, OpenError};
pub use installed::{InstalledRow, Problem, SkillPlace};
pub use journal::{Contents, Cursor, Journal, Writing};
pub use memory::{Appended, MemoryJournal};
pub use rows::{
    Collected, Created, DueRun, Health, InboxFilter, InboxId, InboxRow, LineKey, LineRow, Look, NewRun, Pruned,
    RunFilter, RunRow, RunningRun, Taken, Trouble, WaitRow,
};
pub use spending::Spending;
pub use sqlite::{Glance, GlanceRow, Settings, Space, SqliteJournal};
pub use writer::{QUEUED_BYTES_MAX, RunWriter};
