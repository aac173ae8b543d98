//! Compiles: in a process of its own where there is one for it, so that a component which takes the compiler too long, or too much memory, can be stopped.
//!
//! A compilation cannot be interrupted, and a component is somebody else's. [`main`] is that process: the component comes in on its standard input, the code goes out on its
//! standard output, and why there is none on its standard error. The code is trusted as the cache's is: it comes from our own program, started by this one.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use wasmtime::component::Component;

use super::COMPONENT_BYTES_MAX;
use super::cache::FILE_BYTES_MAX;
use super::check;
use super::error::LoadError;
use crate::engine::{Compiler, Engine, EngineConfig};

/// The exit code of a process that was given a component which does not compile. No program ends so that failed at something else (`EX_DATAERR` of `sysexits.h`).
const REFUSED: u8 = 65;
/// The exit code of one that failed at something else (`EX_SOFTWARE`).
const FAILED: u8 = 70;
/// The most that is heard of why.
const REASON_BYTES_MAX: u64 = 64 << 10;

/// The program that compiles for this process: our own, with the words that make it call [`main`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompilerProgram {
    /// What is started.
    pub program: PathBuf,
    /// What stands before the words that [`main`] is given.
    pub words: Vec<OsString>,
    /// How long it may take.
    pub time_max: Duration,
    /// The most memory that it was told to take, for whoever asks why it gave up.
    pub memory_bytes_max: u64,
}

/// Compiles; a panic of the compiler concerns this component only.
pub(super) fn compile(engine: &Engine, by: Option<&CompilerProgram>, bytes: &[u8]) -> Result<Component, LoadError> {
    match by {
        Some(program) => {
            let code = compile_apart(engine.config(), program, bytes)?;
            super::cache::deserialize(engine, &code).map_err(|reason| LoadError::Compiler { reason })
        }
        None => caught(|| Component::from_binary(engine.wasmtime(), bytes)),
    }
}

fn caught<T>(compile: impl FnOnce() -> wasmtime::Result<T>) -> Result<T, LoadError> {
    match catch_unwind(AssertUnwindSafe(compile)) {
        Ok(Ok(compiled)) => Ok(compiled),
        Ok(Err(error)) => Err(check::uncompilable(format!("{error:#}"))),
        Err(panic) => Err(LoadError::Compiler {
            reason: crate::guest::panic_words(&panic).to_owned(),
        }),
    }
}

fn compile_apart(config: &EngineConfig, program: &CompilerProgram, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
    let mut command = Command::new(&program.program);
    command
        .args(&program.words)
        .arg(word(config.compiler))
        .arg(config.stack_bytes_max.to_string())
        // It needs nothing of what the user's programs are told, keys least of all.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(LoadError::Read)?;
    let heard = hear(&mut child, program.time_max, bytes);
    if heard.is_none() {
        // It may have ended by itself meanwhile.
        child.kill().ok();
    }
    let status = child.wait().map_err(LoadError::Read)?;
    let Some((code, reason)) = heard else {
        return Err(LoadError::TooLong {
            seconds: program.time_max.as_secs(),
        });
    };
    match status.success() {
        true => Ok(code),
        false => Err(why(status, &reason, program)),
    }
}

/// Gives a process the component and takes what it says, until it has said all or the time is over.
fn hear(child: &mut Child, time_max: Duration, bytes: &[u8]) -> Option<(Vec<u8>, String)> {
    let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut input), Some(output), Some(errors)) = streams else {
        return None;
    };
    let (sender, heard) = mpsc::channel();
    thread::scope(|scope| {
        // One that refuses the beginning does not read the rest.
        scope.spawn(move || input.write_all(bytes).ok());
        scope.spawn(move || {
            let reading = thread::spawn(move || read(errors, REASON_BYTES_MAX));
            let code = read(output, FILE_BYTES_MAX);
            let reason = reading.join().unwrap_or_default();
            // Whoever hears it may have given up.
            sender.send((code, String::from_utf8_lossy(&reason).into_owned())).ok();
        });
        let heard = heard.recv_timeout(time_max).ok();
        if heard.is_none() {
            // The threads end when their streams do.
            child.kill().ok();
        }
        heard
    })
}

fn read(stream: impl Read, bytes_max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What is cut off does not verify, and is told by how the process ended.
    stream.take(bytes_max).read_to_end(&mut bytes).ok();
    bytes
}

/// Says why a process that compiles gave no code.
fn why(status: ExitStatus, reason: &str, program: &CompilerProgram) -> LoadError {
    let reason = reason.trim();
    if status.code() == Some(i32::from(REFUSED)) {
        return check::uncompilable(reason.to_owned());
    }
    if reason.contains("memory allocation of") {
        return LoadError::TooMuch {
            mib: program.memory_bytes_max >> 20,
        };
    }
    LoadError::Compiler {
        reason: match reason {
            "" => format!("it ended with {status}"),
            reason => format!("it ended with {status}, and said: {reason}"),
        },
    }
}

fn word(compiler: Compiler) -> &'static str {
    match compiler {
        Compiler::Thorough => "thorough",
        Compiler::Quick => "quick",
        Compiler::SinglePass => "single-pass",
    }
}

/// Compiles what comes on standard input, for an engine that the words name: what compiles, and how deep a guest may nest, in bytes of stack.
///
/// Returns the exit code of the process.
#[allow(clippy::print_stderr, reason = "that is where it is heard")]
pub fn main(words: &[OsString]) -> u8 {
    let told = match given(words) {
        Ok((engine, bytes)) => match engine.wasmtime().precompile_component(&bytes) {
            Ok(code) => io::stdout()
                .lock()
                .write_all(&code)
                .map_err(|error| (FAILED, error.to_string())),
            Err(error) => Err((REFUSED, format!("{error:#}"))),
        },
        Err(reason) => Err((FAILED, reason)),
    };
    match told {
        Ok(()) => 0,
        Err((exit, reason)) => {
            eprintln!("{reason}");
            exit
        }
    }
}

/// Returns what is to be compiled, and for which engine.
fn given(words: &[OsString]) -> Result<(Engine, Vec<u8>), String> {
    let engine = Engine::new(&config(words)?).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let input = io::stdin().lock().take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes);
    input.map_err(|error| error.to_string())?;
    Ok((engine, bytes))
}

fn config(words: &[OsString]) -> Result<EngineConfig, String> {
    let words: Vec<&str> = words.iter().filter_map(|word| OsStr::to_str(word)).collect();
    let [compiler, stack] = words.as_slice() else {
        return Err("which compiler, and how much stack?".to_owned());
    };
    let known = [Compiler::Thorough, Compiler::Quick, Compiler::SinglePass];
    let compiler = known.into_iter().find(|known| word(*known) == *compiler);
    Ok(EngineConfig {
        compiler: compiler.ok_or("there is no such compiler")?,
        stack_bytes_max: stack.parse().map_err(|_| "that is no number of bytes")?,
        ..EngineConfig::one_run()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    /// Says why there is no code, if what compiles is this program.
    fn refused(program: &str, words: &[&str]) -> LoadError {
        let program = CompilerProgram {
            program: program.into(),
            words: words.iter().map(OsString::from).collect(),
            time_max: Duration::from_secs(300),
            memory_bytes_max: 1 << 30,
        };
        compile_apart(&EngineConfig::one_run(), &program, b"\0asm").unwrap_err()
    }

    #[test]
    fn a_component_is_at_fault_only_if_the_compiler_says_so() {
        let no = refused("sh", &["-c", "echo no such feature >&2; exit 65"]);
        assert!(matches!(no, LoadError::Invalid { .. }), "{no}");
        let failed = refused("sh", &["-c", "echo cannot start >&2; exit 1"]);
        assert!(
            matches!(&failed, LoadError::Compiler { reason } if reason.contains("cannot start")),
            "{failed}"
        );
        assert!(matches!(refused("/nothing/here", &[]), LoadError::Read(_)));
    }
}
