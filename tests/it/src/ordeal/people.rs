//! The people of an ordeal: they launch, send events, answer questions, decide what a crash left in doubt, cancel and leave notes, each thing once.
//!
//! What they say goes by a command of the program or straight into the mailbox, as that of another process does. They learn how things stand from the journal alone.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::sync::atomic::Ordering;

use serde_json::Value;
use skillhost_core::entry::Entry;
use skillhost_core::id::{Number, RunId, SignalName};
use skillhost_core::machine::{Command as Told, Decision, Status, Wait};
use skillhost_core::payload::Payload;
use skillhost_journal::{Journal as _, RunFilter, RunRow, SqliteJournal, WaitRow};

use super::task::{Kind, Task, answer, notes};
use super::{Aim, Ordeal, Trouble, WORLD, points, watch};
use crate::{Seeded, told, was_killed};

/// In one of so many looks it is seen to that nobody waits for an answer that was due.
const ANSWERS_LOOKED_AT_EVERY: u64 = 20;

/// What people have done so far.
pub(super) struct People<'a> {
    ordeal: &'a Ordeal,
    random: Seeded,
    journal: Option<SqliteJournal>,
    /// What was said once and must not be said again, by launch and occasion.
    said: BTreeSet<(String, String)>,
    decided: Decided,
    /// Where the next launches are killed.
    points: Vec<&'static str>,
}

/// What people decided about calls in doubt.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// How many calls of each run they had skipped.
    pub(super) skipped: BTreeMap<RunId, usize>,
    /// How often they asked for each call to be done again.
    pub(super) redone: BTreeMap<(RunId, Number), u64>,
}

impl<'a> People<'a> {
    /// Nobody has done anything.
    pub(super) fn new(ordeal: &'a Ordeal, seed: u64) -> Self {
        Self {
            ordeal,
            random: Seeded::new(seed),
            journal: None,
            said: BTreeSet::new(),
            decided: Decided::default(),
            points: points().filter(|point| point.starts_with("launch.")).collect(),
        }
    }

    /// Waits for the launches that drive their runs themselves, and returns what was decided.
    pub(super) fn decided(self) -> Decided {
        let here = std::mem::take(&mut *self.ordeal.here.lock().unwrap());
        for (_, mut child) in here {
            if self.ordeal.given_up.load(Ordering::SeqCst) {
                child.kill().unwrap();
            }
            child.wait().unwrap();
        }
        self.decided
    }

    /// Does what there is to do, once. Returns whether all is over.
    pub(super) fn look(&mut self) -> bool {
        let ordeal = self.ordeal;
        let unlaunched = ordeal.tasks.iter().find(|task| !self.is_launched(task));
        if let Some(task) = unlaunched {
            self.launch(task);
        }
        let Some(journal) = self.journal.take() else {
            if ordeal.place.home().join("journal.db").exists() {
                self.journal = Some(ordeal.place.journal());
            }
            return false;
        };
        let rows = journal.runs(&RunFilter::default()).unwrap();
        if self.random.below(ANSWERS_LOOKED_AT_EVERY) == 0 {
            watch::answers(ordeal, &journal, &rows);
        }
        let open: Vec<&RunRow> = rows.iter().filter(|row| !row.status.is_final()).collect();
        for row in &open {
            self.see_to(&journal, row);
        }
        if open
            .iter()
            .any(|row| row.status == Status::Running && row.holder.is_none())
            && self.random.below(40) == 0
        {
            // Any command notices that something was interrupted.
            ordeal.run(&["list"]);
        }
        self.journal = Some(journal);
        unlaunched.is_none() && open.is_empty()
    }

    fn is_launched(&self, task: &Task) -> bool {
        let found = |journal: &SqliteJournal| journal.find_run(&task.id).is_ok();
        self.journal.as_ref().is_some_and(found)
    }

    /// Launches a task; one in five drives its run itself until it is killed.
    fn launch(&mut self, task: &Task) {
        let is_driving = |child: &mut Child| child.try_wait().unwrap().is_none();
        if self
            .ordeal
            .here
            .lock()
            .unwrap()
            .get_mut(&task.id)
            .is_some_and(is_driving)
        {
            return;
        }
        let words = task.words();
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        if self.random.below(5) == 0 {
            words.push("--here");
            let mut command = self.ordeal.command(&words);
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            self.ordeal.here.lock().unwrap().insert(task.id.clone(), child);
            return;
        }
        let mut command = self.ordeal.command(&words);
        let point = self.points.pop();
        if let Some(point) = point {
            command.env("SKILLHOST_FAILPOINT", point);
        }
        // It may fail with the daemon that is killed meanwhile; then it is launched again.
        let output = command.output().unwrap();
        if let Some(point) = point.filter(|_| was_killed(&output)) {
            self.ordeal.struck.lock().unwrap().note(Aim::Failpoint(point));
        }
    }

    fn see_to(&mut self, journal: &SqliteJournal, row: &RunRow) {
        if let Some(trouble) = &row.trouble {
            let is_full = |trouble| matches!(trouble, &Trouble::FullDisk | &Trouble::CommitsFail);
            if self.ordeal.plan.troubles.iter().any(is_full) {
                // Somebody made room, and has it go on.
                self.ordeal.run(&["resume", row.run.as_str(), "--json"]);
                return;
            }
            self.ordeal
                .violate(format!("run {} of `{}` is in trouble: {trouble:?}", row.run, row.skill));
        }
        let task = self.ordeal.task_of(row.launch.as_str());
        if let Some(task) = task.filter(|task| task.ahead) {
            self.send_ahead(journal, row, task);
        }
        for wait in journal.waits(&row.run).unwrap() {
            let number = wait.number;
            match (&wait.wait, task) {
                (Wait::Decision, _) => self.decide(journal, row, number),
                (Wait::Event(_), Some(task)) if task.kind == Kind::Cancelled => {
                    self.say(
                        journal,
                        row,
                        "cancel",
                        &Told::Cancel { reason: None },
                        &["cancel", row.run.as_str()],
                    );
                }
                (Wait::Event(_), Some(task)) if !task.ahead => self.send(journal, row, task, number),
                (Wait::Question(_), Some(task)) => self.answer(journal, row, task, number),
                _ => {}
            }
        }
    }

    /// Sends everything that a launch will wait for, in order: what one run of it does not take is inherited by the next.
    fn send_ahead(&mut self, journal: &SqliteJournal, row: &RunRow, task: &Task) {
        let mut is_said = self.leave_notes(journal, row, task);
        for (n, (name, value)) in task.events().iter().enumerate() {
            is_said = is_said && self.send_event(journal, row, &format!("event {n}"), name, value);
        }
    }

    /// Sends the event that a run waits for.
    fn send(&mut self, journal: &SqliteJournal, row: &RunRow, task: &Task, number: Number) {
        if !self.leave_notes(journal, row, task) {
            return;
        }
        let records = journal.all_records(&row.run).unwrap();
        // Which wait of the run it is, and of those that come one by one in runs that go on: which round.
        let waits = |record: &&skillhost_core::entry::Record| matches!(&record.entry, Entry::Called(called) if called.function.name() == "signals.wait");
        let nth = records.iter().filter(waits).count().saturating_sub(1);
        let events = task.events();
        let (name, value) = &events[nth.min(events.len() - 1)];
        self.send_event(journal, row, &format!("event at {number} of {}", row.run), name, value);
    }

    fn send_event(&mut self, journal: &SqliteJournal, row: &RunRow, occasion: &str, name: &str, value: &Value) -> bool {
        let event = Told::Event {
            name: SignalName::parse(name).unwrap(),
            value: Payload::of(value),
            by: None,
        };
        let input = value.to_string();
        let words = ["signal", row.run.as_str(), name, "--input", &input];
        self.say(journal, row, occasion, &event, &words)
    }

    fn leave_notes(&mut self, journal: &SqliteJournal, row: &RunRow, task: &Task) -> bool {
        let notes = match task.kind {
            Kind::Notes => notes(&task.id).to_vec(),
            _ => Vec::new(),
        };
        notes.into_iter().enumerate().all(|(n, note)| {
            let command = Told::Note {
                message: note.clone(),
                by: None,
            };
            let words = ["inject", row.run.as_str(), "-m", &note];
            self.say(journal, row, &format!("note {n}"), &command, &words)
        })
    }

    fn answer(&mut self, journal: &SqliteJournal, row: &RunRow, task: &Task, number: Number) {
        let value = answer(&task.id, number.0);
        let command = Told::Answer {
            number,
            value: Payload::of(&value),
            by: None,
        };
        let question = format!("{}#{number}", row.run);
        let input = value.to_string();
        self.say(
            journal,
            row,
            &format!("answer {number}"),
            &command,
            &["answer", &question, "--input", &input],
        );
    }

    /// Decides about a call in doubt: has it done again where somebody can see that it was not done, else by lot.
    fn decide(&mut self, journal: &SqliteJournal, row: &RunRow, number: Number) {
        let records = journal.all_records(&row.run).unwrap();
        let performed = records
            .iter()
            .filter(|record| matches!(&record.entry, Entry::Retried(retried) if retried.number == number));
        let occasion = format!("decision {number} of {} after {}", row.run, performed.count());
        if self.said.contains(&(row.launch.to_string(), occasion.clone())) {
            return;
        }
        let is_open = |wait: &WaitRow| wait.number == number && wait.wait == Wait::Decision;
        if !journal.waits(&row.run).unwrap().iter().any(is_open) {
            // It was decided since it was looked for, and what was read of it may be later than that.
            return;
        }
        let called = records.iter().find_map(|record| match &record.entry {
            Entry::Called(called) if called.number == number => Some(called),
            _ => None,
        });
        let called = called.expect("a call in doubt is recorded");
        let is_done = (called.function.name() == "files.append").then(|| self.is_appended(called.request.as_str()));
        let decision = match is_done {
            Some(true) => Decision::Answer(Payload::null()),
            Some(false) => Decision::Redo,
            None if self.random.below(3) == 0 => Decision::Redo,
            None => Decision::Skip,
        };
        let number_text = number.to_string();
        let mut words = vec!["resume", row.run.as_str()];
        match &decision {
            Decision::Redo => words.extend(["--redo", &number_text]),
            Decision::Skip => words.extend(["--skip", &number_text]),
            Decision::Answer(_) => words.extend(["--answer", &number_text, "--input", "null"]),
        }
        let command = Told::Decide {
            number,
            decision: decision.clone(),
            by: None,
        };
        if decision == Decision::Redo {
            // Counted before it is said: a command that is killed may have been heard.
            *self.decided.redone.entry((row.run.clone(), number)).or_default() += 1;
        }
        if self.say(journal, row, &occasion, &command, &words) && decision == Decision::Skip {
            *self.decided.skipped.entry(row.run.clone()).or_default() += 1;
        }
    }

    /// Looks whether the line of an append is in the file that all share.
    fn is_appended(&self, request: &str) -> bool {
        let shared = self.ordeal.place.home().join("data/files/shared.txt");
        let shared = std::fs::read_to_string(shared).unwrap_or_default();
        let is_asked_for = |line: &str| request.contains(&format!("{line}\\n"));
        request.contains("shared.txt") && shared.lines().any(is_asked_for)
    }

    /// Says something once: by a command of the program, or straight into the mailbox. Returns whether it is said.
    fn say(&mut self, journal: &SqliteJournal, row: &RunRow, occasion: &str, command: &Told, words: &[&str]) -> bool {
        let said = (row.launch.to_string(), occasion.to_owned());
        if self.said.contains(&said) {
            return true;
        }
        let is_said = if self.random.below(3) > 0 {
            // A run that is over by now takes nothing; the next of its line does.
            journal.post_mail(&row.run, skillhost::driver::now(), command).is_ok()
        } else {
            let output = self.ordeal.run(&[words, &["--json"]].concat());
            let is_said = output.status.success() || self.is_heard(journal, row, command);
            if !is_said {
                self.ordeal
                    .note(format!("{words:?} came to nothing: {}", told(&output)));
            }
            is_said
        };
        if is_said {
            self.said.insert(said);
        }
        is_said
    }

    /// Looks whether a command that failed was heard all the same: it failed when it was in the mailbox already.
    fn is_heard(&self, journal: &SqliteJournal, row: &RunRow, command: &Told) -> bool {
        let Ok(mail) = journal.mail(&row.run) else { return true };
        let is_answered = |number: Number| {
            let records = journal.all_records(&row.run).unwrap();
            let mut entries = records.iter().map(|record| &record.entry);
            entries.any(|entry| match entry {
                Entry::Returned(returned) => returned.number == number,
                Entry::Retried(retried) => retried.number == number,
                _ => false,
            })
        };
        mail.iter()
            .any(|mail| without_speaker(&mail.command) == without_speaker(command))
            || match command {
                Told::Answer { number, .. } | Told::Decide { number, .. } => is_answered(*number),
                Told::Event { value, .. } => {
                    let records = journal.all_records(&row.run).unwrap();
                    records.iter().any(|record| {
                        matches!(&record.entry, Entry::Returned(returned) if format!("{:?}", returned.outcome).contains(value.as_str().trim_matches('"')))
                    })
                }
                _ => false,
            }
    }
}

/// Returns a command as JSON, whoever it is from.
fn without_speaker(command: &Told) -> Value {
    let mut value = serde_json::to_value(command).unwrap();
    for inner in value.as_object_mut().into_iter().flat_map(|outer| outer.values_mut()) {
        if let Some(inner) = inner.as_object_mut() {
            inner.remove("by");
        }
    }
    value
}

/// Returns the world's lines, each with how often it is there: what programs appended, and what skills share.
pub(super) fn world(ordeal: &Ordeal) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    let files = [
        ordeal.place.user_folder().join(WORLD),
        ordeal.place.home().join("data/files/shared.txt"),
    ];
    for file in files {
        for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
            *lines.entry(line.to_owned()).or_default() += 1;
        }
    }
    lines
}
