//! One attempt: the loop between the guest, the machine, and everything that answers them.

use std::borrow::Cow;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use skillhost_core::effect::Kind;
use skillhost_core::entry::{Entry, Failure};
use skillhost_core::id::{Number, Seq};
use skillhost_core::machine::{
    Action, Delivery, End, Event, Idle, Line, Machine, Mail, Mismatch, Slice, Stop, Wait, Write,
};
use skillhost_core::outcome::Outcome;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_effects::{Progress, Watch};
use skillhost_journal::{Cursor, Health, Journal, RunWriter, failpoint};
use tokio::sync::{mpsc, watch};

use super::flying::Flying;
use super::kin::Kin;
use super::mailbox::{Bell, Mailbox};
use super::observe::{Observer, Seen};
use super::outside::{Outside, Performer, Player};
use super::{DriveError, Driven, Until, note_calls};
use crate::{failpoints, zone};

/// The longest sleep before the wall clock is read again: it may have been set meanwhile.
const LOOK_AT_CLOCK_EVERY: Duration = Duration::from_secs(30);

/// What an attempt is made of.
pub(super) struct Parts<'a> {
    pub(super) machine: Machine,
    /// Where the journal is read on that is replayed.
    pub(super) past: Cursor,
    /// What the mailbox held when the run was seen.
    pub(super) mail: Vec<Mail>,
    pub(super) writer: RunWriter,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) outside: Arc<dyn Outside>,
    pub(super) effects: Arc<dyn Performer>,
    /// The user's zone, by name.
    pub(super) zone: String,
    pub(super) until: Until,
    pub(super) bell: Bell,
    pub(super) observer: &'a mut dyn Observer,
    pub(super) check_result: &'a (dyn Fn(&Payload) -> Result<(), String> + Sync),
    pub(super) kin: Arc<dyn Kin>,
}

/// How an attempt ended.
pub(super) enum Stopped {
    Driven(Driven),
    Mismatch(Box<Mismatch>),
    Broken(String),
}

/// Everything of an attempt but the guest.
pub(super) struct Shell<'a> {
    parts: Parts<'a>,
    flying: Flying,
    mailbox: Mailbox,
    alarm: Option<Timestamp>,
    /// When the time is over that a cancelled run has, by [`Outside::uptime`] (rule C3).
    grace: Option<Duration>,
    watch: Watch,
    progress: mpsc::UnboundedReceiver<(Number, Progress)>,
    health: watch::Receiver<Health>,
    was_live: bool,
    /// What the guest holds at most.
    memory_bytes: u64,
    /// How long it has computed in this attempt.
    computed_ms: u64,
}

/// What follows from an event.
enum Step {
    /// Something else has to happen first.
    Wait,
    Deliver(Delivery),
    Idle(Idle),
    Stop(Stop),
}

/// What came of running the guest.
enum Ran {
    Slice(Slice),
    Stop(Stop),
}

/// What happens beside the guest.
enum Beside {
    Event(Event),
    Progress(Number, Progress),
    Health,
    Mail,
    /// There is no room for a run that only waits.
    Leave,
}

impl<'a> Shell<'a> {
    pub(super) fn new(parts: Parts<'a>) -> Result<Self, DriveError> {
        let (sender, progress) = mpsc::unbounded_channel();
        let watch = Watch::new(move |number, progress| {
            // Whoever watched may be gone already.
            sender.send((number, progress)).ok();
        });
        let (journal, run) = (Arc::clone(&parts.journal), parts.writer.run().clone());
        let mailbox = Mailbox::new(journal, Arc::clone(&parts.outside), run, parts.bell.clone());
        let health = parts.journal.health();
        Ok(Self {
            parts,
            flying: Flying::default(),
            mailbox,
            alarm: None,
            grace: None,
            watch,
            progress,
            health,
            was_live: false,
            memory_bytes: 0,
            computed_ms: 0,
        })
    }

    /// Runs the guest from the beginning, as far as it goes.
    pub(super) async fn run(mut self, mut guest: Box<dyn Player>) -> Result<Stopped, DriveError> {
        // Before anything is parked, what people decided is known (rule R4).
        let seen = std::mem::take(&mut self.parts.mail);
        let mail = self.mailbox.look_first(seen)?;
        self.tell(Event::Mail(mail))?;
        let mut ran = self.beside(guest.start()).await?;
        loop {
            let step = match ran {
                Ran::Stop(stop) => Step::Stop(stop),
                Ran::Slice(slice) => {
                    self.computed_ms = guest.computed_ms();
                    self.after(slice, guest.memory_bytes()).await?
                }
            };
            match step {
                Step::Deliver(delivery) => {
                    failpoint::hit(failpoints::BEFORE_DELIVER);
                    ran = self.beside(guest.deliver(delivery)).await?;
                }
                Step::Idle(idle) => return Ok(Stopped::Driven(Driven::Waiting(idle))),
                Step::Stop(Stop::Finished(finished)) => return Ok(Stopped::Driven(Driven::Finished(finished))),
                Step::Stop(Stop::Mismatch(mismatch)) => return Ok(Stopped::Mismatch(mismatch)),
                Step::Stop(Stop::Broken(reason)) => return Ok(Stopped::Broken(reason)),
                Step::Wait => unreachable!("after a slice comes a delivery or an end"),
            }
        }
    }

    /// Takes in what the guest did, and waits for what it is given next.
    async fn after(&mut self, mut slice: Slice, memory_bytes: u64) -> Result<Step, DriveError> {
        let mut resting = None;
        self.memory_bytes = memory_bytes;
        check_result(self.parts.check_result, &mut slice);
        if let End::Continued(next) = &mut slice.end {
            // Zones may have been changed since the run was launched, which may be years ago.
            next.zone_offsets = zone::offsets_of(&self.parts.zone, self.parts.outside.now());
        }
        let mut step = self.tell(Event::Guest(slice))?;
        loop {
            match step {
                Step::Wait => {}
                Step::Idle(idle) if !self.mailbox.is_draining() && self.stays(&idle) => {
                    // Whoever is told that the run waits looks into the journal for what (rule J2).
                    self.parts.writer.flush().await?;
                    self.parts.observer.on(Seen::Idle(idle.waits.len()));
                    self.tell_awaited(&idle);
                    resting = Some(idle);
                }
                Step::Idle(idle) => return self.leave(idle).await,
                other => {
                    self.wake().await;
                    return Ok(other);
                }
            }
            match self.next().await? {
                Beside::Leave => {
                    return self
                        .leave(resting.take().expect("only who rests is asked to leave"))
                        .await;
                }
                beside => step = self.take(beside)?,
            }
            if resting.is_some() && !self.parts.machine.is_at_rest() {
                resting = None;
                self.wake().await;
            }
        }
    }

    /// Decides whether a run that only waits stays in memory.
    fn stays(&mut self, idle: &Idle) -> bool {
        match &mut self.parts.until {
            Until::Finished => true,
            Until::Waiting { patience } => {
                let now = self.parts.outside.now();
                let is_brief = |(_, wait): &(Number, Wait)| match wait {
                    Wait::Timer => idle.deadline.is_some_and(|deadline| deadline.since(now) <= *patience),
                    // Whoever drives this one drives that one, too.
                    Wait::Skill(_) => true,
                    Wait::Event(_) | Wait::Question(_) | Wait::Decision => false,
                };
                !idle.waits.is_empty() && idle.waits.iter().all(is_brief)
            }
            Until::Evicted(stay) => {
                stay.rest(idle.deadline, self.memory_bytes);
                true
            }
        }
    }

    /// Says which runs are waited for.
    fn tell_awaited(&self, idle: &Idle) {
        for (_, wait) in &idle.waits {
            if let Wait::Skill(child) = wait {
                self.parts.kin.awaits(child);
            }
        }
    }

    /// Takes a slot again if the run rested.
    async fn wake(&mut self) {
        if let Until::Evicted(stay) = &mut self.parts.until {
            stay.wake().await;
        }
    }

    /// Ends the attempt at a run that only waits. What it waits for has to be there when it is gone from here.
    async fn leave(&mut self, idle: Idle) -> Result<Step, DriveError> {
        self.parts.writer.flush().await?;
        Ok(Step::Idle(idle))
    }

    /// Runs the guest, and meanwhile records what arrives: it waits its turn (rule G3).
    async fn beside(&mut self, guest: impl Future<Output = Slice>) -> Result<Ran, DriveError> {
        let mut guest = pin!(guest);
        loop {
            let beside = tokio::select! {
                biased;
                slice = &mut guest => return Ok(Ran::Slice(slice)),
                beside = self.next() => beside?,
            };
            if let Step::Stop(stop) = self.take(beside)? {
                return Ok(Ran::Stop(stop));
            }
        }
    }

    /// Waits for whatever happens next. May be dropped and asked again.
    async fn next(&mut self) -> Result<Beside, DriveError> {
        let (alarm, grace, outside) = (self.alarm, self.grace, self.parts.outside.as_ref());
        tokio::select! {
            biased;
            Some(ended) = self.flying.next(), if !self.flying.is_empty() => Ok(Beside::Event(ended?)),
            () = until_clock_shows(outside, alarm), if alarm.is_some() => {
                self.alarm = None;
                Ok(Beside::Event(Event::Alarm))
            }
            () = until_up_for(outside, grace), if grace.is_some() => {
                self.grace = None;
                Ok(Beside::Event(Event::GraceOver))
            }
            Some((number, progress)) = self.progress.recv() => Ok(Beside::Progress(number, progress)),
            Ok(()) = self.health.changed() => Ok(Beside::Health),
            () = self.mailbox.due() => Ok(Beside::Mail),
            () = asked_to_leave(&self.parts.until) => Ok(Beside::Leave),
        }
    }

    fn take(&mut self, beside: Beside) -> Result<Step, DriveError> {
        match beside {
            // What somebody answered in time goes before the timeout.
            Beside::Event(Event::Alarm) => match self.mailbox.look()? {
                mail if mail.is_empty() => self.tell(Event::Alarm),
                mail => {
                    let by_mail = self.tell(Event::Mail(mail))?;
                    match self.tell(Event::Alarm)? {
                        Step::Wait => Ok(by_mail),
                        by_alarm => Ok(by_alarm),
                    }
                }
            },
            Beside::Event(event @ Event::Ended(..)) => {
                // What it printed comes before its end.
                while let Ok((number, progress)) = self.progress.try_recv() {
                    self.progressed(number, progress)?;
                }
                self.tell(event)
            }
            Beside::Event(event @ Event::Durable(_)) => {
                // What had no room in the day's account is known with its barrier, and is not to be begun.
                let news = self.parts.writer.take_day_news();
                if !news.is_empty() {
                    match self.tell(Event::Day(news))? {
                        Step::Wait => {}
                        // An outcome that is delivered now goes first; what is durable is told with it.
                        step => {
                            return match self.tell(event)? {
                                Step::Wait => Ok(step),
                                other => Ok(other),
                            };
                        }
                    }
                }
                self.tell(event)
            }
            Beside::Event(event) => self.tell(event),
            Beside::Mail if self.mailbox.is_draining() => self.tell(Event::Drain),
            // One that cannot be read now is looked into again: what is under way is not given up for it.
            Beside::Mail => match self.mailbox.look() {
                Ok(mail) if mail.is_empty() => Ok(Step::Wait),
                Ok(mail) => self.tell(Event::Mail(mail)),
                Err(error) => {
                    tracing::warn!("could not look into a mailbox: {error}");
                    self.mailbox.look_again();
                    Ok(Step::Wait)
                }
            },
            Beside::Leave => unreachable!("only who rests is asked to leave"),
            Beside::Progress(number, progress) => self.progressed(number, progress),
            Beside::Health => {
                let health = self.health.borrow_and_update().clone();
                let failing = match &health {
                    Health::Good => None,
                    Health::Failing { message, .. } => Some(Cow::Borrowed(&**message)),
                };
                self.parts.observer.on(Seen::Storage(failing));
                Ok(Step::Wait)
            }
        }
    }

    /// Takes in how a performance goes on. What is printed becomes a line of the run's log, everything else is for whoever watches.
    fn progressed(&mut self, number: Number, progress: Progress) -> Result<Step, DriveError> {
        match progress {
            Progress::Printed { stderr, text } => self.tell(Event::Said(Line::Printed {
                stderr,
                text,
                place: None,
            })),
            progress => {
                self.parts.observer.on(Seen::Performing(number, progress));
                Ok(Step::Wait)
            }
        }
    }

    /// Tells the machine what happened, and does what it says.
    fn tell(&mut self, event: Event) -> Result<Step, DriveError> {
        let (mut step, mut unread) = self.tell_once(event)?;
        while let Some(from) = unread {
            let past = &mut self.parts.past;
            past.go_to(from);
            let records = self.parts.journal.page(self.parts.writer.run(), past)?;
            note_calls(self.parts.effects.as_ref(), &records);
            (step, unread) = self.tell_once(Event::Read(records))?;
        }
        Ok(step)
    }

    /// Does the same, and returns from where on the machine has to be told what the journal holds before it goes on.
    fn tell_once(&mut self, event: Event) -> Result<(Step, Option<Seq>), DriveError> {
        let mut step = Step::Wait;
        let mut unread = None;
        self.parts.machine.computed(self.computed_ms);
        let mut actions = self.parts.machine.handle(self.parts.outside.now(), event);
        for action in actions.drain(..) {
            match action {
                Action::Read(from) => unread = Some(from),
                Action::Write(writes) => self.write(writes)?,
                Action::Barrier(seq) => self.flying.barrier(&self.parts.writer, seq),
                Action::Measure(ticket) if ticket.function().kind() == Kind::Skill => {
                    self.flying.launch(self.parts.effects.as_ref(), ticket);
                }
                Action::Measure(ticket) => self.flying.measure(self.parts.effects.as_ref(), ticket),
                Action::Perform(ticket) => self.flying.perform(self.parts.effects.as_ref(), &self.watch, ticket),
                Action::Abort(number) => self.flying.abort(number),
                Action::Alarm(at) => self.alarm = Some(at),
                Action::Grace(time) => self.grace = Some(self.parts.outside.uptime() + time),
                Action::Deliver(delivery) => {
                    if !self.parts.machine.is_live() {
                        self.parts.observer.on(Seen::Replayed(delivery.number));
                    }
                    step = Step::Deliver(delivery);
                }
                Action::Idle(idle) => step = Step::Idle(idle),
                Action::Stop(stop) => step = Step::Stop(stop),
            }
        }
        self.parts.machine.take_back(actions);
        if self.parts.machine.is_live() && !std::mem::replace(&mut self.was_live, true) {
            self.parts.observer.on(Seen::Live);
        }
        Ok((step, unread))
    }

    fn write(&mut self, writes: Vec<Write>) -> Result<(), DriveError> {
        failpoint::hit(failpoints::BEFORE_WRITE);
        for write in &writes {
            match write {
                Write::Entry(record) => self.show(&record.entry),
                // What is said again at a replay was shown before.
                Write::Line { line, .. } if self.parts.machine.is_live() => {
                    self.parts.observer.on(Seen::Line(Cow::Borrowed(line)));
                }
                Write::Line { .. } | Write::Local(_) => {}
            }
        }
        Ok(self.parts.writer.append(writes)?)
    }

    fn show(&mut self, entry: &Entry) {
        let seen = match entry {
            Entry::Called(called) => {
                self.parts.effects.note(called);
                let label = called.options.label.as_deref().map(Cow::Borrowed);
                Seen::Called {
                    number: called.number,
                    function: called.function,
                    label,
                }
            }
            Entry::Retried(retried) => Seen::Retried {
                number: retried.number,
                why: retried.why,
                fault: retried.fault.as_ref().map(|fault| Cow::Borrowed(fault.code.as_ref())),
            },
            Entry::Returned(returned) => Seen::Returned {
                number: returned.number,
                fault: match &returned.outcome {
                    Outcome::Err(fault) => Some(Cow::Borrowed(fault.code.as_ref())),
                    Outcome::Ok(_) => None,
                },
                tokens: returned.spent.map_or(0, |spent| spent.tokens),
            },
            _ => return,
        };
        self.parts.observer.on(seen);
    }
}

/// Waits until a run that rests is asked to leave memory.
async fn asked_to_leave(until: &Until) {
    match until {
        Until::Evicted(stay) => stay.asked_to_leave().await,
        Until::Finished | Until::Waiting { .. } => std::future::pending().await,
    }
}

/// Waits until the wall clock shows this time, though it may be set meanwhile.
async fn until_clock_shows(outside: &dyn Outside, at: Option<Timestamp>) {
    let Some(at) = at else { return };
    loop {
        let left = at.since(outside.now());
        if left.is_zero() {
            return;
        }
        outside.sleep(left.min(LOOK_AT_CLOCK_EVERY)).await;
    }
}

/// Waits until the process has been there for so long.
async fn until_up_for(outside: &dyn Outside, uptime: Option<Duration>) {
    let left = uptime.unwrap_or_default().saturating_sub(outside.uptime());
    outside.sleep(left).await;
}

/// Makes a result that does not fit the skill's own schema a failure of the run.
pub(crate) fn check_result(check: &(dyn Fn(&Payload) -> Result<(), String> + Sync), slice: &mut Slice) {
    let End::Finished(Ok(result)) = &slice.end else { return };
    if let Err(message) = check(result) {
        slice.end = End::Finished(Err(Failure {
            code: "result".to_owned(),
            message: format!("the skill's result does not fit its own output schema: {message}"),
            details: Some(result.clone()),
            backtrace: None,
        }));
    }
}
