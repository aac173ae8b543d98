//! What `wasmtime` makes of the interface that exists for tests only.

#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

wasmtime::component::bindgen!({
    path: ["../../wit", "../../tests/guests/wit"],
    world: "skillhost:test/fixture",
    imports: {
        "skillhost:test/acts.act": async | trappable,
        "skillhost:test/acts.finish-act": async | trappable,
        default: trappable,
    },
    with: {
        "skillhost:skill/types": crate::bindings::skillhost::skill::types,
        "skillhost:skill/tasks": crate::bindings::skillhost::skill::tasks,
    },
    require_store_data_send: true,
});
