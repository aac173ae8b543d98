//! Randomness from the run's seed: different in each run, the same at every replay of one. Not for keys: the seed is in the journal.

use crate::host;

/// The most bytes that the world gives at once.
const BYTES_MAX: usize = 65_536;

/// Returns 64 random bits.
pub fn next() -> u64 {
    host::random::next()
}

/// Returns a number below `bound`, each with the same probability; 0 if the bound is 0.
pub fn below(bound: u64) -> u64 {
    // Bits above the largest multiple of the bound are drawn again, which happens less than once on average.
    let rest = match bound {
        0 => return 0,
        _ => (u64::MAX % bound + 1) % bound,
    };
    loop {
        let bits = next();
        if bits <= u64::MAX - rest {
            return bits % bound;
        }
    }
}

/// Returns random bytes.
pub fn bytes(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let part = BYTES_MAX.min(length - bytes.len());
        let part = u32::try_from(part).expect("a part is at most 64 KiB");
        bytes.extend(host::random::bytes(part));
    }
    bytes
}
