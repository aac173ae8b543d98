//! The judge of an ordeal: what is left when all runs are over has to be what an undisturbed machine would have left.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use skillhost_core::entry::{Entry, How, Record};
use skillhost_core::id::{RunId, idempotency_key};
use skillhost_core::machine::Source;
use skillhost_journal::{InboxFilter, Journal as _, RunFilter, RunRow, SqliteJournal};

use super::task::Came;
use super::{Ordeal, Tally, Task, killer, people};

/// How often each key was seen, in the journals and in the world.
#[derive(Default)]
struct Keys {
    /// How many performances the journals allow.
    allowed: BTreeMap<String, u64>,
}

/// Looks at everything that is left, and notes what is not as it has to be.
pub(super) fn judge(
    ordeal: &Ordeal,
    undisturbed: &BTreeMap<String, Value>,
    skipped: &BTreeMap<RunId, usize>,
    tally: &mut Tally,
) {
    stop(ordeal);
    let journal = ordeal.place.journal();
    let rows = journal.runs(&RunFilter::default()).unwrap();
    tally.runs += rows.len() as u64;
    tally.decisions += skipped.values().sum::<usize>() as u64;
    let mut keys = Keys::default();
    for row in &rows {
        let records = journal.all_records(&row.run).unwrap();
        tally.performed_again += judge_journal(ordeal, row, &records, &mut keys);
        judge_inbox(ordeal, &journal, row);
    }
    judge_requests(ordeal, &keys);
    judge_world(ordeal, &rows, &journal);
    let said = said(ordeal);
    let world = people::world(ordeal);
    for task in &ordeal.tasks {
        let found = judge_task(ordeal, &journal, task, &said, &world, undisturbed, skipped);
        if let Err(what) = found {
            ordeal.violate(format!("{} {:?}: {what}", task.id, task.kind));
        }
    }
    for fault in journal.check().unwrap() {
        ordeal.violate(format!("the database: {fault}"));
    }
    judge_place(ordeal);
    for (run, other) in ordeal.place.replay_all() {
        ordeal.violate(format!("run {run} does otherwise than its journal says: {other:?}"));
    }
}

/// Ends the daemon, in the way that lets it.
fn stop(ordeal: &Ordeal) {
    let stopped = ordeal.run(&["worker", "stop"]);
    if !stopped.status.success() {
        ordeal.violate(format!("the daemon does not stop: {}", crate::told(&stopped)));
    }
    ordeal.place.until(|| killer::holder(ordeal).is_none());
}

/// A journal is dense, has one beginning and one end, and every call at most one outcome. Returns how many performances there were beyond the first ones.
fn judge_journal(ordeal: &Ordeal, row: &RunRow, records: &[Record], keys: &mut Keys) -> u64 {
    let violate = |what: &str| ordeal.violate(format!("run {} of `{}`: {what}", row.run, row.skill));
    let is_dense = records.iter().enumerate().all(|(n, record)| record.seq.0 == n as u64);
    if !is_dense || row.entries != records.len() as u64 {
        violate("its journal is not dense");
    }
    let kinds: Vec<&str> = records.iter().map(|record| record.entry.kind()).collect();
    let count = |kind| kinds.iter().filter(|found| **found == kind).count();
    if kinds.first() != Some(&"started")
        || count("started") != 1
        || count("finished") != 1
        || kinds.last() != Some(&"finished")
    {
        violate("it has not one beginning and one end");
    }
    let mut returned = BTreeSet::new();
    let mut again = 0;
    for record in records {
        let number = record.entry.number();
        let key = number.map(|number| idempotency_key(&row.run, number));
        match &record.entry {
            Entry::Called(_) => *keys.allowed.entry(key.unwrap()).or_default() += 1,
            Entry::Retried(_) => {
                *keys.allowed.entry(key.unwrap()).or_default() += 1;
                again += 1;
            }
            Entry::Returned(outcome) if !returned.insert(outcome.number) => violate("a call has two outcomes"),
            _ => {}
        }
    }
    again
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

/// What was asked of the world was asked under the key of a call that is recorded, and at most as often as the journal says that it was performed.
fn judge_requests(ordeal: &Ordeal, keys: &Keys) {
    let counts = ordeal.place.server.counts();
    for (key, times) in counts.requests.iter().chain(&counts.acts) {
        let allowed = keys.allowed.get(key).copied().unwrap_or(0);
        if *times > allowed {
            ordeal.violate(format!(
                "`{key}` was asked for {times} times, and its journal allows {allowed}"
            ));
        }
    }
}

/// What a program appended is there at most as often as it was performed.
fn judge_world(ordeal: &Ordeal, rows: &[RunRow], journal: &SqliteJournal) {
    let mut allowed: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.skill.as_str() == "process") {
        let mut lines = BTreeMap::new();
        for record in journal.all_records(&row.run).unwrap() {
            if let Entry::Called(called) = &record.entry {
                let line = called
                    .request
                    .as_str()
                    .split_once("echo '")
                    .and_then(|(_, rest)| rest.split_once('\''));
                lines.insert(called.number, line.map_or(String::new(), |(line, _)| line.to_owned()));
            }
            let is_performed = matches!(record.entry, Entry::Called(_) | Entry::Retried(_));
            if let Some(line) = record
                .entry
                .number()
                .filter(|_| is_performed)
                .and_then(|number| lines.get(&number))
            {
                *allowed.entry(line.clone()).or_default() += 1;
            }
        }
    }
    for (line, times) in people::world(ordeal) {
        // The lines of the shared file bear an id alone, and are each task's to judge.
        let most = allowed.get(&line).copied().unwrap_or(0);
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

fn judge_task(
    ordeal: &Ordeal,
    journal: &SqliteJournal,
    task: &Task,
    said: &BTreeMap<String, String>,
    world: &BTreeMap<String, usize>,
    undisturbed: &BTreeMap<String, Value>,
    skipped: &BTreeMap<RunId, usize>,
) -> Result<(), String> {
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
        skipped: skipped.get(&run).copied().unwrap_or(0),
        world,
        said,
        data: std::fs::read_to_string(data).ok().as_deref(),
        undisturbed: undisturbed.get(&task.id),
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

/// Returns the processes that have the state folder in their environment: the daemon, and whatever it started.
fn processes_of(ordeal: &Ordeal) -> Vec<String> {
    let home = format!("SKILLHOST_HOME={}", ordeal.place.home().display());
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let of_it = processes.filter_map(|process| {
        let path = process.path();
        let environment = std::fs::read(path.join("environ")).ok()?;
        let is_of_it = environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == home.as_bytes());
        let command = std::fs::read_to_string(path.join("cmdline")).ok()?.replace('\0', " ");
        (is_of_it && !command.is_empty()).then(|| format!("{} {command}", process.file_name().display()))
    });
    of_it.collect()
}
