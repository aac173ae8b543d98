//! The words that each command takes, as they were typed; what they mean is each command's own business.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::auth::AuthArgs;
use super::backup::{BackupArgs, RestoreArgs};
use super::budget::BudgetArgs;
use super::build::BuildArgs;
use super::check::CheckArgs;
use super::compare::{CompareArgs, DiffArgs};
use super::cost::CostArgs;
use super::dev::DevArgs;
use super::doctor::DoctorArgs;
use super::explain::ExplainArgs;
use super::fork::ForkArgs;
use super::grant::{GrantArgs, GrantsArgs};
use super::hook::HookArgs;
use super::install::{InstallArgs, UninstallArgs};
use super::new::NewArgs;
use super::pages::{CompletionsArgs, ManArgs};
use super::prune::{DiscardArgs, PruneArgs};
use super::replay::ReplayArgs;
use super::result::ResultArgs;
use super::retry::RetryArgs;
use super::secret::SecretArgs;
use super::setup::SetupArgs;
use super::skills::SkillsArgs;
use super::test::TestArgs;
use super::upgrade::UpgradeArgs;
use crate::fields::{Given, parse_arg};
use crate::mounts::{Word, parse_word};

/// Run agent skills as WebAssembly components: sandboxed, durable, replayed after a crash.
#[derive(Debug, Parser)]
#[command(
    name = "skillhost",
    version,
    max_term_width = 100,
    after_help = "State is kept in ~/.skillhost (SKILLHOST_HOME names another folder)"
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// Look for skills in this folder instead of ~/.claude/skills (or SKILLHOST_SKILLS)
    #[arg(long, global = true, value_name = "DIR")]
    pub skills_dir: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a skill, or go on with a run that was interrupted
    Launch(LaunchArgs),
    /// Go on with a run that is not over
    Resume(ResumeArgs),
    /// List the runs
    List(ListArgs),
    /// Show what a run did: every call, when, how long, what it cost
    Show(ShowArgs),
    /// Print the result of a run and nothing else
    Result(ResultArgs),
    /// Tell where a run is: what is done, what is open, what it waits for
    Status(RunArgs),
    /// Print what a run logged
    Logs(LogsArgs),
    /// Show what runs left for you
    Inbox(InboxArgs),
    /// Remove entries from the inbox
    Dismiss(DismissArgs),
    /// Send an event to a run
    Signal(SignalArgs),
    /// Answer a question that a run asks
    Answer(AnswerArgs),
    /// Go on with a run that failed, in a new run that keeps what was answered
    Retry(RetryArgs),
    /// Run a skill while it is written: after every save again, reusing what was answered before
    Dev(DevArgs),
    /// Play the cases that a skill is tested with
    Test(TestArgs),
    /// Begin another run that shares a run's journal up to a call
    Fork(ForkArgs),
    /// Check that a component still does what a run recorded; nothing is performed
    Replay(ReplayArgs),
    /// Have runs in progress go on with the skill as it is installed now, where that changes nothing
    Upgrade(UpgradeArgs),
    /// Show how two runs differ, call by call
    Diff(DiffArgs),
    /// Show runs beside each other in a table
    Compare(CompareArgs),
    /// Cancel a run
    Cancel(CancelArgs),
    /// Hold a run until it is resumed
    Pause(PauseArgs),
    /// Leave a note for a run, which its skill reads when it asks for notes
    Inject(InjectArgs),
    /// Wait until runs are over or need somebody
    Wait(WaitArgs),
    /// Start, stop or look at the daemon that drives runs in the background
    Worker(WorkerArgs),
    /// List what is installed, and what is wrong with what does not load
    Skills(SkillsArgs),
    /// Make the crate of a new skill
    New(NewArgs),
    /// Build the component of a skill's crate and check it
    Build(BuildArgs),
    /// Say whether a component or a skill can be launched, and what is wrong with it
    Check(CheckArgs),
    /// Put a skill into the folder of skills
    Install(InstallArgs),
    /// Take a skill out of the folder of skills
    Uninstall(UninstallArgs),
    /// Tell the agent's sessions what waits for you
    Hook(HookArgs),
    /// Make this machine ready: the folder of skills, a model provider, the hook
    Setup(SetupArgs),
    /// Store the key of a model provider
    Auth(AuthArgs),
    /// Store what skills may name and never see
    Secret(SecretArgs),
    /// Let a skill do what it asks for
    Grant(GrantArgs),
    /// Show what skills may do, or take it back
    Grants(GrantsArgs),
    /// Show what was spent on models: by skill, run, model or day
    Cost(CostArgs),
    /// Forget runs that ended long ago, with their files
    Prune(PruneArgs),
    /// Forget runs that are over, with their files
    Discard(DiscardArgs),
    /// Put everything that runs need into one file, while they go on
    Backup(BackupArgs),
    /// Make a state folder of a backup
    Restore(RestoreArgs),
    /// Print what a shell needs to complete commands
    Completions(CompletionsArgs),
    /// Print a page of the manual, or write all of them
    Man(ManArgs),
    /// Check the state folder, the database, the skills and the model provider
    Doctor(DoctorArgs),
    /// Explain a topic, or the code of an error: what it means and what to do
    Explain(ExplainArgs),
}

impl Command {
    /// Returns whether it shows runs and changes nothing.
    pub fn only_looks(&self) -> bool {
        matches!(
            self,
            Self::List(_) | Self::Show(_) | Self::Result(_) | Self::Logs(_) | Self::Inbox(_) | Self::Status(_)
        )
    }

    /// Returns the word it is given by.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Launch(_) => "launch",
            Self::Resume(_) => "resume",
            Self::List(_) => "list",
            Self::Show(_) => "show",
            Self::Result(_) => "result",
            Self::Status(_) => "status",
            Self::Logs(_) => "logs",
            Self::Inbox(_) => "inbox",
            Self::Dismiss(_) => "dismiss",
            Self::Signal(_) => "signal",
            Self::Answer(_) => "answer",
            Self::Retry(_) => "retry",
            Self::Dev(_) => "dev",
            Self::Test(_) => "test",
            Self::Fork(_) => "fork",
            Self::Replay(_) => "replay",
            Self::Upgrade(_) => "upgrade",
            Self::Diff(_) => "diff",
            Self::Compare(_) => "compare",
            Self::Cancel(_) => "cancel",
            Self::Pause(_) => "pause",
            Self::Inject(_) => "inject",
            Self::Wait(_) => "wait",
            Self::Worker(_) => "worker",
            Self::Skills(_) => "skills",
            Self::New(_) => "new",
            Self::Build(_) => "build",
            Self::Check(_) => "check",
            Self::Install(_) => "install",
            Self::Uninstall(_) => "uninstall",
            Self::Hook(_) => "hook",
            Self::Setup(_) => "setup",
            Self::Auth(_) => "auth",
            Self::Secret(_) => "secret",
            Self::Grant(_) => "grant",
            Self::Grants(_) => "grants",
            Self::Cost(_) => "cost",
            Self::Prune(_) => "prune",
            Self::Discard(_) => "discard",
            Self::Backup(_) => "backup",
            Self::Restore(_) => "restore",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
            Self::Doctor(_) => "doctor",
            Self::Explain(_) => "explain",
        }
    }
}

/// `launch`.
#[derive(Debug, Args)]
#[command(
    override_usage = "skillhost launch <SKILL> [--FIELD VALUE]... [OPTIONS]",
    after_help = "\
Every other long flag is a field of the skill's input: `--name Ada`, `--count -3`, `--deep` (true), `--text=--x`.
A value `@FILE` is read from a file, `@-` from standard input; `@@x` is the text `@x`. Of a field that is a path the skill
may read what is there: a file, or a whole folder.

Examples:
  skillhost launch hello-world --name Ada
  git diff | skillhost launch code-review --arg diff=@-
  skillhost launch deep-research --question 'Why is the sky blue?' --id sky --await
  skillhost launch fix-prose --mount project=. --mount out=./fixed:rw"
)]
pub struct LaunchArgs {
    /// The skill: the name of its folder
    pub skill: String,
    /// Give a field of the input; also for fields that are called like an option
    #[arg(long = "arg", value_name = "NAME=VALUE", value_parser = parse_arg)]
    pub args: Vec<Given>,
    /// Give the whole input as JSON, `@FILE`, or `-` for standard input
    #[arg(long, value_name = "JSON")]
    pub input: Option<String>,
    /// Name the launch; launching the same id again goes on with its run instead of making another
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Wait through timers, events and questions until the run is over
    #[arg(long = "await")]
    pub wait: bool,
    /// Give the run a folder or a file to read, as NAME/ ; a folder also to change with `:rw` at the end
    #[arg(long = "mount", value_name = "NAME=PATH", value_parser = parse_word)]
    pub mounts: Vec<Word>,
    /// What it may spend
    #[command(flatten)]
    pub budget: BudgetArgs,
    /// Let the skill's own script answer instead of a model
    #[arg(long, conflicts_with = "provider")]
    pub offline: bool,
    /// Ask this model provider: anthropic, openai, claude-cli or offline
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// Tell nobody when the run ends or asks: it shows nothing on the desktop and sends nothing; the inbox has it
    #[arg(long)]
    pub no_notify: bool,
    /// Where it is driven
    #[command(flatten)]
    pub here: Here,
}

/// Where a run is driven.
#[derive(Clone, Copy, Debug, Args)]
pub struct Here {
    /// Drive the run in this process instead of the daemon: it ends, or waits, with it
    #[arg(long)]
    pub here: bool,
}

/// `resume`.
#[derive(Debug, Args)]
#[command(after_help = "\
A call that a crash left in doubt, and that must not be done twice, waits for you to decide:
  skillhost resume <RUN> --redo 7              perform call 7 once more
  skillhost resume <RUN> --skip 7              answer it with an error that the skill sees
  skillhost resume <RUN> --answer 7 --input X  answer it with this")]
pub struct ResumeArgs {
    /// The run: its id, its launch id, or the beginning or end of one
    pub run: String,
    /// Wait through timers, events and questions until the run is over
    #[arg(long = "await")]
    pub wait: bool,
    /// Perform this parked call once more
    #[arg(long, value_name = "CALL", conflicts_with_all = ["skip", "answer"])]
    pub redo: Option<u64>,
    /// Answer this parked call with the error `skipped`
    #[arg(long, value_name = "CALL", conflicts_with = "answer")]
    pub skip: Option<u64>,
    /// Answer this parked call with what `--input` says
    #[arg(long, value_name = "CALL", requires = "input")]
    pub answer: Option<u64>,
    /// The answer as JSON, `@FILE`, or `-` for standard input
    #[arg(long, value_name = "JSON", requires = "answer")]
    pub input: Option<String>,
    /// Where it is driven
    #[command(flatten)]
    pub here: Here,
}

/// `list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost list --here --since 2d
  skillhost list --failed
  skillhost list --status waiting --status parked
  skillhost list --skill deep-research --limit 100")]
pub struct ListArgs {
    /// List runs of this skill only
    #[arg(long, value_name = "SKILL")]
    pub skill: Option<String>,
    /// List runs of this status only: running, waiting, parked, paused, done, failed, cancelled, continued
    #[arg(long, value_name = "STATUS")]
    pub status: Vec<String>,
    /// List runs that failed or are parked only, unless they were retried
    #[arg(long, conflicts_with = "status")]
    pub failed: bool,
    /// List runs launched since then only: `2d` ago, `2026-11-20`, `2026-11-20T08:00:00Z`
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// List runs that were launched from this folder only
    #[arg(long)]
    pub here: bool,
    /// List at most this many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
}

/// A command about one run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost status nightly
  skillhost status nightly --json")]
pub struct RunArgs {
    /// The run: its id, its launch id, or the beginning or end of one
    pub run: String,
}

/// `show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost show nightly
  skillhost show nightly --call 7")]
pub struct ShowArgs {
    /// The run: its id, its launch id, or the beginning or end of one
    pub run: String,
    /// Show one call whole, with request and answer
    #[arg(long, value_name = "N", conflicts_with = "all")]
    pub call: Option<u64>,
    /// List every call, however many there are
    #[arg(long)]
    pub all: bool,
}

/// `logs`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  skillhost logs nightly --limit 20")]
pub struct LogsArgs {
    /// The run: its id, its launch id, or the beginning or end of one
    pub run: String,
    /// Print the last lines only
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub limit: usize,
}

/// `inbox`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost inbox
  skillhost inbox 12")]
pub struct InboxArgs {
    /// Show one entry whole
    pub entry: Option<u64>,
    /// Show entries that were dismissed, too
    #[arg(long)]
    pub all: bool,
    /// Show at most this many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
}

/// `dismiss`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost dismiss 12 13
  skillhost dismiss --all")]
pub struct DismissArgs {
    /// The numbers of the entries, as `skillhost inbox` shows them
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub entries: Vec<u64>,
    /// Dismiss every entry
    #[arg(long)]
    pub all: bool,
}

/// `signal`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost signal nightly go
  skillhost signal nightly count --input 3")]
pub struct SignalArgs {
    /// The run: its id, its launch id, or the beginning or end of one
    pub run: String,
    /// What the event is called
    pub name: String,
    /// What it carries: JSON, `@FILE`, or `-` for standard input; null if absent
    #[arg(long, value_name = "JSON")]
    pub input: Option<String>,
    /// Where it is driven
    #[command(flatten)]
    pub here: Here,
}

/// `answer`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost answer <RUN>#4 approve=true comment='Looks good'
  skillhost answer <RUN>#4 --input '{\"approve\": true}'")]
pub struct AnswerArgs {
    /// The question: the run and the number of the call, as `skillhost inbox` shows it
    #[arg(value_name = "RUN#CALL")]
    pub question: String,
    /// Fields of the answer
    #[arg(value_name = "NAME=VALUE", value_parser = parse_arg)]
    pub fields: Vec<Given>,
    /// The whole answer as JSON, `@FILE`, or `-` for standard input
    #[arg(long, value_name = "JSON")]
    pub input: Option<String>,
    /// Where it is driven
    #[command(flatten)]
    pub here: Here,
}

/// `cancel`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  skillhost cancel nightly --reason 'not needed any more'")]
pub struct CancelArgs {
    /// The run: its id, its launch id, or the beginning or end of one
    pub run: String,
    /// Say why
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Where it is driven
    #[command(flatten)]
    pub here: Here,
}

/// `pause`.
#[derive(Debug, Args)]
#[command(after_help = "\
What is under way is recorded when it comes back; nothing is begun, and no timer fires, until
  skillhost resume <RUN>")]
pub struct PauseArgs {
    /// The run: its id, its launch id, or the beginning or end of one
    pub run: String,
}

/// `inject`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  skillhost inject nightly -m 'Skip the archive, it is being moved'")]
pub struct InjectArgs {
    /// The run: its id, its launch id, or the beginning or end of one
    pub run: String,
    /// The note
    #[arg(short, long, value_name = "TEXT")]
    pub message: String,
}

/// `wait`.
#[derive(Debug, Args)]
#[command(after_help = "\
It ends when the run is over or needs somebody, with the exit code that says which: 0 done, 30 failed, 40 a question
or a decision waits, 50 cancelled; 45 if the time is over and the run goes on.

Examples:
  skillhost wait nightly --for 100s --json
  skillhost wait first second --any")]
pub struct WaitArgs {
    /// The runs: their ids, launch ids, or the beginning or end of one
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<String>,
    /// Wait for one of the runs, not for all
    #[arg(long)]
    pub any: bool,
    /// Wait at most so long, as in `90s`, `5m` or `1h 30m`
    #[arg(long = "for", value_name = "TIME")]
    pub time: Option<jiff::SignedDuration>,
}

/// `worker`.
#[derive(Debug, Args)]
#[command(after_help = "\
The worker daemon drives runs in the background. The first command that needs it starts it, and it ends when there has
been nothing to do for a while; these commands are for whoever wants to see or decide that.

Examples:
  skillhost worker status
  skillhost worker stop --force")]
pub struct WorkerArgs {
    /// What to do
    #[command(subcommand)]
    pub command: WorkerCommand,
}

/// What to do with the daemon.
#[derive(Clone, Debug, Subcommand)]
pub enum WorkerCommand {
    /// Start the daemon if it is not there
    Start,
    /// Stop the daemon: begin nothing more, record what is under way, and end; its runs go on in the next
    Stop {
        /// Kill it instead, also if it was stopped by a signal and answers nothing
        #[arg(long)]
        force: bool,
    },
    /// Tell how the daemon is
    Status,
    /// Be the daemon, in the foreground
    Run {
        /// Stay although there is nothing to do
        #[arg(long)]
        stay: bool,
        /// Leave the terminal that it was started from
        #[arg(long, hide = true)]
        detached: bool,
    },
    /// Have the system start the daemon at login: a systemd user unit, or a launchd agent
    Install,
    /// Undo that
    Uninstall,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_commands_do_not_contradict_themselves() {
        super::Cli::command().debug_assert();
    }
}
