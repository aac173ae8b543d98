//! Why a component cannot be loaded, and what to do about it.

use std::io;

/// A component that cannot be loaded. The message says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is larger than any component may be.
    #[error("the component has {bytes} bytes, and at most {} MiB are loaded; build it with `cargo build --release` and strip it", .max >> 20)]
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        max: u64,
    },
    /// The file holds something else.
    #[error(
        "this is not a WebAssembly file: it begins with {begins}; a skill is a component, built for `wasm32-wasip2`"
    )]
    NotWasm {
        /// Its first bytes.
        begins: String,
    },
    /// The file is a plain module.
    #[error(
        "this is a core WebAssembly module, not a component; build it for `wasm32-wasip2`, or make a component of it with `wasm-tools component new`"
    )]
    CoreModule,
    /// The file is damaged, or uses what this engine does not have.
    #[error("the component is damaged, or uses a feature of WebAssembly that this host has switched off: {reason}")]
    Invalid {
        /// What the compiler says.
        reason: String,
    },
    /// The component was built for asynchronous WIT functions.
    #[error(
        "the component uses the asynchronous ABI of the component model, and a skill is synchronous; build it for `wasm32-wasip2` without async exports (for JavaScript: `--backend-qjs-disable-async`) ({reason})"
    )]
    AsyncAbi {
        /// What the compiler says.
        reason: String,
    },
    /// The component exports something else than a skill does.
    #[error("this component is no skill: it does not export {}; it exports {}. Build it against the world `skillhost:skill/skill`, as `skillhost-sdk` does", list(.missing), list(.exports))]
    OtherWorld {
        /// What a skill exports and it does not.
        missing: Vec<String>,
        /// What it exports.
        exports: Vec<String>,
    },
    /// The component imports something that is not there.
    #[error("the component imports `{name}`, which this host does not provide; it provides {provided}")]
    UnknownImport {
        /// What it imports.
        name: String,
        /// What it could import.
        provided: String,
    },
    /// The component was built against an incompatible version of the world.
    #[error(
        "the component was built for `{name}`, and this host has version {host}; rebuild it with the `skillhost-sdk` that belongs to this host, or update the host"
    )]
    OtherVersion {
        /// What it imports.
        name: String,
        /// The version that this host has.
        host: String,
    },
    /// The component was built against a newer version of the world, and uses what was added there.
    #[error("the component uses {} of `{name}`, which this host (version {host}) does not have yet; update skillhost", list(.functions))]
    NewerWorld {
        /// The interface.
        name: String,
        /// The functions that are missing.
        functions: Vec<String>,
        /// The version that this host has.
        host: String,
    },
    /// A function has another type than in the world.
    #[error(
        "the component does not fit the world `skillhost:skill`: {reason}; rebuild it with the `skillhost-sdk` that belongs to this host"
    )]
    Unfit {
        /// What does not fit.
        reason: String,
    },
    /// The component could not be read.
    #[error("could not read the component")]
    Read(#[source] io::Error),
    /// The component that was read is not the one that was asked for.
    #[error("the component should have the digest {expected} and has {found}: the file was changed or damaged")]
    WrongDigest {
        /// What was asked for.
        expected: String,
        /// What was read.
        found: String,
    },
    /// The compiler failed. A bug of ours or of the engine's.
    #[error(
        "the compiler failed on this component, which is a bug in skillhost or wasmtime, not in the skill: {reason}"
    )]
    Compiler {
        /// What it said.
        reason: String,
    },
}

impl LoadError {
    /// Returns whether trying again may help: the component itself is not at fault.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Read(_) | Self::WrongDigest { .. })
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
