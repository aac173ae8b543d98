//! Named points at which a test has the process killed, as by a power cut; and other trouble that a test wants.
//!
//! Without the feature `failpoints` every [`hit`] is an empty function. With it:
//! - `SKILLHOST_FAILPOINT=<name>` kills the process with SIGKILL where that point is reached first, `<name>:<n>` where it is reached for the n-th time;
//! - `SKILLHOST_FAILPOINT_PANIC`, of the same form, has what runs there panic instead, as a fault of ours would;
//! - `SKILLHOST_FAILPOINT_HOLD=<name>:<file>` has everybody wait at that point as long as the file is there, so that they go on at the same moment;
//! - `SKILLHOST_FAILPOINT_FULL=<file>` has every commit fail as on a full disk, as long as the file is there;
//! - `SKILLHOST_FAILPOINT_UNREADABLE=<file>` has no mailbox be read, as long as the file is there;
//! - `SKILLHOST_FAILPOINT_CLOCK=<file>` has the clock show so many microseconds more than it does as the file says, or fewer, from one reading to the next;
//! - `SKILLHOST_FAILPOINT_LOG=<file>` appends a line for each point reached, so that a test can list where an undisturbed run passes, and then be killed at
//!   every one of them.
//!
//! Other crates have lists of points of their own, made by the same macro.

/// A point. Only [`points`](crate::points) makes one, so each stands in a list, and tests go through the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point(&'static str);

impl Point {
    #[doc(hidden)]
    pub const fn listed(name: &'static str) -> Self {
        Self(name)
    }

    /// Returns its name, as the environment spells it.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// Names points and lists them: a point that no list has cannot be.
#[macro_export]
macro_rules! points {
    ($(#[$of_list:meta])* $list:ident: $($(#[$meta:meta])* $constant:ident = $name:literal;)+) => {
        $($(#[$meta])* pub const $constant: $crate::failpoint::Point = $crate::failpoint::Point::listed($name);)+

        $(#[$of_list])*
        pub const $list: &[$crate::failpoint::Point] = &[$($constant),+];
    };
}

points! {
    /// The points of this crate.
    POINTS:
    /// Something was taken from the queue, and no transaction has begun.
    BEFORE_COMMIT = "journal.before-commit";
    /// A transaction holds everything and is not committed.
    IN_TRANSACTION = "journal.in-transaction";
    /// A transaction was committed, and nobody knows yet.
    AFTER_COMMIT = "journal.after-commit";
    /// An append's fate is about to be told to its run; of a batch, some may know already.
    BEFORE_ANSWER = "journal.before-answer";
    /// Everybody knows of the last commit, and the next has not begun.
    BETWEEN_BATCHES = "journal.between-batches";
}

/// Marks a point.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_point: Point) {}

/// Returns whether a test wants the disk to be full.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn is_full() -> bool {
    false
}

/// Returns whether a test wants mailboxes to be unreadable.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn is_unreadable() -> bool {
    false
}

/// Returns by how many microseconds a test wants the clock to be set.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn clock_set_by() -> i64 {
    0
}

#[cfg(feature = "failpoints")]
pub use enabled::{clock_set_by, hit, is_full, is_unreadable};

#[cfg(feature = "failpoints")]
mod enabled {
    use std::io::Write as _;
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Point;

    struct Aim {
        name: String,
        hits_left: AtomicU64,
    }

    impl Aim {
        fn is_hit(&self, name: &str) -> bool {
            self.name == name && self.hits_left.fetch_sub(1, Ordering::SeqCst) == 1
        }
    }

    static KILLS: OnceLock<Option<Aim>> = OnceLock::new();
    static PANICS: OnceLock<Option<Aim>> = OnceLock::new();
    static HOLD: OnceLock<Option<(String, PathBuf)>> = OnceLock::new();
    static FULL: OnceLock<Option<PathBuf>> = OnceLock::new();
    static UNREADABLE: OnceLock<Option<PathBuf>> = OnceLock::new();
    static CLOCK: OnceLock<Option<PathBuf>> = OnceLock::new();
    static LOG: OnceLock<Option<std::fs::File>> = OnceLock::new();

    /// Marks a point: holds or kills the process, or panics, if the environment says so.
    pub fn hit(point: Point) {
        let name = point.name();
        if let Some(mut log) = LOG.get_or_init(open_log).as_ref() {
            // One write each, so that lines of several threads and processes do not mix.
            log.write_all(format!("{name}\n").as_bytes())
                .expect("the file named by SKILLHOST_FAILPOINT_LOG takes a line");
        }
        if let Some((held, file)) = HOLD.get_or_init(read_hold)
            && held == name
        {
            while file.exists() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        let kills = KILLS.get_or_init(|| read_aim("SKILLHOST_FAILPOINT"));
        if kills.as_ref().is_some_and(|aim| aim.is_hit(name)) {
            // Nothing of this process runs after that: no destructor, no flush.
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                .expect("a process may kill itself");
        }
        let panics = PANICS.get_or_init(|| read_aim("SKILLHOST_FAILPOINT_PANIC"));
        if panics.as_ref().is_some_and(|aim| aim.is_hit(name)) {
            panic!("the test asked for it at {name}");
        }
    }

    /// Returns whether the disk is to be full.
    pub fn is_full() -> bool {
        is_there(&FULL, "SKILLHOST_FAILPOINT_FULL")
    }

    /// Returns whether mailboxes are to be unreadable.
    pub fn is_unreadable() -> bool {
        is_there(&UNREADABLE, "SKILLHOST_FAILPOINT_UNREADABLE")
    }

    /// Returns by how many microseconds the clock is to be set: what a file says, if it is there.
    pub fn clock_set_by() -> i64 {
        let file = CLOCK.get_or_init(|| std::env::var_os("SKILLHOST_FAILPOINT_CLOCK").map(PathBuf::from));
        let said = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        said.map_or(0, |said| said.trim().parse().expect("the clock's file holds a number"))
    }

    /// Returns whether a variable names a file that is there.
    fn is_there(file: &OnceLock<Option<PathBuf>>, variable: &str) -> bool {
        let file = file.get_or_init(|| std::env::var_os(variable).map(PathBuf::from));
        file.as_ref().is_some_and(|file| file.exists())
    }

    fn read_hold() -> Option<(String, PathBuf)> {
        let text = std::env::var("SKILLHOST_FAILPOINT_HOLD").ok()?;
        let (name, file) = text.split_once(':').expect("a hold is `name:file`");
        Some((name.to_owned(), PathBuf::from(file)))
    }

    fn read_aim(variable: &str) -> Option<Aim> {
        let text = std::env::var(variable).ok()?;
        let (name, hits) = match text.rsplit_once(':') {
            Some((name, count)) => (name, count.parse().expect("an aim is `name` or `name:n`")),
            None => (text.as_str(), 1),
        };
        Some(Aim {
            name: name.to_owned(),
            hits_left: AtomicU64::new(hits),
        })
    }

    fn open_log() -> Option<std::fs::File> {
        let path = std::env::var_os("SKILLHOST_FAILPOINT_LOG")?;
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        Some(file.expect("the file named by SKILLHOST_FAILPOINT_LOG can be written"))
    }
}
