//! The world `skill`, as `wit-bindgen` renders it. Nothing here is meant for authors: the other modules put a pleasanter face on it.

#![allow(unsafe_code, reason = "generated: it crosses the component boundary")]
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

wit_bindgen::generate!({
    path: "../wit",
    world: "skill",
    pub_export_macro: true,
    export_macro_name: "__export_skill",
    default_bindings_module: "skillhost_sdk::bindings",
    additional_derives: [PartialEq],
});
