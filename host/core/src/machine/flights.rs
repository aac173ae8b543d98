//! The calls on their way, and which of them is next for what: so an event costs the same however many calls are open.

use std::collections::{BTreeMap, BTreeSet};

use super::flight::{Flight, Phase};
use crate::effect::Kind;
use crate::id::{Number, Seq};
use crate::time::Timestamp;

/// The calls on their way. They are changed through [`Flights::change`] alone, so that the agenda follows.
#[derive(Debug, Default)]
pub(super) struct Flights {
    all: BTreeMap<Number, Flight>,
    agenda: Agenda,
}

/// What is next for which call.
#[derive(Debug, Default)]
struct Agenda {
    started: BTreeSet<Number>,
    behind: BTreeSet<(Seq, Number)>,
    due: BTreeSet<(Timestamp, Number)>,
    waits: BTreeSet<Number>,
    notes: BTreeSet<Number>,
    in_flight: usize,
    busy: usize,
}

impl Flights {
    pub(super) fn get(&self, number: Number) -> Option<&Flight> {
        self.all.get(&number)
    }

    /// Changes a call, if it is still on its way.
    pub(super) fn change<R>(&mut self, number: Number, change: impl FnOnce(&mut Flight) -> R) -> Option<R> {
        let flight = self.all.get_mut(&number)?;
        self.agenda.leave(number, flight);
        let result = change(flight);
        self.agenda.enter(number, flight);
        Some(result)
    }

    /// Lets a call go on to another phase.
    pub(super) fn set_phase(&mut self, number: Number, phase: Phase) {
        self.change(number, |flight| flight.phase = phase);
    }

    pub(super) fn insert(&mut self, number: Number, flight: Flight) {
        self.agenda.enter(number, &flight);
        let before = self.all.insert(number, flight);
        assert!(before.is_none(), "a number names one call");
    }

    pub(super) fn remove(&mut self, number: Number) {
        if let Some(flight) = self.all.remove(&number) {
            self.agenda.leave(number, &flight);
        }
    }

    /// Returns every call, in the order started.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Number, &Flight)> {
        self.all.iter().map(|(number, flight)| (*number, flight))
    }

    /// Returns the calls that the guest has started, still wants, and that have not begun.
    pub(super) fn started(&self) -> Vec<Number> {
        self.agenda.started.iter().copied().collect()
    }

    /// Returns the calls whose barrier is durable.
    pub(super) fn free(&self, durable: Seq) -> Vec<Number> {
        let free = self.agenda.behind.range(..=(durable, Number(u64::MAX)));
        free.map(|(_, number)| *number).collect()
    }

    /// Returns the last entry that a call waits behind.
    pub(super) fn barrier(&self) -> Option<Seq> {
        self.agenda.behind.last().map(|(seq, _)| *seq)
    }

    /// Returns the calls whose time has come, by their deadlines.
    pub(super) fn due(&self, now: Timestamp) -> Vec<Number> {
        let due = self.agenda.due.range(..=(now, Number(u64::MAX)));
        due.map(|(_, number)| *number).collect()
    }

    /// Returns when which call is due, the earliest first.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = (Timestamp, Number)> {
        self.agenda.due.iter().copied()
    }

    /// Returns the calls that wait for a time, an event or a person, in the order started.
    pub(super) fn waits(&self) -> impl Iterator<Item = (Number, &Flight)> {
        let known = "the agenda holds calls that are on their way";
        self.agenda
            .waits
            .iter()
            .map(move |number| (*number, self.all.get(number).expect(known)))
    }

    /// Returns the first call that is to be given the notes.
    pub(super) fn asks_for_notes(&self) -> Option<Number> {
        self.agenda.notes.first().copied()
    }

    /// Returns whether the shell is doing something for a call.
    pub(super) fn any_in_flight(&self) -> bool {
        self.agenda.in_flight > 0
    }

    /// Returns whether something goes on without anybody's help.
    pub(super) fn any_busy(&self) -> bool {
        self.agenda.busy > 0
    }
}

impl Agenda {
    fn enter(&mut self, number: Number, flight: &Flight) {
        match flight.phase {
            Phase::Started if flight.open => drop(self.started.insert(number)),
            Phase::Behind(seq) if flight.open => drop(self.behind.insert((seq, number))),
            Phase::Waiting if flight.called.function.kind() == Kind::Notes => drop(self.notes.insert(number)),
            Phase::Waiting | Phase::Parked => drop(self.waits.insert(number)),
            _ => {}
        }
        if let Some(at) = flight.deadline() {
            self.due.insert((at, number));
        }
        self.in_flight += usize::from(flight.in_flight());
        self.busy += usize::from(flight.is_busy());
    }

    fn leave(&mut self, number: Number, flight: &Flight) {
        match flight.phase {
            Phase::Started if flight.open => drop(self.started.remove(&number)),
            Phase::Behind(seq) if flight.open => drop(self.behind.remove(&(seq, number))),
            Phase::Waiting if flight.called.function.kind() == Kind::Notes => drop(self.notes.remove(&number)),
            Phase::Waiting | Phase::Parked => drop(self.waits.remove(&number)),
            _ => {}
        }
        if let Some(at) = flight.deadline() {
            self.due.remove(&(at, number));
        }
        self.in_flight -= usize::from(flight.in_flight());
        self.busy -= usize::from(flight.is_busy());
    }
}
