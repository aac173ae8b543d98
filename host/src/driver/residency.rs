//! Where runs are in a process that drives many: a run that works holds a slot; one that only waits holds none, and stays in memory as long as there is room.
//!
//! What leaves memory comes back by replay, so leaving costs time and nothing else. When there is no room, the run leaves that will be wanted last: the one whose deadline is
//! furthest away (having none is furthest), and of several the one that has waited longest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skillhost_core::id::SkillName;
use skillhost_core::time::Timestamp;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How many runs may work at once, and what those that wait may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// The most runs that work at once.
    pub runs_max: usize,
    /// The most of one skill that do.
    pub runs_max_of: HashMap<SkillName, usize>,
    /// The most that the memories of waiting guests may come to, in bytes.
    pub waiting_bytes_max: u64,
    /// The most guests that may wait in memory.
    pub waiting_max: usize,
}

impl Room {
    /// Returns how many guests are in memory at most.
    pub fn guests_max(&self) -> usize {
        self.runs_max + self.waiting_max
    }
}

/// The runs of one process.
pub struct Residency {
    /// One for each guest that may be in memory, whatever it does there: one that was asked to leave is there until it has left.
    places: Arc<Semaphore>,
    slots: Arc<Semaphore>,
    slots_of: HashMap<SkillName, Arc<Semaphore>>,
    waiting_bytes_max: u64,
    waiting_max: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// In the order in which they leave.
    guests: BTreeMap<Place, Resting>,
    /// Those that were woken and wait for a slot; they do not leave.
    waking: usize,
    bytes: u64,
    next: u64,
}

/// Where a waiting guest stands in the order of leaving: the furthest deadline first, then the longest wait.
type Place = (Reverse<Timestamp>, u64);

struct Resting {
    bytes: u64,
    leave: Arc<Notify>,
}

/// One run's stay in memory.
pub struct Stay {
    residency: Arc<Residency>,
    skill: SkillName,
    _in_memory: OwnedSemaphorePermit,
    held: Option<Held>,
    place: Option<(Place, Arc<Notify>)>,
}

/// A slot, and one of the skill's own if these are counted.
struct Held {
    _slot: OwnedSemaphorePermit,
    _of_skill: Option<OwnedSemaphorePermit>,
}

impl Residency {
    /// Makes room for the runs of a process.
    pub fn new(room: &Room) -> Arc<Self> {
        let slots_of = room.runs_max_of.iter();
        Arc::new(Self {
            places: Arc::new(Semaphore::new(room.guests_max())),
            slots: Arc::new(Semaphore::new(room.runs_max)),
            slots_of: slots_of
                .map(|(skill, max)| (skill.clone(), Arc::new(Semaphore::new(*max))))
                .collect(),
            waiting_bytes_max: room.waiting_bytes_max,
            waiting_max: room.waiting_max,
            waiting: Mutex::default(),
        })
    }

    /// Waits for a place and a slot, and begins a run's stay. The place comes first: whoever leaves needs no slot, so places become free.
    pub async fn enter(self: &Arc<Self>, skill: &SkillName) -> Stay {
        let in_memory = acquire(&self.places).await;
        Stay {
            _in_memory: in_memory,
            held: Some(self.slot(skill).await),
            residency: Arc::clone(self),
            skill: skill.clone(),
            place: None,
        }
    }

    /// Returns how many runs rest in memory.
    pub fn resting(&self) -> usize {
        self.waiting().guests.len()
    }

    /// The skill's own slot comes first, so that a run which waits for its skill's turn keeps no other skill waiting.
    async fn slot(&self, skill: &SkillName) -> Held {
        let of_skill = match self.slots_of.get(skill) {
            Some(slots) => Some(acquire(slots).await),
            None => None,
        };
        Held {
            _slot: acquire(&self.slots).await,
            _of_skill: of_skill,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that runs under the lock leaves it half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn acquire(slots: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let slot = Arc::clone(slots).acquire_owned().await;
    slot.expect("the semaphore is never closed")
}

impl Stay {
    /// Gives the slot back, because the run only waits, and asks others to leave if there is no room; or this one, if it is the one.
    pub fn rest(&mut self, deadline: Option<Timestamp>, bytes: u64) {
        self.leave_place();
        self.held = None;
        let mut waiting = self.residency.waiting();
        let place = (Reverse(deadline.unwrap_or(Timestamp(u64::MAX))), waiting.next);
        waiting.next += 1;
        waiting.bytes += bytes;
        let leave = Arc::new(Notify::new());
        let resting = Resting {
            bytes,
            leave: Arc::clone(&leave),
        };
        waiting.guests.insert(place, resting);
        self.place = Some((place, leave));
        while waiting.bytes > self.residency.waiting_bytes_max
            || waiting.guests.len() + waiting.waking > self.residency.waiting_max
        {
            let Some((_, first)) = waiting.guests.pop_first() else {
                break;
            };
            waiting.bytes -= first.bytes;
            first.leave.notify_one();
        }
    }

    /// Waits until the resting run is asked to leave memory. May be dropped and asked again.
    pub async fn asked_to_leave(&self) {
        match &self.place {
            Some((_, leave)) => leave.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Waits for a slot again, because the run goes on.
    pub async fn wake(&mut self) {
        if self.held.is_some() {
            return;
        }
        let residency = Arc::clone(&self.residency);
        residency.waiting().waking += 1;
        let waking = Waking(&residency);
        self.leave_place();
        self.held = Some(residency.slot(&self.skill).await);
        drop(waking);
    }

    fn leave_place(&mut self) {
        let Some((place, _)) = self.place.take() else { return };
        let mut waiting = self.residency.waiting();
        if let Some(resting) = waiting.guests.remove(&place) {
            waiting.bytes -= resting.bytes;
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.leave_place();
    }
}

/// Counts a guest that waits for a slot, also if it gives up.
struct Waking<'a>(&'a Residency);

impl Drop for Waking<'_> {
    fn drop(&mut self) {
        self.0.waiting().waking -= 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use futures::FutureExt as _;

    use super::*;

    fn room(runs_max: usize, waiting_bytes_max: u64, waiting_max: usize) -> Room {
        Room {
            runs_max,
            runs_max_of: HashMap::new(),
            waiting_bytes_max,
            waiting_max,
        }
    }

    fn skill(name: &str) -> SkillName {
        SkillName::parse(name).unwrap()
    }

    async fn resting(residency: &Arc<Residency>, deadline: Option<u64>, bytes: u64) -> Stay {
        let mut stay = residency.enter(&skill("any")).await;
        stay.rest(deadline.map(Timestamp), bytes);
        stay
    }

    fn leaves(stay: &Stay) -> bool {
        stay.asked_to_leave().now_or_never().is_some()
    }

    #[tokio::test]
    async fn a_run_that_waits_holds_no_slot_and_takes_one_again_when_it_goes_on() {
        let residency = Residency::new(&room(1, 1_000, 10));
        let mut first = resting(&residency, None, 1).await;
        let second = residency.enter(&skill("any")).await;
        assert!(first.wake().now_or_never().is_none(), "the only slot is taken");
        drop(second);
        residency
            .enter(&skill("any"))
            .now_or_never()
            .expect("who gave up holds nothing");
    }

    #[tokio::test]
    async fn the_run_that_is_wanted_last_leaves_when_there_is_no_room() {
        let residency = Residency::new(&room(10, 100, 10));
        let soon = resting(&residency, Some(5), 40).await;
        let never = resting(&residency, None, 40).await;
        let late = resting(&residency, Some(90), 40).await;
        assert_eq!([&soon, &never, &late].map(leaves), [false, true, false]);
        drop(never);
        let later = resting(&residency, Some(95), 40).await;
        assert_eq!([&soon, &late, &later].map(leaves), [false, false, true]);
    }

    #[tokio::test]
    async fn of_several_that_have_no_deadline_the_one_leaves_that_waited_longest() {
        let residency = Residency::new(&room(10, u64::MAX, 2));
        let stays = [
            resting(&residency, None, 1).await,
            resting(&residency, None, 1).await,
            resting(&residency, None, 1).await,
        ];
        assert_eq!(stays.each_ref().map(leaves), [true, false, false]);
    }

    #[tokio::test]
    async fn a_guest_that_has_no_room_even_alone_leaves_at_once() {
        let residency = Residency::new(&room(1, 10, 10));
        let large = resting(&residency, Some(1), 11).await;
        assert!(leaves(&large));
    }

    #[tokio::test]
    async fn nobody_takes_the_place_of_a_guest_that_was_asked_to_leave_before_it_has_left() {
        let residency = Residency::new(&room(1, u64::MAX, 1));
        let first = resting(&residency, None, 1).await;
        let second = resting(&residency, None, 1).await;
        assert!(leaves(&first));
        assert!(residency.enter(&skill("any")).now_or_never().is_none());
        drop(first);
        residency
            .enter(&skill("any"))
            .now_or_never()
            .expect("there is a place again");
        drop(second);
    }

    #[tokio::test]
    async fn a_skill_has_no_more_slots_than_it_is_given() {
        let mut room = room(10, 0, 0);
        room.runs_max_of.insert(skill("one"), 1);
        let residency = Residency::new(&room);
        let first = residency.enter(&skill("one")).await;
        assert!(residency.enter(&skill("one")).now_or_never().is_none());
        residency
            .enter(&skill("other"))
            .now_or_never()
            .expect("another skill's");
        drop(first);
        residency.enter(&skill("one")).now_or_never().expect("its slot is free");
    }
}
