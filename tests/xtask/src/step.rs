//! Runs one program after the other, with their output as it comes.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use crate::workspace;

/// Says what begins.
pub(crate) fn announce(what: &str) {
    eprintln!("\n==> {what}");
}

/// Returns a command of cargo's in the workspace.
pub(crate) fn cargo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace()).stdin(Stdio::null());
    command
}

/// Runs a command that has to succeed.
pub(crate) fn run(what: &str, command: &mut Command) -> Result<(), String> {
    announce(what);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("{what} failed, as it says above")),
        Err(error) => Err(format!(
            "{what}: `{}` cannot be started: {error}",
            command.get_program().display()
        )),
    }
}

/// Runs a command, passes on what it says, and shows each line of it to `heed`. Returns whether it succeeded.
pub(crate) fn heed(command: &mut Command, heed: impl Fn(&str) + Sync) -> Result<bool, String> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("`{}` cannot be started: {error}", command.get_program().display()))?;
    let stdout = child.stdout.take().expect("it is piped");
    let stderr = child.stderr.take().expect("it is piped");
    thread::scope(|scope| {
        scope.spawn(|| pass_on(stdout, std::io::stdout(), &heed));
        pass_on(stderr, std::io::stderr(), &heed);
    });
    child
        .wait()
        .map(|status| status.success())
        .map_err(|error| error.to_string())
}

fn pass_on(from: impl Read, mut to: impl Write, heed: &(impl Fn(&str) + Sync)) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        // Nobody may be listening any more; what is run goes on all the same.
        let _ = to.write_all(&line).and_then(|()| to.flush());
        heed(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}
