//! What `wasmtime` makes of the world in `wit/`.
//!
//! Functions that may block are `async`, which the guest does not see: it is suspended on its own stack. Every function may trap.

#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "skill",
    imports: {
        "skillhost:skill/tasks.[method]pending-set.wait": async | trappable,
        "skillhost:skill/model.complete": async | trappable,
        "skillhost:skill/model.finish-complete": async | trappable,
        "skillhost:skill/files.read": async | trappable,
        "skillhost:skill/files.finish-read": async | trappable,
        "skillhost:skill/files.read-range": async | trappable,
        "skillhost:skill/files.finish-read-range": async | trappable,
        "skillhost:skill/files.write": async | trappable,
        "skillhost:skill/files.finish-write": async | trappable,
        "skillhost:skill/files.append": async | trappable,
        "skillhost:skill/files.finish-append": async | trappable,
        "skillhost:skill/files.list": async | trappable,
        "skillhost:skill/files.finish-list": async | trappable,
        "skillhost:skill/files.stat": async | trappable,
        "skillhost:skill/files.finish-stat": async | trappable,
        "skillhost:skill/files.remove": async | trappable,
        "skillhost:skill/files.finish-remove": async | trappable,
        "skillhost:skill/process.run": async | trappable,
        "skillhost:skill/process.finish-run": async | trappable,
        "skillhost:skill/http.send": async | trappable,
        "skillhost:skill/http.finish-send": async | trappable,
        "skillhost:skill/clock.now": async | trappable,
        "skillhost:skill/clock.sleep": async | trappable,
        "skillhost:skill/clock.finish-sleep": async | trappable,
        "skillhost:skill/inbox.post": async | trappable,
        "skillhost:skill/inbox.finish-post": async | trappable,
        "skillhost:skill/signals.wait": async | trappable,
        "skillhost:skill/signals.finish-wait": async | trappable,
        "skillhost:skill/signals.ask": async | trappable,
        "skillhost:skill/signals.finish-ask": async | trappable,
        "skillhost:skill/skills.call": async | trappable,
        "skillhost:skill/skills.finish-call": async | trappable,
        "skillhost:skill/run.notes": async | trappable,
        "skillhost:skill/run.finish-notes": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "skillhost:skill/tasks.pending": crate::capability::tasks::Pending,
        "skillhost:skill/tasks.pending-set": crate::capability::tasks::PendingSet,
    },
    require_store_data_send: true,
});
