//! The runs that the daemon drives: a task for each that is in memory or about to be, and what becomes of it when an attempt ends.
//!
//! A run that only waits and has left memory has no task; a time that comes, mail or a command brings it back ([`Roster::wake`]). One whose turn has not come has none either: it
//! is in the `backlog`, or still in the journal alone ([`Roster::offer`]).

mod lending;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use skillhost_core::entry::{Finished, How};
use skillhost_core::id::{Digest, Number, RunId, SkillName, WorkerId};
use skillhost_core::machine::Status as Standing;
use skillhost_core::payload::Payload;
use skillhost_core::planted::{self, Bug};
use skillhost_core::time::Timestamp;
use skillhost_effects::model::{self, Environment, Settings};
use skillhost_journal::{Journal, JournalError, RunRow, Taken, Trouble};
use tokio::sync::{Notify, broadcast, watch};

use super::backlog::{Backlog, Line};
use super::fate::{self, Fate};
use super::herald::{Herald, Sight};
use super::lock;
use super::protocol::Reply;
use crate::driver::{
    Bell, Drive, DriveError, Driven, Kin, Observer, Residency, Ring, Room, Seen, Sighted, Stay, Until, Worker,
    is_wanted,
};
use crate::schema::{self, Schema};
use lending::Lending;

/// How many things seen are kept for a watcher that is slow; it misses what is older.
const SIGHTS_KEPT: usize = 1_024;

/// How long a run pauses that should be parked and cannot be, because storage fails.
const UNPARKED_PAUSE: Duration = Duration::from_secs(10);

/// How many runs may pause between two attempts, without their turn, before they keep others from beginning.
const PAUSING_MAX: usize = 512;

/// The runs that the daemon drives.
pub(super) struct Roster {
    worker: Worker,
    residency: Arc<Residency>,
    model: model::Config,
    /// The file of the keys that the user stored.
    keys: PathBuf,
    own: Arc<Environment>,
    tasks: Mutex<Tasks>,
    /// The most tasks that there may be.
    tasks_max: usize,
    /// How many tasks there are, for whoever waits until there are none.
    count: watch::Sender<usize>,
    environments: Mutex<HashMap<RunId, Arc<Environment>>>,
    watched: Mutex<HashMap<RunId, broadcast::Sender<Reply>>>,
    schemas: Mutex<HashMap<Digest, Arc<Schema>>>,
    /// Runs that another live worker holds, and who waits for it to be gone.
    foreign: Mutex<HashMap<WorkerId, Vec<RunId>>>,
    herald: Herald,
    /// Rung when a run has left memory or ended: something else may be due next.
    waits_changed: Notify,
    /// Whether runs whose time has come were left alone because there was no room.
    is_left: AtomicBool,
}

/// The runs in memory or on their way there.
struct Tasks {
    begun: BTreeMap<RunId, Task>,
    backlog: Backlog,
    lending: Lending,
    /// Nothing is begun any more.
    draining: bool,
}

/// The task of a run.
struct Task {
    ring: Arc<Ring>,
    /// The line in which it has its turn, until it only waits.
    turn: Option<Line>,
}

/// What came of offering a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// Somebody sees to it.
    Taken,
    /// There is no room for more of its skill.
    SkillFull,
    /// There is no room.
    Full,
}

impl Roster {
    /// Makes an empty roster. `keys` is the file of the keys that the user stored, `own` what the daemon's own environment says of providers.
    pub(super) fn new(
        worker: Worker,
        room: Room,
        herald: Herald,
        model: model::Config,
        keys: PathBuf,
        own: Environment,
    ) -> Arc<Self> {
        let tasks_max = room.guests_max() + PAUSING_MAX;
        Arc::new(Self {
            worker,
            residency: Residency::new(&room),
            model,
            keys,
            own: Arc::new(own),
            tasks: Mutex::new(Tasks {
                begun: BTreeMap::new(),
                backlog: Backlog::new(room),
                lending: Lending::default(),
                draining: false,
            }),
            tasks_max,
            count: watch::Sender::new(0),
            environments: Mutex::default(),
            watched: Mutex::default(),
            schemas: Mutex::default(),
            foreign: Mutex::default(),
            herald,
            waits_changed: Notify::new(),
            is_left: AtomicBool::new(false),
        })
    }

    pub(super) fn worker(&self) -> &Worker {
        &self.worker
    }

    pub(super) fn journal(&self) -> &Arc<dyn Journal> {
        self.worker.journal()
    }

    /// Returns what the wall clock shows.
    pub(super) fn now(&self) -> Timestamp {
        self.worker.outside().now()
    }

    /// Returns how many runs are in memory or on their way there.
    pub(super) fn len(&self) -> usize {
        let tasks = lock(&self.tasks);
        tasks.begun.len() + tasks.backlog.len()
    }

    /// Returns how many of them do not only wait.
    pub(super) fn working(&self) -> usize {
        self.len().saturating_sub(self.residency.resting())
    }

    /// Returns whether a worker drives a run that lives and is waited for. It may have given the run back and gone on with others: then nobody drives it.
    fn is_foreign(&self, run: &RunId) -> bool {
        let holds = |(holder, runs): (&WorkerId, &Vec<RunId>)| runs.contains(run).then(|| holder.clone());
        let Some(holder) = lock(&self.foreign).iter().find_map(holds) else {
            return false;
        };
        let given_back = self
            .journal()
            .lease(run)
            .is_ok_and(|lease| lease.holder.as_ref() != Some(&holder));
        if given_back && let Some(runs) = lock(&self.foreign).get_mut(&holder) {
            runs.retain(|other| other != run);
        }
        !given_back
    }

    /// Tells of runs that ended or need somebody, for ever.
    pub(super) async fn tell_on(self: Arc<Self>) {
        let is_watched = |run: &RunId| self.is_watched(run);
        self.herald.tell_on(self.journal().as_ref(), is_watched).await;
    }

    /// Tells what is left to be told; nothing is, after that.
    pub(super) fn tell_rest(&self) {
        self.herald.tell(self.journal().as_ref(), |run| self.is_watched(run));
        self.herald.close();
    }

    fn is_watched(&self, run: &RunId) -> bool {
        self.sender(run).is_some_and(|sender| sender.receiver_count() > 0)
    }

    /// Notes whether runs whose time has come wait for room.
    pub(super) fn note_left(&self, is_left: bool) {
        self.is_left.store(is_left, Ordering::SeqCst);
    }

    /// Waits until something else may be due next. May be dropped and asked again.
    pub(super) async fn waits_changed(&self) {
        self.waits_changed.notified().await;
    }

    /// Says that what runs wait for may have changed.
    pub(super) fn reconsider_waits(&self) {
        self.waits_changed.notify_one();
    }

    /// Waits until no run is in memory or on its way there.
    pub(super) async fn emptied(&self) {
        let mut count = self.count.subscribe();
        // The sender lives as long as the roster.
        count.wait_for(|count| *count == 0).await.ok();
    }

    /// Drives a run, with what its launcher's environment says of its provider; `false` if nothing is begun any more.
    pub(super) fn drive(self: &Arc<Self>, run: &RunId, environment: Environment) -> bool {
        self.keep(run, environment);
        self.wake(run)
    }

    /// Keeps what a launcher's environment says of a run's provider. One that says nothing does not take the place of one that did.
    fn keep(&self, run: &RunId, environment: Environment) {
        let mut environments = lock(&self.environments);
        if environment.names_no_provider() && environments.contains_key(run) {
            return;
        }
        // Most runs have the same one.
        if *self.own == environment {
            environments.remove(run);
            return;
        }
        let known = environments.values().find(|known| ***known == environment).cloned();
        environments.insert(run.clone(), known.unwrap_or_else(|| Arc::new(environment)));
    }

    /// Goes on with a run, because something may have happened to it; `false` if nothing is begun any more. Whoever asks knows of something that no search would find, so there is
    /// always room.
    pub(super) fn wake(self: &Arc<Self>, run: &RunId) -> bool {
        let line = self.line_of(run);
        let mut tasks = lock(&self.tasks);
        if tasks.draining {
            return false;
        }
        match tasks.begun.get(run) {
            Some(task) => task.ring.ring(),
            None => {
                tasks.backlog.push(run, line);
                self.begin(&mut tasks);
            }
        }
        true
    }

    /// Goes on with a run that nobody sees to, if there is room. What is not taken is offered again later, as the journal has it.
    pub(super) fn offer(self: &Arc<Self>, run: &RunId, skill: Option<&SkillName>) -> Offered {
        if self.is_foreign(run) {
            return Offered::Taken;
        }
        let line = skill.map_or_else(|| self.line_of(run), |skill| lock(&self.tasks).backlog.line_of(skill));
        let mut tasks = lock(&self.tasks);
        if tasks.draining || tasks.begun.contains_key(run) || tasks.backlog.contains(run) {
            return Offered::Taken;
        }
        if tasks.backlog.is_full(&line) {
            return match line {
                Some(_) => Offered::SkillFull,
                None => Offered::Full,
            };
        }
        tasks.backlog.push(run, line);
        self.begin(&mut tasks);
        Offered::Taken
    }

    /// Returns whether it is worth offering more runs.
    pub(super) fn has_room(&self) -> bool {
        lock(&self.tasks).backlog.has_room()
    }

    /// Returns the line that a run stands in. One whose skill cannot be read is told so by its attempt.
    fn line_of(&self, run: &RunId) -> Line {
        if !lock(&self.tasks).backlog.knows_skills() {
            return None;
        }
        let row = self.journal().run(run).ok()?;
        lock(&self.tasks).backlog.line_of(&row.skill)
    }

    /// Begins the runs whose turn it is.
    fn begin(self: &Arc<Self>, tasks: &mut Tasks) {
        while tasks.begun.len() < self.tasks_max {
            let Some((run, line)) = tasks.backlog.begin() else {
                break;
            };
            if tasks.lending.puts_off(&run) {
                tasks.backlog.had_turn(&line);
                continue;
            }
            let ring = Arc::new(Ring::default());
            let task = Task {
                ring: Arc::clone(&ring),
                turn: Some(line),
            };
            tasks.begun.insert(run.clone(), task);
            let roster = Arc::clone(self);
            self.worker.outside().spawn(Box::pin(async move {
                let going = AssertUnwindSafe(roster.go(&run, &ring)).catch_unwind();
                if going.await.is_err() {
                    // A fault of ours, and of this run alone; whoever looks for runs that nobody drives finds it again.
                    tracing::error!(%run, "the daemon panicked while it drove this run");
                    roster.forget(&mut lock(&roster.tasks), &run);
                }
            }));
        }
        self.count.send_replace(tasks.begun.len());
    }

    /// Gives the turn of a run to the next, because it holds no slot for now.
    fn pass_turn(self: &Arc<Self>, run: &RunId) {
        let mut tasks = lock(&self.tasks);
        let turn = tasks.begun.get_mut(run).and_then(|task| task.turn.take());
        if let Some(line) = turn {
            tasks.backlog.had_turn(&line);
            self.begin(&mut tasks);
        }
    }

    /// Stops to begin anything: what is under way is recorded when it comes back, and every run leaves memory.
    pub(super) fn drain(&self) {
        let mut tasks = lock(&self.tasks);
        tasks.draining = true;
        tasks.backlog.clear();
        for task in tasks.begun.values() {
            task.ring.drain();
        }
    }

    fn is_draining(&self) -> bool {
        lock(&self.tasks).draining
    }

    fn forget(self: &Arc<Self>, tasks: &mut Tasks, run: &RunId) {
        self.herald.let_go(run);
        let ended = tasks.begun.remove(run);
        if let Some(line) = ended.and_then(|task| task.turn) {
            tasks.backlog.had_turn(&line);
        }
        self.begin(tasks);
    }

    /// Returns what is seen of a run from now on.
    pub(super) fn watch(&self, run: &RunId) -> broadcast::Receiver<Reply> {
        let mut watched = lock(&self.watched);
        watched.retain(|_, sender| sender.receiver_count() > 0);
        let sender = watched
            .entry(run.clone())
            .or_insert_with(|| broadcast::Sender::new(SIGHTS_KEPT));
        sender.subscribe()
    }

    fn sender(&self, run: &RunId) -> Option<broadcast::Sender<Reply>> {
        lock(&self.watched).get(run).cloned()
    }

    /// Tells whoever watches the run that it stands otherwise.
    fn look(&self, run: &RunId) {
        if let Some(sender) = self.sender(run) {
            // Nobody may be watching any more.
            sender.send(Reply::Look).ok();
        }
    }

    /// Tells whoever watches the run, and whoever keeps the time, that it stands otherwise.
    fn tell(&self, run: &RunId) {
        self.look(run);
        self.waits_changed.notify_one();
    }

    /// Tells whoever watches the run that it is over. It waits for nothing, so there is no other time to keep; but room for who does.
    fn tell_end(&self, run: &RunId) {
        self.look(run);
        if self.is_left.load(Ordering::SeqCst) {
            self.waits_changed.notify_one();
        }
    }

    /// Drives a run, attempt after attempt, until nothing is to be done for now.
    async fn go(self: &Arc<Self>, run: &RunId, ring: &Arc<Ring>) {
        let mut failures = 0;
        loop {
            ring.answer();
            let mut is_over = false;
            let fate = match AssertUnwindSafe(self.attempt(run, ring)).catch_unwind().await {
                Ok(Ok(Some(Driven::Finished(finished)))) => {
                    self.end(run, &finished);
                    is_over = true;
                    Fate::Rest
                }
                Ok(Ok(Some(Driven::Waiting(_)) | None)) => Fate::Rest,
                Ok(Err(error)) => {
                    failures += 1;
                    fate::of(error, run, failures, self.now())
                }
                Err(panic) => {
                    let fate = fate::of_panic(panic.as_ref(), run, failures + 1, self.now());
                    self.let_go(run);
                    fate
                }
            };
            match fate {
                Fate::Rest => {}
                Fate::Again { pause, why } => {
                    tracing::warn!(%run, failures, "attempt failed, tried again in {pause:?}: {why}");
                    self.tell(run);
                    self.pass_turn(run);
                    self.pause(ring, pause).await;
                    if !self.is_draining() && !ring.is_draining() {
                        continue;
                    }
                }
                Fate::Park(trouble) => match self.park(run, &trouble) {
                    Ok(()) => self.herald.note(run, Sight::Parked),
                    // It stands as if it were driven, and nobody else would look for it.
                    Err(error) => {
                        tracing::error!(%run, "{}; could not be parked, tried again in {UNPARKED_PAUSE:?}: {error}", trouble.message);
                        self.pass_turn(run);
                        self.pause(ring, UNPARKED_PAUSE).await;
                        if !self.is_draining() {
                            continue;
                        }
                    }
                },
                Fate::Elsewhere(holder) => {
                    self.wait_for(holder, run);
                    // Nothing else is due for that.
                    self.look(run);
                    if self.leave(run, ring) {
                        return;
                    }
                    continue;
                }
                Fate::Gone(why) => tracing::warn!(%run, "left alone: {why}"),
            }
            match is_over {
                true => self.tell_end(run),
                false => self.tell(run),
            }
            if self.leave(run, ring) {
                return;
            }
        }
    }

    /// Lets go of a run that is over, and goes on with the one that goes on in its place.
    fn end(self: &Arc<Self>, run: &RunId, finished: &Finished) {
        let environment = lock(&self.environments).remove(run);
        self.herald.note(run, Sight::Ended);
        if let How::Continued(next) = &finished.how {
            if let Some(environment) = environment {
                lock(&self.environments).insert(next.clone(), environment);
            }
            self.wake(next);
        }
    }

    /// Waits before another attempt, or until somebody rings.
    async fn pause(&self, ring: &Ring, pause: Duration) {
        tokio::select! {
            biased;
            () = ring.heard() => {}
            () = self.worker.outside().sleep(pause) => {}
        }
    }

    /// Ends the task of a run, unless somebody has rung since its last look.
    fn leave(self: &Arc<Self>, run: &RunId, ring: &Ring) -> bool {
        let mut tasks = lock(&self.tasks);
        if ring.is_rung() && !planted::is(Bug::RingLost) && !tasks.draining && !ring.is_draining() {
            return false;
        }
        self.forget(&mut tasks, run);
        true
    }

    /// Makes one attempt, if there is something to be done for the run.
    async fn attempt(self: &Arc<Self>, run: &RunId, ring: &Arc<Ring>) -> Result<Option<Driven>, DriveError> {
        let mut seen = self.worker.look(run)?;
        let row = seen.row();
        if row.status.is_final() || !self.is_wanted(row)? {
            return Ok(None);
        }
        let skill = row.skill.clone();
        let mut entering = pin!(self.residency.enter(&skill));
        let stay = match entering.as_mut().now_or_never() {
            Some(stay) => stay,
            None => {
                // It may wait for long.
                drop(seen);
                let stay = entering.await;
                seen = self.worker.look(run)?;
                stay
            }
        };
        if self.is_draining() || ring.is_draining() {
            return Ok(None);
        }
        // What driving takes is allocated only now, as long as there is a slot for it.
        Box::pin(self.advance(run, seen, stay, ring)).await.map(Some)
    }

    /// Makes one attempt at a run that has a slot.
    async fn advance(
        self: &Arc<Self>,
        run: &RunId,
        seen: Sighted,
        stay: Stay,
        ring: &Arc<Ring>,
    ) -> Result<Driven, DriveError> {
        self.herald.attend(run, told_of(&seen));
        let schema = self.output_schema(seen.row()).await?;
        let settings = Settings::new(self.model.clone(), (*self.environment(run)).clone());
        let settings = settings.with_keys(self.keys.clone());
        let mut observer = Broadcasting { roster: self, run };
        let drive = Drive {
            settings: &settings,
            until: Until::Evicted(stay),
            bell: Bell::Rung(Arc::clone(ring)),
            check_result: &|result: &Payload| schema::check_result(&schema, result),
            observer: &mut observer,
            kin: Arc::new(Relatives {
                roster: Arc::clone(self),
                environment: self.environment(run),
            }),
            development: None,
        };
        self.worker.drive(seen, drive).await
    }

    /// A run that a person paused is left alone until mail lifts that.
    fn is_wanted(&self, row: &RunRow) -> Result<bool, DriveError> {
        Ok(row.status != Standing::Paused || is_wanted(self.journal().as_ref(), &row.run)?)
    }

    fn environment(&self, run: &RunId) -> Arc<Environment> {
        let environments = lock(&self.environments);
        Arc::clone(environments.get(run).unwrap_or(&self.own))
    }

    /// Returns what the run's result has to fit, as its component says.
    async fn output_schema(&self, row: &RunRow) -> Result<Arc<Schema>, DriveError> {
        if let Some(schema) = lock(&self.schemas).get(&row.component) {
            return Ok(Arc::clone(schema));
        }
        let schema = self.worker.outside().result_schema(row).await?;
        let schema = Arc::new(schema);
        lock(&self.schemas).insert(row.component, Arc::clone(&schema));
        Ok(schema)
    }

    /// Gives back what an attempt still held when it panicked.
    fn let_go(&self, run: &RunId) {
        if let Err(error) = self.worker.let_go(run) {
            tracing::error!(%run, "could not be given back: {error}");
        }
    }

    /// Leaves a run to a person, with the reason.
    fn park(self: &Arc<Self>, run: &RunId, trouble: &Trouble) -> Result<(), JournalError> {
        let lease = self.journal().lease(run)?;
        let held = match &lease.holder {
            None => None,
            // It could not be given back when the attempt failed.
            Some(holder) if holder == self.worker.id() => Some(lease.epoch),
            // Somebody else goes on with it; or is taken for alive because the lock cannot be looked at, and is gone.
            Some(holder) if self.worker.is_alive(holder) => {
                self.wait_for(holder.clone(), run);
                return Ok(());
            }
            // The attempt failed before it could take the lease of one that died.
            Some(_) => match self.journal().claim(run, self.worker.id(), &lease)? {
                Taken::At(epoch) => Some(epoch),
                Taken::Changed(_) => return Ok(()),
            },
        };
        if let Some(epoch) = held {
            self.journal().release(run, epoch)?;
        }
        self.journal().park(run, held.unwrap_or(lease.epoch), trouble)?;
        tracing::error!(%run, code = trouble.code, "parked: {}", trouble.message);
        Ok(())
    }

    /// Goes on with a run when the worker that holds it is gone: its lock is free then, however it went (rule L1).
    fn wait_for(self: &Arc<Self>, holder: WorkerId, run: &RunId) {
        let mut foreign = lock(&self.foreign);
        let is_first = !foreign.contains_key(&holder);
        let runs = foreign.entry(holder.clone()).or_default();
        if !runs.contains(run) {
            runs.push(run.clone());
        }
        if !is_first {
            return;
        }
        drop(foreign);
        let roster = Arc::downgrade(self);
        let gone = self.worker.outside().gone(&holder);
        self.worker.outside().spawn(Box::pin(async move {
            let waited = gone.await;
            let Some(roster) = roster.upgrade() else { return };
            if planted::is(Bug::HolderForgotten) {
                return;
            }
            if let Err(error) = waited {
                tracing::error!(%holder, "could not wait for a worker's lock: {error}");
            }
            let runs = lock(&roster.foreign).remove(&holder).unwrap_or_default();
            for run in runs {
                roster.wake(&run);
            }
        }));
    }
}

/// Returns the calls of a run that wait for somebody who was told by whoever drove it last, unless that worker died before.
fn told_of(seen: &Sighted) -> BTreeSet<Number> {
    match seen.row().holder {
        Some(_) => BTreeSet::new(),
        None => seen.waits().iter().map(|wait| wait.number).collect(),
    }
}

/// Has the runs driven that a run calls, with what its launcher's environment says of providers.
struct Relatives {
    roster: Arc<Roster>,
    environment: Arc<Environment>,
}

impl Kin for Relatives {
    fn launched(&self, child: &RunId) {
        self.roster.drive(child, (*self.environment).clone());
    }

    /// It is driven already, or found by whoever looks for runs that nobody drives.
    fn awaits(&self, _: &RunId) {}

    fn answered(&self, caller: &RunId) {
        self.roster.wake(caller);
    }
}

/// Tells whoever watches a run in another process what is seen.
struct Broadcasting<'a> {
    roster: &'a Arc<Roster>,
    run: &'a RunId,
}

impl Observer for Broadcasting<'_> {
    fn on(&mut self, seen: Seen<'_>) {
        if matches!(seen, Seen::Idle(_)) {
            self.roster.herald.note(self.run, Sight::Waits);
            self.roster.pass_turn(self.run);
        }
        let Some(sender) = self.roster.sender(self.run) else {
            return;
        };
        if matches!(seen, Seen::Idle(_)) {
            sender.send(Reply::Look).ok();
        }
        // Whoever watched may be gone already.
        sender.send(Reply::Seen(seen.into_owned())).ok();
    }
}
