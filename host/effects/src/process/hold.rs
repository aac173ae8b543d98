//! The first moments of a program: it is held until it may begin.
//!
//! What is started is our own program, which waits for one byte on its standard input and then becomes the other one ([`main`]). Until that byte comes, nothing has been
//! done, and whoever started it writes down which process it is. If the host dies before, the input ends without a byte, and so does this.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The byte by which a program is let go.
pub(super) const GO: u8 = b'\n';

/// The exit code of one that was never let go, and of one that could not begin. A program may end with these, too; so the reason is in a file.
const NOT_BEGUN: u8 = 127;

/// The program that holds others, and the words that make it do so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// What is started.
    pub program: PathBuf,
    /// What stands before the words that [`main`] is given.
    pub words: Vec<OsString>,
}

impl Holder {
    /// Returns what is to be started so that `program` is held. Why it could not begin is written to `failure`.
    pub(super) fn command(&self, failure: &Path, program: &Path, name: &str, arguments: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.words)
            .arg(failure)
            .arg(program)
            .arg(name)
            .args(arguments);
        command
    }
}

/// Waits to be let go, and becomes the program that its words name: where to write why it could not, the program's path, what it is called, and its arguments.
///
/// Returns the exit code of a program that did not begin.
pub fn main(words: &[OsString]) -> u8 {
    let [failure, program, name, arguments @ ..] = words else {
        return NOT_BEGUN;
    };
    // Not through a buffer: what follows the byte is for the program.
    let input = std::io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let mut byte = [0];
    match input.and_then(|mut input| input.read(&mut byte)) {
        Ok(1) => {}
        _ => return NOT_BEGUN,
    }
    let error = Command::new(program).arg0(name).args(arguments).exec();
    // Who looks for the reason finds the file, or takes the exit code for the program's.
    let _ = std::fs::write(failure, error.to_string());
    NOT_BEGUN
}
