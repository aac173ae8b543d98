//! Runs programs of the user's machine, which the user has to grant: `#[skill(process("cargo", reason = ".."))]`.
//!
//! A program is not sandboxed, so asking for one is asking for much. It is given a list of arguments, never a line for a shell, and runs in `run/` unless
//! [`cwd`](Run::cwd) says otherwise. Its environment is empty but for `PATH` and what was granted: `process("cargo", env("HOME"), reason = "..")`.
//!
//! ```
//! # use skillhost_sdk::prelude::*;
//! # async fn example() -> Result<()> {
//! # skillhost_sdk::example::program_says(0, "3 passed");
//! let tests = process::run("cargo", ["test", "--quiet"]).cwd("project").timeout(mins(10)).await?;
//! if tests.success() {
//!     assert_eq!(tests.text(), "3 passed");
//! }
//! # Ok(())
//! # }
//! # skillhost_sdk::example::run(example());
//! ```
//!
//! A variable may name a secret of the user's, which the host fills in, and which the skill never sees: `process("gh", env("GH_TOKEN"), secret("github-token"), reason = "..")`
//! and then `.env("GH_TOKEN", secret("github-token"))`.
//!
//! How a program ended is an answer, not a failure; [`checked`](Ended::checked) makes it one. What was running when the host crashed is not run again: the user is
//! asked, unless the skill says that twice is as once ([`idempotent`](Run::idempotent)).
//!
//! ```
//! # use skillhost_sdk::prelude::*;
//! # async fn example() -> Result<()> {
//! # skillhost_sdk::example::program_says(1, "nothing to commit");
//! let failure = process::run("git", ["commit", "-m", "notes"]).await?.checked().unwrap_err();
//! assert_eq!(failure.code(), code::EXIT);
//! assert!(failure.message().contains("nothing to commit"));
//! # Ok(())
//! # }
//! # skillhost_sdk::example::run(example());
//! ```

use std::borrow::Cow;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use crate::bindings::skillhost::skill::types::Reuse;
use crate::call::{Call, Options};
use crate::failure::{Failure, IntoFailure as _, Result, code};
use crate::host;

pub use crate::bindings::skillhost::skill::process::End;

/// How much of what a program said goes into a failure, in bytes.
const SAID_BYTES_MAX: usize = 2_000;

/// Runs a program, which is looked up by its name or given by its absolute path.
pub fn run<A: Into<String>>(program: impl Into<String>, arguments: impl IntoIterator<Item = A>) -> Run {
    Run {
        command: host::process::Command {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            folder: None,
            input: Vec::new(),
            environment: Vec::new(),
            keep_bytes: None,
            merged: false,
            extra: None,
        },
        options: Options::default(),
    }
}

/// A program that is run when it is awaited.
#[must_use = "a program is run when it is awaited"]
#[derive(Clone, Debug)]
pub struct Run {
    command: host::process::Command,
    options: Options,
}

/// What came of a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    program: String,
    /// How it ended.
    pub end: End,
    /// The end of what it printed.
    pub stdout: Vec<u8>,
    /// How many bytes came before that and were not kept.
    pub stdout_cut_bytes: u64,
    /// The end of what it printed on standard error; nothing if the outputs were [merged](Run::merged).
    pub stderr: Vec<u8>,
    /// How many bytes came before that and were not kept.
    pub stderr_cut_bytes: u64,
}

impl Run {
    /// Runs it in this folder: a mount that may be written, or a folder in one, as in `project/web`.
    pub fn cwd(mut self, folder: impl Into<String>) -> Self {
        self.command.folder = Some(folder.into());
        self
    }

    /// Gives it something to read on its standard input, at most 8 MiB.
    pub fn stdin(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.command.input = input.into();
        self
    }

    /// Gives a variable that was granted another value than the user's. What [`secret`](crate::secret) names in it is filled in by the host.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.command.environment.push(host::process::Variable {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// Keeps this much of the end of each output, in bytes: 256 KiB if nothing is said, at most 4 MiB.
    pub fn keep(mut self, bytes: u32) -> Self {
        self.command.keep_bytes = Some(bytes);
        self
    }

    /// Puts what it prints on standard error between what it prints on standard output, as in a terminal.
    pub fn merged(mut self) -> Self {
        self.command.merged = true;
        self
    }

    /// Answers with the end of everything that it printed, and with how it ended if that was not well. Good to tell a model.
    ///
    /// ```
    /// # use skillhost_sdk::prelude::*;
    /// # async fn example() -> Result<()> {
    /// # skillhost_sdk::example::program_says(101, "1 failed");
    /// let told = process::run("cargo", ["test"]).tail(8_000).await?;
    /// assert_eq!(told, "1 failed\n[`cargo` ended with exit code 101]");
    /// # Ok(())
    /// # }
    /// # skillhost_sdk::example::run(example());
    /// ```
    pub fn tail(mut self, bytes: u32) -> Tail {
        self.command.keep_bytes = Some(bytes);
        Tail(self.merged())
    }

    /// Says what the timeline shows instead of the program and its arguments.
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.options.set_label(label.as_ref());
        self
    }

    /// Limits how long it may take, an hour if nothing is said; then it is ended, and the call fails with the code `timeout`.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.options.timeout = Some(limit);
        self
    }

    /// States that running it twice is as once, so that it is run again after a crash of the host.
    pub fn idempotent(mut self) -> Self {
        self.options.idempotent = true;
        self
    }

    /// States that what comes of it depends on the command alone, so that it may be reused while developing.
    pub fn pure(mut self) -> Self {
        self.options.reuse = Some(Reuse::Pure);
        self
    }

    fn call(self) -> Call<Ended> {
        let Self { command, mut options } = self;
        if options.label.is_none() {
            let words = [std::slice::from_ref(&command.program), command.arguments.as_slice()];
            options.set_label(&words.concat().join(" "));
        }
        let program = command.program.clone();
        Call::new(
            move |options| host::process::start_run(&command, options),
            |pending| match host::process::finish_run(pending) {
                Ok(ended) => Ok(Ended {
                    program,
                    end: ended.end,
                    stdout: ended.stdout.kept,
                    stdout_cut_bytes: ended.stdout.cut_bytes,
                    stderr: ended.stderr.kept,
                    stderr_cut_bytes: ended.stderr.cut_bytes,
                }),
                Err(error) => Err(error.into_failure()),
            },
        )
        .with_options(options)
    }
}

impl IntoFuture for Run {
    type Output = Result<Ended>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Ended>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.call())
    }
}

/// A program of which the end of what it printed is wanted.
#[must_use = "a program is run when it is awaited"]
#[derive(Clone, Debug)]
pub struct Tail(Run);

impl IntoFuture for Tail {
    type Output = Result<String>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<String>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let ended = self.0.call().await?;
            let text = ended.text().into_owned();
            match ended.success() {
                true => Ok(text),
                false => Ok(format!("{}\n[{}]", text.trim_end(), ended.how())),
            }
        })
    }
}

impl Ended {
    /// Says whether it ended with the code 0.
    pub fn success(&self) -> bool {
        self.end == End::Exited(0)
    }

    /// Returns its exit code, if it ended by itself.
    pub fn code(&self) -> Option<i32> {
        match self.end {
            End::Exited(code) => Some(code),
            End::Signalled(_) => None,
        }
    }

    /// Returns what it printed as text; what is not UTF-8 is replaced by `\u{fffd}`.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// Returns what it printed on standard error as text.
    pub fn stderr_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }

    /// Makes it a failure with the code `exit` if it did not end well, with the end of what it said.
    pub fn checked(self) -> Result<Self> {
        if self.success() {
            return Ok(self);
        }
        let said = match self.stderr.is_empty() {
            true => self.text(),
            false => self.stderr_text(),
        };
        let said = said.trim();
        let start = said.ceil_char_boundary(said.len().saturating_sub(SAID_BYTES_MAX));
        Err(Failure::new(code::EXIT, format!("{}: {}", self.how(), &said[start..])))
    }

    fn how(&self) -> String {
        let program = &self.program;
        match self.end {
            End::Exited(code) => format!("`{program}` ended with exit code {code}"),
            End::Signalled(signal) => format!("`{program}` was ended by signal {signal}"),
        }
    }
}
