//! A call to the host: how it is to be made, and the future of its answer.
//!
//! A call starts when it is first polled, not when it is made, so its options can be set until it is awaited. Dropping it before its answer
//! came cancels it.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::bindings::skillhost::skill::types::{CallOptions, Reuse};
use crate::executor;
use crate::failure::Result;
use crate::host::tasks::Pending;

/// The longest label that the world takes, in bytes.
const LABEL_BYTES_MAX: usize = 200;

/// How a call is to be made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) label: Option<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) attempts: Option<u32>,
    pub(crate) reuse: Option<Reuse>,
    pub(crate) idempotent: bool,
}

impl Options {
    pub(crate) fn set_label(&mut self, label: &str) {
        self.label = Some(one_line(label, LABEL_BYTES_MAX));
    }

    /// Renders them for the world; a call that is started while [`cleanup`] is polled is marked as such.
    pub(crate) fn render(self) -> CallOptions {
        CallOptions {
            label: self.label,
            timeout_ns: self.timeout.map(nanoseconds),
            attempts: self.attempts,
            reuse: self.reuse.unwrap_or(Reuse::Auto),
            idempotent: self.idempotent,
            cleanup: CLEANING.get(),
            extra: None,
        }
    }
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Makes a single line of at most `bytes_max` bytes.
pub(crate) fn one_line(text: &str, bytes_max: usize) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if line.len() <= bytes_max {
        return line;
    }
    let end = line.floor_char_boundary(bytes_max - '…'.len_utf8());
    format!("{}…", &line[..end])
}

/// A call to the host, and the future of its answer.
///
/// It starts when it is first polled. Dropping it before its answer came cancels it, which does not mean that it was not done.
#[must_use = "a call is made when it is awaited"]
pub struct Call<T> {
    options: Options,
    state: State<T>,
}

type Start = Box<dyn FnOnce(&CallOptions) -> Pending>;
type Finish<T> = Box<dyn FnOnce(Pending) -> Result<T>>;

enum State<T> {
    /// Not started.
    Made(Start, Finish<T>),
    /// Answered without a call to the host.
    Known(Result<T>),
    Open(Open<T>),
    Over,
}

/// A call in flight. Dropping it forgets the token first and then drops the pending, which takes it out of the set.
struct Open<T> {
    token: u32,
    pending: Option<Pending>,
    finish: Option<Finish<T>>,
}

impl<T> Drop for Open<T> {
    fn drop(&mut self) {
        if self.pending.is_some() {
            executor::forget(self.token);
        }
    }
}

// Nothing in a call points into it.
impl<T> Unpin for Call<T> {}

impl<T> Call<T> {
    /// Makes a call of a function of the world, from its two halves.
    pub(crate) fn new(
        start: impl FnOnce(&CallOptions) -> Pending + 'static,
        finish: impl FnOnce(Pending) -> Result<T> + 'static,
    ) -> Self {
        Self {
            options: Options::default(),
            state: State::Made(Box::new(start), Box::new(finish)),
        }
    }

    /// Makes a call whose answer is known without asking.
    pub(crate) fn known(answer: Result<T>) -> Self {
        Self {
            options: Options::default(),
            state: State::Known(answer),
        }
    }

    pub(crate) fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Turns the answer into something else.
    pub(crate) fn and_then<U>(self, convert: impl FnOnce(T) -> Result<U> + 'static) -> Call<U>
    where
        T: 'static,
    {
        let state = match self.state {
            State::Made(start, finish) => {
                State::Made(start, Box::new(move |pending| finish(pending).and_then(convert)))
            }
            State::Known(answer) => State::Known(answer.and_then(convert)),
            State::Open(_) | State::Over => unreachable!("a call is converted before it is polled"),
        };
        Call {
            options: self.options,
            state,
        }
    }

    /// Says what the timeline shows instead of the function's name.
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.options.set_label(label.as_ref());
        self
    }

    /// Limits how long it may take; then it fails with the code `timeout`.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.options.timeout = Some(limit);
        self
    }

    /// Says how often it may be performed when it fails in a way that may pass.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.options.attempts = Some(attempts);
        self
    }

    /// Never takes the answer from an earlier execution while developing.
    pub fn fresh(mut self) -> Self {
        self.options.reuse = Some(Reuse::Fresh);
        self
    }

    /// States that the answer depends on the request alone, so that it may be reused while developing.
    pub fn pure(mut self) -> Self {
        self.options.reuse = Some(Reuse::Pure);
        self
    }

    /// States that doing it twice is as once, where the world does not say so itself.
    pub fn idempotent(mut self) -> Self {
        self.options.idempotent = true;
        self
    }
}

impl<T> Future for Call<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let call = &mut *self;
        match std::mem::replace(&mut call.state, State::Over) {
            State::Known(answer) => Poll::Ready(answer),
            State::Made(start, finish) => {
                let pending = start(&std::mem::take(&mut call.options).render());
                let token = executor::add(&pending, context.waker());
                call.state = State::Open(Open {
                    token,
                    pending: Some(pending),
                    finish: Some(finish),
                });
                Poll::Pending
            }
            State::Open(mut open) => {
                if !executor::take_delivered(open.token, context.waker()) {
                    call.state = State::Open(open);
                    return Poll::Pending;
                }
                let pending = open.pending.take().expect("an open call has its pending");
                let finish = open.finish.take().expect("an open call was not finished");
                Poll::Ready(finish(pending))
            }
            State::Over => panic!("a call was polled after it had answered"),
        }
    }
}

thread_local! {
    static CLEANING: Cell<bool> = const { Cell::new(false) };
}

/// Makes the calls of `work` even after the run was cancelled, within the grace period that the host gives.
///
/// ```
/// # use skillhost_sdk::prelude::*;
/// # async fn write() -> Result<String> { Err(Failure::new(code::CANCELLED, "the run was cancelled")) }
/// # async fn example() -> Result<String> {
/// match write().await {
///     Ok(report) => Ok(report),
///     Err(failure) => {
///         cleanup(files::run().remove("draft.md")).await?;
///         Err(failure)
///     }
/// }
/// # }
/// # let failed = skillhost_sdk::example::run(async { Ok(example().await) });
/// # assert!(failed.unwrap_err().is_cancelled());
/// ```
pub fn cleanup<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let mut work = Box::pin(work);
    std::future::poll_fn(move |context| {
        let _scope = Cleaning(CLEANING.replace(true));
        work.as_mut().poll(context)
    })
}

/// Restores what was before, also when polling panics.
struct Cleaning(bool);

impl Drop for Cleaning {
    fn drop(&mut self) {
        CLEANING.set(self.0);
    }
}
