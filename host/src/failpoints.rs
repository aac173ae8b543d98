//! The points of this crate at which a test may have the process killed; those of the journal are in [`skillhost_journal::failpoint`].

skillhost_journal::points! {
    /// All of them.
    POINTS:
    /// A run can be taken, and was not.
    BEFORE_CLAIM = "driver.before-claim";
    /// A run was taken, and nothing was done with it.
    CLAIMED = "driver.claimed";
    /// The journal and the component are there, and the guest has not begun.
    LOADED = "driver.loaded";
    /// Entries are about to be given to the writer.
    BEFORE_WRITE = "driver.before-write";
    /// The guest is about to be given an outcome.
    BEFORE_DELIVER = "driver.before-deliver";
    /// A ticket is there, and nothing was done for it.
    BEFORE_PERFORM = "driver.before-perform";
    /// An effect was performed, and nobody knows yet.
    EFFECT_ENDED = "driver.effect-ended";
    /// A run was launched for a call, and its caller does not know yet.
    CHILD_LAUNCHED = "driver.child-launched";
    /// An attempt is over, and its run not given back.
    BEFORE_RELEASE = "driver.before-release";
    /// The daemon holds its lock, and nobody can reach it.
    DAEMON_LOCKED = "daemon.locked";
    /// The daemon can be reached, and has not looked for what was interrupted.
    DAEMON_LISTENING = "daemon.listening";
    /// The daemon was told to end, and everything is recorded.
    DAEMON_DRAINED = "daemon.drained";
    /// What a run needs is kept, and the run not made.
    BEFORE_LAUNCH = "launch.before";
    /// A run was made, and nobody was told.
    LAUNCHED = "launch.made";
    /// Runs are forgotten, and their files are there.
    FORGOTTEN = "prune.forgotten";
    /// The files of a run that was forgotten are removed, and the journal does not know.
    FILES_REMOVED = "prune.files-removed";
    /// The journal knows that nothing is left of the runs that were forgotten.
    REMOVED = "prune.removed";
    /// A backup is unpacked and made a state, and nothing of it is in its place.
    BEFORE_FILES = "restore.before-files";
    /// All of it is, but the database.
    BEFORE_DATABASE = "restore.before-database";
}
