//! What the daemon says of itself: a file a day in the state folder, of which the last week's are kept.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use jiff::civil::Date;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;

use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::{self, Home};

/// How many files are kept.
const FILES_MAX: usize = 7;

/// What is said unless `RUST_LOG` asks for something else.
const FILTER: &str = "warn,skillhost=info";

/// Keeps the log open; what was said is written when it is dropped.
#[must_use = "the log is closed when this is dropped"]
pub struct Log {
    _guard: WorkerGuard,
}

/// Opens the log: files if the process has left its terminal, else standard error.
pub fn open(home: &Home, detached: bool) -> Result<Log> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER));
    let (writer, guard) = match detached {
        false => tracing_appender::non_blocking(std::io::stderr()),
        true => tracing_appender::non_blocking(files(home)?),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(false);
    // Only tests have one already.
    subscriber.try_init().ok();
    Ok(Log { _guard: guard })
}

/// Files that nobody else may read: whoever makes them asks the system for its usual rights, so these are taken away when a day's file is there.
struct Private {
    files: RollingFileAppender,
    folder: PathBuf,
    /// The day whose file was closed to others.
    closed: Option<Date>,
}

impl Private {
    fn close_to_others(&mut self) -> io::Result<()> {
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        if self.closed == Some(today) {
            return Ok(());
        }
        for found in fs::read_dir(&self.folder)? {
            let path = found?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                fs::set_permissions(&path, Permissions::from_mode(home::FILE_MODE))?;
            }
        }
        self.closed = Some(today);
        Ok(())
    }
}

impl Write for Private {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.files.write(bytes)?;
        // The folder is closed to others anyway; a line is not lost for this.
        self.close_to_others().ok();
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.files.flush()
    }
}

fn files(home: &Home) -> Result<Private> {
    let unusable = |e: &dyn std::error::Error| {
        let message = format!("could not write logs to `{}`", home.logs().display());
        CliError::new(Exit::Storage, "no_log", message)
            .caused_by(e)
            .hint("`skillhost doctor` checks the state folder")
    };
    home::make_folder(&home.logs()).map_err(|e| unusable(&e))?;
    let files = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("daemon")
        .filename_suffix("log")
        .max_log_files(FILES_MAX)
        .build(home.logs())
        .map_err(|e| unusable(&e))?;
    let mut files = Private {
        files,
        folder: home.logs(),
        closed: None,
    };
    files.close_to_others().map_err(|e| unusable(&e))?;
    Ok(files)
}
