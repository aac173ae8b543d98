//! The guest as a machine with two inputs: it is started, and it is given outcomes.
//!
//! Between two inputs it runs until it blocks, ends or traps, and what it did meanwhile comes back as a [`Slice`]. It performs nothing itself. Start with
//! [`Guest::start`] and [`Guest::deliver`].

pub(crate) mod bundle;
pub(crate) mod desk;
pub(crate) mod limits;
pub(crate) mod lines;
pub(crate) mod printing;
pub(crate) mod source;
pub(crate) mod state;
pub(crate) mod stop;
pub(crate) mod time;
pub(crate) mod trap;

use std::any::Any;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use skillhost_core::entry::{Failure, Mount, Started, ZoneOffset};
use skillhost_core::grants::Grants;
use skillhost_core::holdings::Holdings;
use skillhost_core::id::{Digest, RunId, SkillName};
use skillhost_core::machine::{Delivery, End, Slice};
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use wasmtime::{Store, UpdateDeadline};

use crate::bindings::{Skill, SkillPre};
use crate::engine::Engine;
use crate::wasi::random::Randomness;
use desk::{Desk, Purpose, SharedDesk};
use limits::{Computing, LABEL_BYTES_MAX, LINE_BYTES_MAX, Limiter, REQUEST_BYTES_MAX, Whose};
use lines::cut_to;
use printing::Printing;
pub(crate) use source::shortened;
pub use source::{Reread, without_lines};
use state::{Facts, State};

/// The files of a bundle by their paths in it, `/` between the parts. What `skill/` shows.
pub type BundleFiles = BTreeMap<String, Vec<u8>>;

/// All that a guest can observe without a call (rule G8), and what it may hold.
#[derive(Clone, Debug)]
pub struct GuestStart {
    /// What `run` is called with.
    pub input: Payload,
    /// Where its randomness comes from.
    pub seed: Digest,
    /// The time of the `started` entry, at which its clock begins.
    pub started_at: Timestamp,
    /// What `run.info` says.
    pub info: RunInfo,
    /// The most memory it may have.
    pub memory_bytes_max: u64,
    /// How long it may compute between two outcomes.
    pub computing_max: Duration,
    /// What else it may hold.
    pub holds: Holdings,
    /// Whether the model provider acts by itself, which makes its calls at-most-once.
    pub provider_acts: bool,
    /// What `skill/` holds.
    pub bundle: Arc<BundleFiles>,
    /// Reads the component again if it traps or prints, to tell where in its source. Without it only the names of functions tell where it trapped.
    pub component: Option<Reread>,
    /// What the user lets it do.
    pub grants: Grants,
    /// How deep calls of skills are nested here; 0 of a run that a person launched.
    pub depth: u32,
}

/// What a run may know of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunInfo {
    /// The run.
    pub run: RunId,
    /// Its skill.
    pub skill: SkillName,
    /// The folders that `files` may use, `run` and `skill` included.
    pub mounts: Vec<Mount>,
    /// The user's time zone, as an IANA name.
    pub zone: String,
    /// How far the clocks there are from UTC, in order of time.
    pub zone_offsets: Vec<ZoneOffset>,
    /// The model provider's name.
    pub provider: String,
    /// What the model provider can do.
    pub features: Vec<String>,
}

impl GuestStart {
    /// Takes from a `started` entry, made at `at`, what the guest is to see of it; of a run that begins with a copy, what it saw in the first of the line. The mounts `run` and `skill`, which every run has, are added if the entry
    /// does not name them.
    pub fn of(started: &Started, at: Timestamp, bundle: Arc<BundleFiles>) -> Self {
        let mut mounts: Vec<Mount> = started.mounts.iter().map(Mount::for_guest).collect();
        for (name, writable) in [("skill", false), ("run", true)] {
            if mounts.iter().all(|mount| mount.name != name) {
                mounts.insert(0, Mount::own(name, writable));
            }
        }
        Self {
            input: started.input.clone(),
            seed: started.seed,
            started_at: started.seen_at(at),
            info: RunInfo {
                run: started.seen_run().clone(),
                skill: started.skill.clone(),
                mounts,
                zone: started.zone.clone(),
                zone_offsets: started.zone_offsets.clone(),
                provider: started.provider.name.clone(),
                features: started.provider.features.clone(),
            },
            memory_bytes_max: started.limits.memory_bytes_max,
            computing_max: started.limits.computing(),
            holds: started.limits.holds.clone(),
            provider_acts: started.provider.acts,
            bundle,
            component: None,
            grants: started.grants.clone(),
            depth: started.caller.as_ref().map_or(0, |caller| caller.depth),
        }
    }
}

/// A guest in memory. Dropping it at any time is safe: its journal brings it back.
///
/// The futures of [`start`](Self::start) and [`deliver`](Self::deliver) yield to the executor while the guest computes, every few milliseconds. Hold on to such
/// a future until it is ready (poll it by reference in a `select!`); if it is dropped before, drop the guest with it.
pub struct Guest {
    engine: Engine,
    desk: SharedDesk,
    memory_bytes: Arc<AtomicU64>,
    computing: Arc<Computing>,
    body: Option<Body>,
    begun: bool,
}

/// The guest's execution: its store lives in there.
type Body = Pin<Box<dyn Future<Output = End> + Send>>;

impl Guest {
    pub(crate) fn new(engine: &Engine, pre: &SkillPre<State>, start: GuestStart) -> Self {
        let purpose = Purpose::Run {
            provider_acts: start.provider_acts,
        };
        let desk = SharedDesk::new(Desk::new(purpose, start.started_at, start.holds.clone()));
        let facts = Facts::Run {
            info: start.info,
            started_at: start.started_at,
            bundle: start.bundle,
            grants: Arc::new(start.grants),
            depth: start.depth,
        };
        let random = Randomness::new(&start.seed);
        let limiter = Limiter::new(Whose::Run, start.memory_bytes_max, start.holds);
        let memory_bytes = limiter.memory_bytes();
        let mut state = State::new(desk.clone(), facts, random, limiter);
        state.printing = Printing::of(start.component.clone());
        let computing = Arc::new(Computing::new(Whose::Run, start.computing_max));
        let body = Box::pin(run(
            engine.clone(),
            pre.clone(),
            state,
            start.input,
            start.component,
            Arc::clone(&computing),
        ));
        Self {
            engine: engine.clone(),
            desk,
            memory_bytes,
            computing,
            body: Some(body),
            begun: false,
        }
    }

    /// Returns the size of the guest's memories: the most that it holds, because pages that it never touched are not there.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    /// Returns how long it has computed since it was made, in milliseconds; a replay counts.
    pub fn computed_ms(&self) -> u64 {
        self.computing.total_ms()
    }

    /// Runs the guest from the beginning until it blocks or ends.
    pub async fn start(&mut self) -> Slice {
        if self.begun {
            return broken("the guest was started twice");
        }
        self.begun = true;
        self.advance().await
    }

    /// Gives the blocked guest an outcome, and runs it if it can go on now.
    ///
    /// A guest that waits for something else keeps the outcome; its slice is empty then, and blocked.
    pub async fn deliver(&mut self, delivery: Delivery) -> Slice {
        {
            let mut desk = self.desk.lock();
            if !desk.is_blocked() || self.body.is_none() {
                return broken("an outcome was delivered to a guest that does not wait for one");
            }
            if let Err(error) = desk.deliver(delivery) {
                return broken(&error.to_string());
            }
            if !desk.can_go_on() {
                return Slice {
                    acts: Vec::new(),
                    end: End::Blocked,
                };
            }
        }
        self.advance().await
    }

    /// Polls the guest until it blocks or ends. That it is pending and not blocked means that its time slice is over.
    async fn advance(&mut self) -> Slice {
        let Some(body) = &mut self.body else {
            return broken("the guest is over");
        };
        let running = self.engine.running();
        self.computing.begin();
        let end = poll_fn(|cx| {
            let polled = self.computing.timed(|| poll_guarded(body, cx));
            match polled {
                Poll::Ready(end) => Poll::Ready(end),
                Poll::Pending if self.desk.lock().is_blocked() => Poll::Ready(End::Blocked),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        drop(running);
        let mut desk = self.desk.lock();
        if end != End::Blocked {
            self.body = None;
            desk.end_lines();
        }
        Slice {
            acts: desk.take_acts(),
            end,
        }
    }
}

/// Polls the guest; a panic in a host function is our bug, and ends this attempt and no other run.
fn poll_guarded(body: &mut Body, cx: &mut Context<'_>) -> Poll<End> {
    catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(cx))).unwrap_or_else(|panic| {
        let said = panic_words(&panic);
        Poll::Ready(End::Broken(format!(
            "the host panicked in a function of the guest: {said}"
        )))
    })
}

/// Returns what was said at a panic.
pub(crate) fn panic_words(panic: &Box<dyn Any + Send>) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

fn broken(why: &str) -> Slice {
    Slice {
        acts: Vec::new(),
        end: End::Broken(why.to_owned()),
    }
}

/// Makes a store with every limit set.
pub(crate) fn store(engine: &Engine, state: State) -> Store<State> {
    let Holdings {
        call_bytes, handles, ..
    } = *state.limiter.holds();
    let mut store = Store::new(engine.wasmtime(), state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(usize::try_from(call_bytes).unwrap_or(usize::MAX));
    store.set_max_component_handles(handles as usize);
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    store
}

/// The whole life of a guest, suspended wherever it blocks.
async fn run(
    engine: Engine,
    pre: SkillPre<State>,
    state: State,
    input: Payload,
    component: Option<Reread>,
    computing: Arc<Computing>,
) -> End {
    let mut store = store(&engine, state);
    store.epoch_deadline_callback(move |_| match computing.exhausted() {
        Some(exhausted) => Err(exhausted.into()),
        None => Ok(UpdateDeadline::Yield(1)),
    });
    let skill: Skill = match pre.instantiate_async(&mut store).await {
        Ok(skill) => skill,
        Err(error) => return trap::end_of_instantiation(&engine, &store, &error),
    };
    match skill.call_run(&mut store, input.as_str()).await {
        Ok(Ok(result)) => End::Finished(read_result(&result)),
        Ok(Err(failure)) => End::Finished(Err(Failure {
            code: cut_to(failure.code, LABEL_BYTES_MAX),
            message: cut_to(failure.message, LINE_BYTES_MAX),
            details: failure
                .details
                .map(|text| json_or_text(&cut_to(text, REQUEST_BYTES_MAX))),
            backtrace: None,
        })),
        Err(error) => trap::end(&engine, &store, &error, component.as_ref()),
    }
}

fn read_result(text: &str) -> Result<Payload, Failure> {
    let failure = |code: &str, message: String| Failure {
        code: code.to_owned(),
        message,
        details: None,
        backtrace: None,
    };
    if text.len() > REQUEST_BYTES_MAX {
        return Err(failure(
            "too-large",
            format!(
                "the skill's result has {} bytes, and at most {} MiB are kept; write it to a file in `run/` and return its path",
                text.len(),
                REQUEST_BYTES_MAX >> 20
            ),
        ));
    }
    Payload::parse(text).map_err(|error| failure("invalid-result", format!("the skill's result is not JSON: {error}")))
}

/// Takes what should be JSON and keeps it as a text if it is not.
fn json_or_text(text: &str) -> Payload {
    Payload::parse(text).unwrap_or_else(|_| Payload::of(text))
}
