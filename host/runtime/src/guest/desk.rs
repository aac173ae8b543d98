//! The calls of one guest: which are open, which were delivered, what it waits for, and what time it is for the guest.
//!
//! No WebAssembly here, and nothing that waits: host functions note here what the guest does, the driver notes what is delivered, and both ask whether the guest
//! can go on. Start with [`Desk::start`], [`Desk::deliver`] and [`Desk::can_go_on`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skillhost_core::effect::{Class, Function};
use skillhost_core::holdings::Holdings;
use skillhost_core::id::Number;
use skillhost_core::machine::{Act, Call, Delivery, Line};
use skillhost_core::outcome::Outcome;
use skillhost_core::time::Timestamp;

use super::lines::Lines;
use super::stop::{Broken, Misuse};
use super::time::Time;
use crate::capability::Draft;

/// The desk of a guest, held by the guest's host functions and by whoever drives it. Never contended: the guest runs only when it is driven.
#[derive(Clone)]
pub(crate) struct SharedDesk(Arc<Mutex<Desk>>);

impl SharedDesk {
    pub(crate) fn new(desk: Desk) -> Self {
        Self(Arc::new(Mutex::new(desk)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a guest is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To do its work.
    Run {
        /// Whether the model provider acts by itself, so that its calls are not made twice.
        provider_acts: bool,
    },
    /// To say what it is. It may make no calls, and its clock needs none.
    Describe,
}

/// What the guest waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The outcome of this call.
    Call(u32),
    /// The next member of this set.
    Set(u32),
    /// The outcome of any of these.
    Any(Vec<u32>),
}

pub(crate) struct Desk {
    purpose: Purpose,
    holds: Holdings,
    pub(crate) time: Time,
    pub(crate) lines: Lines,
    /// Where in the source that is which is printed next.
    pub(crate) prints_at: Option<String>,
    acts: Vec<Act>,
    act_bytes: usize,
    started: u32,
    calls: BTreeMap<u32, Open>,
    sets: BTreeMap<u32, Set>,
    sets_made: u32,
    deliveries: u64,
    waiting: Option<Waiting>,
}

/// A call that the guest holds a pending of.
struct Open {
    function: Function,
    delivered: Option<Delivered>,
    /// The set that it is in, and its token there.
    member: Option<(u32, u32)>,
}

struct Delivered {
    ordinal: u64,
    outcome: Outcome,
}

#[derive(Default)]
struct Set {
    tokens: u32,
    /// Members without an outcome.
    outstanding: usize,
    /// The tokens of delivered members that were not returned yet, in order of delivery.
    ready: BTreeMap<u64, u32>,
}

impl Desk {
    pub(crate) fn new(purpose: Purpose, started_at: Timestamp, holds: Holdings) -> Self {
        Self {
            purpose,
            holds,
            time: Time::new(started_at),
            lines: Lines::default(),
            prints_at: None,
            acts: Vec::new(),
            act_bytes: 0,
            started: 0,
            calls: BTreeMap::new(),
            sets: BTreeMap::new(),
            sets_made: 0,
            deliveries: 0,
            waiting: None,
        }
    }

    /// Starts a call and returns its number (rules G1, G2).
    pub(crate) fn start(&mut self, draft: Draft) -> Result<u32, Misuse> {
        let function = draft.function;
        let Purpose::Run { provider_acts } = self.purpose else {
            return Err(Misuse(format!(
                "`describe` may not make calls, and this one started `{function}`; do such work in `run`"
            )));
        };
        let open_max = self.holds.open_calls;
        if self.calls.len() >= open_max as usize {
            return Err(Misuse(format!(
                "more than {open_max} calls are open; wait for some before starting `{function}`, or allow more by `limits.open_calls` in the configuration"
            )));
        }
        let number = self.started;
        self.started = number
            .checked_add(1)
            .ok_or_else(|| Misuse("a run may start 4,294,967,295 calls".to_owned()))?;
        let class = class(function, provider_acts, draft.options.idempotent || draft.only_reads);
        self.act_bytes += draft.request.as_str().len();
        self.act(Act::Start(Box::new(Call {
            number: Number(u64::from(number)),
            function,
            request: draft.request,
            options: draft.options,
            class,
            bound: draft.bound,
            asks: draft.asks,
            lasts: draft.lasts,
            signal: draft.signal,
            guest_time: self.time.shown(),
            refused: draft.refused,
        })))?;
        let open = Open {
            function,
            delivered: None,
            member: None,
        };
        self.calls.insert(number, open);
        Ok(number)
    }

    /// Notes that the guest let go of a pending (rule G5).
    pub(crate) fn drop_call(&mut self, number: u32) -> Result<(), Misuse> {
        if let Some(open) = self.calls.remove(&number) {
            self.leave_set(&open);
            self.act(Act::Drop(Number(u64::from(number))))?;
        }
        Ok(())
    }

    /// Returns which function a pending was started by.
    pub(crate) fn function(&self, number: u32) -> Result<Function, Broken> {
        let open = self.calls.get(&number).ok_or_else(|| lost(number))?;
        Ok(open.function)
    }

    pub(crate) fn is_delivered(&self, number: u32) -> bool {
        self.calls.get(&number).is_some_and(|open| open.delivered.is_some())
    }

    /// Takes the outcome of a call that was delivered; its pending is used up.
    pub(crate) fn take(&mut self, number: u32) -> Result<Outcome, Broken> {
        let open = self.calls.remove(&number).ok_or_else(|| lost(number))?;
        self.leave_set(&open);
        open.delivered
            .map(|delivered| delivered.outcome)
            .ok_or_else(|| lost(number))
    }

    pub(crate) fn new_set(&mut self) -> Result<u32, Misuse> {
        let id = self.sets_made;
        self.sets_made = id
            .checked_add(1)
            .ok_or_else(|| Misuse("a run may make 4,294,967,295 sets".to_owned()))?;
        self.sets.insert(id, Set::default());
        Ok(id)
    }

    pub(crate) fn drop_set(&mut self, id: u32) {
        self.sets.remove(&id);
    }

    /// Adds a call to a set and returns its token (rule G4).
    pub(crate) fn add(&mut self, id: u32, number: u32) -> Result<u32, Misuse> {
        let gone = || Misuse("the set or the pending is gone".to_owned());
        let open = self.calls.get_mut(&number).ok_or_else(gone)?;
        if open.member.is_some_and(|(other, _)| self.sets.contains_key(&other)) {
            return Err(Misuse(format!(
                "call {number} (`{}`) is in a set already; a pending can be added once, to one set",
                open.function
            )));
        }
        let set = self.sets.get_mut(&id).ok_or_else(gone)?;
        let token = set.tokens;
        set.tokens = token.checked_add(1).ok_or_else(gone)?;
        open.member = Some((id, token));
        match &open.delivered {
            Some(delivered) => drop(set.ready.insert(delivered.ordinal, token)),
            None => set.outstanding += 1,
        }
        Ok(token)
    }

    /// Returns the token of the next member that was delivered, or `None` if the guest has to wait for it (rule G4).
    pub(crate) fn next_member(&mut self, id: u32) -> Result<Option<u32>, Misuse> {
        let set = self
            .sets
            .get_mut(&id)
            .ok_or_else(|| Misuse("the set is gone".to_owned()))?;
        match set.ready.pop_first() {
            Some((_, token)) => Ok(Some(token)),
            None if set.outstanding == 0 => Err(Misuse(
                "`pending-set.wait` waits for nothing: every member of the set was already returned, finished or dropped".to_owned(),
            )),
            None => Ok(None),
        }
    }

    /// Notes an outcome (rule G3). Whether the guest can go on, [`Self::can_go_on`] says.
    pub(crate) fn deliver(&mut self, delivery: Delivery) -> Result<(), Broken> {
        let number = u32::try_from(delivery.number.0).map_err(|_| lost(u32::MAX))?;
        let open = self.calls.get_mut(&number).ok_or_else(|| lost(number))?;
        if open.delivered.is_some() {
            return Err(Broken(format!("call {number} was answered twice")));
        }
        self.deliveries += 1;
        open.delivered = Some(Delivered {
            ordinal: self.deliveries,
            outcome: delivery.outcome,
        });
        if let Some((id, token)) = open.member
            && let Some(set) = self.sets.get_mut(&id)
        {
            set.outstanding -= 1;
            set.ready.insert(self.deliveries, token);
        }
        self.time.delivered(delivery.time);
        Ok(())
    }

    /// Notes that the guest waits, or that it no longer does.
    pub(crate) fn set_waiting(&mut self, waiting: Option<Waiting>) {
        self.waiting = waiting;
    }

    /// Returns whether the guest waits for an outcome.
    pub(crate) fn is_blocked(&self) -> bool {
        self.waiting.is_some()
    }

    /// Returns whether what the guest waits for is there.
    pub(crate) fn can_go_on(&self) -> bool {
        self.waiting.as_ref().is_none_or(|waiting| self.is_there(waiting))
    }

    /// Returns whether a guest that would wait for this need not.
    pub(crate) fn is_there(&self, waiting: &Waiting) -> bool {
        match waiting {
            Waiting::Call(number) => self.is_delivered(*number),
            Waiting::Set(id) => self.sets.get(id).is_none_or(|set| !set.ready.is_empty()),
            Waiting::Any(numbers) => numbers.iter().any(|number| self.is_delivered(*number)),
        }
    }

    /// Returns whether the time that the next reading shows has to come from a call, as `started_at` and readings alone would let a loop spin for ever.
    pub(crate) fn wants_tick(&mut self) -> bool {
        self.purpose != Purpose::Describe && self.time.count_reading()
    }

    /// Adds a line to the log.
    pub(crate) fn log(&mut self, line: Line) -> Result<(), Misuse> {
        if self.purpose == Purpose::Describe {
            return Ok(());
        }
        self.act_bytes += match &line {
            Line::Message {
                message: text, place, ..
            }
            | Line::Printed { text, place, .. } => text.len() + place.as_ref().map_or(0, String::len),
            Line::Progress { label, .. } => label.len(),
        };
        self.act(Act::Log(line))
    }

    /// Takes what was printed, and adds the lines that are whole to the log, with the place that ended them if that is known.
    pub(crate) fn print(&mut self, stderr: bool, bytes: &[u8]) -> Result<(), Misuse> {
        let place = self.prints_at.take();
        for text in self.lines.push(stderr, bytes) {
            let place = place.clone();
            self.log(Line::Printed { stderr, text, place })?;
        }
        Ok(())
    }

    /// Ends the lines that were begun, because the guest is over.
    pub(crate) fn end_lines(&mut self) {
        for (stderr, text) in self.lines.end() {
            // The guest is over, so a bound can no longer stop it; the few bytes of its last lines are let through.
            self.acts.push(Act::Log(Line::Printed {
                stderr,
                text,
                place: None,
            }));
        }
    }

    /// Takes what the guest did since the last time.
    pub(crate) fn take_acts(&mut self) -> Vec<Act> {
        self.act_bytes = 0;
        std::mem::take(&mut self.acts)
    }

    fn act(&mut self, act: Act) -> Result<(), Misuse> {
        let Holdings { acts, act_bytes, .. } = self.holds;
        if self.acts.len() >= acts as usize || self.act_bytes as u64 > act_bytes {
            return Err(Misuse(format!(
                "the skill started calls or logged lines without end: at most {acts} (`limits.acts` in the configuration), with at most {} MiB (`limits.act_mib`), may come before it waits for an outcome",
                act_bytes >> 20
            )));
        }
        self.acts.push(act);
        Ok(())
    }

    fn leave_set(&mut self, open: &Open) {
        if let Some((id, _)) = open.member
            && let Some(set) = self.sets.get_mut(&id)
        {
            match &open.delivered {
                Some(delivered) => drop(set.ready.remove(&delivered.ordinal)),
                None => set.outstanding -= 1,
            }
        }
    }
}

/// The class that a call is recovered by: its function's, but for a provider that acts by itself and for what may be done twice, as the skill says or the request does.
fn class(function: Function, provider_acts: bool, idempotent: bool) -> Class {
    let acts = provider_acts && function == Function::MODEL_COMPLETE;
    match if acts { Class::AtMostOnce } else { function.spec().class } {
        Class::AtMostOnce if idempotent => Class::Retryable,
        class => class,
    }
}

fn lost(number: u32) -> Broken {
    Broken(format!("call {number} is not open in the guest"))
}
