//! What has to be so at every moment of an ordeal, and not only when all is over.

use std::process::Stdio;
use std::time::{Duration, Instant};

use skillhost_core::entry::Entry;
use skillhost_core::id::Number;
use skillhost_core::machine::Status;
use skillhost_journal::{Journal as _, RunRow, SqliteJournal};

use super::Ordeal;
use super::daemon::Daemon;

/// How long somebody who asks for a run of a daemon that is stopped is waited for.
const ASKS_FOR: Duration = Duration::from_secs(1);

/// The fixture that calls others, and waits for each of them.
const CALLER: &str = "calls";

/// Nobody waits for a run that is over: what it was called for is in its caller's mailbox with its end, and is recorded when it is taken from there (rule K1).
pub(super) fn answers(ordeal: &Ordeal, journal: &SqliteJournal, rows: &[RunRow]) {
    let callers = rows.iter().filter(|row| row.skill.as_str() == CALLER);
    for caller in callers.filter(|row| !row.status.is_final()) {
        for number in unanswered(journal, caller) {
            let called = journal.find_run(&format!("{}.{number}", caller.run));
            let standing = called.ok().and_then(|run| Some(journal.run(&run).ok()?.status));
            // One that goes on in a new run did so between these two looks.
            let is_over = standing.is_some_and(|status| status.is_final() && status != Status::Continued);
            // In this order: what is taken from the mailbox between the looks is recorded by the second.
            let has_mail = || journal.mail(&caller.run).is_ok_and(|mail| !mail.is_empty());
            let still_waits = || unanswered(journal, caller).contains(&number);
            if is_over && !has_mail() && still_waits() {
                ordeal.violate(format!(
                    "run {} waits for call {number}, and what it called is over and said nothing",
                    caller.run
                ));
            }
        }
    }
}

/// Returns the calls of skills that have no outcome.
fn unanswered(journal: &SqliteJournal, row: &RunRow) -> Vec<Number> {
    let mut open = Vec::new();
    for record in journal.all_records(&row.run).unwrap() {
        match record.entry {
            Entry::Called(called) if called.function.name() == "skills.call" => open.push(called.number),
            Entry::Returned(returned) => open.retain(|number| *number != returned.number),
            Entry::Finished(_) => open.clear(),
            _ => {}
        }
    }
    open
}

/// Has the daemon be stopped for a while: nothing is taken from it, whoever asks for it (rule L1).
pub(super) fn while_stopped(ordeal: &Ordeal, daemon: &Daemon, for_a_while: Duration) {
    if !daemon.stop(ordeal) {
        return;
    }
    let held = held_by(ordeal, daemon);
    let mut asker = held.first().map(|row| {
        let mut asker = ordeal.command(&["resume", "--here", row.run.as_str(), "--json"]);
        asker.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    });
    std::thread::sleep(for_a_while);
    let begun = Instant::now();
    // One that is not refused may wait for the database, which a daemon that was stopped in a commit keeps.
    while begun.elapsed() < ASKS_FOR && asker.as_mut().is_some_and(|asker| asker.try_wait().unwrap().is_none()) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let taken = held
        .iter()
        .filter(|row| ordeal.place.journal().lease(&row.run).unwrap() != row.lease());
    for row in taken {
        ordeal.violate(format!("run {} was taken from a daemon that was only stopped", row.run));
    }
    if super::daemon::holder(ordeal) != Some(daemon.pid) {
        ordeal.violate("the lock of a daemon that was only stopped is another one's".to_owned());
    }
    daemon.go_on();
    if let Some(mut asker) = asker {
        asker.wait().unwrap();
    }
}

/// Returns the runs that a daemon holds.
fn held_by(ordeal: &Ordeal, daemon: &Daemon) -> Vec<RunRow> {
    let worker = daemon.worker();
    let mut rows = super::killer::running(ordeal);
    rows.retain(|row| row.holder.is_some() && row.holder == worker);
    rows
}
