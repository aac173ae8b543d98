//! Reads a story and tells it to the machine: the one place of these tests that touches it.
//!
//! Rows are `step => what the machine says`, and nothing said may be left out. Steps:
//!
//! - `guest A, B, ..`: what it does, each a call (`words.rs`), `drop 0`, or `says text`; then it blocks, or `finishes`, `fails`, `continues`, `traps`, `spins` for too long, `breaks`;
//! - `commit`: everything queued is durable; `durable 3`: so is everything up to entry 3;
//! - `ends 0 ok`, `prints something`, `measured 0 7`, `mail redo 0`, `alarm`, `grace`: what the shell tells; `clock 2000` sets the wall clock; `rings`: an alarm too early; `drain`: the attempt is to end;
//! - `crash`: the process dies with what it had queued, and another attempt begins; `crash after 1`: the first append that was queued survived;
//! - `journal A, B, ..`: an attempt begins on these entries instead; `entries` shows those that are durable;
//! - `develop`: what the run has recorded until now is kept, and another run of the skill in development begins, which reuses all that was recorded so;
//! - `limits money=500 price=2 wall=9`: an attempt begins with these limits instead, on what is durable; `daily 700`: with so many tokens a day for the skill;
//! - `full 0`: everything queued is durable, but there was no room in the day for call 0;
//! - `copy 2 redo=0`: another run begins with a copy of this one, cut after two outcomes, and an attempt at that begins; `answer=0` answers a call by hand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use skillhost_core::budget::{Cost, DayNews};
use skillhost_core::copy::{self, Plan, Redo};
use skillhost_core::entry::{Entry, Limits, Provider, Record, SEMANTICS, Started};
use skillhost_core::holdings::Holdings;
use skillhost_core::id::{Digest, LaunchId, MailId, Number, RunId, Seq, SkillName};
use skillhost_core::machine::{
    Act, Action, Continued, End, Ended, Event, Line, Local, Machine, Mail, Slice, Status, Write,
};
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_core::payload::Payload;
use skillhost_core::recording::Recording;
use skillhost_core::time::Timestamp;

use crate::words::{self, Words};

/// The tokens that a run of these tests may use.
const TOKENS: u64 = 1_000;
/// How long a cancelled run of these tests may clean up, in milliseconds.
const GRACE_MS: u64 = 1;

/// Tells a story; barriers, alarms and changes of status are left out of what the machine says.
pub(crate) fn check(rows: &str) {
    Story::begin(false).tell(rows);
}

/// Tells a story and compares everything that the machine says.
pub(crate) fn check_with_bookkeeping(rows: &str) {
    Story::begin(true).tell(rows);
}

struct Story {
    bookkeeping: bool,
    machine: Option<Machine>,
    durable: Vec<Record>,
    lines: BTreeMap<(u64, u64), String>,
    mailbox: BTreeMap<MailId, Mail>,
    mails: u64,
    runs: u64,
    /// Whether the run's row says that it is paused.
    paused: bool,
    queue: VecDeque<Vec<Write>>,
    recording: Option<Arc<Recording>>,
    now: Timestamp,
    alarm: Option<Timestamp>,
    guest_time: Timestamp,
    started: u64,
    /// What the skill may spend in a day.
    daily: Option<Cost>,
}

impl Story {
    fn begin(bookkeeping: bool) -> Self {
        let durable = vec![started()];
        Self {
            bookkeeping,
            machine: Some(Machine::new(durable.clone()).unwrap()),
            durable,
            lines: BTreeMap::new(),
            mailbox: BTreeMap::new(),
            mails: 0,
            runs: 0,
            paused: false,
            queue: VecDeque::new(),
            recording: None,
            now: Timestamp(1_000),
            alarm: None,
            guest_time: Timestamp(0),
            started: 0,
            daily: None,
        }
    }

    fn tell(mut self, rows: &str) {
        let (mut wanted, mut told) = (String::new(), String::new());
        for row in rows.lines().map(str::trim).filter(|row| !row.is_empty()) {
            let (step, says) = row.split_once("=>").unwrap_or((row, ""));
            let (step, says) = (step.trim(), says.trim());
            let said = self.step(step);
            wanted.push_str(&format!("{step} => {says}\n"));
            told.push_str(&format!("{step} => {said}\n"));
        }
        assert!(wanted == told, "the story was to go\n{wanted}\nand went\n{told}");
    }

    fn step(&mut self, step: &str) -> String {
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        let words = Words::of(step);
        match verb {
            "guest" => {
                let slice = self.slice(rest);
                self.handle(Event::Guest(slice))
            }
            "commit" => {
                let appends = self.queue.len();
                let durable = self.commit(appends);
                self.handle(Event::Durable(durable))
            }
            "durable" => {
                while self.durable.last().unwrap().seq.0 < words.number().0 {
                    self.commit(1);
                }
                self.handle(Event::Durable(Seq(words.number().0)))
            }
            "ends" => self.handle(Event::Ended(words.number(), words::ended(&words))),
            "measured" => {
                let result = match rest.split_whitespace().nth(1).unwrap() {
                    "fails" => Err(Ended::Returned {
                        outcome: Outcome::fault(Fault::FAILED, "it went wrong"),
                        spent: None,
                        again: None,
                    }),
                    "launched" => Ok(words::launched()),
                    "gone" => Err(Ended::InDoubt("the folder is not there".to_owned())),
                    length => Ok(Payload::parse(length).unwrap()),
                };
                self.handle(Event::Measured(words.number(), result))
            }
            "mail" => {
                self.mails += 1;
                let id = MailId(self.mails);
                let command = words::command(&Words::of(rest));
                let mail = Mail {
                    id,
                    at: self.now,
                    command,
                };
                self.mailbox.insert(id, mail.clone());
                self.handle(Event::Mail(vec![mail]))
            }
            "mailbox" => self.show_mailbox(),
            "clock" => {
                self.now = Timestamp(rest.parse().unwrap());
                String::new()
            }
            "alarm" => {
                self.now = self.now.max(self.alarm.take().expect("an alarm was set"));
                self.handle(Event::Alarm)
            }
            "grace" => {
                self.now = self.now.after(Duration::from_millis(GRACE_MS));
                self.handle(Event::GraceOver)
            }
            "prints" => self.handle(Event::Said(Line::Printed {
                stderr: false,
                text: rest.to_owned(),
                place: None,
            })),
            "drain" => self.handle(Event::Drain),
            "rings" => self.handle(Event::Alarm),
            "crash" => {
                let survived = rest.strip_prefix("after ").map_or(0, |n| n.parse().unwrap());
                self.commit(survived);
                self.restart()
            }
            "journal" => {
                self.durable = journal(rest);
                self.restart()
            }
            "entries" => {
                let entries = self.durable.iter().skip(1);
                let shown = entries.map(|record| words::show_entry(&record.entry, record.at));
                shown.collect::<Vec<_>>().join(", ")
            }
            "limits" => {
                let Entry::Started(started) = &mut self.durable[0].entry else {
                    panic!("a journal begins with `started`");
                };
                words::limit(&words, started);
                self.restart()
            }
            "daily" => {
                self.daily = Some(Cost {
                    tokens: rest.parse().unwrap(),
                    ..Cost::UNBOUNDED
                });
                self.restart()
            }
            "full" => {
                let appends = self.queue.len();
                self.commit(appends);
                let over = words::refuse(words.number(), &mut self.durable);
                let number = words.number();
                self.handle(Event::Day(vec![DayNews::Refused { number, over }]))
            }
            "copy" => self.copy(&words),
            "develop" => self.develop(),
            "lines" => self.lines.values().cloned().collect::<Vec<_>>().join(", "),
            other => panic!("`{other}` is no step"),
        }
    }

    fn restart(&mut self) -> String {
        self.queue.clear();
        self.alarm = None;
        self.guest_time = Timestamp(0);
        self.started = 0;
        match Machine::new(self.durable.clone()) {
            Ok(machine) => {
                let machine = machine.paused(self.paused).with_day(self.daily);
                self.machine = Some(match &self.recording {
                    Some(recording) => machine.reusing(Arc::clone(recording)),
                    None => machine,
                });
            }
            Err(error) => {
                self.machine = None;
                return error.to_string();
            }
        }
        match self.mailbox.is_empty() {
            true => String::new(),
            false => self.show_mailbox(),
        }
    }

    fn copy(&mut self, words: &Words<'_>) -> String {
        self.runs += 1;
        let redo = match words.value("redo") {
            Some("all") => Redo::All,
            Some(numbers) => Redo::Calls(numbers.split('+').map(|n| Number(n.parse().unwrap())).collect()),
            None => Redo::Calls(Default::default()),
        };
        let plan = Plan {
            run: RunId::parse(&format!("01jd{:022}", self.runs)).unwrap(),
            at: self.now,
            cut: words.number().0,
            redo,
            answers: words
                .value("answer")
                .map(|number| (Number(number.parse().unwrap()), Outcome::done()))
                .into_iter()
                .collect(),
            by: None,
        };
        let copy = match copy::copy(&self.durable, &plan) {
            Ok(copy) => copy,
            Err(error) => return error.to_string(),
        };
        let first = Record {
            seq: Seq(0),
            at: self.now,
            entry: Entry::Started(Box::new(copy.started)),
        };
        self.durable = std::iter::once(first).chain(copy.records).collect();
        self.mailbox.clear();
        assert_eq!(self.restart(), "");
        let list = |numbers: &[Number]| numbers.iter().map(Number::to_string).collect::<Vec<_>>().join(" ");
        let (kept, anew, asks) = (list(&copy.kept), list(&copy.anew), list(&copy.asks));
        format!("kept [{kept}] anew [{anew}] asks [{asks}]")
    }

    fn develop(&mut self) -> String {
        let mut recording = self.recording.take().map(Arc::unwrap_or_clone).unwrap_or_default();
        recording.add(&self.durable).unwrap();
        self.recording = Some(Arc::new(recording));
        self.durable = vec![started()];
        self.mailbox.clear();
        self.restart()
    }

    fn show_mailbox(&mut self) -> String {
        let rows = self.mailbox.values().cloned().collect();
        self.handle(Event::Mail(rows))
    }

    fn slice(&mut self, text: &str) -> Slice {
        let mut acts = Vec::new();
        let mut end = End::Blocked;
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let words = Words::of(part);
            match words.first() {
                "drop" => acts.push(Act::Drop(words.number())),
                "says" => acts.push(Act::Log(words::line(&part[5..]))),
                "finishes" => end = End::Finished(Ok(Payload::null())),
                "fails" => end = End::Finished(Err(words::failure("own"))),
                "continues" => {
                    end = End::Continued(Box::new(Continued {
                        input: Payload::of("further"),
                        zone_offsets: Vec::new(),
                    }));
                }
                "traps" => end = End::Trapped(words::failure("trap")),
                "spins" => end = End::Exhausted(words::failure("runaway")),
                "breaks" => end = End::Broken("no memory".to_owned()),
                _ => {
                    let call = words::call(&words, Number(self.started), self.guest_time);
                    self.started += 1;
                    acts.push(Act::Start(Box::new(call)));
                }
            }
        }
        Slice { acts, end }
    }

    fn handle(&mut self, event: Event) -> String {
        let machine = self.machine.as_mut().expect("the journal was loaded");
        let mut said = Vec::new();
        for action in machine.handle(self.now, event) {
            let shown = words::show(&action);
            let shown = shown
                .into_iter()
                .filter(|(_, bookkeeping)| self.bookkeeping || !bookkeeping);
            said.extend(shown.map(|(text, _)| text));
            match action {
                Action::Write(writes) => self.queue.push_back(writes),
                Action::Alarm(at) => self.alarm = Some(at),
                Action::Deliver(given) => {
                    assert!(given.time >= self.guest_time, "g6: time does not go back");
                    self.guest_time = given.time;
                }
                _ => {}
            }
        }
        said.join(", ")
    }

    /// Makes the first appends of the queue durable.
    fn commit(&mut self, appends: usize) -> Seq {
        for write in self.queue.drain(..appends).flatten() {
            match write {
                Write::Entry(record) => {
                    assert_eq!(record.seq.0, self.durable.len() as u64, "a journal is dense");
                    self.durable.push(record);
                }
                Write::Line {
                    after, ordinal, line, ..
                } => {
                    let line = format!("{line:?}").split('"').nth(1).unwrap().to_owned();
                    self.lines.entry((after, ordinal)).or_insert(line);
                }
                Write::Local(Local::TakeMail(id)) => {
                    self.mailbox.remove(&id);
                }
                Write::Local(Local::SetStatus(status)) => self.paused = status == Status::Paused,
                Write::Local(_) => {}
            }
        }
        self.durable.last().unwrap().seq
    }
}

fn journal(text: &str) -> Vec<Record> {
    let mut records = vec![started()];
    let mut called = 0;
    for part in text.split(',').map(str::trim) {
        if part == "nothing" {
            return Vec::new();
        }
        if part == "without start" {
            records.clear();
            continue;
        }
        let words = Words::of(part);
        let entry = words::entry(&words, part.split_once(' ').map_or("", |(_, rest)| rest), called);
        called += u64::from(matches!(entry, Entry::Called(_)));
        records.push(Record {
            seq: words
                .value("seq")
                .map_or(Seq(records.len() as u64), |seq| Seq(seq.parse().unwrap())),
            at: words
                .value("time")
                .map_or(Timestamp(1_000), |at| Timestamp(at.parse().unwrap())),
            entry,
        });
    }
    records
}

fn started() -> Record {
    let run = RunId::parse(words::RUN).unwrap();
    let started = Started {
        run: run.clone(),
        launch: LaunchId::parse(run.as_str()).unwrap(),
        skill: SkillName::parse("scripted").unwrap(),
        input: Payload::null(),
        bundle: Digest::of(b"bundle"),
        component: Digest::of(b"component"),
        seed: Digest::of(b"seed"),
        zone: "UTC".to_owned(),
        zone_offsets: Vec::new(),
        mounts: Vec::new(),
        limits: Limits {
            budget: Cost {
                calls: 100,
                tokens: TOKENS,
                microdollars: 0,
            },
            grace_ms: GRACE_MS,
            holds: Holdings {
                log_lines: 6,
                ..Holdings::default()
            },
            ..Limits::default()
        },
        provider: Provider {
            name: "offline".to_owned(),
            models: BTreeMap::new(),
            features: Vec::new(),
            simulated: true,
            acts: false,
        },
        engine: "none".to_owned(),
        semantics: SEMANTICS,
        parent: None,
        continues: None,
        caller: None,
        skills_folder: None,
        grants: Default::default(),
    };
    Record {
        seq: Seq(0),
        at: Timestamp(1),
        entry: Entry::Started(Box::new(started)),
    }
}
