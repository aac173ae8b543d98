//! Numbers that look random, and are the same for the same seed. Everything that is left to chance in a simulation is drawn from one of these.

use std::time::Duration;

/// A source of numbers (splitmix64, which takes any seed).
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// Makes the source that belongs to a seed and a purpose: what is drawn for one purpose changes nothing of another.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let purpose = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let mut chance = Self(seed ^ purpose);
        chance.next();
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`, or zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound.max(1)
    }

    /// Returns whether the one of so many came.
    pub(crate) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    /// Returns one of these.
    pub(crate) fn of<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        &things[self.below(things.len())]
    }

    /// Returns a time of some magnitude below `longest`: short ones are as likely as long ones.
    pub(crate) fn time(&mut self, longest: Duration) -> Duration {
        let most = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX).max(1);
        let magnitude = self.below(64 - most.leading_zeros() as usize);
        let below = (2_u64 << magnitude).min(most);
        Duration::from_micros(self.next() % below)
    }
}
