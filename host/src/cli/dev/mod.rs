//! `dev`: builds a skill, runs it, and after every save builds and runs it again, reusing what it was answered before (rules D1 to D4).
//!
//! A round is a build and an execution. [`watched`] says when the next one begins, [`workshop`] keeps executions, [`execution`] drives one, [`screen`] shows what became
//! different by the change.

mod execution;
mod screen;
mod watched;
mod workshop;

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use serde_json::Value;
use skillhost_core::entry::Started;
use skillhost_core::grants::Grants;
use skillhost_core::recording::Recording;
use skillhost_journal::{Created, NewRun};
use skillhost_runtime::Reread;
use skillhost_toolchain::Stop;
use tokio::sync::oneshot;

use super::budget::BudgetArgs;
use super::context::{Context, Session};
use super::order::Order;
use super::report::{Envelope, ErrorMember, Report, Rows, WaitMember};
use super::{build, drive, grant, waits};
use crate::author::build::{Compiled, Purpose};
use crate::author::component::Examined;
use crate::author::project::Project;
use crate::bundle::Scan;
use crate::driver::{self, Worker};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::fields::{Given, parse_arg};
use crate::input::{Raw, Spelling, Words};
use crate::installed::Edition;
use crate::mounts::{Word, parse_word};
use crate::terminal;
use execution::{Reached, Sayings};
pub(super) use screen::Development;
use screen::{Look, Times};
use watched::{Leave, Next, Watched};
use workshop::{Execution, Workshop};

/// `dev`.
#[derive(Debug, Args)]
#[command(after_help = "\
Runs in a state folder of the crate, `.skillhost`: nothing of it comes into your inbox, and no daemon sees it. A call that
was made before gets the answer that it got then; a call that the change made new is performed, and so are reads and writes.

Examples:
  skillhost dev --arg name=Ada
  skillhost dev ~/skills/nightly --arg topic=rivers --answer publish='{\"approve\": true}'
  skillhost dev --once --json --arg name=Ada")]
pub struct DevArgs {
    /// The crate of the skill; the one that this folder is in if absent
    pub path: Option<PathBuf>,
    /// Give a field of the input
    #[arg(long = "arg", value_name = "NAME=VALUE", value_parser = parse_arg)]
    pub args: Vec<Given>,
    /// Give the whole input as JSON, `@FILE`, or `-` for standard input
    #[arg(long, value_name = "JSON")]
    pub input: Option<String>,
    /// Say ahead what a question or an event of this name is answered
    #[arg(long, value_name = "NAME=JSON", value_parser = parse_arg)]
    pub answer: Vec<Given>,
    /// Do without asking what must not be done twice
    #[arg(long)]
    pub perform: bool,
    /// Build and run once, and end
    #[arg(long)]
    pub once: bool,
    /// Reuse nothing
    #[arg(long)]
    pub fresh: bool,
    /// Let the skill's own script answer instead of a model
    #[arg(long, conflicts_with = "provider")]
    pub offline: bool,
    /// Ask this model provider: anthropic, openai, claude-cli or offline
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// Give it a folder or a file to read, as NAME/ ; a folder also to change with `:rw` at the end
    #[arg(long = "mount", value_name = "NAME=PATH", value_parser = parse_word)]
    pub mounts: Vec<Word>,
    /// What each execution may spend
    #[command(flatten)]
    pub budget: BudgetArgs,
}

/// Returns the state folder in which the executions of a crate are, if there is one.
pub(super) fn apart(context: &Context, folder: &Path) -> Option<Context> {
    let home = workshop::existing(&context.home, folder)?;
    Some(context.apart(home))
}

pub(super) fn run(args: &DevArgs, context: &Context) -> Result<Report> {
    let project = Project::find(args.path.as_deref())?;
    let apart = context.apart(workshop::home(&context.home, project.folder())?);
    let session = apart.session(apart.journal()?).in_development();
    let worker = session.worker()?;
    let words = Words {
        input: args.input.clone(),
        fields: args.args.clone(),
    };
    let bench = Bench {
        args,
        project: &project,
        session: &session,
        worker: &worker,
        raw: words.read(&mut io::stdin().lock())?,
        sayings: Sayings {
            answers: args.answer.iter().map(said).collect::<Result<_>>()?,
            perform: args.perform,
        },
        refused: RefCell::default(),
    };
    match args.once || context.json {
        true => bench.once(),
        false => bench.watch(),
    }
}

/// Reads what is said ahead.
fn said(given: &Given) -> Result<(String, Value)> {
    let text = match &given.value {
        crate::fields::Value::Present => "null",
        crate::fields::Value::Text(text) | crate::fields::Value::Json(text) => text,
    };
    let value = super::signal::json_input(Some(text), &mut io::empty())?;
    Ok((given.name.clone(), value))
}

/// All that stays the same from round to round.
struct Bench<'a> {
    args: &'a DevArgs,
    project: &'a Project,
    session: &'a Session<'a>,
    worker: &'a Worker,
    raw: Raw,
    sayings: Sayings,
    /// What the skill asked for and was told not to do.
    refused: RefCell<Grants>,
}

/// What a round came to.
enum Round {
    /// There is no component to run; this is why.
    NotBuilt(Box<Report>),
    /// It was run.
    Run(Box<Ran>),
    /// It was left before anything was run.
    Left,
}

struct Ran {
    reached: Reached,
    now: Execution,
    before: Option<Execution>,
    times: Times,
}

impl Bench<'_> {
    /// One round, told to whoever asked.
    fn once(&self) -> Result<Report> {
        match self.round(&mut Leave::never())? {
            Round::NotBuilt(report) => Ok(*report),
            Round::Run(ran) => {
                let report = self.report(&ran)?;
                self.workshop().tidy()?;
                Ok(report)
            }
            Round::Left => unreachable!("nothing had it left"),
        }
    }

    /// Round after round, until Ctrl-C.
    fn watch(&self) -> Result<Report> {
        let tokio = &self.session.loading()?.tokio;
        let mut watched = {
            let _entered = tokio.enter();
            Watched::begin(self.project.folder())?
        };
        loop {
            let mut leave = watched.leave();
            let round = self.round(&mut leave);
            let next = leave.next();
            match (round, &next) {
                // The next one tells more.
                (Ok(Round::Run(ran)), Some(_)) if ran.reached == Reached::Left => {}
                (Ok(round), _) => self.show(&round)?,
                // The next save may mend it.
                (Err(error), _) => terminal::note(&Report::of_error(&error).notes),
            }
            // Whoever waits for what the change came to is not kept waiting for this, and goes on without it.
            if let Err(error) = self.workshop().tidy() {
                terminal::note(&Report::of_error(&error).notes);
            }
            let next = match next {
                Some(next) => next,
                None => {
                    terminal::note("waiting for a change; Ctrl-C ends\n");
                    tokio.block_on(watched.next())
                }
            };
            match next {
                Next::Round => {}
                Next::End => return Ok(Report::done("", Envelope::default())),
            }
        }
    }

    /// Builds and runs.
    fn round(&self, leave: &mut Leave<'_>) -> Result<Round> {
        let begun = Instant::now();
        let workshop = self.workshop();
        let (compiled, executions) = std::thread::scope(|scope| {
            // Read while the compiler is at work.
            let executions = scope.spawn(|| workshop.executions());
            let compiled = self.compiled(leave);
            (compiled, executions.join().expect("it does not panic"))
        });
        let compiled = match compiled? {
            Some(Ok(compiled)) => compiled,
            Some(Err(report)) => return Ok(Round::NotBuilt(report)),
            None => return Ok(Round::Left),
        };
        let built = begun + compiled.took;
        let (compiled, examined) = match build::examined(self.project, self.session, compiled)? {
            Ok(examined) => examined,
            Err(report) => return Ok(Round::NotBuilt(report)),
        };
        let journal = self.session.journal.as_ref();
        let (started, recording, before) = self.begin(&examined, compiled.bytes, executions?)?;
        let development = driver::Development {
            recording: Arc::new(recording),
            component: Reread::by(move || Some(compiled.whole.to_vec())),
        };
        // What was saved meanwhile may be half of something: not even its first call is made.
        if leave.is_due() {
            return Ok(Round::Left);
        }
        let run = started.run.clone();
        let new = NewRun {
            silent: true,
            ..NewRun::first(started, driver::now(), None)
        };
        let Created::New = journal.create_run(new)? else {
            unreachable!("its launch is known by an id that was just drawn")
        };
        let row = journal.run(&run)?;
        let reached = execution::drive(
            self.session,
            self.worker,
            &row,
            &development,
            &self.sayings,
            leave.wanted(),
        )?;
        let times = Times {
            build: built - begun,
            run: built.elapsed(),
        };
        let now = self.workshop().execution(&run)?;
        Ok(Round::Run(Box::new(Ran {
            reached,
            now,
            before,
            times,
        })))
    }

    /// Has the compiler make a component, and ends that when the round is left; `None` then.
    fn compiled(&self, leave: &mut Leave<'_>) -> Result<Option<Result<Compiled, Box<Report>>>> {
        let context = self.session.context;
        if leave.never_comes() {
            return build::compiled(self.project, context, Purpose::Development, None);
        }
        let tokio = &self.session.loading()?.tokio;
        let stop = Stop::default();
        std::thread::scope(|scope| {
            let (done, compiled) = oneshot::channel();
            let (project, stop) = (self.project, &stop);
            scope.spawn(move || {
                let compiled = build::compiled(project, context, Purpose::Development, Some(stop));
                // Nobody waits for what was stopped.
                done.send(compiled).ok();
            });
            tokio.block_on(async {
                tokio::select! {
                    biased;
                    () = leave.wanted() => {
                        stop.now();
                        Ok(None)
                    }
                    compiled = compiled => compiled.expect("the thread that builds answers, or its panic is told"),
                }
            })
        })
    }

    /// Settles what the execution begins with, and what it may reuse.
    fn begin(
        &self,
        examined: &Examined,
        component: Vec<u8>,
        executions: Vec<Execution>,
    ) -> Result<(Started, Recording, Option<Execution>)> {
        let name = &examined.description.name;
        let scan = Scan::with_component(name, self.project.folder(), component)?;
        let journal = self.session.journal.as_ref();
        let edition = Edition {
            skill: name.clone(),
            bundle: journal.put_bundle(scan.bundle(), driver::now(), &|file| scan.read(file))?,
            component: scan.component(),
            description: examined.description.clone(),
            script: scan.script()?,
        };
        let order = Order {
            raw: &self.raw,
            spelling: Spelling::Word,
            offline: self.args.offline,
            provider: self.args.provider.as_deref(),
            mounts: &self.args.mounts,
            budget: self.args.budget,
        };
        grant::offer(self.session, &edition, &mut self.refused.borrow_mut())?;
        let mut started = order.started(self.session, &edition)?;
        started.engine.clone_from(&examined.engine);
        let mut recording = Recording::default();
        if !self.args.fresh {
            if let Some(last) = executions.first() {
                Workshop::inherit(&mut started, last)?;
            }
            recording = self.workshop().recording(&started, &executions)?;
        }
        Ok((started, recording, executions.into_iter().next()))
    }

    fn workshop(&self) -> Workshop<'_> {
        Workshop::new(self.session.journal.as_ref(), &self.session.context.home)
    }

    fn look<'r>(&self, ran: &'r Ran) -> Result<Option<Look<'r>>> {
        let workshop = self.workshop();
        let folder = |execution: &Execution| workshop.folder(&execution.row.run);
        let (now, before) = (folder(&ran.now), ran.before.as_ref().map(folder));
        let journal = self.session.journal.as_ref();
        Look::at(
            journal,
            &ran.now,
            ran.before.as_ref(),
            (&now, before.as_deref()),
            ran.times,
        )
    }

    /// Shows a round to the person at the terminal.
    fn show(&self, round: &Round) -> Result<()> {
        let text = match round {
            Round::NotBuilt(report) => {
                terminal::note(&report.notes);
                report.text.clone()
            }
            Round::Left => String::new(),
            Round::Run(ran) => match self.look(ran)? {
                Some(look) => format!("{}{}", look.text(self.session.context.terminal.width), self.asks(ran)?),
                None => String::new(),
            },
        };
        terminal::print(&text)
            .map_err(|e| CliError::new(Exit::Host, "no_output", "could not write to standard output").caused_by(&e))
    }

    /// Says what an execution waits for.
    fn asks(&self, ran: &Ran) -> Result<String> {
        if ran.reached != Reached::Wait {
            return Ok(String::new());
        }
        let mut text = "\nwaits for\n".to_owned();
        text.extend(self.members(ran)?.iter().map(waits::for_people));
        Ok(text)
    }

    /// Returns what an execution waits for, with what answers it here.
    fn members(&self, ran: &Ran) -> Result<Vec<WaitMember>> {
        let mut members = waits::members(self.session.journal.as_ref(), &ran.now.row.run)?;
        for member in &mut members {
            member.answer_command = match (member.kind, &member.name) {
                ("question" | "event", Some(name)) => Some(format!("skillhost dev --answer {name}=JSON")),
                ("decision", _) => Some("skillhost dev --perform".to_owned()),
                _ => None,
            };
        }
        Ok(members)
    }

    fn report(&self, ran: &Ran) -> Result<Report> {
        let row = &ran.now.row;
        let Some(look) = self.look(ran)? else {
            return Err(CliError::new(
                Exit::Storage,
                "damaged",
                "the journal of the execution cannot be read",
            ));
        };
        let mut report = match row.status.is_final() {
            true => drive::of_finished(row, super::result::finished(self.session.journal.as_ref(), row)?),
            false => {
                let waits = self.members(ran)?;
                let hint = waits.iter().find_map(|wait| wait.answer_command.clone());
                let error = ErrorMember::new(
                    "waiting",
                    "the execution waits for something that was not said",
                    hint.map(|command| format!("`{command}` says it ahead")),
                );
                let envelope = Envelope {
                    waits,
                    ..drive::envelope(row)
                };
                Report::failed(Exit::Waiting, error, envelope)
            }
        };
        report.text = format!("{}{}", look.text(self.session.context.terminal.width), self.asks(ran)?);
        // The run is in a state folder of its own, where no other command looks.
        report.notes.clear();
        report.envelope.development = Some(look.development());
        report.envelope.rows = Some(Rows::Calls(look.calls()));
        report.result_file = Some(self.session.context.home.result(&row.run));
        Ok(report)
    }
}
