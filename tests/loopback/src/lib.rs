//! A model provider on the loopback interface, for tests and the demo: it speaks the streaming protocols of `anthropic` and `openai`, misbehaves on demand, and counts.
//!
//! ```no_run
//! let server = skillhost_loopback::Loopback::start().expect("a free port");
//! server.rule(skillhost_loopback::Rule::of(skillhost_loopback::Behaviour::status(529)).times(2));
//! // ... ANTHROPIC_BASE_URL = server.url(), SKILLHOST_TEST_ACTS = server.acts_url() ...
//! assert!(server.counts().requests.values().all(|requests| *requests <= 3));
//! ```
//!
//! Without rules every request is answered by a text that is a function of its content ([`reply::echo`]), or by what a line of its last message asks for: `#reply` and a
//! text. The package's binary is the same server as a process; `GET /counts`, `POST /rules` and `POST /release` are [`Loopback::counts`], [`Loopback::rule`] and
//! [`Loopback::release`] from outside.

mod anthropic;
pub mod fuzz;
mod openai;
pub mod reply;
mod rule;
mod serve;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

pub use rule::{Behaviour, Rule};

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Loopback {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What was asked of a server. A key is the `idempotency-key` of a request, or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// How many requests for a completion came with each key.
    pub requests: BTreeMap<String, u64>,
    /// How many of them were answered to the end.
    pub answered: BTreeMap<String, u64>,
    /// How many acts came with each key.
    pub acts: BTreeMap<String, u64>,
    /// How many requests were being answered at once, at most.
    pub parallel_max: u64,
}

/// A request for a completion, as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The path.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// What was asked.
    pub body: Value,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    inner: Mutex<Inner>,
    /// How many requests came; tests wait for it.
    seen: watch::Sender<u64>,
    /// How often held requests were released.
    released: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) rules: Vec<Rule>,
    pub(crate) counts: Counts,
    pub(crate) requests: Vec<Seen>,
    pub(crate) in_flight: u64,
    /// Whether acts are counted and then never answered.
    pub(crate) acts_held: bool,
    /// How long an act takes, after it was counted.
    pub(crate) acts_last: Duration,
}

impl State {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the lock")
    }
}

impl Loopback {
    /// Starts a server on a free port, with a thread of its own.
    pub fn start() -> io::Result<Self> {
        Self::start_on(0)
    }

    /// Starts a server on this port; 0 is any that is free.
    pub fn start_on(port: u16) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("the socket was made non-blocking");
                tokio::select! {
                    () = serve::accept(listener, shared) => {}
                    _ = stopped => {}
                }
            });
            // Requests that hang are given up with the runtime.
            runtime.shutdown_background();
        });
        Ok(Self {
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Returns the base URL for `ANTHROPIC_BASE_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the base URL for `OPENAI_BASE_URL`.
    pub fn openai_url(&self) -> String {
        format!("{}/v1", self.url())
    }

    /// Returns the URL for `SKILLHOST_TEST_ACTS`.
    pub fn acts_url(&self) -> String {
        format!("{}/acts", self.url())
    }

    /// Adds a rule. The first that fits a request and is not used up is followed.
    pub fn rule(&self, rule: Rule) {
        self.state.lock().rules.push(rule);
    }

    /// Removes all rules.
    pub fn clear_rules(&self) {
        self.state.lock().rules.clear();
    }

    /// Lets the requests go on that rules hold now.
    pub fn release(&self) {
        self.state.released.send_modify(|times| *times += 1);
    }

    /// Counts acts from now on without ever answering them.
    pub fn hold_acts(&self) {
        self.state.lock().acts_held = true;
    }

    /// Answers acts again, from now on; those that are not answered stay so.
    pub fn answer_acts(&self) {
        self.state.lock().acts_held = false;
    }

    /// Has acts take so long from now on.
    pub fn slow_acts(&self, last: Duration) {
        self.state.lock().acts_last = last;
    }

    /// Returns what was counted so far.
    pub fn counts(&self) -> Counts {
        self.state.lock().counts.clone()
    }

    /// Returns the requests for completions so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Seen> {
        self.state.lock().requests.clone()
    }

    /// Waits until so many requests for completions have come.
    pub async fn wait_for_requests(&self, requests: u64) {
        let mut seen = self.state.seen.subscribe();
        let reached = seen.wait_for(|seen| *seen >= requests).await;
        reached.expect("the server outlives those who wait for it");
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
