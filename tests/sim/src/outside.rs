//! What a simulated process finds around it: the simulated time, scripted guests and the simulated world.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use skillhost::driver::{Attempt, DriveError, Equipment, Outside, Player};
use skillhost::schema::Schema;
use skillhost_core::budget::Cost;
use skillhost_core::entry::Entry;
use skillhost_core::id::{Digest, RunId, WorkerId};
use skillhost_core::lease::Holder;
use skillhost_core::machine::{Act, Delivery, Slice};
use skillhost_core::time::Timestamp;
use skillhost_journal::{Journal as _, RunRow};

use crate::plan::Fault;
use crate::program::{Guest, Program};
use crate::sim::{Pid, Sim, lock};
use crate::world::{Actor, Scene};

/// What is wrong with an attempt that cannot be made ready. Trouble of another kind is a violation.
pub(crate) const UNREADY: &str = "the simulation makes nothing ready";

/// What one process finds around it.
pub(crate) struct Surroundings {
    pub(crate) sim: Sim,
    pub(crate) pid: Pid,
}

/// Every component that there is.
pub(crate) fn components(programs: &[Arc<Program>]) -> BTreeMap<Digest, Arc<Program>> {
    let named = programs.iter().enumerate();
    named
        .map(|(place, program)| (Digest::of(component(place).as_bytes()), Arc::clone(program)))
        .collect()
}

/// Returns the bytes of a component: its place among the programs is all that there is of it.
pub(crate) fn component(place: usize) -> String {
    format!("component {place}")
}

/// Makes the guest of a run.
pub(crate) fn guest(
    sim: &Sim,
    component: &Digest,
    input: &skillhost_core::payload::Payload,
) -> Option<Guest<Arc<Program>>> {
    let program = components(&sim.plan().programs).remove(component)?;
    Some(Guest::at(program, input.read().unwrap_or(0)))
}

impl Outside for Surroundings {
    fn now(&self) -> Timestamp {
        self.sim.clock()
    }

    fn uptime(&self) -> Duration {
        self.sim.uptime(self.pid)
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.sim.sleep(time)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.sim.spawn(self.pid, task);
    }

    fn holder(&self, worker: &WorkerId) -> io::Result<Holder> {
        self.sim.gate(self.pid, "holder");
        if self.sim.goes_wrong(Fault::LockError, 10) {
            return Err(io::Error::other("the lock cannot be looked at"));
        }
        Ok(match self.sim.is_there(worker) {
            true => Holder::Alive,
            false => Holder::Gone,
        })
    }

    fn gone(&self, worker: &WorkerId) -> BoxFuture<'static, io::Result<()>> {
        let told = self.sim.when_gone(worker);
        let sim = self.sim.clone();
        Box::pin(async move {
            told.await.ok();
            let late = match sim.goes_wrong(Fault::LateLock, 3) {
                true => Duration::from_secs(30),
                false => Duration::from_millis(5),
            };
            let late = sim.draw(|chance| chance.time(late));
            sim.sleep(late).await;
            match sim.goes_wrong(Fault::LockError, 10) {
                true => Err(io::Error::other("the lock cannot be waited for")),
                false => Ok(()),
            }
        })
    }

    fn end_survivors(&self, _run: &RunId) -> BoxFuture<'static, io::Result<Vec<String>>> {
        let (sim, pid) = (self.sim.clone(), self.pid);
        Box::pin(async move {
            let takes = sim.draw(|chance| chance.time(Duration::from_millis(5)));
            sim.sleep(takes).await;
            sim.gate(pid, "end_survivors");
            match sim.goes_wrong(Fault::Unready, 20) {
                true => Err(io::Error::other(UNREADY)),
                false => Ok(Vec::new()),
            }
        })
    }

    fn equip<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Result<Equipment, DriveError>> {
        Box::pin(async move {
            let takes = self.sim.draw(|chance| chance.time(Duration::from_millis(50)));
            self.sim.sleep(takes).await;
            self.sim.gate(self.pid, "equip");
            let broken = |reason: &str| DriveError::Broken {
                run: attempt.run.clone(),
                reason: reason.to_owned(),
            };
            if self.sim.goes_wrong(Fault::Unready, 10) {
                return Err(broken(UNREADY));
            }
            let guest = guest(&self.sim, &attempt.pin.component, &attempt.started.input);
            let guest = guest.ok_or_else(|| broken("it is pinned to no component"))?;
            let scene = Arc::new(Scene {
                sim: self.sim.clone(),
                pid: self.pid,
                run: attempt.run.clone(),
                epoch: attempt.epoch,
                dropped: Mutex::default(),
            });
            Ok(Equipment {
                guest: Box::new(Scripted {
                    guest,
                    scene: Arc::clone(&scene),
                }),
                effects: Arc::new(Actor {
                    scene,
                    started: attempt.started.clone(),
                    kin: Arc::clone(attempt.kin),
                }),
                day: Some(Cost::UNBOUNDED),
            })
        })
    }

    fn result_schema<'a>(&'a self, _row: &'a RunRow) -> BoxFuture<'a, Result<Schema, DriveError>> {
        let schema = Schema::parse("").expect("an empty schema takes everything");
        Box::pin(async move { Ok(schema) })
    }
}

/// A guest that plays a program.
struct Scripted {
    guest: Guest<Arc<Program>>,
    scene: Arc<Scene>,
}

impl Scripted {
    /// Computes for a while.
    fn compute(&self) -> BoxFuture<'static, ()> {
        let sim = &self.scene.sim;
        match sim.draw(|chance| chance.one_in(4).then(|| chance.time(Duration::from_millis(20)))) {
            Some(time) => sim.sleep(time),
            None => Box::pin(async {}),
        }
    }

    fn note(&self, slice: Slice) -> Slice {
        let dropped = slice.acts.iter().filter_map(|act| match act {
            Act::Drop(number) => Some(*number),
            _ => None,
        });
        lock(&self.scene.dropped).extend(dropped);
        slice
    }

    /// G3: what is delivered was recorded, or is in the queue before everything that follows from it.
    fn check(&self, delivery: &Delivery) {
        if delivery.outcome.code() == Some("cancelled") {
            return;
        }
        let Scene { sim, pid, run, .. } = &*self.scene;
        let durable = sim.store().all_records(run).unwrap_or_default();
        let queued = sim.disk(*pid).queued_records(run);
        let mut known = durable.iter().chain(&queued);
        let is_known = known.any(|record| {
            matches!(&record.entry, Entry::Returned(returned)
                if returned.number == delivery.number && returned.outcome == delivery.outcome)
        });
        if !is_known {
            let number = delivery.number;
            sim.violate(format!(
                "g3: run {run} is given an outcome of call {number} that is not recorded"
            ));
        }
    }
}

impl Player for Scripted {
    fn start(&mut self) -> BoxFuture<'_, Slice> {
        Box::pin(async move {
            self.compute().await;
            let slice = self.guest.run();
            self.note(slice)
        })
    }

    fn deliver(&mut self, delivery: Delivery) -> BoxFuture<'_, Slice> {
        self.check(&delivery);
        Box::pin(async move {
            self.compute().await;
            let slice = self.guest.deliver(delivery);
            self.note(slice)
        })
    }

    fn memory_bytes(&self) -> u64 {
        1
    }

    fn computed_ms(&self) -> u64 {
        0
    }
}
