//! What a run waits for: times, events, answers, decisions; and the mailbox (rules G7, P1-P3, R4).

use super::event::{Command, Decision, Mail};
use super::flight::Phase;
use super::{Guest, Local, Machine, Source, Status, Wait};
use crate::calls::run::{NOTES_MAX, Note};
use crate::calls::signals::{Answer, Question};
use crate::effect::Kind;
use crate::entry::{By, Entry, Why};
use crate::id::{MailId, Number, SignalName};
use crate::outcome::{Fault, Outcome};
use crate::payload::Payload;
use crate::planted::{self, Bug};
use crate::time::Timestamp;

/// Why a call is left to a person.
pub(super) enum Doubt {
    /// It may have been performed; this is why nobody can say.
    Begun(String),
    /// It was not, and must not be performed again and again while its skill is in development.
    Unbegun,
}

impl Doubt {
    fn title(&self, what: &str) -> String {
        match self {
            Self::Begun(_) => format!("{what} is in doubt"),
            Self::Unbegun => format!("{what} asks first"),
        }
    }

    fn reason(self) -> String {
        match self {
            Self::Begun(reason) => reason,
            Self::Unbegun => "it must not be done twice, and a skill in development is run again and again".to_owned(),
        }
    }
}

impl Machine {
    pub(super) fn open_wait(&mut self, number: Number) {
        self.flights.set_phase(number, Phase::Waiting);
        let Some(flight) = self.flights.get(number) else {
            return;
        };
        let wait = flight.wait().expect("a wait waits for something");
        let deadline = flight.called.due.map(|due| due.deadline);
        let question = match flight.called.function.kind() {
            Kind::Question => flight.called.request.read::<Question>().ok(),
            _ => None,
        };
        self.local(Local::OpenWait { number, wait, deadline });
        if let Some(question) = question {
            self.local(Local::Post {
                source: Source::Question(number),
                at: self.now,
                title: question.prompt,
                body: question.details.unwrap_or_default(),
                attachments: question.attachments,
            });
        }
    }

    /// Leaves a call in doubt to a person; other calls go on (rule R4). A decision that is in the mailbox already is taken when nothing waits its turn.
    pub(super) fn park(&mut self, number: Number, doubt: Doubt) {
        self.flights.set_phase(number, Phase::Parked);
        let Some(flight) = self.flights.get(number) else {
            return;
        };
        let what = flight
            .called
            .options
            .label
            .clone()
            .unwrap_or_else(|| flight.called.function.name().to_owned());
        if self.is_decided(number) {
            return;
        }
        self.local(Local::OpenWait {
            number,
            wait: Wait::Decision,
            deadline: None,
        });
        self.local(Local::Post {
            source: Source::Decision(number),
            at: self.now,
            title: doubt.title(&what),
            body: doubt.reason(),
            attachments: Vec::new(),
        });
    }

    /// Returns whether the mailbox holds a decision about a call.
    pub(super) fn is_decided(&self, number: Number) -> bool {
        let about = |mail: &Mail| matches!(mail.command, Command::Decide { number: n, .. } if n == number);
        self.mail.values().any(about)
    }

    /// Answers what is due, but for waits whose answer lies in the mailbox: it came in time, and is taken when it may be (rules P2, P3).
    pub(super) fn pass_deadlines(&mut self) {
        self.alarm = None;
        if !self.live || self.is_held() || self.ending.is_some() {
            return;
        }
        for number in self.flights.due(self.now) {
            if !self.is_answered_by_mail(number) {
                self.pass_deadline(number);
            }
        }
    }

    /// Returns whether the mailbox holds what a call waits for. Events go to the waits of their name in the order of both.
    fn is_answered_by_mail(&self, number: Number) -> bool {
        match self.wait_of(number) {
            Some(Wait::Question(_)) => {
                let about = |mail: &Mail| matches!(mail.command, Command::Answer { number: n, .. } if n == number);
                self.mail.values().any(about)
            }
            Some(Wait::Skill(_)) => {
                let about = |mail: &Mail| matches!(mail.command, Command::Child { number: n, .. } if n == number);
                self.mail.values().any(about)
            }
            Some(Wait::Event(wanted)) => {
                let sent = |mail: &&Mail| matches!(&mail.command, Command::Event { name, .. } if *name == wanted);
                let before = self.flights.waits().map(|(other, _)| other);
                let before = before.take_while(|other| *other < number);
                let before = before.filter(|other| self.wait_of(*other) == Some(Wait::Event(wanted.clone())));
                self.mail.values().filter(sent).count() > before.count()
            }
            _ => false,
        }
    }

    /// Ends a timer, a wait, or the pause before another attempt.
    fn pass_deadline(&mut self, number: Number) {
        let Some(flight) = self.flights.get(number) else {
            return;
        };
        if let Phase::Pausing(pause) = &flight.phase {
            let (fault, spent) = (pause.fault.clone(), pause.spent);
            return self.perform_again(number, Why::Failure, Some(fault), spent);
        }
        let at = self.time_of_answer(number);
        let at = flight.called.due.map_or(at, |due| at.max(due.guest));
        let kind = flight.called.function.kind();
        if kind == Kind::Skill {
            self.cancel_child(number);
        }
        let outcome = match kind {
            Kind::Timer => Outcome::done(),
            _ => Outcome::fault(Fault::TIMEOUT, "nothing came in time"),
        };
        self.answer_at(at, number, outcome, None, By::Effect);
    }

    /// Returns when something is due next without anybody's help.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        if self.is_held() {
            return None;
        }
        let mut deadlines = self.flights.deadlines();
        let next = deadlines.find(|(at, number)| *at > self.now || !self.is_answered_by_mail(*number));
        next.map(|(at, _)| at)
    }

    /// Notes what the mailbox holds. A cancellation becomes an entry at once, and a pause holds from now on; everything else waits until nothing waits its
    /// turn (rules P3, P4).
    pub(super) fn take_in_mail(&mut self, mail: Vec<Mail>) {
        if self.is_continued() {
            return;
        }
        for mail in mail {
            let id = mail.id;
            if self.mail_taken.contains(&id) {
                continue;
            }
            match &mail.command {
                Command::Cancel { reason } => {
                    self.take(id);
                    self.go_on();
                    self.note_cancel(reason.clone());
                }
                Command::Pause { .. } => {
                    self.take(id);
                    self.pause();
                }
                Command::Resume { .. } => {
                    self.take(id);
                    self.go_on();
                    if !self.live {
                        self.say_that_it_is_gone_on_with();
                    }
                }
                _ => {
                    self.mail.insert(id, mail);
                }
            }
        }
    }

    /// Gives the guest the notes that lie in the mailbox, if it has asked for them, and returns whether it has.
    pub(super) fn take_notes(&mut self) -> bool {
        let Some(number) = self.flights.asks_for_notes() else {
            return false;
        };
        let note = |mail: &Mail| match &mail.command {
            Command::Note { message, by } => Some(Note {
                message: message.clone(),
                at: mail.at,
                by: by.clone(),
            }),
            _ => None,
        };
        let notes = self.mail.values().filter_map(|mail| Some((mail.id, note(mail)?)));
        let (ids, notes): (Vec<MailId>, Vec<Note>) = notes.take(NOTES_MAX).unzip();
        for id in ids {
            self.mail.remove(&id);
            self.take(id);
        }
        self.answer(number, Outcome::Ok(Payload::of(&notes)), None, By::Effect);
        true
    }

    /// Nothing is performed, delivered or taken from now on; a cancelled run cannot be paused (rules P4, C4).
    fn pause(&mut self) {
        if self.paused || self.cancel.is_noted() || self.ending.is_some() {
            return;
        }
        self.paused = true;
        self.idle = false;
        // Beside the mail that asked for it: the status is all that there is of a pause.
        self.set_status(Status::Paused);
    }

    /// Lifts a pause.
    fn go_on(&mut self) {
        if !std::mem::take(&mut self.paused) {
            return;
        }
        self.idle = false;
        self.set_status(Status::Running);
        self.advance_line();
    }

    /// Takes the first piece of mail that is for a call of this run as it stands, and returns whether there was one.
    pub(super) fn take_one_mail(&mut self) -> bool {
        if self.ending.is_some() || self.guest != Guest::Blocked {
            return false;
        }
        let next = self.mail.iter().find_map(|(id, mail)| match &mail.command {
            Command::Event { name, .. } => self.waits_for_event(name).map(|number| (*id, number)),
            Command::Answer { number, .. } | Command::Decide { number, .. } => Some((*id, *number)),
            Command::Child { number, .. } => (!self.is_being_launched(*number)).then_some((*id, *number)),
            Command::Note { .. } | Command::Cancel { .. } | Command::Pause { .. } | Command::Resume { .. } => None,
        });
        let Some((id, number)) = next else { return false };
        let mail = self.mail.remove(&id).expect("it was just found");
        self.take(id);
        match mail.command {
            Command::Event { value, by, .. } => self.answer_wait(number, &value, by, By::Effect),
            Command::Answer { value, by, .. } => {
                // An answer names its question, and one that is closed takes none (rule P2).
                if self
                    .wait_of(number)
                    .is_some_and(|wait| matches!(wait, Wait::Question(_)))
                {
                    self.answer_wait(number, &value, by.clone(), By::Person(by));
                }
            }
            Command::Child { outcome, spent, .. } => {
                if matches!(self.wait_of(number), Some(Wait::Skill(_))) {
                    self.answer(number, outcome, Some(spent), By::Effect);
                }
            }
            Command::Decide { decision, by, .. } => {
                if self.wait_of(number) == Some(Wait::Decision) {
                    self.decide(number, decision, by);
                }
            }
            other => unreachable!("{other:?} is for nobody who waits: it was not found"),
        }
        true
    }

    fn take(&mut self, id: MailId) {
        self.mail_taken.insert(id);
        if !planted::is(Bug::MailStays) {
            self.local(Local::TakeMail(id));
        }
    }

    fn wait_of(&self, number: Number) -> Option<Wait> {
        let flight = self.flights.get(number)?;
        flight.wait().filter(|_| flight.open && !flight.cancelled)
    }

    fn waits_for_event(&self, name: &SignalName) -> Option<Number> {
        let mut waits = self.flights.waits().map(|(number, _)| number);
        waits.find(|number| matches!(self.wait_of(*number), Some(Wait::Event(wanted)) if wanted == *name))
    }

    fn answer_wait(&mut self, number: Number, value: &Payload, by: Option<String>, who: By) {
        let outcome = match value.read() {
            Ok(value) => Outcome::Ok(Payload::of(&Answer { value, by })),
            Err(error) => Outcome::fault(Fault::FAILED, format!("what was sent is not JSON: {error}")),
        };
        self.answer(number, outcome, None, who);
    }

    fn decide(&mut self, number: Number, decision: Decision, by: Option<String>) {
        match decision {
            Decision::Redo => {
                self.local(Local::CloseWait { number });
                // Measured anew: the file is not as it was (rule R3).
                self.flights.change(number, |flight| flight.measured = None);
                self.perform_again(number, Why::Redo, None, None);
            }
            Decision::Skip => {
                let fault = Fault::new(Fault::SKIPPED, "a person decided that this is not to be done");
                self.answer(number, Outcome::from(fault), None, By::Person(by));
            }
            Decision::Answer(value) => self.answer(number, Outcome::Ok(value), None, By::Person(by)),
        }
    }

    /// Says beside the mail that asks for it that the run goes on: a crash after it was taken must not leave a run that stands as if it waited for it.
    fn say_that_it_is_gone_on_with(&mut self) {
        if self.ending.is_none() && !planted::is(Bug::CancelUnsaid) {
            self.set_status(Status::Running);
        }
    }

    pub(super) fn note_cancel(&mut self, reason: Option<String>) {
        if self.ending.is_none() && self.cancel.note() {
            self.say_that_it_is_gone_on_with();
            self.append(Entry::Cancelled { reason });
        }
    }
}
