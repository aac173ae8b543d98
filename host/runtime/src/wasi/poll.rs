//! `wasi:io/poll`: waiting for timers is waiting for calls, and streams are always ready (rule G7).

use std::collections::HashMap;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynPollable, Pollable};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::bindings::wasi::io::poll;

use crate::capability::clock::{sleep_draft, tick};
use crate::guest::desk::Waiting;
use crate::guest::state::State;

/// The timers behind pollables, by the pollable's handle. A pollable that is not here is a stream's.
#[derive(Default)]
pub(crate) struct Timers(HashMap<u32, Timer>);

/// A timer, until it is known to have fired.
#[derive(Clone, Copy)]
enum Timer {
    /// It fires with the outcome of this call.
    Running(u32),
    /// It fired, or was over when it was made.
    Fired,
}

/// What a timer's pollable stands for in the table of resources. It is never polled: the functions here look at [`Timers`].
struct Marker;

#[async_trait]
impl Pollable for Marker {
    async fn ready(&mut self) {}
}

impl State {
    /// Makes a pollable that is ready after `duration_ns`, by starting a `sleep`.
    pub(crate) fn timer(&mut self, duration_ns: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let timer = match duration_ns {
            0 => Timer::Fired,
            _ => Timer::Running(self.desk.lock().start(sleep_draft(duration_ns))?),
        };
        let marker = self.table.push(Marker)?;
        let pollable = wasmtime_wasi::p2::subscribe(&mut self.table, marker)?;
        self.timers.0.insert(pollable.rep(), timer);
        Ok(pollable)
    }

    /// Returns the call that a pollable waits for, or `None` if it is ready.
    fn awaited(&mut self, pollable: u32) -> wasmtime::Result<Option<u32>> {
        let Some(timer) = self.timers.0.get_mut(&pollable) else {
            return Ok(None);
        };
        let Timer::Running(number) = *timer else {
            return Ok(None);
        };
        let mut desk = self.desk.lock();
        if !desk.is_delivered(number) {
            return Ok(Some(number));
        }
        // A timer that was cancelled is over too; what the guest calls next will tell it so.
        desk.take(number)?;
        *timer = Timer::Fired;
        Ok(None)
    }
}

impl poll::Host for State {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.is_empty() {
            return Err(crate::guest::stop::Misuse("it polled an empty list".to_owned()).into());
        }
        let mut waited = false;
        loop {
            let mut ready = Vec::new();
            let mut calls = Vec::new();
            for (index, pollable) in (0..).zip(&pollables) {
                match self.awaited(pollable.rep())? {
                    Some(number) => calls.push(number),
                    None => ready.push(index),
                }
            }
            if !ready.is_empty() {
                if !waited {
                    // A loop around a poll that never waits would never let anything arrive.
                    tick(self).await?;
                }
                return Ok(ready);
            }
            waited = true;
            self.wait_for(Waiting::Any(calls)).await;
        }
    }
}

impl poll::HostPollable for State {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        tick(self).await?;
        Ok(self.awaited(pollable.rep())?.is_none())
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        while let Some(number) = self.awaited(pollable.rep())? {
            self.wait_for(Waiting::Call(number)).await;
        }
        Ok(())
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        if let Some(Timer::Running(number)) = self.timers.0.remove(&pollable.rep()) {
            self.desk.lock().drop_call(number)?;
        }
        poll::HostPollable::drop(&mut self.table, pollable)
    }
}
