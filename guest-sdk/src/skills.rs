//! Has other skills do something, which the user has to grant: `#[skill(skills("translate", reason = ".."))]`.
//!
//! ```
//! # use skillhost_sdk::prelude::*;
//! # async fn example() -> Result<()> {
//! # skillhost_sdk::example::skill_says(r#"{"text": "Guten Tag"}"#);
//! #[data]
//! struct Translation {
//!     text: String,
//! }
//! let german: Translation = skills::call("translate", json!({"text": "Good day", "to": "de"})).await?;
//! assert_eq!(german.text, "Guten Tag");
//! # Ok(())
//! # }
//! # skillhost_sdk::example::run(example());
//! ```
//!
//! What is called is a run of its own: it has a journal, a `run/` folder and grants of its own, of which those count that this run has as well, and goes on in its own
//! time. It is launched once for a call, whatever crashes, and cancelled when the call is dropped. It spends of this run's budget: what [`allow`](Run::allow) says, and else
//! a quarter of what is left.
//!
//! A skill that fails has the call fail, with its code:
//!
//! ```
//! # use skillhost_sdk::prelude::*;
//! # async fn example() -> Result<()> {
//! # skillhost_sdk::example::skill_fails("declined", "nobody wants that");
//! let failure = skills::call::<String>("publish", json!({"draft": "run/post.md"})).await.unwrap_err();
//! assert_eq!(failure.code(), "declined");
//! # Ok(())
//! # }
//! # skillhost_sdk::example::run(example());
//! ```

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::skillhost::skill::types::Reuse;
use crate::call::{Call, Options};
use crate::failure::{Failure, IntoFailure as _, Result};
use crate::host;
use crate::host::skills::{Allowance, Request};

/// Calls a skill with an input that fits its schema; the result is a `T`. A field of the input that is a path names a file or folder of this run: `run/post.md`.
pub fn call<T>(skill: impl Into<String>, input: impl Serialize) -> Run<T> {
    Run {
        skill: skill.into(),
        input: serde_json::to_string(&input).map_err(Failure::from),
        allowance: None,
        options: Options::default(),
        result: PhantomData,
    }
}

/// A skill that is called when it is awaited.
#[must_use = "a skill is called when it is awaited"]
#[derive(Clone, Debug)]
pub struct Run<T> {
    skill: String,
    input: Result<String>,
    allowance: Option<Allowance>,
    options: Options,
    result: PhantomData<fn() -> T>,
}

impl<T> Run<T> {
    /// Limits what it may spend, in dollars.
    pub fn allow(mut self, dollars: f64) -> Self {
        // What is no amount allows nothing.
        let microdollars = (dollars * 1e6).round() as u64;
        self.allowance().microdollars = Some(microdollars);
        self
    }

    /// Limits how many model calls it may make.
    pub fn allow_calls(mut self, calls: u64) -> Self {
        self.allowance().calls = Some(calls);
        self
    }

    /// Limits how many tokens it may have models read and write.
    pub fn allow_tokens(mut self, tokens: u64) -> Self {
        self.allowance().tokens = Some(tokens);
        self
    }

    /// Says what the timeline shows instead of the skill's name.
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.options.set_label(label.as_ref());
        self
    }

    /// Limits how long it may take; then it is cancelled, and the call fails with the code `timeout`.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.options.timeout = Some(limit);
        self
    }

    /// States that it is called anew in every execution of a skill in development.
    pub fn fresh(mut self) -> Self {
        self.options.reuse = Some(Reuse::Fresh);
        self
    }

    fn allowance(&mut self) -> &mut Allowance {
        self.allowance.get_or_insert(Allowance {
            calls: None,
            tokens: None,
            microdollars: None,
        })
    }
}

impl<T: DeserializeOwned + 'static> IntoFuture for Run<T> {
    type Output = Result<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T>>>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self {
            skill,
            input,
            allowance,
            mut options,
            ..
        } = self;
        if options.label.is_none() {
            options.set_label(&skill);
        }
        Box::pin(async move {
            let request = Request {
                skill: skill.clone(),
                input: input?,
                allowance,
                extra: None,
            };
            let call = Call::new(
                move |options| host::skills::start_call(&request, options),
                |pending| host::skills::finish_call(pending).map_err(|error| error.into_failure()),
            );
            let result = call.with_options(options).await?;
            serde_json::from_str(&result)
                .map_err(|error| Failure::from(error).context(format_args!("what the skill `{skill}` returned")))
        })
    }
}
