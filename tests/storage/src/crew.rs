//! Drives runs in a journal: the real machine, guests that follow a script, a world that answers everything, and people who say whatever is waited for.
//!
//! It is one thread, so that the same journal is given the same things in the same order. Where the journal says that storage fails, whoever asked asks again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use futures::executor::block_on;
use skillhost_core::budget::Cost;
use skillhost_core::calls::skills::Launched;
use skillhost_core::effect::{Function, Kind};
use skillhost_core::entry::{Caller, Entry, Limits, Provider, SEMANTICS, Started};
use skillhost_core::id::{Digest, LaunchId, Number, RunId, Seq, SignalName, SkillName, WorkerId};
use skillhost_core::machine::{
    Act, Action, Command, Decision, Delivery, Ended, Event, Machine, Slice, Status, Stop, Ticket, Wait,
};
use skillhost_core::outcome::Outcome;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_journal::{Created, Journal, JournalError, NewRun, RunFilter, RunWriter, SqliteJournal, Taken};

use crate::ledger::{Fact, Ledger};
use crate::program::{Guest, Program};

/// How often something is asked for again while storage fails.
const TRIES_MAX: u32 = 200;

/// How many things may happen until all runs are over.
const STEPS_MAX: u32 = 20_000;

/// How often an attempt at one run may end because the journal refuses it.
const LOST_MAX: u32 = 50;

/// A promise that was broken, in words.
pub(crate) type Broken = String;

/// Whoever drives the runs of one journal.
pub(crate) struct Crew {
    pub(crate) journal: Arc<SqliteJournal>,
    pub(crate) ledger: Ledger,
    pub(crate) bundle: Digest,
    programs: Arc<Vec<Arc<Program>>>,
    attempts: BTreeMap<RunId, Attempt>,
    /// How often each call was performed.
    performed: BTreeMap<(RunId, Number), u32>,
    /// What answers are told apart by, of this crew and another.
    name: String,
    pub(crate) now: Timestamp,
    lost: u32,
}

/// A run that is being driven.
struct Attempt {
    run: RunId,
    machine: Machine,
    guest: Guest<Arc<Program>>,
    writer: RunWriter,
    epoch: skillhost_core::id::Epoch,
    barrier: Option<Seq>,
    tickets: VecDeque<(bool, Ticket)>,
    aborted: BTreeSet<Number>,
    alarm: Option<Timestamp>,
    grace: bool,
    idle: Option<(bool, Vec<(Number, Wait)>)>,
    is_over: bool,
}

/// Why an attempt cannot go on.
enum Failed {
    /// The journal refused what it appended: another may go on.
    Refused(String),
    Broken(Broken),
}

impl From<Broken> for Failed {
    fn from(what: Broken) -> Self {
        Self::Broken(what)
    }
}

/// Asks until storage does it.
pub(crate) fn insist<T>(what: &str, mut ask: impl FnMut() -> Result<T, JournalError>) -> Result<T, Broken> {
    let mut last = String::new();
    for _ in 0..TRIES_MAX {
        match ask() {
            Ok(value) => return Ok(value),
            Err(JournalError::Storage { source, .. }) => last = source.to_string(),
            Err(other) => return Err(format!("{what}: {other}")),
        }
    }
    Err(format!("{what}: storage does not recover: {last}"))
}

/// Returns what a run is started with: its program, and the step to begin at.
pub(crate) fn started(run: &RunId, program: usize, bundle: Digest, caller: Option<Caller>) -> Started {
    let launch = match &caller {
        Some(caller) => LaunchId::of_call(&caller.run, caller.number),
        None => LaunchId::parse(run.as_str()).expect("a run's id is a launch id"),
    };
    Started {
        run: run.clone(),
        launch,
        skill: SkillName::parse(&format!("scripted-{program}")).expect("a name"),
        input: Payload::of(&0),
        bundle,
        component: Digest::of(b"component"),
        seed: Digest::of(run.as_str().as_bytes()),
        zone: "UTC".to_owned(),
        zone_offsets: Vec::new(),
        mounts: Vec::new(),
        limits: Limits::default(),
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
        caller,
        skills_folder: None,
        grants: Default::default(),
    }
}

/// Returns a run's id.
pub(crate) fn run_id(number: u64) -> RunId {
    RunId::parse(&format!("01jd{number:022}")).expect("an id")
}

impl Crew {
    pub(crate) fn new(
        journal: SqliteJournal,
        ledger: Ledger,
        programs: &Arc<Vec<Arc<Program>>>,
        bundle: Digest,
        name: &str,
    ) -> Self {
        Self {
            journal: Arc::new(journal),
            ledger,
            bundle,
            programs: Arc::clone(programs),
            attempts: BTreeMap::new(),
            performed: BTreeMap::new(),
            name: name.to_owned(),
            now: Timestamp(1_700_000_000_000_000),
            lost: 0,
        }
    }

    /// Launches a run.
    pub(crate) fn launch(&mut self, number: u64, program: usize, caller: Option<Caller>) -> Result<RunId, Broken> {
        let run = run_id(number);
        let started = started(&run, program, self.bundle, caller);
        if !self.ledger.appended.contains_key(&run) {
            let entry = Entry::Started(Box::new(started.clone()));
            self.ledger.making(&run, entry, self.now);
        }
        let new = NewRun::first(started, self.now, None);
        let created = insist("launch", || self.journal.create_run(new.clone()))?;
        let run = match created {
            Created::New => run,
            Created::Existing(row) => row.run,
        };
        self.ledger.said(Fact::Entries(run.clone(), 1));
        Ok(run)
    }

    /// Leaves a command for a run.
    pub(crate) fn say(&mut self, run: &RunId, command: &Command) -> Result<(), Broken> {
        let posted = insist_on_mail(|| self.journal.post_mail(run, self.now, command))?;
        if let Some(id) = posted {
            self.ledger.said(Fact::Mail(run.clone(), id));
        }
        Ok(())
    }

    /// Returns the runs that are not over.
    pub(crate) fn open_runs(&self) -> Result<Vec<RunId>, Broken> {
        let rows = insist("runs", || self.journal.runs(&RunFilter::default()))?;
        let open = rows.into_iter().rev().filter(|row| !row.status.is_final());
        Ok(open.map(|row| row.run).collect())
    }

    /// Drives until all runs are over.
    pub(crate) fn finish_all(&mut self) -> Result<(), Broken> {
        for step in 0..STEPS_MAX {
            let open = self.open_runs()?;
            if open.is_empty() {
                return Ok(());
            }
            // Each goes as far as it can, and the next time they begin with another.
            let first = step as usize % open.len();
            for run in open[first..].iter().chain(&open[..first]) {
                self.step(run)?;
            }
        }
        let open = self.open_runs()?;
        let stand = open.iter().map(|run| {
            let (row, waits) = (self.journal.run(run), self.journal.waits(run));
            format!("{run}: {:?}, waits {waits:?}", row.map(|row| (row.status, row.entries)))
        });
        Err(format!("runs do not end: {}", stand.collect::<Vec<_>>().join("; ")))
    }

    /// Forgets all attempts, as a process that ends does; what they appended is left to the journal.
    pub(crate) fn drop_attempts(&mut self) {
        self.attempts.clear();
    }

    /// Has one thing happen in a run, if there is one.
    pub(crate) fn step(&mut self, run: &RunId) -> Result<(), Broken> {
        self.now = Timestamp(self.now.0 + 3_000);
        let mut attempt = match self.attempts.remove(run) {
            Some(attempt) => attempt,
            None => match self.begin(run) {
                Ok(Some(attempt)) => attempt,
                Ok(None) => return Ok(()),
                Err(failed) => return self.lose(run, failed),
            },
        };
        match self.go_on(&mut attempt) {
            Ok(()) if attempt.is_over => {
                let epoch = attempt.epoch;
                insist("release", || self.journal.release(run, epoch))?;
                self.ledger.said(Fact::Change);
            }
            Ok(()) => drop(self.attempts.insert(run.clone(), attempt)),
            Err(failed) => self.lose(run, failed)?,
        }
        Ok(())
    }

    fn lose(&mut self, run: &RunId, failed: Failed) -> Result<(), Broken> {
        match failed {
            Failed::Broken(what) => Err(format!("run {run}: {what}")),
            Failed::Refused(why) if self.lost > LOST_MAX => Err(format!("run {run} is refused for ever: {why}")),
            Failed::Refused(_) => {
                self.lost += 1;
                Ok(())
            }
        }
    }

    /// Takes a run, and replays what is recorded of it.
    fn begin(&mut self, run: &RunId) -> Result<Option<Attempt>, Failed> {
        let row = insist("run", || self.journal.run(run))?;
        if row.status.is_final() {
            return Ok(None);
        }
        let worker = WorkerId::parse(&self.name).expect("a name");
        let mut taken = insist("claim", || self.journal.claim(run, &worker, &row.lease()))?;
        // A claim that was not answered may have held.
        while let Taken::Changed(lease) = taken {
            taken = insist("claim", || self.journal.claim(run, &worker, &lease))?;
        }
        let Taken::At(epoch) = taken else {
            unreachable!("the loop ends so")
        };
        self.ledger.said(Fact::Held(run.clone(), epoch));
        let records = insist("records", || self.journal.all_records(run))?;
        self.ledger.begins(run, records.len());
        let Ok(started) = Machine::started(&records).cloned() else {
            return Err(Failed::Broken("its journal has no beginning".to_owned()));
        };
        let program = started.skill.as_str().trim_start_matches("scripted-").parse::<usize>();
        let program = Arc::clone(&self.programs[program.expect("runs here are made here")]);
        let step = started.input.read::<usize>().expect("runs here are made here");
        let next = Seq(records.len() as u64);
        let machine = match Machine::new(records) {
            Ok(machine) => machine.paused(row.status == Status::Paused),
            Err(error) => return Err(Failed::Broken(format!("it cannot be replayed: {error}"))),
        };
        // Room for a few skills that are called, each with a quarter of what its caller has left; not for many.
        let day = Cost {
            calls: 1_000,
            tokens: 3_000_000,
            microdollars: 20_000_000,
        };
        let mut attempt = Attempt {
            run: run.clone(),
            machine: machine.with_day(Some(day)),
            guest: Guest::at(program, step),
            writer: self.journal.writer(run, epoch, next),
            epoch,
            barrier: None,
            tickets: VecDeque::new(),
            aborted: BTreeSet::new(),
            alarm: None,
            grace: false,
            idle: None,
            is_over: false,
        };
        let mail = insist("mail", || self.journal.mail(run))?;
        self.tell(&mut attempt, Event::Mail(mail))?;
        let slice = converse(attempt.guest.run());
        self.tell(&mut attempt, Event::Guest(slice))?;
        Ok(Some(attempt))
    }

    /// Has one thing happen.
    fn go_on(&mut self, attempt: &mut Attempt) -> Result<(), Failed> {
        if let Some(seq) = attempt.barrier.take() {
            let durable = block_on(attempt.writer.barrier(seq));
            durable.map_err(|error| Failed::Refused(error.to_string()))?;
            self.ledger.said(Fact::Entries(attempt.run.clone(), seq.0 + 1));
            let news = attempt.writer.take_day_news();
            if !news.is_empty() {
                self.tell(attempt, Event::Day(news))?;
            }
            return self.tell(attempt, Event::Durable(seq));
        }
        if let Some((is_measure, ticket)) = attempt.tickets.pop_front() {
            let event = match is_measure {
                true => self.measure(&ticket)?,
                false => self.perform(attempt, &ticket),
            };
            return self.tell(attempt, event);
        }
        if attempt.grace {
            attempt.grace = false;
            return self.tell(attempt, Event::GraceOver);
        }
        let mail = insist("mail", || self.journal.mail(&attempt.run))?;
        let idle = attempt.idle.clone();
        if !mail.is_empty() {
            self.tell(attempt, Event::Mail(mail))?;
            if attempt.idle != idle || attempt.barrier.is_some() || attempt.is_over {
                return Ok(());
            }
        }
        if let Some(at) = attempt.alarm.filter(|at| *at <= self.now) {
            // What comes later than this is too late.
            attempt.alarm = attempt.alarm.filter(|alarm| *alarm > at);
            return self.tell(attempt, Event::Alarm);
        }
        match idle {
            Some((paused, waits)) => self.help(attempt, paused, &waits),
            None => Ok(()),
        }
    }

    /// Somebody says what a run waits for, or it is time.
    fn help(&mut self, attempt: &mut Attempt, paused: bool, waits: &[(Number, Wait)]) -> Result<(), Failed> {
        let run = attempt.run.clone();
        if paused {
            return Ok(self.say(&run, &Command::Resume { by: None })?);
        }
        for (number, wait) in waits {
            let number = *number;
            match wait {
                Wait::Timer => {}
                Wait::Skill(child) => self.step(&child.clone())?,
                Wait::Event(name) => self.say(&run, &event(name, number))?,
                Wait::Question(_) => {
                    let value = Payload::of("answered");
                    self.say(
                        &run,
                        &Command::Answer {
                            number,
                            value,
                            by: None,
                        },
                    )?;
                }
                Wait::Decision => {
                    let decision = match number.0 % 3 {
                        0 => Decision::Redo,
                        1 => Decision::Skip,
                        _ => Decision::Answer(Payload::of("by hand")),
                    };
                    let decided = Command::Decide {
                        number,
                        decision,
                        by: None,
                    };
                    self.say(&run, &decided)?;
                }
            }
        }
        if let Some(at) = attempt
            .alarm
            .filter(|_| waits.iter().all(|(_, wait)| *wait == Wait::Timer))
        {
            attempt.alarm = None;
            self.now = self.now.max(at);
            return self.tell(attempt, Event::Alarm);
        }
        Ok(())
    }

    fn measure(&mut self, ticket: &Ticket) -> Result<Event, Failed> {
        let number = ticket.number();
        if ticket.function().kind() != Kind::Skill {
            return Ok(Event::Measured(number, Ok(Payload::of(&7))));
        }
        let caller = Caller {
            run: ticket.run().clone(),
            number,
            depth: 1,
            before: Cost::ZERO,
        };
        // Whoever launches for the call again finds what was launched.
        let launch = Digest::of(format!("{}.{number}", ticket.run()).as_bytes());
        let id =
            1_000_000 + u64::from_be_bytes(launch.as_bytes()[..8].try_into().expect("eight bytes")) % 1_000_000_000;
        let run = self.launch(id, 0, Some(caller))?;
        Ok(Event::Measured(number, Ok(Payload::of(&Launched { run }))))
    }

    /// Answers differently each time, so that an answer which is asked for again shows.
    fn perform(&mut self, attempt: &mut Attempt, ticket: &Ticket) -> Event {
        let number = ticket.number();
        if attempt.aborted.remove(&number) {
            return Event::Ended(number, Ended::Aborted);
        }
        let times = self.performed.entry((attempt.run.clone(), number)).or_default();
        *times += 1;
        let answer = format!("{number} performed {times} by {}", self.name);
        // Some are long, and lie apart.
        let answer = match number.0 % 4 {
            2 => answer.repeat(60),
            _ => answer,
        };
        let spent = ticket.reserved().map(|reserved| Cost {
            calls: 1,
            tokens: reserved.tokens / 2,
            microdollars: 0,
        });
        Event::Ended(
            number,
            Ended::Returned {
                outcome: Outcome::Ok(Payload::of(&answer)),
                spent,
                again: None,
            },
        )
    }

    fn tell(&mut self, attempt: &mut Attempt, event: Event) -> Result<(), Failed> {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            if !matches!(event, Event::Mail(_)) {
                attempt.idle = None;
            }
            for action in attempt.machine.handle(self.now, event) {
                match action {
                    Action::Write(writes) => {
                        self.ledger.appending(&attempt.run, &writes);
                        let appended = attempt.writer.append(writes);
                        appended.map_err(|error| Failed::Refused(error.to_string()))?;
                    }
                    Action::Read(_) => unreachable!("the whole journal was given"),
                    Action::Barrier(seq) => attempt.barrier = Some(seq),
                    Action::Alarm(at) => attempt.alarm = Some(at),
                    Action::Grace(_) => attempt.grace = true,
                    Action::Idle(idle) => attempt.idle = Some((idle.paused, idle.waits)),
                    Action::Abort(number) => drop(attempt.aborted.insert(number)),
                    Action::Measure(ticket) => attempt.tickets.push_back((true, ticket)),
                    Action::Perform(ticket) => attempt.tickets.push_back((false, ticket)),
                    Action::Deliver(delivery) => next = Some(deliver(attempt, delivery)),
                    Action::Stop(Stop::Finished(_)) => attempt.is_over = true,
                    Action::Stop(stop) => return Err(Failed::Broken(format!("the attempt stopped: {stop:?}"))),
                }
            }
        }
        Ok(())
    }
}

fn deliver(attempt: &mut Attempt, delivery: Delivery) -> Event {
    Event::Guest(converse(attempt.guest.deliver(delivery)))
}

fn event(name: &SignalName, number: Number) -> Command {
    Command::Event {
        name: name.clone(),
        value: Payload::of(&format!("event {number}")),
        by: None,
    }
}

/// Posts until storage takes it; what the run does not want any more, because another said it first, is no failure.
fn insist_on_mail<T>(mut ask: impl FnMut() -> Result<T, JournalError>) -> Result<Option<T>, Broken> {
    insist("mail", || match ask() {
        Ok(value) => Ok(Some(value)),
        Err(JournalError::Over { .. } | JournalError::Answered { .. } | JournalError::QuestionClosed { .. }) => {
            Ok(None)
        }
        Err(error) => Err(error),
    })
}

/// Makes conversations of what models are asked, each longer than the one before: the messages of those are kept apart.
fn converse(mut slice: Slice) -> Slice {
    for act in &mut slice.acts {
        let Act::Start(call) = act else { continue };
        if call.function != Function::MODEL_COMPLETE {
            continue;
        }
        call.bound = Some(Cost {
            calls: 1,
            tokens: 100,
            microdollars: 0,
        });
        let seen = call.request.as_str().to_owned();
        let messages = seen.as_bytes().chunks(120).map(String::from_utf8_lossy);
        let messages: Vec<_> = messages
            .map(|text| serde_json::json!({ "role": "user", "content": [{ "text": text }] }))
            .collect();
        call.request = Payload::of(&serde_json::json!({ "model": "haiku", "messages": messages }));
    }
    slice
}
