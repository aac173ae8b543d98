//! A scripted guest: what it does depends on nothing but what it was given.

use std::collections::BTreeMap;
use std::time::Duration;

use skillhost_core::calls::CallOptions;
use skillhost_core::effect::Function;
use skillhost_core::id::{Number, SignalName};
use skillhost_core::machine::{self, Act, Delivery, End, Level, Line, Slice};
use skillhost_core::outcome::Outcome;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;

/// A kind of call, one for each way in which the machine treats them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Read,
    Ask,
    Act,
    Write,
    Append,
    Post,
    Sleep,
    Wait,
    Notes,
}

impl Call {
    pub(crate) const ALL: [Self; 9] = [
        Self::Read,
        Self::Ask,
        Self::Act,
        Self::Write,
        Self::Append,
        Self::Post,
        Self::Sleep,
        Self::Wait,
        Self::Notes,
    ];

    pub(crate) fn function(self) -> Function {
        match self {
            Self::Read => Function::FILES_READ,
            Self::Ask => Function::MODEL_COMPLETE,
            Self::Act => Function::TEST_ACT,
            Self::Write => Function::FILES_WRITE,
            Self::Append => Function::FILES_APPEND,
            Self::Post => Function::INBOX_POST,
            Self::Sleep => Function::CLOCK_SLEEP,
            Self::Wait => Function::SIGNALS_WAIT,
            Self::Notes => Function::RUN_NOTES,
        }
    }
}

/// In which order calls are started, waited for, dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Each is waited for before the next is started.
    Sequence,
    /// All are started, then waited for in order.
    Together,
    /// All are started; whichever comes first ends the race, and the others are dropped. Then one more call is made.
    Race,
    /// All are started, the first is dropped at once, the rest are waited for in reverse.
    DropFirst,
}

impl Shape {
    pub(crate) const ALL: [Self; 4] = [Self::Sequence, Self::Together, Self::Race, Self::DropFirst];
}

#[derive(Clone, Debug)]
enum Step {
    Start(Call),
    Finish(u64),
    First(u64),
    Drop(u64),
}

/// What a guest does.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    steps: Vec<Step>,
}

impl Program {
    pub(crate) fn new(shape: Shape, calls: &[Call]) -> Self {
        let count = calls.len() as u64;
        let starts = calls.iter().map(|call| Step::Start(*call));
        let steps = match shape {
            Shape::Sequence => calls
                .iter()
                .zip(0..)
                .flat_map(|(call, n)| [Step::Start(*call), Step::Finish(n)])
                .collect(),
            Shape::Together => starts.chain((0..count).map(Step::Finish)).collect(),
            Shape::Race => starts
                .chain([Step::First(count), Step::Start(Call::Write), Step::Finish(count)])
                .collect(),
            Shape::DropFirst => starts
                .chain([Step::Drop(0)])
                .chain((1..count).rev().map(Step::Finish))
                .collect(),
        };
        Self { steps }
    }
}

/// A guest in the middle of its program.
#[derive(Clone, Debug)]
pub(crate) struct Guest<'a> {
    program: &'a Program,
    at: usize,
    started: u64,
    delivered: BTreeMap<u64, Outcome>,
    order: Vec<u64>,
    time: Timestamp,
    /// Everything it observed, in order: its result.
    pub(crate) transcript: String,
}

impl<'a> Guest<'a> {
    pub(crate) fn new(program: &'a Program) -> Self {
        Self {
            program,
            at: 0,
            started: 0,
            delivered: BTreeMap::new(),
            order: Vec::new(),
            time: Timestamp(0),
            transcript: String::new(),
        }
    }

    pub(crate) fn deliver(&mut self, delivery: Delivery) -> Slice {
        assert!(delivery.time >= self.time, "g6: time does not go back");
        self.time = delivery.time;
        self.order.push(delivery.number.0);
        self.delivered.insert(delivery.number.0, delivery.outcome);
        self.run()
    }

    pub(crate) fn run(&mut self) -> Slice {
        let mut acts = Vec::new();
        while let Some(step) = self.program.steps.get(self.at).cloned() {
            match step {
                Step::Start(call) => {
                    acts.push(Act::Log(Line::Message {
                        level: Level::Info,
                        message: format!("starts {call:?}"),
                        place: None,
                    }));
                    acts.push(Act::Start(Box::new(self.call(call))));
                }
                Step::Drop(number) => acts.push(Act::Drop(Number(number))),
                Step::Finish(number) => match self.delivered.remove(&number) {
                    None => {
                        return Slice {
                            acts,
                            end: End::Blocked,
                        };
                    }
                    Some(outcome) => self.observe(number, &outcome),
                },
                Step::First(count) => {
                    let Some(first) = self.order.first().copied() else {
                        return Slice {
                            acts,
                            end: End::Blocked,
                        };
                    };
                    let outcome = self.delivered.remove(&first).unwrap();
                    self.observe(first, &outcome);
                    acts.extend((0..count).filter(|n| *n != first).map(|n| Act::Drop(Number(n))));
                }
            }
            self.at += 1;
        }
        Slice {
            acts,
            end: End::Finished(Ok(Payload::of(&self.transcript))),
        }
    }

    fn observe(&mut self, number: u64, outcome: &Outcome) {
        self.transcript
            .push_str(&format!("[{number} {outcome:?} at {}]", self.time));
    }

    fn call(&mut self, call: Call) -> machine::Call {
        let number = self.started;
        self.started += 1;
        let function = call.function();
        // What is asked depends on all that was seen, so that a replay which saw something else asks for something else.
        let request = match call {
            Call::Post => format!(r#"{{"title":"post {number}","body":{:?}}}"#, self.transcript),
            _ => Payload::of(&(number, &self.transcript)).as_str().to_owned(),
        };
        machine::Call {
            number: Number(number),
            function,
            request: Payload::parse(&request).unwrap(),
            options: CallOptions::default(),
            class: function.spec().class,
            bound: None,
            asks: None,
            lasts: (call == Call::Sleep).then_some(Duration::from_millis(5)),
            signal: (call == Call::Wait).then(|| SignalName::parse("go").unwrap()),
            guest_time: self.time,
            refused: None,
        }
    }
}
