//! Stories of a command that leaves a run: what comes at that very moment is not lost, for whoever sent it was told that the run is driven.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use skillhost_core::id::{RunId, SignalName};
use skillhost_core::machine::{Command, Status};
use skillhost_core::payload::Payload;
use skillhost_journal::{Journal as _, MemoryJournal, NewRun};

use crate::people::{People, install};
use crate::plan::Plan;
use crate::program::{Call, Program, Shape};
use crate::sim::Sim;

/// How many orders are tried in which things may happen.
const SEEDS: u64 = 40;

/// How many steps a run of these stories takes at most.
const STEPS_MAX: usize = 20_000;

/// A run that waits for an event, and nobody who would do anything about it.
struct Stage {
    sim: Sim,
    people: People,
    run: RunId,
}

impl Stage {
    fn set(seed: u64) -> Self {
        let plan = Plan {
            programs: vec![Arc::new(Program::new(Shape::Sequence, &[Call::Wait]))],
            runs: 1,
            has_daemon: false,
            commands: 0,
            faults: BTreeSet::new(),
            faults_max: 0,
            fault_every: 1,
            troubled: Duration::MAX,
            people: 0,
            may_cancel: false,
            may_pause: false,
            runs_max: 1,
            waiting_max: 0,
        };
        let sim = Sim::new(seed, plan, false);
        let people = People::new(&sim);
        let run = sim.world().next_run();
        let started = install(&sim, &run, 0);
        sim.store()
            .create_run(NewRun::first(started, sim.clock(), None))
            .unwrap();
        Self { sim, people, run }
    }

    fn post(&self, command: &Command) {
        self.sim
            .store()
            .post_mail(&self.run, self.sim.clock(), command)
            .unwrap();
    }

    /// Has somebody leave mail when the run's lease is given back, for the first or the second time that this is gone through.
    fn post_at_release(&self, passes: usize, command: Command) {
        at_release(
            self.sim.clone(),
            self.sim.store().clone(),
            self.run.clone(),
            passes,
            command,
        );
    }

    /// Has a command drive the run that does not stay for what others have to do, and returns how the run stands when the command is over.
    fn drive(&self) -> Status {
        self.people
            .begin_patient_command(&self.run, Some(Duration::from_secs(10)));
        for _ in 0..STEPS_MAX {
            if self.sim.workers().is_empty() {
                break;
            }
            self.sim.step();
        }
        assert!(self.sim.workers().is_empty(), "the command is over");
        assert_eq!(self.sim.core().violation, None);
        let status = self.sim.store().run(&self.run).unwrap().status;
        self.sim.end();
        status
    }
}

fn at_release(sim: Sim, store: MemoryJournal, run: RunId, passes: usize, command: Command) {
    let further = sim.clone();
    sim.meanwhile("release", move || match passes {
        0 => drop(store.post_mail(&run, further.clock(), &command).unwrap()),
        _ => at_release(further, store, run, passes - 1, command),
    });
}

fn event() -> Command {
    Command::Event {
        name: SignalName::parse("go").unwrap(),
        value: Payload::of("went"),
        by: None,
    }
}

/// Tells a story with mail that comes before a lease is given back and after, in many orders of everything else.
fn check(mail: &[Command], at_release: &Command, ends: Status) {
    for seed in 0..SEEDS {
        for passes in 0..2 {
            let stage = Stage::set(seed);
            mail.iter().for_each(|command| stage.post(command));
            stage.post_at_release(passes, at_release.clone());
            assert_eq!(stage.drive(), ends, "seed {seed}, at pass {passes}: {at_release:?}");
        }
    }
}

#[test]
fn a_run_that_waits_alone_is_left_as_it_is() {
    for seed in 0..SEEDS {
        assert_eq!(Stage::set(seed).drive(), Status::Waiting);
    }
}

#[test]
fn an_event_that_comes_while_a_run_is_left_is_taken() {
    check(&[], &event(), Status::Done);
}

#[test]
fn a_cancellation_that_comes_while_a_run_is_left_is_taken() {
    check(&[], &Command::Cancel { reason: None }, Status::Cancelled);
}

#[test]
fn p4_a_run_that_is_paused_and_told_to_go_on_while_it_is_left_goes_on() {
    check(
        &[Command::Pause { by: None }, event()],
        &Command::Resume { by: None },
        Status::Done,
    );
}

#[test]
fn p4_an_event_that_comes_while_a_paused_run_is_left_stays_for_when_it_goes_on() {
    check(&[Command::Pause { by: None }], &event(), Status::Paused);
}
