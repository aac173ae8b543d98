//! Runs a future to its end, blocking in the host whenever it can go no further.
//!
//! There is one future, the skill's, and one pending set. Whenever the future waits, the host names the call that was delivered next, and
//! exactly the tasks that wait for it are polled: constant work however many calls are open, always in the order of delivery, so that a
//! replay takes the same steps. Start with [`block_on`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::host::tasks::{Pending, PendingSet};

/// Runs `future` to its end.
///
/// # Panics
///
/// When the future waits for something that no call will bring.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    // Declared before the future, so that it outlives the calls which the future still holds when it ends.
    let _running = Running::begin();
    let woken = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        while woken.take() {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
        }
        deliver_next().wake();
    }
}

/// Puts a call in flight into the set and returns its token.
pub(crate) fn add(pending: &Pending, waker: &Waker) -> u32 {
    with(|executor| {
        let token = executor.set.add(pending);
        executor.open.insert(token, Slot::Waiting(waker.clone()));
        executor.waiting += 1;
        token
    })
}

/// Says whether the call was delivered, which is said once; otherwise remembers whom to wake when it is.
pub(crate) fn take_delivered(token: u32, waker: &Waker) -> bool {
    with(|executor| match executor.open.get_mut(&token) {
        Some(Slot::Delivered) => {
            executor.open.remove(&token);
            true
        }
        Some(Slot::Waiting(known)) => {
            known.clone_from(waker);
            false
        }
        None => unreachable!("a call asks for its token only until it was delivered"),
    })
}

/// Forgets a call that is dropped before it was delivered. Its pending leaves the set when the host drops it.
pub(crate) fn forget(token: u32) {
    with(|executor| {
        if let Some(Slot::Waiting(_)) = executor.open.remove(&token) {
            executor.waiting -= 1;
        }
    });
}

/// Blocks until the host delivers a call, and returns whom to wake.
fn deliver_next() -> Waker {
    with(|executor| {
        assert!(
            executor.waiting > 0,
            "the skill waits for something that no call will bring"
        );
        let token = executor.set.wait();
        executor.waiting -= 1;
        match executor.open.insert(token, Slot::Delivered) {
            Some(Slot::Waiting(waker)) => waker,
            _ => unreachable!("the host names each member of the set once"),
        }
    })
}

/// What is known of the calls in flight.
struct Executor {
    set: PendingSet,
    open: BTreeMap<u32, Slot>,
    /// How many of the open calls were not delivered yet.
    waiting: usize,
}

enum Slot {
    Waiting(Waker),
    Delivered,
}

thread_local! {
    static EXECUTOR: RefCell<Option<Executor>> = const { RefCell::new(None) };
}

fn with<T>(act: impl FnOnce(&mut Executor) -> T) -> T {
    EXECUTOR.with_borrow_mut(|executor| act(executor.as_mut().expect("calls are made while a skill runs")))
}

/// Makes an executor for as long as it lives.
struct Running;

impl Running {
    fn begin() -> Self {
        EXECUTOR.with_borrow_mut(|executor| {
            assert!(executor.is_none(), "one skill runs at a time");
            *executor = Some(Executor {
                set: PendingSet::new(),
                open: BTreeMap::new(),
                waiting: 0,
            });
        });
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        EXECUTOR.set(None);
    }
}

struct Flag(AtomicBool);

impl Flag {
    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
