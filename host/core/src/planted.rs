//! Bugs that are planted, one at a time, to see which suite notices them: a suite that has never failed may be unable to.
//!
//! Without the feature `planted` there are none, and a release cannot be built with it. One is planted on a thread ([`with`]), or, where real processes are killed, in a whole one
//! ([`everywhere`]). Which suite catches which is a test: `tests/sim/tests/planted.rs` for the simulation, `tests/storage/tests/planted.rs` for the disk,
//! `tests/it/tests/kills.rs` for processes, `core/tests/exhaustive` for the machine's.

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("bugs are planted in test builds only: build without the feature `planted`");

/// A bug that somebody might make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// A call is performed as soon as its entry is queued (rule J1).
    PerformedBeforeDurable,
    /// A further performance begins before its entry is durable (rule R2).
    RetriedBeforeDurable,
    /// An at-most-once call in doubt is performed again (rule R4).
    DoneTwice,
    /// An outcome is given to the guest and not recorded (rule G3).
    GivenUnrecorded,
    /// The length before an append is measured anew after a crash (rule R3).
    MeasuredAnew,
    /// The end of a run is shown before it is durable (rule J2).
    ShownEarly,
    /// Mail that was taken stays in the mailbox (rule P1).
    MailStays,
    /// A further performance has another key (rule G1).
    OtherKey,
    /// Outcomes are replayed in the order of their calls (rule G3).
    ReplayedOutOfOrder,
    /// Changes to files do not stand in line (rule R3).
    LineSkipped,
    /// A run that goes on stands as one that waits.
    StandsStill,
    /// A worker that lives is displaced (rule L1).
    HolderDisplaced,
    /// Taking a lease does not raise its epoch (rule L1).
    EpochReused,
    /// A lease is taken although it changed since it was seen (rule L1).
    ClaimedBlindly,
    /// A commit that failed counts as one that held (rule J4).
    FailureSwallowed,
    /// Whoever rings at a run that is about to leave memory is not heard.
    RingLost,
    /// A run that another worker held is not gone on with when that one is gone (rule L1).
    HolderForgotten,
    /// A run that was just made when it was found is not looked for again.
    YoungForgotten,
    /// Times that come wake nobody.
    TimesForgotten,
    /// A run that waits and is cancelled stands as one that waits until it is given something.
    CancelUnsaid,
    /// Mail that could not be read is forgotten when its run leaves memory.
    MailUnseen,
    /// A run goes on although whoever called it wants no answer any more (rule G5).
    CalledGoesOn,
    /// A run that was called answers nobody (rule K1).
    AnswerUnsent,
    /// What a called run answers before its caller has recorded that it was launched is lost (rule K1).
    AnswerUnexpected,
    /// A run that was called and failed answers with another failure than its own (rule K1).
    FailureMisnamed,
    /// A run is told that its caller does not want it any more when the caller ends, and not before (rule G5).
    ToldLate,
    /// What is queued counts as durable (rule J1).
    BarrierSkipped,
    /// Commits are not synced.
    SyncSkipped,
    /// The log is written back, and what it is written to is not synced.
    CheckpointUnsynced,
    /// A log that is found when the journal is opened is deleted.
    LogDeleted,
    /// A database is brought up to date in several commits.
    MigrationSplit,
    /// What is appended together is committed apart (rule J3).
    AppendSplit,
    /// Whether an entry is what was written is not looked at.
    SealUnchecked,
    /// A database that cannot be opened is begun anew.
    BegunAnew,
    /// What programs a dead holder left is forgotten, and not ended.
    SurvivorsLeft,
    /// Whether a worker lives is told from the age of its lock (rule L1).
    TakenByTime,
    /// The daemon does not take its lock.
    DaemonUnlocked,
    /// A takeover by force says that it killed, and did not (rule L1).
    TakeoverSpares,
    /// What was appended before a crash is not looked for when it is appended again (rule R3).
    AppendedBlindly,
}

impl Bug {
    /// Every one that a journal in memory can show.
    pub const ALL: &[Self] = &[
        Self::PerformedBeforeDurable,
        Self::RetriedBeforeDurable,
        Self::DoneTwice,
        Self::GivenUnrecorded,
        Self::MeasuredAnew,
        Self::ShownEarly,
        Self::MailStays,
        Self::OtherKey,
        Self::ReplayedOutOfOrder,
        Self::LineSkipped,
        Self::StandsStill,
        Self::HolderDisplaced,
        Self::EpochReused,
        Self::ClaimedBlindly,
        Self::FailureSwallowed,
        Self::RingLost,
        Self::HolderForgotten,
        Self::YoungForgotten,
        Self::TimesForgotten,
        Self::CancelUnsaid,
        Self::MailUnseen,
        Self::CalledGoesOn,
        Self::AnswerUnsent,
        Self::AnswerUnexpected,
        Self::FailureMisnamed,
        Self::ToldLate,
    ];

    /// Those of a journal on a disk. One of memory may have it, too.
    pub const OF_DISK: &[Self] = &[
        Self::FailureSwallowed,
        Self::BarrierSkipped,
        Self::SyncSkipped,
        Self::CheckpointUnsynced,
        Self::LogDeleted,
        Self::MigrationSplit,
        Self::AppendSplit,
        Self::SealUnchecked,
        Self::BegunAnew,
    ];

    /// Those that only processes show which are killed, or stopped, by somebody else.
    pub const OF_PROCESS: &[Self] = &[
        Self::SurvivorsLeft,
        Self::TakenByTime,
        Self::DaemonUnlocked,
        Self::TakeoverSpares,
        Self::AppendedBlindly,
    ];

    /// Returns the bug of this name, as its variant is spelled.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::ALL, Self::OF_DISK, Self::OF_PROCESS];
        let mut all = all.into_iter().flatten().copied();
        all.find(|bug| format!("{bug:?}") == name)
    }
}

/// Returns whether this bug is planted.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn is(_bug: Bug) -> bool {
    false
}

/// Plants a bug in the whole process. Returns whether it is: without the feature none can be.
#[cfg(not(feature = "planted"))]
pub fn everywhere(_bug: Bug) -> bool {
    false
}

/// Returns work that is done with what is planted here, on whichever thread.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub fn carried<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    work
}

#[cfg(feature = "planted")]
pub use enabled::{carried, everywhere, is, with};

#[cfg(feature = "planted")]
mod enabled {
    use std::cell::Cell;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// What is planted in the whole process.
    static EVERYWHERE: OnceLock<Bug> = OnceLock::new();

    /// Whether anything was planted at all. Where nothing was, looking at this is all that it costs.
    static ANY: AtomicBool = AtomicBool::new(false);

    /// Returns whether this bug is planted, on this thread or in the whole process.
    pub fn is(bug: Bug) -> bool {
        // A thread sees what it planted itself; what is planted everywhere is there before there are others.
        ANY.load(Ordering::Relaxed) && (PLANTED.get() == Some(bug) || EVERYWHERE.get() == Some(&bug))
    }

    /// Plants a bug in the whole process, where none is. Returns whether it is.
    pub fn everywhere(bug: Bug) -> bool {
        ANY.store(true, Ordering::Relaxed);
        *EVERYWHERE.get_or_init(|| bug) == bug
    }

    /// Returns work that is done with what is planted on this thread, on whichever thread.
    pub fn carried<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
        let planted = PLANTED.get();
        move || match planted {
            Some(bug) => with(bug, work),
            None => work(),
        }
    }

    /// Does something with a bug planted on this thread.
    pub fn with<T>(bug: Bug, work: impl FnOnce() -> T) -> T {
        struct Pulled;
        impl Drop for Pulled {
            fn drop(&mut self) {
                PLANTED.set(None);
            }
        }
        ANY.store(true, Ordering::Relaxed);
        PLANTED.set(Some(bug));
        let _pulled = Pulled;
        work()
    }
}
