//! Whoever uses the host: launches runs, says things to them, starts daemons and commands, and helps when nothing goes wrong any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use futures::channel::{mpsc, oneshot};
use skillhost::daemon::Simulated;
use skillhost::driver::{Driven, Here, Room, Silent, Worker};
use skillhost::env::Environment;
use skillhost::home::Home;
use skillhost_core::entry::{Limits, Provider, SEMANTICS, Started};
use skillhost_core::id::{Digest, LaunchId, Number, RunId, SignalName, SkillName};
use skillhost_core::machine::{Command, Decision, Mail, Status, Wait};
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_effects::model::{self, Settings};
use skillhost_journal::{Bundle, BundleFile, Journal as _, NewRun, RunFilter, RunRow};

use crate::disk::Disk;
use crate::outside::{Surroundings, component};
use crate::plan::Fault;
use crate::sim::{Pid, Sim, lock};

/// The people are the first process, and are never killed.
const PEOPLE: Pid = Pid(0);

/// What somebody asks of a daemon.
enum Request {
    Drive(RunId),
    Wake(RunId),
    Lend(RunId, oneshot::Sender<()>),
    TakeBack(RunId),
    Drain,
}

/// Everybody, and the doors at which they ring.
#[derive(Clone)]
pub(crate) struct People(Arc<Known>);

struct Known {
    sim: Sim,
    home: Home,
    doors: Mutex<BTreeMap<Pid, mpsc::UnboundedSender<Request>>>,
    said: Mutex<Said>,
}

/// What was said and accepted.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Questions and doubts that somebody settled, by run and call.
    pub(crate) settled: BTreeSet<(RunId, Number)>,
    /// How many events were sent; the value of each is its number.
    events: usize,
    launched: usize,
    /// Troubles of runs that were told to go on.
    resumed: BTreeSet<(RunId, Timestamp)>,
}

impl People {
    pub(crate) fn new(sim: &Sim) -> Self {
        let environment = Environment {
            home: Some("/simulated".into()),
            skills: None,
            user_folder: None,
            caller_folder: None,
            user: None,
            search_path: None,
            is_model_call: false,
            model: model::Environment::of(|_| None),
        };
        Self(Arc::new(Known {
            sim: sim.clone(),
            home: Home::find(&environment).expect("it is named"),
            doors: Mutex::default(),
            said: Mutex::default(),
        }))
    }

    /// Has everybody begin.
    pub(crate) fn begin(&self) {
        let sim = &self.0.sim;
        let plan = sim.plan().clone();
        for _ in 0..plan.runs {
            let people = self.clone();
            sim.spawn(
                PEOPLE,
                Box::pin(async move {
                    people.rest(Duration::from_secs(30)).await;
                    people.launch();
                }),
            );
        }
        for _ in 0..plan.people {
            let people = self.clone();
            sim.spawn(
                PEOPLE,
                Box::pin(async move {
                    people.rest(Duration::from_secs(600)).await;
                    people.say_something().await;
                }),
            );
        }
        for _ in 0..plan.commands {
            let people = self.clone();
            sim.spawn(
                PEOPLE,
                Box::pin(async move {
                    people.rest(Duration::from_secs(120)).await;
                    if let Some(row) = people.some_run() {
                        people.begin_command(&row.run);
                    }
                }),
            );
        }
        let people = self.clone();
        sim.spawn(PEOPLE, Box::pin(async move { people.keep_daemons().await }));
        let people = self.clone();
        sim.spawn(PEOPLE, Box::pin(async move { people.help().await }));
    }

    async fn rest(&self, longest: Duration) {
        let time = self.0.sim.draw(|chance| chance.time(longest));
        self.0.sim.sleep(time).await;
    }

    fn draw(&self, below: usize) -> usize {
        self.0.sim.draw(|chance| chance.below(below))
    }

    pub(crate) fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        lock(&self.0.said)
    }

    /// Returns whether everything was launched, and is over.
    pub(crate) fn is_over(&self) -> bool {
        let rows = self.rows();
        self.said().launched == self.0.sim.plan().runs && rows.iter().all(|row| row.status.is_final())
    }

    pub(crate) fn rows(&self) -> Vec<RunRow> {
        self.0
            .sim
            .store()
            .runs(&RunFilter::default())
            .expect("people's reads do not fail")
    }

    fn some_run(&self) -> Option<RunRow> {
        let mut rows = self.rows();
        match rows.len() {
            0 => None,
            count => Some(rows.swap_remove(self.draw(count))),
        }
    }
}

/// Launching and driving.
impl People {
    fn launch(&self) {
        let sim = &self.0.sim;
        self.said().launched += 1;
        let place = match sim.goes_wrong(Fault::Swap, 2) {
            true => 1,
            false => 0,
        };
        let run = sim.world().next_run();
        sim.note(|| format!("run {run} is launched with program {place}"));
        sim.store()
            .create_run(NewRun::first(install(sim, &run, place), sim.clock(), None))
            .expect("it is created");
        match self.draw(5) {
            0 => self.begin_command(&run),
            _ => self.ring(|| Request::Drive(run.clone())),
        }
    }

    /// Rings at a daemon's door, if there is one and nothing goes wrong. Who helps rings half of the time: what is not rung for is found.
    fn ring(&self, request: impl Fn() -> Request) {
        let sim = &self.0.sim;
        if sim.goes_wrong(Fault::NoRing, 3) || self.is_quiet() && self.draw(2) == 0 {
            return;
        }
        let doors = lock(&self.0.doors);
        for (pid, door) in &*doors {
            if sim.workers().contains(pid) {
                door.unbounded_send(request()).ok();
                return;
            }
        }
    }

    async fn keep_daemons(&self) {
        loop {
            let sim = &self.0.sim;
            if sim.core().is_quiet || sim.plan().has_daemon {
                self.begin_daemon();
            }
            self.rest(Duration::from_secs(20)).await;
        }
    }

    /// Begins a daemon, unless one is there: it holds a lock of the state folder, until its process is gone.
    pub(crate) fn begin_daemon(&self) {
        let sim = &self.0.sim;
        let there = sim.workers();
        if lock(&self.0.doors).keys().any(|pid| there.contains(pid)) {
            return;
        }
        let pid = sim.begin_process();
        let (door, rung) = mpsc::unbounded();
        lock(&self.0.doors).insert(pid, door);
        let people = self.clone();
        sim.spawn(
            pid,
            Box::pin(async move {
                people.be_daemon(pid, rung).await;
                people.0.sim.exit(pid);
            }),
        );
    }

    async fn be_daemon(&self, pid: Pid, mut rung: mpsc::UnboundedReceiver<Request>) {
        let plan = self.0.sim.plan();
        let room = Room {
            runs_max: plan.runs_max,
            runs_max_of: Default::default(),
            waiting_bytes_max: u64::MAX,
            waiting_max: plan.waiting_max,
        };
        let Ok(daemon) = Simulated::begin(self.worker(pid), room, &self.0.home) else {
            return;
        };
        let daemon = Arc::new(daemon);
        while let Some(request) = rung.next().await {
            match request {
                Request::Drive(run) => drop(daemon.drive(&run)),
                Request::Wake(run) => drop(daemon.wake(&run)),
                Request::Lend(run, told) => {
                    let daemon = Arc::clone(&daemon);
                    self.0.sim.spawn(
                        pid,
                        Box::pin(async move {
                            daemon.lend(&run).await;
                            // Whoever borrows it gives it back, or the daemon would have it lent for ever.
                            if told.send(()).is_err() {
                                daemon.take_back(&run);
                            }
                        }),
                    );
                }
                Request::TakeBack(run) => daemon.take_back(&run),
                Request::Drain => return daemon.drain().await,
            }
        }
    }

    fn worker(&self, pid: Pid) -> Worker {
        let sim = &self.0.sim;
        let surroundings = Surroundings { sim: sim.clone(), pid };
        Worker::with(sim.worker(pid), Disk::of(sim, pid), Arc::new(surroundings))
    }

    /// Begins a command that drives a run itself.
    fn begin_command(&self, run: &RunId) {
        let patience = match self.draw(2) {
            0 => None,
            _ => Some(Duration::from_secs(10)),
        };
        self.begin_patient_command(run, patience);
    }

    pub(crate) fn begin_patient_command(&self, run: &RunId, patience: Option<Duration>) {
        let sim = &self.0.sim;
        let pid = sim.begin_process();
        let (people, run) = (self.clone(), run.clone());
        sim.spawn(
            pid,
            Box::pin(async move {
                people.be_command(pid, &run, patience).await;
                people.0.sim.exit(pid);
            }),
        );
    }

    async fn be_command(&self, pid: Pid, run: &RunId, patience: Option<Duration>) {
        let settings = Settings::new(model::Config::default(), model::Environment::of(|_| None));
        let worker = self.worker(pid);
        let here = Here {
            worker: &worker,
            settings: &settings,
            patience,
            development: None,
        };
        let driven = here.drive(run, &mut Silent).await;
        let sim = &self.0.sim;
        sim.note(|| format!("p{} drove run {run}: {driven:?}", pid.0));
        if let Ok(Driven::Finished(_)) = driven {
            let status = sim.store().run(run).map(|row| row.status);
            if !status.is_ok_and(Status::is_final) {
                sim.violate(format!("j2: the end of run {run} is shown before it is durable"));
            }
        }
    }
}

/// Saying things.
impl People {
    async fn say_something(&self) {
        let Some(row) = self.some_run() else { return };
        let (run, plan) = (&row.run, self.0.sim.plan());
        match self.draw(9) {
            0 | 1 => self.send_event(run),
            2 => self.say(
                run,
                Command::Note {
                    message: "note".to_owned(),
                    by: None,
                },
            ),
            3 if plan.may_cancel => self.say(run, Command::Cancel { reason: None }),
            4 if plan.may_pause => self.say(run, Command::Pause { by: None }),
            5 => self.say(run, Command::Resume { by: None }),
            6 => self.borrow(run).await,
            7 => self.replace_daemon(),
            _ => self.settle_what_waits(run, 1),
        }
    }

    /// Says what a run waits for as soon as it can be seen that it does, as a program would.
    pub(crate) fn answer_at_once(&self) {
        if let Some(row) = self.some_run() {
            self.settle_what_waits(&row.run, 1);
        }
    }

    fn send_event(&self, run: &RunId) {
        let name = match self.draw(2) {
            0 => "go",
            _ => "stop",
        };
        self.send(run, &SignalName::parse(name).expect("a name"));
    }

    fn send(&self, run: &RunId, name: &SignalName) {
        let number = {
            let mut said = self.said();
            said.events += 1;
            said.events
        };
        self.say(
            run,
            Command::Event {
                name: name.clone(),
                value: Payload::of(&format!("event {number}")),
                by: None,
            },
        );
    }

    fn say(&self, run: &RunId, command: Command) {
        let sim = &self.0.sim;
        let posted = sim.store().post_mail(run, sim.clock(), &command);
        sim.note(|| format!("people say {command:?} to {run}: {posted:?}"));
        self.ring(|| Request::Wake(run.clone()));
    }

    fn is_quiet(&self) -> bool {
        self.0.sim.core().is_quiet
    }

    fn has_mail(&self, run: &RunId, is_it: impl Fn(&Mail) -> bool) -> bool {
        let mail = self.0.sim.store().mail(run).unwrap_or_default();
        mail.iter().any(is_it)
    }

    /// Answers what a run asks, and decides what it is in doubt about; of several, one or all.
    fn settle_what_waits(&self, run: &RunId, of: usize) {
        let waits = self.0.sim.store().waits(run).unwrap_or_default();
        for wait in waits {
            if self.draw(of) > 0 {
                continue;
            }
            match wait.wait {
                Wait::Timer | Wait::Skill(_) => {}
                Wait::Event(name) => {
                    // Once is enough: what lies in the mailbox is taken.
                    let is_sent =
                        |mail: &Mail| matches!(&mail.command, Command::Event { name: sent, .. } if *sent == name);
                    if !self.has_mail(run, is_sent) {
                        self.send(run, &name);
                    }
                }
                Wait::Question(_) => self.settle(run, wait.number, |by| Command::Answer {
                    number: wait.number,
                    value: Payload::of(&format!("answer by {by}")),
                    by: None,
                }),
                Wait::Decision => {
                    let decision = match self.draw(3) {
                        0 => Decision::Redo,
                        1 => Decision::Skip,
                        _ => Decision::Answer(Payload::of("by hand")),
                    };
                    self.settle(run, wait.number, |_| Command::Decide {
                        number: wait.number,
                        decision: decision.clone(),
                        by: None,
                    });
                }
            }
        }
    }

    /// Answers or decides, maybe twice: the second is refused as long as the first lies there.
    fn settle(&self, run: &RunId, number: Number, command: impl Fn(u32) -> Command) {
        let sim = &self.0.sim;
        let times = match sim.goes_wrong(Fault::Twice, 2) {
            true => 2,
            false => 1,
        };
        let mut accepted = 0;
        for by in 0..times {
            let command = command(by);
            let posted = sim.store().post_mail(run, sim.clock(), &command);
            sim.note(|| format!("people say {command:?} to {run}: {posted:?}"));
            if posted.is_ok() {
                accepted += 1;
                self.said().settled.insert((run.clone(), number));
                if matches!(
                    command,
                    Command::Decide {
                        decision: Decision::Redo,
                        ..
                    }
                ) {
                    *sim.world().of(run).decided.entry(number).or_default() += 1;
                }
            }
        }
        if accepted > 1 {
            sim.violate(format!(
                "p2: call {number} of run {run} takes {accepted} answers at once"
            ));
        }
        if accepted > 0 {
            self.ring(|| Request::Wake(run.clone()));
        }
    }

    /// Has the daemon lend a run for a while.
    async fn borrow(&self, run: &RunId) {
        let (sim, (tell, told)) = (&self.0.sim, oneshot::channel());
        let door = {
            let doors = lock(&self.0.doors);
            let there = sim.workers();
            doors
                .iter()
                .find(|(pid, _)| there.contains(pid))
                .map(|(_, door)| door.clone())
        };
        let Some(door) = door else { return };
        door.unbounded_send(Request::Lend(run.clone(), tell)).ok();
        let mut told = told;
        let patience = sim.sleep(Duration::from_secs(60));
        if let futures::future::Either::Left((Ok(()), _)) = futures::future::select(&mut told, patience).await {
            self.rest(Duration::from_secs(5)).await;
            door.unbounded_send(Request::TakeBack(run.clone())).ok();
        }
    }

    /// Has the daemon end in order; somebody will begin the next.
    fn replace_daemon(&self) {
        let there = self.0.sim.workers();
        let doors = lock(&self.0.doors);
        if let Some((_, door)) = doors.iter().find(|(pid, _)| there.contains(pid)) {
            door.unbounded_send(Request::Drain).ok();
        }
    }

    /// When nothing goes wrong any more, says whatever runs wait for, as long as any is not over.
    async fn help(&self) {
        loop {
            self.0.sim.sleep(Duration::from_secs(5)).await;
            if !self.0.sim.core().is_quiet {
                continue;
            }
            for row in self.rows() {
                match row.status {
                    Status::Paused | Status::Parked if row.trouble.is_some() || row.status == Status::Paused => {
                        // Told once for each trouble, as a person would.
                        let of_trouble = row.trouble.map(|trouble| (row.run.clone(), trouble.at));
                        if of_trouble.is_none_or(|trouble| self.said().resumed.insert(trouble)) {
                            self.say(&row.run, Command::Resume { by: None });
                        }
                    }
                    status if status.is_final() => {}
                    _ => self.settle_what_waits(&row.run, 2),
                }
            }
        }
    }
}

/// Has a component be there, and returns how a run of it begins.
pub(crate) fn install(sim: &Sim, run: &RunId, place: usize) -> Started {
    let bytes = component(place).into_bytes();
    let file = BundleFile {
        path: "skill.wasm".to_owned(),
        digest: Digest::of(&bytes),
        size: bytes.len() as u64,
    };
    let bundle = Bundle::new([file]).expect("a bundle of one file");
    let put = sim.store().put_bundle(&bundle, sim.clock(), &|_| Ok(bytes.clone()));
    started(run, put.expect("it is put"), Digest::of(&bytes))
}

/// Returns the name of the one skill that there is.
pub(crate) fn skill() -> SkillName {
    SkillName::parse("scripted").expect("a name")
}

fn started(run: &RunId, bundle: Digest, component: Digest) -> Started {
    Started {
        launch: LaunchId::parse(run.as_str()).expect("a launch id"),
        run: run.clone(),
        skill: skill(),
        input: Payload::of(&0),
        bundle,
        component,
        seed: Digest::of(b"seed"),
        zone: "UTC".to_owned(),
        zone_offsets: Vec::new(),
        mounts: Vec::new(),
        limits: Limits::default(),
        provider: Provider {
            name: "offline".to_owned(),
            models: BTreeMap::new(),
            features: Vec::new(),
            simulated: true,
            acts: false,
        },
        engine: "none".to_owned(),
        semantics: SEMANTICS,
        parent: None,
        continues: None,
        caller: None,
        skills_folder: None,
        grants: Default::default(),
    }
}
