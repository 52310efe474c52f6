//! Chance that can be repeated: the seed is printed with what came of it.

use evergrant_testkit::{fingerprint, random_text};

/// Draws numbers; the same ones again from the same seed.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    /// A seed that nobody chose.
    pub fn any_seed() -> u64 {
        u64::from_str_radix(&fingerprint(&random_text::<16>()), 16).expect("a fingerprint is hexadecimal")
    }

    /// In `0..below` (SplitMix64).
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below.max(1)
    }

    /// One of these.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let at = self.below(all.len() as u64);
        &all[usize::try_from(at).unwrap_or_default()]
    }
}
