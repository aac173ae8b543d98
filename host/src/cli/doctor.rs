//! `doctor`: looks at everything that has to be right before a run can succeed, and says what mends what is not.

use std::io;

use clap::Args;
use rustix::process::{Resource, getrlimit};
use serde_json::json;
use skillhost_core::grants::{Grants, SecretName};
use skillhost_core::time::Timestamp;
use skillhost_effects::model::Name;
use skillhost_journal::{Journal as _, RunFilter, SqliteJournal};

use super::context::Context;
use super::hook::{command, settings_path};
use super::online;
use super::report::{Envelope, Report, Rows};
use super::secret;
use super::skills::examine;
use crate::agent::settings;
use crate::config::Config;
use crate::daemon::{Client, Following, Status};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::grants::Granted;
use crate::home::{open_to_others, read_regular, write_whole};
use crate::terminal::{Table, plain_line};
use crate::timeline::{count, duration};
use crate::{driver, leftovers, service};

/// Fewer open files than this are too few for a host that drives many runs.
const OPEN_FILES_MIN: u64 = 1_024;

/// Fewer areas of memory than this, which is what Linux has unless told otherwise, are too few for a host that keeps many guests.
const MAPS_MIN: u64 = 65_530;

/// As much of the hook's log is read, in bytes; it is kept shorter.
const HOOK_LOG_BYTES_MAX: u64 = 1 << 20;

/// No clock that is right shows an earlier time: this program was not there before (1 January 2026).
const TIME_MIN: Timestamp = Timestamp(1_767_225_600_000_000 - 366 * 86_400 * 1_000_000);

/// How far the clock may be behind the journal, in microseconds.
const CLOCK_BACK_MAX: u64 = 60 * 1_000_000;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

struct Check {
    name: &'static str,
    verdict: Verdict,
    message: String,
    hint: Option<String>,
}

impl Check {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Ok,
            message: message.into(),
            hint: None,
        }
    }

    fn warn(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Warn,
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    fn fail(name: &'static str, error: &CliError) -> Self {
        Self {
            name,
            verdict: Verdict::Fail,
            message: error.sentence(),
            hint: error.hint.clone(),
        }
    }
}

/// `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skillhost doctor
  skillhost doctor --online --json")]
pub struct DoctorArgs {
    /// Ask the model provider one short question, too; that may cost a little
    #[arg(long)]
    pub online: bool,
}

pub(super) fn run(args: &DoctorArgs, context: &Context) -> Result<Report> {
    let mut checks = vec![state_folder(context)];
    let journal = context.database();
    match &journal {
        Ok(journal) => checks.push(database(journal, context)),
        Err(error) => checks.push(Check::fail("database", error)),
    }
    let config = context.config();
    checks.push(match &config {
        Ok(_) if context.home.config().exists() => Check::ok("configuration", context.path(&context.home.config())),
        Ok(_) => Check::ok(
            "configuration",
            format!("none; `{}` would be it", context.path(&context.home.config())),
        ),
        Err(error) => Check::fail("configuration", error),
    });
    if let Ok(config) = &config {
        checks.push(provider(config, context));
        if args.online {
            checks.push(online(config, context));
        }
    }
    if let Ok(journal) = &journal {
        checks.extend(left_behind(journal, context));
        checks.extend(restored(journal, context));
        checks.extend(skills(context));
    }
    checks.extend(secrets(context));
    checks.push(clock(journal.as_ref().ok(), context));
    checks.push(daemon(context));
    checks.push(hook(context));
    checks.push(open_files());
    checks.extend(maps());
    Ok(report(&checks, context))
}

fn report(checks: &[Check], context: &Context) -> Report {
    let mut table = Table::bare();
    for check in checks {
        table.row([
            word(check.verdict).to_owned(),
            check.name.to_owned(),
            plain_line(&check.message),
        ]);
        if let Some(hint) = &check.hint {
            table.row([String::new(), String::new(), format!("hint: {hint}")]);
        }
    }
    let values = checks.iter().map(|check| {
        let mut value = json!({"check": check.name, "verdict": word(check.verdict), "message": check.message});
        if let Some(hint) = &check.hint {
            value["hint"] = json!(hint);
        }
        value
    });
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Fail).count();
    // A hint that is cut off cannot be pasted.
    let width = if context.terminal.stdout {
        context.terminal.width.max(200)
    } else {
        usize::MAX
    };
    let mut report = Report::done(table.render(width), Envelope::of_rows(Rows::Checks(values.collect())));
    if failed > 0 {
        report.exit = Exit::Host;
        report.notes = format!("{} failed\n", count(failed as u64, "check"));
    }
    report
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "OK",
        Verdict::Warn => "WARN",
        Verdict::Fail => "FAIL",
    }
}

fn state_folder(context: &Context) -> Check {
    const NAME: &str = "state folder";
    let root = context.home.root();
    let shown = context.path(root);
    if let Err(error) = context.home.make() {
        return Check::fail(NAME, &error);
    }
    let probe = root.join(".doctor");
    let written = write_whole(&probe, b"").and_then(|()| std::fs::remove_file(&probe));
    if let Err(e) = written {
        let error = CliError::new(
            Exit::Storage,
            "home_not_writable",
            format!("`{shown}` cannot be written"),
        )
        .caused_by(&e);
        return Check::fail(
            NAME,
            &error.hint(format!(
                "`ls -ld {shown}` shows its owner and rights; `df {shown}` shows whether it is full"
            )),
        );
    }
    match open_to_others(root) {
        Ok(0) => Check::ok(NAME, shown),
        Ok(_) => Check::warn(
            NAME,
            format!("others may look into `{shown}`"),
            format!("`chmod 700 {shown}`"),
        ),
        Err(e) => Check::fail(NAME, &of_io(&shown, &e)),
    }
}

fn of_io(path: &str, error: &io::Error) -> CliError {
    CliError::new(Exit::Storage, "unreadable", format!("`{path}` cannot be read")).caused_by(error)
}

fn database(journal: &SqliteJournal, context: &Context) -> Check {
    const NAME: &str = "database";
    let path = context.home.journal();
    let shown = context.path(&path);
    match journal.check() {
        Ok(faults) if faults.is_empty() => {}
        Ok(faults) => {
            let error = CliError::new(
                Exit::Storage,
                "damaged",
                format!("`{shown}` is damaged: {}", faults.join("; ")),
            );
            return Check::fail(
                NAME,
                &error.hint(format!(
                    "`sqlite3 {shown} .recover` saves what can be read; a backup has the rest"
                )),
            );
        }
        Err(error) => return Check::fail(NAME, &error.into()),
    }
    let rights = open_to_others(&path);
    let runs = match journal.runs(&RunFilter::default()) {
        Ok(runs) => runs.len() as u64,
        Err(error) => return Check::fail(NAME, &error.into()),
    };
    match rights {
        Ok(0) => Check::ok(
            NAME,
            format!(
                "{shown} is sound, of format {}, and holds {}",
                SqliteJournal::format(),
                count(runs, "run")
            ),
        ),
        Ok(_) => Check::warn(
            NAME,
            format!("others may read `{shown}`"),
            format!("`chmod 600 {shown}`"),
        ),
        Err(e) => Check::fail(NAME, &of_io(&shown, &e)),
    }
}

/// Looks for what runs left behind that the journal does not have. That there is nothing is not worth a line.
fn left_behind(journal: &SqliteJournal, context: &Context) -> Option<Check> {
    const NAME: &str = "folders of runs";
    match leftovers::find(&context.home, journal) {
        Err(error) => Some(Check::fail(NAME, &error)),
        Ok(left) => left.first().map(|first| {
            let message = format!(
                "{} of runs that the journal does not have, such as `{}`",
                count(left.len() as u64, "leftover"),
                context.path(first)
            );
            // No run is so old.
            Check::warn(
                NAME,
                message,
                "`skillhost prune --older-than 9999d` removes that, and no run",
            )
        }),
    }
}

/// Tells that runs which were restored from a backup are not over yet. That there is none is not worth a line.
fn restored(journal: &SqliteJournal, context: &Context) -> Option<Check> {
    let unfinished = super::backup::unfinished_since_restored(journal, context)?;
    let message = format!(
        "this state folder was restored from a backup, and {} of it are not over: what they did after it was taken is not known here, and would be done again",
        count(unfinished as u64, "run")
    );
    let hint = "`skillhost list --status paused` shows those that wait for you to say so";
    Some(Check::warn("backup", message, hint))
}

fn provider(config: &Config, context: &Context) -> Check {
    const NAME: &str = "model provider";
    let settings = context.settings(config);
    let opened = settings.choose(None).and_then(|choice| {
        let hub = skillhost_effects::model::Hub::new();
        hub.open(choice.name, &settings, None)
            .map(|provider| (choice, provider.describe()))
    });
    match opened {
        Err(error) => Check::fail(NAME, &error.into()),
        Ok((choice, _)) if choice.hint.is_some() => {
            let message = format!(
                "{}; skills answer from their own scripts (`{}`)",
                choice.because, choice.name
            );
            Check::warn(NAME, message, choice.hint.unwrap_or_default())
        }
        Ok((choice, provider)) => {
            let models: Vec<String> = provider
                .models
                .iter()
                .map(|(tier, model)| format!("{tier} is {model}"))
                .collect();
            let models = if models.is_empty() {
                String::new()
            } else {
                format!("; {}", models.join(", "))
            };
            Check::ok(NAME, format!("{}: {}{models}", choice.name, choice.because))
        }
    }
}

/// Asks the provider that a launch would choose.
fn online(config: &Config, context: &Context) -> Check {
    const NAME: &str = "model answer";
    let settings = context.settings(config);
    let opened = settings.choose(None).and_then(|choice| {
        let provider = skillhost_effects::model::Hub::new().open(choice.name, &settings, None)?;
        Ok((choice.name, provider))
    });
    let (name, provider) = match opened {
        Err(error) => return Check::fail(NAME, &error.into()),
        Ok((Name::Offline, _)) => return Check::ok(NAME, "none is to be expected of `offline`, which is a script"),
        Ok(opened) => opened,
    };
    match context.talk(async { Ok(online::ask(&provider).await) }) {
        Err(error) => Check::fail(NAME, &error),
        Ok(Ok((model, took))) => Check::ok(
            NAME,
            format!("{} answered after {}", plain_line(&model), duration(took)),
        ),
        Ok(Err(reason)) => {
            let error = CliError::new(
                Exit::Host,
                "no_answer",
                format!("provider `{name}` gave none: {}", plain_line(&reason)),
            );
            Check::fail(
                NAME,
                &error.hint("check its key and its address: `skillhost auth list` shows what is stored"),
            )
        }
    }
}

fn skills(context: &Context) -> Vec<Check> {
    const NAME: &str = "skills";
    match examine(context) {
        Err(error) => vec![Check::fail(NAME, &error)],
        Ok((sound, broken)) => {
            let root = context.path(context.installed.root());
            let mut checks = vec![Check::ok(
                NAME,
                format!("{} in {root}", count(sound.len() as u64, "skill")),
            )];
            checks.extend(sound.iter().flat_map(|skill| {
                let told = skill.remarks.iter();
                told.map(|remark| {
                    let hint = format!("`skillhost skills --write-doc {}`", skill.name);
                    Check::warn(NAME, format!("`{}`: {remark}", skill.name), hint)
                })
            }));
            checks.extend(sound.iter().filter_map(|skill| {
                let denied = skill.denied.as_ref()?;
                let what = format!("`{}`: {denied}", skill.name);
                Some(Check::warn(NAME, what, skill.grant_command()))
            }));
            checks.extend(broken.into_iter().map(|skill| {
                let what = match skill.since {
                    None => "cannot be launched",
                    Some(_) => "cannot be used as it is, and what was installed before is used instead",
                };
                Check::warn(NAME, format!("`{}` {what}: {}", skill.name, skill.reason), skill.hint)
            }));
            checks
        }
    }
}

/// Looks whether all secrets that may be told to somebody are there.
fn secrets(context: &Context) -> Vec<Check> {
    const NAME: &str = "secrets";
    let unstored = || -> Result<Vec<Check>> {
        let mut granted = Grants::default();
        for (_, more) in Granted::load(&context.home)?.iter() {
            granted.add(more);
        }
        let names = secret::unstored(&granted, context)?;
        let warn = |name: SecretName| {
            let what = format!("`{name}` was granted to a skill and is not stored");
            Check::warn(NAME, what, format!("`skillhost secret set {name}`"))
        };
        Ok(names.into_iter().map(warn).collect())
    };
    unstored().unwrap_or_else(|error| vec![Check::fail(NAME, &error)])
}

fn clock(journal: Option<&SqliteJournal>, context: &Context) -> Check {
    const NAME: &str = "clock";
    let now = driver::now();
    let hint = "`timedatectl` shows whether the clock is set by the network; timers follow it";
    if now < TIME_MIN {
        return Check::warn(
            NAME,
            format!(
                "it shows {}, which is past",
                crate::inbox_file::moment(now, &context.zone)
            ),
            hint,
        );
    }
    let newest = journal.and_then(|journal| {
        journal
            .runs(&RunFilter {
                most: Some(1),
                ..RunFilter::default()
            })
            .ok()
    });
    let newest = newest
        .and_then(|rows| rows.first().map(|row| row.created_at))
        .unwrap_or_default();
    if newest.0 > now.0.saturating_add(CLOCK_BACK_MAX) {
        let message = format!(
            "it is behind: a run was launched at {}",
            crate::inbox_file::moment(newest, &context.zone)
        );
        return Check::warn(NAME, message, hint);
    }
    let zone = context.zone.iana_name().unwrap_or("UTC");
    Check::ok(
        NAME,
        format!("{} in {zone}", crate::inbox_file::moment(now, &context.zone)),
    )
}

/// Looks whether the daemon answers. That none is there is as it should be: the next command that needs one starts it.
fn daemon(context: &Context) -> Check {
    const NAME: &str = "daemon";
    let status = context.talk(async {
        match Client::connect(&context.home).await? {
            Some(mut client) => client.status().await,
            None => Ok(None),
        }
    });
    let at_login = match service::is_installed(&context.home, context.environment.user_folder.as_deref()) {
        true => "the system starts it at login",
        false => "`skillhost worker install` has the system start it at login",
    };
    match status {
        Err(error) => Check::fail(NAME, &error),
        Ok(None) => Check::ok(NAME, format!("none; the next launch starts it; {at_login}")),
        Ok(Some(status)) if status.version != env!("CARGO_PKG_VERSION") => Check::warn(
            NAME,
            format!(
                "process {} is of version {}, this is {}",
                status.pid,
                status.version,
                env!("CARGO_PKG_VERSION")
            ),
            "`skillhost worker stop`, and its runs go on in the next",
        ),
        Ok(Some(Status {
            following:
                Following {
                    folder,
                    polls: Some(why),
                    ..
                },
            ..
        })) => Check::warn(
            NAME,
            format!("it looks into `{}` once a second: {why}", context.path(&folder)),
            "`sudo sysctl fs.inotify.max_user_watches=524288`, then `skillhost worker stop`",
        ),
        Ok(Some(status)) => Check::ok(
            NAME,
            format!("process {}, {} runs in memory; {at_login}", status.pid, status.runs),
        ),
    }
}

/// Looks whether sessions of the agent are told what waits. That they are not is a choice.
fn hook(context: &Context) -> Check {
    const NAME: &str = "hook";
    const MEND: &str = "`skillhost hook install`";
    let path = match settings_path(None, context) {
        Ok(path) => path,
        Err(error) => return Check::ok(NAME, error.sentence()),
    };
    let shown = context.path(&path);
    let installed = match settings::hooks(&path) {
        Ok(installed) => installed,
        Err(error) => return Check::warn(NAME, error.sentence(), error.hint.unwrap_or_default()),
    };
    let wanted = command(&context.environment).unwrap_or_default();
    match &installed[..] {
        [] => Check::ok(
            NAME,
            format!("none in {shown}; {MEND} has sessions told what waits for you"),
        ),
        [only] if *only == wanted => match failure(context) {
            Some(line) => Check::warn(
                NAME,
                format!("it failed: {line}"),
                format!("`rm {}` once that is mended", context.path(&context.home.hook_log())),
            ),
            None => Check::ok(NAME, format!("in {shown}")),
        },
        _ => Check::warn(
            NAME,
            format!("the one in {shown} is of another skillhost or another state folder"),
            MEND,
        ),
    }
}

/// Returns what went wrong in the hook last, if something did.
fn failure(context: &Context) -> Option<String> {
    let log = read_regular(&context.home.hook_log(), HOOK_LOG_BYTES_MAX).ok()?;
    let log = String::from_utf8_lossy(&log);
    log.lines().next_back().map(plain_line)
}

/// Looks how many areas of memory a process may have: each waiting guest takes some. Only Linux has such a limit.
fn maps() -> Option<Check> {
    const NAME: &str = "memory maps";
    let limit: u64 = std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(match limit < MAPS_MIN {
        true => Check::warn(
            NAME,
            format!("a process may have {limit}"),
            format!("`sudo sysctl vm.max_map_count={MAPS_MIN}`"),
        ),
        false => Check::ok(NAME, format!("a process may have {limit}")),
    })
}

fn open_files() -> Check {
    const NAME: &str = "open files";
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < OPEN_FILES_MIN => Check::warn(
            NAME,
            format!("a process may have {limit} open"),
            format!("`ulimit -n {OPEN_FILES_MIN}`"),
        ),
        Some(limit) => Check::ok(NAME, format!("a process may have {limit} open")),
        None => Check::ok(NAME, "no limit"),
    }
}
