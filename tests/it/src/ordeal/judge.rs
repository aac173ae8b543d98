//! The judge of an ordeal: what is left when all runs are over has to be what an undisturbed machine would have left.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use skillhost::driver::Replayed;
use skillhost_core::effect::{Class, Kind};
use skillhost_core::entry::{Called, Entry, How, Record, Retried, Why};
use skillhost_core::id::{Number, RunId, idempotency_key};
use skillhost_core::machine::Source;
use skillhost_core::outcome::Outcome;
use skillhost_journal::{InboxFilter, Journal as _, RunFilter, RunRow, SqliteJournal};

use super::daemon::holder;
use super::people::Decided;
use super::task::{Came, NO_ROOM};
use super::{Ordeal, Tally, Task, Trouble, people};

/// What the journals allow the world to have seen, of runs that were forgotten since, too.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// How often each call was performed at most, by its key.
    performances: BTreeMap<String, u64>,
    /// How often each line was appended at most by programs.
    lines: BTreeMap<String, usize>,
    /// How often people asked for each call to be done again.
    redone: BTreeMap<(RunId, Number), u64>,
    /// The runs that it is of.
    runs: BTreeSet<RunId>,
}

/// What is left, and is not each task's own.
struct Left<'a> {
    /// What each prompt was answered.
    said: BTreeMap<String, String>,
    /// The world's lines.
    world: BTreeMap<String, usize>,
    undisturbed: &'a Value,
    decided: &'a Decided,
}

/// Looks at everything that is left, and notes what is not as it has to be.
pub(super) fn judge(ordeal: &Ordeal, undisturbed: &Value, decided: Decided, tally: &mut Tally) {
    stop(ordeal);
    judge_runs(ordeal, undisturbed, decided, &mut Account::default(), tally);
    judge_home(ordeal);
}

/// Looks at the runs, now that all are over, and adds what they may have done to the account.
pub(super) fn judge_runs(
    ordeal: &Ordeal,
    undisturbed: &Value,
    decided: Decided,
    account: &mut Account,
    tally: &mut Tally,
) {
    let journal = ordeal.place.journal();
    tally.decisions += decided.skipped.values().sum::<usize>() as u64;
    account.redone.extend(decided.redone.clone());
    for row in &journal.runs(&RunFilter::default()).unwrap() {
        let records = journal.all_records(&row.run).unwrap();
        let is_known = !account.runs.insert(row.run.clone());
        judge_journal(ordeal, row, &records, account);
        judge_inbox(ordeal, &journal, row);
        if !is_known {
            let again = records
                .iter()
                .filter(|record| matches!(record.entry, Entry::Retried(_)));
            tally.performed_again += again.count() as u64;
            tally.no_room += records.iter().filter(|record| is_for_want_of_room(record)).count() as u64;
            tally.runs += 1;
        }
    }
    judge_world(ordeal, account);
    let left = Left {
        said: said(ordeal),
        world: people::world(ordeal),
        undisturbed,
        decided: &decided,
    };
    for task in &ordeal.tasks {
        if let Err(what) = judge_task(ordeal, &journal, task, &left) {
            ordeal.violate(format!("{} {:?}: {what}", task.id, task.kind));
        }
    }
}

/// Looks at the state folder, the database and the processes, now that there is no daemon.
pub(super) fn judge_home(ordeal: &Ordeal) {
    for fault in ordeal.place.journal().check().unwrap() {
        ordeal.violate(format!("the database: {fault}"));
    }
    judge_place(ordeal);
    judge_replayed(ordeal, ordeal.place.replay_all());
}

/// Replays runs that are about to be forgotten, while they can be.
pub(super) fn judge_leaving(ordeal: &Ordeal, is_leaving: impl Fn(&RunRow) -> bool + Sync + Send + 'static) {
    judge_replayed(ordeal, ordeal.place.replay_those(is_leaving));
}

fn judge_replayed(ordeal: &Ordeal, others: Vec<(RunId, Replayed)>) {
    for (run, other) in others {
        ordeal.violate(format!("run {run} does otherwise than its journal says: {other:?}"));
    }
}

/// Ends the daemon, in the way that lets it.
pub(super) fn stop(ordeal: &Ordeal) {
    let stopped = ordeal.run(&["worker", "stop"]);
    if !stopped.status.success() {
        ordeal.violate(format!("the daemon does not stop: {}", crate::told(&stopped)));
    }
    ordeal.place.until(|| holder(ordeal).is_none());
}

/// A journal is dense, has one beginning and one end, and every call at most one outcome.
fn judge_journal(ordeal: &Ordeal, row: &RunRow, records: &[Record], account: &mut Account) {
    let violate = |what: &str| ordeal.violate(format!("run {} of `{}`: {what}", row.run, row.skill));
    let is_dense = records.iter().enumerate().all(|(n, record)| record.seq.0 == n as u64);
    if !is_dense || row.entries != records.len() as u64 {
        violate("its journal is not dense");
    }
    let kinds: Vec<&str> = records.iter().map(|record| record.entry.kind()).collect();
    let count = |kind| kinds.iter().filter(|found| **found == kind).count();
    let ends = (kinds.first(), kinds.last());
    if ends != (Some(&"started"), Some(&"finished")) || count("started") != 1 || count("finished") != 1 {
        violate("it has not one beginning and one end");
    }
    judge_calls(ordeal, row, records, account);
}

/// A call has at most one outcome, and is performed again only where its class allows it: what must not be done twice, when a person said so (rules R2, R4, R5). Adds to the account
/// how often each was performed at most.
fn judge_calls(ordeal: &Ordeal, row: &RunRow, records: &[Record], account: &mut Account) {
    let violate = |what: String| ordeal.violate(format!("run {} of `{}`: {what}", row.run, row.skill));
    let mut calls: BTreeMap<Number, (&Called, u64)> = BTreeMap::new();
    let mut returned = BTreeSet::new();
    let mut redone: BTreeMap<Number, u64> = BTreeMap::new();
    for record in records {
        match &record.entry {
            // What its budget had no room for is never performed.
            Entry::Called(called) => {
                let times = u64::from(called.over.is_none());
                if calls.insert(called.number, (called, times)).is_some() {
                    violate(format!("call {} was made twice", called.number));
                }
            }
            // A mark in a copy: the performance has an entry of its own.
            Entry::Retried(retried) if retried.why == Why::Anew => {}
            Entry::Retried(retried) => {
                let number = retried.number;
                let Some((called, times)) = calls.get_mut(&number) else {
                    violate(format!("call {number} was performed again, and never made"));
                    continue;
                };
                *times += 1;
                *redone.entry(number).or_default() += u64::from(retried.why == Why::Redo);
                if let Some(what) = unallowed(called, retried) {
                    violate(format!("call {number} of `{}` {what}", called.function));
                }
                if returned.contains(&number) {
                    violate(format!("call {number} was answered, and performed again"));
                }
            }
            Entry::Returned(outcome) if !returned.insert(outcome.number) => {
                violate(format!("call {} has two outcomes", outcome.number));
            }
            _ => {}
        }
    }
    for (number, times) in redone {
        let asked = account.redone.get(&(row.run.clone(), number)).copied().unwrap_or(0);
        if times > asked {
            violate(format!(
                "call {number} was done again {times} times because somebody said so, and people asked for that {asked} times"
            ));
        }
    }
    for (number, (called, times)) in calls {
        account.performances.insert(idempotency_key(&row.run, number), times);
        if let Some(line) = line_of(called) {
            account.lines.insert(line, times as usize);
        }
    }
}

/// Returns whether an outcome says that the disk is full.
fn is_for_want_of_room(record: &Record) -> bool {
    matches!(&record.entry, Entry::Returned(returned) if matches!(&returned.outcome, Outcome::Err(fault) if fault.message.contains(NO_ROOM)))
}

/// Says why a call must not have been performed again for this reason, if it must not.
fn unallowed(called: &Called, retried: &Retried) -> Option<&'static str> {
    let by_itself = retried.why != Why::Redo;
    match called.class {
        Class::AtMostOnce if by_itself => {
            Some("must not be done twice, and was performed again without anybody saying so")
        }
        // Having a skill do something is tried again until it is known to be launched, which happens once.
        Class::Local if called.function.kind() != Kind::Skill => {
            Some("is done with its entry, and was performed again")
        }
        _ => None,
    }
}

/// Returns the line that a program appends, if the call is of one that does.
fn line_of(called: &Called) -> Option<String> {
    // Other calls have a program in their request, too: those that have another skill run it.
    if called.function.name() != "process.run" {
        return None;
    }
    let (_, rest) = called.request.as_str().split_once("echo '")?;
    Some(rest.split_once('\'')?.0.to_owned())
}

/// Each source posts once.
fn judge_inbox(ordeal: &Ordeal, journal: &SqliteJournal, row: &RunRow) {
    let filter = InboxFilter {
        dismissed: true,
        run: Some(row.run.clone()),
        ..InboxFilter::default()
    };
    let posted = journal.inbox(&filter).unwrap();
    let sources: BTreeSet<String> = posted.iter().map(|row| format!("{:?}", row.source)).collect();
    if sources.len() != posted.len() {
        ordeal.violate(format!("run {} said a thing twice: {posted:?}", row.run));
    }
}

/// What was asked of the world was asked under the key of a call that is recorded, and at most as often as the journal says that it was performed; so was what programs appended.
fn judge_world(ordeal: &Ordeal, account: &Account) {
    let counts = ordeal.place.server.counts();
    for (key, times) in counts.requests.iter().chain(&counts.acts) {
        let most = account.performances.get(key).copied().unwrap_or(0);
        if *times > most {
            ordeal.violate(format!(
                "`{key}` was asked for {times} times, and its journal allows {most}"
            ));
        }
    }
    for (line, times) in people::world(ordeal) {
        // The lines of the shared file bear an id alone, and are each task's to judge.
        let most = account.lines.get(&line).copied().unwrap_or(0);
        if line.contains(' ') && times > most {
            ordeal.violate(format!(
                "a program appended `{line}` {times} times, and was performed {most} times"
            ));
        }
    }
}

/// Returns what each prompt was answered, by the server's own account.
fn said(ordeal: &Ordeal) -> BTreeMap<String, String> {
    let requests = ordeal.place.server.requests();
    let said = requests.iter().filter_map(|request| {
        let asked = request.body["messages"].as_array()?.last()?;
        let text = match &asked["content"] {
            Value::String(text) => text.clone(),
            blocks => blocks[0]["text"].as_str()?.to_owned(),
        };
        Some((text, skillhost_loopback::reply::echo(&request.body)))
    });
    said.collect()
}

fn judge_task(ordeal: &Ordeal, journal: &SqliteJournal, task: &Task, all: &Left<'_>) -> Result<(), String> {
    let run = journal
        .find_run(&task.id)
        .map_err(|error| format!("it is lost: {error}"))?;
    let records = journal.all_records(&run).unwrap();
    let Some(Entry::Finished(finished)) = records.last().map(|record| &record.entry) else {
        return Err("it is not over".to_owned());
    };
    let value = match &finished.how {
        How::Done(result) => result.read().unwrap(),
        How::Failed(failure) => serde_json::to_value(failure).unwrap(),
        _ => Value::Null,
    };
    let left = ordeal.place.left(&run, Value::Null);
    let messages = journal.inbox(&InboxFilter {
        dismissed: true,
        run: Some(run.clone()),
        ..InboxFilter::default()
    });
    let messages = messages
        .unwrap()
        .into_iter()
        .filter(|row| matches!(row.source, Source::Message(_)));
    let messages: Vec<String> = messages.map(|row| row.title).collect();
    let data = ordeal.place.home().join("data/files").join(format!("{}.txt", task.id));
    task.check(&Came {
        status: journal.run(&run).unwrap().status.as_str(),
        value: &value,
        files: &left.files,
        messages: &messages,
        lines: &left.lines,
        skipped: all.decided.skipped.get(&run).copied().unwrap_or(0),
        world: &all.world,
        said: &all.said,
        data: std::fs::read_to_string(data).ok().as_deref(),
        undisturbed: all.undisturbed,
        was_full: ordeal.plan.troubles.contains(&Trouble::FullDisk),
    })
}

/// The state folder is sound, and no process is left.
fn judge_place(ordeal: &Ordeal) {
    let doctor = ordeal.run(&["doctor", "--json"]);
    let doctor: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let checks = doctor["checks"].as_array().expect("the doctor says what he looked at");
    for check in checks
        .iter()
        .filter(|check| check["verdict"] == "FAIL" || check["check"] == "folders of runs")
    {
        ordeal.violate(format!("doctor: {check}"));
    }
    let programs = std::fs::read_dir(ordeal.place.home().join("programs"));
    let noted = programs
        .into_iter()
        .flatten()
        .filter_map(|entry| std::fs::read_dir(entry.ok()?.path()).ok());
    if noted.flatten().count() > 0 {
        ordeal.violate("programs are noted, and all runs are over".to_owned());
    }
    for process in processes_of(ordeal) {
        ordeal.violate(format!("a process is left: {process}"));
    }
}

/// Returns the processes that have the state folder in their environment, or the key of a call of one of its runs: the daemon, and whatever it or a program started.
fn processes_of(ordeal: &Ordeal) -> Vec<String> {
    let home = format!("SKILLHOST_HOME={}", ordeal.place.home().display());
    let runs = ordeal.place.journal().runs(&RunFilter::default()).unwrap();
    let is_of_a_call = |variable: &[u8]| {
        let key = std::str::from_utf8(variable)
            .ok()
            .and_then(|text| text.strip_prefix("SKILLHOST_CALL="));
        let run = key.and_then(|key| Some(key.split_once('/')?.0));
        run.is_some_and(|run| runs.iter().any(|row| row.run.as_str() == run))
    };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let of_it = processes.filter_map(|process| {
        let path = process.path();
        let environment = std::fs::read(path.join("environ")).ok()?;
        let is_of_it = environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == home.as_bytes() || is_of_a_call(variable));
        let command = std::fs::read_to_string(path.join("cmdline")).ok()?.replace('\0', " ");
        (is_of_it && !command.is_empty()).then(|| format!("{} {command}", process.file_name().display()))
    });
    of_it.collect()
}
