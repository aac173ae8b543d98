//! The worker and the command line of skillhost: introduces journal, runtime and effects to each other.
//!
//! Start with [`cli::main`] for what a person or an agent meets. `ARCHITECTURE.md` is the map.

pub mod agent;
pub mod author;
pub mod backup;
pub mod bundle;
pub mod carried;
pub mod cases;
pub mod cli;
pub mod comparison;
pub mod config;
pub mod daemon;
pub mod describe;
pub mod descriptors;
pub mod digest_cache;
pub mod driver;
pub mod env;
pub mod error;
pub mod exit;
pub mod explain;
pub mod failpoints;
pub mod fault;
pub mod fields;
pub mod grants;
pub mod home;
pub mod inbox_file;
pub mod input;
pub mod installed;
pub mod leftovers;
pub mod limits;
pub mod log;
pub mod mounts;
pub mod notify;
pub mod problem;
pub mod progress;
pub mod readable;
pub mod schema;
pub mod service;
pub mod skill_doc;
pub mod skills;
pub mod stage;
pub mod terminal;
pub mod timeline;
pub mod watch_files;
pub mod zone;
