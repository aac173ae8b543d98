//! `wasi:clocks`: both clocks show the guest's time (rule G6), and subscriptions are timers (rule G7).
//!
//! Linked by hand, because a reading may have to wait for the host's clock, and the ready-made bindings cannot.

use std::time::Duration;

use skillhost_core::calls::clock::SLEEP_MAX;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use crate::capability::clock::now;
use crate::guest::state::State;

/// Any guest of version 0.2 finds these.
pub(crate) const VERSION: &str = "0.2.12";
/// How far apart two readings are.
const RESOLUTION: Duration = Duration::from_micros(1);

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut wall = linker.instance(&format!("wasi:clocks/wall-clock@{VERSION}"))?;
    wall.func_wrap_async("now", |store, (): ()| Box::new(read(store, datetime)))?;
    wall.func_wrap("resolution", |_: StoreContextMut<'_, State>, (): ()| {
        Ok((datetime(RESOLUTION.as_nanos() as u64),))
    })?;

    let mut monotonic = linker.instance(&format!("wasi:clocks/monotonic-clock@{VERSION}"))?;
    monotonic.func_wrap_async("now", |store, (): ()| Box::new(read(store, |nanos| nanos)))?;
    monotonic.func_wrap("resolution", |_: StoreContextMut<'_, State>, (): ()| {
        Ok((RESOLUTION.as_nanos() as u64,))
    })?;
    monotonic.func_wrap(
        "subscribe-instant",
        |mut store: StoreContextMut<'_, State>, (when,): (u64,)| {
            let shown = store.data().desk.lock().time.shown().as_nanos();
            subscribe(store.data_mut(), when.saturating_sub(shown))
        },
    )?;
    monotonic.func_wrap(
        "subscribe-duration",
        |mut store: StoreContextMut<'_, State>, (duration,): (u64,)| subscribe(store.data_mut(), duration),
    )?;
    Ok(())
}

async fn read<T>(mut store: StoreContextMut<'_, State>, convert: fn(u64) -> T) -> wasmtime::Result<(T,)> {
    Ok((convert(now(store.data_mut()).await?.as_nanos()),))
}

fn subscribe(state: &mut State, duration_ns: u64) -> wasmtime::Result<(Resource<DynPollable>,)> {
    // "For ever" is common among guests; ten years are the longest timer.
    let longest = u64::try_from(SLEEP_MAX.as_nanos()).unwrap_or(u64::MAX);
    Ok((state.timer(duration_ns.min(longest))?,))
}

fn datetime(nanos: u64) -> Datetime {
    Datetime {
        seconds: nanos / 1_000_000_000,
        nanoseconds: (nanos % 1_000_000_000) as u32,
    }
}
