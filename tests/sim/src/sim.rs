//! One simulated computer: its processes, its time, and the one thread on which everything happens.
//!
//! [`Sim::step`] lets one thing happen: a task is polled that was woken, a disk is done with what somebody waits for, or time passes. Which, is drawn. What drives has no task
//! of tokio's and no clock but the one here, so nothing else decides. A process whose task is in the middle of something stays on the stack while others go on
//! ([`Sim::gate`]), as it would if each ran by itself; a process that is killed there unwinds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::BoxFuture;
use skillhost_core::id::WorkerId;
use skillhost_core::time::Timestamp;
use skillhost_journal::MemoryJournal;

use crate::chance::Chance;
use crate::plan::{Fault, Plan};
use crate::world::World;

/// What the wall clock shows at the beginning, in microseconds: some day of 2027.
const BEGINNING: u64 = 1_800_000_000_000_000;

/// How deep processes may interrupt each other.
const DEPTH_MAX: usize = 3;

/// What a process unwinds with that is killed in the middle of something.
struct Killed;

/// A process; the first is the people, who are not killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pid(pub(crate) usize);

/// How a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Up,
    Stopped,
    /// It was killed in the middle of something and is still on the stack.
    Dying,
    Gone,
}

pub(crate) struct Process {
    pub(crate) worker: WorkerId,
    pub(crate) standing: Standing,
    begun: Duration,
    /// Tasks of it that are being polled.
    on_stack: usize,
    pub(crate) disk: MemoryJournal,
    /// Who waits for it to be gone.
    waiting: Vec<oneshot::Sender<()>>,
}

/// Something that happens by itself at its time.
enum Planned {
    Wake(Arc<Alarm>),
    GoOn(Pid),
    Heal(Pid),
}

/// The parts that are locked for a moment at a time, and never while anything is polled.
pub(crate) struct Core {
    pub(crate) chance: Chance,
    now: Duration,
    shift: i64,
    agenda: BTreeMap<(Duration, u64), Planned>,
    next: u64,
    owners: BTreeMap<u64, Pid>,
    pub(crate) processes: Vec<Process>,
    /// Nothing goes wrong any more.
    pub(crate) is_quiet: bool,
    pub(crate) injected: BTreeMap<Fault, usize>,
    pub(crate) steps: u64,
    depth: usize,
    trace: Option<String>,
    pub(crate) violation: Option<String>,
}

struct Shared {
    core: Mutex<Core>,
    woken: Arc<Mutex<Vec<u64>>>,
    tasks: Mutex<BTreeMap<u64, Task>>,
    plan: Plan,
    world: Mutex<World>,
    store: MemoryJournal,
    /// What happens when a place is passed the next time, as a story has it.
    meanwhile: Mutex<Option<(&'static str, Meanwhile)>>,
}

type Meanwhile = Box<dyn FnOnce() + Send>;

struct Task {
    future: BoxFuture<'static, ()>,
    wake: Arc<TaskWake>,
}

struct TaskWake {
    task: u64,
    is_woken: AtomicBool,
    woken: Arc<Mutex<Vec<u64>>>,
}

impl Wake for TaskWake {
    fn wake(self: Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::Relaxed) {
            lock(&self.woken).push(self.task);
        }
    }
}

/// A simulated computer. Clones share it.
#[derive(Clone)]
pub(crate) struct Sim(Arc<Shared>);

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A process that is killed unwinds; nothing that runs under a lock here leaves it half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sim {
    pub(crate) fn new(seed: u64, plan: Plan, traced: bool) -> Self {
        let store = MemoryJournal::new();
        let people = Process {
            worker: WorkerId::parse("people").expect("a worker id"),
            standing: Standing::Up,
            begun: Duration::ZERO,
            on_stack: 0,
            disk: store.clone(),
            waiting: Vec::new(),
        };
        let core = Core {
            chance: Chance::new(seed, "steps"),
            now: Duration::ZERO,
            shift: 0,
            agenda: BTreeMap::new(),
            next: 0,
            owners: BTreeMap::new(),
            processes: vec![people],
            is_quiet: false,
            injected: BTreeMap::new(),
            steps: 0,
            depth: 0,
            trace: traced.then(String::new),
            violation: None,
        };
        Self(Arc::new(Shared {
            core: Mutex::new(core),
            woken: Arc::default(),
            tasks: Mutex::default(),
            plan,
            world: Mutex::default(),
            store,
            meanwhile: Mutex::default(),
        }))
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        lock(&self.0.core)
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.0.world)
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// Returns what is durable.
    pub(crate) fn store(&self) -> &MemoryJournal {
        &self.0.store
    }

    /// Returns how much time has passed.
    pub(crate) fn elapsed(&self) -> Duration {
        self.core().now
    }

    /// Returns what the wall clock shows, which all processes share.
    pub(crate) fn clock(&self) -> Timestamp {
        let core = self.core();
        let now = u64::try_from(core.now.as_micros()).unwrap_or(u64::MAX);
        Timestamp((BEGINNING + now).saturating_add_signed(core.shift))
    }

    /// Returns for how long a process has been there.
    pub(crate) fn uptime(&self, pid: Pid) -> Duration {
        let core = self.core();
        core.now - core.processes[pid.0].begun
    }

    /// Notes a promise that was broken. The first one ends the simulation.
    pub(crate) fn violate(&self, what: impl Into<String>) {
        let what = what.into();
        self.note(|| format!("VIOLATION {what}"));
        self.core().violation.get_or_insert(what);
    }

    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        let mut core = self.core();
        let now = core.now;
        if let Some(trace) = &mut core.trace {
            writeln!(trace, "{:>12.6} {}", now.as_secs_f64(), line()).expect("a text takes everything");
        }
    }

    pub(crate) fn take_trace(&self) -> Option<String> {
        self.core().trace.take()
    }

    /// Draws whether something goes wrong, on one of many occasions for it.
    pub(crate) fn goes_wrong(&self, fault: Fault, of: usize) -> bool {
        let plan = &self.0.plan;
        if !plan.faults.contains(&fault) {
            return false;
        }
        let mut core = self.core();
        let so_far: usize = core.injected.values().sum();
        if core.is_quiet || so_far >= plan.faults_max || !core.chance.one_in(of) {
            return false;
        }
        *core.injected.entry(fault).or_default() += 1;
        drop(core);
        self.note(|| format!("fault {}", fault.name()));
        true
    }

    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Chance) -> T) -> T {
        draw(&mut self.core().chance)
    }
}

/// Processes.
impl Sim {
    pub(crate) fn begin_process(&self) -> Pid {
        let mut core = self.core();
        let pid = Pid(core.processes.len());
        let disk = self.0.store.beside();
        disk.set_slow(true);
        let process = Process {
            worker: WorkerId::parse(&format!("w{}", pid.0)).expect("a worker id"),
            standing: Standing::Up,
            begun: core.now,
            on_stack: 0,
            disk,
            waiting: Vec::new(),
        };
        core.processes.push(process);
        drop(core);
        self.note(|| format!("p{} begins", pid.0));
        pid
    }

    pub(crate) fn disk(&self, pid: Pid) -> MemoryJournal {
        self.core().processes[pid.0].disk.clone()
    }

    pub(crate) fn worker(&self, pid: Pid) -> WorkerId {
        self.core().processes[pid.0].worker.clone()
    }

    pub(crate) fn standing(&self, pid: Pid) -> Standing {
        self.core().processes[pid.0].standing
    }

    /// Returns whether the operating system has a worker's lock for somebody.
    pub(crate) fn is_there(&self, worker: &WorkerId) -> bool {
        let core = self.core();
        let mut processes = core.processes.iter();
        processes
            .any(|process| process.worker == *worker && matches!(process.standing, Standing::Up | Standing::Stopped))
    }

    /// Returns what is told when a worker is gone; at once if it is.
    pub(crate) fn when_gone(&self, worker: &WorkerId) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let is_there = self.is_there(worker);
        let mut core = self.core();
        let process = core.processes.iter_mut().find(|process| process.worker == *worker);
        match process {
            Some(process) if is_there => process.waiting.push(tell),
            _ => drop(tell),
        }
        told
    }

    /// Kills a process: some of what it has queued is durable, and the rest is lost.
    pub(crate) fn kill(&self, pid: Pid) {
        let (disk, survives, waiting) = {
            let mut core = self.core();
            let core = &mut *core;
            let process = &mut core.processes[pid.0];
            if !matches!(process.standing, Standing::Up | Standing::Stopped) {
                return;
            }
            process.standing = match process.on_stack {
                0 => Standing::Gone,
                _ => Standing::Dying,
            };
            let queued = process.disk.queued();
            let survives = core.chance.below(queued + 1);
            (process.disk.clone(), survives, std::mem::take(&mut process.waiting))
        };
        self.note(|| format!("p{} is killed, {survives} appends survive", pid.0));
        disk.commit_next(survives);
        disk.crash();
        self.bury(pid);
        drop(waiting);
    }

    /// Lets a process end by itself.
    pub(crate) fn exit(&self, pid: Pid) {
        self.note(|| format!("p{} ends", pid.0));
        self.disk(pid).commit_next(usize::MAX);
        self.kill(pid);
    }

    /// Drops what a process that is gone leaves behind.
    fn bury(&self, pid: Pid) {
        if self.standing(pid) != Standing::Gone {
            return;
        }
        let ids: Vec<u64> = {
            let core = self.core();
            core.owners
                .iter()
                .filter(|(_, owner)| **owner == pid)
                .map(|(id, _)| *id)
                .collect()
        };
        for id in ids {
            self.core().owners.remove(&id);
            let task = lock(&self.0.tasks).remove(&id);
            drop(task);
        }
        // What its tasks still appended while they were dropped is nobody's.
        self.disk(pid).crash();
    }

    /// Stops a process for so long.
    pub(crate) fn stop(&self, pid: Pid, time: Duration) {
        let mut core = self.core();
        if core.processes[pid.0].standing == Standing::Up {
            core.processes[pid.0].standing = Standing::Stopped;
            core.plan_at(time, Planned::GoOn(pid));
            drop(core);
            self.note(|| format!("p{} is stopped for {time:?}", pid.0));
        }
    }

    /// Has commits of a process fail for so long.
    pub(crate) fn fill_disk(&self, pid: Pid, time: Duration) {
        self.disk(pid).set_failing(true);
        self.core().plan_at(time, Planned::Heal(pid));
        self.note(|| format!("p{}'s disk is full for {time:?}", pid.0));
    }

    /// Lets nothing go wrong from now on, and whatever does go wrong end.
    pub(crate) fn calm(&self) {
        self.note(|| "nothing goes wrong any more".to_owned());
        let disks: Vec<MemoryJournal> = {
            let mut core = self.core();
            core.is_quiet = true;
            let processes = core.processes.iter_mut();
            let disks = processes.map(|process| {
                if process.standing == Standing::Stopped {
                    process.standing = Standing::Up;
                }
                process.disk.clone()
            });
            disks.collect()
        };
        disks.iter().for_each(|disk| disk.set_failing(false));
    }

    /// Sets the wall clock.
    pub(crate) fn shift_clock(&self, by: i64) {
        self.core().shift += by;
        self.note(|| format!("the clock is set by {by} us"));
    }

    /// Returns every process that is there, the people left out.
    pub(crate) fn workers(&self) -> Vec<Pid> {
        let core = self.core();
        let all = core.processes.iter().enumerate().skip(1);
        all.filter(|(_, process)| matches!(process.standing, Standing::Up | Standing::Stopped))
            .map(|(place, _)| Pid(place))
            .collect()
    }
}

impl Core {
    fn plan_at(&mut self, after: Duration, planned: Planned) -> (Duration, u64) {
        let key = (self.now + after, self.next);
        self.next += 1;
        self.agenda.insert(key, planned);
        key
    }
}

/// Tasks and time.
impl Sim {
    pub(crate) fn spawn(&self, pid: Pid, future: BoxFuture<'static, ()>) {
        let id = {
            let mut core = self.core();
            if !matches!(core.processes[pid.0].standing, Standing::Up | Standing::Stopped) {
                return;
            }
            let id = core.next;
            core.next += 1;
            core.owners.insert(id, pid);
            id
        };
        let wake = Arc::new(TaskWake {
            task: id,
            is_woken: AtomicBool::new(false),
            woken: Arc::clone(&self.0.woken),
        });
        Arc::clone(&wake).wake();
        lock(&self.0.tasks).insert(id, Task { future, wake });
    }

    pub(crate) fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let alarm = Arc::new(Alarm::default());
        let key = self.core().plan_at(time, Planned::Wake(Arc::clone(&alarm)));
        Box::pin(Sleep {
            sim: self.clone(),
            key,
            alarm,
        })
    }

    /// Lets one thing happen; `false` if nothing can.
    pub(crate) fn step(&self) -> bool {
        let ready = self.ready();
        let commits: Vec<Pid> = {
            let core = self.core();
            let all = core.processes.iter().enumerate();
            all.filter(|(_, process)| process.standing == Standing::Up && process.disk.is_wanted())
                .map(|(place, _)| Pid(place))
                .collect()
        };
        self.core().steps += 1;
        let choices = ready.len() + commits.len();
        if choices == 0 || self.draw(|chance| chance.one_in(20)) {
            return self.pass_time() || choices > 0;
        }
        match self.draw(|chance| chance.below(choices)) {
            place if place < ready.len() => self.poll(ready[place]),
            place => self.commit(commits[place - ready.len()]),
        }
        true
    }

    /// Returns the tasks that may be polled, in the order in which they began: tokio's channels wake several who wait in an order of their own.
    fn ready(&self) -> Vec<u64> {
        let core = self.core();
        let mut woken = lock(&self.0.woken);
        woken.retain(|id| core.owners.contains_key(id));
        let may = |id: &u64| {
            let process = &core.processes[core.owners[id].0];
            process.standing == Standing::Up && process.on_stack == 0
        };
        let mut ready: Vec<u64> = woken.iter().copied().filter(may).collect();
        ready.sort_unstable();
        ready
    }

    fn commit(&self, pid: Pid) {
        let disk = self.disk(pid);
        let queued = disk.queued();
        let appends = self.draw(|chance| match chance.one_in(4) {
            true => 1 + chance.below(queued),
            false => queued,
        });
        self.note(|| format!("p{} commits {appends} of {queued}", pid.0));
        disk.commit_next(appends);
    }

    /// Lets time pass until the next thing is due.
    fn pass_time(&self) -> bool {
        let planned = {
            let mut core = self.core();
            let Some(((at, _), planned)) = core.agenda.pop_first() else {
                return false;
            };
            core.now = at;
            planned
        };
        match planned {
            Planned::Wake(alarm) => alarm.ring(),
            Planned::GoOn(pid) => {
                let mut core = self.core();
                let process = &mut core.processes[pid.0];
                if process.standing == Standing::Stopped {
                    process.standing = Standing::Up;
                    drop(core);
                    self.note(|| format!("p{} goes on", pid.0));
                }
            }
            Planned::Heal(pid) => {
                let disk = self.disk(pid);
                disk.set_failing(false);
                self.note(|| format!("p{}'s disk has room again", pid.0));
            }
        }
        true
    }

    fn poll(&self, id: u64) {
        let Some(mut task) = lock(&self.0.tasks).remove(&id) else {
            return;
        };
        lock(&self.0.woken).retain(|woken| *woken != id);
        task.wake.is_woken.store(false, Ordering::Relaxed);
        let pid = {
            let mut core = self.core();
            let pid = core.owners[&id];
            core.processes[pid.0].on_stack += 1;
            pid
        };
        self.note(|| format!("p{} task {id}", pid.0));
        let waker = Waker::from(Arc::clone(&task.wake));
        let mut context = Context::from_waker(&waker);
        let polled = catch_unwind(AssertUnwindSafe(|| task.future.as_mut().poll(&mut context)));
        let standing = {
            let mut core = self.core();
            let process = &mut core.processes[pid.0];
            process.on_stack -= 1;
            if process.standing == Standing::Dying && process.on_stack == 0 {
                process.standing = Standing::Gone;
            }
            process.standing
        };
        let is_over = match polled {
            Ok(polled) => polled.is_ready(),
            Err(panic) => {
                if !panic.is::<Killed>() {
                    self.violate(format!("a task panicked: {}", words(panic.as_ref())));
                }
                true
            }
        };
        match is_over || matches!(standing, Standing::Dying | Standing::Gone) {
            true => {
                self.core().owners.remove(&id);
                drop(task);
            }
            false => drop(lock(&self.0.tasks).insert(id, task)),
        }
        self.bury(pid);
    }

    /// Passes a place at which a process touches what it shares with others: they may go on meanwhile, and it may be killed here.
    pub(crate) fn gate(&self, pid: Pid, place: &str) {
        if std::thread::panicking() {
            return;
        }
        self.die_if_killed(pid);
        let meanwhile = lock(&self.0.meanwhile).take_if(|(where_to, _)| *where_to == place);
        if let Some((_, happens)) = meanwhile {
            happens();
        }
        let (is_interrupted, is_deep) = {
            let mut core = self.core();
            (core.chance.one_in(12), core.depth >= DEPTH_MAX)
        };
        if self.goes_wrong(Fault::Crash, 400) {
            self.note(|| format!("p{} is killed at `{place}`", pid.0));
            self.kill(pid);
        }
        if is_interrupted && !is_deep {
            let steps = self.draw(|chance| 1 + chance.below(6));
            self.note(|| format!("p{} is interrupted at `{place}`", pid.0));
            self.core().depth += 1;
            for _ in 0..steps {
                self.step();
            }
            self.core().depth -= 1;
        }
        while self.standing(pid) == Standing::Stopped {
            self.core().depth += 1;
            self.step();
            self.core().depth -= 1;
        }
        self.die_if_killed(pid);
    }

    /// Has something happen when a process passes a place the next time.
    #[cfg(test)]
    pub(crate) fn meanwhile(&self, place: &'static str, happens: impl FnOnce() + Send + 'static) {
        *lock(&self.0.meanwhile) = Some((place, Box::new(happens)));
    }

    fn die_if_killed(&self, pid: Pid) {
        if matches!(self.standing(pid), Standing::Dying | Standing::Gone) {
            resume_unwind(Box::new(Killed));
        }
    }

    /// Ends everything, so that nothing keeps anything else in memory.
    pub(crate) fn end(&self) {
        self.core().owners.clear();
        let tasks = std::mem::take(&mut *lock(&self.0.tasks));
        drop(tasks);
        let agenda = std::mem::take(&mut self.core().agenda);
        drop(agenda);
        let waiting: Vec<_> = {
            let mut core = self.core();
            core.processes
                .iter_mut()
                .flat_map(|process| std::mem::take(&mut process.waiting))
                .collect()
        };
        drop(waiting);
        let world = std::mem::take(&mut *self.world());
        drop(world);
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

#[derive(Default)]
struct Alarm(Mutex<(bool, Option<Waker>)>);

impl Alarm {
    fn ring(&self) {
        let waker = {
            let mut alarm = lock(&self.0);
            alarm.0 = true;
            alarm.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

struct Sleep {
    sim: Sim,
    key: (Duration, u64),
    alarm: Arc<Alarm>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut alarm = lock(&self.alarm.0);
        if alarm.0 {
            return Poll::Ready(());
        }
        alarm.1 = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let planned = self.sim.core().agenda.remove(&self.key);
        drop(planned);
    }
}
