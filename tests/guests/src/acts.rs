//! The at-most-once capability that only the tests' host provides.

#[allow(unsafe_code, reason = "generated: it crosses the component boundary")]
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit", "wit"],
        world: "skillhost:test/fixture",
        with: {
            "skillhost:skill/types@0.1.0": skillhost_sdk::raw::types,
            "skillhost:skill/tasks@0.1.0": skillhost_sdk::raw::tasks,
        },
    });
}

use bindings::skillhost::test::acts;
use skillhost_sdk::{Call, Failure, raw};

/// Acts once, under a name that the test's host notes.
pub fn act(name: impl Into<String>) -> Call<String> {
    let name = name.into();
    raw::call(
        move |options| acts::start_act(&name, options),
        |pending| acts::finish_act(pending).map_err(|message| Failure::new("act", message)),
    )
}
