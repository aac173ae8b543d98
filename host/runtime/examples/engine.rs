//! Prints what the engine alone takes, as JSON, in microseconds: to make a component of a hundred lines, call a function of it and drop it, and to have it call the host.
//!
//! There is nothing of ours in between: no capabilities, no limits, no journal. The instances come from slots, as a daemon's do.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for a person at a terminal"
)]

use std::time::Instant;

use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result, Store};

/// A component that calls the host as often as it is told, with a memory that it writes to.
const COMPONENT: &str = r#"(component
    (import "host" (func $host (param "n" u32) (result u32)))
    (core func $lowered (canon lower (func $host)))
    (core module $module
        (import "" "host" (func $host (param i32) (result i32)))
        (memory 2)
        (func (export "run") (param $times i32) (result i32)
            (local $sum i32)
            (block $done
                (loop $again
                    (br_if $done (i32.eqz (local.get $times)))
                    (local.set $sum (i32.add (local.get $sum) (call $host (local.get $times))))
                    (i32.store (i32.const 64) (local.get $sum))
                    (local.set $times (i32.sub (local.get $times) (i32.const 1)))
                    (br $again)))
            (local.get $sum)))
    (core instance $instance (instantiate $module (with "" (instance (export "host" (func $lowered))))))
    (func (export "run") (param "times" u32) (result u32) (canon lift (core func $instance "run"))))"#;

const INSTANCES: u32 = 1_000;
const CALLS: u32 = 1_000_000;

fn main() -> Result<()> {
    let mut pool = PoolingAllocationConfig::new();
    pool.linear_memory_keep_resident(2 << 20)
        .total_memories(16)
        .total_core_instances(16);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config)?;
    let component = Component::new(&engine, wat::parse_str(COMPONENT)?)?;
    let mut linker = Linker::<u32>::new(&engine);
    linker.root().func_wrap("host", |mut store, (n,): (u32,)| {
        *store.data_mut() = store.data().wrapping_add(n);
        Ok((*store.data(),))
    })?;
    let prepared = linker.instantiate_pre(&component)?;
    let run = |times: u32| -> Result<()> {
        let mut store = Store::new(&engine, 0);
        let instance = prepared.instantiate(&mut store)?;
        let run = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "run")?;
        run.call(&mut store, (times,)).map(drop)
    };
    run(1)?;
    let begun = Instant::now();
    (0..INSTANCES).try_for_each(|_| run(1))?;
    let instantiate = begun.elapsed().as_secs_f64() * 1e6 / f64::from(INSTANCES);
    let begun = Instant::now();
    run(CALLS)?;
    let call = begun.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS);
    println!(r#"{{"instantiate_us": {instantiate:.3}, "call_us": {call:.4}}}"#);
    Ok(())
}
