//! Faults of skillhost itself: a panic is written down with all that helps to find its cause, and becomes an error that says so (exit code 90).
//!
//! [`note_panics`] comes first in a process; [`caught`] and [`of_panic`] make the error of what was caught. No run is lost by one: what it did stands in its journal.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, PanicHookInfo};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::{CliError, REPORT, Result};
use crate::exit::Exit;
use crate::home::{self, Home};
use crate::terminal;

/// What an error of ours is called where programs compare words.
pub const CODE: &str = "internal";

/// A file of faults that is longer is begun anew, in bytes.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// The file in which panics are written down.
static LOG: OnceLock<PathBuf> = OnceLock::new();

thread_local! {
    /// What the last panic of this thread said, and where.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Has every panic of this process written down in the state folder. Standard error has it where that cannot be, and where nobody catches it.
pub fn note_panics(home: Option<&Home>) {
    if let Some(home) = home {
        // Only a test begins twice in a process.
        LOG.set(home.faults()).ok();
    }
    std::panic::set_hook(Box::new(note));
}

/// Does something, and makes an error of a panic in it. What it left half done must not be used any more.
pub fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(of_panic(panic.as_ref())))
}

/// Makes an error of a panic that this thread has just caught.
pub fn of_panic(panic: &(dyn Any + Send)) -> CliError {
    let said = LAST.take().unwrap_or_else(|| words(panic).to_owned());
    let log = LOG.get().filter(|log| log.exists());
    let hint = match log {
        Some(log) => format!("{REPORT} and what `{}` says last", log.display()),
        None => REPORT.to_owned(),
    };
    CliError::new(Exit::Internal, CODE, format!("skillhost panicked: {said}")).hint(hint)
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("for no reason that it could say")
}

/// Writes a panic down.
fn note(info: &PanicHookInfo<'_>) {
    let said = match info.location() {
        Some(place) => format!("{} (at {place})", words(info.payload())),
        None => words(info.payload()).to_owned(),
    };
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name");
    let text = format!(
        "{} skillhost {} in thread {thread}: {said}\n{}\n",
        jiff::Timestamp::now(),
        env!("CARGO_PKG_VERSION"),
        Backtrace::force_capture()
    );
    let written = LOG.get().is_some_and(|log| append(log, &text).is_ok());
    tracing::error!(thread, "panicked: {said}");
    match written {
        // Whoever catches it there says so.
        true if thread == "main" => {}
        true => terminal::note(&format!("skillhost panicked in thread {thread}: {said}")),
        false => terminal::note(&text),
    }
    LAST.set(Some(said));
}

fn append(log: &Path, text: &str) -> io::Result<()> {
    let is_long = std::fs::metadata(log).is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX);
    if let Some(folder) = log.parent().filter(|folder| !folder.exists()) {
        home::make_folder(folder)?;
    }
    let mut options = File::options();
    options.create(true).append(true).mode(0o600);
    let mut file = options.open(log)?;
    if is_long {
        file.set_len(0)?;
    }
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn a_panic_becomes_an_error_that_says_what_and_that_it_is_ours() {
        let error = caught(|| -> Result<()> { panic!("{} is odd", 3) }).unwrap_err();
        assert_eq!((error.exit, error.code), (Exit::Internal, CODE));
        assert!(error.message.contains("3 is odd"), "{error}");
        assert!(error.hint.unwrap().contains("report"));
        let other = caught(|| -> Result<()> { std::panic::panic_any(7) }).unwrap_err();
        assert!(other.message.contains("no reason"), "{other}");
        assert_eq!(caught(|| Ok(1)).unwrap(), 1);
    }

    #[test]
    fn the_file_of_faults_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("logs/faults.log");
        append(&log, &"x".repeat(LOG_BYTES_MAX as usize + 1)).unwrap();
        append(&log, "y").unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "y");
    }
}
