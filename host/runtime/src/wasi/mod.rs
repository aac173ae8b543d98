//! WASI as far as it is the same at every replay (rule G8).
//!
//! Each interface is linked by itself, so that nothing comes in that is not fixed (environment, streams), recorded (clocks, polling) or denied by design
//! (files, sockets). A component that imports another one is refused when it is loaded.

pub(crate) mod clocks;
pub(crate) mod poll;
pub(crate) mod random;
pub(crate) mod stdio;

use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings as wasi;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi_io::bindings::wasi::io;

use crate::guest::state::State;

/// The interfaces that are linked here, at any version 0.2.
pub(crate) const INTERFACES: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// Adds every interface of [`INTERFACES`].
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let l = linker;
    clocks::add_to_linker(l)?;
    io::poll::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    io::error::add_to_linker::<State, HasTable>(l, |state| &mut state.table)?;
    io::streams::add_to_linker::<State, HasTable>(l, |state| &mut state.table)?;
    stdio::add_to_linker(l)?;

    wasi::random::random::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wasi::random::insecure::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wasi::random::insecure_seed::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;

    wasi::cli::environment::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wasi::cli::exit::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wasi::cli::stdin::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wasi::cli::stdout::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wasi::cli::stderr::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    // There is no terminal.
    wasi::cli::terminal_input::add_to_linker::<State, WasiCli>(l, State::cli)?;
    wasi::cli::terminal_output::add_to_linker::<State, WasiCli>(l, State::cli)?;
    wasi::cli::terminal_stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    wasi::cli::terminal_stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    wasi::cli::terminal_stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;

    // No folder is open, so nothing can be opened: files are reached through `skillhost:skill/files`.
    wasi::filesystem::preopens::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
    wasi::filesystem::types::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;

    // Every address, protocol and name is denied.
    wasi::sockets::instance_network::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    wasi::sockets::network::add_to_linker::<State, WasiSockets>(l, &Default::default(), State::sockets)?;
    wasi::sockets::ip_name_lookup::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    wasi::sockets::tcp::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    wasi::sockets::tcp_create_socket::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    wasi::sockets::udp::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    wasi::sockets::udp_create_socket::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    Ok(())
}

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}
