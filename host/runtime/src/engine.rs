//! The one configuration that guests are compiled and run under.
//!
//! Everything that a guest could observe of the engine is decided here: code generator, NaN patterns, features, the depth of the stack. Its name is
//! the [profile](EngineConfig::profile), which a run records. Two hosts with the same profile run a guest the same way.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, ModuleVersionStrategy, OptLevel, PoolingAllocationConfig,
    RegallocAlgorithm, Strategy,
};

use crate::guest::limits::{INSTANCES_MAX, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX};
use crate::ticker::{Running, Ticker};

/// The version of wasmtime, which the manifest pins. Part of the key of compiled code: its header alone would let a patch release load what an
/// earlier one miscompiled.
const WASMTIME_VERSION: &str = "48.0.8";

/// Raised when the configuration below changes in a way that a guest can observe.
const PROFILE_REVISION: u32 = 1;

/// The most frames of a backtrace.
const BACKTRACE_FRAMES_MAX: usize = 60;

/// What may be chosen about an engine without a guest noticing, and the depth of its stack, which it may notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// How deep a guest may nest, in bytes of stack.
    pub stack_bytes_max: usize,
    /// Where instances get their memory from.
    pub allocation: Allocation,
    /// What makes native code.
    pub compiler: Compiler,
}

/// What makes native code of a component. A guest does the same with each; how fast it is, and how deep a stack of so many bytes lets it nest, it may notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// Takes its time for code that is fast.
    Thorough,
    /// The same compiler without its optimisations: two thirds of the time.
    Quick,
    /// One pass over the code, in a seventh of the time. It does not know every machine and every instruction.
    SinglePass,
}

/// Where instances get their memory from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// From the operating system, each time. Nothing to set up, so it suits a process that drives one run.
    OnDemand,
    /// From slots that are reserved once and used again, which spares a busy host most of the cost of short runs. Reserves address space (not memory) for
    /// `runs_max` guests; a further one is refused until another has left.
    Pooled {
        /// How many guests may be in memory at once.
        runs_max: u32,
    },
}

impl EngineConfig {
    /// Room for host functions beside the guest's own stack.
    const HOST_STACK_BYTES: usize = 1536 << 10;

    /// Returns the configuration for a process that drives one run.
    pub fn one_run() -> Self {
        Self {
            stack_bytes_max: 1 << 20,
            allocation: Allocation::OnDemand,
            compiler: Compiler::Thorough,
        }
    }

    /// Returns the configuration for a process that runs a skill while it is written, where what counts is how soon a component that is new runs.
    ///
    /// Whoever builds a crate has its scripts and macros run without a sandbox already, so it matters less here that a compiler is younger than the other.
    pub fn development() -> Self {
        Self {
            // Code that is not optimised needs so much more for the same nesting.
            stack_bytes_max: 4 << 20,
            compiler: Compiler::SinglePass,
            ..Self::one_run()
        }
    }

    /// Returns what to do with where this cannot be done: a process whose address space is limited has no room for slots, and a compiler may not know the machine.
    fn instead(&self) -> Option<Self> {
        let (allocation, compiler) = match (self.allocation, self.compiler) {
            (Allocation::Pooled { .. }, compiler) => (Allocation::OnDemand, compiler),
            (allocation, Compiler::SinglePass) => (allocation, Compiler::Quick),
            (Allocation::OnDemand, Compiler::Quick | Compiler::Thorough) => return None,
        };
        Some(Self {
            allocation,
            compiler,
            ..self.clone()
        })
    }

    /// Returns the name of the configuration, as far as a guest may notice it. A run records it.
    pub fn profile(&self) -> String {
        format!(
            "wasmtime-{}/{}/stack-{}k/{PROFILE_REVISION}",
            WASMTIME_VERSION.split('.').next().unwrap_or_default(),
            match self.compiler {
                Compiler::Thorough => "cranelift",
                Compiler::Quick => "cranelift-quick",
                Compiler::SinglePass => "winch",
            },
            self.stack_bytes_max >> 10
        )
    }

    /// Returns the configuration for a process that drives up to `runs_max` runs in memory at once.
    pub fn many_runs(runs_max: u32) -> Self {
        Self {
            allocation: Allocation::Pooled { runs_max },
            ..Self::one_run()
        }
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self::one_run()
    }
}

/// An engine could not be made.
#[derive(Debug, thiserror::Error)]
#[error("could not set up the WebAssembly engine: {0}")]
pub struct EngineError(String);

/// Compiles and runs guests. Cheap to clone; a thread that gives long computations their turns lives as long as the last clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    engine: wasmtime::Engine,
    config: EngineConfig,
    profile: String,
    ticker: Ticker,
}

impl Engine {
    /// Sets up an engine. Where there is no room for slots, instances get their memory on demand; where its compiler does not know the machine, another stands in.
    pub fn new(config: &EngineConfig) -> Result<Self, EngineError> {
        match (Self::set_up(config), config.instead()) {
            (Err(error), Some(instead)) => {
                match config.allocation {
                    Allocation::Pooled { .. } => tracing::warn!("{error}; instances get their memory on demand"),
                    Allocation::OnDemand => tracing::debug!("{error}; another compiler stands in"),
                }
                Self::new(&instead)
            }
            (set_up, _) => set_up,
        }
    }

    fn set_up(config: &EngineConfig) -> Result<Self, EngineError> {
        let engine = configure(config)
            .and_then(|config| wasmtime::Engine::new(&config))
            .map_err(|error| EngineError(format!("{error:#}")))?;
        let ticker = Ticker::new(engine.weak()).map_err(|error| EngineError(error.to_string()))?;
        Ok(Self(Arc::new(Inner {
            engine,
            config: config.clone(),
            profile: config.profile(),
            ticker,
        })))
    }

    /// Returns the name of the configuration, as far as a guest may notice it.
    pub fn profile(&self) -> &str {
        &self.0.profile
    }

    /// Returns the engine for a component that this one's compiler cannot compile, if there may be one that can.
    pub(crate) fn instead(&self) -> Option<Self> {
        Self::new(&self.0.config.instead()?).ok()
    }

    pub(crate) fn config(&self) -> &EngineConfig {
        &self.0.config
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.engine
    }

    /// Notes that a guest computes, for as long as the answer lives.
    pub(crate) fn running(&self) -> Running<'_> {
        self.0.ticker.running()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Engine").field(&self.0.profile).finish()
    }
}

fn configure(chosen: &EngineConfig) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    // What could differ between two machines or two executions is fixed or off. Multi-memory stays on, because the adapters between components need it.
    config
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        .wasm_tail_call(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false)
        // The guest is synchronous; without the bookkeeping for concurrent tasks a call costs half.
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(chosen.stack_bytes_max)
        .async_stack_size(chosen.stack_bytes_max + EngineConfig::HOST_STACK_BYTES)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES_MAX))
        // A guest that is let go of while it waits is unwound like one that trapped, and its frames would be looked up in its debugging information. For a daemon
        // whose runs leave memory that was most of its work.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable)
        .parallel_compilation(true)
        .memory_init_cow(true)
        .module_version(ModuleVersionStrategy::Custom(WASMTIME_VERSION.to_owned()))?;
    match chosen.compiler {
        Compiler::Thorough => {}
        Compiler::Quick => {
            config.cranelift_opt_level(OptLevel::None);
        }
        Compiler::SinglePass => {
            config.strategy(Strategy::Winch);
            // What leads into and out of the guest is made by the other compiler, and is nearly half of the work.
            config.cranelift_opt_level(OptLevel::None);
            config.cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass);
            // For debuggers and profilers of the host; what the engine itself needs to unwind is kept in any case.
            config.native_unwind_info(false);
        }
    }
    if let Allocation::Pooled { runs_max } = chosen.allocation {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(runs_max)));
    }
    Ok(config)
}

/// Memory stays resident between guests up to these bounds: giving it back and faulting it in again costs a short run more than the run itself.
fn pool(runs_max: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(runs_max)
        // Each guest may have all that one may have: those that take much leave no other without.
        .total_core_instances(runs_max.saturating_mul(INSTANCES_MAX))
        .total_memories(runs_max.saturating_mul(MEMORIES_MAX))
        .total_tables(runs_max.saturating_mul(TABLES_MAX))
        .total_stacks(runs_max)
        .max_memory_size(4 << 30)
        .max_core_instances_per_component(INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_memories_per_module(MEMORIES_MAX)
        .max_tables_per_module(TABLES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX as usize)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(2 << 20)
        .async_stack_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}
