//! A thread that ends time slices: every few milliseconds a guest that computes lets others have their turn.
//!
//! It sleeps without waking while no guest computes, and ends with its engine.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::EngineWeak;

/// How long a guest computes before it yields.
pub(crate) const SLICE: Duration = Duration::from_millis(10);

pub(crate) struct Ticker(Arc<Shared>);

#[derive(Default)]
struct Shared {
    running: AtomicUsize,
    parked: AtomicBool,
    over: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Ticker {
    pub(crate) fn new(engine: EngineWeak) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("guest-slices".to_owned())
            .spawn(move || tick(&theirs, &engine))?;
        Ok(Self(shared))
    }

    pub(crate) fn running(&self) -> Running<'_> {
        self.0.running.fetch_add(1, Ordering::SeqCst);
        if self.0.parked.load(Ordering::SeqCst) {
            self.0.wake();
        }
        Running(&self.0)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
        self.0.wake();
    }
}

impl Shared {
    fn wake(&self) {
        // Taking the lock orders this behind the check that the thread makes before it sleeps.
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }
}

/// While it lives, a guest computes.
pub(crate) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(shared: &Shared, engine: &EngineWeak) {
    while !shared.over.load(Ordering::SeqCst) {
        thread::sleep(SLICE);
        if shared.running.load(Ordering::SeqCst) == 0 {
            park(shared);
        }
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
    }
}

fn park(shared: &Shared) {
    let mut guard = shared.lock.lock().unwrap_or_else(PoisonError::into_inner);
    shared.parked.store(true, Ordering::SeqCst);
    while shared.running.load(Ordering::SeqCst) == 0 && !shared.over.load(Ordering::SeqCst) {
        guard = shared.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
    }
    shared.parked.store(false, Ordering::SeqCst);
}
