//! Randomness from the run's seed (rule G8): the same at every replay.
//!
//! ChaCha20 keyed with the seed. Stream 0 is what a guest draws, stream 1 the seed that `wasi:random/insecure-seed` gives for hash tables, which is
//! thus the same however much was drawn before.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use skillhost_core::id::Digest;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use crate::guest::state::State;
use crate::guest::stop::Misuse;

/// The most bytes drawn at once.
const BYTES_MAX: u64 = 64 << 10;

pub(crate) struct Randomness {
    drawn: ChaCha20Rng,
    hash_seed: (u64, u64),
}

impl Randomness {
    pub(crate) fn new(seed: &Digest) -> Self {
        let mut hashes = ChaCha20Rng::from_seed(*seed.as_bytes());
        hashes.set_stream(1);
        Self {
            drawn: ChaCha20Rng::from_seed(*seed.as_bytes()),
            hash_seed: (hashes.next_u64(), hashes.next_u64()),
        }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.drawn.next_u64()
    }

    pub(crate) fn bytes(&mut self, length: u64) -> Result<Vec<u8>, Misuse> {
        if length > BYTES_MAX {
            return Err(Misuse(format!(
                "it asked for {length} random bytes; at most {BYTES_MAX} are drawn at once"
            )));
        }
        let mut bytes = vec![0; length as usize];
        self.drawn.fill_bytes(&mut bytes);
        Ok(bytes)
    }
}

impl random::Host for State {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        Ok(self.random.bytes(length)?)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random.next())
    }
}

impl insecure::Host for State {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        Ok(self.random.bytes(length)?)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random.next())
    }
}

impl insecure_seed::Host for State {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok(self.random.hash_seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g8_the_numbers_of_a_seed_are_fixed_for_ever() {
        let mut random = Randomness::new(&Digest::from([7; 32]));
        let drawn = (random.next(), random.bytes(5).expect("few"), random.hash_seed);
        // A change here would make every journal that used randomness unreadable.
        let expected = (4753173749397848308, vec![20, 245, 97, 186, 172]);
        let hash_seed = (17250399114163879021, 11957492525526826207);
        assert_eq!(drawn, (expected.0, expected.1, hash_seed));
    }
}
