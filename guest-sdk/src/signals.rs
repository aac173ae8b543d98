//! Waits for messages from outside the run: events that programs send, and answers that people give.
//!
//! ```
//! # use skillhost_sdk::prelude::*;
//! # use skillhost_sdk::example;
//! # #[data] struct Build { passed: bool }
//! # async fn example() -> Result<bool> {
//! # example::answer(r#"{"approve": true}"#);
//! # example::answer(r#"{"passed": true}"#);
//! let approval: Approval = ask("publish", "Publish the report?").attach("report.md").timeout(days(2), Approval::no()).await?;
//! let build: Build = signals::wait("build-finished").within(hours(1)).await?;
//! # Ok(approval.approve && build.passed)
//! # }
//! # assert!(example::run(example()));
//! ```
//!
//! A wait [`within`](Wait::within) a time fails with `timeout` when that is over, one with a [`timeout`](Wait::timeout) has another value then. What is sent is
//! checked against the schema of its type before the skill sees it.
//!
//! ```
//! # use skillhost_sdk::prelude::*;
//! # use skillhost_sdk::example;
//! # async fn example() -> Result<bool> {
//! # example::nothing_comes();
//! match signals::wait::<bool>("build-finished").within(hours(1)).await {
//!     Err(failure) if failure.code() == code::TIMEOUT => Ok(false),
//!     came => came,
//! }
//! # }
//! # assert!(!example::run(example()));
//! ```

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::call::{Call, Options, nanoseconds};
use crate::describe::schema_text;
use crate::failure::{Failure, IntoFailure as _, Result, code};
use crate::files;
use crate::host;
use crate::host::signals::{Answer, Audience, Event, Question};

/// Asks a person, and waits for the answer, whose form is `T`'s.
pub fn ask<T>(name: impl Into<String>, prompt: impl Into<String>) -> Ask<T> {
    Ask {
        question: Question {
            name: name.into(),
            prompt: prompt.into(),
            schema: None,
            audience: Audience::User,
            details: None,
            attachments: Vec::new(),
            timeout_ns: None,
            extra: None,
        },
        otherwise: None,
        options: Options::default(),
    }
}

/// Waits for an event, whose form is `T`'s. One that was sent ahead of the wait is kept for it.
pub fn wait<T>(name: impl Into<String>) -> Wait<T> {
    Wait {
        event: Event {
            name: name.into(),
            schema: None,
            timeout_ns: None,
            extra: None,
        },
        otherwise: None,
        options: Options::default(),
    }
}

/// A question that is asked when it is awaited.
#[must_use = "a question is asked when it is awaited"]
#[derive(Clone, Debug)]
pub struct Ask<T> {
    question: Question,
    otherwise: Option<T>,
    options: Options,
}

impl<T> Ask<T> {
    /// Asks the person who launched the run. This is so unless something else is said.
    pub fn user(mut self) -> Self {
        self.question.audience = Audience::User;
        self
    }

    /// Asks the agent that launched the run.
    pub fn agent(mut self) -> Self {
        self.question.audience = Audience::Agent;
        self
    }

    /// Asks another program.
    pub fn system(mut self) -> Self {
        self.question.audience = Audience::System;
        self
    }

    /// Adds whatever helps to decide, as Markdown.
    pub fn details(mut self, markdown: impl Into<String>) -> Self {
        self.question.details = Some(markdown.into());
        self
    }

    /// Points to a file to look at; one without a mount is in `run/`.
    pub fn attach(mut self, path: impl AsRef<str>) -> Self {
        self.question.attachments.push(files::with_mount(path.as_ref()));
        self
    }

    /// Waits so long in real time, and then takes `otherwise` for the answer.
    pub fn timeout(mut self, limit: Duration, otherwise: T) -> Self {
        self.otherwise = Some(otherwise);
        self.within(limit)
    }

    /// Waits so long in real time, and then fails with the code `timeout`.
    pub fn within(mut self, limit: Duration) -> Self {
        self.question.timeout_ns = Some(nanoseconds(limit));
        self
    }

    /// Says what the timeline shows.
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.options.set_label(label.as_ref());
        self
    }
}

impl<T: DeserializeOwned + schemars::JsonSchema + 'static> IntoFuture for Ask<T> {
    type Output = Result<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T>>>>;

    fn into_future(self) -> Self::IntoFuture {
        let mut question = self.question;
        question.schema = Some(schema_text::<T>());
        let call = Call::new(
            move |options| host::signals::start_ask(&question, options),
            |pending| host::signals::finish_ask(pending).map_err(|error| error.into_failure()),
        );
        Box::pin(answered(call.with_options(self.options), self.otherwise))
    }
}

/// A wait that begins when it is awaited.
#[must_use = "a wait begins when it is awaited"]
#[derive(Clone, Debug)]
pub struct Wait<T> {
    event: Event,
    otherwise: Option<T>,
    options: Options,
}

impl<T> Wait<T> {
    /// Waits so long in real time, and then takes `otherwise` for the event.
    pub fn timeout(mut self, limit: Duration, otherwise: T) -> Self {
        self.otherwise = Some(otherwise);
        self.within(limit)
    }

    /// Waits so long in real time, and then fails with the code `timeout`.
    pub fn within(mut self, limit: Duration) -> Self {
        self.event.timeout_ns = Some(nanoseconds(limit));
        self
    }

    /// Says what the timeline shows.
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.options.set_label(label.as_ref());
        self
    }
}

impl<T: DeserializeOwned + schemars::JsonSchema + 'static> IntoFuture for Wait<T> {
    type Output = Result<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T>>>>;

    fn into_future(self) -> Self::IntoFuture {
        let mut event = self.event;
        event.schema = Some(schema_text::<T>());
        let call = Call::new(
            move |options| host::signals::start_wait(&event, options),
            |pending| host::signals::finish_wait(pending).map_err(|error| error.into_failure()),
        );
        Box::pin(answered(call.with_options(self.options), self.otherwise))
    }
}

async fn answered<T: DeserializeOwned>(call: Call<Answer>, otherwise: Option<T>) -> Result<T> {
    match (call.await, otherwise) {
        (Ok(answer), _) => serde_json::from_str(&answer.value)
            .map_err(|error| Failure::from(error).context("the answer does not have the form that was asked for")),
        (Err(failure), Some(otherwise)) if failure.code() == code::TIMEOUT => Ok(otherwise),
        (Err(failure), _) => Err(failure),
    }
}

/// The answer to a question of yes or no.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Approval {
    /// Whether to go on.
    pub approve: bool,
    /// Why, or what is to be changed.
    #[serde(default)]
    pub comment: String,
}

impl Approval {
    /// Go on.
    pub fn yes() -> Self {
        Self {
            approve: true,
            comment: String::new(),
        }
    }

    /// Do not go on.
    pub fn no() -> Self {
        Self {
            approve: false,
            comment: String::new(),
        }
    }
}
