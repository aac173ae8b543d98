//! Named tasks that depend on each other: each begins when what it needs is there, and those that need nothing of each other run at once.
//!
//! ```
//! # use skillhost_sdk::prelude::*;
//! # use skillhost_sdk::example;
//! # #[data] struct Facts { list: Vec<String> }
//! # async fn example() -> Result<()> {
//! # let question = "Which rivers?";
//! # example::model_says([r#"{"list": ["Elbe", "Oder"]}"#, "no heading", "# Rivers"]);
//! let done = Tasks::new()
//!     .add(task("facts", async |_| model::sonnet(question).json::<Facts>().await).retries(2))
//!     .add(task("figures", async |_| Ok(files::run().glob("*.csv").await?.len())))
//!     .add(
//!         task("report", async |past: Past| {
//!             let (facts, figures) = (past.get::<Facts>("facts")?, past.get::<usize>("figures")?);
//!             model::opus(format!("{} {figures}", json(&facts.list))).text().await
//!         })
//!         .depends_on(["facts", "figures"])
//!         .retries(1)
//!         .validate(|report| report.contains('#').then_some(()).ok_or("it has no heading")),
//!     )
//!     .add(task("notice", async |_| inbox::post("The report is ready").await).depends_on(["report"]).detached())
//!     .at_once(4)
//!     .all()
//!     .await?;
//! assert_eq!(*done.get::<String>("report")?, "# Rivers");
//! # assert_eq!(example::called().last().unwrap(), "post The report is ready []");
//! # Ok(())
//! # }
//! # example::run(example());
//! ```
//!
//! What fails is one failure with the task's name in front ([`all`](Tasks::all)), or what came of each ([`settled`](Tasks::settled)):
//!
//! ```
//! # use skillhost_sdk::prelude::*;
//! # async fn example() -> Result<()> {
//! let done = Tasks::new()
//!     .add(task("web", async |_| -> Result<u32> { Err(Failure::new("offline", "no web today")) }))
//!     .add(task("notes", async |_| Ok(7_u32)).depends_on(["web"]).when(|past| past.failed("web")))
//!     .settled()
//!     .await?;
//! assert_eq!(done.get::<u32>("web").unwrap_err().code(), "offline");
//! assert_eq!(*done.get::<u32>("notes")?, 7);
//! # Ok(())
//! # }
//! # skillhost_sdk::example::run(example());
//! ```
//!
//! Tasks are no unit of recovery: what they do is made of calls, as everything else, and after a crash each goes on where it was.

mod plan;
mod work;

use std::any::Any;
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use crate::failure::{Failure, Result, code};

/// How many tasks run at once unless it is said.
const AT_ONCE: usize = 16;

/// Makes a task. `work` is given what came of the tasks that it depends on.
pub fn task<'a, T, F>(name: impl Into<String>, work: F) -> Task<'a, T>
where
    T: 'static,
    F: AsyncFn(Past) -> Result<T> + 'a,
{
    let work = Rc::new(work);
    Task {
        form: Form {
            name: name.into(),
            depends_on: Vec::new(),
            retries: 0,
            when: None,
            detached: false,
            // Replaced before anybody asks: what is checked is known only when the task is added.
            work: Box::new(|_| unreachable!("a task has its work when it is added")),
        },
        work: Box::new(move |past| {
            let work = work.clone();
            Box::pin(async move { work(past).await })
        }),
        validate: None,
    }
}

type Work<'a, T> = Box<dyn Fn(Past) -> Pin<Box<dyn Future<Output = Result<T>> + 'a>> + 'a>;
type When<'a> = Box<dyn Fn(&Past) -> bool + 'a>;
type Check<'a, T> = Rc<dyn Fn(&T) -> core::result::Result<(), String> + 'a>;

/// Something to be done, under a name.
#[must_use = "a task is done when it is added to `Tasks`, and those are awaited"]
pub struct Task<'a, T> {
    form: Form<'a>,
    work: Work<'a, T>,
    validate: Option<Check<'a, T>>,
}

/// A task without the type of its value.
struct Form<'a> {
    name: String,
    depends_on: Vec<String>,
    retries: u32,
    when: Option<When<'a>>,
    detached: bool,
    work: Work<'a, Value>,
}

/// What a task returned.
type Value = Rc<dyn Any>;

impl<'a, T: 'static> Task<'a, T> {
    /// Begins it only when these are over. Unless [`when`](Self::when) says otherwise it is left out if one of them failed or was left out.
    pub fn depends_on<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.form.depends_on.extend(names.into_iter().map(Into::into));
        self
    }

    /// Does it again when it fails, at most so often. What is [fatal](Failure::fatal) or cancelled is not tried again.
    pub fn retries(mut self, retries: u32) -> Self {
        self.form.retries = retries;
        self
    }

    /// Decides when what it depends on is over, however that ended, whether it is done or left out. So a task can stand in for one that failed:
    /// `.when(|past| past.failed("facts"))`.
    pub fn when(mut self, decide: impl Fn(&Past) -> bool + 'a) -> Self {
        self.form.when = Some(Box::new(decide));
        self
    }

    /// Checks what it returns; with an error it has failed, and may be tried again.
    pub fn validate<E: Display>(mut self, check: impl Fn(&T) -> core::result::Result<(), E> + 'a) -> Self {
        self.validate = Some(Rc::new(move |value| check(value).map_err(|error| error.to_string())));
        self
    }

    /// Does it when all others are over, as a side effect that nothing waits for: it fails nothing, its failure is a warning in the log. It is
    /// done also if others failed, provided that what it depends on is done.
    pub fn detached(mut self) -> Self {
        self.form.detached = true;
        self
    }

    fn erased(self) -> Form<'a> {
        let Self {
            mut form,
            work,
            validate,
        } = self;
        form.work = Box::new(move |past| {
            let (working, validate) = (work(past), validate.clone());
            Box::pin(async move {
                let value = working.await?;
                if let Some(Err(wrong)) = validate.map(|check| check(&value)) {
                    return Err(Failure::new(code::INVALID, wrong));
                }
                Ok(Rc::new(value) as Value)
            })
        });
        form
    }
}

/// Tasks that depend on each other.
#[must_use = "tasks are done when `.all()` or `.settled()` is awaited"]
pub struct Tasks<'a> {
    forms: Vec<Form<'a>>,
    at_once: usize,
}

impl Default for Tasks<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Tasks<'a> {
    /// Returns no tasks.
    pub fn new() -> Self {
        Self {
            forms: Vec::new(),
            at_once: AT_ONCE,
        }
    }

    /// Adds a task. Of those that can begin, the one that was added first does.
    #[allow(clippy::should_implement_trait, reason = "it is no sum")]
    pub fn add<T: 'static>(mut self, task: Task<'a, T>) -> Self {
        self.forms.push(task.erased());
        self
    }

    /// Limits how many run at once; 16 unless said.
    pub fn at_once(mut self, limit: usize) -> Self {
        self.at_once = limit.max(1);
        self
    }

    /// Does them all. The first failure cancels what is under way and is returned, with the name of its task.
    pub async fn all(mut self) -> Result<Done> {
        work::run(self.checked()?, self.at_once, true).await
    }

    /// Does as many as can be done, and returns what came of each. Only tasks that do not fit together are a failure, and a cancelled run.
    pub async fn settled(mut self) -> Result<Done> {
        work::run(self.checked()?, self.at_once, false).await
    }
}

/// What came of a task.
#[derive(Clone, Debug)]
enum Came {
    Done(Value),
    Failed(Failure),
    /// It was not begun, for this reason.
    LeftOut(String),
}

/// What came of the tasks that a task depends on.
#[derive(Clone, Debug)]
pub struct Past {
    of: String,
    came: Vec<(String, Came)>,
}

impl Past {
    /// Returns what a task returned that this one depends on, or its failure.
    pub fn get<T: 'static>(&self, name: &str) -> Result<Rc<T>> {
        value(name, self.came(name)?)
    }

    /// Says whether a task that this one depends on was done.
    ///
    /// # Panics
    ///
    /// When this task does not depend on it.
    pub fn done(&self, name: &str) -> bool {
        matches!(self.known(name), Came::Done(_))
    }

    /// Says whether a task that this one depends on failed.
    ///
    /// # Panics
    ///
    /// When this task does not depend on it.
    pub fn failed(&self, name: &str) -> bool {
        matches!(self.known(name), Came::Failed(_))
    }

    fn known(&self, name: &str) -> &Came {
        // In the author's words rather than `false`, which a misspelt name would be for ever.
        self.came(name).unwrap_or_else(|failure| panic!("{failure}"))
    }

    fn came(&self, name: &str) -> Result<&Came> {
        let found = self.came.iter().find(|(known, _)| known == name);
        found.map(|(_, came)| came).ok_or_else(|| {
            let message = format!(
                "task `{}` asks for `{name}`, on which it does not depend: add that to its `depends_on`",
                self.of
            );
            Failure::new(code::INVALID, message).fatal()
        })
    }
}

/// What came of all tasks.
#[derive(Clone, Debug)]
pub struct Done(Vec<(String, Came)>);

impl Done {
    /// Returns what a task returned, or the failure of a task that was not done.
    pub fn get<T: 'static>(&self, name: &str) -> Result<Rc<T>> {
        match self.0.iter().find(|(known, _)| known == name) {
            Some((_, came)) => value(name, came),
            None => Err(Failure::new(code::NOT_FOUND, format!("there is no task `{name}`"))),
        }
    }

    /// Returns the tasks that failed, and why, in the order in which they were added.
    pub fn failed(&self) -> impl Iterator<Item = (&str, &Failure)> {
        self.0.iter().filter_map(|(name, came)| match came {
            Came::Failed(failure) => Some((name.as_str(), failure)),
            _ => None,
        })
    }

    /// Returns the tasks that were not begun, and why, in the order in which they were added.
    pub fn left_out(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, came)| match came {
            Came::LeftOut(why) => Some((name.as_str(), why.as_str())),
            _ => None,
        })
    }
}

fn value<T: 'static>(name: &str, came: &Came) -> Result<Rc<T>> {
    match came {
        Came::Done(value) => value.clone().downcast().map_err(|_| {
            let asked = std::any::type_name::<T>();
            Failure::new(
                code::INVALID,
                format!("task `{name}` returns something else than `{asked}`"),
            )
            .fatal()
        }),
        Came::Failed(failure) => Err(failure.clone()),
        Came::LeftOut(why) => Err(Failure::new(
            code::LEFT_OUT,
            format!("task `{name}` was left out: {why}"),
        )),
    }
}
