//! Runs made by writing their journals, as a host would have.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use skillhost_core::budget::Cost;
use skillhost_core::calls::CallOptions;
use skillhost_core::effect::Function;
use skillhost_core::entry::{
    By, Called, Entry, Failure, Finished, How, Limits, Provider, Record, Retried, Returned, SEMANTICS, Started, Why,
};
use skillhost_core::id::{Digest, LaunchId, Number, RunId, Seq, SignalName, SkillName, WorkerId};
use skillhost_core::machine::{Level, Line, Local, Source, Status, Wait, Write};
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_journal::{Bundle, Journal as _, NewRun, RunWriter, SqliteJournal, Taken, Trouble};

use crate::machine::Machine;

/// 21 November 2025, 11:20 UTC.
const BEGINNING: u64 = 1_763_724_000_000_000;

/// The worker that wrote the journals.
pub(crate) const WORKER: &str = "w-of-the-test";

pub(crate) const BROKEN: &str = "01kbrokenaaaaaaaaaaaaaaaa6";
pub(crate) const DONE: &str = "01kdoneaaaaaaaaaaaaaaaaaa1";
pub(crate) const FAILED: &str = "01kfailedaaaaaaaaaaaaaaaa2";
pub(crate) const LONG: &str = "01klongaaaaaaaaaaaaaaaaaa5";
pub(crate) const PARKED: &str = "01kparkedaaaaaaaaaaaaaaaa4";
pub(crate) const RUNNING: &str = "01krunningaaaaaaaaaaaaaaa7";
pub(crate) const WAITING: &str = "01kwaitingaaaaaaaaaaaaaaa3";

/// Writes one run.
struct Author {
    writer: RunWriter,
    journal: SqliteJournal,
    run: RunId,
    at: u64,
    seq: u64,
    simulated: bool,
}

impl Author {
    fn begin(machine: &Machine, run: &str, launch: Option<&str>, simulated: bool) -> Self {
        let home = machine.path("home");
        std::fs::create_dir_all(&home).unwrap();
        close_to_others(&home);
        let journal = SqliteJournal::open(&home.join("journal.db")).unwrap();
        let bundle = Bundle::new([]).unwrap();
        let bundle = journal
            .put_bundle(&bundle, Timestamp(BEGINNING), &|_| unreachable!())
            .unwrap();
        let started = Started {
            run: RunId::parse(run).unwrap(),
            launch: LaunchId::parse(launch.unwrap_or(run)).unwrap(),
            skill: SkillName::parse("deep-research").unwrap(),
            input: Payload::of(&json!({"question": "Why is the sky blue?"})),
            bundle,
            component: Digest::of(b"component"),
            seed: Digest::of(b"seed"),
            zone: "UTC".to_owned(),
            zone_offsets: Vec::new(),
            mounts: Vec::new(),
            limits: Limits::default(),
            provider: Provider {
                name: if simulated { "offline" } else { "anthropic" }.to_owned(),
                models: Default::default(),
                features: Vec::new(),
                simulated,
                acts: false,
            },
            engine: "test".to_owned(),
            semantics: SEMANTICS,
            parent: None,
            continues: None,
            caller: None,
            skills_folder: None,
            grants: Default::default(),
        };
        let run = started.run.clone();
        journal
            .create_run(NewRun::first(
                started,
                Timestamp(BEGINNING),
                Some(machine.path("").components().collect()),
            ))
            .unwrap();
        let lease = journal.lease(&run).unwrap();
        let worker = WorkerId::parse(WORKER).unwrap();
        let Taken::At(epoch) = journal.claim(&run, &worker, &lease).unwrap() else {
            unreachable!()
        };
        Self {
            writer: journal.writer(&run, epoch, Seq(1)),
            journal,
            run,
            at: BEGINNING,
            seq: 1,
            simulated,
        }
    }

    fn write(&mut self, write: Write) {
        self.writer.append(vec![write]).unwrap();
    }

    fn entry(&mut self, millis: u64, entry: Entry) {
        self.at += millis * 1_000;
        let record = Record {
            seq: Seq(self.seq),
            at: Timestamp(self.at),
            entry,
        };
        self.seq += 1;
        self.write(Write::Entry(record));
    }

    fn called(&mut self, number: u64, function: Function, label: Option<&str>, request: Value) {
        let options = CallOptions {
            label: label.map(str::to_owned),
            ..CallOptions::default()
        };
        let called = Called {
            number: Number(number),
            function,
            request: Payload::of(&request),
            options,
            class: function.spec().class,
            after: 0,
            reserved: function.spec().metered.then_some(Cost {
                calls: 1,
                tokens: 9_000,
                ..Cost::ZERO
            }),
            reserved_day: None,
            over: None,
            tier: None,
            due: None,
        };
        self.entry(1, Entry::Called(Arc::new(called)));
    }

    fn asked(&mut self, number: u64, label: &str) {
        let messages = json!([{"role": "user", "content": [{"text": format!("about {label}")}]}]);
        self.called(
            number,
            Function::MODEL_COMPLETE,
            Some(label),
            json!({"model": "sonnet", "messages": messages}),
        );
    }

    fn answered(&mut self, number: u64, millis: u64, tokens: u64) {
        let reply = json!({
            "content": [{"text": "so it is"}],
            "stop_reason": "end",
            "model": "claude-sonnet-4-6",
            "usage": {"input": tokens, "output": 0, "cache_read": 0, "cache_write": 0},
            "simulated": self.simulated,
        });
        self.returned(number, millis, Outcome::Ok(Payload::of(&reply)), tokens);
    }

    fn returned(&mut self, number: u64, millis: u64, outcome: Outcome, tokens: u64) {
        let spent = (tokens > 0).then_some(Cost {
            calls: 1,
            tokens,
            ..Cost::ZERO
        });
        let returned = Returned {
            number: Number(number),
            outcome,
            spent,
            by: By::Effect,
        };
        self.entry(millis, Entry::Returned(returned));
    }

    fn line(&mut self, ordinal: u64, line: Line) {
        let at = Timestamp(self.at);
        self.write(Write::Line {
            after: 0,
            ordinal,
            at,
            line,
        });
    }

    fn post(&mut self, source: Source, title: &str, body: &str) {
        let at = Timestamp(self.at);
        let (title, body) = (title.to_owned(), body.to_owned());
        self.write(Write::Local(Local::Post {
            source,
            at,
            title,
            body,
            attachments: vec!["run/report.md".to_owned()],
        }));
    }

    fn finish(mut self, how: How, status: Status) {
        self.entry(
            5,
            Entry::Finished(Finished {
                how,
                spent: Cost {
                    calls: 3,
                    tokens: 6_403,
                    ..Cost::ZERO
                },
            }),
        );
        self.write(Write::Local(Local::SetStatus(status)));
        self.keep();
    }

    fn keep(self) {
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        tokio.block_on(self.writer.flush()).unwrap();
        let epoch = self.journal.lease(&self.run).unwrap().epoch;
        drop(self.writer);
        self.journal.release(&self.run, epoch).unwrap();
    }
}

fn close_to_others(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
}

/// A run that is done: a plan, two parts of which one was tried twice, a report, a message.
pub(crate) fn done(machine: &Machine) {
    let mut author = Author::begin(machine, DONE, Some("nightly"), true);
    author.line(
        0,
        Line::Message {
            level: Level::Info,
            message: "two parts\nto answer".to_owned(),
            place: Some("src/lib.rs:124".to_owned()),
        },
    );
    author.line(
        1,
        Line::Printed {
            stderr: true,
            text: "odd \u{1b}[31mcolours".to_owned(),
            place: Some("src/lib.rs:131".to_owned()),
        },
    );
    author.asked(0, "plan");
    author.answered(0, 2_100, 1_203);
    author.asked(1, "part: light");
    author.asked(2, "part: air");
    author.line(
        2,
        Line::Progress {
            label: "parts".to_owned(),
            done: 1,
            total: Some(2),
        },
    );
    let fault = Some(Box::new(Fault::new("overloaded", "busy")));
    author.entry(
        900,
        Entry::Retried(Retried {
            number: Number(1),
            why: Why::Failure,
            fault,
            spent: None,
            reserved: None,
            reserved_day: None,
        }),
    );
    author.answered(2, 4_000, 2_600);
    author.answered(1, 3_000, 2_600);
    author.called(
        3,
        Function::FILES_WRITE,
        None,
        json!({"path": "run/report.md", "contents": {"text": "# Blue"}}),
    );
    author.returned(3, 4, Outcome::done(), 0);
    author.called(4, Function::INBOX_POST, None, json!({"title": "The sky is blue"}));
    author.returned(4, 1, Outcome::done(), 0);
    author.post(
        Source::Message(Number(4)),
        "The sky is blue",
        "# Because\n\nof Rayleigh,\r\nmostly\u{7}.",
    );
    author.finish(
        How::Done(Payload::of(&json!({"report": "run/report.md", "sources": 2}))),
        Status::Done,
    );
}

/// A run that trapped.
pub(crate) fn failed(machine: &Machine) {
    let mut author = Author::begin(machine, FAILED, None, false);
    author.asked(0, "plan");
    author.answered(0, 2_100, 1_203);
    let failure = Failure {
        code: "trap".to_owned(),
        message: "the skill panicked: no parts".to_owned(),
        details: Some(Payload::of(&json!({"parts": 0}))),
        backtrace: Some("0: deep_research::run\n1: core::panicking::panic".to_owned()),
    };
    author.finish(How::Failed(failure), Status::Failed);
}

/// A run that failed because a call of it did.
pub(crate) fn broken(machine: &Machine) {
    let mut author = Author::begin(machine, BROKEN, Some("broken"), false);
    author.asked(0, "plan");
    author.answered(0, 2_100, 1_203);
    author.asked(1, "report");
    author.returned(1, 900, Outcome::fault("overloaded", "busy"), 0);
    let failure = Failure {
        code: "overloaded".to_owned(),
        message: "no report: busy".to_owned(),
        details: None,
        backtrace: None,
    };
    author.finish(How::Failed(failure), Status::Failed);
}

/// A run that was in the middle of a call when whoever drove it went.
pub(crate) fn running(machine: &Machine) {
    let mut author = Author::begin(machine, RUNNING, None, false);
    author.asked(0, "plan");
    author.keep();
}

/// A run that waits for an answer, an event and a time.
pub(crate) fn waiting(machine: &Machine) {
    let mut author = Author::begin(machine, WAITING, None, false);
    let schema = json!({
        "type": "object",
        "properties": {"approve": {"type": "boolean"}, "comment": {"type": "string"}},
        "required": ["approve"]
    });
    let question = json!({"name": "publish", "prompt": "Publish the report?\nIt has 3 pages.", "schema": schema, "audience": "user"});
    author.called(0, Function::SIGNALS_ASK, None, question);
    let schema = json!({"type": "integer"});
    author.called(
        1,
        Function::SIGNALS_WAIT,
        None,
        json!({"name": "count", "schema": schema}),
    );
    author.called(
        2,
        Function::CLOCK_SLEEP,
        None,
        json!({"duration_ns": 86_400_000_000_000_u64}),
    );
    let open = |number, wait, deadline| {
        Write::Local(Local::OpenWait {
            number: Number(number),
            wait,
            deadline,
        })
    };
    author.write(open(0, Wait::Question(SignalName::parse("publish").unwrap()), None));
    author.write(open(1, Wait::Event(SignalName::parse("count").unwrap()), None));
    author.write(open(2, Wait::Timer, Some(Timestamp(BEGINNING + 86_400_000_000))));
    author.post(Source::Question(Number(0)), "Publish the report?", "");
    author.write(Write::Local(Local::SetStatus(Status::Waiting)));
    author.keep();
}

/// A run of hundreds of calls of as many kinds, all by different names.
pub(crate) fn long(machine: &Machine) {
    let mut author = Author::begin(machine, LONG, None, false);
    for number in 0..400 {
        match number % 2 {
            0 => author.asked(number, &format!("kind {number}: é{number}")),
            _ => author.called(
                number,
                Function::FILES_READ,
                None,
                json!({"path": format!("run/{number}")}),
            ),
        }
    }
    author.finish(How::Done(Payload::of(&json!(vec!["line"; 30]))), Status::Done);
}

/// A run that is parked because its key is gone.
pub(crate) fn parked(machine: &Machine) {
    let author = Author::begin(machine, PARKED, Some("parked"), false);
    let trouble = Trouble {
        code: "no_key".to_owned(),
        message: "provider `anthropic` has no key".to_owned(),
        hint: Some("`export ANTHROPIC_API_KEY=...`".to_owned()),
        at: Timestamp(BEGINNING),
        attempts: 3,
    };
    let epoch = author.journal.lease(&author.run).unwrap().epoch;
    author.journal.park(&author.run, epoch, &trouble).unwrap();
    author.keep();
}

/// Closes the question that the waiting run asks, as the entry that answers it does.
pub(crate) fn withdraw_question(machine: &Machine) {
    let journal = SqliteJournal::open(&machine.path("home/journal.db")).unwrap();
    let run = RunId::parse(WAITING).unwrap();
    let lease = journal.lease(&run).unwrap();
    let Taken::At(epoch) = journal.claim(&run, &WorkerId::parse(WORKER).unwrap(), &lease).unwrap() else {
        unreachable!()
    };
    let mut writer = journal.writer(&run, epoch, Seq(journal.run(&run).unwrap().entries));
    writer
        .append(vec![Write::Local(Local::CloseWait { number: Number(0) })])
        .unwrap();
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    tokio.block_on(writer.flush()).unwrap();
}

/// Pauses the waiting run when it is told to, as whoever drives it does.
pub(crate) fn pause_when_told(machine: &Machine) -> std::thread::JoinHandle<()> {
    let journal = SqliteJournal::open(&machine.path("home/journal.db")).unwrap();
    let run = RunId::parse(WAITING).unwrap();
    std::thread::spawn(move || {
        let mail = loop {
            match journal.mail(&run).unwrap().pop() {
                Some(mail) => break mail,
                None => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
        };
        let row = journal.run(&run).unwrap();
        let mut writer = journal.writer(&run, row.epoch, Seq(row.entries));
        let locals = [Local::TakeMail(mail.id), Local::SetStatus(Status::Paused)];
        writer.append(locals.map(Write::Local).into()).unwrap();
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        tokio.block_on(writer.flush()).unwrap();
    })
}

/// A run that a process drives which is alive for as long as the file is held.
#[must_use]
pub(crate) fn held(machine: &Machine) -> std::fs::File {
    waiting(machine);
    let journal = SqliteJournal::open(&machine.path("home/journal.db")).unwrap();
    let run = RunId::parse(WAITING).unwrap();
    let lease = journal.lease(&run).unwrap();
    journal.claim(&run, &WorkerId::parse(WORKER).unwrap(), &lease).unwrap();
    machine.put(&format!("home/workers/{WORKER}.lock"), "");
    let file = std::fs::File::options()
        .write(true)
        .open(machine.path(&format!("home/workers/{WORKER}.lock")))
        .unwrap();
    file.lock().unwrap();
    file
}
