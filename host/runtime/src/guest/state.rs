//! What lives in a guest's store: everything that its host functions may touch.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use skillhost_core::grants::Grants;
use skillhost_core::time::Timestamp;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::desk::{SharedDesk, Waiting};
use super::limits::Limiter;
use super::printing::Printing;
use super::{BundleFiles, RunInfo};
use crate::wasi::poll::Timers;
use crate::wasi::random::Randomness;

/// The data of a guest's store.
pub(crate) struct State {
    pub(crate) desk: SharedDesk,
    pub(crate) facts: Facts,
    pub(crate) random: Randomness,
    pub(crate) limiter: Limiter,
    pub(crate) timers: Timers,
    pub(crate) table: ResourceTable,
    pub(crate) printing: Printing,
    /// For the interfaces that deny everything: files and sockets.
    wasi: WasiCtx,
}

/// What is fixed for the whole run.
pub(crate) enum Facts {
    /// A run's.
    Run {
        /// What the guest may know of it.
        info: RunInfo,
        /// When it was launched.
        started_at: Timestamp,
        /// What `skill/` holds.
        bundle: Arc<BundleFiles>,
        /// What the user lets it do.
        grants: Arc<Grants>,
        /// How deep calls of skills are nested here.
        depth: u32,
    },
    /// `describe` knows nothing of any run.
    Describe,
}

impl State {
    pub(crate) fn new(desk: SharedDesk, facts: Facts, random: Randomness, limiter: Limiter) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limiter.holds().handles as usize);
        Self {
            desk,
            facts,
            random,
            limiter,
            timers: Timers::default(),
            table,
            printing: Printing::default(),
            wasi: WasiCtx::default(),
        }
    }

    /// Suspends the guest until what it waits for is there.
    pub(crate) async fn wait_for(&mut self, waiting: Waiting) {
        let desk = &self.desk;
        if desk.lock().is_there(&waiting) {
            return;
        }
        let mut waiting = Some(waiting);
        // No waker: whoever delivers an outcome polls the guest next.
        poll_fn(|_| {
            let mut desk = desk.lock();
            if let Some(waiting) = waiting.take() {
                desk.set_waiting(Some(waiting));
            }
            if desk.can_go_on() {
                desk.set_waiting(None);
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}
