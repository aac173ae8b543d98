//! Fixture skills, one behaviour a file in `examples/`, and what several of them need.
//!
//! Each is built as `examples/<file>.wasm`. Their inputs are JSON objects whose members have defaults, so that a test says only what matters to it.

pub mod acts;
pub mod deeds;

/// Adds to a digest of what a fixture saw, so that its output depends on every answer and on their order (FNV-1a).
pub fn mix(digest: u64, seen: &str) -> u64 {
    // The separator keeps `ab`, `c` and `a`, `bc` apart.
    seen.bytes().chain([0xff]).fold(digest, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The digest of nothing.
pub const NOTHING_SEEN: u64 = 0xcbf2_9ce4_8422_2325;
