//! One attempt: the loop between the guest, the machine and the played world, until the run is over or killed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use skillhost_core::calls::by_hand;
use skillhost_core::calls::signals::Question;
use skillhost_core::calls::skills::Launched;
use skillhost_core::effect::{Function, Kind};
use skillhost_core::entry::{Called, Entry, Started};
use skillhost_core::id::{Number, Seq};
use skillhost_core::machine::{
    Action, Command, Decision, Delivery, Ended, Event, Idle, Machine, Slice, Stop, Ticket, Wait, Write,
};
use skillhost_core::outcome::Outcome;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_effects::files::{self, Mounts};
use skillhost_effects::{model, timed_out};
use skillhost_runtime::{BundleFiles, Guest, GuestStart};

use super::world::World;
use super::{Curtain, MISPLAYED, Moment, PERFORMANCE, RECORDS_MAX, Scenario, Stage, StageError, UNPLAYED};
use crate::driver::check_result;
use crate::schema::Schema;

/// One attempt at a played run.
pub(super) struct Attempt<'a> {
    stage: &'a Stage<'a>,
    scenario: &'a Scenario,
    world: &'a mut World,
    machine: Machine,
    guest: Option<Guest>,
    provider: model::Provider,
    mounts: Mounts,
    /// What is written and not durable: a kill loses it.
    queued: Vec<Write>,
    /// What is going to happen, by time and then in the order in which it was begun.
    agenda: BTreeMap<(Timestamp, u64), Planned>,
    begun: u64,
    alarm: Option<Timestamp>,
    /// What it waited for when it last only waited.
    waits: Vec<(Number, Wait)>,
    /// The calls in doubt about which somebody is going to decide.
    doubts: BTreeSet<Number>,
}

/// Something that is going to happen.
enum Planned {
    Event(Event),
    /// Somebody decides about a call in doubt.
    Decision(Number),
}

/// What follows from an event.
enum Step {
    /// Something else has to happen first.
    Wait,
    Deliver(Delivery),
    Idle(Idle),
    /// `None` if the run was killed.
    End(Option<Curtain>),
}

/// Returns the folders that a played run may use, each of its own in one that is the case's.
fn mounts(started: &Started, folder: &Path, files: Arc<BundleFiles>) -> Mounts {
    let mounts = Mounts::new(folder.join(files::RUN), files as Arc<_>).with_data(folder.join(files::DATA));
    let given = started
        .mounts
        .iter()
        .filter(|mount| !files::OWN.contains(&&*mount.name));
    given.fold(mounts, |mounts, mount| {
        let granted = mounts.grant(&mount.name, folder.join(&mount.name), mount.writable);
        granted.expect("a case was checked: its mounts have names of their own")
    })
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        stage: &'a Stage<'a>,
        scenario: &'a Scenario,
        folder: &Path,
        world: &'a mut World,
    ) -> Result<Self, StageError> {
        let started = &scenario.started;
        let script = scenario.script.as_deref();
        let provider = stage.hub.reopen(&started.provider, stage.settings, script)?;
        let files = Arc::clone(&stage.pinned.files);
        let start = GuestStart::of(started, scenario.at, Arc::clone(&files));
        let attempt = Self {
            machine: Machine::new(world.records.clone())?,
            guest: Some(stage.pinned.component.guest(start)),
            provider,
            mounts: mounts(started, folder, files),
            queued: Vec::new(),
            agenda: BTreeMap::new(),
            begun: 0,
            alarm: None,
            waits: Vec::new(),
            doubts: BTreeSet::new(),
            stage,
            scenario,
            world,
        };
        for record in &attempt.world.records {
            if let Entry::Called(called) = &record.entry {
                attempt.note(called);
            }
        }
        Ok(attempt)
    }

    /// Plays until the run is over; `None` if it is killed.
    pub(super) async fn run(mut self) -> Option<Curtain> {
        let mut guest = self.guest.take().expect("an attempt begins with its guest");
        let mail = self.world.mail();
        if let Step::End(curtain) = self.tell(Event::Mail(mail)).await {
            return curtain;
        }
        let mut slice = guest.start().await;
        loop {
            check_result(self.stage.check_result, &mut slice);
            match self.after(slice).await {
                Ok(delivery) => slice = guest.deliver(delivery).await,
                Err(curtain) => return curtain,
            }
        }
    }

    /// Takes in what the guest did, and lets things happen until there is something for it.
    async fn after(&mut self, slice: Slice) -> Result<Delivery, Option<Curtain>> {
        let mut step = self.tell(Event::Guest(slice)).await;
        loop {
            step = match step {
                Step::Deliver(delivery) => return Ok(delivery),
                Step::End(curtain) => return Err(curtain),
                _ if self.world.records.len() + self.queued.len() > RECORDS_MAX => {
                    return Err(Some(Curtain::Endless));
                }
                Step::Wait => self.next().await,
                Step::Idle(idle) => {
                    self.commit();
                    self.waits = idle.waits;
                    self.say();
                    self.next().await
                }
            }
        }
    }

    /// Lets the next thing happen, at its time: what was said goes before what is done, and that before a timeout.
    async fn next(&mut self) -> Step {
        let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let mail = self.world.next_mail();
        let next = [mail, planned, self.alarm].into_iter().flatten().min();
        let Some(at) = next else {
            return Step::End(Some(Curtain::Stuck(std::mem::take(&mut self.waits))));
        };
        self.world.now = self.world.now.max(at);
        if mail == next {
            self.world.take_in(self.world.now);
            return self.tell(Event::Mail(self.world.mail())).await;
        }
        if planned != next {
            self.alarm = None;
            return self.tell(Event::Alarm).await;
        }
        let (_, planned) = self.agenda.pop_first().expect("something is planned");
        let event = match planned {
            Planned::Event(event) => event,
            Planned::Decision(number) => {
                self.decide(number);
                Event::Mail(self.world.mail())
            }
        };
        if let Event::Ended(number, _) = &event {
            self.world.arrived(*number);
        }
        self.tell(event).await
    }

    /// Tells the machine what happened, and does what it says.
    async fn tell(&mut self, event: Event) -> Step {
        let mut step = Step::Wait;
        for action in self.machine.handle(self.world.now, event) {
            match action {
                Action::Write(writes) => {
                    if self.write(writes) {
                        return Step::End(None);
                    }
                }
                Action::Read(_) => unreachable!("the whole journal was given"),
                Action::Barrier(seq) => {
                    self.commit();
                    self.plan(self.world.now, Event::Durable(seq));
                }
                Action::Measure(ticket) if ticket.function().kind() == Kind::Skill => {
                    let launched = self.call_skill(&ticket);
                    self.plan(self.world.now, Event::Measured(ticket.number(), Ok(launched)));
                }
                Action::Measure(ticket) => {
                    let measured = self.mounts.measure(&ticket).await;
                    self.plan(self.world.now, Event::Measured(ticket.number(), measured));
                }
                Action::Perform(ticket) => {
                    if self.perform(ticket).await {
                        return Step::End(None);
                    }
                }
                Action::Abort(number) => self.abort(number),
                Action::Alarm(at) => self.alarm = Some(at),
                Action::Grace(time) => self.plan(self.world.now.after(time), Event::GraceOver),
                Action::Deliver(delivery) => step = Step::Deliver(delivery),
                Action::Idle(idle) => step = Step::Idle(idle),
                Action::Stop(stop) => step = Step::End(Some(self.end(stop))),
            }
        }
        step
    }

    fn end(&mut self, stop: Stop) -> Curtain {
        self.commit();
        match stop {
            Stop::Finished(finished) => Curtain::Over(finished.how),
            Stop::Mismatch(mismatch) => Curtain::Mismatch(mismatch),
            Stop::Broken(reason) => Curtain::Broken(reason),
        }
    }

    /// Queues what is written; returns whether the run is killed as soon as it is durable.
    fn write(&mut self, writes: Vec<Write>) -> bool {
        let mut last: Option<Seq> = None;
        for write in &writes {
            if let Write::Entry(record) = write {
                last = Some(record.seq);
                if let Entry::Called(called) = &record.entry {
                    self.note(called);
                }
            }
        }
        self.queued.extend(writes);
        let is_killed = last.is_some_and(|seq| self.world.is_killed_at(Moment::Written(seq)));
        if is_killed {
            self.commit();
        }
        is_killed
    }

    fn commit(&mut self) {
        self.world.keep(std::mem::take(&mut self.queued));
    }

    /// Tells the script of a call, as it counts them.
    fn note(&self, called: &Called) {
        if called.function == Function::MODEL_COMPLETE {
            let label = called.options.label.as_deref();
            self.provider.note(called.number, &called.request, label);
        }
    }

    fn plan(&mut self, at: Timestamp, event: Event) {
        self.plan_any(at, Planned::Event(event));
    }

    fn plan_any(&mut self, at: Timestamp, planned: Planned) {
        self.agenda.insert((at, self.begun), planned);
        self.begun += 1;
    }

    /// Performs a call, whose answer comes in its time; returns whether the run is killed before it or after it.
    async fn perform(&mut self, ticket: Ticket) -> bool {
        let number = ticket.number();
        if self.world.is_killed_at(Moment::Before(number)) {
            return true;
        }
        self.world.begin(&ticket);
        let is_change = matches!(ticket.function().kind(), Kind::FileChange { .. });
        let timeout = ticket.options().timeout().filter(|_| !is_change);
        let (ended, delay) = self.play(ticket).await;
        let takes = delay.max(PERFORMANCE);
        let (ended, takes) = match timeout {
            Some(timeout) if timeout < takes => (timed_out(timeout), timeout),
            _ => (ended, takes),
        };
        if let Ended::Returned { outcome, .. } = &ended {
            self.world.end(number, outcome);
        }
        let at = self.world.arrival(number, self.world.now.after(takes));
        if self.world.is_killed_at(Moment::After(number)) {
            return true;
        }
        self.plan(at.max(self.world.now), Event::Ended(number, ended));
        false
    }

    /// Performs a call: by the scenario, by the script, or really.
    async fn play(&mut self, ticket: Ticket) -> (Ended, Duration) {
        if let Some(place) = self.world.effect(self.scenario, &ticket) {
            return (self.by_scenario(&ticket, place), self.scenario.effects[place].delay);
        }
        if ticket.function() == Function::MODEL_COMPLETE {
            let attempt = self.world.attempt(ticket.number());
            let played = self.provider.play(&ticket, attempt);
            return played.expect("a played run has a script for a provider");
        }
        if ticket.function().name().starts_with("files.") {
            return (self.mounts.perform(ticket).await, Duration::ZERO);
        }
        (unplayed(&ticket), Duration::ZERO)
    }

    /// Plays the launch of another skill, whose answer comes in its time: what the case says of the call.
    fn call_skill(&mut self, ticket: &Ticket) -> Payload {
        let number = ticket.number();
        let (ended, delay) = match self.world.effect(self.scenario, ticket) {
            Some(place) => (self.by_scenario(ticket, place), self.scenario.effects[place].delay),
            None => (unplayed(ticket), Duration::ZERO),
        };
        let Ended::Returned { outcome, .. } = ended else {
            unreachable!("a case says what a call returns")
        };
        self.world
            .calls_skill(number, self.world.now.after(delay.max(PERFORMANCE)), outcome);
        Payload::of(&Launched {
            run: self.scenario.started.run.successor(Timestamp(number.0)),
        })
    }

    fn by_scenario(&self, ticket: &Ticket, place: usize) -> Ended {
        returned(match &self.scenario.effects[place].outcome {
            Err(fault) => fault.clone().into(),
            Ok(value) => match by_hand(ticket.function(), value.clone(), None) {
                Ok(payload) => Outcome::Ok(payload),
                Err(reason) => {
                    let message = format!("what the case says it answers does not fit: {reason}");
                    Outcome::fault(MISPLAYED, message)
                }
            },
        })
    }

    /// Ends a performance, if its answer has not come yet.
    fn abort(&mut self, number: Number) {
        let is_its_end =
            |planned: &Planned| matches!(planned, Planned::Event(Event::Ended(ended, _)) if *ended == number);
        let found = self.agenda.iter().find(|(_, planned)| is_its_end(planned));
        if let Some(key) = found.map(|(key, _)| *key) {
            self.agenda.remove(&key);
            self.world.forget_arrival(number);
            self.plan(self.world.now, Event::Ended(number, Ended::Aborted));
        }
    }

    /// Sees to it that what the run waits for is said, as far as anybody would.
    fn say(&mut self) {
        for (number, wait) in self.waits.clone() {
            match wait {
                Wait::Timer | Wait::Event(_) | Wait::Skill(_) => {}
                Wait::Question(_) => drop(self.answer(number)),
                Wait::Decision => {
                    if self.doubts.insert(number) {
                        let at = self.world.arrival(number, self.world.now);
                        self.plan_any(at, Planned::Decision(number));
                    }
                }
            }
        }
    }

    /// Has a question answered, if anybody would.
    fn answer(&mut self, number: Number) -> Option<()> {
        if self.world.is_answered(number) {
            return None;
        }
        let question: Question = self.called(number)?.request.read().ok()?;
        let place = self.world.answer(self.scenario, number, &question.name)?;
        let answer = &self.scenario.answers[place];
        let value = answer.value.as_ref()?;
        let schema = question.schema.map(Schema::of).transpose().ok().flatten();
        if let Some(Err(mistakes)) = schema.map(|schema| schema.check(value)) {
            self.world.misfit(place, mistakes.join("; "));
            return None;
        }
        let at = self.world.now.after(answer.delay);
        let value = Payload::of(value);
        self.world.comes(
            at,
            Command::Answer {
                number,
                value,
                by: None,
            },
        );
        Some(())
    }

    /// Decides about a call in doubt as somebody does who knows what was done, when its answer would have come.
    fn decide(&mut self, number: Number) {
        let decision = match self.world.done(number) {
            Some(Outcome::Ok(answer)) => Decision::Answer(answer.clone()),
            _ => Decision::Redo,
        };
        self.world.forget_arrival(number);
        let decide = Command::Decide {
            number,
            decision,
            by: None,
        };
        self.world.comes(self.world.now, decide);
        self.world.take_in(self.world.now);
    }

    fn called(&self, number: Number) -> Option<&Called> {
        self.world.records.iter().find_map(|record| match &record.entry {
            Entry::Called(called) if called.number == number => Some(&**called),
            _ => None,
        })
    }
}

fn unplayed(ticket: &Ticket) -> Ended {
    let message = format!("the case does not say what `{}` answers", ticket.function());
    returned(Outcome::fault(UNPLAYED, message))
}

fn returned(outcome: Outcome) -> Ended {
    Ended::Returned {
        outcome,
        spent: None,
        again: None,
    }
}
