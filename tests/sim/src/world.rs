//! The world that runs act on: it remembers what was done to it, and holds whoever does something to the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use skillhost::driver::{DriveError, Kin, Performer};
use skillhost_core::budget::Cost;
use skillhost_core::calls::skills::Launched;
use skillhost_core::effect::{Class, Function, Kind};
use skillhost_core::entry::{Called, Caller, Entry, Limits, Record, Started};
use skillhost_core::id::{Epoch, LaunchId, Number, RunId};
use skillhost_core::machine::{Again, Ended, Ticket};
use skillhost_core::outcome::{Fault as Failed, Outcome};
use skillhost_core::payload::Payload;
use skillhost_core::retry::FaultKind;
use skillhost_effects::Watch;
use skillhost_journal::{Created, Journal as _, NewRun};

use crate::disk::Disk;
use crate::people::install;
use crate::plan::Fault;
use crate::sim::{Pid, Sim, lock};

/// With so many runs there are no more that are called, or those that call each other would never end.
const RUNS_MAX: u64 = 12;

/// What was done to the world, by run.
#[derive(Debug, Default)]
pub(crate) struct World {
    runs: BTreeMap<RunId, Done>,
    /// How many runs there were, which are numbered.
    numbered: u64,
}

/// What was done for one run.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// How often each call was performed, and the highest attempt.
    performed: BTreeMap<Number, (u32, u32)>,
    /// How often the effect of each call took place.
    pub(crate) took_place: BTreeMap<Number, u32>,
    /// What each call was answered with, by whoever performed it.
    pub(crate) answers: BTreeMap<Number, Vec<Outcome>>,
    /// The bytes of the one file that appends go to: a call each.
    pub(crate) file: Vec<u64>,
    /// The calls that a person decided about, and how often.
    pub(crate) decided: BTreeMap<Number, u32>,
    /// What is being performed, and whether it changes files.
    in_flight: BTreeMap<(Number, u32), bool>,
}

impl World {
    /// Returns the id of a run that is to be launched.
    pub(crate) fn next_run(&mut self) -> RunId {
        self.numbered += 1;
        RunId::parse(&format!("{:026}", self.numbered)).expect("a run id")
    }

    pub(crate) fn of(&mut self, run: &RunId) -> &mut Done {
        self.runs.entry(run.clone()).or_default()
    }
}

/// What performs the calls of one attempt.
pub(crate) struct Actor {
    pub(crate) scene: Arc<Scene>,
    pub(crate) started: Started,
    pub(crate) kin: Arc<dyn Kin>,
}

/// One attempt, as the world sees it.
pub(crate) struct Scene {
    pub(crate) sim: Sim,
    pub(crate) pid: Pid,
    pub(crate) run: RunId,
    pub(crate) epoch: Epoch,
    /// The calls that the guest has dropped in this attempt.
    pub(crate) dropped: std::sync::Mutex<BTreeSet<Number>>,
}

impl Performer for Actor {
    fn note(&self, _called: &Called) {}

    fn measure(&self, _ticket: Ticket) -> BoxFuture<'static, Result<Payload, Ended>> {
        let scene = Arc::clone(&self.scene);
        let takes = scene.sim.draw(|chance| chance.time(Duration::from_millis(20)));
        Box::pin(async move {
            scene.sim.sleep(takes).await;
            let length = scene.sim.world().of(&scene.run).file.len();
            Ok(Payload::of(&length))
        })
    }

    fn launch(&self, ticket: Ticket) -> BoxFuture<'static, Result<Result<Payload, Failed>, DriveError>> {
        let scene = Arc::clone(&self.scene);
        scene.check(&ticket);
        let (caller, kin) = (self.started.clone(), Arc::clone(&self.kin));
        let takes = scene.sim.draw(|chance| chance.time(Duration::from_millis(100)));
        Box::pin(async move {
            scene.sim.sleep(takes).await;
            let launched = scene.launch(&caller, &ticket)?;
            scene.sim.gate(scene.pid, "launched");
            if let Ok(run) = &launched {
                kin.launched(run);
            }
            Ok(launched.map(|run| Payload::of(&Launched { run })))
        })
    }

    fn perform(&self, ticket: Ticket, _watch: Watch) -> BoxFuture<'static, Ended> {
        self.scene.check(&ticket);
        let performance = Performance::begin(Arc::clone(&self.scene), ticket);
        Box::pin(performance.go_on())
    }
}

impl Scene {
    /// Launches the run that a call is for, or finds it, as the product does.
    fn launch(&self, caller: &Started, ticket: &Ticket) -> Result<Result<RunId, Failed>, DriveError> {
        let number = ticket.number();
        let journal = Disk::of(&self.sim, self.pid);
        let launch = LaunchId::of_call(&self.run, number);
        if let Some(run) = journal.launched(&launch)? {
            return Ok(Ok(run));
        }
        if self.sim.world().numbered >= RUNS_MAX || self.sim.draw(|chance| chance.one_in(8)) {
            return Ok(Err(Failed::new(Failed::NOT_FOUND, "there is no such skill")));
        }
        let place = self.sim.draw(|chance| chance.below(2));
        let run = self.sim.world().next_run();
        // It may spend what was reserved for it, and no more.
        let reserved = ticket.reserved().unwrap_or_default();
        let limits = Limits {
            budget: reserved,
            microdollars_max: Some(reserved.microdollars),
            ..Limits::default()
        };
        let started = Started {
            launch,
            limits,
            caller: Some(Caller {
                run: self.run.clone(),
                number,
                depth: caller.caller.as_ref().map_or(0, |caller| caller.depth) + 1,
                before: Cost::ZERO,
            }),
            ..install(&self.sim, &run, place)
        };
        self.sim
            .note(|| format!("run {run} is launched for {}/{number}", self.run));
        Ok(Ok(
            match journal.create_run(NewRun::first(started, self.sim.clock(), None))? {
                Created::New => run,
                Created::Existing(row) => row.run,
            },
        ))
    }

    /// Checks that this may be performed now: L1, J1, R1, R2, R3, R5, and the promise about what must not be done twice.
    fn check(&self, ticket: &Ticket) {
        if let Err(broken) = self.may(ticket) {
            let what = format!(
                "run {} call {} {}: {broken}",
                self.run,
                ticket.number(),
                ticket.function()
            );
            self.sim.violate(what);
        }
    }

    fn may(&self, ticket: &Ticket) -> Result<(), String> {
        let number = ticket.number();
        let store = self.sim.store();
        let lease = store.lease(&self.run).map_err(|error| error.to_string())?;
        if lease.epoch != self.epoch || lease.holder.as_ref() != Some(&self.sim.worker(self.pid)) {
            return Err(format!(
                "l1: performed at epoch {}, and the run is held at {lease:?}",
                self.epoch
            ));
        }
        if lock(&self.dropped).contains(&number) {
            return Err("r1: a dropped call is performed".to_owned());
        }
        let records = store.all_records(&self.run).map_err(|error| error.to_string())?;
        let has = |wanted: &dyn Fn(&Entry) -> bool| records.iter().filter(|r| wanted(&r.entry)).count();
        if has(&|entry| matches!(entry, Entry::Returned(returned) if returned.number == number)) > 0 {
            return Err("r5: a call whose answer was recorded is made again".to_owned());
        }
        let mut world = self.sim.world();
        let done = world.of(&self.run);
        if ticket.class() != Class::Observe {
            self.is_durable(ticket, &records)?;
            let (_, highest) = done.performed.get(&number).copied().unwrap_or_default();
            if ticket.attempt() <= highest {
                return Err(format!("r2: attempt {} after attempt {highest}", ticket.attempt()));
            }
        }
        if ticket.class() == Class::AtMostOnce {
            let (performed, _) = done.performed.get(&number).copied().unwrap_or_default();
            let decided = done.decided.get(&number).copied().unwrap_or(0);
            if performed > decided {
                return Err(format!(
                    "r4: performed {performed} times, a person said so {decided} times"
                ));
            }
        }
        if changes_files(ticket.function()) {
            if done.in_flight.values().any(|changes| *changes) {
                return Err("r3: two changes to files at once".to_owned());
            }
            let before = records.iter().filter_map(|record| match &record.entry {
                Entry::Called(called) if changes_files(called.function) && called.number < number => {
                    Some(called.number)
                }
                _ => None,
            });
            let is_cancelled = has(&|entry| matches!(entry, Entry::Cancelled { .. })) > 0;
            for before in before {
                let returned = has(&|entry| matches!(entry, Entry::Returned(returned) if returned.number == before));
                if returned == 0 && !lock(&self.dropped).contains(&before) && !is_cancelled {
                    return Err(format!("r3: the change before, {before}, has no durable outcome"));
                }
            }
        }
        Ok(())
    }

    /// J1 and R2: the call, what the guest was given before it, and the attempt are durable.
    fn is_durable(&self, ticket: &Ticket, records: &[Record]) -> Result<(), String> {
        let number = ticket.number();
        let called = records.iter().find_map(|record| match &record.entry {
            Entry::Called(called) if called.number == number => Some(called.after),
            _ => None,
        });
        let after = called.ok_or("j1: its own entry is not durable")?;
        let outcomes = records.iter().filter(|record| record.entry.is_outcome()).count() as u64;
        if outcomes < after {
            return Err("j1: what the guest was given before is not durable".to_owned());
        }
        let retried = |record: &&Record| matches!(&record.entry, Entry::Retried(retried) if retried.number == number);
        let retried = records.iter().filter(retried).count();
        if (retried as u32) + 1 < ticket.attempt() {
            return Err("r2: this attempt is not durable".to_owned());
        }
        if ticket.key() != format!("{}/{number}", self.run) {
            return Err(format!("r2: its key is `{}`", ticket.key()));
        }
        Ok(())
    }
}

fn changes_files(function: Function) -> bool {
    matches!(function.kind(), Kind::FileChange { .. })
}

/// One performance. If it is cut off, its effect may take place all the same.
struct Performance {
    scene: Arc<Scene>,
    ticket: Ticket,
    /// Whether its effect can still take place.
    is_coming: bool,
}

impl Performance {
    fn begin(scene: Arc<Scene>, ticket: Ticket) -> Self {
        let number = ticket.number();
        scene.sim.note(|| {
            let (pid, run) = (scene.pid.0, &scene.run);
            format!(
                "p{pid} performs {run}/{number} {} attempt {}",
                ticket.function(),
                ticket.attempt()
            )
        });
        {
            let mut world = scene.sim.world();
            let done = world.of(&scene.run);
            // What is only looked at may be performed before it is recorded, and after a crash another call may have its number.
            if ticket.class() != Class::Observe {
                let performed = done.performed.entry(number).or_default();
                *performed = (performed.0 + 1, ticket.attempt().max(performed.1));
            }
            let changes = changes_files(ticket.function());
            done.in_flight.insert((number, ticket.attempt()), changes);
        }
        Self {
            scene,
            ticket,
            is_coming: true,
        }
    }

    async fn go_on(mut self) -> Ended {
        let sim = self.scene.sim.clone();
        let takes = sim.draw(|chance| chance.time(Duration::from_secs(2)));
        sim.sleep(takes).await;
        let is_remote = matches!(self.ticket.class(), Class::Retryable | Class::AtMostOnce)
            && !changes_files(self.ticket.function());
        if is_remote && sim.goes_wrong(Fault::Stall, 6) {
            let stalls = sim.draw(|chance| chance.time(Duration::from_secs(900)));
            sim.sleep(stalls).await;
        }
        if self.ticket.class() == Class::Retryable && is_remote && sim.goes_wrong(Fault::ProviderError, 3) {
            self.is_coming = false;
            return self.ends_with(failure(&sim));
        }
        let in_doubt = self.take_effect();
        self.is_coming = false;
        let lasts = sim.draw(|chance| chance.time(Duration::from_millis(200)));
        sim.sleep(lasts).await;
        if in_doubt || self.ticket.class() == Class::AtMostOnce && sim.goes_wrong(Fault::Doubt, 3) {
            return Ended::InDoubt("nobody knows".to_owned());
        }
        let number = self.ticket.number();
        let outcome = Outcome::Ok(Payload::of(&format!(
            "{number} performed {}",
            sim.draw(|chance| chance.below(1_000))
        )));
        self.ends_with(Ended::Returned {
            outcome,
            spent: None,
            again: None,
        })
    }

    fn ends_with(&self, ended: Ended) -> Ended {
        if let Ended::Returned { outcome, .. } = &ended {
            let mut world = self.scene.sim.world();
            let answers = &mut world.of(&self.scene.run).answers;
            answers.entry(self.ticket.number()).or_default().push(outcome.clone());
        }
        ended
    }

    /// Changes the world as a real performer would (rule R3 for appends); returns whether nobody can say what was done.
    fn take_effect(&self) -> bool {
        let number = self.ticket.number();
        let mut world = self.scene.sim.world();
        let done = world.of(&self.scene.run);
        if self.ticket.function() == Function::FILES_APPEND {
            let measured: Option<usize> = self.ticket.measured().and_then(|measured| measured.read().ok());
            let Some(measured) = measured else {
                drop(world);
                self.scene.sim.violate(format!("r3: append {number} was not measured"));
                return true;
            };
            if done.file.len() == measured {
                done.file.push(number.0);
            } else if !(self.ticket.in_doubt() && done.file.len() == measured + 1 && done.file[measured] == number.0) {
                return true;
            }
        }
        *done.took_place.entry(number).or_default() += 1;
        false
    }
}

impl Drop for Performance {
    fn drop(&mut self) {
        let sim = self.scene.sim.clone();
        if self.is_coming && sim.draw(|chance| chance.one_in(2)) {
            self.take_effect();
        }
        let mut world = sim.world();
        let in_flight = &mut world.of(&self.scene.run).in_flight;
        in_flight.remove(&(self.ticket.number(), self.ticket.attempt()));
    }
}

/// Says how a provider fails.
fn failure(sim: &Sim) -> Ended {
    let after = sim.draw(|chance| chance.one_in(3).then(|| chance.time(Duration::from_secs(120))));
    let again = sim.draw(|chance| match chance.below(3) {
        0 => None,
        1 => Some(FaultKind::Overloaded),
        _ => Some(FaultKind::Network),
    });
    Ended::Returned {
        outcome: Outcome::fault("overloaded", "the provider has no time"),
        spent: None,
        again: again.map(|kind| Again { kind, after }),
    }
}
