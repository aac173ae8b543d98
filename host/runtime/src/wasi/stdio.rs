//! Standard streams, the environment and the exit: what is printed becomes lines of the run's log, and nothing can be read.

use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::cli::{environment, exit, stderr, stdin, stdout};
use wasmtime_wasi::p2::pipe::ClosedInputStream;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_io::async_trait;

use crate::guest::desk::SharedDesk;
use crate::guest::state::State;
use crate::guest::stop::Misuse;

/// How much may be printed at once.
const WRITE_BYTES_MAX: usize = 64 << 10;

struct Printer {
    desk: SharedDesk,
    stderr: bool,
}

#[async_trait]
impl Pollable for Printer {
    async fn ready(&mut self) {}
}

impl OutputStream for Printer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let printed = self.desk.lock().print(self.stderr, &bytes);
        printed.map_err(|misuse| StreamError::Trap(misuse.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl State {
    fn printer(&mut self, stderr: bool) -> wasmtime::Result<Resource<DynOutputStream>> {
        let desk = self.desk.clone();
        let stream: DynOutputStream = Box::new(Printer { desk, stderr });
        Ok(self.table.push(stream)?)
    }
}

impl stdin::Host for State {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<DynInputStream>> {
        let stream: DynInputStream = Box::new(ClosedInputStream);
        Ok(self.table.push(stream)?)
    }
}

impl stdout::Host for State {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.printer(false)
    }
}

impl stderr::Host for State {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.printer(true)
    }
}

impl environment::Host for State {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl exit::Host for State {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        let code = if status.is_ok() { "0" } else { "1" };
        Err(exited(code).into())
    }

    fn exit_with_code(&mut self, status: u8) -> wasmtime::Result<()> {
        Err(exited(&status.to_string()).into())
    }
}

fn exited(code: &str) -> Misuse {
    Misuse(format!(
        "it exited with code {code} instead of returning; end a skill by returning a result or a failure"
    ))
}
