//! A model that works with tools until it has an answer.
//!
//! ```
//! # use skillhost_sdk::prelude::*;
//! # use skillhost_sdk::example;
//! # #[data] struct Answer { text: String }
//! #[tool("Reads a file of the project")]
//! async fn read(
//!     /// Relative to the project's folder.
//!     path: String,
//! ) -> Result<String> {
//!     files::mount("notes")?.read_text(path).await
//! }
//!
//! # async fn example() -> Result<()> {
//! # example::file("notes/plan.md", "Rest on Sunday.");
//! # example::model_says([r#"read({"path": "plan.md"})"#, r#"{"text": "We rest."}"#]);
//! let agent = Agent::sonnet("You know the plan.").tools(read).turns(40).on_limit(Summarise);
//! let answer: Answer = agent.ask("What about Sunday?").json().await?;
//! # assert_eq!(answer.text, "We rest.");
//! # assert_eq!(example::called()[1], "read notes/plan.md");
//! # Ok(())
//! # }
//! # example::run(example());
//! ```
//!
//! An agent that is not done when its turns are used up fails with `turn-limit`, unless it is to [`Summarise`](OnLimit::Summarise):
//!
//! ```
//! # use skillhost_sdk::prelude::*;
//! # use skillhost_sdk::example;
//! # #[tool("Looks once more")] async fn look() -> Result<String> { Ok("nothing".to_owned()) }
//! # async fn example() -> Result<String> {
//! # example::model_says(["look()", "look()"]);
//! match Agent::haiku("Look until you see it.").tools(look).turns(2).ask("Is it there?").text().await {
//!     Err(failure) if failure.code() == code::TURN_LIMIT => Ok("not yet".to_owned()),
//!     answer => answer,
//! }
//! # }
//! # assert_eq!(example::run(example()), "not yet");
//! ```
//!
//! Every turn is an ordinary model call, and what a tool does is made of ordinary calls, so an agent goes on after a crash where it was. The tools that
//! the model asks for in one turn run at once and are answered in order. A tool that fails tells the model why, which may do better; a failure that is
//! [fatal](Failure::fatal), and a cancelled run, end the agent.

mod tool;

use std::rc::Rc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::skillhost::skill::model as world;
use crate::call::Options;
use crate::describe::input_schema;
use crate::failure::{Failure, Result, code};
use crate::log;
use crate::model::{self, Block, Message, Reply, Request, Role, ToolCall, ToolOutcome, Unusable};
use crate::prompt::Prompt;

pub use tool::{ANSWER_BYTES_MAX, IntoTool, Tool, ToolCalled, Tools, tool};

/// How many turns an agent has unless it is said.
const TURNS: u32 = 25;

/// What a model is told whose turns are spent.
const LAST_WORDS: &str = "Your turns are used up, and no tool answers any more. Give your answer now, from what you know so far, and say what is left open.";

/// A model with tools. Nothing is sent before its answer is awaited, and it can be asked again: each time it begins anew.
#[must_use = "an agent is asked by `.ask(..).text()` or `.ask(..).json()`"]
#[derive(Clone, Debug)]
pub struct Agent<'a> {
    request: Request,
    tools: Vec<Tool<'a>>,
    turns: u32,
    on_limit: OnLimit,
    label: String,
}

/// What becomes of an agent whose turns are used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLimit {
    /// It is asked once more, for the best answer it can give without tools.
    Summarise,
    /// It fails with the code `turn-limit`.
    #[default]
    Fail,
}

impl<'a> Agent<'a> {
    /// Works with the user's small, fast model. The instructions are its system prompt.
    pub fn haiku(instructions: impl Into<Prompt>) -> Self {
        Self::named("haiku", instructions)
    }

    /// Works with the user's model for everyday work.
    pub fn sonnet(instructions: impl Into<Prompt>) -> Self {
        Self::named("sonnet", instructions)
    }

    /// Works with the user's strongest model.
    pub fn opus(instructions: impl Into<Prompt>) -> Self {
        Self::named("opus", instructions)
    }

    /// Works with a model by its full id, or by a tier of the user's configuration.
    pub fn named(model: impl Into<String>, instructions: impl Into<Prompt>) -> Self {
        Self {
            request: model::named(model, "").system(instructions),
            tools: Vec::new(),
            turns: TURNS,
            on_limit: OnLimit::default(),
            label: "agent".to_owned(),
        }
    }

    /// Gives it tools: one, or a tuple of several. A tool is a function under [`#[tool]`](macro@crate::tool), or made of a closure by [`tool`].
    pub fn tools<Kind>(mut self, tools: impl Tools<'a, Kind>) -> Self {
        tools.collect(&mut self.tools);
        self
    }

    /// Lets the model search the web at most so often a turn, where the provider can (`run::info().has("web-search")`).
    pub fn web_search(mut self, uses_max: u32) -> Self {
        self.request = self.request.web_search(uses_max);
        self
    }

    /// Limits how often the model is asked; 25 times unless said.
    pub fn turns(mut self, turns: u32) -> Self {
        self.turns = turns.max(1);
        self
    }

    /// Says what becomes of it when its turns are used up; it fails unless said.
    pub fn on_limit(mut self, on_limit: OnLimit) -> Self {
        self.on_limit = on_limit;
        self
    }

    /// Says what the timeline shows for its turns, before their number.
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.label = label.as_ref().to_owned();
        self
    }

    /// Says how often each model call may be performed when it fails in a way that may pass; five times unless said.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.request = self.request.attempts(attempts);
        self
    }

    /// Limits how long each model call may take.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.request = self.request.timeout(limit);
        self
    }

    /// Limits each reply; 8,192 tokens unless said.
    pub fn max_tokens(mut self, tokens: u32) -> Self {
        self.request = self.request.max_tokens(tokens);
        self
    }

    /// Sets the temperature.
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.request = self.request.temperature(temperature);
        self
    }

    /// Gives it something to do.
    pub fn ask(&self, task: impl Into<Prompt>) -> Asked<'a> {
        let mut agent = self.clone();
        agent.request = agent.request.prompt(task);
        Asked(agent)
    }
}

/// An agent with something to do.
#[must_use = "an agent works when `.text()` or `.json()` is awaited"]
#[derive(Clone, Debug)]
pub struct Asked<'a>(Agent<'a>);

impl Asked<'_> {
    /// Works until the model asks for no more tools, and returns what it says then.
    pub async fn text(self) -> Result<String> {
        let mut work = Work::begin(self.0, None)?;
        Ok(work.work_on().await?.text())
    }

    /// Works until the model asks for no more tools, and returns its answer as a value of a type. An answer that does not fit is repaired once, as by
    /// [`Request::json`](crate::model::Request::json); the model may use its tools for that.
    pub async fn json<T: DeserializeOwned + JsonSchema>(self) -> Result<T> {
        let schema = input_schema::<T>();
        let schema = schema.as_value();
        let mut work = Work::begin(self.0, Some(schema))?;
        let reply = work.work_on().await?;
        let wrong = match model::read(&reply, schema) {
            Ok(value) => return Ok(value),
            Err(Unusable::Ended(failure)) => return Err(failure),
            Err(Unusable::Form(wrong)) => wrong,
        };
        work.request = Rc::new(model::repaired(
            Rc::unwrap_or_clone(work.request),
            &reply,
            &wrong,
            schema,
        ));
        // A repair is a turn beyond the limit, if it has to be.
        work.turns_left = work.turns_left.max(1);
        let reply = work.work_on().await?;
        model::read(&reply, schema).map_err(|unusable| model::given_up(unusable, &reply))
    }
}

/// An agent at work.
struct Work<'a> {
    tools: Vec<Tool<'a>>,
    /// The conversation so far, as it is sent next.
    request: Rc<world::Request>,
    options: Options,
    label: String,
    turn: u32,
    turns: u32,
    turns_left: u32,
    on_limit: OnLimit,
}

impl<'a> Work<'a> {
    fn begin(agent: Agent<'a>, schema: Option<&Value>) -> Result<Self> {
        let mut names: Vec<&str> = agent.tools.iter().map(Tool::name).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Failure::new(
                code::INVALID,
                format!("an agent has two tools of the name `{}`", twice[0]),
            ));
        }
        let specs = agent.tools.iter().map(Tool::spec);
        let (request, options) = agent.request.tools(specs).render(schema)?;
        Ok(Self {
            tools: agent.tools,
            request: Rc::new(request),
            options,
            label: agent.label,
            turn: 0,
            turns: agent.turns,
            turns_left: agent.turns,
            on_limit: agent.on_limit,
        })
    }

    /// Goes on until a reply asks for no tool.
    async fn work_on(&mut self) -> Result<Reply> {
        loop {
            let reply = self.ask().await?;
            if reply.tool_calls().next().is_none() {
                reply.finished()?;
                return Ok(reply);
            }
            if self.turns_left == 0 {
                return self.at_the_limit(&reply).await;
            }
            let answers = self.answers(&reply).await?;
            self.say(&reply, answers);
        }
    }

    /// Takes one turn.
    async fn ask(&mut self) -> Result<Reply> {
        self.turn += 1;
        self.turns_left = self.turns_left.saturating_sub(1);
        let mut options = self.options.clone();
        options.set_label(&format!("{}: turn {}", self.label, self.turn));
        let (reply, _) = model::send(Rc::clone(&self.request), options).await?;
        Ok(reply)
    }

    /// Adds a reply to the conversation, and what it is told.
    fn say(&mut self, reply: &Reply, content: Vec<Block>) {
        let messages = &mut Rc::make_mut(&mut self.request).messages;
        messages.push(reply.message());
        messages.push(Message {
            role: Role::User,
            content,
        });
    }

    async fn at_the_limit(&mut self, reply: &Reply) -> Result<Reply> {
        let over = Failure::new(
            code::TURN_LIMIT,
            format!("the agent was not done after {} turns", self.turns),
        );
        if self.on_limit == OnLimit::Fail {
            return Err(over);
        }
        let mut content = self.answers(reply).await?;
        content.push(Block::Text(LAST_WORDS.to_owned()));
        self.say(reply, content);
        let last = self.ask().await?;
        if last.tool_calls().next().is_some() {
            return Err(over);
        }
        last.finished()?;
        Ok(last)
    }

    /// Runs the tools that a reply asks for, all at once, and returns their answers in the order in which it asks.
    async fn answers(&self, reply: &Reply) -> Result<Vec<Block>> {
        let calls: Vec<&ToolCall> = reply.tool_calls().collect();
        let mut open: FuturesUnordered<_> = calls
            .iter()
            .enumerate()
            .map(|(index, call)| async move { (index, self.answer(call).await) })
            .collect();
        let mut answers: Vec<Option<Block>> = calls.iter().map(|_| None).collect();
        while let Some((index, answer)) = open.next().await {
            let (content, is_error) = match answer {
                Ok(content) => (content, false),
                Err(failure) if failure.is_fatal() || failure.is_cancelled() => return Err(failure),
                Err(failure) => {
                    log::warn!("tool `{}` failed: {failure}", calls[index].name);
                    (failure.message().to_owned(), true)
                }
            };
            answers[index] = Some(Block::ToolOutcome(ToolOutcome {
                id: calls[index].id.clone(),
                content,
                is_error,
            }));
        }
        Ok(answers.into_iter().flatten().collect())
    }

    async fn answer(&self, call: &ToolCall) -> Result<String> {
        match self.tools.iter().find(|tool| tool.name() == call.name) {
            Some(tool) => tool.call(&call.input).await,
            None => {
                let known: Vec<&str> = self.tools.iter().map(Tool::name).collect();
                Err(Failure::new(
                    code::NOT_FOUND,
                    format!("there is no tool `{}`; there are: {}", call.name, known.join(", ")),
                ))
            }
        }
    }
}
