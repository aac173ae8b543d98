//! Standard streams, the environment and the exit: what is printed becomes lines of the run's log, and nothing can be read.
//!
//! A stream is not told who writes to it. So the two functions by which guests print are linked here once more: they look at the guest's stack first, for the line of the source.

use bytes::Bytes;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime::{AsContext, StoreContextMut, WasmBacktrace};
use wasmtime_wasi::p2::bindings::cli::{environment, exit, stderr, stdin, stdout};
use wasmtime_wasi::p2::pipe::ClosedInputStream;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::bindings::wasi::io::streams::{self, Host as _, HostOutputStream as _};

use crate::guest::desk::SharedDesk;
use crate::guest::state::State;
use crate::guest::stop::Misuse;

/// The interface of streams, as those name it who linked it first.
const STREAMS: &str = "wasi:io/streams@0.2.12";

/// How much may be printed at once.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Links what prints so that it is known where, in the place of what [`streams`] has linked.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut streams = linker.instance(STREAMS)?;
    streams.func_wrap_async(
        "[method]output-stream.blocking-write-and-flush",
        |mut store, (stream, bytes): (Resource<DynOutputStream>, Vec<u8>)| {
            Box::new(async move {
                look(&mut store, &bytes);
                let table = &mut store.data_mut().table;
                let written = table.blocking_write_and_flush(stream, bytes).await;
                Ok((answer(table, written)?,))
            })
        },
    )?;
    streams.func_wrap(
        "[method]output-stream.write",
        |mut store, (stream, bytes): (Resource<DynOutputStream>, Vec<u8>)| {
            look(&mut store, &bytes);
            let table = &mut store.data_mut().table;
            let written = table.write(stream, bytes);
            Ok((answer(table, written)?,))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Looks who prints, if it ends a line.
fn look(store: &mut StoreContextMut<'_, State>, bytes: &[u8]) {
    if !bytes.contains(&b'\n') || !store.data().printing.knows_lines() {
        return;
    }
    let stack = WasmBacktrace::force_capture(store.as_context());
    let state = store.data_mut();
    state.desk.lock().prints_at = state.printing.place(&stack);
}

fn answer(table: &mut ResourceTable, written: StreamResult<()>) -> wasmtime::Result<Result<(), streams::StreamError>> {
    match written {
        Ok(()) => Ok(Ok(())),
        Err(error) => Ok(Err(table.convert_stream_error(error)?)),
    }
}

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
