//! Steps that are undone when a later one fails.
//!
//! ```
//! # use skillhost_sdk::prelude::*;
//! async fn book(what: &str) -> Result<()> {
//!     files::run().append("bookings", format!("+{what} ")).await
//! }
//!
//! async fn give_back(what: &str) -> Result<()> {
//!     files::run().append("bookings", format!("-{what} ")).await
//! }
//!
//! # async fn example() -> Result<()> {
//! let trip: Result<()> = saga(async |undo: &Undo| {
//!     book("room").await?;
//!     undo.by("give the room back", async || give_back("room").await);
//!     book("train").await?;
//!     undo.by("give the train back", async || give_back("train").await);
//!     Err(Failure::new("ill", "nobody can travel"))
//! })
//! .await;
//! assert_eq!(trip.unwrap_err().code(), "ill");
//! assert_eq!(files::run().read_text("bookings").await?, "+room +train -train -room ");
//! # Ok(())
//! # }
//! # skillhost_sdk::example::run(example());
//! ```
//!
//! If the steps end with a failure, or because the run was cancelled, what was noted is undone, the last first. Undoing is made of ordinary calls that
//! are performed even then ([`cleanup`]), so a crash in the middle of it goes on with it. A cancelled run has a grace period for it.
//!
//! What a call that was cancelled did or did not do nobody can say. Where undoing what was not done does no harm, note it before the step: then it is
//! undone in that case, too. A saga that is dropped (the loser of [`first`](crate::first), a [`timeout`](crate::timeout) that passes) and one that
//! [continues as](crate::continue_as) another run undo nothing.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;

use crate::call::cleanup;
use crate::failure::{Failure, Result};
use crate::log;

/// Takes steps, and if they end with a failure undoes what they noted to be undone. Returns what the steps return.
///
/// What cannot be undone is said in the log and added to the failure's message; the rest is undone all the same.
pub async fn saga<'a, T>(steps: impl AsyncFnOnce(&Undo<'a>) -> Result<T>) -> Result<T> {
    let undo = Undo::default();
    match steps(&undo).await {
        Ok(value) => Ok(value),
        Err(failure) => Err(cleanup(undo.all(failure)).await),
    }
}

type Step<'a> = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = Result<()>> + 'a>> + 'a>;

/// What is to be undone if a later step fails.
#[derive(Default)]
pub struct Undo<'a> {
    steps: RefCell<Vec<(String, Step<'a>)>>,
}

impl<'a> Undo<'a> {
    /// Notes how something is undone. The words say what that does.
    pub fn by<F>(&self, words: impl Into<String>, step: F)
    where
        F: AsyncFnOnce() -> Result<()> + 'a,
    {
        let step: Step<'a> = Box::new(move || Box::pin(async move { step().await }));
        self.steps.borrow_mut().push((words.into(), step));
    }

    /// Forgets everything that was noted so far: from here on there is no way back.
    pub fn nothing_so_far(&self) {
        self.steps.borrow_mut().clear();
    }

    /// Undoes everything, the last first, and returns the failure that made it necessary.
    async fn all(self, failure: Failure) -> Failure {
        let mut left = Vec::new();
        for (words, step) in self.steps.into_inner().into_iter().rev() {
            if let Err(why) = step().await {
                log::error!("could not {words}: {why}");
                left.push(format!("could not {words}: {why}"));
            }
        }
        match left.is_empty() {
            true => failure,
            false => failure.and_then(left.join("; ")),
        }
    }
}
