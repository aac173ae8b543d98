//! Runs skills as WebAssembly components: deterministic, bounded, and without performing anything.
//!
//! A [`Loader`] makes a [`Loaded`] of a component's bytes, and a `Loaded` makes a [`Guest`]: a machine with two inputs, [`Guest::start`] and [`Guest::deliver`],
//! each of which runs the skill until it blocks, ends or traps and returns what it did as a core [`Slice`](skillhost_core::machine::Slice). What the guest asks of the
//! world comes out as core calls, and what it is answered goes in as core outcomes; in between this crate performs no effect, reads no clock and draws no
//! randomness. Only this crate names wasmtime.

mod bindings;
mod capability;
mod describe;
mod engine;
mod guest;
mod loader;
#[cfg(feature = "test-capability")]
mod test_bindings;
mod ticker;
mod wasi;

pub use describe::{
    CapabilityRequest, DESCRIPTION_BYTES_MAX, DescribeError, DescribeLimits, Description, REQUESTS_MAX,
};
pub use engine::{Allocation, Compiler, Engine, EngineConfig, EngineError};
pub use guest::limits::{
    INSTANCES_MAX, LABEL_BYTES_MAX, LINE_BYTES_MAX, MEMORIES_MAX, REQUEST_BYTES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX,
};
pub use guest::{BundleFiles, Guest, GuestStart, Reread, RunInfo, without_lines};
pub use loader::{
    COMPONENT_BYTES_MAX, CompilerProgram, LoadError, Loaded, Loader, LoaderConfig, Misfit, Origin, compile_main,
};

/// What a driver moves between threads.
const _: fn() = || {
    fn is_send<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    is_send::<Guest>();
    is_shared::<Loader>();
    is_shared::<Loaded>();
};
