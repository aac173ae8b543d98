//! Performs `process.run`: a program of the user's machine, that was granted, to its end.
//!
//! Start with [`Programs`], one for each run; what is the same for all runs of a worker is its [`Ground`]. A program is found (never where the run may write), started
//! held ([`hold`]), written down ([`record`]) and then let go. It leads a process group, which ends with the future that waits for it, however that comes about; what a
//! crash of the host leaves of it is ended by [`end_survivors`].

mod hold;
mod output;
mod record;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use skillhost_core::calls::process::{
    COMMAND_BYTES_MAX, Command, End, Ended, KEEP_BYTES_DEFAULT, KEEP_BYTES_MAX, TIMEOUT_DEFAULT,
};
use skillhost_core::grants::{self, SecretName};
use skillhost_core::machine::{Ended as Performed, Ticket};
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_core::payload::Payload;
use skillhost_core::secret;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin};

use crate::files::{Mounts, WorkingFolder};
use crate::granted::Granted;
use crate::slots::{Share, Slots};
use crate::watch::{Progress, Watch};

pub use hold::{Holder, main as hold};
use output::{Kept, Outputs};
pub use record::end_survivors;
use record::{Record, Records};

/// The most programs that run at once; others wait.
pub const AT_ONCE_MAX: usize = 32;
/// The most of them for one run.
pub const AT_ONCE_OF_RUN_MAX: usize = 8;
/// How long to go on reading what something prints that outlives the program's group.
const OUTLIVED_BY: Duration = Duration::from_secs(1);
/// How much of what a program printed goes into a message, in bytes.
const SAID_BYTES_MAX: usize = 2_000;

/// What programs are run with, whichever run they are of. Cheap to clone.
#[derive(Clone)]
pub struct Ground(Arc<Given>);

struct Given {
    holder: Holder,
    search_path: Option<OsString>,
    variable: Box<Variable>,
    slots: Slots,
}

type Variable = dyn Fn(&str) -> Option<OsString> + Send + Sync;

impl Ground {
    /// Makes it out of the program that holds others, of where programs are looked for, and of what tells the values of the user's variables.
    pub fn new(
        holder: Holder,
        search_path: Option<OsString>,
        variable: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
    ) -> Self {
        // What is relative would be beneath the folder that a program runs in, where a skill may put what it likes.
        let absolute = |path: OsString| {
            let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
            std::env::join_paths(folders).ok()
        };
        Self(Arc::new(Given {
            holder,
            search_path: search_path.and_then(absolute),
            variable: Box::new(variable),
            slots: Slots::new(AT_ONCE_MAX, AT_ONCE_OF_RUN_MAX),
        }))
    }
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values of variables may be secret.
        f.debug_tuple("Ground").field(&self.0.holder).finish()
    }
}

/// Runs the programs of one run.
#[derive(Clone, Debug)]
pub struct Programs {
    ground: Ground,
    share: Share,
    granted: Granted,
    records: Records,
}

impl Programs {
    /// Makes it out of what was granted to the run, and of the folder that keeps the files about its programs while they run.
    pub fn new(ground: Ground, granted: Granted, records: PathBuf) -> Self {
        Self {
            share: ground.0.slots.share(),
            ground,
            granted,
            records: Records::new(records),
        }
    }

    /// Performs `process.run` once. Dropping the future ends the program and its whole group.
    pub(crate) async fn perform(&self, ticket: &Ticket, mounts: &Mounts, watch: &Watch) -> Performed {
        let outcome = match self.run(ticket, mounts, watch).await {
            Ok(ended) => Outcome::Ok(Payload::of(&ended)),
            Err(fault) => fault.into(),
        };
        Performed::Returned {
            outcome,
            spent: None,
            again: None,
        }
    }

    async fn run(&self, ticket: &Ticket, mounts: &Mounts, watch: &Watch) -> Result<Ended, Fault> {
        let command: Command = ticket
            .request()
            .read()
            .map_err(|error| Fault::new(Fault::INVALID, format!("malformed request: {error}")))?;
        watch.report(ticket.number(), Progress::Queued);
        let _turn = self.share.turn().await;
        // Asked when its turn has come, so that what was revoked meanwhile is.
        let variables: Vec<&str> = command.environment.keys().map(String::as_str).collect();
        let secrets = named(&command)?;
        let grant = self.granted.program(&command.program, &variables, &secrets)?;
        let folder = mounts.working_folder(command.folder.as_deref()).await?;
        let path = self.find(&command.program, &mounts.writable_folders())?;
        watch.report(
            ticket.number(),
            Progress::Started {
                attempt: ticket.attempt(),
            },
        );
        let timeout = ticket.options().timeout().unwrap_or(TIMEOUT_DEFAULT);
        let start = Start {
            command: &command,
            path,
            environment: self.environment(&command, &grant, &ticket.key()).await?,
            folder,
            key: ticket.key(),
        };
        let (kept, errors) = (keep(&command), keep(&command));
        let redactor = self.granted.redactor().await;
        let outputs = Outputs::new(watch, ticket.number(), &redactor);
        let record = self
            .records
            .reserve(ticket.number())
            .map_err(|error| unstarted(&command, &error))?;
        let running = start.start(&self.ground.0.holder, record)?;
        match tokio::time::timeout(timeout, running.wait(&command, &outputs, &kept, &errors)).await {
            Err(_) => Err(too_long(&command, timeout, &kept, &errors)),
            Ok(status) => Ok(Ended {
                end: end(status?),
                stdout: kept.output(),
                stderr: errors.output(),
                extra: None,
            }),
        }
    }

    /// Finds a program: an absolute path is taken as it is, a name is looked up; not in folders that the run may write, where it would find what it put there itself.
    fn find(&self, program: &str, writable: &[PathBuf]) -> Result<PathBuf, Fault> {
        let is_program = |path: &Path| {
            std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        if !grants::is_program(program) {
            return Err(Fault::new(Fault::INVALID, format!("`{program}` names no program")));
        }
        if program.starts_with('/') {
            let path = PathBuf::from(program);
            return match is_program(&path) {
                true => Ok(path),
                false => Err(Fault::new(
                    Fault::NOT_FOUND,
                    format!("there is no program at `{program}`"),
                )),
            };
        }
        let folders = self.ground.0.search_path.as_deref().map(std::env::split_paths);
        let paths = folders.into_iter().flatten().map(|folder| folder.join(program));
        let writable: Vec<PathBuf> = writable
            .iter()
            .flat_map(|folder| [Some(folder.clone()), folder.canonicalize().ok()])
            .flatten()
            .collect();
        let is_own = |path: &Path| writable.iter().any(|folder| path.starts_with(folder));
        let may_be = |path: &Path| !is_own(path) && path.canonicalize().is_ok_and(|path| !is_own(&path));
        let mut only_own = false;
        for path in paths.filter(|path| is_program(path)) {
            if may_be(&path) {
                return Ok(path);
            }
            only_own = true;
        }
        let message = match only_own {
            false => format!("there is no program `{program}` in the folders of `PATH`"),
            true => format!(
                "`{program}` is found only where the run may write, so it may be the skill's own; one that is granted by its absolute path is not looked for"
            ),
        };
        Err(Fault::new(Fault::NOT_FOUND, message))
    }

    /// Returns all that the program finds in its environment.
    async fn environment(
        &self,
        command: &Command,
        grant: &grants::Program,
        key: &str,
    ) -> Result<BTreeMap<OsString, OsString>, Fault> {
        let secrets = self.granted.secrets(&named(command)?).await?;
        let given = &self.ground.0;
        let mut environment = BTreeMap::new();
        environment.extend(given.search_path.clone().map(|path| (OsString::from("PATH"), path)));
        for name in &grant.environment {
            environment.extend((given.variable)(name.as_str()).map(|value| (OsString::from(name.as_str()), value)));
        }
        let mut bytes = 0;
        for (name, value) in &command.environment {
            let value = secrets.fill(value)?;
            bytes += value.len();
            environment.insert(name.into(), value.into());
        }
        if bytes > COMMAND_BYTES_MAX {
            let message = format!(
                "the variables have {bytes} bytes with their secrets; at most {COMMAND_BYTES_MAX} are given to a program"
            );
            return Err(Fault {
                data: Some(COMMAND_BYTES_MAX.into()),
                ..Fault::new(Fault::TOO_LARGE, message)
            });
        }
        environment.insert(record::MARK.into(), key.into());
        Ok(environment)
    }
}

/// All that a program is started with.
struct Start<'a> {
    command: &'a Command,
    path: PathBuf,
    environment: BTreeMap<OsString, OsString>,
    folder: WorkingFolder,
    key: String,
}

impl Start<'_> {
    /// Starts the program, held, and writes down which process it is.
    fn start(self, holder: &Holder, record: Record) -> Result<Running, Fault> {
        let command = self.command;
        let failed = |error: io::Error| unstarted(command, &error);
        let held = holder.command(&record.failure(), &self.path, &command.program, &command.arguments);
        let mut held = tokio::process::Command::from(held);
        held.env_clear()
            .envs(&self.environment)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let (reader, writer) = io::pipe().map_err(failed)?;
        match command.merged {
            true => held.stderr(writer.try_clone().map_err(failed)?),
            false => held.stderr(Stdio::piped()),
        };
        held.stdout(writer);
        let child = held.spawn().map_err(failed)?;
        // It holds the writing ends, without which the reading one would see no end.
        drop(held);
        let mut running = Running::new(child, reader, record);
        let pid = running
            .group
            .ok_or_else(|| failed(io::Error::other("it has no process number")))?;
        running.record.write(pid, &self.key, &command.program).map_err(failed)?;
        Ok(running)
    }
}

/// A program that was started, whose group ends with this value.
struct Running {
    child: Child,
    stdout: Option<io::PipeReader>,
    group: Option<Pid>,
    record: Record,
}

impl Running {
    fn new(child: Child, stdout: io::PipeReader, record: Record) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self {
            child,
            stdout: Some(stdout),
            group: id.and_then(Pid::from_raw),
            record,
        }
    }

    /// Lets the program go, and waits for its end and for that of what it prints.
    async fn wait(
        mut self,
        command: &Command,
        outputs: &Outputs<'_>,
        kept: &Kept,
        errors: &Kept,
    ) -> Result<ExitStatus, Fault> {
        let failed = |error: io::Error| {
            let program = &command.program;
            Fault::new(Fault::FAILED, format!("could not wait for `{program}`: {error}"))
        };
        let input = self.child.stdin.take().expect("standard input is piped");
        let stdout = self.stdout.take().expect("it is waited for once");
        let stdout = tokio::net::unix::pipe::Receiver::from_owned_fd(stdout.into()).map_err(failed)?;
        let stderr = self.child.stderr.take();
        let mut feeding = pin!(feed(input, &command.input.0));
        let reading = async {
            let stderr = async {
                match stderr {
                    Some(stderr) => outputs.read(stderr, true, errors).await,
                    None => Ok(()),
                }
            };
            tokio::try_join!(outputs.read(stdout, false, kept), stderr)
        };
        let mut reading = pin!(reading);
        let (mut read, mut fed) = (false, false);
        let status = loop {
            tokio::select! {
                biased;
                status = self.child.wait() => break status.map_err(failed)?,
                done = &mut reading, if !read => {
                    done.map_err(failed)?;
                    read = true;
                }
                () = &mut feeding, if !fed => fed = true,
            }
        };
        self.end_group();
        self.record.ended();
        if !read {
            // What left the group may go on printing; nobody waits for it.
            if let Ok(done) = tokio::time::timeout(OUTLIVED_BY, reading).await {
                done.map_err(failed)?;
            }
        }
        match std::fs::read_to_string(self.record.failure()) {
            Ok(why) => {
                let program = &command.program;
                Err(Fault::new(Fault::FAILED, format!("could not start `{program}`: {why}")))
            }
            Err(_) => Ok(status),
        }
    }

    /// Ends what is left of the group.
    fn end_group(&self) {
        // The leader may be gone, and what it started may not. Its number is not given to another process while a member of its group lives; a group without members
        // is not found, which is as good.
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end_group();
    }
}

/// Lets the program go and gives it what it is to read. One that does not read to the end says why by how it ends.
async fn feed(mut input: ChildStdin, bytes: &[u8]) {
    if input.write_all(&[hold::GO]).await.is_ok() {
        let _ = input.write_all(bytes).await;
    }
}

/// Returns the secrets that the values of a command's variables name.
fn named(command: &Command) -> Result<Vec<SecretName>, Fault> {
    let mut names = Vec::new();
    for value in command.environment.values() {
        names.extend(secret::named(value).map_err(|why| Fault::new(Fault::INVALID, why))?);
    }
    Ok(names)
}

fn keep(command: &Command) -> Kept {
    let bytes = command.keep_bytes.unwrap_or(KEEP_BYTES_DEFAULT).min(KEEP_BYTES_MAX);
    Kept::new(usize::try_from(bytes).unwrap_or(usize::MAX))
}

fn end(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exited(code),
        (None, signal) => End::Signalled(signal.unwrap_or_default()),
    }
}

fn unstarted(command: &Command, error: &io::Error) -> Fault {
    let program = &command.program;
    Fault::new(Fault::FAILED, format!("could not start `{program}`: {error}"))
}

fn too_long(command: &Command, timeout: Duration, kept: &Kept, errors: &Kept) -> Fault {
    let said = match errors.tail(SAID_BYTES_MAX) {
        said if said.is_empty() => kept.tail(SAID_BYTES_MAX),
        said => said,
    };
    let said = match said.is_empty() {
        true => "it printed nothing".to_owned(),
        false => format!("the last that it printed: {said}"),
    };
    let program = &command.program;
    let seconds = timeout.as_secs_f64();
    Fault::new(
        Fault::TIMEOUT,
        format!("`{program}` took longer than {seconds} s and was ended; {said}"),
    )
}
