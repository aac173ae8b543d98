//! A scripted guest: what it does depends on nothing but what it was given. The exhaustive tests try every small program; the simulation (`tests/sim`), which includes this
//! file, draws larger ones.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::time::Duration;

use skillhost_core::calls::CallOptions;
use skillhost_core::effect::Function;
use skillhost_core::entry::Failure;
use skillhost_core::id::{Digest, Number, SignalName};
use skillhost_core::machine::{self, Act, Continued, Delivery, End, Level, Line, Slice};
use skillhost_core::outcome::Outcome;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;

/// Of a longer outcome, a guest remembers the digest: what another guest answers is all that this one has seen, and so on.
const SEEN_BYTES_MAX: usize = 500;

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
    Skill,
    /// An event, for a while.
    WaitAWhile,
    Question,
}

impl Call {
    /// Those that differ for the machine alone; the others differ in what the driver and people do.
    pub(crate) const ALL: [Self; 10] = [
        Self::Read,
        Self::Ask,
        Self::Act,
        Self::Write,
        Self::Append,
        Self::Post,
        Self::Sleep,
        Self::Wait,
        Self::Notes,
        Self::Skill,
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
            Self::Wait | Self::WaitAWhile => Function::SIGNALS_WAIT,
            Self::Notes => Function::RUN_NOTES,
            Self::Question => Function::SIGNALS_ASK,
            Self::Skill => Function::SKILLS_CALL,
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

/// One thing that a guest does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Start(Call),
    /// Waits for the call of this number; goes on at once if it has been looked at or dropped.
    Finish(u64),
    /// Waits for whichever of the first so many calls comes first, and drops the others.
    First(u64),
    Drop(u64),
    /// Goes on so many steps further if what was seen so far is odd.
    SkipIfOdd(usize),
    /// Starts a call that a cancelled run may still make, and waits for it, if it saw that it was cancelled.
    CleanUp(Call),
    /// Lets a run go on in its place that does the rest.
    Continue,
    Fail,
}

/// What a guest does.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) steps: Vec<Step>,
    /// How long timers last, and what is waited for a while, by the number of the call; the last counts for all further ones.
    pub(crate) lasts: Vec<Duration>,
    /// The names of signals, the same way.
    pub(crate) signals: Vec<SignalName>,
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
        Self {
            steps,
            lasts: vec![Duration::from_millis(5)],
            signals: vec![SignalName::parse("go").unwrap()],
        }
    }
}

/// A guest in the middle of its program.
#[derive(Clone, Debug)]
pub(crate) struct Guest<P> {
    program: P,
    at: usize,
    started: u64,
    /// The calls that it will not look at again.
    done: BTreeSet<u64>,
    /// The cleanup call that it waits for.
    cleaning: Option<u64>,
    is_cancelled: bool,
    delivered: BTreeMap<u64, Outcome>,
    order: Vec<u64>,
    time: Timestamp,
    /// Everything it observed, in order: its result.
    pub(crate) transcript: String,
}

impl<P: Deref<Target = Program>> Guest<P> {
    /// Makes one that begins at a step of its program.
    pub(crate) fn at(program: P, step: usize) -> Self {
        Self {
            program,
            at: step,
            started: 0,
            done: BTreeSet::new(),
            cleaning: None,
            is_cancelled: false,
            delivered: BTreeMap::new(),
            order: Vec::new(),
            time: Timestamp(0),
            transcript: String::new(),
        }
    }

    pub(crate) fn new(program: P) -> Self {
        Self::at(program, 0)
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
        loop {
            let step = self.program.steps.get(self.at).cloned();
            let Some(step) = step else {
                let end = End::Finished(Ok(Payload::of(&self.transcript)));
                return Slice { acts, end };
            };
            if let Some(end) = self.step(step, &mut acts) {
                return Slice { acts, end };
            }
        }
    }

    /// Takes one step, unless it is blocked there or over.
    fn step(&mut self, step: Step, acts: &mut Vec<Act>) -> Option<End> {
        match step {
            Step::Start(call) => {
                acts.push(Act::Log(Line::Message {
                    level: Level::Info,
                    message: format!("starts {call:?}"),
                    place: None,
                }));
                acts.push(Act::Start(Box::new(self.call(call, false))));
            }
            Step::Drop(number) => self.drop_call(number, acts),
            Step::Finish(number) if self.done.contains(&number) || number >= self.started => {}
            Step::Finish(number) => match self.delivered.remove(&number) {
                None => return Some(End::Blocked),
                Some(outcome) => self.observe(number, &outcome),
            },
            Step::First(count) => {
                let open = |number: &u64| *number < count.min(self.started) && !self.done.contains(number);
                if (0..count).any(|number| open(&number)) {
                    let first = self.order.iter().copied().find(open);
                    let Some(first) = first else {
                        return Some(End::Blocked);
                    };
                    let outcome = self.delivered.remove(&first).unwrap();
                    self.observe(first, &outcome);
                    (0..count.min(self.started)).for_each(|number| self.drop_call(number, acts));
                }
            }
            Step::SkipIfOdd(steps) if self.transcript.bytes().map(u64::from).sum::<u64>() % 2 == 1 => self.at += steps,
            Step::SkipIfOdd(_) => {}
            Step::CleanUp(_) if !self.is_cancelled => {}
            Step::CleanUp(call) => match self.cleaning {
                None => {
                    self.cleaning = Some(self.started);
                    acts.push(Act::Start(Box::new(self.call(call, true))));
                    return None;
                }
                Some(number) => {
                    let Some(outcome) = self.delivered.remove(&number) else {
                        return Some(End::Blocked);
                    };
                    self.observe(number, &outcome);
                    self.cleaning = None;
                }
            },
            Step::Continue => {
                return Some(End::Continued(Box::new(Continued {
                    input: Payload::of(&(self.at + 1)),
                    zone_offsets: Vec::new(),
                })));
            }
            Step::Fail => {
                return Some(End::Finished(Err(Failure {
                    code: "scripted".to_owned(),
                    message: self.transcript.clone(),
                    details: None,
                    backtrace: None,
                })));
            }
        }
        self.at += 1;
        None
    }

    fn drop_call(&mut self, number: u64, acts: &mut Vec<Act>) {
        if number < self.started && self.done.insert(number) {
            acts.push(Act::Drop(Number(number)));
        }
    }

    fn observe(&mut self, number: u64, outcome: &Outcome) {
        self.done.insert(number);
        self.is_cancelled |= outcome.code() == Some("cancelled");
        let mut seen = format!("{outcome:?}");
        if seen.len() > SEEN_BYTES_MAX {
            seen = Digest::of(seen.as_bytes()).to_string();
        }
        self.transcript.push_str(&format!("[{number} {seen} at {}]", self.time));
    }

    fn call(&mut self, call: Call, cleanup: bool) -> machine::Call {
        let number = self.started;
        self.started += 1;
        let of = |places: usize| (number as usize).min(places - 1);
        let signal = self.program.signals[of(self.program.signals.len())].clone();
        let lasts = self.program.lasts[of(self.program.lasts.len())];
        let function = call.function();
        // What is asked depends on all that was seen, so that a replay which saw something else asks for something else.
        let request = match call {
            Call::Post => format!(r#"{{"title":"post {number}","body":{:?}}}"#, self.transcript),
            Call::Question => format!(
                r#"{{"name":"{signal}","prompt":{:?},"audience":"user"}}"#,
                self.transcript
            ),
            _ => Payload::of(&(number, &self.transcript)).as_str().to_owned(),
        };
        machine::Call {
            number: Number(number),
            function,
            request: Payload::parse(&request).unwrap(),
            options: CallOptions {
                cleanup,
                ..CallOptions::default()
            },
            class: function.spec().class,
            bound: None,
            asks: None,
            lasts: matches!(call, Call::Sleep | Call::WaitAWhile).then_some(lasts),
            signal: matches!(call, Call::Wait | Call::WaitAWhile | Call::Question).then_some(signal),
            guest_time: self.time,
            refused: None,
        }
    }
}
