//! Executes a program with the machine, in a world that remembers what was done to it, and checks the promises as it goes.

use std::collections::{BTreeMap, BTreeSet};

use skillhost_core::budget::{Cost, DaySpent};
use skillhost_core::calls::skills::Launched;
use skillhost_core::effect::{Class, Kind};
use skillhost_core::entry::{Entry, Finished, Limits as RunLimits, Provider, Record, SEMANTICS, Started};
use skillhost_core::id::{Digest, LaunchId, MailId, Number, RunId, Seq, SignalName, SkillName};
use skillhost_core::machine::{
    Action, Command, Decision, Ended, Event, Local, Machine, Mail, Source, Status, Stop, Survey, Ticket, Wait, Write,
};
use skillhost_core::outcome::Outcome;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;

use crate::choices::Choices;
use crate::copies;
use crate::end::check_end;
use crate::program::{Guest, Program};

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How often the process may die.
    pub(crate) crashes: usize,
    /// Whether the order of arrival is chosen after a crash as well; else things happen in the order asked for.
    pub(crate) choose_after_crash: bool,
    /// Whether somebody may cancel the run, at any point.
    pub(crate) cancel: bool,
    /// Whether somebody may pause the run once, at any point, and let it go on at any later one.
    pub(crate) pause: bool,
    /// Whether a copy is made of the finished run at every cut, and driven to its end.
    pub(crate) copy: bool,
}

/// What outlives a process: the journal as far as it is durable, and what was done to the world.
#[derive(Default)]
pub(crate) struct Lasting {
    pub(crate) records: Vec<Record>,
    pub(crate) posts: BTreeSet<u64>,
    pub(crate) lines: BTreeMap<(u64, u64), String>,
    pub(crate) mail: BTreeMap<MailId, Mail>,
    pub(crate) mails: u64,
    pub(crate) performed: BTreeMap<u64, u32>,
    /// The bytes of the one file that appends go to: a number each.
    pub(crate) file: Vec<u64>,
    pub(crate) decided: BTreeSet<u64>,
    pub(crate) cancelled: bool,
    /// What the run's row says.
    pub(crate) paused: bool,
    pub(crate) was_paused: bool,
    /// The runs that were launched for calls.
    pub(crate) children: BTreeMap<u64, Child>,
    /// What each of them may spend.
    pub(crate) allowed: BTreeMap<u64, Cost>,
    /// The account of the skill for all days.
    pub(crate) day: DaySpent,
    /// Of a copy: the calls about which a person is asked first.
    pub(crate) asks: BTreeSet<u64>,
}

/// A run that was launched for a call of a skill. It outlives the attempt, and goes on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Child {
    Running,
    /// It was told to end, and will.
    Cancelled,
    /// It is over, and has answered.
    Over,
}

/// One attempt.
struct Attempt<'a> {
    machine: Machine,
    guest: Guest<&'a Program>,
    /// Queued and not durable yet; each append is all or nothing.
    queue: Vec<Vec<Write>>,
    barrier: Option<Seq>,
    effects: Vec<Ticket>,
    measures: Vec<Ticket>,
    aborted: BTreeSet<u64>,
    alarm: Option<Timestamp>,
    grace: bool,
    now: Timestamp,
    idle: Option<Vec<(Number, Wait)>>,
    dropped: BTreeSet<u64>,
    finished: Option<Finished>,
    /// Whether the machine was told to pause.
    paused: bool,
}

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Commit,
    Effect(usize),
    Measure(usize),
    /// A run that was launched for a call comes to its end.
    Child(u64),
    Alarm,
    Grace,
    Crash,
    Cancel,
    Pause,
    Resume,
    Help,
}

pub(crate) fn execute(program: &Program, choices: &mut Choices, limits: Limits) {
    let mut lasting = Lasting {
        records: vec![started()],
        ..Lasting::default()
    };
    drive_to_end(program, &mut lasting, choices, limits);
    if limits.copy {
        copies::check_all(program, &lasting);
    }
}

/// Drives a run, however often the process dies, and checks how it ends.
pub(crate) fn drive_to_end(program: &Program, lasting: &mut Lasting, choices: &mut Choices, limits: Limits) {
    let mut crashes = limits.crashes;
    let mut clock = 1_000;
    loop {
        if let Some(finished) = Machine::finished(&lasting.records) {
            return check_end(program, lasting, finished, &choices.show());
        }
        let mut attempt = Attempt::begin(program, lasting, Timestamp(clock));
        let crashed = attempt.drive(lasting, choices, limits, &mut crashes);
        clock = attempt.now.0 + 10;
        if !crashed {
            let finished = attempt.finished.take().unwrap();
            assert_eq!(
                Machine::finished(&lasting.records),
                Some(&finished),
                "j2: the end is durable when it is told"
            );
            check_end(program, lasting, &finished, &choices.show());
            return;
        }
    }
}

/// Loads a journal: of every other length as a whole, and else so that each entry is read when the replay has come to it.
fn load(records: &[Record]) -> Machine {
    if records.len().is_multiple_of(2) {
        return Machine::new(records.to_vec()).unwrap();
    }
    let mut survey = Survey::keeping(0);
    survey.add(records.to_vec()).unwrap();
    survey.attempt().unwrap()
}

impl<'a> Attempt<'a> {
    fn begin(program: &'a Program, lasting: &Lasting, now: Timestamp) -> Self {
        let machine = load(&lasting.records)
            .paused(lasting.paused)
            .with_day(Some(Cost::UNBOUNDED));
        assert_eq!(
            machine.spent(),
            lasting.day.spent,
            "b1: the account of the run and that of the day say the same"
        );
        Self {
            machine,
            guest: Guest::new(program),
            queue: Vec::new(),
            barrier: None,
            effects: Vec::new(),
            measures: Vec::new(),
            aborted: BTreeSet::new(),
            alarm: None,
            grace: false,
            now,
            idle: None,
            dropped: BTreeSet::new(),
            finished: None,
            paused: lasting.paused,
        }
    }

    /// Drives until the run is over (`false`) or the process died (`true`).
    fn drive(&mut self, lasting: &mut Lasting, choices: &mut Choices, limits: Limits, crashes: &mut usize) -> bool {
        let free = *crashes == limits.crashes || limits.choose_after_crash;
        let mail = lasting.mail.values().cloned().collect();
        self.tell(lasting, Event::Mail(mail));
        let slice = self.guest.run();
        self.note_drops(&slice);
        self.tell(lasting, Event::Guest(slice));
        for _ in 0..200 {
            if self.finished.is_some() {
                return false;
            }
            let mut options = self.options(lasting);
            assert!(
                !options.is_empty(),
                "the run is stuck: {:#?}\nchoices {}",
                self.machine,
                choices.show()
            );
            if !free {
                options.truncate(1);
            }
            if *crashes > 0 {
                options.push(Next::Crash);
            }
            if limits.cancel && !lasting.cancelled {
                options.push(Next::Cancel);
            }
            if limits.pause && !lasting.was_paused {
                options.push(Next::Pause);
            }
            match options[choices.pick(options.len())] {
                Next::Crash => {
                    *crashes -= 1;
                    let survives = choices.pick(self.queue.len() + 1);
                    self.commit(lasting, survives);
                    self.lose(lasting, choices);
                    return true;
                }
                next => self.happen(lasting, next, choices),
            }
        }
        panic!("the run does not end\nchoices {}", choices.show());
    }

    fn options(&self, lasting: &Lasting) -> Vec<Next> {
        let mut options = Vec::new();
        if self.barrier.is_some() {
            options.push(Next::Commit);
        }
        options.extend((0..self.measures.len()).map(Next::Measure));
        options.extend((0..self.effects.len()).map(Next::Effect));
        let children = lasting.children.iter();
        let at_work = children.filter(|(_, child)| **child != Child::Over);
        options.extend(at_work.map(|(number, _)| Next::Child(*number)));
        if options.is_empty() && self.grace {
            options.push(Next::Grace);
        }
        if self.effects.is_empty()
            && self.measures.is_empty()
            && self.barrier.is_none()
            && self.alarm.is_some()
            && self.idle.as_ref().is_none_or(|waits| !needs_help(waits))
        {
            options.push(Next::Alarm);
        }
        if self.idle.as_ref().is_some_and(|waits| needs_help(waits)) {
            options.push(Next::Help);
        }
        if self.paused {
            options.push(Next::Resume);
        }
        options
    }

    fn happen(&mut self, lasting: &mut Lasting, next: Next, choices: &mut Choices) {
        self.now = Timestamp(self.now.0 + 3);
        match next {
            Next::Commit => {
                self.commit(lasting, self.queue.len());
                self.barrier = None;
                let durable = lasting.records.last().unwrap().seq;
                self.tell(lasting, Event::Durable(durable));
            }
            Next::Measure(which) => {
                let ticket = self.measures.remove(which);
                if ticket.function().kind() == Kind::Skill {
                    // Whoever launches again finds what was launched.
                    let number = ticket.number().0;
                    lasting.children.entry(number).or_insert(Child::Running);
                    let reserved = ticket.reserved().expect("something is reserved for it");
                    let allowed = *lasting.allowed.entry(number).or_insert(reserved);
                    assert_eq!(
                        allowed, reserved,
                        "b1: it is one run, which has what was reserved for it first"
                    );
                    assert_ne!(
                        allowed,
                        Cost::ZERO,
                        "f5: the run that is launched has something to spend"
                    );
                    let run = RunId::parse("01jd0000000000000000000009").unwrap();
                    return self.tell(
                        lasting,
                        Event::Measured(ticket.number(), Ok(Payload::of(&Launched { run }))),
                    );
                }
                let length = Payload::of(&lasting.file.len());
                self.tell(lasting, Event::Measured(ticket.number(), Ok(length)));
            }
            Next::Effect(which) => {
                let ticket = self.effects.remove(which);
                let number = ticket.number();
                let ended = match self.aborted.remove(&number.0) && choices.pick(2) == 0 {
                    true => Ended::Aborted,
                    false => take_effect(lasting, &ticket, true),
                };
                self.tell(lasting, Event::Ended(number, ended));
            }
            Next::Child(number) => {
                let child = lasting.children.insert(number, Child::Over).unwrap();
                let outcome = match child {
                    Child::Cancelled => Outcome::fault("failed", "it was cancelled"),
                    Child::Running | Child::Over => Outcome::Ok(Payload::of(&format!("{number} is done"))),
                };
                let spent = Cost {
                    calls: 1,
                    tokens: 3 + number,
                    microdollars: 0,
                };
                self.send(
                    lasting,
                    Command::Child {
                        number: Number(number),
                        outcome,
                        spent,
                    },
                );
            }
            Next::Alarm => {
                self.now = self.now.max(self.alarm.take().unwrap());
                self.tell(lasting, Event::Alarm);
            }
            Next::Grace => {
                self.grace = false;
                self.tell(lasting, Event::GraceOver);
            }
            Next::Cancel => {
                lasting.cancelled = true;
                self.send(lasting, Command::Cancel { reason: None });
            }
            Next::Pause => {
                lasting.was_paused = true;
                self.send(lasting, Command::Pause { by: None });
            }
            Next::Resume => self.send(lasting, Command::Resume { by: None }),
            Next::Help => self.help(lasting, choices),
            Next::Crash => unreachable!("the process died"),
        }
    }

    /// A person decides about what is parked; somebody sends what is waited for.
    fn help(&mut self, lasting: &mut Lasting, choices: &mut Choices) {
        let waits = self.idle.take().unwrap();
        let (number, wait) = waits
            .into_iter()
            .find(|(_, wait)| !matches!(wait, Wait::Timer | Wait::Skill(_)))
            .unwrap();
        let command = match wait {
            Wait::Decision => {
                lasting.decided.insert(number.0);
                let decision = match choices.pick(3) {
                    0 => Decision::Redo,
                    1 => Decision::Skip,
                    _ => Decision::Answer(Payload::of("by hand")),
                };
                Command::Decide {
                    number,
                    decision,
                    by: None,
                }
            }
            _ => Command::Event {
                name: SignalName::parse("go").unwrap(),
                value: Payload::of("went"),
                by: None,
            },
        };
        self.send(lasting, command);
    }

    fn send(&mut self, lasting: &mut Lasting, command: Command) {
        lasting.mails += 1;
        let id = MailId(lasting.mails);
        let mail = Mail {
            id,
            at: self.now,
            command,
        };
        lasting.mail.insert(id, mail.clone());
        self.tell(lasting, Event::Mail(vec![mail]));
    }

    fn tell(&mut self, lasting: &mut Lasting, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            self.note_pause(lasting, &event);
            if matches!(event, Event::Guest(_)) || !matches!(event, Event::Mail(_)) {
                self.idle = None;
            }
            let mut delivery = None;
            let mut read = None;
            for action in self.machine.handle(self.now, event) {
                match action {
                    Action::Write(writes) => self.queue.push(writes),
                    Action::Read(from) => read = Some(from),
                    Action::Barrier(seq) => self.barrier = Some(seq),
                    Action::Alarm(at) => self.alarm = Some(at),
                    Action::Grace(_) => self.grace = true,
                    Action::Idle(idle) => self.idle = Some(idle.waits),
                    Action::Abort(number) => {
                        assert!(
                            self.effects.iter().any(|t| t.number() == number),
                            "only what is in flight is aborted"
                        );
                        self.aborted.insert(number.0);
                    }
                    Action::Measure(ticket) => {
                        assert!(!self.paused, "p4: nothing is begun while paused");
                        self.check_allowed(lasting, &ticket);
                        self.measures.push(ticket);
                    }
                    Action::Perform(ticket) => {
                        assert!(!self.paused, "p4: nothing is performed while paused");
                        self.check_allowed(lasting, &ticket);
                        *lasting.performed.entry(ticket.number().0).or_default() += 1;
                        self.effects.push(ticket);
                    }
                    Action::Deliver(given) => {
                        assert!(!self.paused, "p4: nothing is delivered while paused");
                        self.check_delivery(lasting, &given.outcome, given.number);
                        assert!(delivery.replace(given).is_none(), "g3: one thing is given at a time");
                    }
                    Action::Stop(Stop::Finished(finished)) => self.finished = Some(finished),
                    Action::Stop(stop) => panic!("the attempt stopped: {stop:?}"),
                }
            }
            if let Some(Seq(from)) = read {
                assert!(delivery.is_none(), "nothing is given while more is to be read");
                // The second may have been written since.
                let records = lasting.records.iter().skip(usize::try_from(from).unwrap());
                events.push(Event::Read(records.take(2).cloned().collect()));
            }
            if let Some(delivery) = delivery {
                let slice = self.guest.deliver(delivery);
                self.note_drops(&slice);
                events.push(Event::Guest(slice));
            }
        }
    }

    fn note_pause(&mut self, lasting: &Lasting, event: &Event) {
        let Event::Mail(mail) = event else { return };
        for Mail { command, .. } in mail {
            match command {
                Command::Pause { .. } => self.paused = !lasting.cancelled,
                Command::Resume { .. } | Command::Cancel { .. } => self.paused = false,
                _ => {}
            }
        }
    }

    fn note_drops(&mut self, slice: &skillhost_core::machine::Slice) {
        for act in &slice.acts {
            if let skillhost_core::machine::Act::Drop(number) = act {
                self.dropped.insert(number.0);
            }
        }
    }

    /// J1, R1, R2, R3, and the promise about calls that must not be made twice.
    fn check_allowed(&self, lasting: &Lasting, ticket: &Ticket) {
        let number = ticket.number();
        assert!(self.machine.is_live(), "r1: nothing is performed while replaying");
        assert!(
            !self.dropped.contains(&number.0),
            "r1: a dropped call is never performed"
        );
        let durable = |wanted: &dyn Fn(&Entry) -> bool| lasting.records.iter().filter(|r| wanted(&r.entry)).count();
        let answered = durable(&|e| matches!(e, Entry::Returned(r) if r.number == number));
        assert_eq!(answered, 0, "r5: a call whose answer was recorded is not made again");
        if ticket.class() != Class::Observe {
            let called = lasting.records.iter().find_map(|r| match &r.entry {
                Entry::Called(called) if called.number == number => Some(called.after),
                _ => None,
            });
            let after = called.expect("j1: its own entry is durable") as usize;
            assert!(
                durable(&|e| e.is_outcome()) >= after,
                "j1: what the guest was given before is durable"
            );
            let retried = durable(&|e| matches!(e, Entry::Retried(r) if r.number == number));
            assert!(
                retried as u32 + 1 >= ticket.attempt(),
                "r2: each further performance is durable first"
            );
        }
        if ticket.class() == Class::AtMostOnce {
            let before = lasting.performed.get(&number.0).copied().unwrap_or(0);
            assert!(
                before == 0 || lasting.decided.contains(&number.0),
                "at most once, unless a person says so"
            );
            assert!(
                !lasting.asks.contains(&number.0) || lasting.decided.contains(&number.0),
                "f3: what the copied run may have done asks first"
            );
        }
        if matches!(ticket.function().kind(), Kind::FileChange { .. }) {
            let others = self.effects.iter().chain(&self.measures);
            let others = others.filter(|t| matches!(t.function().kind(), Kind::FileChange { .. }));
            assert_eq!(others.count(), 0, "r3: changes to files are performed one at a time");
            for before in self.changes_before(lasting, number) {
                let durable = durable(&|e| matches!(e, Entry::Returned(r) if r.number == before));
                let given_up = self.dropped.contains(&before.0) || lasting.cancelled;
                assert!(
                    durable == 1 || given_up,
                    "r3: the change before has ended, and its outcome is durable"
                );
            }
        }
    }

    fn changes_before(&self, lasting: &Lasting, number: Number) -> Vec<Number> {
        let calls = lasting.records.iter().filter_map(|record| match &record.entry {
            Entry::Called(called) if matches!(called.function.kind(), Kind::FileChange { .. }) => Some(called.number),
            _ => None,
        });
        calls.filter(|before| *before < number).collect()
    }

    /// An outcome is queued before the guest sees it, or is the cancellation's.
    fn check_delivery(&self, lasting: &Lasting, outcome: &Outcome, number: Number) {
        let queued = self.queue.iter().flatten().filter_map(|write| match write {
            Write::Entry(record) => Some(record),
            _ => None,
        });
        let mut known = lasting.records.iter().chain(queued);
        let recorded =
            known.any(|r| matches!(&r.entry, Entry::Returned(r) if r.number == number && r.outcome == *outcome));
        assert!(
            recorded || outcome.code() == Some("cancelled"),
            "g3: an outcome is recorded before it is given"
        );
    }

    fn commit(&mut self, lasting: &mut Lasting, appends: usize) {
        for write in self.queue.drain(..appends).flatten() {
            match write {
                Write::Entry(record) => {
                    assert_eq!(record.seq.0, lasting.records.len() as u64, "a journal is dense");
                    lasting.records.push(record);
                }
                Write::Line {
                    after, ordinal, line, ..
                } => {
                    let line = format!("{line:?}");
                    let there = lasting.lines.entry((after, ordinal)).or_insert_with(|| line.clone());
                    assert_eq!(*there, line, "j5: a line is the same at every replay");
                }
                Write::Local(Local::Post {
                    source: Source::Message(number),
                    ..
                }) => {
                    assert!(lasting.posts.insert(number.0), "a message is posted once");
                }
                Write::Local(Local::CancelChild { number, .. }) => {
                    if let Some(child) = lasting.children.get_mut(&number.0)
                        && *child == Child::Running
                    {
                        *child = Child::Cancelled;
                    }
                }
                Write::Local(Local::Reserve { bound, limit, .. }) => lasting.day.reserve(bound, limit).unwrap(),
                Write::Local(Local::Settle { reserved, spent, .. }) => lasting.day.settle(reserved, spent),
                Write::Local(Local::SetStatus(status)) => lasting.paused = status == Status::Paused,
                Write::Local(Local::TakeMail(id)) => {
                    lasting.mail.remove(&id);
                }
                Write::Local(_) => {}
            }
        }
    }

    /// The process dies: what was under way may have taken place or not.
    fn lose(&mut self, lasting: &mut Lasting, choices: &mut Choices) {
        for ticket in self.effects.drain(..) {
            if matches!(ticket.function().kind(), Kind::FileChange { .. }) && choices.pick(2) == 1 {
                take_effect(lasting, &ticket, false);
            }
        }
    }
}

fn needs_help(waits: &[(Number, Wait)]) -> bool {
    waits
        .iter()
        .any(|(_, wait)| !matches!(wait, Wait::Timer | Wait::Skill(_)))
}

/// Changes the world as a real performer would (rule R3 for appends), and answers differently each time, so that a repeated answer shows.
fn take_effect(lasting: &mut Lasting, ticket: &Ticket, answers: bool) -> Ended {
    let number = ticket.number().0;
    if ticket.function().name() == "files.append" {
        let measured: usize = ticket.measured().expect("an append is measured first").read().unwrap();
        let there = lasting.file.len();
        if there == measured {
            lasting.file.push(number);
        } else if !(ticket.in_doubt() && there == measured + 1 && lasting.file[measured] == number) {
            return Ended::InDoubt("somebody else changed the file".to_owned());
        }
    }
    let times = if answers { lasting.performed[&number] } else { 0 };
    let outcome = Outcome::Ok(Payload::of(&format!("{number} performed {times}")));
    Ended::Returned {
        outcome,
        spent: None,
        again: None,
    }
}

fn started() -> Record {
    let run = RunId::parse("01jd0000000000000000000000").unwrap();
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
        limits: RunLimits {
            budget: Cost {
                calls: 100,
                tokens: 1_000_000,
                microdollars: 0,
            },
            ..RunLimits::default()
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
