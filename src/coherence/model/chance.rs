//! Chance that comes again, by its number.

use std::sync::Mutex;
use std::time::Duration;

use crate::domain::entropy::{Entropy, EntropyError};

/// Chance that comes again: `SplitMix64`.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(number: u64) -> Self {
        Self(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(super) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub(super) fn is_one_of(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    pub(super) fn moment(&mut self) -> Duration {
        Duration::from_micros(self.next() % 20_000)
    }
}

/// Randomness of it.
#[derive(Debug)]
pub(super) struct FromChance(Mutex<Chance>);

impl FromChance {
    pub(super) fn new(chance: &mut Chance) -> Self {
        Self(Mutex::new(chance.fork()))
    }
}

impl Entropy for FromChance {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        let mut chance = self.0.lock().unwrap();
        buffer.fill_with(|| chance.next().to_le_bytes()[0]);
        Ok(())
    }
}
