//! The same work for many items, so many at a time.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use futures::stream::{FuturesUnordered, StreamExt as _};
use serde::Serialize;

use crate::failure::{Failure, Result, code};
use crate::log;

/// Does `work` for every item, at most `limit` at a time. One that fails does not stop the others.
///
/// ```
/// # use skillhost_sdk::prelude::*;
/// # async fn example() -> Result<()> {
/// let parts = ["rivers", "lakes", "seas"];
/// let (found, missed) = map(parts, 8, async |part: &str| match part {
///     "seas" => Err(Failure::new("salty", "no seas")),
///     part => model::sonnet(part).label(part).text().await,
/// })
/// .progress("parts")
/// .await
/// .split();
/// assert_eq!(found, ["rivers", "lakes"]);
/// assert_eq!((missed[0].index, missed[0].failure.code()), (2, "salty"));
/// # Ok(())
/// # }
/// # skillhost_sdk::example::run(example());
/// ```
pub fn map<'a, I, T, F>(items: I, limit: usize, work: F) -> Map<'a, I::Item, F>
where
    I: IntoIterator,
    F: AsyncFn(I::Item) -> Result<T> + 'a,
{
    Map {
        items: items.into_iter().collect(),
        limit: limit.max(1),
        work,
        label: None,
        lifetime: std::marker::PhantomData,
    }
}

/// Work that begins when it is awaited.
#[must_use = "the work begins when it is awaited"]
pub struct Map<'a, P, F> {
    items: Vec<P>,
    limit: usize,
    work: F,
    label: Option<String>,
    lifetime: std::marker::PhantomData<&'a ()>,
}

impl<P, F> Map<'_, P, F> {
    /// Shows under this label how many items are done.
    pub fn progress(mut self, label: impl AsRef<str>) -> Self {
        self.label = Some(label.as_ref().to_owned());
        self
    }

    async fn drive<T>(self) -> Outcomes<T>
    where
        F: AsyncFn(P) -> Result<T>,
    {
        let Self {
            items,
            limit,
            work,
            label,
            ..
        } = self;
        let total = items.len();
        let work = &work;
        let begin = |(index, item)| async move { (index, work(item).await) };
        let mut waiting = items.into_iter().enumerate();
        let mut open: FuturesUnordered<_> = waiting.by_ref().take(limit).map(begin).collect();
        let mut results: Vec<Option<Result<T>>> = std::iter::repeat_with(|| None).take(total).collect();
        let mut done = 0_u64;
        let mark = |done| {
            if let Some(label) = &label {
                log::progress(label, done, total as u64);
            }
        };
        mark(done);
        let mut cancelled = false;
        while let Some((index, result)) = open.next().await {
            // After the run was cancelled every further call would be refused, so nothing more is begun.
            cancelled |= result.as_ref().is_err_and(Failure::is_cancelled);
            results[index] = Some(result);
            done += 1;
            mark(done);
            if !cancelled && let Some(next) = waiting.next() {
                open.push(begin(next));
            }
        }
        let not_begun = || {
            Err(Failure::new(
                code::CANCELLED,
                "the run was cancelled before this was begun",
            ))
        };
        Outcomes(
            results
                .into_iter()
                .map(|result| result.unwrap_or_else(not_begun))
                .collect(),
        )
    }
}

impl<'a, P: 'a, T: 'a, F: AsyncFn(P) -> Result<T> + 'a> IntoFuture for Map<'a, P, F> {
    type Output = Outcomes<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Outcomes<T>> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.drive())
    }
}

/// What came of each item, in the order of the items.
#[derive(Clone, Debug)]
pub struct Outcomes<T>(Vec<Result<T>>);

/// An item that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Missed {
    /// Which item, counted from 0.
    pub index: usize,
    /// Why.
    pub failure: Failure,
}

impl Serialize for Missed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> core::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Form<'a> {
            index: usize,
            code: &'a str,
            message: &'a str,
        }
        let form = Form {
            index: self.index,
            code: self.failure.code(),
            message: self.failure.message(),
        };
        form.serialize(serializer)
    }
}

impl<T> Outcomes<T> {
    /// Returns what went well and what did not, each in the order of the items.
    pub fn split(self) -> (Vec<T>, Vec<Missed>) {
        let mut good = Vec::new();
        let mut bad = Vec::new();
        for (index, result) in self.0.into_iter().enumerate() {
            match result {
                Ok(value) => good.push(value),
                Err(failure) => bad.push(Missed { index, failure }),
            }
        }
        (good, bad)
    }

    /// Returns all results, or the failure of the first item that has one.
    pub fn all(self) -> Result<Vec<T>> {
        self.0.into_iter().collect()
    }

    /// Looks at the results.
    pub fn iter(&self) -> std::slice::Iter<'_, Result<T>> {
        self.0.iter()
    }

    /// Returns how many items there were.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether there were no items.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> IntoIterator for Outcomes<T> {
    type Item = Result<T>;
    type IntoIter = std::vec::IntoIter<Result<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Outcomes<T> {
    type Item = &'a Result<T>;
    type IntoIter = std::slice::Iter<'a, Result<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
