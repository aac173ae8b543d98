//! Tells the user that a run is over or needs somebody: on the desktop, by a command of theirs, by a webhook.
//!
//! [`Notifier::tell`] queues and returns at once. No run waits for a notice, and what cannot be told is logged and left: the inbox has it anyway.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skillhost_core::calls::signals::{Audience, Question};
use skillhost_core::id::{LaunchId, Number, RunId, SkillName};
use skillhost_core::machine::Status;
use skillhost_effects::webhook::{Address, Webhook, WebhookError};
use skillhost_journal::RunRow;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::terminal::{cut, plain, plain_line};

/// The most notices that wait to be told. Whoever causes more is told of the rest by the inbox.
const QUEUED_MAX: usize = 256;

/// How long a program has to pass a notice on.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much of a text the desktop shows, in columns.
const DESKTOP_WIDTH_MAX: usize = 200;

/// The name and version of what a command and a webhook are given.
const SCHEMA: &str = "skillhost-notice/v1";

/// The section `[notify]` of the user's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyConfig {
    /// Whether the desktop shows notices, where there is one.
    pub desktop: bool,
    /// A program and its arguments, given each notice as JSON on standard input.
    pub command: Vec<String>,
    /// A server, sent each notice as JSON.
    pub webhook: Option<Address>,
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self {
            desktop: true,
            command: Vec::new(),
            webhook: None,
        }
    }
}

impl NotifyConfig {
    /// Says what is wrong with it, if something is.
    pub fn check(&self) -> Result<(), String> {
        if self.command.first().is_some_and(|program| program.trim().is_empty()) {
            return Err("`notify.command` names no program".to_owned());
        }
        match self.webhook.as_ref().map(Address::checked) {
            Some(Err(WebhookError::Address { reason })) => Err(format!("`notify.webhook` {reason}")),
            _ => Ok(()),
        }
    }
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    schema: &'static str,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
    /// The run.
    pub run_id: RunId,
    /// What its launch is known by.
    pub launch_id: LaunchId,
    /// Its skill.
    pub skill: SkillName,
    /// Whether a script answered instead of a model.
    pub simulated: bool,
    /// Whether the desktop is to show it, too: not if the user looks at the run anyway.
    #[serde(skip)]
    pub desktop: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The run is over.
    Ended {
        /// How.
        status: Status,
    },
    /// It asks a question.
    Asks {
        /// The number of the call.
        call: Number,
        /// The question.
        prompt: String,
        /// Who is asked.
        audience: Audience,
        /// The command that shows it with what answers it.
        command: String,
    },
    /// A call of it may have been performed, and a person is to decide about that.
    Decision {
        /// The number of the call.
        call: Number,
        /// The command that shows it with what decides.
        command: String,
    },
    /// It is parked for a reason outside the skill.
    Parked {
        /// The reason, as a short word.
        code: String,
        /// The reason.
        message: String,
        /// The command that tries again.
        command: String,
    },
}

impl Notice {
    /// Tells that a run is over.
    pub fn ended(row: &RunRow) -> Self {
        Self::of(row, What::Ended { status: row.status })
    }

    /// Tells that a run asks something.
    pub fn asks(row: &RunRow, call: Number, question: &Question) -> Self {
        let what = What::Asks {
            call,
            prompt: plain(&question.prompt),
            audience: question.audience,
            command: format!("skillhost status {}", row.run),
        };
        Self::of(row, what)
    }

    /// Tells that a call waits for a person's decision.
    pub fn decision(row: &RunRow, call: Number) -> Self {
        let command = format!("skillhost status {}", row.run);
        Self::of(row, What::Decision { call, command })
    }

    /// Tells why a run is parked, if it is in trouble.
    pub fn parked(row: &RunRow) -> Option<Self> {
        let trouble = row.trouble.as_ref()?;
        let what = What::Parked {
            code: plain_line(&trouble.code),
            message: plain(&trouble.message),
            command: format!("skillhost resume {}", row.run),
        };
        Some(Self::of(row, what))
    }

    fn of(row: &RunRow, what: What) -> Self {
        Self {
            schema: SCHEMA,
            what,
            run_id: row.run.clone(),
            launch_id: row.launch.clone(),
            skill: row.skill.clone(),
            simulated: row.simulated,
            desktop: true,
        }
    }

    /// Returns it in words: a heading and a line.
    pub fn words(&self) -> (String, String) {
        let mark = if self.simulated { "SIMULATED: " } else { "" };
        let launch = &self.launch_id;
        let (heading, line) = match &self.what {
            What::Ended { status } => (format!("is {}", status.as_str()), format!("skillhost result {launch}")),
            What::Asks { prompt, .. } => ("asks".to_owned(), plain_line(prompt)),
            What::Decision { command, .. } => ("needs a decision".to_owned(), command.clone()),
            What::Parked { message, .. } => ("is parked".to_owned(), plain_line(message)),
        };
        (format!("{mark}{} {heading}", self.skill), cut(&line, DESKTOP_WIDTH_MAX))
    }
}

/// Tells notices. Cheap to clone; it has to be made where tasks can be spawned.
#[derive(Clone, Debug)]
pub struct Notifier {
    queue: mpsc::Sender<Notice>,
}

/// The task that tells what is queued.
#[derive(Debug)]
pub struct Telling(JoinHandle<()>);

impl Telling {
    /// Waits until everything is told that was queued before the last [`Notifier`] went, but no longer than `longest`.
    pub async fn finish(self, longest: Duration) {
        if tokio::time::timeout(longest, self.0).await.is_err() {
            tracing::warn!("not every notice was passed on in time");
        }
    }
}

impl Notifier {
    /// Begins to tell as the user configured; programs of the desktop are looked for in `search_path`.
    pub fn new(config: &Config, search_path: Option<&OsStr>) -> (Self, Telling) {
        let ways = Ways::of(&config.notify, search_path);
        let (queue, mut queued) = mpsc::channel::<Notice>(QUEUED_MAX);
        let telling = tokio::spawn(async move {
            while let Some(notice) = queued.recv().await {
                ways.tell(&notice).await;
            }
        });
        (Self { queue }, Telling(telling))
    }

    /// Tells something, when its turn comes.
    pub fn tell(&self, notice: Notice) {
        if let Err(e) = self.queue.try_send(notice) {
            tracing::warn!("a notice was left out: {e}");
        }
    }
}

/// How notices are told.
struct Ways {
    desktop: Option<Desktop>,
    command: Vec<String>,
    webhook: Option<Webhook>,
}

/// The program that shows a notice on the desktop.
enum Desktop {
    NotifySend(PathBuf),
    OsaScript(PathBuf),
}

impl Ways {
    fn of(config: &NotifyConfig, search_path: Option<&OsStr>) -> Self {
        let find = |name: &str| {
            let mut folders = std::env::split_paths(search_path.unwrap_or_default());
            folders.find_map(|folder| Some(folder.join(name)).filter(|program| program.is_file()))
        };
        let desktop = || match cfg!(target_os = "macos") {
            true => find("osascript").map(Desktop::OsaScript),
            false => find("notify-send").map(Desktop::NotifySend),
        };
        let webhook = config.webhook.as_ref().and_then(|address| {
            let webhook = Webhook::new(address);
            webhook.inspect_err(|e| tracing::warn!("no webhook is told: {e}")).ok()
        });
        Self {
            desktop: config.desktop.then(desktop).flatten(),
            command: config.command.clone(),
            webhook,
        }
    }

    async fn tell(&self, notice: &Notice) {
        let json = serde_json::to_string(notice).expect("a notice serialises");
        let desktop = async {
            if let Some(desktop) = self.desktop.as_ref().filter(|_| notice.desktop) {
                let (heading, line) = notice.words();
                // Where nobody is logged in there is no desktop, which is no fault.
                if let Err(reason) = run(desktop.command(&heading, &line), "").await {
                    tracing::debug!("the desktop showed no notice: {reason}");
                }
            }
        };
        let command = async {
            if let Some((program, words)) = self.command.split_first() {
                let mut command = Command::new(program);
                command.args(words);
                if let Err(reason) = run(command, &json).await {
                    tracing::warn!("`notify.command` of the configuration failed: {reason}");
                }
            }
        };
        let webhook = async {
            if let Some(webhook) = &self.webhook
                && let Err(e) = webhook.post(json.clone()).await
            {
                let cause = std::error::Error::source(&e).map_or_else(String::new, |cause| format!(": {cause}"));
                tracing::warn!("{e}{cause}");
            }
        };
        tokio::join!(desktop, command, webhook);
    }
}

impl Desktop {
    fn command(&self, heading: &str, line: &str) -> Command {
        match self {
            Self::NotifySend(program) => {
                let mut command = Command::new(program);
                // The body may be taken for markup.
                let line = line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                command.args(["--app-name", "skillhost", "--", heading, &line]);
                command
            }
            Self::OsaScript(program) => {
                let mut command = Command::new(program);
                // As arguments the words cannot become part of the script.
                for line in [
                    "on run argv",
                    "display notification (item 2 of argv) with title (item 1 of argv)",
                    "end run",
                ] {
                    command.args(["-e", line]);
                }
                command.args([heading, line]);
                command
            }
        }
    }
}

/// Runs a program to its end, or until its time is over; its whole group ends with that.
async fn run(mut command: Command, input: &str) -> Result<(), String> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let group = id.and_then(rustix::process::Pid::from_raw);
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let running = async {
        // A program that does not read says by its exit whether that was right.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait().await
    };
    match tokio::time::timeout(PATIENCE, running).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(status.to_string()),
        Ok(Err(e)) => Err(e.to_string()),
        Err(_) => {
            if let Some(group) = group {
                // One that has just ended is gone, which is as good.
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            Err(format!("it did not end within {} s", PATIENCE.as_secs()))
        }
    }
}

#[cfg(test)]
mod tests;
