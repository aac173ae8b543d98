//! Several things at once: all of them, the first of them, or one with a limit of time.
//!
//! Only what was woken is polled, and results and order depend on nothing but the order in which calls were delivered.

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};

use crate::clock;
use crate::failure::{Failure, Result, code};

/// Waits for all of them. Results come in the order in which the futures were given.
pub async fn join_all<I>(futures: I) -> Vec<<I::Item as IntoFuture>::Output>
where
    I: IntoIterator<Item: IntoFuture>,
{
    let mut open: FuturesUnordered<_> = futures
        .into_iter()
        .enumerate()
        .map(|(index, future)| {
            let future = future.into_future();
            async move { (index, future.await) }
        })
        .collect();
    let mut outputs: Vec<Option<_>> = std::iter::repeat_with(|| None).take(open.len()).collect();
    while let Some((index, output)) = open.next().await {
        outputs[index] = Some(output);
    }
    let output = |output: Option<_>| output.expect("every future has ended");
    outputs.into_iter().map(output).collect()
}

/// Waits for the first of them to end, and cancels the others.
///
/// # Panics
///
/// When there is none.
pub async fn first<I>(futures: I) -> <I::Item as IntoFuture>::Output
where
    I: IntoIterator<Item: IntoFuture>,
{
    let mut open: FuturesUnordered<_> = futures.into_iter().map(IntoFuture::into_future).collect();
    open.next().await.expect("the first of none never comes")
}

/// Which of two ended first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first, with its output.
    Left(A),
    /// The second, with its output.
    Right(B),
}

/// Waits for one of two to end, and cancels the other.
pub async fn either<A: IntoFuture, B: IntoFuture>(left: A, right: B) -> Either<A::Output, B::Output> {
    let mut left = pin!(left.into_future());
    let mut right = pin!(right.into_future());
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = left.as_mut().poll(context) {
            return Poll::Ready(Either::Left(output));
        }
        right.as_mut().poll(context).map(Either::Right)
    })
    .await
}

/// Waits for `work` at most so long in real time; then cancels it and fails with the code `timeout`.
pub async fn timeout<T>(limit: Duration, work: impl IntoFuture<Output = Result<T>>) -> Result<T> {
    match either(work, clock::sleep(limit).label("timeout")).await {
        Either::Left(output) => output,
        Either::Right(Ok(())) => Err(Failure::new(code::TIMEOUT, format!("it took longer than {limit:?}"))),
        Either::Right(Err(failure)) => Err(failure),
    }
}

/// Waits for two or more things of different types; all start at once.
///
/// ```
/// # use skillhost_sdk::prelude::*;
/// # async fn example() -> Result<String> {
/// # skillhost_sdk::example::file("run/notes.md", " And a note.");
/// let (poem, notes) = join!(model::opus("Write a poem.").text(), files::run().read_text("notes.md"));
/// # Ok(poem? + &notes?)
/// # }
/// # assert_eq!(skillhost_sdk::example::run(example()), "Write a poem. And a note.");
/// ```
#[macro_export]
macro_rules! join {
    ($($future:expr),+ $(,)?) => { $crate::__private::join!($(::core::future::IntoFuture::into_future($future)),+) };
}
