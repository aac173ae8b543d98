//! Builds skills for `wasm32-wasip2` with whatever guest toolchain the machine has.
