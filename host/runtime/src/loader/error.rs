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
    /// Compiling it was stopped, because it took too long.
    #[error(
        "compiling the component took more than {seconds} seconds, and was stopped; if it needs that, `limits.compile_seconds` in the configuration allows more"
    )]
    TooLong {
        /// How long it may take.
        seconds: u64,
    },
    /// The compiler needed too much memory for it.
    #[error(
        "compiling the component took more than {mib} MiB of memory; if it needs that, `limits.compile_mib` in the configuration allows more"
    )]
    TooMuch {
        /// How much it may take.
        mib: u64,
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

/// What is wrong with a component, in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// What is wrong.
    pub message: String,
    /// What a component should be or have.
    pub expected: Option<String>,
    /// What this one is or has.
    pub found: Option<String>,
    /// What mends it.
    pub fix: Option<String>,
}

impl LoadError {
    /// Returns the same in parts: what is wrong, what was expected, what is there, and the fix.
    pub fn misfit(&self) -> Misfit {
        let misfit = |message: &str, expected: &str, found: String, fix: &str| Misfit {
            message: message.to_owned(),
            expected: Some(expected.to_owned()),
            found: Some(found),
            fix: Some(fix.to_owned()),
        };
        match self {
            Self::TooLarge { bytes, max } => misfit(
                "the component is too large",
                &format!("at most {max} bytes"),
                format!("{bytes} bytes"),
                "build it with `--release` and strip it",
            ),
            Self::NotWasm { begins } => misfit(
                "this is not a WebAssembly file",
                "a component, built for `wasm32-wasip2`",
                format!("a file that begins with {begins}"),
                "give the `.wasm` file that `skillhost build` writes",
            ),
            Self::CoreModule => misfit(
                "this is a core WebAssembly module, not a component",
                "a component",
                "a core module".to_owned(),
                "build it for `wasm32-wasip2`, or make a component of it with `wasm-tools component new`",
            ),
            Self::OtherWorld { missing, exports } => misfit(
                "this component is no skill",
                &format!("it exports {}", list(missing)),
                format!("it exports {}", list(exports)),
                "build it against the world `skillhost:skill/skill`, as `#[skill]` of `skillhost-sdk` does",
            ),
            Self::UnknownImport { name, provided } => misfit(
                "the component imports something that this host does not provide",
                provided,
                format!("`{name}`"),
                "leave out what needs this import: for Rust, a crate that uses sockets, threads or HTTP by itself",
            ),
            Self::OtherVersion { name, host } => misfit(
                "the component was built for another version of an interface",
                &format!("version {host}"),
                format!("`{name}`"),
                "rebuild it with the `skillhost-sdk` that belongs to this host, or update the host",
            ),
            Self::NewerWorld { name, functions, host } => misfit(
                "the component uses functions that this host does not have yet",
                &format!("what version {host} of the world has"),
                format!("{} of `{name}`", list(functions)),
                "update skillhost, or rebuild it with the `skillhost-sdk` that belongs to this host",
            ),
            Self::AsyncAbi { reason } => misfit(
                "the component uses the asynchronous ABI of the component model",
                "synchronous exports and imports",
                reason.clone(),
                "build it for `wasm32-wasip2` without async exports (for JavaScript: `--backend-qjs-disable-async`)",
            ),
            Self::Unfit { reason } => misfit(
                "the component does not fit the world",
                "the functions of `skillhost:skill` with the types that they have there",
                reason.clone(),
                "rebuild it with the `skillhost-sdk` that belongs to this host",
            ),
            Self::Invalid { .. }
            | Self::Read(_)
            | Self::WrongDigest { .. }
            | Self::TooLong { .. }
            | Self::TooMuch { .. }
            | Self::Compiler { .. } => Misfit {
                message: match std::error::Error::source(self) {
                    Some(source) => format!("{self}: {source}"),
                    None => self.to_string(),
                },
                expected: None,
                found: None,
                fix: None,
            },
        }
    }

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
